//! One connection, made when first needed and made again after it was lost.
//!
//! This is not the library's `ConnectionManager` because that one, told to reconnect for ever, lets every call wait for
//! a server that is away and then says only that it timed out; told to give up, it keeps an answer such as `LOADING` or
//! `NOAUTH`, given while connecting, for ever; and it does not ask Sentinels. Here one attempt is made at a time, all
//! callers share its outcome, and between attempts, which back off with jitter up to [`LONGEST_PAUSE`], calls fail at
//! once with the reason of the last one. An attempt is a task of its own: were it given up with the caller who began it,
//! callers with less patience than a connection takes to make would never get one.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::connection::Connection;
use super::dial::Dial;
use super::{Primary, too_slow};
use crate::settings::RedisSettings;

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Reconnecting {
    /// Shared with the attempt to connect.
    shared: Arc<Shared>,
}

struct Shared {
    dial: Dial,
    current: RwLock<Current>,
    /// Held while connecting.
    attempts: Mutex<Attempts>,
}

#[derive(Default)]
struct Current {
    connection: Option<Connection>,
    /// Counts connections, so that a late failure of an old one does not condemn the new one.
    number: u64,
}

#[derive(Default)]
struct Attempts {
    failed: u32,
    /// Why the last one failed, and when the next may be made.
    last: Option<(RedisError, Instant)>,
}

impl Reconnecting {
    pub(super) fn new(settings: RedisSettings) -> Self {
        let (dial, current, attempts) = (Dial::new(settings), RwLock::default(), Mutex::default());
        Self { shared: Arc::new(Shared { dial, current, attempts }) }
    }

    pub(super) fn describe(&self) -> String {
        self.shared.dial.address().to_string()
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.shared.dial.is_cluster()
    }

    pub(super) async fn query(&self, cmd: &Cmd) -> Result<Value, RedisError> {
        let (mut connection, number) = self.connection().await?;
        let answer = connection.query(cmd).await;
        self.shared.note(number, &connection, answer.as_ref().err());
        answer
    }

    pub(super) async fn query_at(&self, cmd: &Cmd, primary: &Primary) -> Result<Value, RedisError> {
        let (mut connection, number) = self.connection().await?;
        let answer = connection.query_at(cmd, primary).await;
        self.shared.note(number, &connection, answer.as_ref().err());
        answer
    }

    pub(super) async fn pipeline(&self, pipeline: &Pipeline) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        let (mut connection, number) = self.connection().await?;
        let answers = connection.pipeline(pipeline).await;
        let error = match &answers {
            Ok(answers) => answers.iter().find_map(|answer| answer.as_ref().err()),
            Err(error) => Some(error),
        };
        self.shared.note(number, &connection, error);
        answers
    }

    /// The number of the connection there is, or is now made. Another number is another connection.
    pub(super) async fn number(&self) -> Result<u64, RedisError> {
        Ok(self.connection().await?.1)
    }

    async fn connection(&self) -> Result<(Connection, u64), RedisError> {
        if let Some(current) = self.shared.current() {
            return Ok(current);
        }
        let shared = Arc::clone(&self.shared);
        // It panics nowhere, so what is left is a runtime that shuts down.
        tokio::spawn(async move { shared.connect().await })
            .await
            .unwrap_or_else(|ended| Err(std::io::Error::other(ended).into()))
    }
}

impl Shared {
    async fn connect(&self) -> Result<(Connection, u64), RedisError> {
        let mut attempts = self.attempts.lock().await;
        if let Some(current) = self.current() {
            return Ok(current);
        }
        if let Some((error, again)) = &attempts.last
            && Instant::now() < *again
        {
            return Err(error.clone());
        }
        match timeout(self.dial.patience(), self.dial.connect()).await.unwrap_or_else(|_| Err(too_slow())) {
            Ok(connection) => {
                *attempts = Attempts::default();
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                current.number += 1;
                current.connection = Some(connection.clone());
                tracing::debug!(store = %self.dial.address(), "connected");
                Ok((connection, current.number))
            }
            Err(error) => {
                if attempts.failed == 0 {
                    tracing::warn!(store = %self.dial.address(), %error, "cannot connect; trying again when needed");
                }
                attempts.failed = attempts.failed.saturating_add(1);
                attempts.last = Some((error.clone(), Instant::now() + pause(attempts.failed)));
                Err(error)
            }
        }
    }

    fn current(&self) -> Option<(Connection, u64)> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.connection.clone().map(|connection| (connection, current.number))
    }

    /// Lets go of the connection with this number if the error says that it is no good.
    fn note(&self, number: u64, connection: &Connection, error: Option<&RedisError>) {
        let Some(error) = error.filter(|error| connection.is_spent(error)) else { return };
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.number == number && current.connection.take().is_some() {
            tracing::warn!(store = %self.dial.address(), %error, "connection given up");
        }
    }
}

/// How long to wait after so many failed attempts: twice as long each time, three quarters to five quarters of it, so
/// that a fleet does not come back in one wave.
fn pause(failed: u32) -> Duration {
    let whole = SHORTEST_PAUSE.saturating_mul(1 << failed.min(10)).min(LONGEST_PAUSE);
    let mut random = [0];
    let share = if getrandom::fill(&mut random).is_ok() { f64::from(random[0]) / 255.0 } else { 0.5 };
    whole.mul_f64(0.75 + share / 2.0)
}
