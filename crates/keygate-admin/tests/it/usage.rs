//! What keys were used for, as it is read.

use std::sync::Arc;
use std::time::Duration;

use keygate_core::denial::DenialReason;
use keygate_core::store::{MemoryStore, Store};
use keygate_core::usage::batch::{Batch, Delta, LastError, LastUse, Writer};
use keygate_core::usage::counts::Counts;
use keygate_core::usage::location::Location;
use keygate_core::usage::outcome::{Answered, Failure, Outcome};
use keygate_core::usage::period::{Hour, Month};
use keygate_core::usage::subject::Subject;
use keygate_testkit::HeldClock;
use serde_json::{Value, json};

use crate::support::{Answer, Api, assert_problem};

/// An API over a store whose counters the tests write, at 2026-01-01T00:00:00Z.
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
    async fn key(&self, asked: Value) -> Value {
        self.api.make(&self.api.operator, "acme", asked).await
    }

    /// Counts so many requests of a key now, the last of which was denied.
    async fn use_key(&self, key: &Value, requests: u64) {
        let now = self.clock.now();
        let id = key["key_id"].as_str().unwrap().parse().unwrap();
        let organization = key["organization_id"].as_str().unwrap().parse().unwrap();
        let user = Subject::User(organization, key["user_id"].as_str().unwrap().parse().unwrap());
        let organization = Subject::Organization(key["organization_id"].as_str().unwrap().parse().unwrap());
        let mut counts = Counts::default();
        counts.add_outcome(Outcome::Admitted, requests - 1);
        counts.add_outcome(Outcome::Denied(DenialReason::ScopeNotAuthorized), 1);
        counts.add_answer(Answered::Success, requests - 1);
        counts.add_endpoint(&"GET /reports".into(), requests);
        counts.add_location(Location::new("DE").ok(), requests);
        let address = "192.0.2.1".parse().ok();
        let delta = Delta {
            hours: [(Hour::of(now), counts)].into(),
            addresses: [(Month::of(now), address.into_iter().collect())].into(),
            last_use: Some(LastUse { at: now, address, location: Location::new("DE").ok() }),
            last_error: Some(LastError { at: now, failure: Failure::Denied(DenialReason::ScopeNotAuthorized) }),
            ..Delta::default()
        };
        let keys = [(Month::of(now), [(id, requests)].into())].into();
        let project = key["project_id"].as_str().map(|project| {
            Subject::Project(key["organization_id"].as_str().unwrap().parse().unwrap(), project.parse().unwrap())
        });
        let mut deltas = vec![
            (Subject::Key(id), delta.clone()),
            (user, delta.clone()),
            (organization, Delta { keys, ..delta.clone() }),
        ];
        deltas.extend(project.map(|project| (project, delta)));
        let writer = Writer(1);
        let mark = self.store.record_usage(0, writer, &[]).await.unwrap();
        let batch = Batch { after: mark, number: mark + 1, deltas };
        assert_eq!(self.store.record_usage(0, writer, &[Arc::new(batch)]).await.unwrap(), mark + 1);
    }

    async fn read(&self, path: &str) -> Value {
        let answer = self.api.call(&self.api.operator, &format!("GET {path}"), None).await;
        assert_eq!(answer.status, 200, "{path} {answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        answer.body
    }
}

fn of_key(key: &Value) -> String {
    format!("/v1/keys/{}/usage", key["key_id"].as_str().unwrap())
}

#[tokio::test]
async fn a_key_tells_what_it_was_used_for() {
    let place = Place::new().await;
    let key = place.key(json!({"user_id": "ada"})).await;
    place.use_key(&key, 5).await;
    place.clock.advance(Duration::from_secs(90 * 60));
    place.use_key(&key, 2).await;
    let report = place.read(&format!("{}?granularity=hour&from=2025-12-31T23:10:00Z", of_key(&key))).await;
    let share = |name: &str, requests: u64| json!([{"name": name, "requests": requests}]);
    let expected = json!({
        "organization_id": "acme", "key_id": key["key_id"], "granularity": "hour",
        "from": "2025-12-31T23:00:00Z", "to": "2026-01-01T02:00:00Z", "requests": 7,
        "series": [
            {"start": "2025-12-31T23:00:00Z", "requests": 0},
            {"start": "2026-01-01T00:00:00Z", "requests": 5},
            {"start": "2026-01-01T01:00:00Z", "requests": 2},
        ],
        "breakdown": {
            "from": "2025-12-31T00:00:00Z", "to": "2026-01-02T00:00:00Z", "requests": 7, "errors": 2,
            "by_outcome": [{"name": "admitted", "requests": 5}, {"name": "scope_not_authorized", "requests": 2}],
            "by_status": share("2xx", 5), "by_endpoint": share("GET /reports", 7), "by_location": share("DE", 7),
        },
        "addresses": [{"month": "2026-01-01T00:00:00Z", "addresses": 1}],
        "total": {
            "requests": 7, "errors": 2,
            "by_outcome": [{"name": "admitted", "requests": 5}, {"name": "scope_not_authorized", "requests": 2}],
            "by_status": share("2xx", 5),
        },
        "last_used": {"at": "2026-01-01T01:30:00Z", "address": "192.0.2.1", "location": "DE"},
        "last_error": {"at": "2026-01-01T01:30:00Z", "reason": "scope_not_authorized"},
    });
    assert_eq!(report, expected);
}

