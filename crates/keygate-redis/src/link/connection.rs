//! A live connection, to one server or to a Cluster.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{
    MultipleNodeRoutingInfo, ResponsePolicy, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr,
};
use redis::{Cmd, ErrorKind, Pipeline, RedisError, ServerErrorKind, Value};

use super::{Call, Primary, is_unknown_script};

/// Cheap to clone; clones share the connection.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) async fn query(&mut self, cmd: &Cmd) -> Result<Value, RedisError> {
        let answer = match self {
            Self::One(connection) => connection.send_packed_command(cmd).await?,
            Self::Cluster(connection) => connection.req_packed_command(cmd).await?,
        };
        answer.extract_error()
    }

    /// Runs a script, loading it when the server does not know it.
    pub(super) async fn run(&mut self, call: &Call) -> Result<Value, RedisError> {
        match self.query(&call.by_hash()).await {
            Err(error) if is_unknown_script(&error) => self.query(&call.in_full()).await,
            outcome => outcome,
        }
    }

    pub(super) async fn query_at(&mut self, cmd: &Cmd, primary: &Primary) -> Result<Value, RedisError> {
        match (self, primary) {
            (Self::Cluster(connection), Primary::OfSlot(slot)) => {
                let node = SingleNodeRoutingInfo::SpecificNode(Route::new(*slot, SlotAddr::Master));
                connection.route_command(cmd.clone(), RoutingInfo::SingleNode(node)).await?.extract_error()
            }
            (connection, _) => connection.query(cmd).await,
        }
    }

    pub(super) async fn pipeline(&mut self, pipeline: &Pipeline) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        match self {
            Self::One(connection) => pipeline.query_async(connection).await,
            Self::Cluster(connection) => pipeline.query_async(connection).await,
        }
    }

    /// Waits until anyone answers anything.
    pub(super) async fn ask_anyone(&mut self) {
        let ping = redis::cmd("PING");
        // A refusal is an answer.
        let _ = match self {
            Self::One(connection) => connection.send_packed_command(&ping).await,
            Self::Cluster(connection) => {
                let all = (MultipleNodeRoutingInfo::AllMasters, Some(ResponsePolicy::OneSucceeded));
                connection.route_command(ping, RoutingInfo::MultiNode(all)).await
            }
        };
    }

    /// Whether the connection is no good after this error, and the next call should make another.
    pub(super) fn is_spent(&self, error: &RedisError) -> bool {
        match self {
            // An answer that does not come may be a server that was cut off without a word, and a server that refuses
            // writes was a primary once.
            Self::One(_) => {
                error.is_unrecoverable_error()
                    || error.is_io_error()
                    || error.code() == Some("NOAUTH")
                    || matches!(
                        error.kind(),
                        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
                    )
            }
            // It sees to its own connections, and starts from the first nodes again when it has lost them all.
            Self::Cluster(_) => error.is_unrecoverable_error() || error.code() == Some("NOAUTH"),
        }
    }
}
