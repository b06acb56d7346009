//! The promises of `ApiKeyTransform`.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use actix_web::body::to_bytes;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, fn_service};
use actix_web::error::ErrorImATeapot;
use actix_web::test::{TestRequest, call_and_read_body, call_service, init_service, try_call_service};
use actix_web::{App, Error, HttpMessage, HttpRequest, HttpResponse, web};
use keygate_actix::{Admission, ApiKey, ApiKeyTransform, ProblemRejection, Reject};
use keygate_core::denial::DenialReason;
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::scope::ScopeSet;
use keygate_http::answer::Realm;
use keygate_http::credentials::CredentialSources;

use crate::support::{Fixture, forged, get, reason, scope, with_key};

async fn who(key: Option<ApiKey>) -> String {
    key.map_or("stranger".to_owned(), |key| key.user.to_string())
}

fn root() -> actix_web::Route {
    web::route().to(who)
}

/// Answers with 200 and counts how often it is called.
fn counting(calls: &Rc<Cell<u32>>) -> impl Service<ServiceRequest, Response = ServiceResponse, Error = Error> + use<> {
    let calls = Rc::clone(calls);
    fn_service(move |request: ServiceRequest| {
        calls.set(calls.get() + 1);
        async { Ok::<_, Error>(request.into_response(HttpResponse::Ok())) }
    })
}

#[actix_web::test]
async fn a_valid_key_is_let_in_from_either_place_and_its_owner_known() {
    let fixture = Fixture::new().await;
    let key = fixture.key(&[]).await;
    let app = init_service(App::new().wrap(ApiKeyTransform::new(fixture.manager)).route("/", root())).await;

    assert_eq!(call_and_read_body(&app, with_key(&key).to_request()).await, "ada");
    let bearer = get().insert_header(("authorization", format!("bearer {key}")));
    assert_eq!(call_and_read_body(&app, bearer.to_request()).await, "ada");
}

#[actix_web::test]
async fn a_refusal_is_a_response_with_its_reason_and_the_service_within_is_not_called() {
    let fixture = Fixture::new().await;
    let key = fixture.key(&[]).await;
    let calls = Rc::new(Cell::new(0));
    let service = ApiKeyTransform::new(fixture.manager).new_transform(counting(&calls)).await.unwrap();

    let twice = with_key(&key).append_header(("x-api-key", &*key));
    for (request, expected, status) in [
        (get(), DenialReason::MissingKey, 401),
        (twice, DenialReason::MultipleCredentials, 400),
        (with_key("nonsense"), DenialReason::MalformedKey, 401),
        (with_key(&forged(&key)), DenialReason::InvalidKey, 401),
    ] {
        let response = service.call(request.to_srv_request()).await.unwrap();
        assert_eq!(reason(&response), Some(expected));
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().get("content-type").unwrap(), "application/problem+json");
        let body: serde_json::Value = serde_json::from_slice(&to_bytes(response.into_body()).await.unwrap()).unwrap();
        assert_eq!(body["reason"], expected.as_str());
    }
    assert_eq!(calls.get(), 0);

    assert_eq!(service.call(with_key(&key).to_srv_request()).await.unwrap().status(), 200);
    assert_eq!(calls.get(), 1);
}

#[actix_web::test]
async fn a_forged_key_costs_no_store_call_and_is_decided_at_the_first_poll() {
    let fixture = Fixture::new().await;
    let key = fixture.key(&[]).await;
    let app = init_service(App::new().wrap(ApiKeyTransform::new(fixture.manager)).route("/", root())).await;
    fixture.store.reset_calls();

    for text in ["nonsense".to_owned(), forged(&key)] {
        let call = pin!(call_service(&app, with_key(&text).to_request()));
        let Poll::Ready(response) = call.poll(&mut Context::from_waker(Waker::noop())) else { panic!("not decided") };
        assert_eq!(response.status(), 401);
    }
    assert_eq!(fixture.store.calls().total(), 0);
}

