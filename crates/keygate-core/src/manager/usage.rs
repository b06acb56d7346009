//! What keys were used for.

use super::{ApiKeyManager, ManageError};
use crate::actor::Actor;
use crate::key::KeyId;
use crate::names::OrganizationId;
use crate::usage::report::{MOST_USED, UsageQuery, UsageReport};
use crate::usage::subject::Subject;

impl ApiKeyManager {
    /// What a key, a user, a project or an organization was used for. It is behind by what instances have not told the
    /// store yet: a second or so.
    ///
    /// # Errors
    /// When there is no such key or organization within the actor's reach, [`ManageError::UsageQuery`], or the store fails.
    pub async fn usage(&self, actor: &Actor, subject: Subject, query: UsageQuery) -> Result<UsageReport, ManageError> {
        let organization = match &subject {
            Subject::Key(id) => self.visible(actor, *id).await?.key.organization,
            Subject::User(organization, _)
            | Subject::Project(organization, _)
            | Subject::Organization(organization) => {
                if !actor.reaches(organization) {
                    return Err(ManageError::ParentNotFound);
                }
                organization.clone()
            }
        };
        let span = query.span(self.inner.clock.now())?;
        let store = &self.inner.store;
        let account = store.usage(&subject, span.days()).await?;
        let most_used = match &subject {
            Subject::Organization(organization) => store.most_used(organization, span.month(), MOST_USED).await?,
            _ => Vec::new(),
        };
        Ok(UsageReport::new(organization, subject, &span, account, most_used))
    }

    /// What a key was used for: [`usage`](Self::usage) of that key.
    ///
    /// # Errors
    /// As of [`usage`](Self::usage).
    pub async fn key_usage(&self, actor: &Actor, key: KeyId, query: UsageQuery) -> Result<UsageReport, ManageError> {
        self.usage(actor, Subject::Key(key), query).await
    }

    /// What an organization's keys were used for, together, and which of them most.
    ///
    /// # Errors
    /// As of [`usage`](Self::usage).
    pub async fn organization_usage(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        query: UsageQuery,
    ) -> Result<UsageReport, ManageError> {
        self.usage(actor, Subject::Organization(organization.clone()), query).await
    }
}
