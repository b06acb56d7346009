//! Limits as those who use keys meet them: through the manager, with the time in the test's hand.

use std::time::Duration;

use keygate_core::context::{Admission, RequestContext};
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::limiter::policy::{Bound, Level};
use keygate_core::limits::{Fallback, Limits, MAX_BURST, MAX_LIMIT};
use keygate_core::manager::{ApiKeyManager, KeyUpdate, NewKey, OrganizationUpdate};
use keygate_core::store::MemoryStore;
use keygate_testkit::FaultyStore;
use proptest::prelude::*;

use crate::support::still_clock::StillClock;
use crate::support::{self, ROOMY, block_on, new_key_with, operator, org, ring, scope, the_operator, user};

/// Instances over one store, on one clock that holds the calendar and the ticks.
struct World {
    clock: StillClock,
    memory: MemoryStore,
    store: FaultyStore,
    manager: ApiKeyManager,
}

const MINUTE: Duration = Duration::from_secs(60);

fn per_minute(limit: u64) -> Limits {
    Limits { per_minute: Some(limit), ..Limits::UNLIMITED }
}

impl World {
    fn new() -> Self {
        let clock = StillClock::new();
        let memory = MemoryStore::with_clock(clock.clone());
        let (store, manager) = Self::instance(&clock, &memory);
        Self { clock, memory, store, manager }
    }

    fn instance(clock: &StillClock, memory: &MemoryStore) -> (FaultyStore, ApiKeyManager) {
        let store = FaultyStore::new(memory.clone());
        let builder = ApiKeyManager::builder(store.clone(), ring(&[1])).clock(clock.clone()).quota(ROOMY);
        (store, builder.build().unwrap())
    }

    fn beside(&self) -> (FaultyStore, ApiKeyManager) {
        Self::instance(&self.clock, &self.memory)
    }

    async fn key(&self, limits: Limits) -> String {
        self.key_with(|new| new.limits = Some(limits)).await
    }

    async fn key_with(&self, more: impl FnOnce(&mut NewKey)) -> String {
        self.manager.create(&operator(), new_key_with(more)).await.unwrap().text.expose().to_owned()
    }

    async fn configure(&self, organization: &str, update: OrganizationUpdate) {
        self.manager.update_organization(&the_operator(), &org(organization), &update, None).await.unwrap();
    }
}

async fn ask(manager: &ApiKeyManager, key: &str, cost: u64) -> Result<Admission, Denial> {
    manager.validate(key, &RequestContext::new().costing(cost)).await
}

/// How many requests of cost 1 are let in one after the other, of so many.
async fn let_in(manager: &ApiKeyManager, key: &str, most: usize) -> usize {
    let mut count = 0;
    while count < most && ask(manager, key, 1).await.is_ok() {
        count += 1;
    }
    count
}

fn with_limits(change: impl FnOnce(&mut OrganizationUpdate)) -> OrganizationUpdate {
    let mut update = OrganizationUpdate::default();
    change(&mut update);
    update
}

#[tokio::test]
async fn the_standard_tier_lets_fifty_come_at_once_and_then_a_thousand_a_minute() {
    let world = World::new();
    let key = world.key_with(|_| {}).await;
    let burst = let_in(&world.manager, &key, 1_000).await;
    // A tenth of the burst may be given up for what is held.
    assert!((45..=50).contains(&burst), "{burst}");
    let denial = ask(&world.manager, &key, 1).await.unwrap_err();
    assert_eq!(denial.reason(), DenialReason::RateLimitExceeded);
    let exceeded = denial.exceeded().unwrap();
    assert_eq!((exceeded.violated[0].policy.level, exceeded.violated[0].policy.bound), (Level::Key, Bound::Burst));
    assert!(denial.wait().unwrap() <= Duration::from_millis(62), "{denial:?}");
    let mut count = burst;
    for _ in 0..600 {
        world.clock.advance(Duration::from_millis(100));
        count += let_in(&world.manager, &key, 1_000).await;
    }
    assert!((1_000..=1_050).contains(&count), "{count}");
}

