//! What is told, to whom, and what became of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::act::Act;
use super::{ApiKeyManager, IdempotencyKey, Inner, ManageError};
use crate::actor::Actor;
use crate::audit::{ActTarget, Action, Changes};
use crate::clock::to_millis;
use crate::denial::Denial;
use crate::key::{KeyId, KeyText};
use crate::names::{NameError, OrganizationId, ProjectId};
use crate::notice::{
    Announced, Cause, DeliveryRun, Disabled, Event, Failed, HandedKey, MAX_GIVEN_UP, MAX_WAITING, MAX_WEBHOOKS, Notice,
    NoticeId, NoticeKind, Outgoing, Posted, Verdict, Webhook, WebhookId, WebhookRecord, WebhookSecret, WebhookUrl,
    looked_at, within,
};
use crate::patience::at_most;
use crate::record::{Key, KeyRecord, Revision, StatusChange};
use crate::store::{MemoName, StoreError, WriteRefusal};
use crate::usage::period::Day;

/// How often a change is tried again after another came in between.
const ATTEMPTS: usize = 16;
/// Notices that are put in the outbox again at once.
const REDRIVEN_AT_ONCE: usize = 16;
/// How long something that must not be held up waits for the outbox.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(1);
/// How long something that is done waits for the outbox.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);
/// After how long it is tried again to tell of a limit that was met.
const TOLD_AGAIN: Duration = Duration::from_secs(5);
/// For how many limits of keys it is remembered that they were told of.
const MET_REMEMBERED: u64 = 100_000;

/// A limit that a key has met on a day: its level, and its window.
pub(super) type MetLimit = (KeyId, &'static str, &'static str, Day);

pub(super) fn limit_notices() -> moka::sync::Cache<MetLimit, ()> {
    moka::sync::Cache::new(MET_REMEMBERED)
}

/// What may be shown of a webhook. Its JSON form is that of the management API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WebhookShown {
    /// Its id.
    pub webhook_id: WebhookId,
    /// Where it is.
    pub url: WebhookUrl,
    /// Of what it is told; of everything where this is empty.
    pub events: Vec<NoticeKind>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who made it.
    pub created_by: String,
    /// Since when, and why, nothing is sent there any more.
    pub disabled: Option<Disabled>,
}

impl From<&Webhook> for WebhookShown {
    fn from(webhook: &Webhook) -> Self {
        Self {
            webhook_id: webhook.id,
            url: webhook.url.clone(),
            events: webhook.events.clone(),
            created_at: webhook.created_at,
            created_by: webhook.created_by.to_string(),
            disabled: webhook.disabled.clone(),
        }
    }
}

/// Scheme and host of an address: what comes after them, or before the host, may be a secret.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

/// What the audit tells of a change of webhooks: those that differ, without what they are signed with, and of their addresses
/// where they are.
fn changes(before: &[Webhook], after: &[Webhook]) -> Changes {
    let shown = |these: &[Webhook], others: &[Webhook]| -> Map<String, Value> {
        let differ = these.iter().filter(|webhook| !others.contains(webhook));
        let told = differ.map(|webhook| {
            let WebhookShown { webhook_id, url, events, disabled, .. } = WebhookShown::from(webhook);
            let url = String::from(url);
            let url = origin(&url);
            (webhook_id.to_string(), json!({ "url": url, "events": events, "disabled": disabled }))
        });
        told.collect()
    };
    let told = |fields: Map<String, Value>| (!fields.is_empty()).then_some(Value::Object(fields));
    Changes { before: told(shown(before, after)), after: told(shown(after, before)) }
}

/// A webhook with a new secret. Its JSON form is that of the management API: the one answer that shows the secret.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct CreatedWebhook {
    /// What its notices are signed with from now on, to be handed to whoever receives there.
    #[serde(serialize_with = "expose_secret")]
    pub secret: WebhookSecret,
    /// The webhook.
    #[serde(flatten)]
    pub webhook: WebhookShown,
}

fn expose_secret<S: serde::Serializer>(secret: &WebhookSecret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&secret.expose())
}

/// What came of making a webhook once.
#[derive(Debug, Clone)]
pub enum WebhookOnce {
    /// This call made it.
    Now(CreatedWebhook),
    /// A call before it did. Its secret was in the answer to that call; if that was lost, it can be
    /// [renewed](ApiKeyManager::renew_webhook_secret).
    Before(WebhookShown),
}

