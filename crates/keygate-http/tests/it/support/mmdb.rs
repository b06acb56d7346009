//! Writes databases in MaxMind's format, version 2.0: a tree over the bits of an address, and what its leaves tell.
//!
//! Real ones cannot be shipped, and this much of the format is short.

use std::net::IpAddr;

/// What is written of a network.
pub(crate) enum Value {
    Text(&'static str),
    Map(Vec<(&'static str, Value)>),
    List(Vec<Value>),
    Short(u16),
    Number(u32),
    Long(u64),
}

use Value::{List, Long, Map, Number, Short, Text};

impl Value {
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Text(text) => {
                control(2, text.len(), to);
                to.extend(text.as_bytes());
            }
            Map(entries) => {
                control(7, entries.len(), to);
                for (name, value) in entries {
                    Text(name).write(to);
                    value.write(to);
                }
            }
            List(values) => {
                control(11, values.len(), to);
                values.iter().for_each(|value| value.write(to));
            }
            Short(number) => {
                control(5, 2, to);
                to.extend(number.to_be_bytes());
            }
            Number(number) => {
                control(6, 4, to);
                to.extend(number.to_be_bytes());
            }
            Long(number) => {
                control(9, 8, to);
                to.extend(number.to_be_bytes());
            }
        }
    }
}

fn control(kind: u8, size: usize, to: &mut Vec<u8>) {
    let size = u8::try_from(size).unwrap();
    let (first, more) = if size < 29 { (size, None) } else { (29, Some(size - 29)) };
    if kind <= 7 {
        to.push(kind << 5 | first);
    } else {
        to.extend([first, kind - 7]);
    }
    to.extend(more);
}

/// A record of the tree, which has two for each node.
#[derive(Clone, Copy)]
enum Record {
    Nothing,
    Node(usize),
    Data(usize),
}

/// The bytes of a database of this type, which tells this of these networks. Addresses of IPv4 are the last of IPv6's.
pub(crate) fn database(kind: &'static str, networks: &[(&str, Value)]) -> Vec<u8> {
    let (mut nodes, mut data) = (vec![[Record::Nothing; 2]], Vec::new());
    for (network, value) in networks {
        let (address, length) = network.split_once('/').unwrap();
        let (bits, length): (u128, usize) = match address.parse().unwrap() {
            IpAddr::V4(address) => (u32::from(address).into(), 96 + length.parse::<usize>().unwrap()),
            IpAddr::V6(address) => (address.into(), length.parse().unwrap()),
        };
        let mut node = 0;
        for place in 0..length {
            let side = usize::from(bits >> (127 - place) & 1 == 1);
            if place + 1 == length {
                nodes[node][side] = Record::Data(data.len());
                break;
            }
            node = match nodes[node][side] {
                Record::Node(next) => next,
                _ => {
                    nodes.push([Record::Nothing; 2]);
                    let next = nodes.len() - 1;
                    nodes[node][side] = Record::Node(next);
                    next
                }
            };
        }
        value.write(&mut data);
    }
    let mut file = Vec::new();
    for record in nodes.iter().flatten() {
        let number = match record {
            Record::Nothing => nodes.len(),
            Record::Node(node) => *node,
            Record::Data(offset) => nodes.len() + 16 + offset,
        };
        file.extend(&u32::try_from(number).unwrap().to_be_bytes()[1..]);
    }
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    let metadata = Map(vec![
        ("binary_format_major_version", Short(2)),
        ("binary_format_minor_version", Short(0)),
        ("build_epoch", Long(1_767_225_600)),
        ("database_type", Text(kind)),
        ("description", Map(vec![("en", Text("of a test"))])),
        ("ip_version", Short(6)),
        ("languages", List(vec![Text("en")])),
        ("node_count", Number(u32::try_from(nodes.len()).unwrap())),
        ("record_size", Short(24)),
    ]);
    metadata.write(&mut file);
    file
}
