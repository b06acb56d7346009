//! What became of an act whose doer stopped in its midst: looked up in the records.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value};

use super::action::Action;
use super::attest::{Attested, attested};
use super::change;
use super::entry::{ActOutcome, AuditEntry, EntryKind};
use super::keeper::Keeper;
use super::store::{KeptEntry, OpenIntent, Step};
use crate::key::KeyId;
use crate::names::OrganizationId;
use crate::notice::WebhookId;
use crate::record::Key;
use crate::store::StoreError;

/// How many records are read at once.
const IN_FLIGHT: usize = 32;
/// What stands for an action where the intent is gone.
const NOT_KNOWN: &str = "unknown";

/// Closes an act, and says whether it did: somebody else may have been first.
pub(super) async fn close(
    keeper: &Keeper,
    organization: &OrganizationId,
    open: OpenIntent,
) -> Result<bool, StoreError> {
    let place = open.sequence;
    let there = match keeper.store.audit_entries(organization, place..=place, false, 1).await {
        Err(error @ StoreError::Unavailable(_)) => return Err(error),
        there => there.unwrap_or_default(),
    };
    let is_genuine = |kept: &&KeptEntry| attested(keeper.ring(), organization, &kept.bytes) == Attested::Genuine;
    let intent = there.first().filter(is_genuine).and_then(|kept| AuditEntry::decode(organization, kept).ok());
    let intent = intent.filter(|intent| intent.act_id == open.act);
    let mut outcome = match intent {
        Some(intent) => AuditEntry { at: keeper.now(), kind: EntryKind::Outcome, ..intent },
        None => {
            let action = NOT_KNOWN.to_owned();
            AuditEntry::begun(organization, open.act, keeper.now(), EntryKind::Outcome, action)
        }
    };
    let was_done = match was_done(keeper, &mut outcome).await {
        Err(error @ StoreError::Unavailable(_)) => return Err(error),
        Err(error) => {
            tracing::error!(target: "keygate::audit", act_id = %open.act, %error, "what became of an act cannot be read");
            false
        }
        Ok(was_done) => was_done,
    };
    outcome.outcome = Some(if was_done { ActOutcome::Done } else { ActOutcome::Unknown });
    outcome.reconciled = true;
    let closed = keeper.append(&outcome, Step::Reconciled { intent: place }).await?;
    if closed.is_some() {
        tracing::warn!(
            target: "keygate::audit",
            organization_id = %organization,
            act_id = %open.act,
            action = outcome.action,
            outcome = outcome.outcome.map(ActOutcome::as_str),
            "whoever did this stopped in its midst"
        );
    }
    Ok(closed.is_some())
}

/// Whether what is there could only be made by this very act: a record under an id of its own, or a status since its time. What
/// another act could have left the same is no evidence.
async fn was_done(keeper: &Keeper, act: &mut AuditEntry) -> Result<bool, StoreError> {
    let (store, organization) = (&keeper.store, act.organization_id.clone());
    let Ok(action) = act.action.parse::<Action>() else { return Ok(false) };
    if matches!(action, Action::KeysCreate | Action::KeysImport) {
        let ids: Vec<KeyId> = act.items.iter().map(|item| item.key_id).collect();
        let records: Vec<_> = stream::iter(ids).map(|id| store.record(id)).buffered(IN_FLIGHT).try_collect().await?;
        for (item, record) in act.items.iter_mut().zip(records) {
            // Under an id that somebody else's import was to use too, it may be theirs.
            let is_own = |key: &Key| key.organization == organization && key.created_by.as_str() == act.principal;
            let is_there = record.is_some_and(|record| is_own(&record.key));
            item.outcome = Some(if is_there { ActOutcome::Done } else { ActOutcome::Unknown }.as_str().to_owned());
        }
        let done = Some(ActOutcome::Done.as_str());
        return Ok(act.items.iter().any(|item| item.outcome.as_deref() == done));
    }
    if let Some(id) = act.target.key_id {
        // A key that is made again under an id that was chosen before has another time.
        let evidence: &[&str] = match action {
            Action::KeyCreate => &["created_at"],
            Action::KeyActivate | Action::KeyDeactivate | Action::KeyRevoke => &["status", "status_changed_at"],
            _ => return Ok(false),
        };
        let record = store.record(id).await?.filter(|record| record.key.organization == organization);
        return Ok(record.is_some_and(|record| is_as_meant(act, &change::shown(&record.key), evidence)));
    }
    if action == Action::WebhookCreate
        && let Some(id) = act.target.webhook_id.as_ref().and_then(|id| id.parse::<WebhookId>().ok())
    {
        let record = store.webhooks(&organization).await?;
        return Ok(record.is_some_and(|record| record.webhooks.iter().any(|webhook| webhook.id == id)));
    }
    Ok(false)
}

/// Whether these fields are as the act was to leave them, the first of which it was to change.
fn is_as_meant(act: &AuditEntry, there: &Map<String, Value>, fields: &[&str]) -> bool {
    let Some(Value::Object(meant)) = &act.after else { return false };
    let is_meant = |field: &&str| meant.contains_key(*field);
    fields.first().is_some_and(is_meant)
        && fields.iter().all(|field| meant.get(*field).is_none_or(|value| there.get(*field) == Some(value)))
}
