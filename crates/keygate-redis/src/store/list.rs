//! Lists and counts.

use keygate_core::key::KeyId;
use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::record::KeyRecord;
use keygate_core::store::{Listing, QuotaUse, RecordPage, StoreError};

use super::RedisStore;
use super::reply::read;
use crate::scripts;

/// Ids looked at for one page. Lists hold little that has no record, so this is reached only by huge pages.
const MOST: usize = 5000;

impl RedisStore {
    pub(super) async fn list_records(
        &self,
        listing: &Listing,
        after: Option<KeyId>,
        limit: usize,
    ) -> Result<RecordPage, StoreError> {
        let (organization, user) = match listing {
            Listing::Organization(organization) => (organization, None),
            Listing::User(organization, user) => (organization, Some(user)),
        };
        let name = match user {
            None => self.layout.keys(organization),
            Some(user) => self.layout.user_keys(organization, user),
        };
        let mut page = RecordPage { next: after, ..RecordPage::default() };
        let mut looked_at = 0;
        let mut left = limit;
        while left > 0 && looked_at < MOST {
            let wanted = left.min(MOST - looked_at);
            let ids = self.page_of_ids(&name, page.next, wanted).await?;
            for (id, found) in ids.iter().zip(self.read_records(&ids).await) {
                let is_of_it = |record: &KeyRecord| {
                    record.key.organization == *organization && user.is_none_or(|user| record.key.user == *user)
                };
                match found {
                    // A key on its way in or out is listed and has no record.
                    Ok(found) => page.records.extend(found.filter(is_of_it)),
                    Err(StoreError::Damaged { .. }) => page.unreadable.push(*id),
                    Err(error) => return Err(error),
                }
            }
            left = limit.saturating_sub(page.records.len() + page.unreadable.len());
            looked_at += ids.len();
            if ids.len() < wanted {
                page.next = None;
                return Ok(page);
            }
            page.next = ids.last().copied();
        }
        if limit == 0 {
            page.next = None;
        }
        Ok(page)
    }

    /// Ids of a list, newest first, beginning after `after`.
    pub(super) async fn page_of_ids(
        &self,
        name: &str,
        after: Option<KeyId>,
        limit: usize,
    ) -> Result<Vec<KeyId>, StoreError> {
        let from = after.map_or(b"+".to_vec(), |after| [b"(".as_slice(), after.as_bytes()].concat());
        let mut range = redis::cmd("ZRANGE");
        range.arg(name).arg(from).arg("-").arg("BYLEX").arg("REV").arg("LIMIT").arg(0).arg(limit);
        self.read_ids(name, &range).await
    }

    /// Ids of a list that is sorted by when keys stop counting, those that count longest first.
    pub(super) async fn counting_ids(&self, name: &str, limit: usize) -> Result<Vec<KeyId>, StoreError> {
        let mut range = redis::cmd("ZRANGE");
        range.arg(name).arg("+inf").arg("-inf").arg("BYSCORE").arg("REV").arg("LIMIT").arg(0).arg(limit);
        self.read_ids(name, &range).await
    }

    async fn read_ids(&self, name: &str, range: &redis::Cmd) -> Result<Vec<KeyId>, StoreError> {
        let members: Vec<Vec<u8>> = read(self.link.query(range).await)?;
        let ids = members.into_iter().map(|member| {
            let bytes = <[u8; 16]>::try_from(member.as_slice());
            bytes.map(KeyId::from_bytes).map_err(|_| StoreError::damaged(name, "a member is not an id of 16 bytes"))
        });
        ids.collect()
    }

    pub(super) async fn count_quota(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<QuotaUse, StoreError> {
        let layout = &self.layout;
        let call = scripts::QUOTA_USE.call(vec![
            layout.keys(organization),
            layout.ended(organization),
            layout.user_keys(organization, user),
            layout.user_ended(organization, user),
        ]);
        let (organization, user) = read(self.link.run(&call).await)?;
        Ok(QuotaUse { organization, user })
    }

    pub(super) async fn count_project(
        &self,
        organization: &OrganizationId,
        project: &ProjectId,
    ) -> Result<u64, StoreError> {
        let call = scripts::PROJECT_USE.call(vec![self.layout.project_keys(organization, project)]);
        read(self.link.run(&call).await)
    }
}
