//! What a primary of a Cluster is asked with every heartbeat: whether it still is what it was.
//!
//! A write to a bucket of a primary's is told on the connection to it as long as it is made there. It is made elsewhere
//! only after the primary's own `CLUSTER NODES` says that the slot is leaving it, or has left. So this is asked after each
//! heartbeat and before the next, on the same connection: when a heartbeat has extended a lease, every slot was there all
//! the time until it ran. What changes ends what was believed. Entries that *are* there when their slot is moved are told
//! of as they go; it is the absent ones that nothing else would tell of.

use std::sync::{Arc, Mutex, PoisonError};

use keygate_core::key::Bucket;
use redis::{ErrorKind, RedisError};

use super::super::connection::Connection;
use super::claims::Claims;
use super::slots::{all_buckets, has, slot_of};
use super::view::{NodeId, Own, View};
use crate::coherence::Session;

/// The primary that a line leads to.
#[derive(Debug)]
pub(crate) struct Node {
    id: NodeId,
    claims: Arc<Claims>,
    /// What it said of itself last.
    said: Mutex<Option<Own>>,
}

impl Node {
    pub(super) fn new(id: NodeId, claims: Arc<Claims>) -> Self {
        Self { id, claims, said: Mutex::default() }
    }

    /// Where connections to it are registered: the lowest bucket it has, or one that rests, because heartbeats to one
    /// that is moved may not be taken.
    pub(in crate::link) fn registry(&self) -> Option<Bucket> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let own = said.as_ref()?;
        let has_it = |bucket: &Bucket| has(&own.claim.slots, slot_of(*bucket));
        let rests = |bucket: &Bucket| own.moving.iter().all(|(slot, _)| *slot != slot_of(*bucket));
        let mut buckets = all_buckets().filter(has_it);
        all_buckets().filter(has_it).find(rests).or_else(|| buckets.next())
    }

    /// Asks it. What was believed ends if anything has changed.
    ///
    /// # Errors
    /// When it is not a primary to believe, or not this one.
    pub(in crate::link) async fn look(&self, connection: &mut Connection, session: &Session) -> Result<(), RedisError> {
        let text: String = redis::from_redis_value(connection.query(redis::cmd("CLUSTER").arg("NODES")).await?)?;
        let view = View::read(&text).ok_or_else(|| -> RedisError {
            (ErrorKind::UnexpectedReturnType, "the answer to CLUSTER NODES cannot be read").into()
        })?;
        if view.myself != self.id {
            return Err(not_it("another node of the Cluster answers here"));
        }
        let is_replaced = self.claims.hear(&view);
        let own = view.own;
        let before = self.said.lock().unwrap_or_else(PoisonError::into_inner).replace(own.clone());
        if before.as_ref() != Some(&own) {
            session.renew();
        }
        if !own.is_primary {
            return Err(not_it("it is no primary"));
        }
        if is_replaced {
            return Err(not_it("another primary has taken over its slots"));
        }
        if self.registry().is_none() {
            return Err(not_it("it has none of the slots that anything is kept in"));
        }
        Ok(())
    }
}

/// The connection leads to the wrong place.
fn not_it(reason: &'static str) -> RedisError {
    std::io::Error::other(reason).into()
}
