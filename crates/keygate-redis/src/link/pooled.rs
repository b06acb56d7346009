//! A pool of the caller's. Its connections are not ours to be told over, so what is read is believed for a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use deadpool_redis::Pool;
use keygate_core::clock::Tick;
use keygate_core::coherence::{Coherence, Read};
use keygate_core::key::Bucket;
use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::time::Instant;

use super::load::load;
use super::reach::in_time;
use super::supervise::Supervisor;
use super::{Call, SOLE_REGISTRY, is_unknown_script};
use crate::coherence::{Audience, Beat, Session, Telling};

/// What checking a pooled connection out may take, and what an answer over one may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many instances there are taken to be before a heartbeat was told, as in a store that nobody watches. A pool is of an
/// application's, which runs as often as it likes: were it taken to be alone, the first to ask would hold half of what is
/// left of a limit, and the others go without.
const INSTANCES: u64 = 8;

pub(crate) struct Pooled {
    shared: Arc<Shared>,
    supervisor: Supervisor,
}

struct Shared {
    pool: Pool,
    audience: Arc<Audience>,
    /// While it is registered, what is read may be believed.
    session: RwLock<Option<Arc<Session>>>,
    /// Whether the last heartbeat was answered.
    is_reached: AtomicBool,
}

impl Pooled {
    pub(super) fn new(pool: Pool, audience: Arc<Audience>) -> Self {
        let shared = Shared { pool, audience, session: RwLock::default(), is_reached: AtomicBool::new(false) };
        Self { shared: Arc::new(shared), supervisor: Supervisor::default() }
    }

    pub(super) async fn query(&self, cmd: &Cmd) -> Result<Value, RedisError> {
        self.supervise();
        in_time(PATIENCE, self.shared.query(cmd)).await
    }

    pub(super) async fn pipeline(&self, pipeline: &Pipeline) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        self.supervise();
        let query = async {
            let mut connection = self.shared.pool.get().await.map_err(from_pool)?;
            pipeline.query_async(&mut connection).await
        };
        in_time(PATIENCE, query).await
    }

    /// Sends a command whose answer may be kept.
    pub(super) async fn load(&self, cmd: &Cmd) -> Result<Read<Value>, RedisError> {
        self.supervise();
        let mut connection = in_time(PATIENCE, async { self.shared.pool.get().await.map_err(from_pool) }).await?;
        let answer = async { connection.send_packed_command(cmd).await?.extract_error() };
        match self.shared.session() {
            Some(session) => load(&session, self.shared.audience.terms(), answer).await,
            None => {
                let sent = Tick::now();
                Ok(Read::once(in_time(PATIENCE, answer).await?, sent))
            }
        }
    }

    pub(super) fn renew(&self) {
        if let Some(session) = self.shared.session() {
            session.renew();
        }
    }

    /// How many instances there are, as was heard last.
    pub(super) fn instances(&self) -> u64 {
        match self.shared.session().map_or(0, |session| session.instances()) {
            0 => INSTANCES,
            heard => heard,
        }
    }

    pub(super) fn coherence(&self) -> Coherence {
        if !self.shared.audience.is_there() {
            return Coherence::None;
        }
        let lease = self.shared.audience.terms().lease;
        let registered = self.shared.session().map_or(Coherence::Unreachable, |session| session.coherence(lease));
        match registered {
            Coherence::Lapsed if !self.shared.is_reached.load(Ordering::Relaxed) => Coherence::Unreachable,
            registered => registered,
        }
    }

    fn supervise(&self) {
        if self.shared.audience.is_there() {
            self.supervisor.ensure(|| register(Arc::clone(&self.shared)));
        }
    }
}

impl Shared {
    async fn query(&self, cmd: &Cmd) -> Result<Value, RedisError> {
        self.pool.get().await.map_err(from_pool)?.send_packed_command(cmd).await?.extract_error()
    }

    async fn run(&self, call: &Call) -> Result<Value, RedisError> {
        match self.query(&call.by_hash()).await {
            Err(error) if is_unknown_script(&error) => self.query(&call.in_full()).await,
            outcome => outcome,
        }
    }

    fn session(&self) -> Option<Arc<Session>> {
        self.session.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_session(&self, session: Option<Arc<Session>>) {
        let before = std::mem::replace(&mut *self.session.write().unwrap_or_else(PoisonError::into_inner), session);
        if let Some(before) = before {
            before.end();
        }
    }

    async fn beat(&self, session: &Session) {
        let beat = Beat::new(&self.audience, session, Bucket::of(SOLE_REGISTRY));
        let answer = in_time(self.audience.terms().patience(), self.run(beat.call())).await;
        match beat.answered(&self.audience, session, answer) {
            Ok(()) => self.is_reached.store(true, Ordering::Relaxed),
            // The pool sees to its connections. What was read is believed to its end, and nothing new is.
            Err(error) => {
                if self.is_reached.swap(false, Ordering::Relaxed) {
                    tracing::warn!(%error, "heartbeats over the pool are not answered, so every request reads the store");
                }
            }
        }
    }
}

/// Ends what is believed when the task ends.
struct Registered(Arc<Shared>);

impl Drop for Registered {
    fn drop(&mut self) {
        self.0.set_session(None);
        self.0.is_reached.store(false, Ordering::Relaxed);
    }
}

/// Keeps the instance registered while anybody watches.
fn register(shared: Arc<Shared>) -> impl Future<Output = ()> + Send + 'static {
    let registered = Registered(shared);
    async move {
        let shared = &registered.0;
        let Ok(session) = Session::new(Telling::TimeBound).map(Arc::new) else { return };
        shared.set_session(Some(Arc::clone(&session)));
        let mut was_reached = None;
        while shared.audience.is_there() {
            let sent = Instant::now();
            shared.beat(&session).await;
            let is_reached = shared.is_reached.load(Ordering::Relaxed);
            if is_reached && was_reached.replace(is_reached) == Some(false) {
                shared.audience.watchers.tell_reached_anew();
            } else if !is_reached && was_reached.is_some() {
                was_reached = Some(false);
            }
            session.wait_until(sent + shared.audience.terms().beat()).await;
        }
    }
}

fn from_pool(error: deadpool_redis::PoolError) -> RedisError {
    match error {
        deadpool_redis::PoolError::Backend(error) => error,
        other => RedisError::from(std::io::Error::other(other.to_string())),
    }
}
