//! An act of whoever manages keys, as the audit has it: what is meant before it is done, and what became of it.

use std::time::Duration;

use serde::Serialize;

use super::{ApiKeyManager, Inner, ManageError};
use crate::actor::Actor;
use crate::audit::{ActId, ActItem, ActOutcome, ActTarget, Action, AuditEntry, Changes, EntryKind, MAX_ITEMS, Step};
use crate::key::KeyId;
use crate::names::{OrganizationId, PrincipalId};
use crate::patience::at_most;
use crate::record::KeyRecord;
use crate::store::StoreError;

/// How long whoever has done something waits until that is written down.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);
/// How long whoever is refused, or revokes a key, waits until that is written down.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// Something that is to be done, and what is to be written of it. It is begun before the first write, and closed with what
/// became of it; where it is dropped in between, that is looked up.
pub(super) struct Act<'a> {
    inner: &'a Inner,
    actor: &'a Actor,
    action: Action,
    /// Where it is written: within the actor's walls.
    organization: Option<OrganizationId>,
    target: ActTarget,
    changes: Changes,
    items: Vec<ActItem>,
    /// Of how many keys more it is about than are listed.
    unlisted: u64,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is written yet.
    Meant,
    /// The intent is written, or was not to be waited for.
    Begun { act: ActId, intent: Option<u64> },
    /// It is part of another, which names it.
    Part,
}

impl ApiKeyManager {
    /// An act that is not begun yet.
    pub(super) fn act<'a>(&'a self, actor: &'a Actor, action: Action, target: ActTarget) -> Act<'a> {
        let organization = actor.organization().cloned();
        let (changes, items, unlisted) = Default::default();
        Act { inner: &self.inner, actor, action, organization, target, changes, items, unlisted, stage: Stage::Meant }
    }

    /// Part of an act on many, which is written down as one.
    pub(super) fn part<'a>(&'a self, actor: &'a Actor, action: Action) -> Act<'a> {
        Act { stage: Stage::Part, ..self.act(actor, action, ActTarget::default()) }
    }

    /// Writes down that a call of the management API was refused before it was known what it asks for: by `call`, such as
    /// `POST /v1/keys/{key_id}/revoke`, and the permission it needs. So many are written down a minute. It waits for a second at most.
    pub async fn record_refused_call(&self, actor: &Actor, call: &str, permission: &str, reason: &str) {
        let target = ActTarget { call: Some(call.to_owned()), ..ActTarget::default() };
        let mut act = self.act(actor, Action::ManagementCall, target);
        act.changes = Changes::of(&serde_json::json!({ "needs": permission }));
        act.refuse(reason).await;
    }
}

