//! The operator's first key.

use super::above::Above;
use super::{ApiKeyManager, CreatedKey, ManageError, NewKey, events};
use crate::actor::{Actor, Operator};
use crate::audit::{ActOutcome, ActTarget, Action, Changes};
use crate::names::{KeyName, OrganizationId, UserId};
use crate::record::Quota;
use crate::store::{Listing, StoreError};

/// Who owns the first key.
const OWNER: &str = "operator";

impl ApiKeyManager {
    /// Makes the operator's first key, on a deployment whose organization [`system`](OrganizationId::system) has none and
    /// never had one that is still listed. However many instances ask at once, one of them makes it; the others get
    /// `None`, as does whoever asks later.
    ///
    /// # Errors
    /// When the store fails, or the operating system gives no random bytes.
    pub async fn ensure_operator_key(&self, operator: &Operator) -> Result<Option<CreatedKey>, ManageError> {
        let system = OrganizationId::system();
        self.confirm_current().await?;
        let found = self.inner.store.list(&Listing::Organization(system.clone()), None, 1).await?;
        // One that cannot be read is there too.
        if !found.records.is_empty() || !found.unreadable.is_empty() || found.next.is_some() {
            return Ok(None);
        }
        let actor = Actor::from(operator.clone());
        let mut new = NewKey::new(system.clone(), UserId::new(OWNER)?);
        new.name = Some(KeyName::new("Operator")?);
        let (text, record) = self.mint(&actor, new, None, &mut Above::new(&*self.inner.store)).await?;
        let key = record.key.clone();
        let target = ActTarget { user_id: Some(OWNER.to_owned()), ..ActTarget::key(key.id) };
        let mut act = self.act(&actor, Action::KeyCreate, target);
        act.begin(&system, Changes::made(&key)).await?;
        // Room for one: the store lets one in, whoever else asks at the same moment.
        let room_for_one = Quota { per_organization: 1, per_user: 1 };
        let created = self.inner.store.create(&system, room_for_one, vec![record]).await;
        let (became, why) = match created.as_ref().map(|outcomes| outcomes.last()) {
            Ok(Some(Ok(()))) => (ActOutcome::Done, None),
            Ok(Some(Err(refusal))) => (ActOutcome::Refused, Some(ManageError::Refused(*refusal).reason())),
            Ok(None) | Err(_) => (ActOutcome::Failed, Some("store_unavailable")),
        };
        act.conclude(became, why).await;
        match created?.pop() {
            Some(Ok(())) => {
                events::created(&actor, &key);
                Ok(Some(CreatedKey { text, key }))
            }
            Some(Err(refusal)) if refusal.is_quota() => Ok(None),
            Some(Err(refusal)) => Err(ManageError::Refused(refusal)),
            None => Err(StoreError::unavailable("it left a key unanswered").into()),
        }
    }
}
