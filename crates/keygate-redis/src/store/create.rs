//! Creation: reserve, write, settle, in chunks.

use std::collections::BTreeSet;

use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::record::{HeaderView, KeyRecord, Quotas};
use keygate_core::store::{CreateRefusal, StoreError};

use super::RedisStore;
use super::reply::{Reply, decode, read, unexpected};
use super::settle::{Part, Parts, Settled, Sight, State, ends};
use crate::pending::{Change, Nonce, Owner, Pending, fresh_nonce};
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

    /// The parts that it was refused for; where that is the whole organization, the users.
    fn refused_parts(&self) -> BTreeSet<Part> {
        let refused = self.candidates.iter().zip(&self.letters).filter_map(|(candidate, letter)| {
            let Owner { user, project } = candidate.pending.owner.clone();
            match letter {
                Letter::Refused(CreateRefusal::ProjectQuota { .. }) => project.map(Part::Project),
                letter if letter.is_quota() => user.map(Part::User),
                _ => None,
            }
        });
        refused.collect()
    }
}

impl Letter {
    fn is_quota(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.is_quota())
    }
}

impl RedisStore {
    pub(super) async fn create_all(
        &self,
        organization: &OrganizationId,
        quotas: &Quotas,
        records: &[KeyRecord],
    ) -> Result<Vec<Outcome>, StoreError> {
        if let Some(stray) = records.iter().find(|record| record.key.organization != *organization) {
            return Err(StoreError::stray(stray.key.id));
        }
        self.settle_unsettled().await;
        let mut outcomes = vec![Ok(()); records.len()];
        for chunk in chunks(records) {
            self.create_chunk(organization, quotas, &records[chunk.clone()], &mut outcomes[chunk]).await?;
        }
        Ok(outcomes)
    }

    /// Creates keys of different ids.
    async fn create_chunk(
        &self,
        organization: &OrganizationId,
        quotas: &Quotas,
        records: &[KeyRecord],
        outcomes: &mut [Outcome],
    ) -> Result<(), StoreError> {
        let nonce = fresh_nonce()?;
        let candidates = records.iter().enumerate().map(|(at, record)| {
            let (id, owner) = (record.key.id, Owner::of(&record.key));
            Candidate { at, record, pending: Pending { id, nonce, change: Change::Create, owner } }
        });
        let mut reserved = self.reserve(organization, quotas, candidates.collect(), Full::TakeNothing).await?;
        if reserved.is_refused() {
            // A quota may be full of what died, or was revoked while this slot was away: look before refusing.
            self.make_room(organization, reserved.refused_parts()).await?;
            reserved = self.reserve(organization, quotas, reserved.candidates, Full::TakeTheRest).await?;
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
        quotas: &Quotas,
        candidates: Vec<Candidate<'a>>,
        full: Full,
    ) -> Result<Reserved<'a>, StoreError> {
        let parts = Parts::of(candidates.iter().map(|candidate| &candidate.pending.owner));
        let mut call = self.organization_call(&scripts::RESERVE, organization, &parts);
        call.push(quotas.quota.per_organization);
        call.push(self.reservation_millis());
        call.push(OVERDUE);
        call.push(if full == Full::TakeNothing { "1" } else { "" });
        for Candidate { record, pending, .. } in &candidates {
            let owner = &pending.owner;
            let of_project = quotas.of_project(record.key.project.as_ref());
            call.push(pending.id.as_bytes());
            call.push(parts.place_of_user(owner));
            call.push(quotas.of_user(&record.key.user));
            call.push(parts.place_of_project(owner));
            call.push(of_project.map(|(_, quota)| quota.to_string()).unwrap_or_default());
            call.push(ends(record));
            call.push(pending.encode());
        }
        let (deadline, letters, overdue): (u64, String, Vec<Vec<u8>>) = read(self.link.run(&call).await)?;
        let refused = |refusal| Ok(Letter::Refused(refusal));
        let letter = |(letter, candidate): (u8, &Candidate<'_>)| match letter {
            b'R' => Ok(Letter::Reserved),
            b'E' => refused(CreateRefusal::Exists),
            b'O' => refused(CreateRefusal::OrganizationQuota { limit: quotas.quota.per_organization }),
            b'U' => refused(CreateRefusal::UserQuota { limit: quotas.of_user(&candidate.record.key.user) }),
            b'P' => {
                let (_, limit) = quotas.of_project(candidate.record.key.project.as_ref()).ok_or_else(unexpected)?;
                refused(CreateRefusal::ProjectQuota { limit })
            }
            _ => Err(unexpected()),
        };
        let letters: Vec<_> = letters.bytes().zip(&candidates).map(letter).collect::<Result<_, _>>()?;
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
