//! What imported keys are found by.

use std::sync::Arc;

use keygate_core::key::KeyId;
use keygate_core::store::{LookupToken, MAX_LOOKUPS, Store};

use super::created;
use crate::sample;

/// A token that no other test has.
fn token() -> LookupToken {
    LookupToken::from_bytes(sample::random())
}

fn some_id() -> KeyId {
    KeyId::from_bytes(sample::random())
}

async fn take(store: &dyn Store, token: LookupToken, id: KeyId) -> Option<KeyId> {
    let taken = store.take_lookups(&[(token, id)]).await.unwrap();
    assert_eq!(taken.len(), 1, "one answer for each token");
    taken[0]
}

async fn find(store: &dyn Store, token: LookupToken) -> Option<KeyId> {
    let found = store.look_up(&[token]).await.unwrap();
    assert_eq!(found.len(), 1, "one answer for each token");
    found[0]
}

/// Each token is answered in its place, taken or not, and tokens that differ in one bit are apart.
pub async fn lookups_are_found_in_the_order_asked(store: Arc<dyn Store>) {
    let first = *token().as_bytes();
    let tokens: Vec<_> = [0, 7, 8, 31]
        .into_iter()
        .map(|place| {
            let mut bytes = first;
            bytes[place] ^= 1;
            LookupToken::from_bytes(bytes)
        })
        .chain([LookupToken::from_bytes(first)])
        .collect();
    let ids: Vec<_> = tokens.iter().map(|_| some_id()).collect();
    let taken: Vec<_> = tokens.iter().copied().zip(ids.iter().copied()).step_by(2).collect();
    assert_eq!(store.take_lookups(&taken).await.unwrap(), [None; 3]);
    let expected: Vec<_> = ids.iter().enumerate().map(|(nth, id)| (nth % 2 == 0).then_some(*id)).collect();
    assert_eq!(store.look_up(&tokens).await.unwrap(), expected);
    let backwards: Vec<_> = tokens.iter().rev().copied().collect();
    let expected: Vec<_> = expected.into_iter().rev().collect();
    assert_eq!(store.look_up(&backwards).await.unwrap(), expected);
    assert_eq!(store.look_up(&[]).await.unwrap(), []);
    assert_eq!(store.take_lookups(&[]).await.unwrap(), []);
}

/// Who takes a token first has it, and all who come later are told who that is: in another call, or in the same.
pub async fn a_lookup_is_taken_once(store: Arc<dyn Store>) {
    let (token, first, second) = (token(), some_id(), some_id());
    assert_eq!(find(&*store, token).await, None);
    assert_eq!(take(&*store, token, first).await, None, "looking it up took it");
    for later in [second, first] {
        assert_eq!(take(&*store, token, later).await, Some(first));
        assert_eq!(find(&*store, token).await, Some(first));
    }
    let twice = self::token();
    let taken = store.take_lookups(&[(twice, second), (token, second), (twice, first)]).await.unwrap();
    assert_eq!(taken, [None, Some(first), Some(second)]);
    assert_eq!(find(&*store, twice).await, Some(second));
}

/// Of many who take a token at once one does, and the others are told who.
pub async fn concurrent_takers_of_a_lookup_agree_on_one(store: Arc<dyn Store>) {
    for _ in 0..10 {
        let token = token();
        let takers: Vec<_> = (0..16)
            .map(|_| {
                let (store, id) = (Arc::clone(&store), some_id());
                tokio::spawn(async move { (id, take(&*store, token, id).await) })
            })
            .collect();
        let (mut firsts, mut told) = (Vec::new(), Vec::new());
        for taker in takers {
            match taker.await.unwrap() {
                (id, None) => firsts.push(id),
                (_, Some(held)) => told.push(held),
            }
        }
        assert_eq!((firsts.len(), told.len()), (1, 15));
        assert!(told.iter().all(|held| *held == firsts[0]), "{told:?}");
        assert_eq!(find(&*store, token).await, Some(firsts[0]));
    }
}

/// A token is its key's to free and no other's, whether or not there is a record of that key; once freed, it may be taken.
pub async fn a_lookup_is_freed_by_its_key_alone(store: Arc<dyn Store>) {
    let record = created(&*store, sample::record(&sample::organization(), &sample::user("ann"))).await;
    let (token, other, id) = (token(), some_id(), record.key.id);
    assert!(!store.free_lookup(&token, id).await.unwrap(), "nobody has it");
    assert_eq!(take(&*store, token, id).await, None);
    assert!(!store.free_lookup(&token, other).await.unwrap());
    assert_eq!(find(&*store, token).await, Some(id));
    assert!(store.free_lookup(&token, id).await.unwrap());
    assert!(!store.free_lookup(&token, id).await.unwrap(), "it is free");
    assert_eq!(find(&*store, token).await, None);
    assert_eq!(take(&*store, token, other).await, None);
    assert_eq!(find(&*store, token).await, Some(other));
    // It says nothing of the record.
    assert_eq!(store.record(id).await.unwrap(), Some(record));
}

/// A call is bounded, and one beyond that takes nothing.
pub async fn too_many_lookups_at_once_are_refused(store: Arc<dyn Store>) {
    let tokens: Vec<_> = (0..=MAX_LOOKUPS).map(|_| token()).collect();
    let taken: Vec<_> = tokens.iter().map(|token| (*token, some_id())).collect();
    assert!(store.take_lookups(&taken).await.is_err());
    assert!(store.look_up(&tokens).await.is_err());
    assert_eq!(store.look_up(&tokens[1..]).await.unwrap(), vec![None; MAX_LOOKUPS]);
    assert_eq!(store.take_lookups(&taken[1..]).await.unwrap(), vec![None; MAX_LOOKUPS]);
    let found = store.look_up(&tokens[1..]).await.unwrap();
    assert!(found.iter().zip(&taken[1..]).all(|(found, (_, id))| *found == Some(*id)));
}
