//! Webhooks, and the outbox of notices.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use keygate_core::names::OrganizationId;
use keygate_core::notice::{Fate, MAX_GIVEN_UP, MAX_WAITING, NoticeId, Parcel, Posted, Posting};
use keygate_core::record::Revision;
use keygate_core::store::{MemoryStore, Store, WriteRefusal};

use super::{Dice, SEED, seed};
use crate::sample;

/// So many milliseconds after a time that is long past.
fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_700_000_000_000 + millis).unwrap()
}

fn parcel(organization: &OrganizationId, due: DateTime<Utc>) -> Parcel {
    let (id, bytes) = (NoticeId::from_bytes(sample::random()), sample::random::<40>().to_vec());
    Parcel { organization: organization.clone(), id, due, bytes }
}

/// All that is due of all lists, those that are due longest first in each.
async fn taken(store: &dyn Store, now: DateTime<Utc>, until: DateTime<Utc>, limit: usize) -> Vec<Parcel> {
    let mut taken = Vec::new();
    for shard in 0..store.notice_shards() {
        let of_shard = store.take_notices(shard, now, until, limit).await.unwrap();
        assert!(of_shard.len() <= limit, "{} notices, when {limit} were asked for", of_shard.len());
        taken.extend(of_shard);
    }
    taken
}

fn due_at(parcel: &Parcel, due: DateTime<Utc>) -> Parcel {
    Parcel { due, ..parcel.clone() }
}

/// An organization's webhooks are its own, and compare revisions.
pub async fn webhooks_compare_revisions(store: Arc<dyn Store>) {
    let (ours, theirs) = (sample::organization(), sample::organization());
    assert_eq!(store.webhooks(&ours).await.unwrap(), None);
    let first = sample::webhooks(&ours);
    let absent = store.put_webhooks(&first, Some(Revision::FIRST)).await;
    assert!(matches!(absent, Err(WriteRefusal::Absent)), "{absent:?}");
    store.put_webhooks(&first, None).await.unwrap();
    assert_eq!(store.webhooks(&ours).await.unwrap(), Some(first.clone()));
    assert_eq!(store.webhooks(&theirs).await.unwrap(), None);

    let mut next = first.clone();
    next.revision = first.revision.next();
    next.webhooks.clear();
    for expected in [None, Some(next.revision)] {
        let refused = store.put_webhooks(&next, expected).await;
        assert!(matches!(refused, Err(WriteRefusal::Conflict { found: Revision::FIRST })), "{refused:?}");
    }
    assert_eq!(store.webhooks(&ours).await.unwrap(), Some(first.clone()));
    store.put_webhooks(&next, Some(first.revision)).await.unwrap();
    assert_eq!(store.webhooks(&ours).await.unwrap(), Some(next));
}

/// Of one id one is kept, whoever puts it and however often: while it waits, when it is taken, when it was given up, and for
/// a time after it was sent. What was forgotten was never there.
pub async fn a_notice_is_kept_once(store: Arc<dyn Store>) {
    let (ours, theirs) = (sample::organization(), sample::organization());
    let notice = parcel(&ours, at(0));
    let putting = (0..8).map(|_| {
        let (store, notice) = (Arc::clone(&store), notice.clone());
        tokio::spawn(async move { store.put_notice(&notice, Posting::USUAL).await.unwrap() })
    });
    let posted: Vec<Posted> = join_all(putting).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(posted.iter().filter(|posted| **posted == Posted::New).count(), 1, "{posted:?}");
    assert!(!posted.contains(&Posted::Full));

    // It is another's in another organization.
    let other = Parcel { organization: theirs.clone(), ..notice.clone() };
    assert_eq!(store.put_notice(&other, Posting::USUAL).await.unwrap(), Posted::New);
    let changed = Parcel { due: at(5), bytes: b"another".to_vec(), ..notice.clone() };
    assert_eq!(store.put_notice(&changed, Posting::USUAL).await.unwrap(), Posted::Known);

    let mut found = taken(&*store, at(0), at(10), 100).await;
    found.sort_by_key(|parcel| parcel.organization != ours);
    assert_eq!(found, [due_at(&notice, at(10)), due_at(&other, at(10))]);
    assert_eq!(store.put_notice(&notice, Posting::USUAL).await.unwrap(), Posted::Known);

    assert!(store.settle_notice(&found[0], &Fate::Sent).await.unwrap());
    assert_eq!(store.put_notice(&notice, Posting::USUAL).await.unwrap(), Posted::Known, "it was sent");
    let at_last = found[1].clone();
    assert!(store.settle_notice(&at_last, &Fate::GivenUp { at: at(20), bytes: b"why".to_vec() }).await.unwrap());
    assert_eq!(store.put_notice(&other, Posting::USUAL).await.unwrap(), Posted::Known, "it was given up");

    let forgotten = parcel(&ours, at(30));
    assert_eq!(store.put_notice(&forgotten, Posting::USUAL).await.unwrap(), Posted::New);
    assert!(store.settle_notice(&forgotten, &Fate::Forgotten).await.unwrap(), "by whoever has put it");
    assert_eq!(store.put_notice(&forgotten, Posting::USUAL).await.unwrap(), Posted::New, "it was forgotten");
}

