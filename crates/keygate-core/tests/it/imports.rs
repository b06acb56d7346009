//! Keys that were made elsewhere: taken in, found, checked, and digested anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use data_encoding::HEXLOWER;
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use keygate_core::audit::AuditPolicy;
use keygate_core::context::RequestContext;
use keygate_core::denial::DenialReason;
use keygate_core::import::{HmacKey, ImportPattern, ImportPolicy};
use keygate_core::key::KeyId;
use keygate_core::manager::{
    ApiKeyManager, Attempt, ImportOutcome, ImportStatus, KeyFilter, MAX_IMPORT, MAX_IMPORT_BYTES, ManageError,
    ManagerBuilder, OrganizationUpdate, SetupError,
};
use keygate_core::record::{KeyRecord, Quota};
use keygate_core::store::Store;
use keygate_core::verifier::{Scheme, Verifier};
use keygate_testkit::FaultyStore;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};

use crate::support::fateful_store::{Fate, FatefulStore};
use crate::support::yielding_store::YieldingStore;
use crate::support::{self, Instance, block_on, new_key, operator, org, ring, the_operator, word};

const PATTERN: &str = "legacy=sk_live_[A-Za-z0-9]{24}";
const SALTED: &str = "salted=pk_(?P<lookup>[a-z0-9]{8})_[A-Za-z0-9]{24}";
const HMAC_KEY: &[u8] = b"the old system's pepper";

fn policy() -> ImportPolicy {
    let pattern = |text| ImportPattern::parse(text).unwrap();
    let policy = ImportPolicy::default().pattern(pattern(PATTERN)).unwrap().pattern(pattern(SALTED)).unwrap();
    policy.hmac_key(HmacKey::new("old", HMAC_KEY).unwrap()).unwrap()
}

fn importing(builder: ManagerBuilder) -> ManagerBuilder {
    builder.imports(policy())
}

/// With an audit that is off: what is in one needs ring entries too, which tests/it/audit.rs is about.
fn unaudited(builder: ManagerBuilder) -> ManagerBuilder {
    importing(builder).audit(AuditPolicy::off())
}

fn instance() -> Instance {
    Instance::built(ring(&[1]), importing)
}

fn text(nth: usize) -> String {
    format!("sk_live_{nth:024}")
}

fn salted_text(nth: usize) -> String {
    format!("pk_{nth:08}_{:024}", nth * 7)
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

/// A text, and the line of its key, by each way that it may be given.
fn every_way(nth: usize) -> Vec<(&'static str, String, Value)> {
    let text = |way: usize| self::text(nth * 10 + way);
    let mut mac = Hmac::<Sha256>::new_from_slice(HMAC_KEY).unwrap();
    mac.update(text(3).as_bytes());
    let mut output = [0; 32];
    let salted = salted_text(nth);
    pbkdf2::pbkdf2_hmac::<Sha256>(salted.as_bytes(), b"salt", 1_000, &mut output);
    let line = |fields: Value| {
        let mut line = json!({"user_id": "bob", "scopes": ["a"]});
        line.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        line
    };
    vec![
        ("raw", text(0), line(json!({"raw": text(0)}))),
        ("sha256", text(1), line(json!({"algorithm": "sha256", "digest": hex(Sha256::digest(text(1)))}))),
        ("sha512", text(2), line(json!({"algorithm": "sha512", "digest": hex(Sha512::digest(text(2)))}))),
        (
            "hmac-sha256",
            text(3),
            line(json!({"algorithm": "hmac-sha256", "hmac_key": "old", "digest": hex(mac.finalize().into_bytes())})),
        ),
        (
            "pbkdf2-sha256",
            salted,
            line(json!({
                "algorithm": "pbkdf2-sha256", "digest": hex(output), "salt": "text:salt", "iterations": 1_000,
                "lookup": format!("{nth:08}"),
            })),
        ),
    ]
}

fn raw(text: &str) -> Value {
    json!({"raw": text, "user_id": "bob", "scopes": []})
}

fn body(lines: &[Value]) -> Vec<u8> {
    lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

async fn import(manager: &ApiKeyManager, lines: &[Value]) -> Vec<ImportOutcome> {
    manager.import(&the_operator(), &org("acme"), &body(lines), false).await.unwrap()
}

async fn imported(manager: &ApiKeyManager, line: &Value) -> KeyId {
    let outcome = import(manager, std::slice::from_ref(line)).await.remove(0);
    assert_eq!(outcome.status, ImportStatus::Created, "{outcome:?}");
    outcome.key_id.unwrap()
}

fn statuses(outcomes: &[ImportOutcome]) -> Vec<ImportStatus> {
    outcomes.iter().map(|outcome| outcome.status).collect()
}

/// What one outcome says of why.
fn why(outcome: &ImportOutcome) -> (&str, &str) {
    (outcome.reason.as_deref().unwrap_or_default(), outcome.detail.as_deref().unwrap_or_default())
}

async fn listed(instance: &Instance) -> usize {
    let page = instance.manager.list(&operator(), &org("acme"), &KeyFilter::default(), 1_000, None).await.unwrap();
    page.keys.len()
}

#[tokio::test]
async fn a_key_is_used_by_its_old_text_whichever_way_it_was_given() {
    let instance = instance();
    for (way, text, line) in every_way(1) {
        let id = imported(&instance.manager, &line).await;
        // With the first use, from memory, and on an instance that has seen nothing of it.
        for _ in 0..3 {
            let admission = instance.validate(&text).await.unwrap();
            assert_eq!((admission.id, admission.user.as_str()), (id, "bob"), "{way}");
        }
        let beside = instance.beside_built(ring(&[1]), importing);
        assert_eq!(beside.validate(&text).await.unwrap().id, id, "{way}");
        for wrong in [format!("{text}0"), text.to_uppercase(), format!(" {text}")] {
            assert_eq!(instance.refusal(&wrong).await, DenialReason::MalformedKey, "{way}: {wrong}");
        }
    }
}

/// The first use digests it like a native key, and nothing of the old digest is left.
#[tokio::test]
async fn the_first_use_digests_it_anew_and_once() {
    let instance = instance();
    for (way, text, line) in every_way(1) {
        let id = imported(&instance.manager, &line).await;
        let before = instance.record(id).await;
        assert_eq!(before.verifier.is_imported(), way != "raw", "{way}");
        assert!(instance.validate(&text).await.is_ok(), "{way}");
        let after = instance.record(id).await;
        assert_eq!(after.verifier.scheme(), Some(Scheme::HmacSha256), "{way}");
        assert_eq!(after.lookup, before.lookup, "{way}");
        let written = u64::from(way != "raw");
        assert_eq!(after.key.revision.0, before.key.revision.0 + written, "{way}");
        assert!(instance.validate(&text).await.is_ok(), "{way}");
        assert_eq!(instance.record(id).await, after, "{way}");
    }
}

/// What the store holds of a weak text can be made by nobody who has not the master secret.
#[tokio::test]
async fn no_digest_is_kept_as_it_was_given() {
    let instance = instance();
    for (way, text, line) in every_way(1) {
        let id = imported(&instance.manager, &line).await;
        let bytes = instance.record(id).await.encode().unwrap();
        let given = line["digest"].as_str().map(|digest| HEXLOWER.decode(digest.as_bytes()).unwrap());
        let plain = [Sha256::digest(&text).to_vec(), Sha512::digest(&text).to_vec(), text.clone().into_bytes()];
        for secret in given.into_iter().chain(plain) {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret), "{way}");
        }
        // Of another deployment it is another.
        let other = Instance::built(ring(&[9]), importing);
        let other_id = imported(&other.manager, &line).await;
        assert_ne!(other.record(other_id).await.lookup, instance.record(id).await.lookup, "{way}");
    }
}

