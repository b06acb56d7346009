//! Whatever step a change dies at, the next creator finds lists, quotas and records that agree.

use std::time::Duration;

use keygate_core::key::KeyId;
use keygate_core::names::{OrganizationId, UserId};
use keygate_core::record::{KeyRecord, KeyStatus, Quota};
use keygate_core::store::{CreateRefusal, Store, StoreError, WriteRefusal};
use keygate_redis::RedisStore;
use keygate_testkit::{FaultProxy, sample};

use crate::support::{assert_whole, namespace, reaped, server, store_at};

const AMPLE: Quota = Quota { per_organization: 1000, per_user: 1000 };
const TWO: Quota = Quota { per_organization: 1000, per_user: 2 };
const RESERVATION: Duration = Duration::from_millis(750);

/// Two instances of one deployment, one of them behind a proxy that breaks, and a key that both know.
struct Scene {
    proxy: FaultProxy,
    broken: RedisStore,
    sound: RedisStore,
    organization: OrganizationId,
    user: UserId,
    key: KeyRecord,
}

async fn scene() -> Scene {
    let server = server().await;
    let namespace = namespace();
    let proxy = FaultProxy::start(server.address()).unwrap();
    let broken = store_at(&proxy.url(), namespace.clone()).with_reservation(RESERVATION);
    let sound = store_at(&server.url(), namespace).with_reservation(RESERVATION);
    let (organization, user) = (sample::organization(), sample::user("bob"));
    let mut key = sample::record(&organization, &user);
    key.key.project = Some(sample::project("web"));
    // Once through every step, so that the scripts are loaded and each step is one request.
    let first = sample::expiring(&key, None);
    broken.create(&organization, AMPLE, vec![key.clone()]).await.unwrap();
    broken.replace(&first, key.key.revision).await.unwrap();
    let second = sample::expiring(&first, Some(sample::far_future()));
    broken.replace(&second, first.key.revision).await.unwrap();
    let mut spare = sample::record(&organization, &user);
    spare.key.project = Some(sample::project("web"));
    broken.create(&organization, AMPLE, vec![spare.clone()]).await.unwrap();
    broken.set_status(&organization, spare.key.id, &sample::status(KeyStatus::Revoked)).await.unwrap();
    broken.delete(&organization, spare.key.id, spare.key.revision.next()).await.unwrap();
    Scene { proxy, broken, sound, organization, user, key: second }
}

impl Scene {
    /// After the deadline the next creation, by somebody else, puts everything right.
    async fn assert_put_right(&self, ids: &[KeyId]) -> Vec<KeyRecord> {
        tokio::time::sleep(RESERVATION + Duration::from_millis(20)).await;
        let next = sample::record(&self.organization, &sample::user("next"));
        let outcomes = self.sound.create(&self.organization, AMPLE, vec![next]).await.unwrap();
        assert_eq!(outcomes, [Ok(())]);
        assert_whole(server().await, &self.sound, &self.organization, ids).await
    }
}

#[tokio::test]
async fn a_creation_cut_after_any_step_leaves_nothing_half_done() {
    for step in 1..=3 {
        let scene = scene().await;
        let mut record = sample::record(&scene.organization, &scene.user);
        record.key.project = Some(sample::project("web"));
        scene.proxy.cut_after_requests(step);
        let answer = scene.broken.create(&scene.organization, AMPLE, vec![record.clone()]).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "step {step}: {answer:?}");
        let records = scene.assert_put_right(&[record.key.id]).await;
        // Reserved only, it never was; once written, it is.
        assert_eq!(records.contains(&record), step > 1, "step {step}");
    }
}

#[tokio::test]
async fn a_batch_cut_at_any_step_leaves_nothing_half_done() {
    for step in [1, 2, 30, 60, 61] {
        let scene = scene().await;
        let records: Vec<_> = (0..60).map(|_| sample::record(&scene.organization, &scene.user)).collect();
        scene.proxy.cut_after_requests(step);
        let answer = scene.broken.create(&scene.organization, AMPLE, records.clone()).await;
        assert!(answer.is_err(), "step {step}");
        let ids: Vec<KeyId> = records.iter().map(|record| record.key.id).collect();
        reaped(server().await, &scene.sound, &scene.organization).await;
        scene.assert_put_right(&ids).await;
    }
}

