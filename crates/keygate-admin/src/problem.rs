//! What is answered to a call that is not done (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use keygate_core::actor::ManagementPermission;
use keygate_core::manager::ManageError;
use keygate_core::names::NameError;
use keygate_core::ring::SealError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::middleware::refused::Needed;

/// The reason of a call that the caller may not make.
const FORBIDDEN: &str = "permission_denied";
/// What most calls need that no permission covers.
const OPERATOR: &str = "operator";

/// A problem in the form of RFC 9457, with the stable `reason` beside it. Programs branch on `reason`; `title` and `detail`
/// are for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// A URI that names the kind of problem. It is a name and nothing to be fetched.
    #[serde(rename = "type")]
    #[schema(example = "urn:keygate:problem:not_found")]
    kind: String,
    /// The kind of problem, in a few words.
    #[schema(example = "Not found")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 404)]
    status: u16,
    /// What is wrong, in a sentence.
    #[schema(example = "there is no such key")]
    detail: String,
    /// The stable word for it.
    #[schema(example = "not_found")]
    reason: &'static str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    violated: Option<Box<Violated>>,
    /// What the caller would have needed, for the audit.
    #[serde(skip)]
    #[schema(ignore)]
    needs: &'static str,
}

/// Which rule a key would not be within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Violated {
    policy: &'static str,
    level: &'static str,
}

impl Problem {
    /// A problem of this status and reason.
    pub(crate) fn new(
        status: StatusCode,
        reason: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind: format!("urn:keygate:problem:{reason}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            reason,
            violated: None,
            needs: OPERATOR,
        }
    }

    /// A field, a parameter or a body that cannot be.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", "Invalid field", detail)
    }

    /// The caller may not do this.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, FORBIDDEN, "Permission denied", detail)
    }

    /// The caller does not have this permission.
    pub(crate) fn lacks(permission: ManagementPermission, detail: impl Into<String>) -> Self {
        Self { needs: permission.as_str(), ..Self::forbidden(detail) }
    }

    /// What was named in `If-Match` is not what is there.
    pub(crate) fn precondition_failed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "revision_conflict", "Changed meanwhile", detail)
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<ManageError> for Problem {
    fn from(error: ManageError) -> Self {
        let (status, title) = match error {
            ManageError::NotFound
            | ManageError::ParentNotFound
            | ManageError::NoSuchWebhook
            | ManageError::NoSuchRole => (StatusCode::NOT_FOUND, "Not found"),
            ManageError::Invalid(_) | ManageError::UsageQuery(_) => (StatusCode::UNPROCESSABLE_ENTITY, "Invalid field"),
            ManageError::NotGrantable { .. } => (StatusCode::FORBIDDEN, "Not yours to grant"),
            ManageError::PolicyViolated(_) => (StatusCode::UNPROCESSABLE_ENTITY, "Not within the policy"),
            ManageError::Refused(_) => (StatusCode::CONFLICT, "Refused"),
            ManageError::AlreadyExists | ManageError::ImportedElsewhere | ManageError::LookupPartTaken => {
                (StatusCode::CONFLICT, "Exists already")
            }
            ManageError::Offboarded { .. } => (StatusCode::CONFLICT, "The user has left"),
            ManageError::StillOffboarding => (StatusCode::CONFLICT, "Still offboarding"),
            ManageError::Reserved => (StatusCode::CONFLICT, "Reserved"),
            ManageError::Conflict { .. } => (StatusCode::CONFLICT, "Changed meanwhile"),
            ManageError::Revoked => (StatusCode::CONFLICT, "The key is revoked"),
            ManageError::NotActive { .. } => (StatusCode::CONFLICT, "The key is not active"),
            ManageError::Superseded { .. } => (StatusCode::CONFLICT, "Rotated already"),
            ManageError::StillOverlapping => (StatusCode::CONFLICT, "Still overlapping"),
            ManageError::NotSuperseded => (StatusCode::CONFLICT, "Not rotated"),
            ManageError::NotHandedOver => (StatusCode::CONFLICT, "Not handed over"),
            ManageError::SuccessorInUse => (StatusCode::CONFLICT, "The successor is in use"),
            ManageError::SensitiveDamaged(_) => (StatusCode::INTERNAL_SERVER_ERROR, "A sensitive field is damaged"),
            ManageError::InUse => (StatusCode::CONFLICT, "The key is in use"),
            ManageError::TooManyNotices => (StatusCode::CONFLICT, "Too many notices wait"),
            ManageError::SendsNoWebhooks => (StatusCode::CONFLICT, "Sends no webhooks"),
            ManageError::IdempotencyMismatch => (StatusCode::UNPROCESSABLE_ENTITY, "Idempotency key reused"),
            ManageError::NoLongerMatches => (StatusCode::CONFLICT, "No longer matches"),
            ManageError::Unreadable => (StatusCode::INTERNAL_SERVER_ERROR, "A record cannot be read"),
            ManageError::NotBegun => (StatusCode::SERVICE_UNAVAILABLE, "Not begun"),
            ManageError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "Busy"),
            ManageError::Setup(_) | ManageError::Store(_) | ManageError::Sealed(SealError::UnknownEntry(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "Store unavailable")
            }
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "Internal error"),
        };
        if error.is_trouble() {
            tracing::error!(%error, "a management call failed");
        }
        let detail = match &error {
            ManageError::Invalid(error) => named_as_sent(error),
            error => error.detail(),
        };
        let mut problem = Self::new(status, error.reason(), title, detail);
        if let ManageError::PolicyViolated(violation) = &error {
            let (policy, level) = (violation.policy.as_str(), violation.level.as_str());
            problem.violated = Some(Box::new(Violated { policy, level }));
        }
        problem
    }
}

/// What is wrong with a field, under the name it is sent by.
fn named_as_sent(error: &NameError) -> String {
    match error.field().split_once(' ') {
        Some(("limit", limit)) => format!("limits.{limit}: {error}"),
        Some((object @ ("rotation" | "policy" | "defaults"), part)) => format!("{object}.{part}: {error}"),
        _ if error.field() == "expiry" => format!("expires_at: {error}"),
        _ if error.field() == "overlap" => format!("overlap_days: {error}"),
        _ => error.to_string(),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let needed = (self.reason == FORBIDDEN).then_some(Needed(self.needs));
        let mut response = (status, axum::Json(self)).into_response();
        if let Some(needed) = needed {
            response.extensions_mut().insert(needed);
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
