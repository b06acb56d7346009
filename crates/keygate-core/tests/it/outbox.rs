//! What becomes of notices when receivers, clocks, stores and other calls are in the way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::fateful_store::{self, FatefulStore};
use crate::support::hooked_store::HookedStore;
use crate::support::{Instance, ROOMY, new_key, new_key_with, operator, org, ring, the_operator};
use async_trait::async_trait;
use chrono::TimeDelta;
use futures_util::future::{join, join_all};
use keygate_core::key::KeyId;
use keygate_core::manager::{
    ApiKeyManager, BuildError, Expiry, IdempotencyKey, ManageError, NewKey, OrganizationUpdate,
};
use keygate_core::names::{NameError, OrganizationId};
use keygate_core::notice::{
    Event, Fate, HandedKey, LogNotifier, MAX_WAITING, NotTaken, Notice, NoticeId, NoticeKind, NoticePolicy, Notifier,
    Parcel, Posting, Receiver, WebhookSecret, WebhookSender, WebhookUrl,
};
use keygate_core::record::{ParentStatus, Revision, RotationSchedule};
use keygate_core::store::{MemoryStore, Store, StoreError};
use keygate_testkit::{Heard, HeldClock};
use tokio::task::yield_now;
use tokio::time::sleep;

const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);

fn days(days: i64) -> TimeDelta {
    TimeDelta::days(days)
}

fn hearing(heard: &Heard) -> Instance {
    let heard = heard.clone();
    Instance::built(ring(&[1]), |builder| builder.notifier(heard))
}

