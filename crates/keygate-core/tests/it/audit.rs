//! Who did what: no intent, no action; what became of it; what was refused; and no secret.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use keygate_core::actor::Operator;
use keygate_core::audit::{ActId, ActOutcome, Append, AuditEntry, AuditPolicy, EntryKind, FaultKind, MAX_ITEMS, Step};
use keygate_core::context::RequestContext;
use keygate_core::import::{ImportPattern, ImportPolicy};
use keygate_core::key::KeyId;
use keygate_core::manager::{
    ApiKeyManager, AuditOrder, AuditQuery, BulkKeys, BulkOperation, CreatedKey, IdempotencyKey, KeyUpdate, ManageError,
    ManagerBuilder, NewRole, OrganizationUpdate, ProjectUpdate, UserUpdate,
};
use keygate_core::names::{KeyName, NameError, OrganizationId, ProjectId, Reason, RoleName};
use keygate_core::notice::{NotTaken, Notice, WebhookSecret, WebhookSender, WebhookUrl};
use keygate_core::record::{KeyStatus, ParentStatus, RotationSchedule, Sensitive, UserStatus};
use keygate_core::store::{Depth, MemoryStore, Store, Verdict};
use keygate_core::verifier::Verifier;
use serde_json::json;

use crate::support::fateful_store::{Fate, FatefulStore};
use crate::support::{Instance, ROOMY, new_key, new_key_with, operator, org, ring, scopes, tenant, the_operator, user};

#[derive(Debug)]
struct Sender;

#[async_trait]
impl WebhookSender for Sender {
    fn check(&self, _: &WebhookUrl) -> Result<(), NameError> {
        Ok(())
    }

    async fn send(&self, _: &WebhookUrl, _: &[WebhookSecret], _: &Notice) -> Result<(), NotTaken> {
        Ok(())
    }
}

fn instance() -> Instance {
    instance_with(|builder| builder)
}

fn instance_with(more: impl FnOnce(ManagerBuilder) -> ManagerBuilder) -> Instance {
    let imports = ImportPolicy::default().pattern(ImportPattern::parse("old=sk_live_[a-z]{24}").unwrap()).unwrap();
    Instance::built(ring(&[1]), |builder| more(builder.webhooks(Sender).imports(imports)))
}

/// All entries of an organization, the oldest first.
async fn entries_of(manager: &ApiKeyManager, organization: &OrganizationId) -> Vec<AuditEntry> {
    let (query, order) = (AuditQuery::default(), AuditOrder::OldestFirst);
    let page = manager.audit(&operator(), organization, &query, order, 1_000, None).await.unwrap();
    assert_eq!(page.next_cursor, None);
    page.entries
}

async fn entries(instance: &Instance) -> Vec<AuditEntry> {
    entries_of(&instance.manager, &org("acme")).await
}

/// What was written since there were so many entries.
async fn since(instance: &Instance, before: usize) -> Vec<AuditEntry> {
    entries(instance).await.split_off(before)
}

fn reason() -> Option<Reason> {
    Some(Reason::new("leaked").unwrap())
}

fn suspended() -> OrganizationUpdate {
    let mut update = OrganizationUpdate::default();
    update.status = Some(ParentStatus::Suspended);
    update
}

fn schedule() -> RotationSchedule {
    RotationSchedule { interval_days: 30, warning_days: 3, auto_rotate: false, notify_users: true, overlap_days: 3 }
}

/// The methods of the manager that take whoever does it, and only look.
const READS: &[&str] = &[
    "audit",
    "audit_ring_usage",
    "examine",
    "explain",
    "findings",
    "get",
    "key_findings",
    "key_usage",
    "limits_left",
    "list",
    "notices_given_up",
    "organization",
    "organization_usage",
    "project",
    "ring_usage",
    "role",
    "roles",
    "rotation",
    "usage",
    "user",
    "verify",
    "verify_audit",
    "webhooks",
];

/// Those that do something, and what the audit calls it.
const ACTS: &[(&str, &str)] = &[
    ("create", "key.create"),
    ("create_many", "keys.create"),
    ("create_once", "key.create"),
    ("update", "key.update"),
    ("deactivate", "key.deactivate"),
    ("activate", "key.activate"),
    ("revoke", "key.revoke"),
    ("revoke_confirmed", "key.revoke"),
    ("delete", "key.delete"),
    ("rotate", "key.rotate"),
    ("rotate_once", "key.rotate"),
    ("finish_rotation", "rotation.finish"),
    ("bulk", "keys.bulk"),
    ("bulk_of", "keys.bulk"),
    ("import", "keys.import"),
    ("sensitive", "key.sensitive"),
    ("create_organization", "organization.create"),
    ("create_organization_once", "organization.create"),
    ("update_organization", "organization.update"),
    ("update_project", "project.update"),
    ("set_project_status", "project.update"),
    ("set_project_limits", "project.update"),
    ("put_role", "role.put"),
    ("delete_role", "role.delete"),
    ("update_user", "user.update"),
    ("create_webhook", "webhook.create"),
    ("create_webhook_once", "webhook.create"),
    ("renew_webhook_secret", "webhook.renew_secret"),
    ("delete_webhook", "webhook.delete"),
    ("delete_webhooks", "webhooks.delete"),
    ("test_webhooks", "webhooks.test"),
    ("redrive_notices", "notices.redrive"),
    ("run_schedules", "key.rotate"),
    ("ensure_operator_key", "key.create"),
    ("record_refused_call", "management.call"),
];

/// A method of the manager that somebody does something with is in one of the two tables: whoever adds one says which, and
/// the test after this one has it done.
#[test]
fn every_method_that_somebody_calls_is_known_to_look_or_to_act() {
    let rooms = Path::new(env!("CARGO_MANIFEST_DIR")).join("../keygate-core/src/manager");
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(rooms).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for method in text.split("pub async fn ").skip(1) {
            let signature = method.split(" {").next().unwrap();
            if signature.contains(": &Actor") || signature.contains(": &Operator") {
                found.insert(method.split(['(', '<']).next().unwrap().to_owned());
            }
        }
    }
    let known = READS.iter().copied().chain(ACTS.iter().map(|(name, _)| *name)).map(str::to_owned);
    assert_eq!(found, known.collect());
}

