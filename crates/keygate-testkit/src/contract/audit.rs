//! The audit: its numbers, its open acts, its seals and its checkpoints. What the bytes mean is no store's concern.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use keygate_core::audit::{ActId, Append, AuditState, KeptEntry, KeptSeal, OPEN_AT_ONCE, OpenIntent, Step};
use keygate_core::names::OrganizationId;
use keygate_core::ring::EntryId;
use keygate_core::store::{MemoryStore, Store};

use super::Dice;
use crate::sample;

fn act() -> ActId {
    ActId::fresh(Utc::now()).unwrap()
}

/// What the header of every entry is, and some bytes after it.
fn append(act: ActId, step: Step, body: &[u8]) -> Append {
    let millis = act.at().timestamp_millis().to_be_bytes();
    let bytes = [&[1, step.byte()], &act.as_bytes()[..], &millis, body].concat();
    Append { act, step, bytes }
}

fn alone(body: &[u8]) -> Append {
    append(act(), Step::Alone, body)
}

async fn all(store: &dyn Store, organization: &OrganizationId) -> Vec<KeptEntry> {
    store.audit_entries(organization, 0..=u64::MAX, false, 10_000).await.unwrap()
}

/// What a seal begins with, and some bytes after it.
fn seal(last: u64, ring_entry: EntryId, body: &[u8]) -> KeptSeal {
    KeptSeal { last, bytes: [&[1], &ring_entry.as_bytes()[..], body].concat() }
}

fn ring_entry() -> EntryId {
    EntryId::from_bytes(sample::random())
}

/// Whoever appends at once, each gets the next number and none is left out.
pub async fn entries_of_the_audit_are_numbered_without_gaps(store: Arc<dyn Store>) {
    let organization = sample::organization();
    assert_eq!(store.audit_state(&organization).await.unwrap(), AuditState::default());
    assert_eq!(all(&*store, &organization).await, []);
    let appending = (0..32_u8).map(|number| {
        let (store, organization) = (Arc::clone(&store), organization.clone());
        tokio::spawn(async move { store.append_audit(&organization, &alone(&[number])).await.unwrap() })
    });
    let mut given = BTreeSet::new();
    for one in appending.collect::<Vec<_>>() {
        given.extend(one.await.unwrap());
    }
    assert_eq!(given, (1..=32).collect());
    let there: Vec<u64> = all(&*store, &organization).await.iter().map(|entry| entry.sequence).collect();
    assert_eq!(there, (1..=32).collect::<Vec<_>>());
    assert_eq!(store.audit_state(&organization).await.unwrap().last, 32);
    let greatest = alone(&vec![7; 256 * 1024 - 26]);
    assert_eq!(store.append_audit(&organization, &greatest).await.unwrap(), Some(33));
    assert_eq!(all(&*store, &organization).await[32].bytes, greatest.bytes);
}

/// A call that is sent again, because its answer was lost, is answered again and keeps nothing.
pub async fn an_entry_of_the_audit_is_kept_once(store: Arc<dyn Store>) {
    let (organization, act) = (sample::organization(), act());
    let intent = append(act, Step::Intent, b"intent");
    let outcome = append(act, Step::Outcome { intent: 1 }, b"outcome");
    let other = alone(b"other");
    for _ in 0..3 {
        assert_eq!(store.append_audit(&organization, &intent).await.unwrap(), Some(1));
    }
    for _ in 0..3 {
        assert_eq!(store.append_audit(&organization, &outcome).await.unwrap(), Some(2));
        assert_eq!(store.append_audit(&organization, &intent).await.unwrap(), Some(1));
    }
    for _ in 0..3 {
        assert_eq!(store.append_audit(&organization, &other).await.unwrap(), Some(3));
    }
    let kept: Vec<Vec<u8>> = all(&*store, &organization).await.into_iter().map(|entry| entry.bytes).collect();
    assert_eq!(kept, [intent.bytes, outcome.bytes, other.bytes]);
    assert_eq!(store.audit_state(&organization).await.unwrap().open, []);
}

