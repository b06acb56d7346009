//! Fields that are kept encrypted: opened by whoever may, where they were put and nowhere else.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use keygate_core::audit::AuditPolicy;
use keygate_core::key::KeyId;
use keygate_core::manager::{
    BulkKeys, BulkOperation, CreatedOnce, DamagedFields, Expiry, IdempotencyKey, KeyFilter, KeyUpdate, ManageError,
    ManagerBuilder, NewKey,
};
use keygate_core::names::{FieldName, KeyName};
use keygate_core::record::{KeyRecord, Sensitive};
use keygate_core::ring::{EntryId, SealError, Sealed};
use keygate_core::store::Store;
use keygate_testkit::log::Log;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{
    self, Instance, block_on, new_key, new_key_with, operator, org, ring, tenant, the_operator, word,
};

/// What is in no log, no answer and no store.
const CANARY: &str = "DE02 1203 0000 0000 2020 51";

fn fields(fields: Value) -> Sensitive {
    Sensitive::new(fields.as_object().cloned().unwrap()).unwrap()
}

fn name(text: &str) -> FieldName {
    FieldName::new(text).unwrap()
}

fn entry(seed: u8) -> EntryId {
    ring(&[seed]).current_id()
}

fn new_sensitive(asked: &Value) -> NewKey {
    new_key_with(|new| new.sensitive = fields(asked.clone()))
}

fn two() -> Value {
    json!({"account": CANARY, "pin": 4711})
}

async fn opened(instance: &Instance, id: KeyId) -> Value {
    let opened = instance.manager.sensitive(&operator(), id, None).await.unwrap();
    assert_eq!(opened.key_id, id);
    serde_json::to_value(opened.sensitive).unwrap()
}

async fn damage(instance: &Instance, id: KeyId) -> DamagedFields {
    match instance.manager.sensitive(&operator(), id, None).await {
        Err(error @ ManageError::SensitiveDamaged(_)) => {
            assert_eq!((error.reason(), error.is_trouble()), ("sensitive_damaged", false));
            assert!(!format!("{error} {error:?}").contains(CANARY));
            let ManageError::SensitiveDamaged(damaged) = error else { unreachable!() };
            *damaged
        }
        other => panic!("not refused: {other:?}"),
    }
}

fn names(damaged: &DamagedFields) -> Vec<&str> {
    damaged.damaged.iter().map(|(field, ..)| field.as_str()).collect()
}

/// Changes what is sealed, as somebody might who can write to the store.
async fn tamper(instance: &Instance, id: KeyId, change: impl FnOnce(&mut BTreeMap<FieldName, Sealed>)) {
    let mut record = instance.record(id).await;
    let found = record.key.revision;
    let mut sensitive = record.sensitive.clone();
    change(&mut sensitive);
    record.keep_sensitive(sensitive);
    record.key.revision = found.next();
    instance.memory.replace(&record, found).await.unwrap();
}

#[tokio::test]
async fn what_is_kept_encrypted_is_opened_and_shown_nowhere_else() {
    let log = Log::begin();
    let instance = Instance::new();
    let created = instance.create(new_sensitive(&two())).await;
    let id = created.key.id;
    assert_eq!(opened(&instance, id).await, two());
    let one = instance.manager.sensitive(&operator(), id, Some(&name("pin"))).await.unwrap();
    assert_eq!(serde_json::to_value(one).unwrap(), json!({"key_id": id, "sensitive": {"pin": 4711}}));
    assert!(instance.manager.sensitive(&operator(), id, Some(&name("absent"))).await.unwrap().sensitive.is_empty());

    let record = instance.record(id).await;
    let listed = instance.manager.list(&operator(), &org("acme"), &KeyFilter::default(), 10, None).await.unwrap();
    let shown = [
        serde_json::to_string(&created).unwrap(),
        serde_json::to_string(&instance.manager.get(&operator(), id).await.unwrap()).unwrap(),
        serde_json::to_string(&listed).unwrap(),
        format!("{created:?} {record:?} {:?} {:?}", new_sensitive(&two()), fields(two())),
        log.take(),
        String::from_utf8_lossy(&record.encode().unwrap()).into_owned(),
    ];
    for shown in shown {
        assert!(shown.contains("account") && shown.contains("pin"), "{shown}");
        assert!(!shown.contains(CANARY) && !shown.contains("4711"), "{shown}");
    }
    assert_eq!(created.key.sensitive_fields, [name("account"), name("pin")]);
    assert!(instance.create(new_key()).await.key.sensitive_fields.is_empty());
}