#[tokio::test]
async fn a_high_tier_is_slow_from_the_first_use_on() {
    let instance = instance();
    let mut line = raw(&text(1));
    line["security_tier"] = json!("high");
    let id = imported(&instance.manager, &line).await;
    assert!(instance.record(id).await.verifier.is_imported());
    assert!(instance.validate(&text(1)).await.is_ok());
    assert_eq!(instance.record(id).await.verifier.scheme(), Some(Scheme::PBKDF2));
    assert!(instance.validate(&text(1)).await.is_ok());
}

/// A hit asks nothing of the store, as with a native key.
#[tokio::test]
async fn a_key_that_was_found_once_is_decided_in_memory() {
    let instance = instance();
    for (way, text, mut line) in every_way(1) {
        line["limits"] = json!({});
        imported(&instance.manager, &line).await;
        instance.validate(&text).await.unwrap();
        instance.validate(&text).await.unwrap();
        instance.store.reset_calls();
        let attempt = instance.manager.attempt(text.as_bytes(), &RequestContext::new());
        assert!(matches!(attempt, Attempt::Decided(Ok(_))), "{way}");
        assert_eq!(instance.store.calls().total(), 0, "{way}");
    }
}

/// Length, characters, the native form and the patterns are looked at before anything else.
#[tokio::test]
async fn what_is_of_no_declared_pattern_costs_the_store_nothing() {
    let instance = instance();
    imported(&instance.manager, &raw(&text(1))).await;
    let without = instance.beside(ring(&[1]));
    without.manager.open().await.unwrap();
    instance.store.reset_calls();
    without.store.reset_calls();
    for odd in [
        String::new(),
        "sk_live_".into(),
        format!("sk_live_{}", "x".repeat(1_000)),
        format!("sk_live_{}", "x".repeat(25)),
        format!("sk_live_{}\n", "x".repeat(23)),
        format!("sk_test_{}", "x".repeat(24)),
        format!("sk_live_{}", "\u{e4}".repeat(12)),
    ] {
        assert_eq!(instance.refusal(&odd).await, DenialReason::MalformedKey, "{odd:?}");
    }
    // Nor is any text where nothing is declared.
    assert_eq!(without.refusal(&text(1)).await, DenialReason::MalformedKey);
    assert_eq!((instance.store.calls().total(), without.store.calls().total()), (0, 0));
}

/// Unknown texts are answered alike, and none of them is remembered.
#[tokio::test]
async fn an_unknown_text_is_an_invalid_key_that_leaves_nothing() {
    let instance = instance();
    let (_, known, line) = every_way(1).pop().unwrap();
    imported(&instance.manager, &line).await;
    let before = instance.manager.cache_statistics().entries;
    for nth in 100..400 {
        let denial = instance.validate(&text(nth)).await.unwrap_err();
        assert_eq!((denial.reason(), denial.key_id()), (DenialReason::InvalidKey, None));
    }
    assert_eq!(instance.manager.cache_statistics().entries, before);
    // The right part of a salted text, and a wrong rest: known of the key is no more than of one that is not there.
    let wrong = format!("{}{}", &known[..known.len() - 1], if known.ends_with('1') { '2' } else { '1' });
    let denial = instance.validate(&wrong).await.unwrap_err();
    assert_eq!((denial.reason(), denial.key_id()), (DenialReason::InvalidKey, None));
    assert!(instance.validate(&known).await.is_ok());
    assert_eq!(instance.validate(&wrong).await.unwrap_err().reason(), DenialReason::InvalidKey);
}

