//! Stored verifiers: what a record keeps to know its key by.

use keygate_core::denial::DenialReason;
use keygate_core::limits::Limits;
use keygate_core::manager::ManageError;
use keygate_core::record::SecurityTier;
use keygate_core::store::Store;
use keygate_core::verifier::{MAX_PBKDF2_ITERATIONS, MIN_PBKDF2_ITERATIONS, Scheme, Verifier};

use crate::support::{Instance, new_key, new_key_with, operator, ring};

const SLOW: Scheme = Scheme::Pbkdf2Sha256 { iterations: MIN_PBKDF2_ITERATIONS };

#[tokio::test]
async fn keys_of_the_high_tier_are_kept_by_pbkdf2_and_validate() {
    let instance = Instance::new();
    let created = instance.create(new_key_with(|new| new.security_tier = Some(SecurityTier::High))).await;
    let record = instance.record(created.key.id).await;
    assert_eq!(record.verifier.scheme(), Some(Scheme::PBKDF2));
    assert!(instance.validate(created.text.expose()).await.is_ok());
    // In a process that did not make the key, too, and after its record was read again.
    let beside = instance.beside(ring(&[1]));
    for _ in 0..2 {
        assert!(beside.validate(created.text.expose()).await.is_ok());
    }
}

#[tokio::test]
async fn the_scheme_is_the_tiers_unless_the_key_has_its_own() {
    let instance = Instance::new();
    for (tier, scheme, expected) in [
        (SecurityTier::Standard, None, Scheme::HmacSha256),
        (SecurityTier::Standard, Some(SLOW), SLOW),
        (SecurityTier::High, Some(SLOW), SLOW),
        (SecurityTier::High, Some(Scheme::HmacSha256), Scheme::HmacSha256),
    ] {
        let created = instance.create(new_key_with(|new| (new.security_tier, new.scheme) = (Some(tier), scheme))).await;
        let record = instance.record(created.key.id).await;
        assert_eq!(record.verifier.scheme(), Some(expected));
        assert_eq!((record.key.security_tier, record.key.limits), (tier, Limits::STANDARD));
    }
}

#[tokio::test]
async fn an_iteration_count_out_of_range_is_refused_when_the_key_is_made() {
    let instance = Instance::new();
    for iterations in [0, MIN_PBKDF2_ITERATIONS - 1, MAX_PBKDF2_ITERATIONS + 1, u32::MAX] {
        let new = new_key_with(|new| new.scheme = Some(Scheme::Pbkdf2Sha256 { iterations }));
        let refusal = instance.manager.create(&operator(), new).await.unwrap_err();
        assert!(matches!(refusal, ManageError::Invalid(_)), "{refusal}");
    }
    assert_eq!(instance.store.calls().create, 0);
}

#[tokio::test]
async fn salts_are_unique() {
    let instance = Instance::new();
    let mut salts = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let created = instance.create(new_key_with(|new| new.scheme = Some(SLOW))).await;
        match instance.record(created.key.id).await.verifier {
            Verifier::Pbkdf2Sha256 { salt, .. } => assert!(salts.insert(salt)),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_tag_alone_is_never_enough() {
    let instance = Instance::new();
    for scheme in [Scheme::HmacSha256, SLOW] {
        let (a, b) = (new_key_with(|new| new.scheme = Some(scheme)), new_key_with(|new| new.scheme = Some(scheme)));
        let (a, b) = (instance.create(a).await, instance.create(b).await);
        // The genuine text of `a`, whose record holds what verifies `b`.
        let mut record = instance.record(a.key.id).await;
        record.verifier = instance.record(b.key.id).await.verifier;
        let revision = record.key.revision;
        record.key.revision = revision.next();
        instance.memory.replace(&record, revision).await.unwrap();
        assert_eq!(instance.refusal(a.text.expose()).await, DenialReason::InvalidKey);
        assert!(instance.validate(b.text.expose()).await.is_ok());
    }
}

#[tokio::test]
async fn a_slow_key_moves_to_the_current_secret_with_its_scheme() {
    let old = Instance::new();
    let created = old.create(new_key_with(|new| new.scheme = Some(SLOW))).await;
    let before = old.record(created.key.id).await;
    let new = old.beside(ring(&[2, 1]));
    for _ in 0..2 {
        assert!(new.validate(created.text.expose()).await.is_ok());
    }
    let after = new.record(created.key.id).await;
    assert_eq!(after.digested_under, ring(&[2]).current_id());
    assert_eq!(after.verifier.scheme(), Some(SLOW));
    assert_ne!(after.verifier, before.verifier);
}

#[tokio::test]
async fn the_stored_verifier_is_no_part_of_the_text_and_differs_between_keys() {
    let instance = Instance::new();
    let (a, b) = (instance.create(new_key()).await, instance.create(new_key()).await);
    let (a, b) = (instance.record(a.key.id).await, instance.record(b.key.id).await);
    assert_ne!(a.verifier, b.verifier);
}
