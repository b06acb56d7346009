//! What is done to keys by themselves, when its time has come.
//!
//! A store lists keys by the [day](crate::store::Store::due) on which something is due. A *run* goes through the lists up to
//! today and does it. However many runs there are at once, and wherever one of them stopped, each step is done once, because
//! it compares the revision of the record it was made from. So that not every instance reads every list, those that run
//! [schedulers](Scheduler) claim each minute, and one of them runs in it.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};
use moka::sync::Cache as MokaCache;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::{ApiKeyManager, ManageError};
use crate::actor::{Actor, Operator};
use crate::audit::{ActTarget, Action};
use crate::clock::to_millis;
use crate::key::KeyId;
use crate::lifecycle::{check_schedule, due, next_rotation};
use crate::names::PrincipalId;
use crate::notice::Posted;
use crate::record::{KeyRecord, KeyStatus, ParentStatus, UserRecord, UserStatus};
use crate::ring::SealError;
use crate::store::{Due, MemoName, StoreError, WriteRefusal};
use crate::usage::period::Day;

/// Who does what is done by itself.
const SCHEDULER: &str = "scheduler";
/// How often there is a run.
const MINUTE: Duration = Duration::from_secs(60);
/// How long a minute that was claimed stays claimed: longer than clocks differ.
const CLAIMED_FOR: Duration = Duration::from_secs(10 * 60);
/// Lists that are read at once.
const IN_FLIGHT: usize = 16;
/// Things that are done to one key, one after the other.
const STEPS: usize = 4;
/// Keys that are read of a list at a time.
const PAGE: usize = 256;
/// How long a key is left alone that is due later on its day, or for which something is waited.
const LOOK_AGAIN: Duration = Duration::from_secs(10 * 60);
/// After how long it is said again that a key waits.
const SAY_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);
/// For how many keys that is remembered.
const REMEMBERED: u64 = 100_000;

/// What a run has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScheduleRun {
    /// Keys that it has rotated.
    pub rotated: u64,
    /// Keys that are due to be rotated and wait, because their new text would have no way to its owner, they are deactivated,
    /// or their schedule cannot be followed. Each is told in the log.
    pub waiting: u64,
    /// Offers that nobody claimed and that are over.
    pub withdrawn: u64,
    /// Keys at which it failed, to be tried again by the next run. Each is told in the log.
    pub failed: u64,
    /// Notices that it has made of what comes with time, such as a key's end.
    #[serde(default)]
    pub told: u64,
    /// Lists that it could not read.
    #[serde(default)]
    pub unread: u64,
}

impl ScheduleRun {
    fn plus(self, other: Self) -> Self {
        Self {
            rotated: self.rotated + other.rotated,
            waiting: self.waiting + other.waiting,
            withdrawn: self.withdrawn + other.withdrawn,
            failed: self.failed + other.failed,
            told: self.told + other.told,
            unread: self.unread + other.unread,
        }
    }
}

/// What all runs of an instance have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScheduleStatistics {
    /// Runs that read what is due.
    pub runs: u64,
    /// Runs that failed before that.
    pub failed_runs: u64,
    /// What they have done, together. What waits is that of the last run, in which a key that was looked at lately is not
    /// looked at again.
    pub done: ScheduleRun,
}

/// The same, while it is counted.
#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<ScheduleStatistics>);

impl Counters {
    pub(super) fn read(&self) -> ScheduleStatistics {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, run: Option<ScheduleRun>) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match run {
            Some(run) => {
                counted.runs += 1;
                counted.done = ScheduleRun { waiting: run.waiting, ..counted.done.plus(run) };
            }
            None => counted.failed_runs += 1,
        }
    }
}

