//! Where a key is in its rotation. The document of it is the management API's.

use keygate::manager::RotationStatus;
use keygate::record::Revision;
use serde::{Deserialize, Serialize};

/// Where a key is in its rotation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ShownRotation {
    /// Counts the key's writes; an older server does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<Revision>,
    #[serde(flatten)]
    pub(crate) status: RotationStatus,
}
