//! What a gate charges, what is given back, and what clients are told of it.

use std::time::Duration;

use keygate_core::context::Admission;
use keygate_core::denial::DenialReason;
use keygate_core::limits::Limits;
use keygate_http::answer::Answer;
use keygate_http::gate::{Asked, Gate, Requirement, RouteCost, WithoutKey};
use serde_json::{Value, json};

use crate::support::{Deployment, GET, ask};

const TEN_A_MINUTE: Limits = Limits { per_minute: Some(10), ..Limits::UNLIMITED };

fn told(gate: &Gate, admission: &Admission) -> Option<(String, String)> {
    let fields = gate.follow(admission).fields()?;
    let text = |field: bytes::Bytes| String::from_utf8(field.to_vec()).unwrap();
    Some((text(fields.policy), text(fields.standing)))
}

fn left(gate: &Gate, admission: &Admission) -> String {
    told(gate, admission).unwrap().1
}

fn problem(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn who_is_let_in_is_told_all_limits_and_the_tightest_standing() {
    let deployment = Deployment::start().await;
    deployment.limit_organization(Limits { per_day: Some(5), ..Limits::UNLIMITED }).await;
    let key = deployment.key(TEN_A_MINUTE).await;
    let gate = Gate::new(deployment.manager.clone());

    let admission = ask(&gate, GET, &key).await.unwrap();
    let policies = r#""minute";q=10;w=60, "organization-day";q=5;w=86400"#;
    let (policy, standing) = told(&gate, &admission).unwrap();
    assert_eq!((&*policy, &*standing), (policies, r#""organization-day";r=4;t=86400"#));
}

#[tokio::test]
async fn who_exceeds_a_limit_is_told_which_and_how_long_to_wait() {
    let deployment = Deployment::start().await;
    let key = deployment.key(TEN_A_MINUTE).await;
    let gate = Gate::new(deployment.manager.clone());
    deployment.clock.advance(Duration::from_millis(42_500));
    for _ in 0..10 {
        ask(&gate, GET, &key).await.unwrap();
    }
    let denial = ask(&gate, GET, &key).await.unwrap_err();
    let answer = gate.refuse(&denial);
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("ratelimit-policy"), Some(r#""minute";q=10;w=60"#));
    assert_eq!(answer.header("ratelimit"), Some(r#""minute";r=0;t=18"#));
    assert_eq!(answer.header("retry-after"), Some("18"));
    let expected = json!({
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "detail": "The limit of 10 a minute of the API key is used up; try again later.",
        "reason": "rate_limit_exceeded",
        "violated-policies": ["minute"],
    });
    assert_eq!(problem(&answer), expected);

    // Who waits for as long as that is let in.
    deployment.clock.advance(Duration::from_secs(18));
    assert!(ask(&gate, GET, &key).await.is_ok());
}

#[tokio::test]
async fn of_several_limits_that_are_used_up_each_is_told_and_the_longest_is_waited_for() {
    let deployment = Deployment::start().await;
    deployment.limit_organization(Limits { per_hour: Some(10), ..Limits::UNLIMITED }).await;
    let key = deployment.key(TEN_A_MINUTE).await;
    let gate = Gate::new(deployment.manager.clone()).cost(|_| 10);
    ask(&gate, GET, &key).await.unwrap();

    let answer = gate.refuse(&ask(&gate, GET, &key).await.unwrap_err());
    let waits: Vec<u64> = answer
        .header("ratelimit")
        .unwrap()
        .split(", ")
        .map(|item| item.split("t=").nth(1).unwrap().parse().unwrap())
        .collect();
    assert_eq!(problem(&answer)["violated-policies"], json!(["minute", "organization-hour"]));
    assert_eq!(waits.len(), 2);
    assert_eq!(answer.header("retry-after"), Some(&*waits.iter().max().unwrap().to_string()));
}

#[tokio::test]
async fn what_costs_more_than_a_limit_is_told_that_it_is_never_let_in_and_not_to_wait() {
    let deployment = Deployment::start().await;
    let key = deployment.key(TEN_A_MINUTE).await;
    let gate = Gate::new(deployment.manager.clone()).cost(|_| 11);
    let answer = gate.refuse(&ask(&gate, GET, &key).await.unwrap_err());
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("retry-after"), None);
    assert_eq!(answer.header("ratelimit-policy"), Some(r#""minute";q=10;w=60"#));
    assert_eq!(answer.header("ratelimit"), Some(r#""minute";r=0"#));
    let detail = "This request costs more than the 10 a minute of the API key: it is never let in.";
    assert_eq!(problem(&answer)["detail"], detail);
    assert_eq!(problem(&answer)["violated-policies"], json!(["minute"]));
}

#[tokio::test]
async fn without_limits_nothing_is_told_nor_where_the_gate_does_not_tell() {
    let deployment = Deployment::start().await;
    let (limited, unlimited) = (deployment.key(TEN_A_MINUTE).await, deployment.key(Limits::UNLIMITED).await);
    let (open, silent) =
        (Gate::new(deployment.manager.clone()), Gate::new(deployment.manager).rate_limit_headers(false));
    assert_eq!(told(&open, &ask(&open, GET, &unlimited).await.unwrap()), None);
    assert_eq!(told(&silent, &ask(&silent, GET, &limited).await.unwrap()), None);

    let denial = ask(&silent.clone().cost(|_| 10), GET, &limited).await.unwrap_err();
    for answer in [silent.refuse(&denial), RouteCost::new(1).rate_limit_headers(false).refuse(&denial)] {
        assert_eq!((answer.header("ratelimit-policy"), answer.header("ratelimit")), (None, None));
        assert!(answer.header("retry-after").is_some());
    }
}

#[tokio::test]
async fn a_request_costs_what_the_gate_was_told_of_such_requests() {
    let deployment = Deployment::start().await;
    let key = deployment.key(TEN_A_MINUTE).await;
    let gate = Gate::new(deployment.manager).cost(|asked| match (asked.method, asked.path, asked.query) {
        ("POST", "/reports", Some("all")) => 5,
        ("GET", "/health", None) => 0,
        _ => 1,
    });
    let left = async |asked| left(&gate, &ask(&gate, asked, &key).await.unwrap());
    assert!(left(Asked::new("POST", "/reports", Some("all"))).await.starts_with(r#""minute";r=5;"#));
    assert!(left(Asked::new("POST", "/reports", None)).await.starts_with(r#""minute";r=4;"#));
    assert!(left(Asked::new("GET", "/health", None)).await.starts_with(r#""minute";r=4;"#));
    let answer = gate.refuse(&ask(&gate, Asked::new("POST", "/reports", Some("all")), &key).await.unwrap_err());
    assert_eq!(answer.status, 429);
    // What costs nothing is let in though nothing is left.
    for _ in 0..4 {
        left(GET).await;
    }
    assert!(left(Asked::new("GET", "/health", None)).await.starts_with(r#""minute";r=0;"#));
}

#[tokio::test]
async fn a_requirement_that_is_not_met_gives_back_what_was_charged() {
    let deployment = Deployment::start().await;
    let key = deployment.key(TEN_A_MINUTE).await;
    let gate = Gate::new(deployment.manager).cost(|_| 4);
    let mut admission = ask(&gate, GET, &key).await.unwrap();
    let requirement = |scope: &str| Requirement::scope(scope.parse().unwrap());

    assert!(requirement("a").check(Some(&mut admission), None, "the gate").is_ok());
    assert_eq!(admission.cost(), 4);
    let denial = requirement("b").check(Some(&mut admission), None, "the gate").unwrap_err();
    assert_eq!((denial.reason(), admission.cost()), (DenialReason::ScopeNotAuthorized, 0));
    assert!(left(&gate, &admission).starts_with(r#""minute";r=10;"#));
}

#[tokio::test]
async fn a_route_costs_what_it_says_in_the_place_of_what_was_charged() {
    let deployment = Deployment::start().await;
    let key = deployment.key(TEN_A_MINUTE).await;
    let gate = Gate::new(deployment.manager);
    let charge = async |cost: u64| {
        let (cost, mut admission) = (RouteCost::new(cost), ask(&gate, GET, &key).await.unwrap());
        let charged = match cost.charge(Some(&mut admission), None, "the gate") {
            Some(charged) => charged,
            None => cost.ask(&mut admission).await,
        };
        (charged.map_err(|denial| cost.refuse(&denial)), admission)
    };
    let (charged, admission) = charge(6).await;
    assert_eq!((charged, admission.cost()), (Ok(()), 6));
    // Told as it is now, whatever was charged since the request was let in.
    assert!(left(&gate, &admission).starts_with(r#""minute";r=4;"#));

    let (charged, admission) = charge(5).await;
    let answer = charged.unwrap_err();
    assert_eq!((answer.status, admission.cost()), (429, 0));
    assert!(answer.header("ratelimit").unwrap().starts_with(r#""minute";r=0;t="#));
    assert!(left(&gate, &admission).starts_with(r#""minute";r=4;"#), "what was charged before is given back");

    let (charged, admission) = charge(20).await;
    assert_eq!((charged.unwrap_err().header("retry-after"), admission.cost()), (None, 0));

    let (charged, admission) = charge(0).await;
    assert_eq!((charged, admission.cost()), (Ok(()), 0));
    assert!(left(&gate, &admission).starts_with(r#""minute";r=4;"#));
}

#[test]
fn a_route_charges_nobody_without_a_key_and_nobody_gets_in_where_the_gate_is_missing() {
    let charge = |without_key| RouteCost::new(10).charge(None, without_key, "the gate").unwrap();
    assert!(charge(Some(WithoutKey::Optional)).is_ok() && charge(Some(WithoutKey::Preflight)).is_ok());
    assert_eq!(charge(None).unwrap_err().reason(), DenialReason::MissingKey);
}
