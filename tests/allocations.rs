//! What a request that is decided from what is kept costs in memory, and that it is decided within `call`.
//!
//! A counting allocator counts what the thread of the test allocates; growing an allocation counts as another one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use actix_web::dev::{Service as _, ServiceRequest, ServiceResponse, Transform as _};
use actix_web::{App, HttpResponse, web};
use allocation_counter::measure;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use keygate::actix::ApiKeyTransform;
use keygate::actor::{Actor, Operator};
use keygate::context::RequestContext;
use keygate::denial::DenialReason;
use keygate::limits::Limits;
use keygate::manager::{ApiKeyManager, Attempt, NewKey};
use keygate::names::PrincipalId;
use keygate::network::{Cidr, CidrSet};
use keygate::ring::{MasterSecret, SecretRing};
use keygate::scope::{Scope, ScopeSet};
use keygate::store::MemoryStore;
use keygate::tower::{Admission, ApiKeyLayer, Cost, PeerAddress};
use keygate::usage::location::Location;
use keygate_testkit::{FaultyStore, HeldClock};
use tower::util::{MapRequestLayer, MapResponseLayer};
use tower::{Layer, Service};

/// How often each thing is counted. Every one of them must keep to the budget.
const TIMES: usize = 100;

const CLIENT: &str = "192.0.2.7";
const PROXY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 4711);

fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("nothing here waits"),
    }
}

/// The most and the least that `run` allocates, of many runs. `prepare` is not counted.
fn allocations<T, U>(mut prepare: impl FnMut() -> T, mut run: impl FnMut(T) -> U) -> (u64, u64) {
    let mut counts = (0..=TIMES).map(|_| {
        let (prepared, mut outcome) = (prepare(), None);
        let count = measure(|| outcome = Some(run(prepared))).count_total;
        // What comes out may be large; it is dropped here so that its drop is nobody's cost.
        drop(outcome);
        count
    });
    // The first run finds what a process or a thread makes once.
    counts.next();
    let counts: Vec<u64> = counts.collect();
    (*counts.iter().min().unwrap(), *counts.iter().max().unwrap())
}

/// A manager that has seen its key before, and a forged one.
struct Deployment {
    store: FaultyStore,
    manager: ApiKeyManager,
    key: String,
    forged: String,
}

fn operator() -> Actor {
    Operator::named(PrincipalId::new("test").unwrap()).into()
}

/// Every check has something to look at.
fn new_key(limits: Limits) -> NewKey {
    let mut new = NewKey::new("acme".parse().unwrap(), "ada".parse().unwrap());
    new.project = Some("rockets".parse().unwrap());
    new.scopes = Some(ScopeSet::parse(["files:read", "files:write", "tools:*"]).unwrap());
    new.permissions = ScopeSet::parse(["admin:*"]).unwrap();
    new.allowed_ips = Some(CidrSet::new([Cidr::new("192.0.2.0/24").unwrap()]).unwrap());
    new.limits = Some(limits);
    new
}

fn context() -> RequestContext {
    let scope = Scope::new("tools:run").unwrap();
    let permission = Scope::new("admin:read").unwrap();
    RequestContext::new().from_address(CLIENT.parse().unwrap()).needing_scope(scope).needing_permission(permission)
}

/// Of a key without limits.
fn deployment() -> Deployment {
    deployment_of(Limits::UNLIMITED)
}

/// Of a key with limits, of which so much is held that no request of the test has to ask for more.
fn limited_deployment() -> Deployment {
    let most = Some(1_000_000_000);
    let limits = Limits { per_minute: most, per_hour: most, per_day: most, ..Limits::UNLIMITED };
    let deployment = deployment_of(limits);
    // Who has used so much a moment ago is granted as much beyond what it asks for.
    for cost in [1_000_000, 1] {
        now(deployment.manager.validate(&deployment.key, &context().costing(cost))).unwrap();
    }
    deployment.store.reset_calls();
    deployment
}

