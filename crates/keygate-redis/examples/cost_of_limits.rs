//! What limits cost Redis: the memory of a pool, and the time of a call beside that of a plain `GET`.
//!
//! `cargo run --release -p keygate-redis --example cost_of_limits [calls]` needs `redis-server` on the path.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keygate_core::key::KeyId;
use keygate_core::limiter::call::{Call, Outcome, Returned, Tokens, Writer};
use keygate_core::limiter::policy::PoolId;
use keygate_core::limiter::window::Numbers;
use keygate_core::limits::Limits;
use keygate_core::store::{MemoName, Store};
use keygate_redis::{RedisSettings, RedisStore};
use keygate_testkit::{RedisServer, sample};

/// Calls under way at once, over one connection.
const IN_FLIGHT: u64 = 64;

#[tokio::main]
async fn main() {
    let calls: u64 = std::env::args().nth(1).map_or(200_000, |calls| calls.parse().expect("a number of calls"));
    let server = RedisServer::start().await.unwrap();
    let store = Arc::new(RedisStore::connect(server.url().parse::<RedisSettings>().unwrap()));
    memory(&server, &store).await;
    let memo = MemoName::from_bytes(sample::random());
    store.remember(&memo, &[7; 256], Duration::from_secs(3_600)).await.unwrap();
    let ample =
        Limits { per_minute: Some(900_000_000), per_hour: Some(1 << 39), per_day: Some(1 << 39), ..Limits::STANDARD };
    let by_month = Limits { per_month: Some(1 << 39), ..ample };
    for _ in 0..3 {
        let reader = Arc::clone(&store);
        let get = measure(&server, calls, move || {
            let store = Arc::clone(&reader);
            async move { drop(store.recall(&memo).await.unwrap()) }
        })
        .await;
        println!("GET of 256 bytes                 {get}");
        for (what, limits, burst) in [
            ("minute, hour, day              ", ample, None),
            ("minute, hour, day, burst       ", ample, Some(1_000_000_000)),
            ("minute, hour, day, month, burst", by_month, Some(1_000_000_000)),
        ] {
            let limits = Limits { burst, ..limits };
            let lease = measure_leases(&server, &store, calls, limits).await;
            println!("{what}  {lease}: {:.2} of a GET, {:.2} of its CPU", lease.took / get.took, lease.cpu / get.cpu);
        }
    }
}

/// What a call costs, microseconds: by the clock, and of the server's processor.
struct Cost {
    took: f64,
    cpu: f64,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} us each, of the server's CPU {:.2}", self.took, self.cpu)
    }
}

async fn cpu(server: &RedisServer) -> f64 {
    let info = server.info("cpu").await.unwrap();
    ["used_cpu_user", "used_cpu_sys"].iter().map(|name| info[*name].parse::<f64>().unwrap()).sum()
}

async fn measure<F>(server: &RedisServer, calls: u64, call: impl Fn() -> F + Clone + Send + 'static) -> Cost
where
    F: Future<Output = ()> + Send + 'static,
{
    let (began, before) = (Instant::now(), cpu(server).await);
    let tasks = (0..IN_FLIGHT).map(|_| {
        let call = call.clone();
        tokio::spawn(async move {
            for _ in 0..calls / IN_FLIGHT {
                call().await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let each = 1e6 / calls as f64;
    Cost { took: began.elapsed().as_secs_f64() * each, cpu: (cpu(server).await - before) * each }
}

/// Of a thousand pools in turn, each with one writer that gives something back with every call.
async fn measure_leases(server: &RedisServer, store: &Arc<RedisStore>, calls: u64, limits: Limits) -> Cost {
    let pools: Arc<Vec<(PoolId, AtomicU64)>> = Arc::new((0..1_000).map(|_| (pool(), AtomicU64::new(0))).collect());
    let next = Arc::new(AtomicU64::new(0));
    let store = Arc::clone(store);
    measure(server, calls, move || {
        let (pools, next, store) = (Arc::clone(&pools), Arc::clone(&next), Arc::clone(&store));
        async move {
            let (pool, sequence) = &pools[next.fetch_add(1, Ordering::Relaxed) as usize % 1_000];
            let call = call(Writer(1 << 63), sequence.fetch_add(1, Ordering::Relaxed) + 1);
            let answer = store.lease(pool, &limits, &call).await.unwrap();
            assert!(matches!(answer.outcome, Outcome::Granted(_)), "{answer:?}");
        }
    })
    .await
}

fn pool() -> PoolId {
    PoolId::Lineage(some_key())
}

fn some_key() -> KeyId {
    sample::record(&sample::organization(), &sample::user("bob")).key.id
}

fn call(writer: Writer, sequence: u64) -> Call {
    let now = u64::try_from(sample::now().timestamp_millis()).unwrap();
    Call {
        writer,
        sequence,
        not_after: now + 2_000,
        cost: 1,
        want: 100,
        instances: 3,
        returned: vec![Returned { from: 0, tokens: Tokens { numbers: Numbers::at(now), tokens: 1 } }],
        ..Call::default()
    }
}

/// Of so many pools of keys, each with so many writers that gave something back.
const POOLS: u64 = 10_000;

async fn memory(server: &RedisServer, store: &RedisStore) {
    for writers in [1, 8, 32] {
        // The script's own memory is not the pools'.
        store.lease(&pool(), &Limits::STANDARD, &call(Writer(1), 1)).await.unwrap();
        let before = server.used_memory().await.unwrap();
        for _ in 0..POOLS {
            let pool = pool();
            for _ in 0..writers {
                let writer = Writer(u64::from_be_bytes(sample::random()));
                let call = Call { want: 0, ..call(writer, 1_000) };
                let answer = store.lease(&pool, &Limits::STANDARD, &call).await.unwrap();
                assert!(matches!(answer.outcome, Outcome::Granted(_)), "{answer:?}");
            }
        }
        let each = (server.used_memory().await.unwrap() - before) / POOLS;
        println!("a pool with {writers} writers: {each} bytes of memory");
    }
}
