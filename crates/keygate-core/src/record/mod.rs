//! What is kept of a key, and how it is written down.
//!
//! [`Key`] is what may be shown of a key; [`KeyRecord`] adds what it is verified by and never leaves the crate's
//! stores. [`KeyRecord::encode`] writes the versioned form every store keeps.

mod encoding;
mod key;
mod metadata;
mod owner;
mod parent;
mod policy;
mod quota;
mod sensitive;
mod shown;
mod status;
mod succession;
mod tier;

pub use encoding::{DecodeError, HeaderView, MAX_RECORD_BYTES, SCHEMA_VERSION};
pub use key::{Key, KeyRecord, Lineage, MAX_TAGS, Revision, RotationSchedule};
pub use metadata::{MAX_METADATA_BYTES, Metadata};
pub use owner::{
    MAX_ROLE_PERMISSIONS, MAX_ROLES, MAX_ROLES_BYTES, MAX_ROLES_OF_USER, NamedRole, Role, RolesRecord, UserRecord,
    UserStatus,
};
pub use parent::{OrganizationRecord, ParentStatus, Parents, ProjectRecord};
pub use policy::{KeyDefaults, KeyPolicy, NamePattern, PolicyRule};
pub use quota::{Quota, Quotas};
pub use sensitive::{MAX_SENSITIVE_BYTES, MAX_SENSITIVE_FIELDS, Sensitive, SensitiveValue};
pub use status::{KeyState, KeyStatus, StatusChange};
pub use succession::{Succession, Superseded};
pub use tier::SecurityTier;
