//! Status changes.

use keygate_core::key::KeyId;
use keygate_core::names::{OrganizationId, Reason};
use keygate_core::record::{KeyRecord, KeyStatus, StatusChange};
use keygate_core::store::{Acknowledgement, WriteRefusal, Written};

use super::RedisStore;
use super::reply::{Reply, decode};
use crate::scripts;

impl RedisStore {
    pub(super) async fn change_status(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        change: &StatusChange,
    ) -> Result<Written, WriteRefusal> {
        // Only a revoked key stops counting, so the others concern the key's slot alone.
        let record = match change.status {
            KeyStatus::Revoked => self.revoke(organization, id, change).await?,
            KeyStatus::Active | KeyStatus::Inactive => self.write_status(organization, id, change, None).await?,
        };
        Ok(Written { record, acknowledgement: Acknowledgement::default() })
    }

    pub(super) async fn write_status(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        change: &StatusChange,
        deadline: Option<u64>,
    ) -> Result<KeyRecord, WriteRefusal> {
        let status: u8 = match change.status {
            KeyStatus::Active => 0,
            KeyStatus::Inactive => 1,
            KeyStatus::Revoked => 2,
        };
        let call = scripts::SET_STATUS
            .call(vec![self.layout.record(id), self.layout.revoked(id)])
            .arg(organization.as_str())
            .arg(&[status])
            .arg(&change.at.timestamp_millis().to_be_bytes())
            .arg(change.reason.as_ref().map_or("", Reason::as_str))
            .arg(deadline.map(|deadline| deadline.to_string()).unwrap_or_default());
        let reply = Reply::read(self.link.run(&call).await)?;
        match reply.word.as_str() {
            "written" | "same" => Ok(decode(id, &reply.bytes)?),
            _ => Err(reply.refusal(id)),
        }
    }
}
