//! The secret ring: retired secrets still check what they minted, and none is dropped while a usable key needs it.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use keygate_core::actor::Operator;
use keygate_core::audit::AuditPolicy;
use keygate_core::context::RequestContext;
use keygate_core::denial::DenialReason;
use keygate_core::manager::{Expiry, KeyUpdate, SetupError, prepare_deployment};
use keygate_core::names::{Description, PrincipalId};
use keygate_core::ring::{EntryId, MasterSecret, RingError, SecretError, SecretRing};
use keygate_core::store::Store;
use keygate_testkit::{FaultyStore, StoreCalls};
use secrecy::{ExposeSecret, SecretString};

use crate::support::yielding_store::YieldingStore;
use crate::support::{Instance, manager_over, new_key, new_key_with, operator, ring, secret, unlimited_key};

/// An instance whose audit is off: its seals need their ring entries too, which tests/it/audit.rs is about.
fn under(ring: SecretRing) -> Instance {
    Instance::built(ring, |builder| builder.audit(AuditPolicy::off()))
}

/// Another of the same deployment.
fn beside(instance: &Instance, ring: SecretRing) -> Instance {
    instance.beside_built(ring, |builder| builder.audit(AuditPolicy::off()))
}

fn entry(seed: u8) -> EntryId {
    ring(&[seed]).current_id()
}

#[tokio::test]
async fn a_key_minted_under_a_retired_secret_works_and_moves_to_the_current_one_at_first_use() {
    let old = under(ring(&[1]));
    let created = old.create(new_key()).await;
    let before = old.record(created.key.id).await;
    assert_eq!((before.minted_under, before.digested_under), (entry(1), entry(1)));

    let new = beside(&old, ring(&[2, 1]));
    assert!(new.validate(created.text.expose()).await.is_ok());
    let after = new.record(created.key.id).await;
    assert_eq!((after.minted_under, after.digested_under), (entry(1), entry(2)));
    assert_ne!(after.verifier, before.verifier);
    assert_eq!(after.key.revision, before.key.revision.next());

    // Moved once: the second use writes nothing.
    new.store.reset_calls();
    assert!(new.validate(created.text.expose()).await.is_ok());
    assert_eq!(new.store.calls().replace, 0);
    assert_eq!(new.record(created.key.id).await, after);
}

#[tokio::test]
async fn a_key_that_cannot_be_moved_now_works_and_is_moved_later() {
    // The store fails once the key is found: before the marker is looked at, and before the record is written.
    let stages: [fn(&StoreCalls) -> bool; 2] = [|calls| calls.load_parents == 1, |calls| calls.deployment == 1];
    for failing_after in stages {
        let old = under(ring(&[1]));
        let created = old.create(unlimited_key()).await;
        let store = FaultyStore::new(YieldingStore(old.memory.clone()));
        let manager = manager_over(Arc::new(store.clone()), ring(&[2, 1]), &old.clock);
        manager.open().await.unwrap();
        store.reset_calls();
        let context = RequestContext::new();
        let (admitted, ()) = tokio::join!(manager.validate(created.text.expose(), &context), async {
            store.wait_for_calls(failing_after).await;
            store.fail();
        });
        assert!(admitted.is_ok());
        assert_eq!(old.record(created.key.id).await.digested_under, entry(1));
        store.heal();
        // Not at once: a store that takes no writes would be asked for one by every request.
        store.reset_calls();
        assert!(manager.validate(created.text.expose(), &context).await.is_ok());
        assert_eq!(store.calls().replace, 0);
        old.clock.advance(Duration::from_secs(60));
        assert!(manager.validate(created.text.expose(), &context).await.is_ok());
        assert_eq!(old.record(created.key.id).await.digested_under, entry(2));
    }
}

/// While a secret is being replaced some instances still have the older one as their current one. Records move forward
/// and never back, or each request would write.
#[tokio::test]
async fn instances_whose_rings_are_turned_around_do_not_move_a_key_to_and_fro() {
    let fleet = under(ring(&[1]));
    let created = fleet.create(new_key_with(|new| new.expiry = Expiry::Never)).await;
    let (behind, ahead) = (beside(&fleet, ring(&[1, 2])), beside(&fleet, ring(&[2, 1])));
    behind.manager.open().await.unwrap();
    for _ in 0..10 {
        for instance in [&behind, &ahead] {
            assert!(instance.validate(created.text.expose()).await.is_ok());
        }
        fleet.clock.advance(Duration::from_secs(3600));
    }
    let record = fleet.record(created.key.id).await;
    assert_eq!(record.digested_under, entry(2));
    assert_eq!(record.key.revision, created.key.revision.next());
}

