//! Figures, in the text format of Prometheus (0.0.4).
//!
//! The recorder is this instance's own and not the process's, so that the API can be mounted in an application which has
//! another. Labels take few values: patterns of routes, known methods, classes of statuses, reasons.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use keygate_core::coherence::Coherence;
use keygate_core::denial::DenialReason;
use keygate_core::limiter::LimiterStatistics;
use keygate_core::manager::{ApiKeyManager, CacheStatistics, StoreState};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// Bounds of the durations, in seconds: a key that is kept is decided on in microseconds, a store answers in
/// milliseconds, and a request ends after half a minute.
const BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// Durations are kept one by one until somebody reads the figures. Where nobody does, they are added up after so many.
const UNREAD: u32 = 4096;

const METADATA: Metadata<'static> = Metadata::new("keygate", Level::INFO, None);

const REQUESTS: &str = "keygate_http_requests_total";
const DURATION: &str = "keygate_http_request_duration_seconds";
const SHED: &str = "keygate_http_requests_shed_total";
const DENIALS: &str = "keygate_denials_total";
const VERIFICATIONS: &str = "keygate_verifications_total";
const COHERENCE: &str = "keygate_coherence_state";
const READY: &str = "keygate_store_confirmed";
const ENTRIES: &str = "keygate_cache_entries";
const CAPACITY: &str = "keygate_cache_capacity_entries";
const POOLS: &str = "keygate_limiter_pools";
const BUILD: &str = "keygate_build_info";
const STARTED: &str = "keygate_start_time_seconds";

/// A counter of what the cache does: its name, its description, and where it is read.
type CacheCounter = (&'static str, &'static str, fn(&CacheStatistics) -> u64);

const CACHE: [CacheCounter; 7] = [
    ("keygate_cache_hits_total", "Requests decided from what was kept.", |cache| cache.hits),
    ("keygate_cache_misses_total", "Requests with a genuine key that had to wait for the store.", |cache| cache.misses),
    ("keygate_cache_loads_total", "Reads of a key's record.", |cache| cache.loads),
    ("keygate_cache_parent_loads_total", "Reads of organizations and projects.", |cache| cache.parent_loads),
    ("keygate_cache_evictions_total", "Keys that went because there was no room for them.", |cache| cache.evictions),
    ("keygate_cache_changes_total", "Changes that the store told of.", |cache| cache.changes),
    ("keygate_cache_stale_total", "Requests decided from what was kept while the store failed.", |cache| cache.stale),
];

/// The same of what limits do.
type LimiterCounter = (&'static str, &'static str, fn(&LimiterStatistics) -> u64);

const LIMITER: [LimiterCounter; 9] = [
    ("keygate_limiter_calls_total", "Calls of the store for tokens of limits.", |limiter| limiter.calls),
    ("keygate_limiter_failures_total", "Those calls that failed.", |limiter| limiter.failures),
    ("keygate_limiter_granted_total", "Tokens granted by the store.", |limiter| limiter.granted),
    ("keygate_limiter_returned_total", "Tokens given back to it.", |limiter| limiter.returned),
    ("keygate_limiter_denied_total", "Requests refused because a limit had no room.", |limiter| limiter.denied),
    (
        "keygate_limiter_unreachable_total",
        "Requests refused because nothing was held of a limit and the store was not reached.",
        |limiter| limiter.unreachable,
    ),
    (
        "keygate_limiter_open_total",
        "Charges let in while the store was not reached, by limits whose fallback is open.",
        |limiter| limiter.open,
    ),
    (
        "keygate_limiter_local_share_total",
        "Charges let in while the store was not reached, by limits whose fallback is local_share.",
        |limiter| limiter.local_share,
    ),
    (
        "keygate_limiter_told_total",
        "How often the store was told what it had granted, because it may have forgotten.",
        |limiter| limiter.told,
    ),
];

/// The states that keys may be kept in, one of which is so.
const STATES: [&str; 6] = ["none", "in_process", "live", "lapsed", "time_bound", "unreachable"];