/// A notice is taken when it is due, by one of all who take at once, those that are due longest first; and again when its
/// time has come again.
pub async fn a_notice_is_taken_when_it_is_due(store: Arc<dyn Store>) {
    let ours = sample::organization();
    let mut notices: Vec<Parcel> = [50, 10, 30, 20, 40].map(|millis| parcel(&ours, at(millis))).into();
    for notice in &notices {
        assert_eq!(store.put_notice(notice, Posting::USUAL).await.unwrap(), Posted::New);
    }
    notices.sort_by_key(|notice| notice.due);
    assert_eq!(taken(&*store, at(9), at(100), 100).await, []);
    assert_eq!(taken(&*store, at(10), at(100), 100).await, [due_at(&notices[0], at(100))]);
    let two = taken(&*store, at(50), at(110), 2).await;
    assert_eq!(two, [due_at(&notices[1], at(110)), due_at(&notices[2], at(110))]);

    let taking = (0..8).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { taken(&*store, at(50), at(120), 100).await })
    });
    let by_all: Vec<Parcel> = join_all(taking).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(by_all.len(), 2, "{by_all:?}");
    assert!(by_all.contains(&due_at(&notices[3], at(120))) && by_all.contains(&due_at(&notices[4], at(120))));

    assert_eq!(taken(&*store, at(99), at(200), 100).await, []);
    assert_eq!(taken(&*store, at(110), at(200), 100).await.len(), 3, "nobody has settled them");
    assert_eq!(taken(&*store, at(120), at(200), 100).await.len(), 2);
}

/// What becomes of a notice is said by whoever took it last: one who is too late changes nothing.
pub async fn who_is_too_late_settles_no_notice(store: Arc<dyn Store>) {
    let ours = sample::organization();
    let notice = parcel(&ours, at(0));
    store.put_notice(&notice, Posting::USUAL).await.unwrap();
    let first = taken(&*store, at(0), at(10), 1).await.remove(0);
    let second = taken(&*store, at(10), at(20), 1).await.remove(0);
    let bytes = b"as the first has it".to_vec();
    let fates = [
        Fate::Later { due: at(0), bytes: bytes.clone() },
        Fate::Sent,
        Fate::Forgotten,
        Fate::GivenUp { at: at(1), bytes },
    ];
    for late in [&notice, &first] {
        for fate in &fates {
            assert!(!store.settle_notice(late, fate).await.unwrap(), "{fate:?}");
        }
    }
    assert_eq!(store.given_up(&ours, 10).await.unwrap(), []);
    assert_eq!(taken(&*store, at(19), at(30), 10).await, [], "the first has brought it forward");

    let later = Fate::Later { due: at(15), bytes: b"as the second has it".to_vec() };
    assert!(store.settle_notice(&second, &later).await.unwrap());
    assert!(!store.settle_notice(&second, &Fate::Sent).await.unwrap(), "it has said so already");
    let third = taken(&*store, at(15), at(30), 10).await;
    assert_eq!(third, [Parcel { due: at(30), bytes: b"as the second has it".to_vec(), ..notice.clone() }]);
    assert!(store.settle_notice(&third[0], &Fate::Sent).await.unwrap());
    assert_eq!(taken(&*store, at(1000), at(2000), 10).await, []);
}

