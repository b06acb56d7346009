//! How it is said what is wanted: the bodies of calls. What is left out has the server's default.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use keygate::key::KeyId;
use keygate::limits::Limits;
use keygate::manager::{
    BulkKeys, Cursor, Expiry, KeyFilter, KeyUpdate, NewKey, NewRole, OrganizationUpdate, ProjectUpdate, UserUpdate,
};
use keygate::names::{Description, Environment, KeyName, OrganizationId, ProjectId, Reason, RoleName, Tag, UserId};
use keygate::network::CidrSet;
use keygate::record::{
    KeyDefaults, KeyPolicy, KeyState, Metadata, ParentStatus, ProjectRecord, RotationSchedule, SecurityTier, Sensitive,
    UserStatus,
};
use keygate::scope::{Scope, ScopeSet};
use serde::Serialize;

use crate::args::whole_days;
use crate::desk::{Operation, Question};

/// A key that is to be made.
#[derive(Debug, Serialize)]
pub(super) struct NewKeyBody<'a> {
    user_id: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_id: Option<&'a ProjectId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a KeyName>,
    description: &'a Description,
    permissions: &'a ScopeSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<&'a ScopeSet>,
    grantable: &'a ScopeSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<&'a Limits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_ips: Option<&'a CidrSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<Environment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_days: Option<i64>,
    /// Null is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Option<DateTime<Utc>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<DateTime<Utc>>,
    tags: &'a [Tag],
    metadata: &'a Metadata,
    /// Left out where there are none, as an older server does not know of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    sensitive: Option<&'a Sensitive>,
    #[serde(skip_serializing_if = "Option::is_none")]
    security_tier: Option<SecurityTier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation: Option<&'a RotationSchedule>,
    /// Left out where it is not, as an older server does not know of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hand_over: Option<bool>,
}

impl<'a> NewKeyBody<'a> {
    /// Of this key, in this environment if it has none of its own, asked for `now`.
    pub(super) fn of(new: &'a NewKey, environment: Option<Environment>, now: DateTime<Utc>) -> Self {
        let (expires_in_days, expires_at) = end(new.expiry, now);
        Self {
            user_id: &new.user,
            project_id: new.project.as_ref(),
            name: new.name.as_ref(),
            description: &new.description,
            permissions: &new.permissions,
            scopes: new.scopes.as_ref(),
            grantable: &new.grantable,
            limits: new.limits.as_ref(),
            allowed_ips: new.allowed_ips.as_ref(),
            environment: new.environment.or(environment),
            expires_in_days,
            expires_at,
            not_before: new.not_before,
            tags: &new.tags,
            metadata: &new.metadata,
            sensitive: Some(&new.sensitive).filter(|sensitive| !sensitive.is_empty()),
            security_tier: new.security_tier,
            rotation: new.rotation_schedule.as_ref(),
            hand_over: new.hand_over.then_some(true),
        }
    }
}

/// When a key is to end: in how many days, or at which time, of which null is never.
fn end(expiry: Expiry, now: DateTime<Utc>) -> (Option<i64>, Option<Option<DateTime<Utc>>>) {
    match expiry {
        Expiry::Default => (None, None),
        Expiry::In(life) if TimeDelta::days(life.num_days()) == life => (Some(life.num_days()), None),
        // The API counts in days, so the rest is reckoned from this machine's clock.
        Expiry::In(life) => (None, Some(Some(now.checked_add_signed(life).unwrap_or(DateTime::<Utc>::MAX_UTC)))),
        Expiry::At(at) => (None, Some(Some(at))),
        Expiry::Never => (None, Some(None)),
    }
}

/// What is to change of a key. What is left out stays as it is.
#[derive(Debug, Serialize)]
pub(super) struct KeyChange<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a KeyName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a Description>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<&'a ScopeSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<&'a ScopeSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<&'a Limits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_ips: Option<&'a CidrSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_days: Option<i64>,
    /// Null is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Option<DateTime<Utc>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a [Tag]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sensitive: Option<&'a Sensitive>,
    /// Null takes the schedule away.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation: Option<Option<RotationSchedule>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hand_over: Option<bool>,
}

