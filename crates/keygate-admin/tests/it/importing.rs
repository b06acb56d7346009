//! Keys that were made elsewhere are taken in, and all keys are given out without their secrets.

use keygate_core::context::RequestContext;
use serde_json::{Value, json};

use crate::support::{Api, assert_problem};

const IMPORT: &str = "POST /v1/organizations/acme/keys:import";
const EXPORT: &str = "GET /v1/organizations/acme/keys:export";
const NDJSON: (&str, &str) = ("Content-Type", "application/x-ndjson");

fn text(nth: usize) -> String {
    format!("sk_live_{nth:024}")
}

fn lines(texts: &[String]) -> String {
    // A user each, as one may have few keys.
    let line = |text: &String| {
        let user = format!("user-{}", &text[text.len().saturating_sub(8)..]);
        format!("{}\n", json!({"raw": text, "user_id": user, "scopes": []}))
    };
    texts.iter().map(line).collect()
}

fn documents(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn keys_are_imported_and_told_of_line_by_line() {
    let api = Api::new().await;
    let body = lines(&[text(1), "sk_test".into(), text(2)]);
    let dry = api.raw(&api.operator, &format!("{IMPORT}?dry_run=true"), &[NDJSON], body.clone()).await;
    assert_eq!((dry.status.as_u16(), &dry.body["created"], &dry.body["refused"]), (200, &json!(2), &json!(1)));
    assert!(api.manager.validate(&text(1), &RequestContext::new()).await.is_err());

    let made = api.raw(&api.operator, IMPORT, &[NDJSON], body.clone()).await;
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!((&made.body["created"], &made.body["exists"], &made.body["refused"]), (&json!(2), &json!(0), &json!(1)));
    let told = made.body["lines"].as_array().unwrap();
    assert_eq!(
        (&told[1]["line"], &told[1]["status"], &told[1]["reason"]),
        (&json!(2), &json!("refused"), &json!("invalid_field"))
    );
    assert!(told[1]["detail"].as_str().unwrap().contains("16 to 512"));
    assert!(!made.text.contains("sk_"), "{made:?}");
    let admission = api.manager.validate(&text(1), &RequestContext::new()).await.unwrap();
    assert_eq!(told[0]["key_id"], admission.id.to_string());

    // Sent again, and answered line by line.
    let accept = ("Accept", "application/x-ndjson;q=1, */*;q=0.1");
    let again = api.raw(&api.operator, IMPORT, &[NDJSON, accept], body).await;
    assert_eq!(again.header("content-type"), "application/x-ndjson");
    let told = documents(&again.text);
    assert_eq!(told.iter().map(|line| line["status"].clone()).collect::<Vec<_>>(), ["exists", "refused", "exists"]);
}

#[tokio::test]
async fn an_import_that_cannot_be_is_a_problem() {
    let api = Api::new().await;
    let system = api.raw(&api.operator, &IMPORT.replace("acme", "system"), &[NDJSON], lines(&[text(1)])).await;
    assert_problem(&system, 409, "reserved", "system");
    let many = api.raw(&api.operator, IMPORT, &[NDJSON], "{}\n".repeat(10_001)).await;
    assert_problem(&many, 422, "invalid_field", "10000 lines");
    let large = api.raw(&api.operator, IMPORT, &[NDJSON], " ".repeat(16 * 1024 * 1024 + 1)).await;
    assert_eq!((large.status.as_u16(), large.reason()), (413, "body_too_large"));
    let odd = api.raw(&api.operator, &format!("{IMPORT}?dryrun=1"), &[NDJSON], lines(&[text(1)])).await;
    assert_problem(&odd, 422, "invalid_field", "dryrun");
    // More than the other calls take is taken here.
    let wide = api.raw(&api.operator, IMPORT, &[NDJSON], lines(&(0..4_000).map(text).collect::<Vec<_>>())).await;
    assert_eq!((wide.status.as_u16(), &wide.body["created"]), (200, &json!(4_000)));
}

#[tokio::test]
async fn an_export_has_every_key_once_and_no_secret() {
    let api = Api::new().await;
    let empty = api.call(&api.operator, EXPORT, None).await;
    assert_eq!((empty.status.as_u16(), empty.text.as_str()), (200, ""));
    api.raw(&api.operator, IMPORT, &[NDJSON], lines(&(0..2_100).map(text).collect::<Vec<_>>())).await;
    let native = api.make(&api.operator, "acme", json!({"user_id": "ada", "metadata": {"k": 1}})).await;
    api.make(&api.operator, "other", json!({"user_id": "ada"})).await;
    let export = api.call(&api.operator, EXPORT, None).await;
    assert_eq!(export.header("content-type"), "application/x-ndjson");
    let keys = documents(&export.text);
    assert_eq!(keys.len(), 2_101);
    let ids: std::collections::BTreeSet<_> = keys.iter().map(|key| key["key_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), keys.len());
    assert!(keys.iter().all(|key| key["organization_id"] == "acme"));
    let shown = keys.iter().find(|key| key["key_id"] == native["key_id"]).unwrap();
    let mut expected = native.clone();
    expected.as_object_mut().unwrap().remove("key");
    assert_eq!(*shown, expected);
    for secret in ["sk_live", "digest", "lookup", "verifier", native["key"].as_str().unwrap()] {
        assert!(!export.text.contains(secret), "{secret}");
    }
}
