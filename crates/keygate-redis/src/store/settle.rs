//! The first and the last step of a change, in the organization's slot.

use keygate_core::names::{OrganizationId, UserId};
use keygate_core::record::{KeyRecord, Revision};
use keygate_core::store::StoreError;

use super::RedisStore;
use super::reply::{read, unexpected};
use crate::link::{Call, Script};
use crate::pending::{Change, Pending};
use crate::scripts;

/// What was seen of a record, and the pending change it was looked at for.
pub(super) struct Sight<'a> {
    pub(super) pending: &'a Pending,
    pub(super) state: State,
}

/// A record's part in the lists and quotas.
pub(super) enum State {
    /// It is there, at this revision, and counts until then.
    Present { user: UserId, revision: Revision, ends: String },
    /// It is not there.
    Absent,
}

impl State {
    /// The state of a record that was read, or of its absence.
    pub(super) fn of(record: Option<&KeyRecord>) -> Self {
        match record {
            None => Self::Absent,
            Some(record) => {
                Self::Present { user: record.key.user.clone(), revision: record.key.revision, ends: ends(record) }
            }
        }
    }
}

/// When a key stops counting, as the scripts take it.
pub(super) fn ends(record: &KeyRecord) -> String {
    record.key.counts_until().map(|end| end.timestamp_millis().to_string()).unwrap_or_default()
}

/// What became of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// Lists and quotas agree with the sight, or with a newer one.
    Done,
    /// The pending entry is not there: somebody cleared it away, or a failover lost it.
    Gone,
}

/// Numbers the users of a batch, because a script is told each user's entries once.
pub(super) struct Users {
    users: Vec<UserId>,
}

impl Users {
    pub(super) fn of<'a>(users: impl Iterator<Item = &'a UserId>) -> Self {
        let users: std::collections::BTreeSet<UserId> = users.cloned().collect();
        Self { users: users.into_iter().collect() }
    }

    pub(super) fn number(&self, user: &UserId) -> usize {
        self.users.binary_search(user).unwrap_or_default()
    }
}

impl RedisStore {
    /// A call of a script that takes the organization's entries and those of users.
    pub(super) fn organization_call(
        &self,
        script: &'static Script,
        organization: &OrganizationId,
        users: &Users,
    ) -> Call {
        let layout = &self.layout;
        let mut keys = vec![
            layout.keys(organization),
            layout.ended(organization),
            layout.pending(organization),
            layout.flight(organization),
        ];
        for user in &users.users {
            keys.push(layout.user_keys(organization, user));
            keys.push(layout.user_ended(organization, user));
        }
        script.call(keys)
    }

    pub(super) fn reservation_millis(&self) -> u64 {
        u64::try_from(self.reservation.as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes a change to come, and says until when it may be written.
    pub(super) async fn intend(&self, organization: &OrganizationId, pending: &Pending) -> Result<u64, StoreError> {
        let call = scripts::INTEND
            .call(vec![self.layout.pending(organization), self.layout.flight(organization)])
            .arg(self.reservation_millis())
            .arg(pending.id.as_bytes())
            .arg(pending.encode());
        read(self.link.run(&call).await)
    }

    /// Makes lists and quotas agree with what was seen.
    pub(super) async fn settle(
        &self,
        organization: &OrganizationId,
        sights: &[Sight<'_>],
    ) -> Result<Vec<Settled>, StoreError> {
        if sights.is_empty() {
            return Ok(Vec::new());
        }
        let user = |sight: &Sight<'_>| match &sight.state {
            State::Present { user, .. } => user.clone(),
            State::Absent => sight.pending.user.clone(),
        };
        let of: Vec<UserId> = sights.iter().map(user).collect();
        let users = Users::of(of.iter());
        let mut call = self.organization_call(&scripts::SETTLE, organization, &users);
        for (sight, user) in sights.iter().zip(&of) {
            call.push(sight.pending.encode());
            call.push(users.number(user));
            match &sight.state {
                State::Present { revision, ends, .. } => {
                    call.push("p");
                    call.push(&revision.0.to_be_bytes());
                    call.push(ends);
                }
                State::Absent => {
                    call.push("a");
                    call.push(&sight.pending.revision_of_absence().0.to_be_bytes());
                    call.push("");
                }
            }
        }
        let letters: String = read(self.link.run(&call).await)?;
        let settled = letters.bytes().map(|letter| match letter {
            b'S' | b'O' => Ok(Settled::Done),
            b'G' => Ok(Settled::Gone),
            _ => Err(unexpected()),
        });
        let settled: Vec<_> = settled.collect::<Result<_, _>>()?;
        if settled.len() == sights.len() { Ok(settled) } else { Err(unexpected()) }
    }

    /// Settles one change; if its pending entry is gone, begins again from the record as it is.
    pub(super) async fn settle_one(
        &self,
        organization: &OrganizationId,
        pending: &Pending,
        state: State,
    ) -> Result<(), StoreError> {
        let settled = self.settle(organization, &[Sight { pending, state }]).await?;
        if settled.contains(&Settled::Gone) {
            self.heal(organization, pending).await?;
        }
        Ok(())
    }

    /// Makes lists and quotas agree with the record as it is now, whatever happened before.
    pub(super) async fn heal(&self, organization: &OrganizationId, about: &Pending) -> Result<(), StoreError> {
        let pending = Pending::new(about.id, Change::Update, &about.user)?;
        self.intend(organization, &pending).await?;
        self.settle_from_record(organization, &pending).await
    }

    /// Ends a pending change that wrote nothing, or of which that is not known.
    pub(super) async fn settle_from_record(
        &self,
        organization: &OrganizationId,
        pending: &Pending,
    ) -> Result<(), StoreError> {
        let record = self.owned_record(organization, pending.id).await?;
        // Gone only if this very change was slower than its own deadline: then somebody else has done it.
        self.settle(organization, &[Sight { pending, state: State::of(record.as_ref()) }]).await?;
        Ok(())
    }
}
