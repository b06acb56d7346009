//! What a request may take, and what is answered where it is too much.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use keygate_core::clock::Clock;
use keygate_core::store::MemoryStore;
use keygate_testkit::FaultyStore;
use serde_json::json;

use crate::support::{Answer, Api};

const SHOW: &str = "GET /v1/organizations/acme";

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, reason: &str) {
    assert_eq!((answer.status.as_u16(), answer.reason()), (status, reason), "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.body["status"], status);
    assert!(!answer.header("x-request-id").is_empty());
}

#[tokio::test]
async fn a_body_may_have_a_quarter_of_a_mebibyte_unless_told_otherwise() {
    let api = Api::new().await;
    let padded = |length: usize| json!({"organization_id": "acme", "max_keys": 1}).to_string() + &" ".repeat(length);
    let send = async |api: &Api, length| {
        api.raw(&api.operator, "POST /v1/organizations", &[("Content-Type", "application/json")], padded(length)).await
    };
    assert_problem(&send(&api, 256 * 1024).await, 413, "body_too_large");
    assert_eq!(send(&api, 200 * 1024).await.status, 201);
    let api = Api::built(MemoryStore::new(), |admin| admin.body_limit(100)).await;
    assert_problem(&send(&api, 100).await, 413, "body_too_large");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_given_up() {
    let store = FaultyStore::new(MemoryStore::new());
    let api = Api::built(store.clone(), |admin| admin.time_limit(Duration::from_secs(3))).await;
    assert_eq!(api.call(&api.operator, SHOW, None).await.status, 200);
    store.stall();
    let begun = tokio::time::Instant::now();
    let answer = api.call(&api.operator, SHOW, None).await;
    assert_problem(&answer, 504, "timed_out");
    assert!((3.0..3.1).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
    store.heal();
    assert_eq!(api.call(&api.operator, SHOW, None).await.status, 200);
}

/// To nginx, whatever is not 200 or 401 is 403, and so is this.
#[tokio::test(start_paused = true)]
async fn nginx_understands_a_limit_too() {
    let store = FaultyStore::new(MemoryStore::new());
    let api = Api::over(store.clone()).await;
    store.stall();
    let answer = api.call(&api.operator, "GET /v1/authorize?nginx=1", None).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-keygate-status")), (403, "504"), "{answer:?}");
    let answer = api.call(&api.operator, "GET /v1/authorize", None).await;
    assert_problem(&answer, 504, "timed_out");
}

#[tokio::test]
async fn one_request_too_many_is_refused_at_once_and_health_is_answered() {
    let store = FaultyStore::new(MemoryStore::new());
    let api = Arc::new(Api::built(store.clone(), |admin| admin.at_once(2)).await);
    assert_eq!(api.call(&api.operator, SHOW, None).await.status, 200);
    store.stall();
    let calls = store.calls().total();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let api = Arc::clone(&api);
            tokio::spawn(async move { api.call(&api.operator, SHOW, None).await })
        })
        .collect();
    while store.calls().total() < calls + 2 {
        tokio::task::yield_now().await;
    }
    // The limit is one for all routes together.
    for call in [SHOW, "POST /v1/organizations", "GET /openapi.json"] {
        let refused = api.call(&api.operator, call, None).await;
        assert_problem(&refused, 503, "busy");
        assert_eq!(refused.header("retry-after"), "1");
    }
    assert_eq!(api.call("", "GET /healthz", None).await.status, 200);
    assert_eq!(api.call("", "GET /readyz", None).await.status, 503, "the store stands still");
    let figures = api.call("", "GET /metrics", None).await;
    assert!(figures.text.contains("keygate_http_requests_shed_total 3\n"), "{}", figures.text);
    store.heal();
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().status, 200);
    }
    assert_eq!(api.call(&api.operator, SHOW, None).await.status, 200, "there is room again");
}

/// A clock that is somebody's fault.
#[derive(Debug, Clone, Default)]
struct Fuse(Arc<AtomicBool>);

impl Clock for Fuse {
    fn now(&self) -> DateTime<Utc> {
        assert!(!self.0.load(Ordering::SeqCst), "the secret is hunter2");
        Utc::now()
    }
}

#[tokio::test]
async fn a_call_that_panics_is_answered_and_tells_nothing() {
    let fuse = Fuse::default();
    let api = Api::with(MemoryStore::new(), fuse.clone()).await;
    assert_eq!(api.call(&api.operator, SHOW, None).await.status, 200);
    fuse.0.store(true, Ordering::SeqCst);
    let answer = api.call(&api.operator, "POST /v1/organizations", Some(json!({"organization_id": "acme"}))).await;
    assert_problem(&answer, 500, "internal");
    assert!(!answer.text.contains("hunter2"), "{answer:?}");
    fuse.0.store(false, Ordering::SeqCst);
    assert_eq!(api.call(&api.operator, SHOW, None).await.status, 200);
}
