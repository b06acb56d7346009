//! Connections for the examination: without a session, heartbeats or a second attempt, so that what is seen is what is
//! there.

use redis::{Cmd, ErrorKind, Pipeline, RedisError, Value};

use super::connection::Connection;
use super::dial::{Candidate, Dial};
use super::reach::{in_time, is_refusal, was_closed};
use super::{Call, Link};
use crate::coherence::Push;
use crate::settings::{Host, Place, RedisSettings};

/// One server that can be connected to.
pub(crate) struct Server {
    /// Where it is, for people.
    pub(crate) name: String,
    dial: Dial,
    candidate: Candidate,
}

impl Server {
    /// The primary that an address leads to, which is not a Cluster's.
    pub(crate) async fn primary(settings: &RedisSettings) -> Result<Self, RedisError> {
        let dial = Dial::new(settings.clone());
        let found = in_time(dial.patience(), dial.candidates()).await?.into_iter().next();
        let candidate = found.ok_or_else(|| -> RedisError {
            (ErrorKind::InvalidClientConfig, "there is nowhere to connect to").into()
        })?;
        let name = match (&candidate.named, &settings.address.place) {
            (Some(host), _) | (None, Place::Single(host)) => host.to_string(),
            _ => settings.address.to_string(),
        };
        Ok(Self { name, dial, candidate })
    }

    /// The server at this host, whatever else the settings lead to.
    pub(crate) async fn at(settings: &RedisSettings, host: &Host) -> Result<Self, RedisError> {
        let mut settings = settings.clone();
        settings.address.place = Place::Single(host.clone());
        Self::primary(&settings).await
    }

    /// Connects to it.
    pub(crate) async fn open(&self) -> Result<Bare<'static>, RedisError> {
        self.connect(None).await
    }

    /// The same in RESP3, with what it says unasked going there. The inner error is its refusal of that.
    pub(crate) async fn open_told(&self, push: Push) -> Result<Result<Bare<'static>, RedisError>, RedisError> {
        match self.connect(Some(push)).await {
            Ok(bare) => Ok(Ok(bare)),
            // Some proxies close the connection instead of saying that they do not know HELLO.
            Err(error) if is_refusal(&error) || was_closed(&error) => Ok(Err(error)),
            Err(error) => Err(error),
        }
    }

    async fn connect(&self, push: Option<Push>) -> Result<Bare<'static>, RedisError> {
        let connection = in_time(self.dial.patience(), self.dial.open(&self.candidate, push)).await?;
        Ok(Bare(Way::Own(Connection::One(connection))))
    }
}

/// Something that can be asked.
pub(crate) struct Bare<'a>(Way<'a>);

enum Way<'a> {
    Own(Connection),
    Pool(&'a Link),
}

impl<'a> Bare<'a> {
    /// Whatever a link over a caller's pool hands out.
    pub(crate) fn over(pool: &'a Link) -> Self {
        Self(Way::Pool(pool))
    }

    pub(crate) async fn query(&self, cmd: &Cmd) -> Result<Value, RedisError> {
        match &self.0 {
            Way::Own(connection) => connection.clone().query(cmd).await,
            Way::Pool(link) => link.query(cmd).await,
        }
    }

    pub(crate) async fn run(&self, call: &Call) -> Result<Value, RedisError> {
        match &self.0 {
            Way::Own(connection) => connection.clone().run(call).await,
            Way::Pool(link) => link.run(call).await,
        }
    }

    /// Sends commands at once. One outcome for each, in order.
    ///
    /// # Errors
    /// When none was answered.
    pub(crate) async fn query_all(&self, cmds: &[Cmd]) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        if cmds.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::new();
        pipeline.ignore_errors();
        for cmd in cmds {
            pipeline.add_command(cmd.clone());
        }
        match &self.0 {
            Way::Own(connection) => connection.clone().pipeline(&pipeline).await,
            Way::Pool(link) => link.pipeline(&pipeline).await,
        }
    }
}
