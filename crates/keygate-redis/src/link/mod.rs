//! The way to Redis: one multiplexed connection that is remade when lost, a Cluster's with one more to each primary while
//! somebody watches, or a caller's pool.
//!
//! Everything is sent to primaries. An error is [`RedisError`] here and becomes
//! [`StoreError::Unavailable`](keygate_core::store::StoreError::Unavailable) in the store.

mod attempts;
mod bare;
mod call;
mod cluster;
mod connection;
mod dial;
mod load;
mod pooled;
mod primaries;
mod reach;
mod reconnecting;
mod sentinels;
mod stuck;
mod supervise;

use std::fmt;
use std::sync::Arc;

use deadpool_redis::Pool;
use futures_util::{StreamExt, stream};
use keygate_core::coherence::{Coherence, Read};
use keygate_core::key::Bucket;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, ServerErrorKind, Value};

pub(crate) use bare::{Bare, Server};
pub(crate) use call::{Call, Script};
pub(crate) use cluster::map::{Range, Share, read as read_slots, shares, uncovered};
use cluster::{Cluster, all_buckets};
use pooled::Pooled;
pub(crate) use primaries::Primary;
pub(crate) use reach::{in_time, is_refusal};
use reconnecting::Reconnecting;

use crate::coherence::Audience;
use crate::settings::{Place, RedisSettings};

/// Commands of one pipeline: enough to hide the round trip, few enough not to hold up others on the connection.
const PIPELINE: usize = 500;
/// Commands of one batch under way at once where each goes to its own node. It is no more because with more a slot that moves
/// may bring the library's connection to a [standstill](stuck).
const SPREAD: usize = 32;

/// The registry of a single server.
const SOLE_REGISTRY: u64 = 0;

/// A way to Redis.
pub(crate) enum Link {
    /// Our own connection to one server.
    Own(Reconnecting),
    /// Our own connections to a Cluster.
    Cluster(Cluster),
    /// A pool of the caller's.
    Pooled(Pooled),
}

impl Link {
    /// A link that connects when first used.
    pub(crate) fn new(settings: RedisSettings, audience: Arc<Audience>) -> Self {
        match settings.address.place {
            Place::Cluster(_) => Self::Cluster(Cluster::new(settings, audience)),
            Place::Single(_) | Place::Socket(_) | Place::Sentinel { .. } => {
                Self::Own(Reconnecting::new(settings, audience))
            }
        }
    }

    /// A link over a pool.
    pub(crate) fn pooled(pool: Pool, audience: Arc<Audience>) -> Self {
        Self::Pooled(Pooled::new(pool, audience))
    }

    /// What and where, without user and password.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Own(link) => link.describe(),
            Self::Cluster(link) => link.describe(),
            Self::Pooled(_) => "redis (a pool of the caller's)".into(),
        }
    }

    /// Sends one command.
    pub(crate) async fn query(&self, cmd: &Cmd) -> Result<Value, RedisError> {
        match self {
            Self::Own(link) => link.query(cmd).await,
            Self::Cluster(link) => link.query(cmd).await,
            Self::Pooled(pool) => pool.query(cmd).await,
        }
    }

    /// Sends one command, about entries of one bucket, whose answer may be kept.
    pub(crate) async fn load(&self, cmd: &Cmd, bucket: Bucket) -> Result<Read<Value>, RedisError> {
        match self {
            Self::Own(link) => link.load(cmd).await,
            Self::Cluster(link) => link.load(cmd, bucket).await,
            Self::Pooled(pool) => pool.load(cmd).await,
        }
    }

    /// What those who watch believe by ends, and begins again with the next heartbeat.
    pub(crate) fn renew(&self) {
        match self {
            Self::Own(link) => link.renew(),
            Self::Cluster(link) => link.renew(),
            Self::Pooled(pool) => pool.renew(),
        }
    }

    /// How those who watch learn of changes now.
    pub(crate) fn coherence(&self) -> Coherence {
        match self {
            Self::Own(link) => link.coherence(),
            Self::Cluster(link) => link.coherence(),
            Self::Pooled(pool) => pool.coherence(),
        }
    }

    /// How many instances there are, this one among them, as far as heartbeats were told.
    pub(crate) fn instances(&self) -> u64 {
        let heard = match self {
            Self::Own(link) => link.instances(),
            Self::Cluster(link) => link.instances(),
            Self::Pooled(pool) => pool.instances(),
        };
        heard.max(1)
    }

    /// Where instances may be registered.
    pub(crate) fn registries(&self) -> Vec<Bucket> {
        match self {
            Self::Own(_) | Self::Pooled(_) => vec![Bucket::of(SOLE_REGISTRY)],
            Self::Cluster(_) => all_buckets().collect(),
        }
    }

    /// Sends commands at once. One outcome for each, in order.
    pub(crate) async fn query_all(&self, cmds: Vec<Cmd>) -> Vec<Result<Value, RedisError>> {
        // Of a Cluster each goes to its own node.
        if let Self::Cluster(_) = self {
            let queries = stream::iter(cmds).map(|cmd| async move { self.query(&cmd).await });
            return queries.buffered(SPREAD).collect().await;
        }
        let mut outcomes = Vec::with_capacity(cmds.len());
        while let Some(left) = cmds.get(outcomes.len()..).filter(|left| !left.is_empty()) {
            let chunk = &left[..left.len().min(PIPELINE)];
            let mut pipeline = redis::pipe();
            pipeline.ignore_errors();
            for cmd in chunk {
                pipeline.add_command(cmd.clone());
            }
            match self.pipeline(&pipeline).await {
                Ok(answers) if answers.len() == chunk.len() => outcomes.extend(answers),
                Ok(_) => outcomes.extend(chunk.iter().map(|_| Err(miscounted()))),
                // The rest is not sent: it would wait as long again, chunk after chunk.
                Err(error) => outcomes.extend(left.iter().map(|_| Err(error.clone()))),
            }
        }
        outcomes
    }

    async fn pipeline(&self, pipeline: &Pipeline) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        match self {
            Self::Own(link) => link.pipeline(pipeline).await,
            Self::Cluster(link) => link.pipeline(pipeline).await,
            Self::Pooled(pool) => pool.pipeline(pipeline).await,
        }
    }

    /// Runs a script, loading it when the server does not know it.
    pub(crate) async fn run(&self, call: &Call) -> Result<Value, RedisError> {
        match self.query(&call.by_hash()).await {
            Err(error) if is_unknown_script(&error) => self.query(&call.in_full()).await,
            outcome => outcome,
        }
    }

    /// Runs scripts at once. One outcome for each, in order.
    pub(crate) async fn run_all(&self, calls: &[Call]) -> Vec<Result<Value, RedisError>> {
        let mut outcomes = self.query_all(calls.iter().map(Call::by_hash).collect()).await;
        let unknown: Vec<usize> =
            (0..outcomes.len()).filter(|at| outcomes[*at].as_ref().is_err_and(is_unknown_script)).collect();
        if !unknown.is_empty() {
            // In full for each: a flush may come in between again, and each may be for another node of a Cluster.
            let again = self.query_all(unknown.iter().map(|at| calls[*at].in_full()).collect()).await;
            for (at, outcome) in unknown.into_iter().zip(again) {
                outcomes[at] = outcome;
            }
        }
        outcomes
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.describe())
    }
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

pub(crate) fn too_slow() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))
}

fn miscounted() -> RedisError {
    (ErrorKind::UnexpectedReturnType, "the server answered another number of commands than it was sent").into()
}
