//! Verification, for services that do not run keygate themselves.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use axum::extract::{DefaultBodyLimit, State as StateOf};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use keygate_core::actor::ManagementPermission;
use keygate_core::context::RequestContext;
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::key::KeyId;
use keygate_core::manager::CheckReport;
use keygate_core::names::{Environment, KeyName, OrganizationId, ProjectId, Tag, UserId};
use keygate_core::record::{Key, Metadata};
use keygate_core::scope::{Scope, ScopeSet};
use keygate_http::answer::Realm;
use keygate_http::gate;
use keygate_tower::{ProblemRejection, Reject};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::guarded;
use crate::admin::State;
use crate::body::Json;
use crate::caller::Caller;
use crate::cost::Cost;
use crate::problem::Problem;
use crate::schema::{
    EnvironmentShape, KeyIdShape, OrganizationIdShape, ProjectIdShape, ScopeShape, TagShape, UserIdShape,
};

/// The largest body, in bytes: several times what the longest of all fields have together.
const MAX_BODY: usize = 16 * 1024;
/// The longest endpoint, in bytes.
const MAX_ENDPOINT: usize = 256;

pub(super) fn routes() -> OpenApiRouter<State> {
    let (schemas, paths, methods) = guarded(routes!(verify), ManagementPermission::KeysVerify);
    OpenApiRouter::new().routes((schemas, paths, methods.layer(DefaultBodyLimit::max(MAX_BODY))))
}

/// May this key be used for this request?
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Verification {
    /// The key, exactly as its holder sent it. Nothing of it is written down or repeated in an answer.
    #[schema(value_type = String, format = Password, example = "mcp_dev_...")]
    key: PresentedText,
    /// Where it is being used: keys of every other environment are refused. The server's own environment if there is none.
    #[schema(value_type = Option<EnvironmentShape>)]
    environment: Option<Environment>,
    /// What it is being used on: its scopes must cover this one.
    #[schema(value_type = Option<ScopeShape>)]
    scope: Option<Scope>,
    /// What its holder wants to do: its permissions must cover this one.
    #[schema(value_type = Option<ScopeShape>)]
    permission: Option<Scope>,
    /// The address its holder calls from. Without one, a key that is bound to networks is refused.
    #[schema(value_type = Option<String>, example = "203.0.113.7")]
    client_ip: Option<IpAddr>,
    /// Which part of the service it is being used on, in printable ASCII. Checked for its form; usage will be counted by it.
    #[schema(value_type = Option<String>, example = "GET /reports", min_length = 1, max_length = 256)]
    endpoint: Option<Endpoint>,
    /// What the request costs. Checked for its form; charged once limits are enforced.
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 1_000_000)]
    cost: Option<Cost>,
    /// Whether to say what came of every check. Nothing is charged then.
    #[serde(default)]
    explain: bool,
}

/// Whatever was presented as a key. It is shown to nobody, and wiped when it is done with.
#[derive(Deserialize)]
#[serde(transparent)]
struct PresentedText(Zeroizing<String>);

impl fmt::Debug for PresentedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedText(redacted)")
    }
}

/// Which part of a service is used: 1 to [`MAX_ENDPOINT`] characters of printable ASCII. It is not kept yet, and not logged:
/// a service may say the whole address there, and a key may be in that.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Endpoint;

impl TryFrom<String> for Endpoint {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if text.is_empty() || text.len() > MAX_ENDPOINT || !text.bytes().all(printable) {
            return Err(format!("endpoint must be 1 to {MAX_ENDPOINT} characters of printable ASCII"));
        }
        Ok(Self)
    }
}

/// What was decided.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Verdict)]
enum Verdict<'a> {
    /// The key may be used.
    Valid(Box<Valid<'a>>),
    /// It may not.
    Invalid(Invalid),
}

/// The key may be used, and this is whose it is.
#[derive(Serialize, ToSchema)]
#[schema(as = ValidKey)]
struct Valid<'a> {
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
    /// What its holder may do.
    #[schema(value_type = Vec<ScopeShape>)]
    permissions: &'a ScopeSet,
    /// Where it may be used.
    #[schema(value_type = EnvironmentShape)]
    environment: Environment,
    /// When it ends; null is never.
    #[schema(required)]
    expires_at: Option<DateTime<Utc>>,
    /// Words it is found by.
    #[schema(value_type = Vec<TagShape>)]
    tags: &'a [Tag],
    /// The user's own fields.
    #[schema(value_type = Object)]
    metadata: &'a Metadata,
    /// Every check in its order, with `explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<CheckShape>>)]
    checks: Option<Vec<CheckReport>>,
}

