//! What the layer lets through, what it refuses, and what the service within sees.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderValue, Method, Request, Response};
use keygate_core::context::Admission;
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::names::Environment;
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::scope::ScopeSet;
use keygate_http::answer::Realm;
use keygate_http::client_address::TrustedProxies;
use keygate_http::credentials::CredentialSources;
use keygate_tower::{ApiKeyLayer, PeerAddress, ProblemRejection, Reject};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{Body, Deployment, reason, scope, text, whose, with_headers, with_key};

async fn ask<R: Reject<Body> + Clone>(layer: &ApiKeyLayer<R>, request: Request<()>) -> Response<Body> {
    layer.layer(service_fn(whose)).oneshot(request).await.unwrap()
}

#[tokio::test]
async fn a_key_is_let_in_from_every_accepted_place_and_its_owner_is_known() {
    let deployment = Deployment::start().await;
    let key = deployment.key().await;
    let sources =
        CredentialSources::default().cookie("acme").and_then(|sources| sources.query_parameter_danger("key")).unwrap();
    let layer = ApiKeyLayer::new(deployment.manager.clone()).credentials(sources);
    let in_query = Request::get(format!("/a?b=c&key={key}")).body(()).unwrap();
    for request in [
        with_headers(&[("authorization", &format!("bearer {key}"))]),
        with_key(&key),
        with_headers(&[("cookie", "a=b"), ("cookie", &format!("c=d; acme={key}"))]),
        in_query,
    ] {
        assert_eq!(text(ask(&layer, request).await).await, "ada");
    }
    assert_eq!(reason(&ask(&layer, Request::new(())).await), Some(DenialReason::MissingKey));
}

#[tokio::test]
async fn a_refusal_is_a_problem_response_that_carries_its_denial() {
    let deployment = Deployment::start().await;
    let layer = ApiKeyLayer::new(deployment.manager.clone()).realm(Realm::new("acme").unwrap());

    let response = ask(&layer, with_key("nonsense")).await;
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let challenge = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert!(challenge.starts_with("Bearer realm=\"acme\", error=\"invalid_token\""), "{challenge}");
    assert_eq!(reason(&response), Some(DenialReason::MalformedKey));
    let body: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(body["reason"], "malformed_key");

    let response = ask(&layer, Request::new(())).await;
    assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"acme\"");
}

#[tokio::test]
async fn forgeries_and_malformed_texts_never_reach_the_store() {
    let deployment = Deployment::start().await;
    let (layer, forgery) = (ApiKeyLayer::new(deployment.manager.clone()), Deployment::forgery().await);
    deployment.store.reset_calls();
    for text in [&*forgery, "", "mcp_dev_", &"x".repeat(5000)] {
        assert_eq!(ask(&layer, with_key(text)).await.status(), 401);
    }
    assert_eq!(deployment.store.calls().total(), 0);
}

#[tokio::test]
async fn a_key_beside_another_credential_is_refused_even_when_they_are_equal() {
    let deployment = Deployment::start().await;
    let key = deployment.key().await;
    let bearer = format!("Bearer {key}");
    let layer = ApiKeyLayer::new(deployment.manager.clone()).optional();
    for headers in [
        [("authorization", &*bearer), ("x-api-key", &*key)],
        [("authorization", &*bearer), ("authorization", "Basic YTpi")],
        [("x-api-key", &*key), ("x-api-key", &*key)],
    ] {
        let response = ask(&layer, with_headers(&headers)).await;
        assert_eq!(response.status(), 400);
        assert_eq!(reason(&response), Some(DenialReason::MultipleCredentials));
    }
}

#[tokio::test]
async fn one_spelling_is_accepted() {
    let deployment = Deployment::start().await;
    let key = deployment.key().await;
    let layer = ApiKeyLayer::new(deployment.manager.clone());
    let mut non_ascii = Request::new(());
    non_ascii.headers_mut().insert("x-api-key", HeaderValue::from_bytes(b"mcp_dev_\xff\xfe").unwrap());
    assert_eq!(reason(&ask(&layer, non_ascii).await), Some(DenialReason::MalformedKey));
    for other in [format!(" {key}"), format!("{key} "), format!("{key}="), key.to_uppercase(), format!("\"{key}\"")] {
        assert_eq!(ask(&layer, with_key(&other)).await.status(), 401, "a second spelling was accepted");
    }
}

