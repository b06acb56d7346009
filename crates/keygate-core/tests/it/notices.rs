//! What owners and operators are told: once for each cause, and never not at all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use keygate_core::context::RequestContext;
use keygate_core::key::KeyId;
use keygate_core::limits::Limits;
use keygate_core::manager::{
    ApiKeyManager, Expiry, KeyUpdate, ManageError, ManagerBuilder, NewKey, OrganizationUpdate, ScheduleRun,
};
use keygate_core::names::{NameError, ProjectId, Reason};
use keygate_core::notice::{
    ChannelNotifier, DeliveryRun, Event, LogNotifier, MAX_WEBHOOKS, NotTaken, Notice, NoticeId, NoticeKind,
    NoticePolicy, Notifier, Receiver, WebhookSecret, WebhookSender, WebhookUrl,
};
use keygate_core::record::{ParentStatus, RotationSchedule};
use keygate_core::store::{MemoryStore, Store};
use keygate_testkit::{Heard, HeldClock};
use serde_json::json;

use crate::support::fateful_store::{Fate, FatefulStore};
use crate::support::{Instance, ROOMY, new_key, new_key_with, operator, org, ring, tenant, the_operator, user};

const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);

fn days(days: i64) -> TimeDelta {
    TimeDelta::days(days)
}

/// An instance whose notices `heard` hears.
fn hearing(heard: &Heard) -> Instance {
    hearing_with(heard, |builder| builder)
}

fn hearing_with(heard: &Heard, more: impl FnOnce(ManagerBuilder) -> ManagerBuilder) -> Instance {
    let heard = heard.clone();
    Instance::built(ring(&[1]), |builder| more(builder.notifier(heard)))
}

/// Another manager of the same deployment, over a store that fails as `fate` has it.
fn failing(instance: &Instance, heard: &Heard, fate: impl Fn(&str) -> Fate + Send + Sync + 'static) -> ApiKeyManager {
    let store = FatefulStore::new(instance.memory.clone(), fate);
    let builder = ApiKeyManager::builder(store, ring(&[1])).clock(instance.clock.clone()).quota(ROOMY);
    builder.notifier(heard.clone()).build().unwrap()
}

async fn deliver(instance: &Instance) -> DeliveryRun {
    instance.manager.deliver_notices().await.unwrap()
}

async fn run(instance: &Instance) -> ScheduleRun {
    instance.manager.run_schedules(&the_operator()).await.unwrap()
}

fn expiring(life: TimeDelta) -> NewKey {
    new_key_with(|new| new.expiry = Expiry::In(life))
}

#[tokio::test]
async fn whatever_is_done_to_a_key_is_told() {
    let heard = Heard::new();
    let instance = hearing(&heard);
    let created = instance.create(new_key()).await;
    let id = created.key.id;
    let rotation = instance.manager.rotate(&operator(), id, None).await.unwrap();
    let reason = Reason::new("it leaked").unwrap();
    instance.manager.revoke(&operator(), rotation.new_key_id, Some(reason)).await.unwrap();
    // To do it again is to do nothing.
    instance.manager.revoke(&operator(), rotation.new_key_id, None).await.unwrap();
    assert_eq!(heard.taken(), [], "nothing is brought but from the outbox");
    let run = deliver(&instance).await;
    assert_eq!((run.sent, run.later, run.given_up, run.forgotten), (3, 0, 0, 0));
    assert_eq!(heard.kinds().len(), 3);
    let notices = heard.taken();
    let of = |kind: NoticeKind| notices.iter().find(|notice| notice.kind() == kind).unwrap().payload();
    let about = json!({
        "organization_id": "acme", "key_id": id, "user_id": "ada", "project_id": null, "name": "Unnamed key",
        "environment": "dev", "expires_at": created.key.expires_at,
    });
    let expected = json!({ "type": "key.created", "timestamp": created.key.created_at, "data": about });
    assert_eq!(of(NoticeKind::KeyCreated), expected);
    let rotated = of(NoticeKind::KeyRotated);
    assert_eq!(rotated["data"]["successor_id"], json!(rotation.new_key_id));
    assert_eq!(rotated["data"]["overlap_expires_at"], json!(rotation.overlap_expires_at));
    assert_eq!(rotated["data"]["hand_over"], json!(false));
    let revoked = of(NoticeKind::KeyRevoked);
    assert_eq!(revoked["data"]["key_id"], json!(rotation.new_key_id));
    assert_eq!(revoked["data"]["reason"], json!("it leaked"));
    // No text of a key is in any of them.
    for text in [created.text.expose(), rotation.text.expose()] {
        assert!(notices.iter().all(|notice| !notice.payload().to_string().contains(text)));
    }
    assert_eq!(deliver(&instance).await, DeliveryRun::default());
}