/// A notice that was given up. Its JSON form is that of the management API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GivenUp {
    /// The notice's id.
    pub notice_id: NoticeId,
    /// When it was given up.
    pub given_up_at: DateTime<Utc>,
    /// Who has not taken it.
    pub failed: Vec<Failed>,
    /// What is sent: see [`Notice::payload`].
    pub notice: Value,
}

impl ApiKeyManager {
    /// The webhooks of an organization, the oldest first.
    ///
    /// # Errors
    /// When the organization is not within the actor's reach, or the store fails.
    pub async fn webhooks(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
    ) -> Result<Vec<WebhookShown>, ManageError> {
        let record = self.webhook_record(actor, organization).await?;
        Ok(record.iter().flat_map(|record| &record.webhooks).map(WebhookShown::from).collect())
    }

    /// Makes a webhook: the organization's notices of these kinds, or of all where none is named, are sent there from now on.
    ///
    /// # Errors
    /// When this manager [sends none](super::ManagerBuilder::webhooks), nothing would be sent to that address, the
    /// organization has [as many as it may](MAX_WEBHOOKS), it is not within the actor's reach, or the store fails.
    pub async fn create_webhook(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        url: &WebhookUrl,
        events: &[NoticeKind],
    ) -> Result<CreatedWebhook, ManageError> {
        match self.make_webhook(actor, organization, url, events, WebhookId::fresh()?).await? {
            WebhookOnce::Now(created) => Ok(created),
            WebhookOnce::Before(_) => Err(ManageError::AlreadyExists),
        }
    }

    /// The same, once however often it is asked for with the same key, as long as the webhook is there.
    ///
    /// # Errors
    /// As [`create_webhook`](Self::create_webhook), and when the key was used for another webhook.
    pub async fn create_webhook_once(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        url: &WebhookUrl,
        events: &[NoticeKind],
        key: &IdempotencyKey,
    ) -> Result<WebhookOnce, ManageError> {
        let parts = [actor.principal().as_str(), organization.as_str(), key.as_str()].map(str::as_bytes);
        let id = WebhookId::of(&MemoName::of("keygate/v1 webhook", &parts));
        self.make_webhook(actor, organization, url, events, id).await
    }

    async fn make_webhook(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        url: &WebhookUrl,
        events: &[NoticeKind],
        id: WebhookId,
    ) -> Result<WebhookOnce, ManageError> {
        let target = ActTarget { webhook_id: Some(id.to_string()), ..ActTarget::default() };
        let mut act = self.act(actor, Action::WebhookCreate, target).of(organization);
        let made = self.make_webhook_in(&mut act, actor, organization, url, events, id).await;
        act.close_unless_nothing(made, |made| matches!(made, WebhookOnce::Before(_))).await
    }

    async fn make_webhook_in(
        &self,
        act: &mut Act<'_>,
        actor: &Actor,
        organization: &OrganizationId,
        url: &WebhookUrl,
        events: &[NoticeKind],
        id: WebhookId,
    ) -> Result<WebhookOnce, ManageError> {
        // Before anything else is said to a stranger.
        if !actor.reaches(organization) {
            return Err(ManageError::ParentNotFound);
        }
        self.inner.post.sender().ok_or(ManageError::SendsNoWebhooks)?.check(url)?;
        let mut events = events.to_vec();
        events.sort_unstable();
        events.dedup();
        let now = to_millis(self.inner.clock.now());
        self.change_webhooks(act, actor, organization, "webhook created", |record| {
            if let Some(there) = record.webhooks.iter().find(|webhook| webhook.id == id) {
                let is_same = there.url == *url && there.events == events;
                let shown = WebhookOnce::Before(there.into());
                return if is_same { Ok(shown) } else { Err(ManageError::IdempotencyMismatch) };
            }
            if record.webhooks.len() >= MAX_WEBHOOKS {
                let problem = format!("must be at most {MAX_WEBHOOKS} of an organization");
                return Err(NameError::new("webhooks", problem).into());
            }
            let (ring, by) = (&self.inner.ring, actor.principal().clone());
            let (webhook, secret) = Webhook::new(ring, organization, id, url.clone(), events.clone(), now, by)?;
            let created = CreatedWebhook { secret, webhook: WebhookShown::from(&webhook) };
            record.webhooks.push(webhook);
            Ok(WebhookOnce::Now(created))
        })
        .await
    }

