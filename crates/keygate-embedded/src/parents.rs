//! Organizations, their roles and webhooks, projects, users and the deployment marker: read and written as JSON, compare-and-set.

use chrono::{DateTime, Utc};
use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::notice::WebhookRecord;
use keygate_core::record::{OrganizationRecord, Parents, ProjectRecord, Revision, RolesRecord, UserRecord};
use keygate_core::ring::EntryId;
use keygate_core::store::{Deployment, StoreError, WriteRefusal};
use redb::{AccessGuard, ReadTransaction, ReadableTable, WriteTransaction};
use serde::de::DeserializeOwned;

use crate::error::storage;
use crate::tables::{
    DEPLOYMENT_WORD, META, ORGANIZATIONS, PROJECTS, ROLES, USERS, WEBHOOKS, reading, reading_if_there,
};

/// What stands above a key.
pub(crate) fn parents(
    transaction: &ReadTransaction,
    organization: &OrganizationId,
    project: Option<&ProjectId>,
) -> Result<Parents, StoreError> {
    let organizations = reading(transaction, ORGANIZATIONS)?;
    let projects = project.map(|id| Ok::<_, StoreError>((id, reading(transaction, PROJECTS)?))).transpose()?;
    Ok(Parents {
        organization: organization_of(&organizations, organization)?,
        project: projects.map(|(id, projects)| project_of(&projects, organization, id)).transpose()?.flatten(),
        roles: match reading_if_there(transaction, ROLES)? {
            Some(roles) => roles_of(&roles, organization)?,
            None => None,
        },
    })
}

/// The records of users of an organization.
pub(crate) fn users(
    transaction: &ReadTransaction,
    organization: &OrganizationId,
    users: &[UserId],
) -> Result<Vec<Option<UserRecord>>, StoreError> {
    let Some(table) = reading_if_there(transaction, USERS)? else { return Ok(vec![None; users.len()]) };
    users.iter().map(|user| user_of(&table, organization, user)).collect()
}

fn roles_of(
    roles: &impl ReadableTable<&'static str, &'static [u8]>,
    organization: &OrganizationId,
) -> Result<Option<RolesRecord>, StoreError> {
    json_of(roles.get(organization.as_str()).map_err(storage)?, || format!("the roles of organization {organization}"))
}

fn user_of(
    users: &impl ReadableTable<(&'static str, &'static str), &'static [u8]>,
    organization: &OrganizationId,
    id: &UserId,
) -> Result<Option<UserRecord>, StoreError> {
    json_of(users.get((organization.as_str(), id.as_str())).map_err(storage)?, || {
        format!("user {id} of organization {organization}")
    })
}

fn organization_of(
    organizations: &impl ReadableTable<&'static str, &'static [u8]>,
    id: &OrganizationId,
) -> Result<Option<OrganizationRecord>, StoreError> {
    json_of(organizations.get(id.as_str()).map_err(storage)?, || format!("organization {id}"))
}

fn project_of(
    projects: &impl ReadableTable<(&'static str, &'static str), &'static [u8]>,
    organization: &OrganizationId,
    id: &ProjectId,
) -> Result<Option<ProjectRecord>, StoreError> {
    json_of(projects.get((organization.as_str(), id.as_str())).map_err(storage)?, || {
        format!("project {id} of organization {organization}")
    })
}

/// The record of these bytes, if there are any.
fn json_of<T: DeserializeOwned>(
    held: Option<AccessGuard<'_, &'static [u8]>>,
    what: impl FnOnce() -> String,
) -> Result<Option<T>, StoreError> {
    let record = held.map(|bytes| serde_json::from_slice(bytes.value())).transpose();
    record.map_err(|error| StoreError::damaged(what(), error))
}

/// Whether a write that was made from revision `expected` may go on.
fn expect(found: Option<Revision>, expected: Option<Revision>) -> Result<(), WriteRefusal> {
    match (found, expected) {
        (found, expected) if found == expected => Ok(()),
        (None, _) => Err(WriteRefusal::Absent),
        (Some(found), _) => Err(WriteRefusal::Conflict { found }),
    }
}

fn json<T: serde::Serialize>(record: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record).map_err(|error| StoreError::damaged("a record to be written", error))
}

pub(crate) fn put_organization(
    transaction: &WriteTransaction,
    record: &OrganizationRecord,
    expected: Option<Revision>,
) -> Result<(), WriteRefusal> {
    let mut organizations = transaction.open_table(ORGANIZATIONS).map_err(storage)?;
    expect(organization_of(&organizations, &record.id)?.map(|held| held.revision), expected)?;
    organizations.insert(record.id.as_str(), json(record)?.as_slice()).map_err(storage)?;
    Ok(())
}