fn deployment_of(limits: Limits) -> Deployment {
    // The first moment of a minute, and no minute ends before the test does.
    let clock = HeldClock::new();
    let make = |store: FaultyStore| {
        let ring = SecretRing::new(&MasterSecret::generate().unwrap());
        let manager = ApiKeyManager::builder(store, ring).clock(clock.clone()).build().unwrap();
        let key = now(manager.create(&operator(), new_key(limits))).unwrap().text.expose().to_owned();
        (manager, key)
    };
    let store = || FaultyStore::new(MemoryStore::with_clock(clock.clone()));
    let (kept, other) = (store(), store());
    let (manager, key) = make(kept.clone());
    let (_, forged) = make(other);
    now(manager.validate(&key, &context())).unwrap();
    kept.reset_calls();
    Deployment { store: kept, manager, key, forged }
}

fn layer(manager: &ApiKeyManager) -> ApiKeyLayer {
    ApiKeyLayer::new(manager.clone())
        .trusted_proxies(CidrSet::new([Cidr::new("10.0.0.0/8").unwrap()]).unwrap())
        .require_scope(Scope::new("tools:run").unwrap())
        .require_permission(Scope::new("admin:read").unwrap())
}

fn transform(manager: &ApiKeyManager) -> ApiKeyTransform {
    ApiKeyTransform::new(manager.clone())
        .trusted_proxies(CidrSet::new([Cidr::new("10.0.0.0/8").unwrap()]).unwrap())
        .require_scope(Scope::new("tools:run").unwrap())
        .require_permission(Scope::new("admin:read").unwrap())
}

/// As a client behind a proxy sends it.
fn headers(key: &str) -> [(&'static str, String); 5] {
    [
        ("host", "api.example".to_owned()),
        ("user-agent", "a test".to_owned()),
        ("accept", "*/*".to_owned()),
        ("x-forwarded-for", format!("198.51.100.1, {CLIENT}")),
        ("x-api-key", key.to_owned()),
    ]
}

fn request(key: &str) -> Request<Body> {
    let request = headers(key).into_iter().fold(Request::get("/hello"), |r, (name, value)| r.header(name, value));
    request.body(Body::empty()).unwrap()
}

/// Answers at once, and allocates nothing.
#[derive(Clone, Default)]
struct Hello {
    called: Rc<Cell<u32>>,
}

impl Service<Request<Body>> for Hello {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        assert_eq!(request.extensions().get::<Admission>().map(|admission| admission.user.as_str()), Some("ada"));
        self.called.set(self.called.get() + 1);
        ready(Ok(Response::new(Body::empty())))
    }
}

#[test]
fn the_core_allocates_nothing_to_decide_a_key_it_keeps() {
    let Deployment { store, manager, key, .. } = deployment();
    let context = context();

    let attempt = |()| match manager.attempt(key.as_bytes(), &context) {
        Attempt::Decided(Ok(admission)) => admission,
        other => panic!("the key is kept and good: {other:?}"),
    };
    assert_eq!(allocations(|| (), attempt), (0, 0));
    assert_eq!(allocations(|| (), |()| now(manager.validate(&key, &context)).unwrap()), (0, 0));

    // A refusal of a key that is kept, too.
    let elsewhere = context.clone().from_address("198.51.100.7".parse().unwrap());
    let more = context.clone().needing_scope(Scope::new("reports:read").unwrap());
    for (context, reason) in [(elsewhere, DenialReason::IpNotAllowed), (more, DenialReason::ScopeNotAuthorized)] {
        let refused = |()| now(manager.validate(&key, &context)).unwrap_err();
        assert_eq!(refused(()).reason(), reason);
        assert_eq!(allocations(|| (), refused), (0, 0));
    }
    assert_eq!(store.calls().total(), 0);
}

#[test]
fn the_core_allocates_nothing_to_charge_a_key_it_holds_tokens_of() {
    let Deployment { store, manager, key, .. } = limited_deployment();
    let context = context();
    assert_eq!(allocations(|| (), |()| now(manager.validate(&key, &context)).unwrap()), (0, 0));
    assert_eq!(allocations(|| (), |()| now(manager.validate(&key, &context)).unwrap().refund()), (0, 0));
    assert_eq!(store.calls().total(), 0);
}

