//! Figures, in the text format of Prometheus (0.0.4).
//!
//! The recorder is this instance's own and not the process's, so that the API can be mounted in an application which has
//! another. Labels take few values: patterns of routes, known methods, classes of statuses, reasons.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use keygate_core::denial::DenialReason;
use keygate_core::manager::{ApiKeyManager, StoreState};
use keygate_http::metrics::{Figure, Kind, figures};
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
const READY: &str = "keygate_store_confirmed";
const BUILD: &str = "keygate_build_info";
const STARTED: &str = "keygate_start_time_seconds";

/// The figures of an instance of the API.
#[derive(Debug)]
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    rendered: PrometheusHandle,
    unread: AtomicU32,
}

impl Metrics {
    pub(crate) fn new(manager: &ApiKeyManager) -> Self {
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).unwrap_or_default();
        let recorder = builder.build_recorder();
        let metrics = Self { rendered: recorder.handle(), recorder, unread: AtomicU32::new(0) };
        metrics.describe(manager);
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
        for Figure { name, label, kind, value, .. } in figures(manager) {
            let labels = label.map(|(name, value)| Label::from_static_parts(name, value)).into_iter().collect();
            match kind {
                Kind::Counter => self.counter(name, labels).absolute(value),
                Kind::Gauge => self.gauge(name, labels).set(value as f64),
            }
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

    fn describe(&self, manager: &ApiKeyManager) {
        let counter = |name, text| self.recorder.describe_counter(named(name), None, described(text));
        counter(REQUESTS, "Requests, by the pattern of their route, method and class of status.");
        counter(SHED, "Requests refused at once because too many others were under way.");
        counter(DENIALS, "Requests refused for the key they came with, by reason.");
        counter(VERIFICATIONS, "Keys decided on by the call verify, by what came of it.");
        let gauge = |name, text| self.recorder.describe_gauge(named(name), None, described(text));
        for Figure { name, description, kind, .. } in figures(manager) {
            match kind {
                Kind::Counter => counter(name, description),
                Kind::Gauge => gauge(name, description),
            }
        }
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
