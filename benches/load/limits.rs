//! What limits cost that hold over a fleet: how much of a limit is let in, and how often a request asks the store.
//!
//! The instances of `limits` are processes, with a load that differs tenfold among them; those of `sweep` are managers in
//! one process, each with its own connection, since many of them are measured at once.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use keygate::context::RequestContext;
use keygate::key::KeyId;
use keygate::limiter::call::{Call, Writer};
use keygate::limiter::policy::PoolId;
use keygate::limits::Limits;
use keygate::manager::ApiKeyManager;
use keygate::redis::{RedisSettings, RedisStore};
use keygate::store::Store;
use keygate_testkit::RedisServer;

use crate::arguments::Arguments;
use crate::deployment::{Deployment, context, make_key, runtime};
use crate::figures::{Figures, Table};
use crate::process::Process;

/// Which part of the load an instance has, in hundredths of that of all.
const SHARES: [u64; 8] = [40, 20, 10, 10, 8, 4, 4, 4];
const MINUTE: u64 = 60_000;

fn per_minute(limit: u64) -> Limits {
    Limits { per_minute: Some(limit), ..Limits::UNLIMITED }
}

fn millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

/// What became of the requests of one instance.
#[derive(Debug, Default, Clone, Copy)]
struct Done {
    asked: u64,
    let_in: u64,
    calls: u64,
}

