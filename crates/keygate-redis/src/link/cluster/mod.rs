//! A Cluster: one connection for commands, which finds its way by itself, and while somebody watches one *line* more to
//! each primary, over which is read what may be kept.
//!
//! A line is a [`Reconnecting`] to one node. It has a session, and so a lease, of its own: what happens to one primary is
//! nothing to the others. What makes a line one of a Cluster is in [`node`]; who has which bucket, in [`claims`]; which
//! lines there are, in [`keeper`]. What is read over a line is kept only if the primary itself answers: an entry that is
//! elsewhere or on the way is asked for over the connection for commands, and decides the requests that wait for it.

mod claims;
mod keeper;
pub(super) mod map;
mod node;
mod slots;
mod view;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use keygate_core::coherence::{Coherence, Read};
use keygate_core::key::Bucket;
use redis::{Cmd, Pipeline, RedisError, Value};

use super::Primary;
use super::reach::is_redirection;
use super::reconnecting::Reconnecting;
use super::supervise::Supervisor;
use crate::coherence::Audience;
use crate::settings::{Host, RedisSettings};
use claims::Claims;
use keeper::keep_lines;
pub(super) use node::Node;
pub(super) use slots::all_buckets;
use view::NodeId;

/// See the [module docs](self).
pub(crate) struct Cluster {
    shared: Arc<Shared>,
    keeper: Supervisor,
}

/// What the store shares with the task that keeps the lines.
struct Shared {
    settings: RedisSettings,
    audience: Arc<Audience>,
    /// For commands.
    whole: Reconnecting,
    lines: RwLock<BTreeMap<NodeId, Line>>,
    claims: Arc<Claims>,
    /// Whether a load found that something is not where it was thought to be.
    is_doubted: AtomicBool,
    /// How often it was asked which primaries there are.
    asked: AtomicUsize,
    /// Whether there ever were lines.
    was_drawn: AtomicBool,
}

#[derive(Clone)]
struct Line {
    host: Host,
    way: Arc<Reconnecting>,
}

impl Cluster {
    pub(super) fn new(settings: RedisSettings, audience: Arc<Audience>) -> Self {
        let whole = Reconnecting::new(settings.clone(), Arc::clone(&audience));
        let (lines, claims, is_doubted, asked, was_drawn) = Default::default();
        let shared = Shared { settings, audience, whole, lines, claims, is_doubted, asked, was_drawn };
        Self { shared: Arc::new(shared), keeper: Supervisor::default() }
    }

    pub(super) fn describe(&self) -> String {
        self.shared.whole.describe()
    }

    pub(super) async fn query(&self, cmd: &Cmd) -> Result<Value, RedisError> {
        self.keep();
        self.shared.whole.query(cmd).await
    }

    pub(super) async fn query_at(&self, cmd: &Cmd, primary: &Primary) -> Result<Value, RedisError> {
        self.keep();
        self.shared.whole.query_at(cmd, primary).await
    }

    pub(super) async fn pipeline(&self, pipeline: &Pipeline) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        self.keep();
        self.shared.whole.pipeline(pipeline).await
    }

    /// Sends a command whose answer may be kept, to who has the bucket.
    pub(super) async fn load(&self, cmd: &Cmd, bucket: Bucket) -> Result<Read<Value>, RedisError> {
        if !self.shared.audience.is_there() {
            return self.shared.whole.load(cmd).await;
        }
        self.keep();
        let line = self.shared.claims.owner(bucket).and_then(|id| self.shared.line(&id));
        let answer = match line {
            Some(line) => line.way.load_now(cmd).await,
            None => None,
        };
        match answer {
            Some(Err(error)) if is_elsewhere(&error) => {}
            Some(answer) => return answer,
            None => {}
        }
        self.shared.is_doubted.store(true, Ordering::Relaxed);
        // Nobody tells of what is read from just anywhere.
        self.shared.whole.load(cmd).await
    }

    /// What those who watch believe by ends, and begins again with the next heartbeats.
    pub(super) fn renew(&self) {
        self.shared.each(|line| line.way.renew());
    }

    pub(super) fn coherence(&self) -> Coherence {
        if self.shared.audience.is_there() { self.shared.coherence() } else { Coherence::None }
    }

    /// How many instances there are, as was heard last of any primary; 0 where nothing was.
    pub(super) fn instances(&self) -> u64 {
        let mut most = 0;
        self.shared.each(|line| most = most.max(line.way.instances()));
        most
    }

    /// Sees to it that the lines are kept while anybody watches.
    fn keep(&self) {
        if self.shared.audience.is_there() {
            self.keeper.ensure(|| keep_lines(Arc::clone(&self.shared)));
        }
    }
}

impl Shared {
    fn line(&self, id: &NodeId) -> Option<Line> {
        self.lines.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn each(&self, act: impl FnMut(&Line)) {
        self.lines.read().unwrap_or_else(PoisonError::into_inner).values().for_each(act);
    }

    /// As good as the worst of the lines that anything is read over.
    fn coherence(&self) -> Coherence {
        let lines = self.lines.read().unwrap_or_else(PoisonError::into_inner);
        if lines.values().all(|line| line.way.coherence() == Coherence::Unreachable) {
            return Coherence::Unreachable;
        }
        let Some(owners) = self.claims.owners() else { return Coherence::Lapsed };
        let mut worst = Coherence::Live;
        for id in owners {
            match lines.get(&id).map(|line| line.way.coherence()) {
                Some(Coherence::Live) => {}
                Some(bound @ Coherence::TimeBound(_)) => worst = bound,
                _ => return Coherence::Lapsed,
            }
        }
        worst
    }
}

/// Whether an answer says, or a lost connection may mean, that another primary knows.
fn is_elsewhere(error: &RedisError) -> bool {
    is_redirection(error) || error.is_cluster_error() || error.is_unrecoverable_error()
}