#[tokio::test]
async fn a_key_that_is_deactivated_is_told_each_time() {
    let heard = Heard::new();
    let instance = hearing(&heard);
    let id = instance.create(new_key()).await.key.id;
    deliver(&instance).await;
    heard.forget();
    let reason = Reason::new("on leave").unwrap();
    for _ in 0..2 {
        instance.manager.deactivate(&operator(), id, Some(reason.clone())).await.unwrap();
        // Again is nothing new.
        instance.clock.advance(Duration::from_secs(1));
        instance.manager.deactivate(&operator(), id, None).await.unwrap();
        instance.manager.activate(&operator(), id, None).await.unwrap();
    }
    instance.clock.advance(2 * MINUTE);
    deliver(&instance).await;
    assert_eq!(heard.kinds(), [NoticeKind::KeyDeactivated; 2]);
    assert_eq!(heard.by_id().len(), 2);
    assert_eq!(heard.taken()[0].payload()["data"]["reason"], json!("on leave"));
}

#[tokio::test]
async fn suspensions_are_told_each_time() {
    let heard = Heard::new();
    let instance = hearing(&heard);
    let (acme, website) = (org("acme"), ProjectId::new("website").unwrap());
    let mut update = OrganizationUpdate::default();
    for status in [ParentStatus::Suspended, ParentStatus::Suspended, ParentStatus::Active, ParentStatus::Suspended] {
        update.status = Some(status);
        instance.manager.update_organization(&the_operator(), &acme, &update, None).await.unwrap();
    }
    for status in [ParentStatus::Suspended, ParentStatus::Active] {
        instance.manager.set_project_status(&operator(), &acme, &website, status).await.unwrap();
    }
    deliver(&instance).await;
    let mut kinds = heard.kinds();
    kinds.sort_unstable();
    let suspended = NoticeKind::OrganizationSuspended;
    assert_eq!(kinds, [suspended, suspended, NoticeKind::ProjectSuspended]);
    assert_eq!(heard.by_id().len(), 3);
    let project = heard.taken().into_iter().find(|notice| notice.kind() == NoticeKind::ProjectSuspended).unwrap();
    assert_eq!(project.payload()["data"], json!({ "organization_id": "acme", "project_id": "website" }));
}

#[tokio::test]
async fn what_is_refused_is_not_told() {
    let heard = Heard::new();
    let instance = hearing(&heard);
    let mut update = OrganizationUpdate::default();
    update.max_keys = Some(Some(1));
    instance.manager.update_organization(&the_operator(), &org("acme"), &update, None).await.unwrap();
    let many = instance.manager.create_many(&operator(), vec![new_key(), new_key(), new_key()]).await;
    assert_eq!(many.iter().filter(|created| created.is_ok()).count(), 1);
    let revoked = many.into_iter().find_map(Result::ok).unwrap().key.id;
    instance.manager.revoke(&operator(), revoked, None).await.unwrap();
    assert!(matches!(instance.manager.rotate(&operator(), revoked, None).await, Err(ManageError::Revoked)));
    assert_eq!(deliver(&instance).await.sent, 2);
    instance.clock.advance(10 * MINUTE);
    assert_eq!(deliver(&instance).await, DeliveryRun::default());
    let mut kinds = heard.kinds();
    kinds.sort_unstable();
    assert_eq!(kinds, [NoticeKind::KeyCreated, NoticeKind::KeyRevoked]);
}

/// Wherever whoever does something stops, or its store fails, what was done is told, and what was not is not.
#[tokio::test]
async fn what_was_announced_is_looked_up_when_nobody_says_whether_it_came_to_pass() {
    type Act = for<'a> fn(&'a ApiKeyManager, KeyId) -> std::pin::Pin<Box<dyn Future<Output = bool> + Send + 'a>>;
    let acts: [(&str, NoticeKind, Act); 6] = [
        ("set_status ", NoticeKind::KeyDeactivated, |manager, id| {
            Box::pin(async move { manager.deactivate(&operator(), id, None).await.is_ok() })
        }),
        ("create_within ", NoticeKind::KeyCreated, |manager, _| {
            Box::pin(async { manager.create(&operator(), new_key()).await.is_ok() })
        }),
        ("succeed ", NoticeKind::KeyRotated, |manager, id| {
            Box::pin(async move { manager.rotate(&operator(), id, None).await.is_ok() })
        }),
        ("set_status ", NoticeKind::KeyRevoked, |manager, id| {
            Box::pin(async move { manager.revoke(&operator(), id, None).await.is_ok() })
        }),
        ("put_organization ", NoticeKind::OrganizationSuspended, |manager, _| {
            Box::pin(async {
                let mut update = OrganizationUpdate::default();
                update.status = Some(ParentStatus::Suspended);
                manager.update_organization(&the_operator(), &org("acme"), &update, None).await.is_ok()
            })
        }),
        ("put_project ", NoticeKind::ProjectSuspended, |manager, _| {
            Box::pin(async {
                let website = ProjectId::new("website").unwrap();
                let suspended = ParentStatus::Suspended;
                manager.set_project_status(&operator(), &org("acme"), &website, suspended).await.is_ok()
            })
        }),
    ];
    for (call, kind, act) in acts {
        for fate in [Fate::Failed, Fate::Lost] {
            let heard = Heard::new();
            let instance = hearing(&heard);
            let id = instance.create(new_key()).await.key.id;
            deliver(&instance).await;
            heard.forget();
            let manager =
                failing(&instance, &heard, move |made| if made.starts_with(call) { fate } else { Fate::Answered });
            act(&manager, id).await;
            assert_eq!(deliver(&instance).await.forgotten, 0, "{call}{fate:?}: nobody knows yet");
            instance.clock.advance(2 * MINUTE);
            let run = deliver(&instance).await;
            let came_to_pass = matches!(fate, Fate::Lost);
            assert_eq!(heard.kinds(), vec![kind; usize::from(came_to_pass)], "{call}{fate:?}");
            // A rotation whose answer was lost looks for itself.
            assert_eq!(run.forgotten, u64::from(!came_to_pass), "{call}{fate:?}");
            instance.clock.advance(2 * MINUTE);
            assert_eq!(deliver(&instance).await, DeliveryRun::default(), "{call}{fate:?}");
        }
    }
}

