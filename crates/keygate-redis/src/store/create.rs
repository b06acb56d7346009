//! Creation: reserve, write, settle, in chunks.

use std::collections::BTreeSet;

use keygate_core::key::KeyId;
use keygate_core::names::{OrganizationId, UserId};
use keygate_core::record::{HeaderView, KeyRecord, Quota};
use keygate_core::store::{CreateRefusal, StoreError};

use super::RedisStore;
use super::reply::{Reply, decode, read, unexpected};
use super::settle::{Settled, Sight, State, Users, ends};
use crate::pending::{Change, Nonce, Pending, fresh_nonce};
use crate::scripts;

/// Keys of one reservation: a few milliseconds of the server's time.
const CHUNK: usize = 500;
/// Overdue changes of others that one reservation clears away.
const OVERDUE: usize = 16;

type Outcome = Result<(), CreateRefusal>;

/// One key on its way.
pub(super) struct Candidate<'a> {
    pub(super) at: usize,
    pub(super) record: &'a KeyRecord,
    pub(super) pending: Pending,
}

/// What to do when a quota refuses some of a chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// Take no place for any.
    TakeNothing,
    /// Take those there are.
    TakeTheRest,
}

/// What the organization's slot said to a candidate.
pub(super) enum Letter {
    Reserved,
    Refused(CreateRefusal),
}

/// What the organization's slot said to a chunk.
pub(super) struct Reserved<'a> {
    pub(super) deadline: u64,
    candidates: Vec<Candidate<'a>>,
    /// One for each candidate.
    pub(super) letters: Vec<Letter>,
    /// Pending changes of others whose deadline has passed.
    overdue: Vec<Vec<u8>>,
}

impl Reserved<'_> {
    /// Whether a quota refused anyone.
    fn is_refused(&self) -> bool {
        self.letters.iter().any(Letter::is_quota)
    }

    fn refused_users(&self) -> BTreeSet<UserId> {
        let refused = self.candidates.iter().zip(&self.letters).filter(|(_, letter)| letter.is_quota());
        refused.map(|(candidate, _)| candidate.pending.user.clone()).collect()
    }
}

impl Letter {
    fn is_quota(&self) -> bool {
        matches!(self, Self::Refused(CreateRefusal::UserQuota { .. } | CreateRefusal::OrganizationQuota { .. }))
    }
}

impl RedisStore {
    pub(super) async fn create_all(
        &self,
        organization: &OrganizationId,
        quota: Quota,
        records: &[KeyRecord],
    ) -> Result<Vec<Outcome>, StoreError> {
        if let Some(stray) = records.iter().find(|record| record.key.organization != *organization) {
            return Err(StoreError::stray(stray.key.id));
        }
        self.settle_unsettled().await;
        let mut outcomes = vec![Ok(()); records.len()];
        for chunk in chunks(records) {
            self.create_chunk(organization, quota, &records[chunk.clone()], &mut outcomes[chunk]).await?;
        }
        Ok(outcomes)
    }

    /// Creates keys of different ids.
    async fn create_chunk(
        &self,
        organization: &OrganizationId,
        quota: Quota,
        records: &[KeyRecord],
        outcomes: &mut [Outcome],
    ) -> Result<(), StoreError> {
        let nonce = fresh_nonce()?;
        let candidates = records.iter().enumerate().map(|(at, record)| {
            let (id, user) = (record.key.id, record.key.user.clone());
            Candidate { at, record, pending: Pending { id, nonce, change: Change::Create, user } }
        });
        let mut reserved = self.reserve(organization, quota, candidates.collect(), Full::TakeNothing).await?;
        if reserved.is_refused() {
            // A quota may be full of what died, or was revoked while this slot was away: look before refusing.
            self.make_room(organization, reserved.refused_users()).await?;
            reserved = self.reserve(organization, quota, reserved.candidates, Full::TakeTheRest).await?;
        }
        let mut held = Vec::with_capacity(reserved.candidates.len());
        for (candidate, letter) in reserved.candidates.into_iter().zip(reserved.letters) {
            match letter {
                Letter::Reserved => held.push(candidate),
                Letter::Refused(refusal) => outcomes[candidate.at] = Err(refusal),
            }
        }
        self.write_reserved(organization, nonce, reserved.deadline, held, outcomes).await?;
        self.reap_quietly(organization, &reserved.overdue).await;
        Ok(())
    }

