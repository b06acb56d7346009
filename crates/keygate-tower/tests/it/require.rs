//! What a part of a service needs of the key.

use http::{Method, Request};
use keygate_core::denial::DenialReason;
use keygate_core::scope::ScopeSet;
use keygate_http::answer::Realm;
use keygate_tower::{ApiKeyLayer, RequirePermission, RequireScope};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::support::{Deployment, reason, scope, whose, with_headers, with_key};

#[tokio::test]
async fn a_key_needs_what_the_inner_layers_require() {
    let deployment = Deployment::start().await;
    let reader = deployment.key().await;
    let admin = deployment
        .key_with(|new| {
            new.scopes = Some(ScopeSet::parse(["reports:**"]).unwrap());
            new.permissions = ScopeSet::parse(["admin:**"]).unwrap();
        })
        .await;
    let service = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(deployment.manager.clone()))
        .layer(RequireScope::new(scope("reports:read")).realm(Realm::new("reports").unwrap()))
        .layer(RequirePermission::new(scope("admin:write")))
        .service_fn(whose);

    assert_eq!(service.clone().oneshot(with_key(&admin)).await.unwrap().status(), 200);
    let response = service.clone().oneshot(with_key(&reader)).await.unwrap();
    assert_eq!((response.status().as_u16(), reason(&response)), (403, Some(DenialReason::PermissionDenied)));

    let none = deployment.key_with(|new| new.scopes = Some(ScopeSet::empty())).await;
    let response = service.oneshot(with_key(&none)).await.unwrap();
    assert_eq!(reason(&response), Some(DenialReason::ScopeNotAuthorized));
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.starts_with("Bearer realm=\"reports\", error=\"insufficient_scope\""), "{challenge}");
}

#[tokio::test]
async fn without_an_outer_layer_nobody_gets_in() {
    let deployment = Deployment::start().await;
    let service = RequireScope::new(scope("reports:read")).layer(service_fn(whose));
    let response = service.oneshot(with_key(&deployment.key().await)).await.unwrap();
    assert_eq!((response.status().as_u16(), reason(&response)), (401, Some(DenialReason::MissingKey)));
}

#[tokio::test]
async fn an_optional_layer_does_not_open_what_requires_a_scope_and_preflights_reach_their_answer() {
    let deployment = Deployment::start().await;
    let service = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(deployment.manager.clone()).optional().allow_preflight())
        .layer(RequireScope::new(scope("reports:read")))
        .service_fn(whose);
    assert_eq!(service.clone().oneshot(Request::new(())).await.unwrap().status(), 401);
    let mut preflight = with_headers(&[("origin", "null"), ("access-control-request-method", "GET")]);
    *preflight.method_mut() = Method::OPTIONS;
    assert_eq!(service.oneshot(preflight).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_refusal_can_be_written_by_the_user() {
    let layer = RequireScope::new(scope("a")).on_reject(|denial, answer| {
        http::Response::builder().status(answer.status).body(denial.reason().to_string()).unwrap()
    });
    let service = layer.layer(service_fn(async |_: Request<()>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    }));
    assert_eq!(service.oneshot(Request::new(())).await.unwrap().into_body(), "missing_key");
}