    /// Gives a webhook another secret, and has notices sent to it again where it was disabled. Those before sign too for
    /// a day, four of them at most, so that whoever receives can change over.
    ///
    /// # Errors
    /// When there is no such webhook, its organization is not within the actor's reach, or the store fails.
    pub async fn renew_webhook_secret(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        id: WebhookId,
    ) -> Result<CreatedWebhook, ManageError> {
        let now = to_millis(self.inner.clock.now());
        let target = ActTarget { webhook_id: Some(id.to_string()), ..ActTarget::default() };
        let mut act = self.act(actor, Action::WebhookRenewSecret, target).of(organization);
        let renewed = self.change_webhooks(&mut act, actor, organization, "webhook secret renewed", |record| {
            let webhook = record.webhooks.iter_mut().find(|webhook| webhook.id == id);
            let webhook = webhook.ok_or(ManageError::NoSuchWebhook)?;
            let secret = webhook.renew_secret(&self.inner.ring, organization, now)?;
            Ok(CreatedWebhook { secret, webhook: WebhookShown::from(&*webhook) })
        });
        let renewed = renewed.await;
        act.close(renewed).await
    }

    /// Takes a webhook away. What is on its way to it is sent no more.
    ///
    /// # Errors
    /// When there is no such webhook, its organization is not within the actor's reach, or the store fails.
    pub async fn delete_webhook(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        id: WebhookId,
    ) -> Result<(), ManageError> {
        let target = ActTarget { webhook_id: Some(id.to_string()), ..ActTarget::default() };
        let mut act = self.act(actor, Action::WebhookDelete, target).of(organization);
        let deleted = self.change_webhooks(&mut act, actor, organization, "webhook deleted", |record| {
            let before = record.webhooks.len();
            record.webhooks.retain(|webhook| webhook.id != id);
            if record.webhooks.len() == before { Err(ManageError::NoSuchWebhook) } else { Ok(()) }
        });
        let deleted = deleted.await;
        act.close(deleted).await
    }

    /// Takes all webhooks of an organization away.
    ///
    /// # Errors
    /// When the organization is not within the actor's reach, or the store fails.
    pub async fn delete_webhooks(&self, actor: &Actor, organization: &OrganizationId) -> Result<(), ManageError> {
        let mut act = self.act(actor, Action::WebhooksDelete, ActTarget::default()).of(organization);
        let deleted = async {
            if self.webhooks(actor, organization).await?.is_empty() {
                return Ok(());
            }
            let clear = |record: &mut WebhookRecord| {
                record.webhooks.clear();
                Ok(())
            };
            self.change_webhooks(&mut act, actor, organization, "webhooks deleted", clear).await
        };
        let deleted = deleted.await;
        act.close(deleted).await
    }

    /// Sends a notice of kind `test` to all webhooks of an organization, and gives its id. However often that is asked for in
    /// one minute of the clock, it is one notice.
    ///
    /// # Errors
    /// When it has none, too many notices wait for them, it is not within the actor's reach, or the store fails.
    pub async fn test_webhooks(&self, actor: &Actor, organization: &OrganizationId) -> Result<NoticeId, ManageError> {
        let mut act = self.act(actor, Action::WebhooksTest, ActTarget::default()).of(organization);
        let tested = self.test_webhooks_in(&mut act, actor, organization).await;
        act.close(tested).await
    }

    async fn test_webhooks_in(
        &self,
        act: &mut Act<'_>,
        actor: &Actor,
        organization: &OrganizationId,
    ) -> Result<NoticeId, ManageError> {
        let record = self.webhook_record(actor, organization).await?;
        if !record.is_some_and(|record| record.hears(NoticeKind::Test)) {
            return Err(ManageError::NoSuchWebhook);
        }
        act.begin(organization, Changes::default()).await?;
        let minute = self.inner.clock.now().timestamp().div_euclid(60);
        let id = Cause::Asked(NoticeKind::Test, organization, minute).id();
        let notice = self.inner.post.notice(organization, id, Event::Test);
        match self.inner.post.tell(&notice).await? {
            Some(Posted::Full) => Err(ManageError::TooManyNotices),
            Some(Posted::New | Posted::Known) => Ok(id),
            None => Err(ManageError::NoSuchWebhook),
        }
    }

