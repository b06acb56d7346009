//! What counting costs Redis: the time that takes in a key's requests beside that of a plain `GET`, and the memory of what is
//! kept of a key.
//!
//! `cargo run --release -p keygate-redis --example cost_of_usage [keys]` needs `redis-server` on the path. A key is told of in
//! the most usual way: requests of one hour, of one outcome and one answer, for one endpoint, from one address.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keygate_core::key::{Bucket, KeyId};
use keygate_core::store::{MemoName, Store};
use keygate_core::usage::batch::{Batch, Delta, LastUse, Writer};
use keygate_core::usage::counts::Counts;
use keygate_core::usage::outcome::{Answered, Outcome};
use keygate_core::usage::period::{Hour, Month};
use keygate_core::usage::subject::Subject;
use keygate_redis::{Layout, RedisSettings, RedisStore};
use keygate_testkit::{RedisServer, sample};

const WRITER: Writer = Writer(0x7f3a_9c01_55d2_e684);
/// How often all keys are told of.
const ROUNDS: u64 = 20;

#[tokio::main]
async fn main() {
    let keys: usize = std::env::args().nth(1).map_or(20_480, |keys| keys.parse().expect("a number of keys"));
    let server = RedisServer::start().await.unwrap();
    let store = RedisStore::connect(server.url().parse::<RedisSettings>().unwrap());
    for _ in 0..3 {
        let get = cost_of_get(&server, &store, keys as u64 * ROUNDS).await;
        println!("GET of 256 bytes: {get}");
        for subjects in [256, 16, 1] {
            for usage in [Usage::Common, Usage::Located, Usage::Various] {
                let cost = cost_of_keys(&server, &store, keys, subjects, usage).await;
                println!("{subjects:>3} keys a batch, {usage:?}: {cost}: {:.1} of a GET's CPU", cost.cpu / get.cpu);
            }
        }
    }
    for days in [1, 35] {
        memory(days).await;
    }
}

/// How a key is used.
#[derive(Debug, Clone, Copy)]
enum Usage {
    /// One outcome, one answer, one endpoint.
    Common,
    /// From a place that is known besides.
    Located,
    /// Two outcomes, three answers, six endpoints, three places and four addresses.
    Various,
}

fn delta(usage: Usage, at: DateTime<Utc>) -> Delta {
    let (endpoints, places, addresses) = match usage {
        Usage::Common => (1, 0, 1),
        Usage::Located => (1, 1, 1),
        Usage::Various => (6, 3, 4),
    };
    let mut counts = Counts::default();
    counts.add_outcome(Outcome::Admitted, 17);
    counts.add_answer(Answered::Success, 17);
    if matches!(usage, Usage::Various) {
        counts.add_outcome(Outcome::ALL[12], 3);
        counts.add_answer(Answered::ClientError, 1);
        counts.add_answer(Answered::ServerError, 1);
    }
    (0..endpoints).for_each(|number| counts.add_endpoint(&format!("GET /v1/things/{number}/{{id}}").into(), 17));
    ["DE", "US-CA", "JP"][..places].iter().for_each(|place| counts.add_location(place.parse().ok(), 17));
    let mut delta = Delta { hours: [(Hour::of(at), counts)].into(), ..Delta::default() };
    (0..addresses).for_each(|number| delta.add_address(Month::of(at), [10, 1, 2, number].into()));
    let address = Some([10, 1, 2, 3].into());
    delta.used(Some(LastUse { at, address, location: None }));
    delta
}

/// What one thing costs, in microseconds: of the server's processor, and as the server measures its commands.
struct Cost {
    cpu: f64,
    command: f64,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} us each in the command, {:.2} of CPU in all", self.command, self.cpu)
    }
}

async fn cpu(server: &RedisServer) -> f64 {
    let info = server.info("cpu").await.unwrap();
    ["used_cpu_user", "used_cpu_sys"].iter().map(|name| info[*name].parse::<f64>().unwrap()).sum()
}

/// What the server says that these commands took, in microseconds.
async fn took(server: &RedisServer, command: &str) -> f64 {
    let stats = server.info("commandstats").await.unwrap();
    let of_command = stats.get(&format!("cmdstat_{command}")).map_or("", String::as_str);
    let usec = of_command.split(',').find_map(|part| part.strip_prefix("usec="));
    usec.map_or(0.0, |usec| usec.parse().unwrap())
}

