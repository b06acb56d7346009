//! What is counted of a request: its route, and how it was answered, given up or failed.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use http::{Request, Response};
use keygate_core::denial::DenialReason;
use keygate_core::limits::Limits;
use keygate_core::network::{Cidr, CidrSet};
use keygate_tower::{ApiKeyLayer, RequireScope};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::support::{Body, Deployment, reason, scope, shares, with_key};

/// Answers with the status that the path names, fails where it names none, and never answers `/never`.
async fn as_asked(request: Request<()>) -> Result<Response<Body>, &'static str> {
    let path = request.uri().path();
    if path == "/never" {
        pending::<()>().await;
    }
    assert!(path != "/panic", "of a test");
    let status: u16 = path[1..].parse().map_err(|_| "there is no answer")?;
    Ok(Response::builder().status(status).body(Body::default()).unwrap())
}

fn to(path: &str, key: &str) -> Request<()> {
    let mut request = with_key(key);
    *request.uri_mut() = path.parse().unwrap();
    request
}

async fn is_pending<F: Future + ?Sized>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[tokio::test]
async fn an_answer_is_counted_by_its_class_and_an_error_as_the_servers() {
    let deployment = Deployment::start().await;
    let key = deployment.key().await;
    let service = ApiKeyLayer::new(deployment.manager.clone()).layer(service_fn(as_asked));
    for status in [200, 201, 302, 404, 404, 500] {
        let response = service.clone().oneshot(to(&format!("/{status}"), &key)).await.unwrap();
        assert_eq!(response.status(), status);
    }
    service.clone().oneshot(to("/error", &key)).await.unwrap_err();
    // What catches the panic drops the future when it is over.
    tokio::spawn(service.oneshot(to("/panic", &key))).await.unwrap_err();
    let usage = deployment.usage(&key).await;
    assert_eq!(shares(&usage.by_status), [("5xx", 3), ("2xx", 2), ("4xx", 2), ("3xx", 1)]);
    assert_eq!(shares(&usage.by_outcome), [("admitted", 8)]);
}

#[tokio::test]
async fn a_request_that_is_given_up_is_cancelled_once_it_was_let_in_and_not_before() {
    let deployment = Deployment::start().await;
    // Without limits, of which the store might be asked.
    let unlimited = || deployment.key_with(|new| new.limits = Some(Limits::UNLIMITED));
    let (key, other) = (unlimited().await, unlimited().await);
    let service = ApiKeyLayer::new(deployment.manager.clone()).layer(service_fn(as_asked));
    service.clone().oneshot(to("/200", &key)).await.unwrap();
    // Of a key that is kept, with the service within called before anything is polled.
    drop(tower::Service::call(&mut service.clone(), to("/never", &key)));
    let mut answering = Box::pin(service.clone().oneshot(to("/never", &key)));
    assert!(is_pending(answering.as_mut()).await);
    drop(answering);

    deployment.store.stall();
    let mut checking = Box::pin(service.clone().oneshot(to("/never", &other)));
    assert!(is_pending(checking.as_mut()).await);
    drop(checking);
    deployment.store.heal();

    let usage = deployment.usage(&key).await;
    assert_eq!(shares(&usage.by_outcome), [("admitted", 3)]);
    assert_eq!(shares(&usage.by_status), [("cancelled", 2), ("2xx", 1)]);
    assert_eq!(deployment.usage(&other).await.requests, 0);

    // One that had to wait for the store, and is given up after that.
    let mut answering = Box::pin(service.oneshot(to("/never", &other)));
    while deployment.usage(&other).await.requests == 0 {
        assert!(is_pending(answering.as_mut()).await);
    }
    drop(answering);
    let usage = deployment.usage(&other).await;
    assert_eq!((usage.requests, shares(&usage.by_status)), (1, vec![("cancelled", 1)]));
}

#[tokio::test]
async fn a_denial_is_counted_by_its_reason_and_one_within_by_its_answer_alone() {
    let deployment = Deployment::start().await;
    let key = deployment.key().await;
    let bound = CidrSet::new([Cidr::new("192.0.2.0/24").unwrap()]).unwrap();
    let elsewhere = deployment.key_with(|new| new.allowed_ips = Some(bound)).await;
    let service = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(deployment.manager.clone()))
        .layer(RequireScope::new(scope("invoices:read")))
        .service_fn(as_asked);
    let response = service.clone().oneshot(to("/200", &key)).await.unwrap();
    assert_eq!(reason(&response), Some(DenialReason::ScopeNotAuthorized));
    let response = service.clone().oneshot(to("/200", &elsewhere)).await.unwrap();
    assert_eq!(reason(&response), Some(DenialReason::IpNotAllowed));
    for text in [&Deployment::forgery().await, "no key"] {
        service.clone().oneshot(to("/200", text)).await.unwrap();
    }

    let usage = deployment.usage(&key).await;
    assert_eq!((shares(&usage.by_outcome), shares(&usage.by_status)), (vec![("admitted", 1)], vec![("4xx", 1)]));
    let usage = deployment.usage(&elsewhere).await;
    assert_eq!((shares(&usage.by_outcome), shares(&usage.by_status)), (vec![("ip_not_allowed", 1)], vec![]));
    assert_eq!(deployment.manager.usage_statistics().forged, 2);
}

