//! Figures: what an instance has decided and answered, kept and told, under names that are the same everywhere.
//!
//! [`figures`] reads what a manager counts by itself. With the feature `metrics`, what the [gates](crate::gate::Gate) of this
//! process decide is counted beside it:
//!
//! | counter | label | counts |
//! |---|---|---|
//! | [`keygate_requests_total`](REQUESTS) | `outcome`: `admitted`, or the reason of the denial | requests with a key, or in want of one |
//! | [`keygate_answers_total`](ANSWERS) | `class`: `2xx` and so on, or `cancelled` | how those that were admitted were answered, where that is known: of forward-auth it is not |
//!
//! and `publish` tells both to the [`metrics`](https://docs.rs/metrics) facade, and so to whatever recorder a program has
//! installed, each time it is called: before a recorder is read. No label takes more than some twenty values. Keys, users and
//! organizations are never among them: what each of them was used for is in the reports of [`ApiKeyManager::usage`].
//!
//! A request pays some nanoseconds for it, whatever the recorder is, and allocates nothing.

#[cfg(feature = "metrics")]
mod counted;
#[cfg(feature = "metrics")]
mod facade;
#[cfg(not(feature = "metrics"))]
mod nothing;

use keygate_core::anomaly::AnomalyStatistics;
use keygate_core::coherence::Coherence;
use keygate_core::limiter::LimiterStatistics;
use keygate_core::manager::{ApiKeyManager, CacheStatistics, ScheduleStatistics};
use keygate_core::notice::NoticeStatistics;
use keygate_core::usage::UsageStatistics;

#[cfg(feature = "metrics")]
pub(crate) use self::counted::{admitted, answered, denied};
#[cfg(feature = "metrics")]
pub use self::facade::publish;
#[cfg(not(feature = "metrics"))]
pub(crate) use self::nothing::{admitted, answered, denied};

/// The name of the counter of decisions.
pub const REQUESTS: &str = "keygate_requests_total";
/// The name of the counter of answers.
pub const ANSWERS: &str = "keygate_answers_total";

/// Whether a figure only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It only grows, for as long as the manager lives.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A figure, read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figure {
    /// Its name, in the manner of Prometheus: `keygate_cache_hits_total`.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub description: &'static str,
    /// Whether it only grows.
    pub kind: Kind,
    /// The name and the value of its label, if it has one.
    pub label: Option<(&'static str, &'static str)>,
    /// What it is now.
    pub value: u64,
}

/// What is read of a part of the manager: a name, what it is, and where it is read.
type Row<S> = (&'static str, &'static str, Kind, fn(&S) -> u64);

use Kind::{Counter, Gauge};

const CACHE: [Row<CacheStatistics>; 9] = [
    ("keygate_cache_hits_total", "Requests decided from what was kept.", Counter, |cache| cache.hits),
    ("keygate_cache_misses_total", "Requests with a genuine key that had to wait for the store.", Counter, |cache| {
        cache.misses
    }),
    ("keygate_cache_loads_total", "Reads of a key's record.", Counter, |cache| cache.loads),
    ("keygate_cache_parent_loads_total", "Reads of organizations and projects.", Counter, |cache| cache.parent_loads),
    ("keygate_cache_evictions_total", "Keys that went because there was no room for them.", Counter, |cache| {
        cache.evictions
    }),
    ("keygate_cache_changes_total", "Changes that the store told of.", Counter, |cache| cache.changes),
    ("keygate_cache_stale_total", "Requests decided from what was kept while the store failed.", Counter, |cache| {
        cache.stale
    }),
    ("keygate_cache_entries", "Keys kept.", Gauge, |cache| cache.entries),
    ("keygate_cache_capacity_entries", "The most keys kept.", Gauge, |cache| cache.capacity),
];

