use keygate_core::context::Admission;
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::scope::Scope;

use super::{WithoutKey, refusal, refuse};
use crate::answer::{Answer, Realm};

/// One thing that a part of a service needs of a key which a [`Gate`](super::Gate) further out has let in.
///
/// # Example
///
/// ```
/// use keygate_core::denial::DenialReason;
/// use keygate_core::scope::Scope;
/// use keygate_http::gate::{Requirement, WithoutKey};
///
/// # fn main() -> Result<(), keygate_core::names::NameError> {
/// let requirement = Requirement::scope(Scope::new("reports:read")?);
///
/// let denial = requirement.check(None, Some(WithoutKey::Optional), "ApiKeyLayer").unwrap_err();
/// assert_eq!(denial.reason(), DenialReason::MissingKey);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Requirement {
    what: What,
    realm: Realm,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Scope(Scope),
    Permission(Scope),
}

impl Requirement {
    /// The key's scopes must cover this one.
    pub fn scope(scope: Scope) -> Self {
        Self { what: What::Scope(scope), realm: Realm::default() }
    }

    /// The key's permissions must cover this one.
    pub fn permission(permission: Scope) -> Self {
        Self { what: What::Permission(permission), realm: Realm::default() }
    }

    /// Names what is protected, in `WWW-Authenticate`. `keygate` if never called.
    pub fn realm(mut self, realm: Realm) -> Self {
        self.realm = realm;
        self
    }

    /// Checks what was left with a request further out: the admission of its key, or why it has none. Where there is
    /// neither, nobody has seen the request, and the log says that `outer` is missing.
    ///
    /// # Errors
    /// The denial; what the request was charged is given back, because denials burn nothing. For that it needs the
    /// admission that the request carries, and not a clone of it: clones were charged nothing.
    pub fn check(
        &self,
        admission: Option<&mut Admission>,
        without_key: Option<WithoutKey>,
        outer: &str,
    ) -> Result<(), Denial> {
        match (admission, without_key) {
            (Some(admission), _) => return self.covers(admission).inspect_err(|_| admission.refund()),
            // Whoever answers preflights within has to see them; they carry no key, whoever sends them.
            (None, Some(WithoutKey::Preflight)) => return Ok(()),
            (None, Some(WithoutKey::Optional)) => {}
            (None, None) => refusal::missing(outer, "a scope or permission is required of"),
        }
        Err(Denial::new(DenialReason::MissingKey))
    }

    fn covers(&self, admission: &Admission) -> Result<(), Denial> {
        match &self.what {
            What::Scope(scope) => admission.require_scope(scope),
            What::Permission(permission) => admission.require_permission(permission),
        }
    }

    /// Writes a refusal to the log, and gives the answer to it.
    #[must_use]
    pub fn refuse(&self, denial: &Denial) -> Answer {
        refuse(denial, &self.realm)
    }
}
