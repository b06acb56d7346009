//! Connections to a Cluster that have come to a standstill.
//!
//! Version 1.8 of the library asks where slots are while it polls no request that is under way, and needs a lock for it that
//! such a request may hold. With some forty requests under way when a slot moves, or a primary is lost, it then waits for
//! ever, and so does every request from then on. It cannot be told from one primary that does not answer, except by asking
//! all others; so when an answer does not come, that is done.

use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;
use tokio::time::timeout;

use super::connection::Connection;
use super::reconnecting::{Live, Shared};

/// How long all primaries together may take to answer at all.
const PATIENCE: Duration = Duration::from_millis(500);

/// Lets go of a connection to a Cluster, soon, if it has come to a standstill.
pub(super) fn doubt(shared: &Arc<Shared>, live: &Live, error: Option<&RedisError>) {
    if !matches!(live.connection, Connection::Cluster(_)) || !error.is_some_and(RedisError::is_timeout) {
        return;
    }
    // Whoever comes while it is found out has nothing to add.
    let Ok(doubting) = Arc::clone(&shared.doubting).try_lock_owned() else { return };
    let (shared, mut live) = (Arc::clone(shared), live.clone());
    tokio::spawn(async move {
        let _doubting = doubting;
        if timeout(PATIENCE, live.connection.ask_anyone()).await.is_err() {
            shared.give_up(&live, &"no primary answers over it");
        }
    });
}