#[tokio::test]
async fn a_revocation_cut_at_any_step_is_counted_as_what_it_became() {
    for step in 1..=4 {
        let scene = scene().await;
        let id = scene.key.key.id;
        scene.proxy.cut_after_requests(step);
        let answer = scene.broken.set_status(&scene.organization, id, &sample::status(KeyStatus::Revoked)).await;
        let records = scene.assert_put_right(&[id]).await;
        let held = records.iter().find(|record| record.key.id == id).unwrap();
        let revoked = held.key.status.status == KeyStatus::Revoked;
        // Its own slot was in order at 2 and at 4, so it was done although the organization's slot did not answer.
        assert_eq!((answer.is_ok(), revoked), (step == 2 || step == 4, step > 1), "step {step}: {answer:?}");
    }
}

#[tokio::test]
async fn a_change_of_the_end_cut_at_any_step_is_counted_as_what_it_became() {
    for step in 1..=4 {
        let scene = scene().await;
        let next = sample::expiring(&scene.key, Some(sample::past()));
        scene.proxy.cut_after_requests(step);
        let answer = scene.broken.replace(&next, scene.key.key.revision).await;
        assert!(answer.is_err(), "step {step}: {answer:?}");
        let records = scene.assert_put_right(&[scene.key.key.id]).await;
        assert_eq!(records.contains(&next), step > 2, "step {step}");
    }
}

#[tokio::test]
async fn a_deletion_cut_at_any_step_is_whole() {
    for step in 1..=4 {
        let scene = scene().await;
        scene.proxy.cut_after_requests(step);
        let answer = scene.broken.delete(&scene.organization, scene.key.key.id, scene.key.key.revision).await;
        assert!(answer.is_err(), "step {step}: {answer:?}");
        let records = scene.assert_put_right(&[scene.key.key.id]).await;
        assert_eq!(records.contains(&scene.key), step < 3, "step {step}");
    }
}

#[tokio::test]
async fn a_dead_reservation_does_not_cost_its_user_a_place() {
    let scene = scene().await;
    scene.proxy.cut_after_requests(1);
    let lost = sample::record(&scene.organization, &scene.user);
    scene.broken.create(&scene.organization, TWO, vec![lost]).await.unwrap_err();
    let next = sample::record(&scene.organization, &scene.user);
    let create = || scene.sound.create(&scene.organization, TWO, vec![next.clone()]);
    assert_eq!(create().await.unwrap(), [Err(CreateRefusal::UserQuota { limit: 2 })], "it may be written still");
    tokio::time::sleep(RESERVATION).await;
    assert_eq!(create().await.unwrap(), [Ok(())]);
    assert_whole(server().await, &scene.sound, &scene.organization, &[]).await;
}

#[tokio::test]
async fn the_same_creation_tried_again_after_a_lost_answer_succeeds_once() {
    for step in 1..=2 {
        let scene = scene().await;
        let mut record = sample::record(&scene.organization, &scene.user);
        record.key.project = Some(sample::project("web"));
        scene.proxy.cut_after_requests(step);
        scene.broken.create(&scene.organization, TWO, vec![record.clone()]).await.unwrap_err();
        let again = scene.broken.create(&scene.organization, TWO, vec![record.clone()]).await.unwrap();
        assert_eq!(again, [Ok(())], "step {step}");
        let third = scene.sound.create(&scene.organization, TWO, vec![record.clone()]).await.unwrap();
        assert!(third[0].is_ok() || third == [Err(CreateRefusal::Exists)], "step {step}: {third:?}");
        assert!(scene.assert_put_right(&[record.key.id]).await.contains(&record));
    }
}

