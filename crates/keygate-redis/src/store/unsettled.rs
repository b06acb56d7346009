//! Revocations whose places in lists and quotas this process could not settle yet.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use keygate_core::names::OrganizationId;

use crate::pending::Pending;

/// More are forgotten, oldest first; [`recount`](super::RedisStore::recount) finds those.
const MOST: usize = 10_000;
/// Taken at a time, so that no creation settles for long on behalf of others.
const AT_ONCE: usize = 16;

type Waiting = (OrganizationId, Pending);

#[derive(Debug, Default)]
pub(super) struct Unsettled(Mutex<VecDeque<Waiting>>);

/// One that somebody is settling. Unless that is [done](Self::done) it goes back, also when whoever does it is dropped.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    from: &'a Unsettled,
    waiting: Option<Waiting>,
}

impl Unsettled {
    /// One that is about to be settled for the first time.
    pub(super) fn begin(&self, organization: &OrganizationId, pending: &Pending) -> Taken<'_> {
        Taken { from: self, waiting: Some((organization.clone(), pending.clone())) }
    }

    /// Some of those that wait.
    pub(super) fn take(&self) -> Vec<Taken<'_>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let some = waiting.len().min(AT_ONCE);
        waiting.drain(..some).map(|waiting| Taken { from: self, waiting: Some(waiting) }).collect()
    }

    fn put_back(&self, one: Waiting) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == MOST {
            waiting.pop_front();
        }
        waiting.push_back(one);
    }
}

impl Taken<'_> {
    /// Whose key, and what is known of the change.
    pub(super) fn what(&self) -> Option<&Waiting> {
        self.waiting.as_ref()
    }

    /// It is settled.
    pub(super) fn done(mut self) {
        self.waiting = None;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            self.from.put_back(waiting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pending::{Change, Owner};

    #[test]
    fn what_is_taken_and_not_done_goes_back() {
        let unsettled = Unsettled::default();
        let organization = OrganizationId::new("acme").unwrap();
        let id = "01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f".parse().unwrap();
        let pending = Pending::new(id, Change::Update, Owner::default()).unwrap();
        for _ in 0..20 {
            drop(unsettled.begin(&organization, &pending));
        }
        let mut taken = unsettled.take();
        assert_eq!(taken.len(), AT_ONCE);
        taken.pop().unwrap().done();
        drop(taken);
        assert_eq!(unsettled.0.lock().unwrap().len(), 19);
        unsettled.begin(&organization, &pending).done();
        assert_eq!(unsettled.0.lock().unwrap().len(), 19);
    }
}
