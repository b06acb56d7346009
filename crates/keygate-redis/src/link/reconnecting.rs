//! One connection, made when first needed and made again after it was lost.
//!
//! This is not the library's `ConnectionManager` because that one, told to reconnect for ever, lets every call wait for
//! a server that is away and then says only that it timed out; told to give up, it keeps an answer such as `LOADING` or
//! `NOAUTH`, given while connecting, for ever; and it does not ask Sentinels. Here one attempt is made at a time, all
//! callers share its outcome, and between attempts, which back off with jitter up to [a second](Attempts), calls fail at
//! once with the reason of the last one. An attempt is a task of its own: were it given up with the caller who began it,
//! callers with less patience than a connection takes to make would never get one.
//!
//! While somebody watches the store, a [task](super::supervise) sees to it that there is a connection.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use keygate_core::coherence::{Coherence, Read};
use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::sync::Mutex;

use super::Primary;
use super::attempts::Attempts;
use super::cluster::Node;
use super::connection::Connection;
use super::dial::{Candidate, Dial};
use super::load::load;
use super::stuck::doubt;
use super::supervise::{Supervisor, supervise};
use crate::coherence::{Audience, Session, Telling};
use crate::settings::RedisSettings;

pub(crate) struct Reconnecting {
    shared: Arc<Shared>,
    supervisor: Supervisor,
}

/// What the store shares with the attempt to connect, and with the task that keeps the connection.
pub(super) struct Shared {
    pub(super) dial: Dial,
    pub(super) audience: Arc<Audience>,
    /// The primary of a Cluster that it leads to, if it leads to one.
    pub(super) node: Option<Node>,
    current: RwLock<Current>,
    /// Held while connecting.
    attempts: Mutex<Attempts>,
    /// Held while it is found out whether the connection leads anywhere.
    pub(super) doubting: Arc<Mutex<()>>,
    /// Whether those who watch were ever served.
    was_reached: AtomicBool,
    /// Whether the server refused to track when it was last connected to, which is said once.
    is_untracked: AtomicBool,
    /// How many connections in a row were closed when they were to be told over.
    pub(super) closings: AtomicU32,
}

/// A connection, and what is believed by it.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) connection: Connection,
    pub(super) session: Arc<Session>,
    /// Where it leads; in a Cluster, nowhere in particular.
    pub(super) candidate: Option<Candidate>,
    /// Counts connections, so that a late failure of an old one does not condemn the new one.
    number: u64,
}

#[derive(Default)]
struct Current {
    live: Option<Live>,
    number: u64,
    /// How many instances there were, as far as the connections before knew.
    instances: u64,
    /// The store is gone.
    is_closed: bool,
}

impl Reconnecting {
    pub(super) fn new(settings: RedisSettings, audience: Arc<Audience>) -> Self {
        Self::over(settings, audience, None, false)
    }

    /// One to a primary of a Cluster, which those who watch may have been served by another in the place of.
    pub(super) fn to_node(settings: RedisSettings, audience: Arc<Audience>, node: Node, was_reached: bool) -> Self {
        Self::over(settings, audience, Some(node), was_reached)
    }

    fn over(settings: RedisSettings, audience: Arc<Audience>, node: Option<Node>, was_reached: bool) -> Self {
        let (current, attempts, doubting, is_untracked, closings) = Default::default();
        let (dial, was_reached) = (Dial::new(settings), AtomicBool::new(was_reached));
        let shared = Shared { dial, audience, node, current, attempts, doubting, was_reached, is_untracked, closings };
        Self { shared: Arc::new(shared), supervisor: Supervisor::default() }
    }

    pub(super) fn describe(&self) -> String {
        self.shared.dial.address().to_string()
    }

    pub(super) async fn query(&self, cmd: &Cmd) -> Result<Value, RedisError> {
        let mut live = self.connection().await?;
        let answer = live.connection.query(cmd).await;
        self.note(&live, answer.as_ref().err());
        answer
    }

    pub(super) async fn query_at(&self, cmd: &Cmd, primary: &Primary) -> Result<Value, RedisError> {
        let mut live = self.connection().await?;
        let answer = live.connection.query_at(cmd, primary).await;
        self.note(&live, answer.as_ref().err());
        answer
    }

