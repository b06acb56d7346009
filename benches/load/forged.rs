//! Forged keys at full load: what they cost the server, and what of them reaches Redis.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use keygate::store::MemoryStore;
use keygate_testkit::RedisServer;
use tempfile::tempdir;

use crate::arguments::Arguments;
use crate::client::Load;
use crate::deployment::{Deployment, make_keys, runtime, write_keys};
use crate::figures::Table;
use crate::process::{cpu_seconds, processors};
use crate::server::Server;

const KEYS: usize = 1000;

pub fn run(arguments: &Arguments) {
    let (seconds, connections) = (arguments.or("seconds", 5.0), arguments.or("connections", 64));
    let runtime = runtime(1);
    let redis = runtime.block_on(RedisServer::start()).unwrap();
    let directory = tempdir().unwrap();
    let place = directory.path().join("deployment");
    let (good, forged) = (directory.path().join("good"), directory.path().join("forged"));
    let deployment = Deployment::new(redis.url());
    deployment.write(&place);
    runtime.block_on(async {
        let ours = deployment.connect(|builder| builder).await;
        write_keys(&good, &make_keys(&ours, KEYS).await);
        // Of the same form, made under another secret.
        let foreign = Deployment::new("").builder(MemoryStore::new()).build().unwrap();
        write_keys(&forged, &make_keys(&foreign, KEYS).await);
    });

    let server = Server::over_redis("axum", 1, &place);
    let load = |keys: &Path, status| {
        let used = cpu_seconds(server.process.id());
        let (port, keys, awake) = (server.port("keyed"), keys.to_str().unwrap(), processors() > 1);
        let done = Load { port, keys, status, connections, seconds, awake }.run();
        (done.per_second, (cpu_seconds(server.process.id()) - used) / done.requests * 1e6, done.requests)
    };
    // What is made once is made now.
    load(&good, 200);
    let commands = || {
        let all = runtime.block_on(redis.command_stats()).unwrap();
        // This question itself is one.
        all.into_iter().filter(|(name, _)| name != "info").collect::<BTreeMap<_, _>>()
    };
    let idle = {
        let before = commands();
        std::thread::sleep(Duration::from_secs_f64(seconds));
        difference(&before, &commands())
    };
    let before = commands();
    let (forged_rate, forged_cpu, requests) = load(&forged, 401);
    let loaded = difference(&before, &commands());
    let (good_rate, good_cpu, _) = load(&good, 200);

    let mut table = Table::new(["axum behind keygate, one worker", "forged", "good", "forged against good"]);
    let line = |forged: f64, good: f64, digits: usize| {
        [format!("{forged:.digits$}"), format!("{good:.digits$}"), format!("{:.2}", forged / good)]
    };
    table.line("requests/s", line(forged_rate, good_rate, 0));
    table.line("µs of CPU for each", line(forged_cpu, good_cpu, 2));
    table.print();
    let mut table = Table::new(["Redis commands", "without load", "with forged keys"]);
    let names = idle.keys().chain(loaded.keys()).collect::<BTreeSet<_>>();
    for name in names {
        let of = |counts: &BTreeMap<String, u64>| counts.get(name).copied().unwrap_or(0).to_string();
        table.line(name, [of(&idle), of(&loaded)]);
    }
    table.line("reads of records", [reads(&idle).to_string(), reads(&loaded).to_string()]);
    table.print();
    println!("{requests} forged keys were refused; Redis was asked for {} records meanwhile\n", reads(&loaded));
}

/// Commands that are not of the heartbeat.
fn reads(counts: &BTreeMap<String, u64>) -> u64 {
    counts.iter().filter(|(name, _)| matches!(name.as_str(), "get" | "mget")).map(|(_, calls)| calls).sum()
}

fn difference(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let more = after.iter().map(|(name, calls)| (name.clone(), calls - before.get(name).copied().unwrap_or(0)));
    more.filter(|(_, calls)| *calls > 0).collect()
}