/// What became of a key that was listed.
enum Step {
    Rotated,
    /// It is to be looked at again, not before its time.
    Waiting(&'static str),
    Withdrawn,
    /// It was looked at, and so much was told of it. Something else may be due to it.
    LookedAt(u64),
    /// Nothing is due yet.
    Later,
    /// Nothing is due on this day any more.
    NotDue,
}

/// Which keys are not to be looked at again yet, and of which it was said that they wait.
struct LookedAt {
    keys: MokaCache<KeyId, ()>,
    waiting: MokaCache<KeyId, ()>,
}

impl LookedAt {
    fn new() -> Self {
        let remembering = |time| MokaCache::builder().max_capacity(REMEMBERED).time_to_live(time).build();
        Self { keys: remembering(LOOK_AGAIN), waiting: remembering(SAY_AGAIN) }
    }
}

/// Runs the schedules each minute, until it is [stopped](Self::stop) or dropped. Made by
/// [`ApiKeyManager::start_scheduler`].
#[must_use = "the schedules run while this lives"]
pub struct Scheduler {
    stop: watch::Sender<bool>,
    schedules: JoinHandle<()>,
    notices: JoinHandle<()>,
}

impl Scheduler {
    /// Stops after the key that is under way, and the notices that are. Dropping the future does not wait for that.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // It has panicked, or its runtime has ended: either way it has stopped.
        let _ = self.schedules.await;
        let _ = self.notices.await;
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("is_finished", &self.schedules.is_finished()).finish_non_exhaustive()
    }
}

