//! What tells a gRPC call from other requests, and what it came to.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, Method, Request};
use keygate_core::usage::outcome::Answered;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Whether it is a gRPC call (gRPC over HTTP/2, "Requests"): a POST of `application/grpc`, `application/grpc+proto` and so on.
pub(crate) fn is_grpc<B>(request: &Request<B>) -> bool {
    // To look at the names of some headers takes less time than the hash that the map finds one by.
    let content_type = || request.headers().iter().find(|(name, _)| **name == CONTENT_TYPE).map(|(_, value)| value);
    *request.method() == Method::POST
        && content_type().is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// What a call came to, where its response begins with the status, as that of one which failed does ("trailers-only"). A
/// response that ends with it has begun well, and is not waited for.
pub(crate) fn answered(headers: &HeaderMap) -> Option<Answered> {
    headers.get(GRPC_STATUS).map(|code| of_code(code.as_bytes()))
}

fn of_code(code: &[u8]) -> Answered {
    match code {
        b"0" => Answered::Success,
        b"1" => Answered::Cancelled,
        // UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
        b"2" | b"4" | b"12" | b"13" | b"14" | b"15" => Answered::ServerError,
        // INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED,
        // OUT_OF_RANGE, UNAUTHENTICATED.
        b"3" | b"5" | b"6" | b"7" | b"8" | b"9" | b"10" | b"11" | b"16" => Answered::ClientError,
        // What is no code is UNKNOWN to a client, too.
        _ => Answered::ServerError,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn each_code_has_its_class() {
        let of = |code: u32| of_code(code.to_string().as_bytes());
        let with = |class| (0..=17).filter(|code| of(*code) == class).collect::<Vec<_>>();
        assert_eq!(with(Answered::Success), [0]);
        assert_eq!(with(Answered::Cancelled), [1]);
        assert_eq!(with(Answered::ServerError), [2, 4, 12, 13, 14, 15, 17]);
        assert_eq!(with(Answered::ClientError), [3, 5, 6, 7, 8, 9, 10, 11, 16]);
        assert_eq!(of_code(b""), Answered::ServerError);
    }

    #[test]
    fn a_call_is_a_post_of_its_own_content_type() {
        let is = |method: &str, content_type: &str| {
            let request = Request::builder().method(method).header("accept", "*/*").header(CONTENT_TYPE, content_type);
            is_grpc(&request.body(()).unwrap())
        };
        assert!(is("POST", "application/grpc"));
        assert!(is("POST", "application/grpc+proto"));
        assert!(!is("GET", "application/grpc"));
        assert!(!is("POST", "application/json"));
        assert!(!is_grpc(&Request::post("/").body(()).unwrap()));
    }

    #[test]
    fn only_what_begins_with_a_status_has_come_to_something() {
        let mut headers = HeaderMap::new();
        assert_eq!(answered(&headers), None);
        headers.insert(GRPC_STATUS, HeaderValue::from_static("5"));
        assert_eq!(answered(&headers), Some(Answered::ClientError));
    }
}