impl Act<'_> {
    /// Of an organization that was asked for.
    pub(super) fn of(mut self, organization: &OrganizationId) -> Self {
        match self.actor.organization() {
            None => self.organization = Some(organization.clone()),
            Some(own) if own == organization => {}
            // It is not said there that somebody asked.
            Some(_) => self.target.organization_id = Some(organization.to_string()),
        }
        self
    }

    /// Who does it.
    pub(super) fn principal(&self) -> &PrincipalId {
        self.actor.principal()
    }

    /// Whether the intent was to be written.
    pub(super) fn is_begun(&self) -> bool {
        matches!(self.stage, Stage::Begun { .. })
    }

    /// Whether it is part of another.
    pub(super) fn is_part(&self) -> bool {
        self.stage == Stage::Part
    }

    /// Notes the keys that it is about.
    pub(super) fn on(&mut self, keys: impl IntoIterator<Item = KeyId>) {
        self.items = keys.into_iter().take(MAX_ITEMS).map(ActItem::new).collect();
    }

    /// Notes what became of a key that it is about.
    pub(super) fn became(&mut self, key: KeyId, outcome: &str, successor: Option<KeyId>) {
        let place = self.items.iter().position(|item| item.key_id == key);
        let item = match place {
            Some(place) => &mut self.items[place],
            None if self.items.len() >= MAX_ITEMS => {
                self.unlisted += 1;
                return;
            }
            None => {
                self.items.push(ActItem::new(key));
                let last = self.items.len() - 1;
                &mut self.items[last]
            }
        };
        (item.outcome, item.successor_id) = (Some(outcome.to_owned()), successor);
    }

    /// Notes what became of all keys that it is about, in their order.
    pub(super) fn all_became<'o>(&mut self, outcomes: impl Iterator<Item = &'o str>) {
        for (item, outcome) in self.items.iter_mut().zip(outcomes) {
            item.outcome = Some(outcome.to_owned());
        }
    }

    /// Notes more of what came of it.
    pub(super) fn came_to(&mut self, after: &impl Serialize) {
        self.changes.after = Changes::of(after).after;
    }

    /// Writes down what is about to be done, before anything of it is. Where that fails it must not be done.
    pub(super) async fn begin(&mut self, organization: &OrganizationId, changes: Changes) -> Result<(), StoreError> {
        let Some(entry) = self.intend(organization, changes)? else { return Ok(()) };
        let intent = match self.inner.audit.append(&entry, Step::Intent).await {
            Ok(intent) => intent,
            Err(error) => {
                self.inner.audit.not_begun(entry);
                return Err(error);
            }
        };
        self.stage = Stage::Begun { act: entry.act_id, intent };
        Ok(())
    }

    /// The same, of what must not be held up: it is done all the same where that fails, and written down with what became of it.
    pub(super) async fn begin_anyway(&mut self, organization: &OrganizationId, changes: Changes) {
        let entry = match self.intend(organization, changes) {
            Ok(Some(entry)) => entry,
            Ok(None) => return,
            Err(error) => return self.not_written(&error),
        };
        let mut intent = None;
        match at_most(TOLD_WITHIN, self.inner.audit.append(&entry, Step::Intent)).await {
            Some(Ok(sequence)) => intent = sequence,
            Some(Err(error)) => self.not_written(&error),
            None => self.not_written(&StoreError::unavailable("it did not answer within a second")),
        }
        self.stage = Stage::Begun { act: entry.act_id, intent };
    }

    /// The intent, if one is to be written: none where it was, and what it changes is another now.
    fn intend(&mut self, organization: &OrganizationId, changes: Changes) -> Result<Option<AuditEntry>, StoreError> {
        self.organization = Some(organization.clone());
        self.changes = changes;
        if self.stage != Stage::Meant || !self.inner.audit.policy().is_on() {
            return Ok(None);
        }
        let act = ActId::fresh(self.inner.audit.now()).map_err(|error| StoreError::unavailable(error.to_string()))?;
        Ok(Some(self.entry(organization, act, EntryKind::Intent)))
    }

    fn entry(&self, organization: &OrganizationId, act: ActId, kind: EntryKind) -> AuditEntry {
        let action = self.action.to_string();
        let mut entry = AuditEntry::begun(organization, act, self.inner.audit.now(), kind, action);
        entry.principal = self.actor.principal().to_string();
        entry.from = self.actor.from_address();
        entry.target = self.target.clone();
        let mut changes = self.changes.clone();
        if self.unlisted > 0 {
            changes.note("keys_not_listed", serde_json::json!(self.unlisted));
        }
        (entry.before, entry.after) = (changes.before, changes.after);
        entry.items = self.items.clone();
        entry
    }

    /// Writes down what became of it, and gives that back: what was done, or why it was not.
    pub(super) async fn close<T>(self, result: Result<T, ManageError>) -> Result<T, ManageError> {
        match &result {
            Ok(_) => self.conclude(ActOutcome::Done, None).await,
            Err(error) if self.is_begun() => {
                let outcome = if error.is_trouble() { ActOutcome::Failed } else { ActOutcome::Refused };
                self.conclude(outcome, Some(error.reason())).await;
            }
            Err(error) if error.is_trouble() => {}
            Err(error) => self.refuse(error.reason()).await,
        }
        result
    }

    /// The same, unless nothing was begun and what came of it is nothing new.
    pub(super) async fn close_unless_nothing<T>(
        self,
        result: Result<T, ManageError>,
        is_nothing: impl FnOnce(&T) -> bool,
    ) -> Result<T, ManageError> {
        if !self.is_begun() && result.as_ref().is_ok_and(is_nothing) { result } else { self.close(result).await }
    }

    /// The same, of what is done by itself: what is refused before it was begun is nobody's to know of.
    pub(super) async fn close_if_begun<T>(self, result: Result<T, ManageError>) -> Result<T, ManageError> {
        if self.is_begun() { self.close(result).await } else { result }
    }

    /// Writes down that it was refused, of what was only looked at and is done by another act.
    pub(super) async fn look<T>(self, result: Result<T, ManageError>) -> Result<T, ManageError> {
        match &result {
            Err(error) if !error.is_trouble() => self.refuse(error.reason()).await,
            _ => {}
        }
        result
    }

    /// Writes down what became of what was begun.
    pub(super) async fn conclude(self, outcome: ActOutcome, reason: Option<&str>) {
        let (Stage::Begun { act, intent }, Some(organization)) = (self.stage, &self.organization) else { return };
        let mut entry = self.entry(organization, act, EntryKind::Outcome);
        (entry.outcome, entry.reason) = (Some(outcome), reason.map(str::to_owned));
        let step = Step::Outcome { intent: intent.unwrap_or(0) };
        match at_most(CLOSED_WITHIN, self.inner.audit.append(&entry, step)).await {
            Some(Ok(_)) => {}
            // The intent is open, and it is looked up what became of it.
            Some(Err(error)) => self.not_written(&error),
            None => self.not_written(&StoreError::unavailable("it did not answer within five seconds")),
        }
    }

    /// Writes down that it was refused before it was begun, if there were not too many refusals in this minute.
    pub(super) async fn refuse(self, reason: &str) {
        if self.is_part() {
            return;
        }
        let (keeper, system) = (&self.inner.audit, OrganizationId::system());
        let organization = self.organization.as_ref().unwrap_or(&system);
        let Some(unsaid) = keeper.admit_refusal(organization) else { return };
        let Ok(act) = ActId::fresh(keeper.now()) else { return };
        let mut entry = self.entry(organization, act, EntryKind::Refused);
        (entry.outcome, entry.reason) = (Some(ActOutcome::Refused), Some(reason.to_owned()));
        entry.unsaid = unsaid;
        match at_most(TOLD_WITHIN, keeper.append(&entry, Step::Alone)).await {
            Some(Ok(_)) => return,
            Some(Err(error)) => self.not_written(&error),
            None => self.not_written(&StoreError::unavailable("it did not answer within a second")),
        }
        keeper.refusal_unsaid(organization, unsaid);
    }

    /// The record of a key, if it is within the actor's walls.
    pub(super) async fn find(&mut self, manager: &ApiKeyManager, id: KeyId) -> Result<KeyRecord, ManageError> {
        let record = manager.visible(self.actor, id).await?;
        self.organization = Some(record.key.organization.clone());
        Ok(record)
    }

    fn not_written(&self, error: &StoreError) {
        let (action, by) = (self.action.as_str(), self.actor.principal());
        let organization_id = self.organization.as_ref().map(tracing::field::display);
        tracing::error!(target: "keygate::audit", action, %by, organization_id, %error, "an act is not written down");
    }
}
