//! Where the primaries of a Cluster are, for clients.
//!
//! This is `CLUSTER SLOTS` because its addresses are those that are meant for clients; those of `CLUSTER NODES` are those
//! that nodes use among themselves.

use std::collections::BTreeMap;

use redis::{ErrorKind, RedisError, Value};

use super::slots::{all_buckets, has, slot_of};
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
}
