//! Pages for people: what this server is, and the reference of its calls. All they need comes from here, by links that
//! are relative, so that they work wherever the router is mounted.

use std::borrow::Cow;

use axum::Router;
use axum::extract::{OriginalUri, Path, State as StateOf};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use keygate_core::coherence::Coherence;
use keygate_core::manager::StoreState;
use utoipa_swagger_ui::Config;

use crate::admin::State;

const CONSOLE: &str = include_str!("console.html");
const CONSOLE_STYLE: &str = include_str!("console.css");
const DOCS: &str = include_str!("docs.html");
const DOCS_SCRIPT: &str = include_str!("docs.js");

/// The console has no script, and nothing but its own style.
const CONSOLE_POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The reference page sets styles from its script, and has its pictures in its style.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// What is not asked for again within an hour: it changes with the version only.
const KEPT: &str = "public, max-age=3600";
const FRESH: &str = "no-cache";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const PNG: &str = "image/png";

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/", get(console))
        .route("/console.css", get(async || page(CSS, CONSOLE_POLICY, KEPT, CONSOLE_STYLE)))
        .route("/docs", get(async || page(HTML, DOCS_POLICY, FRESH, DOCS)))
        // Relative links of a page lead elsewhere from behind a slash.
        .route("/docs/", get(async || Redirect::permanent("../docs")))
        .route("/docs/{file}", get(part_of_docs))
}

async fn console(StateOf(state): StateOf<State>, OriginalUri(uri): OriginalUri) -> Response {
    let store = state.look().await;
    let ending = state.ending().has_begun();
    let ready = store.is_confirmed() && !ending;
    let filled = CONSOLE
        .replace("{base}", &base(&uri))
        .replace("{version}", env!("CARGO_PKG_VERSION"))
        .replace("{mood}", if ready { "good" } else { "bad" })
        .replace("{state}", if ending { "ending: finishing what it has begun" } else { in_words(store) })
        .replace("{coherence}", told_how(state.manager().coherence()));
    page(HTML, CONSOLE_POLICY, FRESH, filled)
}

/// What stands before the links of the page at this path: its last segment, where no slash ends it.
fn base(uri: &Uri) -> String {
    match uri.path().rsplit_once('/') {
        Some((_, last)) if !last.is_empty() => format!("./{}/", escaped(last)),
        _ => "./".to_owned(),
    }
}

/// A text as an attribute of HTML takes it.
fn escaped(text: &str) -> String {
    let entity = |c| match c {
        '&' => Cow::Borrowed("&amp;"),
        '<' => Cow::Borrowed("&lt;"),
        '>' => Cow::Borrowed("&gt;"),
        '"' => Cow::Borrowed("&quot;"),
        '\'' => Cow::Borrowed("&#39;"),
        // In a template, what comes from outside must not be taken for a place to be filled.
        '{' => Cow::Borrowed("%7B"),
        '}' => Cow::Borrowed("%7D"),
        c => Cow::Owned(c.to_string()),
    };
    text.chars().map(entity).collect()
}

fn in_words(store: StoreState) -> &'static str {
    match store {
        StoreState::Confirmed => "ready: keys can be checked",
        StoreState::Unreachable => "not ready: the store does not answer",
        StoreState::Damaged => "not ready: the store cannot be read",
        StoreState::Emptied => "not ready: the store was emptied or replaced",
        StoreState::WrongSecret => "not ready: the store was set up under another secret",
        StoreState::SecretMissing => "not ready: keys in the store need a secret that is not there",
        _ => "not ready: the store could not be set up",
    }
}

fn told_how(coherence: Coherence) -> &'static str {
    match coherence {
        Coherence::InProcess => "known at once, as the store is of this process",
        Coherence::Live => "told by the store as they happen",
        Coherence::TimeBound(_) => "found out after a bounded time, as the store cannot tell",
        Coherence::Unreachable => "not known, as the store is not reached",
        _ => "read from the store with every request",
    }
}

async fn part_of_docs(Path(file): Path<String>) -> Response {
    let kind = match file.as_str() {
        "begin.js" => return page(JAVASCRIPT, DOCS_POLICY, KEPT, DOCS_SCRIPT),
        "swagger-ui-bundle.js" => JAVASCRIPT,
        "swagger-ui.css" => CSS,
        "favicon-32x32.png" => PNG,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let Ok(Some(found)) = utoipa_swagger_ui::serve(&file, Config::default().into()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut response = page(kind, DOCS_POLICY, KEPT, found.bytes);
    if found.gzpipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// A page or a part of one, which nothing else may be made of.
fn page(kind: &'static str, policy: &'static str, kept: &'static str, body: impl IntoResponse) -> Response {
    const HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, header::CONTENT_SECURITY_POLICY, header::CACHE_CONTROL];
    let mut response = body.into_response();
    let headers = response.headers_mut();
    for (name, value) in HEADERS.into_iter().zip([kind, policy, kept]) {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_into_the_router_wherever_it_is_mounted() {
        let at = |path: &'static str| base(&Uri::from_static(path));
        assert_eq!([at("/"), at("/keys"), at("/keys/"), at("/a/b")], ["./", "./keys/", "./", "./b/"]);
        assert_eq!(at("/javascript:alert(1)"), "./javascript:alert(1)/");
        assert_eq!(at("/a\"b{version}"), "./a&quot;b%7Bversion%7D/");
    }
}