/// An entry may be dropped once no usable key names it; giving such a key a later end would make a key that nobody can
/// check.
#[tokio::test]
async fn an_expired_key_whose_secret_is_gone_cannot_be_given_a_later_end() {
    let old = under(ring(&[1]));
    let created = old.create(new_key()).await;
    old.clock.advance(Duration::from_secs(91 * 24 * 3600));
    let both = beside(&old, ring(&[2, 1]));
    both.manager.open().await.unwrap();
    let new = beside(&old, ring(&[2]));
    new.manager.open().await.unwrap();
    let mut later = KeyUpdate::new();
    later.expiry = Some(Expiry::Never);
    let error = new.manager.update(&operator(), created.key.id, &later, None).await.unwrap_err();
    assert!(error.to_string().contains("secret"), "{error}");
    assert_eq!(new.record(created.key.id).await.key, created.key);
}

/// An instance that does not know a new secret yet cannot check what has moved to it. So the new secret first goes
/// among the retired ones, everywhere; then it becomes the current one; in the end the old one is dropped.
#[tokio::test]
async fn a_fleet_takes_up_a_new_secret_without_trouble_when_it_knows_it_first() {
    let fleet = under(ring(&[1]));
    let created = fleet.create(new_key()).await;
    for (ours, theirs) in [(&[1u8][..], &[1u8, 2][..]), (&[1, 2], &[2, 1])] {
        let (ours, theirs) = (beside(&fleet, ring(ours)), beside(&fleet, ring(theirs)));
        for _ in 0..2 {
            assert!(theirs.validate(created.text.expose()).await.is_ok());
            assert!(ours.validate(created.text.expose()).await.is_ok());
        }
    }
    let hasty = beside(&fleet, ring(&[3, 2, 1]));
    assert!(hasty.validate(created.text.expose()).await.is_ok());
    let behind = beside(&fleet, ring(&[2, 1]));
    assert_eq!(behind.refusal(created.text.expose()).await, DenialReason::StoreUnavailable);
}

#[tokio::test]
async fn new_keys_are_minted_under_the_current_secret() {
    let instance = under(ring(&[2, 1]));
    let created = instance.create(new_key()).await;
    let record = instance.record(created.key.id).await;
    assert_eq!((record.minted_under, record.digested_under), (entry(2), entry(2)));
}

#[tokio::test]
async fn dropping_a_secret_that_a_usable_key_needs_is_refused_until_the_key_is_not_usable() {
    for end in ["revoked", "expired", "deleted"] {
        let old = under(ring(&[1]));
        let text = old.create(new_key()).await;
        let between = beside(&old, ring(&[2, 1]));
        between.manager.open().await.unwrap();

        let dropped = beside(&old, ring(&[2]));
        let refusal = dropped.manager.open().await.unwrap_err();
        assert!(matches!(refusal, SetupError::StillNamed { entry: named, keys: 1 } if named == entry(1)), "{refusal}");
        // Every check is trouble until the operator has mended it, and none is a wrong key.
        assert_eq!(dropped.refusal(text.text.expose()).await, DenialReason::StoreUnavailable);

        match end {
            "expired" => old.clock.advance(std::time::Duration::from_secs(91 * 86_400)),
            _ => drop(old.manager.revoke(&operator(), text.key.id, None).await.unwrap()),
        }
        if end == "deleted" {
            old.manager.delete(&operator(), text.key.id, None).await.unwrap();
        }
        let dropped = beside(&old, ring(&[2]));
        dropped.manager.open().await.unwrap();
        assert_eq!(old.memory.deployment().await.unwrap().unwrap().ring_entries, [entry(2)]);
        assert_eq!(dropped.refusal(text.text.expose()).await, DenialReason::InvalidKey);
    }
}

#[tokio::test]
async fn a_key_that_has_moved_still_needs_the_secret_it_was_minted_under() {
    let old = under(ring(&[1]));
    let created = old.create(new_key()).await;
    let between = beside(&old, ring(&[2, 1]));
    assert!(between.validate(created.text.expose()).await.is_ok());
    assert_eq!(between.record(created.key.id).await.digested_under, entry(2));
    assert!(matches!(beside(&old, ring(&[2])).manager.open().await, Err(SetupError::StillNamed { .. })));
}

