//! Bringing notices from the outbox to their receivers.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{Either, join_all, select};
use futures_util::{FutureExt, StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::event::{Event, Notice, NoticeKind};
use super::notifier::{NotTaken, TIMEOUT};
use super::outgoing::{Outgoing, Receiver, Target, jittered};
use super::parcel::{Fate, Parcel};
use super::post::Post;
use super::webhook::{Disabled, Webhook, WebhookId, WebhookRecord};
use crate::clock::to_millis;
use crate::names::OrganizationId;
use crate::record::{KeyStatus, ParentStatus};
use crate::store::{StoreError, WriteRefusal};

/// For how long a notice that is taken is no other instance's: longer than it takes to bring it.
const TAKEN_FOR: TimeDelta = TimeDelta::seconds(60);
/// Notices that one instance brings at once.
const IN_FLIGHT: usize = 64;
/// The fewest that are taken of a list at once, and the lists that are looked at at once.
const LEAST_OF_A_LIST: usize = 4;
const LISTS_AT_ONCE: usize = 16;
/// How often the outbox is looked at.
const TICK: Duration = Duration::from_secs(1);
/// After how long something is tried again that failed for a reason of this side.
const OWN_TROUBLE: TimeDelta = TimeDelta::seconds(30);
/// The shortest and the longest that a webhook which fails is left alone.
const SHORTEST_PAUSE: TimeDelta = TimeDelta::seconds(5);
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(1);
/// Notices that one instance sends to one webhook at once, so that one that is slow leaves places for others.
const SENT_AT_ONCE: usize = 4;
/// How long a notice waits for one of those places, and the longest that it is then left alone.
const PLACE_WAITED_FOR: Duration = Duration::from_secs(1);
const LONGEST_WAIT_FOR_A_PLACE: TimeDelta = TimeDelta::minutes(5);
/// How often a webhook is tried to be disabled when others change the same record.
const ATTEMPTS: usize = 8;

/// What was done with the notices that were due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeliveryRun {
    /// Notices that everybody has taken who is to.
    pub sent: u64,
    /// Notices that are to be tried again.
    pub later: u64,
    /// Notices that somebody did not take, and is tried no more with.
    pub given_up: u64,
    /// Notices of what has not come to pass.
    pub forgotten: u64,
}

impl DeliveryRun {
    fn add(&mut self, fate: &Fate) {
        match fate {
            Fate::Sent => self.sent += 1,
            Fate::Later { .. } => self.later += 1,
            Fate::GivenUp { .. } => self.given_up += 1,
            Fate::Forgotten => self.forgotten += 1,
        }
    }
}

impl Post {
    /// Brings what is due, each second, until it is told to stop; what is on its way then is brought to its end.
    pub(crate) async fn run(self: Arc<Self>, stopped: watch::Receiver<bool>) {
        if !self.delivers() {
            return;
        }
        let mut on_their_way = JoinSet::new();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_more = false;
        loop {
            let mut told = stopped.clone();
            let is_told = told.wait_for(|stopped| *stopped);
            // Where there was more than there were places for, the next that is brought makes place.
            let next = async {
                if is_more && !on_their_way.is_empty() {
                    on_their_way.join_next().await;
                } else {
                    ticks.tick().await;
                }
            };
            if let Either::Right(_) = select(pin!(next), pin!(is_told)).await {
                break;
            }
            while on_their_way.try_join_next().is_some() {}
            let places = IN_FLIGHT.saturating_sub(on_their_way.len());
            if places == 0 {
                is_more = true;
                continue;
            }
            match self.take(places).await {
                Ok(parcels) => {
                    is_more = parcels.len() >= LEAST_OF_A_LIST.min(places);
                    for parcel in parcels {
                        let post = Arc::clone(&self);
                        on_their_way.spawn(async move { post.bring(parcel).await });
                    }
                }
                Err(error) => tracing::warn!(target: "keygate::notice", %error, "notices were not looked at"),
            }
        }
        while on_their_way.join_next().await.is_some() {}
    }

