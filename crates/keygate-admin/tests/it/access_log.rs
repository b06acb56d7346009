//! The log of requests: one event for each, and no trace of a key, wherever in the request it stood.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use http::Request;
use keygate_admin::Admin;
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::store::MemoryStore;
use keygate_testkit::FaultyStore;
use keygate_testkit::log::Log;
use serde_json::json;
use tower::ServiceExt;

use crate::support::Api;

/// The lines of requests that were logged since the log was last taken.
fn requests(log: &Log) -> Vec<String> {
    let is_request = |line: &&str| line.contains("keygate::access: ");
    log.take().lines().filter(is_request).map(str::to_owned).collect()
}

#[track_caller]
fn assert_says(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "{word} is not in {line}");
    }
}

#[tokio::test]
async fn a_request_is_one_event_that_says_who_did_what_and_how_it_went() {
    let log = Log::begin();
    let api = Api::new().await;
    let reader = api.tenant("acme", &["keys:read"], &[]).await;
    let key_id = api.call(&reader, "GET /v1/self", None).await.body["key_id"].as_str().unwrap().to_owned();
    log.take();

    let answer = api.send(&reader, "GET /v1/organizations/acme", &[("X-Request-Id", "job-7")], None).await;
    assert_eq!(answer.header("x-request-id"), "job-7");
    let [line] = &requests(&log)[..] else { panic!("one event") };
    assert_says(line, &["INFO", "answered", "method=\"GET\"", "route=\"/v1/organizations/{org}\"", "status=200"]);
    assert_says(line, &[&format!("key_id={key_id}"), "organization_id=acme", "request_id=job-7", "duration_ms="]);

    let answer = api.call("", "DELETE /v1/keys/whatever?dry=1", None).await;
    let [line] = &requests(&log)[..] else { panic!("one event") };
    assert_says(line, &["status=401", "reason=missing_key", "route=\"/v1/keys/{key_id}\""]);
    assert_says(line, &[&format!("request_id={}", answer.header("x-request-id"))]);
    assert!(!line.contains("key_id=0") && !line.contains("dry") && !line.contains("whatever"), "{line}");

    api.call("", "GET /nowhere", None).await;
    let [line] = &requests(&log)[..] else { panic!("one event") };
    assert_says(line, &["status=404", "route=\"unmatched\""]);
}

#[tokio::test]
async fn probes_are_there_for_those_who_ask_for_detail() {
    let log = Log::begin();
    let api = Api::new().await;
    log.take();
    for path in ["/healthz", "/readyz", "/metrics"] {
        api.call("", &format!("GET {path}"), None).await;
        let [line] = &requests(&log)[..] else { panic!("one event") };
        assert_says(line, &["DEBUG", "status=200", path]);
    }
}

#[tokio::test]
async fn the_client_is_the_one_that_trusted_proxies_name() {
    let log = Log::begin();
    let api = Api::new().await;
    let proxies = CidrSet::new([Cidr::new("192.0.2.0/24").unwrap()]).unwrap();
    let router = Admin::new(api.manager.clone()).trusted_proxies(proxies).router();
    let router = router.layer(MockConnectInfo(SocketAddr::from(([192, 0, 2, 1], 4711))));
    let api = Api { router, ..api };
    log.take();
    api.send("", "GET /docs", &[("X-Forwarded-For", "198.51.100.7, 203.0.113.9")], None).await;
    assert_says(&requests(&log)[0], &["client_address=203.0.113.9"]);
}

/// What happens to the request is in the log under its name.
#[tokio::test]
async fn what_a_request_does_is_logged_with_its_name() {
    let log = Log::begin();
    let api = Api::new().await;
    log.take();
    api.send(
        &api.operator,
        "POST /v1/organizations/acme/keys",
        &[("X-Request-Id", "job-8")],
        Some(json!({"user_id": "bob"})),
    )
    .await;
    let log = log.take();
    let created = log.lines().find(|line| line.contains("keygate::admin")).unwrap();
    assert_says(created, &["key created", "request_id=job-8"]);
}

#[tokio::test]
async fn a_client_that_does_not_wait_leaves_a_line_too() {
    let log = Log::begin();
    let store = FaultyStore::new(MemoryStore::new());
    let api = Api::over(store.clone()).await;
    assert_eq!(api.call(&api.operator, "GET /v1/organizations/acme", None).await.status, 200);
    log.take();
    store.stall();
    let call = api.call(&api.operator, "GET /v1/organizations/acme", None);
    tokio::time::timeout(std::time::Duration::from_millis(20), call).await.unwrap_err();
    let [line] = &requests(&log)[..] else { panic!("one event") };
    assert_says(line, &["given up by the client", "organization_id=system"]);
    assert!(!line.contains("status="), "{line}");
}

