//! Readiness of the service within, and requests that are given up while their key is being checked.

use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http::{Request, Response};
use keygate_tower::ApiKeyLayer;
use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{Body, Deployment, whose, with_key};

/// A service that insists on being asked before it is called: a clone has to be asked again.
#[derive(Default)]
struct Strict {
    asked: bool,
    closed: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { asked: false, closed: Arc::clone(&self.closed), calls: Arc::clone(&self.calls) }
    }
}

impl Service<Request<()>> for Strict {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.closed.load(Ordering::SeqCst) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.asked = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        assert!(std::mem::take(&mut self.asked), "called without having been ready");
        self.calls.fetch_add(1, Ordering::SeqCst);
        ready(Ok(Response::default()))
    }
}

#[tokio::test]
async fn the_service_that_was_ready_is_the_one_that_is_called() {
    let deployment = Deployment::start().await;
    let (key, forgery) = (deployment.key().await, Deployment::forgery().await);
    let strict = Strict::default();
    let mut service = ApiKeyLayer::new(deployment.manager.clone()).optional().layer(strict.clone());
    for (request, status) in
        [(with_key(&key), 200), (with_key(&forgery), 401), (Request::new(()), 200), (with_key(&key), 200)]
    {
        assert_eq!(service.ready().await.unwrap().call(request).await.unwrap().status(), status);
    }
    assert_eq!(strict.calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn while_the_service_within_is_not_ready_neither_is_this_one() {
    let deployment = Deployment::start().await;
    let strict = Strict::default();
    strict.closed.store(true, Ordering::SeqCst);
    let mut service = ApiKeyLayer::new(deployment.manager.clone()).layer(strict.clone());
    let once = poll_fn(|cx| Poll::Ready(service.poll_ready(cx).is_ready())).await;
    assert!(!once);
    strict.closed.store(false, Ordering::SeqCst);
    service.ready().await.unwrap();
}

#[tokio::test]
async fn a_check_holds_its_place_and_giving_it_up_frees_it() {
    let deployment = Deployment::start().await;
    let key = deployment.key().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let inner = service_fn({
        let calls = Arc::clone(&calls);
        move |request: Request<()>| {
            calls.fetch_add(1, Ordering::SeqCst);
            whose(request)
        }
    });
    let mut service = ApiKeyLayer::new(deployment.manager.clone()).layer(ConcurrencyLimit::new(inner, 1));

    deployment.store.stall();
    deployment.store.reset_calls();
    let mut checking = Box::pin(service.ready().await.unwrap().call(with_key(&key)));
    assert!(poll_fn(|cx| Poll::Ready(checking.as_mut().poll(cx).is_pending())).await);
    assert_eq!(deployment.store.calls().load_record, 1);
    assert!(format!("{checking:?}").contains("checking"));
    let ready = poll_fn(|cx| Poll::Ready(service.poll_ready(cx).is_ready())).await;
    assert!(!ready, "the place is taken by the request whose key is being checked");

    drop(checking);
    deployment.store.heal();
    assert_eq!(service.ready().await.unwrap().call(with_key(&key)).await.unwrap().status(), 200);
    assert_eq!(calls.load(Ordering::SeqCst), 1, "the request that was given up never reached the service");
}

#[tokio::test]
async fn refusals_use_up_no_place() {
    let deployment = Deployment::start().await;
    let service = ApiKeyLayer::new(deployment.manager.clone()).layer(ConcurrencyLimit::new(service_fn(whose), 1));
    let (key, forgery) = (deployment.key().await, Deployment::forgery().await);
    let mut one = service.clone();
    for _ in 0..20 {
        assert_eq!(one.ready().await.unwrap().call(with_key(&forgery)).await.unwrap().status(), 401);
    }
    drop(one);
    assert_eq!(service.oneshot(with_key(&key)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn buffered_services_work_and_their_errors_pass_through() {
    let deployment = Deployment::start().await;
    let key = deployment.key().await;
    let buffered = Buffer::new(service_fn(whose::<()>), 1);
    let service = ApiKeyLayer::new(deployment.manager.clone()).layer(buffered);
    for _ in 0..10 {
        assert_eq!(service.clone().oneshot(with_key(&key)).await.unwrap().status(), 200);
    }

    let failing = service_fn(async |_: Request<()>| Err::<Response<Body>, _>(std::io::Error::other("mine")));
    let service = ApiKeyLayer::new(deployment.manager.clone()).layer(failing);
    assert_eq!(service.oneshot(with_key(&key)).await.unwrap_err().to_string(), "mine");
}
