//! Promise 5, over a real Redis and eight processes: no more is let in than the limit, whatever becomes of the processes, at
//! far less than one round trip a request; and what becomes of requests while Redis is away is what the limit says.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use keygate::actor::{Actor, Operator};
use keygate::context::RequestContext;
use keygate::denial::DenialReason;
use keygate::limits::{Fallback, Limits};
use keygate::manager::{ApiKeyManager, NewKey};
use keygate::names::PrincipalId;
use keygate::record::Quota;
use keygate::redis::{RedisSettings, RedisStore};
use keygate::ring::{MasterSecret, SecretRing};
use keygate_testkit::RedisServer;

const PROCESSES: usize = 8;
/// Which part of the load each process has, in hundredths: some have ten times what others have.
const SHARES: [u64; PROCESSES] = [40, 20, 10, 10, 8, 4, 4, 4];
/// What a child process is told, and what makes it one.
const TOLD: &str = "KEYGATE_TEST_INSTANCE";

fn operator() -> Actor {
    Operator::named(PrincipalId::new("test").unwrap()).into()
}

fn ring(secret: &str) -> SecretRing {
    let bytes: [u8; 32] = BASE64.decode(secret).unwrap().try_into().unwrap();
    SecretRing::new(&MasterSecret::from_bytes(bytes).unwrap())
}

fn manager(url: &str, secret: &str, stale: Duration) -> ApiKeyManager {
    let settings = url.parse::<RedisSettings>().unwrap().with_max_staleness(Duration::from_secs(30)).unwrap();
    let quota = Quota { per_organization: 1_000, per_user: 1_000 };
    let builder = ApiKeyManager::builder(RedisStore::connect(settings), ring(secret)).quota(quota);
    builder.stale_if_error(stale).build().unwrap()
}

async fn make(manager: &ApiKeyManager, limits: Limits) -> String {
    let mut new = NewKey::new("acme".parse().unwrap(), "ada".parse().unwrap());
    new.limits = Some(limits);
    manager.create(&operator(), new).await.unwrap().text.expose().to_owned()
}

fn millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

/// What the processes let in of one key.
#[derive(Debug, Default)]
struct Seen {
    asked: u64,
    let_in: u64,
    /// When each request that was let in began and ended.
    times: Vec<(u64, u64)>,
    /// Calls of the store for limits, of all keys together.
    calls: u64,
}

struct Instance {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Instance {
    /// Starts one that asks with the key so often a second, for so long.
    fn start(url: &str, secret: &str, key: &str, per_second: f64, seconds: f64) -> Self {
        let told = format!("{url} {secret} {key} {per_second} {seconds}");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "limits::as_an_instance", "--nocapture"])
            .env(TOLD, told)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// All that it says until it ends, however that comes.
    fn hear(mut self, seen: &mut Seen) {
        let mut line = String::new();
        while self.lines.read_line(&mut line).is_ok_and(|length| length > 0) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["in", began, ended] => {
                    seen.let_in += 1;
                    seen.asked += 1;
                    seen.times.push((began.parse().unwrap(), ended.parse().unwrap()));
                }
                ["out", "rate_limit_exceeded"] => seen.asked += 1,
                ["out", reason] => panic!("a request was denied for {reason}"),
                ["calls", calls] => seen.calls += calls.parse::<u64>().unwrap(),
                _ => {}
            }
            line.clear();
        }
    }
}

