//! What is known of keys' habits, and what was found unusual.

use std::sync::Arc;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use keygate_core::anomaly::finding::{KEPT, KEPT_FOR, Measured};
use keygate_core::anomaly::habits::MAX_HABITS_BYTES;
use keygate_core::anomaly::{Finding, Rule};
use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::store::Store;

use super::created;
use crate::sample;

fn finding(organization: &OrganizationId, key: KeyId, at: DateTime<Utc>, value: usize) -> Finding {
    let measured = Measured { observed: 1.5, expected: 0.25, sample_size: 12 };
    let subject = (key, organization.clone());
    Finding::new(Rule::NewScope, subject, at, Some(format!("s{value}")), measured, "First use.".to_owned())
}

fn key() -> KeyId {
    KeyId::from_bytes(sample::random())
}

/// Of those who put habits in the place of the same ones, one does.
pub async fn habits_are_compare_and_set(store: Arc<dyn Store>) {
    let key = created(&*store, sample::record(&sample::organization(), &sample::user("ann"))).await.key.id;
    assert_eq!(store.habits(key).await.unwrap(), None);
    assert!(!store.put_habits(key, Some(b"others"), b"one").await.unwrap());
    let greatest: Vec<u8> = (0..=u8::MAX).cycle().take(MAX_HABITS_BYTES).collect();
    let mut previous: Option<Vec<u8>> = None;
    for next in [&b"one"[..], b"two", &greatest, b""] {
        assert!(store.put_habits(key, previous.as_deref(), next).await.unwrap());
        assert!(!store.put_habits(key, None, b"anew").await.unwrap());
        assert_eq!(store.habits(key).await.unwrap().as_deref(), Some(next));
        previous = Some(next.to_vec());
    }
    let putting = (0..16_u8).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.put_habits(key, Some(b""), &[number]).await.unwrap() })
    });
    let mut put = Vec::new();
    for one in putting.collect::<Vec<_>>() {
        put.push(one.await.unwrap());
    }
    assert_eq!(put.iter().filter(|put| **put).count(), 1);
    let place = put.iter().position(|put| *put).unwrap();
    assert_eq!(store.habits(key).await.unwrap(), Some(vec![u8::try_from(place).unwrap()]));
}

/// What was a key's habits is erased with it, and does not come back.
pub async fn deleting_a_key_erases_its_habits(store: Arc<dyn Store>) {
    let record = created(&*store, sample::record(&sample::organization(), &sample::user("ann"))).await;
    let id = record.key.id;
    assert!(store.put_habits(id, None, b"one").await.unwrap());
    store.delete(&record.key.organization, id, record.key.revision).await.unwrap();
    assert_eq!(store.habits(id).await.unwrap(), None);
    for previous in [None, Some(&b"one"[..])] {
        assert!(!store.put_habits(id, previous, b"two").await.unwrap());
        assert_eq!(store.habits(id).await.unwrap(), None);
    }
    assert!(!store.put_habits(key(), None, b"one").await.unwrap(), "of a key that never was");
}

/// A finding is recorded once, whoever finds it and however often.
pub async fn a_finding_is_recorded_once(store: Arc<dyn Store>) {
    let (organization, key) = (sample::organization(), key());
    // The first moment of a day: the next is of the same one.
    let now = Utc::now().date_naive().and_time(NaiveTime::MIN).and_utc();
    let found = finding(&organization, key, now, 0);
    let recording = (0..16).map(|_| {
        let (store, found) = (Arc::clone(&store), found.clone());
        tokio::spawn(async move { store.record_finding(&found).await.unwrap() })
    });
    let mut recorded = 0;
    for one in recording.collect::<Vec<_>>() {
        recorded += usize::from(one.await.unwrap());
    }
    assert_eq!(recorded, 1);
    assert!(store.record_finding(&finding(&organization, key, now, 1)).await.unwrap());
    // Of the same cause and day, at another time of it.
    let again = finding(&organization, key, now + TimeDelta::milliseconds(1), 0);
    assert!(!store.record_finding(&again).await.unwrap());
    let all = store.findings(&organization, None, 10, None).await.unwrap();
    assert_eq!(all.len(), 2);
    assert!(all.contains(&found));
}

/// Findings are listed newest first, a page after the other, of an organization or of one key, and of no other tenant.
pub async fn findings_are_listed_newest_first_and_by_tenant(store: Arc<dyn Store>) {
    let (organization, other, now) = (sample::organization(), sample::organization(), Utc::now());
    let keys = [key(), key()];
    let mut expected = Vec::new();
    for number in 0..20 {
        // Two of each time.
        let at = now - TimeDelta::seconds((number / 2) as i64);
        expected.push(finding(&organization, keys[number % 2], at, number));
    }
    // In no order.
    for place in [7, 3, 19, 0, 11, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18] {
        assert!(store.record_finding(&expected[place]).await.unwrap());
    }
    expected.sort_by_key(|finding| std::cmp::Reverse(finding.cursor()));
    assert_eq!(store.findings(&organization, None, 100, None).await.unwrap(), expected);
    assert_eq!(store.findings(&other, None, 100, None).await.unwrap(), []);
    assert_eq!(store.findings(&other, Some(keys[0]), 100, None).await.unwrap(), []);
    for key in [None, Some(keys[0])] {
        let of_key: Vec<_> = expected.iter().filter(|found| key.is_none_or(|key| found.key_id == key)).collect();
        let mut listed = Vec::new();
        let mut before = None;
        loop {
            let page = store.findings(&organization, key, 3, before).await.unwrap();
            assert!(page.len() <= 3);
            let Some(last) = page.last() else { break };
            before = Some(last.cursor());
            listed.extend(page);
        }
        assert_eq!(listed.iter().collect::<Vec<_>>(), of_key);
    }
}

/// The newest findings of an organization are kept, and none for longer than its time.
pub async fn the_newest_findings_are_kept(store: Arc<dyn Store>) {
    let (organization, key, now) = (sample::organization(), key(), Utc::now());
    let old = finding(&organization, key, now - KEPT_FOR - TimeDelta::seconds(1), 0);
    store.record_finding(&old).await.unwrap();
    // Several at a time: a store may write what comes at once in one go.
    let all: Vec<_> = (0..KEPT + 5).collect();
    for some in all.chunks(50) {
        let recording = some.iter().map(|number| {
            let at = now - TimeDelta::minutes(1) + TimeDelta::milliseconds(*number as i64);
            let (store, found) = (Arc::clone(&store), finding(&organization, key, at, *number));
            tokio::spawn(async move { store.record_finding(&found).await.unwrap() })
        });
        for one in recording.collect::<Vec<_>>() {
            assert!(one.await.unwrap());
        }
    }
    let kept = store.findings(&organization, None, 2 * KEPT, None).await.unwrap();
    assert_eq!(kept.len(), KEPT);
    assert_eq!(kept.last().unwrap().value.as_deref(), Some("s5"));
}