#[tokio::test]
async fn without_a_key_an_optional_layer_passes_the_request_on_unmarked() {
    let deployment = Deployment::start().await;
    let layer = ApiKeyLayer::new(deployment.manager.clone()).optional();
    assert_eq!(text(ask(&layer, Request::new(())).await).await, "nobody");
    assert_eq!(text(ask(&layer, with_key(&deployment.key().await)).await).await, "ada");
    assert_eq!(ask(&layer, with_key("")).await.status(), 401);
    assert_eq!(ask(&layer, with_key(&Deployment::forgery().await)).await.status(), 401);
}

#[tokio::test]
async fn the_nearest_layers_word_counts() {
    let (outer, inner) = (Deployment::start().await, Deployment::start().await);
    let outer_key = outer.key().await;
    let inner_key = inner.key_with(|new| new.user = "grace".parse().unwrap()).await;
    let only = |name| CredentialSources::empty().header(name).unwrap();
    let service = ApiKeyLayer::new(outer.manager.clone()).credentials(only("x-outer")).layer(
        ApiKeyLayer::new(inner.manager.clone()).credentials(only("x-inner")).optional().layer(service_fn(whose)),
    );

    let both = with_headers(&[("x-outer", &outer_key), ("x-inner", &inner_key)]);
    assert_eq!(text(service.clone().oneshot(both).await.unwrap()).await, "grace");
    let one = with_headers(&[("x-outer", &outer_key)]);
    assert_eq!(text(service.oneshot(one).await.unwrap()).await, "nobody");
}

#[tokio::test]
async fn preflights_pass_only_when_they_are_allowed_and_are_preflights() {
    let deployment = Deployment::start().await;
    let (closed, open) =
        (ApiKeyLayer::new(deployment.manager.clone()), ApiKeyLayer::new(deployment.manager.clone()).allow_preflight());
    let preflight = |method| {
        let mut request = with_headers(&[("origin", "https://a.example"), ("access-control-request-method", "PUT")]);
        *request.method_mut() = method;
        request
    };
    assert_eq!(ask(&closed, preflight(Method::OPTIONS)).await.status(), 401);
    assert_eq!(text(ask(&open, preflight(Method::OPTIONS)).await).await, "nobody");
    assert_eq!(ask(&open, preflight(Method::POST)).await.status(), 401);
    let mut options = Request::new(());
    *options.method_mut() = Method::OPTIONS;
    assert_eq!(ask(&open, options).await.status(), 401);
}

#[tokio::test]
async fn every_required_scope_and_permission_is_required() {
    let deployment = Deployment::start().await;
    let key = deployment
        .key_with(|new| {
            new.scopes = Some(ScopeSet::parse(["reports:*"]).unwrap());
            new.permissions = ScopeSet::parse(["admin:read"]).unwrap();
        })
        .await;
    let layer = || ApiKeyLayer::new(deployment.manager.clone());

    let met = layer().require_scope(scope("reports:read")).require_scope(scope("reports:write"));
    let met = met.require_permission(scope("admin:read"));
    assert_eq!(ask(&met, with_key(&key)).await.status(), 200);

    let second = layer().require_scope(scope("reports:read")).require_scope(scope("invoices:read"));
    let response = ask(&second, with_key(&key)).await;
    assert_eq!((response.status().as_u16(), reason(&response)), (403, Some(DenialReason::ScopeNotAuthorized)));
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.ends_with("scope=\"invoices:read\""), "{challenge}");

    let permission = layer().require_permission(scope("admin:read")).require_permission(scope("admin:write"));
    assert_eq!(reason(&ask(&permission, with_key(&key)).await), Some(DenialReason::PermissionDenied));
}

#[tokio::test]
async fn the_layers_environment_counts_and_not_the_managers() {
    let deployment = Deployment::start().await;
    let key = deployment.key().await;
    let prod = ApiKeyLayer::new(deployment.manager.clone()).environment(Environment::new("prod").unwrap());
    assert_eq!(reason(&ask(&prod, with_key(&key)).await), Some(DenialReason::EnvironmentMismatch));
}

