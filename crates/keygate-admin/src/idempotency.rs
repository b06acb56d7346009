//! Requests that are done once however often they are sent (`Idempotency-Key`, draft-ietf-httpapi-idempotency-key-header).

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use keygate_core::manager::IdempotencyKey;
use utoipa::IntoParams;

use crate::problem::Problem;

const NAME: &str = "idempotency-key";
const REPLAYED: &str = "idempotent-replayed";

/// How the document describes it.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
pub(crate) struct IdempotencyHeader {
    /// Your name for this request, by which it is known again for 24 hours: 1 to 255 visible ASCII characters, in quotes or
    /// bare.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 512)]
    idempotency_key: Option<String>,
}

/// The caller's name for a request, if it has one.
#[derive(Debug)]
pub(crate) struct Idempotency(pub(crate) Option<IdempotencyKey>);

impl<S: Sync> FromRequestParts<S> for Idempotency {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(&parts.headers).map(Self)
    }
}

/// The answer to a request that was answered before.
pub(crate) fn replayed(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn read(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let refused = || Problem::invalid("Idempotency-Key: must be one key of 1 to 255 visible ASCII characters");
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refused());
    }
    let text = value.to_str().map_err(|_| refused())?.trim_matches([' ', '\t']);
    let key = match text.strip_prefix('"') {
        Some(quoted) => IdempotencyKey::new(unquoted(quoted).ok_or_else(refused)?),
        None => IdempotencyKey::new(text),
    };
    key.map(Some).map_err(|_| refused())
}

/// What stands in a string, behind its first quote (RFC 9651, section 3.3.3).
fn unquoted(quoted: &str) -> Option<String> {
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => break,
            '\\' => text.push(characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            character => text.push(character),
        }
    }
    characters.next().is_none().then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_one(value: &str) -> Result<Option<IdempotencyKey>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(NAME, HeaderValue::from_str(value).unwrap());
        read(&headers)
    }

    #[test]
    fn a_key_may_stand_in_quotes_or_bare() {
        for (value, key) in [
            ("abc", "abc"),
            ("\"abc\"", "abc"),
            (" \t\"abc\" ", "abc"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            (r#"a"b\c"#, r#"a"b\c"#),
        ] {
            assert_eq!(read_one(value).unwrap().unwrap().as_str(), key, "{value}");
        }
        assert_eq!(read(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = "x".repeat(256);
        for value in
            ["", "\"", "\"\"", "\"a", "\"a\"b", "\"a\";q=1", "\"a\" \"b\"", r#""\a""#, "\"a\\", "a b", "\"a b\"", &long]
        {
            assert!(read_one(value).is_err(), "{value}");
        }
        let mut headers = HeaderMap::new();
        headers.append(NAME, HeaderValue::from_static("a"));
        headers.append(NAME, HeaderValue::from_static("a"));
        assert!(read(&headers).is_err());
        headers.clear();
        headers.insert(NAME, HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(read(&headers).is_err());
    }

    proptest! {
        #[test]
        fn every_key_can_be_quoted(key in "[!-~]{1,255}") {
            let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
            let read = read_one(&quoted).unwrap().unwrap();
            prop_assert_eq!(read.as_str(), key);
        }
    }
}
