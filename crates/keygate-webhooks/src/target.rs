//! Which addresses of webhooks are sent to, as far as can be told without asking the network.

use http::Uri;
use keygate_core::notice::WebhookUrl;
use url::{Host, Url};

use crate::address::is_public;

/// Names that are never public: this machine's (RFC 6761), those of the link (RFC 6762), and those kept for networks of one's
/// own. Each stands for all that ends in it too.
const OWN_NAMES: [&str; 3] = ["localhost", "local", "internal"];

/// Takes an address apart, in the way it will be sent to: a number as host is an address in whatever spelling.
///
/// Where `private` is allowed, the address may be any, and the scheme `http` too.
///
/// # Errors
/// What is wrong with it, to be read on from "the address".
pub(crate) fn target(url: &WebhookUrl, private: bool) -> Result<Url, String> {
    let url = Url::parse(url.as_str()).map_err(|error| format!("must be one: {error}"))?;
    if url.scheme() != "https" && !(private && url.scheme() == "http") {
        return Err("must begin with https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must have no user and no password in it".to_owned());
    }
    if url.fragment().is_some() {
        return Err("must have no fragment: nothing from a # on is ever sent".to_owned());
    }
    if url.port() == Some(0) {
        return Err("must not have port 0".to_owned());
    }
    let is_allowed = match url.host() {
        Some(Host::Domain(name)) => is_name(name) && (private || !is_own(name)),
        Some(Host::Ipv4(address)) => private || is_public(address.into()),
        Some(Host::Ipv6(address)) => private || is_public(address.into()),
        None => false,
    };
    if !is_allowed {
        return Err("must be of a host on the public internet".to_owned());
    }
    // What sends reads it in another way than what parses, and must not see another host in it.
    if !url.as_str().parse::<Uri>().is_ok_and(|uri| uri.host() == url.host_str()) {
        return Err("must be of characters that an address may have: encode others as %XX".to_owned());
    }
    Ok(url)
}

/// Whether there is anything to ask for.
fn is_name(name: &str) -> bool {
    name.bytes().any(|byte| byte != b'.')
}

