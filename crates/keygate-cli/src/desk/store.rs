//! On a store that this process has open.

use chrono::TimeDelta;
use keygate::anomaly::FindingCursor;
use keygate::audit::{AuditHead, AuditVerification};
use keygate::context::Admission;
use keygate::denial::Denial;
use keygate::key::{KeyId, PresentedKey};
use keygate::manager::{
    AuditCursor, AuditOrder, AuditPage, AuditQuery, BulkKeys, ChangedUser, CreatedKey, Cursor, Explanation,
    FindingPage, ImportOutcome, KeyFilter, KeyPage, KeyUpdate, NewKey, NewRole, OpenedFields, OrganizationUpdate,
    ProjectUpdate, Revocation, Rotation, ScheduleRun, UserUpdate,
};
use keygate::names::{FieldName, OrganizationId, ProjectId, Reason, RoleName, UserId};
use keygate::notice::{NoticeId, NoticeKind, WebhookId, WebhookUrl};
use keygate::record::{Key, NamedRole, OrganizationRecord, ProjectRecord, RotationSchedule, SecurityTier, UserRecord};
use keygate::usage::report::{UsageQuery, UsageReport};
use keygate::usage::subject::Subject;

use super::{
    BulkDone, GivenUpNotices, LimitLeft, NewSecret, NotDone, Operation, Pace, PostedNotice, Question, Redriven,
    ShownKey, ShownRotation, ValidKey, Verdict, Wait, Webhooks, Whose,
};
use crate::open::StoreDesk;

/// Calls under way at once: while one waits for the store, another mints.
pub(super) const IN_FLIGHT: usize = 4;

impl StoreDesk {
    /// Enough at a time that round trips and transactions do not count, and few enough to be made at once; fewer where
    /// making a key takes a good part of a second.
    pub(super) fn pace(tier: SecurityTier) -> Pace {
        Pace { at_once: if tier == SecurityTier::Standard { 1_000 } else { 4 }, in_flight: IN_FLIGHT }
    }

    pub(super) async fn create(&self, new: NewKey) -> Result<CreatedKey, NotDone> {
        Ok(self.manager.create(&self.actor(), new).await?)
    }

    pub(super) async fn create_many(&self, new: Vec<NewKey>) -> Vec<Result<CreatedKey, NotDone>> {
        let outcomes = self.manager.create_many(&self.actor(), new).await;
        outcomes.into_iter().map(|outcome| outcome.map_err(NotDone::from)).collect()
    }

    pub(super) async fn import(
        &self,
        organization: &OrganizationId,
        body: &[u8],
        dry_run: bool,
    ) -> Result<Vec<ImportOutcome>, NotDone> {
        Ok(self.manager.import(&self.operator, organization, body, dry_run).await?)
    }