#[tokio::test]
async fn beyond_so_many_lookups_the_answer_is_503_and_known_keys_go_on() {
    let instance = Instance::built(ring(&[1]), |builder| builder.imports(policy().lookups_per_second(5)));
    imported(&instance.manager, &raw(&text(1))).await;
    assert!(instance.validate(&text(1)).await.is_ok());
    let mut reasons = BTreeMap::new();
    for nth in 100..200 {
        *reasons.entry(instance.refusal(&text(nth)).await.to_string()).or_insert(0) += 1;
    }
    assert!(reasons["store_unavailable"] >= 80, "{reasons:?}");
    assert!(reasons["invalid_key"] >= 1, "{reasons:?}");
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(instance.validate(&text(1)).await.is_ok());
}

#[tokio::test]
async fn a_store_that_fails_is_503() {
    let instance = instance();
    imported(&instance.manager, &raw(&text(1))).await;
    let beside = instance.beside_built(ring(&[1]), importing);
    beside.manager.open().await.unwrap();
    beside.store.fail();
    for text in [text(1), text(2)] {
        assert_eq!(beside.refusal(&text).await, DenialReason::StoreUnavailable);
    }
    beside.store.heal();
    assert!(beside.validate(&text(1)).await.is_ok());
    // One that was emptied finds nothing, and does not say that it is no key.
    instance.wipe();
    beside.store.renew_lease();
    assert_eq!(beside.refusal(&text(1)).await, DenialReason::StoreUnavailable);
}

#[tokio::test]
async fn an_imported_key_is_checked_limited_counted_revoked_and_deleted_like_any_other() {
    let instance = instance();
    let mut line = raw(&text(1));
    line.as_object_mut().unwrap().extend(
        json!({"limits": {"per_hour": 2}, "allowed_ips": ["192.0.2.0/24"], "scopes": ["reports:read"]})
            .as_object()
            .unwrap()
            .clone(),
    );
    let id = imported(&instance.manager, &line).await;
    let validate = |address: &str, scope: &str| {
        let context = RequestContext::new().from_address(address.parse().unwrap()).needing_scope(support::scope(scope));
        let manager = instance.manager.clone();
        async move { manager.validate(&text(1), &context).await.map(|_| ()).map_err(|denial| denial.reason()) }
    };
    assert_eq!(validate("198.51.100.1", "reports:read").await, Err(DenialReason::IpNotAllowed));
    assert_eq!(validate("192.0.2.1", "reports:write").await, Err(DenialReason::ScopeNotAuthorized));
    assert_eq!(validate("192.0.2.1", "reports:read").await, Ok(()));
    assert_eq!(validate("192.0.2.1", "reports:read").await, Ok(()));
    assert_eq!(validate("192.0.2.1", "reports:read").await, Err(DenialReason::RateLimitExceeded));
    instance.manager.revoke(&operator(), id, None).await.unwrap();
    assert_eq!(validate("192.0.2.1", "reports:read").await, Err(DenialReason::KeyRevoked));
    let lookup = instance.record(id).await.lookup.unwrap();
    instance.manager.delete(&operator(), id, None).await.unwrap();
    assert_eq!(instance.memory.look_up(&[lookup]).await.unwrap(), [None]);
    assert_eq!(instance.refusal(&text(1)).await, DenialReason::InvalidKey);
    // It may be imported again, and is another key.
    let again = imported(&instance.manager, &raw(&text(1))).await;
    assert_ne!(again, id);
    assert_eq!(instance.validate(&text(1)).await.unwrap().id, again);
}

/// A deletion that is refused, because the key was changed meanwhile, leaves it to be found.
#[tokio::test]
async fn a_key_whose_deletion_is_refused_is_still_found() {
    let instance = instance();
    let id = imported(&instance.manager, &raw(&text(1))).await;
    let refused = instance.manager.delete(&operator(), id, None).await;
    assert!(matches!(refused, Err(ManageError::InUse)));
    assert_eq!(instance.validate(&text(1)).await.unwrap().id, id);
}

/// Wherever a deletion is cut off, a key that is there still is found, as long as the store can be asked what there is; and
/// one that is not there is not found.
#[tokio::test]
async fn a_deletion_that_was_cut_off_leaves_a_key_that_is_found_or_none() {
    for fate in [Fate::Failed, Fate::Lost] {
        let mut done = false;
        for step in 0..20 {
            let instance = instance();
            let id = imported(&instance.manager, &raw(&text(1))).await;
            instance.manager.revoke(&operator(), id, None).await.unwrap();
            let lookup = instance.record(id).await.lookup.unwrap();
            let fates = (0..step).map(|_| Fate::Answered).chain([fate]).collect();
            let store = FatefulStore::meeting(instance.memory.clone(), fates);
            let builder = ApiKeyManager::builder(store, ring(&[1])).imports(policy());
            let manager = builder.clock(instance.clock.clone()).build().unwrap();
            let deleted = manager.delete(&operator(), id, None).await;
            let there = instance.memory.record(id).await.unwrap().map(|_| id);
            let what = format!("{fate:?} at {step}: {deleted:?}");
            assert_eq!(instance.memory.look_up(&[lookup]).await.unwrap(), [there], "{what}");
            if there.is_some() {
                // And once more, where it did not fail.
                instance.manager.delete(&operator(), id, None).await.unwrap();
                assert_eq!(instance.memory.look_up(&[lookup]).await.unwrap(), [None], "{what}");
            } else if deleted.is_ok() {
                done = true;
                break;
            }
        }
        assert!(done, "{fate:?}");
    }
}

