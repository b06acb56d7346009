//! What becomes of a request at a gate, and of what a gate let in at a requirement.

use std::net::IpAddr;

use keygate_core::actor::Operator;
use keygate_core::context::{Admission, RequestContext};
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::manager::{ApiKeyManager, Attempt, NewKey};
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_core::scope::{Scope, ScopeSet};
use keygate_core::store::MemoryStore;
use keygate_http::answer::Realm;
use keygate_http::credentials::CredentialSources;
use keygate_http::gate::{Asked, Gate, Requirement, Verdict, WithoutKey};

const GET: Asked<'static> = Asked::new("GET", "/", None);

const PREFLIGHT: [(&str, &str); 2] = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "GET")];

async fn manager() -> ApiKeyManager {
    let ring = SecretRing::new(&MasterSecret::generate().unwrap());
    let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build().unwrap();
    manager.open().await.unwrap();
    manager
}

/// The text of a new key of ada at acme.
async fn key(manager: &ApiKeyManager, change: impl FnOnce(&mut NewKey)) -> String {
    let mut new = NewKey::new("acme".parse().unwrap(), "ada".parse().unwrap());
    change(&mut new);
    let operator = Operator::named("tests".parse().unwrap()).into();
    manager.create(&operator, new).await.unwrap().text.expose().to_owned()
}

fn scope(text: &str) -> Scope {
    Scope::new(text).unwrap()
}

fn networks(text: &str) -> CidrSet {
    CidrSet::new([Cidr::new(text).unwrap()]).unwrap()
}

/// What an adapter does with a verdict, without the framework.
async fn decide(verdict: Verdict) -> Result<Option<Admission>, Denial> {
    match verdict {
        Verdict::Pass(_) => Ok(None),
        Verdict::Attempt(Attempt::Decided(decision)) => decision.map(Some),
        Verdict::Attempt(Attempt::Pending(pending)) => pending.resolve().await.map(Some),
    }
}

async fn refusal(gate: &Gate, key: &str) -> Option<(DenialReason, Option<String>)> {
    let denial = decide(gate.judge(GET, &[("X-API-Key", key)][..], None)).await.err()?;
    Some((denial.reason(), denial.required().map(ToString::to_string)))
}

fn why(verdict: &Verdict) -> Option<WithoutKey> {
    match verdict {
        Verdict::Pass(why) => Some(*why),
        Verdict::Attempt(_) => None,
    }
}

#[tokio::test]
async fn every_scope_is_asked_before_any_permission_however_the_gate_was_built() {
    let manager = manager().await;
    let gate = Gate::new(manager.clone())
        .require_permission(scope("admin:read"))
        .require_scope(scope("a"))
        .require_permission(scope("admin:write"))
        .require_scope(scope("b"));
    for (scopes, permissions, expected) in [
        (&["a", "b"][..], &["admin:*"][..], None),
        (&["a"], &[], Some((DenialReason::ScopeNotAuthorized, Some("b".to_owned())))),
        (&[], &["admin:*"], Some((DenialReason::ScopeNotAuthorized, Some("a".to_owned())))),
        (&["*"], &["admin:read"], Some((DenialReason::PermissionDenied, Some("admin:write".to_owned())))),
    ] {
        let change = |new: &mut NewKey| {
            new.scopes = Some(ScopeSet::parse(scopes).unwrap());
            new.permissions = ScopeSet::parse(permissions).unwrap();
        };
        assert_eq!(refusal(&gate, &key(&manager, change).await).await, expected, "{scopes:?} {permissions:?}");
    }
}

#[tokio::test]
async fn a_request_without_a_key_passes_only_where_the_gate_was_told_so() {
    let manager = manager().await;
    let judge = |gate: Gate, method| gate.judge(Asked::new(method, "/", None), &PREFLIGHT[..], None);
    assert_eq!(why(&judge(Gate::new(manager.clone()), "OPTIONS")), None);
    assert_eq!(why(&judge(Gate::new(manager.clone()).optional(), "GET")), Some(WithoutKey::Optional));
    let allowing = Gate::new(manager.clone()).allow_preflight();
    assert_eq!(why(&judge(allowing.clone(), "OPTIONS")), Some(WithoutKey::Preflight));
    assert_eq!(why(&judge(allowing.clone(), "GET")), None);
    // Within whom it is let through matters: what answers preflights must see them, optional or not.
    assert_eq!(why(&judge(allowing.optional(), "OPTIONS")), Some(WithoutKey::Preflight));

    let optional = Gate::new(manager.clone()).optional();
    assert_eq!(refusal(&optional, "no key").await, Some((DenialReason::MalformedKey, None)));
    let twice = [("X-API-Key", "a"), ("X-API-Key", "b")];
    let denial = decide(optional.judge(GET, &twice[..], None)).await.unwrap_err();
    assert_eq!(denial.reason(), DenialReason::MultipleCredentials);
}

