//! The user's own fields of a key.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::sensitive::SensitiveValue;
use crate::names::NameError;

/// The most bytes of a key's metadata, as compact JSON.
pub const MAX_METADATA_BYTES: usize = 4096;

/// Levels that may be around a key's metadata where it is shown.
const AROUND: usize = 8;

/// A JSON object of at most [`MAX_METADATA_BYTES`], kept with a key and shown with it. It is not a place for secrets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct Metadata(Map<String, Value>);

impl Metadata {
    /// Takes a JSON object.
    ///
    /// # Errors
    /// When its compact text is longer than [`MAX_METADATA_BYTES`], or nested deeper than some 120 levels.
    pub fn new(fields: Map<String, Value>) -> Result<Self, NameError> {
        let metadata = Self(fields);
        let text = metadata.to_json();
        if text.len() > MAX_METADATA_BYTES {
            return Err(NameError::new("metadata", format!("must be at most {MAX_METADATA_BYTES} bytes of JSON")));
        }
        if !is_readable(&text) {
            return Err(NameError::new("metadata", "is nested too deeply"));
        }
        Ok(metadata)
    }

    /// Whether there are no fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All fields.
    #[must_use]
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    pub(crate) fn to_json(&self) -> String {
        if self.0.is_empty() { String::new() } else { Value::Object(self.0.clone()).to_string() }
    }

    pub(crate) fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        if text.is_empty() { Ok(Self::default()) } else { serde_json::from_str(text).map(Self) }
    }
}

/// Whether JSON can be read back. Readers of JSON stop at a depth: what could not be read would take its whole record with
/// it, or the whole list that it is shown in.
pub(super) fn is_readable(text: &str) -> bool {
    let mut shown = Zeroizing::new(String::with_capacity(text.len() + 2 * AROUND));
    shown.extend(std::iter::repeat_n('[', AROUND));
    shown.push_str(text);
    shown.extend(std::iter::repeat_n(']', AROUND));
    SensitiveValue::from_json(shown.as_bytes()).is_some()
}

impl TryFrom<Map<String, Value>> for Metadata {
    type Error = NameError;
    fn try_from(fields: Map<String, Value>) -> Result<Self, NameError> {
        Self::new(fields)
    }
}

impl From<Metadata> for Map<String, Value> {
    fn from(metadata: Metadata) -> Map<String, Value> {
        metadata.0
    }
}