/// What a process does that this program starts itself as.
#[tokio::test]
async fn as_an_instance() {
    let Ok(told) = std::env::var(TOLD) else { return };
    let [url, secret, key, per_second, seconds] = told.split(' ').collect::<Vec<_>>()[..] else { panic!("{told}") };
    let (per_second, seconds): (f64, f64) = (per_second.parse().unwrap(), seconds.parse().unwrap());
    let manager = manager(url, secret, Duration::ZERO);
    manager.open().await.unwrap();
    let (began, context) = (Instant::now(), RequestContext::new());
    let mut asked = 0_u64;
    while began.elapsed().as_secs_f64() < seconds {
        // What was due by now and could not be asked is asked at once.
        let due = (began.elapsed().as_secs_f64() * per_second) as u64;
        while asked < due {
            asked += 1;
            let begins = millis();
            match manager.validate(key, &context).await {
                Ok(_) => println!("in {begins} {}", millis()),
                Err(denial) => println!("out {}", denial.reason()),
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    manager.leave().await;
    println!("calls {}", manager.limiter_statistics().calls);
}

struct Fleet {
    server: RedisServer,
    secret: String,
    manager: ApiKeyManager,
}

impl Fleet {
    async fn new() -> Self {
        let server = RedisServer::start().await.unwrap();
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).unwrap();
        let secret = BASE64.encode(secret);
        let manager = manager(&server.url(), &secret, Duration::ZERO);
        manager.open().await.unwrap();
        // An hour that ends now is two windows.
        while millis() % 3_600_000 > 3_600_000 - 30_000 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Self { server, secret, manager }
    }

    fn start(&self, key: &str, per_second: u64, seconds: f64) -> Vec<Instance> {
        let share = |share: u64| (per_second * share) as f64 / 100.0;
        SHARES
            .iter()
            .map(|part| Instance::start(&self.server.url(), &self.secret, key, share(*part), seconds))
            .collect()
    }

    /// Has all processes ask with a key under these limits, so often a second together.
    async fn run(&self, limits: Limits, per_second: u64, seconds: f64) -> Seen {
        let key = make(&self.manager, limits).await;
        let instances = self.start(&key, per_second, seconds);
        hear(instances).await
    }
}

async fn hear(instances: Vec<Instance>) -> Seen {
    let heard = tokio::task::spawn_blocking(|| {
        let mut seen = Seen::default();
        instances.into_iter().for_each(|instance| instance.hear(&mut seen));
        seen
    });
    heard.await.unwrap()
}

fn per_hour(limit: u64) -> Limits {
    Limits { per_hour: Some(limit), ..Limits::UNLIMITED }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_tenfold_overload_the_limit_is_let_in_and_not_one_more() {
    let fleet = Fleet::new().await;
    let seen = fleet.run(per_hour(1_000), 1_000, 10.0).await;
    assert!(seen.asked > 5_000, "{}", seen.asked);
    assert!((990..=1_000).contains(&seen.let_in), "{} of 1000", seen.let_in);
    let seen = fleet.run(per_hour(5), 100, 2.0).await;
    assert_eq!(seen.let_in, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_half_load_nobody_is_denied_and_few_requests_ask_the_store() {
    let fleet = Fleet::new().await;
    let limits = Limits { per_minute: Some(100_000), ..Limits::UNLIMITED };
    let seen = fleet.run(limits, 833, 15.0).await;
    assert_eq!(seen.let_in, seen.asked, "false denials");
    let each = seen.calls as f64 / seen.asked as f64;
    // The first two seconds of demand are not measured yet; a minute's are in BENCHMARKS.md.
    assert!(each <= 0.05, "{each} round trips a request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_come_at_once_than_the_burst_however_long_one_looks() {
    let fleet = Fleet::new().await;
    for burst in [4, 100] {
        let limits = Limits { per_minute: Some(600), burst: Some(burst), ..Limits::UNLIMITED };
        let mut seen = fleet.run(limits, 200, 5.0).await;
        assert!(seen.let_in >= 30, "{}", seen.let_in);
        seen.times.sort_unstable();
        // Of those that began after one moment and ended before another.
        for (nth, (from, _)) in seen.times.iter().enumerate() {
            let mut ends: Vec<u64> = seen.times[nth..].iter().map(|(_, ended)| *ended).collect();
            ends.sort_unstable();
            for (count, until) in (1_u64..).zip(ends) {
                let most = burst + (until - from + 1) * 600 / 60_000 + 1;
                assert!(count <= most, "{count} within {} ms of a burst of {burst}", until - from);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_are_killed_strand_little_and_let_in_no_more() {
    let fleet = Fleet::new().await;
    let key = make(&fleet.manager, per_hour(2_000)).await;
    // Two hundred a second for a while, of which the killed ones have a quarter; then as many as can be.
    let mut instances = fleet.start(&key, 200, 6.0);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let killed: Vec<Instance> = [5, 3, 1].into_iter().map(|place| instances.remove(place)).collect();
    let killed = killed.into_iter().map(|mut instance| {
        // SIGKILL: it gives nothing back.
        instance.child.kill().unwrap();
        instance
    });
    let before = hear(killed.chain(instances).collect()).await;
    let after = hear(fleet.start(&key, 2_000, 4.0)).await;
    let let_in = before.let_in + after.let_in;
    // Two seconds of what the three had: 34 in a hundred of 200 a second. What they had let in and not said counts too.
    assert!((2_000 - 160..=2_000).contains(&let_in), "{let_in} of 2000");
    // And what is stranded is not let in again.
    let admission = fleet.manager.validate(&key, &RequestContext::new().costing(0)).await.unwrap();
    let left = fleet.manager.limits_left_of(&admission).await.unwrap();
    assert_eq!(left[0].remaining, 0);
}

/// Asks forty times a second for so long; says how many were let in, and why others were not.
async fn ask(manager: &ApiKeyManager, key: &str, seconds: f64) -> (u64, Vec<DenialReason>) {
    let (began, mut let_in, mut reasons) = (Instant::now(), 0, Vec::new());
    while began.elapsed().as_secs_f64() < seconds {
        match manager.validate(key, &RequestContext::new()).await {
            Ok(_) => let_in += 1,
            Err(denial) => reasons.push(denial.reason()),
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    (let_in, reasons)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_stopped_a_limit_does_as_it_says_and_afterwards_all_is_counted() {
    let fleet = Fleet::new().await;
    let manager = manager(&fleet.server.url(), &fleet.secret, Duration::from_secs(20));
    manager.open().await.unwrap();
    let limit = |fallback| Limits { fallback, ..per_hour(400) };
    let mut keys = Vec::new();
    for fallback in Fallback::ALL {
        keys.push(make(&fleet.manager, limit(fallback)).await);
    }
    let all = async |seconds: f64| {
        let [deny, open, share] = &keys[..] else { panic!() };
        let (deny, open, share) =
            tokio::join!(ask(&manager, deny, seconds), ask(&manager, open, seconds), ask(&manager, share, seconds));
        [deny, open, share]
    };
    let before = all(2.0).await;
    assert!(before.iter().all(|(let_in, reasons)| *let_in > 20 && reasons.is_empty()), "{before:?}");
    fleet.server.freeze().unwrap();
    let during = all(5.0).await;
    fleet.server.thaw().unwrap();
    let [deny, open, share] = &during;
    // What was held is spent, and then it is trouble and not a limit.
    assert!(deny.0 <= 100 && deny.1.iter().all(|reason| *reason == DenialReason::StoreUnavailable), "{deny:?}");
    assert!(!deny.1.is_empty());
    assert!(open.0 > 0 && open.1.is_empty(), "{open:?}");
    assert!(share.0 > 0 && share.1.is_empty(), "one instance, whose share is all that was left: {share:?}");

    // It is reached again, and what was let in meanwhile is counted: no more than the limit in all.
    let patience = Instant::now() + Duration::from_secs(30);
    while manager.validate(&keys[0], &RequestContext::new().costing(0)).await.is_err()
        || manager.validate(&keys[0], &RequestContext::new()).await.is_err()
    {
        assert!(Instant::now() < patience, "it does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (nth, key) in keys.iter().enumerate() {
        let mut let_in = before[nth].0 + during[nth].0 + u64::from(nth == 0);
        while manager.validate(key, &RequestContext::new()).await.is_ok() {
            let_in += 1;
            assert!(let_in <= 400, "{}", Fallback::ALL[nth]);
        }
        // A call that was under way when Redis stopped may have been granted what nobody was told of.
        assert!(let_in >= 300, "{let_in} of 400: {}", Fallback::ALL[nth]);
    }
}
