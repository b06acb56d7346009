//! Where the primaries of a Cluster are, for clients.
//!
//! This is `CLUSTER SLOTS` because its addresses are those that are meant for clients; those of `CLUSTER NODES` are those
//! that nodes use among themselves.

use std::collections::BTreeMap;

use keygate_core::key::Bucket;
use redis::{ErrorKind, RedisError, Value};

use super::slots::{Ranges, SLOTS, all_buckets, has, slot_of};
use super::view::NodeId;
use crate::settings::Host;

/// Slots that follow each other, and the primary that has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Range {
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) id: NodeId,
    /// Nothing: the host that answered.
    host: Option<String>,
    port: u16,
}

/// The ranges, in order.
pub(crate) fn read(answer: Value) -> Result<Vec<Range>, RedisError> {
    let entries = redis::from_redis_value::<Vec<Vec<Value>>>(answer)?;
    let ranges: Option<Vec<Range>> = entries.into_iter().map(read_range).collect();
    let mut ranges = ranges.ok_or_else(|| -> RedisError {
        (ErrorKind::UnexpectedReturnType, "the answer to CLUSTER SLOTS cannot be read").into()
    })?;
    ranges.sort();
    Ok(ranges)
}

fn read_range(entry: Vec<Value>) -> Option<Range> {
    let mut parts = entry.into_iter();
    let (first, last) = (redis::from_redis_value(parts.next()?).ok()?, redis::from_redis_value(parts.next()?).ok()?);
    let Value::Array(node) = parts.next()? else { return None };
    let mut node = node.into_iter();
    let host: Option<String> = redis::from_redis_value(node.next()?).ok()?;
    let port = redis::from_redis_value(node.next()?).ok()?;
    let id: String = redis::from_redis_value(node.next()?).ok()?;
    Some(Range { first, last, id: id.into(), host: host.filter(|host| !host.is_empty()), port })
}

/// The primaries that have any bucket, as one that answered at this host names them.
pub(super) fn primaries(ranges: Vec<Range>, answered_at: &str) -> BTreeMap<NodeId, Host> {
    let any_bucket = |range: &Range| all_buckets().any(|bucket| has(&[(range.first, range.last)], slot_of(bucket)));
    // An unknown host cannot be connected to.
    let named = ranges.into_iter().filter(|range| range.host.as_deref() != Some("?")).filter(any_bucket);
    named
        .map(|range| {
            let name = range.host.unwrap_or_else(|| answered_at.to_owned());
            (range.id, Host { name, port: range.port })
        })
        .collect()
}

/// A primary, and the buckets it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) host: Host,
    pub(crate) buckets: Vec<Bucket>,
}

/// All primaries that have any slot, as one that answered at this host names them.
pub(crate) fn shares(ranges: &[Range], answered_at: &str) -> Vec<Share> {
    let mut ends: BTreeMap<&NodeId, (Host, Ranges)> = BTreeMap::new();
    for range in ranges {
        let name = range.host.clone().unwrap_or_else(|| answered_at.to_owned());
        let (_, slots) = ends.entry(&range.id).or_insert_with(|| (Host { name, port: range.port }, Ranges::new()));
        slots.push((range.first, range.last));
    }
    let buckets = |slots: &Ranges| all_buckets().filter(|bucket| has(slots, slot_of(*bucket))).collect();
    ends.into_values().map(|(host, slots)| Share { host, buckets: buckets(&slots) }).collect()
}

/// The slots that nobody has.
pub(crate) fn uncovered(ranges: &[Range]) -> Vec<u16> {
    let slots: Ranges = ranges.iter().map(|range| (range.first, range.last)).collect();
    (0..SLOTS).filter(|slot| !has(&slots, *slot)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(first: i64, last: i64, host: Value, id: &str) -> Value {
        let node = |id: &str| Value::BulkString(id.as_bytes().to_vec());
        let primary = Value::Array(vec![host.clone(), Value::Int(7000), node(id), Value::Array(vec![])]);
        let replica = Value::Array(vec![host, Value::Int(7001), node("replica")]);
        Value::Array(vec![Value::Int(first), Value::Int(last), primary, replica])
    }

    #[test]
    fn primaries_that_have_a_bucket_are_where_clients_find_them() {
        let host = |name: &str| Value::BulkString(name.as_bytes().to_vec());
        let gap = (0..16_384_u16).find(|slot| all_buckets().all(|bucket| slot_of(bucket) != *slot)).unwrap().into();
        let answer = Value::Array(vec![
            entry(8000, 16_383, host("redis-2"), "bb"),
            entry(0, 3999, Value::Nil, "aa"),
            entry(gap, gap, host("redis-3"), "cc"),
            entry(4000, 7999, host("?"), "dd"),
        ]);
        let found = primaries(read(answer).unwrap(), "10.0.0.1");
        let expected = [("aa", "10.0.0.1"), ("bb", "redis-2")];
        let expected = expected.map(|(id, name)| (NodeId::from(id), Host { name: name.into(), port: 7000 }));
        assert_eq!(found, BTreeMap::from(expected));
        assert!(read(Value::Array(vec![Value::Array(vec![Value::Int(0)])])).is_err());
    }

    #[test]
    fn what_nobody_has_is_told_and_who_has_what() {
        let host = |name: &str| Value::BulkString(name.as_bytes().to_vec());
        let answer = Value::Array(vec![
            entry(0, 99, host("redis-1"), "aa"),
            entry(102, 8000, Value::Nil, "bb"),
            entry(8001, 16_383, host("redis-1"), "aa"),
        ]);
        let ranges = read(answer).unwrap();
        assert_eq!(uncovered(&ranges), [100, 101]);
        let shares = shares(&ranges, "10.0.0.1");
        let hosts: Vec<&str> = shares.iter().map(|share| share.host.name.as_str()).collect();
        assert_eq!(hosts, ["redis-1", "10.0.0.1"]);
        let known: usize = shares.iter().map(|share| share.buckets.len()).sum();
        let missing = all_buckets().filter(|bucket| (100..=101).contains(&slot_of(*bucket))).count();
        assert_eq!(known + missing, all_buckets().count());
    }
}
