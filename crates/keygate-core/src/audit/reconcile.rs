//! What became of an act whose doer stopped in its midst: looked up in the records.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value};

use super::action::Action;
use super::change;
use super::entry::{ActOutcome, AuditEntry, EntryKind};
use super::keeper::Keeper;
use super::store::{OpenIntent, Step};
use crate::key::KeyId;
use crate::names::{OrganizationId, ProjectId, RoleName, UserId};
use crate::notice::WebhookId;
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
    let there = keeper.store.audit_entries(organization, place..=place, false, 1).await?;
    let intent = there.first().and_then(|kept| AuditEntry::decode(organization, kept).ok());
    let intent = intent.filter(|intent| intent.act_id == open.act);
    let mut outcome = match intent {
        Some(intent) => AuditEntry { at: keeper.now(), kind: EntryKind::Outcome, ..intent },
        None => {
            let action = NOT_KNOWN.to_owned();
            AuditEntry::begun(organization, open.act, keeper.now(), EntryKind::Outcome, action)
        }
    };
    outcome.outcome = Some(if was_done(keeper, &mut outcome).await? { ActOutcome::Done } else { ActOutcome::Unknown });
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

/// Whether what is there is what the act was to make of it.
async fn was_done(keeper: &Keeper, act: &mut AuditEntry) -> Result<bool, StoreError> {
    let (store, organization) = (&keeper.store, act.organization_id.clone());
    let Ok(action) = act.action.parse::<Action>() else { return Ok(false) };
    if action == Action::KeysCreate {
        let ids: Vec<KeyId> = act.items.iter().map(|item| item.key_id).collect();
        let records: Vec<_> = stream::iter(ids).map(|id| store.record(id)).buffered(IN_FLIGHT).try_collect().await?;
        for (item, record) in act.items.iter_mut().zip(records) {
            let is_there = record.is_some_and(|record| record.key.organization == organization);
            item.outcome = Some(if is_there { ActOutcome::Done } else { ActOutcome::Unknown }.as_str().to_owned());
        }
        let done = Some(ActOutcome::Done.as_str());
        return Ok(act.items.iter().any(|item| item.outcome.as_deref() == done));
    }
    if let Some(id) = act.target.key_id {
        let record = store.record(id).await?.filter(|record| record.key.organization == organization);
        return Ok(match record {
            None => action == Action::KeyDelete,
            Some(record) => match action {
                Action::KeyCreate => true,
                Action::KeyDelete => false,
                _ => is_as_meant(act, &change::shown(&record.key)),
            },
        });
    }
    if let Some(id) = act.target.webhook_id.as_ref().and_then(|id| id.parse::<WebhookId>().ok()) {
        let record = store.webhooks(&organization).await?;
        let is_there = record.is_some_and(|record| record.webhooks.iter().any(|webhook| webhook.id == id));
        return Ok(match action {
            Action::WebhookCreate => is_there,
            Action::WebhookDelete => !is_there,
            _ => false,
        });
    }
    let project = act.target.project_id.as_ref().and_then(|id| ProjectId::new(id).ok());
    let there = match action {
        Action::OrganizationCreate | Action::OrganizationUpdate => {
            store.parents(&organization, None).await?.organization.map(|record| change::shown(&record))
        }
        Action::ProjectUpdate => {
            store.parents(&organization, project.as_ref()).await?.project.map(|record| change::shown(&record))
        }
        Action::UserUpdate => match act.target.user_id.as_ref().and_then(|id| UserId::new(id).ok()) {
            Some(user) => {
                let held = store.users(&organization, &[user]).await?;
                held.into_iter().next().flatten().map(|record| change::shown(&record))
            }
            None => None,
        },
        Action::RolePut => {
            let roles = store.parents(&organization, None).await?.roles;
            let name = act.target.role.as_ref().and_then(|name| RoleName::new(name).ok());
            name.and_then(|name| roles?.roles.get(&name).map(change::shown))
        }
        _ => None,
    };
    Ok(there.is_some_and(|there| is_as_meant(act, &there)))
}

/// Whether all fields that the act was to change are as it was to leave them.
fn is_as_meant(act: &AuditEntry, there: &Map<String, Value>) -> bool {
    let Some(Value::Object(meant)) = &act.after else { return false };
    !meant.is_empty() && meant.iter().all(|(field, value)| there.get(field).unwrap_or(&Value::Null) == value)
}
