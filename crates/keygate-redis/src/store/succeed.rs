//! Succession: two records of one slot, written in one step.

use keygate_core::names::OrganizationId;
use keygate_core::record::{KeyRecord, KeyStatus, Quota, Revision};
use keygate_core::store::{Acknowledgement, StoreError, WriteRefusal};

use super::RedisStore;
use super::create::{Candidate, Full, Letter};
use super::reply::{Reply, unexpected};
use super::settle::{Settled, Sight, State};
use crate::pending::{Change, Owner, Pending, fresh_nonce};
use crate::scripts;

/// A successor takes the place of its predecessor, which for a moment stands beside it.
const ROOM: Quota = Quota { per_organization: u64::MAX, per_user: u64::MAX };

impl RedisStore {
    pub(super) async fn succeed_record(
        &self,
        old: &KeyRecord,
        expected: Revision,
        new: &KeyRecord,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let (organization, id) = (&old.key.organization, old.key.id);
        if new.key.organization != *organization || new.key.id.bucket() != id.bucket() {
            return Err(StoreError::stray(new.key.id).into());
        }
        // Before a place is taken for what cannot come.
        let held = self.owned_record(organization, id).await?.ok_or(WriteRefusal::Absent)?;
        if held.key.status.status == KeyStatus::Revoked {
            return Err(WriteRefusal::Revoked);
        }
        if held.key.revision != expected {
            return Err(WriteRefusal::Conflict { found: held.key.revision });
        }
        let nonce = fresh_nonce()?;
        let coming = Pending { id: new.key.id, nonce, change: Change::Create, owner: Owner::of(&new.key) };
        let going = Pending { id, nonce, change: Change::Update, owner: Owner::of(&held.key) };
        let candidate = Candidate { at: 0, record: new, pending: coming.clone() };
        let reserved = self.reserve(organization, &ROOM.into(), vec![candidate], Full::TakeTheRest).await?;
        match reserved.letters.as_slice() {
            [Letter::Reserved] => {}
            [Letter::Refused(_)] => return Err(WriteRefusal::Conflict { found: Revision::FIRST }),
            _ => return Err(unexpected().into()),
        }
        let deadline = self.intend(organization, &going).await?.min(reserved.deadline);
        match self.write_succession(old, expected, new, &coming, deadline).await {
            Ok(()) => {
                let sights = [(&going, old), (&coming, new)]
                    .map(|(pending, record)| Sight { pending, state: State::of(Some(record)) });
                self.settle_both(organization, &sights).await?;
                Ok(Acknowledgement::default())
            }
            Err(refusal) => {
                self.end_refused(organization, &going, &refusal).await;
                self.end_refused(organization, &coming, &refusal).await;
                Err(refusal)
            }
        }
    }

    async fn settle_both(&self, organization: &OrganizationId, sights: &[Sight<'_>; 2]) -> Result<(), StoreError> {
        let settled = self.settle(organization, sights).await?;
        for (sight, _) in sights.iter().zip(settled).filter(|(_, settled)| *settled == Settled::Gone) {
            self.heal(organization, sight.pending).await?;
        }
        Ok(())
    }

    async fn write_succession(
        &self,
        old: &KeyRecord,
        expected: Revision,
        new: &KeyRecord,
        coming: &Pending,
        deadline: u64,
    ) -> Result<(), WriteRefusal> {
        let encode = |record: &KeyRecord| {
            let what = || format!("key {} to write", record.key.id);
            record.encode().map_err(|error| StoreError::undecodable(what(), error))
        };
        let (id, successor) = (old.key.id, new.key.id);
        let names = vec![self.layout.record(id), self.layout.record(successor), self.layout.fence(successor)];
        let listed = [self.listed(old), self.listed(new)];
        let names = listed.iter().fold(names, |names, listed| [names, listed.names.clone()].concat());
        let mut call = scripts::SUCCEED
            .call(names)
            .arg(old.key.organization.as_str())
            .arg(&expected.0.to_be_bytes())
            .arg(encode(old)?)
            .arg(encode(new)?)
            .arg(&coming.nonce)
            .arg(deadline);
        listed.iter().for_each(|listed| listed.push(&mut call));
        let reply = Reply::read(self.link.run(&call).await)?;
        match reply.word.as_str() {
            "written" => Ok(()),
            "exists" => Err(WriteRefusal::Conflict { found: Revision::FIRST }),
            "fenced" => Err(StoreError::unavailable("the change took longer than its reservation holds").into()),
            _ => Err(reply.refusal(id)),
        }
    }
}