impl<'a> KeyChange<'a> {
    /// Of this update, asked for `now`.
    pub(super) fn of(update: &'a KeyUpdate, now: DateTime<Utc>) -> Self {
        let (expires_in_days, expires_at) = update.expiry.map_or((None, None), |expiry| end(expiry, now));
        Self {
            name: update.name.as_ref(),
            description: update.description.as_ref(),
            permissions: update.permissions.as_ref(),
            scopes: update.scopes.as_ref(),
            limits: update.limits.as_ref(),
            allowed_ips: update.allowed_ips.as_ref(),
            expires_in_days,
            expires_at,
            tags: update.tags.as_deref(),
            metadata: update.metadata.as_ref(),
            sensitive: update.sensitive.as_ref(),
            rotation: update.rotation_schedule,
            hand_over: update.hand_over,
        }
    }
}

/// Why a key is stopped.
#[derive(Debug, Serialize)]
pub(super) struct Why {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Reason>,
}

/// For how long a key is good beside its successor.
#[derive(Debug, Serialize)]
pub(super) struct Overlap {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) overlap_days: Option<u32>,
}

/// What is to be done to many keys.
#[derive(Debug, Serialize)]
pub(super) struct Bulk<'a> {
    operation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_ids: Option<&'a [KeyId]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<Which<'a>>,
    config: BulkConfig<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
}

impl<'a> Bulk<'a> {
    /// This, to these keys.
    pub(super) fn of(operation: &'a Operation, keys: &'a BulkKeys, dry_run: bool) -> Self {
        let (key_ids, filter) = match keys {
            BulkKeys::Named(keys) => (Some(keys.as_slice()), None),
            BulkKeys::Matching { filter, limit, cursor } => (None, Some(Which::of(filter, *limit, *cursor))),
        };
        let mut config = BulkConfig::default();
        let operation = match operation {
            Operation::Deactivate { reason } => {
                config.reason = reason.as_ref();
                "deactivate"
            }
            Operation::Activate { reason } => {
                config.reason = reason.as_ref();
                "activate"
            }
            Operation::Revoke { reason } => {
                config.reason = reason.as_ref();
                "revoke"
            }
            Operation::Rotate { overlap_days } => {
                config.overlap_days = *overlap_days;
                "rotate"
            }
            Operation::Permissions(permissions) => {
                config.permissions = Some(permissions);
                "update_permissions"
            }
            Operation::Scopes(scopes) => {
                config.scopes = Some(scopes);
                "update_scopes"
            }
            Operation::Limits(limits) => {
                config.limits = Some(limits);
                "update_limits"
            }
        };
        Self { operation, key_ids, filter, config, dry_run }
    }
}

/// A page of the keys that a filter admits.
#[derive(Debug, Serialize)]
struct Which<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<KeyState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_id: Option<&'a ProjectId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<Environment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiring_within_days: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unused_for_days: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    made_before: Option<DateTime<Utc>>,
    limit: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<Cursor>,
}

impl<'a> Which<'a> {
    fn of(filter: &'a KeyFilter, limit: usize, cursor: Option<Cursor>) -> Self {
        Self {
            status: filter.state,
            user_id: filter.user.as_ref(),
            project_id: filter.project.as_ref(),
            tag: filter.tag.as_ref(),
            environment: filter.environment,
            expiring_within_days: filter.expiring_within.map(whole_days),
            unused_for_days: filter.unused_for.map(whole_days),
            made_before: filter.made_before,
            limit,
            cursor,
        }
    }
}

/// How it is done to each.
#[derive(Debug, Default, Serialize)]
struct BulkConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overlap_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<&'a ScopeSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<&'a ScopeSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<&'a Limits>,
}

/// A key that is to be checked.
#[derive(Serialize)]
pub(super) struct Verification<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<Environment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a Scope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permission: Option<&'a Scope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<IpAddr>,
    cost: u32,
    explain: bool,
}