    pub(super) async fn reserve<'a>(
        &self,
        organization: &OrganizationId,
        quota: Quota,
        candidates: Vec<Candidate<'a>>,
        full: Full,
    ) -> Result<Reserved<'a>, StoreError> {
        let users = Users::of(candidates.iter().map(|candidate| &candidate.pending.user));
        let mut call = self.organization_call(&scripts::RESERVE, organization, &users);
        call.push(quota.per_organization);
        call.push(quota.per_user);
        call.push(self.reservation_millis());
        call.push(OVERDUE);
        call.push(if full == Full::TakeNothing { "1" } else { "" });
        for Candidate { record, pending, .. } in &candidates {
            call.push(pending.id.as_bytes());
            call.push(users.number(&pending.user));
            call.push(ends(record));
            call.push(pending.encode());
        }
        let (deadline, letters, overdue): (u64, String, Vec<Vec<u8>>) = read(self.link.run(&call).await)?;
        let letters = letters.bytes().map(|letter| match letter {
            b'R' => Ok(Letter::Reserved),
            b'E' => Ok(Letter::Refused(CreateRefusal::Exists)),
            b'O' => Ok(Letter::Refused(CreateRefusal::OrganizationQuota { limit: quota.per_organization })),
            b'U' => Ok(Letter::Refused(CreateRefusal::UserQuota { limit: quota.per_user })),
            _ => Err(unexpected()),
        });
        let letters: Vec<_> = letters.collect::<Result<_, _>>()?;
        if letters.len() != candidates.len() {
            return Err(unexpected());
        }
        Ok(Reserved { deadline, candidates, letters, overdue })
    }

    /// Writes the records of a reservation and settles it.
    async fn write_reserved(
        &self,
        organization: &OrganizationId,
        nonce: Nonce,
        deadline: u64,
        held: Vec<Candidate<'_>>,
        outcomes: &mut [Outcome],
    ) -> Result<(), StoreError> {
        let mut calls = Vec::with_capacity(held.len());
        for Candidate { record, pending, .. } in &held {
            let id = pending.id;
            let blob =
                record.encode().map_err(|error| StoreError::undecodable(format!("key {id} to create"), error))?;
            let listed = self.listed(record);
            let names = [vec![self.layout.record(id), self.layout.fence(id)], listed.names.clone()].concat();
            let mut call = scripts::CREATE.call(names).arg(blob).arg(&nonce).arg(deadline);
            listed.push(&mut call);
            calls.push(call);
        }
        let answers = self.link.run_all(&calls).await;
        let mut failure = None;
        let mut sights = Vec::with_capacity(held.len());
        for (candidate, answer) in held.iter().zip(answers) {
            match written(organization, candidate, answer) {
                Ok((state, outcome)) => {
                    outcomes[candidate.at] = outcome;
                    sights.push(Sight { pending: &candidate.pending, state });
                }
                // Its pending entry stays: whoever comes after the deadline finds out whether it was written.
                Err(error) => failure = Some(error),
            }
        }
        let settled = self.settle(organization, &sights).await?;
        for (sight, _) in sights.iter().zip(settled).filter(|(_, settled)| *settled == Settled::Gone) {
            self.heal(organization, sight.pending).await?;
        }
        failure.map_or(Ok(()), Err)
    }
}

/// What a creating script's answer says of the record that is there now, and of the caller's.
fn written(
    organization: &OrganizationId,
    candidate: &Candidate<'_>,
    answer: Result<redis::Value, redis::RedisError>,
) -> Result<(State, Outcome), StoreError> {
    let reply = Reply::read(answer)?;
    match reply.word.as_str() {
        "written" => Ok((State::of(Some(candidate.record)), Ok(()))),
        "exists" => {
            let id = candidate.pending.id;
            let ours = HeaderView::read(&reply.bytes).is_ok_and(|held| held.organization == organization.as_str());
            let held = if ours { Some(decode(id, &reply.bytes)?) } else { None };
            Ok((State::of(held.as_ref()), Err(CreateRefusal::Exists)))
        }
        "late" | "fenced" => Err(StoreError::unavailable("the creation took longer than its reservation holds")),
        _ => Err(unexpected()),
    }
}

/// Divides records into runs of at most [`CHUNK`] in which no id comes twice, so that of two with one id the first is
/// there before the second is tried.
fn chunks(records: &[KeyRecord]) -> Vec<std::ops::Range<usize>> {
    let mut chunks = Vec::with_capacity(records.len() / CHUNK + 1);
    let mut ids: BTreeSet<KeyId> = BTreeSet::new();
    let mut start = 0;
    for (at, record) in records.iter().enumerate() {
        if at - start == CHUNK || ids.contains(&record.key.id) {
            chunks.push(start..at);
            start = at;
            ids.clear();
        }
        ids.insert(record.key.id);
    }
    if start < records.len() {
        chunks.push(start..records.len());
    }
    chunks
}