/// An act is open from its intent to its outcome; those that were begun first are told first.
pub async fn an_outcome_closes_its_intent(store: Arc<dyn Store>) {
    let organization = sample::organization();
    let acts: Vec<ActId> = (0..OPEN_AT_ONCE + 3).map(|_| act()).collect();
    let mut expected = Vec::new();
    for (act, sequence) in acts.iter().zip(1..) {
        let appended = store.append_audit(&organization, &append(*act, Step::Intent, b"")).await.unwrap();
        assert_eq!(appended, Some(sequence));
        expected.push(OpenIntent { act: *act, sequence });
    }
    let open = async || store.audit_state(&organization).await.unwrap().open;
    assert_eq!(open().await, expected[..OPEN_AT_ONCE]);
    // Of another act.
    let other = append(act(), Step::Outcome { intent: 1 }, b"");
    assert!(store.append_audit(&organization, &other).await.unwrap().is_some());
    assert_eq!(open().await, expected[..OPEN_AT_ONCE]);
    // It is found by its act: whoever's intent was not answered does not know the sequence, or names another's.
    for (place, intent) in [(1, 2), (3, 0), (4, 1)] {
        let closes = append(acts[place], Step::Outcome { intent }, b"");
        assert!(store.append_audit(&organization, &closes).await.unwrap().is_some());
        expected.retain(|open| open.act != acts[place]);
        assert_eq!(open().await, expected[..OPEN_AT_ONCE.min(expected.len())]);
    }
    let closes = append(acts[6], Step::Reconciled { intent: 0 }, b"");
    assert!(store.append_audit(&organization, &closes).await.unwrap().is_some());
    expected.retain(|open| open.act != acts[6]);
    assert_eq!(open().await, expected[..OPEN_AT_ONCE.min(expected.len())]);
}

/// Of those who find out what became of an act, one writes it down; none where it was said already.
pub async fn what_is_reconciled_is_closed_once(store: Arc<dyn Store>) {
    let (organization, open) = (sample::organization(), act());
    store.append_audit(&organization, &append(open, Step::Intent, b"")).await.unwrap();
    let closing = (0..8_u8).map(|number| {
        let (store, organization) = (Arc::clone(&store), organization.clone());
        let entry = append(open, Step::Reconciled { intent: 1 }, &[number]);
        tokio::spawn(async move { store.append_audit(&organization, &entry).await.unwrap() })
    });
    for one in closing.collect::<Vec<_>>() {
        // Those that come at once may be told of the one that is kept.
        assert!(one.await.unwrap().is_none_or(|sequence| sequence == 2));
    }
    assert_eq!(all(&*store, &organization).await.len(), 2);
    // What is said later is kept beside it.
    let late = append(open, Step::Outcome { intent: 1 }, b"late");
    assert_eq!(store.append_audit(&organization, &late).await.unwrap(), Some(3));
    let never = append(act(), Step::Reconciled { intent: 1 }, b"");
    assert_eq!(store.append_audit(&organization, &never).await.unwrap(), None);
    assert_eq!(store.audit_state(&organization).await.unwrap().last, 3);
}

/// Entries are read from either end, from a place on and so many.
pub async fn entries_of_the_audit_are_read_in_either_order(store: Arc<dyn Store>) {
    let organization = sample::organization();
    for number in 0..10 {
        store.append_audit(&organization, &alone(&[number])).await.unwrap();
    }
    let read = async |range, newest_first, limit| -> Vec<u64> {
        let entries = store.audit_entries(&organization, range, newest_first, limit).await.unwrap();
        entries.iter().map(|entry| entry.sequence).collect()
    };
    assert_eq!(read(0..=u64::MAX, false, 3).await, [1, 2, 3]);
    assert_eq!(read(0..=u64::MAX, true, 3).await, [10, 9, 8]);
    assert_eq!(read(4..=6, false, 10).await, [4, 5, 6]);
    assert_eq!(read(4..=6, true, 2).await, [6, 5]);
    assert_eq!(read(11..=20, true, 2).await, Vec::<u64>::new());
    #[allow(clippy::reversed_empty_ranges)] // it is what is tried
    let nothing = read(6..=4, false, 10).await;
    assert_eq!(nothing, Vec::<u64>::new());
    assert_eq!(read(1..=9, false, 0).await, Vec::<u64>::new());
}