/// What was given up is listed newest first, by its organization, and taken by nobody until it is to be sent again. The newest
/// are kept.
pub async fn notices_that_were_given_up_are_kept(store: Arc<dyn Store>) {
    let (ours, theirs) = (sample::organization(), sample::organization());
    let give_up = async |organization: &OrganizationId, millis: i64| {
        let notice = parcel(organization, at(0));
        store.put_notice(&notice, Posting::USUAL).await.unwrap();
        let bytes = millis.to_be_bytes().to_vec();
        let fate = Fate::GivenUp { at: at(millis), bytes: bytes.clone() };
        assert!(store.settle_notice(&notice, &fate).await.unwrap());
        Parcel { due: at(millis), bytes, ..notice }
    };
    let mut expected = Vec::new();
    for millis in [3, 1, 2] {
        expected.push(give_up(&ours, millis).await);
    }
    let other = give_up(&theirs, 7).await;
    expected.sort_by_key(|notice| std::cmp::Reverse(notice.due));
    assert_eq!(store.given_up(&ours, 10).await.unwrap(), expected);
    assert_eq!(store.given_up(&ours, 2).await.unwrap(), expected[..2]);
    assert_eq!(store.given_up(&theirs, 10).await.unwrap(), [other]);
    assert_eq!(taken(&*store, at(1000), at(2000), 10).await, []);

    let again = Parcel { due: at(50), bytes: b"again".to_vec(), ..expected[1].clone() };
    let foreign = Parcel { organization: theirs.clone(), ..again.clone() };
    let redrive = async |notice: &Parcel| store.redrive_notice(notice, MAX_WAITING).await.unwrap();
    assert_eq!(redrive(&foreign).await, Posted::Known, "it is another tenant's");
    assert_eq!(redrive(&again).await, Posted::New);
    assert_eq!(redrive(&again).await, Posted::Known);
    assert_eq!(store.given_up(&ours, 10).await.unwrap(), [expected[0].clone(), expected[2].clone()]);
    let sent = taken(&*store, at(50), at(60), 10).await;
    assert_eq!(sent, [due_at(&again, at(60))]);
    assert!(store.settle_notice(&sent[0], &Fate::Sent).await.unwrap());

    for millis in 0..MAX_GIVEN_UP as i64 {
        give_up(&ours, 100 + millis).await;
    }
    let kept = store.given_up(&ours, 2 * MAX_GIVEN_UP).await.unwrap();
    assert_eq!(kept.len(), MAX_GIVEN_UP);
    assert_eq!(kept.last().unwrap().due, at(100), "the oldest have gone");
    assert_eq!(
        store.put_notice(&due_at(&expected[0], at(0)), Posting::USUAL).await.unwrap(),
        Posted::New,
        "nothing of it is left"
    );
}

/// Whoever did what was announced may say so in the place of whoever has announced it: who took that is then too late. What
/// was sent or given up stays so.
pub async fn a_notice_that_waits_can_be_replaced(store: Arc<dyn Store>) {
    let ours = sample::organization();
    let put = async |notice: &Parcel, room| store.put_notice(notice, Posting { room, replaces: true }).await.unwrap();
    let notice = parcel(&ours, at(0));
    assert_eq!(put(&notice, MAX_WAITING).await, Posted::New);
    let announced = taken(&*store, at(0), at(10), 1).await.remove(0);
    let sure = Parcel { due: at(5), bytes: b"sure".to_vec(), ..notice.clone() };
    assert_eq!(put(&sure, MAX_WAITING).await, Posted::New);
    assert!(!store.settle_notice(&announced, &Fate::Forgotten).await.unwrap());
    let once = taken(&*store, at(100), at(110), 10).await;
    assert_eq!(once, [due_at(&sure, at(110))]);
    assert!(store.settle_notice(&once[0], &Fate::Sent).await.unwrap());
    assert_eq!(put(&sure, MAX_WAITING).await, Posted::Known, "it was sent");

    // It takes no more room than the one it replaces.
    let other = parcel(&ours, at(0));
    assert_eq!(put(&other, 1).await, Posted::New);
    assert_eq!(put(&other, 1).await, Posted::New);
    assert_eq!(put(&parcel(&ours, at(0)), 1).await, Posted::Full);
    assert!(store.settle_notice(&other, &Fate::GivenUp { at: at(20), bytes: b"why".to_vec() }).await.unwrap());
    assert_eq!(put(&other, 1).await, Posted::Known, "it was given up");
}

