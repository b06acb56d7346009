//! Whether a key may be used. The document of it is the management API's, with two fields more where they are known.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use keygate::context::{Admission, RequestContext};
use keygate::denial::{Denial, DenialReason};
use keygate::http::answer::retry_after_seconds;
use keygate::key::KeyId;
use keygate::manager::{CheckReport, Explanation};
use keygate::names::{Environment, KeyName, OrganizationId, ProjectId, Tag, UserId};
use keygate::record::{Metadata, Superseded};
use keygate::scope::{Scope, ScopeSet};
use serde::{Deserialize, Serialize, Serializer};

use super::{LimitLeft, NotDone};

/// What a key is to be good for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Question {
    /// What it is to be used on.
    pub(crate) scope: Option<Scope>,
    /// What its holder wants to do.
    pub(crate) permission: Option<Scope>,
    /// The address it is used from.
    pub(crate) client_ip: Option<IpAddr>,
    /// How much of its limits is taken.
    pub(crate) cost: u32,
    /// Whether every check is to be told of.
    pub(crate) explain: bool,
}

impl Question {
    /// The same for the core, in the environment of its manager.
    pub(super) fn context(&self) -> RequestContext {
        let mut context = RequestContext::new().costing(self.cost.into());
        context.client_address = self.client_ip;
        context.scopes = self.scope.iter().cloned().collect();
        context.permissions = self.permission.iter().cloned().collect();
        context
    }
}

/// Whether a key may be used.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Whose it is, or why not.
    pub(crate) decision: Result<Box<ValidKey>, Refusal>,
    /// What came of each check, if that was asked.
    pub(crate) checks: Option<Vec<CheckLine>>,
}

/// What is told of a valid key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ValidKey {
    pub(crate) key_id: KeyId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) user_id: UserId,
    pub(crate) project_id: Option<ProjectId>,
    pub(crate) name: KeyName,
    pub(crate) scopes: ScopeSet,
    pub(crate) permissions: Vec<Scope>,
    pub(crate) environment: Environment,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// The key that was made to replace it; an older server does not say.
    #[serde(default)]
    pub(crate) superseded: Option<Superseded>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) metadata: Metadata,
    /// What is left of its limits; an older server does not say.
    #[serde(default)]
    pub(crate) limits_left: Vec<LimitLeft>,
}

/// Why a key may not be used. The words are texts, as a newer server may have more of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) detail: String,
    /// The names of the limits that have no room, if that is why.
    #[serde(rename = "violated-policies", default, skip_serializing_if = "Option::is_none")]
    pub(crate) violated_policies: Option<Vec<String>>,
    /// In how many seconds there may be room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after: Option<u64>,
    /// The key, if it is a genuine one.
    #[serde(default)]
    pub(crate) key_id: Option<KeyId>,
}

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckLine {
    pub(crate) check: String,
    pub(crate) verdict: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

impl Verdict {
    /// Of what the core decided over the text of this id.
    ///
    /// # Errors
    /// Where nothing was decided, because the store cannot be asked: that says nothing of the key.
    pub(super) fn of(
        decision: Result<ValidKey, Denial>,
        id: Option<KeyId>,
        checks: Option<&[CheckReport]>,
    ) -> Result<Self, NotDone> {
        let checks = checks.map(check_lines).transpose()?;
        let decision = match decision {
            Ok(key) => Ok(Box::new(key)),
            Err(denial) if denial.reason() == DenialReason::StoreUnavailable => return Err(denial.into()),
            Err(denial) => Err(Refusal::of(&denial).of_key(id)),
        };
        Ok(Self { decision, checks })
    }

    /// Of a text that has not the form of a key: nothing need be asked.
    pub(crate) fn malformed(explain: bool) -> Result<Self, NotDone> {
        let Explanation { decision, checks, .. } = Explanation::malformed();
        let decision = decision.map(|admission| ValidKey::of(&admission, Vec::new()));
        Self::of(decision, None, explain.then_some(&checks[..]))
    }
}

/// Through JSON, whose words are the ones that are shown.
fn check_lines(checks: &[CheckReport]) -> Result<Vec<CheckLine>, NotDone> {
    let lines = serde_json::to_value(checks).and_then(serde_json::from_value);
    lines.map_err(|error| NotDone::new(format!("the checks cannot be written: {error}")))
}

impl ValidKey {
    /// Of this key, whose limits have this left.
    pub(super) fn of(admission: &Admission, limits_left: Vec<LimitLeft>) -> Self {
        let key = admission.key();
        Self {
            key_id: key.id,
            organization_id: key.organization.clone(),
            user_id: key.user.clone(),
            project_id: key.project.clone(),
            name: key.name.clone(),
            scopes: key.scopes.clone(),
            permissions: admission.effective_permissions(),
            environment: key.environment,
            expires_at: key.expires_at,
            superseded: key.succession.superseded,
            tags: key.tags.clone(),
            metadata: key.metadata.clone(),
            limits_left,
        }
    }
}

impl Refusal {
    fn of(denial: &Denial) -> Self {
        let reason = denial.reason();
        let is_limit = reason == DenialReason::RateLimitExceeded;
        let violated = || denial.exceeded().map_or(&[][..], |exceeded| &exceeded.violated);
        let names = || violated().iter().map(|standing| standing.policy.to_string()).collect();
        Self {
            reason: reason.to_string(),
            detail: denial.detail().into_owned(),
            violated_policies: is_limit.then(names),
            retry_after: retry_after_seconds(denial).filter(|_| is_limit),
            key_id: None,
        }
    }

    /// With the id that the text claims, unless it is refused as something that is no key of this deployment.
    pub(super) fn of_key(self, id: Option<KeyId>) -> Self {
        let unknown = [DenialReason::MalformedKey, DenialReason::InvalidKey];
        let is_genuine = !unknown.iter().any(|reason| self.reason == reason.as_str());
        Self { key_id: id.filter(|_| is_genuine), ..self }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Document<'a, T> {
            valid: bool,
            #[serde(flatten)]
            decision: T,
            #[serde(skip_serializing_if = "Option::is_none")]
            checks: Option<&'a [CheckLine]>,
        }

        #[derive(Serialize)]
        struct Valid<'a> {
            reason: (),
            #[serde(flatten)]
            key: &'a ValidKey,
        }

        let checks = self.checks.as_deref();
        match &self.decision {
            Ok(key) => Document { valid: true, decision: Valid { reason: (), key }, checks }.serialize(serializer),
            Err(refusal) => Document { valid: false, decision: refusal, checks }.serialize(serializer),
        }
    }
}