#[tokio::test]
async fn a_rotated_key_has_a_native_successor_and_works_through_its_overlap() {
    let instance = instance();
    let (_, text, line) = every_way(1).remove(1);
    let id = imported(&instance.manager, &line).await;
    let rotation = instance.manager.rotate(&operator(), id, None).await.unwrap();
    let new = instance.record(rotation.new_key_id).await;
    assert_eq!((new.lookup, new.verifier.scheme()), (None, Some(Scheme::HmacSha256)));
    assert_eq!(instance.validate(&text).await.unwrap().id, id);
    assert_eq!(instance.validate(rotation.text.expose()).await.unwrap().id, rotation.new_key_id);
}

#[tokio::test]
async fn a_key_is_explained_like_any_other() {
    let instance = instance();
    let (_, text, line) = every_way(1).remove(1);
    let id = imported(&instance.manager, &line).await;
    let context = RequestContext::new();
    let explained = instance.manager.explain(&operator(), &text, &context).await.unwrap();
    assert_eq!(explained.decision.unwrap().id, id);
    let of = |text: &str| {
        let (manager, text, context) = (instance.manager.clone(), text.to_owned(), context.clone());
        async move { manager.explain(&operator(), &text, &context).await.unwrap().decision.unwrap_err().reason() }
    };
    assert_eq!(of(&self::text(77)).await, DenialReason::InvalidKey);
    assert_eq!(of("nonsense").await, DenialReason::MalformedKey);
    // Another tenant's administrator is not told of it.
    let foreigner = support::tenant("other", &["**"]);
    let denial = instance.manager.verify(&foreigner, &text, &context).await.unwrap_err();
    assert_eq!((denial.reason(), denial.key_id()), (DenialReason::InvalidKey, None));
}

#[tokio::test]
async fn a_bad_line_is_told_by_its_number_and_stops_no_other() {
    let instance = instance();
    let native = instance.create(new_key()).await.text.expose().to_owned();
    let lines = [
        raw(&text(1)).to_string(),
        String::new(),
        "nonsense".into(),
        raw(&native).to_string(),
        raw("short").to_string(),
        raw(&format!("sk_test_{}", "x".repeat(24))).to_string(),
        json!({"digest": hex([1; 32]), "algorithm": "hmac-sha256", "hmac_key": "other", "user_id": "bob"}).to_string(),
        format!("  {}\r", raw(&text(2))),
        raw(&text(1)).to_string(),
        json!({"raw": text(3), "user_id": "bob", "tags": vec!["t"; 33]}).to_string(),
        json!({"raw": text(4), "user_id": "bob", "expires_at": "2001-01-01T00:00:00Z"}).to_string(),
        json!({"raw": text(5), "user_id": "bob", "limits": {"per_minute": 0}}).to_string(),
    ];
    let (manager, acme) = (&instance.manager, org("acme"));
    let outcomes = manager.import(&the_operator(), &acme, lines.join("\n").as_bytes(), false).await.unwrap();
    let told: Vec<_> = outcomes.iter().map(|outcome| (outcome.line, outcome.status)).collect();
    use ImportStatus::{Created, Exists, Refused};
    assert_eq!(
        told,
        [
            (1, Created),
            (3, Refused),
            (4, Refused),
            (5, Refused),
            (6, Refused),
            (7, Refused),
            (8, Created),
            (9, Exists),
            (10, Refused),
            (11, Refused),
            (12, Refused)
        ]
    );
    assert_eq!(outcomes[7].key_id, outcomes[0].key_id);
    for (place, words) in [
        (1, "JSON object"),
        (2, "native"),
        (3, "16 to 512"),
        (4, "no declared pattern"),
        (5, "KEYGATE_IMPORT_HMAC_KEYS"),
        (8, "tags"),
        (9, "future"),
        (10, "per_minute"),
    ] {
        let (reason, detail) = why(&outcomes[place]);
        assert_eq!(reason, "invalid_field");
        assert!(detail.contains(words), "{detail}");
        assert!(!detail.contains(&native) && !detail.contains("sk_"), "{detail}");
    }
    // Of the 10 lines, these two and the native one are keys.
    assert_eq!(listed(&instance).await, 3);
}

#[tokio::test]
async fn an_import_that_cannot_be_is_refused_as_a_whole() {
    let instance = instance();
    let import = |organization: &str, body: Vec<u8>| {
        let (manager, organization) = (instance.manager.clone(), org(organization));
        async move { manager.import(&the_operator(), &organization, &body, false).await }
    };
    let one = body(&[raw(&text(1))]);
    assert!(matches!(import("system", one.clone()).await, Err(ManageError::Reserved)));
    let many = import("acme", b"{}\n".repeat(MAX_IMPORT + 1)).await.unwrap_err();
    assert!(many.to_string().contains("at most 10000 lines"), "{many}");
    let long = import("acme", vec![b' '; MAX_IMPORT_BYTES + 1]).await.unwrap_err();
    assert_eq!(word(&long), "invalid");
    assert_eq!(import("acme", Vec::new()).await.unwrap(), []);
    let without = instance.beside(ring(&[1]));
    let undeclared = without.manager.import(&the_operator(), &org("acme"), &one, false).await.unwrap_err();
    assert!(undeclared.to_string().contains("KEYGATE_IMPORT_PATTERNS"), "{undeclared}");
    // A lookup part needs a pattern that names it.
    let unsalted = ImportPolicy::default().pattern(ImportPattern::parse(PATTERN).unwrap()).unwrap();
    let unsalted = instance.beside_built(ring(&[1]), |builder| builder.imports(unsalted));
    let (_, _, salted) = every_way(1).pop().unwrap();
    let outcome = self::import(&unsalted.manager, &[salted]).await.remove(0);
    assert!(why(&outcome).1.contains("lookup"), "{outcome:?}");
    assert_eq!(listed(&instance).await, 0);
}

