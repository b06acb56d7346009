//! Reads records.

use keygate_core::coherence::Read;
use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::record::KeyRecord;
use keygate_core::store::StoreError;

use super::RedisStore;
use super::reply::{decode, keep, read};

impl RedisStore {
    /// One GET.
    pub(super) async fn read_record(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        let held: Option<Vec<u8>> = read(self.link.query(redis::cmd("GET").arg(self.layout.record(id))).await)?;
        held.map(|bytes| decode(id, &bytes)).transpose()
    }

    /// The same, to be kept.
    pub(super) async fn keep_record(&self, id: KeyId) -> Result<Read<Option<KeyRecord>>, StoreError> {
        let get = self.link.load(redis::cmd("GET").arg(self.layout.record(id)), id.bucket()).await;
        keep(get.map_err(StoreError::unavailable)?, |held| {
            let held: Option<Vec<u8>> = read(Ok(held))?;
            held.map(|bytes| decode(id, &bytes)).transpose()
        })
    }

    /// The record, if it is this tenant's.
    pub(super) async fn owned_record(
        &self,
        organization: &OrganizationId,
        id: KeyId,
    ) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.read_record(id).await?.filter(|record| record.key.organization == *organization))
    }

    /// Many at once, in order, each with what became of it.
    pub(super) async fn read_records(&self, ids: &[KeyId]) -> Vec<Result<Option<KeyRecord>, StoreError>> {
        let gets = ids.iter().map(|id| {
            let mut get = redis::cmd("GET");
            get.arg(self.layout.record(*id));
            get
        });
        let answers = self.link.query_all(gets.collect()).await;
        let held = ids.iter().zip(answers).map(|(id, answer)| {
            let held: Option<Vec<u8>> = read(answer)?;
            held.map(|bytes| decode(*id, &bytes)).transpose()
        });
        held.collect()
    }
}