#[tokio::test]
async fn the_operator_can_ask_what_still_names_each_secret() {
    let old = under(ring(&[1]));
    let first = old.create(new_key()).await;
    old.create(new_key()).await;
    let new = beside(&old, ring(&[2, 1]));
    new.create(new_key()).await;
    let asked = Operator::named(PrincipalId::new("operator").unwrap());
    let usage = new.manager.ring_usage(&asked).await.unwrap();
    assert_eq!(usage.into_iter().collect::<Vec<_>>(), sorted([(entry(1), 2), (entry(2), 1)]));
    new.manager.revoke(&operator(), first.key.id, None).await.unwrap();
    let usage = new.manager.ring_usage(&asked).await.unwrap();
    assert_eq!(usage[&entry(1)], 1);
}

fn sorted(mut pairs: [(EntryId, u64); 2]) -> Vec<(EntryId, u64)> {
    pairs.sort_unstable();
    pairs.to_vec()
}

#[tokio::test]
async fn a_wrong_secret_is_trouble_and_never_an_invalid_key() {
    let right = under(ring(&[1]));
    let created = right.create(new_key()).await;
    let wrong = beside(&right, ring(&[9]));
    let refusal = wrong.manager.open().await.unwrap_err();
    assert!(matches!(refusal, SetupError::WrongSecret { .. }));
    for named in [entry(1), entry(9)] {
        assert!(refusal.to_string().contains(&named.to_string()), "{refusal}");
    }
    for _ in 0..3 {
        assert_eq!(wrong.refusal(created.text.expose()).await, DenialReason::StoreUnavailable);
    }
    assert!(wrong.manager.create(&operator(), new_key()).await.is_err());
    assert!(right.validate(created.text.expose()).await.is_ok());
    assert_eq!(right.memory.deployment().await.unwrap().unwrap().ring_entries, [entry(1)]);
}

#[tokio::test]
async fn of_two_secrets_that_set_an_empty_store_up_at_once_one_wins_and_the_other_is_told() {
    let a = under(ring(&[1]));
    let b = beside(&a, ring(&[2]));
    let (first, second) = tokio::join!(a.manager.open(), b.manager.open());
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    assert_eq!(a.memory.deployment().await.unwrap().unwrap().ring_entries.len(), 1);
}

/// Two instances roll from ring 1 to ring 2 and one is rolled back: it takes the new entry out of the marker, since
/// no key names it yet. The other goes on, and its keys must not be lost to a later check of the marker.
#[tokio::test]
async fn a_key_is_never_made_under_a_secret_that_the_marker_does_not_name() {
    let new = under(ring(&[2, 1]));
    new.manager.open().await.unwrap();
    let rolled_back = beside(&new, ring(&[1]));
    rolled_back.manager.open().await.unwrap();
    assert_eq!(new.memory.deployment().await.unwrap().unwrap().ring_entries, [entry(1)]);

    let created = new.create(new_key()).await;
    let marker = new.memory.deployment().await.unwrap().unwrap();
    assert!(marker.ring_entries.contains(&entry(2)), "{marker:?}");
    // So that whoever starts without that secret is told.
    let refusal = beside(&new, ring(&[1])).manager.open().await.unwrap_err();
    assert!(matches!(refusal, SetupError::StillNamed { entry: named, .. } if named == entry(2)), "{refusal}");
    assert!(new.validate(created.text.expose()).await.is_ok());
}

#[tokio::test]
async fn a_key_is_never_moved_to_a_secret_that_the_marker_does_not_name() {
    let old = under(ring(&[1]));
    let created = old.create(new_key()).await;
    let new = beside(&old, ring(&[2, 1]));
    new.manager.open().await.unwrap();
    beside(&old, ring(&[1])).manager.open().await.unwrap();
    assert!(new.validate(created.text.expose()).await.is_ok());
    assert_eq!(new.record(created.key.id).await.digested_under, entry(2));
    assert!(old.memory.deployment().await.unwrap().unwrap().ring_entries.contains(&entry(2)));
}

#[tokio::test]
async fn the_same_passphrase_gives_the_same_ring_in_the_same_deployment_and_another_in_another() {
    let instance = Instance::new();
    let passphrase = SecretString::from("correct horse battery staple");
    let salt = prepare_deployment(&instance.memory, instance.clock.now()).await.unwrap().salt;
    assert_eq!(prepare_deployment(&instance.memory, instance.clock.now()).await.unwrap().salt, salt);
    let stretched = |salt: [u8; 16]| SecretRing::new(&MasterSecret::from_passphrase(&passphrase, &salt).unwrap());
    let (ours, again) = (stretched(salt), stretched(salt));
    assert_eq!(ours.current_id(), again.current_id());
    let created = beside(&instance, ours).create(new_key()).await;
    assert!(beside(&instance, again).validate(created.text.expose()).await.is_ok());

    let elsewhere = prepare_deployment(&Instance::new().memory, instance.clock.now()).await.unwrap().salt;
    assert_ne!(
        stretched(elsewhere).current_id(),
        beside(&instance, stretched(salt)).memory.deployment().await.unwrap().unwrap().ring_entries[0]
    );
}

