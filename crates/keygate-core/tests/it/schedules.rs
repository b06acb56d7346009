//! What is done to keys by themselves: each once, by whoever comes to it, and nobody is locked out.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use keygate_core::denial::DenialReason;
use keygate_core::key::KeyId;
use keygate_core::lifecycle::next_rotation;
use keygate_core::limits::Limits;
use keygate_core::manager::{Expiry, KeyUpdate, NewKey, OrganizationUpdate, ScheduleRun, UserUpdate};
use keygate_core::names::ProjectId;
use keygate_core::record::{ParentStatus, RotationSchedule, UserStatus};
use keygate_core::store::{MemoryStore, Store};
use keygate_testkit::HeldClock;
use keygate_testkit::year::Year;

use crate::support::fateful_store::{Fate, FatefulStore};
use crate::support::yielding_store::YieldingStore;
use crate::support::{self, Instance, manager_over, new_key_with, operator, org, ring, the_operator, user};

const DAY: Duration = Duration::from_secs(86_400);

fn days(days: i64) -> TimeDelta {
    TimeDelta::days(days)
}

fn schedule(auto_rotate: bool) -> RotationSchedule {
    RotationSchedule { interval_days: 30, warning_days: 1, auto_rotate, notify_users: true, overlap_days: 7 }
}

/// A key that rotates by itself each 30 days, and hands its successor over.
fn rotating_with(more: impl FnOnce(&mut NewKey)) -> NewKey {
    new_key_with(|new| {
        new.rotation_schedule = Some(schedule(true));
        new.hand_over = true;
        new.limits = Some(Limits::UNLIMITED);
        new.expiry = Expiry::In(days(90));
        more(new);
    })
}

fn rotating() -> NewKey {
    rotating_with(|_| {})
}

async fn run(instance: &Instance) -> ScheduleRun {
    instance.manager.run_schedules(&the_operator()).await.unwrap()
}

/// What a run has done, as (rotated, waiting, withdrawn, failed).
fn counts(run: ScheduleRun) -> (u64, u64, u64, u64) {
    (run.rotated, run.waiting, run.withdrawn, run.failed)
}

#[tokio::test]
async fn a_key_is_rotated_when_it_is_due_and_not_before() {
    let instance = Instance::new();
    let created = instance.create(rotating()).await;
    instance.create(rotating_with(|new| new.rotation_schedule = Some(schedule(false)))).await;
    instance.create(rotating_with(|new| new.rotation_schedule = None)).await;
    instance.clock.advance(DAY * 30 - Duration::from_millis(1));
    assert_eq!(counts(run(&instance).await), (0, 0, 0, 0));
    assert_eq!(instance.record(created.key.id).await.key.succession.superseded, None);
    instance.clock.advance(Duration::from_millis(1));
    assert_eq!(counts(run(&instance).await), (1, 0, 0, 0));
    assert_eq!(counts(run(&instance).await), (0, 0, 0, 0));
    let old = instance.record(created.key.id).await;
    let new = instance.record(old.key.succession.superseded.unwrap().successor_id).await;
    assert_eq!(old.key.expires_at, Some(created.key.created_at + days(37)));
    assert_eq!(next_rotation(&new.key), Some(created.key.created_at + days(60)));
    assert!(old.offer.is_some() && new.unclaimed);
    assert_eq!(new.key.created_by.as_str(), "operator");
}

/// A short life is rotated before it ends, and not after it.
#[tokio::test]
async fn a_key_that_ends_before_its_interval_is_rotated_in_time() {
    let instance = Instance::new();
    let created = instance.create(rotating_with(|new| new.expiry = Expiry::In(days(20)))).await;
    instance.clock.advance(DAY * 13);
    assert_eq!(run(&instance).await.rotated, 1);
    let admission = instance.validate(created.text.expose()).await.unwrap();
    let claimed = instance.manager.claim_successor(&admission, None).await.unwrap();
    assert_eq!(claimed.successor.expires_at.unwrap() - claimed.successor.created_at, days(20));
    // One that nobody came to in time has ended, and no successor of it is made.
    let late = instance.create(rotating_with(|new| new.expiry = Expiry::In(days(20)))).await;
    instance.clock.advance(DAY * 20);
    run(&instance).await;
    assert_eq!(instance.record(late.key.id).await.key.succession, late.key.succession);
}