/// Nothing is made without anybody hearing of it. To stop something is worth more.
#[tokio::test]
async fn where_the_outbox_does_not_answer_nothing_is_made_and_everything_can_be_stopped() {
    let heard = Heard::new();
    let instance = hearing(&heard);
    let id = instance.create(new_key()).await.key.id;
    let manager =
        failing(&instance, &heard, |call| if call.starts_with("put_notice") { Fate::Failed } else { Fate::Answered });
    assert!(matches!(manager.create(&operator(), new_key()).await, Err(ManageError::Store(_))));
    assert!(matches!(manager.rotate(&operator(), id, None).await, Err(ManageError::Store(_))));
    assert_eq!(instance.record(id).await.key.succession.superseded, None);
    let mut update = OrganizationUpdate::default();
    update.status = Some(ParentStatus::Suspended);
    manager.update_organization(&the_operator(), &org("acme"), &update, None).await.unwrap();
    manager.revoke(&operator(), id, None).await.unwrap();
}

#[tokio::test]
async fn nobody_is_told_where_nobody_hears() {
    let instance = Instance::new();
    let created = instance.create(expiring(days(8))).await;
    for _ in 0..9 {
        instance.clock.advance(DAY);
        assert_eq!(run(&instance).await.told, 0);
    }
    instance.manager.revoke(&operator(), created.key.id, None).await.unwrap();
    let calls = instance.store.calls();
    assert_eq!((calls.put_notice, calls.take_notices), (0, 0));
}

/// Seven days before a key ends, one day before, and when it has: once each, however often it is looked at.
#[tokio::test]
async fn the_end_of_a_key_is_told_in_time_and_once() {
    let heard = Heard::new();
    let instance = hearing(&heard);
    let created = instance.create(expiring(days(30))).await;
    let short = instance.create(expiring(days(3))).await;
    let forever = instance.create(new_key_with(|new| new.expiry = Expiry::Never)).await;
    deliver(&instance).await;
    heard.forget();
    let mut told = Vec::new();
    let begin = created.key.created_at;
    for hour in 1..=31 * 24 {
        instance.clock.advance(60 * MINUTE);
        run(&instance).await;
        run(&instance).await;
        deliver(&instance).await;
        for notice in heard.taken() {
            assert_eq!(instance.clock.now(), begin + TimeDelta::hours(hour));
            let days = if let Event::Expiring { days, .. } = notice.event { days } else { 0 };
            told.push((notice.event.key().unwrap().key_id, notice.kind(), days, hour));
        }
        heard.forget();
    }
    let (long, short) = (created.key.id, short.key.id);
    let (expiring, expired) = (NoticeKind::KeyExpiring, NoticeKind::KeyExpired);
    let expected = [
        (short, expiring, 1, 2 * 24),
        (short, expired, 0, 3 * 24),
        (long, expiring, 7, 23 * 24),
        (long, expiring, 1, 29 * 24),
        (long, expired, 0, 30 * 24),
    ];
    assert_eq!(told, expected);
    assert!(instance.record(forever.key.id).await.look_at.is_none());
}

/// A new end is told of anew, and one that is brought near at once.
#[tokio::test]
async fn an_end_that_is_moved_is_told_of_as_it_then_is() {
    let heard = Heard::new();
    let instance = hearing(&heard);
    let id = instance.create(expiring(days(365))).await.key.id;
    deliver(&instance).await;
    heard.forget();
    let update = |life: TimeDelta| {
        let mut update = KeyUpdate::new();
        update.expiry = Some(Expiry::In(life));
        update
    };
    instance.clock.advance(30 * DAY);
    run(&instance).await;
    instance.manager.update(&operator(), id, &update(days(5)), None).await.unwrap();
    for _ in 0..2 {
        run(&instance).await;
        deliver(&instance).await;
    }
    let leads = |heard: &Heard| -> Vec<u16> {
        let days = |notice: Notice| if let Event::Expiring { days, .. } = notice.event { Some(days) } else { None };
        heard.taken().into_iter().filter_map(days).collect()
    };
    assert_eq!(leads(&heard), [5], "what is left of it");
    // It is told in the place of those that have gone by.
    instance.clock.advance(DAY * 9 / 2);
    run(&instance).await;
    deliver(&instance).await;
    assert_eq!(leads(&heard), [5, 1]);
    instance.manager.update(&operator(), id, &update(days(8)), None).await.unwrap();
    instance.clock.advance(2 * DAY);
    run(&instance).await;
    deliver(&instance).await;
    assert_eq!(leads(&heard), [5, 1, 6]);
}

