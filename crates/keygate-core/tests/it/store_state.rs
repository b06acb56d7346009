//! What a manager says of its store when it is asked whether it can check keys.

use keygate_core::manager::StoreState;

use crate::support::{Instance, new_key, ring};

#[tokio::test]
async fn a_confirmed_store_is_asked_once_for_each_look() {
    let instance = Instance::new();
    assert_eq!(instance.manager.store_state().await, StoreState::Confirmed, "the first look sets it up");
    let before = instance.store.calls();
    assert_eq!(instance.manager.store_state().await, StoreState::Confirmed);
    let after = instance.store.calls();
    assert_eq!((after.total() - before.total(), after.deployment - before.deployment), (1, 1));
}

#[tokio::test]
async fn a_store_that_fails_is_unreachable_until_it_answers() {
    let instance = Instance::new();
    instance.store.fail();
    assert_eq!(instance.manager.store_state().await, StoreState::Unreachable, "before it was ever reached");
    instance.store.heal();
    assert_eq!(instance.manager.store_state().await, StoreState::Confirmed, "at once: it is not complained of");
    instance.store.fail();
    assert_eq!(instance.manager.store_state().await, StoreState::Unreachable, "and after");
    instance.store.heal();
    assert_eq!(instance.manager.store_state().await, StoreState::Confirmed);
}

#[tokio::test]
async fn an_emptied_store_is_not_the_one_that_was_confirmed() {
    let instance = Instance::new();
    instance.create(new_key()).await;
    instance.wipe();
    assert_eq!(instance.manager.store_state().await, StoreState::Emptied);
    // Set up anew by somebody else, it still is not.
    let other = instance.beside(ring(&[1]));
    assert_eq!(other.manager.store_state().await, StoreState::Confirmed);
    assert_eq!(instance.manager.store_state().await, StoreState::Emptied);
}

#[tokio::test]
async fn secrets_that_do_not_fit_are_told_apart_from_a_store_that_is_away() {
    let instance = Instance::under(ring(&[2, 1]));
    instance.create(new_key()).await;
    let stranger = instance.beside(ring(&[9]));
    assert_eq!(stranger.manager.store_state().await, StoreState::WrongSecret);
    let forgetful = instance.beside(ring(&[1]));
    assert_eq!(forgetful.manager.store_state().await, StoreState::SecretMissing);
    for state in [StoreState::WrongSecret, StoreState::SecretMissing] {
        assert!(state.is_reachable() && !state.is_confirmed(), "{state:?}");
    }
}
