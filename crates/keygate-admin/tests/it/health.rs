//! Liveness and readiness: the truth about the store, asked for once however many want to know.

use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use keygate_admin::Admin;
use keygate_core::store::MemoryStore;
use keygate_testkit::FaultyStore;
use serde_json::{Value, json};

use crate::support::Api;

const READY: StatusCode = StatusCode::OK;
const NOT_READY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

async fn ready(api: &Api) -> (StatusCode, Value) {
    let answer = api.call("", "GET /readyz", None).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    (answer.status, answer.body)
}

/// What was found out is given again for a second.
async fn a_second_later() {
    tokio::time::sleep(Duration::from_millis(1001)).await;
}

#[tokio::test]
async fn a_process_that_answers_is_alive_whatever_its_store_does() {
    let store = FaultyStore::new(MemoryStore::new());
    let api = Api::over(store.clone()).await;
    store.fail();
    let answer = api.call("", "GET /healthz", None).await;
    assert_eq!((answer.status.as_u16(), answer.body), (200, json!({"status": "ok"})));
    assert_eq!(api.call("", "HEAD /healthz", None).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn readiness_follows_the_store() {
    let store = FaultyStore::new(MemoryStore::new());
    let api = Api::over(store.clone()).await;
    let (status, body) = ready(&api).await;
    assert_eq!(status, READY, "{body}");
    let expected = json!({
        "ready": true,
        "store": {"reachable": true, "what": "memory"},
        "deployment": "confirmed",
        "coherence": api.manager.coherence().as_str(),
        "ending": false,
    });
    assert_eq!(body, expected);

    store.fail();
    a_second_later().await;
    let (status, body) = ready(&api).await;
    assert_eq!(status, NOT_READY);
    assert_eq!(
        (&body["ready"], &body["store"]["reachable"], &body["deployment"]),
        (&json!(false), &json!(false), &json!("unknown"))
    );

    store.heal();
    a_second_later().await;
    assert_eq!(ready(&api).await.0, READY);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_emptied_is_reached_and_not_ready() {
    let memory = MemoryStore::new();
    let api = Api::over(memory.clone()).await;
    memory.wipe();
    let (status, body) = ready(&api).await;
    assert_eq!(status, NOT_READY);
    assert_eq!((&body["store"]["reachable"], &body["deployment"]), (&json!(true), &json!("emptied")));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stalls_is_given_up_before_a_probe_would() {
    let store = FaultyStore::new(MemoryStore::new());
    let api = Api::over(store.clone()).await;
    store.stall();
    let begun = tokio::time::Instant::now();
    assert_eq!(ready(&api).await.0, NOT_READY);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    store.heal();
    assert_eq!(ready(&api).await.0, NOT_READY, "as of a second ago");
    a_second_later().await;
    assert_eq!(ready(&api).await.0, READY);
}

#[tokio::test(start_paused = true)]
async fn however_many_ask_the_store_is_asked_once_a_second() {
    let store = FaultyStore::new(MemoryStore::new());
    let api = Api::over(store.clone()).await;
    // What was written of the operator's key is sealed now, and not in the middle of this.
    api.manager.leave().await;
    let before = store.calls().total();
    for second in 1..=3 {
        let all = join_all((0..100).map(|_| ready(&api))).await;
        assert!(all.iter().all(|(status, _)| *status == READY));
        assert_eq!(store.calls().total() - before, second);
        a_second_later().await;
    }
    // Whoever looks at the figures or at the console shares the answer.
    assert_eq!(ready(&api).await.0, READY);
    api.call("", "GET /metrics", None).await;
    api.call("", "GET /", None).await;
    assert_eq!(store.calls().total() - before, 4);
}

#[tokio::test]
async fn a_server_that_is_about_to_end_is_not_ready_and_answers_all_the_same() {
    let api = Api::new().await;
    let admin = Admin::new(api.manager.clone());
    let ending = admin.ending();
    let api = Api { router: admin.router(), ..api };
    assert_eq!(ready(&api).await.0, READY);
    ending.begin();
    let (status, body) = ready(&api).await;
    assert_eq!(status, NOT_READY);
    assert_eq!(
        (&body["ready"], &body["ending"], &body["deployment"]),
        (&json!(false), &json!(true), &json!("confirmed"))
    );
    assert_eq!(api.call("", "GET /healthz", None).await.status, 200);
    assert_eq!(api.call(&api.operator, "GET /v1/organizations/acme", None).await.status, 200);
}
