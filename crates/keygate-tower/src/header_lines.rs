//! The header map of the `http` crate, read through [`Headers`].

use http::{HeaderMap, HeaderName, HeaderValue};
use keygate_http::headers::Headers;

/// What proxies say whom they forward for in, unless they are told otherwise.
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The names of the headers that a credential may stand in, parsed once: to parse one takes several times as long as to
/// look it up.
#[derive(Debug, Clone)]
pub(crate) struct CredentialHeaders(Box<[HeaderName]>);

impl CredentialHeaders {
    /// The name, where it is parsed already: it is one of these, or the one that proxies write.
    pub(crate) fn parsed(&self, name: &str) -> Option<&HeaderName> {
        self.0.iter().chain([&X_FORWARDED_FOR]).find(|known| known.as_str() == name)
    }
}

impl<'a> FromIterator<&'a str> for CredentialHeaders {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        // All of them are tokens, which every name of a header may be.
        Self(names.into_iter().filter_map(|name| name.parse().ok()).collect())
    }
}

pub(crate) struct HeaderLines<'map> {
    pub(crate) headers: &'map HeaderMap,
    pub(crate) credentials: &'map CredentialHeaders,
}

impl Headers for HeaderLines<'_> {
    fn lines<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> + 'a {
        let lines = match self.credentials.parsed(name) {
            Some(known) => self.headers.get_all(known),
            None => self.headers.get_all(name),
        };
        lines.iter().map(HeaderValue::as_bytes)
    }
}

/// Marks all lines of these names as sensitive: they are left out of `Debug` output, and HTTP/2 keeps them out of its
/// compression tables.
pub(crate) fn mark_sensitive(headers: &mut HeaderMap, credentials: &CredentialHeaders) {
    // To look at all names takes less time than the hash that the map finds one by.
    for (name, line) in headers.iter_mut() {
        if credentials.0.contains(name) {
            line.set_sensitive(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lines_are_read_in_their_order_and_marked() {
        let mut headers = HeaderMap::new();
        let credentials = ["authorization", "x-api-key", "cookie"].into_iter().collect();
        let received =
            [("x-api-key", "a"), ("accept", "b"), ("x-api-key", "c"), ("cookie", "d"), ("x-forwarded-for", "e")];
        for (name, value) in received {
            headers.append(name, HeaderValue::from_static(value));
        }
        let lines = HeaderLines { headers: &headers, credentials: &credentials };
        assert_eq!(lines.lines("x-api-key").collect::<Vec<_>>(), [b"a", b"c"]);
        assert_eq!(lines.lines("x-api-key").next_back(), Some(&b"c"[..]));
        assert_eq!(lines.lines("authorization").count(), 0);
        // Names that are no credential's are found all the same.
        assert_eq!(lines.lines("x-forwarded-for").collect::<Vec<_>>(), [b"e"]);
        assert_eq!(lines.lines("accept").collect::<Vec<_>>(), [b"b"]);

        mark_sensitive(&mut headers, &credentials);
        for (name, value) in &headers {
            assert_eq!(value.is_sensitive(), name != "accept" && name != X_FORWARDED_FOR, "{name}");
        }

        headers.remove("x-api-key");
        headers.insert("x-api-key", HeaderValue::from_static("a"));
        mark_sensitive(&mut headers, &credentials);
        assert!(headers["x-api-key"].is_sensitive());
    }
}
