//! The outbox: what is told is first kept in the store, and brought to its receivers from there.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use moka::sync::Cache as MokaCache;
use serde::{Deserialize, Serialize};

use super::delivery::Failing;
use super::event::{Event, Notice};
use super::id::NoticeId;
use super::notifier::Notifier;
use super::outgoing::Outgoing;
use super::parcel::{Fate, Parcel, Posted};
use super::policy::NoticePolicy;
use super::webhook::{WebhookId, WebhookSender};
use crate::clock::{Clock, to_millis};
use crate::names::OrganizationId;
use crate::ring::SecretRing;
use crate::store::{Store, StoreError};

/// How long somebody who has announced something may take to say whether it has come to pass. After that it is looked up.
const ANNOUNCED_FOR: TimeDelta = TimeDelta::seconds(60);
/// For how many webhooks it is remembered that they fail.
const FAILING: u64 = 10_000;
/// For how long that is remembered after the last failure.
const FAILING_FOR: Duration = Duration::from_secs(6 * 60 * 60);

/// What an instance has done about notices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NoticeStatistics {
    /// Notices that it has put in the outbox.
    pub posted: u64,
    /// Notices that there was no room for, as too many of their organization wait.
    pub refused: u64,
    /// Times that a receiver has taken one.
    pub taken: u64,
    /// Times that a receiver has not, and is tried again.
    pub retried: u64,
    /// Times that a receiver is tried no more.
    pub given_up: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    posted: AtomicU64,
    refused: AtomicU64,
    pub(super) taken: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) given_up: AtomicU64,
}

/// Keeps notices in the store, and brings them to their receivers.
pub(crate) struct Post {
    pub(super) store: Arc<dyn Store>,
    pub(super) ring: SecretRing,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) notifiers: BTreeMap<String, Arc<dyn Notifier>>,
    pub(super) sender: Option<Arc<dyn WebhookSender>>,
    policy: NoticePolicy,
    /// Which webhooks take nothing.
    pub(super) failing: MokaCache<WebhookId, Failing>,
    pub(super) counters: Counters,
}

impl Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("notifiers", &self.notifiers).field("sender", &self.sender).finish_non_exhaustive()
    }
}

/// Notices that are kept, and wait to hear whether what they tell of has come to pass.
#[derive(Default)]
#[must_use = "it is looked up a minute later whether they are true, unless this is said"]
pub(crate) struct Announced {
    kept: Vec<(Parcel, Notice)>,
}

