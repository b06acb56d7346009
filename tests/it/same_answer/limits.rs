//! Limits: what one request leaves is what the next one meets, so they come in sequences, and each adapter has a deployment
//! of its own in which time stands still.

use keygate::actor::Operator;
use keygate::denial::DenialReason::{self, *};
use keygate::limits::Limits;
use keygate::manager::{ApiKeyManager, NewKey, OrganizationUpdate};
use keygate::ring::{MasterSecret, SecretRing};
use keygate::scope::ScopeSet;
use keygate::store::MemoryStore;
use keygate_testkit::HeldClock;

use super::servers::{Answer, Gate, Request, ask_actix, ask_axum, ask_tonic};

/// Requests of one key, in their order.
pub(crate) struct Sequence {
    what: &'static str,
    own: Limits,
    organization: Limits,
    policies: &'static str,
    steps: Vec<Step>,
}

struct Step {
    gate: Gate,
    query: Option<&'static str>,
    without_key: bool,
    /// The reason, if it is refused, and what `RateLimit` tells.
    expected: (Option<DenialReason>, Option<&'static str>),
}

fn step(gate: Gate, refused: impl Into<Option<DenialReason>>, told: impl Into<Option<&'static str>>) -> Step {
    Step { gate, query: None, without_key: false, expected: (refused.into(), told.into()) }
}

impl Step {
    fn query(self, query: &'static str) -> Self {
        Self { query: Some(query), ..self }
    }

