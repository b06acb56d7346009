//! What an explanation says of each check, what it never says, and that it leaves nothing behind.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use keygate_core::check::Check;
use keygate_core::context::RequestContext;
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::limits::Limits;
use keygate_core::manager::{CheckVerdict, CreatedKey, Expiry, Explanation, NewKey, OrganizationUpdate};
use keygate_core::names::{Environment, ProjectId, Reason};
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::record::{KeyRecord, ParentStatus};
use keygate_core::verifier::{MIN_PBKDF2_ITERATIONS, Scheme, Verifier};
use keygate_testkit::StoreCalls;
use serde_json::json;

use crate::support::fateful_store::{Fate, FatefulStore};
use crate::support::{
    Instance, manager_over, new_key, new_key_with, operator, org, ring, scope, scopes, tenant, the_operator,
    unlimited_key,
};

/// What is said of a check that failed, and how to mend it.
fn said(explanation: &Explanation, check: Check) -> (&str, &str) {
    let report = explanation.checks.iter().find(|report| report.check == check).unwrap();
    assert_eq!(report.verdict, CheckVerdict::Failed, "{report:?}");
    (report.detail.as_deref().unwrap(), report.remedy.as_deref().unwrap())
}

async fn explain(instance: &Instance, text: &str, context: &RequestContext) -> Explanation {
    instance.manager.explain(&operator(), text, context).await.unwrap()
}

/// A key at which every check of a genuine key fails, for a request that it is not for.
async fn wholly_refused(instance: &Instance) -> (CreatedKey, RequestContext) {
    let website = ProjectId::new("website").unwrap();
    let begin = instance.clock.now() + TimeDelta::hours(3);
    let created = instance
        .create(new_key_with(|new| {
            new.project = Some(website.clone());
            (new.not_before, new.expiry) = (Some(begin), Expiry::At(begin + TimeDelta::hours(1)));
            new.environment = Some(Environment::new("prod").unwrap());
            let networks = ["192.0.2.0/24", "2001:db8::1"].map(|text| Cidr::new(text).unwrap());
            new.allowed_ips = Some(CidrSet::new(networks).unwrap());
            new.scopes = Some(scopes(&["files:read", "reports:*"]));
            new.permissions = scopes(&["keys:read"]);
        }))
        .await;
    let (manager, id) = (&instance.manager, created.key.id);
    instance.clock.advance(Duration::from_secs(60));
    manager.revoke(&operator(), id, Some(Reason::new("leaked in a log").unwrap())).await.unwrap();
    let mut suspended = OrganizationUpdate::default();
    suspended.status = Some(ParentStatus::Suspended);
    manager.create_organization(&the_operator(), &org("acme"), &suspended).await.unwrap();
    manager.set_project_status(&operator(), &org("acme"), &website, ParentStatus::Suspended).await.unwrap();
    let context = RequestContext::new()
        .from_address("198.51.100.9".parse().unwrap())
        .needing_scope(scope("files:write"))
        .needing_scope(scope("reports:read"))
        .needing_scope(scope("users:list"))
        .needing_permission(scope("keys:write"));
    (created, context)
}