/// Does one of the acts, with what it needs made before; and says in which organization, and how many entries there were.
async fn perform(instance: &Instance, name: &str) -> (OrganizationId, usize) {
    let (manager, actor, acme) = (&instance.manager, operator(), org("acme"));
    let key = instance.create(new_key()).await.key;
    let url = WebhookUrl::new("https://example.com/hook?token=hidden").unwrap();
    let webhook = manager.create_webhook(&actor, &acme, &url, &[]).await.unwrap().webhook.webhook_id;
    let once = IdempotencyKey::new("once").unwrap();
    if matches!(name, "activate") {
        manager.deactivate(&actor, key.id, None).await.unwrap();
    }
    if matches!(name, "delete") {
        manager.revoke(&actor, key.id, None).await.unwrap();
    }
    if matches!(name, "finish_rotation") {
        manager.rotate(&actor, key.id, None).await.unwrap();
    }
    if name == "run_schedules" {
        let mut update = KeyUpdate::new();
        update.rotation_schedule = Some(Some(RotationSchedule { auto_rotate: true, ..schedule() }));
        update.hand_over = Some(true);
        manager.update(&actor, key.id, &update, None).await.unwrap();
        instance.clock.advance(Duration::from_secs(31 * 86_400));
    }
    let (role, held) = (RoleName::new("writer").unwrap(), RoleName::new("reader").unwrap());
    manager.put_role(&actor, &acme, &held, &NewRole::default(), None).await.unwrap();
    let leaves = UserUpdate { status: Some(UserStatus::Offboarded), ..UserUpdate::default() };
    let before = entries(instance).await.len();
    let mut organization = acme.clone();
    let mut rename = KeyUpdate::new();
    rename.name = Some(KeyName::new("Another").unwrap());
    let suspended = suspended();
    let project = ProjectId::new("web").unwrap();
    let mut suspend = ProjectUpdate::default();
    suspend.status = Some(ParentStatus::Suspended);
    let deactivate = BulkOperation::Deactivate { reason: reason() };
    match name {
        "create" => drop(manager.create(&actor, new_key()).await.unwrap()),
        "create_many" => {
            let made = manager.create_many(&actor, vec![new_key(), new_key()]).await;
            assert!(made.iter().all(Result::is_ok));
        }
        "create_once" => drop(manager.create_once(&actor, new_key(), &once).await.unwrap()),
        "update" => drop(manager.update(&actor, key.id, &rename, None).await.unwrap()),
        "deactivate" => drop(manager.deactivate(&actor, key.id, reason()).await.unwrap()),
        "activate" => drop(manager.activate(&actor, key.id, reason()).await.unwrap()),
        "revoke" => drop(manager.revoke(&actor, key.id, reason()).await.unwrap()),
        "revoke_confirmed" => drop(manager.revoke_confirmed(&actor, key.id, reason()).await.unwrap()),
        "delete" => manager.delete(&actor, key.id, None).await.unwrap(),
        "rotate" => drop(manager.rotate(&actor, key.id, None).await.unwrap()),
        "rotate_once" => drop(manager.rotate_once(&actor, key.id, None, &once).await.unwrap()),
        "finish_rotation" => drop(manager.finish_rotation(&actor, key.id).await.unwrap()),
        "bulk" => drop(manager.bulk(&actor, &acme, &deactivate, &[key.id]).await.unwrap()),
        "bulk_of" => {
            let keys = BulkKeys::Named(vec![key.id]);
            drop(manager.bulk_of(&actor, &acme, &deactivate, &keys, false).await.unwrap());
        }
        "import" => {
            let line = json!({"raw": format!("sk_live_{}", "x".repeat(24)), "user_id": "bob", "scopes": []});
            let lines = manager.import(&the_operator(), &acme, line.to_string().as_bytes(), false).await.unwrap();
            assert!(lines[0].key_id.is_some(), "{lines:?}");
        }
        "sensitive" => drop(manager.sensitive(&actor, key.id, None).await.unwrap()),
        "create_organization" => {
            drop(manager.create_organization(&the_operator(), &acme, &suspended).await.unwrap());
        }
        "create_organization_once" => {
            drop(manager.create_organization_once(&the_operator(), &acme, &suspended, &once).await.unwrap());
        }
        "update_organization" => {
            drop(manager.update_organization(&the_operator(), &acme, &suspended, None).await.unwrap());
        }
        "update_project" => drop(manager.update_project(&actor, &acme, &project, &suspend, None).await.unwrap()),
        "set_project_status" => {
            drop(manager.set_project_status(&actor, &acme, &project, ParentStatus::Suspended).await.unwrap());
        }
        "set_project_limits" => drop(manager.set_project_limits(&actor, &acme, &project, None).await.unwrap()),
        "put_role" => drop(manager.put_role(&actor, &acme, &role, &NewRole::default(), None).await.unwrap()),
        "delete_role" => manager.delete_role(&actor, &acme, &held, None).await.unwrap(),
        "update_user" => drop(manager.update_user(&actor, &acme, &user("ada"), &leaves, None).await.unwrap()),
        "create_webhook" => drop(manager.create_webhook(&actor, &acme, &url, &[]).await.unwrap()),
        "create_webhook_once" => drop(manager.create_webhook_once(&actor, &acme, &url, &[], &once).await.unwrap()),
        "renew_webhook_secret" => drop(manager.renew_webhook_secret(&actor, &acme, webhook).await.unwrap()),
        "delete_webhook" => manager.delete_webhook(&actor, &acme, webhook).await.unwrap(),
        "delete_webhooks" => manager.delete_webhooks(&actor, &acme).await.unwrap(),
        "test_webhooks" => drop(manager.test_webhooks(&actor, &acme).await.unwrap()),
        "redrive_notices" => drop(manager.redrive_notices(&actor, &acme, None).await.unwrap()),
        "run_schedules" => {
            assert_eq!(manager.run_schedules(&the_operator()).await.unwrap().rotated, 1);
        }
        "ensure_operator_key" => {
            organization = OrganizationId::system();
            assert!(manager.ensure_operator_key(&the_operator()).await.unwrap().is_some());
            return (organization, 0);
        }
        "record_refused_call" => {
            manager.record_refused_call(&actor, "POST /v1/x", "keys:write", "permission_denied").await;
            return (OrganizationId::system(), 0);
        }
        _ => panic!("nobody knows how to {name}"),
    }
    (organization, before)
}

#[tokio::test]
async fn every_act_leaves_an_intent_and_an_outcome() {
    for (name, action) in ACTS {
        let instance = instance();
        let (organization, before) = perform(&instance, name).await;
        let written = entries_of(&instance.manager, &organization).await.split_off(before);
        if *name == "record_refused_call" {
            assert_eq!((written.len(), written[0].kind, &*written[0].action), (1, EntryKind::Refused, *action));
            continue;
        }
        let [intent, outcome] = &written[..] else { panic!("{name}: {written:#?}") };
        assert_eq!((intent.kind, outcome.kind), (EntryKind::Intent, EntryKind::Outcome), "{name}");
        assert_eq!((&*intent.action, &*outcome.action), (*action, *action), "{name}");
        assert_eq!(intent.act_id, outcome.act_id, "{name}");
        assert_eq!((intent.outcome, outcome.outcome), (None, Some(ActOutcome::Done)), "{name}: {outcome:?}");
        assert_eq!((&*outcome.principal, outcome.reconciled), ("operator", false), "{name}");
        assert!(instance.memory.audit_state(&organization).await.unwrap().open.is_empty(), "{name}");
        assert!(instance.manager.verify_audit(&operator(), &organization, None).await.unwrap().intact, "{name}");
    }
}