#[tokio::test]
async fn a_dry_run_checks_everything_and_writes_nothing() {
    let instance =
        Instance::built(ring(&[1]), |builder| importing(builder).quota(Quota { per_organization: 4, per_user: 3 }));
    let mut lines: Vec<_> = (0..4).map(|nth| raw(&text(nth))).collect();
    lines.insert(1, json!({"raw": "x"}));
    let mut other = raw(&text(9));
    other["user_id"] = json!("eve");
    lines.extend([other.clone(), raw(&text(0)), json!({"raw": text(10), "user_id": "zoe", "scopes": []})]);
    instance.manager.open().await.unwrap();
    instance.store.reset_calls();
    let dry = instance.manager.import(&the_operator(), &org("acme"), &body(&lines), true).await.unwrap();
    let calls = instance.store.calls();
    assert_eq!((calls.create, calls.take_lookups, calls.free_lookup, calls.replace), (0, 0, 0, 0));
    let wet = import(&instance.manager, &lines).await;
    use ImportStatus::{Created, Exists, Refused};
    assert_eq!(statuses(&wet), [Created, Refused, Created, Created, Refused, Created, Exists, Refused]);
    assert_eq!(why(&wet[4]).0, "quota_reached");
    for (dry, wet) in dry.iter().zip(&wet) {
        // Of what is not made yet there is no id, and a repeated line is told as one that is there.
        if wet.status == Exists {
            assert_eq!(why(dry).0, "already_exists");
        } else {
            assert_eq!((dry.status, why(dry)), (wet.status, why(wet)));
        }
        assert_eq!(dry.key_id, None);
    }
    // What was refused for the quota left nothing behind, and a second dry run sees what is there.
    assert_eq!(instance.refusal(&text(3)).await, DenialReason::InvalidKey);
    let again = instance.manager.import(&the_operator(), &org("acme"), &body(&lines[..1]), true).await.unwrap();
    assert_eq!((again[0].status, again[0].key_id), (Exists, wet[0].key_id));
}

#[tokio::test]
async fn keys_take_their_organizations_limits_and_count_against_quotas() {
    let instance = instance();
    let mut update = OrganizationUpdate::default();
    update.key_limits = Some(Some(keygate_core::limits::Limits { per_day: Some(7), ..Default::default() }));
    update.max_keys = Some(Some(2));
    instance.manager.create_organization(&the_operator(), &org("acme"), &update).await.unwrap();
    let outcomes = import(&instance.manager, &[raw(&text(1)), raw(&text(2)), raw(&text(3))]).await;
    assert_eq!(why(&outcomes[2]).0, "quota_reached");
    let record = instance.record(outcomes[0].key_id.unwrap()).await;
    assert_eq!(record.key.limits.per_day, Some(7));
    assert_eq!(record.key.created_by.as_str(), "operator");
}

#[tokio::test]
async fn another_organizations_text_is_refused_and_left_alone() {
    let instance = instance();
    let id = imported(&instance.manager, &raw(&text(1))).await;
    let outcomes =
        instance.manager.import(&the_operator(), &org("other"), &body(&[raw(&text(1))]), false).await.unwrap();
    assert_eq!((outcomes[0].status, outcomes[0].key_id), (ImportStatus::Refused, None));
    assert_eq!(why(&outcomes[0]).0, "already_exists");
    assert_eq!(instance.validate(&text(1)).await.unwrap().id, id);
}

/// The line of a salted key that is found by this part of its text.
fn salted_line(user: &str, text: &str, part: &str) -> Value {
    let mut output = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(text.as_bytes(), b"salt", 1_000, &mut output);
    json!({
        "algorithm": "pbkdf2-sha256", "digest": hex(output), "salt": "text:salt", "iterations": 1_000, "lookup": part,
        "user_id": user, "scopes": [],
    })
}

/// Two texts with one lookup part.
fn of_one_part() -> [String; 2] {
    ["x", "y"].map(|rest| format!("pk_samepart_{}", rest.repeat(24)))
}

/// A salted key is known by a part of its text, and that part may be another key's as well: that is told, and no key is taken
/// for another.
#[tokio::test]
async fn two_salted_keys_with_one_lookup_part_are_not_taken_for_one() {
    use ImportStatus::{Created, Exists, Refused};
    let instance = instance();
    let [one, other] = of_one_part();
    let lines = [&one, &other, &one].map(|text| salted_line("bob", text, "samepart"));
    let mut salted_otherwise = salted_line("bob", &one, "samepart");
    salted_otherwise["salt"] = json!("text:pepper");
    for dry_run in [true, false] {
        let outcomes = instance.manager.import(&the_operator(), &org("acme"), &body(&lines), dry_run).await.unwrap();
        let last = if dry_run { Refused } else { Exists };
        assert_eq!(statuses(&outcomes), [Created, Refused, last], "{outcomes:?}");
        let (reason, detail) = why(&outcomes[1]);
        assert_eq!(reason, "lookup_part_taken");
        assert!(detail.contains("lookup part"), "{detail}");
    }
    let again = import(&instance.manager, &[lines[1].clone(), lines[0].clone(), salted_otherwise]).await;
    assert_eq!(statuses(&again), [Refused, Exists, Refused], "{again:?}");
    for refused in [&again[0], &again[2]] {
        assert_eq!((why(refused).0, refused.key_id), ("lookup_part_taken", None));
    }
    // Under another secret too, while it is kept under the old one.
    let both = instance.beside_built(ring(&[2, 1]), importing);
    assert_eq!(statuses(&import(&both.manager, &lines).await), [Exists, Refused, Exists]);
    // In another organization each is what it is here: the same key, or another.
    let elsewhere = instance.manager.import(&the_operator(), &org("other"), &body(&lines[..2]), false).await.unwrap();
    assert_eq!(
        elsewhere.iter().map(|outcome| why(outcome).0).collect::<Vec<_>>(),
        ["already_exists", "lookup_part_taken"]
    );

    let id = again[1].key_id.unwrap();
    assert_eq!(both.validate(&one).await.unwrap().id, id);
    assert_eq!(both.refusal(&other).await, DenialReason::InvalidKey);
}

