//! How much memory a key takes that is kept.

use keygate_testkit::RedisServer;
use tempfile::tempdir;

use crate::arguments::Arguments;
use crate::deployment::{Deployment, context, make_keys, read_keys, runtime, write_keys};
use crate::figures::Table;
use crate::process::{Process, resident_bytes};

/// How many checks wait for Redis at once.
const AT_ONCE: usize = 64;

pub fn run(arguments: &Arguments) {
    let count = arguments.or("keys", 100_000);
    let runtime = runtime(2);
    let server = runtime.block_on(RedisServer::start()).unwrap();
    let directory = tempdir().unwrap();
    let (place, file) = (directory.path().join("deployment"), directory.path().join("keys"));
    let deployment = Deployment::new(server.url());
    deployment.write(&place);
    runtime.block_on(async {
        let manager = deployment.connect(|builder| builder).await;
        write_keys(&file, &make_keys(&manager, count).await);
    });

    // In a process that has done nothing else.
    let options = [("deployment", place.display().to_string()), ("keys", file.display().to_string())];
    let numbers = Process::start("rss", &options).numbers();
    let (before, after, kept) = (numbers[0], numbers[1], numbers[2]);
    let mut table = Table::new(["memory", "bytes"]);
    table.line("for each key that is kept", [format!("{:.0}", (after - before) / kept)]);
    table.line(format!("of the process, {kept} keys kept"), [format!("{after:.0}")]);
    table.line("of the process, none kept", [format!("{before:.0}")]);
    table.print();
}

/// The other process: reads every key from Redis, and keeps it.
pub fn measured(arguments: &Arguments) {
    let deployment = Deployment::read(arguments.text("deployment").unwrap());
    let keys = read_keys(arguments.text("keys").unwrap());
    let runtime = runtime(1);
    runtime.block_on(async {
        let manager = deployment.connect(|builder| builder.cache_capacity(2 * keys.len())).await;
        let check = |keys: Vec<String>| {
            let manager = manager.clone();
            async move {
                let context = context();
                let checks = keys.into_iter().map(|key| {
                    let (manager, context) = (manager.clone(), context.clone());
                    tokio::spawn(async move { manager.validate(&key, &context).await.map(drop).unwrap() })
                });
                for check in checks.collect::<Vec<_>>() {
                    check.await.unwrap();
                }
            }
        };
        // The first ones make what is made once, and are taken off.
        check(keys[..AT_ONCE].to_vec()).await;
        let before = (resident_bytes(), manager.cache_statistics().entries);
        for some in keys.chunks(AT_ONCE) {
            check(some.to_vec()).await;
        }
        let after = (resident_bytes(), manager.cache_statistics().entries);
        println!("{} {} {}", before.0, after.0, after.1 - before.1);
    });
}