/// Asks with a key so often a second, until then; whatever was due and could not be asked is asked at once.
async fn ask(manager: &ApiKeyManager, key: &str, per_second: f64, context: &RequestContext, until: u64) -> Done {
    let (began, before) = (Instant::now(), manager.limiter_statistics().calls);
    let mut done = Done::default();
    while millis() < until {
        let due = (began.elapsed().as_secs_f64() * per_second) as u64;
        while done.asked < due && millis() < until {
            done.asked += 1;
            done.let_in += u64::from(manager.validate(key, context).await.is_ok());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    done.calls = manager.limiter_statistics().calls - before;
    done
}

/// A whole minute of one limit, over processes.
pub fn run(arguments: &Arguments) {
    let limit: u64 = arguments.or("limit", 1_000);
    let load: f64 = arguments.or("load", 10.0);
    let runtime = runtime(1);
    let redis = runtime.block_on(RedisServer::start()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("deployment");
    let deployment = Deployment::new(redis.url());
    deployment.write(&place);
    let manager = runtime.block_on(deployment.connect(|builder| builder));
    let key = runtime.block_on(make_key(&manager, per_minute(limit)));

    let per_second = limit as f64 / 60.0 * load;
    let mut instances: Vec<Process> = SHARES
        .iter()
        .map(|share| {
            let options = [
                ("deployment", place.display().to_string()),
                ("key", key.clone()),
                ("rate", (per_second * *share as f64 / 100.0).to_string()),
            ];
            Process::start("limited", &options)
        })
        .collect();
    for instance in &mut instances {
        assert_eq!(instance.line(), ["ready"]);
    }
    // From one turn of the minute to just before the next.
    let begin = (millis() / MINUTE + 1) * MINUTE + 50;
    for instance in &mut instances {
        instance.tell(&format!("{begin}"));
    }
    let done = instances.iter_mut().map(|instance| {
        let [asked, let_in, calls] = instance.numbers()[..] else { panic!("an instance said something else") };
        (asked, let_in, calls)
    });
    let (asked, let_in, calls) = done.fold((0.0, 0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2));
    println!("{limit} a minute, {load} times that asked of {} processes, for one minute\n", SHARES.len());
    let mut table = Table::new(["", "figure"]);
    table.line("asked", [format!("{asked}")]);
    table.line("let in", [format!("{let_in} ({:.4} of the limit)", let_in / limit as f64)]);
    table.line("round trips for each request", [format!("{:.4}", calls / asked)]);
    table.print();
}

/// One of the processes.
pub fn instance(arguments: &Arguments) {
    let deployment = Deployment::read(arguments.text("deployment").unwrap());
    let (key, rate): (String, f64) = (arguments.given("key"), arguments.given("rate"));
    let runtime = runtime(1);
    let manager = runtime.block_on(deployment.connect(|builder| builder));
    println!("ready");
    let mut begin = String::new();
    std::io::stdin().read_line(&mut begin).unwrap();
    let begin: u64 = begin.trim().parse().unwrap();
    std::thread::sleep(Duration::from_millis(begin.saturating_sub(millis())));
    let done = runtime.block_on(ask(&manager, &key, rate, &context(), begin + MINUTE - 100));
    println!("{} {} {}", done.asked, done.let_in, done.calls);
}

/// Round trips for each request, over limits and numbers of instances: lines of `limit,instances,round_trips`.
pub fn sweep(arguments: &Arguments) {
    let seconds: u64 = arguments.or("seconds", 20);
    let load: f64 = arguments.or("load", 0.5);
    let runtime = runtime(2);
    println!("limit,instances,round_trips");
    for limit in [100, 1_000, 10_000, 100_000, 1_000_000] {
        let redis = runtime.block_on(RedisServer::start()).unwrap();
        let deployments = [1, 2, 4, 8].map(|instances| (instances, Deployment::new(redis.url())));
        // Every number of instances has a Redis of its own, or they would count one another.
        let measured = deployments.map(|(instances, _)| {
            let own = runtime.block_on(RedisServer::start()).unwrap();
            let deployment = Deployment::new(own.url());
            let managers: Vec<ApiKeyManager> =
                (0..instances).map(|_| runtime.block_on(deployment.connect(|builder| builder))).collect();
            let key = runtime.block_on(make_key(&managers[0], per_minute(limit)));
            (instances, own, managers, key)
        });
        drop(redis);
        let until = millis() + seconds * 1_000;
        let running: Vec<_> = measured
            .into_iter()
            .map(|(instances, own, managers, key)| {
                let each = limit as f64 / 60.0 * load / instances as f64;
                runtime.spawn(async move {
                    let context = context();
                    let asks = managers.iter().map(|manager| ask(manager, &key, each, &context, until));
                    let done: Vec<Done> = futures_util::future::join_all(asks).await;
                    drop(own);
                    let sum = |of: fn(&Done) -> u64| done.iter().map(of).sum::<u64>() as f64;
                    (instances, sum(|done| done.calls) / sum(|done| done.asked).max(1.0))
                })
            })
            .collect();
        for one in running {
            let (instances, round_trips) = runtime.block_on(one).unwrap();
            println!("{limit},{instances},{round_trips:.5}");
        }
    }
}

/// Calls for tokens against reads of a record, over one connection.
pub fn script(arguments: &Arguments) {
    let (rounds, connections, count): (usize, usize, usize) =
        (arguments.or("rounds", 7), arguments.or("connections", 64), arguments.or("count", 50_000));
    let runtime = runtime(1);
    let redis = runtime.block_on(RedisServer::start()).unwrap();
    let deployment = Deployment::new(redis.url());
    let manager = runtime.block_on(deployment.connect(|builder| builder));
    let key = runtime.block_on(make_key(&manager, Limits::STANDARD));
    let id: KeyId = keygate::key::PresentedKey::parse(key.as_bytes()).unwrap().id();
    let store = Arc::new(RedisStore::connect(redis.url().parse::<RedisSettings>().unwrap()));
    let limits = Limits { burst: None, ..Limits::STANDARD };
    let (mut reads, mut leases, mut bursts) = (Vec::new(), Vec::new(), Vec::new());
    let rate = |began: Instant| count as f64 / began.elapsed().as_secs_f64();
    let mut sequence = 0_u64;
    for _ in 0..rounds {
        let began = Instant::now();
        runtime.block_on(async {
            let all = futures_util::stream::iter(0..count);
            all.for_each_concurrent(connections, async |_| assert!(store.record(id).await.unwrap().is_some())).await;
        });
        reads.push(rate(began));
        for (limits, rates) in [(limits, &mut leases), (Limits::STANDARD, &mut bursts)] {
            let began = Instant::now();
            runtime.block_on(async {
                let all = futures_util::stream::iter(0..count as u64);
                all.for_each_concurrent(connections, async |nth| {
                    // As many pools as there are calls at once, each of one writer.
                    let pool = PoolId::Lineage(KeyId::from_bytes((nth as u128 % 1_000).to_be_bytes()));
                    let call = Call {
                        writer: Writer(nth % 1_000 + 1),
                        sequence: sequence + nth + 1,
                        not_after: millis() + 2_000,
                        cost: 1,
                        instances: 8,
                        ..Call::default()
                    };
                    store.lease(&pool, &limits, &call).await.unwrap();
                })
                .await;
            });
            sequence += count as u64;
            rates.push(rate(began));
        }
    }
    println!("{connections} calls at once over one connection, {rounds} rounds of {count}\n");
    let mut table = Table::new(["calls a second", "least", "median", "most", "against reading a record"]);
    let read = Figures::new(reads.clone()).quantile(0.5);
    for (name, rates) in
        [("read a record (GET)", reads), ("ask for a token, three windows", leases), ("the same with a burst", bursts)]
    {
        let figures = Figures::new(rates);
        let against = format!("{:.2}", figures.quantile(0.5) / read);
        table.line(name, figures.cells(0).into_iter().chain([against]));
    }
    table.print();
}
