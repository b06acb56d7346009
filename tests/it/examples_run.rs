//! The examples, run as a user runs them: every route, every kind of store, and what happens when the store goes away.

mod grpc;
mod refusals;
mod routes;
mod stores;
mod usage;
mod wire;

use reqwest::{Method, Response};
use serde_json::Value;

use crate::support::example::Example;
use crate::support::http_client;

const HTTP_EXAMPLES: [&str; 2] = ["axum", "actix"];

async fn call(example: &Example, method: Method, path: &str, key: Option<&str>) -> Response {
    let mut request = http_client().request(method, example.url(path));
    if let Some(key) = key {
        request = request.header("X-API-Key", key);
    }
    request.send().await.unwrap()
}

async fn get(example: &Example, path: &str, key: &str) -> Response {
    call(example, Method::GET, path, Some(key)).await
}

async fn reason(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status);
    (status, body["reason"].as_str().unwrap().to_owned())
}

/// Through three rotations, each of which it finds out by itself.
#[tokio::test]
async fn a_client_goes_on_when_its_key_is_rotated() {
    let ended = Example::ended("self_rotating_client", &[]).await;
    assert!(ended.status.success(), "{}", ended.stderr);
    let keys: std::collections::BTreeSet<&str> =
        ended.stdout.lines().filter_map(|line| line.split("hello from key ").nth(1)?.get(..36)).collect();
    assert_eq!(keys.len(), 4, "{}", ended.stdout);
    assert!(ended.stdout.lines().last().unwrap().starts_with("at the end: hello"), "{}", ended.stdout);
}
