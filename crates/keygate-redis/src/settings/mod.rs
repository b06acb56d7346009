//! Where the store is, how patient calls are, and for how long what was read may be believed.

mod address;
mod error;
mod parse;
mod terms;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub(crate) use address::{Address, Credentials, Host, Place};
pub use error::SettingsError;
pub(crate) use terms::Terms;

use crate::layout::Namespace;

/// Where a Redis store is, read from one line of text, and how long a call waits for it.
///
/// | form | what |
/// |---|---|
/// | `redis://[user:password@]host[:port][/db]` | one server, or what looks like one |
/// | `redis+sentinel://[user:password@]host:port,host:port/MASTER[/db]` | the primary that Sentinels name |
/// | `redis+cluster://[user:password@]host:port,host:port` | a Cluster, reached through any of its nodes |
/// | `redis+unix:///path[?db=n]` | one server behind a Unix socket |
///
/// `rediss` in the place of `redis` is the same over TLS; it needs the feature `tls`. The port is 6379 when left out,
/// 26379 for Sentinels. `:password@` leaves the user out. User and password are percent-decoded. `?db=n` may stand for
/// `/db`. The user and the password of a Sentinel address are those of the Redis servers; those of the Sentinels
/// themselves, when they ask for any, are `?sentinel_username=` and `?sentinel_password=`.
///
/// ```
/// # use keygate_redis::RedisSettings;
/// let settings: RedisSettings = "redis+sentinel://10.0.0.1:26379,10.0.0.2:26379/mymaster".parse()?;
/// # Ok::<(), keygate_redis::SettingsError>(())
/// ```
#[derive(Clone)]
pub struct RedisSettings {
    pub(crate) address: Address,
    pub(crate) namespace: Namespace,
    pub(crate) patience: Patience,
    pub(crate) terms: Terms,
}

/// How long a call waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) connection: Duration,
    pub(crate) response: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connection: Duration::from_secs(1), response: Duration::from_secs(2) }
    }
}

impl RedisSettings {
    /// Keeps everything under another name than `kg`.
    #[must_use]
    pub fn with_namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }

    /// How long making a connection may take, 1 s by default.
    #[must_use]
    pub fn with_connection_timeout(mut self, timeout: Duration) -> Self {
        self.patience.connection = timeout;
        self
    }

    /// How long an answer may take, 2 s by default.
    #[must_use]
    pub fn with_response_timeout(mut self, timeout: Duration) -> Self {
        self.patience.response = timeout;
        self
    }

    /// The lease H, 1 s by default and 100 ms to 60 s: how long an instance that is cut off from the store goes on
    /// believing what it has read. Heartbeats are sent every H/4, and one that is not answered within H/2 ends the
    /// connection.
    ///
    /// # Errors
    /// When it is out of range.
    pub fn with_lease(mut self, lease: Duration) -> Result<Self, SettingsError> {
        self.terms.set_lease(lease)?;
        Ok(self)
    }

    /// The longest that any instance may believe what it was not told of, 5 s by default and 100 ms to 1 h. It is the
    /// deployment's: the first instance that is there sets it, and one that would believe for longer keeps nothing.
    ///
    /// # Errors
    /// When it is out of range.
    pub fn with_max_staleness(mut self, staleness: Duration) -> Result<Self, SettingsError> {
        self.terms.set_max_staleness(staleness)?;
        Ok(self)
    }
}

impl FromStr for RedisSettings {
    type Err = SettingsError;
    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let (namespace, patience, terms) = (Namespace::default(), Patience::default(), Terms::default());
        Ok(Self { address: parse::address(text)?, namespace, patience, terms })
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, namespace, patience, terms } = self;
        f.debug_struct("RedisSettings")
            .field("address", &format_args!("{address}"))
            .field("namespace", namespace)
            .field("patience", patience)
            .field("terms", terms)
            .finish()
    }
}