#[tokio::test]
async fn a_warning_comes_before_a_rotation_where_it_is_asked_for() {
    let heard = Heard::new();
    let instance = hearing(&heard);
    let schedule = |notify_users| RotationSchedule {
        interval_days: 30,
        warning_days: 3,
        auto_rotate: false,
        notify_users,
        overlap_days: 7,
    };
    let asked = |notifies| new_key_with(|new| new.rotation_schedule = Some(schedule(notifies)));
    let created = instance.create(asked(true)).await;
    instance.create(asked(false)).await;
    deliver(&instance).await;
    heard.forget();
    instance.clock.advance(27 * DAY - MINUTE);
    run(&instance).await;
    deliver(&instance).await;
    assert_eq!(heard.taken(), []);
    instance.clock.advance(MINUTE);
    run(&instance).await;
    deliver(&instance).await;
    let data = heard.taken().remove(0).payload()["data"].clone();
    assert_eq!(data["key_id"], json!(created.key.id));
    assert_eq!(data["next_rotation"], json!(created.key.created_at + days(30)));
    assert_eq!(data["auto_rotate"], json!(false));
    instance.clock.advance(10 * DAY);
    run(&instance).await;
    deliver(&instance).await;
    assert_eq!(heard.kinds(), [NoticeKind::KeyRotationDue]);
}

/// Once for each time that a key is left alone for so long.
#[tokio::test]
async fn a_key_that_is_not_used_is_told_of_once_each_time() {
    let heard = Heard::new();
    let policy = NoticePolicy::default().unused(Some(10)).unwrap();
    let instance = hearing_with(&heard, |builder| builder.notices(policy));
    let created = instance.create(new_key_with(|new| new.limits = Some(Limits::UNLIMITED))).await;
    let mut told = Vec::new();
    let begin = instance.clock.now();
    for day in 1..=60_i64 {
        instance.clock.advance(DAY);
        if [5, 30].contains(&day) {
            instance.validate(created.text.expose()).await.unwrap();
            instance.manager.tend().await;
        }
        run(&instance).await;
        deliver(&instance).await;
        for notice in heard.taken() {
            if let Event::Unused { since, days, .. } = notice.event {
                told.push((day, (since - begin).num_days(), days));
            }
        }
        heard.forget();
    }
    assert_eq!(told, [(15, 5, 10), (40, 30, 10)]);
}

#[tokio::test]
async fn a_policy_out_of_range_is_refused() {
    for bad in [vec![0], vec![3651], (1..=9).collect()] {
        assert!(NoticePolicy::default().expiring(bad).is_err());
    }
    for bad in [0, 3651] {
        assert!(NoticePolicy::default().unused(Some(bad)).is_err());
    }
    let heard = Heard::new();
    let policy = NoticePolicy::default().expiring([2, 30, 2]).unwrap();
    let instance = hearing_with(&heard, |builder| builder.notices(policy));
    instance.create(expiring(days(60))).await;
    for _ in 0..60 {
        instance.clock.advance(DAY);
        run(&instance).await;
        deliver(&instance).await;
    }
    let days: Vec<u16> = heard
        .taken()
        .into_iter()
        .filter_map(|notice| if let Event::Expiring { days, .. } = notice.event { Some(days) } else { None })
        .collect();
    assert_eq!(days, [30, 2]);
}

