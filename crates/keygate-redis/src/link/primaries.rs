//! Which primaries there are, for the one thing that asks all of them: reading every record.

use redis::{Cmd, ErrorKind, RedisError, Value};

use super::Link;

/// One primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Primary {
    /// The only one.
    Only,
    /// The one that has this slot of a Cluster.
    OfSlot(u16),
}

impl Link {
    /// All primaries, and a text that changes whenever a slot moves or, with one primary, it is reached anew: it may then
    /// be another, or begun anew, and a cursor of the one before says nothing to it.
    pub(crate) async fn primaries(&self) -> Result<(Vec<Primary>, String), RedisError> {
        match self {
            Self::Own(link) if link.is_cluster() => {}
            Self::Own(link) => return Ok((vec![Primary::Only], link.number().await?.to_string())),
            Self::Pooled(_) => return Ok((vec![Primary::Only], String::new())),
        }
        let slots = self.query(redis::cmd("CLUSTER").arg("SLOTS")).await?;
        let mut ranges: Vec<(u16, u16, String)> = Vec::new();
        for range in redis::from_redis_value::<Vec<Vec<Value>>>(slots)? {
            ranges.push(read_range(range).ok_or_else(unreadable)?);
        }
        ranges.sort();
        let mut seen = std::collections::BTreeSet::new();
        let primaries = ranges.iter().filter(|(.., node)| seen.insert(node)).map(|(first, ..)| Primary::OfSlot(*first));
        Ok((primaries.collect(), format!("{ranges:?}")))
    }

    /// Sends a command to one primary.
    pub(crate) async fn query_at(&self, cmd: &Cmd, primary: Primary) -> Result<Value, RedisError> {
        match self {
            Self::Own(link) => link.query_at(cmd, &primary).await,
            Self::Pooled(_) => self.query(cmd).await,
        }
    }
}

/// First slot, last slot, and the primary's id out of one entry of `CLUSTER SLOTS`.
fn read_range(range: Vec<Value>) -> Option<(u16, u16, String)> {
    let mut parts = range.into_iter();
    let (first, last) = (redis::from_redis_value(parts.next()?).ok()?, redis::from_redis_value(parts.next()?).ok()?);
    let Value::Array(node) = parts.next()? else { return None };
    let id = redis::from_redis_value(node.into_iter().nth(2)?).ok()?;
    Some((first, last, id))
}

fn unreadable() -> RedisError {
    (ErrorKind::UnexpectedReturnType, "the answer to CLUSTER SLOTS cannot be read").into()
}