const LIMITER: [Row<LimiterStatistics>; 10] = [
    ("keygate_limiter_calls_total", "Calls of the store for tokens of limits.", Counter, |limiter| limiter.calls),
    ("keygate_limiter_failures_total", "Those calls that failed.", Counter, |limiter| limiter.failures),
    ("keygate_limiter_granted_total", "Tokens granted by the store.", Counter, |limiter| limiter.granted),
    ("keygate_limiter_returned_total", "Tokens given back to it.", Counter, |limiter| limiter.returned),
    ("keygate_limiter_denied_total", "Requests refused because a limit had no room.", Counter, |limiter| {
        limiter.denied
    }),
    (
        "keygate_limiter_unreachable_total",
        "Requests refused because nothing was held of a limit and the store was not reached.",
        Counter,
        |limiter| limiter.unreachable,
    ),
    (
        "keygate_limiter_open_total",
        "Charges let in while the store was not reached, by limits whose fallback is open.",
        Counter,
        |limiter| limiter.open,
    ),
    (
        "keygate_limiter_local_share_total",
        "Charges let in while the store was not reached, by limits whose fallback is local_share.",
        Counter,
        |limiter| limiter.local_share,
    ),
    (
        "keygate_limiter_told_total",
        "How often the store was told what it had granted, because it may have forgotten.",
        Counter,
        |limiter| limiter.told,
    ),
    (
        "keygate_limiter_pools",
        "Keys, users, projects and organizations whose limits are known here.",
        Gauge,
        |limiter| limiter.pools,
    ),
];

const USAGE: [Row<UsageStatistics>; 10] = [
    ("keygate_usage_told_total", "Requests of keys that the store has taken note of.", Counter, |usage| usage.told),
    ("keygate_usage_waiting", "Requests of keys that the store has yet to take note of.", Gauge, |usage| usage.waiting),
    ("keygate_usage_forged_total", "Texts refused because they are no key of this deployment.", Counter, |usage| {
        usage.forged
    }),
    ("keygate_usage_batches_total", "Batches of usage that the store has taken in.", Counter, |usage| usage.batches),
    ("keygate_usage_failures_total", "Calls of the store with usage that failed.", Counter, |usage| usage.failures),
    (
        "keygate_usage_told_again_total",
        "Batches of usage told again, because the store had forgotten them.",
        Counter,
        |usage| usage.told_again,
    ),
    (
        "keygate_usage_lost_total",
        "Batches of usage that the store has forgotten and that were kept no longer.",
        Counter,
        |usage| usage.lost,
    ),
    (
        "keygate_usage_folded_total",
        "How often endpoints, locations and addresses were told apart no longer, because too much waited.",
        Counter,
        |usage| usage.folded,
    ),
    (
        "keygate_usage_passed_over_total",
        "How often what was counted of somebody was lost, because what the store has of them cannot be read.",
        Counter,
        |usage| usage.passed_over,
    ),
    ("keygate_usage_kept_batches", "Batches of usage kept for the case that the store forgets them.", Gauge, |usage| {
        usage.kept
    }),
];

const ANOMALIES: [Row<AnomalyStatistics>; 8] = [
    ("keygate_anomaly_examined_total", "How often what a key was used for was looked through.", Counter, |found| {
        found.examined
    }),
    (
        "keygate_anomaly_dropped_total",
        "How often it was not, or a finding was not recorded, because too much waited.",
        Counter,
        |found| found.dropped,
    ),
    ("keygate_anomaly_failures_total", "Calls of the store for it that failed.", Counter, |found| found.failures),
    ("keygate_anomaly_findings_total", "Findings that this instance has recorded.", Counter, |found| found.findings),
    ("keygate_anomaly_known_total", "Findings that were recorded before, here or elsewhere.", Counter, |found| {
        found.known
    }),
    ("keygate_anomaly_suspended_total", "Keys that this instance has suspended for a finding.", Counter, |found| {
        found.suspended
    }),
    ("keygate_anomaly_waiting", "Keys whose use has yet to be looked through.", Gauge, |found| found.waiting),
    ("keygate_anomaly_keys", "Keys whose usual use is kept in memory.", Gauge, |found| found.keys),
];