#[tokio::test]
async fn a_limit_is_let_in_to_the_last_and_is_whole_again_in_the_next_window() {
    for limit in [1, 5, 1_000] {
        let world = World::new();
        let key = world.key(per_minute(limit)).await;
        for _ in 0..3 {
            assert_eq!(let_in(&world.manager, &key, 5_000).await as u64, limit);
            let denial = ask(&world.manager, &key, 1).await.unwrap_err();
            let [violated] = &denial.exceeded().unwrap().violated[..] else { panic!("{denial:?}") };
            assert_eq!((violated.policy.bound, violated.policy.limit, violated.remaining), (Bound::Minute, limit, 0));
            assert!(denial.wait().unwrap() > Duration::from_secs(50), "{denial:?}");
            world.clock.advance(MINUTE);
        }
    }
}

#[tokio::test]
async fn a_cost_above_a_limit_is_denied_for_good_and_takes_nothing() {
    let world = World::new();
    let key = world.key(Limits { per_day: Some(20), burst: Some(3), ..per_minute(10) }).await;
    world.store.reset_calls();
    for (cost, bound, limit) in [(11, Bound::Minute, 10), (4, Bound::Burst, 3), (u64::MAX, Bound::Minute, 10)] {
        let denial = ask(&world.manager, &key, cost).await.unwrap_err();
        let exceeded = denial.exceeded().unwrap();
        assert!(exceeded.is_permanent);
        assert_eq!((exceeded.violated[0].policy.bound, exceeded.violated[0].policy.limit), (bound, limit));
        assert_eq!(denial.wait(), None, "there is no time after which it is let in");
        assert!(denial.detail().contains("never"), "{}", denial.detail());
    }
    assert_eq!(world.store.calls().lease, 0);
    assert!(ask(&world.manager, &key, 3).await.is_ok());
}

#[tokio::test]
async fn a_cost_of_nothing_is_let_in_when_all_is_used_up() {
    let world = World::new();
    let key = world.key(per_minute(1)).await;
    assert!(ask(&world.manager, &key, 1).await.is_ok());
    assert!(ask(&world.manager, &key, 1).await.is_err());
    let admission = ask(&world.manager, &key, 0).await.unwrap();
    assert_eq!(admission.limits()[0].remaining, 0);
}

#[tokio::test]
async fn denials_burn_nothing() {
    let world = World::new();
    let key = world.key(per_minute(3)).await;
    for _ in 0..10 {
        let context = RequestContext::new().needing_scope(scope("files:write"));
        assert_eq!(
            world.manager.validate(&key, &context).await.unwrap_err().reason(),
            DenialReason::ScopeNotAuthorized
        );
        // And what is denied further in is given back.
        let mut admission = ask(&world.manager, &key, 2).await.unwrap();
        admission.refund();
        assert_eq!(admission.cost(), 0);
        admission.refund();
        admission.clone().refund();
    }
    assert_eq!(let_in(&world.manager, &key, 10).await, 3);
}

#[tokio::test]
async fn a_request_may_turn_out_to_cost_more_or_less() {
    let world = World::new();
    let key = world.key(per_minute(10)).await;
    let mut admission = ask(&world.manager, &key, 1).await.unwrap();
    admission.recharge(8).await.unwrap();
    assert_eq!(admission.cost(), 8);
    let denial = ask(&world.manager, &key, 3).await.unwrap_err();
    assert_eq!(denial.reason(), DenialReason::RateLimitExceeded);
    admission.recharge(5).await.unwrap();
    assert_eq!(let_in(&world.manager, &key, 10).await, 5);
    // What cannot be had gives back what was had.
    assert!(admission.recharge(6).await.is_err());
    assert_eq!(admission.cost(), 0);
    assert_eq!(let_in(&world.manager, &key, 10).await, 5);
}

