//! Refusals as problem+json.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use keygate_core::denial::Denial;
use keygate_http::answer::Answer;

use super::Reject;

/// Sends an answer as it is: status, headers and the problem as body (RFC 9457). It serves every body that can be
/// made from [`Bytes`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProblemRejection;

impl<B: From<Bytes>> Reject<B> for ProblemRejection {
    fn reject(&self, _: &Denial, answer: Answer) -> Response<B> {
        let mut response = Response::new(B::from(Bytes::from(answer.body)));
        // An answer has a status and headers that are in order; one that somebody changed must still be a refusal.
        *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in answer.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value)) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}