#[tokio::test]
async fn each_check_that_fails_says_what_was_compared_with_what_and_what_mends_it() {
    let instance = Instance::new();
    let (created, context) = wholly_refused(&instance).await;
    let explanation = explain(&instance, created.text.expose(), &context).await;
    for (check, detail, mends) in [
        (Check::Organization, "The organization acme is suspended.", "Resume"),
        (Check::Project, "The project website is suspended.", "project"),
        (Check::Status, "The key is revoked since 2026-01-01T00:01:00Z, for: leaked in a log.", "Make a new key"),
        (Check::NotBefore, "The key begins at 2026-01-01T03:00:00Z.", "Wait"),
        (Check::Environment, "The key is for prod and is used in dev.", "environment"),
        (
            Check::ClientAddress,
            "The key may be used from 192.0.2.0/24, 2001:db8::1 and is used from 198.51.100.9.",
            "allowed_ips",
        ),
        (
            Check::Scopes,
            "The key's scopes are files:read, reports:* and do not cover files:write, users:list.",
            "scopes",
        ),
        (Check::Permissions, "The key's permissions are keys:read and do not cover keys:write.", "permissions"),
    ] {
        let (said, remedy) = said(&explanation, check);
        assert_eq!(said, detail);
        assert!(remedy.contains(mends), "{check:?}: {remedy}");
    }
    assert_eq!(explanation.decision.as_ref().unwrap_err().reason(), DenialReason::OrganizationSuspended);

    instance.clock.advance(Duration::from_secs(4 * 3600));
    let context = context.in_environment(Environment::new("test").unwrap());
    let context = RequestContext { client_address: None, ..context };
    let explanation = explain(&instance, created.text.expose(), &context).await;
    assert_eq!(said(&explanation, Check::Expiry).0, "The key ended at 2026-01-01T04:00:00Z.");
    assert_eq!(said(&explanation, Check::Environment).0, "The key is for prod and is used in test.");
    let unknown = "The key may be used from 192.0.2.0/24, 2001:db8::1, and where it is used from is not known.";
    assert_eq!(said(&explanation, Check::ClientAddress).0, unknown);
}

#[tokio::test]
async fn a_limit_without_room_is_said_to_be_so() {
    let instance = Instance::new();
    let limits = Limits { per_minute: Some(5), ..Limits::UNLIMITED };
    let created = instance.create(new_key_with(|new| new.limits = Some(limits))).await;
    let text = created.text.expose();
    for _ in 0..4 {
        instance.validate(text).await.unwrap();
    }
    assert!(explain(&instance, text, &RequestContext::new()).await.is_valid());
    let explanation = explain(&instance, text, &RequestContext::new().costing(2)).await;
    let (detail, remedy) = said(&explanation, Check::Limits);
    assert!(detail.starts_with("The request costs 2: 1 of the 5 of minute are left for "), "{detail}");
    assert!(remedy.contains("raise it"), "{remedy}");
    let denial = explanation.decision.unwrap_err();
    assert_eq!(denial.reason(), DenialReason::RateLimitExceeded);
    assert!(!denial.exceeded().unwrap().is_permanent && denial.wait().is_some());
    let never = explain(&instance, text, &RequestContext::new().costing(6)).await.decision.unwrap_err();
    assert!(never.exceeded().unwrap().is_permanent && never.wait().is_none());
}

#[tokio::test]
async fn a_deactivated_key_and_one_that_holds_nothing_are_said_to_be_so() {
    let instance = Instance::new();
    let created = instance.create(new_key_with(|new| new.scopes = Some(scopes(&[])))).await;
    instance.manager.deactivate(&operator(), created.key.id, None).await.unwrap();
    let context = RequestContext::new().needing_scope(scope("a")).needing_permission(scope("b"));
    let explanation = explain(&instance, created.text.expose(), &context).await;
    let expected = ("The key is inactive since 2026-01-01T00:00:00Z.", "Activate the key.");
    assert_eq!(said(&explanation, Check::Status), expected);
    assert_eq!(said(&explanation, Check::Scopes).0, "The key's scopes are none and do not cover a.");
    assert_eq!(said(&explanation, Check::Permissions).0, "The key's permissions are none and do not cover b.");
}

#[tokio::test]
async fn an_explanation_is_written_as_the_api_documents_it() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let context = RequestContext::new().needing_scope(scope("a"));
    let explanation = explain(&instance, created.text.expose(), &context).await;
    let written = serde_json::to_value(&explanation.checks).unwrap();
    let passed = |check: &str| json!({"check": check, "verdict": "passed"});
    let scopes = json!({
        "check": "scopes", "verdict": "failed", "reason": "scope_not_authorized",
        "detail": "The key's scopes are default and do not cover a.",
        "remedy": "Add what is missing to the key's scopes.",
    });
    let before =
        "format tag secret tenant organization project user status not_before expiry environment client_address"
            .split(' ');
    let expected: Vec<_> = before.map(passed).chain([scopes, passed("permissions"), passed("limits")]).collect();
    assert_eq!(written, json!(expected));
    let written = serde_json::to_value(&explain(&instance, "", &context).await.checks).unwrap();
    assert_eq!(written[0]["reason"], "malformed_key");
    assert_eq!(written[13], json!({"check": "permissions", "verdict": "not_reached"}));
}

