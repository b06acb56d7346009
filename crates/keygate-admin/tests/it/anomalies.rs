//! What was unusual in the use of keys, as it is read.

use std::time::Duration;

use keygate_core::anomaly::finding::Measured;
use keygate_core::anomaly::{Finding, Rule};
use keygate_core::store::{MemoryStore, Store};
use keygate_testkit::HeldClock;
use serde_json::{Value, json};

use crate::support::{Answer, Api, assert_problem};

const OF_ACME: &str = "/v1/organizations/acme/anomalies";

/// An API over a store whose findings the tests write, at 2026-01-01T00:00:00Z.
struct Place {
    api: Api,
    store: MemoryStore,
    clock: HeldClock,
}

impl Place {
    async fn new() -> Self {
        let clock = HeldClock::new();
        let store = MemoryStore::with_clock(clock.clone());
        Self { api: Api::with(store.clone(), clock.clone()).await, store, clock }
    }

    /// A key of acme's.
    async fn key(&self) -> Value {
        self.api.make(&self.api.operator, "acme", json!({"user_id": "ada"})).await
    }

    /// Something is found now.
    async fn find(&self, key: &Value, rule: Rule, value: Option<&str>) {
        let id = key["key_id"].as_str().unwrap().parse().unwrap();
        let organization = key["organization_id"].as_str().unwrap().parse().unwrap();
        let measured = Measured { observed: 3.0, expected: 0.25, sample_size: 12 };
        let value = value.map(str::to_owned);
        let found = Finding::new(rule, (id, organization), self.clock.now(), value, measured, "So it is.".to_owned());
        assert!(self.store.record_finding(&found).await.unwrap());
        self.clock.advance(Duration::from_secs(1));
    }

    async fn ask(&self, caller: &str, path: &str) -> Answer {
        self.api.call(caller, &format!("GET {path}"), None).await
    }

    async fn read(&self, path: &str) -> Value {
        let answer = self.ask(&self.api.operator, path).await;
        assert_eq!(answer.status, 200, "{path} {answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        answer.body
    }
}

fn of_key(key: &Value) -> String {
    format!("/v1/keys/{}/anomalies", key["key_id"].as_str().unwrap())
}

fn rules(page: &Value) -> Vec<&str> {
    page["findings"].as_array().unwrap().iter().map(|finding| finding["rule"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn findings_are_told_of_a_key_and_of_its_organization_newest_first() {
    let place = Place::new().await;
    let (key, other) = (place.key().await, place.key().await);
    assert_eq!(place.read(OF_ACME).await, json!({"findings": [], "next_cursor": null}));
    place.find(&key, Rule::NewLocation, Some("KP")).await;
    place.find(&other, Rule::Volume, None).await;
    place.find(&key, Rule::DormantAwakened, None).await;
    let page = place.read(&of_key(&key)).await;
    assert_eq!(rules(&page), ["dormant_awakened", "new_location"]);
    let oldest = &page["findings"][1];
    let expected = json!({
        "id": oldest["id"], "rule": "new_location", "key_id": key["key_id"], "organization_id": "acme",
        "at": "2026-01-01T00:00:00Z", "value": "KP", "observed": 3.0, "expected": 0.25, "sample_size": 12,
        "detail": "So it is.",
    });
    assert_eq!(oldest, &expected);
    assert_eq!((oldest["id"].as_str().unwrap().len(), &page["findings"][0]["value"]), (32, &json!(null)));
    assert_eq!(rules(&place.read(OF_ACME).await), ["dormant_awakened", "volume", "new_location"]);
    // Those of an erased key stay.
    let path = format!("/v1/keys/{}", other["key_id"].as_str().unwrap());
    place.api.call(&place.api.operator, &format!("POST {path}/revoke"), None).await;
    assert_eq!(place.api.call(&place.api.operator, &format!("DELETE {path}"), None).await.status, 204);
    assert_eq!(rules(&place.read(OF_ACME).await).len(), 3);
    assert_problem(&place.ask(&place.api.operator, &of_key(&other)).await, 404, "not_found", "there is no such key");
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let place = Place::new().await;
    let key = place.key().await;
    for rule in Rule::ALL {
        place.find(&key, rule, None).await;
    }
    for path in [of_key(&key), OF_ACME.to_owned()] {
        let whole = place.read(&path).await;
        assert_eq!((rules(&whole).len(), &whole["next_cursor"]), (7, &json!(null)));
        let (mut read, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = place.read(&format!("{path}?limit=3{cursor}")).await;
            read.extend(page["findings"].as_array().unwrap().clone());
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(&json!(read), &whole["findings"]);
    }
}

#[tokio::test]
async fn a_parameter_that_cannot_be_is_named() {
    let place = Place::new().await;
    let key = place.key().await;
    for (query, word) in [
        ("limit=0", "limit: must be 1 to 1000"),
        ("limit=1001", "limit: must be 1 to 1000"),
        ("limit=many", "limit"),
        ("cursor=", "cursor: must be the next_cursor"),
        ("cursor=1.0", "cursor: must be the next_cursor"),
        ("rule=volume", "rule"),
    ] {
        for path in [of_key(&key), OF_ACME.to_owned()] {
            let refused = place.ask(&place.api.operator, &format!("{path}?{query}")).await;
            assert_problem(&refused, 422, "invalid_field", word);
        }
    }
}

#[tokio::test]
async fn a_tenant_reads_its_own_findings_alone() {
    let place = Place::new().await;
    let key = place.key().await;
    place.find(&key, Rule::Volume, None).await;
    let reader = place.api.tenant("acme", &["usage:read"], &[]).await;
    let foreigner = place.api.tenant("globex", &["**"], &["**"]).await;
    for path in [of_key(&key), OF_ACME.to_owned()] {
        assert_eq!(rules(&place.ask(&reader, &path).await.body), ["volume"]);
        assert_problem(&place.ask(&foreigner, &path).await, 404, "not_found", "there is no such");
    }
    let absent = place.ask(&foreigner, "/v1/organizations/nobody/anomalies").await;
    assert_eq!(place.ask(&foreigner, OF_ACME).await.text, absent.text);
    assert_eq!(place.ask(&foreigner, "/v1/organizations/globex/anomalies").await.body["findings"], json!([]));
}
