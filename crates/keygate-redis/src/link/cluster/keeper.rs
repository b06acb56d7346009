//! The task that keeps a line to each primary of a Cluster.
//!
//! It asks which primaries there are when it begins, every few leases, and as long as anything is amiss, of another node
//! each time: one may know less than others. A primary that *any* of them names gets a line, which finds out for itself
//! whether it leads to one; a line that leads nowhere and is named no more is given up.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use keygate_core::coherence::Coherence;
use redis::RedisError;
use tokio::time::{Instant, sleep};

use super::super::reach::in_time;
use super::super::reconnecting::Reconnecting;
use super::view::NodeId;
use super::{Line, Node, Shared, map};
use crate::settings::{Host, Place, RedisSettings};

/// How often it is seen whether anything is amiss, however long the lease is.
const LONGEST_TURN: Duration = Duration::from_millis(250);
/// After so many leases it is asked anew though nothing is amiss.
const LEASES: u32 = 4;

/// Lets go of the lines when the task ends: nobody is left to say that they lead nowhere.
struct Kept(Arc<Shared>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.draw(&BTreeMap::new(), |_| false);
    }
}

pub(super) fn keep_lines(shared: Arc<Shared>) -> impl Future<Output = ()> + Send + 'static {
    let kept = Kept(shared);
    async move {
        let shared = &kept.0;
        let mut asked: Option<Instant> = None;
        while shared.audience.is_there() {
            let terms = shared.audience.terms();
            let is_doubted = shared.is_doubted.swap(false, Ordering::Relaxed);
            if is_doubted {
                shared.each(|line| line.way.hurry());
            }
            let is_well = matches!(shared.coherence(), Coherence::Live | Coherence::TimeBound(_));
            if is_doubted || !is_well || asked.is_none_or(|at| at.elapsed() >= terms.lease * LEASES) {
                asked = Some(Instant::now());
                match in_time(shared.settings.patience.connection, shared.primaries()).await {
                    Ok(found) => shared.draw(&found, |line| line.way.is_reached()),
                    Err(error) => tracing::debug!(%error, "it is not known which primaries there are"),
                }
            }
            shared.each(|line| line.way.keep());
            sleep(terms.beat().min(LONGEST_TURN)).await;
        }
    }
}

impl Shared {
    /// Asks which primaries there are: over one of the lines, or over the connection for commands.
    async fn primaries(&self) -> Result<BTreeMap<NodeId, Host>, RedisError> {
        let mut reached: Vec<Line> = Vec::new();
        self.each(|line| reached.extend(line.way.is_reached().then(|| line.clone())));
        let turn = self.asked.fetch_add(1, Ordering::Relaxed);
        let mut ask = redis::cmd("CLUSTER");
        ask.arg("SLOTS");
        let answer = match reached.get(turn % reached.len().max(1)) {
            Some(line) => (line.way.query(&ask).await?, line.host.name.as_str()),
            None => (self.whole.query(&ask).await?, self.first_host()),
        };
        Ok(map::primaries(map::read(answer.0)?, answer.1))
    }

    /// That of a node that does not know its own.
    fn first_host(&self) -> &str {
        match &self.settings.address.place {
            Place::Cluster(nodes) => nodes.first().map_or("", |host| host.name.as_str()),
            Place::Single(_) | Place::Socket(_) | Place::Sentinel { .. } => "",
        }
    }

    /// Has lines to these primaries, and no others than those that are to be spared.
    fn draw(&self, found: &BTreeMap<NodeId, Host>, is_spared: impl Fn(&Line) -> bool) {
        let mut lines = self.lines.write().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|id, line| {
            let stays = found.get(id) == Some(&line.host) || is_spared(line);
            if !stays {
                line.way.close();
                self.claims.forget(id);
            }
            stays
        });
        // One that comes later may have taken the place of another, and not know what that one knew.
        let is_late = !found.is_empty() && self.was_drawn.swap(true, Ordering::Relaxed);
        for (id, host) in found {
            lines.entry(NodeId::clone(id)).or_insert_with(|| self.line_to(id, host, is_late));
        }
    }

    fn line_to(&self, id: &NodeId, host: &Host, is_late: bool) -> Line {
        let mut settings: RedisSettings = self.settings.clone();
        settings.address.place = Place::Single(host.clone());
        let node = Node::new(NodeId::clone(id), Arc::clone(&self.claims));
        let way = Reconnecting::to_node(settings, Arc::clone(&self.audience), node, is_late);
        Line { host: host.clone(), way: Arc::new(way) }
    }
}