pub(crate) fn put_project(
    transaction: &WriteTransaction,
    record: &ProjectRecord,
    expected: Option<Revision>,
) -> Result<(), WriteRefusal> {
    let mut projects = transaction.open_table(PROJECTS).map_err(storage)?;
    expect(project_of(&projects, &record.organization, &record.id)?.map(|held| held.revision), expected)?;
    let place = (record.organization.as_str(), record.id.as_str());
    projects.insert(place, json(record)?.as_slice()).map_err(storage)?;
    Ok(())
}

pub(crate) fn put_roles(
    transaction: &WriteTransaction,
    record: &RolesRecord,
    expected: Option<Revision>,
) -> Result<(), WriteRefusal> {
    let mut roles = transaction.open_table(ROLES).map_err(storage)?;
    expect(roles_of(&roles, &record.organization)?.map(|held| held.revision), expected)?;
    roles.insert(record.organization.as_str(), json(record)?.as_slice()).map_err(storage)?;
    Ok(())
}

pub(crate) fn put_user(
    transaction: &WriteTransaction,
    record: &UserRecord,
    expected: Option<Revision>,
) -> Result<(), WriteRefusal> {
    let mut users = transaction.open_table(USERS).map_err(storage)?;
    expect(user_of(&users, &record.organization, &record.id)?.map(|held| held.revision), expected)?;
    let place = (record.organization.as_str(), record.id.as_str());
    users.insert(place, json(record)?.as_slice()).map_err(storage)?;
    Ok(())
}

/// The webhooks of an organization.
pub(crate) fn webhooks(
    transaction: &ReadTransaction,
    organization: &OrganizationId,
) -> Result<Option<WebhookRecord>, StoreError> {
    let webhooks = reading_if_there(transaction, WEBHOOKS)?;
    Ok(webhooks.map(|webhooks| webhooks_of(&webhooks, organization)).transpose()?.flatten())
}

fn webhooks_of(
    webhooks: &impl ReadableTable<&'static str, &'static [u8]>,
    organization: &OrganizationId,
) -> Result<Option<WebhookRecord>, StoreError> {
    json_of(webhooks.get(organization.as_str()).map_err(storage)?, || {
        format!("the webhooks of organization {organization}")
    })
}

/// The ring entries that webhooks' secrets are sealed under now, each as often as there are webhooks that name it.
pub(crate) fn webhook_entries(transaction: &ReadTransaction, now: DateTime<Utc>) -> Result<Vec<EntryId>, StoreError> {
    let Some(webhooks) = reading_if_there(transaction, WEBHOOKS)? else { return Ok(Vec::new()) };
    let mut entries = Vec::new();
    for entry in webhooks.iter().map_err(storage)? {
        let (organization, bytes) = entry.map_err(storage)?;
        let record: WebhookRecord = serde_json::from_slice(bytes.value()).map_err(|error| {
            StoreError::damaged(format!("the webhooks of organization {}", organization.value()), error)
        })?;
        entries.extend(record.ring_entries(now));
    }
    Ok(entries)
}

pub(crate) fn put_webhooks(
    transaction: &WriteTransaction,
    record: &WebhookRecord,
    expected: Option<Revision>,
) -> Result<(), WriteRefusal> {
    let mut webhooks = transaction.open_table(WEBHOOKS).map_err(storage)?;
    expect(webhooks_of(&webhooks, &record.organization)?.map(|held| held.revision), expected)?;
    webhooks.insert(record.organization.as_str(), json(record)?.as_slice()).map_err(storage)?;
    Ok(())
}

/// The deployment marker.
pub(crate) fn deployment(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Option<Deployment>, StoreError> {
    let held = meta.get(DEPLOYMENT_WORD).map_err(storage)?;
    held.map(|bytes| Deployment::decode(bytes.value()))
        .transpose()
        .map_err(|error| StoreError::damaged("a deployment marker", error))
}

pub(crate) fn put_deployment(
    transaction: &WriteTransaction,
    previous: Option<&Deployment>,
    next: &Deployment,
) -> Result<bool, StoreError> {
    let mut meta = transaction.open_table(META).map_err(storage)?;
    if deployment(&meta)?.as_ref() != previous {
        return Ok(false);
    }
    let bytes = next.encode().map_err(|error| StoreError::damaged("a deployment marker to be written", error))?;
    meta.insert(DEPLOYMENT_WORD, bytes.as_slice()).map_err(storage)?;
    Ok(true)
}
