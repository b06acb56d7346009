//! What is done to keys by themselves, when its time has come.
//!
//! A store lists keys by the [day](crate::store::Store::due) on which something is due. A *run* goes through the lists up to
//! today and does it. However many runs there are at once, and wherever one of them stopped, each step is done once, because
//! it compares the revision of the record it was made from. So that not every instance reads every list, those that run
//! [schedulers](Scheduler) claim each minute, and one of them runs in it.

use std::fmt;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use moka::sync::Cache as MokaCache;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::{ApiKeyManager, ManageError};
use crate::actor::{Actor, Operator};
use crate::coherence::{Change, Watcher};
use crate::key::KeyId;
use crate::lifecycle::{check_schedule, due, next_rotation};
use crate::names::PrincipalId;
use crate::record::{KeyRecord, KeyState};
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
/// Keys that are read of a list at a time.
const PAGE: usize = 256;
/// How long a key is left alone that is due later on its day, or for which something is waited.
const LOOK_AGAIN: Duration = Duration::from_secs(10 * 60);
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
}

impl ScheduleRun {
    fn plus(self, other: Self) -> Self {
        Self {
            rotated: self.rotated + other.rotated,
            waiting: self.waiting + other.waiting,
            withdrawn: self.withdrawn + other.withdrawn,
            failed: self.failed + other.failed,
        }
    }
}

/// What became of a key that was listed.
enum Step {
    Rotated,
    /// It is to be looked at again, not before its time.
    Waiting(&'static str),
    Withdrawn,
    /// Nothing is due yet.
    Later,
    /// Nothing is due on this day any more.
    NotDue,
}

/// Which keys are not to be looked at again yet.
#[derive(Clone)]
pub(super) struct LookedAt(MokaCache<KeyId, ()>);

impl LookedAt {
    pub(super) fn new() -> Self {
        Self(MokaCache::builder().max_capacity(REMEMBERED).time_to_live(LOOK_AGAIN).build())
    }
}

/// Runs the schedules each minute, until it is [stopped](Self::stop) or dropped. Made by
/// [`ApiKeyManager::start_scheduler`].
#[must_use = "the schedules run while this lives"]
pub struct Scheduler {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Scheduler {
    /// Stops after the key that is under way. Dropping the future does not wait for that.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // It has panicked, or its runtime has ended: either way it has stopped.
        let _ = self.task.await;
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("is_finished", &self.task.is_finished()).finish_non_exhaustive()
    }
}

impl ApiKeyManager {
    /// Runs the schedules each minute from now on, in a task of the present tokio runtime: keys whose time has come are
    /// rotated by themselves. Any number of instances may; one of them runs in each minute. A store that fails is asked again
    /// in the next.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start_scheduler(&self) -> Scheduler {
        let (stop, stopped) = watch::channel(false);
        let manager = self.clone();
        let task = tokio::spawn(async move { manager.run_each_minute(stopped).await });
        Scheduler { stop, task }
    }

    /// Does all that is due now, whoever has claimed this minute, and says what that was: for those who have no scheduler, or
    /// do not wait for it. Dropping the future stops it between two steps of the store.
    ///
    /// # Errors
    /// When the store does not list what is due. What goes wrong with one key is counted, and stops none of the others.
    pub async fn run_schedules(&self, operator: &Operator) -> Result<ScheduleRun, ManageError> {
        self.run(&operator.clone().into(), &LookedAt::new(), &never()).await
    }

    async fn run_each_minute(&self, mut stopped: watch::Receiver<bool>) {
        let Ok(principal) = PrincipalId::new(SCHEDULER) else { return };
        let actor = Actor::from(Operator::named(principal));
        let looked_at = LookedAt::new();
        let mut minutes = interval(MINUTE);
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = minutes.tick() => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            let run = async {
                if self.claim_minute().await? {
                    self.run(&actor, &looked_at, &stopped).await.map(Some)
                } else {
                    Ok(None)
                }
            };
            match run.await {
                Ok(Some(run)) if run != ScheduleRun::default() => {
                    let ScheduleRun { rotated, waiting, withdrawn, failed } = run;
                    tracing::info!(target: "keygate::schedule", rotated, waiting, withdrawn, failed, "schedules were run");
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(target: "keygate::schedule", %error, "schedules were not run; they are again in a minute");
                }
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
        self.confirm_current().await?;
        let buckets = stream::iter(0..self.inner.store.due_buckets());
        let mut runs =
            buckets.map(|bucket| self.run_bucket(actor, bucket, looked_at, stopped)).buffer_unordered(IN_FLIGHT);
        let (mut all, mut failure) = (ScheduleRun::default(), None);
        while let Some(run) = runs.next().await {
            match run {
                Ok(run) => all = all.plus(run),
                // The other lists may be in another part of the store.
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(all), |error| Err(error.into()))
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
                if looked_at.0.contains_key(&listed.id) {
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
        let key_id = listed.id;
        let record = match self.inner.store.record(key_id).await {
            Ok(record) => record,
            Err(error) => {
                run.failed += 1;
                tracing::warn!(target: "keygate::schedule", %key_id, %error, "what is due to a key was not done");
                return;
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
            Ok(Step::Waiting(why)) => {
                run.waiting += 1;
                looked_at.0.insert(key_id, ());
                tracing::warn!(target: "keygate::schedule", %key_id, why, "a key is due to be rotated, and waits");
            }
            Ok(Step::Later) => looked_at.0.insert(key_id, ()),
            Ok(Step::NotDue) => {
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
    }

    async fn do_what_is_due(&self, actor: &Actor, record: &KeyRecord, listed: Day) -> Result<Step, ManageError> {
        let (key, now) = (&record.key, self.inner.clock.now());
        match due(record) {
            Some(at) if at <= now => {}
            Some(at) if Day::of(at) == listed => return Ok(Step::Later),
            _ => return Ok(Step::NotDue),
        }
        let state = key.state(now);
        if record.offer.is_some() && !matches!(state, KeyState::Active | KeyState::Inactive) {
            return self.withdraw(record).await;
        }
        if next_rotation(key).is_none_or(|at| at > now) {
            return Ok(Step::NotDue);
        }
        match state {
            // Whatever makes it usable again lists it again.
            KeyState::Revoked | KeyState::Expired => return Ok(Step::NotDue),
            KeyState::Inactive => return Ok(Step::Waiting("it is deactivated")),
            KeyState::Active => {}
        }
        if !key.succession.hand_over {
            return Ok(Step::Waiting(
                "nobody would be handed its new text: turn its hand-over on, or rotate it by hand",
            ));
        }
        if check_schedule(key).is_err() {
            return Ok(Step::Waiting("its overlap is longer than its life"));
        }
        self.rotate(actor, key.id, None).await?;
        Ok(Step::Rotated)
    }

    /// Takes an offer that is over out of the record. A revoked record is not written any more, and what it offers not handed
    /// to anybody.
    async fn withdraw(&self, record: &KeyRecord) -> Result<Step, ManageError> {
        let mut next = record.clone();
        next.offer = None;
        next.key.revision = record.key.revision.next();
        let replaced = self.inner.store.replace(&next, record.key.revision).await;
        self.inner.cache.changed(&Change::Key(record.key.id));
        match replaced {
            Ok(_) => Ok(Step::Withdrawn),
            Err(WriteRefusal::Revoked) => Ok(Step::NotDue),
            Err(refusal) => Err(refusal.into()),
        }
    }
}

/// Nobody stops it.
fn never() -> watch::Receiver<bool> {
    watch::channel(false).1
}