/// Pieces of a key's text, and of what it is verified by, in the spellings they might be shown in.
fn secrets(text: &str, record: &KeyRecord) -> Vec<String> {
    let body = &text[text.len() - 54..];
    let mut secrets = vec![text.to_owned(), body[..12].to_owned(), body[20..32].to_owned(), body[43..].to_owned()];
    let bytes = match &record.verifier {
        Verifier::HmacSha256 { digest } => *digest,
        Verifier::Pbkdf2Sha256 { output, .. } => *output,
        _ => panic!("a scheme that this test does not know"),
    };
    secrets.push(bytes[8..16].iter().map(u8::to_string).collect::<Vec<_>>().join(", "));
    let hex: String = bytes[8..16].iter().map(|byte| format!("{byte:02x}")).collect();
    secrets.extend([hex.to_uppercase(), hex]);
    secrets
}

#[tokio::test]
async fn no_explanation_shows_the_text_or_the_digest() {
    let instance = Instance::new();
    let (refused, context) = wholly_refused(&instance).await;
    let elsewhere = |new: &mut NewKey| new.organization = org("globex");
    let slow = Scheme::Pbkdf2Sha256 { iterations: MIN_PBKDF2_ITERATIONS };
    let good = instance.create(new_key_with(elsewhere)).await;
    let slow = instance
        .create(new_key_with(|new| {
            elsewhere(new);
            new.scheme = Some(slow);
        }))
        .await;
    for created in [&refused, &good, &slow] {
        let (text, record) = (created.text.expose(), instance.record(created.key.id).await);
        let almost = format!("{}{}", &text[..text.len() - 1], if text.ends_with('0') { '1' } else { '0' });
        for presented in [text.to_owned(), format!("{text}\n"), text[1..].to_owned(), text.to_lowercase(), almost] {
            for actor in [operator(), tenant("acme", &[]), tenant("globex", &[])] {
                let explanation = instance.manager.explain(&actor, &presented, &context).await.unwrap();
                let shown = format!("{explanation:?} {}", serde_json::to_string(&explanation.checks).unwrap());
                for secret in secrets(text, &record) {
                    assert!(!shown.contains(&secret), "{secret} is in {shown}");
                }
            }
        }
    }
}

// Trouble.

#[tokio::test]
async fn a_store_that_does_not_answer_is_said_to_be_so_and_no_key_invalid() {
    let instance = Instance::new();
    let created = instance.create(unlimited_key()).await;
    let text = created.text.expose();
    let forged = format!("{}{}", &text[..text.len() - 1], if text.ends_with('0') { '1' } else { '0' });
    let (cold, context) = (instance.beside(ring(&[1])), RequestContext::new());
    for instance in [&cold, &instance] {
        instance.store.fail();
        for actor in [operator(), tenant("acme", &[]), tenant("globex", &[])] {
            let denial = instance.manager.explain(&actor, text, &context).await.unwrap_err();
            assert_eq!(denial, Denial::store_unavailable());
            assert_eq!(instance.manager.verify(&actor, text, &context).await.unwrap_err(), denial);
        }
        // What is no key is none, whatever the store has.
        assert!(!explain(instance, "not a key", &context).await.is_valid());
    }
    // Whether a tag is right is known once the store has confirmed the secret, and not before.
    assert!(said(&explain(&instance, &forged, &context).await, Check::Tag).0.contains("deployment"));
    let denial = cold.manager.explain(&operator(), &forged, &context).await.unwrap_err();
    assert_eq!(denial, Denial::store_unavailable());
    instance.store.heal();
    assert!(explain(&instance, text, &context).await.is_valid());
    // Kept, it is explained as it is decided.
    instance.store.fail();
    assert!(explain(&instance, text, &context).await.is_valid());
    assert!(instance.validate(text).await.is_ok());
}