    /// Brings all that is due now.
    pub(crate) async fn deliver(&self) -> Result<DeliveryRun, StoreError> {
        let mut run = DeliveryRun::default();
        loop {
            let parcels = self.take(IN_FLIGHT).await?;
            if parcels.is_empty() {
                return Ok(run);
            }
            let mut brought = stream::iter(parcels).map(|parcel| self.bring(parcel)).buffer_unordered(IN_FLIGHT);
            while let Some(fate) = brought.next().await {
                run.add(&fate);
            }
        }
    }

    /// Takes about so many notices that are due, a few of each list, beginning in a list by chance, so that none is always the
    /// last.
    async fn take(&self, limit: usize) -> Result<Vec<Parcel>, StoreError> {
        let now = to_millis(self.clock.now());
        let shards = self.store.notice_shards().max(1);
        let of_each = (limit / usize::from(shards)).max(LEAST_OF_A_LIST).min(limit);
        let mut chance = [0; 2];
        // Without random bytes it begins with the first.
        let _ = getrandom::fill(&mut chance);
        let first = u16::from_be_bytes(chance) % shards;
        let lists = (first..shards).chain(0..first).take(limit);
        let mut lists = stream::iter(lists)
            .map(|shard| self.store.take_notices(shard, now, now + TAKEN_FOR, of_each))
            .buffer_unordered(LISTS_AT_ONCE);
        let (mut taken, mut failure) = (Vec::new(), None);
        while let Some(parcels) = lists.next().await {
            match parcels {
                Ok(parcels) => taken.extend(parcels),
                // The other lists may be in another part of the store.
                Err(error) => {
                    tracing::debug!(target: "keygate::notice", %error, "a list of notices was not looked at");
                    failure = Some(error);
                }
            }
        }
        match failure {
            Some(error) if taken.is_empty() => Err(error),
            _ => Ok(taken),
        }
    }

    /// Brings a notice to whom it is to be brought now, and says in the store what became of it.
    async fn bring(&self, parcel: Parcel) -> Fate {
        let fate = self.fate(&parcel).await.unwrap_or_else(|error| {
            let notice_id = parcel.id;
            tracing::warn!(target: "keygate::notice", %notice_id, %error, "a notice is tried again later");
            let due = to_millis(self.clock.now() + jittered(OWN_TROUBLE));
            Fate::Later { due, bytes: parcel.bytes.clone() }
        });
        if let Err(error) = self.store.settle_notice(&parcel, &fate).await {
            let notice_id = parcel.id;
            tracing::warn!(target: "keygate::notice", %notice_id, %error, "a notice may be sent again");
        }
        fate
    }

    async fn fate(&self, parcel: &Parcel) -> Result<Fate, StoreError> {
        let mut outgoing = match Outgoing::decode(parcel) {
            Ok(outgoing) => outgoing,
            Err(error) => {
                // Kept for somebody to look at, and in nobody's way.
                tracing::error!(target: "keygate::notice", notice_id = %parcel.id, %error, "a notice cannot be read");
                return Ok(Fate::GivenUp { at: to_millis(self.clock.now()), bytes: parcel.bytes.clone() });
            }
        };
        if !outgoing.is_sure {
            match self.come_to_pass(&outgoing.notice).await? {
                Some(event) => (outgoing.notice.event, outgoing.is_sure) = (event, true),
                None => return Ok(Fate::Forgotten),
            }
        }
        let webhooks = self.webhooks(&outgoing).await?;
        let now = to_millis(self.clock.now());
        let (failed, mut retried) = (outgoing.failed.len(), 0_u64);
        let targets = match outgoing.targets.take() {
            Some(targets) => targets,
            None => self.receivers(&mut outgoing, webhooks.as_ref(), now),
        };
        let (due, later): (Vec<_>, Vec<_>) = targets.into_iter().partition(|target| target.next <= now);
        outgoing.targets = Some(later);
        let notice = outgoing.notice.clone();
        let tried = due.into_iter().map(|target| self.try_target(target, &notice, webhooks.as_ref()));
        for (target, tried) in join_all(tried).await {
            let now = to_millis(self.clock.now());
            match tried {
                Tried::Taken => {
                    self.counters.taken.fetch_add(1, Ordering::Relaxed);
                }
                Tried::Left { why, pause } => outgoing.left(target, why, pause, now),
                Tried::Never(why) => outgoing.give_up(target, why),
                Tried::NotTaken(why) => {
                    Self::say_not_taken(&notice, &target, &why);
                    outgoing.not_taken(target, why.reason(), &why.again(), now);
                    retried += 1;
                }
            }
        }
        let given_up = outgoing.failed.len().saturating_sub(failed) as u64;
        self.counters.given_up.fetch_add(given_up, Ordering::Relaxed);
        self.counters.retried.fetch_add(retried.saturating_sub(given_up), Ordering::Relaxed);
        Ok(match outgoing.next() {
            Some(next) => Fate::Later { due: to_millis(next), bytes: outgoing.encode()? },
            None if outgoing.failed.is_empty() => Fate::Sent,
            None => Fate::GivenUp { at: to_millis(self.clock.now()), bytes: outgoing.encode()? },
        })
    }