/// No more of an organization wait than there is room for, and that takes no room of others.
pub async fn not_too_many_notices_of_an_organization_wait(store: Arc<dyn Store>) {
    const ROOM: usize = 20;
    let (ours, theirs) = (sample::organization(), sample::organization());
    let put = async |notice: &Parcel| store.put_notice(notice, Posting { room: ROOM, replaces: false }).await.unwrap();
    let notices: Vec<Parcel> = (0..ROOM as i64).map(|millis| parcel(&ours, at(millis))).collect();
    for notice in &notices {
        assert_eq!(put(notice).await, Posted::New);
    }
    let more = parcel(&ours, at(0));
    assert_eq!(put(&more).await, Posted::Full);
    assert_eq!(put(&notices[0]).await, Posted::Known);
    assert_eq!(put(&parcel(&theirs, at(0))).await, Posted::New);
    // Whatever becomes of one of them, there is room for another.
    let given_up = Fate::GivenUp { at: at(0), bytes: Vec::new() };
    for (notice, fate) in notices.iter().zip([&Fate::Sent, &Fate::Forgotten, &given_up]) {
        assert!(store.settle_notice(notice, fate).await.unwrap());
        assert_eq!(put(&parcel(&ours, at(0))).await, Posted::New, "{fate:?}");
        assert_eq!(put(&more).await, Posted::Full);
    }
    // What was given up waits again only where there is room.
    let again = &notices[2];
    assert_eq!(store.redrive_notice(again, ROOM).await.unwrap(), Posted::Full);
    assert_eq!(store.given_up(&ours, 10).await.unwrap().len(), 1, "it is there still");
    assert!(store.settle_notice(&notices[3], &Fate::Sent).await.unwrap());
    assert_eq!(store.redrive_notice(again, ROOM).await.unwrap(), Posted::New);
    assert_eq!(put(&more).await, Posted::Full);
    // There may be more room for one than for another.
    let roomy = Posting { room: ROOM + 1, replaces: false };
    assert_eq!(store.put_notice(&more, roomy).await.unwrap(), Posted::New);
    assert_eq!(store.put_notice(&parcel(&ours, at(0)), roomy).await.unwrap(), Posted::Full);
}

/// Whatever is done to notices, this store and a [`MemoryStore`] answer the same.
pub async fn random_notices_fare_as_in_the_memory_store(store: Arc<dyn Store>) {
    let seed = seed();
    let (model, mut dice) = (MemoryStore::new(), Dice(seed));
    let organizations = [sample::organization(), sample::organization()];
    let mut known: Vec<Parcel> = Vec::new();
    for step in 0..300_i64 {
        let note = format!("operation {step} of the run that {SEED}={seed} repeats");
        // No two are due at once, because nobody says which comes first.
        let now = at(step * 1000);
        match dice.below(10) {
            0..=3 => {
                let again = dice.one_in(4).then(|| known.get(dice.below(known.len().max(1))).cloned()).flatten();
                let fresh = || parcel(&organizations[0], now);
                let mut notice = again.unwrap_or_else(fresh);
                notice.organization = dice.choose(&organizations).clone();
                notice.due = now + TimeDelta::milliseconds(dice.below(9) as i64 * 2500);
                known.push(notice.clone());
                let terms = Posting { room: 8, replaces: dice.one_in(3) };
                let expected = model.put_notice(&notice, terms).await.unwrap();
                assert_eq!(store.put_notice(&notice, terms).await.unwrap(), expected, "{note}");
            }
            4..=6 => {
                let until = now + TimeDelta::milliseconds(4001);
                let by_place = |mut taken: Vec<Parcel>| {
                    taken.sort_by(|a, b| (&a.organization, a.id).cmp(&(&b.organization, b.id)));
                    taken
                };
                // All that are due: which of them come first is not promised.
                let expected = by_place(model.take_notices(0, now, until, 300).await.unwrap());
                assert_eq!(by_place(taken(&*store, now, until, 300).await), expected, "{note}");
                known.extend(expected);
            }
            7..=8 => {
                let Some(notice) = known.get(dice.below(known.len().max(1))).cloned() else { continue };
                let bytes = step.to_be_bytes().to_vec();
                let fate = match dice.below(4) {
                    0 => Fate::Later { due: now + TimeDelta::milliseconds(1003), bytes },
                    1 => Fate::Sent,
                    2 => Fate::Forgotten,
                    _ => Fate::GivenUp { at: now, bytes },
                };
                let expected = model.settle_notice(&notice, &fate).await.unwrap();
                assert_eq!(store.settle_notice(&notice, &fate).await.unwrap(), expected, "{note}: {fate:?}");
            }
            _ => {
                let Some(notice) = known.get(dice.below(known.len().max(1))).cloned() else { continue };
                let notice = due_at(&notice, now);
                let expected = model.redrive_notice(&notice, 8).await.unwrap();
                assert_eq!(store.redrive_notice(&notice, 8).await.unwrap(), expected, "{note}");
            }
        }
        for organization in &organizations {
            let expected = model.given_up(organization, 100).await.unwrap();
            assert_eq!(store.given_up(organization, 100).await.unwrap(), expected, "{note}");
        }
    }
}