#[tokio::test]
async fn what_is_not_taken_is_tried_again_ever_later_and_then_given_up_until_it_is_sent_again() {
    let works = Arc::new(AtomicBool::new(false));
    let working = Arc::clone(&works);
    let heard =
        Heard::answering(
            move |_| {
                if working.load(Ordering::Relaxed) { Ok(()) } else { Err(NotTaken::for_now("out to lunch")) }
            },
        );
    let instance = hearing(&heard);
    let created = instance.create(new_key()).await;
    let mut waits = Vec::new();
    let mut last = instance.clock.now();
    for _ in 0..4 * 24 * 60 {
        if deliver(&instance).await != DeliveryRun::default() {
            waits.push(instance.clock.now() - last);
            last = instance.clock.now();
        }
        instance.clock.advance(MINUTE);
    }
    // At once, then after 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 h, each a tenth longer at most, to the minute.
    let delays = [0, 0, 5, 30, 120, 300, 600, 840, 1200, 1440].map(TimeDelta::minutes);
    assert_eq!(waits.len(), delays.len(), "{waits:?}");
    for (wait, delay) in waits.iter().zip(delays) {
        assert!((delay..=delay + delay / 10 + TimeDelta::minutes(1)).contains(wait), "{wait} for {delay}");
    }
    assert_eq!(heard.refused().len(), 10);
    let given_up = instance.manager.notices_given_up(&operator(), &org("acme"), 10).await.unwrap();
    assert_eq!(given_up.len(), 1);
    assert_eq!(given_up[0].notice["data"]["key_id"], json!(created.key.id));
    let failed = &given_up[0].failed[0];
    assert_eq!((failed.attempts, failed.reason.as_str()), (10, "out to lunch"));
    assert_eq!(failed.receiver, Receiver::Notifier("heard".to_owned()));
    let statistics = instance.manager.notice_statistics();
    assert_eq!((statistics.posted, statistics.retried, statistics.given_up, statistics.taken), (1, 9, 1, 0));

    works.store(true, Ordering::Relaxed);
    let (stranger, mine) = (tenant("other", &[]), tenant("acme", &[]));
    let id = given_up[0].notice_id;
    assert!(instance.manager.redrive_notices(&stranger, &org("acme"), None).await.is_err());
    assert_eq!(instance.manager.redrive_notices(&stranger, &org("other"), Some(id)).await.unwrap(), 0);
    assert_eq!(instance.manager.redrive_notices(&mine, &org("acme"), Some(id)).await.unwrap(), 1);
    assert_eq!(deliver(&instance).await.sent, 1);
    assert_eq!(heard.kinds(), [NoticeKind::KeyCreated]);
    assert_eq!(instance.manager.notices_given_up(&mine, &org("acme"), 10).await.unwrap(), []);
}

#[tokio::test]
async fn one_that_does_not_take_a_notice_holds_up_no_other() {
    let (channel, mut received) = ChannelNotifier::new("channel", 1);
    let never = Heard::answering(|_| Err(NotTaken::for_good("never")));
    let instance =
        Instance::built(ring(&[1]), |builder| builder.notifier(never.clone()).notifier(channel).notifier(LogNotifier));
    instance.create(new_key()).await;
    instance.create(new_key()).await;
    let run = deliver(&instance).await;
    assert_eq!((run.later, run.given_up), (1, 1), "the channel has room for one");
    let first = received.recv().await.unwrap();
    instance.clock.advance(MINUTE);
    assert_eq!(deliver(&instance).await.given_up, 1);
    assert_ne!(received.recv().await.unwrap().id, first.id);
    assert_eq!(never.refused().len(), 2, "one that will never take it is asked once");
}

/// An instance that stops after it has taken notices leaves them to the others.
#[tokio::test]
async fn what_one_instance_took_and_did_not_bring_another_brings() {
    let heard = Heard::new();
    let instance = hearing(&heard);
    instance.create(new_key()).await;
    let taken =
        instance.memory.take_notices(0, instance.clock.now(), instance.clock.now() + TimeDelta::seconds(60), 10);
    assert_eq!(taken.await.unwrap().len(), 1);
    assert_eq!(deliver(&instance).await, DeliveryRun::default());
    instance.clock.advance(MINUTE);
    assert_eq!(deliver(&instance).await.sent, 1);
    // Two that bring at once bring each once.
    for _ in 0..100 {
        instance.create(new_key()).await;
    }
    let (one, other) = (deliver(&instance), deliver(&instance));
    let (one, other) = tokio::join!(one, other);
    assert_eq!(one.sent + other.sent, 100);
    assert!(heard.by_id().values().all(|(_, times)| *times == 1));
    assert_eq!(heard.by_id().len(), 101);
}

#[tokio::test]
async fn a_limit_that_is_met_is_told_once_a_day_by_all_instances() {
    let heard = Heard::new();
    let instance = hearing(&heard);
    let limits = Limits { per_minute: Some(2), ..Limits::UNLIMITED };
    let created = instance.create(new_key_with(|new| new.limits = Some(limits))).await;
    deliver(&instance).await;
    heard.forget();
    let beside = {
        let builder = ApiKeyManager::builder(instance.memory.clone(), ring(&[1])).clock(instance.clock.clone());
        builder.notifier(heard.clone()).build().unwrap()
    };
    for day in 0..2 {
        for manager in [&instance.manager, &beside] {
            let mut denials = 0;
            for _ in 0..6 {
                let denied = manager.validate(created.text.expose(), &RequestContext::new()).await;
                denials += u32::from(denied.is_err());
            }
            assert!(denials >= 2, "{denials}");
        }
        let told = async {
            while deliver(&instance).await.sent == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), told).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        deliver(&instance).await;
        let notice = heard.taken().remove(0);
        let data = &notice.payload()["data"];
        assert_eq!(heard.by_id().len(), day + 1);
        assert_eq!((&data["level"], &data["window"], &data["limit"]), (&json!("key"), &json!("minute"), &json!(2)));
        instance.clock.advance(DAY);
    }
    assert_eq!(heard.kinds(), [NoticeKind::KeyLimitReached; 2]);
}