    pub(super) async fn pipeline(&self, pipeline: &Pipeline) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        let mut live = self.connection().await?;
        let answers = live.connection.pipeline(pipeline).await;
        let error = match &answers {
            Ok(answers) => answers.iter().find_map(|answer| answer.as_ref().err()),
            Err(error) => Some(error),
        };
        self.note(&live, error);
        answers
    }

    /// Sends a command whose answer may be kept.
    pub(super) async fn load(&self, cmd: &Cmd) -> Result<Read<Value>, RedisError> {
        self.load_over(self.connection().await?, cmd).await
    }

    /// The same, if there is a connection.
    pub(super) async fn load_now(&self, cmd: &Cmd) -> Option<Result<Read<Value>, RedisError>> {
        Some(self.load_over(self.shared.current()?, cmd).await)
    }

    async fn load_over(&self, mut live: Live, cmd: &Cmd) -> Result<Read<Value>, RedisError> {
        let session = Arc::clone(&live.session);
        let read = load(&session, self.shared.audience.terms(), live.connection.query(cmd)).await;
        // That an answer took too long to be kept says little of a connection that heartbeats judge.
        let is_judged = session.telling() != Telling::Unwatched;
        self.note(&live, read.as_ref().err().filter(|error| !(is_judged && error.is_timeout())));
        read
    }

    /// The number of the connection there is, or is now made. Another number is another connection.
    pub(super) async fn number(&self) -> Result<u64, RedisError> {
        Ok(self.connection().await?.number)
    }

    /// Sees to it that there is a connection while anybody watches.
    pub(super) fn keep(&self) {
        if self.shared.is_watched() {
            self.supervisor.ensure(|| supervise(Arc::clone(&self.shared)));
        }
    }

    /// Whether there is a connection.
    pub(super) fn is_reached(&self) -> bool {
        self.shared.current().is_some()
    }

    /// The next heartbeat is sent at once.
    pub(super) fn hurry(&self) {
        if let Some(live) = self.shared.current() {
            live.session.hurry();
        }
    }

    /// What those who watch believe by ends, and begins again with the next heartbeat.
    pub(super) fn renew(&self) {
        if let Some(live) = self.shared.current() {
            live.session.renew();
        }
    }

    pub(super) fn coherence(&self) -> Coherence {
        if !self.shared.is_watched() {
            return Coherence::None;
        }
        let lease = self.shared.audience.terms().lease;
        self.shared.current().map_or(Coherence::Unreachable, |live| live.session.coherence(lease))
    }

    /// How many instances there are, as was heard last, be it over a connection that is gone; 0 where nothing was.
    pub(super) fn instances(&self) -> u64 {
        self.shared.current.read().unwrap_or_else(PoisonError::into_inner).instances()
    }

    /// What is believed by it ends, and no connection is kept any more.
    pub(super) fn close(&self) {
        let mut current = self.shared.current.write().unwrap_or_else(PoisonError::into_inner);
        current.is_closed = true;
        current.let_go();
    }

    /// Lets go of a connection if the error says that it is no good.
    fn note(&self, live: &Live, error: Option<&RedisError>) {
        match error.filter(|error| live.connection.is_spent(error)) {
            Some(error) => self.shared.give_up(live, error),
            None => doubt(&self.shared, live, error),
        }
    }

    async fn connection(&self) -> Result<Live, RedisError> {
        self.keep();
        if let Some(live) = self.shared.current() {
            return Ok(live);
        }
        let shared = Arc::clone(&self.shared);
        // It panics nowhere, so what is left is a runtime that shuts down.
        tokio::spawn(async move { shared.connect().await })
            .await
            .unwrap_or_else(|ended| Err(std::io::Error::other(ended).into()))
    }
}

impl Drop for Reconnecting {
    fn drop(&mut self) {
        self.close();
    }
}

impl Current {
    /// Gives the connection up: first what is believed by it.
    fn let_go(&mut self) {
        self.instances = self.instances();
        if let Some(live) = &self.live {
            live.session.end();
        }
        self.live = None;
    }

    fn instances(&self) -> u64 {
        match self.live.as_ref().map_or(0, |live| live.session.instances()) {
            0 => self.instances,
            heard => heard,
        }
    }
}

impl Shared {
    /// Whether anybody watches whom the connection serves. One to a whole Cluster serves nobody: those to its primaries do.
    pub(super) fn is_watched(&self) -> bool {
        !self.dial.is_cluster() && self.audience.is_there()
    }

    pub(super) async fn connect(&self) -> Result<Live, RedisError> {
        let mut attempts = self.attempts.lock().await;
        if let Some(live) = self.current() {
            return Ok(live);
        }
        attempts.may_begin()?;
        match self.reach().await {
            Ok(live) => {
                *attempts = Attempts::default();
                Ok(self.install(live))
            }
            Err(error) => {
                if attempts.failed(&error) {
                    tracing::warn!(store = %self.dial.address(), %error, "cannot connect; trying again");
                }
                Err(error)
            }
        }
    }

    fn install(&self, (connection, session, candidate): super::reach::Reached) -> Live {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.let_go();
        current.number += 1;
        let live = Live { connection, session, candidate, number: current.number };
        if current.is_closed {
            live.session.end();
            return live;
        }
        current.live = Some(live.clone());
        tracing::debug!(store = %self.dial.address(), "connected");
        if live.session.telling() != Telling::Unwatched && self.was_reached.swap(true, Ordering::Relaxed) {
            let audience = Arc::clone(&self.audience);
            tokio::spawn(async move { audience.watchers.tell_reached_anew() });
        }
        live
    }

    /// Waits until the next attempt may be made, or a moment when none has failed.
    pub(super) async fn pause(&self) {
        let wait = self.attempts.lock().await.wait(self.audience.terms().beat());
        tokio::time::sleep(wait).await;
    }

    /// Notes whether the server tracks, with its refusal if it does not.
    pub(super) fn tracks(&self, refusal: Option<&RedisError>) {
        let was_untracked = self.is_untracked.swap(refusal.is_some(), Ordering::Relaxed);
        if let Some(error) = refusal.filter(|_| !was_untracked) {
            tracing::warn!(
                store = %self.dial.address(),
                %error,
                "the server tells nobody of changes, so what was read is believed for the length of a lease"
            );
        }
    }

    /// The connection, if there is one, and one that tells those who watch if anybody does.
    fn current(&self) -> Option<Live> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let serves = |live: &&Live| match live.session.telling() {
            Telling::Unwatched => !self.is_watched(),
            Telling::Told | Telling::TimeBound => !live.session.is_over(),
        };
        current.live.as_ref().filter(serves).cloned()
    }

    /// Lets go of a connection.
    pub(super) fn give_up(&self, live: &Live, reason: &dyn std::fmt::Display) {
        live.session.end();
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.live.as_ref().is_some_and(|there| there.number == live.number) {
            current.let_go();
            tracing::warn!(store = %self.dial.address(), error = %reason, "connection given up");
        }
    }

    /// Lets go of the connection that there is.
    pub(super) fn let_go(&self) {
        self.current.write().unwrap_or_else(PoisonError::into_inner).let_go();
    }
}