    /// The notices of an organization that were given up, the newest first; at most `limit`, and [`MAX_GIVEN_UP`].
    ///
    /// # Errors
    /// When the organization is not within the actor's reach, or the store fails.
    pub async fn notices_given_up(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        limit: usize,
    ) -> Result<Vec<GivenUp>, ManageError> {
        if !actor.reaches(organization) {
            return Err(ManageError::ParentNotFound);
        }
        let parcels = self.inner.store.given_up(organization, limit.clamp(1, MAX_GIVEN_UP)).await?;
        let shown = parcels.iter().filter_map(|parcel| {
            // What cannot be read was said in the log when it was given up.
            let outgoing = Outgoing::decode(parcel).ok()?;
            let (notice_id, given_up_at, notice) = (parcel.id, parcel.due, outgoing.notice.payload());
            Some(GivenUp { notice_id, given_up_at, failed: outgoing.failed, notice })
        });
        Ok(shown.collect())
    }

    /// Has notices sent again that were given up: this one, or all of the organization for which there is room; and says how
    /// many.
    ///
    /// # Errors
    /// When too many notices wait already, the organization is not within the actor's reach, or the store fails.
    pub async fn redrive_notices(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        id: Option<NoticeId>,
    ) -> Result<u64, ManageError> {
        let mut act = self.act(actor, Action::NoticesRedrive, ActTarget::default()).of(organization);
        let redriven = self.redrive_notices_in(&mut act, actor, organization, id).await;
        act.close(redriven).await
    }

    async fn redrive_notices_in(
        &self,
        act: &mut Act<'_>,
        actor: &Actor,
        organization: &OrganizationId,
        id: Option<NoticeId>,
    ) -> Result<u64, ManageError> {
        if !actor.reaches(organization) {
            return Err(ManageError::ParentNotFound);
        }
        act.begin(organization, Changes::of(&json!({ "notice_id": id }))).await?;
        let (store, now) = (&self.inner.store, to_millis(self.inner.clock.now()));
        let given_up = store.given_up(organization, MAX_GIVEN_UP).await?;
        let asked = given_up.into_iter().filter(|parcel| id.is_none_or(|id| id == parcel.id));
        let again = asked.filter_map(|mut parcel| {
            let mut outgoing = Outgoing::decode(&parcel).ok()?;
            outgoing.redrive(now);
            (parcel.bytes, parcel.due) = (outgoing.encode().ok()?, now);
            Some(parcel)
        });
        let mut posted = stream::iter(again)
            .map(|parcel| async move { store.redrive_notice(&parcel, MAX_WAITING).await })
            .buffered(REDRIVEN_AT_ONCE);
        let mut redriven = 0;
        while let Some(posted) = posted.next().await {
            match posted? {
                Posted::New => redriven += 1,
                Posted::Known => {}
                Posted::Full if redriven == 0 => return Err(ManageError::TooManyNotices),
                Posted::Full => break,
            }
        }
        Ok(redriven)
    }

    /// Brings all notices that are due now to their receivers, and says what became of them. Where a
    /// [scheduler](Self::start_scheduler) runs that happens each second by itself; this is for those who have none, and for
    /// tests. Dropping the future leaves what was taken to be taken again a minute later.
    ///
    /// # Errors
    /// When the store does not give what is due.
    pub async fn deliver_notices(&self) -> Result<DeliveryRun, ManageError> {
        if !self.inner.post.delivers() {
            return Ok(DeliveryRun::default());
        }
        Ok(self.inner.post.deliver().await?)
    }

    async fn webhook_record(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
    ) -> Result<Option<WebhookRecord>, ManageError> {
        if !actor.reaches(organization) {
            return Err(ManageError::ParentNotFound);
        }
        Ok(self.inner.store.webhooks(organization).await?)
    }