impl Post {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        ring: SecretRing,
        clock: Arc<dyn Clock>,
        policy: NoticePolicy,
        notifiers: Vec<Arc<dyn Notifier>>,
        sender: Option<Arc<dyn WebhookSender>>,
    ) -> Self {
        let notifiers = notifiers.into_iter().map(|notifier| (notifier.name().to_owned(), notifier)).collect();
        let failing = MokaCache::builder().max_capacity(FAILING).time_to_live(FAILING_FOR).build();
        Self { store, ring, clock, notifiers, sender, policy, failing, counters: Counters::default() }
    }

    pub(crate) fn policy(&self) -> &NoticePolicy {
        &self.policy
    }

    pub(crate) fn statistics(&self) -> NoticeStatistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        NoticeStatistics {
            posted: read(&self.counters.posted),
            refused: read(&self.counters.refused),
            taken: read(&self.counters.taken),
            retried: read(&self.counters.retried),
            given_up: read(&self.counters.given_up),
        }
    }

    pub(crate) fn sender(&self) -> Option<&Arc<dyn WebhookSender>> {
        self.sender.as_ref()
    }

    /// The notifiers that take the text of keys.
    pub(crate) fn takers_of_keys(&self) -> impl Iterator<Item = &Arc<dyn Notifier>> {
        self.notifiers.values().filter(|notifier| notifier.takes_keys())
    }

    /// Whether this instance can bring anything to anybody.
    pub(crate) fn delivers(&self) -> bool {
        !self.notifiers.is_empty() || self.sender.is_some()
    }

    /// Whether anybody is to hear of what happens in an organization.
    pub(crate) async fn is_heard(&self, organization: &OrganizationId) -> Result<bool, StoreError> {
        if !self.notifiers.is_empty() {
            return Ok(true);
        }
        let webhooks = self.store.webhooks(organization).await?;
        Ok(webhooks.is_some_and(|webhooks| webhooks.hears_anything()))
    }

    /// A notice of something that is found now.
    pub(crate) fn notice(&self, organization: &OrganizationId, id: NoticeId, event: Event) -> Notice {
        Notice { id, at: to_millis(self.clock.now()), organization_id: organization.clone(), event }
    }

    /// Keeps notices of what is about to be done, to be brought only if it has come to pass: so that whatever is done is told
    /// of, wherever whoever does it stops. Those of organizations in which nobody hears anything are passed over.
    pub(crate) async fn announce(&self, notices: Vec<Notice>) -> Result<Announced, StoreError> {
        let mut kept = Vec::new();
        let mut heard = BTreeMap::new();
        for notice in notices {
            let organization = &notice.organization_id;
            let is_heard = match heard.get(organization) {
                Some(is_heard) => *is_heard,
                None => {
                    let is_heard = self.is_heard(organization).await?;
                    heard.insert(organization.clone(), is_heard);
                    is_heard
                }
            };
            if !is_heard {
                continue;
            }
            let due = to_millis(self.clock.now() + ANNOUNCED_FOR);
            if let Some(parcel) = self.put(&notice, false, due).await? {
                kept.push((parcel, notice));
            }
        }
        Ok(Announced { kept })
    }

    /// Says of each what has come to pass: what is to be told of it now, if it has. A failure is left to be looked up.
    pub(crate) async fn settle(&self, announced: Announced, told: impl Fn(Notice) -> Option<Notice>) {
        for (parcel, notice) in announced.kept {
            let fate = match told(notice) {
                Some(notice) => match Outgoing::new(notice, true).encode() {
                    Ok(bytes) => Fate::Later { due: to_millis(self.clock.now()), bytes },
                    Err(error) => {
                        tracing::error!(target: "keygate::notice", notice_id = %parcel.id, %error, "a notice is not kept");
                        Fate::Forgotten
                    }
                },
                None => Fate::Forgotten,
            };
            if let Err(error) = self.store.settle_notice(&parcel, &fate).await {
                let notice_id = parcel.id;
                tracing::debug!(target: "keygate::notice", %notice_id, %error, "it is looked up whether a notice is true");
            }
        }
    }

    /// Keeps a notice of what is so, if anybody hears of it; says whether it is kept anew.
    pub(crate) async fn tell(&self, notice: Notice) -> Result<bool, StoreError> {
        if !self.is_heard(&notice.organization_id).await? {
            return Ok(false);
        }
        Ok(self.put(&notice, true, to_millis(self.clock.now())).await?.is_some())
    }

    /// `None` where it is not kept anew.
    async fn put(&self, notice: &Notice, is_sure: bool, due: DateTime<Utc>) -> Result<Option<Parcel>, StoreError> {
        let bytes = Outgoing::new(notice.clone(), is_sure).encode()?;
        let parcel = Parcel { organization: notice.organization_id.clone(), id: notice.id, due, bytes };
        match self.store.put_notice(&parcel).await? {
            Posted::New => {
                self.counters.posted.fetch_add(1, Ordering::Relaxed);
                Ok(Some(parcel))
            }
            Posted::Known => Ok(None),
            Posted::Full => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    target: "keygate::notice",
                    notice_id = %notice.id,
                    organization_id = %notice.organization_id,
                    kind = %notice.kind(),
                    "a notice is not kept, as too many of its organization wait to be sent"
                );
                Ok(None)
            }
        }
    }
}
