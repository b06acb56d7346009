//! Who the Sentinels say is the primary.
//!
//! This is not the library's `SentinelClient` because that one goes by `SENTINEL MASTERS`, which names the old primary
//! until a failover is over: `GET-MASTER-ADDR-BY-NAME` names the new one as soon as it is promoted, while the old one,
//! which is not told yet, still takes writes. Where Sentinels disagree the one with the newest configuration is right, by
//! their own rule.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, Pipeline, RedisError};
use tokio::sync::Mutex;

use super::dial::info;
use super::reach::in_time;
use crate::settings::{Credentials, Host};

/// The Sentinels of one master.
pub(super) struct Sentinels {
    master: String,
    patience: Duration,
    all: Vec<Sentinel>,
}

struct Sentinel {
    address: ConnectionAddr,
    credentials: Credentials,
    connection: Mutex<Option<MultiplexedConnection>>,
}

/// What a Sentinel says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    /// Grows with every failover.
    epoch: u64,
    primary: Host,
}

impl Sentinels {
    pub(super) fn new(
        addresses: impl Iterator<Item = ConnectionAddr>,
        master: &str,
        credentials: &Credentials,
        patience: Duration,
    ) -> Self {
        let sentinel = |address| Sentinel { address, credentials: credentials.clone(), connection: Mutex::default() };
        Self { master: master.into(), patience, all: addresses.map(sentinel).collect() }
    }

    /// The primary, or those that the newest configuration names. One that an older configuration names is none, even if
    /// the newest cannot be reached: it may take writes still, and be told nothing.
    pub(super) async fn primaries(&self) -> Result<Vec<Host>, RedisError> {
        let answers = self.ask(self.patience).await;
        let (mut said, mut failure) = (Vec::new(), None);
        for answer in answers {
            match answer {
                Ok(one) => said.push(one),
                Err(error) => failure = Some(error),
            }
        }
        if said.is_empty() {
            return Err(failure.unwrap_or_else(|| unknown_master(&self.master)));
        }
        let newest = said.iter().map(|one| one.epoch).max();
        said.retain(|one| Some(one.epoch) == newest);
        let mut primaries: Vec<Host> = Vec::new();
        for one in said {
            if !primaries.contains(&one.primary) {
                primaries.push(one.primary);
            }
        }
        Ok(primaries)
    }

    /// Whether this is not the primary any more, as far as Sentinels answer in time. One that does not answer keeps the
    /// others' word from nobody.
    pub(super) async fn have_left(&self, primary: &Host, patience: Duration) -> bool {
        let said: Vec<Said> = self.ask(patience).await.into_iter().flatten().collect();
        let newest = said.iter().map(|one| one.epoch).max();
        let mut newest = said.iter().filter(|one| Some(one.epoch) == newest).peekable();
        newest.peek().is_some() && newest.all(|one| one.primary != *primary)
    }

    async fn ask(&self, patience: Duration) -> Vec<Result<Said, RedisError>> {
        join_all(self.all.iter().map(|sentinel| in_time(patience, sentinel.ask(&self.master, self.patience)))).await
    }
}

impl Sentinel {
    async fn ask(&self, master: &str, patience: Duration) -> Result<Said, RedisError> {
        let mut kept = self.connection.lock().await;
        // Kept again only once it has answered: whoever asks may lose patience, and it may lead nowhere.
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => self.connect(patience).await?,
        };
        let said = Said::ask(&mut connection, master).await?;
        *kept = Some(connection);
        Ok(said)
    }

    async fn connect(&self, patience: Duration) -> Result<MultiplexedConnection, RedisError> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(patience)).set_response_timeout(Some(patience));
        Client::open(info(self.address.clone(), &self.credentials)?)?
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }
}

impl Said {
    async fn ask(connection: &mut MultiplexedConnection, master: &str) -> Result<Self, RedisError> {
        let mut both = Pipeline::new();
        both.ignore_errors();
        both.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master).cmd("SENTINEL").arg("MASTER").arg(master);
        let (named, details): (Result<redis::Value, RedisError>, Result<redis::Value, RedisError>) =
            both.query_async(connection).await?;
        let named: Option<(String, u16)> = redis::from_redis_value(named?)?;
        let (name, port) = named.ok_or_else(|| unknown_master(master))?;
        // Of one that does not tell, the address alone counts.
        let details: HashMap<String, String> =
            details.ok().and_then(|details| redis::from_redis_value(details).ok()).unwrap_or_default();
        let epoch = details.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or_default();
        Ok(Self { epoch, primary: Host { name, port } })
    }
}

fn unknown_master(master: &str) -> RedisError {
    (ErrorKind::MasterNameNotFoundBySentinel, "the Sentinels know no master of this name", master.to_owned()).into()
}