    /// Changes the webhooks of an organization, as often as others come in between.
    async fn change_webhooks<T>(
        &self,
        act: &mut Act<'_>,
        actor: &Actor,
        organization: &OrganizationId,
        action: &'static str,
        change: impl Fn(&mut WebhookRecord) -> Result<T, ManageError>,
    ) -> Result<T, ManageError> {
        self.confirm_current().await?;
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let found = self.webhook_record(actor, organization).await?;
            let expected = found.as_ref().map(|found| found.revision);
            let mut record = found.unwrap_or_else(|| WebhookRecord::new(organization.clone()));
            let before = record.webhooks.clone();
            let changed = change(&mut record)?;
            if record.webhooks == before {
                return Ok(changed);
            }
            act.begin(organization, changes(&before, &record.webhooks)).await?;
            record.revision = expected.map_or(record.revision, Revision::next);
            for webhook in &mut record.webhooks {
                webhook.reseal(&self.inner.ring, organization, self.inner.clock.now());
            }
            match self.inner.store.put_webhooks(&record, expected).await {
                Ok(_) => {
                    let by = actor.principal();
                    let webhooks = record.webhooks.len();
                    tracing::info!(
                        target: "keygate::admin", action, %by, organization_id = %organization, webhooks, "{action}"
                    );
                    return Ok(changed);
                }
                Err(refusal @ (WriteRefusal::Conflict { .. } | WriteRefusal::Absent)) => last = Some(refusal.into()),
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Err(last.unwrap_or(ManageError::NoSuchWebhook))
    }

    /// Announces keys of one organization that are about to be made.
    pub(super) async fn announce_created(&self, keys: impl Iterator<Item = &Key>) -> Result<Announced, StoreError> {
        let notice = |key: &Key| {
            let event = Event::Created { key: key.into() };
            self.inner.post.notice(&key.organization, Cause::Once(NoticeKind::KeyCreated, key.id).id(), event)
        };
        self.inner.post.announce(keys.map(notice).collect()).await
    }

    /// Announces that a key is about to be rotated.
    pub(super) async fn announce_rotated(&self, old: &Key, new: &Key) -> Result<Announced, StoreError> {
        let event = Event::Rotated {
            key: old.into(),
            successor_id: new.id,
            overlap_expires_at: old.expires_at.unwrap_or(new.created_at),
            hand_over: new.succession.hand_over,
        };
        let id = Cause::Once(NoticeKind::KeyRotated, old.id).id();
        self.inner.post.announce(vec![self.inner.post.notice(&old.organization, id, event)]).await
    }

    /// Announces that a key is about to be revoked. It is revoked all the same where that fails.
    pub(super) async fn announce_revocation(&self, key: &Key, change: &StatusChange) -> Announced {
        let event = Event::Revoked { key: key.into(), reason: change.reason.clone() };
        let id = Cause::Once(NoticeKind::KeyRevoked, key.id).id();
        self.announce_anyway(self.inner.post.notice(&key.organization, id, event)).await
    }

    /// Announces that a key is about to be deactivated. It is deactivated all the same where that fails.
    pub(super) async fn announce_deactivation(&self, key: &Key, change: &StatusChange) -> Announced {
        let event = Event::Deactivated { key: key.into(), at: change.at, reason: change.reason.clone() };
        let id = Cause::At(NoticeKind::KeyDeactivated, key.id, change.at, 0).id();
        self.announce_anyway(self.inner.post.notice(&key.organization, id, event)).await
    }

    /// Announces that an organization, or a project of it, is about to be suspended. It is suspended all the same where that
    /// fails.
    pub(super) async fn announce_suspension(
        &self,
        organization: &OrganizationId,
        project: Option<&ProjectId>,
        revision: Revision,
    ) -> Announced {
        let event = match project {
            Some(project) => Event::ProjectSuspended { project_id: project.clone() },
            None => Event::OrganizationSuspended,
        };
        let id = Cause::Parent(event.kind(), organization, project, revision).id();
        self.announce_anyway(self.inner.post.notice(organization, id, event)).await
    }

    async fn announce_anyway(&self, notice: Notice) -> Announced {
        let (notice_id, kind) = (notice.id, notice.kind());
        let error = match at_most(ANNOUNCED_WITHIN, self.inner.post.announce(vec![notice])).await {
            Some(Ok(announced)) => return announced,
            Some(Err(error)) => error.to_string(),
            None => format!("the outbox did not answer within {} s", ANNOUNCED_WITHIN.as_secs()),
        };
        tracing::error!(target: "keygate::notice", %notice_id, %kind, error, "what is done may not be told of");
        Announced::default()
    }

    /// Says what became of what was announced; where the store failed, that is looked up later.
    pub(super) async fn settle<T, E>(
        &self,
        announced: Announced,
        done: &Result<T, E>,
        outcome: impl Fn(Notice, &T) -> Verdict,
    ) {
        if let Ok(done) = done {
            self.settle_all(announced, |notice| outcome(notice, done)).await;
        }
    }

    /// What is done is done: whoever did it waits so long at most, and what is not settled then is looked up.
    pub(super) async fn settle_all(&self, announced: Announced, outcome: impl Fn(Notice) -> Verdict) {
        if announced.is_empty() {
            return;
        }
        if at_most(SETTLED_WITHIN, self.inner.post.settle(announced, outcome)).await.is_none() {
            tracing::warn!(target: "keygate::notice", "the outbox is slow: it is looked up whether notices are true");
        }
    }

    /// The same, of a write that was done by this call if it was not refused.
    pub(super) async fn settle_write<T>(&self, announced: Announced, written: &Result<T, WriteRefusal>) {
        let is_refused = match written {
            Ok(_) => false,
            Err(WriteRefusal::Conflict { .. }) => true,
            // It may have happened.
            Err(_) => return,
        };
        let outcome = |notice| if is_refused { Verdict::Forgotten } else { Verdict::Told(notice) };
        self.settle_all(announced, outcome).await;
    }

    /// Hands the text of a key that is about to replace another to the first notifier that takes it.
    pub(super) async fn hand_to_notifier(&self, old: &Key, new: &Key, text: &KeyText) -> Result<(), ManageError> {
        let handed = HandedKey {
            old_key_id: old.id,
            new_key_id: new.id,
            text: text.clone(),
            organization_id: old.organization.clone(),
            user_id: old.user.clone(),
            overlap_expires_at: old.expires_at.unwrap_or(new.created_at),
        };
        for notifier in self.inner.post.takers_of_keys() {
            let notifier_name = notifier.name();
            match within(notifier.take_key(&handed)).await {
                Ok(()) => {
                    tracing::info!(target: "keygate::notice", key_id = %old.id, notifier_name, "a new text was handed over");
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!(target: "keygate::notice", key_id = %old.id, notifier_name, %error, "a new text was not taken");
                }
            }
        }
        Err(ManageError::NotTaken)
    }
}

impl Inner {
    /// Says in a record when it is next to be looked at.
    pub(super) fn plan_look(&self, record: &mut KeyRecord) {
        let (policy, after) = (self.post.policy(), looked_at(record, to_millis(self.clock.now())));
        let next = policy.next_look(&record.key, None, after);
        // It was found when it was last looked at, from when the key was last used.
        let found = record.look_at.filter(|at| policy.asks_for_use() && *at > after);
        record.look_at = next.into_iter().chain(found).min();
    }