#[tokio::test]
async fn the_key_is_looked_for_where_the_gate_was_told_and_the_address_is_the_clients() {
    let manager = manager().await;
    let key = key(&manager, |new| new.allowed_ips = Some(networks("203.0.113.0/24"))).await;
    let sources = CredentialSources::empty().header("X-Acme-Key").unwrap().query_parameter_danger("key").unwrap();
    let gate = Gate::new(manager).credentials(sources).trusted_proxies(networks("10.0.0.0/8"));
    assert_eq!(gate.credential_headers().collect::<Vec<_>>(), ["x-acme-key"]);

    let forwarded = ("X-Forwarded-For", "203.0.113.7");
    let header = [("X-Acme-Key", &*key), forwarded];
    let query = format!("page=1&key={key}");
    let (proxy, stranger): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "198.51.100.1".parse().unwrap());
    assert!(decide(gate.judge(GET, &header[..], Some(proxy))).await.unwrap().is_some());
    assert!(
        decide(gate.judge(Asked::new("GET", "/", Some(&query)), &header[1..], Some(proxy))).await.unwrap().is_some()
    );
    for peer in [None, Some(stranger)] {
        let denial = decide(gate.judge(GET, &header[..], peer)).await.unwrap_err();
        assert_eq!(denial.reason(), DenialReason::IpNotAllowed);
    }
}

#[tokio::test]
async fn a_requirement_looks_at_what_the_gate_let_in() {
    let manager = manager().await;
    let key = key(&manager, |new| new.scopes = Some(ScopeSet::parse(["a"]).unwrap())).await;
    let gate = Gate::new(manager);
    let mut admission = decide(gate.judge(GET, &[("X-API-Key", key)][..], None)).await.unwrap();

    let reason = |requirement: Requirement, admission: Option<&mut Admission>, without_key| {
        requirement.check(admission, without_key, "the gate").err().map(|denial| denial.reason())
    };
    let mut admitted = |requirement| reason(requirement, admission.as_mut(), None);
    assert_eq!(admitted(Requirement::scope(scope("a"))), None);
    assert_eq!(admitted(Requirement::scope(scope("b"))), Some(DenialReason::ScopeNotAuthorized));
    assert_eq!(admitted(Requirement::permission(scope("a"))), Some(DenialReason::PermissionDenied));

    let without = |without_key| reason(Requirement::scope(scope("a")), None, without_key);
    assert_eq!(without(Some(WithoutKey::Preflight)), None);
    assert_eq!(without(Some(WithoutKey::Optional)), Some(DenialReason::MissingKey));
    assert_eq!(without(None), Some(DenialReason::MissingKey));
}

#[tokio::test]
async fn a_refusal_names_the_realm() {
    let realm = Realm::new("reports").unwrap();
    let denial = Denial::new(DenialReason::MissingKey);
    let gate = Gate::new(manager().await).realm(realm.clone());
    let requirement = Requirement::scope(scope("a")).realm(realm);
    for answer in [gate.refuse(&denial), requirement.refuse(&denial)] {
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"reports\""));
    }
}

#[tokio::test]
async fn what_one_request_needs_stands_in_the_place_of_what_all_do() {
    let manager = manager().await;
    let reader = key(&manager, |new| {
        new.scopes = Some(ScopeSet::parse(["reports:read"]).unwrap());
        new.allowed_ips = Some(CidrSet::new([Cidr::new("192.0.2.0/24").unwrap()]).unwrap());
    })
    .await;
    let gate = Gate::new(manager).require_scope(Scope::new("reports:write").unwrap());
    let request = [("X-API-Key", reader.as_str())];
    let client = Some("192.0.2.7".parse().unwrap());
    let judge = async |context: &RequestContext, peer: Option<IpAddr>| {
        match gate.judge_for(context, GET, &request[..], peer) {
            Verdict::Attempt(Attempt::Decided(decision)) => decision,
            Verdict::Attempt(Attempt::Pending(pending)) => pending.resolve().await,
            Verdict::Pass(why) => panic!("{why:?}"),
        }
        .map_err(|denial| denial.reason())
    };
    let reading = RequestContext::new().needing_scope(Scope::new("reports:read").unwrap());
    assert!(judge(&reading, client).await.is_ok());
    assert!(judge(&RequestContext::new(), client).await.is_ok());
    let writing = RequestContext::new().needing_scope(Scope::new("reports:write").unwrap());
    assert_eq!(judge(&writing, client).await.unwrap_err(), DenialReason::ScopeNotAuthorized);
    // The address is the request's, whatever the context says.
    let claimed = reading.from_address("192.0.2.7".parse().unwrap());
    assert_eq!(judge(&claimed, None).await.unwrap_err(), DenialReason::IpNotAllowed);
}