    fn without_key(self) -> Self {
        Self { without_key: true, ..self }
    }
}

fn a_minute(limit: u64) -> Limits {
    Limits { per_minute: Some(limit), ..Limits::UNLIMITED }
}

fn sequence(what: &'static str, own: Limits, policies: &'static str, steps: Vec<Step>) -> Sequence {
    Sequence { what, own, organization: Limits::UNLIMITED, policies, steps }
}

/// The key is for `reports:write` alone, and may do nothing.
pub(crate) fn sequences() -> Vec<Sequence> {
    let exceeded = RateLimitExceeded;
    let of_three = sequence(
        "a limit that is used up",
        a_minute(3),
        r#""minute";q=3;w=60"#,
        vec![
            step(Gate::Plain, None, r#""minute";r=2;t=60"#),
            step(Gate::Plain, None, r#""minute";r=1;t=60"#),
            step(Gate::Plain, None, r#""minute";r=0;t=60"#),
            step(Gate::Plain, exceeded, r#""minute";r=0;t=60"#),
            step(Gate::Optional, exceeded, r#""minute";r=0;t=60"#),
            step(Gate::Cost(0), exceeded, r#""minute";r=0;t=60"#),
            step(Gate::Priced, None, r#""minute";r=0;t=60"#).query("0"),
            step(Gate::Silent, exceeded, None),
        ],
    );
    let above = sequence(
        "what costs more than a limit",
        a_minute(5),
        r#""minute";q=5;w=60"#,
        vec![
            step(Gate::Priced, exceeded, r#""minute";r=0"#).query("6"),
            step(Gate::Cost(10), exceeded, r#""minute";r=0"#),
            step(Gate::SilentCost(10), exceeded, None),
            step(Gate::Plain, None, r#""minute";r=4;t=60"#),
        ],
    );
    let routes = sequence(
        "routes that say what they cost",
        a_minute(25),
        r#""minute";q=25;w=60"#,
        vec![
            step(Gate::Cost(10), None, r#""minute";r=15;t=60"#),
            step(Gate::Cost(1), None, r#""minute";r=14;t=60"#),
            step(Gate::Cost(0), None, r#""minute";r=14;t=60"#),
            step(Gate::Cost(20), exceeded, r#""minute";r=0;t=60"#),
            step(Gate::OptionalCost(2), None, r#""minute";r=12;t=60"#),
            step(Gate::SilentCost(2), None, None),
            step(Gate::Plain, None, r#""minute";r=9;t=60"#),
        ],
    );
    let priced = sequence(
        "a layer that says what requests cost",
        a_minute(25),
        r#""minute";q=25;w=60"#,
        vec![
            step(Gate::Priced, None, r#""minute";r=5;t=60"#).query("20"),
            step(Gate::Priced, exceeded, r#""minute";r=0;t=60"#).query("20"),
            step(Gate::Priced, None, r#""minute";r=0;t=60"#).query("5"),
            step(Gate::Priced, None, r#""minute";r=0;t=60"#).query("0"),
        ],
    );
    let denials = sequence(
        "denials, which burn nothing",
        a_minute(5),
        r#""minute";q=5;w=60"#,
        vec![
            step(Gate::Scope, ScopeNotAuthorized, None),
            step(Gate::Permission, PermissionDenied, None),
            step(Gate::ScopeWithin, ScopeNotAuthorized, r#""minute";r=5;t=60"#),
            step(Gate::PermissionWithin, PermissionDenied, r#""minute";r=5;t=60"#),
            step(Gate::Plain, MissingKey, None).without_key(),
            step(Gate::Optional, None, None).without_key(),
            step(Gate::OptionalCost(10), None, None).without_key(),
            step(Gate::Plain, None, r#""minute";r=4;t=60"#),
        ],
    );
    let burst = sequence(
        "a burst",
        Limits { burst: Some(2), ..a_minute(60) },
        r#""minute";q=60;w=60, "burst";q=2;w=2"#,
        vec![
            step(Gate::Plain, None, r#""burst";r=1;t=1"#),
            step(Gate::Plain, None, r#""burst";r=0;t=2"#),
            step(Gate::Plain, exceeded, r#""burst";r=0;t=1"#),
        ],
    );
    let shared = Sequence {
        organization: Limits { per_day: Some(2), ..Limits::UNLIMITED },
        ..sequence(
            "a limit of the organization",
            a_minute(10),
            r#""minute";q=10;w=60, "organization-day";q=2;w=86400"#,
            vec![
                step(Gate::Plain, None, r#""organization-day";r=1;t=86400"#),
                step(Gate::Cost(4), exceeded, r#""organization-day";r=0"#),
                step(Gate::Cost(2), exceeded, r#""organization-day";r=0;t=86400"#),
                step(Gate::Plain, None, r#""organization-day";r=0;t=86400"#),
                step(Gate::Plain, exceeded, r#""organization-day";r=0;t=86400"#),
            ],
        )
    };
    let unlimited = sequence(
        "no limits at all",
        Limits::UNLIMITED,
        "",
        vec![step(Gate::Plain, None, None), step(Gate::Cost(10), None, None), step(Gate::Silent, None, None)],
    );
    vec![of_three, above, routes, priced, denials, burst, shared, unlimited]
}

impl Sequence {
    async fn deployment(&self) -> (ApiKeyManager, String) {
        // The first moment of a day, and so of a minute.
        let clock = HeldClock::new().holding_ticks();
        let ring = SecretRing::new(&MasterSecret::generate().unwrap());
        let store = MemoryStore::with_clock(clock.clone());
        let manager = ApiKeyManager::builder(store, ring).clock(clock).build().unwrap();
        let operator = Operator::named("test".parse().unwrap());
        let mut new = NewKey::new("acme".parse().unwrap(), "ada".parse().unwrap());
        new.scopes = Some(ScopeSet::parse(["reports:write"]).unwrap());
        new.limits = Some(self.own);
        let key = manager.create(&operator.clone().into(), new).await.unwrap().text.expose().to_owned();
        let mut update = OrganizationUpdate::default();
        update.limits = Some(Some(self.organization));
        manager.update_organization(&operator, &"acme".parse().unwrap(), &update, None).await.unwrap();
        (manager, key)
    }

    /// Puts the requests to all three, and holds each answer to what is expected and to the others.
    pub(crate) async fn compare(&self) {
        let (axum, actix, tonic) = (self.deployment().await, self.deployment().await, self.deployment().await);
        for (number, step) in self.steps.iter().enumerate() {
            let what = format!("{}, request {number}", self.what);
            let request = |key: &str| {
                let request = Request::new();
                let request = if step.without_key { request } else { request.header("x-api-key", key) };
                step.query.map_or(request.clone(), |query| request.query(query))
            };
            let answer = ask_axum(axum.0.clone(), step.gate, &request(&axum.1)).await;
            let same = ask_actix(actix.0.clone(), step.gate, &request(&actix.1)).await;
            assert_eq!(answer, same, "{what}");
            self.check(&what, &answer, step);

            let metadata = match ask_tonic(tonic.0.clone(), step.gate, &request(&tonic.1)).await {
                Ok((_, metadata)) => {
                    assert_eq!(step.expected.0, None, "{what}");
                    metadata
                }
                Err(status) => {
                    let reason = step.expected.0.expect(&what);
                    assert_eq!(status.code() as i32, i32::from(keygate::http::answer::grpc_code(reason)), "{what}");
                    assert_eq!(status.message(), answer.problem()["detail"], "{what}");
                    status.metadata().clone()
                }
            };
            let told = |name| metadata.get(name).map(|value| value.to_str().unwrap());
            for name in ["ratelimit-policy", "ratelimit"] {
                assert_eq!(told(name), answer.header(name), "{what}");
            }
            let wait = answer.header("retry-after").map(|seconds| format!("{seconds}000"));
            let never = (wait.is_none() && step.expected.0 == Some(RateLimitExceeded)).then(|| "-1".to_owned());
            assert_eq!(told("grpc-retry-pushback-ms"), wait.or(never).as_deref(), "{what}");
        }
    }

    /// What must hold of an answer, by itself.
    fn check(&self, what: &str, answer: &Answer, step: &Step) {
        let (reason, told) = step.expected;
        assert_eq!(answer.reason, reason, "{what}");
        assert_eq!(answer.header("ratelimit"), told, "{what}");
        assert_eq!(answer.header("ratelimit-policy"), told.map(|_| self.policies), "{what}");
        if reason == Some(RateLimitExceeded) {
            assert_eq!(answer.status, 429, "{what}");
            let name = told.map(|told| told.split('"').nth(1).unwrap());
            let problem = answer.problem();
            assert!(problem["type"].as_str().unwrap().ends_with("#quota-exceeded"), "{what}");
            assert!(name.is_none_or(|name| problem["violated-policies"] == serde_json::json!([name])), "{what}");
            let is_permanent = problem["detail"].as_str().unwrap().ends_with("it is never let in.");
            assert_eq!(answer.header("retry-after").is_some(), !is_permanent, "{what}");
            let wait = told.and_then(|told| told.split_once(";t=")).map(|(_, seconds)| seconds);
            assert!(told.is_none() || wait == answer.header("retry-after"), "{what}");
        }
    }
}
