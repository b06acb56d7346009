//! The user's own fields of a key that are kept encrypted, each by itself.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use super::metadata::is_readable;
use crate::names::{FieldName, NameError};

/// The most sensitive fields of a key.
pub const MAX_SENSITIVE_FIELDS: usize = 32;
/// The most bytes of a key's sensitive fields, as compact JSON.
pub const MAX_SENSITIVE_BYTES: usize = 4096;

/// A JSON object of at most [`MAX_SENSITIVE_FIELDS`] fields and [`MAX_SENSITIVE_BYTES`], kept encrypted with a key and never
/// shown with it. `Debug` shows the names alone; the values are wiped from memory when they are dropped.
#[derive(Clone, Default, PartialEq)]
pub struct Sensitive(BTreeMap<FieldName, SensitiveValue>);

impl Sensitive {
    /// Takes a JSON object.
    ///
    /// # Errors
    /// When it has too many fields, one with a name that is none, or more bytes than it may; or is nested deeper than some
    /// 120 levels.
    pub fn new(fields: Map<String, Value>) -> Result<Self, NameError> {
        // First, so that whatever is refused is wiped too.
        let values: Vec<(String, SensitiveValue)> =
            fields.into_iter().map(|(name, value)| (name, SensitiveValue(value))).collect();
        let named = values.into_iter().map(|(name, value)| Ok((FieldName::new(name)?, value)));
        Self::of(named.collect::<Result<_, NameError>>()?)
    }

    /// Takes fields that were read.
    pub(crate) fn of(fields: BTreeMap<FieldName, SensitiveValue>) -> Result<Self, NameError> {
        let refused = |problem: String| Err(NameError::new("sensitive", problem));
        if fields.len() > MAX_SENSITIVE_FIELDS {
            return refused(format!("must have at most {MAX_SENSITIVE_FIELDS} fields"));
        }
        let sensitive = Self(fields);
        let Ok(text) = to_json(&sensitive) else {
            return refused(format!("must be at most {MAX_SENSITIVE_BYTES} bytes of JSON"));
        };
        if !std::str::from_utf8(&text).is_ok_and(is_readable) {
            return refused("is nested too deeply".to_owned());
        }
        Ok(sensitive)
    }

    /// These fields and others.
    ///
    /// # Errors
    /// When a field is in both, or together they are more than a key may have.
    pub fn and(self, others: Self) -> Result<Self, NameError> {
        let Self(mut fields) = self;
        for (name, value) in others.0 {
            if fields.insert(name, value).is_some() {
                return Err(NameError::new("sensitive", "must have each field once"));
            }
        }
        Self::of(fields)
    }

    /// Whether there are no fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(own, _)| own.as_str() == name).map(|(_, value)| value.as_value())
    }

    /// All fields, by their names.
    pub fn iter(&self) -> impl Iterator<Item = (&FieldName, &SensitiveValue)> {
        self.0.iter()
    }
}

impl TryFrom<Map<String, Value>> for Sensitive {
    type Error = NameError;
    fn try_from(fields: Map<String, Value>) -> Result<Self, NameError> {
        Self::new(fields)
    }
}

/// Whatever is in its place is read first, so that no error repeats it.
impl<'de> Deserialize<'de> for Sensitive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut read = SensitiveValue(Value::deserialize(deserializer)?);
        match &mut read.0 {
            Value::Object(fields) => Self::new(std::mem::take(fields)).map_err(D::Error::custom),
            _ => Err(D::Error::custom("must be an object")),
        }
    }
}

/// For whoever hands it on: it shows every value.
impl Serialize for Sensitive {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(name, value)| (name, value.as_value())))
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sensitive")?;
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// One value, which is wiped from memory when it is dropped. `Debug` does not show it.
#[derive(Clone, PartialEq)]
pub struct SensitiveValue(Value);

impl SensitiveValue {
    /// The value.
    #[must_use]
    pub fn as_value(&self) -> &Value {
        &self.0
    }

