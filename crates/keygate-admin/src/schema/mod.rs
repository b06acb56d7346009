//! Shapes that the document names: those of the core's own types, whose JSON is written there. They are never made.

#![allow(dead_code)]

mod anomaly;
mod answers;
mod audit;
mod key;
mod limits;
mod notice;
mod organization;
mod owner;
mod policy;
mod rotation;
mod usage;
mod values;

pub(crate) use anomaly::FindingPageShape;
pub(crate) use answers::{
    BulkOutcomeShape, CreatedKeyShape, KeyPageShape, LimitProblemShape, OwnKeyShape, PolicyProblemShape,
    RevocationShape, ShownKeyShape,
};
pub(crate) use audit::{AuditEntryShape, AuditOrderShape, AuditPageShape, AuditVerificationShape};
pub(crate) use key::{
    KeyShape, KeyStateShape, NewRotationShape, SecurityTierShape, SensitiveFieldsShape, SupersededShape,
};
pub(crate) use limits::{BoundShape, FallbackShape, LevelShape, LimitsShape};
pub(crate) use notice::{CreatedWebhookShape, GivenUpPageShape, NoticeKindShape, WebhookListShape};
pub(crate) use organization::ParentStatusShape;
pub(crate) use owner::{ChangedUserShape, RoleListShape, RoleShape, UserShape, UserStatusShape};
pub(crate) use policy::{KeyDefaultsShape, KeyPolicyShape, NewKeyDefaultsShape, NewKeyPolicyShape};
pub(crate) use rotation::{RotatedKeyShape, RotationStatusShape};
pub(crate) use usage::{GranularityShape, UsageReportShape};
pub(crate) use values::{
    EnvironmentShape, FieldNameShape, KeyIdShape, NetworkShape, OrganizationIdShape, ProjectIdShape, RoleNameShape,
    ScopeShape, TagShape, UserIdShape,
};