/// Another manager of the same deployment, which does something before each call of the store.
fn hooked<F>(instance: &Instance, heard: &Heard, hook: impl Fn(String) -> F + Send + Sync + 'static) -> ApiKeyManager
where
    F: Future<Output = Result<(), StoreError>> + Send + 'static,
{
    let store = HookedStore::new(instance.memory.clone(), hook);
    let builder = ApiKeyManager::builder(store, ring(&[1])).clock(instance.clock.clone()).quota(ROOMY);
    builder.notifier(heard.clone()).build().unwrap()
}

async fn deliver(manager: &ApiKeyManager) -> u64 {
    manager.deliver_notices().await.unwrap().sent
}

/// Delivers what is due now, and what is due a little later.
async fn deliver_all(instance: &Instance) {
    for _ in 0..3 {
        deliver(&instance.manager).await;
        instance.clock.advance(2 * MINUTE);
    }
}

fn suspending() -> OrganizationUpdate {
    let mut update = OrganizationUpdate::default();
    update.status = Some(ParentStatus::Suspended);
    update
}

/// Where something was sent, and signed with which secrets.
type Sent = (String, Vec<Vec<u8>>);

/// A webhook's sender: to addresses with these words nothing is taken, or nothing is answered.
#[derive(Debug, Clone, Default)]
struct Sender {
    sent: Arc<Mutex<Vec<Sent>>>,
    at_once: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
}

impl Sender {
    fn sent_to(&self, word: &str) -> usize {
        self.sent.lock().unwrap().iter().filter(|(url, _)| url.contains(word)).count()
    }

    fn secrets(&self) -> Vec<Vec<u8>> {
        self.sent.lock().unwrap().last().unwrap().1.clone()
    }
}

#[async_trait]
impl WebhookSender for Sender {
    fn check(&self, _: &WebhookUrl) -> Result<(), NameError> {
        Ok(())
    }

    async fn send(&self, url: &WebhookUrl, secrets: &[WebhookSecret], _: &Notice) -> Result<(), NotTaken> {
        let secrets = secrets.iter().map(|secret| secret.as_bytes().to_vec()).collect();
        self.sent.lock().unwrap().push((url.as_str().to_owned(), secrets));
        if url.as_str().contains("fails") {
            return Err(NotTaken::for_now("500"));
        }
        if url.as_str().contains("slow") {
            let now = self.at_once.fetch_add(1, Ordering::Relaxed) + 1;
            self.most_at_once.fetch_max(now, Ordering::Relaxed);
            sleep(Duration::from_secs(15)).await;
            self.at_once.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn url(path: &str) -> WebhookUrl {
    WebhookUrl::new(format!("https://example.com/{path}")).unwrap()
}

async fn webhook(manager: &ApiKeyManager, organization: &OrganizationId, path: &str) {
    manager.create_webhook(&operator(), organization, &url(path), &[]).await.unwrap();
}

/// Has as many notices wait as may, for nobody.
async fn fill(memory: &MemoryStore, organization: &OrganizationId, due: chrono::DateTime<chrono::Utc>) {
    for number in 0..MAX_WAITING as u64 {
        let mut id = [0xff; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let (id, organization) = (NoticeId::from_bytes(id), organization.clone());
        let parcel = Parcel { organization, id, due, bytes: b"{}".to_vec() };
        memory.put_notice(&parcel, Posting::USUAL).await.unwrap();
    }
}

/// Whatever receivers do, nothing is on its way for longer than some three days.
#[tokio::test]
async fn nothing_waits_for_ever_for_who_takes_nothing_or_is_no_more() {
    let sender = Sender::default();
    let leaving = Heard::answering(|_| Err(NotTaken::for_now("busy")));
    let before = {
        let (sender, leaving) = (sender.clone(), leaving.clone());
        Instance::built(ring(&[1]), |builder| builder.webhooks(sender).notifier(leaving))
    };
    webhook(&before.manager, &org("acme"), "fails").await;
    for _ in 0..50 {
        before.create(new_key()).await;
    }
    deliver(&before.manager).await;
    // From now on by an instance that has no such notifier, and then by one that sends no webhooks either.
    let after = before.beside_built(ring(&[1]), |builder| builder.webhooks(sender.clone()));
    let last = before.beside_built(ring(&[1]), |builder| builder.notifier(LogNotifier));
    for step in 0..4 * 24 * 6 {
        let instance = if step < 2 * 24 * 6 { &after } else { &last };
        deliver(&instance.manager).await;
        before.clock.advance(10 * MINUTE);
    }
    let given_up = before.manager.notices_given_up(&operator(), &org("acme"), 100).await.unwrap();
    assert_eq!(given_up.len(), 50, "none waits any more");
    assert!(given_up.iter().all(|notice| notice.failed.len() == 2), "{given_up:?}");
    let now = before.clock.now();
    assert_eq!(before.memory.take_notices(0, now + days(3650), now + days(3651), 100).await.unwrap(), []);
    let reasons: std::collections::BTreeSet<_> =
        given_up.iter().flat_map(|notice| &notice.failed).map(|failed| failed.reason.as_str()).collect();
    assert!(reasons.contains("there is no such notifier any more"), "{reasons:?}");
    assert!(reasons.contains("this server sends no webhooks"), "{reasons:?}");
}

#[tokio::test]
async fn a_list_that_fails_holds_up_no_other() {
    let heard = Heard::new();
    let instance = hearing(&heard);
    instance.create(new_key()).await;
    let store = HookedStore::new(instance.memory.clone(), |call| async move {
        if call.starts_with("take_notices 1") {
            Err(StoreError::unavailable("a test made this call fail"))
        } else {
            Ok(())
        }
    });
    let builder = ApiKeyManager::builder(store.with_lists_of_notices(2), ring(&[1])).clock(instance.clock.clone());
    let manager = builder.notifier(heard.clone()).build().unwrap();
    assert!(manager.deliver_notices().await.is_err(), "that it fails is said");
    assert_eq!(heard.kinds(), [NoticeKind::KeyCreated], "what was taken is brought all the same");
}

/// What one instance announces, and is slower to do than the others wait, is told all the same: they have found that it had not
/// come to pass.
#[tokio::test]
async fn what_is_done_after_others_looked_is_told() {
    type Act = for<'a> fn(&'a ApiKeyManager, KeyId) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
    let acts: [(&str, NoticeKind, Act); 5] = [
        ("set_status ", NoticeKind::KeyDeactivated, |manager, id| {
            Box::pin(async move { drop(manager.deactivate(&operator(), id, None).await.unwrap()) })
        }),
        ("create_within ", NoticeKind::KeyCreated, |manager, _| {
            Box::pin(async { drop(manager.create(&operator(), new_key()).await.unwrap()) })
        }),
        ("succeed ", NoticeKind::KeyRotated, |manager, id| {
            Box::pin(async move { drop(manager.rotate(&operator(), id, None).await.unwrap()) })
        }),
        ("set_status ", NoticeKind::KeyRevoked, |manager, id| {
            Box::pin(async move {
                manager.revoke(&operator(), id, None).await.unwrap();
            })
        }),
        ("put_organization ", NoticeKind::OrganizationSuspended, |manager, _| {
            Box::pin(async {
                let suspended = manager.update_organization(&the_operator(), &org("acme"), &suspending(), None).await;
                drop(suspended.unwrap());
            })
        }),
    ];
    for (call, kind, act) in acts {
        let heard = Heard::new();
        let instance = Arc::new(hearing(&heard));
        let id = instance.create(new_key()).await.key.id;
        deliver(&instance.manager).await;
        heard.forget();
        let (other, looked) = (Arc::clone(&instance), Arc::new(AtomicBool::new(false)));
        let is_looked = Arc::clone(&looked);
        let slow = hooked(&instance, &heard, move |made| {
            let (other, is_looked) = (Arc::clone(&other), Arc::clone(&is_looked));
            async move {
                if made.starts_with(call) && !is_looked.swap(true, Ordering::Relaxed) {
                    other.clock.advance(2 * MINUTE);
                    assert_eq!(other.manager.deliver_notices().await.unwrap().forgotten, 1, "{made}");
                }
                Ok(())
            }
        });
        act(&slow, id).await;
        assert!(looked.load(Ordering::Relaxed));
        deliver_all(&instance).await;
        assert_eq!(heard.kinds(), [kind]);
    }
}

/// Two calls for one and the same key, in whatever order their steps come: it is made once, and told once.
#[tokio::test]
async fn a_key_that_two_calls_make_is_told_once() {
    for slow in ["put_notice", "create_within ", "settle_notice", "remember", "recall"] {
        for yields in 0..12 {
            let heard = Heard::new();
            let instance = hearing(&heard);
            let calls = Arc::new(AtomicUsize::new(0));
            let manager = hooked(&instance, &heard, move |made| {
                // The first of the two waits there.
                let waits =
                    if made.starts_with(slow) && calls.fetch_add(1, Ordering::Relaxed) == 0 { yields } else { 0 };
                async move {
                    for _ in 0..=waits {
                        yield_now().await;
                    }
                    Ok(())
                }
            });
            let key = IdempotencyKey::new("the-same").unwrap();
            let made = || async { manager.create_once(&operator(), new_key(), &key).await };
            let (one, other) = join(made(), made()).await;
            assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
            deliver_all(&instance).await;
            assert_eq!(heard.kinds(), [NoticeKind::KeyCreated], "{slow} after {yields}");
        }
    }
}

#[tokio::test]
async fn a_suspension_that_another_change_came_before_is_told_once() {
    let heard = Heard::new();
    let instance = Arc::new(hearing(&heard));
    let (other, came) = (Arc::clone(&instance), Arc::new(AtomicBool::new(false)));
    let manager = hooked(&instance, &heard, move |made| {
        let (other, came) = (Arc::clone(&other), Arc::clone(&came));
        async move {
            if made.starts_with("put_organization") && !came.swap(true, Ordering::Relaxed) {
                let mut update = OrganizationUpdate::default();
                update.max_keys = Some(Some(7));
                other.manager.update_organization(&the_operator(), &org("acme"), &update, None).await.unwrap();
            }
            Ok(())
        }
    });
    let written = manager.update_organization(&the_operator(), &org("acme"), &suspending(), None).await.unwrap();
    assert_eq!((written.status, written.max_keys), (ParentStatus::Suspended, Some(7)));
    deliver_all(&instance).await;
    assert_eq!(heard.kinds(), [NoticeKind::OrganizationSuspended]);
}

/// A notifier of whoever embeds this, which has a fault.
#[derive(Debug)]
struct Panics;

#[async_trait]
impl Notifier for Panics {
    fn name(&self) -> &str {
        "panics"
    }

    async fn notify(&self, _: &Notice) -> Result<(), NotTaken> {
        panic!("a notifier has a fault")
    }

    fn takes_keys(&self) -> bool {
        true
    }

    async fn take_key(&self, _: &HandedKey) -> Result<(), NotTaken> {
        panic!("a notifier has a fault")
    }
}

fn scheduled() -> NewKey {
    let schedule =
        RotationSchedule { interval_days: 30, warning_days: 0, auto_rotate: true, notify_users: true, overlap_days: 7 };
    new_key_with(|new| new.rotation_schedule = Some(schedule))
}

#[tokio::test]
async fn a_notifier_that_panics_takes_nothing_down() {
    let heard = Heard::new();
    let instance = {
        let heard = heard.clone();
        Instance::built(ring(&[1]), |builder| builder.notifier(Panics).notifier(heard))
    };
    instance.create(scheduled()).await;
    let run = instance.manager.deliver_notices().await.unwrap();
    assert_eq!((run.later, heard.kinds()), (1, vec![NoticeKind::KeyCreated]));
    instance.clock.advance(30 * DAY);
    let run = instance.manager.run_schedules(&the_operator()).await.unwrap();
    assert_eq!((run.rotated, run.waiting), (0, 1));
}

/// No text is handed over for a rotation that cannot be told of, and none is told of whose text nobody took.
#[tokio::test]
async fn a_text_is_handed_over_only_once_the_rotation_is_announced() {
    let taker = Heard::new().taking_keys();
    let instance = hearing(&taker);
    let id = instance.create(scheduled()).await.key.id;
    deliver(&instance.manager).await;
    instance.clock.advance(30 * DAY);
    let fails = |call: &str| call.starts_with("put_notice");
    let store = FatefulStore::new(instance.memory.clone(), move |call| {
        if fails(call) { fateful_store::Fate::Failed } else { fateful_store::Fate::Answered }
    });
    let builder = ApiKeyManager::builder(store, ring(&[1])).clock(instance.clock.clone()).notifier(taker.clone());
    let run = builder.build().unwrap().run_schedules(&the_operator()).await.unwrap();
    assert_eq!((run.rotated, run.failed), (0, 1));
    assert!(taker.keys().is_empty());

    // Nobody takes it.
    let plain = Heard::new();
    let panics = instance.beside_built(ring(&[1]), |builder| builder.notifier(Panics).notifier(plain.clone()));
    assert_eq!(panics.manager.run_schedules(&the_operator()).await.unwrap().waiting, 1);
    assert_eq!(instance.record(id).await.key.succession.superseded, None);
    taker.forget();
    deliver_all(&instance).await;
    assert_eq!(taker.kinds(), []);
}

/// A webhook that is slow to answer has a few places of its own, and leaves the others to others.
#[tokio::test(start_paused = true)]
async fn a_slow_webhook_takes_no_time_of_others() {
    let sender = Sender::default();
    let instance = {
        let sender = sender.clone();
        Instance::built(ring(&[1]), |builder| builder.webhooks(sender))
    };
    webhook(&instance.manager, &org("acme"), "slow").await;
    webhook(&instance.manager, &org("other"), "quick").await;
    for _ in 0..200 {
        instance.create(new_key()).await;
    }
    for user in ["ada", "bob", "eve"] {
        instance.create(NewKey::new(org("other"), crate::support::user(user))).await;
    }
    let begun = tokio::time::Instant::now();
    deliver(&instance.manager).await;
    assert_eq!(sender.sent_to("quick"), 3);
    assert!(sender.most_at_once.load(Ordering::Relaxed) <= 4);
    assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
    // All of it comes in the end.
    for _ in 0..600 {
        deliver(&instance.manager).await;
        instance.clock.advance(Duration::from_secs(30));
    }
    assert_eq!(sender.sent_to("slow"), 200);
}

/// Where as many notices wait as may, because webhooks do not take them, whoever operates the deployment is told all the same.
#[tokio::test]
async fn a_webhook_that_takes_nothing_keeps_nothing_from_notifiers() {
    let (sender, heard) = (Sender::default(), Heard::new());
    let instance = {
        let (sender, heard) = (sender.clone(), heard.clone());
        Instance::built(ring(&[1]), |builder| builder.webhooks(sender).notifier(heard))
    };
    let acme = org("acme");
    webhook(&instance.manager, &acme, "works").await;
    let first = instance.manager.test_webhooks(&operator(), &acme).await.unwrap();
    assert_eq!(instance.manager.test_webhooks(&operator(), &acme).await.unwrap(), first, "it is asked for twice");
    deliver(&instance.manager).await;
    assert_eq!(sender.sent_to("works"), 1);
    fill(&instance.memory, &acme, instance.clock.now() + days(1)).await;
    let id = instance.create(new_key()).await.key.id;
    instance.manager.revoke(&operator(), id, None).await.unwrap();
    deliver(&instance.manager).await;
    let mut kinds = heard.kinds();
    kinds.sort_unstable();
    assert_eq!(kinds, [NoticeKind::KeyCreated, NoticeKind::KeyRevoked]);
    assert_eq!(sender.sent_to("works"), 1);
    let given_up = instance.manager.notices_given_up(&operator(), &acme, 10).await.unwrap();
    assert_eq!(given_up.len(), 2);
    for notice in &given_up {
        assert!(matches!(notice.failed[..], [ref failed] if matches!(failed.receiver, Receiver::Webhook(_))));
    }
    // Nobody else is told of a test, and what was given up waits until there is room.
    instance.clock.advance(MINUTE);
    let refused = instance.manager.test_webhooks(&operator(), &acme).await;
    assert!(matches!(refused, Err(ManageError::TooManyNotices)), "{refused:?}");
    let refused = instance.manager.redrive_notices(&operator(), &acme, None).await;
    assert!(matches!(refused, Err(ManageError::TooManyNotices)), "{refused:?}");
    let now = instance.clock.now();
    for parcel in instance.memory.take_notices(0, now + days(2), now + days(2), 1).await.unwrap() {
        assert!(instance.memory.settle_notice(&parcel, &Fate::Forgotten).await.unwrap());
    }
    assert_eq!(instance.manager.redrive_notices(&operator(), &acme, None).await.unwrap(), 1);
    deliver(&instance.manager).await;
    assert_eq!(sender.sent_to("works"), 2);
}

/// Without anybody else to tell, what there is no room for is given up, and can be sent again.
#[tokio::test]
async fn what_there_is_no_room_for_is_given_up_and_sent_again() {
    let sender = Sender::default();
    let instance = {
        let sender = sender.clone();
        Instance::built(ring(&[1]), |builder| builder.webhooks(sender))
    };
    let acme = org("acme");
    webhook(&instance.manager, &acme, "works").await;
    fill(&instance.memory, &acme, instance.clock.now() + days(1)).await;
    instance.create(new_key()).await;
    let run = instance.manager.deliver_notices().await.unwrap();
    assert_eq!((run.sent, run.given_up), (0, 1));
    assert_eq!(instance.manager.notice_statistics().given_up, 1);
    let now = instance.clock.now();
    for parcel in instance.memory.take_notices(0, now + days(2), now + days(2), 1).await.unwrap() {
        assert!(instance.memory.settle_notice(&parcel, &Fate::Forgotten).await.unwrap());
    }
    assert_eq!(instance.manager.redrive_notices(&operator(), &acme, None).await.unwrap(), 1);
    assert_eq!(deliver(&instance.manager).await, 1);
    assert_eq!(sender.sent_to("works"), 1);
}

/// What waits for a webhook when it is disabled is given up, and is there when it is enabled again.
#[tokio::test]
async fn nothing_is_lost_with_a_webhook_that_is_disabled() {
    let sender = Sender::default();
    let instance = {
        let sender = sender.clone();
        Instance::built(ring(&[1]), |builder| builder.webhooks(sender))
    };
    let acme = org("acme");
    webhook(&instance.manager, &acme, "fails").await;
    for _ in 0..3 {
        instance.create(new_key()).await;
    }
    deliver(&instance.manager).await;
    let mut record = instance.memory.webhooks(&acme).await.unwrap().unwrap();
    let found = record.revision;
    record.revision = found.next();
    record.webhooks[0].disabled =
        Some(serde_json::from_value(serde_json::json!({ "at": instance.clock.now(), "reason": "410 Gone" })).unwrap());
    instance.memory.put_webhooks(&record, Some(found)).await.unwrap();
    instance.clock.advance(10 * MINUTE);
    let run = instance.manager.deliver_notices().await.unwrap();
    assert_eq!((run.sent, run.given_up), (0, 3));
    // Sent again before it is enabled, they are given up again.
    assert_eq!(instance.manager.redrive_notices(&operator(), &acme, None).await.unwrap(), 3);
    assert_eq!(instance.manager.deliver_notices().await.unwrap().given_up, 3);
    assert_eq!(instance.manager.notices_given_up(&operator(), &acme, 10).await.unwrap().len(), 3);
}

/// Whoever renews a secret again, because its answer was lost, leaves the receiver the one it has.
#[tokio::test]
async fn a_secret_that_is_renewed_twice_signs_beside_both_that_follow() {
    let sender = Sender::default();
    let instance = {
        let sender = sender.clone();
        Instance::built(ring(&[1]), |builder| builder.webhooks(sender))
    };
    let acme = org("acme");
    let first = instance.manager.create_webhook(&operator(), &acme, &url("works"), &[]).await.unwrap();
    let mut expected = vec![first.secret.as_bytes().to_vec()];
    for _ in 0..6 {
        let renewed =
            instance.manager.renew_webhook_secret(&operator(), &acme, first.webhook.webhook_id).await.unwrap();
        expected.insert(0, renewed.secret.as_bytes().to_vec());
    }
    instance.manager.test_webhooks(&operator(), &acme).await.unwrap();
    deliver(&instance.manager).await;
    let signed = sender.secrets();
    assert_eq!((signed.first(), signed.last()), (expected.first(), expected.last()));
    assert_eq!(signed.len(), 5, "there are not any number of them");
}

/// What nobody hears of is not kept.
#[tokio::test]
async fn what_no_webhook_asked_for_is_not_put_in_the_outbox() {
    let sender = Sender::default();
    let instance = Instance::built(ring(&[1]), |builder| builder.webhooks(sender.clone()));
    let anomalies = [NoticeKind::KeyAnomaly];
    instance.manager.create_webhook(&operator(), &org("acme"), &url("works"), &anomalies).await.unwrap();
    let id = instance.create(new_key()).await.key.id;
    instance.manager.revoke(&operator(), id, None).await.unwrap();
    assert_eq!(instance.store.calls().put_notice, 0);
}

/// A store that does not say when a key was used keeps none from being rotated.
#[tokio::test]
async fn a_key_is_rotated_though_nothing_can_be_told_of_it() {
    let heard = Heard::new().taking_keys();
    let policy = || NoticePolicy::default().unused(Some(30)).unwrap();
    let instance = {
        let heard = heard.clone();
        Instance::built(ring(&[1]), |builder| builder.notifier(heard).notices(policy()))
    };
    let id = instance.create(scheduled()).await.key.id;
    instance.clock.advance(30 * DAY);
    let store = FatefulStore::new(instance.memory.clone(), |call| {
        if call.starts_with("last_uses") { fateful_store::Fate::Failed } else { fateful_store::Fate::Answered }
    });
    let builder = ApiKeyManager::builder(store, ring(&[1])).clock(instance.clock.clone()).notices(policy());
    let run = builder.notifier(heard.clone()).build().unwrap().run_schedules(&the_operator()).await.unwrap();
    assert_eq!((run.rotated, run.failed), (1, 0));
    assert!(instance.record(id).await.key.succession.superseded.is_some());
}

/// An outbox that hangs holds nobody up who stops something.
#[tokio::test(start_paused = true)]
async fn a_revocation_does_not_wait_for_the_outbox() {
    let heard = Heard::new();
    let instance = hearing(&heard);
    let id = instance.create(new_key()).await.key.id;
    let manager = hooked(&instance, &heard, |made| async move {
        if made.starts_with("put_notice") {
            std::future::pending::<()>().await;
        }
        Ok(())
    });
    let begun = tokio::time::Instant::now();
    manager.revoke(&operator(), id, None).await.unwrap();
    manager.update_organization(&the_operator(), &org("acme"), &suspending(), None).await.unwrap();
    assert!(begun.elapsed() <= Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(instance.manager.rotate(&operator(), id, None).await.is_err());
}

/// A master secret that is going away is needed by no webhook to which something was sent since; one that has gone keeps nobody
/// from putting it right.
#[tokio::test]
async fn webhooks_go_over_to_another_master_secret_by_themselves() {
    let sender = Sender::default();
    let old = {
        let sender = sender.clone();
        Instance::built(ring(&[1]), |builder| builder.webhooks(sender))
    };
    let acme = org("acme");
    let created = old.manager.create_webhook(&operator(), &acme, &url("works"), &[]).await.unwrap();
    let both = old.beside_built(ring(&[2, 1]), |builder| builder.webhooks(sender.clone()));
    let entry = ring(&[1]).current_id();
    let needed = async || both.manager.ring_usage(&the_operator()).await.unwrap().get(&entry).copied().unwrap_or(0);
    assert_eq!(needed().await, 1);
    both.manager.test_webhooks(&operator(), &acme).await.unwrap();
    deliver(&both.manager).await;
    assert_eq!(sender.secrets(), [created.secret.as_bytes().to_vec()]);
    assert_eq!(needed().await, 0);

    // A secret that signs no more is not counted, though nothing has been written since.
    old.manager.renew_webhook_secret(&operator(), &acme, created.webhook.webhook_id).await.unwrap();
    assert_eq!(needed().await, 1);
    both.manager.create_webhook(&operator(), &acme, &url("another"), &[]).await.unwrap();
    assert_eq!(needed().await, 0);

    // One that cannot be opened: it was sealed for another organization.
    let other = org("other");
    let mut moved = old.memory.webhooks(&acme).await.unwrap().unwrap();
    (moved.organization, moved.revision) = (other.clone(), Revision::FIRST);
    moved.webhooks.truncate(1);
    moved.webhooks[0].url = url("lost");
    old.memory.put_webhooks(&moved, None).await.unwrap();
    let lost = moved.webhooks[0].id;
    both.manager.create_webhook(&operator(), &other, &url("added"), &[]).await.unwrap();
    let renewed = both.manager.renew_webhook_secret(&operator(), &other, lost).await.unwrap();
    both.manager.test_webhooks(&operator(), &other).await.unwrap();
    assert_eq!(deliver(&both.manager).await, 1);
    let signed = sender.sent.lock().unwrap().iter().find(|(url, _)| url.contains("lost")).unwrap().1.clone();
    assert_eq!(signed, [renewed.secret.as_bytes().to_vec()]);
    both.manager.delete_webhook(&operator(), &other, lost).await.unwrap();
}

/// A key is unused from when it could be used; and nobody knows it where use is not counted.
#[tokio::test]
async fn a_key_that_has_not_begun_is_not_unused() {
    let heard = Heard::new();
    let policy = || NoticePolicy::default().unused(Some(10)).unwrap();
    let instance = {
        let heard = heard.clone();
        Instance::built(ring(&[1]), |builder| builder.notifier(heard).notices(policy()))
    };
    let begin = instance.clock.now() + days(30);
    instance.create(new_key_with(|new| new.not_before = Some(begin))).await;
    let mut told = Vec::new();
    for day in 1..=45 {
        instance.clock.advance(DAY);
        instance.manager.run_schedules(&the_operator()).await.unwrap();
        deliver(&instance.manager).await;
        let unused = heard.taken().into_iter().filter_map(|notice| match notice.event {
            Event::Unused { since, .. } => Some((day, since)),
            _ => None,
        });
        told.extend(unused);
        heard.forget();
    }
    assert_eq!(told, [(40, begin)]);

    let builder = ApiKeyManager::builder(instance.memory.clone(), ring(&[1])).notices(policy());
    let refused = builder.counts_usage(false).build();
    assert!(matches!(refused, Err(BuildError::UnusedIsNotCounted)));
}

/// What an instance has looked at whose clock was ahead is told all the same by the others, when its time has come.
#[tokio::test]
async fn a_clock_that_was_ahead_silences_nothing() {
    let heard = Heard::new();
    let instance = hearing(&heard);
    let created = instance.create(new_key_with(|new| new.expiry = Expiry::In(days(60)))).await;
    deliver(&instance.manager).await;
    heard.forget();
    let ahead = HeldClock::new();
    ahead.advance((instance.clock.now() + days(40) - ahead.now()).to_std().unwrap());
    let builder = ApiKeyManager::builder(instance.memory.clone(), ring(&[1])).clock(ahead);
    // It changes the key, and so has looked at it in 40 days.
    let wrong = builder.notifier(Heard::new()).build().unwrap();
    let mut update = keygate_core::manager::KeyUpdate::new();
    update.expiry = Some(Expiry::In(days(8)));
    wrong.update(&operator(), created.key.id, &update, None).await.unwrap();
    wrong.run_schedules(&the_operator()).await.unwrap();
    update.expiry = Some(Expiry::In(days(20)));
    instance.manager.update(&operator(), created.key.id, &update, None).await.unwrap();
    let mut told = Vec::new();
    for day in 1..=21 {
        instance.clock.advance(DAY);
        instance.manager.run_schedules(&the_operator()).await.unwrap();
        deliver(&instance.manager).await;
        told.extend(heard.kinds().into_iter().map(|kind| (day, kind)));
        heard.forget();
    }
    assert_eq!(told, [(13, NoticeKind::KeyExpiring), (19, NoticeKind::KeyExpiring), (20, NoticeKind::KeyExpired)]);
}

/// Whether anybody hears of many keys that are made at once is asked once.
#[tokio::test]
async fn many_keys_of_which_nobody_hears_cost_one_look_for_webhooks() {
    let instance = Instance::new();
    let made = instance.manager.create_many(&operator(), vec![new_key(); 100]).await;
    assert!(made.iter().all(Result::is_ok));
    assert_eq!(instance.store.calls().webhooks, 1);
}

/// Many keys that are made at once are all told, and their notices are not put one after the other.
#[tokio::test(start_paused = true)]
async fn many_keys_are_announced_at_once() {
    let heard = Heard::new();
    let instance = hearing(&heard);
    let manager = hooked(&instance, &heard, |made| async move {
        if made.contains("_notice") {
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    });
    let begun = tokio::time::Instant::now();
    let made = manager.create_many(&operator(), vec![new_key(); 160]).await;
    assert!(made.iter().all(Result::is_ok));
    assert!(begun.elapsed() <= Duration::from_secs(4), "{:?}", begun.elapsed());
    join_all([deliver(&instance.manager), deliver(&instance.manager)]).await;
    assert_eq!(heard.by_id().len(), 160);
}
