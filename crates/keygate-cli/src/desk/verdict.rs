//! Whether a key may be used. The document of it is the management API's, with two fields more where they are known.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use keygate::context::RequestContext;
use keygate::denial::{Denial, DenialReason};
use keygate::key::KeyId;
use keygate::manager::{CheckReport, Explanation};
use keygate::names::{Environment, KeyName, OrganizationId, ProjectId, Tag, UserId};
use keygate::record::{Key, Metadata};
use keygate::scope::{Scope, ScopeSet};
use serde::{Deserialize, Serialize, Serializer};

use super::NotDone;

/// What a key is to be good for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Question {
    /// What it is to be used on.
    pub(crate) scope: Option<Scope>,
    /// What its holder wants to do.
    pub(crate) permission: Option<Scope>,
    /// The address it is used from.
    pub(crate) client_ip: Option<IpAddr>,
    /// Whether every check is to be told of.
    pub(crate) explain: bool,
}

impl Question {
    /// The same for the core, in the environment of its manager.
    pub(super) fn context(&self) -> RequestContext {
        let mut context = RequestContext::new();
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
    pub(crate) permissions: ScopeSet,
    pub(crate) environment: Environment,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) metadata: Metadata,
}

/// Why a key may not be used. The words are texts, as a newer server may have more of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) detail: String,
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
        decision: Result<&Key, &Denial>,
        id: Option<KeyId>,
        checks: Option<&[CheckReport]>,
    ) -> Result<Self, NotDone> {
        let checks = checks.map(check_lines).transpose()?;
        let decision = match decision {
            Ok(key) => Ok(Box::new(ValidKey::of(key))),
            Err(denial) if denial.reason() == DenialReason::StoreUnavailable => return Err(denial.clone().into()),
            Err(denial) => {
                let (reason, detail) = (denial.reason().to_string(), denial.detail().into_owned());
                Err(Refusal { reason, detail, key_id: None }.of_key(id))
            }
        };
        Ok(Self { decision, checks })
    }

    /// Of a text that has not the form of a key: nothing need be asked.
    pub(crate) fn malformed(explain: bool) -> Result<Self, NotDone> {
        let explanation = Explanation::malformed();
        Self::of(explanation.decision.as_deref(), None, explain.then_some(&explanation.checks[..]))
    }
}

/// Through JSON, whose words are the ones that are shown.
fn check_lines(checks: &[CheckReport]) -> Result<Vec<CheckLine>, NotDone> {
    let lines = serde_json::to_value(checks).and_then(serde_json::from_value);
    lines.map_err(|error| NotDone::new(format!("the checks cannot be written: {error}")))
}

impl ValidKey {
    fn of(key: &Key) -> Self {
        Self {
            key_id: key.id,
            organization_id: key.organization.clone(),
            user_id: key.user.clone(),
            project_id: key.project.clone(),
            name: key.name.clone(),
            scopes: key.scopes.clone(),
            permissions: key.permissions.clone(),
            environment: key.environment,
            expires_at: key.expires_at,
            tags: key.tags.clone(),
            metadata: key.metadata.clone(),
        }
    }
}

impl Refusal {
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
