//! What a request costs, what its response tells of limits, and what is given back.

use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use keygate_core::denial::DenialReason;
use keygate_core::limits::Limits;
use keygate_tower::{Admission, ApiKeyLayer, Cost, RequireScope};
use tower::util::BoxCloneService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::support::{self, Body, Deployment, reason, scope, whose, with_headers, with_key};

/// A month's limit: no test is so slow that it turns more than once in a while.
fn a_month(limit: u64) -> Limits {
    Limits { per_month: Some(limit), ..Limits::UNLIMITED }
}

async fn limited(deployment: &Deployment, limit: u64) -> String {
    deployment.key_with(|new| new.limits = Some(a_month(limit))).await
}

/// What is left, as the response tells.
fn left<B>(response: &Response<B>) -> Option<u64> {
    let field = response.headers().get("ratelimit")?.to_str().unwrap();
    Some(field.strip_prefix("\"month\";r=").unwrap().split_once(';').unwrap().0.parse().unwrap())
}

#[tokio::test]
async fn a_response_tells_of_limits_where_the_key_has_any_and_the_layer_tells() {
    let deployment = Deployment::start().await;
    let layer = ApiKeyLayer::new(deployment.manager.clone());
    let (service, silent) =
        (layer.clone().layer(service_fn(whose)), layer.rate_limit_headers(false).layer(service_fn(whose)));
    let key = limited(&deployment, 10).await;
    // The first time the store is asked for the key, the second time it is kept.
    for expected in [9, 8] {
        let response = service.clone().oneshot(with_key(&key)).await.unwrap();
        assert_eq!(left(&response), Some(expected));
        assert_eq!(response.headers()["ratelimit-policy"], "\"month\";q=10;w=2592000");
    }
    for (service, key) in
        [(silent, key), (service, deployment.key_with(|new| new.limits = Some(Limits::UNLIMITED)).await)]
    {
        let response = service.oneshot(with_key(&key)).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.headers().is_empty(), "{:?}", response.headers());
    }
}

#[tokio::test]
async fn a_service_that_tells_of_limits_itself_is_left_its_word() {
    let deployment = Deployment::start().await;
    let key = limited(&deployment, 10).await;
    for name in ["ratelimit", "ratelimit-policy"] {
        let service = ApiKeyLayer::new(deployment.manager.clone()).layer(service_fn(move |_: Request<()>| {
            ready(Response::builder().header(name, "\"mine\"").body(Body::default()))
        }));
        let response = service.oneshot(with_key(&key)).await.unwrap();
        assert_eq!(response.headers().len(), 1, "{:?}", response.headers());
        assert_eq!(response.headers()[name], "\"mine\"");
    }
}

#[tokio::test]
async fn requests_cost_what_the_layer_says_of_them_and_routes_what_they_say() {
    let deployment = Deployment::start().await;
    let key = limited(&deployment, 100).await;
    let layer = ApiKeyLayer::new(deployment.manager.clone()).cost(|asked| match (asked.method, asked.path) {
        ("GET", "/free") => 0,
        ("POST", _) => 20,
        _ => 2,
    });
    let ask = async |cost: Option<u64>, method: Method, path: &'static str| {
        let mut request = with_key(&key);
        (*request.method_mut(), *request.uri_mut()) = (method, path.parse().unwrap());
        let response = match cost {
            None => layer.layer(service_fn(whose)).oneshot(request).await.unwrap(),
            Some(cost) => layer.layer(Cost::new(cost).layer(service_fn(whose))).oneshot(request).await.unwrap(),
        };
        assert_eq!(response.status(), 200);
        left(&response).unwrap()
    };
    assert_eq!(ask(None, Method::POST, "/").await, 80);
    assert_eq!(ask(None, Method::GET, "/").await, 78);
    assert_eq!(ask(None, Method::GET, "/free").await, 78);
    assert_eq!(ask(Some(30), Method::GET, "/").await, 48);
    assert_eq!(ask(Some(1), Method::POST, "/").await, 47);
    assert_eq!(ask(Some(0), Method::POST, "/").await, 47);
}

#[tokio::test]
async fn denials_within_burn_nothing() {
    let deployment = Deployment::start().await;
    let key = limited(&deployment, 10).await;
    let layer = || ApiKeyLayer::new(deployment.manager.clone());
    let ask = async |inner: BoxCloneService<Request<()>, Response<Body>, Infallible>| {
        let response = layer().layer(inner).oneshot(with_key(&key)).await.unwrap();
        (reason(&response), left(&response))
    };
    let required = RequireScope::new(scope("reports:write")).layer(service_fn(whose));
    let required = BoxCloneService::new(required);
    assert_eq!(ask(required).await, (Some(DenialReason::ScopeNotAuthorized), Some(10)));

    let required = Cost::new(5).layer(RequireScope::new(scope("reports:write")).layer(service_fn(whose)));
    let required = BoxCloneService::new(required);
    assert_eq!(ask(required).await, (Some(DenialReason::ScopeNotAuthorized), Some(10)));

    // Its own word: nothing is left of what it would cost, though something is.
    let costly = BoxCloneService::new(Cost::new(100).layer(service_fn(whose)));
    let response = layer().layer(costly).oneshot(with_key(&key)).await.unwrap();
    assert_eq!((response.status().as_u16(), reason(&response)), (429, Some(DenialReason::RateLimitExceeded)));
    assert_eq!(response.headers()["ratelimit"], "\"month\";r=0");

    // A layer of its own within, which has not the last word on what the outer one charged.
    let nested = layer().require_scope(scope("reports:write")).layer(service_fn(whose));
    let nested = BoxCloneService::new(nested);
    assert_eq!(ask(nested).await, (Some(DenialReason::ScopeNotAuthorized), Some(10)));
    assert_eq!(ask(BoxCloneService::new(service_fn(whose))).await, (None, Some(9)));
}