impl<'a> Verification<'a> {
    /// Of this text, in this environment.
    pub(super) fn of(key: &'a str, question: &'a Question, environment: Option<Environment>) -> Self {
        let Question { scope, permission, client_ip, cost, explain } = question;
        let (scope, permission) = (scope.as_ref(), permission.as_ref());
        Self { key, environment, scope, permission, client_ip: *client_ip, cost: *cost, explain: *explain }
    }
}

/// An organization that is to be set up.
#[derive(Debug, Serialize)]
pub(super) struct NewOrganization<'a> {
    organization_id: &'a OrganizationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_keys: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_keys_per_user: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_limits: Option<Limits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_limits: Option<Limits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a KeyPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    defaults: Option<&'a KeyDefaults>,
}

impl<'a> NewOrganization<'a> {
    /// With these quotas, limits and rules.
    pub(super) fn of(organization_id: &'a OrganizationId, settings: &'a OrganizationUpdate) -> Self {
        Self {
            organization_id,
            max_keys: settings.max_keys.flatten(),
            max_keys_per_user: settings.max_keys_per_user.flatten(),
            limits: settings.limits.flatten(),
            user_limits: settings.user_limits.flatten(),
            key_limits: settings.key_limits.flatten(),
            policy: settings.policy.as_ref().and_then(Option::as_ref),
            defaults: settings.defaults.as_ref().and_then(Option::as_ref),
        }
    }
}

/// What is to change of an organization. Null goes back to the default.
#[derive(Debug, Serialize)]
pub(super) struct OrganizationChange<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<ParentStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_keys: Option<Option<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_keys_per_user: Option<Option<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Option<Limits>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_limits: Option<Option<Limits>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_limits: Option<Option<Limits>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a Option<KeyPolicy>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    defaults: Option<&'a Option<KeyDefaults>>,
}

impl<'a> OrganizationChange<'a> {
    /// Of this update.
    pub(super) fn of(update: &'a OrganizationUpdate) -> Self {
        let OrganizationUpdate { status, max_keys, max_keys_per_user, limits, user_limits, key_limits, .. } = *update;
        let (policy, defaults) = (update.policy.as_ref(), update.defaults.as_ref());
        Self { status, max_keys, max_keys_per_user, limits, user_limits, key_limits, policy, defaults }
    }
}

/// All that is to be configured for a project.
#[derive(Debug, Serialize)]
pub(super) struct Project<'a> {
    status: ParentStatus,
    limits: Option<Limits>,
    /// What is left out stays as it is; an older server does not know of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_keys: Option<Option<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_limits: Option<Option<Limits>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a Option<KeyPolicy>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    defaults: Option<&'a Option<KeyDefaults>>,
}

impl<'a> Project<'a> {
    /// This one, with what is to change of it.
    pub(super) fn of(found: &ProjectRecord, update: &'a ProjectUpdate) -> Self {
        let (status, limits) = (update.status.unwrap_or(found.status), update.limits.unwrap_or(found.limits));
        let (policy, defaults) = (update.policy.as_ref(), update.defaults.as_ref());
        Self { status, limits, max_keys: update.max_keys, key_limits: update.key_limits, policy, defaults }
    }
}

/// What is to be configured for a user: what is not said stays as it is.
#[derive(Debug, Serialize)]
pub(super) struct User<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<UserStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<Option<&'a [RoleName]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_keys: Option<Option<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Option<Limits>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a Option<KeyPolicy>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    defaults: Option<&'a Option<KeyDefaults>>,
}

impl<'a> User<'a> {
    /// This.
    pub(super) fn of(update: &'a UserUpdate) -> Self {
        Self {
            status: update.status,
            roles: update.roles.as_ref().map(Option::as_deref),
            max_keys: update.max_keys,
            limits: update.limits,
            policy: update.policy.as_ref(),
            defaults: update.defaults.as_ref(),
        }
    }
}

/// What a role is to be.
#[derive(Debug, Serialize)]
pub(super) struct Role<'a> {
    permissions: &'a ScopeSet,
    description: &'a Description,
}

impl<'a> Role<'a> {
    /// This.
    pub(super) fn of(new: &'a NewRole) -> Self {
        Self { permissions: &new.permissions, description: &new.description }
    }
}
