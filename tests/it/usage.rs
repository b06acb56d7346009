//! Promise 6, over a real Redis: each request is counted once, whatever becomes of the calls that tell of it, of the
//! connections, of the server and of the processes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use keygate::actor::{Actor, Operator};
use keygate::context::RequestContext;
use keygate::key::KeyId;
use keygate::limits::Limits;
use keygate::manager::{ApiKeyManager, NewKey};
use keygate::names::PrincipalId;
use keygate::redis::{Namespace, RedisSettings, RedisStore};
use keygate::ring::{MasterSecret, SecretRing};
use keygate::usage::report::UsageQuery;
use keygate_testkit::{FaultProxy, RedisServer};

/// How many runs there are, each with faults of its own, at the same time.
const RUNS: u64 = 10;
const INSTANCES: u64 = 3;
const KEYS: usize = 8;
/// How long requests come in one run.
const LASTS: Duration = Duration::from_secs(8);
/// What a child process is told, and what makes it one.
const TOLD: &str = "KEYGATE_TEST_USAGE_INSTANCE";

fn operator() -> Actor {
    Operator::named(PrincipalId::new("test").unwrap()).into()
}

fn new_secret() -> String {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).unwrap();
    BASE64.encode(secret)
}

fn manager(url: &str, secret: &str, namespace: &str) -> ApiKeyManager {
    let settings = url.parse::<RedisSettings>().unwrap().with_namespace(Namespace::new(namespace).unwrap());
    let bytes: [u8; 32] = BASE64.decode(secret).unwrap().try_into().unwrap();
    let ring = SecretRing::new(&MasterSecret::from_bytes(bytes).unwrap());
    ApiKeyManager::builder(RedisStore::connect(settings), ring).build().unwrap()
}

async fn make(manager: &ApiKeyManager, user: usize) -> (KeyId, String) {
    let mut new = NewKey::new("acme".parse().unwrap(), format!("user-{user}").parse().unwrap());
    new.limits = Some(Limits::UNLIMITED);
    let created = manager.create(&operator(), new).await.unwrap();
    (created.key.id, created.text.expose().to_owned())
}

async fn admitted(manager: &ApiKeyManager, key: KeyId) -> u64 {
    let report = manager.key_usage(&operator(), key, UsageQuery::default()).await.unwrap();
    report.total.by_outcome.iter().find(|share| share.name == "admitted").map_or(0, |share| share.requests)
}

