//! The part in the background: examines what was seen, and sees to what comes of it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use moka::sync::Cache;
use tokio::task::JoinHandle;

use super::acquaintance::{Acquaintance, Asks, Spread, Value};
use super::finding::{Finding, Measured, Rule};
use super::habits::{Habits, Kind, Learned};
use super::policy::AnomalyPolicy;
use super::rules::error_rate::{UsualErrors, Window};
use super::rules::unfamiliar::{self, tolerated};
use super::rules::volume::Season;
use super::rules::{dormant, spread};
use super::sighting::{Sighting, Whom};
use super::statistics::{AnomalyStatistics, Counters, add};
use crate::clock::Clock;
use crate::complaints::Complaint;
use crate::key::KeyId;
use crate::patience::at_most;
use crate::record::Key;
use crate::store::{Store, StoreError};
use crate::usage::batch::Delta;
use crate::usage::book::Account;
use crate::usage::period::{Day, Hour};
use crate::usage::series::Series;
use crate::usage::subject::Subject;

/// How many keys an instance is acquainted with.
const KEYS: u64 = 100_000;
/// Of how many keys sightings wait.
const WAITING: usize = 20_000;
/// With how many keys it gets acquainted at once, before others have their turn.
const OPENED: usize = 500;
/// How many sightings are examined at once.
const AT_ONCE: usize = 16;
/// How many findings wait for a store that fails.
const PENDING: usize = 1_000;
/// How long a finding's notice waits for the outbox.
const TOLD_WITHIN: Duration = Duration::from_secs(1);
/// How often it is tried to put back what was learned, when others learn at the same time.
const ATTEMPTS: usize = 5;
/// The days that are read of an account: those that errors are compared with.
const DAYS_READ: u32 = 7;

/// What is done about a finding beside telling of it.
#[async_trait]
pub(crate) trait Hand: Send + Sync {
    /// Deactivates the finding's key, and says whether it did; an error where it is to be tried again.
    async fn suspend(&self, finding: &Finding) -> Result<bool, StoreError>;

    /// Has those told of it who are to hear of it: once, however often it is found.
    async fn tell(&self, finding: &Finding) -> Result<(), StoreError>;
}

type Hook = Arc<dyn Fn(&Finding) + Send + Sync>;

/// Looks for what is unusual.
pub(crate) struct Sentry {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    policy: AnomalyPolicy,
    hook: Option<Hook>,
    hand: OnceLock<Box<dyn Hand>>,
    waiting: Mutex<HashMap<KeyId, (Whom, Sighting)>>,
    keys: Cache<KeyId, Arc<Mutex<Acquaintance>>>,
    /// What is still to be recorded, and what to be suspended.
    pending: Mutex<VecDeque<(Step, Finding)>>,
    /// What is recorded, and still to be told of.
    untold: Mutex<VecDeque<Finding>>,
    /// One who examines at a time.
    turn: tokio::sync::Mutex<()>,
    counters: Counters,
    complaint: Complaint,
    working: Mutex<Option<JoinHandle<()>>>,
    myself: Weak<Self>,
}