#[tokio::test]
async fn nobody_opens_another_tenants_fields() {
    let instance = Instance::new();
    let id = instance.create(new_sensitive(&two())).await.key.id;
    let open = async |organization| instance.manager.sensitive(&tenant(organization, &[]), id, None).await;
    assert_eq!(serde_json::to_value(open("acme").await.unwrap().sensitive).unwrap(), two());
    assert_eq!(word(&open("globex").await.unwrap_err()), "not found");
    let log = Log::begin();
    open("acme").await.unwrap();
    let log = log.take();
    assert!(log.contains("sensitive fields read") && log.contains("admin-of-acme") && log.contains("account"), "{log}");
}

/// Whatever is changed of what is sealed, the field is refused by its name, and the other is readable by itself.
#[tokio::test]
async fn a_changed_byte_or_a_cut_is_refused_and_named() {
    let log = Log::begin();
    let instance = Instance::new();
    let id = instance.create(new_sensitive(&two())).await.key.id;
    let sealed = instance.record(id).await.sensitive[&name("pin")].clone();
    let put = async |bytes: Vec<u8>, entry: EntryId| {
        tamper(&instance, id, |fields| {
            fields.insert(name("pin"), Sealed::from_parts(entry, bytes));
        })
        .await;
        let damaged = damage(&instance, id).await;
        assert_eq!((names(&damaged), damaged.readable.as_slice()), (vec!["pin"], &[name("account")][..]));
        assert_eq!((damaged.key_id, damaged.damaged[0].1), (id, entry));
        damaged.damaged[0].2.clone()
    };
    for place in 0..sealed.as_bytes().len() {
        let mut bytes = sealed.as_bytes().to_vec();
        bytes[place] ^= 1 << (place % 8);
        assert_eq!(put(bytes, sealed.entry()).await, SealError::Damaged, "byte {place}");
        assert_eq!(put(sealed.as_bytes()[..place].to_vec(), sealed.entry()).await, SealError::Damaged, "{place} bytes");
    }
    assert_eq!(put([sealed.as_bytes(), &[0]].concat(), sealed.entry()).await, SealError::Damaged);
    let error = instance.manager.sensitive(&operator(), id, None).await.unwrap_err().detail();
    assert!(error.contains("pin") && error.contains("account"), "{error}");
    let one = instance.manager.sensitive(&operator(), id, Some(&name("account"))).await.unwrap();
    assert_eq!(one.sensitive.field("account"), Some(&json!(CANARY)));
    let log = log.take();
    assert!(log.contains("ERROR") && log.contains("field=pin") && log.contains(&id.to_string()), "{log}");
    assert!(!log.contains(CANARY) && !log.contains("4711"));
    // As it was, it is what it was.
    tamper(&instance, id, |fields| {
        fields.insert(name("pin"), sealed);
    })
    .await;
    assert_eq!(opened(&instance, id).await, two());
}

/// It is no damage, and whoever asks is told nothing of the ring.
#[tokio::test]
async fn a_field_under_a_secret_that_is_not_configured_is_the_deployments_trouble() {
    let log = Log::begin();
    let instance = Instance::new();
    let id = instance.create(new_sensitive(&two())).await.key.id;
    let unknown = entry(9);
    tamper(&instance, id, |fields| {
        let bytes = fields[&name("pin")].as_bytes().to_vec();
        fields.insert(name("pin"), Sealed::from_parts(unknown, bytes));
    })
    .await;
    let refused = instance.manager.sensitive(&operator(), id, None).await.unwrap_err();
    assert!(matches!(&refused, ManageError::Sealed(SealError::UnknownEntry(named)) if *named == unknown), "{refused}");
    assert_eq!((refused.reason(), refused.is_trouble()), ("store_unavailable", true));
    assert!(!refused.detail().contains(&unknown.to_string()));
    let log = log.take();
    assert!(log.contains("ERROR") && log.contains("field=pin") && log.contains(&unknown.to_string()), "{log}");
    let one = instance.manager.sensitive(&operator(), id, Some(&name("account"))).await.unwrap();
    assert_eq!(one.sensitive.field("account"), Some(&json!(CANARY)));
}

