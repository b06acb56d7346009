//! What becomes of keys with time, under workers that stop wherever they are: one story that every store is told.

// What goes wrong ends the test, with the reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use keygate_core::actor::{Actor, Operator};
use keygate_core::context::RequestContext;
use keygate_core::key::{KeyId, KeyText};
use keygate_core::lifecycle::next_rotation;
use keygate_core::limits::Limits;
use keygate_core::manager::{ApiKeyManager, Expiry, NewKey};
use keygate_core::names::PrincipalId;
use keygate_core::notice::{Event, Notice, NoticeKind};
use keygate_core::record::{Key, KeyState, Quota, RotationSchedule};
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_core::store::{Listing, Store};

use crate::contract::{Dice, SEED, seed};
use crate::{GivenUpAfter, Heard, HeldClock, sample};

const DAY: Duration = Duration::from_secs(86_400);
const OVERLAP_DAYS: u32 = 7;
const WARNING_DAYS: u32 = 2;
const LIFE_DAYS: i64 = 90;
/// How often a worker may be polled before it stops, at most.
const POLLS: usize = 400;

/// So many keys, each rotated by itself after so many days and one of the next, through so many days.
#[derive(Debug, Clone, Copy)]
pub struct Year {
    /// How many keys there are at first.
    pub keys: usize,
    /// How many days pass.
    pub days: u32,
    /// After how many days at least a key is rotated: more than 7, and at most 40.
    pub interval_days: u32,
    /// How many different intervals there are.
    pub intervals: u32,
}

impl Year {
    /// Has the days pass. Each day all workers but the last begin to run schedules and to bring notices, at once, and stop
    /// wherever they are; then the last goes to its end. A holder of a key comes every third day, and claims what there is to
    /// claim.
    ///
    /// Each rotation is done once, no holder is ever without a key that works, and each notice is brought that is to be,
    /// and of each cause one.
    ///
    /// # Panics
    /// When something of that is not so, naming the seed of the run.
    pub async fn pass(self, clock: &HeldClock, front: Arc<dyn Store>, workers: Vec<Arc<dyn Store>>) {
        let seed = seed();
        println!("{SEED}={seed} repeats this run");
        let (mut dice, heard) = (Dice(seed), Heard::new());
        let secret = MasterSecret::generate().unwrap();
        let instance = |store: Arc<dyn Store>| {
            let builder = ApiKeyManager::builder_shared(store, SecretRing::new(&secret)).clock(clock.clone());
            let quota = Quota { per_organization: 1_000_000, per_user: 1_000_000 };
            builder.quota(quota).notifier(heard.clone()).counts_usage(false).build().unwrap()
        };
        let store = Arc::clone(&front);
        let (front, workers) = (instance(front), workers.into_iter().map(instance).collect::<Vec<_>>());
        let operator = Operator::named(PrincipalId::new("year").unwrap());
        let organization = sample::organization();
        let asked = (0..self.keys).map(|place| {
            let mut new = NewKey::new(organization.clone(), sample::user("ada"));
            new.rotation_schedule = Some(RotationSchedule {
                interval_days: self.interval_days + place as u32 % self.intervals,
                warning_days: WARNING_DAYS,
                auto_rotate: true,
                notify_users: true,
                overlap_days: OVERLAP_DAYS,
            });
            new.hand_over = true;
            new.limits = Some(Limits::UNLIMITED);
            new.expiry = Expiry::In(TimeDelta::days(LIFE_DAYS));
            new
        });
        let created = front.create_many(&Actor::from(operator.clone()), asked.collect()).await;
        let mut held: Vec<KeyText> = created.into_iter().map(|created| created.unwrap().text).collect();
        let (last, crashing) = workers.split_last().unwrap();
        for day in 0..self.days {
            clock.advance(DAY);
            let mut running = Vec::new();
            for worker in crashing {
                let (worker, operator) = (worker.clone(), operator.clone());
                let run = async move {
                    let _ = worker.run_schedules(&operator).await;
                    let _ = worker.deliver_notices().await;
                };
                running.push(tokio::spawn(GivenUpAfter::polls(dice.below(POLLS), run)));
            }
            for running in running {
                running.await.unwrap();
            }
            last.run_schedules(&operator).await.unwrap();
            last.deliver_notices().await.unwrap();
            for (place, text) in held.iter_mut().enumerate() {
                if !(day as usize + place).is_multiple_of(3) {
                    continue;
                }
                let validated = front.validate(text.expose(), &RequestContext::new()).await;
                let admission = validated.unwrap_or_else(|denial| panic!("day {day}, key {place}: {denial}"));
                if admission.superseded().is_some() {
                    *text = front.claim_successor(&admission, None).await.unwrap().text;
                    front.validate(text.expose(), &RequestContext::new()).await.unwrap();
                }
            }
        }
        // What a worker has taken and not brought is taken again when its time has come again.
        clock.advance(Duration::from_secs(120));
        last.deliver_notices().await.unwrap();
        let keys = all_keys(&*store, &Listing::Organization(organization)).await;
        self.check_lines(&keys, clock);
        check_notices(&keys, &heard, clock);
    }

