//! The document of the API, and whether what is said and answered is as it says.

#![allow(unreachable_pub)]

use std::cell::RefCell;
use std::collections::BTreeSet;

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

use super::{Answer, Api};

pub struct Documented {
    pub document: Value,
    /// The operations and the statuses that answers were seen of.
    pub seen: RefCell<BTreeSet<(String, u16)>>,
}

impl Documented {
    pub async fn of(api: &Api) -> Self {
        let answer = api.call("", "GET /openapi.json", None).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
        Self { document: answer.body, seen: RefCell::default() }
    }

    /// Each operation with its method and its path.
    pub fn operations(&self) -> Vec<(&str, &str, &Value)> {
        let paths = self.document["paths"].as_object().unwrap();
        paths
            .iter()
            .flat_map(|(path, item)| {
                item.as_object()
                    .unwrap()
                    .iter()
                    .map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
            })
            .collect()
    }

    pub fn operation(&self, id: &str) -> &Value {
        let found = self.operations().into_iter().find(|(_, _, operation)| operation["operationId"] == id);
        found.unwrap_or_else(|| panic!("there is no operation {id}")).2
    }

    /// What is meant, where something else is named in its place.
    pub fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self.document.pointer(reference.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }

    /// A validator of what this schema describes. A strict one lets no property pass that is not described.
    pub fn validator(&self, schema: &Value, strict: bool) -> Validator {
        let mut schemas = self.document["components"]["schemas"].clone();
        let mut root = schema.clone();
        if strict {
            close(&mut schemas);
            close(&mut root);
        }
        root["components"] = json!({ "schemas": schemas });
        jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true).build(&root).unwrap()
    }

    /// The validator of a named schema.
    pub fn named(&self, name: &str) -> Validator {
        self.validator(&json!({"$ref": format!("#/components/schemas/{name}")}), true)
    }

    /// That the answer of this operation is as the document says.
    pub fn check(&self, id: &str, answer: &Answer) {
        let status = answer.status.as_u16();
        let described = &self.operation(id)["responses"][status.to_string()];
        assert!(!described.is_null(), "{id} does not say that it answers {answer:?}");
        let described = self.resolved(described);
        let headers = described["headers"].as_object().cloned().unwrap_or_else(Map::new);
        // Of a repetition, of a key with limits, and of one that was rotated, alone.
        let some = ["Idempotent-Replayed", "RateLimit", "RateLimit-Policy", "Deprecation", "Sunset", "Link"];
        for name in headers.keys().filter(|name| !some.contains(&name.as_str())) {
            assert_ne!(answer.header(name), "", "{id} {status} has no {name}");
        }
        for name in ["location", "etag", "retry-after", "www-authenticate", "idempotent-replayed"] {
            let known = headers.keys().any(|header| header.eq_ignore_ascii_case(name));
            assert!(known || answer.header(name).is_empty(), "{id} {status} has {name}, which is not described");
        }
        match described["content"].as_object() {
            None => assert_eq!(answer.text, "", "{id} {status}"),
            Some(content) => {
                let kind = answer.header("content-type");
                let schema = &content.get(kind).unwrap_or_else(|| panic!("{id} {status} has {kind}"))["schema"];
                let validator = self.validator(schema, true);
                let wrong: Vec<String> = validator.iter_errors(&answer.body).map(|error| error.to_string()).collect();
                assert!(wrong.is_empty(), "{id} {status}: {wrong:?} in {}", answer.text);
            }
        }
        self.seen.borrow_mut().insert((id.to_owned(), status));
    }
}

/// Has every schema that is referred to admit no other properties; those that are parts of a whole, the whole.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (_, value) in fields.iter_mut().filter(|(name, _)| *name != "allOf") {
                close(value);
            }
            if fields.get("$ref").is_some_and(Value::is_string) {
                fields.insert("unevaluatedProperties".to_owned(), json!(false));
            }
        }
        Value::Array(values) => values.iter_mut().for_each(close),
        _ => {}
    }
}
