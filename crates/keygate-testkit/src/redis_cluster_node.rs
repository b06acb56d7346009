//! What a node of a Redis Cluster says of itself.

use crate::{TestkitError, redis_address::RedisAddress};

/// What a node says of itself in `CLUSTER NODES`.
pub(crate) struct ClusterNode {
    pub(crate) id: String,
    pub(crate) is_master: bool,
    /// The slots it owns, as first and last of each range.
    slots: Vec<(u16, u16)>,
}

impl ClusterNode {
    pub(crate) fn ask(node: &RedisAddress) -> Result<Self, TestkitError> {
        let text: String = node.ask(["CLUSTER", "NODES"])?;
        let line = text.lines().find(|line| line.contains("myself")).unwrap_or_default();
        let words: Vec<&str> = line.split(' ').collect();
        // id, address, flags, master, ping, pong, epoch, link, then the slots; one that is on the move
        // stands in brackets and parses as no number.
        let slots = words.iter().skip(8).filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some((first.parse().ok()?, last.parse().ok()?))
        });
        Ok(Self {
            id: words[0].to_owned(),
            is_master: words.get(2).is_some_and(|flags| flags.contains("master")),
            slots: slots.collect(),
        })
    }

    /// How many slots it owns.
    pub(crate) fn owned(&self) -> usize {
        self.slots.iter().map(|(first, last)| usize::from(last - first) + 1).sum()
    }

    pub(crate) fn owns(&self, slot: u16) -> bool {
        self.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    }
}