/// Nothing of one organization is in another's.
pub async fn audits_of_tenants_are_apart(store: Arc<dyn Store>) {
    let (one, other, act) = (sample::organization(), sample::organization(), act());
    store.append_audit(&one, &append(act, Step::Intent, b"one")).await.unwrap();
    assert!(store.put_audit_seal(&one, None, &seal(1, ring_entry(), b"")).await.unwrap());
    assert_eq!(store.audit_state(&other).await.unwrap(), AuditState::default());
    assert_eq!(all(&*store, &other).await, []);
    assert_eq!(store.audit_seals(&other, 0, 10).await.unwrap(), []);
    let closes = append(act, Step::Reconciled { intent: 1 }, b"");
    assert_eq!(store.append_audit(&other, &closes).await.unwrap(), None);
    assert_eq!(store.append_audit(&other, &append(act, Step::Intent, b"other")).await.unwrap(), Some(1));
    assert_eq!(store.audit_state(&one).await.unwrap().last, 1);
    assert!(store.trim_audit(&other, 1, b"1rrrr", None).await.unwrap());
    assert_eq!(all(&*store, &one).await.len(), 1);
}

/// A seal is kept after the one it was made after, and after no other.
pub async fn of_concurrent_seals_one_is_kept(store: Arc<dyn Store>) {
    let (organization, ring_entry) = (sample::organization(), ring_entry());
    for number in 0..12 {
        store.append_audit(&organization, &alone(&[number])).await.unwrap();
    }
    let first = seal(4, ring_entry, b"first");
    assert!(!store.put_audit_seal(&organization, Some(&first), &first).await.unwrap());
    assert!(store.put_audit_seal(&organization, None, &first).await.unwrap());
    assert_eq!(store.audit_state(&organization).await.unwrap().seal, Some(first.clone()));
    let sealing = (0..8_u8).map(|number| {
        let (store, organization, first) = (Arc::clone(&store), organization.clone(), first.clone());
        let next = seal(5 + u64::from(number % 4), ring_entry, &[number]);
        tokio::spawn(async move { (store.put_audit_seal(&organization, Some(&first), &next).await.unwrap(), next) })
    });
    let mut kept = Vec::new();
    for one in sealing.collect::<Vec<_>>() {
        let (is_kept, seal) = one.await.unwrap();
        kept.extend(is_kept.then_some(seal));
    }
    assert_eq!(kept.len(), 1);
    let last = seal(12, ring_entry, b"last");
    let alike = seal(kept[0].last, ring_entry, b"another");
    for other in [None, Some(&first), Some(&alike)] {
        assert!(!store.put_audit_seal(&organization, other, &last).await.unwrap());
    }
    // Of what was sealed already, and of what was not appended.
    for of in [4, kept[0].last, 13] {
        assert!(!store.put_audit_seal(&organization, Some(&kept[0]), &seal(of, ring_entry, b"")).await.unwrap());
    }
    assert!(store.put_audit_seal(&organization, Some(&kept[0]), &last).await.unwrap());
    let expected = [first, kept[0].clone(), last];
    assert_eq!(store.audit_seals(&organization, 0, 10).await.unwrap(), expected);
    assert_eq!(store.audit_seals(&organization, 4, 1).await.unwrap(), expected[1..2]);
    assert_eq!(store.audit_seals(&organization, 12, 10).await.unwrap(), []);
}