    /// What is to be told of something that was announced, by what is in the store; `None` if it has not come to pass.
    async fn come_to_pass(&self, notice: &Notice) -> Result<Option<Event>, StoreError> {
        let event = notice.event.clone();
        let Some(key_id) = event.key().map(|key| key.key_id) else {
            let suspended = |status: Option<ParentStatus>| status == Some(ParentStatus::Suspended);
            let project = if let Event::ProjectSuspended { project_id } = &event { Some(project_id) } else { None };
            let parents = self.store.parents(&notice.organization_id, project).await?;
            let holds = match event {
                Event::OrganizationSuspended => suspended(parents.organization.map(|record| record.status)),
                Event::ProjectSuspended { .. } => suspended(parents.project.map(|record| record.status)),
                _ => true,
            };
            return Ok(holds.then_some(event));
        };
        let record = self.store.record(key_id).await?;
        let record = record.filter(|record| record.key.organization == notice.organization_id);
        Ok(match (event, record) {
            (Event::Created { .. } | Event::Rotated { .. }, None) => None,
            (Event::Rotated { key, hand_over, .. }, Some(record)) => {
                record.key.succession.superseded.map(|superseded| Event::Rotated {
                    key,
                    successor_id: superseded.successor_id,
                    overlap_expires_at: record.key.expires_at.unwrap_or(superseded.at),
                    hand_over,
                })
            }
            (Event::Revoked { .. }, Some(record)) if record.key.status.status != KeyStatus::Revoked => None,
            (Event::Revoked { key, .. }, Some(record)) => {
                Some(Event::Revoked { key, reason: record.key.status.reason.clone() })
            }
            // Where somebody else has changed it since, nobody is stopped by this any more.
            (event @ Event::Deactivated { at, .. }, Some(record)) => {
                let status = &record.key.status;
                (status.status == KeyStatus::Inactive && status.at == at).then_some(event)
            }
            // What is erased was revoked, or has ended.
            (event, _) => Some(event),
        })
    }

    /// The webhooks of the notice's organization, where it matters.
    async fn webhooks(&self, outgoing: &Outgoing) -> Result<Option<WebhookRecord>, StoreError> {
        let is_webhook = |target: &Target| matches!(target.to, Receiver::Webhook(_));
        if outgoing.targets.as_ref().is_some_and(|targets| !targets.iter().any(is_webhook)) {
            return Ok(None);
        }
        self.store.webhooks(&outgoing.notice.organization_id).await
    }