#[test]
fn the_core_allocates_nothing_to_refuse_a_text_that_is_not_one_of_its_keys() {
    let Deployment { store, manager, key, forged } = deployment();
    let context = context();
    let too_long = "x".repeat(1 << 20);
    for (text, reason) in [
        (&*forged, DenialReason::InvalidKey),
        (&key[1..], DenialReason::InvalidKey),
        (&key[..key.len() - 1], DenialReason::MalformedKey),
        (&too_long, DenialReason::MalformedKey),
        ("", DenialReason::MalformedKey),
    ] {
        let refused = |()| match manager.attempt(text.as_bytes(), &context) {
            Attempt::Decided(Err(denial)) => denial,
            other => panic!("it is refused at once: {other:?}"),
        };
        assert_eq!(refused(()).reason(), reason);
        assert_eq!(allocations(|| (), refused), (0, 0));
    }
    assert_eq!(store.calls().total(), 0);
}

#[test]
fn the_tower_layer_allocates_what_the_request_carries_on_and_nothing_else() {
    let Deployment { store, manager, key, .. } = deployment();
    let mut service = layer(&manager).layer(Hello::default());

    // The admission, in a box among the extensions, where every server has put something before.
    let with_peer = || {
        let mut request = request(&key);
        request.extensions_mut().insert(PeerAddress(PROXY));
        request
    };
    assert_eq!(allocations(with_peer, |request| now(service.call(request)).unwrap()), (1, 1));
    assert_eq!(store.calls().total(), 0);
}

/// Where the client is, what the request is for, whose it is and how it is answered: for the key's usage, for a span and for
/// metrics.
#[test]
fn what_is_counted_of_a_request_allocates_nothing() {
    let Deployment { store, manager, key, .. } = deployment();
    let place = Location::new("DE").unwrap();
    let layer = layer(&manager)
        .endpoint(|asked| asked.path.get(..6))
        .location(move |address: std::net::IpAddr| address.is_ipv4().then_some(place))
        .record_span_fields(true);
    let mut service = layer.layer(Hello::default());
    let with_peer = || {
        let mut request = request(&key);
        request.extensions_mut().insert(PeerAddress(PROXY));
        request
    };
    assert_eq!(allocations(with_peer, |request| now(service.call(request)).unwrap()), (1, 1));
    assert_eq!(store.calls().total(), 0);
}

/// What is told of limits is the policies, written once for each key, and what is left, written for each response.
#[test]
fn with_limits_the_tower_layer_allocates_the_field_that_tells_what_is_left_and_nothing_else() {
    let Deployment { store, manager, key, .. } = limited_deployment();
    let answer = MapResponseLayer::new(|mut response: Response<Body>| {
        // As nearly every response has one, which makes room for some more.
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        response
    });
    let with_peer = || {
        let mut request = request(&key);
        request.extensions_mut().insert(PeerAddress(PROXY));
        request
    };
    let of = |layer: ApiKeyLayer| {
        let mut service = layer.layer(answer.layer(Hello::default()));
        allocations(with_peer, |request| now(service.call(request)).unwrap())
    };
    let silent = of(layer(&manager).rate_limit_headers(false));
    let told = of(layer(&manager));
    assert_eq!((told.0 - silent.0, told.1 - silent.1), (1, 1));
    // And what it costs where a route says so itself.
    let mut service = layer(&manager).layer(Cost::new(10).layer(answer.layer(Hello::default())));
    assert_eq!(allocations(with_peer, |request| now(service.call(request)).unwrap()), told);
    assert_eq!(store.calls().total(), 0);
}

/// What axum allocates for a request with a layer, without any, and with one that does nothing: it boxes the service and the
/// future of whatever layer there is.
fn behind_axum(key: &str, layer: ApiKeyLayer) -> [(u64, u64); 3] {
    async fn hello() -> &'static str {
        "hello"
    }
    let router = Router::new().route("/hello", get(hello));
    let connected = || {
        let mut request = request(key);
        request.extensions_mut().insert(ConnectInfo(PROXY));
        request
    };
    let of = |router: Router| {
        // As a server has it: without the state, axum puts its layers on again for each request.
        let mut router: Router = router.with_state(());
        allocations(connected, |request| now(Service::<Request<Body>>::call(&mut router, request)).unwrap())
    };
    let bare = of(router.clone());
    let idle = of(router.clone().layer(MapRequestLayer::new(|request: Request<Body>| request)));
    let keyed = of(router.layer(layer));
    println!("axum allocates {bare:?} times, {idle:?} with a layer that does nothing, {keyed:?} with ours");
    [keyed, bare, idle]
}

