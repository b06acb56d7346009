//! How long other processes go on accepting a key after its revocation has returned.
//!
//! Every process of a machine reads the same real-time clock (`CLOCK_REALTIME`), so times are told between processes as
//! nanoseconds of that one. A clock that is set while this runs spoils the run. Each process looks at the next key every
//! [`TURN`], which bounds how much later it finds the refusal than it could.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use keygate::context::RequestContext;
use keygate::denial::DenialReason;
use keygate::key::PresentedKey;
use keygate::manager::ApiKeyManager;
use keygate_testkit::RedisServer;
use tempfile::tempdir;

use crate::arguments::Arguments;
use crate::deployment::{Deployment, context, make_keys, operator, read_keys, runtime, warm, write_keys};
use crate::figures::{Figures, Table};
use crate::process::{Process, cpu_seconds, processors};

const TURN: Duration = Duration::from_micros(200);
/// Between two revocations.
const PAUSE: Duration = Duration::from_millis(10);
/// Keys that are checked all the while and not revoked.
const OTHERS: usize = 1000;

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

pub fn run(arguments: &Arguments) {
    let (processes, count): (usize, usize) = (arguments.or("processes", 8), arguments.or("keys", 500));
    let load: f64 = arguments.or("load", 0.5);
    let runtime = runtime(1);
    let redis = runtime.block_on(RedisServer::start()).unwrap();
    let directory = tempdir().unwrap();
    let (place, file) = (directory.path().join("deployment"), directory.path().join("keys"));
    let deployment = Deployment::new(redis.url());
    deployment.write(&place);
    let manager = runtime.block_on(deployment.connect(|builder| builder));
    let keys = runtime.block_on(make_keys(&manager, OTHERS + count));
    write_keys(&file, &keys);

    // Half of all processors, shared among the processes.
    let processors = processors() as f64;
    let share = load * processors / processes as f64;
    let options = [
        ("deployment", place.display().to_string()),
        ("keys", file.display().to_string()),
        ("share", share.to_string()),
    ];
    let mut instances: Vec<Process> = (0..processes).map(|_| Process::start("instance", &options)).collect();
    for instance in &mut instances {
        assert_eq!(instance.line(), ["ready"]);
        instance.tell("go");
    }

    let used = |instances: &[Process]| instances.iter().map(|one| cpu_seconds(one.id())).sum::<f64>();
    let (began, used_before) = (Instant::now(), used(&instances));
    let mut returned = Vec::new();
    let mut took = Vec::new();
    for key in &keys[OTHERS..] {
        std::thread::sleep(PAUSE);
        let id = PresentedKey::parse(key.as_bytes()).unwrap().id();
        let asked = Instant::now();
        runtime.block_on(manager.revoke(&operator(), id, None)).unwrap();
        returned.push(now());
        took.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    let busy = (used(&instances) - used_before) / began.elapsed().as_secs_f64() / processors;

    let mut delays = Vec::new();
    let mut rates = Vec::new();
    for instance in &mut instances {
        for returned in &returned {
            let refused: u64 = instance.line()[0].parse().unwrap();
            // Refused before the revocation returned is refused at once.
            delays.push(refused.saturating_sub(*returned) as f64 / 1e6);
        }
        rates.push(instance.numbers()[0]);
    }
    let (delays, took) = (Figures::new(delays), Figures::new(took));
    println!(
        "{count} revocations seen by {processes} processes that use {:.0} % of the machine for {:.0} checks/s\n",
        busy * 100.0,
        rates.iter().sum::<f64>()
    );
    let mut table = Table::new(["ms", "p50", "p99", "most"]);
    let cells = |figures: &Figures| {
        [figures.quantile(0.5), figures.quantile(0.99), figures.most()].map(|millis| format!("{millis:.2}"))
    };
    table.line("from the revocation's return to the refusal", cells(&delays));
    table.line("the revocation itself", cells(&took));
    table.print();
}

/// One of the processes. It prints when it first refused each key, and how many checks it made in a second.
pub fn instance(arguments: &Arguments) {
    let deployment = Deployment::read(arguments.text("deployment").unwrap());
    let keys = read_keys(arguments.text("keys").unwrap());
    let share: f64 = arguments.given("share");
    let runtime = runtime(1);
    let manager = runtime.block_on(deployment.connect(|builder| builder));
    runtime.block_on(warm(&manager, &keys));
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();

    let (others, revoked) = keys.split_at(OTHERS);
    let mut others = others.iter().cycle();
    let context = context();
    let (began, mut checks, mut busy) = (Instant::now(), 0_u64, Duration::ZERO);
    let mut refused = Vec::new();
    while let Some(next) = revoked.get(refused.len()) {
        let turn = Instant::now();
        if is_refused(&manager, &runtime, next, &context) {
            refused.push(now());
            continue;
        }
        // As busy as it is to be, over the whole time; never for so long that it looks at the next key too late.
        while busy.as_secs_f64() + turn.elapsed().as_secs_f64() < share * began.elapsed().as_secs_f64()
            && turn.elapsed() < TURN
        {
            assert!(!is_refused(&manager, &runtime, others.next().unwrap(), &context));
            checks += 1;
        }
        busy += turn.elapsed();
        std::thread::sleep(TURN.saturating_sub(turn.elapsed()));
    }
    let rate = checks as f64 / began.elapsed().as_secs_f64();
    // None of them comes back.
    assert!(revoked.iter().all(|key| is_refused(&manager, &runtime, key, &context)));
    refused.iter().for_each(|at| println!("{at}"));
    println!("{rate}");
}

fn is_refused(manager: &ApiKeyManager, runtime: &tokio::runtime::Runtime, key: &str, context: &RequestContext) -> bool {
    match runtime.block_on(manager.validate(key, context)) {
        Ok(_) => false,
        Err(denial) if denial.reason() == DenialReason::KeyRevoked => true,
        Err(denial) => panic!("a key was refused because of {}", denial.reason()),
    }
}