#[tokio::test]
async fn a_value_is_of_its_field_its_key_and_its_organization_alone() {
    let instance = Instance::new();
    let first = instance.create(new_sensitive(&two())).await.key.id;
    let of = |organization| new_key_with(|new| (new.organization, new.sensitive) = (org(organization), fields(two())));
    let (second, foreign) = (instance.create(of("acme")).await.key.id, instance.create(of("globex")).await.key.id);
    let own = instance.record(first).await.sensitive;
    // Two fields of one key.
    tamper(&instance, first, |fields| {
        fields.insert(name("pin"), own[&name("account")].clone());
        fields.insert(name("account"), own[&name("pin")].clone());
    })
    .await;
    let damaged = damage(&instance, first).await;
    assert_eq!((names(&damaged), damaged.readable.len()), (vec!["account", "pin"], 0));
    // One more field of the same.
    tamper(&instance, first, |fields| {
        fields.clone_from(&own);
        fields.insert(name("pin2"), own[&name("pin")].clone());
    })
    .await;
    assert_eq!(names(&damage(&instance, first).await), ["pin2"]);
    // The same field of another key, and of another organization's.
    for other in [second, foreign] {
        let theirs = instance.record(other).await.sensitive;
        tamper(&instance, first, |fields| {
            fields.clone_from(&own);
            fields.insert(name("pin"), theirs[&name("pin")].clone());
        })
        .await;
        assert_eq!(names(&damage(&instance, first).await), ["pin"]);
        tamper(&instance, other, |fields| fields.clone_from(&own)).await;
        assert_eq!(names(&damage(&instance, other).await), ["account", "pin"]);
    }
    // What was moved to another organization with its key is not that organization's.
    let mut moved = instance.record(first).await;
    moved.key.organization = org("globex");
    moved.keep_sensitive(own.clone());
    let stolen = Instance::new();
    stolen.memory.create(&org("globex"), support::ROOMY, vec![moved]).await.unwrap();
    assert_eq!(names(&damage(&stolen, first).await), ["account", "pin"]);
}

#[tokio::test]
async fn an_update_replaces_all_of_them_and_tells_nobody_whether_they_are_the_same() {
    let instance = Instance::new();
    let before = instance.create(new_sensitive(&two())).await.key;
    let update = async |asked: Value| {
        let mut update = KeyUpdate::new();
        update.sensitive = Some(fields(asked));
        instance.manager.update(&operator(), before.id, &update, None).await.unwrap()
    };
    let same = update(two()).await;
    assert_eq!(same.revision, before.revision.next(), "the same is written like any other");
    let other = update(json!({"note": [1, null]})).await;
    assert_eq!((other.sensitive_fields.as_slice(), other.revision), (&[name("note")][..], same.revision.next()));
    assert_eq!(opened(&instance, before.id).await, json!({"note": [1, null]}));
    let none = update(json!({})).await;
    assert!(none.sensitive_fields.is_empty() && instance.record(before.id).await.sensitive.is_empty());
    assert_eq!(update(json!({})).await.revision, none.revision, "none is none");
    // What is damaged can be replaced, and whatever else is changed leaves it as it is.
    update(two()).await;
    let sealed = Sealed::from_parts(entry(1), vec![7; 60]);
    tamper(&instance, before.id, |fields| {
        fields.insert(name("pin"), sealed.clone());
    })
    .await;
    let mut renamed = KeyUpdate::new();
    renamed.name = Some(KeyName::new("renamed").unwrap());
    instance.manager.update(&operator(), before.id, &renamed, None).await.unwrap();
    assert_eq!(instance.record(before.id).await.sensitive[&name("pin")], sealed);
    update(two()).await;
    assert_eq!(opened(&instance, before.id).await, two());
}

