//! Who keeps notices, and gets it wrong.

use chrono::{DateTime, Utc};
use keygate_core::names::OrganizationId;
use keygate_core::notice::{Fate, Parcel, Posted, Posting};
use keygate_core::store::{MemoryStore, Store, StoreError};
use tokio::task::yield_now;

use super::bent::Bend;

/// Keeps them in a memory store.
#[derive(Debug)]
pub(crate) struct Misposter {
    inner: MemoryStore,
    bend: Bend,
}

impl Misposter {
    pub(crate) fn new(inner: MemoryStore, bend: Bend) -> Self {
        Self { inner, bend }
    }

    fn is(&self, bend: Bend) -> bool {
        self.bend == bend
    }

    pub(crate) async fn put_notice(&self, notice: &Parcel, how: Posting) -> Result<Posted, StoreError> {
        let how = match self.bend {
            Bend::KeepsAnyNumberOfNotices => Posting { room: usize::MAX, ..how },
            Bend::ReplacesNoNotice => Posting { replaces: false, ..how },
            Bend::ReplacesEveryNotice => Posting { replaces: true, ..how },
            _ => how,
        };
        let posted = self.inner.put_notice(notice, how).await?;
        Ok(if self.is(Bend::SaysEveryNoticeIsNew) { Posted::New } else { posted })
    }

    pub(crate) async fn take_notices(
        &self,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Parcel>, StoreError> {
        match self.bend {
            Bend::TakesNoticesEarly => {
                self.inner.take_notices(0, now + chrono::TimeDelta::hours(1), until, limit).await
            }
            Bend::LooksBeforeItTakes => {
                let seen = self.inner.take_notices(0, now, now, limit).await?;
                yield_now().await;
                self.inner.take_notices(0, now, until, limit).await?;
                Ok(seen.into_iter().map(|parcel| Parcel { due: until, ..parcel }).collect())
            }
            _ => self.inner.take_notices(0, now, until, limit).await,
        }
    }

    pub(crate) async fn settle_notice(&self, taken: &Parcel, fate: &Fate) -> Result<bool, StoreError> {
        if self.is(Bend::ForgetsWhatWasSent) && *fate == Fate::Sent {
            return self.inner.settle_notice(taken, &Fate::Forgotten).await;
        }
        if self.is(Bend::RemembersWhatWasForgotten) && *fate == Fate::Forgotten {
            return self.inner.settle_notice(taken, &Fate::Sent).await;
        }
        if self.is(Bend::SettlesNoticesTooLate) {
            // Whoever has it now, it is settled.
            let far = taken.due + chrono::TimeDelta::days(365);
            for parcel in self.inner.take_notices(0, far, taken.due, 10_000).await? {
                if parcel.id == taken.id && parcel.organization == taken.organization {
                    return self.inner.settle_notice(&parcel, fate).await;
                }
            }
        }
        self.inner.settle_notice(taken, fate).await
    }

    pub(crate) async fn given_up(
        &self,
        organization: &OrganizationId,
        limit: usize,
    ) -> Result<Vec<Parcel>, StoreError> {
        let mut given_up = self.inner.given_up(organization, limit).await?;
        if self.is(Bend::ListsGivenUpOldestFirst) {
            given_up.reverse();
        }
        Ok(given_up)
    }

    pub(crate) async fn redrive_notice(&self, notice: &Parcel, room: usize) -> Result<Posted, StoreError> {
        let room = if self.is(Bend::RedrivesAnyNumber) { usize::MAX } else { room };
        match self.inner.redrive_notice(notice, room).await? {
            Posted::Known if self.is(Bend::RedrivesWhatIsNotGivenUp) => {
                self.inner.put_notice(notice, Posting::USUAL).await
            }
            posted => Ok(posted),
        }
    }
}
