//! Reading what a request says: its body, its query and its path, with a problem that names what is wrong.

use axum::body::{Body, Bytes};
use axum::extract::path::ErrorKind;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::fields::Object;
use crate::problem::Problem;

/// The longest word of a request that a problem repeats, in bytes.
const LONGEST_WORD: usize = 32;

/// A JSON object as body.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let axum::Json(Object(body)) = axum::Json::<Object<T>>::from_request(request, state).await?;
        Ok(Self(body))
    }
}

/// A JSON object as body, which may be left out, as may be one of `null`.
#[derive(Debug)]
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        let request = Request::from_parts(parts, Body::from(bytes));
        let axum::Json(body) = axum::Json::<Option<Object<T>>>::from_request(request, state).await?;
        Ok(Self(body.map_or_else(T::default, |Object(body)| body)))
    }
}

/// The parameters after the `?`.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(crate) struct Query<T>(pub(crate) T);

/// The parts of the path that vary.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(crate) struct Path<T>(pub(crate) T);

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            JsonRejection::JsonDataError(error) => Self::invalid(what(error.body_text())),
            JsonRejection::JsonSyntaxError(error) => {
                Self::new(StatusCode::BAD_REQUEST, "malformed_body", "Malformed body", what(error.body_text()))
            }
            JsonRejection::MissingJsonContentType(_) => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Unsupported media type",
                "Send the body as application/json.",
            ),
            JsonRejection::BytesRejection(error) => error.into(),
            error => Self::new(error.status(), "malformed_body", "Malformed body", error.body_text()),
        }
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        let (reason, title) = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "Body too large"),
            _ => ("malformed_body", "Malformed body"),
        };
        Self::new(rejection.status(), reason, title, rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(what(rejection.body_text()))
    }
}

impl From<PathRejection> for Problem {
    /// Does not repeat what the path says: people paste the key itself where its id is meant.
    fn from(rejection: PathRejection) -> Self {
        let unreadable = || "the path names something that cannot be".to_owned();
        let PathRejection::FailedToDeserializePathParams(error) = rejection else { return Self::invalid(unreadable()) };
        Self::invalid(match error.into_kind() {
            ErrorKind::Message(message) => message,
            ErrorKind::DeserializeError { key, message, .. } => format!("{key}: {message}"),
            ErrorKind::InvalidUtf8InPathParam { key } => format!("{key}: must be UTF-8"),
            _ => unreadable(),
        })
    }
}

/// What is wrong, without the words about whose reading failed that it begins with.
fn what(text: String) -> String {
    let beginnings = [
        "Failed to parse the request body as JSON: ",
        "Failed to deserialize the JSON body into the target type: ",
        "Failed to deserialize query string: ",
    ];
    let rest = beginnings.iter().find_map(|beginning| text.strip_prefix(beginning).map(ToOwned::to_owned));
    without_long_words(&rest.unwrap_or(text))
}

/// A reader repeats what it stumbles over, and that may be a key at a wrong place. No word as long as a key's goes back:
/// those of ours are shorter.
fn without_long_words(text: &str) -> String {
    let is_in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_in_word) {
        let (before, at_word) = rest.split_at(start);
        let (word, after) = at_word.split_at(at_word.find(|c| !is_in_word(c)).unwrap_or(at_word.len()));
        kept.push_str(before);
        kept.push_str(if word.len() > LONGEST_WORD { "..." } else { word });
        rest = after;
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_problem_repeats_a_word_as_long_as_a_key() {
        let key = format!("mcp_dev_{}", "x".repeat(76));
        assert_eq!(without_long_words(&format!("unknown field `{key}`, at 1")), "unknown field `...`, at 1");
        for text in
            ["", "unknown field `plan`, expected `ä`", &"x".repeat(32), "`01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f`"]
        {
            assert_eq!(without_long_words(text), text);
        }
    }
}