#[tokio::test]
async fn a_successor_has_what_its_predecessor_had() {
    let instance = Instance::new();
    let old = instance.create(new_sensitive(&two())).await.key.id;
    let rotation = instance.manager.rotate(&operator(), old, None).await.unwrap();
    let new = rotation.new_key_id;
    assert_eq!((opened(&instance, old).await, opened(&instance, new).await), (two(), two()));
    assert_eq!(rotation.successor.sensitive_fields, [name("account"), name("pin")]);
    assert_ne!(instance.record(old).await.sensitive, instance.record(new).await.sensitive);
}

/// Nothing is lost in silence: the rotation is refused, by the name of the field, in a dry run too.
#[tokio::test]
async fn a_key_whose_fields_cannot_be_opened_is_not_rotated() {
    let instance = Instance::new();
    let id = instance.create(new_sensitive(&two())).await.key.id;
    let sealed = instance.record(id).await.sensitive[&name("pin")].clone();
    let cut = Sealed::from_parts(sealed.entry(), sealed.as_bytes()[1..].to_vec());
    let gone = Sealed::from_parts(entry(9), sealed.as_bytes().to_vec());
    for (put, reason) in [(cut, "sensitive_damaged"), (gone, "store_unavailable")] {
        tamper(&instance, id, |fields| {
            fields.insert(name("pin"), put);
        })
        .await;
        let before = instance.record(id).await;
        for overlap in [None, Some(TimeDelta::zero())] {
            let refusal = instance.manager.rotate(&operator(), id, overlap).await.unwrap_err();
            assert_eq!(refusal.reason(), reason);
            assert_eq!(refusal.detail().contains("pin"), reason == "sensitive_damaged", "{refusal}");
        }
        let rotate = BulkOperation::Rotate { overlap: None };
        for dry_run in [true, false] {
            let keys = BulkKeys::Named(vec![id]);
            let page = instance.manager.bulk_of(&operator(), &org("acme"), &rotate, &keys, dry_run).await.unwrap();
            assert_eq!(page.outcome.failed[0].reason, reason, "{dry_run}");
        }
        assert_eq!(instance.record(id).await, before);
    }
    // Without that field it is.
    tamper(&instance, id, |fields| drop(fields.remove(&name("pin")))).await;
    let new = instance.manager.rotate(&operator(), id, None).await.unwrap().new_key_id;
    assert_eq!(opened(&instance, new).await, json!({"account": CANARY}));
}

fn entries(record: &KeyRecord) -> Vec<EntryId> {
    record.sensitive.values().map(Sealed::entry).collect()
}

/// Opening it, showing it, changing it, using it and rotating it: whatever has the record at hand.
#[tokio::test]
async fn what_is_sealed_moves_to_the_current_ring_entry_when_its_record_is_at_hand() {
    for act in 0..5 {
        let old = Instance::under(ring(&[1]));
        let created = old.create(new_sensitive(&two())).await;
        let id = created.key.id;
        let new = old.beside(ring(&[2, 1]));
        match act {
            0 => assert_eq!(opened(&new, id).await, two()),
            1 => assert_eq!(new.manager.get(&operator(), id).await.unwrap(), new.record(id).await.key),
            2 => {
                let mut update = KeyUpdate::new();
                update.name = Some(KeyName::new("renamed").unwrap());
                new.manager.update(&operator(), id, &update, None).await.unwrap();
            }
            3 => assert!(new.validate(created.text.expose()).await.is_ok()),
            _ => {
                let successor = new.manager.rotate(&operator(), id, None).await.unwrap().new_key_id;
                assert_eq!(new.record(successor).await.ring_entries().into_iter().collect::<Vec<_>>(), [entry(2)]);
                continue;
            }
        }
        let record = new.record(id).await;
        assert_eq!((entries(&record), record.key.revision), (vec![entry(2); 2], created.key.revision.next()), "{act}");
        assert_eq!(opened(&new, id).await, two());
        // Once; and an instance that has it the other way round moves nothing back.
        let behind = old.beside(ring(&[1, 2]));
        assert_eq!((opened(&new, id).await, opened(&behind, id).await), (two(), two()));
        assert_eq!(new.record(id).await.key.revision, record.key.revision, "{act}");
    }
}

