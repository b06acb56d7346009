//! Where in the world a request comes from, as a resolver says.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::counts::OTHER;

/// How long a location may be, in bytes.
pub const MAX_LOCATION_BYTES: usize = 16;

/// The name of a place, `[A-Za-z0-9-]{1,16}`: a country (`DE`), a part of one (`US-CA`, ISO 3166), a data centre.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location([u8; MAX_LOCATION_BYTES]);

/// A text is no location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a location must be 1 to 16 characters out of A-Z a-z 0-9 -, and not other")]
pub struct LocationError;

impl Location {
    /// Takes the text as it is.
    ///
    /// # Errors
    /// When it is not `[A-Za-z0-9-]{1,16}`, or is [`other`](super::counts::OTHER), which is all that are not told apart.
    pub fn new(text: &str) -> Result<Self, LocationError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let mut bytes = [0; MAX_LOCATION_BYTES];
        match bytes.get_mut(..text.len()) {
            Some(place) if !text.is_empty() && text != OTHER && text.bytes().all(allowed) => {
                place.copy_from_slice(text.as_bytes());
            }
            _ => return Err(LocationError),
        }
        Ok(Self(bytes))
    }

    /// The place as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(MAX_LOCATION_BYTES);
        // It was made from a text, of ASCII alone.
        std::str::from_utf8(&self.0[..end]).unwrap_or_default()
    }

    pub(super) fn to_bytes(self) -> [u8; MAX_LOCATION_BYTES] {
        self.0
    }
}

impl FromStr for Location {
    type Err = LocationError;
    fn from_str(text: &str) -> Result<Self, LocationError> {
        Self::new(text)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_short_and_plain() {
        for text in ["D", "DE", "US-CA", "abcdefghijklmnop"] {
            assert_eq!(Location::new(text).unwrap().as_str(), text);
        }
        for text in ["", "other", "abcdefghijklmnopq", "D E", "ü", "a\0"] {
            assert_eq!(Location::new(text), Err(LocationError), "{text:?}");
        }
    }
}
