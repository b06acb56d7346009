//! Refusals as problem+json.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use keygate_core::denial::Denial;
use keygate_http::answer::Answer;

use super::Reject;

/// Sends an answer as it is: status, headers and the problem as body (RFC 9457).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProblemRejection;

impl Reject for ProblemRejection {
    fn reject(&self, _: &Denial, answer: Answer) -> HttpResponse {
        // An answer has a status and headers that are in order; one that somebody changed must still be a refusal.
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        for (name, value) in answer.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value)) {
                response.append_header((name, value));
            }
        }
        response.body(answer.body)
    }
}
