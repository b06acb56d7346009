//! What is known of a key's owner.

use super::AuthorityAnswer;
use crate::record::{Parents, UserRecord, UserStatus};
use crate::scope::{Scope, ScopeSet};

/// What is known of a key's owner, beside its organization's roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// What was configured for it, if anything was.
    pub user: Option<UserRecord>,
    /// What an authority says of it, where one is asked in the place of the roles.
    pub answer: Option<AuthorityAnswer>,
}

impl Owner {
    /// Whether its keys may be used.
    #[must_use]
    pub fn status(&self) -> UserStatus {
        self.user.as_ref().map_or(UserStatus::Active, |user| user.status)
    }

    /// Whether its keys may do what needs a permission, if they were given it.
    #[must_use]
    pub fn covers(&self, parents: &Parents, permission: &Scope) -> bool {
        match (&self.answer, self.user.as_ref().and_then(|user| user.roles.as_ref())) {
            (Some(answer), _) => answer.permissions.as_ref().is_none_or(|permissions| permissions.covers(permission)),
            (None, None) => true,
            (None, Some(held)) => parents.roles.as_ref().is_some_and(|roles| roles.covers(held, permission)),
        }
    }

    /// What caps its keys; `None` where nothing does. In order, each once.
    #[must_use]
    pub fn cap(&self, parents: &Parents) -> Option<Vec<Scope>> {
        let held = self.user.as_ref().and_then(|user| user.roles.as_ref());
        let sets: Vec<&ScopeSet> = match (&self.answer, held, &parents.roles) {
            (Some(answer), _, _) => vec![answer.permissions.as_ref()?],
            (None, None, _) => return None,
            (None, Some(held), Some(roles)) => roles.permissions_of(held).collect(),
            (None, Some(_), None) => Vec::new(),
        };
        let mut cap: Vec<Scope> = sets.into_iter().flat_map(ScopeSet::iter).cloned().collect();
        cap.sort_unstable();
        cap.dedup();
        Some(cap)
    }
}
