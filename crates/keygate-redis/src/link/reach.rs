//! Makes a connection ready: to the primary, and told of changes if anybody watches.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::time::timeout;

use super::connection::Connection;
use super::dial::Candidate;
use super::reconnecting::Shared;
use super::too_slow;
use crate::coherence::{Audience, Beat, Session, Telling, pushes};

/// A connection, what is believed by it, and where it leads.
pub(super) type Reached = (Connection, Arc<Session>, Option<Candidate>);

impl Shared {
    /// Connects to the primary.
    pub(super) async fn reach(&self) -> Result<Reached, RedisError> {
        let patience = self.dial.patience();
        if self.dial.is_cluster() {
            let session = Arc::new(Session::new(Telling::Unwatched)?);
            return Ok((in_time(patience, self.dial.open_cluster()).await?, session, None));
        }
        // A second connection where tracking is refused, and a heartbeat.
        let patience = if self.is_watched() { 2 * patience + self.audience.terms().patience() } else { patience };
        in_time(patience, self.reach_any()).await
    }

    async fn reach_any(&self) -> Result<Reached, RedisError> {
        let mut failure = None;
        for candidate in self.dial.candidates().await? {
            let reached = if self.is_watched() {
                self.reach_watched(&candidate).await
            } else {
                self.reach_plain(&candidate, Telling::Unwatched).await
            };
            match reached {
                Ok((connection, session)) => return Ok((connection, session, Some(candidate))),
                // The likeliest candidate's.
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| (ErrorKind::InvalidClientConfig, "there is nowhere to connect to").into()))
    }

    async fn reach_plain(
        &self,
        candidate: &Candidate,
        telling: Telling,
    ) -> Result<(Connection, Arc<Session>), RedisError> {
        let mut connection = self.dial.open(candidate, None).await?;
        if candidate.named.is_some() {
            check_role(&mut connection).await?;
        }
        Ok((Connection::One(connection), Arc::new(Session::new(telling)?)))
    }

    /// With tracking, or without where the server refuses that; and with a first heartbeat.
    async fn reach_watched(&self, candidate: &Candidate) -> Result<(Connection, Arc<Session>), RedisError> {
        let (mut connection, session) = match self.reach_tracked(candidate).await? {
            Ok(tracked) => {
                self.tracks(None);
                tracked
            }
            Err(refusal) => {
                let plain = self.reach_plain(candidate, Telling::TimeBound).await?;
                self.tracks(Some(&refusal));
                plain
            }
        };
        beat(&mut connection, &self.audience, &session).await?;
        Ok((connection, session))
    }

    /// The inner error is the server's refusal to track.
    async fn reach_tracked(
        &self,
        candidate: &Candidate,
    ) -> Result<Result<(Connection, Arc<Session>), RedisError>, RedisError> {
        let session = Arc::new(Session::new(Telling::Told)?);
        let push = pushes(Arc::clone(&self.audience), &session);
        let mut connection = match self.dial.open(candidate, Some(push)).await {
            Ok(connection) => connection,
            Err(error) if is_refusal(&error) => return Ok(Err(error)),
            Err(error) => return Err(error),
        };
        if candidate.named.is_some() {
            check_role(&mut connection).await?;
        }
        let mut connection = Connection::One(connection);
        let mut track = redis::cmd("CLIENT");
        track.arg("TRACKING").arg("ON").arg("BCAST");
        for prefix in self.audience.layout.told_prefixes() {
            track.arg("PREFIX").arg(prefix);
        }
        match connection.query(&track).await {
            Ok(_) => Ok(Ok((connection, session))),
            Err(error) if is_refusal(&error) => Ok(Err(error)),
            Err(error) => Err(error),
        }
    }
}

/// One heartbeat.
///
/// # Errors
/// When the connection is to be given up, for this reason.
pub(super) async fn beat(
    connection: &mut Connection,
    audience: &Audience,
    session: &Session,
) -> Result<(), RedisError> {
    let beat = Beat::new(audience, session);
    let answer = in_time(audience.terms().patience(), connection.run(beat.call())).await;
    beat.answered(audience, session, answer)
}

pub(super) async fn in_time<T>(
    patience: Duration,
    step: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    timeout(patience, step).await.unwrap_or_else(|_| Err(too_slow()))
}

/// Sentinels may name a server that is the primary no more, or not yet.
async fn check_role(connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
    let role = connection.send_packed_command(&redis::cmd("ROLE")).await.and_then(Value::extract_error);
    match role {
        Ok(Value::Array(parts)) => match parts.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(()),
            _ => {
                Err((ErrorKind::Server(ServerErrorKind::ReadOnly), "the server that the Sentinels name is no primary")
                    .into())
            }
        },
        // Who may not ask learns it from the first write.
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err((ErrorKind::UnexpectedReturnType, "the answer to ROLE cannot be read").into()),
    }
}

/// Whether an answer to `HELLO 3` or `CLIENT TRACKING` says that there is no such thing here.
fn is_refusal(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::RESP3NotSupported | ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::NoPerm)
    ) || error.code() == Some("NOPROTO")
}
