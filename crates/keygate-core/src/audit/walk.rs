//! A walk through the audits of all organizations, some at a time: so that an act that somebody left open is closed, and what is
//! too old goes, where nothing happens any more.

use std::sync::PoisonError;

use futures_util::{StreamExt, stream};

use super::keeper::{Keeper, TIDIED_AT_ONCE};
use crate::names::OrganizationId;
use crate::store::StoreError;

/// Buckets that a round looks into.
const BUCKETS: u16 = 64;
/// Organizations that a round sees to.
const ORGANIZATIONS: usize = 256;

/// Where a walk has come. It goes round and round.
#[derive(Debug, Clone)]
pub(super) struct Place {
    bucket: u16,
    /// The last of the bucket that was seen to.
    after: Option<OrganizationId>,
}

impl Place {
    fn begin_of(bucket: u16) -> Self {
        Self { bucket, after: None }
    }
}

impl Keeper {
    /// Sees to the next few organizations: closes what is open for long, seals, and takes away what is too old, or too much. Each
    /// instance has a walk of its own. Where the store fails, the next round goes on with the next bucket. For whoever runs the
    /// schedules of the deployment, as what is kept is that deployment's to say.
    pub(crate) async fn walk(&self) {
        if !self.policy().is_on() {
            return;
        }
        let buckets = self.store.audit_buckets().max(1);
        let come = self.walked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Somewhere, so that instances that begin anew again and again come to all.
        let mut place = come.unwrap_or_else(|| Place::begin_of(anywhere()));
        let mut room = ORGANIZATIONS;
        for _ in 0..BUCKETS.min(buckets) {
            place.bucket %= buckets;
            let next = match self.walk_on(&place, room).await {
                Ok(listed) => {
                    let is_last = listed.len() < room;
                    room -= listed.len();
                    if is_last { None } else { listed.last().cloned() }
                }
                Err(error) => {
                    tracing::warn!(target: "keygate::audit", bucket = place.bucket, %error, "audits were not looked at");
                    room = 0;
                    // Where there is no other bucket, it goes on where it was.
                    place.after.clone().filter(|_| buckets == 1)
                }
            };
            place = match next {
                Some(after) => Place { after: Some(after), ..place },
                None => Place::begin_of((place.bucket + 1) % buckets),
            };
            *self.walked.lock().unwrap_or_else(PoisonError::into_inner) = Some(place.clone());
            if room == 0 {
                return;
            }
        }
    }

    /// Sees to those that come after a place, and says which they were.
    async fn walk_on(&self, place: &Place, room: usize) -> Result<Vec<OrganizationId>, StoreError> {
        let listed = self.store.audited(place.bucket, place.after.as_ref(), room).await?;
        let seeing = stream::iter(listed.clone()).map(|organization| async move {
            if let Err(error) = self.see_to(&organization).await {
                tracing::warn!(target: "keygate::audit", organization_id = %organization, %error, "the audit was not seen to");
            }
        });
        seeing.buffer_unordered(TIDIED_AT_ONCE).collect::<()>().await;
        Ok(listed)
    }

    /// Does all there is to do in an audit.
    async fn see_to(&self, organization: &OrganizationId) -> Result<(), StoreError> {
        let state = self.tidy(organization).await?;
        if !self.was_trimmed(organization) && !self.trim(organization, state).await? {
            self.trim_later(organization);
        }
        Ok(())
    }
}

fn anywhere() -> u16 {
    let mut bytes = [0; 2];
    // The first is as good as any.
    getrandom::fill(&mut bytes).map_or(0, |()| u16::from_be_bytes(bytes))
}