    /// There is one key of each generation of each line, and none is overdue.
    fn check_lines(self, keys: &[Key], clock: &HeldClock) {
        let mut seen = BTreeMap::new();
        for key in keys {
            let generation = (key.lineage.root, key.lineage.generation);
            assert_eq!(seen.insert(generation, key.id), None, "two keys of generation {generation:?}");
            let overdue = next_rotation(key).is_some_and(|due| due + TimeDelta::days(1) < clock.now());
            assert!(!overdue || key.state(clock.now()) != KeyState::Active, "{} is overdue", key.id);
        }
        let rotations: usize = (0..self.keys)
            .map(|place| (self.days / (self.interval_days + place as u32 % self.intervals)) as usize)
            .sum();
        assert_eq!(keys.len(), self.keys + rotations);
    }
}

async fn all_keys(store: &dyn Store, listing: &Listing) -> Vec<Key> {
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(listing, after, 1_000).await.unwrap();
        keys.extend(page.records.into_iter().map(|record| record.key));
        after = page.next;
        if after.is_none() {
            return keys;
        }
    }
}

/// What a notice is of: its kind, its key, and how many days before something it is.
type Told = (NoticeKind, KeyId, u16);

/// Whatever has come to pass by now was told, and of each cause there is one notice, though one may have been brought twice.
fn check_notices(keys: &[Key], heard: &Heard, clock: &HeldClock) {
    let now = clock.now();
    let mut expected: BTreeSet<Told> = BTreeSet::new();
    for key in keys {
        expected.insert((NoticeKind::KeyCreated, key.id, 0));
        let schedule = key.rotation_schedule.unwrap();
        // Intervals are so short that none ends before it is rotated.
        let due = key.created_at + TimeDelta::days(schedule.interval_days.into());
        if due - TimeDelta::days(WARNING_DAYS.into()) <= now {
            expected.insert((NoticeKind::KeyRotationDue, key.id, 0));
        }
        if key.succession.superseded.is_some() {
            let end = key.expires_at.unwrap();
            expected.insert((NoticeKind::KeyRotated, key.id, 0));
            if end - TimeDelta::days(1) <= now {
                expected.insert((NoticeKind::KeyExpiring, key.id, 1));
            }
            if end <= now {
                expected.insert((NoticeKind::KeyExpired, key.id, 0));
            }
        }
    }
    // A successor was told of as its predecessor's rotation.
    expected.retain(|(kind, id, _)| {
        let is_successor = keys.iter().any(|key| key.id == *id && key.lineage.generation > 0);
        *kind != NoticeKind::KeyCreated || !is_successor
    });
    let mut told: BTreeSet<Told> = BTreeSet::new();
    for (notice, _) in heard.by_id().into_values() {
        let what = what(&notice);
        assert!(told.insert(what), "two notices tell {what:?}");
    }
    let missing: Vec<_> = expected.difference(&told).collect();
    let unexpected: Vec<_> = told.difference(&expected).collect();
    assert!(missing.is_empty() && unexpected.is_empty(), "never told: {missing:?}; told for nothing: {unexpected:?}");
}

fn what(notice: &Notice) -> Told {
    let days = if let Event::Expiring { days, .. } = &notice.event { *days } else { 0 };
    (notice.kind(), notice.event.key().unwrap().key_id, days)
}
