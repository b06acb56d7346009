//! What was found unusual, and the hand that stops a key because of it.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{ApiKeyManager, Inner, MAX_PAGE, ManageError};
use crate::actor::{Actor, Operator};
use crate::anomaly::{Finding, FindingCursor, Hand};
use crate::audit::{ActTarget, Action};
use crate::key::KeyId;
use crate::names::{OrganizationId, PrincipalId, Reason};
use crate::notice::{Cause, Event};
use crate::record::KeyStatus;
use crate::store::StoreError;

/// Who suspends keys because of a finding.
const ANOMALY: &str = "anomaly";

/// A part of a list of findings, newest first. Its JSON form is that of the management API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FindingPage {
    /// The findings.
    pub findings: Vec<Finding>,
    /// Where the next page begins, if there may be one.
    pub next_cursor: Option<FindingCursor>,
}

impl ApiKeyManager {
    /// What was found unusual in the use of an organization's keys, or of one of them: newest first, up to `limit` (at most
    /// [`MAX_PAGE`]) after `cursor`. Findings of another organization's key are absent.
    ///
    /// # Errors
    /// When the organization is not within the actor's reach, or the store fails.
    pub async fn findings(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        key: Option<KeyId>,
        limit: usize,
        cursor: Option<FindingCursor>,
    ) -> Result<FindingPage, ManageError> {
        if !actor.reaches(organization) {
            return Err(ManageError::ParentNotFound);
        }
        self.finding_page(organization, key, limit, cursor).await
    }

    /// What was found unusual in the use of one key: as [`findings`](Self::findings) of it, whosever it is.
    ///
    /// # Errors
    /// When there is no such key within the actor's reach, or the store fails.
    pub async fn key_findings(
        &self,
        actor: &Actor,
        key: KeyId,
        limit: usize,
        cursor: Option<FindingCursor>,
    ) -> Result<FindingPage, ManageError> {
        let organization = self.visible(actor, key).await?.key.organization;
        self.finding_page(&organization, Some(key), limit, cursor).await
    }

    async fn finding_page(
        &self,
        organization: &OrganizationId,
        key: Option<KeyId>,
        limit: usize,
        cursor: Option<FindingCursor>,
    ) -> Result<FindingPage, ManageError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let findings = self.inner.store.findings(organization, key, limit, cursor).await?;
        let next_cursor = findings.last().filter(|_| findings.len() == limit).map(Finding::cursor);
        Ok(FindingPage { findings, next_cursor })
    }
}

/// Has findings told of, and suspends keys as an operator who is called `anomaly`.
pub(super) struct Suspender(Weak<Inner>);

impl Suspender {
    /// Has the manager's sentry suspend keys by it.
    pub(super) fn attach(inner: &Arc<Inner>) {
        inner.sentry.give(Box::new(Self(Arc::downgrade(inner))));
    }
}

#[async_trait]
impl Hand for Suspender {
    async fn tell(&self, finding: &Finding) -> Result<(), StoreError> {
        let Some(inner) = self.0.upgrade() else { return Ok(()) };
        let event = Event::Anomaly { finding: Box::new(finding.clone()) };
        inner
            .post
            .tell(&inner.post.notice(&finding.organization_id, Cause::Finding(finding.id).id(), event))
            .await
            .map(drop)
    }

    async fn suspend(&self, finding: &Finding) -> Result<bool, StoreError> {
        let Some(inner) = self.0.upgrade() else { return Ok(false) };
        let manager = ApiKeyManager { inner };
        let Ok(principal) = PrincipalId::new(ANOMALY) else { return Ok(false) };
        let actor = Actor::from(Operator::named(principal));
        let Finding { id, rule, key_id, .. } = finding;
        let reason = Reason::new(format!("anomaly {rule}, finding {id}")).ok();
        // Only one that can be used: what somebody else has stopped keeps their reason.
        let mut act = manager.act(&actor, Action::KeyDeactivate, ActTarget::key(*key_id));
        let suspended = async {
            let found = act.find(&manager, *key_id).await?.key;
            if found.status.status != KeyStatus::Active {
                return Ok(false);
            }
            manager.set_status(&mut act, &actor, &found, KeyStatus::Inactive, reason).await.map(|_| true)
        };
        let suspended = suspended.await;
        match act.close_if_begun(suspended).await {
            Ok(suspended) => Ok(suspended),
            Err(ManageError::Store(error)) if matches!(*error, StoreError::Unavailable(_)) => {
                Err(StoreError::unavailable(error.to_string()))
            }
            Err(error) => {
                tracing::warn!(target: "keygate::anomaly", %key_id, finding_id = %id, %error, "the key was not suspended");
                Ok(false)
            }
        }
    }
}