/// Entries and seals go together, a checkpoint is in their place, and numbers go on.
pub async fn what_is_trimmed_leaves_a_checkpoint(store: Arc<dyn Store>) {
    let (organization, ring_entry) = (sample::organization(), ring_entry());
    let checkpoint = |body: &[u8]| [&[1], &ring_entry.as_bytes()[..], body].concat();
    let open = act();
    for number in 0..9 {
        store.append_audit(&organization, &alone(&[number])).await.unwrap();
    }
    store.append_audit(&organization, &append(open, Step::Intent, b"")).await.unwrap();
    let mut previous = None;
    for last in [3, 6, 10] {
        let next = seal(last, ring_entry, b"");
        assert!(store.put_audit_seal(&organization, previous.as_ref(), &next).await.unwrap());
        previous = Some(next);
    }
    let (one, two) = (checkpoint(b"one"), checkpoint(b"two"));
    assert!(!store.trim_audit(&organization, 3, &one, Some(&two)).await.unwrap());
    assert_eq!(all(&*store, &organization).await.len(), 10);
    assert!(store.trim_audit(&organization, 3, &one, None).await.unwrap());
    assert!(!store.trim_audit(&organization, 6, &two, None).await.unwrap());
    assert!(store.trim_audit(&organization, 6, &two, Some(&one)).await.unwrap());
    let there: Vec<u64> = all(&*store, &organization).await.iter().map(|entry| entry.sequence).collect();
    assert_eq!(there, [7, 8, 9, 10]);
    assert_eq!(store.audit_seals(&organization, 0, 10).await.unwrap(), [seal(10, ring_entry, b"")]);
    let state = store.audit_state(&organization).await.unwrap();
    assert_eq!((state.last, state.checkpoint), (10, Some(two)));
    assert_eq!(state.open, [OpenIntent { act: open, sequence: 10 }]);
    assert_eq!(store.append_audit(&organization, &alone(b"")).await.unwrap(), Some(11));
}

/// Whoever has an audit is found in one of the buckets, from its first entry on, once and in pages by name.
pub async fn organizations_are_listed_by_their_audits(store: Arc<dyn Store>) {
    let organizations: BTreeSet<OrganizationId> = (0..20).map(|_| sample::organization()).collect();
    let (quiet, act) = (sample::organization(), act());
    // What only closes what is open writes nothing, and makes no audit.
    assert_eq!(store.append_audit(&quiet, &append(act, Step::Reconciled { intent: 1 }, b"")).await.unwrap(), None);
    for organization in &organizations {
        for number in 0..2 {
            store.append_audit(organization, &alone(&[number])).await.unwrap();
        }
    }
    let mut listed = Vec::new();
    for bucket in 0..store.audit_buckets() {
        let mut after = None;
        loop {
            let page = store.audited(bucket, after.as_ref(), 3).await.unwrap();
            assert!(page.len() <= 3 && page.is_sorted());
            assert!(page.first().is_none_or(|first| after.as_ref().is_none_or(|after| after < first)));
            after = page.last().cloned();
            let is_last = page.len() < 3;
            listed.extend(page);
            if is_last {
                break;
            }
        }
        assert_eq!(store.audited(bucket, None, 0).await.unwrap(), []);
    }
    // Others use the same store.
    listed.retain(|organization| organizations.contains(organization));
    assert_eq!(listed.len(), organizations.len(), "once");
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), organizations);
}

