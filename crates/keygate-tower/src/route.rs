//! Which route a request has matched.

use http::{Extensions, Request};

use crate::grpc::is_grpc;

/// What stands for the method in the route that tonic has axum match: `/acme.Reports/{*rest}`.
const ANY_METHOD: &str = "/{*rest}";

/// The pattern that axum's router has matched. Of a gRPC call it is the path, which names the service and the method, unless
/// a route of another kind was matched: what a client sends to that is no call, whatever it says it is.
pub(crate) fn route<B>(request: &Request<B>) -> Option<&str> {
    let matched = matched_path(request.extensions());
    if matched.is_none_or(|route| route.ends_with(ANY_METHOD)) && is_grpc(request) {
        return method(request.uri().path());
    }
    matched
}

/// `/acme.Reports/List`, and nothing longer.
fn method(path: &str) -> Option<&str> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    (!service.is_empty() && !method.is_empty() && !method.contains('/')).then_some(path)
}

#[cfg(feature = "axum")]
fn matched_path(extensions: &Extensions) -> Option<&str> {
    extensions.get::<axum::extract::MatchedPath>().map(axum::extract::MatchedPath::as_str)
}

#[cfg(not(feature = "axum"))]
fn matched_path(_: &Extensions) -> Option<&str> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_of_a_call_is_its_route() {
        let of = |path: &str, content_type| {
            let request = Request::post(path).header("content-type", content_type).body(()).unwrap();
            route(&request).map(ToOwned::to_owned)
        };
        assert_eq!(of("/acme.Reports/List", "application/grpc").as_deref(), Some("/acme.Reports/List"));
        assert_eq!(of("/acme.Reports/List", "application/json"), None);
        for path in ["/", "/acme.Reports", "/acme.Reports/", "//List", "/acme.Reports/List/1"] {
            assert_eq!(of(path, "application/grpc"), None, "{path}");
        }
    }
}
