//! Revisions as entity tags (RFC 9110, sections 8.8.3 and 13.1.1).

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use keygate_core::manager::ManageError;
use keygate_core::record::Revision;
use serde::Serialize;
use utoipa::IntoParams;

use crate::problem::Problem;

/// A representation with its revision as `ETag`.
#[derive(Debug)]
pub(crate) struct Tagged<T> {
    pub(crate) revision: Revision,
    pub(crate) body: T,
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = axum::Json(self.body).into_response();
        if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", self.revision)) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// How the document describes the condition of a change.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
pub(crate) struct IfMatchHeader {
    /// Do it only if what is named still has this `ETag`, or `*`.
    #[param(rename = "If-Match", example = "\"3\"")]
    if_match: Option<String>,
}

/// The revisions a change may be made to: what `If-Match` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// Any: there is none, or it is `*`.
    Any,
    /// This one.
    Exactly(Revision),
}

impl IfMatch {
    /// The revision that is expected.
    pub(crate) fn expected(&self) -> Option<Revision> {
        match self {
            Self::Any => None,
            Self::Exactly(revision) => Some(*revision),
        }
    }

    /// What a failed change is answered with: a conflict is a precondition that failed where there was one.
    pub(crate) fn problem(&self, error: ManageError) -> Problem {
        match (self, &error) {
            (Self::Exactly(_), ManageError::Conflict { .. }) => Problem::precondition_failed(error.to_string()),
            _ => error.into(),
        }
    }

    fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(header::IF_MATCH).iter();
        let Some(value) = values.next() else { return Ok(Self::Any) };
        if values.next().is_some() {
            return Err(Problem::invalid("If-Match must name one entity tag"));
        }
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self::Any);
        }
        let Some(tag) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
            return Err(Problem::invalid("If-Match must be * or one entity tag in quotes, as ETag gave it"));
        };
        // A tag that no revision has is one that nothing has: the change is not made.
        let revision = tag.parse().ok().map(Revision).filter(|revision| revision.to_string() == tag);
        let changed = || Problem::precondition_failed("what is to be changed does not have the entity tag in If-Match");
        revision.map(Self::Exactly).ok_or_else(changed)
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::read(&parts.headers)
    }
}
