//! Makes a connection ready: to the primary, and told of changes if anybody watches.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keygate_core::key::Bucket;
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::time::timeout;

use super::cluster::Node;
use super::connection::Connection;
use super::dial::Candidate;
use super::reconnecting::Shared;
use super::{SOLE_REGISTRY, too_slow};
use crate::coherence::{Audience, Beat, Session, Telling, pushes};

/// Connections that are closed at `HELLO 3`, one after the other, before it is tried without.
const CLOSINGS: u32 = 3;

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
                // One that only closed connections may have been away until now.
                match if was_closed(&refusal) { self.reach_tracked(candidate).await? } else { Err(refusal) } {
                    Ok(tracked) => {
                        self.tracks(None);
                        tracked
                    }
                    Err(refusal) => {
                        self.tracks(Some(&refusal));
                        plain
                    }
                }
            }
        };
        if let Some(node) = &self.node {
            // It says which registry is its own.
            in_time(self.audience.terms().patience(), node.look(&mut connection, &session)).await?;
        }
        beat(&mut connection, &self.audience, &session, self.node.as_ref()).await?;
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
            // Some proxies close the connection instead of saying that they do not know HELLO.
            Err(error) if was_closed(&error) && self.closings.fetch_add(1, Ordering::Relaxed) + 1 >= CLOSINGS => {
                return Ok(Err(error));
            }
            Err(error) => return Err(error),
        };
        self.closings.store(0, Ordering::Relaxed);
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
    node: Option<&Node>,
) -> Result<(), RedisError> {
    let registry = node.and_then(Node::registry).unwrap_or_else(|| Bucket::of(SOLE_REGISTRY));
    let beat = Beat::new(audience, session, registry);
    let answer = in_time(audience.terms().patience(), async {
        let answer = connection.run(beat.call()).await;
        if let Some(node) = node {
            node.look(connection, session).await?;
        }
        answer
    });
    match answer.await {
        // The registry is on the move. The next heartbeat has another.
        Err(error) if node.is_some() && is_redirection(&error) => Ok(()),
        answer => beat.answered(audience, session, answer),
    }
}

/// Whether an entry is elsewhere, or on the way.
pub(super) fn is_redirection(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, Moved, TryAgain};
    matches!(error.kind(), ErrorKind::Server(Moved | Ask | TryAgain))
}

pub(crate) async fn in_time<T>(
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

/// Whether a connection was made, and closed at once.
pub(super) fn was_closed(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_connection_refusal()
}

/// Whether an answer to `HELLO 3` or `CLIENT TRACKING` says that there is no such thing here. Other trouble, such as a server
/// that has too many clients, passes.
pub(crate) fn is_refusal(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::RESP3NotSupported | ErrorKind::Server(ServerErrorKind::NoPerm) => true,
        ErrorKind::Server(ServerErrorKind::ResponseError) => {
            let said = error.to_string().to_ascii_lowercase();
            ["unknown", "syntax", "wrong number", "not supported", "unsupported"].iter().any(|word| said.contains(word))
        }
        _ => error.code() == Some("NOPROTO"),
    }
}