#[actix_web::test]
async fn a_store_that_fails_is_503_and_recovers() {
    let fixture = Fixture::new().await;
    let key = fixture.key(&[]).await;
    let app = init_service(App::new().wrap(ApiKeyTransform::new(fixture.manager)).route("/", root())).await;

    fixture.store.fail();
    let response = call_service(&app, with_key(&key).to_request()).await;
    assert_eq!((response.status().as_u16(), reason(&response)), (503, Some(DenialReason::StoreUnavailable)));
    assert_eq!(response.headers().get("retry-after").unwrap(), "1");

    fixture.store.heal();
    assert_eq!(call_service(&app, with_key(&key).to_request()).await.status(), 200);
}

#[actix_web::test]
async fn many_requests_may_wait_for_the_store_at_once_and_one_that_is_given_up_calls_nobody() {
    let fixture = Fixture::new().await;
    let key = fixture.key(&[]).await;
    let calls = Rc::new(Cell::new(0));
    let service = ApiKeyTransform::new(fixture.manager).new_transform(counting(&calls)).await.unwrap();
    fixture.store.stall();

    let mut first = Box::pin(service.call(with_key(&key).to_srv_request()));
    let mut second = Box::pin(service.call(with_key(&key).to_srv_request()));
    for call in [&mut first, &mut second] {
        assert!(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await);
    }
    drop(first);
    fixture.store.heal();
    assert_eq!(second.await.unwrap().status(), 200);
    assert_eq!(calls.get(), 1);
}

#[actix_web::test]
async fn no_debug_output_shows_the_key_of_a_request_admitted_or_refused() {
    async fn show(request: HttpRequest) -> String {
        format!("{request:?}{:?}", request.headers())
    }
    let fixture = Fixture::new().await;
    let key = fixture.key(&[]).await;
    let sources = CredentialSources::default().header("X-Acme-Key").unwrap();
    let keys = ApiKeyTransform::new(fixture.manager).credentials(sources);
    let app = init_service(App::new().wrap(keys).route("/", web::get().to(show))).await;

    for header in ["X-API-Key", "x-acme-key"] {
        let request = get().insert_header((header, &*key)).to_request();
        let shown = String::from_utf8(call_and_read_body(&app, request).await.to_vec()).unwrap();
        assert!(shown.contains(&header.to_lowercase()) && !shown.contains(&key), "{shown}");

        let wrong = forged(&key);
        for request in [get().insert_header((header, &*wrong)), get().append_header((header, &*wrong))] {
            // Twice, so that every line of a repeated header is seen to.
            let response = call_service(&app, request.append_header((header, &*wrong)).to_request()).await;
            assert!(response.status().is_client_error());
            assert!(!format!("{:?}{:?}", response.request(), response.request().headers()).contains(&wrong));
        }
    }
}

#[actix_web::test]
async fn an_optional_key_may_be_absent_but_not_wrong() {
    let fixture = Fixture::new().await;
    let key = fixture.key(&[]).await;
    let keys = ApiKeyTransform::new(fixture.manager).optional();
    let app = init_service(App::new().wrap(keys).route("/", root())).await;

    assert_eq!(call_and_read_body(&app, get().to_request()).await, "stranger");
    assert_eq!(call_and_read_body(&app, with_key(&key).to_request()).await, "ada");
    assert_eq!(call_service(&app, with_key("nonsense").to_request()).await.status(), 401);
    let twice = with_key(&key).append_header(("x-api-key", &*key));
    assert_eq!(call_service(&app, twice.to_request()).await.status(), 400);
}

#[actix_web::test]
async fn an_inner_transform_that_lets_a_stranger_through_takes_the_outer_ones_word_away() {
    let fixture = Fixture::new().await;
    let key = fixture.key(&[]).await;
    let other = CredentialSources::empty().header("X-Other-Key").unwrap();
    let inner = ApiKeyTransform::new(fixture.manager.clone()).credentials(other).optional();
    let outer = ApiKeyTransform::new(fixture.manager);
    // The last one wrapped is the outermost.
    let app = init_service(App::new().wrap(inner).wrap(outer).route("/", root())).await;

    assert_eq!(call_and_read_body(&app, with_key(&key).to_request()).await, "stranger");
    let both = with_key(&key).insert_header(("X-Other-Key", &*key));
    assert_eq!(call_and_read_body(&app, both.to_request()).await, "ada");
}

