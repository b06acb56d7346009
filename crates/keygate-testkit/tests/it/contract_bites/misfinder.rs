//! Who keeps habits of keys and findings, and gets it wrong.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use keygate_core::anomaly::{Finding, FindingCursor, FindingId};
use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::store::{MemoryStore, Store, StoreError};
use tokio::task::yield_now;

use super::bent::Bend;

/// Keeps them in a memory store.
#[derive(Debug)]
pub(crate) struct Misfinder {
    inner: MemoryStore,
    bend: Bend,
    /// What was put last of each key.
    put: Mutex<BTreeMap<KeyId, Vec<u8>>>,
    /// All that was ever recorded.
    recorded: Mutex<BTreeMap<FindingCursor, Finding>>,
}

impl Misfinder {
    pub(crate) fn new(inner: MemoryStore, bend: Bend) -> Self {
        Self { inner, bend, put: Mutex::default(), recorded: Mutex::default() }
    }

    fn is(&self, bend: Bend) -> bool {
        self.bend == bend
    }

    pub(crate) async fn habits(&self, key: KeyId) -> Result<Option<Vec<u8>>, StoreError> {
        let held = self.inner.habits(key).await?;
        Ok(match held {
            None if self.is(Bend::KeepsHabitsOfDeletedKeys) => self.put.lock().unwrap().get(&key).cloned(),
            held => held,
        })
    }

    pub(crate) async fn put_habits(
        &self,
        key: KeyId,
        previous: Option<&[u8]>,
        next: &[u8],
    ) -> Result<bool, StoreError> {
        let held = self.inner.habits(key).await?;
        let previous = match self.bend {
            Bend::PutsHabitsOverOthers => held.as_deref(),
            Bend::TakesEmptyHabitsForNone if held.as_deref() == Some(b"") && previous.is_none() => held.as_deref(),
            Bend::LooksBeforeItPutsHabits => {
                yield_now().await;
                if held.as_deref() != previous {
                    return Ok(false);
                }
                let now = self.inner.habits(key).await?;
                return self.inner.put_habits(key, now.as_deref(), next).await;
            }
            _ => previous,
        };
        let is_put = self.inner.put_habits(key, previous, next).await?;
        if self.is(Bend::PutsHabitsOfDeletedKeys) && self.inner.record(key).await?.is_none() {
            return Ok(true);
        }
        if is_put {
            self.put.lock().unwrap().insert(key, next.to_vec());
        }
        Ok(is_put)
    }

    fn is_recorded(&self, id: FindingId) -> bool {
        self.recorded.lock().unwrap().keys().any(|place| place.id == id)
    }

    pub(crate) async fn record_finding(&self, finding: &Finding) -> Result<bool, StoreError> {
        let is_recorded = self.is_recorded(finding.id);
        if self.is(Bend::LooksBeforeItRecords) {
            yield_now().await;
        }
        let is_new = self.recorded.lock().unwrap().insert(finding.cursor(), finding.clone()).is_none();
        let is_kept = self.inner.record_finding(finding).await?;
        Ok(match self.bend {
            Bend::RecordsFindingsAgain => true,
            Bend::RecordsFindingsByTheirTime => is_new,
            Bend::LooksBeforeItRecords => !is_recorded,
            _ => is_kept,
        })
    }

    pub(crate) async fn findings(
        &self,
        organization: &OrganizationId,
        key: Option<KeyId>,
        limit: usize,
        before: Option<FindingCursor>,
    ) -> Result<Vec<Finding>, StoreError> {
        match self.bend {
            Bend::KeepsAllFindings => {
                let recorded = self.recorded.lock().unwrap();
                let findings = recorded.iter().rev().filter(|(place, _)| before.is_none_or(|before| **place < before));
                let findings = findings.map(|(_, finding)| finding).filter(|found| {
                    found.organization_id == *organization && key.is_none_or(|key| found.key_id == key)
                });
                Ok(findings.take(limit).cloned().collect())
            }
            Bend::ListsFindingsOldestFirst => {
                let mut findings = self.inner.findings(organization, key, limit, before).await?;
                findings.reverse();
                Ok(findings)
            }
            Bend::ListsFindingsOfEveryKey => self.inner.findings(organization, None, limit, before).await,
            Bend::ListsFindingsOfEveryTenant => {
                let organizations: BTreeSet<OrganizationId> =
                    self.recorded.lock().unwrap().values().map(|finding| finding.organization_id.clone()).collect();
                let mut findings = Vec::new();
                for organization in &organizations {
                    findings.extend(self.inner.findings(organization, key, limit, before).await?);
                }
                findings.sort_by_key(|finding| Reverse(finding.cursor()));
                findings.truncate(limit);
                Ok(findings)
            }
            Bend::TurnsPagesByTheTimeAlone => {
                let before = before.map(|before| FindingCursor { id: FindingId::from_bytes([0; 16]), ..before });
                self.inner.findings(organization, key, limit, before).await
            }
            _ => self.inner.findings(organization, key, limit, before).await,
        }
    }
}