/// What is shown of records, before and after, and from where.
#[tokio::test]
async fn an_entry_says_who_what_when_and_from_where() {
    let instance = instance();
    let from = "192.0.2.7".parse().unwrap();
    let actor = operator().at_address(Some(from));
    let key = instance.manager.create(&actor, new_key()).await.unwrap().key;
    let mut update = KeyUpdate::new();
    update.name = Some(KeyName::new("Another").unwrap());
    instance.clock.advance(Duration::from_secs(5));
    instance.manager.update(&actor, key.id, &update, None).await.unwrap();
    // One that changes nothing is no act.
    instance.manager.update(&actor, key.id, &update, None).await.unwrap();
    instance.manager.deactivate(&actor, key.id, reason()).await.unwrap();
    let written = entries(&instance).await;
    assert_eq!(written.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    let [_, created, _, updated, _, stopped] = &written[..] else { panic!("{written:#?}") };
    assert_eq!(created.target.key_id, Some(key.id));
    assert_eq!((created.target.user_id.as_deref(), created.from), (Some("ada"), Some(from)));
    assert_eq!((&created.before, &created.after.as_ref().unwrap()["scopes"]), (&None, &json!(["default"])));
    assert_eq!(updated.before, Some(json!({"name": "Unnamed key"})));
    assert_eq!(updated.after, Some(json!({"name": "Another"})));
    assert_eq!(updated.at - created.at, TimeDelta::seconds(5));
    assert_eq!(stopped.before.as_ref().unwrap()["status"], "active");
    assert_eq!(stopped.after.as_ref().unwrap()["status"], "inactive");
    assert_eq!(stopped.after.as_ref().unwrap()["status_reason"], "leaked");
}

#[tokio::test]
async fn what_is_said_of_users_and_projects_is_shown_before_and_after() {
    let instance = instance();
    let (manager, actor, acme) = (&instance.manager, operator(), org("acme"));
    let most = |most| UserUpdate { max_keys: Some(most), ..UserUpdate::default() };
    let rules = serde_json::from_value(json!({"longest_life_days": 30})).unwrap();
    let ruled = UserUpdate { policy: Some(Some(rules)), ..most(Some(3)) };
    for update in [ruled, most(None)] {
        manager.update_user(&actor, &acme, &user("ada"), &update, None).await.unwrap();
    }
    let mut update = ProjectUpdate::default();
    update.max_keys = Some(Some(7));
    manager.update_project(&actor, &acme, &ProjectId::new("web").unwrap(), &update, None).await.unwrap();
    let written = entries(&instance).await;
    let [_, ruled, _, freed, _, project] = &written[..] else { panic!("{written:#?}") };
    assert_eq!(ruled.before, Some(json!({"max_keys": null, "policy": null})));
    let after = ruled.after.as_ref().unwrap();
    assert_eq!((&after["max_keys"], &after["policy"]["longest_life_days"]), (&json!(3), &json!(30)));
    assert_eq!((&freed.before, &freed.after), (&Some(json!({"max_keys": 3})), &Some(json!({"max_keys": null}))));
    assert_eq!((&project.before, &project.after), (&None, &Some(json!({"max_keys": 7}))));
}

#[tokio::test]
async fn without_an_intent_nothing_is_done() {
    let instance = instance();
    let key = instance.create(new_key()).await.key;
    let (manager, actor, acme) = (&instance.manager, operator(), org("acme"));
    let mut update = KeyUpdate::new();
    update.name = Some(KeyName::new("Another").unwrap());
    instance.store.fail_audit(true);
    let before = instance.record(key.id).await;
    let trouble = |error: ManageError| assert!(error.is_trouble(), "{error}");
    trouble(manager.create(&actor, new_key()).await.unwrap_err());
    trouble(manager.update(&actor, key.id, &update, None).await.unwrap_err());
    trouble(manager.deactivate(&actor, key.id, None).await.unwrap_err());
    trouble(manager.rotate(&actor, key.id, None).await.unwrap_err());
    let deactivate = BulkOperation::Deactivate { reason: None };
    trouble(manager.bulk(&actor, &acme, &deactivate, &[key.id]).await.unwrap_err());
    let suspended = suspended();
    trouble(manager.update_organization(&the_operator(), &acme, &suspended, None).await.unwrap_err());
    let url = WebhookUrl::new("https://example.com/hook").unwrap();
    trouble(manager.create_webhook(&actor, &acme, &url, &[]).await.unwrap_err());
    assert_eq!(instance.record(key.id).await, before);
    assert_eq!(manager.organization(&actor, &acme).await.unwrap().revision.0, 0);
    assert!(manager.webhooks(&actor, &acme).await.unwrap().is_empty());
    // To stop a key that leaked is worth more than to write it down first.
    manager.revoke(&actor, key.id, None).await.unwrap();
    assert_eq!(instance.record(key.id).await.key.status.status, KeyStatus::Revoked);
    instance.store.fail_audit(false);
    manager.create(&actor, new_key()).await.unwrap();
}

/// What became of it is not known to the audit, but to whoever did it; the audit finds it out.
#[tokio::test]
async fn an_act_whose_doer_stopped_is_closed_by_what_is_there() {
    for (fails, outcome) in [("append_audit", ActOutcome::Done), ("set_status", ActOutcome::Unknown)] {
        let instance = instance();
        let key = instance.create(new_key()).await.key;
        let nth = std::sync::atomic::AtomicUsize::new(0);
        let store = FatefulStore::new(instance.memory.clone(), move |call| {
            // The outcome, which is the second that is appended; or the write and all that comes after it.
            let stops = if fails == "append_audit" { 1 } else { 0 };
            let counts = call.starts_with(fails);
            let before = nth.fetch_add(usize::from(counts), std::sync::atomic::Ordering::Relaxed);
            if (counts && before >= stops) || (!counts && before > stops) { Fate::Failed } else { Fate::Answered }
        });
        let builder = ApiKeyManager::builder(store, ring(&[1])).clock(instance.clock.clone()).quota(ROOMY);
        let stopping = builder.build().unwrap();
        let stopped = stopping.deactivate(&operator(), key.id, reason()).await;
        assert_eq!(stopped.is_ok(), outcome == ActOutcome::Done, "it is answered as it was done");
        let written = since(&instance, 2).await;
        assert_eq!(written.iter().map(|entry| entry.kind).collect::<Vec<_>>(), [EntryKind::Intent], "{fails}");
        // It is too early to say.
        instance.manager.tend().await;
        assert_eq!(since(&instance, 2).await.len(), 1);
        instance.clock.advance(Duration::from_secs(121));
        let written = since(&instance, 2).await;
        let [intent, closed] = &written[..] else { panic!("{fails}: {written:#?}") };
        assert_eq!((closed.outcome, closed.reconciled, closed.act_id), (Some(outcome), true, intent.act_id), "{fails}");
        assert_eq!((&*closed.action, closed.target.key_id), ("key.deactivate", Some(key.id)));
        assert_eq!(since(&instance, 2).await.len(), 2, "once");
    }
}

/// A future that is dropped leaves the same.
#[tokio::test]
async fn what_was_given_up_is_closed_too() {
    let instance = instance();
    let key = instance.create(new_key()).await.key;
    // It gives way before each call and after it.
    let store = FatefulStore::new(instance.memory.clone(), |_| Fate::Answered);
    let builder = ApiKeyManager::builder(store, ring(&[1])).clock(instance.clock.clone()).quota(ROOMY);
    let (manager, id) = (builder.build().unwrap(), key.id);
    let doing = tokio::spawn(async move { manager.deactivate(&operator(), id, None).await });
    while instance.memory.audit_state(&org("acme")).await.unwrap().open.is_empty() {
        tokio::task::yield_now().await;
    }
    doing.abort();
    assert!(doing.await.unwrap_err().is_cancelled());
    instance.clock.advance(Duration::from_secs(121));
    let closed = since(&instance, 2).await.pop().unwrap();
    assert_eq!((closed.outcome, closed.reconciled), (Some(ActOutcome::Unknown), true));
}

/// An intent that is kept and looks failed: the act is not done, and never said to be, whatever is done after it.
#[tokio::test]
async fn an_act_whose_intent_was_not_answered_is_not_said_to_be_done() {
    let instance = instance();
    let key = instance.create(new_key()).await.key;
    let losing = |memory: MemoryStore| {
        let lost = std::sync::atomic::AtomicBool::new(false);
        let store = FatefulStore::new(memory, move |call| {
            let is_first = call.starts_with("append_audit") && !lost.swap(true, std::sync::atomic::Ordering::Relaxed);
            if is_first { Fate::Lost } else { Fate::Answered }
        });
        ApiKeyManager::builder(store, ring(&[1])).clock(instance.clock.clone()).quota(ROOMY).build().unwrap()
    };
    let manager = losing(instance.memory.clone());
    instance.clock.advance(Duration::from_secs(1));
    assert!(manager.deactivate(&operator(), key.id, None).await.unwrap_err().is_trouble());
    instance.clock.advance(Duration::from_secs(1));
    manager.deactivate(&operator(), key.id, None).await.unwrap();
    instance.clock.advance(Duration::from_secs(121));
    let written = since(&instance, 2).await;
    let first = written[0].act_id;
    let became: Vec<_> =
        written.iter().filter(|entry| entry.act_id == first).filter_map(|entry| entry.outcome).collect();
    assert!(matches!(became[..], [ActOutcome::Unknown | ActOutcome::Failed]), "{written:#?}");
    // A revocation goes on, and its outcome closes the intent that was not answered.
    let manager = losing(instance.memory.clone());
    manager.revoke(&operator(), key.id, None).await.unwrap();
    assert!(instance.memory.audit_state(&org("acme")).await.unwrap().open.is_empty());
    let written = entries(&instance).await;
    let [.., intent, outcome] = &written[..] else { panic!("{written:#?}") };
    assert_eq!((intent.act_id, outcome.outcome), (outcome.act_id, Some(ActOutcome::Done)));
}

/// What somebody puts into the store is not taken for an entry: it is never sealed as one, and keeps nothing from being sealed.
#[tokio::test]
async fn what_others_wrote_shows_for_ever() {
    let instance = instance();
    let (acme, actor) = (org("acme"), operator());
    instance.create(new_key()).await;
    let genuine = instance.memory.audit_entries(&acme, 1..=1, false, 1).await.unwrap().remove(0).bytes;
    let act = ActId::fresh(instance.clock.now()).unwrap();
    // As if it were an intent, with a header of its own and the rest of another entry.
    let bytes = [&[1, Step::Intent.byte()], &act.as_bytes()[..], &genuine[18..]].concat();
    instance.memory.append_audit(&acme, &Append { act, step: Step::Intent, bytes }).await.unwrap();
    instance.clock.advance(Duration::from_secs(121));
    for round in 0..3 {
        let found = instance.manager.verify_audit(&actor, &acme, None).await.unwrap();
        let faults: Vec<_> = found.faults.iter().map(|fault| (fault.kind, fault.sequence)).collect();
        assert_eq!((faults, found.first_unsealed), (vec![(FaultKind::Altered, 3)], None), "round {round}: {found:?}");
        instance.create(new_key()).await;
        instance.manager.tend().await;
    }
    let written = entries(&instance).await;
    assert_eq!((&*written[2].action, &*written[2].principal), ("not_genuine", ""));
    let closed = written.iter().find(|entry| entry.act_id == act && entry.reconciled).unwrap();
    assert_eq!((closed.outcome, &*closed.action), (Some(ActOutcome::Unknown), "unknown"));
}

/// Far from every time there may be.
#[tokio::test]
async fn an_audit_is_read_to_the_ends_of_time() {
    let instance = instance();
    instance.create(new_key()).await;
    for (from, to) in [(None, Some(DateTime::<Utc>::MIN_UTC)), (Some(DateTime::<Utc>::MAX_UTC), None)] {
        let mut query = AuditQuery::default();
        (query.from, query.to) = (from, to);
        for order in [AuditOrder::NewestFirst, AuditOrder::OldestFirst] {
            let page = instance.manager.audit(&operator(), &org("acme"), &query, order, 10, None).await.unwrap();
            assert_eq!(page.entries, []);
        }
    }
}

#[tokio::test]
async fn bulk_is_one_act_with_its_keys() {
    let instance = instance();
    let made = instance.manager.create_many(&operator(), vec![new_key(), new_key(), new_key()]).await;
    let mut ids: Vec<KeyId> = made.into_iter().map(|made| made.unwrap().key.id).collect();
    let written = entries(&instance).await;
    let [_, created] = &written[..] else { panic!("{written:#?}") };
    assert_eq!(created.items.iter().map(|item| item.key_id).collect::<Vec<_>>(), ids);
    assert!(created.items.iter().all(|item| item.outcome.as_deref() == Some("done")));
    let absent = KeyId::fresh(instance.clock.now(), None).unwrap();
    ids.push(absent);
    let rotate = BulkOperation::Rotate { overlap: Some(TimeDelta::zero()) };
    let outcome = instance.manager.bulk(&operator(), &org("acme"), &rotate, &ids).await.unwrap();
    let written = since(&instance, 2).await;
    let [intent, done] = &written[..] else { panic!("{written:#?}") };
    assert!(intent.items.iter().all(|item| item.outcome.is_none()) && intent.items.len() == 4);
    assert_eq!(done.after, Some(json!({"operation": "rotate", "overlap_seconds": 0})));
    let became: Vec<_> = done.items.iter().map(|item| (item.key_id, item.outcome.as_deref().unwrap())).collect();
    assert_eq!(became, [(ids[0], "done"), (ids[1], "done"), (ids[2], "done"), (absent, "not_found")]);
    assert_eq!(done.items[0].successor_id, Some(outcome.rotated[0].new_key_id));
    // A key is found among many.
    let query = |key_id| {
        let mut query = AuditQuery::default();
        query.key_id = Some(key_id);
        query
    };
    let order = AuditOrder::NewestFirst;
    let of_one = instance.manager.audit(&operator(), &org("acme"), &query(ids[1]), order, 10, None).await.unwrap();
    assert_eq!(of_one.entries.len(), 4);
    // A dry run does nothing.
    let keys = BulkKeys::Named(ids);
    instance.manager.bulk_of(&operator(), &org("acme"), &rotate, &keys, true).await.unwrap();
    assert_eq!(since(&instance, 4).await, []);
}

#[tokio::test]
async fn refusals_are_written_down_and_bounded() {
    let instance = instance_with(|builder| builder.audit(AuditPolicy::default().refusals_a_minute(3)));
    let actor = tenant("acme", &["reports:*"]);
    let greedy = || new_key_with(|new| new.permissions = scopes(&["admin:write"]));
    for _ in 0..10 {
        assert!(matches!(instance.manager.create(&actor, greedy()).await, Err(ManageError::NotGrantable { .. })));
    }
    let written = entries(&instance).await;
    assert_eq!(written.len(), 3);
    let refused = &written[0];
    assert_eq!((refused.kind, refused.outcome), (EntryKind::Refused, Some(ActOutcome::Refused)));
    assert_eq!((refused.reason.as_deref(), &*refused.principal), (Some("not_grantable"), "admin-of-acme"));
    instance.clock.advance(Duration::from_secs(60));
    instance.manager.create(&actor, greedy()).await.unwrap_err();
    assert_eq!(entries(&instance).await.last().unwrap().unsaid, 7);
}

/// What somebody asks of another tenant stands in their own audit, and shows nothing of that tenant; and nothing in its.
#[tokio::test]
async fn walls_stand_in_the_audit_too() {
    let instance = instance();
    let other = instance.create(new_key_with(|new| new.organization = org("other"))).await.key;
    let actor = tenant("acme", &["**"]);
    instance.manager.revoke(&actor, other.id, None).await.unwrap_err();
    let new = new_key_with(|new| new.organization = org("other"));
    instance.manager.create(&actor, new).await.unwrap_err();
    instance.manager.bulk(&actor, &org("acme"), &BulkOperation::Revoke { reason: None }, &[other.id]).await.unwrap();
    let written = entries(&instance).await;
    let reasons: Vec<_> = written.iter().map(|entry| entry.reason.as_deref()).collect();
    assert_eq!(reasons, [Some("not_found"), Some("not_found"), None, Some("not_found")]);
    assert_eq!(written[1].target.organization_id.as_deref(), Some("other"));
    let text = format!("{written:?}");
    assert!(!text.contains("Unnamed key"), "{text}");
    assert_eq!(entries_of(&instance.manager, &org("other")).await.len(), 2, "its own creation");
    // Nor does it say that somebody came with its key to where another tenant's are asked for.
    let theirs = instance.create(new_key_with(|new| new.organization = org("other"))).await;
    let within = RequestContext::new().within(org("acme"));
    for _ in 0..2 {
        // The second time it is decided at once.
        instance.manager.validate(theirs.text.expose(), &RequestContext::new()).await.unwrap();
        instance.manager.validate(theirs.text.expose(), &within).await.unwrap_err();
    }
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(entries_of(&instance.manager, &org("other")).await.len(), 4, "its own creations");
    // Nobody reads another's, nor the operator's.
    let (query, order) = (AuditQuery::default(), AuditOrder::default());
    for foreign in ["other", "system"] {
        let read = instance.manager.audit(&actor, &org(foreign), &query, order, 10, None).await;
        assert!(matches!(read, Err(ManageError::ParentNotFound)));
        let verified = instance.manager.verify_audit(&actor, &org(foreign), None).await;
        assert!(matches!(verified, Err(ManageError::ParentNotFound)));
    }
    // An operator's refusal about a key that is nowhere is in the operator's own.
    let absent = KeyId::fresh(instance.clock.now(), None).unwrap();
    instance.manager.revoke(&operator(), absent, None).await.unwrap_err();
    let system = entries_of(&instance.manager, &OrganizationId::system()).await;
    assert_eq!((system.len(), system[0].target.key_id), (1, Some(absent)));
}

#[tokio::test]
async fn no_secret_is_in_the_audit() {
    let instance = instance();
    let (manager, actor, acme) = (&instance.manager, operator(), org("acme"));
    let CreatedKey { text, key, .. } = instance.create(new_key()).await;
    let digest = match instance.record(key.id).await.verifier {
        Verifier::HmacSha256 { digest } => digest,
        other => panic!("{other:?}"),
    };
    let url = WebhookUrl::new("https://example.com/hook?token=hidden").unwrap();
    let webhook = manager.create_webhook(&actor, &acme, &url, &[]).await.unwrap();
    let renewed = manager.renew_webhook_secret(&actor, &acme, webhook.webhook.webhook_id).await.unwrap();
    let mut update = KeyUpdate::new();
    update.hand_over = Some(true);
    let pin = json!({"pin": "hidden-4711"});
    update.sensitive = Some(Sensitive::new(pin.as_object().cloned().unwrap()).unwrap());
    manager.update(&actor, key.id, &update, None).await.unwrap();
    let mut alone = KeyUpdate::new();
    alone.sensitive.clone_from(&update.sensitive);
    let bulk = BulkOperation::Update(Box::new(alone));
    drop(manager.bulk(&actor, &acme, &bulk, &[key.id]).await);
    let rotation = manager.rotate(&actor, key.id, None).await.unwrap();
    let admission = manager.validate(text.expose(), &RequestContext::new()).await.unwrap();
    manager.claim_successor(&admission, None).await.unwrap();
    let raw = format!("sk_live_{}", "y".repeat(24));
    let line = json!({"raw": raw, "user_id": "bob", "scopes": []}).to_string();
    manager.import(&the_operator(), &acme, line.as_bytes(), false).await.unwrap();
    manager.delete_webhooks(&actor, &acme).await.unwrap();
    let shown = serde_json::to_string(&entries(&instance).await).unwrap();
    let kept = instance.memory.audit_entries(&acme, 0..=u64::MAX, false, 1_000).await.unwrap();
    let kept: Vec<u8> = kept.into_iter().flat_map(|entry| entry.bytes).collect();
    let hexadecimal = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let secrets = [
        text.expose(),
        &text.expose()[30..73],
        rotation.text.expose(),
        &webhook.secret.expose(),
        &renewed.secret.expose(),
        "hidden",
        &raw,
        &hexadecimal,
    ];
    for secret in secrets {
        assert!(!shown.contains(secret), "{secret} in {shown}");
        assert!(!kept.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
    assert!(!kept.windows(32).any(|window| window == digest));
    assert!(shown.contains("key.claim") && shown.contains("https://example.com\"") && !shown.contains("/hook"));
}

/// What sensitive fields hold is nobody's to read, and neither is whether it is another than before: that they were written is.
#[tokio::test]
async fn that_sensitive_fields_were_replaced_shows() {
    let instance = instance();
    let key = instance.create(new_key()).await;
    let mut update = KeyUpdate::new();
    for pin in ["1", "2"] {
        let before = entries(&instance).await.len();
        update.sensitive = Some(Sensitive::new(json!({ "pin": pin }).as_object().cloned().unwrap()).unwrap());
        instance.manager.update(&operator(), key.key.id, &update, None).await.unwrap();
        let written = since(&instance, before).await;
        assert_eq!(written[0].after.as_ref().unwrap()["sensitive"], "(not shown)", "{written:?}");
    }
}

/// An act of more keys than an entry lists says how many more they were.
#[tokio::test]
async fn keys_that_are_not_listed_are_counted() {
    let instance = instance();
    let mut keys = instance.manager.create_many(&operator(), vec![new_key(); MAX_ITEMS]).await;
    keys.extend(instance.manager.create_many(&operator(), vec![new_key(); 5]).await);
    assert!(keys.iter().all(Result::is_ok));
    let leaves = UserUpdate { status: Some(UserStatus::Offboarded), ..UserUpdate::default() };
    let owner = &keys[0].as_ref().unwrap().key.user;
    let changed = instance.manager.update_user(&operator(), &org("acme"), owner, &leaves, None).await.unwrap();
    assert_eq!((changed.revoked, changed.complete), (MAX_ITEMS as u64 + 5, true));
    let last = entries(&instance).await.pop().unwrap();
    assert_eq!((last.items.len(), &last.after.unwrap()["keys_not_listed"]), (MAX_ITEMS, &json!(5)));
}

/// Of keys that are known, sampled; of what is no key, nothing.
#[tokio::test]
async fn denials_of_known_keys_are_sampled() {
    let instance = instance_with(|builder| builder.audit(AuditPolicy::default().samples_a_minute(2)));
    let keys = [instance.create(new_key()).await, instance.create(new_key()).await, instance.create(new_key()).await];
    for created in &keys {
        instance.manager.revoke(&operator(), created.key.id, None).await.unwrap();
    }
    let before = entries(&instance).await.len();
    let context = RequestContext::new().from_address("198.51.100.9".parse().unwrap());
    for created in &keys {
        for _ in 0..10 {
            instance.manager.validate(created.text.expose(), &context).await.unwrap_err();
        }
    }
    instance.manager.validate("mcp_dev_nonsense", &context).await.unwrap_err();
    let sampled = async || {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        since(&instance, before).await
    };
    let written = sampled().await;
    assert_eq!(written.len(), 2, "{written:#?}");
    let denied = &written[0];
    assert_eq!((denied.kind, &*denied.action), (EntryKind::Denied, "key.validate"));
    assert_eq!((denied.reason.as_deref(), denied.target.key_id), (Some("key_revoked"), Some(keys[0].key.id)));
    assert_eq!(denied.from.map(|from| from.to_string()).as_deref(), Some("198.51.100.9"));
    instance.clock.advance(Duration::from_secs(60));
    instance.manager.validate(keys[2].text.expose(), &context).await.unwrap_err();
    assert!(sampled().await.last().unwrap().unsaid >= 18);
}

#[tokio::test]
async fn an_audit_is_read_in_pages_and_by_what_is_asked() {
    let instance = instance();
    let first = instance.create(new_key()).await.key;
    for _ in 0..4 {
        instance.clock.advance(Duration::from_secs(3_600));
        instance.manager.create(&tenant("acme", &["**"]), new_key()).await.unwrap();
    }
    instance.manager.revoke(&operator(), first.id, None).await.unwrap();
    let (acme, actor) = (org("acme"), operator());
    let read = async |query: &AuditQuery, order, limit| {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let page = instance.manager.audit(&actor, &acme, query, order, limit, cursor).await.unwrap();
            assert!(page.entries.len() <= limit);
            all.extend(page.entries.iter().map(|entry| entry.sequence));
            cursor = page.next_cursor;
            if cursor.is_none() {
                return all;
            }
        }
    };
    let all = AuditQuery::default();
    for limit in [1, 5, 1_000] {
        assert_eq!(read(&all, AuditOrder::OldestFirst, limit).await, (1..=12).collect::<Vec<_>>());
        assert_eq!(read(&all, AuditOrder::NewestFirst, limit).await, (1..=12).rev().collect::<Vec<_>>());
    }
    let mut query = AuditQuery::default();
    query.principal = Some("admin-of-acme".to_owned());
    assert_eq!(read(&query, AuditOrder::OldestFirst, 3).await, (3..=10).collect::<Vec<_>>());
    let mut query = AuditQuery::default();
    query.action = Some("key.revoke".to_owned());
    assert_eq!(read(&query, AuditOrder::NewestFirst, 100).await, [12, 11]);
    let mut query = AuditQuery::default();
    query.from = Some(first.created_at + TimeDelta::hours(1));
    query.to = Some(first.created_at + TimeDelta::hours(2));
    assert_eq!(read(&query, AuditOrder::NewestFirst, 100).await, [4, 3]);
    assert_eq!(read(&query, AuditOrder::OldestFirst, 100).await, [3, 4]);
}

/// What is too old goes in whole seals, leaves a checkpoint, and what is left is intact.
#[tokio::test]
async fn what_is_too_old_is_not_kept() {
    let instance = instance_with(|builder| builder.audit(AuditPolicy::default().retention_days(7).unwrap()));
    let (acme, actor) = (org("acme"), operator());
    let verify = async |head| instance.manager.verify_audit(&actor, &acme, head).await.unwrap();
    instance.create(new_key()).await;
    let head = verify(None).await.head.unwrap();
    instance.clock.advance(Duration::from_secs(4 * 86_400));
    instance.create(new_key()).await;
    let found = verify(Some(head)).await;
    assert_eq!((found.intact, found.entries, found.seals, found.head_found), (true, 4, 2, Some(true)));
    let later = found.head.unwrap();
    instance.clock.advance(Duration::from_secs(4 * 86_400));
    instance.create(new_key()).await;
    // Whoever only looks takes nothing away, whatever retention they have set.
    let hasty = |builder: ManagerBuilder| builder.audit(AuditPolicy::default().retention_days(1).unwrap());
    let reader = hasty(ApiKeyManager::builder(instance.memory.clone(), ring(&[1])).clock(instance.clock.clone()));
    let reader = reader.build().unwrap();
    assert_eq!(entries_of(&reader, &acme).await.len(), 6);
    assert!(reader.verify_audit(&actor, &acme, None).await.unwrap().intact);
    reader.tend().await;
    let found = verify(Some(head)).await;
    assert_eq!((found.intact, found.entries, found.seals, found.trimmed_through), (true, 6, 3, 0), "{found:?}");
    instance.manager.trim_audits().await;
    let found = verify(Some(head)).await;
    assert_eq!((found.intact, found.entries, found.seals, found.trimmed_through), (true, 4, 2, 2), "{found:?}");
    assert_eq!(found.head_found, Some(true), "it is where the checkpoint is");
    assert_eq!(found.cut_short_until, None, "it went by its age");
    assert_eq!(verify(Some(later)).await.head_found, Some(true));
    let entries = entries(&instance).await;
    assert_eq!(entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [3, 4, 5, 6]);
}

/// Several instances write and seal at once: one chain comes of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_seal_one_chain() {
    let instance = instance();
    let others = [instance.beside(ring(&[1])), instance.beside(ring(&[1]))];
    let working = others.into_iter().chain([instance.beside(ring(&[1]))]).map(|other| {
        tokio::spawn(async move {
            for _ in 0..20 {
                other.create(new_key()).await;
                other.manager.tend().await;
            }
        })
    });
    for one in working.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    let found = instance.manager.verify_audit(&operator(), &org("acme"), None).await.unwrap();
    assert!(found.intact, "{found:?}");
    assert_eq!((found.entries, found.first_unsealed), (120, None));
}

/// The secret that a seal was made under is needed as long as the seal is kept; without it nothing is said to be altered.
#[tokio::test]
async fn a_seal_needs_its_ring_entry() {
    let instance = instance();
    let key = instance.create(new_key()).await.key;
    instance.manager.revoke(&operator(), key.id, None).await.unwrap();
    assert!(instance.manager.verify_audit(&operator(), &org("acme"), None).await.unwrap().intact);
    let usage = instance.manager.audit_ring_usage(&the_operator()).await.unwrap();
    assert_eq!(usage.values().copied().collect::<Vec<_>>(), [1]);
    let both = instance.beside(ring(&[2, 1]));
    both.create(new_key()).await;
    let found = both.manager.verify_audit(&operator(), &org("acme"), None).await.unwrap();
    assert!(found.intact && found.seals == 2, "{found:?}");
    let found = instance.manager.verify_audit(&operator(), &org("acme"), None).await.unwrap();
    assert_eq!(found.faults[0].kind, FaultKind::RingEntryMissing);
    assert!(found.faults.iter().all(|fault| fault.detail.contains("is not configured")), "{found:?}");
    let without = instance.beside(ring(&[2]));
    let refused = without.manager.open().await.unwrap_err();
    assert!(refused.to_string().contains("still name it"), "{refused}");
}

/// Whoever turns it off writes nothing, and is not kept from anything.
#[tokio::test]
async fn it_can_be_off() {
    let instance = instance_with(|builder| builder.audit(AuditPolicy::off()));
    instance.store.fail_audit(true);
    let key = instance.create(new_key()).await.key;
    instance.manager.revoke(&operator(), key.id, None).await.unwrap();
    instance.manager.revoke(&tenant("other", &[]), key.id, None).await.unwrap_err();
    assert_eq!(instance.store.calls().append_audit, 0);
    assert_eq!(entries(&instance).await, []);
}

/// An act costs two calls of the store, and so do many keys that are made with one.
#[tokio::test]
async fn an_act_takes_two_calls() {
    let instance = instance();
    instance.create(new_key()).await;
    instance.store.reset_calls();
    instance.create(new_key()).await;
    assert_eq!(instance.store.calls().append_audit, 2);
    instance.store.reset_calls();
    let new = (0..100).map(|number| new_key_with(|new| new.user = user(&format!("u{number}"))));
    instance.manager.create_many(&operator(), new.collect()).await;
    assert_eq!(instance.store.calls().append_audit, 2);
}

/// What is too much goes as what is too old does; and what somebody puts into the store has nothing taken away.
#[tokio::test]
async fn what_is_too_many_bytes_is_not_kept() {
    let instance = instance_with(|builder| builder.audit(AuditPolicy::default().most_bytes(1_000_000).unwrap()));
    let (acme, actor) = (org("acme"), operator());
    let verify = async || instance.manager.verify_audit(&actor, &acme, None).await.unwrap();
    let write = async |entries: usize| {
        for _ in 0..entries {
            let long = "x".repeat(100_000);
            instance.manager.record_refused_call(&tenant("acme", &[]), &long, "keys:write", "permission_denied").await;
            assert!(verify().await.first_unsealed.is_none());
        }
    };
    write(5).await;
    for number in 0..20_u8 {
        let act = ActId::fresh(instance.clock.now()).unwrap();
        let bytes = [&[1, Step::Alone.byte()], &act.as_bytes()[..], &[number; 100_000]].concat();
        instance.memory.append_audit(&acme, &Append { act, step: Step::Alone, bytes }).await.unwrap();
    }
    write(1).await;
    instance.manager.trim_audits().await;
    let found = verify().await;
    assert_eq!((found.entries, found.trimmed_through, found.first_unsealed), (26, 0, None), "{found:?}");
    // The newest ten that are counted are more than a million bytes.
    write(10).await;
    instance.clock.advance(Duration::from_secs(3_601));
    instance.manager.trim_audits().await;
    let found = verify().await;
    assert_eq!((found.entries, found.trimmed_through, found.intact), (10, 26, true), "{found:?}");
    // That it went before its time is told, until it would have gone by its age.
    assert_eq!(found.cut_short_until, Some(instance.clock.now() - TimeDelta::seconds(3_601)));
    let warned = async || {
        let told = instance.manager.examine(&the_operator(), Depth::Deep).await;
        told.into_iter().find(|finding| finding.check == "audit_kept")
    };
    let warning = warned().await.unwrap();
    assert_eq!(warning.verdict, Verdict::Warning);
    assert!(warning.observed.contains("of acme until"), "{warning:?}");
    instance.clock.advance(Duration::from_secs(401 * 86_400));
    let found = verify().await;
    assert_eq!((found.trimmed_through, found.cut_short_until), (26, None));
    assert_eq!(warned().await, None);
    assert!(AuditPolicy::default().most_bytes(999_999).is_err());
}

/// Whoever kept a genuine seal of other days has nothing taken away with it, as it does not follow what is before it.
#[tokio::test]
async fn a_seal_of_another_chain_has_nothing_taken_away() {
    let (saved, instance) = (instance(), instance());
    let acme = org("acme");
    for _ in 0..2 {
        saved.create(new_key()).await;
        saved.manager.tend().await;
        instance.create(new_key()).await;
    }
    let seals = saved.memory.audit_seals(&acme, 0, 10).await.unwrap();
    let later = seals.iter().find(|seal| seal.last == 4).unwrap();
    assert!(instance.memory.put_audit_seal(&acme, None, later).await.unwrap());
    instance.clock.advance(Duration::from_secs(401 * 86_400));
    instance.manager.walk_audits().await;
    let state = instance.memory.audit_state(&acme).await.unwrap();
    assert_eq!((state.checkpoint, state.seal.as_ref()), (None, Some(later)));
    // Where it does, it goes.
    saved.clock.advance(Duration::from_secs(401 * 86_400));
    saved.manager.walk_audits().await;
    assert!(saved.memory.audit_state(&acme).await.unwrap().checkpoint.is_some());
}

/// A checkpoint goes on with what was counted.
#[tokio::test]
async fn what_was_counted_is_not_forgotten() {
    let instance = instance();
    let acme = org("acme");
    for counted in [2_u64, 4, 6] {
        instance.create(new_key()).await;
        instance.manager.tend().await;
        let seal = instance.memory.audit_state(&acme).await.unwrap().seal.unwrap();
        assert_eq!(seal.bytes[29..37], counted.to_be_bytes());
        instance.clock.advance(Duration::from_secs(401 * 86_400));
        instance.manager.walk_audits().await;
        assert_eq!(instance.memory.audit_state(&acme).await.unwrap().seal, None);
    }
}

/// Where nothing happens any more an act does not stay open, and nothing is kept for ever: whoever runs the schedules comes by.
#[tokio::test]
async fn audits_that_nobody_touches_are_seen_to() {
    let instance = instance();
    let acme = org("acme");
    for _ in 0..2 {
        instance.create(new_key()).await;
        assert!(instance.manager.verify_audit(&operator(), &acme, None).await.unwrap().intact);
    }
    let open = begun(&instance, &acme).await;
    let other = instance.beside(ring(&[1]));
    other.manager.walk_audits().await;
    let state = instance.memory.audit_state(&acme).await.unwrap();
    assert_eq!(state.open.len(), 1, "it is too early to say");
    instance.clock.advance(Duration::from_secs(121));
    other.manager.walk_audits().await;
    let state = instance.memory.audit_state(&acme).await.unwrap();
    assert_eq!((state.open.len(), state.last, state.checkpoint), (0, 6, None));
    let written = entries(&instance).await;
    assert_eq!((written[5].act_id, written[5].reconciled), (open, true));
    let head = instance.manager.verify_audit(&operator(), &acme, None).await.unwrap().head.unwrap();
    assert_eq!(head.sequence, 6);
    instance.clock.advance(Duration::from_secs(401 * 86_400));
    other.manager.walk_audits().await;
    let state = instance.memory.audit_state(&acme).await.unwrap();
    assert_eq!((state.last, state.seal, state.checkpoint.is_some()), (6, None, true));
    assert_eq!(instance.memory.audit_entries(&acme, 0..=u64::MAX, false, 10).await.unwrap(), []);
    let found = instance.manager.verify_audit(&operator(), &acme, Some(head)).await.unwrap();
    assert_eq!((found.intact, found.head, found.trimmed_through), (true, Some(head), 6), "{found:?}");
    // It goes on from there.
    instance.create(new_key()).await;
    let found = instance.manager.verify_audit(&operator(), &acme, Some(head)).await.unwrap();
    assert_eq!((found.intact, found.seals, found.entries), (true, 1, 2), "{found:?}");
}

/// A scheduler does it by itself.
#[tokio::test]
async fn a_scheduler_walks_through_audits() {
    let instance = instance();
    begun(&instance, &org("acme")).await;
    instance.clock.advance(Duration::from_secs(121));
    let scheduler = instance.manager.start_scheduler();
    while !instance.memory.audit_state(&org("acme")).await.unwrap().open.is_empty() {
        tokio::task::yield_now().await;
    }
    scheduler.stop().await;
}

/// Where all that an old secret has sealed is too old, nothing needs it, whether anything happens there or not.
#[tokio::test]
async fn no_secret_is_needed_for_ever() {
    let instance = instance();
    instance.create(new_key()).await;
    instance.manager.tend().await;
    instance.clock.advance(Duration::from_secs(401 * 86_400));
    instance.manager.walk_audits().await;
    let (old, new) = (ring(&[1]).current_id(), ring(&[2]).current_id());
    let named = async |by: &Instance| by.manager.audit_ring_usage(&the_operator()).await.unwrap();
    assert_eq!(named(&instance).await, [(old, 1)].into());
    let both = instance.beside(ring(&[2, 1]));
    both.manager.open().await.unwrap();
    both.manager.walk_audits().await;
    assert_eq!(named(&both).await, [(new, 1)].into());
    // One that has the old one as the current still moves nothing back.
    let behind = instance.beside(ring(&[1, 2]));
    behind.manager.walk_audits().await;
    assert_eq!(named(&both).await, [(new, 1)].into());
    assert!(both.manager.verify_audit(&operator(), &org("acme"), None).await.unwrap().intact);
}

/// Some at a time, and more of one than are told at once; where the store fails it goes on later.
#[tokio::test]
async fn a_walk_comes_to_all() {
    let instance = instance();
    let organizations: Vec<OrganizationId> = (0..300).map(|number| org(&format!("o{number:03}"))).collect();
    for organization in &organizations {
        begun(&instance, organization).await;
    }
    let many = organizations[7].clone();
    for _ in 0..40 {
        begun(&instance, &many).await;
    }
    instance.clock.advance(Duration::from_secs(121));
    let closed = async || {
        let mut closed = 0;
        for organization in organizations.iter().filter(|organization| **organization != many) {
            closed += usize::from(instance.memory.audit_state(organization).await.unwrap().open.is_empty());
        }
        closed
    };
    let nth = std::sync::atomic::AtomicUsize::new(0);
    let store = FatefulStore::new(instance.memory.clone(), move |call| {
        let is_first = call.starts_with("audited") && nth.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        if is_first { Fate::Failed } else { Fate::Answered }
    });
    let builder = ApiKeyManager::builder(store, ring(&[1])).clock(instance.clock.clone());
    let manager = builder.build().unwrap();
    for expected in [0, 255, 299] {
        manager.walk_audits().await;
        assert_eq!(closed().await, expected);
    }
    for _ in 0..4 {
        instance.clock.advance(Duration::from_secs(11));
        manager.tend().await;
    }
    assert_eq!(instance.memory.audit_state(&many).await.unwrap().open, []);
}

/// Begins an act of which nobody says what became.
async fn begun(instance: &Instance, organization: &OrganizationId) -> ActId {
    let act = ActId::fresh(instance.clock.now()).unwrap();
    let millis = instance.clock.now().timestamp_millis().to_be_bytes();
    let bytes = [&[1, Step::Intent.byte()], &act.as_bytes()[..], &millis].concat();
    instance.memory.append_audit(organization, &Append { act, step: Step::Intent, bytes }).await.unwrap();
    act
}

/// An entry under a ring entry that is not configured is named, and keeps nothing from being sealed, however many they are.
#[tokio::test]
async fn what_is_under_an_unknown_ring_entry_holds_nothing_up() {
    let instance = instance();
    let (acme, actor) = (org("acme"), operator());
    instance.create(new_key()).await;
    instance.manager.tend().await;
    // It ends before it has sealed.
    instance.beside(ring(&[2, 1])).create(new_key()).await;
    let both = instance.beside(ring(&[2, 1]));
    let verify = async |by: &Instance| by.manager.verify_audit(&actor, &acme, None).await.unwrap();
    let waits = verify(&instance).await;
    let faults: Vec<_> = waits.faults.iter().map(|fault| (fault.kind, fault.sequence)).collect();
    assert_eq!(faults, [(FaultKind::RingEntryMissing, 3), (FaultKind::RingEntryMissing, 4)]);
    assert!(waits.faults[0].detail.contains(&ring(&[2]).current_id().to_string()), "{waits:?}");
    assert_eq!(waits.first_unsealed, Some(3), "whoever has it may seal them");
    // Nor is it shown as if it were known who wrote it.
    let shown = entries(&instance).await;
    assert_eq!((&*shown[2].action, &*shown[2].principal), ("ring_entry_missing", ""));
    assert_eq!((shown[2].sequence, shown[2].target.key_id, &shown[2].after), (3, None, &None));
    let told = instance.manager.examine(&the_operator(), Depth::Deep).await;
    let told = told.iter().find(|finding| finding.check == "audit").unwrap();
    assert_eq!(told.verdict, Verdict::Warning);
    assert!(told.observed.contains("entry 3 of acme"), "{told:?}");
    instance.create(new_key()).await;
    let found = verify(&instance).await;
    let faults: Vec<_> = found.faults.iter().map(|fault| (fault.kind, fault.sequence)).collect();
    assert_eq!(faults, [(FaultKind::RingEntryMissing, 3), (FaultKind::RingEntryMissing, 4)]);
    assert_eq!(found.first_unsealed, None, "{found:?}");
    assert!(verify(&both).await.intact, "whoever has it can tell");
    assert_eq!(entries(&both).await[2].action, "key.create");
    // More than go under one seal.
    for _ in 0..600_u32 {
        let act = ActId::fresh(instance.clock.now()).unwrap();
        let bytes = [&[1, Step::Alone.byte()], &act.as_bytes()[..], &[7; 60]].concat();
        instance.memory.append_audit(&acme, &Append { act, step: Step::Alone, bytes }).await.unwrap();
    }
    assert!(verify(&instance).await.first_unsealed.is_some());
    instance.create(new_key()).await;
    let found = verify(&instance).await;
    assert_eq!((found.first_unsealed, found.faults_in_all), (None, 602), "{found:?}");
}

/// A secret is not dropped while something that was written under it is not sealed.
#[tokio::test]
async fn what_is_not_sealed_needs_its_ring_entry() {
    let instance = instance_with(|builder| builder.audit(AuditPolicy::off()));
    let acme = org("acme");
    instance.manager.open().await.unwrap();
    // It ends before it has sealed.
    let writer = Instance::built(ring(&[1]), |builder| builder);
    writer.create(new_key()).await;
    let entry = writer.memory.audit_entries(&acme, 1..=1, false, 1).await.unwrap().remove(0);
    let act = ActId::fresh(instance.clock.now()).unwrap();
    instance.memory.append_audit(&acme, &Append { act, step: Step::Alone, bytes: entry.bytes }).await.unwrap();
    let both = instance.beside_built(ring(&[2, 1]), |builder| builder.audit(AuditPolicy::off()));
    both.manager.open().await.unwrap();
    let told = both.manager.examine(&the_operator(), Depth::Deep).await;
    let told = told.iter().find(|finding| finding.check == "retired_secrets").unwrap();
    assert_eq!((told.verdict, &told.advice), (Verdict::Ok, &None), "it is not to be taken out: {told:?}");
    let without = instance.beside(ring(&[2]));
    let refused = without.manager.open().await.unwrap_err().to_string();
    assert!(refused.contains("entry 1 of the audit of acme"), "{refused}");
}

/// An import names the keys that it is to make before it makes any; where it stopped, those that are there are known.
#[tokio::test]
async fn an_import_names_its_keys_before() {
    let instance = instance();
    let line = |name: &str| json!({"raw": format!("sk_live_{}", name.repeat(24)), "user_id": "bob", "scopes": []});
    let body = format!("{}\n{}", line("a"), line("b"));
    let imported = instance.manager.import(&the_operator(), &org("acme"), body.as_bytes(), false).await.unwrap();
    let made: Vec<KeyId> = imported.iter().filter_map(|outcome| outcome.key_id).collect();
    let written = entries(&instance).await;
    let named = |entry: &AuditEntry| entry.items.iter().map(|item| item.key_id).collect::<Vec<_>>();
    assert_eq!((named(&written[0]), named(&written[1])), (made.clone(), made));
    // It stops when its keys are made.
    let nth = std::sync::atomic::AtomicUsize::new(0);
    let store = FatefulStore::new(instance.memory.clone(), move |call| {
        let counts = call.starts_with("append_audit");
        let before = nth.fetch_add(usize::from(counts), std::sync::atomic::Ordering::Relaxed);
        if counts && before >= 1 { Fate::Failed } else { Fate::Answered }
    });
    let imports = ImportPolicy::default().pattern(ImportPattern::parse("old=sk_live_[a-z]{24}").unwrap()).unwrap();
    let builder = ApiKeyManager::builder(store, ring(&[1])).clock(instance.clock.clone()).imports(imports);
    let stopping = builder.build().unwrap();
    let body = format!("{}\n{{}}", line("c"));
    let imported = stopping.import(&the_operator(), &org("acme"), body.as_bytes(), false).await.unwrap();
    instance.clock.advance(Duration::from_secs(121));
    let closed = since(&instance, 2).await.pop().unwrap();
    assert_eq!((closed.outcome, closed.reconciled), (Some(ActOutcome::Done), true), "{closed:?}");
    assert_eq!(Some(closed.items[0].key_id), imported[0].key_id);
    let outcomes: Vec<_> = closed.items.iter().map(|item| item.outcome.as_deref()).collect();
    assert_eq!(outcomes, [Some("done"), Some("unknown")]);
}

/// An import that died leaves its texts held under the ids that it named. What another one made under them is not its own.
#[tokio::test]
async fn what_another_import_made_is_not_credited_to_one_that_died() {
    let instance = instance();
    let acme = org("acme");
    let is_held = std::sync::atomic::AtomicBool::new(false);
    let appended = std::sync::atomic::AtomicUsize::new(0);
    let store = FatefulStore::new(instance.memory.clone(), move |call| {
        use std::sync::atomic::Ordering::Relaxed;
        let is_over = call.starts_with("append_audit") && appended.fetch_add(1, Relaxed) > 0;
        // It dies where it is about to make the record.
        if call.starts_with("create") || is_over {
            is_held.store(true, Relaxed);
        }
        if is_held.load(Relaxed) { Fate::Failed } else { Fate::Answered }
    });
    let imports = ImportPolicy::default().pattern(ImportPattern::parse("old=sk_live_[a-z]{24}").unwrap()).unwrap();
    let builder = ApiKeyManager::builder(store, ring(&[1])).clock(instance.clock.clone()).imports(imports);
    let dying = builder.build().unwrap();
    let line = json!({"raw": format!("sk_live_{}", "d".repeat(24)), "user_id": "bob", "scopes": []}).to_string();
    let died = dying.import(&the_operator(), &acme, line.as_bytes(), false).await.unwrap();
    assert_eq!(died[0].key_id, None, "{died:?}");
    let other = Operator::named("somebody".parse().unwrap());
    let made = instance.manager.import(&other, &acme, line.as_bytes(), false).await.unwrap();
    instance.clock.advance(Duration::from_secs(121));
    let written = entries(&instance).await;
    let planned = written[0].items[0].key_id;
    assert_eq!(made[0].key_id, Some(planned), "it is made under the id that was held");
    let closed = written.iter().find(|entry| entry.reconciled).unwrap();
    assert_eq!((closed.act_id, closed.outcome), (written[0].act_id, Some(ActOutcome::Unknown)), "{closed:?}");
    assert_eq!(closed.items[0].outcome.as_deref(), Some("unknown"));
}