/// Once it is in use, what a salted key was imported from is gone: the line of its owner is taken for it, which is said, and
/// another owner's is not.
#[tokio::test]
async fn a_salted_key_in_use_is_taken_for_that_of_its_owners_line_alone() {
    let instance = instance();
    let [one, other] = of_one_part();
    let id = imported(&instance.manager, &salted_line("bob", &one, "samepart")).await;
    assert!(instance.validate(&one).await.is_ok());
    let lines = [salted_line("bob", &one, "samepart"), salted_line("eve", &other, "samepart")];
    for dry_run in [true, false] {
        let outcomes = instance.manager.import(&the_operator(), &org("acme"), &body(&lines), dry_run).await.unwrap();
        assert_eq!((outcomes[0].status, outcomes[0].key_id), (ImportStatus::Exists, Some(id)));
        assert!(why(&outcomes[0]).1.contains("in use already"), "{outcomes:?}");
        assert_eq!((outcomes[1].status, why(&outcomes[1]).0), (ImportStatus::Refused, "lookup_part_taken"));
    }
    let elsewhere = instance.manager.import(&the_operator(), &org("other"), &body(&lines[..1]), false).await.unwrap();
    assert_eq!(why(&elsewhere[0]).0, "lookup_part_taken");
}

/// Of two keys with one lookup part that are imported at once, one is made, and the other is told of.
#[tokio::test]
async fn imports_at_once_of_two_keys_with_one_lookup_part_make_one() {
    let instance = instance();
    let managers: Vec<_> = (0..2).map(|_| yielding(&instance)).collect();
    let lines = of_one_part().map(|text| [salted_line("bob", &text, "samepart")]);
    let all = join_all(managers.iter().zip(&lines).map(|(manager, line)| import(manager, line))).await;
    let mut told: Vec<_> = all.iter().map(|outcomes| (outcomes[0].status, why(&outcomes[0]).0)).collect();
    told.sort_by_key(|(_, reason)| *reason);
    assert_eq!(told, [(ImportStatus::Created, ""), (ImportStatus::Refused, "lookup_part_taken")]);
    assert_eq!(listed(&instance).await, 1);
}

/// A dry run says of every line what an import would, however many lines lie between it and the first with its text.
#[tokio::test]
async fn a_dry_run_knows_the_lines_that_came_long_before() {
    let instance = Instance::built(ring(&[1]), |builder| {
        importing(builder).quota(Quota { per_organization: 1_000, per_user: 1_000 })
    });
    let [one, other] = of_one_part();
    let mut lines = vec![raw(&text(0)), salted_line("bob", &one, "samepart")];
    lines.extend((1..600).map(|nth| raw(&text(nth))));
    lines.extend([raw(&text(0)), salted_line("bob", &other, "samepart")]);
    let dry = instance.manager.import(&the_operator(), &org("acme"), &body(&lines), true).await.unwrap();
    let told: Vec<_> = dry[601..].iter().map(|outcome| why(outcome).0).collect();
    assert_eq!(told, ["already_exists", "lookup_part_taken"]);
}

/// A line that is refused for the quota takes nothing from another import of the same line, which may make the key at this
/// very moment.
#[tokio::test]
async fn a_refused_line_leaves_the_key_that_another_import_makes_of_it() {
    for steps in 0..60 {
        let instance = instance();
        let full = YieldingStore(instance.memory.clone());
        let full = ApiKeyManager::builder(full, ring(&[1])).imports(policy()).clock(instance.clock.clone());
        let full = full.quota(Quota { per_organization: 0, per_user: 0 }).build().unwrap();
        let (line, roomy) = ([raw(&text(1))], yielding(&instance));
        let late = async {
            for _ in 0..steps {
                tokio::task::yield_now().await;
            }
            import(&roomy, &line).await
        };
        let (refused, made) = tokio::join!(import(&full, &line), late);
        assert_ne!(refused[0].status, ImportStatus::Created);
        let id = made[0].key_id.unwrap();
        assert_eq!(instance.validate(&text(1)).await.unwrap().id, id, "after {steps} steps");
        assert_eq!(listed(&instance).await, 1);
    }
}