#[tokio::test]
async fn a_retired_secret_is_needed_until_no_usable_key_has_a_value_under_it() {
    // Without an audit: what is in one needs ring entries too, which tests/it/audit.rs is about.
    let quiet = |builder: ManagerBuilder| builder.audit(AuditPolicy::off());
    let old = Instance::built(ring(&[1]), quiet);
    let under_old = old.create(new_sensitive(&two())).await.key.id;
    let new = old.beside_built(ring(&[2, 1]), quiet);
    // Made under the new secret, with a value that is under the old one still.
    let id = new.create(new_sensitive(&two())).await.key.id;
    let plain = new.create(new_key()).await.key.id;
    let sealed = {
        let mut record = old.record(under_old).await;
        record.key.id = id;
        let under = Instance::under(ring(&[1]));
        under.memory.create(&org("acme"), support::ROOMY, vec![record]).await.unwrap();
        let mut update = KeyUpdate::new();
        update.sensitive = Some(fields(two()));
        under.manager.update(&operator(), id, &update, None).await.unwrap();
        under.record(id).await.sensitive
    };
    tamper(&new, id, |fields| *fields = sealed).await;
    // That of a revoked key is opened until it is erased, and moves no more.
    new.manager.revoke(&operator(), under_old, None).await.unwrap();
    let usage = async || {
        let usage = new.manager.ring_usage(&the_operator()).await.unwrap();
        (usage[&entry(1)], usage[&entry(2)])
    };
    assert_eq!(usage().await, (2, 2));
    let without = new.beside_built(ring(&[2]), quiet);
    assert_eq!(word(&without.manager.open().await.map_err(ManageError::from).unwrap_err()), "setup");
    assert_eq!((opened(&new, id).await, opened(&new, under_old).await), (two(), two()));
    assert_eq!(usage().await, (1, 2));
    let without = new.beside_built(ring(&[2]), quiet);
    assert_eq!(word(&without.manager.open().await.map_err(ManageError::from).unwrap_err()), "setup");
    new.manager.delete(&operator(), under_old, None).await.unwrap();
    assert_eq!(new.manager.ring_usage(&the_operator()).await.unwrap()[&entry(1)], 0);
    let without = new.beside_built(ring(&[2]), quiet);
    without.manager.open().await.unwrap();
    assert_eq!(opened(&without, id).await, two());
    assert!(without.manager.get(&operator(), plain).await.is_ok());
}

/// An instance that has not moved on with the others must not seal under what the ring has no more.
#[tokio::test]
async fn an_update_seals_under_a_secret_of_the_deployment_alone() {
    let instance = Instance::under(ring(&[1]));
    let id = instance.create(new_key()).await.key.id;
    let foreign = instance.beside(ring(&[9]));
    let mut update = KeyUpdate::new();
    update.sensitive = Some(fields(two()));
    let bulk = BulkOperation::Update(Box::new(update.clone()));
    let refused = foreign.manager.update(&operator(), id, &update, None).await.unwrap_err();
    assert_eq!(word(&refused), "setup");
    let page = foreign.manager.bulk_of(&operator(), &org("acme"), &bulk, &BulkKeys::Named(vec![id]), true).await;
    assert_eq!(page.unwrap().outcome.failed[0].reason, "store_unavailable");
    assert!(instance.record(id).await.sensitive.is_empty());
    instance.manager.update(&operator(), id, &update, None).await.unwrap();
    assert_eq!(opened(&instance, id).await, two());
}

/// A key that has ended is given no life again without the secret of its fields.
#[tokio::test]
async fn a_key_with_fields_that_nobody_can_open_is_not_made_usable_again() {
    let instance = Instance::new();
    let id = instance.create(new_sensitive(&two())).await.key.id;
    tamper(&instance, id, |fields| {
        fields.insert(name("pin"), Sealed::from_parts(entry(9), vec![7; 60]));
    })
    .await;
    let end = async |seconds| {
        let mut update = KeyUpdate::new();
        update.expiry = Some(Expiry::In(TimeDelta::seconds(seconds)));
        instance.manager.update(&operator(), id, &update, None).await
    };
    end(1).await.unwrap();
    instance.clock.advance(std::time::Duration::from_secs(2));
    let refused = end(60).await.unwrap_err();
    assert!(matches!(&refused, ManageError::Invalid(error) if error.field() == "expiry"), "{refused}");
    tamper(&instance, id, |fields| drop(fields.remove(&name("pin")))).await;
    end(60).await.unwrap();
}