// What a caller has put down as a name, of a user or a scope, is a name: the log of acts says it, whatever it looks like.

/// A part of the key's secret and its tag, of twelve characters or more. The id before them is public.
fn trace_of<'a>(key: &'a str, log: &str) -> Option<&'a str> {
    let secret = &key[key.len() - 54..];
    (0..=secret.len() - 12).map(|from| &secret[from..from + 12]).find(|part| log.contains(part))
}

#[tokio::test]
async fn a_key_leaves_no_trace_wherever_in_a_request_it_stands() {
    let log = Log::begin();
    let api = Api::new().await;
    let tenant = api.tenant("acme", &["**"], &["**"]).await;
    let cut_off = &tenant[..60];
    log.take();
    let requests = |key: &str| {
        let get = |path: &str| Request::get(path.to_owned());
        let json = |path: &str| Request::post(path.to_owned()).header("Content-Type", "application/json");
        let mut all = Vec::new();
        for header in [
            "X-API-Key",
            "X-Request-Id",
            "User-Agent",
            "Referer",
            "Cookie",
            "X-Forwarded-For",
            "Forwarded",
            "If-Match",
            "Idempotency-Key",
            "Accept",
            "Host",
            "traceparent",
            "X-Original-URI",
        ] {
            all.push(get("/v1/organizations/acme").header(header, key).body(Body::empty()));
            let both = get("/v1/organizations/acme").header("Authorization", format!("Bearer {tenant}"));
            all.push(both.header(header, key).body(Body::empty()));
        }
        all.push(get("/v1/self").header("Authorization", format!("Bearer {key}")).body(Body::empty()));
        all.push(get("/v1/self").header("Authorization", format!("Basic {key}")).body(Body::empty()));
        for path in ["/", "/docs/", "/v1/keys/", "/v1/organizations/", "/nowhere/", "/healthz/", "/v1/authorize/"] {
            for place in [format!("{path}{key}"), format!("{path}?api_key={key}"), format!("{path}?{key}")] {
                all.push(get(&place).body(Body::empty()));
                all.push(get(&place).header("X-API-Key", &tenant).body(Body::empty()));
                all.push(get(&place).method("DELETE").header("X-API-Key", &tenant).body(Body::empty()));
            }
        }
        for path in ["/readyz", "/metrics", "/openapi.json", "/v1/self", "/v1/authorize"] {
            all.push(get(&format!("{path}?scope={key}&key={key}")).header("X-API-Key", &tenant).body(Body::empty()));
        }
        all.push(get("/v1/self").method(key).header("X-API-Key", &tenant).body(Body::empty()));
        for (path, body) in [
            ("/v1/verify", json!({"key": key})),
            ("/v1/verify", json!({"key": key, "explain": true})),
            ("/v1/verify", json!({"key": "x", "client_ip": key, "scope": key})),
            ("/v1/organizations", json!({"organization_id": key})),
            ("/v1/organizations", json!({key: 1})),
            ("/v1/organizations/acme/keys", json!({"user_id": "bob", "expires_at": key})),
            ("/v1/organizations/acme/keys", json!({"user_id": "bob", "allowed_ips": [key]})),
        ] {
            all.push(json(path).header("X-API-Key", &tenant).body(Body::from(body.to_string())));
            all.push(json(path).header("X-API-Key", &tenant).body(Body::from(body.to_string() + key)));
            all.push(json(path).body(Body::from(body.to_string())));
        }
        all
    };
    let mut sent = 0;
    for key in [&*tenant, cut_off, &api.operator] {
        for request in requests(key) {
            let request = request.unwrap();
            let described = format!("{request:?}");
            api.router.clone().oneshot(request).await.unwrap();
            let log = log.take();
            let events = log.lines().filter(|line| line.contains("keygate::access: ")).count();
            assert_eq!(events, 1, "one event for {described}\n{log}");
            for key in [&tenant, &api.operator] {
                assert_eq!(trace_of(key, &log), None, "of {described}\n{log}");
            }
            sent += 1;
        }
    }
    assert!(sent > 250, "{sent}");
}