/// Wherever an import is cut off, running it again makes each key once, and nothing is left over.
#[tokio::test]
async fn an_import_that_was_cut_off_anywhere_is_completed_by_the_next() {
    let lines: Vec<_> = (0..3).map(|nth| raw(&text(nth))).collect();
    let mut cut = 0;
    for fate in [Fate::Failed, Fate::Lost] {
        for step in 0..100 {
            let instance = instance();
            instance.manager.open().await.unwrap();
            let calls = AtomicUsize::new(0);
            let store = FatefulStore::new(instance.memory.clone(), move |_| match calls.fetch_add(1, Relaxed) {
                call if call < step => Fate::Answered,
                call if call == step => fate,
                _ => Fate::Failed,
            });
            let manager = ApiKeyManager::builder(store, ring(&[1])).imports(policy()).clock(instance.clock.clone());
            let manager = manager.quota(support::ROOMY).build().unwrap();
            let outcomes = manager.import(&the_operator(), &org("acme"), &body(&lines), false).await;
            let whole = outcomes
                .as_ref()
                .is_ok_and(|outcomes| outcomes.iter().all(|outcome| outcome.status == ImportStatus::Created));
            let again = import(&instance.manager, &lines).await;
            assert!(again.iter().all(|outcome| outcome.status != ImportStatus::Refused), "{again:?}");
            let ids: BTreeSet<_> = again.iter().map(|outcome| outcome.key_id.unwrap()).collect();
            assert_eq!(ids.len(), 3);
            assert_eq!(listed(&instance).await, 3, "step {step}");
            for (nth, outcome) in again.iter().enumerate() {
                assert_eq!(Some(instance.validate(&text(nth)).await.unwrap().id), outcome.key_id);
            }
            if whole {
                break;
            }
            cut += 1;
        }
    }
    assert!(cut >= 6, "{cut} cuts");
}

#[tokio::test]
async fn a_lookup_without_a_record_is_no_key_and_the_next_import_uses_it() {
    let instance = instance();
    let first = imported(&instance.manager, &raw(&text(1))).await;
    let record: KeyRecord = instance.record(first).await;
    instance.memory.delete(&org("acme"), first, record.key.revision).await.unwrap();
    let beside = instance.beside_built(ring(&[1]), importing);
    assert_eq!(beside.refusal(&text(1)).await, DenialReason::InvalidKey);
    assert_eq!(imported(&beside.manager, &raw(&text(1))).await, first);
    assert_eq!(beside.validate(&text(1)).await.unwrap().id, first);
}

/// A manager whose store gives way at each call.
fn yielding(instance: &Instance) -> ApiKeyManager {
    let builder = ApiKeyManager::builder(YieldingStore(instance.memory.clone()), ring(&[1])).imports(policy());
    builder.quota(support::ROOMY).clock(instance.clock.clone()).build().unwrap()
}

/// Of many imports of the same lines at once each key is made by one, and all are told of the same.
#[tokio::test]
async fn imports_at_once_make_each_key_once() {
    let instance = instance();
    let lines: Vec<_> = (0..5).map(|nth| raw(&text(nth))).collect();
    let managers: Vec<_> = (0..4).map(|_| yielding(&instance)).collect();
    let all = join_all(managers.iter().map(|manager| import(manager, &lines))).await;
    for nth in 0..5 {
        let ids: BTreeSet<_> = all.iter().map(|outcomes| outcomes[nth].key_id.unwrap()).collect();
        assert_eq!(ids.len(), 1);
        let created = all.iter().filter(|outcomes| outcomes[nth].status == ImportStatus::Created).count();
        assert_eq!(created, 1);
    }
    assert_eq!(listed(&instance).await, 5);
}

/// Two instances that see a key for the first time at once both let it in, and one writes.
#[tokio::test]
async fn a_first_use_raced_by_two_instances_is_one_write_and_two_admissions() {
    for (way, text, line) in every_way(1) {
        for seeds in [&[1][..], &[2, 1]] {
            let instance = instance();
            let id = imported(&instance.manager, &line).await;
            let managers: Vec<_> = (0..2)
                .map(|_| {
                    let store = YieldingStore(instance.memory.clone());
                    let builder = ApiKeyManager::builder(store, ring(seeds)).imports(policy());
                    builder.clock(instance.clock.clone()).build().unwrap()
                })
                .collect();
            let context = RequestContext::new();
            let decided = join_all(managers.iter().map(|manager| manager.validate(&text, &context))).await;
            for admission in decided {
                assert_eq!(admission.unwrap().id, id, "{way}");
            }
            let after = instance.record(id).await;
            assert!(!after.verifier.is_imported(), "{way}");
            assert!(after.key.revision.0 <= 2, "{way}");
            let found = instance.memory.look_up(&[after.lookup.unwrap()]).await.unwrap();
            assert_eq!(found, [Some(id)], "{way}");
        }
    }
}

/// Both the digest and what a key is found by move to the current secret with a use; then the old one may go, and not before.
#[tokio::test]
async fn a_master_secret_is_rotated_from_end_to_end() {
    let old = Instance::built(ring(&[1]), unaudited);
    let entry = |seed: u8| ring(&[seed]).current_id();
    let mut keys = Vec::new();
    for (way, text, line) in every_way(1) {
        keys.push((way, text, imported(&old.manager, &line).await));
    }
    // One of them was used under the old secret, the others never.
    assert!(old.validate(&keys[0].1).await.is_ok());
    let usage = old.manager.ring_usage(&the_operator()).await.unwrap();
    assert_eq!(usage, BTreeMap::from([(entry(1), 5)]));

    let both = old.beside_built(ring(&[2, 1]), unaudited);
    both.manager.open().await.unwrap();
    for (moved, (way, text, id)) in keys.iter().enumerate() {
        // While any key needs it, a start without the old secret is refused, and says why.
        let without = old.beside_built(ring(&[2]), unaudited);
        match without.manager.open().await {
            Err(SetupError::StillNamed { entry: named, keys: left }) => {
                assert_eq!((named, left), (entry(1), 5 - moved as u64), "{way}");
            }
            other => panic!("{other:?}"),
        }
        let before = both.record(*id).await;
        assert_eq!(both.validate(text).await.unwrap().id, *id, "{way}");
        let after = both.record(*id).await;
        assert_eq!((after.minted_under, after.digested_under), (entry(2), entry(2)), "{way}");
        assert_ne!(after.lookup, before.lookup, "{way}");
        let tokens = [before.lookup.unwrap(), after.lookup.unwrap()];
        assert_eq!(both.memory.look_up(&tokens).await.unwrap(), [None, Some(*id)], "{way}");
        // Importing it again finds it where it is now.
        assert_eq!(both.validate(text).await.unwrap().id, *id, "{way}");
    }
    let usage = both.manager.ring_usage(&the_operator()).await.unwrap();
    assert_eq!(usage, BTreeMap::from([(entry(1), 0), (entry(2), 5)]));
    let new = old.beside_built(ring(&[2]), unaudited);
    new.manager.open().await.unwrap();
    for (way, text, id) in &keys {
        assert_eq!(new.validate(text).await.unwrap().id, *id, "{way}");
    }
    // One who comes with the old secret alone is told that it does not fit.
    let late = old.beside_built(ring(&[1]), unaudited);
    assert!(matches!(late.manager.open().await, Err(SetupError::WrongSecret { .. })));
}

