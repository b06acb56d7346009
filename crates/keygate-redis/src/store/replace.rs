//! Updates.

use keygate_core::record::{KeyRecord, KeyStatus, Revision};
use keygate_core::store::{Acknowledgement, StoreError, WriteRefusal};

use super::RedisStore;
use super::reply::Reply;
use super::settle::State;
use crate::pending::{Change, Owner, Pending};
use crate::scripts;

impl RedisStore {
    pub(super) async fn replace_record(
        &self,
        record: &KeyRecord,
        expected: Revision,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let (organization, id) = (&record.key.organization, record.key.id);
        // Whether the organization's slot is concerned depends on the end that the record has now.
        let held = self.owned_record(organization, id).await?.ok_or(WriteRefusal::Absent)?;
        if held.key.status.status == KeyStatus::Revoked {
            return Err(WriteRefusal::Revoked);
        }
        if held.key.revision != expected {
            return Err(WriteRefusal::Conflict { found: held.key.revision });
        }
        if held.key.counts_until() == record.key.counts_until() {
            self.write_replacement(record, expected, None).await?;
            return Ok(Acknowledgement::default());
        }
        let pending = Pending::new(id, Change::Update, Owner::of(&held.key))?;
        let deadline = self.intend(organization, &pending).await?;
        match self.write_replacement(record, expected, Some(deadline)).await {
            Ok(()) => self.settle_one(organization, &pending, State::of(Some(record))).await?,
            Err(refusal) => {
                self.end_refused(organization, &pending, &refusal).await;
                return Err(refusal);
            }
        }
        Ok(Acknowledgement::default())
    }

    async fn write_replacement(
        &self,
        record: &KeyRecord,
        expected: Revision,
        deadline: Option<u64>,
    ) -> Result<(), WriteRefusal> {
        let id = record.key.id;
        let blob = record.encode().map_err(|error| StoreError::undecodable(format!("key {id} to write"), error))?;
        let listed = self.listed(record);
        let mut call = scripts::REPLACE
            .call([vec![self.layout.record(id)], listed.names.clone()].concat())
            .arg(record.key.organization.as_str())
            .arg(&expected.0.to_be_bytes())
            .arg(blob)
            .arg(deadline.map(|deadline| deadline.to_string()).unwrap_or_default());
        listed.push(&mut call);
        let reply = Reply::read(self.link.run(&call).await)?;
        if reply.word == "written" { Ok(()) } else { Err(reply.refusal(id)) }
    }
}