#[tokio::test]
async fn what_is_verified_and_what_passes_a_layer_is_counted() {
    let place = Place::new().await;
    let key = place.key(json!({"user_id": "ada", "scopes": []})).await;
    let text = key["key"].as_str().unwrap();
    let verify = async |endpoint: &str| {
        let question = json!({"key": text, "client_ip": "198.51.100.7", "endpoint": endpoint});
        let verified = place.api.call(&place.api.operator, "POST /v1/verify", Some(question)).await;
        assert_eq!(verified.body["valid"], true, "{verified:?}");
    };
    verify("GET /reports/{id}?page=2").await;
    // Nobody is to find a key among the figures.
    verify(&format!("GET /reports?key={text}")).await;
    verify(&format!("GET /reports/{text}/a")).await;
    let question = json!({"key": text, "scope": "reports:read"});
    let denied = place.api.call(&place.api.operator, "POST /v1/verify", Some(question)).await;
    assert_eq!(denied.body["reason"], "scope_not_authorized", "{denied:?}");
    assert_eq!(place.api.call(text, "GET /v1/self", None).await.status, 200);
    assert!(place.api.manager.flush_usage(Duration::from_secs(5)).await);
    for path in [of_key(&key), "/v1/organizations/acme/usage".to_owned()] {
        let report = place.read(&path).await;
        let outcomes = json!([
            {"name": "admitted", "requests": 4}, {"name": "scope_not_authorized", "requests": 1},
        ]);
        assert_eq!((&report["requests"], &report["total"]["by_outcome"]), (&json!(5), &outcomes), "{report}");
        let endpoints = report["breakdown"]["by_endpoint"].as_array().unwrap();
        for endpoint in ["GET /reports/{id}", "GET /reports"] {
            assert!(endpoints.contains(&json!({"name": endpoint, "requests": 1})), "{endpoint}: {report}");
        }
        assert!(!report.to_string().contains(&text[20..]), "{report}");
        assert_eq!(report["last_error"]["reason"], "scope_not_authorized");
    }
    let system = place.read("/v1/organizations/system/usage").await;
    assert!(system["requests"].as_u64() >= Some(5), "the operator's own calls are counted as well: {system}");
}

#[tokio::test]
async fn a_key_that_was_never_used_has_a_series_of_nothing() {
    let place = Place::new().await;
    let key = place.key(json!({"user_id": "ada"})).await;
    let report = place.read(&of_key(&key)).await;
    assert_eq!((&report["last_used"], &report["last_error"]), (&json!(null), &json!(null)));
    assert_eq!((&report["requests"], &report["granularity"]), (&json!(0), &json!("day")));
    assert_eq!(report["series"].as_array().unwrap().len(), 30);
    for (granularity, steps) in [("hour", 24), ("month", 12)] {
        let report = place.read(&format!("{}?granularity={granularity}", of_key(&key))).await;
        assert_eq!(report["series"].as_array().unwrap().len(), steps, "{granularity}");
    }
}

#[tokio::test]
async fn an_organization_is_all_its_keys_and_each_user_and_project_its_own() {
    let place = Place::new().await;
    let busy = place.key(json!({"user_id": "ada", "project_id": "web"})).await;
    let idle = place.key(json!({"user_id": "bob"})).await;
    place.use_key(&busy, 10).await;
    place.use_key(&idle, 3).await;
    let usage = "/v1/organizations/acme/usage";
    let all = place.read(usage).await;
    assert_eq!((&all["requests"], &all["organization_id"]), (&json!(13), &json!("acme")));
    let most_used = json!([
        {"key_id": busy["key_id"], "requests": 10}, {"key_id": idle["key_id"], "requests": 3},
    ]);
    assert_eq!(all["most_used"], most_used);
    for (query, field, requests) in [
        ("user_id=ada", "user_id", 10),
        ("user_id=bob", "user_id", 3),
        ("user_id=eve", "user_id", 0),
        ("project_id=web", "project_id", 10),
    ] {
        let part = place.read(&format!("{usage}?{query}&from=2026-01-01&to=2026-01-02")).await;
        assert_eq!(part["requests"], requests, "{query}");
        assert_eq!(part[field], query.split_once('=').unwrap().1);
        assert_eq!(part["series"].as_array().unwrap().len(), 1);
        assert!(part["most_used"].is_null() && part["key_id"].is_null());
    }
    let nobody = place.read("/v1/organizations/nobody/usage").await;
    assert_eq!((&nobody["requests"], &nobody["last_used"]), (&json!(0), &json!(null)));
}

