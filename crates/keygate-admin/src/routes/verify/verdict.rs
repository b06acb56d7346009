//! What is told of a key that was verified.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use keygate_core::context::Admission;
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::key::KeyId;
use keygate_core::manager::CheckReport;
use keygate_core::names::{Environment, KeyName, OrganizationId, ProjectId, Tag, UserId};
use keygate_core::record::{Metadata, Superseded};
use keygate_core::scope::{Scope, ScopeSet};
use keygate_http::answer::retry_after_seconds;
use serde::Serialize;
use utoipa::ToSchema;

use crate::left::Left;
use crate::schema::{
    EnvironmentShape, KeyIdShape, OrganizationIdShape, ProjectIdShape, ScopeShape, SupersededShape, TagShape,
    UserIdShape,
};

/// What was decided.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Verdict)]
pub(super) enum Verdict<'a> {
    /// The key may be used.
    Valid(Box<Valid<'a>>),
    /// It may not.
    Invalid(Invalid),
}

/// The key may be used, and this is whose it is.
#[derive(Serialize, ToSchema)]
#[schema(as = ValidKey)]
pub(super) struct Valid<'a> {
    /// Whether the key may be used: true.
    valid: bool,
    /// Its id.
    #[schema(value_type = KeyIdShape)]
    key_id: KeyId,
    /// The organization it belongs to.
    #[schema(value_type = OrganizationIdShape)]
    organization_id: &'a OrganizationId,
    /// Its owner.
    #[schema(value_type = UserIdShape)]
    user_id: &'a UserId,
    /// The project it is for, if for one.
    #[schema(value_type = Option<ProjectIdShape>, required)]
    project_id: Option<&'a ProjectId>,
    /// What people call it.
    #[schema(value_type = String)]
    name: &'a KeyName,
    /// What it may be used on.
    #[schema(value_type = Vec<ScopeShape>)]
    scopes: &'a ScopeSet,
    /// What its holder may do: what it was given, as far as the roles of its user cover it.
    #[schema(value_type = Vec<ScopeShape>)]
    permissions: Vec<Scope>,
    /// Where it may be used.
    #[schema(value_type = EnvironmentShape)]
    environment: Environment,
    /// When it ends; null is never.
    #[schema(required)]
    expires_at: Option<DateTime<Utc>>,
    /// The key that was made to replace it, as a layer tells the holder with `Deprecation` and `Link`; null is none. It is
    /// good until `expires_at` all the same.
    #[schema(value_type = Option<SupersededShape>, required)]
    superseded: Option<Superseded>,
    /// Words it is found by.
    #[schema(value_type = Vec<TagShape>)]
    tags: &'a [Tag],
    /// The user's own fields.
    #[schema(value_type = Object)]
    metadata: &'a Metadata,
    /// What is left of each limit of the key, its user, its project and its organization, after what was charged; empty
    /// where nothing is limited.
    limits_left: Vec<Left>,
    /// Every check in its order, with `explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<CheckShape>>)]
    checks: Option<Vec<CheckReport>>,
}

/// The key may not be used.
#[derive(Serialize, ToSchema)]
#[schema(as = InvalidKey)]
pub(super) struct Invalid {
    /// Whether the key may be used: false.
    valid: bool,
    /// The stable word for why not, as requests with the key are refused with.
    #[schema(value_type = String, example = "key_expired")]
    reason: DenialReason,
    /// Why not, in a sentence for the key's holder.
    #[schema(value_type = String, example = "The API key has expired.")]
    detail: Cow<'static, str>,
    /// With `rate_limit_exceeded`: the names of the limits that have no room, as `RateLimit-Policy` has them.
    #[serde(rename = "violated-policies", skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["minute", "organization-day"]))]
    violated_policies: Option<Vec<String>>,
    /// With `rate_limit_exceeded`: in how many seconds there may be room. It is not there for a request that costs more than
    /// a limit, and so is never let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    retry_after: Option<u64>,
    /// Every check in its order, with `explain`. The first that failed gives the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<CheckShape>>)]
    checks: Option<Vec<CheckReport>>,
}

/// What came of one check.
#[derive(Serialize, ToSchema)]
#[schema(as = CheckReport)]
pub(super) struct CheckShape {
    /// Which: `format`, `tag`, `secret`, `tenant`, `organization`, `project`, `user`, `status`, `not_before`,
    /// `expiry`, `environment`, `client_address`, `scopes`, `permissions`, `limits`.
    #[schema(example = "expiry")]
    check: String,
    /// `passed`, `failed`, or `not_reached` where the text is not known to be a key that the caller may know of.
    #[schema(example = "failed")]
    verdict: String,
    /// The reason a request is denied for, where it failed.
    #[schema(example = "key_expired")]
    reason: Option<String>,
    /// What was compared with what.
    detail: Option<String>,
    /// What would mend it.
    remedy: Option<String>,
}

impl<'a> Valid<'a> {
    pub(super) fn new(admission: &'a Admission, limits_left: Vec<Left>, checks: Option<Vec<CheckReport>>) -> Self {
        let key = admission.key();
        Self {
            valid: true,
            key_id: key.id,
            organization_id: &key.organization,
            user_id: &key.user,
            project_id: key.project.as_ref(),
            name: &key.name,
            scopes: &key.scopes,
            permissions: admission.effective_permissions(),
            environment: key.environment,
            expires_at: key.expires_at,
            superseded: key.succession.superseded,
            tags: &key.tags,
            metadata: &key.metadata,
            limits_left,
            checks,
        }
    }
}

impl Invalid {
    pub(super) fn new(denial: &Denial, checks: Option<Vec<CheckReport>>) -> Self {
        let reason = denial.reason();
        let is_limit = reason == DenialReason::RateLimitExceeded;
        let violated = || denial.exceeded().map_or(&[][..], |exceeded| &exceeded.violated);
        let names = || violated().iter().map(|standing| standing.policy.to_string()).collect();
        Self {
            valid: false,
            reason,
            detail: denial.detail(),
            violated_policies: is_limit.then(names),
            retry_after: retry_after_seconds(denial).filter(|_| is_limit),
            checks,
        }
    }
}
