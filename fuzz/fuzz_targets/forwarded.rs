//! Any forwarding headers: whatever a client writes, what the trusted proxy appends is the client's address.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use keygate_core::network::{Cidr, CidrSet};
use keygate_http::client_address::{ForwardingHeader, TrustedProxies, client_address};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, Vec<Vec<u8>>)| {
    let (forwarded, lines) = input;
    let (header, name, appended) = if forwarded {
        (ForwardingHeader::Forwarded, "Forwarded", "for=192.0.2.1")
    } else {
        (ForwardingHeader::XForwardedFor, "X-Forwarded-For", "192.0.2.1")
    };
    let trusted = CidrSet::new([Cidr::new("10.0.0.0/8").expect("a network")]).expect("one network");
    let proxies = TrustedProxies::new(trusted).reading(header);
    let proxy: IpAddr = Ipv4Addr::new(10, 0, 0, 1).into();
    let stranger: IpAddr = Ipv4Addr::new(198, 51, 100, 1).into();

    let request: Vec<(&str, &[u8])> = lines.iter().map(|line| (name, line.as_slice())).collect();
    assert!(client_address(Some(proxy), &request[..], &proxies).is_some());
    // From a peer that is no proxy the header is not read.
    assert_eq!(client_address(Some(stranger), &request[..], &proxies), Some(stranger));

    // The proxy appends to the last line, or writes a line of its own; both name the one who connected to it.
    let mut own_line = request.clone();
    own_line.push((name, appended.as_bytes()));
    let mut joined = lines.clone();
    if let Some(last) = joined.last_mut() {
        last.extend(b", ");
        last.extend(appended.as_bytes());
    }
    let joined: Vec<(&str, &[u8])> = joined.iter().map(|line| (name, line.as_slice())).collect();
    let client: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
    assert_eq!(client_address(Some(proxy), &own_line[..], &proxies), Some(client));
    if !joined.is_empty() {
        assert_eq!(client_address(Some(proxy), &joined[..], &proxies), Some(client));
    }
});
