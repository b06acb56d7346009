//! What of a record changes, as it is written down: of what may be shown of it, and bounded.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// The most bytes of one field; of a longer one it is written how long it is.
const MAX_FIELD: usize = 4 * 1024;
/// The most bytes of all fields; beyond, of none it is written what it is.
const MAX_FIELDS: usize = 32 * 1024;
/// What is never written down, whatever is shown elsewhere: only that it was changed.
const HIDDEN: [&str; 6] = ["key", "secret", "digest", "verifier", "sensitive", "offer"];
const NOT_SHOWN: &str = "(not shown)";
/// What changes with every write.
const ALWAYS: [&str; 1] = ["revision"];

/// What changes, as it is before and as it is after.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Changes {
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

/// All fields that are shown of something, as the audit writes them.
pub(crate) fn shown(record: &impl Serialize) -> Map<String, Value> {
    let mut fields = match serde_json::to_value(record) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    for (name, value) in &mut fields {
        if HIDDEN.contains(&name.as_str()) {
            *value = json!(NOT_SHOWN);
            continue;
        }
        let length = value.to_string().len();
        if length > MAX_FIELD {
            *value = json!(format!("({length} bytes)"));
        }
    }
    fields
}

fn written(mut fields: Map<String, Value>) -> Option<Value> {
    let length: usize = fields.iter().map(|(name, value)| name.len() + value.to_string().len()).sum();
    if length > MAX_FIELDS {
        fields.values_mut().for_each(|value| *value = json!("(too long)"));
    }
    (!fields.is_empty()).then_some(Value::Object(fields))
}

impl Changes {
    /// The fields that differ. What is hidden is among them where the records differ in it.
    pub(crate) fn between(before: &impl Serialize, after: &impl Serialize) -> Self {
        let raw = |record: Result<Value, serde_json::Error>| match record {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let (old, new) = (raw(serde_json::to_value(before)), raw(serde_json::to_value(after)));
        let differs = |name: &str| !ALWAYS.contains(&name) && old.get(name) != new.get(name);
        let of = |fields: Map<String, Value>| written(fields.into_iter().filter(|(name, _)| differs(name)).collect());
        Self { before: of(shown(before)), after: of(shown(after)) }
    }

    /// The same, with a field that differs in what is not shown of it.
    pub(crate) fn and_hidden(mut self, name: &str) -> Self {
        self.note(name, json!(NOT_SHOWN));
        self
    }

    /// Puts a field beside those that are afterwards.
    pub(crate) fn note(&mut self, name: &str, value: Value) {
        if let Value::Object(fields) = self.after.get_or_insert_with(|| Value::Object(Map::new())) {
            fields.insert(name.to_owned(), value);
        }
    }

    /// Something new.
    pub(crate) fn made(record: &impl Serialize) -> Self {
        Self { before: None, after: written(shown(record)) }
    }

    /// Something that goes.
    pub(crate) fn gone(record: &impl Serialize) -> Self {
        Self { before: written(shown(record)), after: None }
    }

    /// What is said of an act that changes no record.
    pub(crate) fn of(after: &impl Serialize) -> Self {
        Self::made(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_written() {
        let before = json!({"revision": 1, "name": "a", "status": "active", "gone": 1});
        let after = json!({"revision": 2, "name": "b", "status": "active", "new": 2});
        let changes = Changes::between(&before, &after);
        assert_eq!(changes.before, Some(json!({"name": "a", "gone": 1})));
        assert_eq!(changes.after, Some(json!({"name": "b", "new": 2})));
        assert_eq!(Changes::between(&before, &before), Changes::default());
    }

    #[test]
    fn what_is_secret_is_never_written() {
        let (before, after) =
            (json!({"secret": "one", "sensitive": {"a": "b"}}), json!({"secret": "two", "sensitive": {}}));
        let changes = Changes::between(&before, &after);
        let text = format!("{changes:?}");
        assert!(!text.contains("one") && !text.contains("two") && text.contains("sensitive"), "{text}");
    }

    #[test]
    fn what_is_long_is_told_by_its_length() {
        let changes = Changes::made(&json!({"metadata": "x".repeat(5_000)}));
        assert_eq!(changes.after, Some(json!({"metadata": "(5002 bytes)"})));
        let many: Map<String, Value> = (0..20).map(|n| (format!("f{n}"), json!("x".repeat(3_000)))).collect();
        let text = Changes::made(&many).after.unwrap().to_string();
        assert!(text.len() < 1_000, "{text}");
    }
}