    /// Everybody who is to hear of a notice.
    fn receivers(&self, outgoing: &mut Outgoing, webhooks: Option<&WebhookRecord>, now: DateTime<Utc>) -> Vec<Target> {
        let kind = outgoing.notice.kind();
        let webhooks = webhooks.iter().flat_map(|record| &record.webhooks);
        let webhooks = webhooks.filter(|webhook| webhook.hears(kind)).map(|webhook| Receiver::Webhook(webhook.id));
        let webhooks = webhooks.map(|to| Target::new(to, now));
        // Whether a webhook works is of no interest to the others.
        let notifiers = self.notifiers.keys().filter(|_| kind != NoticeKind::Test);
        let notifiers = notifiers.map(|name| Target::new(Receiver::Notifier(name.clone()), now));
        if outgoing.is_for_notifiers {
            webhooks.for_each(|target| outgoing.give_up(target, "too many notices of the organization waited"));
            return notifiers.collect();
        }
        notifiers.chain(webhooks).collect()
    }

    async fn try_target(&self, target: Target, notice: &Notice, webhooks: Option<&WebhookRecord>) -> (Target, Tried) {
        let tried = match &target.to {
            Receiver::Notifier(name) => match self.notifiers.get(name) {
                Some(notifier) => Tried::from(within(notifier.notify(notice)).await),
                None => Tried::own_trouble("there is no such notifier any more"),
            },
            Receiver::Webhook(id) => {
                let webhook = webhooks.iter().flat_map(|record| &record.webhooks).find(|webhook| webhook.id == *id);
                match webhook {
                    Some(webhook) if webhook.disabled.is_none() => {
                        self.try_webhook(webhook, notice, target.since).await
                    }
                    Some(_) => Tried::Never("it is disabled"),
                    // It was taken away since.
                    None => Tried::Taken,
                }
            }
        };
        (target, tried)
    }

    async fn try_webhook(&self, webhook: &Webhook, notice: &Notice, since: DateTime<Utc>) -> Tried {
        let Some(sender) = &self.sender else { return Tried::own_trouble("this server sends no webhooks") };
        let (now, organization) = (self.clock.now(), &notice.organization_id);
        if let Some(left) = self.leaves_alone(webhook.id) {
            return left;
        }
        let places = self.sending.get_with(webhook.id, || Arc::new(Semaphore::new(SENT_AT_ONCE)));
        let Ok(Ok(_place)) = timeout(PLACE_WAITED_FOR, places.acquire()).await else {
            let pause = ((now - since) / 2).clamp(SHORTEST_PAUSE, LONGEST_WAIT_FOR_A_PLACE);
            return Tried::Left { why: "it was busy with others", pause };
        };
        // Others may have failed while this one waited.
        if let Some(left) = self.leaves_alone(webhook.id) {
            return left;
        }
        let secrets = match webhook.secrets(&self.ring, organization, now) {
            Ok(secrets) => secrets,
            Err(error) => {
                tracing::error!(target: "keygate::notice", webhook_id = %webhook.id, %error, "a webhook's secret is lost");
                return Tried::own_trouble("its secret cannot be opened");
            }
        };
        let sent = within(sender.send(&webhook.url, &secrets, notice)).await;
        match &sent {
            Ok(()) => {
                self.failing.invalidate(&webhook.id);
                if !webhook.is_sealed_under(self.ring.current_id()) {
                    self.reseal(organization, webhook.id).await;
                }
            }
            Err(error) if error.is_gone() => self.disable(organization, webhook.id, error.reason()).await,
            Err(_) => {
                let last = self.clock.now();
                let since = self.failing.get(&webhook.id).map_or(last, |failing| failing.since);
                self.failing.insert(webhook.id, Failing { since, last });
            }
        }
        Tried::from(sent)
    }

    /// Where a webhook takes nothing, for how long it is left alone.
    fn leaves_alone(&self, id: WebhookId) -> Option<Tried> {
        let pause = self.failing.get(&id)?.pause(self.clock.now())?;
        Some(Tried::Left { why: "it took nothing else either", pause })
    }

