//! The header map of actix-web, read through [`Headers`].

use actix_web::http::header::{HeaderMap, HeaderValue};
use keygate_http::headers::Headers;

pub(crate) struct HeaderLines<'map>(pub(crate) &'map HeaderMap);

impl Headers for HeaderLines<'_> {
    fn lines<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> + 'a {
        self.0.get_all(name).map(HeaderValue::as_bytes)
    }
}

/// Marks all lines of these names as sensitive: they are left out of `Debug` output.
pub(crate) fn mark_sensitive<'a>(headers: &mut HeaderMap, names: impl Iterator<Item = &'a str>) {
    for name in names {
        match headers.get_all(name).len() {
            0 => {}
            1 => headers.get_mut(name).into_iter().for_each(|line| line.set_sensitive(true)),
            _ => headers.retain(|found, line| {
                if found.as_str() == name {
                    line.set_sensitive(true);
                }
                true
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderName;

    use super::*;

    #[test]
    fn all_lines_are_read_in_their_order_and_marked() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-api-key", "a"), ("accept", "b"), ("x-api-key", "c"), ("cookie", "d")] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        assert_eq!(HeaderLines(&headers).lines("x-api-key").collect::<Vec<_>>(), [b"a", b"c"]);
        assert_eq!(HeaderLines(&headers).lines("x-api-key").next_back(), Some(&b"c"[..]));
        assert_eq!(HeaderLines(&headers).lines("authorization").count(), 0);

        mark_sensitive(&mut headers, ["authorization", "x-api-key", "cookie"].into_iter());
        for (name, value) in &headers {
            assert_eq!(value.is_sensitive(), name != "accept", "{name}");
        }
        assert_eq!(HeaderLines(&headers).lines("x-api-key").collect::<Vec<_>>(), [b"a", b"c"]);
    }
}