#[tokio::test]
async fn whichever_read_fails_the_explanation_does_and_says_no_more() {
    for call in ["load_record", "load_parents", "deployment"] {
        let instance = Instance::new();
        let created = instance.create(new_key()).await;
        let text = created.text.expose();
        if call == "deployment" {
            // Asked for once more where a genuine key has no record.
            instance.manager.revoke(&operator(), created.key.id, None).await.unwrap();
            instance.manager.delete(&operator(), created.key.id, None).await.unwrap();
        }
        let store = FatefulStore::new(instance.memory.clone(), move |made| {
            if made.starts_with(call) { Fate::Failed } else { Fate::Answered }
        });
        let manager = manager_over(Arc::new(store), ring(&[1]), &instance.clock);
        for actor in [operator(), tenant("globex", &[])] {
            let denial = manager.explain(&actor, text, &RequestContext::new()).await.unwrap_err();
            assert_eq!(denial, Denial::store_unavailable(), "{call}");
        }
    }
}

#[tokio::test]
async fn an_emptied_store_is_trouble_and_not_a_deleted_key() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    instance.wipe();
    let denial = instance.manager.explain(&operator(), created.text.expose(), &RequestContext::new()).await;
    assert_eq!(denial.unwrap_err(), Denial::store_unavailable());
}

// It leaves nothing behind.

#[tokio::test]
async fn to_explain_writes_nothing_and_counts_nothing() {
    for scheme in [Scheme::HmacSha256, Scheme::Pbkdf2Sha256 { iterations: MIN_PBKDF2_ITERATIONS }] {
        let first = Instance::new();
        let created = first.create(new_key_with(|new| new.scheme = Some(scheme))).await;
        let before = first.record(created.key.id).await;
        // Its first use under a newer secret moves the record to that.
        let instance = first.beside(ring(&[2, 1]));
        instance.manager.open().await.unwrap();
        instance.store.reset_calls();
        let (text, context) = (created.text.expose(), RequestContext::new());
        let statistics = instance.manager.cache_statistics();
        for actor in [operator(), tenant("acme", &[]), tenant("globex", &[])] {
            for text in [text, text, "not a key", &format!("{}_", &text[..text.len() - 1])] {
                instance.manager.explain(&actor, text, &context).await.unwrap();
            }
        }
        // Limits are looked at, for those who may know of the key.
        let StoreCalls { load_record, load_parents, deployment, lease, .. } = instance.store.calls();
        let read = StoreCalls { load_record, load_parents, deployment, lease, ..StoreCalls::default() };
        assert_eq!(instance.store.calls(), read, "it reads and does nothing else");
        assert_eq!(lease, 4);
        let left = instance.manager.limits_left(&operator(), created.key.id).await.unwrap();
        assert!(left.iter().all(|left| left.remaining == left.policy.limit), "{left:?}");
        let after = instance.manager.cache_statistics();
        assert_eq!((after.hits, after.misses), (statistics.hits, statistics.misses));
        assert_eq!(first.record(created.key.id).await, before);

        assert!(instance.validate(text).await.is_ok());
        assert_eq!(instance.store.calls().replace, 1, "a use moves it");
        assert!(explain(&instance, text, &context).await.is_valid());
    }
}

#[tokio::test]
async fn what_has_changed_is_explained_as_it_now_is() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let (other, text, context) = (instance.beside(ring(&[1])), created.text.expose(), RequestContext::new());
    assert!(explain(&instance, text, &context).await.is_valid());
    other.manager.deactivate(&operator(), created.key.id, None).await.unwrap();
    assert!(said(&explain(&instance, text, &context).await, Check::Status).0.contains("inactive"));
    other.manager.activate(&operator(), created.key.id, None).await.unwrap();
    assert!(explain(&instance, text, &context).await.is_valid());
}