/// What is to be done next about a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Record,
    Suspend,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sentry {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        policy: AnomalyPolicy,
        hook: Option<Hook>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            store,
            clock,
            policy,
            hook,
            hand: OnceLock::new(),
            waiting: Mutex::default(),
            keys: Cache::new(KEYS),
            pending: Mutex::default(),
            untold: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            counters: Counters::default(),
            complaint: Complaint::default(),
            working: Mutex::default(),
            myself: Weak::clone(myself),
        })
    }

    /// Has it suspend keys by this hand.
    pub(crate) fn give(&self, hand: Box<dyn Hand>) {
        let _ = self.hand.set(hand);
    }

    /// Takes what was counted of a key. It never waits: what there is no room for is dropped.
    pub(crate) fn offer(&self, key: &Key, delta: &Delta) {
        if self.policy.is_off() {
            return;
        }
        self.see(Whom::of(key), Sighting::of(delta));
    }

    /// Takes what was seen of a key.
    pub(super) fn see(&self, whom: Whom, sighting: Sighting) {
        let mut waiting = lock(&self.waiting);
        if let Some((_, before)) = waiting.get_mut(&whom.key) {
            before.add(sighting);
        } else if waiting.len() < WAITING {
            waiting.insert(whom.key, (whom, sighting));
        } else {
            add(&self.counters.dropped, 1);
        }
    }

    /// Has what waits examined, unless somebody does.
    pub(crate) fn wake(&self) {
        if lock(&self.waiting).is_empty() && lock(&self.pending).is_empty() && lock(&self.untold).is_empty() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut working = lock(&self.working);
        if working.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let Some(sentry) = self.myself.upgrade() else { return };
        *working = Some(runtime.spawn(async move { sentry.run().await }));
    }

    /// Examines what waits.
    pub(crate) async fn run(&self) {
        let _turn = self.turn.lock().await;
        self.go_on().await;
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        let (opened, fails) = (AtomicUsize::new(0), AtomicBool::new(false));
        let examine = async |(whom, sighting): (Whom, Sighting)| {
            let is_known = self.keys.contains_key(&whom.key);
            let may_open = is_known || opened.fetch_add(1, Ordering::Relaxed) < OPENED;
            // A store that has just failed is not asked for all the others as well.
            if !may_open || fails.load(Ordering::Relaxed) {
                self.see(whom, sighting);
                return;
            }
            match self.examine(&whom, &sighting).await {
                Ok(findings) => {
                    add(&self.counters.examined, 1);
                    for finding in findings {
                        self.settle(Step::Record, finding).await;
                    }
                }
                Err(error) => {
                    fails.store(true, Ordering::Relaxed);
                    self.fails(&error);
                }
            }
        };
        futures_util::stream::iter(waiting.into_values()).for_each_concurrent(AT_ONCE, examine).await;
        self.tell_again().await;
    }

    pub(crate) fn statistics(&self) -> AnomalyStatistics {
        self.keys.run_pending_tasks();
        self.counters.statistics(lock(&self.waiting).len(), self.keys.entry_count())
    }

    fn fails(&self, error: &StoreError) {
        add(&self.counters.failures, 1);
        self.complaint.at(self.clock.tick(), |unsaid| {
            tracing::warn!(%error, store = %self.store.describe(), unsaid, "use of keys cannot be examined now");
        });
    }

    async fn examine(&self, whom: &Whom, sighting: &Sighting) -> Result<Vec<Finding>, StoreError> {
        let now = self.clock.now();
        let known = match self.keys.get(&whom.key) {
            Some(known) => known,
            None => {
                let mut known = Acquaintance::new(Day::of(now));
                let habits = self.store.habits(whom.key).await?;
                if let Some(habits) = habits.as_deref().and_then(Habits::decode) {
                    known.habits.merge(&habits);
                }
                let known = Arc::new(Mutex::new(known));
                self.keys.insert(whom.key, Arc::clone(&known));
                known
            }
        };
        let asks = lock(&known).see(whom, sighting, &self.policy, self.store.instances(), now);
        let examination = Examination { sentry: self, whom, known: &known, now, today: Day::of(now) };
        let mut findings = Vec::new();
        let Asks { dormant, volume, errors, values, spread } = asks;
        findings.extend(examination.spread(spread));
        let is_busier = spread.is_some_and(|spread| lock(&known).habits.was_busy(spread.networks, examination.today));
        // Learned before anything else is asked, so that nothing of it is new again when that fails.
        let new = if values.is_empty() && !is_busier { Vec::new() } else { examination.learn(&values).await? };
        if dormant || volume.is_some() || errors || !new.is_empty() {
            let days = Day(examination.today.0.saturating_sub(DAYS_READ))..=examination.today;
            let account = self.store.usage(&Subject::Key(whom.key), days).await?.unwrap_or_default();
            if dormant {
                findings.extend(examination.dormant(&account.series).await?);
            }
            findings.extend(volume.and_then(|hour| examination.volume(hour, &account.series)));
            findings.extend(errors.then(|| examination.errors(&account)).flatten());
            findings.extend(new.into_iter().filter_map(|new| examination.unfamiliar(new, &account.series)));
        }
        lock(&known).is_awake(examination.today);
        Ok(findings)
    }

    /// Does what is still to be done.
    async fn go_on(&self) {
        let pending = std::mem::take(&mut *lock(&self.pending));
        for (step, finding) in pending {
            self.settle(step, finding).await;
        }
    }

    /// Does the next step, and what follows from it.
    async fn settle(&self, mut step: Step, finding: Finding) {
        let error = loop {
            let done = match step {
                Step::Record => self.record(&finding).await,
                Step::Suspend => self.suspend(&finding).await.map(|()| None),
            };
            match done {
                Ok(Some(next)) => step = next,
                Ok(None) => return,
                Err(error) => break error,
            }
        };
        self.fails(&error);
        self.keep(&self.pending, (step, finding));
    }

    /// Tells of what could not be told before, until the outbox fails again.
    async fn tell_again(&self) {
        loop {
            let Some(finding) = lock(&self.untold).pop_front() else { return };
            if let Err(error) = self.notify(&finding).await {
                lock(&self.untold).push_front(finding);
                return self.fails(&error);
            }
        }
    }

    /// Keeps something for when the store does not fail any more. What there is no room for is dropped.
    fn keep<T>(&self, queue: &Mutex<VecDeque<T>>, one: T) {
        let mut queue = lock(queue);
        if queue.len() < PENDING {
            queue.push_back(one);
        } else {
            add(&self.counters.dropped, 1);
        }
    }

    /// Records a finding and tells of it, unless it is recorded already; and says what is to be done then.
    async fn record(&self, finding: &Finding) -> Result<Option<Step>, StoreError> {
        // First, so that what is recorded is told of, wherever this instance stops. What is found again is told of once. An
        // outbox that fails must not keep the key from being suspended.
        if !lock(&self.untold).is_empty() {
            self.keep(&self.untold, finding.clone());
        } else if let Err(error) = self.notify(finding).await {
            self.fails(&error);
            self.keep(&self.untold, finding.clone());
        }
        if !self.store.record_finding(finding).await? {
            add(&self.counters.known, 1);
            return Ok(None);
        }
        add(&self.counters.findings, 1);
        self.tell(finding);
        Ok(self.policy.suspends_on(finding.rule).then_some(Step::Suspend))
    }

    async fn notify(&self, finding: &Finding) -> Result<(), StoreError> {
        let Some(hand) = self.hand.get() else { return Ok(()) };
        let late = || StoreError::unavailable(format!("the outbox did not answer within {} s", TOLD_WITHIN.as_secs()));
        at_most(TOLD_WITHIN, hand.tell(finding)).await.ok_or_else(late)?
    }

    async fn suspend(&self, finding: &Finding) -> Result<(), StoreError> {
        let hand = self.hand.get().filter(|_| !finding.organization_id.is_system());
        if let Some(hand) = hand
            && hand.suspend(finding).await?
        {
            add(&self.counters.suspended, 1);
        }
        Ok(())
    }

    fn tell(&self, finding: &Finding) {
        let Finding { id, rule, key_id, organization_id, value, observed, expected, sample_size, detail, .. } = finding;
        tracing::warn!(
            target: "keygate::anomaly",
            finding_id = %id,
            rule = %rule,
            %key_id,
            %organization_id,
            value = ?value,
            observed,
            expected,
            sample_size,
            "{detail}"
        );
        if let Some(hook) = &self.hook {
            hook(finding);
        }
    }
}

