//! What is told to the `metrics` facade of those that a proxy asks about. A program of its own: what becomes of requests is counted
//! for the whole process.
#![allow(clippy::unwrap_used, missing_docs)]

use axum::body::Body;
use http::{Request, StatusCode};
use keygate_core::actor::Operator;
use keygate_core::manager::{ApiKeyManager, NewKey};
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_core::store::MemoryStore;
use keygate_http::metrics::publish;
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::ServiceExt;

#[tokio::test]
async fn those_whom_it_lets_in_are_counted_as_those_whom_it_refuses() {
    let ring = SecretRing::new(&MasterSecret::generate().unwrap());
    let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build().unwrap();
    let new = NewKey::new("acme".parse().unwrap(), "bob".parse().unwrap());
    let key = manager.create(&Operator::named("test".parse().unwrap()).into(), new).await.unwrap();
    let api = keygate_admin::router(manager.clone());
    let ask = async |key: Option<&str>| {
        let mut request = Request::get("/v1/authorize");
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        api.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    };
    for _ in 0..2 {
        assert_eq!(ask(Some(key.text.expose())).await, StatusCode::OK);
    }
    assert_eq!(ask(None).await, StatusCode::UNAUTHORIZED);

    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || publish(&manager));
    let text = recorder.handle().render();
    for line in [
        r#"keygate_requests_total{outcome="admitted"} 2"#,
        r#"keygate_requests_total{outcome="missing_key"} 1"#,
        r#"keygate_answers_total{class="2xx"} 0"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
    }
}
