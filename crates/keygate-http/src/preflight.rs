//! Which requests are CORS preflights.
//!
//! A browser sends a preflight without credentials, whatever the page asked for, so a layer that stands outside of
//! the CORS layer would refuse every request of a page on another origin before the real one is sent.
//!
//! # Example
//!
//! ```
//! use keygate_http::preflight::is_preflight;
//!
//! let headers = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "GET")];
//! assert!(is_preflight("OPTIONS", &headers[..]));
//! assert!(!is_preflight("OPTIONS", &headers[..1]));
//! ```

use crate::headers::Headers;

/// Whether this is a CORS preflight: an `OPTIONS` request with `Origin` and `Access-Control-Request-Method` (Fetch
/// standard, "CORS-preflight request"). Any client can send one: whoever lets it through without a key opens what
/// answers `OPTIONS`, and nothing else.
#[must_use]
pub fn is_preflight<H: Headers + ?Sized>(method: &str, headers: &H) -> bool {
    let has = |name| headers.lines(name).next().is_some();
    method == "OPTIONS" && has("origin") && has("access-control-request-method")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_options_with_both_headers_is_a_preflight() {
        let headers = [("origin", "null"), ("access-control-request-method", "DELETE")];
        assert!(is_preflight("OPTIONS", &headers[..]));
        assert!(!is_preflight("options", &headers[..]));
        assert!(!is_preflight("GET", &headers[..]));
        assert!(!is_preflight("OPTIONS", &headers[1..]));
        assert!(!is_preflight("OPTIONS", &headers[..1]));
    }
}
