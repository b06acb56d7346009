//! `/v1/authorize`: the decision of the layers, for the requests of a proxy.

use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use axum::response::IntoResponse;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use keygate_admin::Admin;
use keygate_core::context::Admission;
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::manager::NewKey;
use keygate_core::names::Environment;
use keygate_core::scope::{Scope, ScopeSet};
use keygate_tower::{ApiKeyLayer, PeerAddress};
use proptest::prelude::*;
use serde_json::Value;
use tower::{Layer, ServiceExt, service_fn};

use crate::support;
use crate::support::world::{PROXIES, World, forged, make, networks};

const CLIENT: &str = "198.51.100.1";

/// What came back, to the byte.
#[derive(Debug, Clone, PartialEq)]
struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: String,
    reason: Option<DenialReason>,
}

impl Answer {
    async fn of(response: http::Response<Body>) -> Self {
        let (mut parts, body) = response.into_parts();
        // One for each request, and of a router and not of a layer.
        parts.headers.remove("x-request-id");
        parts.headers.remove("content-length");
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let reason = parts.extensions.get::<Denial>().map(Denial::reason);
        Self { status: parts.status, headers: parts.headers, body, reason }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn problem(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A request with its key in `X-API-Key`, over a connection with a client that is no proxy.
fn with(key: &str) -> Request<Body> {
    header("x-api-key", key)
}

fn header(name: &str, value: &str) -> Request<Body> {
    let request = Request::builder().header(name, value).body(Body::empty()).unwrap();
    from(CLIENT, request)
}

fn from(peer: &str, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(PeerAddress(SocketAddr::new(peer.parse::<IpAddr>().unwrap(), 4711)));
    request
}

fn forwarded_for(client: &str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().append("x-forwarded-for", client.parse().unwrap());
    from("10.0.0.1", request)
}

fn copy(request: &Request<Body>) -> Request<Body> {
    let mut copy = Request::new(Body::empty());
    copy.headers_mut().clone_from(request.headers());
    if let Some(peer) = request.extensions().get::<PeerAddress>() {
        copy.extensions_mut().insert(*peer);
    }
    copy
}

impl World {
    async fn authorize(&self, target: &str, mut request: Request<Body>) -> Answer {
        *request.uri_mut() = target.parse().unwrap();
        Answer::of(self.api.router.clone().oneshot(request).await.unwrap()).await
    }

    /// What the layer says, where it requires what the query does.
    async fn layer(&self, query: &str, request: Request<Body>) -> Answer {
        let mut layer = ApiKeyLayer::new(self.api.manager.clone()).trusted_proxies(networks(PROXIES));
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap();
            layer = match name {
                "scope" => layer.require_scope(Scope::new(value).unwrap()),
                "permission" => layer.require_permission(Scope::new(value).unwrap()),
                "environment" => layer.environment(Environment::new(value).unwrap()),
                "cost" => {
                    let cost = value.parse().unwrap();
                    layer.cost(move |_| cost)
                }
                other => panic!("{other}"),
            };
        }
        let inner = service_fn(async |request: Request<Body>| {
            let key = request.extensions().get::<Admission>().unwrap();
            let scopes = key.scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ");
            let headers = [
                ("x-keygate-key-id", key.id.to_string()),
                ("x-keygate-organization", key.organization.to_string()),
                ("x-keygate-user", key.user.to_string()),
                ("x-keygate-scopes", scopes),
                ("cache-control", "no-store".to_owned()),
            ];
            Ok::<_, std::convert::Infallible>((headers, Body::empty()).into_response())
        });
        Answer::of(layer.layer(inner).oneshot(request).await.unwrap()).await
    }

    fn requests(&self) -> Vec<(&'static str, Request<Body>, Option<DenialReason>)> {
        use DenialReason::*;
        let key = self.key.text.expose();
        let two = {
            let mut request = with(key);
            request.headers_mut().append("authorization", format!("Bearer {key}").parse().unwrap());
            request
        };
        let unknown_peer = Request::builder().header("x-api-key", &self.bound).body(Body::empty()).unwrap();
        vec![
            ("", with(key), None),
            ("", header("authorization", &format!("bearer {key}")), None),
            ("scope=reports:read", with(key), None),
            ("permission=admin:write&scope=reports:read", with(key), None),
            ("environment=dev", with(key), None),
            ("environment=staging", with(&self.staging), None),
            ("", forwarded_for("203.0.113.7", with(&self.bound)), None),
            ("", from("203.0.113.7", with(&self.bound)), None),
            ("", from(CLIENT, Request::new(Body::empty())), Some(MissingKey)),
            ("", header("authorization", "Basic YTpi"), Some(MissingKey)),
            ("", two, Some(MultipleCredentials)),
            ("", with("x"), Some(MalformedKey)),
            ("", with(""), Some(MalformedKey)),
            ("", with(&forged(key)), Some(InvalidKey)),
            ("", with(&self.foreign), Some(InvalidKey)),
            ("", with(&self.deleted), Some(InvalidKey)),
            ("", with(&self.inactive), Some(KeyInactive)),
            ("", with(&self.revoked), Some(KeyRevoked)),
            ("", with(&self.expired), Some(KeyExpired)),
            ("", with(&self.not_yet_valid), Some(KeyNotYetValid)),
            ("", with(&self.staging), Some(EnvironmentMismatch)),
            ("environment=staging", with(key), Some(EnvironmentMismatch)),
            ("", with(&self.of_suspended_organization), Some(OrganizationSuspended)),
            ("", with(&self.of_suspended_project), Some(ProjectSuspended)),
            ("", with(&self.of_suspended_user), Some(UserSuspended)),
            ("", with(&self.bound), Some(IpNotAllowed)),
            ("", forwarded_for(CLIENT, with(&self.bound)), Some(IpNotAllowed)),
            ("", from(CLIENT, forwarded_for("203.0.113.7", with(&self.bound))), Some(IpNotAllowed)),
            ("", unknown_peer, Some(IpNotAllowed)),
            ("scope=reports:read", with(&self.plain), Some(ScopeNotAuthorized)),
            ("scope=invoices:read", with(key), Some(ScopeNotAuthorized)),
            ("permission=admin:read", with(key), Some(PermissionDenied)),
            ("cost=1000000", with(key), None),
            ("cost=0", with(&self.limited), None),
            ("cost=4", with(&self.limited), Some(RateLimitExceeded)),
        ]
    }
}

#[tokio::test]
async fn the_decision_is_the_layers_for_every_reason() {
    for capacity in [0, 100] {
        let world = World::new(capacity).await;
        let mut reasons = Vec::new();
        for (query, request, expected) in world.requests() {
            let layer = world.layer(query, copy(&request)).await;
            // The second time it is decided from what is kept, where anything is.
            for _ in 0..2 {
                let answer = world.authorize(&format!("/v1/authorize?{query}"), copy(&request)).await;
                assert_eq!(answer, layer, "{query} {expected:?}");
                assert_eq!(answer.reason, expected, "{query}");
            }
            reasons.extend(expected);
        }
        world.store.fail();
        world.store.lapse();
        let request = with(world.key.text.expose());
        let layer = world.layer("", copy(&request)).await;
        assert_eq!(world.authorize("/v1/authorize", request).await, layer);
        assert_eq!((layer.status.as_u16(), layer.header("retry-after")), (503, "1"));
        reasons.extend(layer.reason);

        let untried: Vec<_> = DenialReason::ALL.into_iter().filter(|reason| !reasons.contains(reason)).collect();
        assert_eq!(untried, []);
    }
}

#[tokio::test]
async fn an_admitted_request_is_told_by_whose_key() {
    let world = World::new(100).await;
    for method in [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::DELETE,
        Method::OPTIONS,
        Method::from_bytes(b"PURGE").unwrap(),
    ] {
        let mut request = with(world.key.text.expose());
        *request.method_mut() = method;
        let answer = world.authorize("/v1/authorize", request).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, "");
        assert_eq!(answer.header("x-keygate-key-id"), world.key.key.id.to_string());
        assert_eq!(answer.header("x-keygate-organization"), "acme");
        assert_eq!(answer.header("x-keygate-user"), "ada");
        assert_eq!(answer.header("x-keygate-scopes"), "reports:* files:/a+b~c@d");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    // A key without scopes has the header, too, so that a client's never stands in its place.
    let unscoped = make(&world.api.manager, |new| new.scopes = Some(ScopeSet::empty())).await;
    let answer = world.authorize("/v1/authorize", with(unscoped.text.expose())).await;
    assert_eq!(answer.headers.get("x-keygate-scopes").unwrap(), "");
}

#[tokio::test]
async fn for_nginx_every_refusal_is_401_or_403_and_says_what_it_was() {
    let world = World::new(100).await;
    for (query, request, expected) in world.requests() {
        let plain = world.authorize(&format!("/v1/authorize?{query}"), copy(&request)).await;
        let mut answer = world.authorize(&format!("/v1/authorize?nginx=1&{query}"), request).await;
        if expected.is_some() {
            let told = answer.headers.remove("x-keygate-status").unwrap();
            assert_eq!(told.to_str().unwrap(), plain.status.as_str());
            let problem = answer.headers.remove("x-keygate-problem").unwrap();
            assert_eq!(problem.to_str().unwrap(), plain.body);
            let status = if plain.status == 401 { 401 } else { 403 };
            assert_eq!(answer.status.as_u16(), status, "{expected:?}");
            answer.status = plain.status;
        }
        assert_eq!(answer, plain, "{query}");
    }
    world.store.fail();
    world.store.lapse();
    let answer = world.authorize("/v1/authorize?nginx=1", with(&world.plain)).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-keygate-status")), (403, "503"));
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn a_misconfigured_proxy_lets_nobody_in() {
    let world = World::new(100).await;
    let key = world.key.text.expose();
    for query in
        ["scope=", "scope=a%20b", "scopes=reports:read", "environment=PROD", "scope=a&scope=b", "cost=x", "page=2"]
    {
        let answer = world.authorize(&format!("/v1/authorize?{query}"), with(key)).await;
        assert_eq!((answer.status.as_u16(), &answer.problem()["reason"]), (422, &"invalid_field".into()), "{query}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let answer = world.authorize(&format!("/v1/authorize?{query}&nginx=1"), with(key)).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-keygate-status")), (403, "422"), "{query}");
    }
    // Without an address of its own to call, Caddy passes the client's query on.
    let mut request = with(&world.staging);
    request.headers_mut().insert("x-forwarded-uri", "/reports?environment=staging".parse().unwrap());
    assert_eq!(world.authorize("/v1/authorize?environment=staging", request).await.status, 422);
}

#[tokio::test]
async fn a_path_that_goes_on_is_the_clients_and_its_query_says_nothing() {
    let world = World::new(100).await;
    let key = world.key.text.expose();
    for target in ["/v1/authorize/", "/v1/authorize/a", "/v1/authorize//a/%2e%2e/b", "/v1/authorize/v1/keys"] {
        for query in ["", "?", "?page=2", "?a=b&c"] {
            let target = format!("{target}{query}");
            assert_eq!(world.authorize(&target, with(key)).await.status, 200, "{target}");
            assert_eq!(world.authorize(&target, with(&world.revoked)).await.status, 401, "{target}");
        }
    }
    let staging = "/v1/authorize/reports?environment=staging&scope=invoices:read&nginx=1";
    assert_eq!(world.authorize(staging, with(key)).await.status, 200);
    assert_eq!(world.authorize(staging, with(&world.staging)).await.status, 401);
    // A slash too much, which would leave the scope unread.
    let answer = world.authorize("/v1/authorize/?scope=invoices:read", with(key)).await;
    assert_eq!(answer.status, 422);
    assert_eq!(world.authorize("/v1/authorized", with(key)).await.status, 404);
}

#[tokio::test]
async fn a_key_that_is_kept_is_decided_without_the_store() {
    let world = World::new(100).await;
    let ask = async || world.authorize("/v1/authorize?scope=reports:read", with(world.key.text.expose())).await.status;
    assert_eq!(ask().await, 200);
    world.store.reset_calls();
    for _ in 0..10 {
        assert_eq!(ask().await, 200);
    }
    assert_eq!(world.store.calls().total(), 0);
    // Of a key with limits, the store is asked for what they grant, and for nothing else.
    let limited = async || world.authorize("/v1/authorize", with(&world.limited)).await.status;
    assert_eq!(limited().await, 200);
    world.store.reset_calls();
    assert_eq!((limited().await.as_u16(), limited().await.as_u16(), limited().await.as_u16()), (200, 200, 429));
    assert_eq!(world.store.calls().total(), world.store.calls().lease);
    world.store.reset_calls();
    // Nor does a forgery cost a call.
    assert_eq!(world.authorize("/v1/authorize", with(&forged(&world.plain))).await.status, 401);
    assert_eq!(world.store.calls().total(), 0);
}

#[tokio::test]
async fn the_document_has_both_calls_with_their_answers() {
    let world = World::new(100).await;
    let answer = world.authorize("/openapi.json", Request::new(Body::empty())).await;
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    let statuses = |path: &str, method: &str| {
        let responses = document["paths"][path][method]["responses"].as_object().unwrap();
        let mut statuses: Vec<_> = responses.keys().cloned().collect();
        statuses.sort();
        statuses
    };
    assert_eq!(statuses("/v1/authorize", "get"), ["200", "400", "401", "403", "422", "429", "503", "504"]);
    for status in ["200", "400", "401", "403", "413", "415", "422", "429", "503", "504"] {
        assert!(statuses("/v1/verify", "post").contains(&status.to_owned()), "{status}");
    }
    let headers = &document["paths"]["/v1/authorize"]["get"]["responses"]["200"]["headers"];
    for name in ["X-Keygate-Key-Id", "X-Keygate-Organization", "X-Keygate-User", "X-Keygate-Scopes"] {
        assert!(headers[name].is_object(), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_key_is_called_its_headers_say_it(
        organization in "[A-Za-z0-9._-]{1,128}",
        user in "[A-Za-z0-9._-]{1,128}",
        scopes in prop::collection::vec("[A-Za-z0-9._~/@+-]{1,40}(:[A-Za-z0-9._~/@+-]{1,40}){0,3}(:\\*{1,2})?", 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(async {
            let api = support::Api::new().await;
            let mut new = NewKey::new(organization.parse().unwrap(), user.parse().unwrap());
            new.scopes = Some(ScopeSet::parse(&scopes).unwrap());
            let key = api.manager.create(&support::boss().into(), new).await.unwrap().text;
            let mut request = with(key.expose());
            *request.uri_mut() = "/v1/authorize".parse().unwrap();
            Answer::of(Admin::new(api.manager).router().oneshot(request).await.unwrap()).await
        });
        prop_assert_eq!(answer.status.as_u16(), 200);
        prop_assert_eq!(answer.header("x-keygate-organization"), organization);
        prop_assert_eq!(answer.header("x-keygate-user"), user);
        let mut told: Vec<_> = answer.header("x-keygate-scopes").split(' ').filter(|scope| !scope.is_empty()).collect();
        let mut granted: Vec<_> = scopes.iter().map(String::as_str).collect();
        for list in [&mut told, &mut granted] {
            list.sort_unstable();
            list.dedup();
        }
        prop_assert_eq!(told, granted);
        prop_assert!(!answer.headers.contains_key(header::SET_COOKIE));
    }
}