    /// Has it told that a key has met a limit, once a day for each of its limits. Nothing is waited for, and where there is no
    /// runtime nothing is told.
    pub(super) fn limit_met(&self, key: &Key, denial: &Denial) {
        let Some(met) = denial.exceeded().and_then(|exceeded| exceeded.violated.first()) else { return };
        let (level, window) = (met.policy.level.as_str(), met.policy.bound.as_str());
        let day = Day::of(self.clock.now());
        let place = (key.id, level, window, day);
        if self.met.contains_key(&place) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        self.met.insert(place, ());
        let what = format!("{level}/{window}");
        let id = Cause::Daily(NoticeKind::KeyLimitReached, key.id, &what, day).id();
        let (level, window, limit) = (level.to_owned(), window.to_owned(), met.policy.limit);
        let event = Event::LimitReached { key: key.into(), level, window, limit };
        let notice = self.post.notice(&key.organization, id, event);
        let (post, met) = (self.post.clone(), self.met.clone());
        runtime.spawn(async move {
            if let Err(error) = post.tell(&notice).await {
                tracing::debug!(target: "keygate::notice", %error, "a limit was met, and is not told of yet");
                // The next denial tries it again, but not each while the store fails.
                sleep(TOLD_AGAIN).await;
                met.invalidate(&place);
            }
        });
    }
}
