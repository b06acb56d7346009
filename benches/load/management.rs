//! The management API under many connections, and what that does to a guarded service of the same deployment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keygate::actor::Operator;
use keygate_testkit::RedisServer;
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::net::TcpListener;

use crate::arguments::Arguments;
use crate::client::Load;
use crate::deployment::{Deployment, make_keys, runtime, write_keys};
use crate::figures::{Figures, Table};
use crate::process::{Process, cpu_seconds, until_told_to_end};
use crate::server::Server;

/// Keys of the guarded service that are in use.
const IN_USE: usize = 1000;

pub fn run(arguments: &Arguments) {
    let (connections, seconds) = (arguments.or("connections", 200), arguments.or("seconds", 60.0));
    let rounds = arguments.or("rounds", 8);
    let runtime = runtime(1);
    let redis = runtime.block_on(RedisServer::start()).unwrap();
    let directory = tempdir().unwrap();
    let (place, keys) = (directory.path().join("deployment"), directory.path().join("keys"));
    let deployment = Deployment::new(redis.url());
    deployment.write(&place);
    let operator_key = runtime.block_on(async {
        let manager = deployment.connect(|builder| builder).await;
        write_keys(&keys, &make_keys(&manager, IN_USE).await);
        let operator = Operator::named("bench".parse().unwrap());
        manager.ensure_operator_key(&operator).await.unwrap().unwrap().text.expose().to_owned()
    });

    let guarded = Server::over_redis("axum", 1, &place);
    let hits = |seconds: f64| {
        let used = cpu_seconds(guarded.process.id());
        let (port, keys) = (guarded.port("keyed"), keys.to_str().unwrap());
        let done = Load { port, keys, status: 200, connections: 16, seconds, awake: false }.run();
        (done.per_second, (cpu_seconds(guarded.process.id()) - used) / done.requests * 1e6)
    };
    hits(1.0);
    let reads = || {
        let all = runtime.block_on(redis.command_stats()).unwrap();
        all.iter().filter(|(name, _)| matches!(name.as_str(), "get" | "mget")).map(|(_, calls)| calls).sum::<u64>()
    };
    let before = reads();
    let quiet: Vec<_> = (0..rounds).map(|_| hits(1.0)).collect();
    let quiet_reads = reads() - before;

    let mut server = Process::start("manage", &[("deployment", place.display().to_string())]);
    let port = server.numbers()[0] as u16;
    let options =
        [("port", port.to_string()), ("connections", connections.to_string()), ("seconds", seconds.to_string())];
    let mut managers = Process::start("managers", &options);
    managers.tell(&operator_key);
    let waiting = std::thread::spawn(move || (managers.numbers(), managers));
    let mut busy = Vec::new();
    while !waiting.is_finished() && busy.len() < rounds {
        busy.push(hits(1.0));
    }
    let (done, managers) = waiting.join().unwrap();
    drop((managers, server));

    println!(
        "{connections} connections managed keys for {seconds} s: {:.0} calls ({:.0}/s), {:.0} errors\n",
        done[0],
        done[0] / seconds,
        done[1]
    );
    let mut table = Table::new(["hits of a guarded axum server over the same Redis", "", "", ""]);
    let cpu = |rounds: &[(f64, f64)]| Figures::new(rounds.iter().map(|(_, cpu)| *cpu)).median();
    table.line("µs of CPU for each, quiet", Figures::new(quiet.iter().map(|(_, cpu)| *cpu)).cells(2));
    table.line("µs of CPU for each, meanwhile", Figures::new(busy.iter().map(|(_, cpu)| *cpu)).cells(2));
    table.line("requests/s, quiet", Figures::new(quiet.iter().map(|(rate, _)| *rate)).cells(0));
    table.line("requests/s, meanwhile", Figures::new(busy.iter().map(|(rate, _)| *rate)).cells(0));
    table.print();
    println!(
        "CPU for a hit meanwhile, against quiet: {:.3}; reads while quiet: {quiet_reads}\n",
        cpu(&busy) / cpu(&quiet)
    );
}

/// The server of the management API.
pub fn serve(arguments: &Arguments) {
    let runtime = runtime(1);
    let deployment = Deployment::read(arguments.text("deployment").unwrap());
    runtime.block_on(async {
        let manager = deployment.connect(|builder| builder).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap().port());
        let app = keygate::admin::router(manager).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(axum::serve(listener, app).into_future());
        tokio::task::spawn_blocking(until_told_to_end).await.unwrap();
    });
}

/// Those who call it.
pub fn call(arguments: &Arguments) {
    let (port, connections): (u16, usize) = (arguments.given("port"), arguments.given("connections"));
    let until = Instant::now() + Duration::from_secs_f64(arguments.given("seconds"));
    // The command line has reqwest speak TLS, and so it wants a provider for it, used or not.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut key = String::new();
    std::io::stdin().read_line(&mut key).unwrap();
    let runtime = runtime(1);
    let (done, errors) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    runtime.block_on(async {
        let tasks: Vec<_> = (0..connections)
            .map(|nth| {
                let client = reqwest::Client::builder().pool_max_idle_per_host(1).build().unwrap();
                let caller = Caller { client, base: format!("http://127.0.0.1:{port}/v1"), key: key.trim().to_owned() };
                let (done, errors) = (Arc::clone(&done), Arc::clone(&errors));
                tokio::spawn(async move {
                    for round in 0u64.. {
                        if Instant::now() >= until {
                            return;
                        }
                        let organization = format!("managed-{nth}");
                        let (calls, failed) = caller.round(&organization, round).await;
                        done.fetch_add(calls, Ordering::Relaxed);
                        errors.fetch_add(failed, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    println!("{} {}", done.load(Ordering::Relaxed), errors.load(Ordering::Relaxed));
}

struct Caller {
    client: reqwest::Client,
    base: String,
    key: String,
}

impl Caller {
    /// One key's life. Gives how many calls were made, and how many of them were not answered as they should.
    async fn round(&self, organization: &str, round: u64) -> (u64, u64) {
        let new = json!({"user_id": format!("user-{round}"), "scopes": ["files:read"]});
        let created = self.call("POST", &format!("organizations/{organization}/keys"), Some(new), 201).await;
        let Some(created) = created else { return (1, 1) };
        let id = created["key_id"].as_str().unwrap_or_default();
        let calls = [
            ("GET", format!("keys/{id}"), None, 200),
            ("POST", "verify".to_owned(), Some(json!({"key": created["key"], "scope": "files:read"})), 200),
            ("PATCH", format!("keys/{id}"), Some(json!({"name": "another"})), 200),
            ("GET", format!("organizations/{organization}/keys?limit=20"), None, 200),
            ("POST", format!("keys/{id}/deactivate"), None, 200),
            ("POST", format!("keys/{id}/revoke?wait=false"), None, 200),
            ("DELETE", format!("keys/{id}"), None, 204),
        ];
        let mut failed = 0;
        let made = 1 + calls.len() as u64;
        for (method, path, body, status) in calls {
            failed += u64::from(self.call(method, &path, body, status).await.is_none());
        }
        (made, failed)
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>, status: u16) -> Option<Value> {
        let method = method.parse().unwrap();
        let mut request = self.client.request(method, format!("{}/{path}", self.base)).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        match request.send().await {
            Ok(answer) if answer.status() == status => Some(answer.json().await.unwrap_or_default()),
            Ok(answer) => {
                eprintln!("{path}: {}: {}", answer.status(), answer.text().await.unwrap_or_default());
                None
            }
            Err(error) => {
                eprintln!("{path}: {error}");
                None
            }
        }
    }
}