#[tokio::test]
async fn a_key_that_nobody_claims_is_rotated_when_a_notifier_takes_its_text() {
    let plain = Heard::new();
    let taker = Heard::new().taking_keys();
    let schedule =
        RotationSchedule { interval_days: 30, warning_days: 0, auto_rotate: true, notify_users: true, overlap_days: 7 };
    for (heard, rotated) in [(&plain, 0), (&taker, 1)] {
        let instance = hearing(heard);
        let created = instance.create(new_key_with(|new| new.rotation_schedule = Some(schedule))).await;
        instance.clock.advance(30 * DAY);
        let done = run(&instance).await;
        assert_eq!((done.rotated, done.waiting), (rotated, 1 - rotated));
        instance.validate(created.text.expose()).await.unwrap();
        if rotated == 1 {
            let keys = taker.keys();
            assert_eq!(keys.len(), 1);
            assert_eq!(keys[0].old_key_id, created.key.id);
            let admission = instance.validate(keys[0].text.expose()).await.unwrap();
            assert_eq!(admission.id, keys[0].new_key_id);
            assert!(!format!("{:?}", keys[0]).contains(keys[0].text.expose()));
            // It goes on by itself, though nobody claims anything.
            instance.clock.advance(30 * DAY);
            assert_eq!(run(&instance).await.rotated, 1);
        }
    }
}

/// Where something was sent, signed with which secrets, and what.
type Sent = (String, Vec<Vec<u8>>, Notice);

/// Sends to nobody, and answers as it is told.
#[derive(Debug, Clone, Default)]
struct Sender {
    sent: Arc<Mutex<Vec<Sent>>>,
    answers: Arc<Mutex<Vec<NotTaken>>>,
}

impl Sender {
    fn answering(answers: impl IntoIterator<Item = NotTaken>) -> Self {
        let answers: Vec<_> = answers.into_iter().collect();
        Self { answers: Arc::new(Mutex::new(answers.into_iter().rev().collect())), ..Self::default() }
    }

    fn urls(&self) -> Vec<String> {
        self.sent.lock().unwrap().iter().map(|(url, ..)| url.clone()).collect()
    }
}

#[async_trait]
impl WebhookSender for Sender {
    fn check(&self, url: &WebhookUrl) -> Result<(), NameError> {
        if url.as_str().contains("private") { Err(NameError::new("url", "must be public")) } else { Ok(()) }
    }

    async fn send(&self, url: &WebhookUrl, secrets: &[WebhookSecret], notice: &Notice) -> Result<(), NotTaken> {
        let secrets: Vec<_> = secrets.iter().map(|secret| secret.as_bytes().to_vec()).collect();
        self.sent.lock().unwrap().push((url.as_str().to_owned(), secrets, notice.clone()));
        if url.as_str().contains("fails") {
            return Err(self.answers.lock().unwrap().pop().unwrap_or_else(|| NotTaken::for_now("500")));
        }
        Ok(())
    }
}

fn url(path: &str) -> WebhookUrl {
    WebhookUrl::new(format!("https://example.com/{path}")).unwrap()
}

fn sending(sender: &Sender) -> Instance {
    let sender = sender.clone();
    Instance::built(ring(&[1]), |builder| builder.webhooks(sender))
}