#[actix_web::test]
async fn preflights_pass_only_where_that_was_asked_for() {
    let fixture = Fixture::new().await;
    let preflight = || {
        let request = TestRequest::with_uri("/").method(actix_web::http::Method::OPTIONS);
        request.insert_header(("origin", "null")).insert_header(("access-control-request-method", "GET"))
    };
    let strict = ApiKeyTransform::new(fixture.manager);
    let app = init_service(App::new().wrap(strict.clone()).route("/", root())).await;
    assert_eq!(call_service(&app, preflight().to_request()).await.status(), 401);

    let app = init_service(App::new().wrap(strict.allow_preflight()).route("/", root())).await;
    assert_eq!(call_and_read_body(&app, preflight().to_request()).await, "stranger");
    let plain = TestRequest::with_uri("/").method(actix_web::http::Method::OPTIONS);
    assert_eq!(call_service(&app, plain.to_request()).await.status(), 401);
}

#[actix_web::test]
async fn scopes_and_permissions_asked_of_all_add_up() {
    let fixture = Fixture::new().await;
    let keys = ApiKeyTransform::new(fixture.manager.clone());
    let keys = keys.require_scope(scope("a:read")).require_scope(scope("b:read")).require_permission(scope("run"));
    let app = init_service(App::new().wrap(keys).route("/", root())).await;

    for (scopes, permissions, expected) in [
        (&["a:read", "b:read"][..], &["run"][..], None),
        (&["*:read"], &["run"], None),
        (&["a:read"], &["run"], Some(DenialReason::ScopeNotAuthorized)),
        (&["b:read"], &["run"], Some(DenialReason::ScopeNotAuthorized)),
        (&[], &["run"], Some(DenialReason::ScopeNotAuthorized)),
        (&["a:read", "b:read"], &[], Some(DenialReason::PermissionDenied)),
    ] {
        let created = fixture.create(|new| {
            new.scopes = Some(ScopeSet::parse(scopes).unwrap());
            new.permissions = ScopeSet::parse(permissions).unwrap();
        });
        let response = call_service(&app, with_key(created.await.text.expose()).to_request()).await;
        assert_eq!(reason(&response), expected, "{scopes:?} {permissions:?}");
    }
}

#[actix_web::test]
async fn the_peer_decides_unless_it_is_a_trusted_proxy() {
    let fixture = Fixture::new().await;
    let networks = |text| CidrSet::new([Cidr::new(text).unwrap()]).unwrap();
    let key = fixture.create(|new| new.allowed_ips = Some(networks("203.0.113.0/24"))).await.text;
    let direct = ApiKeyTransform::new(fixture.manager);
    let behind = direct.clone().trusted_proxies(networks("10.0.0.0/8"));

    for (keys, peer, forwarded, status) in [
        (&direct, Some("203.0.113.7:1"), None, 200),
        (&direct, Some("[::ffff:203.0.113.7]:1"), None, 200),
        (&direct, Some("198.51.100.1:1"), None, 403),
        (&direct, Some("198.51.100.1:1"), Some("203.0.113.7"), 403),
        (&direct, Some("10.0.0.1:1"), Some("203.0.113.7"), 403),
        (&direct, None, Some("203.0.113.7"), 403),
        (&behind, Some("10.0.0.1:1"), Some("203.0.113.7"), 200),
        (&behind, Some("10.0.0.1:1"), Some("203.0.113.7, 198.51.100.1"), 403),
        (&behind, Some("10.0.0.1:1"), Some("198.51.100.1, 203.0.113.7, 10.9.9.9"), 200),
        (&behind, Some("198.51.100.1:1"), Some("203.0.113.7"), 403),
        (&behind, None, Some("203.0.113.7"), 403),
    ] {
        let app = init_service(App::new().wrap(keys.clone()).route("/", root())).await;
        let mut request = with_key(key.expose());
        if let Some(peer) = peer {
            request = request.peer_addr(peer.parse().unwrap());
        }
        if let Some(forwarded) = forwarded {
            // `Forwarded` is written by the client where the proxies append to the other header.
            request = request.insert_header(("x-forwarded-for", forwarded));
            request = request.insert_header(("forwarded", "for=203.0.113.7"));
        }
        let response = call_service(&app, request.to_request()).await;
        assert_eq!(response.status(), status, "{peer:?} {forwarded:?}");
    }
}