#[tokio::test]
async fn a_rotation_waits_while_its_text_has_no_way_to_its_owner() {
    let instance = Instance::new();
    let created = instance.create(rotating_with(|new| new.hand_over = false)).await;
    instance.clock.advance(DAY * 31);
    assert_eq!(counts(run(&instance).await), (0, 1, 0, 0));
    instance.validate(created.text.expose()).await.unwrap();
    let status = instance.manager.rotation(&operator(), created.key.id).await.unwrap();
    assert!(status.next_rotation.unwrap() < instance.clock.now(), "it shows that it is overdue");
    let mut update = KeyUpdate::new();
    update.hand_over = Some(true);
    instance.manager.update(&operator(), created.key.id, &update, None).await.unwrap();
    assert_eq!(counts(run(&instance).await), (1, 0, 0, 0));
}

#[tokio::test]
async fn a_deactivated_key_is_rotated_when_it_is_active_again() {
    let instance = Instance::new();
    let created = instance.create(rotating()).await;
    instance.manager.deactivate(&operator(), created.key.id, None).await.unwrap();
    instance.clock.advance(DAY * 31);
    assert_eq!(counts(run(&instance).await), (0, 1, 0, 0));
    instance.manager.activate(&operator(), created.key.id, None).await.unwrap();
    assert_eq!(counts(run(&instance).await), (1, 0, 0, 0));
    // A revoked one never is.
    let revoked = instance.create(rotating()).await;
    instance.manager.revoke(&operator(), revoked.key.id, None).await.unwrap();
    instance.clock.advance(DAY * 31);
    run(&instance).await;
    assert_eq!(instance.record(revoked.key.id).await.key.succession.superseded, None);
}

#[tokio::test]
async fn what_nobody_claimed_is_withdrawn_when_the_overlap_is_over() {
    let instance = Instance::new();
    let created = instance.create(rotating()).await;
    instance.clock.advance(DAY * 30);
    run(&instance).await;
    instance.clock.advance(DAY * 7 - Duration::from_millis(1));
    assert_eq!(counts(run(&instance).await), (0, 0, 0, 0));
    assert!(instance.record(created.key.id).await.offer.is_some());
    instance.clock.advance(Duration::from_millis(1));
    assert_eq!(counts(run(&instance).await), (0, 0, 1, 0));
    assert_eq!(instance.record(created.key.id).await.offer, None);
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::KeyExpired);
}

/// A successor is claimed by a request that is let in with the old key: as long as none is, a rotation would lock its holder
/// out.
#[tokio::test]
async fn a_rotation_waits_while_nobody_could_claim_it() {
    let instance = Instance::new();
    let late = instance.create(rotating_with(|new| new.not_before = Some(instance.clock.now() + days(60)))).await;
    let suspended = instance.create(rotating_with(|new| new.organization = org("globex"))).await;
    let project: ProjectId = "website".parse().unwrap();
    let stopped = instance.create(rotating_with(|new| new.project = Some(project.clone()))).await;
    let on_leave = instance.create(rotating_with(|new| new.user = user("bob"))).await;
    let suspend = |status| {
        let mut update = OrganizationUpdate::default();
        update.status = Some(status);
        update
    };
    let (operator, manager) = (the_operator(), &instance.manager);
    let set = async |status| {
        manager.update_organization(&operator, &org("globex"), &suspend(status), None).await.unwrap();
        manager.set_project_status(&support::operator(), &org("acme"), &project, status).await.unwrap();
        let status = Some(if status == ParentStatus::Active { UserStatus::Active } else { UserStatus::Suspended });
        let update = UserUpdate { status, ..UserUpdate::default() };
        manager.update_user(&support::operator(), &org("acme"), &user("bob"), &update, None).await.unwrap();
    };
    set(ParentStatus::Suspended).await;
    instance.clock.advance(DAY * 31);
    assert_eq!(counts(run(&instance).await), (0, 4, 0, 0));
    set(ParentStatus::Active).await;
    assert_eq!(counts(run(&instance).await), (3, 1, 0, 0));
    for waited in [&suspended, &stopped, &on_leave] {
        let admission = instance.validate(waited.text.expose()).await.unwrap();
        instance.manager.claim_successor(&admission, None).await.unwrap();
    }
    instance.clock.advance(DAY * 30);
    assert_eq!(run(&instance).await.rotated, 1);
    instance.validate(late.text.expose()).await.unwrap();
}

