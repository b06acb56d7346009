//! Where a Redis server answers, and how it is asked something.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use redis::{
    Cmd, Connection, ConnectionAddr, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo, RedisError, ToRedisArgs,
};

use crate::TestkitError;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The address of one server on this machine. Every method blocks: call it off the async threads.
#[derive(Clone, Debug)]
pub(crate) struct RedisAddress {
    pub(crate) port: u16,
    pub(crate) password: Option<String>,
    /// How long a command waits for its answer.
    pub(crate) answer_within: Duration,
}

impl RedisAddress {
    pub(crate) fn new(port: u16, password: Option<String>) -> Self {
        Self { port, password, answer_within: ANSWER_WITHIN }
    }

    pub(crate) fn socket(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn url(&self) -> String {
        match &self.password {
            Some(password) => format!("redis://:{password}@{}", self.socket()),
            None => format!("redis://{}", self.socket()),
        }
    }

    /// Opens a connection that sends nothing by itself but AUTH where it must, so that a test which
    /// counts commands counts its own.
    pub(crate) fn connect(&self) -> Result<Connection, TestkitError> {
        self.open().map_err(self.failed())
    }

    /// One command on a connection of its own.
    pub(crate) fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, TestkitError> {
        let mut connection = self.connect()?;
        command.query(&mut connection).map_err(self.failed())
    }

    /// One command, given as its words.
    pub(crate) fn ask<T: FromRedisValue>(
        &self,
        words: impl IntoIterator<Item = impl ToRedisArgs>,
    ) -> Result<T, TestkitError> {
        self.query(&command_of(words))
    }

    /// One section of INFO, or the like: `name:value` lines.
    pub(crate) fn fields(&self, words: &[&str]) -> Result<BTreeMap<String, String>, TestkitError> {
        let text: String = self.ask(words)?;
        let fields = text.lines().filter_map(|line| line.trim().split_once(':'));
        Ok(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// For `map_err`: says which server failed.
    pub(crate) fn failed(&self) -> impl FnOnce(RedisError) -> TestkitError {
        let port = self.port;
        move |source| TestkitError::Redis { port, source }
    }

    fn open(&self) -> Result<Connection, RedisError> {
        let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        let address = ConnectionAddr::Tcp(Ipv4Addr::LOCALHOST.to_string(), self.port);
        let client = redis::Client::open(address.into_connection_info()?.set_redis_settings(settings))?;
        let connection = client.get_connection_with_timeout(CONNECT_WITHIN)?;
        connection.set_read_timeout(Some(self.answer_within))?;
        connection.set_write_timeout(Some(self.answer_within))?;
        Ok(connection)
    }
}

/// A command from its words, the name first.
pub(crate) fn command_of(words: impl IntoIterator<Item = impl ToRedisArgs>) -> Cmd {
    let mut command = Cmd::new();
    for word in words {
        command.arg(word);
    }
    command
}
