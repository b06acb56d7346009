//! Puts right what others left half done.

use std::collections::BTreeSet;

use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::store::StoreError;

use super::RedisStore;
use super::reply::{decode, read};
use super::settle::{Part, Sight, State, ends};
use crate::pending::{Change, Owner, Pending};
use crate::scripts;

/// How long a fence stands: many times what any write that was sent before it can still be under way, and what the
/// clocks of two primaries can differ by.
const FENCE_MILLIS: u64 = 15 * 60 * 1000;
/// Pending changes looked at together.
const BATCH: usize = 256;
/// Keys of one user or project looked at before its quota refuses one more.
const PART_RECOUNT: usize = 256;
/// Users and projects of one chunk whose lists are looked at before it is refused: a bulk into a full organization may have
/// hundreds, and would read all their keys for every chunk. Whose turn does not come is looked at with the next creation.
const PARTS_RECOUNT: usize = 8;

impl RedisStore {
    /// Ends every change of an organization that was begun and not finished by its deadline, and says how many there
    /// were. Creations do a part of this by themselves.
    ///
    /// # Errors
    /// When the store does not answer, or holds what cannot be read.
    pub async fn reap(&self, organization: &OrganizationId) -> Result<usize, StoreError> {
        self.settle_unsettled().await;
        let mut reaped = 0;
        loop {
            let call = scripts::OVERDUE.call(vec![self.layout.pending(organization)]).arg(BATCH);
            let overdue: Vec<Vec<u8>> = read(self.link.run(&call).await)?;
            self.end_overdue(organization, &overdue).await?;
            reaped += overdue.len();
            if overdue.len() < BATCH {
                return Ok(reaped);
            }
        }
    }

    /// Compares every key in an organization's lists with its record, mends what differs, and says how much did. It
    /// reads every record of the organization.
    ///
    /// Nothing but a failover that lost writes, or a revocation during an outage of the organization's slot by a process
    /// that ended before it could settle, leaves anything to mend.
    ///
    /// # Errors
    /// When the store does not answer, or holds what cannot be read.
    pub async fn recount(&self, organization: &OrganizationId) -> Result<usize, StoreError> {
        self.compare(organization, None, usize::MAX).await
    }

    /// Before a quota refuses: ends what is overdue, and compares the lists of the users and projects concerned with their records.
    pub(super) async fn make_room(
        &self,
        organization: &OrganizationId,
        parts: BTreeSet<Part>,
    ) -> Result<(), StoreError> {
        self.reap(organization).await?;
        for part in parts.into_iter().take(PARTS_RECOUNT) {
            self.compare(organization, Some(&part), PART_RECOUNT).await?;
        }
        Ok(())
    }

    pub(super) async fn reap_quietly(&self, organization: &OrganizationId, overdue: &[Vec<u8>]) {
        if let Err(error) = self.end_overdue(organization, overdue).await {
            tracing::debug!(%organization, %error, "overdue changes are left to the next");
        }
    }

    async fn end_overdue(&self, organization: &OrganizationId, overdue: &[Vec<u8>]) -> Result<(), StoreError> {
        let pending: Vec<Pending> = overdue.iter().filter_map(|entry| Pending::decode(entry)).collect();
        let calls: Vec<_> = pending
            .iter()
            .map(|pending| {
                let keys = vec![self.layout.record(pending.id), self.layout.fence(pending.id)];
                let nonce: &[u8] = if pending.change == Change::Create { &pending.nonce } else { b"" };
                scripts::FENCE.call(keys).arg(organization.as_str()).arg(nonce).arg(FENCE_MILLIS)
            })
            .collect();
        let mut sights = Vec::with_capacity(pending.len());
        let mut failure = (pending.len() < overdue.len())
            .then(|| StoreError::damaged(self.layout.pending(organization), "an entry has an unknown form"));
        for (pending, answer) in pending.iter().zip(self.link.run_all(&calls).await) {
            let seen = read::<Option<Vec<u8>>>(answer)
                .and_then(|held| held.map(|bytes| decode(pending.id, &bytes)).transpose());
            match seen {
                Ok(record) => sights.push(Sight { pending, state: State::of(record.as_ref()) }),
                Err(error) => failure = Some(error),
            }
        }
        self.settle(organization, &sights).await?;
        failure.map_or(Ok(()), Err)
    }

    /// Compares up to `most` keys of a list with their records, newest first, and heals those that differ. Of a project it is
    /// those that count longest first.
    async fn compare(
        &self,
        organization: &OrganizationId,
        part: Option<&Part>,
        most: usize,
    ) -> Result<usize, StoreError> {
        let keys = match part {
            None => self.layout.keys(organization),
            Some(Part::User(user)) => self.layout.user_keys(organization, user),
            Some(Part::Project(project)) => {
                let ids = self.counting_ids(&self.layout.project_keys(organization, project), most).await?;
                return self.compare_page(organization, part, &ids).await;
            }
        };
        let (mut after, mut seen, mut healed) = (None, 0, 0);
        while seen < most {
            let ids = self.page_of_ids(&keys, after, BATCH).await?;
            let Some(last) = ids.last() else { break };
            after = Some(*last);
            seen += ids.len();
            healed += self.compare_page(organization, part, &ids).await?;
            if ids.len() < BATCH {
                break;
            }
        }
        Ok(healed)
    }

    async fn compare_page(
        &self,
        organization: &OrganizationId,
        part: Option<&Part>,
        ids: &[KeyId],
    ) -> Result<usize, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let mut scores = redis::cmd("ZMSCORE");
        scores.arg(self.layout.ended(organization));
        for id in ids {
            scores.arg(id.as_bytes());
        }
        let listed: Vec<Option<f64>> = read(self.link.query(&scores).await)?;
        let records = self.read_records(ids).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut healed = 0;
        for ((id, listed), record) in ids.iter().zip(listed).zip(records) {
            let record = record.filter(|record| record.key.organization == *organization);
            let listed = listed.map(|score| format!("{score:.0}")).unwrap_or_default();
            let owner = match &record {
                Some(record) if ends(record) == listed => continue,
                Some(record) => Owner::of(&record.key),
                // Nobody knows whose it was: only the list of one user's or one project's keys tells.
                None => match part {
                    Some(Part::User(user)) => Owner { user: Some(user.clone()), project: None },
                    Some(Part::Project(project)) => Owner { user: None, project: Some(project.clone()) },
                    None => continue,
                },
            };
            self.heal(organization, &Pending::new(*id, Change::Update, owner)?).await?;
            healed += 1;
        }
        Ok(healed)
    }
}
