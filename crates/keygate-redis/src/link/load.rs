//! Reads whose answer may be kept.

use std::sync::Arc;

use keygate_core::clock::Tick;
use keygate_core::coherence::{Lease, Read};
use redis::{ErrorKind, RedisError, Value};

use super::reach::in_time;
use crate::coherence::{Session, Telling};
use crate::settings::Terms;

/// Waits for an answer over a session's connection, and says for how long it may be believed. The command must not be
/// sent before this is polled.
pub(super) async fn load(
    session: &Session,
    terms: Terms,
    answer: impl Future<Output = Result<Value, RedisError>>,
) -> Result<Read<Value>, RedisError> {
    // Both before it is sent: what changes afterwards is told, and ends this lease or leaves another in its place.
    let (lease, sent) = (session.lease(), Tick::now());
    if session.telling() == Telling::Unwatched {
        let value = in_time(terms.lease, answer).await?;
        return Ok(Read { decides_until: sent.after(terms.lease), ..Read::once(value, sent) });
    }
    if session.is_lost(sent) {
        return Err((
            ErrorKind::Client,
            "the primary may be cut off from its replicas or its Cluster, and is not believed",
        )
            .into());
    }
    let value = in_time(terms.lease, answer).await?;
    let decides_until = sent.after(terms.lease);
    let lease = match session.telling() {
        Telling::Told => Some(lease),
        // Nobody says when it changes, so it has an end of its own, which is registered while the session's is live.
        Telling::TimeBound => lease.is_live(sent).then(|| Arc::new(Lease::until(decides_until))),
        Telling::Unwatched => None,
    };
    Ok(Read { value, sent, decides_until, lease })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use futures_util::future::ready;

    use super::*;

    fn loaded(session: &Session) -> Read<Value> {
        let terms = Terms::default();
        load(session, terms, ready(Ok(Value::Okay))).now_or_never().unwrap().unwrap()
    }

    #[tokio::test]
    async fn what_is_told_of_shares_the_lease_and_what_is_not_has_an_end_of_its_own() {
        let told = Session::new(Telling::Told).unwrap();
        let read = loaded(&told);
        assert!(Arc::ptr_eq(&read.lease.unwrap(), &told.lease()));
        assert_eq!(read.decides_until, read.sent.after(Duration::from_secs(1)));

        let bound = Session::new(Telling::TimeBound).unwrap();
        assert!(loaded(&bound).lease.is_none(), "it is not registered yet");
        bound.lease().extend(Tick::FOREVER);
        let read = loaded(&bound);
        assert_eq!(read.lease.unwrap().reached(), read.sent.after(Duration::from_secs(1)));

        let unwatched = Session::new(Telling::Unwatched).unwrap();
        assert!(loaded(&unwatched).lease.is_none());
    }
}
