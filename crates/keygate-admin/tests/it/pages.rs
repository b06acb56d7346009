//! The pages: they need nothing from elsewhere, and work wherever the router is mounted.

use axum::Router;
use keygate_core::store::MemoryStore;
use keygate_testkit::FaultyStore;

use crate::support::{Answer, Api};

async fn page(api: &Api, path: &str) -> Answer {
    let answer = api.call("", &format!("GET {path}"), None).await;
    assert_eq!(answer.status, 200, "{path}");
    for (name, value) in [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")] {
        assert_eq!(answer.header(name), value, "{path}");
    }
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; "), "{path}: {policy}");
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"), "{path}: {policy}");
    assert!(!policy.contains("http") && !policy.contains('*') && !policy.contains("unsafe-eval"), "{path}: {policy}");
    answer
}

/// What a page's attributes `href` and `src` name.
fn links(html: &str) -> Vec<&str> {
    let attributes = html.split(" href=\"").skip(1).chain(html.split(" src=\"").skip(1));
    attributes.map(|rest| rest.split('"').next().unwrap()).collect()
}

/// Where a link leads from a page at this path.
fn resolved(path: &str, link: &str) -> String {
    let directory = &path[..=path.rfind('/').unwrap()];
    let mut whole: Vec<&str> = directory.trim_end_matches('/').split('/').collect();
    for part in link.split('/') {
        match part {
            "." => {}
            ".." => drop(whole.pop()),
            part => whole.push(part),
        }
    }
    whole.join("/")
}

#[tokio::test]
async fn all_that_pages_need_is_theirs_wherever_they_are_mounted() {
    let api = Api::new().await;
    for prefix in ["", "/keys", "/a/b"] {
        let router =
            if prefix.is_empty() { api.router.clone() } else { Router::new().nest(prefix, api.router.clone()) };
        let mounted = Api { router, manager: api.manager.clone(), operator: api.operator.clone() };
        let root = if prefix.is_empty() { "/" } else { prefix };
        for path in [root.to_owned(), format!("{prefix}/docs")] {
            let html = page(&mounted, &path).await;
            assert_eq!(html.header("content-type"), "text/html; charset=utf-8");
            assert!(html.text.starts_with("<!DOCTYPE html>"));
            let links = links(&html.text);
            assert!(links.len() >= 4, "{links:?}");
            for link in links {
                assert!(!link.contains(':') && !link.starts_with('/'), "{link} leads away");
                let target = resolved(&path, link);
                let found = mounted.call("", &format!("GET {target}"), None).await;
                assert_eq!(found.status, 200, "{link} on {path} leads to {target}");
                assert!(!found.text.is_empty());
            }
        }
        let behind_slash = mounted.call("", &format!("GET {prefix}/docs/"), None).await;
        assert_eq!(behind_slash.status, 308);
        let target = resolved(&format!("{prefix}/docs/"), behind_slash.header("location"));
        assert_eq!(target, format!("{prefix}/docs"));
    }
}

#[tokio::test]
async fn nothing_is_fetched_from_elsewhere() {
    let api = Api::new().await;
    for (path, kind) in [
        ("/console.css", "text/css; charset=utf-8"),
        ("/docs/swagger-ui.css", "text/css; charset=utf-8"),
        ("/docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("/docs/begin.js", "text/javascript; charset=utf-8"),
        ("/docs/favicon-32x32.png", "image/png"),
    ] {
        let answer = page(&api, path).await;
        assert_eq!(answer.header("content-type"), kind);
        if path.ends_with(".css") {
            let elsewhere =
                answer.text.split("url(").skip(1).find(|url| !url.trim_start_matches(['"', '\'']).starts_with("data:"));
            assert_eq!(elsewhere, None, "{path}");
            assert!(!answer.text.contains("@import"), "{path}");
        }
    }
    let begin = page(&api, "/docs/begin.js").await.text;
    assert!(begin.contains("validatorUrl: null") && begin.contains("url: \"openapi.json\""), "{begin}");
    for path in ["/docs/index.html", "/docs/swagger-initializer.js", "/docs/..%2fconsole.css", "/docs/%2e%2e"] {
        assert_eq!(api.call("", &format!("GET {path}"), None).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_calls_are_described_where_the_document_is() {
    let api = Api::new().await;
    let document = api.call("", "GET /openapi.json", None).await.body;
    assert_eq!(document["servers"][0]["url"], "/");
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(document["paths"][path]["get"]["security"], serde_json::json!([{}]), "{path} needs no key");
    }
}

#[tokio::test]
async fn the_console_says_what_the_server_is_and_how_it_is() {
    let store = FaultyStore::new(MemoryStore::new());
    let api = Api::over(store.clone()).await;
    let html = page(&api, "/").await.text;
    assert!(html.contains(env!("CARGO_PKG_VERSION")) && html.contains("ready: keys can be checked"), "{html}");
    for left in ["{base}", "{version}", "{state}", "{mood}", "{coherence}"] {
        assert!(!html.contains(left), "{left}");
    }
    assert!(
        html.contains("curl ") && !html.contains("<script") && !html.contains("<form") && !html.contains(" style=")
    );
    assert!(!html.contains(&api.manager.describe_store()), "where the store is, is for those who watch the server");

    store.fail();
    tokio::time::sleep(std::time::Duration::from_millis(1001)).await;
    let html = page(&api, "/").await.text;
    assert!(html.contains("not ready: the store does not answer"), "{html}");
}

#[tokio::test]
async fn a_path_of_the_clients_making_cannot_become_part_of_a_page() {
    let api = Api::new().await;
    let router = Router::new().nest("/{tenant}", api.router.clone());
    let api = Api { router, ..api };
    let html = page(&api, "/a\"b{version}").await.text;
    assert!(html.contains("href=\"./a&quot;b%7Bversion%7D/docs\""), "{html}");
}
