//! The promises of `RequireScope`, `RequirePermission` and `ApiKey`.

use actix_web::test::{call_and_read_body, call_service, init_service};
use actix_web::{App, HttpResponse, web};
use keygate_actix::{ApiKey, ApiKeyTransform, RequirePermission, RequireScope};
use keygate_core::denial::DenialReason;
use keygate_core::scope::ScopeSet;
use keygate_http::answer::Realm;

use crate::support::{Fixture, get, reason, scope, with_key};

async fn hello(key: ApiKey) -> String {
    key.user.to_string()
}

#[actix_web::test]
async fn a_part_that_needs_a_scope_or_permission_refuses_keys_without_it() {
    let fixture = Fixture::new().await;
    let app = App::new()
        .wrap(ApiKeyTransform::new(fixture.manager.clone()))
        .service(web::resource("/scope").wrap(RequireScope::new(scope("reports:read"))).get(hello))
        .service(web::resource("/permission").wrap(RequirePermission::new(scope("admin:write"))).get(hello));
    let app = init_service(app).await;

    for (scopes, permissions, at_scope, at_permission) in [
        (&["reports:read"][..], &["admin:write"][..], None, None),
        (&["reports:**"], &["admin:*"], None, None),
        (&[], &[], Some(DenialReason::ScopeNotAuthorized), Some(DenialReason::PermissionDenied)),
        (
            &["reports:readonly", "admin:write"],
            &["reports:read"],
            Some(DenialReason::ScopeNotAuthorized),
            Some(DenialReason::PermissionDenied),
        ),
    ] {
        let created = fixture.create(|new| {
            new.scopes = Some(ScopeSet::parse(scopes).unwrap());
            new.permissions = ScopeSet::parse(permissions).unwrap();
        });
        let key = created.await.text;
        for (path, expected) in [("/scope", at_scope), ("/permission", at_permission)] {
            let response = call_service(&app, with_key(key.expose()).uri(path).to_request()).await;
            assert_eq!(reason(&response), expected, "{path} {scopes:?} {permissions:?}");
            assert_eq!(response.status(), if expected.is_some() { 403 } else { 200 });
        }
    }
}

#[actix_web::test]
async fn a_stranger_is_asked_for_a_key_also_where_the_transform_is_missing() {
    let fixture = Fixture::new().await;
    let required = || RequireScope::new(scope("reports:read")).realm(Realm::new("reports").unwrap());
    let resource = || web::resource("/").wrap(required()).get(hello);
    let optional = App::new().wrap(ApiKeyTransform::new(fixture.manager).optional()).service(resource());
    let (optional, missing) = (init_service(optional).await, init_service(App::new().service(resource())).await);

    let response = call_service(&optional, get().to_request()).await;
    assert_eq!(reason(&response), Some(DenialReason::MissingKey));
    assert_eq!(response.headers().get("www-authenticate").unwrap(), "Bearer realm=\"reports\"");
    let response = call_service(&missing, get().to_request()).await;
    assert_eq!((response.status().as_u16(), reason(&response)), (401, Some(DenialReason::MissingKey)));
}

#[actix_web::test]
async fn preflights_reach_what_answers_them_behind_a_requirement() {
    let fixture = Fixture::new().await;
    let resource = web::resource("/").wrap(RequireScope::new(scope("reports:read"))).to(HttpResponse::NoContent);
    let app = App::new().wrap(ApiKeyTransform::new(fixture.manager).allow_preflight()).service(resource);
    let app = init_service(app).await;
    let preflight = get().method(actix_web::http::Method::OPTIONS);
    let preflight = preflight.insert_header(("origin", "null")).insert_header(("access-control-request-method", "GET"));
    assert_eq!(call_service(&app, preflight.to_request()).await.status(), 204);
    assert_eq!(call_service(&app, get().to_request()).await.status(), 401);
}

#[actix_web::test]
async fn the_refusal_of_a_requirement_can_be_replaced() {
    let fixture = Fixture::new().await;
    let key = fixture.key(&[]).await;
    let requirement = RequirePermission::new(scope("admin:write")).on_reject(|_, _| HttpResponse::NotFound().finish());
    let resource = web::resource("/").wrap(requirement).get(hello);
    let app = init_service(App::new().wrap(ApiKeyTransform::new(fixture.manager)).service(resource)).await;
    let response = call_service(&app, with_key(&key).to_request()).await;
    assert_eq!((response.status().as_u16(), reason(&response)), (404, Some(DenialReason::PermissionDenied)));
}

#[actix_web::test]
async fn a_handler_that_asks_for_a_key_names_the_transform_it_misses() {
    let app = init_service(App::new().route("/", web::get().to(hello))).await;
    let response = call_service(&app, get().to_request()).await;
    assert_eq!(response.status(), 500);
    let body = String::from_utf8(actix_web::test::read_body(response).await.to_vec()).unwrap();
    assert!(body.contains("ApiKeyTransform is missing") && body.contains(".wrap()"), "{body}");
}

#[actix_web::test]
async fn a_handler_that_needs_a_key_behind_an_optional_transform_asks_for_one() {
    let fixture = Fixture::new().await;
    let key = fixture.key(&[]).await;
    let app = App::new().wrap(ApiKeyTransform::new(fixture.manager).optional()).route("/", web::get().to(hello));
    let app = init_service(app).await;
    assert_eq!(call_and_read_body(&app, with_key(&key).to_request()).await, "ada");
    let response = call_service(&app, get().to_request()).await;
    assert_eq!((response.status().as_u16(), reason(&response)), (401, Some(DenialReason::MissingKey)));
    assert_eq!(response.headers().get("content-type").unwrap(), "application/problem+json");
}