fn is_own(name: &str) -> bool {
    // A dot at the end says that the name is complete; it is the same name.
    let name = name.trim_end_matches('.');
    OWN_NAMES.iter().any(|own| name.strip_suffix(own).is_some_and(|before| before.is_empty() || before.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn refusal(url: &str, private: bool) -> Option<String> {
        target(&WebhookUrl::new(url).unwrap(), private).err()
    }

    #[test]
    fn what_is_sent_to_and_what_is_not() {
        const NOT_PUBLIC: &str = "must be of a host on the public internet";
        for (url, problem) in [
            ("https://hooks.example.com/keygate?token=1", ""),
            ("https://hooks.example.com:8443", ""),
            ("https://HOOKS.example.com./x", ""),
            ("https://8.8.8.8/", ""),
            ("https://[2606:4700:4700::1111]:444/", ""),
            ("https://0x08080808/", ""),
            ("https://xn--bcher-kva.example/", ""),
            // Names that only look like those that are refused.
            ("https://notlocalhost/", ""),
            ("https://local.example/", ""),
            ("https://internals.example/", ""),
            ("https://localhost.example.com/", ""),
            // The form.
            ("http://hooks.example.com/", "must begin with https://"),
            ("https://user:pass@hooks.example.com/", "must have no user"),
            ("https://user@hooks.example.com/", "must have no user"),
            ("https://:pass@hooks.example.com/", "must have no user"),
            ("https://8.8.8.8@127.0.0.1/", "must have no user"),
            ("https://hooks.example.com/#here", "must have no fragment"),
            ("https://hooks.example.com/#", "must have no fragment"),
            ("https://hooks.example.com:0/", "must not have port 0"),
            ("https://hooks.example.com:65536/", "must be one: invalid port"),
            ("https://hooks{1}.example.com/", "must be of characters that an address may have"),
            ("https://[fe80::1%25eth0]/", "must be one: "),
            ("https://256.256.256.256/", "must be one: "),
            ("https://127.0.0.1.5/", "must be one: "),
            // Names.
            ("https://localhost/", NOT_PUBLIC),
            ("https://LOCALHOST:8443/", NOT_PUBLIC),
            ("https://localhost./", NOT_PUBLIC),
            ("https://loc%61lhost/", NOT_PUBLIC),
            ("https://db.localhost/", NOT_PUBLIC),
            ("https://printer.local/", NOT_PUBLIC),
            ("https://metadata.google.internal/", NOT_PUBLIC),
            ("https://metadata.google.internal./", NOT_PUBLIC),
            ("https://internal/", NOT_PUBLIC),
            ("https://./", NOT_PUBLIC),
            // Addresses, as they are and in disguise.
            ("https://127.0.0.1/", NOT_PUBLIC),
            ("https://127.0.0.1./", NOT_PUBLIC),
            ("https://127.1/", NOT_PUBLIC),
            ("https://2130706433/", NOT_PUBLIC),
            ("https://0x7f000001/", NOT_PUBLIC),
            ("https://0x7f.0.0.1/", NOT_PUBLIC),
            ("https://0177.0.0.01/", NOT_PUBLIC),
            ("https://017700000001/", NOT_PUBLIC),
            ("https://%31%32%37.0.0.1/", NOT_PUBLIC),
            ("https://%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1/", NOT_PUBLIC),
            ("https://127%E3%80%820%E3%80%820%E3%80%821/", NOT_PUBLIC),
            ("https://0/", NOT_PUBLIC),
            ("https://169.254.169.254/latest/meta-data/", NOT_PUBLIC),
            ("https://10.1.2.3:8443/", NOT_PUBLIC),
            ("https://[::1]/", NOT_PUBLIC),
            ("https://[::]/", NOT_PUBLIC),
            ("https://[::ffff:127.0.0.1]/", NOT_PUBLIC),
            ("https://[::ffff:7f00:1]/", NOT_PUBLIC),
            ("https://[0:0:0:0:0:ffff:a9fe:a9fe]/", NOT_PUBLIC),
            ("https://[64:ff9b::a00:1]/", NOT_PUBLIC),
            ("https://[2002:7f00:1::]/", NOT_PUBLIC),
            ("https://[fd00:ec2::254]/", NOT_PUBLIC),
        ] {
            let refusal = refusal(url, false);
            match problem {
                "" => assert_eq!(refusal, None, "{url}"),
                problem => assert!(refusal.as_deref().is_some_and(|it| it.starts_with(problem)), "{url}: {refusal:?}"),
            }
        }
    }

    #[test]
    fn where_private_addresses_are_allowed_the_form_is_the_same() {
        for url in
            ["http://127.0.0.1:8080/", "http://hooks/", "https://localhost/", "http://db.internal/", "https://[::1]/"]
        {
            assert_eq!(refusal(url, true), None, "{url}");
        }
        for url in ["http://a:b@127.0.0.1/", "http://127.0.0.1:0/", "http://127.0.0.1/#a", "http://./"] {
            assert!(refusal(url, true).is_some(), "{url}");
        }
    }

    #[test]
    fn a_refusal_does_not_repeat_the_address() {
        for url in ["https://user:hunter2@hooks.example/", "https://127.0.0.1/hunter2", "https://256.1.1.1/?t=hunter2"]
        {
            assert!(!refusal(url, false).unwrap().contains("hunter2"), "{url}");
        }
    }

    /// How one of the numbers of an address may be written.
    fn number(value: u64, radix: u8) -> String {
        match radix % 4 {
            0 => format!("{value}"),
            1 => format!("0x{value:x}"),
            2 => format!("0X{value:08X}"),
            _ => format!("0{value:o}"),
        }
    }

    /// An address in one of the spellings that a host may have.
    fn spelled(address: Ipv4Addr, parts: usize, radixes: [u8; 4], dot: bool, encoded: usize) -> String {
        let bits = u64::from(address.to_bits());
        let mut numbers: Vec<u64> = address.octets()[..parts - 1].iter().copied().map(u64::from).collect();
        numbers.push(bits & (u64::MAX >> (32 + 8 * (parts - 1))));
        let numbers: Vec<String> =
            numbers.into_iter().zip(radixes).map(|(value, radix)| number(value, radix)).collect();
        let mut text = numbers.join(".");
        if let Some(byte) = text.as_bytes().get(encoded).copied() {
            text.replace_range(encoded..=encoded, &format!("%{byte:02x}"));
        }
        text + if dot { "." } else { "" }
    }

    const REFUSED_NETS: [(&str, u32); 15] = [
        ("0.0.0.0", 8),
        ("10.0.0.0", 8),
        ("100.64.0.0", 10),
        ("127.0.0.0", 8),
        ("169.254.0.0", 16),
        ("172.16.0.0", 12),
        ("192.0.0.0", 24),
        ("192.0.2.0", 24),
        ("192.168.0.0", 16),
        ("198.18.0.0", 15),
        ("198.51.100.0", 24),
        ("203.0.113.0", 24),
        ("224.0.0.0", 4),
        ("240.0.0.0", 4),
        ("255.255.255.255", 32),
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_address_of_a_refused_net_passes_in_any_spelling(
            net in 0..REFUSED_NETS.len(), bits: u32, parts in 1..=4_usize, radixes: [u8; 4], dot: bool, encoded in 0..40_usize,
            port in proptest::option::of(1..=u16::MAX),
        ) {
            let (net, length) = REFUSED_NETS[net];
            let host = u32::MAX.checked_shr(length).unwrap_or(0);
            let address = Ipv4Addr::from_bits(net.parse::<Ipv4Addr>().unwrap().to_bits() | (bits & host));
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            let spelled = spelled(address, parts, radixes, dot, encoded);
            let [a, b, c, d] = address.octets();
            for host in [
                spelled,
                format!("[::ffff:{address}]"),
                format!("[::{address}]"),
                format!("[64:ff9b::{address}]"),
                format!("[0:0::FFFF:{a:x}{b:02x}:{c:x}{d:02x}]"),
                format!("[2002:{a:x}{b:02x}:{c:x}{d:02x}::1]"),
            ] {
                let url = format!("https://{host}{port}/hook");
                prop_assert_eq!(refusal(&url, false), Some("must be of a host on the public internet".to_owned()), "{}", url);
            }
        }

        /// What passes is read as one host by what parses and by what sends, and that is a public one.
        #[test]
        fn what_passes_has_one_host(rest in "[a-f0-9xX.:/\\\\@%?#\\[\\]{}|&=_~!-]{1,24}") {
            let Ok(url) = WebhookUrl::new(format!("https://{rest}")) else { return Ok(()) };
            if let Ok(url) = target(&url, false) {
                let uri: Uri = url.as_str().parse().unwrap();
                prop_assert_eq!(uri.host(), url.host_str());
                let address = url.host_str().unwrap().trim_matches(['[', ']']).parse::<std::net::IpAddr>();
                prop_assert!(address.is_err() || is_public(address.unwrap()), "{}", url);
            }
        }

        /// So that the property above does not hold because nothing passes.
        #[test]
        fn a_public_address_passes_in_every_spelling(
            parts in 1..=4_usize, radixes: [u8; 4], dot: bool, encoded in 0..40_usize, bits: u32,
        ) {
            let address = Ipv4Addr::from_bits(bits);
            prop_assume!(is_public(address.into()));
            let spelled = spelled(address, parts, radixes, dot, encoded);
            let taken = target(&WebhookUrl::new(format!("https://{spelled}/")).unwrap(), false).unwrap();
            prop_assert_eq!(taken.host(), Some(Host::Ipv4(address)));
        }
    }
}
