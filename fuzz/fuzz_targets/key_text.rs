//! Any bytes as a key: they are parsed without a panic, refused without the store, and one text alone is accepted.

#![no_main]

use std::future::Future;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use keygate_core::actor::{Actor, Operator};
use keygate_core::context::RequestContext;
use keygate_core::denial::DenialReason;
use keygate_core::key::PresentedKey;
use keygate_core::manager::{ApiKeyManager, CreatedKey, NewKey};
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_core::store::MemoryStore;
use libfuzzer_sys::fuzz_target;

static DEPLOYMENT: LazyLock<(ApiKeyManager, CreatedKey)> = LazyLock::new(|| {
    let secret = MasterSecret::from_bytes(std::array::from_fn(|place| place as u8)).expect("a secret");
    let manager = ApiKeyManager::builder(MemoryStore::new(), SecretRing::new(&secret)).build().expect("a manager");
    let operator = Actor::from(Operator::named("fuzz".parse().expect("a principal")));
    let new = NewKey::new("acme".parse().expect("an id"), "ada".parse().expect("an id"));
    let created = ready(manager.create(&operator, new)).expect("a key");
    (manager, created)
});

/// The answer of a future that waits for nothing: the store is in memory.
fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("the memory store never waits"),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (manager, created) = &*DEPLOYMENT;
    let refused = |text: &[u8]| {
        let Ok(text) = str::from_utf8(text) else { return };
        if text == created.text.expose() {
            return;
        }
        match ready(manager.validate(text, &RequestContext::new())) {
            Err(denial) => {
                let parsed = PresentedKey::parse(text.as_bytes()).is_ok();
                let expected = if parsed { DenialReason::InvalidKey } else { DenialReason::MalformedKey };
                assert_eq!(denial.reason(), expected);
            }
            Ok(_) => panic!("another text than the key's was accepted"),
        }
    };
    let _ = PresentedKey::parse(bytes);
    refused(bytes);
    // The key with the bytes written over a part of it, so that most of what is tried is nearly right.
    if let [at, with @ ..] = bytes {
        let mut near = created.text.expose().as_bytes().to_vec();
        let at = usize::from(*at) % near.len();
        let end = (at + with.len()).min(near.len());
        near.splice(at..end, with.iter().copied());
        refused(&near);
    }
});