/// The key may not be used.
#[derive(Serialize, ToSchema)]
#[schema(as = InvalidKey)]
struct Invalid {
    /// Whether the key may be used: false.
    valid: bool,
    /// The stable word for why not, as requests with the key are refused with.
    #[schema(value_type = String, example = "key_expired")]
    reason: DenialReason,
    /// Why not, in a sentence for the key's holder.
    #[schema(value_type = String, example = "The API key has expired.")]
    detail: Cow<'static, str>,
    /// Every check in its order, with `explain`. The first that failed gives the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<CheckShape>>)]
    checks: Option<Vec<CheckReport>>,
}

/// What came of one check.
#[derive(Serialize, ToSchema)]
#[schema(as = CheckReport)]
struct CheckShape {
    /// Which: `format`, `tag`, `secret`, `tenant`, `organization`, `project`, `status`, `not_before`, `expiry`,
    /// `environment`, `client_address`, `scopes`, `permissions`.
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
    fn new(key: &'a Key, checks: Option<Vec<CheckReport>>) -> Self {
        Self {
            valid: true,
            key_id: key.id,
            organization_id: &key.organization,
            user_id: &key.user,
            project_id: key.project.as_ref(),
            name: &key.name,
            scopes: &key.scopes,
            permissions: &key.permissions,
            environment: key.environment,
            expires_at: key.expires_at,
            tags: &key.tags,
            metadata: &key.metadata,
            checks,
        }
    }
}

impl Verification {
    fn context(&self) -> RequestContext {
        let mut context = RequestContext::new();
        context.client_address = self.client_ip;
        if let Some(environment) = self.environment {
            context = context.in_environment(environment);
        }
        if let Some(scope) = &self.scope {
            context = context.needing_scope(scope.clone());
        }
        if let Some(permission) = &self.permission {
            context = context.needing_permission(permission.clone());
        }
        context
    }
}

/// Verify a key
///
/// For services that do not run keygate themselves: whether the key that was sent to them may be used for the request it
/// came with. The decision is that of keygate's own layers. Every key that is decided on is answered with 200: `valid` says
/// what was decided, and `reason` why not. Where nothing can be decided, because the store does not answer, the answer is
/// 503 and never `"valid": false`.
///
/// A tenant's key verifies the keys of its own organization; every other is `invalid_key` to it, like one that does not
/// exist. An operator's verifies all.
///
/// With `explain`, every check is run to its end, and `checks` says of each what was compared and what would mend it: for
/// whoever keeps the keys, and not for who presented one. The decision is the same, and nothing is charged.
#[utoipa::path(
    post, path = "/v1/verify", tag = "checking", operation_id = "verifyKey",
    request_body = Verification,
    responses((status = 200, description = "What was decided.", body = Verdict<'_>)),
)]
async fn verify(
    StateOf(state): StateOf<State>,
    caller: Caller,
    Json(verification): Json<Verification>,
) -> Result<Response, Problem> {
    let (manager, context) = (state.manager(), verification.context());
    let (decision, checks) = if verification.explain {
        match manager.explain(&caller.actor, &verification.key.0, &context).await {
            Ok(explanation) => (explanation.decision, Some(explanation.checks)),
            Err(denial) => (Err(denial), None),
        }
    } else {
        (manager.verify(&caller.actor, &verification.key.0, &context).await, None)
    };
    state.metrics().verification(decision.as_ref().err().map(Denial::reason));
    let (endpoint, cost) = (verification.endpoint.is_some(), verification.cost.map(|cost| cost.0));
    tracing::debug!(by = %caller.admission.id, endpoint, cost, valid = decision.is_ok(), "a key was verified");
    Ok(match &decision {
        Ok(admission) => answer(&Verdict::Valid(Box::new(Valid::new(admission.key(), checks)))),
        Err(denial) if denial.reason() == DenialReason::StoreUnavailable => undecided(denial),
        Err(denial) => answer(&Verdict::Invalid(Invalid {
            valid: false,
            reason: denial.reason(),
            detail: denial.detail(),
            checks,
        })),
    })
}

fn answer(verdict: &Verdict<'_>) -> Response {
    axum::Json(verdict).into_response()
}

/// The answer that the layers give, too.
fn undecided(denial: &Denial) -> Response {
    ProblemRejection.reject(denial, gate::refuse(denial, &Realm::default()))
}
