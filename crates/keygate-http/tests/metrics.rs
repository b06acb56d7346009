//! What the `metrics` facade is told. A program of its own: what becomes of requests is counted for the whole process.
#![cfg(feature = "metrics")]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "it/support/mod.rs"]
#[allow(dead_code)] // it uses a part
mod support;

use keygate_core::denial::{Denial, DenialReason};
use keygate_core::limits::Limits;
use keygate_http::gate::Gate;
use keygate_http::metrics::{figures, publish};
use metrics_exporter_prometheus::PrometheusBuilder;
use support::{Deployment, GET, ask};

#[tokio::test]
async fn decisions_and_answers_are_counted_and_figures_published_with_few_labels() {
    let deployment = Deployment::start().await;
    let key = deployment.key(Limits::UNLIMITED).await;
    let gate = Gate::new(deployment.manager.clone());
    let admission = ask(&gate, GET, &key).await.unwrap();
    ask(&gate, GET, &key).await.unwrap();

    let recorder = PrometheusBuilder::new().build_recorder();
    let text = metrics::with_local_recorder(&recorder, || {
        gate.follow(&admission).answered(200);
        gate.follow(&admission).answered(404);
        gate.follow(&admission).failed();
        drop(gate.follow(&admission));
        gate.let_in(&admission);
        for reason in [DenialReason::MissingKey, DenialReason::RateLimitExceeded, DenialReason::MissingKey] {
            let _ = gate.refuse(&Denial::new(reason));
        }
        publish(&deployment.manager);
        publish(&deployment.manager);
        recorder.handle().render()
    });
    for line in [
        r#"keygate_requests_total{outcome="admitted"} 5"#,
        r#"keygate_requests_total{outcome="missing_key"} 2"#,
        r#"keygate_requests_total{outcome="rate_limit_exceeded"} 1"#,
        r#"keygate_requests_total{outcome="key_revoked"} 0"#,
        r#"keygate_answers_total{class="2xx"} 1"#,
        r#"keygate_answers_total{class="3xx"} 0"#,
        r#"keygate_answers_total{class="4xx"} 1"#,
        r#"keygate_answers_total{class="5xx"} 1"#,
        r#"keygate_answers_total{class="cancelled"} 1"#,
        "keygate_cache_hits_total 1",
        "keygate_cache_misses_total 1",
        "keygate_cache_entries 1",
        r#"keygate_coherence_state{state="in_process"} 1"#,
        r#"keygate_coherence_state{state="lapsed"} 0"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
    }
    // Every figure has a description, and no line tells of a key, a user or an organization.
    let samples = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    assert_eq!(samples.count(), 1 + DenialReason::ALL.len() + 6 + figures(&deployment.manager).count());
    for figure in figures(&deployment.manager) {
        assert!(text.contains(&format!("# HELP {} {}", figure.name, figure.description)), "{figure:?} in {text}");
    }
    assert!(["acme", "ada", &admission.id.to_string()].iter().all(|name| !text.contains(name)), "{text}");
}
