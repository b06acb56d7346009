//! What is granted of limits.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use keygate_core::key::KeyId;
use keygate_core::limiter::call::{Answer, Call, Claims, Outcome, Recent, Returned, Tokens, Writer};
use keygate_core::limiter::ledger::Ledger;
use keygate_core::limiter::policy::PoolId;
use keygate_core::limiter::window::{Millis, Numbers};
use keygate_core::limits::Limits;
use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::store::Store;

use crate::sample;

fn name() -> String {
    format!("pool-{:032x}", u128::from_be_bytes(sample::random()))
}

/// Of a key that was made just now.
fn id() -> KeyId {
    KeyId::fresh(sample::now(), None).unwrap()
}

/// One pool of each level, that no other test has.
fn pools() -> [PoolId; 4] {
    let organization = || OrganizationId::new(name()).unwrap();
    [
        PoolId::Lineage(id()),
        PoolId::User(organization(), UserId::new("ada").unwrap()),
        PoolId::Project(organization(), ProjectId::new("website").unwrap()),
        PoolId::Organization(organization()),
    ]
}

fn clock() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

fn call(writer: u64, sequence: u64, cost: u64, want: u64) -> Call {
    let not_after = clock() + 5_000;
    Call { writer: Writer(writer), sequence, not_after, cost, want, instances: 2, ..Call::default() }
}

async fn lease(store: &dyn Store, pool: &PoolId, limits: &Limits, call: &Call) -> Answer {
    store.lease(pool, limits, call).await.unwrap()
}

/// Every answer is the one that the model gives at the time the store says, whatever is asked and in whatever order.
pub async fn a_pool_is_granted_as_the_model_grants_it(store: Arc<dyn Store>) {
    let windows = Limits { per_minute: Some(100), per_day: Some(150), ..Limits::UNLIMITED };
    let bursts = Limits { burst: Some(40), ..windows };
    for (pool, limits) in pools().into_iter().zip([windows, bursts, Limits::UNLIMITED, Limits::STANDARD]) {
        let mut model = Ledger::new();
        let now = Numbers::at(clock());
        let held = Tokens { numbers: now, tokens: 3 };
        let other = Tokens { numbers: Numbers::default(), tokens: 50 };
        let back = |tokens| Returned { from: 0, tokens };
        let recent = |sequence| Recent { sequence, granted: held };
        let claims = |known| Call {
            known,
            claims: Some(Claims {
                before: [(now.0[0], 5), (0, 9), (now.0[2], 7), (0, 0)],
                recent: vec![recent(2), recent(9)],
            }),
            ..call(3, 10, 1, 0)
        };
        let calls = [
            Call::look(),
            call(1, 1, 1, 10),
            // Again, and out of order.
            call(1, 1, 1, 10),
            call(2, 4, 2, 1_000),
            call(2, 3, 2, 1_000),
            Call { returned: vec![back(held), back(other)], ..call(1, 2, 0, 0) },
            Call { ahead: true, ..call(1, 3, 0, 20) },
            Call { owed: vec![held, held], ..call(1, 4, 1, 5) },
            Call { not_after: clock() - 1_000, ..call(1, 5, 1, 5) },
            Call { not_after: clock() + 60_000, ..call(1, 5, 1, 5) },
            Call { known: Some(1), ..call(3, 9, 1, 5) },
            claims(Some(1)),
            claims(None),
            Call::look(),
            call(4, 1, 1_000_000, 0),
            call(5, 1, 30, u64::MAX >> 24),
            call(u64::MAX, 1, 30, 1),
        ];
        for call in &calls {
            let answer = lease(&*store, &pool, &limits, call).await;
            assert_eq!(answer, model.call(&limits, call, answer.now), "{call:?}");
        }
        // Other limits from here on.
        let lower = Limits { per_minute: Some(30), per_hour: Some(60), per_month: Some(2_000), ..limits };
        let mut from = 0;
        for sequence in 20..60 {
            let returned = if sequence % 3 == 0 { vec![Returned { from, tokens: held }] } else { Vec::new() };
            let call = Call { returned, ..call(6, sequence, 1, 4) };
            let answer = lease(&*store, &pool, &lower, &call).await;
            from = answer.now;
            assert_eq!(answer, model.call(&lower, &call, answer.now), "{call:?}");
        }
    }
}

/// Of however many that ask at once, no more are granted than there is room for, and all of that.
pub async fn concurrent_callers_are_granted_the_limit_and_no_more(store: Arc<dyn Store>) {
    let limits = Limits { per_month: Some(50), ..Limits::UNLIMITED };
    let [pool, ..] = pools();
    let callers: Vec<_> = (1..=16)
        .map(|writer| {
            let (store, pool) = (Arc::clone(&store), pool.clone());
            tokio::spawn(async move {
                let mut granted = 0;
                for sequence in 1..=20 {
                    match lease(&*store, &pool, &limits, &call(writer, sequence, 1, 3)).await.outcome {
                        Outcome::Granted(grant) => granted += grant.tokens,
                        Outcome::Denied { .. } => break,
                        other => panic!("{other:?}"),
                    }
                }
                granted
            })
        })
        .collect();
    let mut granted = 0;
    for caller in callers {
        granted += caller.await.unwrap();
    }
    assert_eq!(granted, 50);
    assert_eq!(lease(&*store, &pool, &limits, &Call::look()).await.left, [None, None, None, Some(0)]);
}

/// What is granted of one pool is granted of no other, nor of another tenant's of the same name.
pub async fn pools_do_not_share(store: Arc<dyn Store>) {
    let limits = Limits { per_day: Some(10), ..Limits::UNLIMITED };
    let (one, other) = (OrganizationId::new(name()).unwrap(), OrganizationId::new(name()).unwrap());
    let (user, project) = (UserId::new("same").unwrap(), ProjectId::new("same").unwrap());
    let pools = [
        PoolId::Organization(one.clone()),
        PoolId::User(one.clone(), user.clone()),
        PoolId::Project(one, project.clone()),
        PoolId::Organization(other.clone()),
        PoolId::User(other.clone(), user),
        PoolId::Project(other, project),
        PoolId::Lineage(id()),
        PoolId::Lineage(id()),
    ];
    for (nth, pool) in (1_u64..).zip(&pools) {
        lease(&*store, pool, &limits, &call(1, 1, nth, 0)).await;
    }
    for (nth, pool) in (1_u64..).zip(&pools) {
        let left = lease(&*store, pool, &limits, &Call::look()).await.left[2];
        assert_eq!(left, Some(10 - nth), "{pool:?}");
    }
}

/// A call that only looks makes nothing: what is looked at is as new as before.
pub async fn looking_at_a_pool_changes_nothing(store: Arc<dyn Store>) {
    let [pool, ..] = pools();
    for _ in 0..3 {
        let answer = lease(&*store, &pool, &Limits::STANDARD, &Call::look()).await;
        assert_eq!((answer.outcome, answer.left[0], answer.burst), (Outcome::Late, Some(1_000), Some(50)));
    }
    let first = lease(&*store, &pool, &Limits::STANDARD, &call(1, 1, 1, 0)).await;
    assert_eq!(first.born, first.now, "it is made by the first that asks");
    assert!(store.instances() >= 1);
}
