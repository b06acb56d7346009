//! Refusals as a gRPC status.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use keygate_core::denial::Denial;
use keygate_core::limiter::policy::Standing;
use keygate_http::answer::{Answer, grpc_code, retry_after_seconds};
use keygate_http::rate_limit::{RATE_LIMIT, RATE_LIMIT_POLICY};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, QuotaViolation, StatusExt};

use super::Reject;

/// What is encoded in `grpc-message`: all but printable ASCII, and `%` itself (gRPC over HTTP/2, "Responses").
const MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// Sends a refusal as gRPC does: status 200 without a body, the gRPC status in the headers ("trailers-only").
///
/// Beside `grpc-status` and `grpc-message` there is the stable reason in `x-keygate-reason`, and, where waiting
/// helps, `grpc-retry-pushback-ms` (gRFC A6), which clients with a retry policy follow by themselves: the whole seconds
/// that `Retry-After` tells others. Where a request costs more than a limit it is -1, which asks them not to try again.
///
/// Whoever reads details of errors has the same in `grpc-status-details-bin`, as `google.rpc.RetryInfo`, and the limits that
/// had no room as `google.rpc.QuotaFailure`. `RateLimit-Policy` and `RateLimit` are metadata here, of the same text.
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
        if let Some(pushback) = pushback(denial) {
            insert(headers, "grpc-retry-pushback-ms", &pushback);
        }
        if let Some(details) = details(denial) {
            insert(headers, "grpc-status-details-bin", &BASE64_STANDARD_NO_PAD.encode(details.details()));
        }
        for name in [RATE_LIMIT_POLICY, RATE_LIMIT] {
            if let Some(field) = answer.header(name) {
                insert(headers, name, field);
            }
        }
        response
    }
}

fn pushback(denial: &Denial) -> Option<String> {
    let is_permanent = denial.exceeded().is_some_and(|exceeded| exceeded.is_permanent);
    let wait = retry_after_seconds(denial).map(|seconds| seconds.saturating_mul(1000).to_string());
    wait.or_else(|| is_permanent.then(|| "-1".to_owned()))
}

/// A `google.rpc.Status` of when to come back and which limits had no room, if there is any of it to say.
fn details(denial: &Denial) -> Option<Status> {
    let (wait, exceeded) = (retry_after_seconds(denial), denial.exceeded());
    if wait.is_none() && exceeded.is_none() {
        return None;
    }
    let mut details = ErrorDetails::new();
    if let Some(seconds) = wait {
        details.set_retry_info(Some(Duration::from_secs(seconds)));
    }
    let violations: Vec<_> = exceeded.into_iter().flat_map(|exceeded| &exceeded.violated).map(violation).collect();
    if !violations.is_empty() {
        details.set_quota_failure(violations);
    }
    let code = Code::from_i32(grpc_code(denial.reason()).into());
    Some(Status::with_error_details(code, denial.detail(), details))
}

/// What the limit is shared by, and which it is: `organization`, `organization-day: 100000 in 86400 s`.
fn violation(standing: &Standing) -> QuotaViolation {
    let Standing { policy, .. } = standing;
    let description = format!("{policy}: {} in {} s", policy.limit, policy.seconds);
    QuotaViolation::new(policy.level.as_str(), description)
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
        let pushback = |denial: Denial| {
            let pushback = reject(&denial).headers().get("grpc-retry-pushback-ms")?.to_str().unwrap().to_owned();
            let answer = Answer::new(&denial, &Realm::default());
            assert_eq!(pushback, format!("{}000", answer.header("retry-after").unwrap()));
            Some(pushback)
        };
        let after = |reason, millis| pushback(Denial::new(reason).retry_after(Duration::from_millis(millis)));
        for (millis, told) in [(0, "1000"), (1, "1000"), (1000, "1000"), (1500, "2000")] {
            assert_eq!(after(DenialReason::RateLimitExceeded, millis).as_deref(), Some(told));
            assert_eq!(after(DenialReason::StoreUnavailable, millis).as_deref(), Some(told));
        }
        assert_eq!(after(DenialReason::InvalidKey, 1500), None);
        assert_eq!(pushback(Denial::new(DenialReason::StoreUnavailable)).as_deref(), Some("1000"));
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(utf8_percent_encode("50 % ä\n~", MESSAGE).to_string(), "50 %25 %C3%A4%0A~");
    }
}
