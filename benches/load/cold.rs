//! Keys that were never seen before, each read from Redis once, against `redis-benchmark -t get`.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use keygate::manager::ApiKeyManager;
use keygate::redis::{Layout, Namespace};
use keygate_testkit::RedisServer;

use crate::arguments::Arguments;
use crate::deployment::{Deployment, context, make_keys, runtime};
use crate::figures::{Figures, Table};
use crate::process::{cpu_seconds, processors};

pub fn run(arguments: &Arguments) {
    let (rounds, count) = (arguments.or("rounds", 3), arguments.or("keys", 100_000));
    let connections: usize = arguments.or("connections", 64);
    let runtime = runtime(processors());
    let server = runtime.block_on(RedisServer::start()).unwrap();
    let deployment = Deployment::new(server.url());
    let keys: Arc<[String]> = runtime.block_on(async {
        let manager = deployment.connect(|builder| builder).await;
        make_keys(&manager, count).await.into()
    });
    let size = runtime.block_on(record_size(&server, &deployment, &keys[0]));

    let benchmark = |test: &str, requests: usize| {
        let (port, connections) = (server.port().to_string(), connections.to_string());
        let (requests, size, range) = (requests.to_string(), size.to_string(), count.to_string());
        let words = ["-p", &port, "-t", test, "-c", &connections, "-n", &requests, "-r", &range, "-d", &size, "--csv"];
        let output = Command::new("redis-benchmark").args(words).output().expect("redis-benchmark is installed");
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().last().unwrap().split(',').nth(1).unwrap();
        line.trim_matches('"').parse::<f64>().unwrap()
    };
    benchmark("set", 3 * count);

    let own = std::process::id();
    let mut measured = Vec::new();
    let mut pooled = Vec::new();
    for _ in 0..rounds {
        let used = cpu_seconds(own);
        let cold = runtime.block_on(async {
            let manager = deployment.connect(|builder| builder.cache_capacity(2 * count)).await;
            rate(&manager, &keys, connections).await
        });
        let used = (cpu_seconds(own) - used) / count as f64 * 1e6;
        measured.push((cold, benchmark("get", count), used));
        pooled.push(runtime.block_on(async {
            let manager = deployment.connect_pool(connections).await;
            rate(&manager, &keys, connections).await
        }));
    }

    println!("{count} keys of {size} bytes, {connections} at once, {rounds} rounds: least, median and most\n");
    let mut table = Table::new(["cold keys", "", "", ""]);
    let column = |of: fn(&(f64, f64, f64)) -> f64| Figures::new(measured.iter().map(of));
    table.line("against redis-benchmark -t get", column(|(cold, get, _)| cold / get).cells(3));
    let of_pool = pooled.iter().zip(&measured).map(|(pooled, (cold, ..))| pooled / cold);
    table.line("through a pool of as many connections, against one", Figures::new(of_pool).cells(3));
    table.line("keys/s", column(|(cold, ..)| *cold).cells(0));
    table.line("redis-benchmark, gets/s", column(|(_, get, _)| *get).cells(0));
    table.line("µs of this process's CPU for each key", column(|(.., used)| *used).cells(2));
    table.print();
}

/// Keys checked in a second, each once, by so many tasks.
async fn rate(manager: &ApiKeyManager, keys: &Arc<[String]>, tasks: usize) -> f64 {
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let (manager, keys, next) = (manager.clone(), Arc::clone(keys), Arc::clone(&next));
            tokio::spawn(async move {
                let context = context();
                while let Some(key) = keys.get(next.fetch_add(1, Ordering::Relaxed)) {
                    manager.validate(key, &context).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let rate = keys.len() as f64 / began.elapsed().as_secs_f64();
    assert_eq!(manager.cache_statistics().loads, keys.len() as u64, "every key was to be read once");
    rate
}

/// The bytes that are read for one key.
async fn record_size(server: &RedisServer, deployment: &Deployment, key: &str) -> usize {
    let manager = deployment.connect(|builder| builder).await;
    let id = manager.validate(key, &context()).await.unwrap().id;
    server.command(["STRLEN", &Layout::new(Namespace::default()).record(id)]).await.unwrap()
}
