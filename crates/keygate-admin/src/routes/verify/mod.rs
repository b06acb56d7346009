//! Verification, for services that do not run keygate themselves.

mod verdict;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State as StateOf};
use axum::response::{IntoResponse, Response};
use keygate_core::actor::ManagementPermission;
use keygate_core::context::{Admission, RequestContext};
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::key::PresentedKey;
use keygate_core::manager::{ApiKeyManager, ManageError};
use keygate_core::names::Environment;
use keygate_core::scope::Scope;
use keygate_http::answer::Realm;
use keygate_http::gate;
use keygate_tower::{ProblemRejection, Reject};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use self::verdict::{Invalid, Valid, Verdict};
use super::guarded;
use crate::admin::State;
use crate::body::Json;
use crate::caller::Caller;
use crate::cost::Cost;
use crate::left::{Left, left_of};
use crate::problem::Problem;
use crate::schema::{EnvironmentShape, ScopeShape};

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
    /// Which part of the service it is being used on, in printable ASCII: a route such as
    /// `GET /reports/{id}`, and no address of one request, of which there are too many. Its usage is counted by it, without
    /// what follows a `?`; more than 128 characters are counted as `other`.
    #[schema(value_type = Option<String>, example = "GET /reports", min_length = 1, max_length = 256)]
    endpoint: Option<Endpoint>,
    /// How much of the key's limits the request takes. 0 takes nothing, and no limit refuses it.
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 1_000_000, default = 1)]
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

/// Which part of a service is used: 1 to [`MAX_ENDPOINT`] characters of printable ASCII. It is not logged, and counted
/// without its query: a service may say the whole address there, and a key may be in that. `None` is one with a key all the
/// same.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Endpoint(Option<Arc<str>>);

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoint(..)")
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if text.is_empty() || text.len() > MAX_ENDPOINT || !text.bytes().all(printable) {
            return Err(format!("endpoint must be 1 to {MAX_ENDPOINT} characters of printable ASCII"));
        }
        let path = text.split(['?', '#']).next().unwrap_or_default();
        let is_key = |word: &str| PresentedKey::parse(word.as_bytes()).is_ok();
        let holds_key = path.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(is_key);
        Ok(Self((!path.is_empty() && !holds_key).then(|| path.into())))
    }
}

impl Verification {
    fn cost(&self) -> Cost {
        self.cost.unwrap_or(Cost(1))
    }

    fn context(&self) -> RequestContext {
        let mut context = RequestContext::new().costing(self.cost().0.into());
        context.client_address = self.client_ip;
        context.endpoint = self.endpoint.as_ref().and_then(|Endpoint(endpoint)| endpoint.clone());
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
/// A valid key is charged `cost`, as it is for a request that a layer lets in, and the answer says what its limits have left
/// then. Where one of them has no room the key is refused with `rate_limit_exceeded`, and nothing is charged. With a cost of
/// 0 nothing is taken, and the answer says what is left.
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
    let (endpoint, cost) = (verification.endpoint.is_some(), verification.cost().0);
    tracing::debug!(by = %caller.admission.id, endpoint, cost, valid = decision.is_ok(), "a key was verified");
    Ok(match &decision {
        Ok(admission) => {
            let limits_left = left(manager, admission).await?;
            answer(&Verdict::Valid(Box::new(Valid::new(admission, limits_left, checks))))
        }
        Err(denial) if denial.reason() == DenialReason::StoreUnavailable => undecided(denial),
        Err(denial) => answer(&Verdict::Invalid(Invalid::new(denial, checks))),
    })
}

/// What is left of the key's limits. Where something was charged it is known here; where nothing was, the store is asked.
async fn left(manager: &ApiKeyManager, admission: &Admission) -> Result<Vec<Left>, ManageError> {
    if admission.cost() > 0 {
        return Ok(left_of(&admission.limits()));
    }
    Ok(left_of(&manager.limits_left_of(admission.key()).await?))
}

fn answer(verdict: &Verdict<'_>) -> Response {
    axum::Json(verdict).into_response()
}

/// The answer that the layers give, too.
fn undecided(denial: &Denial) -> Response {
    ProblemRejection.reject(denial, gate::refuse(denial, &Realm::default()))
}
