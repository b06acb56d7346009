//! What is told to the `metrics` facade.

use ::metrics::{Key, KeyName, Label, Level, Metadata, SharedString, with_recorder};
use keygate_core::manager::ApiKeyManager;

use super::{ANSWERS, Figure, Kind, REQUESTS, counted, figures};

const METADATA: Metadata<'static> = Metadata::new("keygate", Level::INFO, Some("keygate"));

fn key(name: &'static str, label: Option<(&'static str, &'static str)>) -> Key {
    let labels = label.map(|(name, value)| Label::from_static_parts(name, value));
    Key::from_parts(name, labels.into_iter().collect::<Vec<_>>())
}

/// Tells the recorder that is installed what was decided and answered in this process, and the [`figures`] of a manager. What
/// never happened is told as 0. To be called before a recorder is read, as a handler of `GET /metrics` does, or every few
/// seconds for one that sends by itself.
///
/// A recorder has one set of figures: of two managers in a process, the last to be published is seen.
///
/// # Example
///
/// ```
/// # use keygate_core::{manager::ApiKeyManager, ring::{MasterSecret, SecretRing}, store::MemoryStore};
/// use metrics_exporter_prometheus::PrometheusBuilder;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ring = SecretRing::new(&MasterSecret::generate()?);
/// # let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build()?;
/// let prometheus = PrometheusBuilder::new().install_recorder()?;
///
/// // In the handler of `GET /metrics`, which answers with `text/plain; version=0.0.4`:
/// keygate_http::metrics::publish(&manager);
/// let text = prometheus.render();
/// assert!(text.contains("keygate_cache_hits_total 0"));
/// assert!(text.contains(r#"keygate_requests_total{outcome="admitted"} 0"#));
/// # Ok(())
/// # }
/// ```
pub fn publish(manager: &ApiKeyManager) {
    with_recorder(|recorder| {
        let describe = |name: &'static str, kind, text: &'static str| {
            let (name, text) = (KeyName::from_const_str(name), SharedString::const_str(text));
            match kind {
                Kind::Counter => recorder.describe_counter(name, None, text),
                Kind::Gauge => recorder.describe_gauge(name, None, text),
            }
        };
        describe(REQUESTS, Kind::Counter, "Requests, by what their key's checks came to.");
        describe(
            ANSWERS,
            Kind::Counter,
            "Requests that were let in, by the class of the status they were answered with.",
        );
        for (name, label, counted) in [
            (REQUESTS, "outcome", counted::requests().collect::<Vec<_>>()),
            (ANSWERS, "class", counted::answers().collect()),
        ] {
            for (value, count) in counted {
                recorder.register_counter(&key(name, Some((label, value))), &METADATA).absolute(count);
            }
        }
        for Figure { name, description, kind, label, value } in figures(manager) {
            describe(name, kind, description);
            let key = key(name, label);
            match kind {
                Kind::Counter => recorder.register_counter(&key, &METADATA).absolute(value),
                Kind::Gauge => recorder.register_gauge(&key, &METADATA).set(value as f64),
            }
        }
    });
}
