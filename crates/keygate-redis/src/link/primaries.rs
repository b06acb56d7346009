//! Which primaries there are, for the one thing that asks all of them: reading every record.

use redis::{Cmd, RedisError, Value};

use super::Link;
use super::cluster::map;

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
            Self::Cluster(_) => {}
            Self::Own(link) => return Ok((vec![Primary::Only], link.number().await?.to_string())),
            Self::Pooled(_) => return Ok((vec![Primary::Only], String::new())),
        }
        let ranges = map::read(self.query(redis::cmd("CLUSTER").arg("SLOTS")).await?)?;
        let mut seen = std::collections::BTreeSet::new();
        let primaries = ranges.iter().filter(|range| seen.insert(&range.id)).map(|range| Primary::OfSlot(range.first));
        let shares: Vec<_> = ranges.iter().map(|range| (range.first, range.last, &range.id)).collect();
        Ok((primaries.collect(), format!("{shares:?}")))
    }

    /// Sends a command to one primary.
    pub(crate) async fn query_at(&self, cmd: &Cmd, primary: Primary) -> Result<Value, RedisError> {
        match self {
            Self::Cluster(link) => link.query_at(cmd, &primary).await,
            Self::Own(_) | Self::Pooled(_) => self.query(cmd).await,
        }
    }
}