async fn cost_of_get(server: &RedisServer, store: &RedisStore, calls: u64) -> Cost {
    let memo = MemoName::from_bytes(sample::random());
    store.remember(&memo, &[7; 256], Duration::from_secs(3_600)).await.unwrap();
    server.reset_command_stats().await.unwrap();
    let before = cpu(server).await;
    for _ in 0..calls / 64 {
        let reads = (0..64).map(|_| store.recall(&memo));
        futures_util::future::join_all(reads).await;
    }
    let each = 1.0 / calls as f64;
    Cost { cpu: (cpu(server).await - before) * 1e6 * each, command: took(server, "get").await * each }
}

fn keys_of(bucket: u16, many: usize) -> Vec<Subject> {
    let bucket = Some(Bucket::of(u64::from(bucket)));
    (0..many).map(|_| Subject::Key(KeyId::fresh(sample::now(), bucket).unwrap())).collect()
}

/// Makes something in the place of each key's record: of a key without one nothing is taken in.
async fn create(server: &RedisServer, keys: &[Subject]) {
    for subject in keys {
        let Subject::Key(id) = subject else { continue };
        server.command::<()>(["SET", &Layout::default().record(*id), "a record"]).await.unwrap();
    }
}

/// Of keys that are told of again and again on one day, so many of one bucket in each batch.
async fn cost_of_keys(server: &RedisServer, store: &RedisStore, keys: usize, subjects: usize, usage: Usage) -> Cost {
    server.command::<()>(["FLUSHALL", "SYNC"]).await.unwrap();
    let buckets: Vec<Vec<Subject>> =
        (0..keys / subjects).map(|bucket| keys_of(bucket as u16 % 1_024, subjects)).collect();
    for keys in &buckets {
        create(server, keys).await;
    }
    let now = Hour::of(sample::now()).start();
    let (mut before, mut marks) = (0.0, vec![0; 1_024]);
    for round in 0..=ROUNDS {
        if round == 1 {
            // The first time, keys are new.
            server.reset_command_stats().await.unwrap();
            before = cpu(server).await;
        }
        let delta = delta(usage, now + TimeDelta::seconds(round as i64));
        for (at, keys) in buckets.iter().enumerate() {
            let bucket = at as u16 % 1_024;
            let after = marks[usize::from(bucket)];
            marks[usize::from(bucket)] += 1;
            let deltas = keys.iter().map(|subject| (subject.clone(), delta.clone())).collect();
            let batch = Arc::new(Batch { after, number: after + 1, deltas });
            assert_eq!(store.record_usage(bucket, WRITER, &[batch]).await.unwrap(), after + 1);
        }
    }
    let each = 1.0 / (keys as u64 * ROUNDS) as f64;
    Cost { cpu: (cpu(server).await - before) * 1e6 * each, command: took(server, "evalsha").await * each }
}

/// What is kept of a key that was used on each of so many days, in a bucket of a hundred of them.
async fn memory(days: u32) {
    const KEYS: usize = 100;
    let server = RedisServer::start().await.unwrap();
    let store = RedisStore::connect(server.url().parse::<RedisSettings>().unwrap());
    let subjects = keys_of(0, KEYS);
    let now = sample::now();
    // The script's own memory is not the keys'.
    let first =
        Arc::new(Batch { after: 0, number: 1, deltas: vec![(subjects[0].clone(), delta(Usage::Various, now))] });
    store.record_usage(0, WRITER, &[first]).await.unwrap();
    for usage in [Usage::Located, Usage::Various] {
        server.command::<()>(["FLUSHALL", "SYNC"]).await.unwrap();
        create(&server, &subjects).await;
        let empty = server.used_memory().await.unwrap();
        for (number, day) in (0..days).rev().enumerate() {
            let delta = delta(usage, now - TimeDelta::days(i64::from(day)));
            for half in [0, 1] {
                // As often as not it is told of a day in several batches.
                let number = 2 * number as u64 + half;
                let deltas = subjects.iter().map(|subject| (subject.clone(), delta.clone())).collect();
                let batch = Arc::new(Batch { after: number, number: number + 1, deltas });
                assert_eq!(store.record_usage(0, WRITER, &[batch]).await.unwrap(), number + 1);
            }
        }
        let all = server.used_memory().await.unwrap() - empty;
        let series = Layout::default().usage(&subjects[0]);
        let names: BTreeSet<String> = server.command(["KEYS", &format!("{series}*")]).await.unwrap();
        let mut sum = 0;
        for name in &names {
            sum += server.command::<u64>(["MEMORY", "USAGE", name]).await.unwrap();
        }
        println!(
            "{usage:?}, {days} days: {sum} bytes of memory in {} entries of a key, of them the series {}; {} with all around",
            names.len(),
            server.command::<u64>(["MEMORY", "USAGE", &series]).await.unwrap(),
            all / KEYS as u64,
        );
    }
}
