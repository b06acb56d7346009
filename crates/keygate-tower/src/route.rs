//! Which route a request has matched.

use http::{Extensions, Request};

use crate::grpc::is_grpc;

/// What stands for the method in the route that tonic has axum match: `/acme.Reports/{*rest}`.
const ANY_METHOD: &str = "{*rest}";

/// The pattern that axum's router has matched. Of a gRPC call it is the path, which names the service and the method, where
/// no route was matched or the one of this very service: what a client sends to another route is no call, whatever it says.
pub(crate) fn route<B>(request: &Request<B>) -> Option<&str> {
    let matched = matched_path(request.extensions());
    if is_grpc(request)
        && let Some((service, path)) = method(request.uri().path())
        && matched.is_none_or(|route| route.strip_prefix(service) == Some(ANY_METHOD))
    {
        return Some(path);
    }
    matched
}

/// `/acme.Reports/` and `/acme.Reports/List`, of names as they are in protocol buffers, and nothing longer.
fn method(path: &str) -> Option<(&str, &str)> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let (package, name) = path.strip_prefix('/')?.split_once('/')?;
    let is_method = package.split('.').all(is_name) && is_name(name);
    is_method.then_some((&path[..package.len() + 2], path))
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
        for path in ["/", "/acme.Reports", "/acme.Reports/", "//List", "/acme.Reports/List/1", "/a-b/List", "/acme/1x"]
        {
            assert_eq!(of(path, "application/grpc"), None, "{path}");
        }
    }
}
