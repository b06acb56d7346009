//! Finding the credential within one line: a bearer token, a cookie, a query parameter.

use crate::headers::{is_token_byte, trim_whitespace};

/// The token of an `Authorization` line if its scheme is `Bearer`, in whatever case, and `None` for another scheme.
///
/// The scheme ends at the first byte that cannot stand in one, not at the first space: what another reader might
/// take for `Bearer` and a token is counted as one, and refused as malformed if it is not separated by spaces.
pub(super) fn bearer_token(line: &[u8]) -> Option<&[u8]> {
    let end = line.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(line.len());
    let (scheme, rest) = line.split_at(end);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return None;
    }
    let token = rest.iter().position(|byte| *byte != b' ').unwrap_or(rest.len());
    Some(&rest[token..])
}

/// The raw values of the cookies of this name in one `Cookie` line, quotes and all (RFC 6265, section 4.2.1).
pub(super) fn cookie_values<'a>(line: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
    line.split(|byte| *byte == b';').filter_map(move |pair| {
        let (found, value) = split_at_equals(pair)?;
        (trim_whitespace(found) == name.as_bytes()).then_some(value)
    })
}

/// The raw values of the parameters of this name in a query. A parameter without `=` is an empty value.
pub(super) fn parameter_values<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
    query.as_bytes().split(|byte| *byte == b'&').filter_map(move |pair| {
        let (found, value) = split_at_equals(pair).unwrap_or((pair, b""));
        (found == name.as_bytes()).then_some(value)
    })
}

fn split_at_equals(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    Some((&pair[..equals], &pair[equals + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_read_in_any_case_and_the_token_as_it_is() {
        for (line, token) in [
            ("Bearer abc", Some("abc")),
            ("bEARER   abc", Some("abc")),
            ("Bearer abc ", Some("abc ")),
            ("Bearer a, Bearer b", Some("a, Bearer b")),
            ("Bearer", Some("")),
            ("Bearer  ", Some("")),
            ("Bearer\tabc", Some("\tabc")),
            ("Bearer:abc", Some(":abc")),
            ("Basic YTpi", None),
            ("Bearerabc", None),
            ("Bearer-abc x", None),
            (" Bearer abc", None),
            ("", None),
        ] {
            assert_eq!(bearer_token(line.as_bytes()), token.map(str::as_bytes), "{line:?}");
        }
    }

    #[test]
    fn cookies_are_found_by_their_whole_name_and_taken_raw() {
        let values = |line: &'static str| {
            cookie_values(line.as_bytes(), "key").map(|v| String::from_utf8_lossy(v).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(values("a=1; key=abc; b=2"), ["abc"]);
        assert_eq!(values("key=a; key=b"), ["a", "b"]);
        assert_eq!(values("key=a;key =b"), ["a", "b"]);
        assert_eq!(values("key=\"a b\"; KEY=x; xkey=y; keyx=z; key"), ["\"a b\""]);
        assert_eq!(values("key=a=b "), ["a=b "]);
        assert_eq!(values("key="), [""]);
    }

    #[test]
    fn parameters_are_not_percent_decoded() {
        let values = |query| parameter_values(query, "key").collect::<Vec<_>>();
        assert_eq!(values("a=1&key=abc"), [b"abc"]);
        assert_eq!(values("key=%61bc+"), [b"%61bc+"]);
        assert_eq!(values("k%65y=abc&xkey=d&Key=e"), [b""; 0]);
        assert_eq!(values("key&key="), [b"", b""]);
    }
}
