//! Refusals as a gRPC status.

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use keygate_core::denial::Denial;
use keygate_http::answer::{Answer, grpc_code};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::Reject;

/// What is encoded in `grpc-message`: all but printable ASCII, and `%` itself (gRPC over HTTP/2, "Responses").
const MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// Sends a refusal as gRPC does: status 200 without a body, the gRPC status in the headers ("trailers-only").
///
/// Beside `grpc-status` and `grpc-message` there is the stable reason in `x-keygate-reason`, and, where waiting
/// helps, `grpc-retry-pushback-ms` (gRFC A6), which clients with a retry policy follow by themselves.
///
/// It serves every body that has a default, which must be the empty one, as tonic's is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GrpcRejection;

impl<B: Default> Reject<B> for GrpcRejection {
    fn reject(&self, denial: &Denial, answer: Answer) -> Response<B> {
        let mut response = Response::new(B::default());
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        insert(headers, "grpc-status", &grpc_code(denial.reason()).to_string());
        insert(headers, "grpc-message", &utf8_percent_encode(&denial.detail(), MESSAGE).to_string());
        insert(headers, "x-keygate-reason", denial.reason().as_str());
        // The answer knows for which reasons waiting helps.
        if let (Some(_), Some(wait)) = (answer.header("retry-after"), denial.wait()) {
            insert(headers, "grpc-retry-pushback-ms", &wait.as_millis().to_string());
        }
        response
    }
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keygate_core::denial::DenialReason;
    use keygate_http::answer::Realm;

    use super::*;

    fn reject(denial: &Denial) -> Response<String> {
        GrpcRejection.reject(denial, Answer::new(denial, &Realm::default()))
    }

    #[test]
    fn every_refusal_is_trailers_only() {
        for reason in DenialReason::ALL {
            let response = reject(&Denial::new(reason));
            assert_eq!(response.status(), 200);
            assert_eq!(response.body(), "");
            assert_eq!(response.headers()["content-type"], "application/grpc");
            assert_eq!(response.headers()["grpc-status"], grpc_code(reason).to_string());
            assert_eq!(response.headers()["x-keygate-reason"], reason.as_str());
            assert_eq!(response.headers()["grpc-message"], &*Denial::new(reason).detail());
        }
    }

    #[test]
    fn a_client_with_a_retry_policy_is_told_when_to_come_back() {
        let pushback = |reason| {
            let response = reject(&Denial::new(reason).retry_after(Duration::from_millis(1500)));
            response.headers().get("grpc-retry-pushback-ms").map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(pushback(DenialReason::RateLimitExceeded).as_deref(), Some("1500"));
        assert_eq!(pushback(DenialReason::StoreUnavailable).as_deref(), Some("1500"));
        assert_eq!(pushback(DenialReason::InvalidKey), None);
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(utf8_percent_encode("50 % ä\n~", MESSAGE).to_string(), "50 %25 %C3%A4%0A~");
    }
}
