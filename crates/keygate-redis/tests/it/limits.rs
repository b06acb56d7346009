//! Limits over every way to Redis: what is granted, by the server's own clock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keygate_core::key::KeyId;
use keygate_core::limiter::call::{Answer, Call, Outcome, Returned, Shortage, Tokens, Writer};
use keygate_core::limiter::ledger::Ledger;
use keygate_core::limiter::policy::PoolId;
use keygate_core::limiter::window::{Millis, Numbers, Window};
use keygate_core::limits::Limits;
use keygate_core::store::{Store, StoreError};
use keygate_redis::RedisStore;
use keygate_testkit::{FaultProxy, RedisServer, sample};

use crate::support::{cluster, create, leased_at, namespace, owner_of, pool, server, store_at};

/// A limit that does not turn while a test runs, but once in a month.
const MONTHLY: Limits = Limits { per_month: Some(1_000), ..Limits::UNLIMITED };

fn now() -> Millis {
    sample::now().timestamp_millis() as u64
}

fn call(writer: u64, sequence: u64) -> Call {
    Call { writer: Writer(writer), sequence, not_after: now() + 5_000, cost: 1, instances: 1, ..Call::default() }
}

fn some_pool() -> PoolId {
    PoolId::Organization(sample::organization())
}

fn granted(answer: &Answer) -> u64 {
    match answer.outcome {
        Outcome::Granted(grant) => grant.tokens,
        _ => 0,
    }
}

async fn left(store: &RedisStore, pool: &PoolId, limits: &Limits) -> u64 {
    store.lease(pool, limits, &Call::look()).await.unwrap().left[Window::Month as usize].unwrap()
}

#[tokio::test]
async fn by_the_servers_clock_too_it_is_granted_what_the_model_grants() {
    let store = store_at(&server().await.url(), namespace());
    for limits in [Limits::STANDARD, MONTHLY, Limits { burst: None, ..Limits::STANDARD }] {
        let (pool, mut model, mut from) = (some_pool(), Ledger::new(), 0);
        for turn in 0..120_u64 {
            let [a, b, c, d] = sample::random();
            let tokens = Tokens { numbers: Numbers::at(now()), tokens: u64::from(a % 5) };
            let returned = vec![Returned { from, tokens }];
            let call = Call {
                cost: u64::from(b % 4),
                want: u64::from(c),
                instances: u64::from(d % 4),
                ahead: d == 7,
                returned: if turn % 3 == 0 { returned } else { Vec::new() },
                ..call(turn % 5, turn / 5 + 1)
            };
            for _ in 0..=turn % 2 {
                let answer = store.lease(&pool, &limits, &call).await.unwrap();
                assert_eq!(answer, model.call(&limits, &call, answer.now), "{call:?}");
                assert!(answer.now.abs_diff(now()) < 1_000, "the server is of this host");
                from = answer.now;
            }
        }
    }
}

