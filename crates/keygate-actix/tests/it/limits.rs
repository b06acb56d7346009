//! What a request costs, what its response tells of limits, and what is given back.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::test::{call_and_read_body, call_service, init_service};
use actix_web::{App, HttpMessage, HttpRequest, HttpResponse, http, web};
use keygate_actix::{Admission, ApiKeyTransform, Cost, RequireScope};
use keygate_core::denial::DenialReason;
use keygate_core::limits::Limits;

use crate::support::{Fixture, get, reason, scope, with_key};

/// A key of which so much may be asked in a month: no test is so slow that it turns more than once in a while.
async fn limited(fixture: &Fixture, limit: u64) -> String {
    let limits = Limits { per_month: Some(limit), ..Limits::UNLIMITED };
    fixture.create(|new| new.limits = Some(limits)).await.text.expose().to_owned()
}

/// What is left, as the response tells.
fn left<B>(response: &ServiceResponse<B>) -> Option<u64> {
    let field = response.headers().get("ratelimit")?.to_str().unwrap();
    Some(field.strip_prefix("\"month\";r=").unwrap().split_once(';').unwrap().0.parse().unwrap())
}

/// Answers with what the request was charged.
async fn cost(request: HttpRequest) -> String {
    request.extensions().get::<Admission>().map_or(0, Admission::cost).to_string()
}

#[actix_web::test]
async fn a_response_tells_of_limits_where_the_key_has_any_and_the_transform_tells() {
    let fixture = Fixture::new().await;
    let transform = ApiKeyTransform::new(fixture.manager.clone());
    let app = App::new().wrap(transform.clone()).route("/", web::get().to(HttpResponse::Ok));
    let silent = App::new().wrap(transform.rate_limit_headers(false)).route("/", web::get().to(HttpResponse::Ok));
    let (app, silent) = (init_service(app).await, init_service(silent).await);
    let key = limited(&fixture, 10).await;
    // The first time the store is asked for the key, the second time it is kept.
    for expected in [9, 8] {
        let response = call_service(&app, with_key(&key).to_request()).await;
        assert_eq!(left(&response), Some(expected));
        assert_eq!(response.headers().get("ratelimit-policy").unwrap(), "\"month\";q=10;w=2592000");
    }
    let unlimited = fixture.create(|new| new.limits = Some(Limits::UNLIMITED)).await.text;
    for response in [
        call_service(&silent, with_key(&key).to_request()).await,
        call_service(&app, with_key(unlimited.expose()).to_request()).await,
    ] {
        assert_eq!(response.status(), 200);
        let told = |name| response.headers().contains_key(name);
        assert!(!told("ratelimit") && !told("ratelimit-policy"), "{:?}", response.headers());
    }
}

#[actix_web::test]
async fn a_handler_that_tells_of_limits_itself_is_left_its_word() {
    let fixture = Fixture::new().await;
    let key = limited(&fixture, 10).await;
    for name in ["ratelimit", "ratelimit-policy"] {
        let handler = move || async move { HttpResponse::Ok().insert_header((name, "\"mine\"")).finish() };
        let app = App::new().wrap(ApiKeyTransform::new(fixture.manager.clone())).route("/", web::get().to(handler));
        let response = call_service(&init_service(app).await, with_key(&key).to_request()).await;
        let told = response.headers().iter().filter(|(name, _)| name.as_str().starts_with("ratelimit"));
        assert_eq!(told.map(|(_, value)| value).collect::<Vec<_>>(), ["\"mine\""]);
    }
}

#[actix_web::test]
async fn requests_cost_what_the_transform_says_of_them_and_routes_what_they_say() {
    let fixture = Fixture::new().await;
    let key = limited(&fixture, 100).await;
    let transform = ApiKeyTransform::new(fixture.manager).cost(|asked| match (asked.method, asked.path, asked.query) {
        ("GET", "/free", None) => 0,
        ("POST", ..) => 20,
        _ => 2,
    });
    let app = App::new()
        .wrap(transform)
        .service(web::resource("/").to(HttpResponse::Ok))
        .service(web::resource("/free").to(HttpResponse::Ok))
        .service(web::resource("/costly").wrap(Cost::new(30)).to(HttpResponse::Ok))
        .service(web::resource("/cheap").wrap(Cost::new(1)).to(HttpResponse::Ok))
        .service(web::resource("/gift").wrap(Cost::new(0)).to(HttpResponse::Ok));
    let app = init_service(app).await;
    for (method, path, expected) in [
        (http::Method::POST, "/", 80),
        (http::Method::GET, "/", 78),
        (http::Method::GET, "/free", 78),
        (http::Method::GET, "/free?now", 76),
        (http::Method::GET, "/costly", 46),
        (http::Method::POST, "/cheap", 45),
        (http::Method::POST, "/gift", 45),
    ] {
        let response = call_service(&app, with_key(&key).method(method).uri(path).to_request()).await;
        assert_eq!((response.status().as_u16(), left(&response)), (200, Some(expected)), "{path}");
    }
}

