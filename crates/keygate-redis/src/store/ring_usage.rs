//! Which ring entries are still needed, from every record of a key and of webhooks there is, and all that seals audits.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::ring::EntryId;
use keygate_core::store::StoreError;

use super::RedisStore;
use super::reply::read;
use crate::link::Primary;

/// Entries of the keyspace that one step looks through.
const STEP: usize = 1000;
/// How often to begin again because slots moved between primaries, or the primary changed, meanwhile.
const TRIES: usize = 3;

impl RedisStore {
    pub(super) async fn count_ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        // A slot that moves during the scan may be seen on neither side, another primary knows other cursors, and an
        // entry missed may be taken out of the ring while a key needs it.
        for _ in 0..TRIES {
            let (primaries, before) = self.link.primaries().await.map_err(StoreError::unavailable)?;
            let mut usage = self.scan(&primaries).await?;
            self.scan_webhooks(&primaries, &mut usage).await?;
            let (_, after) = self.link.primaries().await.map_err(StoreError::unavailable)?;
            if before == after {
                return Ok(usage);
            }
        }
        Err(StoreError::unavailable("slots or primaries keep changing; try again when they rest"))
    }

    /// The same, of what seals audits.
    pub(super) async fn count_audit_ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        for _ in 0..TRIES {
            let (primaries, before) = self.link.primaries().await.map_err(StoreError::unavailable)?;
            let mut usage = BTreeMap::new();
            self.scan_audits(&primaries, &mut usage).await?;
            let (_, after) = self.link.primaries().await.map_err(StoreError::unavailable)?;
            if before == after {
                return Ok(usage);
            }
        }
        Err(StoreError::unavailable("slots or primaries keep changing; try again when they rest"))
    }

    async fn scan(&self, primaries: &[Primary]) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        let mut usage = BTreeMap::new();
        // SCAN may show an entry twice.
        let mut seen: HashSet<KeyId> = HashSet::new();
        let prefix = self.layout.record_prefix();
        for primary in primaries {
            let now = self.time(*primary).await?;
            let mut cursor = 0_u64;
            loop {
                let (next, names) = self.names(*primary, &prefix, cursor).await?;
                let ids: Vec<KeyId> = names
                    .iter()
                    .map(|name| name.rsplit(':').next().unwrap_or_default().parse())
                    .collect::<Result<_, _>>()
                    .map_err(|error| StoreError::damaged("a record under a name that is not a key's", error))?;
                let fresh: Vec<KeyId> = ids.into_iter().filter(|id| seen.insert(*id)).collect();
                for record in self.read_records(&fresh).await {
                    let Some(record) = record? else { continue };
                    for entry in record.ring_entries_needed(now) {
                        *usage.entry(entry).or_insert(0) += 1;
                    }
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(usage)
    }

    async fn scan_webhooks(&self, primaries: &[Primary], usage: &mut BTreeMap<EntryId, u64>) -> Result<(), StoreError> {
        let mut seen: HashSet<String> = HashSet::new();
        let prefix = self.layout.webhooks_prefix();
        for primary in primaries {
            let now = self.time(*primary).await?;
            let mut cursor = 0_u64;
            loop {
                let (next, names) = self.names(*primary, &prefix, cursor).await?;
                for name in names.into_iter().filter(|name| seen.insert(name.clone())) {
                    let organization = OrganizationId::new(name.rsplit(':').next().unwrap_or_default());
                    let organization = organization.map_err(|error| StoreError::damaged(&name, error))?;
                    let webhooks = self.read_webhooks(&organization).await?;
                    for entry in webhooks.iter().flat_map(|record| record.ring_entries(now)) {
                        *usage.entry(entry).or_insert(0) += 1;
                    }
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn time(&self, primary: Primary) -> Result<DateTime<Utc>, StoreError> {
        let (seconds, _): (i64, i64) = read(self.link.query_at(&redis::cmd("TIME"), primary).await)?;
        Ok(DateTime::from_timestamp(seconds, 0).unwrap_or_else(Utc::now))
    }

    /// One step through the names of a primary that begin so: where the next begins, 0 after the last, and the names.
    pub(super) async fn names(
        &self,
        primary: Primary,
        prefix: &str,
        cursor: u64,
    ) -> Result<(u64, Vec<String>), StoreError> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(STEP);
        read(self.link.query_at(&scan, primary).await)
    }
}
