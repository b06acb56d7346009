//! Keys stop counting when their end comes, by the clock the store was given.

use std::time::Duration;

use keygate_core::names::{OrganizationId, UserId};
use keygate_core::record::{KeyRecord, KeyStatus, Quota};
use keygate_core::store::{MemoryStore, Store};
use keygate_embedded::EmbeddedStore;
use keygate_testkit::{HeldClock, sample};

const HOUR: Duration = Duration::from_secs(3600);
const FIVE: Quota = Quota { per_organization: 5, per_user: 5 };

struct Room {
    store: EmbeddedStore,
    clock: HeldClock,
    organization: OrganizationId,
    user: UserId,
    _directory: tempfile::TempDir,
}

impl Room {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = HeldClock::new();
        let store = EmbeddedStore::open_with_clock(directory.path().join("keys.redb"), clock.clone()).unwrap();
        let (organization, user) = (sample::organization(), sample::user("ann"));
        Self { store, clock, organization, user, _directory: directory }
    }

    /// A key that ends in so many hours.
    fn ending_in(&self, hours: u32) -> KeyRecord {
        let mut record = sample::record_of(&self.organization, &self.user, self.clock.now());
        record.key.expires_at = Some(self.clock.now() + HOUR * hours);
        record
    }

    async fn create(&self, record: &KeyRecord) -> bool {
        self.store.create(&self.organization, FIVE, vec![record.clone()]).await.unwrap()[0].is_ok()
    }

    async fn used(&self) -> (u64, u64) {
        let used = self.store.quota_use(&self.organization, &self.user).await.unwrap();
        (used.organization, used.user)
    }

    async fn assert_sound(&self) {
        assert_eq!(self.store.verify().await.unwrap().problems, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_key_counts_until_its_end_and_not_at_it() {
    let room = Room::new();
    for hours in 1..=5 {
        assert!(room.create(&room.ending_in(hours)).await);
    }
    assert!(!room.create(&room.ending_in(1)).await);
    room.clock.advance(HOUR - Duration::from_millis(1));
    assert_eq!(room.used().await, (5, 5));
    assert!(!room.create(&room.ending_in(1)).await);
    room.clock.advance(Duration::from_millis(1));
    assert_eq!(room.used().await, (4, 4));
    room.assert_sound().await;
    assert!(room.create(&room.ending_in(9)).await);
    assert_eq!(room.used().await, (5, 5));
    room.assert_sound().await;
}

#[tokio::test]
async fn what_becomes_of_a_key_after_its_end_is_counted_once() {
    let room = Room::new();
    let records: Vec<_> = (0..4).map(|_| room.ending_in(1)).collect();
    for record in &records {
        assert!(room.create(record).await);
    }
    room.clock.advance(HOUR * 2);
    // Two before anything was swept, two after.
    let revoked = sample::status(KeyStatus::Revoked);
    room.store.set_status(&room.organization, records[0].key.id, &revoked).await.unwrap();
    let extended = sample::expiring(&records[1], None);
    room.store.replace(&extended, records[1].key.revision).await.unwrap();
    assert_eq!(room.used().await, (1, 1));
    assert!(room.create(&room.ending_in(1)).await);
    room.store.delete(&room.organization, records[2].key.id, records[2].key.revision).await.unwrap();
    let extended = sample::expiring(&records[3], Some(room.clock.now() + HOUR));
    room.store.replace(&extended, records[3].key.revision).await.unwrap();
    assert_eq!(room.used().await, (3, 3));
    room.assert_sound().await;
    room.clock.advance(HOUR);
    assert_eq!(room.used().await, (1, 1));
    room.assert_sound().await;
}

#[tokio::test]
async fn sweeping_one_organization_leaves_the_others() {
    let room = Room::new();
    let other = format!("{}-2", room.organization).parse().unwrap();
    let mut elsewhere = room.ending_in(1);
    elsewhere.key.organization = other;
    assert!(room.create(&room.ending_in(1)).await);
    room.store.create(&elsewhere.key.organization, FIVE, vec![elsewhere.clone()]).await.unwrap();
    room.clock.advance(HOUR);
    assert!(room.create(&room.ending_in(1)).await);
    room.clock.step_back(HOUR);
    // Not swept, so it counts again when the clock is set back; the swept one does not.
    let used = room.store.quota_use(&elsewhere.key.organization, &room.user).await.unwrap();
    assert_eq!((used.organization, used.user), (1, 1));
    assert_eq!(room.used().await, (1, 1));
}

#[tokio::test]
async fn counts_are_those_of_the_memory_store_at_every_hour() {
    let room = Room::new();
    let model = MemoryStore::with_clock(room.clock.clone());
    for round in 0..60_u32 {
        let record = room.ending_in(1 + round * 7 % 5);
        let created = model.create(&room.organization, FIVE, vec![record.clone()]).await.unwrap()[0].is_ok();
        assert_eq!(room.create(&record).await, created, "round {round}");
        if round % 3 == 0 {
            room.clock.advance(HOUR);
        }
        if created && round % 4 == 0 {
            let next = sample::expiring(&record, Some(room.clock.now() + HOUR * (round % 3)));
            model.replace(&next, record.key.revision).await.unwrap();
            room.store.replace(&next, record.key.revision).await.unwrap();
        }
        let used = model.quota_use(&room.organization, &room.user).await.unwrap();
        assert_eq!(room.used().await, (used.organization, used.user), "round {round}");
        room.assert_sound().await;
    }
}
