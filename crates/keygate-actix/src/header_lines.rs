//! The header map of actix-web, read through [`Headers`].

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, X_FORWARDED_FOR};
use keygate_http::headers::Headers;

/// The names of the headers that a credential may stand in, parsed once. actix-web makes a name of every text that a
/// header is looked up by, and allocates for each that it has not registered.
#[derive(Debug)]
pub(crate) struct CredentialHeaders(Box<[HeaderName]>);

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
        let lines = match self.credentials.0.iter().find(|known| known.as_str() == name) {
            Some(known) => self.headers.get_all(known),
            None if X_FORWARDED_FOR == *name => self.headers.get_all(X_FORWARDED_FOR),
            None => self.headers.get_all(name),
        };
        lines.map(HeaderValue::as_bytes)
    }
}

/// Marks all lines of these names as sensitive: they are left out of `Debug` output.
pub(crate) fn mark_sensitive(headers: &mut HeaderMap, credentials: &CredentialHeaders) {
    for name in &credentials.0 {
        match headers.get_all(name).len() {
            0 => {}
            1 => headers.get_mut(name).into_iter().for_each(|line| line.set_sensitive(true)),
            _ => headers.retain(|found, line| {
                if found == name {
                    line.set_sensitive(true);
                }
                true
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lines_are_read_in_their_order_and_marked() {
        let mut headers = HeaderMap::new();
        let received =
            [("x-api-key", "a"), ("accept", "b"), ("x-api-key", "c"), ("cookie", "d"), ("x-forwarded-for", "e")];
        for (name, value) in received {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let credentials = ["authorization", "x-api-key", "cookie"].into_iter().collect();
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
        let lines = HeaderLines { headers: &headers, credentials: &credentials };
        assert_eq!(lines.lines("x-api-key").collect::<Vec<_>>(), [b"a", b"c"]);
    }
}