#[actix_web::test]
async fn the_realm_and_the_rejection_can_be_replaced() {
    #[derive(Clone)]
    struct Branded;
    impl Reject for Branded {
        fn reject(&self, denial: &keygate_core::denial::Denial, answer: keygate_http::answer::Answer) -> HttpResponse {
            let mut response = ProblemRejection.reject(denial, answer);
            response
                .headers_mut()
                .insert(actix_web::http::header::SERVER, actix_web::http::header::HeaderValue::from_static("acme"));
            response
        }
    }
    let fixture = Fixture::new().await;
    let keys = ApiKeyTransform::new(fixture.manager).realm(Realm::new("acme").unwrap()).rejection(Branded);
    let app = init_service(App::new().wrap(keys).route("/", root())).await;
    let response = call_service(&app, get().to_request()).await;
    assert_eq!(response.headers().get("www-authenticate").unwrap(), "Bearer realm=\"acme\"");
    assert_eq!(response.headers().get("server").unwrap(), "acme");
    assert_eq!(reason(&response), Some(DenialReason::MissingKey));
}

#[actix_web::test]
async fn readiness_and_errors_of_the_service_within_are_passed_on() {
    struct Unready;
    impl Service<ServiceRequest> for Unready {
        type Response = ServiceResponse;
        type Error = Error;
        type Future = std::future::Ready<Result<ServiceResponse, Error>>;
        fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
            Poll::Ready(Err(ErrorImATeapot("not ready")))
        }
        fn call(&self, _: ServiceRequest) -> Self::Future {
            std::future::ready(Err(ErrorImATeapot("failed")))
        }
    }
    let fixture = Fixture::new().await;
    let key = fixture.key(&[]).await;
    let service = ApiKeyTransform::new(fixture.manager).new_transform(Unready).await.unwrap();

    let readiness = service.poll_ready(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(readiness, Poll::Ready(Err(error)) if error.to_string() == "not ready"));
    let error = service.call(with_key(&key).to_srv_request()).await.unwrap_err();
    assert_eq!(error.to_string(), "failed");
    assert_eq!(service.call(get().to_srv_request()).await.unwrap().status(), 401);
}

#[actix_web::test]
async fn the_handler_may_hold_the_extensions_while_it_waits_for_a_nested_check() {
    // The transform stands twice on the way to one handler; neither may be borrowing the extensions by then.
    async fn borrow(request: HttpRequest) -> HttpResponse {
        let held = request.extensions().get::<Admission>().is_some();
        request.extensions_mut().insert(held);
        HttpResponse::Ok().finish()
    }
    let fixture = Fixture::new().await;
    let key = fixture.key(&[]).await;
    let keys = ApiKeyTransform::new(fixture.manager);
    let nested = web::scope("").wrap(keys.clone()).route("/", web::get().to(borrow));
    let app = init_service(App::new().wrap(keys).service(nested)).await;
    let response = try_call_service(&app, with_key(&key).to_request()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.request().extensions().get::<bool>(), Some(&true));
}

#[test]
fn one_transform_serves_every_worker() {
    fn sent<T: Send + Sync + Clone>() {}
    sent::<ApiKeyTransform>();
    sent::<keygate_actix::RequireScope>();
    sent::<keygate_actix::RequirePermission>();
}
