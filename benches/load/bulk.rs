//! Hits of some while another process makes very many keys.

use std::time::{Duration, Instant};

use keygate::manager::ApiKeyManager;
use keygate_testkit::RedisServer;
use tempfile::tempdir;

use crate::arguments::Arguments;
use crate::deployment::{Deployment, context, make_keys, runtime, warm};
use crate::figures::{Figures, Table};
use crate::process::Process;

/// Keys in use.
const IN_USE: usize = 1000;
/// For how long is measured before and after.
const LONG: Duration = Duration::from_secs(2);
/// Between two rounds over all keys in use.
const PAUSE: Duration = Duration::from_millis(5);

pub fn run(arguments: &Arguments) {
    let count: usize = arguments.or("keys", 65_000);
    let runtime = runtime(1);
    let redis = runtime.block_on(RedisServer::start()).unwrap();
    let directory = tempdir().unwrap();
    let place = directory.path().join("deployment");
    let deployment = Deployment::new(redis.url());
    deployment.write(&place);
    let manager = runtime.block_on(deployment.connect(|builder| builder));
    let keys = runtime.block_on(make_keys(&manager, IN_USE));
    runtime.block_on(warm(&manager, &keys));

    let options = [("deployment", place.display().to_string()), ("keys", count.to_string())];
    let mut import = Process::start("import", &options);
    assert_eq!(import.line(), ["ready"]);

    let before = runtime.block_on(checks(&manager, &keys, |passed| passed < LONG));
    import.tell("go");
    // A thread of its own waits for the other process's word.
    let waiting = std::thread::spawn(move || (import.numbers()[0], import));
    let meanwhile = runtime.block_on(checks(&manager, &keys, |_| !waiting.is_finished()));
    let (took, import) = waiting.join().unwrap();
    let after = runtime.block_on(checks(&manager, &keys, |passed| passed < LONG));
    drop(import);

    println!("{count} keys made in {took:.1} s by another process; {IN_USE} keys in use here\n");
    let mut table = Table::new(["", "hit rate", "checks", "misses", "changes told", "ns for a check, median", "p99"]);
    for (name, Checks { checked, missed, told, nanos }) in
        [("before", before), ("meanwhile", meanwhile), ("after", after)]
    {
        let nanos = Figures::new(nanos);
        let times = [nanos.median(), nanos.quantile(0.99)].map(|nanos| format!("{nanos:.0}"));
        let rate = 1.0 - missed as f64 / checked as f64;
        let counts = [checked, missed, told].map(|count| count.to_string());
        table.line(name, [format!("{rate:.6}")].into_iter().chain(counts).chain(times));
    }
    table.print();
}

struct Checks {
    checked: u64,
    missed: u64,
    told: u64,
    /// For a check, of each round.
    nanos: Vec<f64>,
}

async fn checks(manager: &ApiKeyManager, keys: &[String], go_on: impl Fn(Duration) -> bool) -> Checks {
    let (context, began, before) = (context(), Instant::now(), manager.cache_statistics());
    let (mut checked, mut nanos) = (0, Vec::new());
    while go_on(began.elapsed()) {
        let round = Instant::now();
        for key in keys {
            manager.validate(key, &context).await.unwrap();
        }
        checked += keys.len() as u64;
        nanos.push(round.elapsed().as_nanos() as f64 / keys.len() as f64);
        tokio::time::sleep(PAUSE).await;
    }
    let after = manager.cache_statistics();
    Checks { checked, missed: after.misses - before.misses, told: after.changes - before.changes, nanos }
}

/// The other process.
pub fn import(arguments: &Arguments) {
    let deployment = Deployment::read(arguments.text("deployment").unwrap());
    let count = arguments.given("keys");
    let runtime = runtime(1);
    runtime.block_on(async {
        let manager = deployment.connect(|builder| builder).await;
        println!("ready");
        std::io::stdin().read_line(&mut String::new()).unwrap();
        let began = Instant::now();
        make_keys(&manager, count).await;
        println!("{}", began.elapsed().as_secs_f64());
    });
}
