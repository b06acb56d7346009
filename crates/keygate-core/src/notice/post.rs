//! The outbox: what is told is first kept in the store, and brought to its receivers from there.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use moka::sync::Cache as MokaCache;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::delivery::Failing;
use super::event::{Event, Notice};
use super::id::NoticeId;
use super::notifier::Notifier;
use super::outgoing::Outgoing;
use super::parcel::{Fate, MAX_WAITING, Parcel, Posted, Posting};
use super::policy::NoticePolicy;
use super::webhook::{WebhookId, WebhookSender};
use crate::clock::{Clock, to_millis};
use crate::names::OrganizationId;
use crate::ring::SecretRing;
use crate::store::{Store, StoreError};

/// How long somebody who has announced something may take to say whether it has come to pass. After that it is looked up.
const ANNOUNCED_FOR: TimeDelta = TimeDelta::seconds(60);
/// Notices that are put in the outbox at once by one call, which makes many keys.
const PUT_AT_ONCE: usize = 16;
/// For how many webhooks it is remembered that they fail, and what is being sent there.
const WEBHOOKS: u64 = 10_000;
/// For how long that is remembered after the last failure, or the last that was sent.
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
    /// The places for what is sent to a webhook at once.
    pub(super) sending: MokaCache<WebhookId, Arc<Semaphore>>,
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
    /// Without a parcel where somebody else had announced the same before.
    kept: Vec<(Option<Parcel>, Notice)>,
}

impl Announced {
    /// Whether nobody is to hear of anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

/// What is said of something that was announced.
pub(crate) enum Verdict {
    /// It has come to pass by whoever announced it, and this is to be told.
    Told(Notice),
    /// It has not come to pass, and whoever announced it has given it up.
    Forgotten,
    /// Somebody else may have done it: that is looked up.
    Unknown,
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
        let failing = MokaCache::builder().max_capacity(WEBHOOKS).time_to_live(FAILING_FOR).build();
        let sending = MokaCache::builder().max_capacity(WEBHOOKS).time_to_idle(FAILING_FOR).build();
        Self { store, ring, clock, notifiers, sender, policy, failing, sending, counters: Counters::default() }
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

    /// Whether anybody is to hear of something.
    async fn is_heard(&self, notice: &Notice) -> Result<bool, StoreError> {
        if !self.notifiers.is_empty() {
            return Ok(true);
        }
        let webhooks = self.store.webhooks(&notice.organization_id).await?;
        Ok(webhooks.is_some_and(|webhooks| webhooks.hears(notice.kind())))
    }

    /// A notice of something that is found now.
    pub(crate) fn notice(&self, organization: &OrganizationId, id: NoticeId, event: Event) -> Notice {
        Notice { id, at: to_millis(self.clock.now()), organization_id: organization.clone(), event }
    }

    /// Keeps notices of what is about to be done, all of one organization and kind, to be brought only if it has come to pass: so
    /// that whatever is done is told of, wherever whoever does it stops. None are kept that nobody hears.
    pub(crate) async fn announce(&self, notices: Vec<Notice>) -> Result<Announced, StoreError> {
        let Some(first) = notices.first() else { return Ok(Announced::default()) };
        if !self.is_heard(first).await? {
            return Ok(Announced::default());
        }
        let due = to_millis(self.clock.now() + ANNOUNCED_FOR);
        let mut put = stream::iter(notices)
            .map(|notice| async move { Ok((self.put(&notice, false, due, false).await?, notice)) })
            .buffered(PUT_AT_ONCE);
        let mut kept = Vec::new();
        while let Some(put) = put.next().await {
            match put {
                Ok(((Posted::New, parcel), notice)) => kept.push((Some(parcel), notice)),
                Ok(((Posted::Known, _), notice)) => kept.push((None, notice)),
                Ok(((Posted::Full, _), _)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Announced { kept })
    }

    /// Says of each what has come to pass. A failure is left to be looked up.
    pub(crate) async fn settle(&self, announced: Announced, outcome: impl Fn(Notice) -> Verdict) {
        let settled = announced.kept.into_iter().map(|(parcel, notice)| {
            let (id, outcome) = (notice.id, outcome(notice));
            async move { (id, self.settle_one(parcel.as_ref(), outcome).await) }
        });
        let mut settled = stream::iter(settled).buffered(PUT_AT_ONCE);
        while let Some((notice_id, settled)) = settled.next().await {
            if let Err(error) = settled {
                tracing::debug!(target: "keygate::notice", %notice_id, %error, "it is looked up whether a notice is true");
            }
        }
    }

    async fn settle_one(&self, parcel: Option<&Parcel>, outcome: Verdict) -> Result<(), StoreError> {
        match (outcome, parcel) {
            (Verdict::Told(notice), parcel) => {
                let now = to_millis(self.clock.now());
                let mut outgoing = Outgoing::new(notice.clone(), true);
                let announced = parcel.map(Outgoing::decode).transpose()?;
                outgoing.is_for_notifiers = announced.is_some_and(|announced| announced.is_for_notifiers);
                let fate = Fate::Later { due: now, bytes: outgoing.encode()? };
                let is_settled = match parcel {
                    Some(parcel) => self.store.settle_notice(parcel, &fate).await?,
                    None => false,
                };
                // Somebody else has announced it, or looks it up already: it may have been too early for that.
                if !is_settled {
                    self.put(&notice, true, now, true).await?;
                }
            }
            (Verdict::Forgotten, Some(parcel)) => {
                self.store.settle_notice(parcel, &Fate::Forgotten).await?;
            }
            (Verdict::Forgotten, None) | (Verdict::Unknown, _) => {}
        }
        Ok(())
    }

    /// Keeps a notice of what is so; `None` where nobody hears of it.
    pub(crate) async fn tell(&self, notice: &Notice) -> Result<Option<Posted>, StoreError> {
        if !self.is_heard(notice).await? {
            return Ok(None);
        }
        Ok(Some(self.put(notice, true, to_millis(self.clock.now()), false).await?.0))
    }

    async fn put(
        &self,
        notice: &Notice,
        is_sure: bool,
        due: DateTime<Utc>,
        replaces: bool,
    ) -> Result<(Posted, Parcel), StoreError> {
        let mut outgoing = Outgoing::new(notice.clone(), is_sure);
        let (organization, bytes) = (notice.organization_id.clone(), outgoing.encode()?);
        let mut parcel = Parcel { organization, id: notice.id, due, bytes };
        let mut posted = self.store.put_notice(&parcel, Posting { replaces, ..Posting::USUAL }).await?;
        if posted == Posted::Full && notice.event != Event::Test {
            outgoing.is_for_notifiers = true;
            parcel.bytes = outgoing.encode()?;
            posted = self.store.put_notice(&parcel, Posting { replaces, room: 2 * MAX_WAITING }).await?;
        }
        match posted {
            Posted::New => {
                self.counters.posted.fetch_add(1, Ordering::Relaxed);
            }
            Posted::Known => {}
            Posted::Full => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    target: "keygate::notice",
                    notice_id = %notice.id,
                    organization_id = %notice.organization_id,
                    kind = %notice.kind(),
                    "a notice is not kept, as too many of its organization wait to be sent"
                );
            }
        }
        Ok((posted, parcel))
    }
}
