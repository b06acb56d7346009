//! Shapes that the document names: those of the core's own types, whose JSON is written there. They are never made.

#![allow(dead_code)]

mod answers;
mod key;
mod organization;
mod values;

pub(crate) use answers::{BulkOutcomeShape, CreatedKeyShape, KeyPageShape, OwnKeyShape, RevocationShape};
pub(crate) use key::{KeyShape, KeyStateShape, NewLimitsShape, NewRotationShape, SecurityTierShape};
pub(crate) use organization::{OrganizationShape, ParentStatusShape};
pub(crate) use values::{
    EnvironmentShape, KeyIdShape, NetworkShape, OrganizationIdShape, ProjectIdShape, ScopeShape, TagShape, UserIdShape,
};
