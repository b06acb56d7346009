//! What is remembered for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keygate_core::store::{MAX_MEMO_BYTES, MemoName, Store};
use tokio::time::sleep;

use crate::sample;

/// No test takes as long.
const LONG: Duration = Duration::from_secs(60 * 60);
/// What is to be over soon is over by then, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// A name that no other test has.
fn name() -> MemoName {
    MemoName::from_bytes(sample::random())
}

async fn remember(store: &dyn Store, name: &MemoName, value: &[u8], ttl: Duration) -> Option<Vec<u8>> {
    store.remember(name, value, ttl).await.unwrap()
}

/// Who remembers first is believed by all who come later, with another value or the same one.
pub async fn the_first_to_remember_wins(store: Arc<dyn Store>) {
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    assert_eq!(every_byte.len(), MAX_MEMO_BYTES);
    for first in [&b"first"[..], &b""[..], &every_byte] {
        let name = name();
        assert_eq!(store.recall(&name).await.unwrap(), None);
        assert_eq!(remember(&*store, &name, first, LONG).await, None, "recalling it remembered it");
        for later in [&b"later"[..], first, &b""[..]] {
            assert_eq!(remember(&*store, &name, later, LONG).await.as_deref(), Some(first));
            assert_eq!(store.recall(&name).await.unwrap().as_deref(), Some(first));
        }
    }
}

/// Of many who remember at once, one does, and the others are told what.
pub async fn concurrent_rememberers_agree_on_one(store: Arc<dyn Store>) {
    for _ in 0..10 {
        let name = name();
        let rememberers: Vec<_> = (0..16_u8)
            .map(|number| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { (number, remember(&*store, &name, &[number], LONG).await) })
            })
            .collect();
        let (mut firsts, mut told) = (Vec::new(), Vec::new());
        for rememberer in rememberers {
            match rememberer.await.unwrap() {
                (number, None) => firsts.push(vec![number]),
                (_, Some(held)) => told.push(held),
            }
        }
        assert_eq!((firsts.len(), told.len()), (1, 15));
        assert!(told.iter().all(|held| *held == firsts[0]), "{told:?}");
        assert_eq!(store.recall(&name).await.unwrap(), Some(firsts.remove(0)));
    }
}

/// When its time has passed another may be remembered. Who came too late gives it no more time.
pub async fn a_memo_is_over_when_its_time_has_passed(store: Arc<dyn Store>) {
    let lasting = name();
    assert_eq!(remember(&*store, &lasting, b"lasting", LONG).await, None);
    let mut ttl = Duration::from_millis(150);
    let passing = loop {
        let name = name();
        assert_eq!(remember(&*store, &name, b"first", ttl).await, None);
        match remember(&*store, &name, b"second", LONG).await {
            Some(held) => {
                assert_eq!(held, b"first");
                break name;
            }
            // This machine took longer than that from one call to the next.
            None => ttl *= 2,
        }
        assert!(ttl < PATIENCE, "what is remembered is over at once");
    };
    let patience = Instant::now() + PATIENCE + ttl;
    while store.recall(&passing).await.unwrap().is_some() {
        assert!(Instant::now() < patience, "it is still remembered");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(remember(&*store, &passing, b"third", LONG).await, None);
    assert_eq!(remember(&*store, &passing, b"fourth", LONG).await.as_deref(), Some(&b"third"[..]));
    assert_eq!(store.recall(&lasting).await.unwrap().as_deref(), Some(&b"lasting"[..]));
}

/// Whatever is remembered under one name says nothing of another, though they differ in one bit.
pub async fn memos_of_other_names_are_apart(store: Arc<dyn Store>) {
    let first = *name().as_bytes();
    let names: Vec<_> = [0, 7, 8, 31]
        .into_iter()
        .map(|place| {
            let mut bytes = first;
            bytes[place] ^= 1;
            MemoName::from_bytes(bytes)
        })
        .chain([MemoName::from_bytes(first)])
        .collect();
    for (number, name) in names.iter().enumerate() {
        assert_eq!(remember(&*store, name, &[number as u8], LONG).await, None);
    }
    for (number, name) in names.iter().enumerate() {
        assert_eq!(store.recall(name).await.unwrap(), Some(vec![number as u8]));
    }
}

/// A store is no place for large things under names that nobody lists.
pub async fn a_large_memo_is_refused(store: Arc<dyn Store>) {
    let name = name();
    for length in [MAX_MEMO_BYTES + 1, 100_000] {
        assert!(store.remember(&name, &vec![b'x'; length], LONG).await.is_err(), "{length} bytes were remembered");
        assert_eq!(store.recall(&name).await.unwrap(), None);
    }
    assert_eq!(remember(&*store, &name, &[b'x'; MAX_MEMO_BYTES], LONG).await, None);
}