#[tokio::test]
async fn a_repeated_request_is_known_again_by_its_values_under_any_ring_entry() {
    let old = Instance::under(ring(&[1]));
    let key = IdempotencyKey::new("first").unwrap();
    let create = async |instance: &Instance, asked: Value| {
        instance.manager.create_once(&operator(), new_sensitive(&asked), &key).await
    };
    let Ok(CreatedOnce::Now(created)) = create(&old, two()).await else { panic!("not made") };
    let new = old.beside(ring(&[2, 1]));
    for instance in [&old, &new] {
        let turned = json!({"pin": 4711, "account": CANARY});
        let Ok(CreatedOnce::Before(found)) = create(instance, turned).await else { panic!("not known again") };
        assert_eq!(found.id, created.key.id);
        for other in [json!({"account": CANARY, "pin": 4712}), json!({"account": CANARY}), json!({})] {
            let refused = create(instance, other).await.unwrap_err();
            assert_eq!(refused.reason(), "idempotency_key_reused");
        }
    }
    // Whoever does not have the secret that it was claimed under can tell nothing.
    let other = IdempotencyKey::new("second").unwrap();
    let made = new.manager.create_once(&operator(), new_sensitive(&two()), &other).await;
    assert!(matches!(made, Ok(CreatedOnce::Now(_))));
    let refused = old.manager.create_once(&operator(), new_sensitive(&two()), &other).await.unwrap_err();
    assert!(refused.is_trouble(), "{refused}");
    assert_eq!(opened(&new, created.key.id).await, two());
}

#[tokio::test]
async fn what_an_import_says_has_no_sensitive_fields() {
    let instance = Instance::built(ring(&[1]), |builder| {
        let pattern = keygate_core::import::ImportPattern::parse("legacy=sk_live_[A-Za-z0-9]{24}").unwrap();
        builder.imports(keygate_core::import::ImportPolicy::default().pattern(pattern).unwrap())
    });
    let line = json!({"raw": format!("sk_live_{:024}", 1), "user_id": "bob", "sensitive": {"account": CANARY}});
    let import = async |line: &Value| {
        instance.manager.import(&the_operator(), &org("acme"), line.to_string().as_bytes(), false).await.unwrap()
    };
    let refused = &import(&line).await[0];
    let detail = refused.detail.as_ref().unwrap();
    assert!(detail.contains("sensitive") && !detail.contains(CANARY), "{detail}");
    // They are given to the key afterwards.
    let plain = json!({"raw": format!("sk_live_{:024}", 1), "user_id": "bob"});
    let id = import(&plain).await[0].key_id.unwrap();
    let mut update = KeyUpdate::new();
    update.sensitive = Some(fields(two()));
    instance.manager.update(&operator(), id, &update, None).await.unwrap();
    assert_eq!(opened(&instance, id).await, two());
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,8}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..support::property() })]

    /// Whatever is taken comes back, through a rotation too.
    #[test]
    fn every_field_comes_back_as_it_was(
        asked in prop::collection::btree_map("[A-Za-z0-9._-]{1,20}", values(), 0..5)
    ) {
        let asked = Value::Object(asked.into_iter().collect());
        let Ok(sensitive) = Sensitive::new(asked.as_object().cloned().unwrap()) else { return Ok(()) };
        block_on(async {
            let instance = Instance::new();
            let id = instance.create(new_key_with(|new| new.sensitive = sensitive)).await.key.id;
            prop_assert_eq!(&opened(&instance, id).await, &asked);
            let new = instance.manager.rotate(&operator(), id, None).await.unwrap().new_key_id;
            prop_assert_eq!(&opened(&instance, new).await, &asked);
            Ok(())
        })?;
    }
}