#[tokio::test]
async fn a_webhook_hears_of_what_it_asked_for_in_its_organization() {
    let sender = Sender::default();
    let instance = sending(&sender);
    let (mine, acme) = (tenant("acme", &["**"]), org("acme"));
    let all = instance.manager.create_webhook(&mine, &acme, &url("all"), &[]).await.unwrap();
    let revoked = [NoticeKind::KeyRevoked, NoticeKind::KeyRevoked];
    instance.manager.create_webhook(&mine, &acme, &url("revoked"), &revoked).await.unwrap();
    let other = tenant("other", &["**"]);
    instance.manager.create_webhook(&other, &org("other"), &url("other"), &[]).await.unwrap();
    let listed = instance.manager.webhooks(&mine, &acme).await.unwrap();
    assert_eq!(
        listed.iter().map(|hook| hook.url.as_str()).collect::<Vec<_>>(),
        [url("all").as_str(), url("revoked").as_str()]
    );
    assert_eq!(listed[1].events, [NoticeKind::KeyRevoked]);
    assert!(!format!("{all:?}").contains(&all.secret.expose()[6..]), "no secret in Debug");
    assert!(serde_json::to_string(&all).unwrap().contains(&*all.secret.expose()), "it is shown once");

    let id = instance.create(new_key()).await.key.id;
    deliver(&instance).await;
    assert_eq!(sender.urls(), [url("all").as_str()]);
    assert_eq!(sender.sent.lock().unwrap()[0].1, [all.secret.as_bytes().to_vec()]);
    instance.manager.revoke(&operator(), id, None).await.unwrap();
    deliver(&instance).await;
    let mut urls = sender.urls();
    urls.sort_unstable();
    assert_eq!(urls, [url("all").as_str(), url("all").as_str(), url("revoked").as_str()]);

    sender.sent.lock().unwrap().clear();
    let test = instance.manager.test_webhooks(&mine, &acme).await.unwrap();
    deliver(&instance).await;
    assert_eq!(sender.urls().len(), 2, "every webhook hears a test");
    assert!(sender.sent.lock().unwrap().iter().all(|(.., notice)| notice.id == test));

    // What others see and do.
    for actor in [tenant("other", &["**"])] {
        assert!(matches!(instance.manager.webhooks(&actor, &acme).await, Err(ManageError::ParentNotFound)));
        let deleted = instance.manager.delete_webhook(&actor, &org("other"), all.webhook.webhook_id).await;
        assert!(matches!(deleted, Err(ManageError::NoSuchWebhook)));
        let renewed = instance.manager.renew_webhook_secret(&actor, &acme, all.webhook.webhook_id).await;
        assert!(matches!(renewed, Err(ManageError::ParentNotFound)));
    }
    instance.manager.delete_webhook(&mine, &acme, all.webhook.webhook_id).await.unwrap();
    let again = instance.manager.delete_webhook(&mine, &acme, all.webhook.webhook_id).await;
    assert!(matches!(again, Err(ManageError::NoSuchWebhook)));
    instance.manager.delete_webhooks(&mine, &acme).await.unwrap();
    assert_eq!(instance.manager.webhooks(&mine, &acme).await.unwrap(), []);
    assert!(matches!(instance.manager.test_webhooks(&mine, &acme).await, Err(ManageError::NoSuchWebhook)));
}

#[tokio::test]
async fn webhooks_are_refused_where_nothing_would_be_sent() {
    let instance = sending(&Sender::default());
    let acme = org("acme");
    let private = instance.manager.create_webhook(&operator(), &acme, &url("private"), &[]).await;
    assert!(matches!(private, Err(ManageError::Invalid(_))));
    for place in 0..MAX_WEBHOOKS {
        instance.manager.create_webhook(&operator(), &acme, &url(&place.to_string()), &[]).await.unwrap();
    }
    let more = instance.manager.create_webhook(&operator(), &acme, &url("more"), &[]).await;
    assert!(matches!(more, Err(ManageError::Invalid(_))));
    let silent = Instance::new();
    let unsent = silent.manager.create_webhook(&operator(), &acme, &url("a"), &[]).await;
    assert!(matches!(unsent, Err(ManageError::SendsNoWebhooks)));
    for bad in
        ["ftp://example.com", "https://", "https:///path", "example.com", "https://exa mple.com", "https://ä.com"]
    {
        assert!(WebhookUrl::new(bad).is_err(), "{bad}");
    }
    assert!(WebhookUrl::new(format!("https://example.com/{}", "x".repeat(2048))).is_err());
}

/// While a secret is changed both sign; the old one for a day. The ring may be changed meanwhile.
#[tokio::test]
async fn a_secret_is_renewed_without_a_gap() {
    let sender = Sender::default();
    let instance = sending(&sender);
    let acme = org("acme");
    let first = instance.manager.create_webhook(&operator(), &acme, &url("all"), &[]).await.unwrap();
    let id = first.webhook.webhook_id;
    let second = instance.manager.renew_webhook_secret(&operator(), &acme, id).await.unwrap();
    let (old, new) = (first.secret.as_bytes().to_vec(), second.secret.as_bytes().to_vec());
    assert_ne!(old, new);
    let mut signed = Vec::new();
    for _ in 0..2 {
        instance.create(new_key()).await;
        deliver(&instance).await;
        signed.push(sender.sent.lock().unwrap().last().unwrap().1.clone());
        instance.clock.advance(DAY);
    }
    assert_eq!(signed, [vec![new.clone(), old], vec![new.clone()]]);

    // Another master secret: the webhook needs the old entry until something is sent to it.
    let entry = ring(&[1]).current_id();
    let usage = instance.manager.ring_usage(&the_operator()).await.unwrap();
    assert!(usage[&entry] > 0);
    let later = sender.clone();
    let rotated = ApiKeyManager::builder(instance.memory.clone(), ring(&[2, 1]))
        .clock(instance.clock.clone())
        .webhooks(later)
        .build()
        .unwrap();
    rotated.create(&operator(), new_key()).await.unwrap();
    let before = rotated.ring_usage(&the_operator()).await.unwrap()[&entry];
    rotated.deliver_notices().await.unwrap();
    assert_eq!(sender.sent.lock().unwrap().last().unwrap().1, [new]);
    let after = rotated.ring_usage(&the_operator()).await.unwrap()[&entry];
    assert_eq!(before - after, 1);
}