/// A small generator of Marsaglia's, so that a run's faults are its own.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Has one thing after another go wrong between an instance and the server, until told to end.
async fn disturb(proxy: Arc<FaultProxy>, seed: u64, ended: Arc<AtomicBool>) {
    let mut dice = Dice(seed);
    while !ended.load(Ordering::Relaxed) {
        match dice.below(10) {
            // Taken in, and the answer lost.
            0..=2 => proxy.drop_next_reply_to("usage-mark"),
            3 => proxy.drop_next_reply(),
            4 => {
                proxy.cut();
                tokio::time::sleep(Duration::from_millis(dice.below(300))).await;
                proxy.pass();
            }
            5 => {
                proxy.swallow_replies();
                tokio::time::sleep(Duration::from_millis(dice.below(1_000))).await;
                proxy.pass();
            }
            6 => {
                proxy.swallow();
                tokio::time::sleep(Duration::from_millis(dice.below(500))).await;
                proxy.pass();
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(50 + dice.below(300))).await;
    }
    proxy.pass();
}

/// Asks with one key after another, until told to end, and says how often each was let in.
async fn ask(manager: ApiKeyManager, keys: Vec<(KeyId, String)>, ended: Arc<AtomicBool>) -> BTreeMap<KeyId, u64> {
    let mut let_in = BTreeMap::new();
    let context = RequestContext::new().for_endpoint("/reports");
    while !ended.load(Ordering::Relaxed) {
        for (id, text) in &keys {
            if let Ok(admission) = manager.validate(text, &context).await {
                admission.recording().answered(200);
                *let_in.entry(*id).or_default() += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let_in
}

/// One deployment of some instances, each behind a connection of its own that is disturbed.
struct Run {
    reader: ApiKeyManager,
    instances: Vec<(ApiKeyManager, Arc<FaultProxy>)>,
    keys: Vec<(KeyId, String)>,
    number: u64,
}

impl Run {
    async fn new(server: &RedisServer, number: u64) -> Self {
        let (secret, namespace) = (new_secret(), format!("run-{number}"));
        let reader = manager(&server.url(), &secret, &namespace);
        reader.open().await.unwrap();
        let mut keys = Vec::new();
        for user in 0..KEYS {
            keys.push(make(&reader, user).await);
        }
        let mut instances = Vec::new();
        for _ in 0..INSTANCES {
            let proxy = Arc::new(FaultProxy::start(server.address()).unwrap());
            let manager = manager(&proxy.url(), &secret, &namespace);
            manager.open().await.unwrap();
            instances.push((manager, proxy));
        }
        Self { reader, instances, keys, number }
    }

    async fn go(&self, ended: &Arc<AtomicBool>) -> BTreeMap<KeyId, u64> {
        let mut asking = Vec::new();
        let mut disturbing = Vec::new();
        for (place, (manager, proxy)) in (1..).zip(&self.instances) {
            let seed = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(self.number * INSTANCES + place);
            disturbing.push(tokio::spawn(disturb(Arc::clone(proxy), seed, Arc::clone(ended))));
            asking.push(tokio::spawn(ask(manager.clone(), self.keys.clone(), Arc::clone(ended))));
        }
        let mut counted: BTreeMap<KeyId, u64> = BTreeMap::new();
        for asking in asking {
            for (key, count) in asking.await.unwrap() {
                *counted.entry(key).or_default() += count;
            }
        }
        for disturbing in disturbing {
            disturbing.await.unwrap();
        }
        counted
    }

    /// The trouble is over: all that was counted is in the store, and once.
    async fn check(&self, counted: &BTreeMap<KeyId, u64>) {
        for (manager, _) in &self.instances {
            assert!(manager.flush_usage(Duration::from_secs(30)).await, "run {}", self.number);
            let statistics = manager.usage_statistics();
            assert_eq!((statistics.lost, statistics.waiting), (0, 0), "run {}", self.number);
        }
        for (key, count) in counted {
            assert_eq!(admitted(&self.reader, *key).await, *count, "run {}", self.number);
        }
        let organization = "acme".parse().unwrap();
        let report = self.reader.organization_usage(&operator(), &organization, UsageQuery::default()).await.unwrap();
        let all: u64 = counted.values().sum();
        assert!(all > 1_000, "run {}: {all}", self.number);
        let endpoint = report.breakdown.by_endpoint.iter().map(|share| share.requests).sum::<u64>();
        let answers = report.total.by_status.iter().map(|share| share.requests).sum::<u64>();
        let outcomes = &report.total.by_outcome;
        let admitted = outcomes.iter().find(|share| share.name == "admitted").map_or(0, |share| share.requests);
        assert_eq!((admitted, answers), (all, all), "run {}", self.number);
        assert_eq!(endpoint, report.total.requests, "run {}", self.number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_is_counted_once_whatever_goes_wrong_between_instances_and_server() {
    let mut server = RedisServer::start().await.unwrap();
    let mut runs = Vec::new();
    for number in 0..RUNS {
        runs.push(Run::new(&server, number).await);
    }
    let ended = Arc::new(AtomicBool::new(false));
    let runs: Vec<_> = runs
        .into_iter()
        .map(|run| {
            let ended = Arc::clone(&ended);
            tokio::spawn(async move {
                let counted = run.go(&ended).await;
                (run, counted)
            })
        })
        .collect();
    tokio::time::sleep(LASTS / 4).await;
    // A server that goes and comes back with all it had.
    server.restart_keeping_data().await.unwrap();
    tokio::time::sleep(LASTS / 4).await;
    // One that forgets what it acknowledged in the last two seconds, as a failover may.
    server.command::<()>(["SAVE"]).await.unwrap();
    tokio::time::sleep(LASTS / 4).await;
    server.kill();
    server.restart_keeping_data().await.unwrap();
    tokio::time::sleep(LASTS / 4).await;
    ended.store(true, Ordering::Relaxed);
    let mut told_again = 0;
    for run in runs {
        let (run, counted) = run.await.unwrap();
        run.check(&counted).await;
        told_again += run.instances.iter().map(|(manager, _)| manager.usage_statistics().told_again).sum::<u64>();
    }
    assert!(told_again > 0, "the server has forgotten nothing, so that was not tried");
}

/// What a process does that this program starts itself as.
#[tokio::test]
async fn as_an_instance() {
    let Ok(told) = std::env::var(TOLD) else { return };
    let [url, secret, key] = told.split(' ').collect::<Vec<_>>()[..] else { panic!("{told}") };
    let manager = manager(url, secret, "kg");
    manager.open().await.unwrap();
    let (mut let_in, mut out) = (0_u64, std::io::stdout());
    loop {
        for _ in 0..5 {
            // Before it is asked: what is killed in between may have been counted.
            let_in += 1;
            manager.validate(key, &RequestContext::new()).await.unwrap();
        }
        writeln!(out, "asked {let_in} told {}", manager.usage_statistics().told).unwrap();
        out.flush().unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_loses_no_more_than_it_was_not_acknowledged() {
    let server = RedisServer::start().await.unwrap();
    let secret = new_secret();
    let manager = manager(&server.url(), &secret, "kg");
    manager.open().await.unwrap();
    for round in 0..4 {
        let (key, text) = make(&manager, round).await;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "usage::as_an_instance", "--nocapture"])
            .env(TOLD, format!("{} {secret} {text}", server.url()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let heard = tokio::task::spawn_blocking(move || {
            let (mut asked, mut told) = (0_u64, 0_u64);
            for line in lines.map_while(Result::ok) {
                if let ["asked", number, "told", acknowledged] = line.split_whitespace().collect::<Vec<_>>()[..] {
                    (asked, told) = (number.parse().unwrap(), acknowledged.parse().unwrap());
                }
            }
            (asked, told)
        });
        let lives = Duration::from_millis(2_100 + 250 * u64::try_from(round).unwrap());
        tokio::time::sleep(lives).await;
        // SIGKILL: it says nothing more.
        child.kill().unwrap();
        child.wait().unwrap();
        let (asked, told) = heard.await.unwrap();
        let settled = Instant::now() + Duration::from_secs(1);
        let mut counted = 0;
        while Instant::now() < settled {
            counted = admitted(&manager, key).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(told > 0 && asked > told, "{asked} {told}");
        // Five more may have been asked for since the last line.
        assert!((told..=asked + 5).contains(&counted), "{told} <= {counted} <= {asked}");
    }
}