/// A line of a key that was not used since is known again under a newer secret.
#[tokio::test]
async fn an_import_is_run_again_under_another_secret() {
    let old = instance();
    let lines: Vec<_> = every_way(1).into_iter().map(|(_, _, line)| line).collect();
    let first = import(&old.manager, &lines).await;
    let both = old.beside_built(ring(&[2, 1]), importing);
    let again = import(&both.manager, &lines).await;
    for (first, again) in first.iter().zip(&again) {
        assert_eq!((again.status, again.key_id), (ImportStatus::Exists, first.key_id));
    }
    assert_eq!(listed(&old).await, lines.len());
}

/// An instance that does not know the secret a key has moved to cannot say that the text is no key.
#[tokio::test]
async fn an_instance_without_the_newest_secret_answers_503_and_not_401() {
    let fleet = instance();
    let id = imported(&fleet.manager, &raw(&text(1))).await;
    let behind = fleet.beside_built(ring(&[1]), importing);
    behind.manager.open().await.unwrap();
    let ahead = fleet.beside_built(ring(&[2, 1]), importing);
    assert_eq!(ahead.validate(&text(1)).await.unwrap().id, id);
    assert_eq!(behind.refusal(&text(1)).await, DenialReason::StoreUnavailable);
    // Once it knows the secret, also as a retired one, it finds the key; and does not move it back.
    let caught_up = fleet.beside_built(ring(&[1, 2]), importing);
    assert_eq!(caught_up.validate(&text(1)).await.unwrap().id, id);
    assert_eq!(fleet.record(id).await.digested_under, ring(&[2]).current_id());
}

/// A use that cannot be written is let in all the same, and written later.
#[tokio::test]
async fn a_first_use_that_cannot_be_written_is_let_in() {
    let instance = instance();
    let (_, text, line) = every_way(1).remove(1);
    let id = imported(&instance.manager, &line).await;
    let store = FaultyStore::new(YieldingStore(instance.memory.clone()));
    let manager = ApiKeyManager::builder_shared(Arc::new(store.clone()), ring(&[1])).imports(policy());
    let manager = manager.clock(instance.clock.clone()).build().unwrap();
    manager.open().await.unwrap();
    store.reset_calls();
    let context = RequestContext::new();
    let (admitted, ()) = tokio::join!(manager.validate(&text, &context), async {
        store.wait_for_calls(|calls| calls.deployment == 1).await;
        store.fail();
    });
    assert!(admitted.is_ok());
    assert!(instance.record(id).await.verifier.is_imported());
    store.heal();
    instance.clock.advance(Duration::from_secs(61));
    assert!(manager.validate(&text, &context).await.is_ok());
    assert!(!instance.record(id).await.verifier.is_imported());
}

#[tokio::test]
async fn nothing_shows_a_text() {
    let instance = instance();
    let id = imported(&instance.manager, &raw(&text(1))).await;
    instance.validate(&text(1)).await.unwrap();
    let shown = format!("{:?} {:?}", instance.manager, instance.record(id).await);
    assert!(!shown.contains(&text(1)) && !shown.contains("pepper"), "{shown}");
    let Attempt::Pending(pending) = instance.manager.attempt(text(2).as_bytes(), &RequestContext::new()) else {
        panic!("to be looked up")
    };
    assert!(!format!("{pending:?}").contains(&text(2)));
    let Verifier::HmacSha256 { digest } = instance.record(id).await.verifier else { panic!("digested") };
    assert!(!shown.contains(&hex(digest)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..support::property() })]

    /// Whatever is imported is found by its own text, and by no other.
    #[test]
    fn a_text_is_its_own_key_and_no_other(texts in prop::collection::btree_set("[A-Za-z0-9]{24}", 2..6)) {
        block_on(async {
            let instance = instance();
            let texts: Vec<_> = texts.into_iter().map(|text| format!("sk_live_{text}")).collect();
            let (last, imported) = texts.split_last().unwrap();
            let lines: Vec<_> = imported.iter().map(|text| raw(text)).collect();
            let outcomes = import(&instance.manager, &lines).await;
            for (text, outcome) in imported.iter().zip(&outcomes) {
                assert_eq!(Some(instance.validate(text).await.unwrap().id), outcome.key_id);
            }
            assert_eq!(instance.refusal(last).await, DenialReason::InvalidKey);
        });
    }

    /// No bytes make an import panic, and each line that says something has one outcome.
    #[test]
    fn every_line_has_one_outcome(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        block_on(async {
            let instance = instance();
            let outcomes = instance.manager.import(&the_operator(), &org("acme"), &bytes, false).await.unwrap();
            let said = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
            assert_eq!(outcomes.len(), said);
        });
    }
}
