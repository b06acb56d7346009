//! Revocations whose places in lists and quotas this process could not settle yet.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use keygate_core::names::OrganizationId;

use crate::pending::Pending;

/// More are forgotten, oldest first; [`recount`](super::RedisStore::recount) finds those.
const MOST: usize = 10_000;
/// Taken at a time, so that no creation settles for long on behalf of others.
const AT_ONCE: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Unsettled(Mutex<VecDeque<(OrganizationId, Pending)>>);

impl Unsettled {
    pub(super) fn remember(&self, organization: &OrganizationId, pending: &Pending) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == MOST {
            waiting.pop_front();
        }
        waiting.push_back((organization.clone(), pending.clone()));
    }

    pub(super) fn take(&self) -> Vec<(OrganizationId, Pending)> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let some = waiting.len().min(AT_ONCE);
        waiting.drain(..some).collect()
    }
}