/// What was made and never used is not made again: nobody holds it who could claim the next.
#[tokio::test]
async fn a_successor_that_nobody_used_is_not_rotated_again() {
    let instance = Instance::new();
    let created = instance.create(rotating()).await;
    instance.clock.advance(DAY * 30);
    run(&instance).await;
    let successor = instance.record(created.key.id).await.key.succession.superseded.unwrap().successor_id;
    instance.clock.advance(DAY * 30);
    assert_eq!(counts(run(&instance).await), (0, 1, 1, 0));
    assert_eq!(instance.record(successor).await.key.succession.superseded, None);
}

/// A key that was stopped and then ended is over, and so is what it offered.
#[tokio::test]
async fn what_a_stopped_key_offered_is_withdrawn_and_it_waits_for_nothing() {
    let instance = Instance::new();
    let offering = instance.create(rotating()).await;
    let ending = instance.create(rotating()).await;
    instance.manager.rotate(&operator(), offering.key.id, None).await.unwrap();
    for id in [offering.key.id, ending.key.id] {
        instance.manager.deactivate(&operator(), id, None).await.unwrap();
    }
    instance.clock.advance(DAY * 90);
    let done = run(&instance).await;
    assert_eq!((done.withdrawn, done.rotated, done.failed), (1, 0, 0));
    assert_eq!(instance.record(offering.key.id).await.offer, None);
    // Nothing of what is over is listed for ever, but for the successor, which has a holder to come.
    assert_eq!(run(&instance).await.withdrawn, 0);
}

/// A clock that is set back makes nothing due twice.
#[tokio::test]
async fn a_clock_that_steps_rotates_nothing_twice() {
    let instance = Instance::new();
    let created = instance.create(rotating()).await;
    instance.clock.advance(DAY * 30);
    run(&instance).await;
    instance.clock.step_back(DAY * 30);
    assert_eq!(counts(run(&instance).await), (0, 0, 0, 0));
    instance.clock.advance(DAY * 30);
    assert_eq!(counts(run(&instance).await), (0, 0, 0, 0));
    instance.validate(created.text.expose()).await.unwrap();
}

/// What fails at one key is told, stops none of the others, and is done by the next run.
#[tokio::test]
async fn a_failure_at_one_key_stops_none_of_the_others() {
    let instance = Instance::new();
    let mut ids: Vec<KeyId> = Vec::new();
    for _ in 0..5 {
        ids.push(instance.create(rotating()).await.key.id);
    }
    instance.clock.advance(DAY * 30);
    let failing = format!("succeed KeyRecord {{ key: Key {{ id: {:?}", ids[2]);
    let store = FatefulStore::new(instance.memory.clone(), move |call| {
        if call.starts_with(&failing) { Fate::Failed } else { Fate::Answered }
    });
    let manager = manager_over(Arc::new(store), ring(&[1]), &instance.clock);
    let done = manager.run_schedules(&the_operator()).await.unwrap();
    assert_eq!(counts(done), (4, 0, 0, 1));
    assert_eq!(counts(run(&instance).await), (1, 0, 0, 0));
}

#[tokio::test]
async fn a_scheduler_runs_by_itself_and_stops_when_it_is_told() {
    let instance = Instance::new();
    let created = instance.create(rotating()).await;
    instance.clock.advance(DAY * 30);
    let others: Vec<_> = (0..3).map(|_| instance.beside(ring(&[1]))).collect();
    let schedulers: Vec<_> = others.iter().map(|other| other.manager.start_scheduler()).collect();
    instance.store.reset_calls();
    let rotated = async {
        while instance.record(created.key.id).await.key.succession.superseded.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), rotated).await.unwrap();
    for scheduler in schedulers {
        scheduler.stop().await;
    }
    // One of them has claimed this minute, and the others have read no list.
    let read = others.iter().filter(|other| other.store.calls().due > 0).count();
    assert_eq!(read, 1);
}

/// A year of a thousand keys, with five workers of which four stop wherever they are. Every rotation is done once, no holder of
/// a key is without one that works, and nothing is told twice or never.
#[tokio::test]
async fn a_year_with_workers_that_crash_locks_nobody_out() {
    let clock = HeldClock::new();
    let memory = MemoryStore::with_clock(clock.clone());
    let worker = |_| Arc::new(YieldingStore(memory.clone())) as Arc<dyn Store>;
    let workers = (0..5).map(worker).collect();
    let year = Year { keys: 1_000, days: 365, interval_days: 20, intervals: 40 };
    year.pass(&clock, Arc::new(memory.clone()), workers).await;
}