    pub(super) async fn list(
        &self,
        organization: &OrganizationId,
        filter: &KeyFilter,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<KeyPage, NotDone> {
        Ok(self.manager.list(&self.actor(), organization, filter, limit, cursor).await?)
    }

    pub(super) async fn get(&self, id: KeyId) -> Result<Key, NotDone> {
        Ok(self.manager.get(&self.actor(), id).await?)
    }

    pub(super) async fn show(&self, id: KeyId) -> Result<ShownKey, NotDone> {
        let key = self.get(id).await?;
        let limits_left = self.left_of(&key).await?;
        Ok(ShownKey { key, limits_left })
    }

    pub(super) async fn update(&self, id: KeyId, update: &KeyUpdate) -> Result<Key, NotDone> {
        Ok(self.manager.update(&self.actor(), id, update, None).await?)
    }

    async fn left_of(&self, key: &Key) -> Result<Vec<LimitLeft>, NotDone> {
        Ok(LimitLeft::all(&self.manager.limits_left_of(key).await?))
    }

    pub(super) async fn sensitive(&self, id: KeyId, field: Option<&FieldName>) -> Result<OpenedFields, NotDone> {
        Ok(self.manager.sensitive(&self.actor(), id, field).await?)
    }

    pub(super) async fn deactivate(&self, id: KeyId, reason: Option<Reason>) -> Result<Key, NotDone> {
        Ok(self.manager.deactivate(&self.actor(), id, reason).await?)
    }

    pub(super) async fn activate(&self, id: KeyId) -> Result<Key, NotDone> {
        Ok(self.manager.activate(&self.actor(), id, None).await?)
    }

    pub(super) async fn revoke(&self, id: KeyId, reason: Option<Reason>, wait: Wait) -> Result<Revocation, NotDone> {
        Ok(match wait {
            Wait::UntilHeard => self.manager.revoke_confirmed(&self.actor(), id, reason).await?,
            Wait::No => self.manager.revoke(&self.actor(), id, reason).await?,
        })
    }

    pub(super) async fn delete(&self, id: KeyId) -> Result<(), NotDone> {
        Ok(self.manager.delete(&self.actor(), id, None).await?)
    }

    pub(super) async fn rotate(&self, id: KeyId, overlap_days: Option<u32>) -> Result<Rotation, NotDone> {
        let overlap = overlap_days.map(|days| TimeDelta::days(days.into()));
        Ok(self.manager.rotate(&self.actor(), id, overlap).await?)
    }

    pub(super) async fn bulk(
        &self,
        organization: &OrganizationId,
        operation: &Operation,
        keys: &BulkKeys,
        dry_run: bool,
    ) -> Result<BulkDone, NotDone> {
        let operation = operation.to_bulk();
        Ok(self.manager.bulk_of(&self.actor(), organization, &operation, keys, dry_run).await?.into())
    }

    pub(super) async fn rotation(&self, id: KeyId) -> Result<ShownRotation, NotDone> {
        let revision = Some(self.get(id).await?.revision);
        Ok(ShownRotation { revision, status: self.manager.rotation(&self.actor(), id).await? })
    }

    pub(super) async fn set_rotation(
        &self,
        id: KeyId,
        schedule: RotationSchedule,
        hand_over: Option<bool>,
    ) -> Result<ShownRotation, NotDone> {
        let mut update = KeyUpdate::new();
        update.rotation_schedule = Some(Some(schedule));
        update.hand_over = hand_over;
        self.manager.update(&self.actor(), id, &update, None).await?;
        self.rotation(id).await
    }

    pub(super) async fn clear_rotation(&self, id: KeyId) -> Result<(), NotDone> {
        let mut update = KeyUpdate::new();
        update.rotation_schedule = Some(None);
        self.manager.update(&self.actor(), id, &update, None).await?;
        Ok(())
    }

    pub(super) async fn finish_rotation(&self, id: KeyId) -> Result<Key, NotDone> {
        Ok(self.manager.finish_rotation(&self.actor(), id).await?)
    }

    pub(super) async fn run_schedules(&self) -> Result<ScheduleRun, NotDone> {
        Ok(self.manager.run_schedules(&self.operator).await?)
    }

    pub(super) async fn verify(&self, text: &str, question: &Question) -> Result<Verdict, NotDone> {
        let (actor, context) = (self.actor(), question.context());
        let presented = PresentedKey::parse(text.as_bytes()).ok();
        let id = presented.map(|presented| presented.id());
        if question.explain {
            let Explanation { decision, checks, .. } = self.manager.explain(&actor, text, &context).await?;
            return Verdict::of(self.valid(decision).await?, id, Some(&checks));
        }
        let decision = self.valid(self.manager.verify(&actor, text, &context).await).await?;
        Verdict::of(decision, id, None)
    }

    /// A decision with what is told of a valid key.
    async fn valid(&self, decision: Result<Admission, Denial>) -> Result<Result<ValidKey, Denial>, NotDone> {
        let admission = match decision {
            Ok(admission) => admission,
            Err(denial) => return Ok(Err(denial)),
        };
        let left = match admission.cost() {
            0 => self.left_of(admission.key()).await?,
            _ => LimitLeft::all(&admission.limits()),
        };
        Ok(Ok(ValidKey::of(&admission, left)))
    }

    pub(super) async fn usage(&self, subject: &Subject, query: &UsageQuery) -> Result<UsageReport, NotDone> {
        Ok(self.manager.usage(&self.actor(), subject.clone(), *query).await?)
    }

    pub(super) async fn findings(
        &self,
        whose: &Whose,
        limit: usize,
        cursor: Option<FindingCursor>,
    ) -> Result<FindingPage, NotDone> {
        Ok(match whose {
            Whose::Key(id) => self.manager.key_findings(&self.actor(), *id, limit, cursor).await?,
            Whose::Organization(id) => self.manager.findings(&self.actor(), id, None, limit, cursor).await?,
        })
    }

    pub(super) async fn audit(
        &self,
        organization: &OrganizationId,
        query: &AuditQuery,
        order: AuditOrder,
        limit: usize,
        cursor: Option<AuditCursor>,
    ) -> Result<AuditPage, NotDone> {
        Ok(self.manager.audit(&self.actor(), organization, query, order, limit, cursor).await?)
    }

    pub(super) async fn verify_audit(
        &self,
        organization: &OrganizationId,
        head: Option<AuditHead>,
    ) -> Result<AuditVerification, NotDone> {
        Ok(self.manager.verify_audit(&self.actor(), organization, head).await?)
    }

    pub(super) async fn webhooks(&self, organization: &OrganizationId) -> Result<Webhooks, NotDone> {
        Ok(Webhooks { webhooks: self.manager.webhooks(&self.actor(), organization).await? })
    }

    pub(super) async fn create_webhook(
        &self,
        organization: &OrganizationId,
        url: &WebhookUrl,
        events: &[NoticeKind],
    ) -> Result<NewSecret, NotDone> {
        Ok(self.manager.create_webhook(&self.actor(), organization, url, events).await?.into())
    }

    pub(super) async fn delete_webhook(&self, organization: &OrganizationId, id: WebhookId) -> Result<(), NotDone> {
        Ok(self.manager.delete_webhook(&self.actor(), organization, id).await?)
    }

    pub(super) async fn renew_webhook_secret(
        &self,
        organization: &OrganizationId,
        id: WebhookId,
    ) -> Result<NewSecret, NotDone> {
        Ok(self.manager.renew_webhook_secret(&self.actor(), organization, id).await?.into())
    }

    pub(super) async fn test_webhooks(&self, organization: &OrganizationId) -> Result<PostedNotice, NotDone> {
        Ok(PostedNotice { notice_id: self.manager.test_webhooks(&self.actor(), organization).await? })
    }

    pub(super) async fn given_up(
        &self,
        organization: &OrganizationId,
        limit: usize,
    ) -> Result<GivenUpNotices, NotDone> {
        Ok(GivenUpNotices { notices: self.manager.notices_given_up(&self.actor(), organization, limit).await? })
    }

    pub(super) async fn redrive(
        &self,
        organization: &OrganizationId,
        id: Option<NoticeId>,
    ) -> Result<Redriven, NotDone> {
        Ok(Redriven { redriven: self.manager.redrive_notices(&self.actor(), organization, id).await? })
    }

    pub(super) async fn organization(&self, id: &OrganizationId) -> Result<OrganizationRecord, NotDone> {
        Ok(self.manager.organization(&self.actor(), id).await?)
    }

    pub(super) async fn create_organization(
        &self,
        id: &OrganizationId,
        settings: &OrganizationUpdate,
    ) -> Result<OrganizationRecord, NotDone> {
        Ok(self.manager.create_organization(&self.operator, id, settings).await?)
    }

    pub(super) async fn update_organization(
        &self,
        id: &OrganizationId,
        update: &OrganizationUpdate,
    ) -> Result<OrganizationRecord, NotDone> {
        Ok(self.manager.update_organization(&self.operator, id, update, None).await?)
    }

    pub(super) async fn project(
        &self,
        organization: &OrganizationId,
        project: &ProjectId,
    ) -> Result<ProjectRecord, NotDone> {
        Ok(self.manager.project(&self.actor(), organization, project).await?)
    }

    pub(super) async fn update_project(
        &self,
        organization: &OrganizationId,
        project: &ProjectId,
        update: &ProjectUpdate,
    ) -> Result<ProjectRecord, NotDone> {
        Ok(self.manager.update_project(&self.actor(), organization, project, update, None).await?)
    }

    pub(super) async fn user(&self, organization: &OrganizationId, user: &UserId) -> Result<UserRecord, NotDone> {
        Ok(self.manager.user(&self.actor(), organization, user).await?)
    }

    pub(super) async fn update_user(
        &self,
        organization: &OrganizationId,
        user: &UserId,
        update: &UserUpdate,
    ) -> Result<ChangedUser, NotDone> {
        Ok(self.manager.update_user(&self.actor(), organization, user, update, None).await?)
    }

    pub(super) async fn roles(&self, organization: &OrganizationId) -> Result<Vec<NamedRole>, NotDone> {
        Ok(self.manager.roles(&self.actor(), organization).await?)
    }

    pub(super) async fn role(&self, organization: &OrganizationId, name: &RoleName) -> Result<NamedRole, NotDone> {
        Ok(self.manager.role(&self.actor(), organization, name).await?)
    }

    pub(super) async fn put_role(
        &self,
        organization: &OrganizationId,
        name: &RoleName,
        new: &NewRole,
    ) -> Result<NamedRole, NotDone> {
        Ok(self.manager.put_role(&self.actor(), organization, name, new, None).await?)
    }

    pub(super) async fn delete_role(&self, organization: &OrganizationId, name: &RoleName) -> Result<(), NotDone> {
        Ok(self.manager.delete_role(&self.actor(), organization, name, None).await?)
    }
}