#[tokio::test]
async fn a_webhook_that_is_gone_is_disabled_until_its_secret_is_renewed() {
    let sender = Sender::answering([NotTaken::gone("410 Gone")]);
    let instance = sending(&sender);
    let acme = org("acme");
    let created = instance.manager.create_webhook(&operator(), &acme, &url("fails"), &[]).await.unwrap();
    instance.create(new_key()).await;
    assert_eq!(deliver(&instance).await.given_up, 1);
    let listed = instance.manager.webhooks(&operator(), &acme).await.unwrap();
    assert_eq!(listed[0].disabled.as_ref().unwrap().reason, "410 Gone");
    instance.create(new_key()).await;
    assert_eq!(deliver(&instance).await, DeliveryRun::default(), "nobody hears in this organization");
    assert_eq!(sender.urls().len(), 1);
    instance.manager.renew_webhook_secret(&operator(), &acme, created.webhook.webhook_id).await.unwrap();
    assert_eq!(instance.manager.webhooks(&operator(), &acme).await.unwrap()[0].disabled, None);
    instance.create(new_key()).await;
    deliver(&instance).await;
    assert_eq!(sender.urls().len(), 2);
}

/// One that fails is left alone the longer the longer it has failed, and takes no time of others.
#[tokio::test]
async fn a_webhook_that_fails_is_left_alone() {
    let sender = Sender::default();
    let instance = sending(&sender);
    let acme = org("acme");
    instance.manager.create_webhook(&operator(), &acme, &url("fails"), &[]).await.unwrap();
    instance.manager.create_webhook(&operator(), &acme, &url("works"), &[]).await.unwrap();
    for _ in 0..50 {
        instance.create(new_key()).await;
        deliver(&instance).await;
        instance.clock.advance(Duration::from_secs(1));
    }
    let urls = sender.urls();
    let of = |path: &str| urls.iter().filter(|sent| sent.ends_with(path)).count();
    assert_eq!(of("works"), 50);
    assert!((3..=10).contains(&of("fails")), "{}", of("fails"));
}

/// A receiver's own words are heard, within an hour.
#[tokio::test]
async fn who_asks_to_be_left_alone_is() {
    let asked = [MINUTE * 20, DAY].map(|pause| NotTaken::for_at_least("429", pause));
    let sender = Sender::answering(asked);
    let instance = sending(&sender);
    instance.manager.create_webhook(&operator(), &org("acme"), &url("fails"), &[]).await.unwrap();
    instance.create(new_key()).await;
    let mut waits = Vec::new();
    let mut last = instance.clock.now();
    for _ in 0..150 {
        let before = sender.urls().len();
        deliver(&instance).await;
        if sender.urls().len() > before {
            waits.push((instance.clock.now() - last).num_minutes());
            last = instance.clock.now();
        }
        instance.clock.advance(MINUTE);
    }
    assert_eq!(waits[..3], [0, 20, 60]);
}

#[test]
fn ids_are_written_in_one_way() {
    let id = NoticeId::from_bytes([0xab; 16]);
    let text = id.to_string();
    assert_eq!(text, "msg_abababababababababababababababab");
    assert_eq!(text.parse::<NoticeId>().unwrap(), id);
    for bad in ["", "msg_", "msg_ABABABABABABABABABABABABABABABAB", "abababababababababababababababab", &text[..35]] {
        assert!(bad.parse::<NoticeId>().is_err(), "{bad}");
    }
    for kind in NoticeKind::ALL {
        assert_eq!(kind.as_str().parse::<NoticeKind>().unwrap(), kind);
    }
    assert!("key.unknown".parse::<NoticeKind>().unwrap_err().to_string().contains("key.created"));
}

/// A scheduler brings notices by itself, and what it has taken it brings before it stops.
#[tokio::test]
async fn a_scheduler_brings_notices_by_itself() {
    let (channel, mut received) = ChannelNotifier::new("channel", 10);
    let instance = Instance::built(ring(&[1]), |builder| builder.notifier(channel));
    let scheduler = instance.manager.start_scheduler();
    let created = instance.create(new_key()).await;
    let notice = tokio::time::timeout(Duration::from_secs(30), received.recv()).await.unwrap().unwrap();
    assert_eq!(notice.event.key().unwrap().key_id, created.key.id);
    scheduler.stop().await;
}

/// A notifier that is slow is given up in time.
#[derive(Debug)]
struct Slow;

#[async_trait]
impl Notifier for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    async fn notify(&self, _: &Notice) -> Result<(), NotTaken> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_answer_is_given_up_and_tried_again() {
    let clock = HeldClock::new();
    let memory = MemoryStore::with_clock(clock.clone());
    let manager = ApiKeyManager::builder(memory.clone(), ring(&[1])).clock(clock).notifier(Slow).build().unwrap();
    manager.create(&operator(), NewKey::new(org("acme"), user("ada"))).await.unwrap();
    assert_eq!(manager.deliver_notices().await.unwrap().later, 1);
    assert_eq!(manager.notice_statistics().retried, 1);
}