const SCHEDULES: [Row<ScheduleStatistics>; 8] = [
    ("keygate_schedule_runs_total", "Runs of schedules that this instance has done.", Counter, |counted| counted.runs),
    ("keygate_schedule_failed_runs_total", "Runs that failed before anything was read.", Counter, |counted| {
        counted.failed_runs
    }),
    ("keygate_schedule_rotated_total", "Keys that they have rotated.", Counter, |counted| counted.done.rotated),
    ("keygate_schedule_withdrawn_total", "Successors that nobody claimed in time.", Counter, |counted| {
        counted.done.withdrawn
    }),
    ("keygate_schedule_failures_total", "Keys at which they failed, to be tried again.", Counter, |counted| {
        counted.done.failed
    }),
    ("keygate_schedule_unread_total", "Lists that they could not read.", Counter, |counted| counted.done.unread),
    ("keygate_schedule_told_total", "Notices of what comes with time.", Counter, |counted| counted.done.told),
    ("keygate_schedule_waiting", "Keys that the last run found due, and waiting.", Gauge, |counted| {
        counted.done.waiting
    }),
];

const NOTICES: [Row<NoticeStatistics>; 5] = [
    ("keygate_notices_posted_total", "Notices that this instance has put in the outbox.", Counter, |told| told.posted),
    (
        "keygate_notices_refused_total",
        "Notices that are lost because too many of their organization wait.",
        Counter,
        |told| told.refused,
    ),
    ("keygate_notices_taken_total", "Times that a receiver has taken one.", Counter, |told| told.taken),
    ("keygate_notices_retried_total", "Times that a receiver has not, and is tried again.", Counter, |told| {
        told.retried
    }),
    ("keygate_notices_given_up_total", "Times that a receiver is tried no more.", Counter, |told| told.given_up),
];

const COHERENCE: &str = "keygate_coherence_state";

/// The states that keys may be kept in, one of which is so.
const STATES: [&str; 6] = ["none", "in_process", "live", "lapsed", "time_bound", "unreachable"];

/// What a manager has counted by itself: of its cache, its limiter, its recorder of usage, its search for anomalies, its schedules and
/// its notices, and how it learns of changes.
pub fn figures(manager: &ApiKeyManager) -> impl Iterator<Item = Figure> + use<> {
    let (cache, limiter) = (manager.cache_statistics(), manager.limiter_statistics());
    let (usage, anomalies) = (manager.usage_statistics(), manager.anomaly_statistics());
    let coherence = Coherence::as_str(manager.coherence());
    let states = STATES.map(|state| Figure {
        name: COHERENCE,
        description: "1 for how this instance learns of changes to the keys it keeps.",
        kind: Gauge,
        label: Some(("state", state)),
        value: u64::from(state == coherence),
    });
    let counted = read(&CACHE, cache).chain(read(&LIMITER, limiter)).chain(read(&USAGE, usage));
    let (schedules, notices) = (manager.schedule_statistics(), manager.notice_statistics());
    let by_themselves = read(&SCHEDULES, schedules).chain(read(&NOTICES, notices));
    counted.chain(read(&ANOMALIES, anomalies)).chain(by_themselves).chain(states)
}

fn read<S: 'static>(rows: &'static [Row<S>], statistics: S) -> impl Iterator<Item = Figure> {
    rows.iter().map(move |(name, description, kind, value)| Figure {
        name,
        description,
        kind: *kind,
        label: None,
        value: value(&statistics),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use keygate_core::ring::{MasterSecret, SecretRing};
    use keygate_core::store::MemoryStore;

    use super::*;

    #[test]
    fn each_figure_is_told_once_and_only_counters_end_in_total() {
        let ring = SecretRing::new(&MasterSecret::generate().unwrap());
        let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build().unwrap();
        let figures: Vec<_> = figures(&manager).collect();
        let names: BTreeSet<_> = figures.iter().map(|figure| (figure.name, figure.label)).collect();
        assert_eq!(names.len(), figures.len());
        for figure in &figures {
            assert!(figure.name.starts_with("keygate_"), "{figure:?}");
            assert_eq!(figure.name.ends_with("_total"), figure.kind == Kind::Counter, "{figure:?}");
        }
        let states = figures.iter().filter(|figure| figure.label.is_some());
        assert_eq!(states.map(|figure| figure.value).sum::<u64>(), 1);
    }
}