#[tokio::test]
async fn a_parameter_that_cannot_be_is_named() {
    let place = Place::new().await;
    let key = place.key(json!({"user_id": "ada"})).await;
    for (query, word) in [
        ("from=yesterday", "from: must be a day"),
        ("from=2026-1-1", "from: must be a day"),
        ("from=", "from: must be a day"),
        ("to=2026-02-30", "to: must be a day"),
        ("to=1767225600", "to: must be a day"),
        // A + is a space.
        ("to=2026-01-01T00:00:00+01:00", "to: must be a day"),
        ("from=2026-01-01&from=2026-01-02", "from"),
        ("granularity=week", "granularity"),
        ("granularity=Day", "granularity"),
        ("by=day", "by"),
        ("from=2026-01-01&to=2026-01-01", "from must be before to"),
        ("from=2026-01-02&to=2026-01-01", "from must be before to"),
    ] {
        for path in [of_key(&key), "/v1/organizations/acme/usage".to_owned()] {
            let refused = place.api.call(&place.api.operator, &format!("GET {path}?{query}"), None).await;
            assert_problem(&refused, 422, "invalid_field", word);
        }
    }
    for (path, word) in [
        (format!("{}?user_id=ada", of_key(&key)), "user_id"),
        ("/v1/organizations/acme/usage?user_id=a%20b".to_owned(), "user_id"),
        ("/v1/organizations/acme/usage?project_id=".to_owned(), "project_id"),
        ("/v1/organizations/acme/usage?user_id=a&project_id=b".to_owned(), "project_id"),
        ("/v1/organizations/acme/usage?key_id=a".to_owned(), "key_id"),
    ] {
        let refused = place.api.call(&place.api.operator, &format!("GET {path}"), None).await;
        assert_problem(&refused, 422, "invalid_field", word);
    }
    let good = "from=2026-01-01T00:00:00%2B01:00&to=2026-01-02T00:00:00Z&granularity=day";
    assert_eq!(place.read(&format!("{}?{good}", of_key(&key))).await["from"], "2025-12-31T00:00:00Z");
}

#[tokio::test]
async fn a_tenant_reads_its_own_usage_alone() {
    let place = Place::new().await;
    let key = place.key(json!({"user_id": "ada"})).await;
    let reader = place.api.tenant("acme", &["usage:read"], &[]).await;
    let foreigner = place.api.tenant("globex", &["**"], &["**"]).await;
    let status =
        async |caller: &str, path: &str| -> Answer { place.api.call(caller, &format!("GET {path}"), None).await };
    for path in [of_key(&key), "/v1/organizations/acme/usage".to_owned()] {
        assert_eq!(status(&reader, &path).await.status, 200, "{path}");
        assert_problem(&status(&foreigner, &path).await, 404, "not_found", "there is no such");
    }
    let user = status(&foreigner, "/v1/organizations/acme/usage?user_id=ada").await;
    let absent = status(&foreigner, "/v1/organizations/nobody/usage?user_id=ada").await;
    assert_problem(&user, 404, "not_found", "there is no such");
    assert_eq!(user.text, absent.text);
}

#[tokio::test]
async fn keys_are_found_that_are_of_no_use() {
    let place = Place::new().await;
    let [used, unused, late] = ["used", "unused", "late"].map(|name| json!({"user_id": "ada", "name": name}));
    let used = place.key(used).await;
    place.clock.advance(Duration::from_secs(1));
    place.key(unused).await;
    place.clock.advance(Duration::from_secs(10 * 86_400));
    place.use_key(&used, 1).await;
    place.key(late).await;
    place.clock.advance(Duration::from_secs(5 * 86_400));
    for (days, expected) in
        [(1, &["late", "unused", "used"][..]), (5, &["late", "unused", "used"]), (6, &["unused"]), (16, &[])]
    {
        let page = place.read(&format!("/v1/organizations/acme/keys?unused_for_days={days}")).await;
        let names: Vec<_> = page["keys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{days}");
    }
}