#[tokio::test]
async fn a_call_of_grpc_is_for_its_method_and_counted_by_its_own_status() {
    let deployment = Deployment::start().await;
    let key = deployment.key().await;
    let service = ApiKeyLayer::new(deployment.manager.clone()).layer(service_fn(async |request: Request<()>| {
        let code = request.headers().get("x-code").cloned();
        let response = code.into_iter().fold(Response::builder(), |r, code| r.header("grpc-status", code));
        Ok::<_, Infallible>(response.body(Body::default()).unwrap())
    }));
    let call = |content_type: &'static str, code: Option<&'static str>| {
        let mut request = to("/acme.Reports/List", &key);
        *request.method_mut() = http::Method::POST;
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
        code.into_iter().for_each(|code| drop(request.headers_mut().insert("x-code", code.parse().unwrap())));
        service.clone().oneshot(request)
    };
    for code in [None, Some("0"), Some("1"), Some("5"), Some("7"), Some("13")] {
        call("application/grpc+proto", code).await.unwrap();
    }
    // What is no call is none, whatever its response says.
    call("application/json", Some("13")).await.unwrap();
    let usage = deployment.usage(&key).await;
    assert_eq!(shares(&usage.by_endpoint), [("/acme.Reports/List", 6)]);
    assert_eq!(shares(&usage.by_status), [("2xx", 3), ("4xx", 2), ("5xx", 1), ("cancelled", 1)]);
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn behind_axum_a_request_is_for_the_route_it_matched() {
    use axum::Router;
    use axum::routing::{get, post};

    let deployment = Deployment::start().await;
    let key = deployment.key().await;
    let keys = ApiKeyLayer::new(deployment.manager.clone());
    let nested = Router::new().route("/{id}", get(async || "one")).layer(keys.clone());
    let router = Router::new()
        .route("/hello", get(async || "hello").layer(keys.clone()))
        .route("/upload", post(async || "done").layer(keys.clone()))
        .route("/acme.Reports/{*rest}", post(async || "called").layer(keys.clone()))
        .fallback_service(
            keys.layer(service_fn(async |_| Ok::<_, Infallible>(Response::<axum::body::Body>::default()))),
        )
        .nest("/reports", nested);
    let ask = |path: &str, method: &str| {
        let mut request = to(path, &key).map(|()| axum::body::Body::empty());
        *request.method_mut() = method.parse().unwrap();
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        router.clone().oneshot(request)
    };
    for path in ["/hello", "/reports/1", "/reports/2", "/reports/3", "/elsewhere"] {
        assert_eq!(ask(path, "GET").await.unwrap().status(), 200);
    }
    // Of routes that tonic made the method is the endpoint, and of no other, whatever the client says.
    for path in ["/acme.Reports/List", "/acme.Reports/List", "/upload"] {
        assert_eq!(ask(path, "POST").await.unwrap().status(), 200);
    }
    let usage = deployment.usage(&key).await;
    let expected = [("/reports/{id}", 3), ("/acme.Reports/List", 2), ("/hello", 1), ("/upload", 1)];
    assert_eq!((shares(&usage.by_endpoint), usage.requests), (expected.to_vec(), 8));
}

#[tokio::test]
async fn what_is_passed_without_a_key_is_not_counted_and_a_program_may_name_endpoints_and_places() {
    use keygate_core::usage::location::Location;

    let deployment = Deployment::start().await;
    let key = deployment.key().await;
    let layer = ApiKeyLayer::new(deployment.manager.clone())
        .optional()
        .endpoint(|asked| asked.path.split('/').nth(1))
        .location(|_: std::net::IpAddr| Location::new("lab").ok());
    let service = layer.layer(service_fn(as_asked));
    let mut request = to("/200", &key);
    request.extensions_mut().insert(keygate_tower::PeerAddress(([192, 0, 2, 1], 1).into()));
    service.clone().oneshot(request).await.unwrap();
    service.oneshot(Request::get("/200").body(()).unwrap()).await.unwrap();
    let usage = deployment.usage(&key).await;
    assert_eq!((shares(&usage.by_endpoint), shares(&usage.by_location)), (vec![("200", 1)], vec![("lab", 1)]));
    assert_eq!(deployment.manager.usage_statistics().told, 1);
}
