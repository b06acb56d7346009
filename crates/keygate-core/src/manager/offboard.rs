//! What becomes of the keys of a user who leaves.

use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::above::Above;
use super::act::Act;
use super::{ApiKeyManager, ManageError};
use crate::actor::Actor;
use crate::audit::{ActOutcome, Action, Changes};
use crate::clock::Tick;
use crate::key::KeyId;
use crate::names::{OrganizationId, Reason};
use crate::record::{Key, KeyStatus, UserRecord, UserStatus};
use crate::store::Listing;

/// For how long keys of a user who leaves are revoked in one call.
const REVOKING: Duration = Duration::from_secs(15);
/// How many keys of such a user are read, and how many revoked, at once.
const PAGE: usize = 1_000;
const AT_ONCE: usize = 16;
/// Why they are revoked.
const OFFBOARDED: &str = "its user was offboarded";

impl ApiKeyManager {
    /// Revokes the keys of a user who left, and says how many, and whether that were all.
    pub(super) async fn revoke_keys_of(&self, act: &mut Act<'_>, actor: &Actor, user: &UserRecord) -> (u64, bool) {
        let until = self.inner.clock.tick().after(REVOKING);
        let is_over = || self.inner.clock.tick() >= until;
        let listing = Listing::User(user.organization.clone(), user.id.clone());
        let (mut after, mut revoked, mut complete) = (None, 0, true);
        loop {
            let page = match self.inner.store.list(&listing, after, PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(user_id = %user.id, %error, "the keys of an offboarded user are not all revoked yet");
                    return (revoked, false);
                }
            };
            for id in page.unreadable {
                tracing::error!(key_id = %id, user_id = %user.id, "a key of an offboarded user cannot be read, and is not revoked");
                act.became(id, ManageError::Unreadable.reason(), None);
                complete = false;
            }
            let keys = page.records.into_iter().map(|record| record.key);
            let left: Vec<Key> = keys.filter(|key| key.status.status != KeyStatus::Revoked).collect();
            if !left.is_empty() && !act.is_begun() {
                // It was changed before, and there are keys left.
                act.begin_anyway(&user.organization, Changes::default()).await;
            }
            let mut outcomes = stream::iter(left.into_iter().map(|key| self.revoke_of_offboarded(actor, key, until)))
                .buffer_unordered(AT_ONCE);
            while let Some((id, is_revoked)) = outcomes.next().await {
                act.became(id, if is_revoked { ActOutcome::Done } else { ActOutcome::Failed }.as_str(), None);
                revoked += u64::from(is_revoked);
                complete &= is_revoked;
            }
            drop(outcomes);
            match page.next {
                Some(_) if is_over() => return (revoked, false),
                Some(next) => after = Some(next),
                None => return (revoked, complete),
            }
        }
    }

    async fn revoke_of_offboarded(&self, actor: &Actor, key: Key, until: Tick) -> (KeyId, bool) {
        if self.inner.clock.tick() >= until {
            return (key.id, false);
        }
        let Ok(reason) = Reason::new(OFFBOARDED) else { return (key.id, false) };
        let mut part = self.part(actor, Action::KeyRevoke);
        match self.set_status(&mut part, actor, &key, KeyStatus::Revoked, Some(reason)).await {
            Ok(_) | Err(ManageError::NotFound) => (key.id, true),
            Err(error) => {
                tracing::warn!(key_id = %key.id, %error, "a key of an offboarded user is not revoked yet");
                (key.id, false)
            }
        }
    }

    /// Revokes those of these keys, which were just made, whose users have left meanwhile, and says which they are: whoever
    /// offboarded the user may have looked for its keys before they were there. Where the store fails they are refused for as
    /// long as the user is offboarded, and revoked by whoever asks for that again.
    pub(super) async fn revoke_of_departed(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        made: &[&Key],
    ) -> Vec<KeyId> {
        let mut above = Above::new(&*self.inner.store);
        above.expect(made.iter().map(|key| (organization, &key.user)));
        let mut departed = Vec::new();
        for key in made {
            match above.user(organization, &key.user).await {
                Ok(Some(user)) if user.status == UserStatus::Offboarded => departed.push(key.id),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(organization_id = %organization, %error, "whether users of new keys have left is not known");
                    break;
                }
            }
        }
        let revoking = departed.into_iter().map(|id| self.revoke_by_itself(actor, id));
        stream::iter(revoking).buffer_unordered(AT_ONCE).collect().await
    }

    /// As an act of its own, so that the audit tells of it whatever it says of what made the key.
    async fn revoke_by_itself(&self, actor: &Actor, id: KeyId) -> KeyId {
        if let Err(error) = self.revoke(actor, id, Reason::new(OFFBOARDED).ok()).await {
            tracing::warn!(key_id = %id, %error, "a key of an offboarded user is not revoked yet");
        }
        id
    }
}
