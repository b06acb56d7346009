//! The figures: Prometheus can read them, they are true, and they name nobody.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use keygate_core::denial::DenialReason;
use serde_json::json;

use crate::support::Api;

/// The value of each line, by its name and labels.
async fn figures(api: &Api) -> BTreeMap<String, f64> {
    let answer = api.call("", "GET /metrics", None).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let lines = answer.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

fn sum(figures: &BTreeMap<String, f64>, name: &str, label: &str) -> f64 {
    figures.iter().filter(|(line, _)| line.starts_with(name) && line.contains(label)).map(|(_, value)| value).sum()
}

#[tokio::test]
async fn every_figure_says_what_it_is() {
    let api = Api::new().await;
    api.call(&api.operator, "GET /v1/organizations/acme", None).await;
    let text = api.call("", "GET /metrics", None).await.text;
    let words = |word: &str| -> BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(word));
        lines.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    let (helped, typed) = (words("# HELP "), words("# TYPE "));
    assert_eq!(helped, typed);
    let names: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split(['{', ' ']).next().unwrap())
        .map(|name| match name.strip_suffix("_bucket").or(name.strip_suffix("_sum")).or(name.strip_suffix("_count")) {
            Some(histogram) if typed.contains(histogram) => histogram.to_owned(),
            _ => name.to_owned(),
        })
        .collect();
    assert_eq!(names, typed, "and nothing else is there");
    assert!(names.iter().all(|name| name.starts_with("keygate_")), "{names:?}");
    for name in [
        "keygate_cache_hits_total",
        "keygate_cache_misses_total",
        "keygate_cache_loads_total",
        "keygate_cache_evictions_total",
        "keygate_cache_entries",
        "keygate_coherence_state",
        "keygate_limiter_calls_total",
        "keygate_limiter_failures_total",
        "keygate_limiter_granted_total",
        "keygate_limiter_returned_total",
        "keygate_limiter_denied_total",
        "keygate_limiter_unreachable_total",
        "keygate_limiter_open_total",
        "keygate_limiter_local_share_total",
        "keygate_limiter_told_total",
        "keygate_limiter_pools",
        "keygate_usage_told_total",
        "keygate_usage_waiting",
        "keygate_usage_lost_total",
        "keygate_http_requests_total",
        "keygate_http_request_duration_seconds",
        "keygate_denials_total",
        "keygate_verifications_total",
        "keygate_build_info",
        "keygate_start_time_seconds",
        "keygate_store_confirmed",
    ] {
        assert!(names.contains(name), "{name} is not in {names:?}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_the_pattern_of_their_route() {
    let api = Api::new().await;
    for organization in ["acme", "other", "acme"] {
        api.call(&api.operator, &format!("GET /v1/organizations/{organization}"), None).await;
    }
    api.call("", "GET /v1/organizations/acme", None).await;
    api.call("", "BREW /v1/organizations/acme", None).await;
    for path in ["/nowhere", "/mcp_dev_secret"] {
        assert_eq!(api.call("", &format!("GET {path}"), None).await.status, 404);
    }
    let figures = figures(&api).await;
    let of = |labels: &str| figures[&format!("keygate_http_requests_total{{{labels}}}")];
    let pattern = "route=\"/v1/organizations/{org}\"";
    assert_eq!(of(&format!("{pattern},method=\"GET\",status=\"2xx\"")), 3.0);
    assert_eq!(of(&format!("{pattern},method=\"GET\",status=\"4xx\"")), 1.0);
    assert_eq!(of(&format!("{pattern},method=\"other\",status=\"4xx\"")), 1.0);
    assert_eq!(of("route=\"unmatched\",method=\"GET\",status=\"4xx\""), 2.0);
    let count = format!("keygate_http_request_duration_seconds_count{{{pattern},method=\"GET\"}}");
    assert_eq!(figures[&count], 4.0);
    let last = format!("keygate_http_request_duration_seconds_bucket{{{pattern},method=\"GET\",le=\"+Inf\"}}");
    assert_eq!(figures[&last], 4.0);
    assert!(figures.keys().all(|line| !line.contains("acme") && !line.contains("secret")));
}

#[tokio::test]
async fn the_cache_and_the_store_are_as_the_manager_says() {
    let api = Api::new().await;
    for _ in 0..3 {
        api.call(&api.operator, "GET /v1/organizations/acme", None).await;
    }
    let (figures, cache) = (figures(&api).await, api.manager.cache_statistics());
    assert_eq!(figures["keygate_cache_hits_total"], cache.hits as f64);
    assert_eq!(figures["keygate_cache_misses_total"], 1.0);
    assert_eq!(figures["keygate_cache_loads_total"], 1.0);
    assert_eq!(figures["keygate_cache_entries"], 1.0);
    assert_eq!(figures["keygate_cache_capacity_entries"], cache.capacity as f64);
    assert_eq!(figures["keygate_coherence_state{state=\"in_process\"}"], 1.0);
    assert_eq!(sum(&figures, "keygate_coherence_state", ""), 1.0, "one state is so");
    assert_eq!(figures["keygate_store_confirmed"], 1.0);
}

#[tokio::test]
async fn what_limits_do_is_as_the_manager_says() {
    let api = Api::new().await;
    assert_eq!(sum(&figures(&api).await, "keygate_limiter_", ""), 0.0, "an operator's key has no limits");
    let made = api.make(&api.operator, "acme", json!({"user_id": "ada", "limits": {"per_month": 5}})).await;
    for cost in [3, 3] {
        api.call(&api.operator, "POST /v1/verify", Some(json!({"key": made["key"], "cost": cost}))).await;
    }
    let (figures, limiter) = (figures(&api).await, api.manager.limiter_statistics());
    let of = |name: &str| figures[&format!("keygate_limiter_{name}")];
    assert_eq!((of("pools"), of("denied_total")), (1.0, 1.0));
    assert_eq!((of("calls_total"), of("failures_total")), (limiter.calls as f64, 0.0));
    assert!(limiter.calls > 0 && limiter.granted >= 3);
    assert_eq!((of("granted_total"), of("returned_total")), (limiter.granted as f64, limiter.returned as f64));
    assert_eq!(figures["keygate_verifications_total{outcome=\"rate_limit_exceeded\"}"], 1.0);
}

#[tokio::test]
async fn the_search_for_anomalies_is_as_the_manager_says() {
    let api = Api::new().await;
    let made = api.make(&api.operator, "acme", json!({"user_id": "ada"})).await;
    api.call(&api.operator, "POST /v1/verify", Some(json!({"key": made["key"], "client_ip": "192.0.2.1"}))).await;
    api.manager.tend().await;
    let (figures, found) = (figures(&api).await, api.manager.anomaly_statistics());
    let of = |name: &str| figures[&format!("keygate_anomaly_{name}")];
    assert!(found.examined > 0, "{found:?}");
    assert_eq!((of("examined_total"), of("keys")), (found.examined as f64, found.keys as f64));
    for nothing in ["dropped_total", "failures_total", "findings_total", "known_total", "suspended_total", "waiting"] {
        assert_eq!(of(nothing), 0.0, "{nothing}");
    }
}

#[tokio::test]
async fn refusals_are_counted_by_their_reason() {
    let api = Api::new().await;
    let before = figures(&api).await;
    for reason in DenialReason::ALL {
        assert_eq!(before[&format!("keygate_denials_total{{reason=\"{reason}\"}}")], 0.0, "there from the beginning");
    }
    api.call("", "GET /v1/organizations/acme", None).await;
    api.call("nonsense", "GET /v1/organizations/acme", None).await;
    let reader = api.tenant("acme", &["keys:read"], &[]).await;
    api.call(&reader, "POST /v1/organizations", Some(json!({"organization_id": "acme"}))).await;
    let after = figures(&api).await;
    for reason in ["missing_key", "malformed_key", "permission_denied"] {
        assert_eq!(after[&format!("keygate_denials_total{{reason=\"{reason}\"}}")], 1.0, "{reason}");
    }
    assert_eq!(sum(&after, "keygate_denials_total", ""), 3.0);

    for key in [&*reader, "nonsense", &api.operator] {
        api.call(&api.operator, "POST /v1/verify", Some(json!({"key": key}))).await;
    }
    let after = figures(&api).await;
    assert_eq!(after["keygate_verifications_total{outcome=\"valid\"}"], 2.0);
    assert_eq!(after["keygate_verifications_total{outcome=\"malformed_key\"}"], 1.0);
    assert_eq!(sum(&after, "keygate_denials_total", ""), 3.0, "the caller was not refused");
}

#[tokio::test]
async fn an_application_that_has_two_keeps_their_figures_apart() {
    let (one, other) = (Api::new().await, Api::new().await);
    let router = Router::new().nest("/one", one.router.clone()).nest("/other", other.router.clone());
    let both = Api { router, ..one };
    both.call("", "GET /one/v1/organizations/acme", None).await;
    let counted = async |prefix: &str| {
        let text = both.call("", &format!("GET {prefix}/metrics"), None).await.text;
        text.lines().any(|line| line.starts_with("keygate_denials_total{reason=\"missing_key\"} 1"))
    };
    assert!(counted("/one").await && !counted("/other").await);
}

#[tokio::test]
async fn figures_that_nobody_reads_do_not_pile_up() {
    let api = Api::new().await;
    for _ in 0..10_000 {
        api.call("", "GET /healthz", None).await;
    }
    let figures = figures(&api).await;
    let count = "keygate_http_request_duration_seconds_count{route=\"/healthz\",method=\"GET\"}";
    assert_eq!(figures[count], 10_000.0, "and none is lost");
}
