//! May keys that stand still be used again, for all that the actor may hand out?

use super::create::{EVERYTHING, check_grants, check_strength};
use super::{ApiKeyManager, ManageError};
use crate::actor::Actor;
use crate::record::{Key, KeyStatus};
use crate::scope::{Scope, ScopeSet};
use crate::store::Listing;

/// How many keys are read at once.
const PAGE: usize = 1_000;
/// How many keys are looked at: where there are more, only who may hand out everything is not held to what they can do.
const MOST: usize = 10_000;

impl ApiKeyManager {
    /// Refuses to let those of these keys be used again that `concerns` names, where one of them can do more than the actor may
    /// hand out; or nobody knows whether it can, because its record cannot be read or there are too many.
    pub(super) async fn check_keys(
        &self,
        actor: &Actor,
        listing: &Listing,
        concerns: impl Fn(&Key) -> bool + Send + Sync,
    ) -> Result<(), ManageError> {
        if actor.grantable().is_none() {
            return Ok(());
        }
        let (mut after, mut looked_at) = (None, 0);
        loop {
            let page = self.inner.store.list(listing, after, PAGE).await?;
            let keys = page.records.iter().map(|record| &record.key).filter(|key| concerns(key));
            for key in keys.filter(|key| key.status.status == KeyStatus::Active) {
                check_strength(actor, key)?;
            }
            looked_at += page.records.len();
            if !page.unreadable.is_empty() || (page.next.is_some() && looked_at >= MOST) {
                return check_grants(actor, [&ScopeSet::of(Scope::literal(EVERYTHING))]);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }
}
