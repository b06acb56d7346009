//! The header map of the `http` crate, read through [`Headers`].

use http::header::Entry;
use http::{HeaderMap, HeaderValue};
use keygate_http::headers::Headers;

pub(crate) struct HeaderLines<'map>(pub(crate) &'map HeaderMap);

impl Headers for HeaderLines<'_> {
    fn lines<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> + 'a {
        self.0.get_all(name).iter().map(HeaderValue::as_bytes)
    }
}

/// Marks all lines of these names as sensitive: they are left out of `Debug` output, and HTTP/2 keeps them out of its
/// compression tables.
pub(crate) fn mark_sensitive<'a>(headers: &mut HeaderMap, names: impl Iterator<Item = &'a str>) {
    for name in names {
        // An entry of its own accord makes room for one more header, so only where there is one.
        if headers.contains_key(name)
            && let Ok(Entry::Occupied(mut lines)) = headers.try_entry(name)
        {
            lines.iter_mut().for_each(|line| line.set_sensitive(true));
        }
    }
}