#[test]
fn behind_axum_the_layer_allocates_what_the_request_carries_on_and_nothing_else() {
    let Deployment { store, manager, key, .. } = deployment();
    let [keyed, _, idle] = behind_axum(&key, layer(&manager));
    assert_eq!((keyed.0 - idle.0, keyed.1 - idle.1), (1, 1));
    assert_eq!(store.calls().total(), 0);
}

#[test]
fn with_limits_behind_axum_the_layer_allocates_the_field_that_tells_what_is_left_as_well() {
    let Deployment { store, manager, key, .. } = limited_deployment();
    let [keyed, _, idle] = behind_axum(&key, layer(&manager));
    assert_eq!((keyed.0 - idle.0, keyed.1 - idle.1), (2, 2));
    assert_eq!(store.calls().total(), 0);
}

/// What actix-web allocates for a request with the middleware, and without.
fn behind_actix(key: &str, transform: ApiKeyTransform) -> [(u64, u64); 2] {
    let request = || {
        let request = actix_web::test::TestRequest::get().uri("/hello").peer_addr(PROXY);
        headers(key).into_iter().fold(request, actix_web::test::TestRequest::insert_header).to_request()
    };
    let hello = || web::get().to(|| ready(HttpResponse::Ok().content_type("text/plain").finish()));
    let (bare, keyed) = actix_web::rt::System::new().block_on(async {
        let app = actix_web::test::init_service(App::new().route("/hello", hello())).await;
        let bare = allocations(request, |request| now(app.call(request)).unwrap());
        let app = App::new().wrap(transform).route("/hello", hello());
        let app = actix_web::test::init_service(app).await;
        let keyed = allocations(request, |request| {
            let response = now(app.call(request)).unwrap();
            assert_eq!(response.status(), 200);
            response
        });
        (bare, keyed)
    });
    println!("actix allocates {bare:?} times, {keyed:?} with the middleware");
    [keyed, bare]
}

#[test]
fn the_actix_middleware_allocates_what_the_request_carries_on_and_nothing_else() {
    let Deployment { store, manager, key, .. } = deployment();
    let [keyed, bare] = behind_actix(&key, transform(&manager));
    assert_eq!((keyed.0 - bare.0, keyed.1 - bare.1), (1, 1));
    assert_eq!(store.calls().total(), 0);
}

#[test]
fn with_limits_the_actix_middleware_allocates_the_field_that_tells_what_is_left_as_well() {
    let Deployment { store, manager, key, .. } = limited_deployment();
    let [keyed, bare] = behind_actix(&key, transform(&manager));
    assert_eq!((keyed.0 - bare.0, keyed.1 - bare.1), (2, 2));
    assert_eq!(store.calls().total(), 0);
}

#[test]
fn a_key_that_is_kept_is_decided_and_the_tower_service_called_before_anything_is_polled() {
    let Deployment { store, manager, key, .. } = deployment();
    let hello = Hello::default();
    let mut service = layer(&manager).layer(hello.clone());
    let mut request = request(&key);
    request.extensions_mut().insert(PeerAddress(PROXY));

    let response = service.call(request);
    assert_eq!(hello.called.get(), 1);
    assert_eq!(store.calls().total(), 0);
    assert_eq!(now(response).unwrap().status(), 200);
}

#[test]
fn a_key_that_is_kept_is_decided_and_the_actix_service_called_before_anything_is_polled() {
    let Deployment { store, manager, key, .. } = deployment();
    let called = Rc::new(Cell::new(0));
    let counted = Rc::clone(&called);
    let hello = actix_web::dev::fn_service(move |request: ServiceRequest| {
        counted.set(counted.get() + 1);
        ready(Ok::<ServiceResponse, actix_web::Error>(request.into_response(HttpResponse::Ok().finish())))
    });
    let service = now(transform(&manager).new_transform(hello)).unwrap();
    let request = actix_web::test::TestRequest::get().peer_addr(PROXY);
    let request = headers(&key).into_iter().fold(request, actix_web::test::TestRequest::insert_header);

    let response = service.call(request.to_srv_request());
    assert_eq!(called.get(), 1);
    assert_eq!(store.calls().total(), 0);
    assert_eq!(now(response).unwrap().status(), 200);
}
