//! What the log says of refusals, and what it never says.

use http::Request;
use keygate_core::network::{Cidr, CidrSet};
use keygate_testkit::log::Log;
use keygate_tower::{ApiKeyLayer, RequireScope};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::support::{Deployment, scope, whose, with_headers, with_key};

#[tokio::test]
async fn refusals_are_logged_by_reason_and_key_id_and_never_with_what_was_sent() {
    let log = Log::begin();
    let deployment = Deployment::start().await;
    let (key, forgery) = (deployment.key().await, Deployment::forgery().await);
    let elsewhere = CidrSet::new([Cidr::new("192.0.2.0/24").unwrap()]).unwrap();
    let bound = deployment.key_with(|new| new.allowed_ips = Some(elsewhere)).await;
    let service = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(deployment.manager.clone()))
        .layer(RequireScope::new(scope("invoices:read")))
        .service_fn(whose);
    log.take();

    let bearer = format!("Bearer {key}");
    for (request, expected) in [
        (Request::new(()), "missing_key"),
        (with_key("canary\u{9}[31m"), "malformed_key"),
        (with_key(&forgery), "invalid_key"),
        (with_headers(&[("authorization", &bearer), ("x-api-key", &key)]), "multiple_credentials"),
        (with_key(&key), "scope_not_authorized"),
        (with_key(&bound), "address is not known"),
    ] {
        service.clone().oneshot(request).await.unwrap();
        let written = log.take();
        assert!(written.contains(expected), "{written}");
        for secret in [&*key, &*forgery, &*bound, "canary"] {
            assert!(!written.contains(secret), "the log shows what was sent");
        }
        if expected == "scope_not_authorized" {
            assert!(written.contains("key_id="), "{written}");
        }
    }

    let alone = RequireScope::new(scope("invoices:read")).layer(service_fn(whose));
    alone.oneshot(with_key(&key)).await.unwrap();
    assert!(log.take().contains("ApiKeyLayer is missing"));
}
