//! Reading the address of one hop.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::headers::{is_token_byte, trim_whitespace};

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(trim_whitespace(text)).ok()?;
    let address = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']')?;
        let port_or_nothing = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        IpAddr::V6(address.parse::<Ipv6Addr>().ok().filter(|_| port_or_nothing)?)
    } else if let Ok(address) = text.parse::<IpAddr>() {
        address
    } else {
        let (address, port) = text.split_once(':')?;
        IpAddr::V4(address.parse::<Ipv4Addr>().ok().filter(|_| is_port(port))?)
    };
    Some(address.to_canonical())
}

/// The address in the `for` parameter of one element of a `Forwarded` header. `None` when there is no such parameter
/// or two, when it is no address, and when the element is not of the grammar (RFC 7239, section 4).
///
/// Two things are read that the grammar does not have, since proxies write them and they are plain: whitespace around
/// `;`, and colons and brackets outside of quotes. Backslashes are not resolved: no address needs one.
pub(super) fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let mut rest = trim_whitespace(element);
    let mut node = None;
    while !rest.is_empty() {
        if let [b';', after @ ..] = rest {
            rest = trim_whitespace(after);
            continue;
        }
        let (name, after) = rest.split_at(rest.iter().position(|byte| !is_token_byte(*byte))?);
        let (value, after) = value(after.strip_prefix(b"=")?)?;
        if name.eq_ignore_ascii_case(b"for") && node.replace(value).is_some() {
            return None;
        }
        rest = trim_whitespace(after);
        if !rest.is_empty() && rest[0] != b';' {
            return None;
        }
    }
    address(node?)
}

/// The value of a parameter without its quotes, and what stands after it.
fn value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let plain = |byte: &u8| is_token_byte(*byte) || b":[]".contains(byte);
        return Some(text.split_at(text.iter().position(|byte| !plain(byte)).unwrap_or(text.len())));
    };
    let mut escaped = false;
    let end = quoted.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })?;
    Some((&quoted[..end], &quoted[end + 1..]))
}

/// A port in digits, or an obfuscated one (RFC 7239, section 6).
fn is_port(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let obfuscated = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    (digits && text.parse::<u16>().is_ok()) || text.strip_prefix('_').is_some_and(obfuscated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_ports() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            (" 192.0.2.1:4711\t", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:c000:201]:80", "192.0.2.1"),
        ] {
            assert_eq!(address(text.as_bytes()), Some(expected.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_is_not_plainly_an_address_is_none() {
        for text in [
            "",
            " ",
            "unknown",
            "_hidden",
            "192.0.2",
            "192.0.2.01",
            "192.0.2.1:",
            "192.0.2.1:+80",
            "192.0.2.1:65536",
            "192.0.2.1:80:80",
            "[192.0.2.1]",
            "[2001:db8::1",
            "2001:db8::1]",
            "[2001:db8::1]80",
            "[2001:db8::1]:",
            "fe80::1%eth0",
            "0x7f.1",
            "3221225985",
            "\"192.0.2.1\"",
            "192.0.2.1 192.0.2.2",
            "localhost",
        ] {
            assert_eq!(address(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(address(b"192.0.2.1\xff"), None);
    }

    #[test]
    fn forwarded_elements_give_the_address_they_are_for() {
        for (text, expected) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=192.0.2.1;proto=https;by=203.0.113.43", "192.0.2.1"),
            (" proto=http ; for=\"192.0.2.1:80\" ;", "192.0.2.1"),
            (r#"for="[2001:db8::1]:4711""#, "2001:db8::1"),
            (r#"for="[2001:db8::1]:_obfuscated";by="a;for=b""#, "2001:db8::1"),
            (r#"by="\"";for=192.0.2.1:4711"#, "192.0.2.1"),
            ("for=[2001:db8::1]", "2001:db8::1"),
        ] {
            assert_eq!(forwarded_for(text.as_bytes()), Some(expected.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn forwarded_elements_that_hide_or_garble_their_address_are_none() {
        for text in [
            "",
            ";",
            "for=",
            "for=unknown",
            "for=_gazonk",
            r#"for="_gazonk""#,
            "proto=https",
            "for",
            "192.0.2.1",
            "for=192.0.2.1;for=192.0.2.1",
            "for=192.0.2.1 for=192.0.2.2",
            "for =192.0.2.1",
            "for= 192.0.2.1",
            r#"for="192.0.2.1"#,
            r#"for=192.0.2.1""#,
            r#"for="192.0.2.1"x"#,
            r#"for="\192.0.2.1""#,
            "xfor=192.0.2.1",
            r#"by="for=192.0.2.1""#,
        ] {
            assert_eq!(forwarded_for(text.as_bytes()), None, "{text:?}");
        }
    }
}