    /// Its compact JSON.
    pub(crate) fn to_json(&self) -> io::Result<Zeroizing<Vec<u8>>> {
        to_json(&self.0)
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    pub(crate) fn from_json(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().map(Self)
    }
}

impl fmt::Debug for SensitiveValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SensitiveValue(redacted)")
    }
}

impl Drop for SensitiveValue {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(fields) => {
            for (mut name, mut value) in std::mem::take(fields) {
                name.zeroize();
                wipe(&mut value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Compact JSON of at most [`MAX_SENSITIVE_BYTES`].
fn to_json(value: &impl Serialize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Bounded(Zeroizing::new(Vec::with_capacity(MAX_SENSITIVE_BYTES)));
    serde_json::to_writer(&mut text, value)?;
    Ok(text.0)
}

/// It never grows, so that no copy is left behind.
struct Bounded(Zeroizing<Vec<u8>>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_SENSITIVE_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sensitive(fields: Value) -> Result<Sensitive, NameError> {
        Sensitive::new(fields.as_object().cloned().unwrap())
    }

    #[test]
    fn what_is_too_large_too_deep_or_has_no_name_is_refused_and_not_shown() {
        let deep = (0..200).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        let many: Map<String, Value> = (0..=MAX_SENSITIVE_FIELDS).map(|n| (n.to_string(), 1.into())).collect();
        for (fields, field) in [
            (json!({"a": "geheim".repeat(1000)}), "sensitive"),
            (json!({"a": deep}), "sensitive"),
            (Value::Object(many), "sensitive"),
            (json!({"": 1}), "sensitive field name"),
            (json!({"geheim\n": 1}), "sensitive field name"),
            (json!({"x".repeat(65): 1}), "sensitive field name"),
        ] {
            let error = sensitive(fields).unwrap_err();
            assert_eq!(error.field(), field);
            assert!(!error.to_string().contains("geheim"), "{error}");
        }
        let one = || sensitive(json!({"a": 1})).unwrap();
        assert_eq!(
            one().and(sensitive(json!({"b": 2})).unwrap()).unwrap(),
            sensitive(json!({"a": 1, "b": 2})).unwrap()
        );
        assert!(one().and(one()).is_err());
        // {"a":""} is eight bytes.
        assert!(sensitive(json!({"a": "x".repeat(MAX_SENSITIVE_BYTES - 8)})).is_ok());
        assert!(sensitive(json!({"a": "x".repeat(MAX_SENSITIVE_BYTES - 7)})).is_err());
    }

    #[test]
    fn what_stands_in_its_place_is_not_repeated() {
        for text in [r#""geheim""#, r#"["geheim"]"#, r#"{"geh eim":1}"#, r#"{"a":"geheim"#] {
            let error = serde_json::from_str::<Sensitive>(text).unwrap_err().to_string();
            assert!(!error.contains("geh"), "{error}");
        }
        assert!(serde_json::from_str::<Sensitive>("null").is_err());
    }

    #[test]
    fn debug_shows_names_alone() {
        let shown = sensitive(json!({"card": "4111", "owner": {"pin": 9876}})).unwrap();
        assert_eq!(format!("{shown:?}"), r#"Sensitive{"card", "owner"}"#);
        assert_eq!(format!("{:?}", shown.iter().next().unwrap().1), "SensitiveValue(redacted)");
        assert_eq!(serde_json::to_value(&shown).unwrap(), json!({"card": "4111", "owner": {"pin": 9876}}));
    }

    #[test]
    fn wiping_leaves_no_text() {
        let mut value = json!({"a": ["b", {"c": "d"}], "e": 1});
        wipe(&mut value);
        assert_eq!(value, json!({}));
        let mut value = json!(["geheim", ["geheim"]]);
        wipe(&mut value);
        assert_eq!(value, json!(["", [""]]));
    }
}
