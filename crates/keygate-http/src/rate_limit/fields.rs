use bytes::Bytes;
use keygate_core::context::Admission;
use keygate_core::limiter::policy::Standing;

use super::{policies, standing};

/// The fields of one response. Their names are [`RATE_LIMIT_POLICY`](super::RATE_LIMIT_POLICY) and
/// [`RATE_LIMIT`](super::RATE_LIMIT).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// Which limits there are.
    pub policy: Bytes,
    /// What is left of the one of which least is left.
    pub standing: Bytes,
}

impl Fields {
    /// The text of the policies, which is written once for each key. `None` where nothing is limited.
    pub(crate) fn policy(admission: &Admission) -> Option<Bytes> {
        admission.policies(policies)
    }

    /// With what is left now.
    pub(crate) fn now(policy: Bytes, tightest: Standing) -> Self {
        Self { policy, standing: standing(&tightest) }
    }
}