/// Seals and checkpoints name the ring entries they were made under, for as long as they are kept.
pub async fn seals_of_the_audit_need_their_ring_entries(store: Arc<dyn Store>) {
    let (organization, old, new) = (sample::organization(), ring_entry(), ring_entry());
    let named = async |entry| store.audit_ring_usage().await.unwrap().get(&entry).copied().unwrap_or(0);
    for number in 0..4 {
        store.append_audit(&organization, &alone(&[number])).await.unwrap();
    }
    let seals = [seal(1, old, b""), seal(2, old, b""), seal(3, new, b"")];
    for (place, next) in seals.iter().enumerate() {
        let previous = place.checked_sub(1).map(|place| &seals[place]);
        assert!(store.put_audit_seal(&organization, previous, next).await.unwrap());
    }
    assert!(!store.put_audit_seal(&organization, Some(&seals[1]), &seal(4, new, b"")).await.unwrap());
    assert_eq!((named(old).await, named(new).await), (2, 1));
    let checkpoint = |entry: EntryId| [&[1], &entry.as_bytes()[..], b"checkpoint"].concat();
    assert!(store.trim_audit(&organization, 1, &checkpoint(old), None).await.unwrap());
    assert_eq!((named(old).await, named(new).await), (2, 1), "a seal, and the checkpoint");
    assert!(store.trim_audit(&organization, 2, &checkpoint(new), Some(&checkpoint(old))).await.unwrap());
    assert_eq!((named(old).await, named(new).await), (0, 2));
}

/// Whatever is done in whatever order, every store answers as the memory store does.
pub async fn random_audits_fare_as_in_the_memory_store(store: Arc<dyn Store>) {
    let (model, mut dice) = (MemoryStore::new(), Dice(super::seed()));
    let (organization, ring_entry, begin) = (sample::organization(), ring_entry(), Utc::now());
    for round in 0..300_usize {
        let at = format!("round {round}");
        let state = model.audit_state(&organization).await.unwrap();
        match dice.below(10) {
            0..=5 => {
                let intent = state.open.get(dice.below(OPEN_AT_ONCE)).copied();
                // Of one that is not open, none comes twice: stores remember for different times what they have kept.
                let act = intent.map_or_else(|| fresh(begin, round), |open| open.act);
                let intent = intent.map_or(dice.below(20) as u64, |open| open.sequence);
                let step = match dice.below(4) {
                    0 => Step::Outcome { intent },
                    1 => Step::Reconciled { intent },
                    2 => Step::Alone,
                    _ => Step::Intent,
                };
                let act = if matches!(step, Step::Intent | Step::Alone) { fresh(begin, round) } else { act };
                let entry = append(act, step, &round.to_be_bytes());
                let appended =
                    (store.append_audit(&organization, &entry).await, model.append_audit(&organization, &entry).await);
                assert_eq!(appended.0.unwrap(), appended.1.unwrap(), "{at}: {step:?}");
            }
            6 | 7 => {
                let previous = state.seal.as_ref().filter(|_| dice.below(5) > 0);
                let next = seal(state.last.max(1), ring_entry, &round.to_be_bytes());
                let put = (
                    store.put_audit_seal(&organization, previous, &next).await,
                    model.put_audit_seal(&organization, previous, &next).await,
                );
                assert_eq!(put.0.unwrap(), put.1.unwrap(), "{at}");
            }
            8 => {
                let seals = model.audit_seals(&organization, 0, 100).await.unwrap();
                if seals.len() < 3 {
                    continue;
                }
                let checkpoint = [&[1], &ring_entry.as_bytes()[..], &round.to_be_bytes()].concat();
                let previous = state.checkpoint.as_deref().filter(|_| dice.below(5) > 0);
                let trimmed = (
                    store.trim_audit(&organization, seals[0].last, &checkpoint, previous).await,
                    model.trim_audit(&organization, seals[0].last, &checkpoint, previous).await,
                );
                assert_eq!(trimmed.0.unwrap(), trimmed.1.unwrap(), "{at}");
            }
            _ => {
                assert_eq!(all(&*store, &organization).await, all(&model, &organization).await, "{at}");
                assert_eq!(store.audit_state(&organization).await.unwrap(), state, "{at}");
            }
        }
    }
    assert_eq!(all(&*store, &organization).await, all(&model, &organization).await);
}

fn fresh(begin: DateTime<Utc>, round: usize) -> ActId {
    ActId::fresh(begin + TimeDelta::minutes(1) + TimeDelta::milliseconds(round as i64)).unwrap()
}