#[tokio::test]
async fn every_level_holds_and_what_one_denies_is_taken_from_none() {
    let world = World::new();
    let limits = with_limits(|update| {
        update.limits = Some(Some(per_minute(12)));
        update.user_limits = Some(Some(per_minute(8)));
    });
    world.configure("acme", limits).await;
    let project = "website".parse().unwrap();
    world.manager.set_project_limits(&operator(), &org("acme"), &project, Some(per_minute(6))).await.unwrap();
    let of = |name: &'static str| {
        let project = "website".parse().unwrap();
        move |new: &mut NewKey| {
            (new.user, new.project, new.limits) = (user(name), Some(project), Some(per_minute(5)));
        }
    };
    let (first, second) = (world.key_with(of("ada")).await, world.key_with(of("ada")).await);
    let outside = world.key_with(|new| new.limits = Some(per_minute(100))).await;
    let violated = async |key: &str| {
        let denial = ask(&world.manager, key, 1).await.unwrap_err();
        denial.exceeded().unwrap().violated.iter().map(|violated| violated.policy.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(let_in(&world.manager, &first, 100).await, 5);
    assert_eq!(violated(&first).await, ["minute"]);
    assert_eq!(let_in(&world.manager, &second, 100).await, 1);
    assert_eq!(violated(&second).await, ["project-minute"]);
    // The user has eight, of which six are gone; the organization twelve, of which eight are gone then.
    assert_eq!(let_in(&world.manager, &outside, 100).await, 2);
    assert_eq!(violated(&outside).await, ["user-minute"]);
    let bob = world.key_with(|new| (new.user, new.limits) = (user("bob"), Some(per_minute(100)))).await;
    assert_eq!(let_in(&world.manager, &bob, 100).await, 4);
    assert_eq!(violated(&bob).await, ["organization-minute"]);
    let left: Vec<_> = ask(&world.manager, &bob, 0).await.unwrap().limits();
    let left: Vec<_> = left.iter().map(|left| (left.policy.to_string(), left.remaining)).collect();
    let expected = [("minute", 96), ("user-minute", 4), ("organization-minute", 0)];
    assert_eq!(left, expected.map(|(name, left)| (name.to_owned(), left)));
}

#[tokio::test]
async fn a_limit_that_is_changed_holds_from_the_next_request_on() {
    let world = World::new();
    let created = world.manager.create(&operator(), new_key_with(|new| new.limits = Some(per_minute(100)))).await;
    let (id, key) = created.map(|created| (created.key.id, created.text.expose().to_owned())).unwrap();
    assert_eq!(let_in(&world.manager, &key, 50).await, 50);
    let change = async |limits| {
        let mut update = KeyUpdate::new();
        update.limits = Some(limits);
        world.manager.update(&operator(), id, &update, None).await.unwrap();
    };
    change(per_minute(10)).await;
    assert_eq!(let_in(&world.manager, &key, 50).await, 0);
    change(per_minute(60)).await;
    // What was held under the first limit goes back in the background.
    world.manager.tend().await;
    world.manager.tend().await;
    world.clock.advance(Duration::from_millis(200));
    assert_eq!(let_in(&world.manager, &key, 50).await, 10);
    change(Limits::UNLIMITED).await;
    assert_eq!(let_in(&world.manager, &key, 50).await, 50);
}

#[tokio::test]
async fn new_keys_have_the_limits_that_their_organization_says() {
    let world = World::new();
    world.configure("acme", with_limits(|update| update.key_limits = Some(Some(per_minute(7))))).await;
    let limits = async |more: &dyn Fn(&mut NewKey)| {
        world.manager.create(&operator(), new_key_with(more)).await.unwrap().key.limits
    };
    assert_eq!(limits(&|_| {}).await, per_minute(7));
    assert_eq!(limits(&|new| new.limits = Some(per_minute(9))).await, per_minute(9));
    assert_eq!(limits(&|new| new.organization = org("other")).await, Limits::STANDARD);
    let verifier = limits(&|new| new.permissions = support::scopes(&["keys:verify"])).await;
    assert_eq!(verifier, Limits::UNLIMITED, "who verifies others is asked for all of them");
}

#[tokio::test]
async fn instances_together_let_in_the_limit_and_who_leaves_gives_back() {
    let world = World::new();
    let key = world.key(per_minute(100)).await;
    let (_store, other) = world.beside();
    let mut count = 0;
    for _ in 0..20 {
        count += let_in(&world.manager, &key, 2).await + let_in(&other, &key, 1).await;
        world.clock.advance(Duration::from_millis(200));
    }
    assert_eq!(count, 60);
    other.leave().await;
    world.manager.leave().await;
    assert_eq!(
        world.manager.limits_left_of(&ask(&world.manager, &key, 0).await.unwrap()).await.unwrap()[0].remaining,
        40
    );
    let (_store, third) = world.beside();
    assert_eq!(let_in(&third, &key, 1_000).await, 40);
    assert_eq!(let_in(&world.manager, &key, 1_000).await, 0);
}

#[tokio::test]
async fn what_an_instance_does_not_use_goes_back_by_itself() {
    let world = World::new();
    let key = world.key(per_minute(1_000)).await;
    for _ in 0..10 {
        assert_eq!(let_in(&world.manager, &key, 10).await, 10);
        world.clock.advance(Duration::from_millis(100));
    }
    let admission = ask(&world.manager, &key, 0).await.unwrap();
    let (_store, other) = world.beside();
    // What an instance that holds nothing sees: what was granted, held or not.
    let left = async || other.limits_left_of(&admission).await.unwrap()[0].remaining;
    assert!(left().await < 900, "nothing is held: {}", left().await);
    world.manager.tend().await;
    world.manager.tend().await;
    assert_eq!(left().await, 900);
}

/// Far below one round trip a request, when there is room.
#[tokio::test]
async fn few_requests_ask_the_store() {
    let world = World::new();
    let key = world.key(per_minute(100_000)).await;
    let _first = ask(&world.manager, &key, 1).await.unwrap();
    world.store.reset_calls();
    for _ in 0..500 {
        assert_eq!(let_in(&world.manager, &key, 100).await, 100);
        world.clock.advance(Duration::from_millis(100));
    }
    let calls = world.store.calls().lease;
    assert!(calls < 500, "{calls} calls for 50,000 requests");
    let statistics = world.manager.limiter_statistics();
    assert_eq!((statistics.denied, statistics.failures, statistics.pools), (0, 0, 1));
}

#[tokio::test]
async fn windows_turn_without_a_call_that_a_request_waits_for() {
    let world = World::new();
    let key = world.key(per_minute(6_000)).await;
    // For a few milliseconds around the turn neither window is sure to be the store's.
    world.clock.advance(Duration::from_millis(30_050));
    let mut waited = 0;
    // Over the turn of the minute, ten requests each tenth of a second, tended each second.
    for tenth in 0..400 {
        for _ in 0..10 {
            let attempt = world.manager.attempt(key.as_bytes(), &RequestContext::new());
            if let keygate_core::manager::Attempt::Pending(pending) = attempt {
                waited += u32::from(tenth > 20);
                let _admission = pending.resolve().await.unwrap();
            }
            // What was begun in the background.
            tokio::task::yield_now().await;
        }
        if tenth % 10 == 0 {
            world.manager.tend().await;
        }
        world.clock.advance(Duration::from_millis(100));
    }
    assert_eq!(waited, 0);
}

/// What is let in while the store is not reached, of a hundred a minute of which ten were used.
async fn during_an_outage(fallback: Fallback) -> (World, String, usize, DenialReason) {
    let world = World::new();
    let key = world.key(Limits { fallback, ..per_minute(100) }).await;
    assert_eq!(let_in(&world.manager, &key, 10).await, 10);
    world.manager.leave().await;
    world.store.fail();
    // Kept keys are decided without the store; their limits cannot be.
    let count = let_in(&world.manager, &key, 500).await;
    let reason = ask(&world.manager, &key, 1).await.err().map_or(DenialReason::InvalidKey, |denial| denial.reason());
    (world, key, count, reason)
}

#[tokio::test]
async fn without_the_store_a_limit_denies_opens_or_lets_each_instance_have_its_share() {
    let (world, key, count, reason) = during_an_outage(Fallback::Deny).await;
    assert_eq!((count, reason), (0, DenialReason::StoreUnavailable));
    assert!(world.manager.limiter_statistics().unreachable >= 2);
    world.store.heal();
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(let_in(&world.manager, &key, 500).await, 90);

    let (world, key, count, _) = during_an_outage(Fallback::Open).await;
    assert_eq!(count, 500);
    world.store.heal();
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(let_in(&world.manager, &key, 500).await, 0, "what was let in is counted");
    assert!(world.manager.limiter_statistics().open >= 500);

    let (world, key, count, reason) = during_an_outage(Fallback::LocalShare).await;
    // One instance: all that was left.
    assert_eq!((count, reason), (90, DenialReason::RateLimitExceeded));
    world.store.heal();
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(let_in(&world.manager, &key, 500).await, 0);
    world.clock.advance(MINUTE);
    assert_eq!(let_in(&world.manager, &key, 500).await, 100);
    assert_eq!(world.manager.limiter_statistics().local_share, 90);
}

#[tokio::test]
async fn what_is_held_is_spent_before_the_store_is_missed() {
    let world = World::new();
    let key = world.key(per_minute(10_000)).await;
    for _ in 0..10 {
        assert_eq!(let_in(&world.manager, &key, 10).await, 10);
        world.clock.advance(Duration::from_millis(100));
    }
    world.store.fail();
    let count = let_in(&world.manager, &key, 10_000).await;
    assert!((1..=400).contains(&count), "two seconds of demand at most: {count}");
    assert_eq!(ask(&world.manager, &key, 1).await.unwrap_err().reason(), DenialReason::StoreUnavailable);
}

#[tokio::test]
async fn absurd_limits_are_refused_by_name() {
    let world = World::new();
    for (limits, field) in [
        (per_minute(0), "per_minute"),
        (per_minute(MAX_LIMIT + 1), "per_minute"),
        (Limits { per_month: Some(u64::MAX), ..Limits::UNLIMITED }, "per_month"),
        (Limits { burst: Some(1), ..Limits::UNLIMITED }, "burst"),
        (Limits { burst: Some(MAX_BURST + 1), ..per_minute(1) }, "burst"),
    ] {
        let refusal =
            world.manager.create(&operator(), new_key_with(|new| new.limits = Some(limits))).await.unwrap_err();
        assert!(refusal.to_string().contains(field), "{refusal}");
        let update = with_limits(|update| update.user_limits = Some(Some(limits)));
        let refusal =
            world.manager.update_organization(&the_operator(), &org("acme"), &update, None).await.unwrap_err();
        assert!(refusal.to_string().contains(field), "{refusal}");
    }
    // The largest there are do their work.
    let most =
        Limits { per_minute: Some(MAX_LIMIT), per_month: Some(MAX_LIMIT), burst: Some(MAX_BURST), ..per_minute(1) };
    let key = world.key(most).await;
    assert_eq!(let_in(&world.manager, &key, 100).await, 100);
    assert!(ask(&world.manager, &key, MAX_BURST).await.is_err(), "a hundred are gone");
}

#[tokio::test]
async fn a_clock_that_is_set_back_gives_nothing_twice() {
    let world = World::new();
    let key = world.key(per_minute(10)).await;
    world.clock.advance(MINUTE);
    assert_eq!(let_in(&world.manager, &key, 50).await, 10);
    world.clock.set_back(2 * MINUTE);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(let_in(&world.manager, &key, 50).await, 0);
    let denial = ask(&world.manager, &key, 1).await.unwrap_err();
    assert_eq!(denial.reason(), DenialReason::RateLimitExceeded);
}

#[tokio::test]
async fn a_costly_request_is_let_in_though_a_part_of_its_room_is_held_here() {
    let world = World::new();
    let key = world.key(per_minute(100)).await;
    assert_eq!(let_in(&world.manager, &key, 20).await, 20);
    assert!(ask(&world.manager, &key, 81).await.is_err());
    world.clock.advance(Duration::from_millis(100));
    assert!(ask(&world.manager, &key, 80).await.is_ok(), "eighty are left, some of them in the lease");
    assert_eq!(let_in(&world.manager, &key, 10).await, 0);
}

#[tokio::test]
async fn what_is_put_back_is_never_another_pools() {
    let world = World::new();
    world.configure("acme", with_limits(|update| update.limits = Some(Some(per_minute(1_000))))).await;
    let key = world.key(Limits::UNLIMITED).await;
    let mut admission = ask(&world.manager, &key, 100).await.unwrap();
    // From here on the first of its pools is another one.
    world.configure("acme", with_limits(|update| update.user_limits = Some(Some(per_minute(200))))).await;
    let _seen = ask(&world.manager, &key, 0).await.unwrap();
    admission.recharge(101).await.unwrap();
    admission.refund();
    assert_eq!(let_in(&world.manager, &key, 1_000).await, 200);
}

#[tokio::test]
async fn a_refund_is_not_lost_with_its_lease() {
    let world = World::new();
    let key = world.key(per_minute(10)).await;
    let mut admission = ask(&world.manager, &key, 5).await.unwrap();
    // The lease goes back in the meantime, and another is there.
    for _ in 0..3 {
        world.manager.tend().await;
        world.clock.advance(Duration::from_secs(1));
    }
    let _other = ask(&world.manager, &key, 1).await.unwrap();
    admission.refund();
    assert_eq!(let_in(&world.manager, &key, 100).await, 9);
}

#[tokio::test]
async fn a_cost_that_turns_out_to_be_above_a_limit_is_denied_for_good() {
    let world = World::new();
    let key = world.key(per_minute(10)).await;
    let mut admission = ask(&world.manager, &key, 5).await.unwrap();
    let denial = admission.recharge(12).await.unwrap_err();
    assert!(denial.exceeded().unwrap().is_permanent && denial.wait().is_none());
    assert_eq!(let_in(&world.manager, &key, 100).await, 10);
}

#[tokio::test]
async fn five_requests_of_ten_are_a_burst_of_fifty_however_fast_they_come() {
    for pause in [0, 1, 20, 61, 130, 299, 300, 301, 700, 1_000, 5_000] {
        let world = World::new();
        let key = world.key_with(|_| {}).await;
        for nth in 1..=5 {
            assert!(ask(&world.manager, &key, 10).await.is_ok(), "request {nth}, one each {pause} ms");
            world.clock.advance(Duration::from_millis(pause));
        }
        if pause < 100 {
            assert!(ask(&world.manager, &key, 10).await.is_err(), "one each {pause} ms");
        }
    }
}

#[tokio::test]
async fn what_was_held_and_not_used_is_in_the_burst_again() {
    let world = World::new();
    let key = world.key_with(|_| {}).await;
    for _ in 0..4 {
        assert_eq!(let_in(&world.manager, &key, 5).await, 5);
        world.clock.advance(Duration::from_millis(40));
    }
    // A tenth was given up, and what is held is too little for this one, and goes back with its own call.
    let left = ask(&world.manager, &key, 24).await;
    assert!(left.is_ok(), "{left:?}");
}

#[tokio::test]
async fn what_another_level_denies_is_not_taken_from_a_burst() {
    let world = World::new();
    world.configure("acme", with_limits(|update| update.limits = Some(Some(per_minute(2))))).await;
    let key = world.key(Limits { burst: Some(9), ..per_minute(60) }).await;
    assert_eq!(let_in(&world.manager, &key, 10).await, 2);
    for _ in 0..20 {
        // By then it is no longer known that the organization has none left, and both are asked.
        world.clock.advance(Duration::from_millis(110));
        assert!(ask(&world.manager, &key, 1).await.is_err());
    }
    world.configure("acme", with_limits(|update| update.limits = Some(None))).await;
    assert_eq!(let_in(&world.manager, &key, 20).await, 9, "the two have refilled");
}

#[tokio::test]
async fn a_client_well_below_its_rate_keeps_its_burst() {
    let world = World::new();
    let key = world.key_with(|_| {}).await;
    for _ in 0..20 {
        assert!(ask(&world.manager, &key, 1).await.is_ok());
        world.clock.advance(Duration::from_millis(500));
    }
    let burst = let_in(&world.manager, &key, 100).await;
    assert!(burst >= 45, "{burst} of 50");
}

#[tokio::test]
async fn requests_that_another_limit_denies_are_not_owed() {
    let world = World::new();
    world.configure("acme", with_limits(|update| update.limits = Some(Some(per_minute(1_000))))).await;
    let key = world.key(Limits { fallback: Fallback::Open, ..per_minute(100) }).await;
    assert_eq!(let_in(&world.manager, &key, 1).await, 1);
    world.manager.leave().await;
    world.store.fail();
    for _ in 0..99 {
        assert_eq!(ask(&world.manager, &key, 1).await.unwrap_err().reason(), DenialReason::StoreUnavailable);
    }
    world.store.heal();
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(let_in(&world.manager, &key, 1_000).await, 99);
}

#[tokio::test]
async fn pools_that_nobody_needs_are_forgotten_and_what_they_hold_goes_back() {
    let world = World::new();
    let key = world.key(per_minute(1_000)).await;
    for _ in 0..5 {
        assert_eq!(let_in(&world.manager, &key, 10).await, 10);
        world.clock.advance(Duration::from_millis(100));
    }
    // A call whose answer never comes.
    world.store.lose_answers();
    let _lost = let_in(&world.manager, &key, 1_000).await;
    world.store.heal();
    let id = world.manager.validate(&key, &RequestContext::new().costing(0)).await.unwrap().id;
    world.manager.revoke(&operator(), id, None).await.unwrap();
    for _ in 0..60 {
        // What was begun in the background ends.
        tokio::task::yield_now().await;
        world.manager.tend().await;
        world.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(world.manager.limiter_statistics().pools, 0);
}

#[tokio::test]
async fn limits_that_go_and_come_back_are_not_whole_again() {
    let world = World::new();
    let created = world.manager.create(&operator(), new_key_with(|_| {})).await.unwrap();
    let key = created.text.expose();
    let change = async |limits| {
        let mut update = KeyUpdate::new();
        update.limits = Some(limits);
        world.manager.update(&operator(), created.key.id, &update, None).await.unwrap();
    };
    let (month, bursts) =
        (Limits { per_month: Some(210), ..per_minute(300) }, Limits { burst: Some(9), ..per_minute(300) });
    let mut count = 0;
    for limits in [bursts, per_minute(300), bursts, per_minute(300), bursts] {
        change(limits).await;
        count += if limits.burst.is_some() { let_in(&world.manager, key, 300).await } else { 0 };
        let _seen = ask(&world.manager, key, 1).await;
    }
    assert!(count <= 9, "{count} at once");
    change(month).await;
    let before = let_in(&world.manager, key, 200).await;
    // A limit that goes for a moment, and a pool that nobody asks for a while.
    change(per_minute(300)).await;
    let _seen = ask(&world.manager, key, 1).await.unwrap();
    world.manager.leave().await;
    world.clock.advance(10 * MINUTE);
    change(month).await;
    let after = let_in(&world.manager, key, 200).await;
    assert!(before + after <= 210, "{before} and {after} of 210 in one month");
}

/// What a property does next.
#[derive(Debug, Clone)]
enum Step {
    Ask { instance: usize, cost: u64, gives_back: bool },
    Pass(u64),
    Tend(usize),
    Leave(usize),
    Replace(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0usize..3, 0u64..4, prop::bool::weighted(0.2))
            .prop_map(|(instance, cost, gives_back)| Step::Ask { instance, cost, gives_back }),
        3 => prop_oneof![1u64..300, 1u64..20_000].prop_map(Step::Pass),
        1 => (0usize..3).prop_map(Step::Tend),
        1 => (0usize..3).prop_map(Step::Leave),
        1 => (0usize..3).prop_map(Step::Replace),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    (prop::option::of(1u64..60), prop::option::of(1u64..200)).prop_map(|(per_minute, per_hour)| Limits {
        per_minute,
        per_hour,
        ..Limits::UNLIMITED
    })
}

proptest! {
    #![proptest_config(support::property())]

    /// Over any number of instances and levels, whoever comes, goes or crashes.
    #[test]
    fn no_level_is_ever_overspent(
        limits in prop::array::uniform3(limits()),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        block_on(async {
            let world = World::new();
            let [own, of_user, of_all] = limits;
            world.configure("acme", with_limits(|update| {
                (update.user_limits, update.limits) = (Some(Some(of_user)), Some(Some(of_all)));
            })).await;
            let key = world.key(own).await;
            let mut instances = [world.beside().1, world.beside().1, world.beside().1];
            let mut spent = std::collections::BTreeMap::<(u64, bool), u64>::new();
            for step in steps {
                match step {
                    Step::Ask { instance, cost, gives_back } => {
                        let Ok(mut admission) = ask(&instances[instance], &key, cost).await else { continue };
                        if gives_back {
                            admission.refund();
                            continue;
                        }
                        let now = u64::try_from(world.clock.millis()).unwrap();
                        for (number, is_hour) in [(now / 60_000, false), (now / 3_600_000, true)] {
                            let spent = spent.entry((number, is_hour)).or_default();
                            *spent += cost;
                            for limits in [own, of_user, of_all] {
                                let limit = if is_hour { limits.per_hour } else { limits.per_minute };
                                prop_assert!(limit.is_none_or(|limit| *spent <= limit), "{spent} of {limit:?}");
                            }
                        }
                    }
                    Step::Pass(millis) => world.clock.advance(Duration::from_millis(millis)),
                    Step::Tend(instance) => instances[instance].tend().await,
                    Step::Leave(instance) => instances[instance].leave().await,
                    Step::Replace(instance) => instances[instance] = world.beside().1,
                }
            }
            Ok(())
        })?;
    }

    /// However the demand is divided, an instance that asks again after a tenth of a second gets what is left.
    #[test]
    fn nobody_is_denied_for_long_while_there_is_room(limit in 1u64..300, turns in prop::collection::vec(0usize..3, 1..200)) {
        block_on(async {
            let world = World::new();
            let key = world.key(per_minute(limit)).await;
            let instances = [world.beside().1, world.beside().1, world.beside().1];
            let mut count = 0;
            for (turn, instance) in turns.into_iter().enumerate() {
                count += u64::from(ask(&instances[instance], &key, 1).await.is_ok());
                if turn % 7 == 0 {
                    world.clock.advance(Duration::from_millis(20));
                }
            }
            for instance in &instances {
                instance.leave().await;
            }
            world.clock.advance(Duration::from_millis(100));
            for count in count..limit {
                prop_assert!(ask(&instances[0], &key, 1).await.is_ok(), "{count} of {limit}");
            }
            prop_assert!(ask(&instances[1], &key, 1).await.is_err());
            Ok(())
        })?;
    }
}