#[tokio::test]
async fn keys_bound_to_networks_are_judged_by_the_clients_address() {
    let deployment = Deployment::start().await;
    let networks = |text: &str| CidrSet::new([Cidr::new(text).unwrap()]).unwrap();
    let key = deployment.key_with(|new| new.allowed_ips = Some(networks("203.0.113.0/24"))).await;
    let layer = ApiKeyLayer::new(deployment.manager.clone());
    let behind = layer.clone().trusted_proxies(TrustedProxies::new(networks("10.0.0.0/8")));
    let request = |peer: Option<[u8; 4]>, forwarded: &str| {
        let mut request = with_headers(&[("x-api-key", &key), ("x-forwarded-for", forwarded)]);
        if let Some(peer) = peer {
            request.extensions_mut().insert(PeerAddress(SocketAddr::from((peer, 4711))));
        }
        request
    };
    assert_eq!(ask(&layer, request(Some([203, 0, 113, 7]), "192.0.2.1")).await.status(), 200);
    assert_eq!(ask(&layer, request(Some([10, 0, 0, 1]), "203.0.113.7")).await.status(), 403);
    assert_eq!(ask(&behind, request(Some([10, 0, 0, 1]), "192.0.2.1, 203.0.113.7")).await.status(), 200);
    assert_eq!(ask(&behind, request(Some([10, 0, 0, 1]), "203.0.113.7, 192.0.2.1")).await.status(), 403);
    let unknown = ask(&behind, request(None, "203.0.113.7")).await;
    assert_eq!(reason(&unknown), Some(DenialReason::IpNotAllowed));
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_503_with_retry_after() {
    let deployment = Deployment::start().await;
    let (layer, key) = (ApiKeyLayer::new(deployment.manager.clone()), deployment.key().await);
    deployment.store.fail();
    let response = ask(&layer, with_key(&key)).await;
    assert_eq!((response.status().as_u16(), reason(&response)), (503, Some(DenialReason::StoreUnavailable)));
    assert_eq!(response.headers()["retry-after"], "1");
}

#[tokio::test]
async fn what_is_passed_on_shows_no_credential_in_debug_output() {
    let deployment = Deployment::start().await;
    let key = deployment.key().await;
    let seen = Arc::new(Mutex::new(HeaderMap::new()));
    let layer = ApiKeyLayer::new(deployment.manager.clone())
        .credentials(CredentialSources::default().cookie("acme").unwrap())
        .optional();
    let service = layer.layer(service_fn({
        let seen = Arc::clone(&seen);
        move |request: Request<()>| {
            *seen.lock().unwrap() = request.headers().clone();
            whose(request)
        }
    }));
    for headers in [
        vec![("authorization", format!("Bearer {key}"))],
        vec![("x-api-key", key.clone()), ("authorization", "Basic canary".to_owned())],
        vec![("cookie", "session=canary".to_owned()), ("cookie", format!("acme={key}"))],
        vec![("authorization", "Basic canary".to_owned())],
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        let request = with_headers(&headers);
        assert_eq!(service.clone().oneshot(request).await.unwrap().status(), 200);
        let shown = format!("{:?}", seen.lock().unwrap());
        assert!(!shown.contains(&key) && !shown.contains("canary"), "{shown}");
        assert_eq!(seen.lock().unwrap().len(), headers.len());
    }
}

#[tokio::test]
async fn the_body_type_stays_open() {
    #[derive(Debug, PartialEq)]
    struct Mine(&'static str);

    let deployment = Deployment::start().await;
    let layer = ApiKeyLayer::new(deployment.manager.clone())
        .on_reject(|denial: &Denial, _| Response::builder().status(418).body(Mine(denial.reason().as_str())).unwrap());
    let service = layer.layer(service_fn(async |request: Request<Vec<u8>>| {
        assert!(request.extensions().get::<Admission>().is_some());
        Ok::<_, std::io::Error>(Response::new(Mine("handler")))
    }));
    let response = service.clone().oneshot(Request::new(Vec::new())).await.unwrap();
    assert_eq!(reason(&response), Some(DenialReason::MissingKey));
    assert_eq!(response.into_body(), Mine("missing_key"));

    let request = Request::builder().header("x-api-key", deployment.key().await).body(Vec::new()).unwrap();
    assert_eq!(service.oneshot(request).await.unwrap().into_body(), Mine("handler"));
}

#[test]
fn layers_and_services_can_be_sent_and_shared() {
    fn check<T: Clone + Send + Sync + 'static>() {}
    fn check_future<T: Send + 'static>() {}
    type Inner = tower::util::BoxCloneSyncService<Request<Body>, Response<Body>, std::io::Error>;
    check::<ApiKeyLayer>();
    check::<keygate_tower::ApiKeyService<Inner>>();
    check::<keygate_tower::RequireScope>();
    check::<keygate_tower::RequirePermission>();
    check::<keygate_tower::require::Require<Inner>>();
    check_future::<keygate_tower::api_key::ResponseFuture<Inner, ProblemRejection, Body>>();
}
