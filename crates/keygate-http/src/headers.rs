//! Reading a request's header lines, whatever type a framework keeps them in.
//!
//! # Example
//!
//! Any slice of name and value pairs can be read:
//!
//! ```
//! use keygate_http::headers::Headers;
//!
//! let headers = [("Host", "api.example"), ("X-Forwarded-For", "192.0.2.1"), ("x-forwarded-for", "10.0.0.1")];
//! let lines: Vec<&[u8]> = headers[..].lines("x-forwarded-for").collect();
//! assert_eq!(lines, [&b"192.0.2.1"[..], b"10.0.0.1"]);
//! ```

/// A request's header lines. Adapters implement it for the header map of their framework.
///
/// It gives *all* lines of a name: a reader that sees the first one only lets a second one through unseen
/// (CVE-2020-25017).
pub trait Headers {
    /// The values of all lines of this name, as bytes, in the order they were received. `name` is in lower case; the
    /// names of the lines are compared without regard to case.
    fn lines<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> + 'a;
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for [(N, V)] {
    fn lines<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> + 'a {
        self.iter().filter(move |(line, _)| line.as_ref().eq_ignore_ascii_case(name)).map(|(_, value)| value.as_ref())
    }
}

/// Whether a byte may stand in a token: a header name, a scheme, the name of a cookie (RFC 9110, section 5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Without the spaces and tabs around it: optional whitespace between the parts of a header, never part of a key.
pub(crate) fn trim_whitespace(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}
