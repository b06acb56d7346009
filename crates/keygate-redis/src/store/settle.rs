//! The first and the last step of a change, in the organization's slot.

use std::collections::BTreeSet;

use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::record::{KeyRecord, Revision};
use keygate_core::store::StoreError;

use super::RedisStore;
use super::reply::{read, unexpected};
use crate::link::{Call, Script};
use crate::pending::{Change, Owner, Pending};
use crate::scripts;

/// The place of the first entry that is not the organization's in a [call](RedisStore::organization_call), counted from 1.
const FIRST_PART: usize = 5;

/// What was seen of a record, and the pending change it was looked at for.
pub(super) struct Sight<'a> {
    pub(super) pending: &'a Pending,
    pub(super) state: State,
}

/// A record's part in the lists and quotas.
pub(super) enum State {
    /// It is there, at this revision, and counts until then.
    Present { owner: Owner, revision: Revision, ends: String },
    /// It is not there.
    Absent,
}

impl State {
    /// The state of a record that was read, or of its absence.
    pub(super) fn of(record: Option<&KeyRecord>) -> Self {
        match record {
            None => Self::Absent,
            Some(record) => {
                Self::Present { owner: Owner::of(&record.key), revision: record.key.revision, ends: ends(record) }
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

/// A part of an organization that has a quota of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    User(UserId),
    Project(ProjectId),
}

/// The users and projects of a batch, because a script is told the entries of each once.
pub(super) struct Parts {
    users: Vec<UserId>,
    projects: Vec<ProjectId>,
}

impl Parts {
    pub(super) fn of<'a>(owners: impl Iterator<Item = &'a Owner> + Clone) -> Self {
        let users: BTreeSet<&UserId> = owners.clone().filter_map(|owner| owner.user.as_ref()).collect();
        let projects: BTreeSet<&ProjectId> = owners.filter_map(|owner| owner.project.as_ref()).collect();
        Self { users: users.into_iter().cloned().collect(), projects: projects.into_iter().cloned().collect() }
    }

    /// The place of a user's first entry among those of the call, as the scripts take it.
    pub(super) fn place_of_user(&self, owner: &Owner) -> String {
        let number = owner.user.as_ref().and_then(|user| self.users.binary_search(user).ok());
        number.map(|number| (FIRST_PART + 2 * number).to_string()).unwrap_or_default()
    }

    /// The same of a project.
    pub(super) fn place_of_project(&self, owner: &Owner) -> String {
        let number = owner.project.as_ref().and_then(|project| self.projects.binary_search(project).ok());
        number.map(|number| (FIRST_PART + 2 * self.users.len() + number).to_string()).unwrap_or_default()
    }
}

impl RedisStore {
    /// A call of a script that takes the organization's entries and those of users and projects.
    pub(super) fn organization_call(
        &self,
        script: &'static Script,
        organization: &OrganizationId,
        parts: &Parts,
    ) -> Call {
        let layout = &self.layout;
        let mut keys = vec![
            layout.keys(organization),
            layout.ended(organization),
            layout.pending(organization),
            layout.flight(organization),
        ];
        for user in &parts.users {
            keys.extend([layout.user_keys(organization, user), layout.user_ended(organization, user)]);
        }
        keys.extend(parts.projects.iter().map(|project| layout.project_keys(organization, project)));
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
        let owner = |sight: &Sight<'_>| match &sight.state {
            State::Present { owner, .. } => owner.clone(),
            State::Absent => sight.pending.owner.clone(),
        };
        let of: Vec<Owner> = sights.iter().map(owner).collect();
        let parts = Parts::of(of.iter());
        let mut call = self.organization_call(&scripts::SETTLE, organization, &parts);
        for (sight, owner) in sights.iter().zip(&of) {
            call.push(sight.pending.encode());
            call.push(parts.place_of_user(owner));
            call.push(parts.place_of_project(owner));
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
        let pending = Pending::new(about.id, Change::Update, about.owner.clone())?;
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