impl fmt::Debug for Sentry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sentry").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// A value that was new to the key, and what was known of the key then.
struct New {
    value: Value,
    days: u32,
    lately: usize,
    known: usize,
}

/// The examination of one sighting.
struct Examination<'a> {
    sentry: &'a Sentry,
    whom: &'a Whom,
    known: &'a Mutex<Acquaintance>,
    now: DateTime<Utc>,
    today: Day,
}

impl Examination<'_> {
    fn finding(&self, rule: Rule, value: Option<String>, measured: Measured, detail: String) -> Finding {
        let whom = (self.whom.key, self.whom.organization.clone());
        Finding::new(rule, whom, self.now, value, measured, detail)
    }

    /// A finding of a rule that finds once a day.
    fn daily(&self, rule: Rule, measured: Measured, detail: String) -> Finding {
        lock(self.known).finds(rule, self.today);
        self.finding(rule, None, measured, detail)
    }

    fn spread(&self, seen: Option<Spread>) -> Option<Finding> {
        let Spread { networks, new } = seen?;
        let policy = &self.sentry.policy;
        let (days, busiest) = {
            let known = lock(self.known);
            if known.has_found(Rule::AddressSpread, self.today) {
                return None;
            }
            (known.habits.days(Kind::Network, self.today), known.habits.busiest(self.today))
        };
        if days < policy.learning_days {
            return None;
        }
        let found = spread::judge(networks, new, busiest, days, policy.spread_networks)?;
        let detail = format!(
            "Used from {networks} networks within an hour, {new} of them new; {busiest} was the most of an hour in the \
             last weeks."
        );
        Some(self.daily(Rule::AddressSpread, found, detail))
    }

    /// Adds these to the key's habits, wherever they are kept, and says which of them nobody knew.
    async fn learn(&self, values: &[Value]) -> Result<Vec<New>, StoreError> {
        let store = &self.sentry.store;
        for _ in 0..ATTEMPTS {
            let stored = store.habits(self.whom.key).await?;
            let mut habits = lock(self.known).habits.clone();
            if let Some(stored) = stored.as_deref().and_then(Habits::decode) {
                habits.merge(&stored);
            }
            let mut new = Vec::new();
            for value in values {
                if let Learned::New { days, lately, known } = habits.see(value.kind, value.digest, self.today) {
                    new.push(New { value: value.clone(), days, lately, known });
                }
            }
            let next = habits.encode();
            let is_kept = stored.as_deref() == Some(&*next);
            if is_kept || store.put_habits(self.whom.key, stored.as_deref(), &next).await? {
                lock(self.known).habits = habits;
                new.retain(|new| new.days >= self.sentry.policy.learning_days);
                return Ok(new);
            }
        }
        // Others learn of this key at the same time: the next sighting finds what they have learned.
        Ok(Vec::new())
    }

    async fn dormant(&self, series: &Series) -> Result<Option<Finding>, StoreError> {
        let (days, created) = (self.sentry.policy.dormant_days, Day::of(self.whom.created_at));
        let mut first = None;
        if dormant::needs_organization(series, created, self.today, days) {
            let organization = Subject::Organization(self.whom.organization.clone());
            let account = self.sentry.store.usage(&organization, self.today..=self.today).await?;
            let days = account.iter().flat_map(|account| account.series.days());
            first = days.filter(|(_, count)| *count > 0).map(|(day, _)| day).min();
        }
        let Some(found) = dormant::judge(series, created, first, self.today, days) else { return Ok(None) };
        let detail = match found.sample_size {
            0 => format!("Used for the first time, after {} days without a request.", found.observed),
            _ => format!(
                "Used again after {} days without a request; {} was the most before.",
                found.observed, found.expected
            ),
        };
        Ok(Some(self.daily(Rule::DormantAwakened, found, detail)))
    }

    fn volume(&self, hour: Hour, series: &Series) -> Option<Finding> {
        let policy = &self.sentry.policy;
        let season = Season::before(hour, series, policy.volume_floor, policy.volume_sigmas);
        lock(self.known).season = season.map(Box::new);
        let requests = series.hours().find(|(number, _)| *number == hour).map_or(0, |(_, count)| count);
        let found = season?.judge(hour, requests)?;
        let detail = format!("{requests} requests in this hour, where {:.0} are usual at this time.", found.expected);
        Some(self.daily(Rule::Volume, found, detail))
    }

    fn errors(&self, account: &Account) -> Option<Finding> {
        let (windows, usual) = {
            let mut known = lock(self.known);
            let usual = match known.usual_errors {
                Some((day, usual)) if day == self.today => usual,
                _ => UsualErrors::before(self.today, account),
            };
            known.usual_errors = Some((self.today, usual));
            (known.windows, usual)
        };
        let found = usual?.judge(&windows, self.sentry.policy.error_points)?;
        let requests = windows.iter().fold(0_u64, |sum, Window { requests, .. }| sum.saturating_add(*requests));
        let detail = format!(
            "{:.1} % of the last {requests} requests came to an error, where {:.1} % do usually.",
            100.0 * found.observed,
            100.0 * found.expected
        );
        Some(self.daily(Rule::ErrorRate, found, detail))
    }

    fn unfamiliar(&self, new: New, series: &Series) -> Option<Finding> {
        let New { value: Value { kind, text, .. }, days, lately, known } = new;
        let rule = match kind {
            Kind::Network => Rule::NewNetwork,
            Kind::Location => Rule::NewLocation,
            Kind::Scope => Rule::NewScope,
        };
        if !self.sentry.policy.looks_at(rule) {
            return None;
        }
        let used_days = series.days().filter(|(day, count)| *count > 0 && *day < self.today).count();
        let acquaintance = unfamiliar::Acquaintance { days, used_days, known, lately };
        let tolerated = tolerated(kind == Kind::Network);
        let found = unfamiliar::judge(acquaintance, tolerated, self.sentry.policy.learning_days)?;
        let what = match kind {
            Kind::Network => "from the network",
            Kind::Location => "from",
            Kind::Scope => "of the scope",
        };
        let detail = format!(
            "First use {what} {text}, after {days} days in which there were {known} others, {lately} of them new."
        );
        Some(self.finding(rule, Some(text), found, detail))
    }
}