impl ApiKeyManager {
    /// Runs the schedules each minute from now on, in tasks of the present tokio runtime: keys whose time has come are rotated by
    /// themselves, [notices](crate::notice) of what comes with time are made, and the [audits](Self::walk_audits) of some
    /// organizations are put in order; and each second notices are brought to their receivers. Any number of instances may; one of them runs in each minute. A store that fails is asked again
    /// in the next.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start_scheduler(&self) -> Scheduler {
        let (stop, stopped) = watch::channel(false);
        let (manager, post) = (self.clone(), Arc::clone(&self.inner.post));
        let notices = tokio::spawn(post.run(stopped.clone()));
        let schedules = tokio::spawn(async move { manager.run_each_minute(stopped).await });
        Scheduler { stop, schedules, notices }
    }

    /// Does all that is due now, whoever has claimed this minute, and says what that was: for those who have no scheduler, or
    /// do not wait for it. Dropping the future stops it between two steps of the store.
    ///
    /// # Errors
    /// When the store does not list what is due. What goes wrong with one key is counted, and stops none of the others.
    pub async fn run_schedules(&self, operator: &Operator) -> Result<ScheduleRun, ManageError> {
        self.confirm_current().await?;
        self.run(&operator.clone().into(), &LookedAt::new(), &never()).await
    }

    async fn run_each_minute(&self, stopped: watch::Receiver<bool>) {
        let Ok(principal) = PrincipalId::new(SCHEDULER) else { return };
        let actor = Actor::from(Operator::named(principal));
        let looked_at = LookedAt::new();
        let mut minutes = interval(MINUTE);
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut told = stopped.clone();
            let is_told = told.wait_for(|stopped| *stopped);
            if let Either::Right(_) = select(pin!(minutes.tick()), pin!(is_told)).await {
                return;
            }
            let run = async {
                // First, so that an instance that could do nothing leaves the minute to the others.
                self.confirm_current().await?;
                if self.claim_minute().await? {
                    self.run(&actor, &looked_at, &stopped).await.map(Some)
                } else {
                    Ok(None)
                }
            };
            let run = run.await;
            let is_ours = matches!(run, Ok(Some(_)));
            match run {
                Ok(Some(run)) if run != ScheduleRun::default() => {
                    let ScheduleRun { rotated, waiting, withdrawn, failed, told, unread: _ } = run;
                    tracing::info!(target: "keygate::schedule", rotated, waiting, withdrawn, failed, told, "schedules were run");
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(target: "keygate::schedule", %error, "schedules were not run; they are again in a minute");
                }
            }
            // Acts that others left open, where this instance has seen them, and what is too old.
            self.inner.audit.tidy_all().await;
            self.trim_audits().await;
            if is_ours {
                // It goes on in the next where it is stopped.
                let mut told = stopped.clone();
                let is_told = told.wait_for(|stopped| *stopped);
                select(pin!(self.walk_audits()), pin!(is_told)).await;
            }
        }
    }

    /// Whether this instance is the one that runs in the present minute.
    async fn claim_minute(&self) -> Result<bool, ManageError> {
        let minute = self.inner.clock.now().timestamp().div_euclid(60);
        let name = MemoName::of("keygate/v1 schedules", &[&minute.to_be_bytes()]);
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)?;
        let held = self.inner.store.remember(&name, &nonce, CLAIMED_FOR).await?;
        // Its own, when the call was repeated on its way.
        Ok(held.is_none_or(|held| held == nonce))
    }

    async fn run(
        &self,
        actor: &Actor,
        looked_at: &LookedAt,
        stopped: &watch::Receiver<bool>,
    ) -> Result<ScheduleRun, ManageError> {
        let buckets = stream::iter(0..self.inner.store.due_buckets());
        let mut runs =
            buckets.map(|bucket| self.run_bucket(actor, bucket, looked_at, stopped)).buffer_unordered(IN_FLIGHT);
        let (mut all, mut is_any_read, mut failure) = (ScheduleRun::default(), false, None);
        while let Some(run) = runs.next().await {
            match run {
                Ok(run) => (all, is_any_read) = (all.plus(run), true),
                // The other lists may be in another part of the store.
                Err(error) => {
                    all.unread += 1;
                    failure = Some(error);
                }
            }
        }
        let is_read = failure.is_none() || is_any_read;
        self.inner.schedules.count(is_read.then_some(all));
        match failure {
            Some(error) if !is_read => Err(error.into()),
            Some(error) => {
                tracing::warn!(target: "keygate::schedule", lists = all.unread, %error, "lists of what is due were not read");
                Ok(all)
            }
            None => Ok(all),
        }
    }

    async fn run_bucket(
        &self,
        actor: &Actor,
        bucket: u16,
        looked_at: &LookedAt,
        stopped: &watch::Receiver<bool>,
    ) -> Result<ScheduleRun, StoreError> {
        let mut run = ScheduleRun::default();
        let mut after = None;
        loop {
            let today = Day::of(self.inner.clock.now());
            let listed = self.inner.store.due(bucket, today, after, PAGE).await?;
            after = listed.last().copied();
            let is_last = listed.len() < PAGE;
            for listed in listed {
                if *stopped.borrow() {
                    return Ok(run);
                }
                if looked_at.keys.contains_key(&listed.id) {
                    continue;
                }
                self.step(actor, bucket, listed, looked_at, &mut run).await;
            }
            if is_last {
                return Ok(run);
            }
        }
    }

    /// Does what is due to one key.
    async fn step(&self, actor: &Actor, bucket: u16, listed: Due, looked_at: &LookedAt, run: &mut ScheduleRun) {
        for _ in 0..STEPS {
            if !self.one_step(actor, bucket, listed, looked_at, run).await {
                return;
            }
        }
    }

    /// Does one thing that is due to a key, and says whether there may be another.
    async fn one_step(
        &self,
        actor: &Actor,
        bucket: u16,
        listed: Due,
        looked_at: &LookedAt,
        run: &mut ScheduleRun,
    ) -> bool {
        let key_id = listed.id;
        let record = match self.inner.store.record(key_id).await {
            Ok(record) => record,
            Err(error) => {
                run.failed += 1;
                tracing::warn!(target: "keygate::schedule", %key_id, %error, "what is due to a key was not done");
                return false;
            }
        };
        let seen = record.as_ref().map(|record| record.key.revision);
        let done = match &record {
            Some(record) => self.do_what_is_due(actor, record, listed.day).await,
            None => Ok(Step::NotDue),
        };
        match done {
            Ok(Step::Rotated) => run.rotated += 1,
            Ok(Step::Withdrawn) => run.withdrawn += 1,
            Ok(Step::LookedAt(told)) => {
                run.told += told;
                return true;
            }
            Ok(Step::Waiting(why)) => {
                run.waiting += 1;
                looked_at.keys.insert(key_id, ());
                if !looked_at.waiting.contains_key(&key_id) {
                    looked_at.waiting.insert(key_id, ());
                    tracing::warn!(target: "keygate::schedule", %key_id, why, "a key is due to be rotated, and waits");
                }
            }
            Ok(Step::Later) => looked_at.keys.insert(key_id, ()),
            Ok(Step::NotDue) => {
                looked_at.keys.insert(key_id, ());
                // What stays on the list is looked at again.
                if let Err(error) = self.inner.store.not_due(bucket, listed, seen).await {
                    tracing::debug!(target: "keygate::schedule", %key_id, %error, "a key stays on a list");
                }
            }
            // Somebody else has rotated, changed or revoked it meanwhile: what is due of it now, the next run sees.
            Err(
                ManageError::Superseded { .. }
                | ManageError::Conflict { .. }
                | ManageError::Revoked
                | ManageError::NotFound,
            ) => {}
            Err(error) => {
                run.failed += 1;
                tracing::warn!(target: "keygate::schedule", %key_id, %error, "what is due to a key was not done");
            }
        }
        false
    }

    async fn do_what_is_due(&self, actor: &Actor, record: &KeyRecord, listed: Day) -> Result<Step, ManageError> {
        let (key, now) = (&record.key, self.inner.clock.now());
        match due(record) {
            Some(at) if at <= now => {}
            Some(at) if Day::of(at) == listed => return Ok(Step::Later),
            _ => return Ok(Step::NotDue),
        }
        if record.look_at.is_none_or(|at| at > now) {
            return self.rotate_or_withdraw(actor, record, now).await;
        }
        match self.look(record, now).await {
            Ok(step) => Ok(step),
            // Others have changed it: what is due of it now, the next run sees.
            Err(conflict @ ManageError::Conflict { .. }) => Err(conflict),
            // That nothing can be told must not keep a key from being rotated.
            Err(error) => match self.rotate_or_withdraw(actor, record, now).await? {
                step @ (Step::Rotated | Step::Withdrawn) => {
                    let key_id = key.id;
                    tracing::warn!(target: "keygate::schedule", %key_id, %error, "what comes with time is not told of a key yet");
                    Ok(step)
                }
                _ => Err(error),
            },
        }
    }

    /// Does what is due to a key but telling of it.
    async fn rotate_or_withdraw(
        &self,
        actor: &Actor,
        record: &KeyRecord,
        now: DateTime<Utc>,
    ) -> Result<Step, ManageError> {
        let key = &record.key;
        // Whatever makes an ended key usable again lists it again.
        if key.is_expired(now) {
            return if record.offer.is_some() { self.withdraw(record).await } else { Ok(Step::NotDue) };
        }
        if next_rotation(key).is_none_or(|at| at > now) {
            return Ok(Step::NotDue);
        }
        if let Some(why) = self.waits(record, now).await? {
            return Ok(Step::Waiting(why));
        }
        let hands = !key.succession.hand_over;
        let mut act = self.act(actor, Action::KeyRotate, ActTarget::key(key.id));
        let rotated = self.rotate_in(&mut act, actor, key.id, None, None, hands).await;
        match act.close_if_begun(rotated).await {
            Ok(_) => Ok(Step::Rotated),
            Err(ManageError::NotTaken) => Ok(Step::Waiting("no notifier took its new text")),
            Err(ManageError::StillOverlapping) => Ok(Step::Waiting("two earlier keys of its line are good still")),
            Err(ManageError::SensitiveDamaged(_) | ManageError::Sealed(SealError::UnknownEntry(_))) => {
                Ok(Step::Waiting("a sensitive field of it cannot be opened"))
            }
            Err(error) => Err(error),
        }
    }

    /// Tells what is to be told of a key, and writes down until when it was looked at. Where that fails after it was told, the
    /// same is told again, which is no second notice.
    async fn look(&self, record: &KeyRecord, now: DateTime<Utc>) -> Result<Step, ManageError> {
        let (post, key, now) = (&self.inner.post, &record.key, to_millis(now));
        let last_use = if post.policy().asks_for_use() {
            let uses = self.inner.store.last_uses(&[key.id]).await?;
            uses.into_iter().next().flatten().map(|last| last.at)
        } else {
            None
        };
        let notices = post.policy().told(record, last_use, now);
        let mut told = 0;
        for (id, event) in notices {
            let posted = post.tell(&post.notice(&key.organization, id, event)).await?;
            told += u64::from(posted == Some(Posted::New));
        }
        let look_at = post.policy().next_look(key, last_use, now);
        self.inner.put_back(KeyRecord { looked_at: Some(now), look_at, ..record.clone() }).await?;
        Ok(Step::LookedAt(told))
    }

    /// Why a key that is due is not rotated yet: nobody could claim its successor before it ends, or nobody needs one.
    async fn waits(&self, record: &KeyRecord, now: DateTime<Utc>) -> Result<Option<&'static str>, ManageError> {
        let key = &record.key;
        if key.status.status != KeyStatus::Active {
            return Ok(Some("it is deactivated"));
        }
        if key.not_before.is_some_and(|begin| now < begin) {
            return Ok(Some("it has not begun"));
        }
        let reaches_owner = key.succession.hand_over || self.inner.post.takers_of_keys().next().is_some();
        if !reaches_owner || key.rotation_schedule.is_some_and(|schedule| schedule.overlap_days == 0) {
            return Ok(Some("nobody would be handed its new text: turn its hand-over on, or rotate it by hand"));
        }
        if record.unclaimed {
            return Ok(Some("it was made by a rotation, and was not used since"));
        }
        if check_schedule(key).is_err() {
            return Ok(Some("its overlap is longer than its life"));
        }
        let parents = self.inner.store.parents(&key.organization, key.project.as_ref()).await?;
        if parents.roles.is_some() && self.read_user(&key.organization, &key.user).await?.is_some_and(is_stopped) {
            return Ok(Some("its user is suspended, or has left"));
        }
        let of_organization = parents.organization.map(|organization| organization.status);
        let of_project = parents.project.map(|project| project.status);
        let is_suspended = [of_organization, of_project].contains(&Some(ParentStatus::Suspended));
        Ok(is_suspended.then_some("its organization or its project is suspended"))
    }

    /// Takes an offer that is over out of the record. A revoked record is not written any more, and what it offers not handed
    /// to anybody.
    async fn withdraw(&self, record: &KeyRecord) -> Result<Step, ManageError> {
        match self.inner.replace(KeyRecord { offer: None, ..record.clone() }).await {
            Ok(_) => {
                self.warn_of_unused(record).await;
                Ok(Step::Withdrawn)
            }
            Err(WriteRefusal::Revoked) => Ok(Step::NotDue),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Says so when a key has ended whose holder has no other.
    async fn warn_of_unused(&self, record: &KeyRecord) {
        let Some(superseded) = record.key.succession.superseded else { return };
        let successor_id = superseded.successor_id;
        if matches!(self.inner.store.record(successor_id).await, Ok(Some(successor)) if successor.unclaimed) {
            tracing::warn!(
                target: "keygate::schedule",
                key_id = %record.key.id,
                %successor_id,
                "a rotated key has ended, and its successor was never used: its holder may have no key that works"
            );
        }
    }
}

fn is_stopped(user: UserRecord) -> bool {
    user.status != UserStatus::Active
}

/// Nobody stops it.
fn never() -> watch::Receiver<bool> {
    watch::channel(false).1
}
