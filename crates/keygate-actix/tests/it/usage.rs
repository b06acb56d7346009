//! What is counted of a request: its route, and how it was answered, given up or failed.

use std::future::{Ready, pending, poll_fn, ready};
use std::pin::Pin;
use std::task::Poll;

use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, fn_service};
use actix_web::error::{ErrorBadRequest, ErrorServiceUnavailable};
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, Error, HttpRequest, HttpResponse, http::StatusCode, web};
use keygate_actix::{ApiKeyTransform, RequireScope};
use keygate_core::network::{Cidr, CidrSet};

use crate::support::{self, Fixture, scope, shares, with_key};

/// Answers with the status that the path names, and never where it names none.
async fn as_asked(request: HttpRequest) -> Result<HttpResponse, Error> {
    match request.match_info().get("status").unwrap().parse() {
        Ok(400) => Err(ErrorBadRequest("of a test")),
        Ok(status) => Ok(HttpResponse::new(StatusCode::from_u16(status).unwrap())),
        Err(_) => pending().await,
    }
}

async fn is_pending<F: Future + ?Sized>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

fn to(path: &str, key: &str) -> TestRequest {
    with_key(key).uri(path)
}

#[actix_web::test]
async fn an_answer_is_counted_by_its_class_and_one_that_nobody_waited_for_as_cancelled() {
    let fixture = Fixture::new().await;
    let created = fixture.create(|_| {}).await;
    let (id, key) = (created.key.id, created.text.expose());
    let transform = ApiKeyTransform::new(fixture.manager.clone());
    let app = init_service(App::new().wrap(transform).route("/{status}", web::get().to(as_asked))).await;
    for status in [200, 201, 302, 404, 400, 500] {
        assert_eq!(call_service(&app, to(&format!("/{status}"), key).to_request()).await.status(), status);
    }
    let mut answering = Box::pin(app.call(to("/never", key).to_request()));
    assert!(is_pending(answering.as_mut()).await);
    drop(answering);
    let usage = fixture.usage(id).await;
    let expected = [("2xx", 2), ("4xx", 2), ("3xx", 1), ("5xx", 1), ("cancelled", 1)];
    assert_eq!(shares(&usage.by_status), expected);
    assert_eq!(shares(&usage.by_outcome), [("admitted", 7)]);
    assert_eq!(shares(&usage.by_endpoint), [("/{status}", 7)]);

    // Given up while it is checked: it was not decided over, and is not counted.
    let other = fixture.create(|_| {}).await;
    fixture.store.stall();
    let mut checking = Box::pin(app.call(to("/200", other.text.expose()).to_request()));
    assert!(is_pending(checking.as_mut()).await);
    drop(checking);
    fixture.store.heal();
    assert_eq!(fixture.usage(other.key.id).await.requests, 0);
}

#[actix_web::test]
async fn an_error_of_the_service_within_is_counted_by_the_status_it_is_answered_with() {
    let fixture = Fixture::new().await;
    let created = fixture.create(|_| {}).await;
    let failing = fn_service(|request: ServiceRequest| -> Ready<Result<ServiceResponse, Error>> {
        ready(Err(match request.path() {
            "/400" => ErrorBadRequest("of a test"),
            _ => ErrorServiceUnavailable("of a test"),
        }))
    });
    let service = ApiKeyTransform::new(fixture.manager.clone()).new_transform(failing).await.unwrap();
    for path in ["/400", "/503", "/503"] {
        assert!(service.call(to(path, created.text.expose()).to_srv_request()).await.is_err());
    }
    assert_eq!(shares(&fixture.usage(created.key.id).await.by_status), [("5xx", 2), ("4xx", 1)]);
}

#[actix_web::test]
async fn a_denial_is_counted_by_its_reason_and_one_within_by_its_answer_alone() {
    let fixture = Fixture::new().await;
    let bound = CidrSet::new([Cidr::new("192.0.2.0/24").unwrap()]).unwrap();
    let (created, elsewhere) =
        (fixture.create(|_| {}).await, fixture.create(|new| new.allowed_ips = Some(bound)).await);
    let app = App::new()
        .wrap(RequireScope::new(scope("invoices:read")))
        .wrap(ApiKeyTransform::new(fixture.manager.clone()))
        .route("/", web::get().to(HttpResponse::Ok));
    let app = init_service(app).await;
    let forged = support::forged(created.text.expose());
    for (key, status) in [(created.text.expose(), 403), (elsewhere.text.expose(), 403), (&forged, 401), ("no key", 401)]
    {
        assert_eq!(call_service(&app, with_key(key).to_request()).await.status(), status);
    }
    let usage = fixture.usage(created.key.id).await;
    assert_eq!((shares(&usage.by_outcome), shares(&usage.by_status)), (vec![("admitted", 1)], vec![("4xx", 1)]));
    let usage = fixture.usage(elsewhere.key.id).await;
    assert_eq!((shares(&usage.by_outcome), shares(&usage.by_status)), (vec![("ip_not_allowed", 1)], vec![]));
    assert_eq!(fixture.manager.usage_statistics().forged, 2);
}

#[actix_web::test]
async fn a_request_is_for_the_resource_its_path_matches_wherever_the_transform_stands() {
    let fixture = Fixture::new().await;
    let created = fixture.create(|_| {}).await;
    let keys = ApiKeyTransform::new(fixture.manager.clone());
    let of_reports = || {
        web::scope("/reports")
            .route("", web::get().to(HttpResponse::Ok))
            .service(web::resource("/{id}").get(HttpResponse::Ok).name("report"))
            .service(web::resource("/{id}/pages/{page:\\d+}").get(HttpResponse::Ok))
    };
    let around_all =
        App::new().wrap(keys.clone()).service(of_reports()).route("/hello", web::get().to(HttpResponse::Ok));
    let around_a_scope = App::new().service(of_reports().wrap(keys.clone()));
    let around_one = App::new().service(web::resource("/alone/{id}").wrap(keys.clone()).get(HttpResponse::Ok));
    let (around_all, around_a_scope) = (init_service(around_all).await, init_service(around_a_scope).await);
    let around_one = init_service(around_one).await;
    let key = created.text.expose();
    // Twice each, so that what is remembered of a path is met, too.
    for path in ["/hello", "/reports", "/reports/7", "/reports/8", "/reports/7/pages/1", "/nowhere"].repeat(2) {
        call_service(&around_all, to(path, key).to_request()).await;
    }
    for path in ["/reports/7", "/reports/7/pages/1"] {
        call_service(&around_a_scope, to(path, key).to_request()).await;
    }
    call_service(&around_one, to("/alone/7", key).to_request()).await;

    let named = keys.endpoint(|asked| asked.route.filter(|route| route.starts_with("/{")).map(|_| "named"));
    let named = init_service(App::new().wrap(named).route("/{status}", web::get().to(as_asked))).await;
    call_service(&named, to("/200", key).to_request()).await;

    let usage = fixture.usage(created.key.id).await;
    let expected = [
        ("/reports/{id}", 5),
        ("/reports/{id}/pages/{page:\\d+}", 3),
        ("/hello", 2),
        ("/reports", 2),
        ("/alone/{id}", 1),
        ("named", 1),
    ];
    assert_eq!((shares(&usage.by_endpoint), usage.requests), (expected.to_vec(), 16));
}