#[actix_web::test]
async fn denials_within_burn_nothing() {
    let fixture = Fixture::new().await;
    let key = limited(&fixture, 10).await;
    let transform = || ApiKeyTransform::new(fixture.manager.clone());
    let requirement = || RequireScope::new(scope("reports:write"));
    let app = App::new()
        .wrap(transform())
        .service(web::resource("/scope").wrap(requirement()).to(HttpResponse::Ok))
        .service(web::resource("/both").wrap(requirement()).wrap(Cost::new(5)).to(HttpResponse::Ok))
        .service(web::resource("/nested").wrap(transform().require_scope(scope("reports:write"))).to(HttpResponse::Ok))
        .service(web::resource("/costly").wrap(Cost::new(100)).to(HttpResponse::Ok))
        .service(web::resource("/").to(HttpResponse::Ok));
    let app = init_service(app).await;
    for path in ["/scope", "/both", "/nested"] {
        let response = call_service(&app, with_key(&key).uri(path).to_request()).await;
        assert_eq!((reason(&response), left(&response)), (Some(DenialReason::ScopeNotAuthorized), Some(10)), "{path}");
    }
    // Its own word: nothing is left of what it would cost, though something is.
    let response = call_service(&app, with_key(&key).uri("/costly").to_request()).await;
    assert_eq!((response.status().as_u16(), reason(&response)), (429, Some(DenialReason::RateLimitExceeded)));
    assert_eq!(response.headers().get("ratelimit").unwrap(), "\"month\";r=0");
    assert_eq!(left(&call_service(&app, with_key(&key).to_request()).await), Some(9));
}

#[actix_web::test]
async fn who_has_no_key_costs_nothing_and_without_an_outer_transform_nobody_gets_in() {
    let fixture = Fixture::new().await;
    let key = fixture.key(&[]).await;
    let resource = || web::resource("/").wrap(Cost::new(10)).to(HttpResponse::NoContent);
    let outer = ApiKeyTransform::new(fixture.manager).optional().allow_preflight();
    let (app, missing) = (App::new().wrap(outer).service(resource()), App::new().service(resource()));
    let (app, missing) = (init_service(app).await, init_service(missing).await);
    assert_eq!(call_service(&app, get().to_request()).await.status(), 204);
    let preflight = get().method(http::Method::OPTIONS);
    let preflight = preflight.insert_header(("origin", "null")).insert_header(("access-control-request-method", "GET"));
    assert_eq!(call_service(&app, preflight.to_request()).await.status(), 204);

    let response = call_service(&missing, with_key(&key).to_request()).await;
    assert_eq!((response.status().as_u16(), reason(&response)), (401, Some(DenialReason::MissingKey)));
}

#[actix_web::test]
async fn a_refusal_can_be_written_by_the_user_and_tells_of_no_limits_where_it_is_told_so() {
    let fixture = Fixture::new().await;
    let key = limited(&fixture, 10).await;
    for (tells, expected) in [(true, "rate_limit_exceeded true"), (false, "rate_limit_exceeded false")] {
        let cost = Cost::new(100).rate_limit_headers(tells).on_reject(|denial, answer| {
            let told = answer.header("ratelimit-policy").is_some();
            HttpResponse::Ok().body(format!("{} {told}", denial.reason()))
        });
        let resource = web::resource("/").wrap(cost).to(HttpResponse::Ok);
        let app = App::new().wrap(ApiKeyTransform::new(fixture.manager.clone())).service(resource);
        assert_eq!(call_and_read_body(&init_service(app).await, with_key(&key).to_request()).await, expected);
    }
}

async fn is_pending<F: Future + ?Sized>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[actix_web::test]
async fn a_cost_for_which_the_store_is_asked_is_waited_for_and_may_be_given_up() {
    let fixture = Fixture::new().await;
    let key = limited(&fixture, 1_000_000).await;
    let app = App::new()
        .wrap(ApiKeyTransform::new(fixture.manager.clone()))
        .route("/", web::get().to(cost))
        .service(web::resource("/costly").wrap(Cost::new(100_000)).get(cost))
        .service(web::resource("/dearer").wrap(Cost::new(900_000)).get(cost));
    let app = init_service(app).await;
    // Used so far that some of the limit is held here.
    for _ in 0..3 {
        assert_eq!(call_and_read_body(&app, with_key(&key).to_request()).await, "1");
    }
    fixture.store.stall();
    fixture.store.reset_calls();
    let costly = || with_key(&key).uri("/costly").to_request();
    let mut charging = Box::pin(app.call(costly()));
    assert!(is_pending(charging.as_mut()).await);
    assert_eq!(fixture.store.calls().lease, 1);
    drop(charging);

    let mut charging = Box::pin(app.call(costly()));
    assert!(is_pending(charging.as_mut()).await);
    fixture.store.heal();
    let response = charging.await.unwrap();
    // At least: what the request that was given up asked for may have been granted.
    assert!(left(&response).unwrap() <= 900_000, "{:?}", left(&response));
    let Ok(body) = response.into_body().try_into_bytes() else { panic!("the body is whole") };
    assert_eq!(body, "100000");

    // More than is held by now.
    fixture.store.fail();
    let response = call_service(&app, with_key(&key).uri("/dearer").to_request()).await;
    assert_eq!((response.status().as_u16(), reason(&response)), (503, Some(DenialReason::StoreUnavailable)));
}