#[test]
fn a_secret_stands_in_a_ring_once_and_few_are_retired() {
    let repeated = SecretRing::with_retired(&secret(1), &[secret(2), secret(1)]).unwrap_err();
    assert_eq!(repeated, RingError::Repeated(entry(1)));
    assert!(SecretRing::with_retired(&secret(1), &[secret(2), secret(2)]).is_err());
    let many: Vec<_> = (2..10).map(secret).collect();
    assert!(SecretRing::with_retired(&secret(1), &many[..7]).is_ok());
    assert_eq!(SecretRing::with_retired(&secret(1), &many).unwrap_err(), RingError::TooMany(8));
}

#[test]
fn a_master_secret_is_32_random_bytes_and_nothing_else() {
    let generated = MasterSecret::generate().unwrap();
    let text = generated.to_base64();
    let again = MasterSecret::from_base64(&SecretString::from(format!("\n {}\r\n", text.expose_secret()))).unwrap();
    assert_eq!(SecretRing::new(&again).current_id(), SecretRing::new(&generated).current_id());
    assert_ne!(
        SecretRing::new(&MasterSecret::generate().unwrap()).current_id(),
        SecretRing::new(&generated).current_id()
    );

    assert!(matches!(MasterSecret::from_bytes([0; 32]), Err(SecretError::Trivial)));
    for bad in ["", "c2hvcnQ=", "not base64 at all!", &"A".repeat(44), &text.expose_secret()[..43]] {
        assert!(MasterSecret::from_base64(&SecretString::from(bad)).is_err(), "{bad:?}");
    }
    assert!(matches!(
        MasterSecret::from_passphrase(&SecretString::from("14 characters!"), &[0; 16]),
        Err(SecretError::ShortPassphrase)
    ));
    let failed = MasterSecret::from_source(|| Err::<[u8; 32], _>("the key service is away")).unwrap_err();
    assert!(failed.to_string().contains("the key service is away"));
    assert!(MasterSecret::from_source(|| Ok::<_, std::io::Error>([1, 2].repeat(16).try_into().unwrap())).is_ok());
}

#[test]
fn a_secret_file_holds_a_secret_and_nothing_after_it() {
    let directory = std::env::temp_dir().join(format!("keygate-secret-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir(&directory).unwrap();
    let path = directory.join("master");
    let text = secret(5).to_base64();
    let write = |content: &str| std::fs::File::create(&path).unwrap().write_all(content.as_bytes()).unwrap();

    write(&format!("{}\n", text.expose_secret()));
    assert_eq!(SecretRing::new(&MasterSecret::from_file(&path).unwrap()).current_id(), entry(5));
    // What stands behind a page of white space is read, or the file is refused: it is not cut off.
    write(&format!("{}{}rest", text.expose_secret(), " ".repeat(5_000)));
    assert!(MasterSecret::from_file(&path).is_err());
    std::fs::remove_dir_all(&directory).unwrap();
    let missing = MasterSecret::from_file(&path).unwrap_err().to_string();
    assert!(missing.contains("master") && missing.contains("cannot be read"), "{missing}");
}

#[test]
fn the_name_of_an_entry_has_one_spelling() {
    let name = EntryId::from_bytes([0xde, 0xad, 0xbe, 0xef]);
    assert_eq!(name.to_string(), "deadbeef");
    assert_eq!("deadbeef".parse(), Ok(name));
    for other in ["DEADBEEF", "deadBeef", "0xdeadbe", "+eadbeef", "deadbeef ", "deadbee", ""] {
        assert!(other.parse::<EntryId>().is_err(), "{other:?}");
    }
}

#[tokio::test]
async fn an_update_between_reading_a_record_and_moving_it_is_not_lost() {
    let old = under(ring(&[1]));
    let created = old.create(new_key_with(|new| new.expiry = Expiry::Never)).await;
    let new = beside(&old, ring(&[2, 1]));
    new.manager.open().await.unwrap();
    for nth in 0..20 {
        let mut update = KeyUpdate::new();
        update.description = Some(Description::new(format!("number {nth}")).unwrap());
        let (operator, validated) = (operator(), new.validate(created.text.expose()));
        let (updated, validated) =
            tokio::join!(old.manager.update(&operator, created.key.id, &update, None), validated);
        assert!(updated.is_ok() && validated.is_ok());
        assert_eq!(
            new.manager.get(&operator, created.key.id).await.unwrap().description.as_str(),
            format!("number {nth}")
        );
    }
}
