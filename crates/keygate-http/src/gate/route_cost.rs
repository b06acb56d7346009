use keygate_core::context::Admission;
use keygate_core::denial::{Denial, DenialReason};

use super::refusal::refuse_telling;
use super::{WithoutKey, refusal};
use crate::answer::{Answer, Realm};

/// What one part of a service costs, in the place of what a [`Gate`](super::Gate) further out has charged.
///
/// Where that is more, the rest is charged before the request goes on, and a request for which there is no room is given
/// back all that it was charged. Where it is less, the difference is given back; a cost of 0 gives back all of it.
///
/// # Example
///
/// ```
/// use keygate_core::denial::DenialReason;
/// use keygate_http::gate::{RouteCost, WithoutKey};
///
/// let cost = RouteCost::new(10);
///
/// // Whoever was let in without a key has no limits.
/// assert_eq!(cost.charge(None, Some(WithoutKey::Optional), "ApiKeyLayer"), Some(Ok(())));
///
/// let denial = cost.charge(None, None, "ApiKeyLayer").unwrap().unwrap_err();
/// assert_eq!(denial.reason(), DenialReason::MissingKey);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct RouteCost {
    cost: u64,
    realm: Realm,
    tells_limits: bool,
}

impl RouteCost {
    /// This cost.
    pub fn new(cost: u64) -> Self {
        Self { cost, realm: Realm::default(), tells_limits: true }
    }

    /// Names what is protected, in `WWW-Authenticate`. `keygate` if never called.
    pub fn realm(mut self, realm: Realm) -> Self {
        self.realm = realm;
        self
    }

    /// Whether a refusal tells of limits in `RateLimit-Policy` and `RateLimit`. It does if this is never called.
    pub fn rate_limit_headers(mut self, tells: bool) -> Self {
        self.tells_limits = tells;
        self
    }

    /// Charges what was left with a request further out: the admission of its key. One without a key, which a gate further
    /// out has let through, is charged nothing. Where there is neither an admission nor a word of why, nobody has seen the
    /// request, and the log says that `outer` is missing.
    ///
    /// `None` where the store has to be asked: then nothing is changed, and [`ask`](Self::ask) does it.
    ///
    /// # Errors
    /// The denial; what was charged is given back.
    #[must_use]
    pub fn charge(
        &self,
        admission: Option<&mut Admission>,
        without_key: Option<WithoutKey>,
        outer: &str,
    ) -> Option<Result<(), Denial>> {
        match (admission, without_key) {
            (Some(admission), _) => admission.recharge_at_once(self.cost),
            (None, Some(_)) => Some(Ok(())),
            (None, None) => {
                refusal::missing(outer, "a cost is to be charged to");
                Some(Err(Denial::new(DenialReason::MissingKey)))
            }
        }
    }

    /// Charges the admission, asking the store where it must. It needs the admission that the request carries, and not a
    /// clone of it: clones were charged nothing.
    ///
    /// # Errors
    /// The denial; what was charged is given back.
    pub async fn ask(&self, admission: &mut Admission) -> Result<(), Denial> {
        admission.recharge(self.cost).await
    }

    /// Writes a refusal to the log, and gives the answer to it.
    #[must_use]
    pub fn refuse(&self, denial: &Denial) -> Answer {
        refuse_telling(denial, &self.realm, self.tells_limits)
    }
}
