use std::fmt;

use bytes::Bytes;
use keygate_core::context::Admission;

use super::{policies, standing};

/// What the response to a request that was let in is to tell of limits. An adapter keeps it until there is a response, and
/// reads it then: what the service within has charged or given back counts.
///
/// Made by [`Gate::report`](crate::gate::Gate::report), of keys with limits alone.
pub struct Report {
    admission: Admission,
    policy: Bytes,
}

/// The fields of one response. Their names are [`RATE_LIMIT_POLICY`](super::RATE_LIMIT_POLICY) and
/// [`RATE_LIMIT`](super::RATE_LIMIT).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// Which limits there are.
    pub policy: Bytes,
    /// What is left of the one of which least is left.
    pub standing: Bytes,
}

impl Report {
    /// `None` where nothing is limited.
    pub(crate) fn of(admission: &Admission) -> Option<Self> {
        let policy = admission.policies(policies)?;
        Some(Self { admission: admission.clone(), policy })
    }

    /// The fields, as of now.
    #[must_use]
    pub fn read(self) -> Option<Fields> {
        let tightest = self.admission.tightest_limit()?;
        Some(Fields { policy: self.policy, standing: standing(&tightest) })
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report").field("policy", &self.policy).finish_non_exhaustive()
    }
}