    /// Sees to it that nothing is sent to a webhook any more. Where it fails, the next notice has the same answer.
    async fn disable(&self, organization: &OrganizationId, id: WebhookId, reason: &str) {
        let at = to_millis(self.clock.now());
        let disable = |webhook: &mut Webhook| {
            let was_told = webhook.disabled.is_none();
            webhook.disabled.get_or_insert_with(|| Disabled { at, reason: reason.to_owned() });
            was_told
        };
        if self.change(organization, id, disable).await {
            let organization_id = organization;
            tracing::warn!(target: "keygate::notice", webhook_id = %id, %organization_id, reason, "a webhook is disabled");
        }
    }

    /// Seals a webhook's secrets under the ring's current entry, now that they are at hand.
    async fn reseal(&self, organization: &OrganizationId, id: WebhookId) {
        let now = self.clock.now();
        let reseal = |webhook: &mut Webhook| {
            let needs_it = !webhook.is_sealed_under(self.ring.current_id());
            webhook.reseal(&self.ring, organization, now);
            needs_it
        };
        self.change(organization, id, reseal).await;
    }

    /// Changes a webhook, unless `change` says that there is nothing to change; and says whether it is changed. The next
    /// notice that is sent there finds it as it was where this fails.
    async fn change(
        &self,
        organization: &OrganizationId,
        id: WebhookId,
        change: impl Fn(&mut Webhook) -> bool,
    ) -> bool {
        for _ in 0..ATTEMPTS {
            let Ok(Some(mut record)) = self.store.webhooks(organization).await else { return false };
            let found = record.revision;
            let Some(webhook) = record.webhooks.iter_mut().find(|webhook| webhook.id == id) else { return false };
            if !change(webhook) {
                return false;
            }
            record.revision = found.next();
            match self.store.put_webhooks(&record, Some(found)).await {
                Err(WriteRefusal::Conflict { .. }) => {}
                Ok(_) => return true,
                Err(error) => {
                    tracing::warn!(target: "keygate::notice", webhook_id = %id, %error, "a webhook is not changed yet");
                    return false;
                }
            }
        }
        false
    }

    fn say_not_taken(notice: &Notice, target: &Target, why: &NotTaken) {
        tracing::warn!(
            target: "keygate::notice",
            notice_id = %notice.id,
            organization_id = %notice.organization_id,
            kind = %notice.kind(),
            receiver = ?target.to,
            attempts = target.attempts + 1,
            reason = ?why.reason(),
            "a notice was not taken"
        );
    }
}

/// What became of one try.
enum Tried {
    Taken,
    NotTaken(NotTaken),
    /// It was not tried, and is not to be.
    Never(&'static str),
    /// It was not tried, and is so much later.
    Left {
        why: &'static str,
        pause: TimeDelta,
    },
}

impl Tried {
    fn own_trouble(why: &'static str) -> Self {
        Self::Left { why, pause: OWN_TROUBLE }
    }
}

impl From<Result<(), NotTaken>> for Tried {
    fn from(taken: Result<(), NotTaken>) -> Self {
        taken.map_or_else(Self::NotTaken, |()| Self::Taken)
    }
}

/// That a webhook takes nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failing {
    /// From when on.
    since: DateTime<Utc>,
    /// When it was last tried.
    last: DateTime<Utc>,
}

impl Failing {
    /// For how long it is to be left alone. One that does not answer must not take the time of all others, so this is as long
    /// as it has failed.
    fn pause(self, now: DateTime<Utc>) -> Option<TimeDelta> {
        let pause = (self.last - self.since).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        let left = self.last + pause - now;
        // A clock that was set back must not make it longer.
        (left > TimeDelta::zero()).then(|| left.min(pause))
    }
}

/// What a receiver says, if it says it in time, and does not panic: a program's own notifier must not take others' notices
/// down with it.
pub(crate) async fn within(taken: impl Future<Output = Result<(), NotTaken>>) -> Result<(), NotTaken> {
    let late = || NotTaken::for_now(format!("it did not answer within {} s", TIMEOUT.as_secs()));
    match timeout(TIMEOUT, AssertUnwindSafe(taken).catch_unwind()).await {
        Ok(Ok(taken)) => taken,
        Ok(Err(_)) => Err(NotTaken::for_now("it panicked")),
        Err(_) => Err(late()),
    }
}
