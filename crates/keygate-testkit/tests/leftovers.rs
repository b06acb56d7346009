//! Nothing is left behind, however a test ends.

use std::{
    env,
    error::Error,
    io::{BufRead, BufReader},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use keygate_testkit::{FaultProxy, RedisCluster, RedisSentinel, RedisServer};

type TestResult = Result<(), Box<dyn Error>>;

/// Set for the process that is killed while it holds a server.
const VICTIM: &str = "KEYGATE_TESTKIT_VICTIM";

// One test, because it looks at every child of this process.
#[tokio::test]
async fn no_process_outlives_its_value_or_its_test_process() -> TestResult {
    let server = RedisServer::start().await?;
    let frozen = RedisServer::start().await?;
    frozen.freeze()?;
    let proxy = FaultProxy::start(server.address())?;
    let cluster = RedisCluster::start().await?;
    let sentinel = RedisSentinel::start().await?;
    let servers = || {
        let group = sentinel.servers().iter().chain(sentinel.sentinels());
        cluster.nodes().iter().chain(group).chain([&server, &frozen])
    };
    let ports: Vec<u16> = servers().map(RedisServer::port).collect();
    assert_eq!(ports.len(), 8);
    assert!(ports.iter().all(|port| answers(*port)));
    #[cfg(target_os = "linux")]
    assert_eq!(children()?.len(), 2 * ports.len(), "each server and its watchdog");

    drop((server, frozen, proxy, cluster, sentinel));
    assert!(!ports.iter().any(|port| answers(*port)));
    #[cfg(target_os = "linux")]
    assert_eq!(children()?, Vec::<String>::new());

    a_killed_test_process_takes_its_servers_with_it()
}

fn a_killed_test_process_takes_its_servers_with_it() -> TestResult {
    let scratch = tempfile::tempdir()?;
    let mut victim = Command::new(env::current_exe()?)
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM, "1")
        .env("TMPDIR", scratch.path())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut ports = None;
    for line in BufReader::new(victim.stdout.take().ok_or("no output")?).lines() {
        if let Some(said) = line?.split("ports:").nth(1) {
            ports = Some(said.split(',').map(str::parse).collect::<Result<Vec<u16>, _>>()?);
            break;
        }
    }
    let ports = ports.ok_or("the victim did not start its servers")?;
    assert!(ports.iter().all(|port| answers(*port)));

    victim.kill()?;
    victim.wait()?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while ports.iter().any(|port| answers(*port)) || has_directory(scratch.path())? {
        assert!(Instant::now() < deadline, "a server or its files outlived the test process");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A role: the other test runs it in a process of its own, and kills that. Without its variable it does nothing.
#[tokio::test]
async fn victim() -> TestResult {
    if env::var_os(VICTIM).is_none() {
        return Ok(());
    }
    let first = RedisServer::start().await?;
    let second = RedisServer::start().await?;
    println!("ports:{},{}", first.port(), second.port());
    tokio::time::sleep(Duration::from_secs(60)).await;
    Ok(())
}

fn has_directory(place: &Path) -> std::io::Result<bool> {
    let mut is_directory = false;
    for entry in place.read_dir()? {
        is_directory |= entry?.path().is_dir();
    }
    Ok(is_directory)
}

fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// The names of this process's children, zombies included.
#[cfg(target_os = "linux")]
fn children() -> Result<Vec<String>, Box<dyn Error>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        // A process may end while it is looked at.
        let Ok(stat) = std::fs::read_to_string(entry?.path().join("stat")) else { continue };
        // pid (name) state parent ...
        let Some((name, rest)) = stat.rsplit_once(") ") else { continue };
        if rest.split(' ').nth(1) == Some(&std::process::id().to_string()) {
            children.push(name.to_owned());
        }
    }
    Ok(children)
}