#[tokio::test]
async fn a_creator_slower_than_its_reservation_creates_nothing() {
    let scene = scene().await;
    let record = sample::record(&scene.organization, &scene.user);
    scene.proxy.delay(2 * RESERVATION);
    let answer = scene.broken.create(&scene.organization, AMPLE, vec![record.clone()]).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    scene.proxy.pass();
    let records = scene.assert_put_right(&[record.key.id]).await;
    assert!(!records.contains(&record));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_calls_leave_nothing_half_done() {
    let scene = scene().await;
    let mut ids = Vec::new();
    let mut key = scene.key.clone();
    for round in 0_u64..60 {
        let records: Vec<_> = (0..20).map(|_| sample::record(&scene.organization, &scene.user)).collect();
        ids.extend(records.iter().map(|record| record.key.id));
        let patience = Duration::from_micros(97 * round);
        let first = records[0].key.id;
        let _ = tokio::time::timeout(patience, scene.sound.create(&scene.organization, AMPLE, records)).await;
        let revoked = sample::status(KeyStatus::Revoked);
        let _ = tokio::time::timeout(patience / 2, scene.sound.set_status(&scene.organization, first, &revoked)).await;
        let next = sample::expiring(&key, (round % 2 == 0).then(sample::far_future));
        let _ = tokio::time::timeout(patience / 2, scene.sound.replace(&next, key.key.revision)).await;
        key = scene.sound.record(key.key.id).await.unwrap().unwrap();
    }
    reaped(server().await, &scene.sound, &scene.organization).await;
    scene.assert_put_right(&ids).await;
}

/// A key and its successor: both are there as they were to be, or the key is as it was and the other is not there.
#[tokio::test]
async fn a_rotation_cut_after_any_step_is_done_or_is_not() {
    let mut done = 0;
    for step in 1..=5 {
        let scene = scene().await;
        // Once through, as in the scene.
        let spare = sample::record(&scene.organization, &scene.user);
        scene.broken.create(&scene.organization, AMPLE, vec![spare.clone()]).await.unwrap();
        let (old, new) = sample::succession(&spare);
        scene.broken.succeed(&old, spare.key.revision, &new).await.unwrap();

        let (old, new) = sample::succession(&scene.key);
        scene.proxy.cut_after_requests(step);
        let answer = scene.broken.succeed(&old, scene.key.key.revision, &new).await;
        assert!(matches!(answer, Err(WriteRefusal::Store(_))), "step {step}: {answer:?}");
        let records = scene.assert_put_right(&[old.key.id, new.key.id]).await;
        let held = |id: KeyId| records.iter().find(|record| record.key.id == id);
        match held(new.key.id) {
            Some(successor) => {
                assert_eq!((held(old.key.id), successor), (Some(&old), &new), "step {step}");
                done += 1;
            }
            None => assert_eq!(held(old.key.id), Some(&scene.key), "step {step}"),
        }
        // Either way the key that is good can be rotated.
        let current = held(new.key.id).unwrap_or(&scene.key);
        let (old, new) = sample::succession(current);
        scene.sound.succeed(&old, current.key.revision, &new).await.unwrap();
        assert_whole(server().await, &scene.sound, &scene.organization, &[old.key.id, new.key.id]).await;
    }
    assert_eq!(done, 2, "the write, and what comes after it");
}

/// Whoever is slower than the reservation holds writes nothing.
#[tokio::test]
async fn a_rotation_that_is_late_is_not_done() {
    let (server, namespace) = (server().await, namespace());
    let sound = store_at(&server.url(), namespace.clone());
    let late = store_at(&server.url(), namespace).with_reservation(Duration::ZERO);
    let (organization, user) = (sample::organization(), sample::user("bob"));
    let key = sample::record(&organization, &user);
    sound.create(&organization, AMPLE, vec![key.clone()]).await.unwrap();
    let (old, new) = sample::succession(&key);
    let answer = late.succeed(&old, key.key.revision, &new).await;
    assert!(matches!(answer, Err(WriteRefusal::Store(_))), "{answer:?}");
    reaped(server, &sound, &organization).await;
    assert_eq!(assert_whole(server, &sound, &organization, &[old.key.id, new.key.id]).await, [key]);
}