#[tokio::test]
async fn who_has_no_key_costs_nothing_and_without_an_outer_layer_nobody_gets_in() {
    let deployment = Deployment::start().await;
    let service = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(deployment.manager.clone()).optional().allow_preflight())
        .layer(Cost::new(10))
        .service_fn(whose);
    assert_eq!(service.clone().oneshot(Request::new(())).await.unwrap().status(), 200);
    let mut preflight = with_headers(&[("origin", "null"), ("access-control-request-method", "GET")]);
    *preflight.method_mut() = Method::OPTIONS;
    assert_eq!(service.oneshot(preflight).await.unwrap().status(), 200);

    let service = Cost::new(10).layer(service_fn(whose));
    let response = service.oneshot(with_key(&deployment.key().await)).await.unwrap();
    assert_eq!((response.status().as_u16(), reason(&response)), (401, Some(DenialReason::MissingKey)));
}

#[tokio::test]
async fn a_refusal_can_be_written_by_the_user_and_tells_of_no_limits_where_it_is_told_so() {
    let deployment = Deployment::start().await;
    let key = limited(&deployment, 10).await;
    let told = async |cost: Cost| {
        let cost = cost.on_reject(|denial, answer| {
            let told = answer.header("ratelimit-policy").is_some();
            Response::new(Body::from(format!("{} {told}", denial.reason())))
        });
        let service = ApiKeyLayer::new(deployment.manager.clone()).layer(cost.layer(service_fn(whose)));
        support::text(service.oneshot(with_key(&key)).await.unwrap()).await
    };
    assert_eq!(told(Cost::new(100)).await, "rate_limit_exceeded true");
    assert_eq!(told(Cost::new(100).rate_limit_headers(false)).await, "rate_limit_exceeded false");
}

/// A service that insists on being asked before it is called, and counts its calls and what they cost.
#[derive(Default)]
struct Strict {
    asked: bool,
    calls: Arc<AtomicUsize>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { asked: false, calls: Arc::clone(&self.calls) }
    }
}

impl Service<Request<()>> for Strict {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.asked = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        assert!(std::mem::take(&mut self.asked), "called without having been ready");
        self.calls.fetch_add(1, Ordering::SeqCst);
        let cost = request.extensions().get::<Admission>().map_or(0, Admission::cost);
        ready(Ok(Response::new(Body::from(cost.to_string()))))
    }
}

async fn is_pending<F: Future + ?Sized>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[tokio::test]
async fn a_cost_for_which_the_store_is_asked_is_waited_for_and_may_be_given_up() {
    let deployment = Deployment::start().await;
    let (key, strict) = (limited(&deployment, 1_000_000).await, Strict::default());
    // Used so far that some of the limit is held here.
    let outer = ApiKeyLayer::new(deployment.manager.clone());
    for _ in 0..3 {
        outer.layer(service_fn(whose)).oneshot(with_key(&key)).await.unwrap();
    }
    let mut service = outer.layer(Cost::new(100_000).layer(strict.clone()));

    deployment.store.stall();
    deployment.store.reset_calls();
    let mut charging = Box::pin(service.ready().await.unwrap().call(with_key(&key)));
    assert!(is_pending(charging.as_mut()).await);
    assert_eq!(deployment.store.calls().lease, 1);
    drop(charging);
    assert_eq!(strict.calls.load(Ordering::SeqCst), 0);

    let mut charging = Box::pin(service.ready().await.unwrap().call(with_key(&key)));
    assert!(is_pending(charging.as_mut()).await);
    deployment.store.heal();
    let response = charging.await.unwrap();
    // At least: what the request that was given up asked for may have been granted.
    assert!(left(&response).unwrap() <= 900_000, "{:?}", left(&response));
    assert_eq!(support::text(response).await, "100000");
    assert_eq!(strict.calls.load(Ordering::SeqCst), 1);

    // A service that is used twice over.
    assert_eq!(service.ready().await.unwrap().call(with_key(&key)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_cost_for_which_the_store_cannot_be_asked_is_trouble_and_not_a_limit() {
    let deployment = Deployment::start().await;
    let key = limited(&deployment, 1_000_000).await;
    let layer = ApiKeyLayer::new(deployment.manager.clone());
    for _ in 0..3 {
        layer.layer(service_fn(whose)).oneshot(with_key(&key)).await.unwrap();
    }
    deployment.store.fail();
    let service = layer.layer(Cost::new(100_000).layer(service_fn(whose)));
    let response = service.oneshot(with_key(&key)).await.unwrap();
    assert_eq!((response.status().as_u16(), reason(&response)), (503, Some(DenialReason::StoreUnavailable)));
}
