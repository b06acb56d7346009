//! What is left of limits, for those who manage keys.

use futures_util::future::try_join_all;

use super::{ApiKeyManager, Inner, ManageError};
use crate::actor::Actor;
use crate::key::KeyId;
use crate::limiter::policy::Standing;
use crate::limiter::pools_of;
use crate::record::{Key, Parents, UserRecord};
use crate::store::StoreError;

impl ApiKeyManager {
    /// What is left of each limit of a key, its user, its project and its organization. It asks the store, and takes
    /// nothing. What other instances hold is not among what is left, though they may give it back.
    ///
    /// # Errors
    /// When there is no such key within the actor's reach, or the store fails.
    pub async fn limits_left(&self, actor: &Actor, id: KeyId) -> Result<Vec<Standing>, ManageError> {
        let record = self.visible(actor, id).await?;
        self.limits_left_of(&record.key).await
    }

    /// The same, of a key that was read already, or that a request was let in by.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn limits_left_of(&self, key: &Key) -> Result<Vec<Standing>, ManageError> {
        let above = self.levels_of(key).await?;
        Ok(self.inner.limits_left(key, &above.parents, above.user.as_deref()).await?)
    }
}

impl Inner {
    pub(super) async fn limits_left(
        &self,
        key: &Key,
        parents: &Parents,
        user: Option<&UserRecord>,
    ) -> Result<Vec<Standing>, StoreError> {
        let looks = pools_of(key, parents, user).map(async |(id, limits)| self.limiter.look(&id, limits).await);
        Ok(try_join_all(looks).await?.into_iter().flatten().collect())
    }
}
