//! Why a piece of the test kit could not do what it was asked.

use std::{io, time::Duration};

/// Why a piece of the test kit could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestkitError {
    /// There is no `redis-server` on the `PATH`.
    #[error("redis-server was not found: run scripts/test.sh, which installs it")]
    RedisNotInstalled,

    /// Every port that was tried belongs to someone else.
    #[error("no free port was found on 127.0.0.1 in {attempts} attempts")]
    NoFreePort {
        /// How many ports were tried.
        attempts: usize,
    },

    /// The operating system refused.
    #[error("could not {doing}: {source}")]
    Io {
        /// What was being done, as a phrase that follows "could not".
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },

    /// The server ended before it answered, for a reason its log gives.
    #[error("redis-server on port {port} ended while it was starting; its log ends:\n{log}")]
    EndedEarly {
        /// The port it was started on.
        port: u16,
        /// The last lines of its log.
        log: String,
    },

    /// Something that was waited for did not come about.
    #[error("waited {waited:?} for {condition}; last seen: {last_seen}")]
    Timeout {
        /// How long was waited.
        waited: Duration,
        /// What was waited for.
        condition: String,
        /// The state when patience ran out.
        last_seen: String,
    },

    /// The server is stopped, and what was asked needs it running.
    #[error("the server on port {port} is not running")]
    NotRunning {
        /// The port the server had, and keeps.
        port: u16,
    },

    /// A server answered, with something else than a test can go on from.
    #[error("{0}")]
    Unexpected(String),

    /// A Redis command failed, or its answer was not of the type asked for.
    #[error("redis on port {port}: {source}")]
    Redis {
        /// The port of the server that was asked.
        port: u16,
        /// What the client library said.
        source: redis::RedisError,
    },

    /// The async runtime shut down before the work was done.
    #[error("the async runtime shut down before the work was done")]
    RuntimeGone,
}

impl TestkitError {
    /// For `map_err`: names what was being done when the operating system refused.
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