/// The figures of an instance of the API.
#[derive(Debug)]
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    rendered: PrometheusHandle,
    unread: AtomicU32,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).unwrap_or_default();
        let recorder = builder.build_recorder();
        let metrics = Self { rendered: recorder.handle(), recorder, unread: AtomicU32::new(0) };
        metrics.describe();
        metrics.begin();
        metrics
    }

    /// A request was answered, or its client did not wait for that.
    pub(crate) fn request(&self, route: &str, method: &'static str, status: Option<StatusCode>, took: Duration) {
        let labels = || vec![Label::new("route", route.to_owned()), Label::from_static_parts("method", method)];
        let mut with_status = labels();
        with_status.push(Label::from_static_parts("status", class(status)));
        self.counter(REQUESTS, with_status).increment(1);
        self.histogram(DURATION, labels()).record(took.as_secs_f64());
        if self.unread.fetch_add(1, Ordering::Relaxed) == UNREAD {
            self.unread.store(0, Ordering::Relaxed);
            self.rendered.run_upkeep();
        }
    }

    /// A request was refused at once, because too many others were under way.
    pub(crate) fn shed(&self) {
        self.counter(SHED, Vec::new()).increment(1);
    }

    /// A request was refused for its key.
    pub(crate) fn denial(&self, reason: DenialReason) {
        self.counter(DENIALS, vec![Label::from_static_parts("reason", reason.as_str())]).increment(1);
    }

    /// A key was decided on for somebody else's request: refused for this reason, or valid.
    pub(crate) fn verification(&self, refused: Option<DenialReason>) {
        let outcome = refused.map_or("valid", DenialReason::as_str);
        self.counter(VERIFICATIONS, vec![Label::from_static_parts("outcome", outcome)]).increment(1);
    }

    /// All figures, as text.
    pub(crate) fn render(&self, manager: &ApiKeyManager, store: StoreState) -> String {
        let cache = manager.cache_statistics();
        for (name, _, count) in CACHE {
            self.counter(name, Vec::new()).absolute(count(&cache));
        }
        self.gauge(ENTRIES, Vec::new()).set(cache.entries as f64);
        self.gauge(CAPACITY, Vec::new()).set(cache.capacity as f64);
        let limiter = manager.limiter_statistics();
        for (name, _, count) in LIMITER {
            self.counter(name, Vec::new()).absolute(count(&limiter));
        }
        self.gauge(POOLS, Vec::new()).set(limiter.pools as f64);
        let coherence = Coherence::as_str(manager.coherence());
        for state in STATES {
            self.gauge(COHERENCE, vec![Label::from_static_parts("state", state)]).set(one_if(state == coherence));
        }
        self.gauge(READY, Vec::new()).set(one_if(store.is_confirmed()));
        self.unread.store(0, Ordering::Relaxed);
        self.rendered.render()
    }

    /// What does not change, and what is to be seen before it ever happened.
    fn begin(&self) {
        let version = vec![Label::from_static_parts("version", env!("CARGO_PKG_VERSION"))];
        self.gauge(BUILD, version).set(1.0);
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.gauge(STARTED, Vec::new()).set(started.as_millis() as f64 / 1000.0);
        self.counter(SHED, Vec::new()).absolute(0);
        for reason in DenialReason::ALL {
            self.counter(DENIALS, vec![Label::from_static_parts("reason", reason.as_str())]).absolute(0);
        }
        self.counter(VERIFICATIONS, vec![Label::from_static_parts("outcome", "valid")]).absolute(0);
    }

    fn describe(&self) {
        let counter = |name, text| self.recorder.describe_counter(named(name), None, described(text));
        counter(REQUESTS, "Requests, by the pattern of their route, method and class of status.");
        counter(SHED, "Requests refused at once because too many others were under way.");
        counter(DENIALS, "Requests refused for the key they came with, by reason.");
        counter(VERIFICATIONS, "Keys decided on by the call verify, by what came of it.");
        for (name, text, _) in CACHE {
            counter(name, text);
        }
        for (name, text, _) in LIMITER {
            counter(name, text);
        }
        let gauge = |name, text| self.recorder.describe_gauge(named(name), None, described(text));
        gauge(ENTRIES, "Keys kept.");
        gauge(CAPACITY, "The most keys kept.");
        gauge(POOLS, "Keys, users, projects and organizations whose limits are known here.");
        gauge(COHERENCE, "1 for how this instance learns of changes to the keys it keeps.");
        gauge(READY, "1 while the store answers and is the one that the secrets belong to.");
        gauge(BUILD, "1, with the version.");
        gauge(STARTED, "When this instance began, in seconds since 1970.");
        let text = "Time until the answer begins, by the pattern of the route and method.";
        self.recorder.describe_histogram(named(DURATION), None, described(text));
    }

    fn counter(&self, name: &'static str, labels: Vec<Label>) -> Counter {
        self.recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
    }

    fn gauge(&self, name: &'static str, labels: Vec<Label>) -> Gauge {
        self.recorder.register_gauge(&Key::from_parts(name, labels), &METADATA)
    }

    fn histogram(&self, name: &'static str, labels: Vec<Label>) -> Histogram {
        self.recorder.register_histogram(&Key::from_parts(name, labels), &METADATA)
    }
}

fn named(name: &'static str) -> KeyName {
    KeyName::from_const_str(name)
}

fn described(text: &'static str) -> SharedString {
    SharedString::const_str(text)
}

fn one_if(so: bool) -> f64 {
    if so { 1.0 } else { 0.0 }
}

/// `2xx` and the like.
fn class(status: Option<StatusCode>) -> &'static str {
    match status.map(|status| status.as_u16() / 100) {
        Some(1) => "1xx",
        Some(2) => "2xx",
        Some(3) => "3xx",
        Some(4) => "4xx",
        Some(5) => "5xx",
        Some(_) => "other",
        None => "none",
    }
}