#[tokio::test]
async fn a_call_that_comes_again_counts_once_even_when_the_script_was_forgotten() {
    let server = RedisServer::start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).unwrap();
    let (store, pool) = (store_at(&proxy.url(), namespace()), some_pool());
    let first = Call { want: 10, ..call(1, 1) };
    let answer = store.lease(&pool, &MONTHLY, &first).await.unwrap();
    assert_eq!(granted(&answer), 11);
    for _ in 0..2 {
        server.command::<()>(["SCRIPT", "FLUSH"]).await.unwrap();
        assert_eq!(store.lease(&pool, &MONTHLY, &first).await.unwrap().outcome, answer.outcome);
        assert_eq!(left(&store, &pool, &MONTHLY).await, 989);
    }
    // The answer is lost, and not the grant.
    let second = Call { want: 20, ..call(1, 2) };
    proxy.drop_next_reply();
    let lost = store.lease(&pool, &MONTHLY, &second).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    let deadline = Instant::now() + Duration::from_secs(20);
    let again = loop {
        match store.lease(&pool, &MONTHLY, &second).await {
            Ok(answer) => break answer,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(granted(&again), 21);
    assert_eq!(left(&store, &pool, &MONTHLY).await, 968);
    assert_eq!(store.lease(&pool, &MONTHLY, &first).await.unwrap().outcome, Outcome::Late);
}

#[tokio::test]
async fn looking_writes_nothing_and_what_is_written_ends_by_itself() {
    let server = server().await;
    let store = store_at(&server.url(), namespace());
    let pool = some_pool();
    let name = store.layout().limit(&pool);
    let seen = store.lease(&pool, &Limits::STANDARD, &Call::look()).await.unwrap();
    assert_eq!((seen.outcome, seen.left[0], seen.burst), (Outcome::Late, Some(1_000), Some(50)));
    assert!(!server.command::<bool>(["EXISTS", &name]).await.unwrap());
    let mut model = Ledger::new();
    for (sequence, limits) in [(1, Limits::STANDARD), (2, MONTHLY), (3, MONTHLY), (4, Limits::STANDARD)] {
        let call = call(1, sequence);
        let answer = store.lease(&pool, &limits, &call).await.unwrap();
        model.call(&limits, &call, answer.now);
        let left: u64 = server.command(["PTTL", &name]).await.unwrap();
        assert!((now() + left).abs_diff(model.expires()) < 1_000, "{left} ms are left under {limits:?}");
    }
}

#[tokio::test]
async fn a_pool_is_kept_in_one_piece_however_many_call() {
    let server = server().await;
    let store = store_at(&server.url(), namespace());
    let pool = some_pool();
    let name = store.layout().limit(&pool);
    for writer in 0..200 {
        // As long as any: granted.
        let call = Call { writer: Writer(u64::MAX - writer), want: 2, ..call(0, 1) };
        assert!(granted(&store.lease(&pool, &MONTHLY, &call).await.unwrap()) > 0);
    }
    let encoding: String = server.command(["OBJECT", "ENCODING", &name]).await.unwrap();
    assert!(["listpack", "ziplist"].contains(&encoding.as_str()), "{encoding}");
}

/// Everybody asks at once, of all levels, for as long as there is anything.
async fn shared_out(stores: &[Arc<RedisStore>], pool: PoolId) {
    let asking = stores.iter().cycle().take(12).enumerate().map(|(writer, store)| {
        let (store, pool) = (Arc::clone(store), pool.clone());
        tokio::spawn(async move {
            let mut taken = 0;
            for sequence in 1.. {
                let call = Call { want: 50, instances: 12, ..call(writer as u64, sequence) };
                let answer = store.lease(&pool, &MONTHLY, &call).await.unwrap();
                match answer.outcome {
                    Outcome::Granted(grant) => taken += grant.tokens,
                    Outcome::Denied { by, .. } => {
                        assert_eq!(by, Shortage::Window(Window::Month));
                        break;
                    }
                    other => panic!("{other:?}"),
                }
            }
            taken
        })
    });
    let mut taken = 0;
    for one in asking.collect::<Vec<_>>() {
        taken += one.await.unwrap();
    }
    assert_eq!(taken, 1_000, "of {pool:?}");
}

fn pools(first: KeyId) -> [PoolId; 4] {
    let organization = sample::organization();
    [
        PoolId::Lineage(first),
        PoolId::User(organization.clone(), sample::user("bob")),
        PoolId::Project(organization.clone(), sample::project("website")),
        PoolId::Organization(organization),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_is_asked_for_at_once_is_the_limit_and_no_more() {
    let (url, namespace) = (server().await.url(), namespace());
    let over_pool = RedisStore::from_pool(pool(&url), namespace.clone());
    let stores = [store_at(&url, namespace.clone()), store_at(&url, namespace), over_pool].map(Arc::new);
    for pool in pools(create(&stores[0]).await.key.id) {
        shared_out(&stores, pool).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_pools_of_all_levels_are_where_what_they_are_of_is() {
    let (cluster, namespace) = (cluster().await, namespace());
    let stores = [(); 3].map(|()| Arc::new(store_at(&cluster.url(), namespace.clone())));
    let mut owners = BTreeSet::new();
    for _ in 0..4 {
        let record = create(&stores[0]).await;
        let layout = stores[0].layout();
        assert_eq!(
            cluster.slot_of(&layout.limit(&PoolId::Lineage(record.key.id))).await.unwrap(),
            cluster.slot_of(&layout.record(record.key.id)).await.unwrap()
        );
        for pool in pools(record.key.id) {
            owners.insert(owner_of(cluster, &layout.limit(&pool)).await);
            shared_out(&stores, pool).await;
        }
    }
    assert!(owners.len() > 1, "all pools are on one primary");
}

#[tokio::test]
async fn a_server_that_does_not_answer_keeps_nobody_waiting() {
    let server = RedisServer::start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).unwrap();
    let (store, pool) = (leased_at(&proxy.url(), namespace(), Duration::from_millis(300)), some_pool());
    store.lease(&pool, &MONTHLY, &call(1, 1)).await.unwrap();
    proxy.swallow();
    let asked = Instant::now();
    let silence = store.lease(&pool, &MONTHLY, &call(1, 2)).await;
    assert!(matches!(silence, Err(StoreError::Unavailable(_))), "{silence:?}");
    assert!(asked.elapsed() < Duration::from_secs(1), "it took {:?}", asked.elapsed());
}

#[tokio::test]
async fn what_is_no_pool_is_an_error_and_stays() {
    let server = server().await;
    let store = store_at(&server.url(), namespace());
    let pool = some_pool();
    let name = store.layout().limit(&pool);
    for damage in [&["HSET", &name, "s", "short"][..], &["SET", &name, "text"]] {
        server.command::<()>(["DEL", &name]).await.unwrap();
        server.command::<()>(damage.iter().copied()).await.unwrap();
        for call in [call(1, 1), Call::look()] {
            let answer = store.lease(&pool, &MONTHLY, &call).await;
            assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        }
    }
    let odd = Call { sequence: u64::MAX, ..call(1, 1) };
    assert!(store.lease(&some_pool(), &MONTHLY, &odd).await.is_err());
}
