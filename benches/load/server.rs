//! One process with several servers: a route alone, behind a layer that does nothing, and behind keygate's.

use std::net::SocketAddr;
use std::path::Path;

use actix_web::{App, HttpServer, web};
use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use keygate::actix::ApiKeyTransform;
use keygate::manager::ApiKeyManager;
use keygate::network::{Cidr, CidrSet};
use keygate::store::MemoryStore;
use keygate::tower::ApiKeyLayer;
use tokio::net::TcpListener;
use tower::util::MapRequestLayer;

use crate::arguments::Arguments;
use crate::deployment::{Deployment, PROXIES, ROOMY, make_keys, make_keys_under, runtime, scope, warm, write_keys};
use crate::process::{Process, until_told_to_end};

/// A running server process.
pub struct Server {
    pub process: Process,
    pub ports: Vec<(String, u16)>,
}

impl Server {
    /// Starts one that makes so many keys in memory and writes them to a file.
    pub fn start(framework: &str, workers: usize, keys: usize, file: &Path) -> Self {
        Self::with(framework, workers, &[("keys", keys.to_string()), ("file", file.display().to_string())])
    }

    /// Starts one over the Redis of a deployment.
    pub fn over_redis(framework: &str, workers: usize, deployment: &Path) -> Self {
        Self::with(framework, workers, &[("deployment", deployment.display().to_string())])
    }

    fn with(framework: &str, workers: usize, more: &[(&str, String)]) -> Self {
        let mut options = vec![("framework", framework.to_owned()), ("workers", workers.to_string())];
        options.extend(more.iter().cloned());
        let mut process = Process::start("serve", &options);
        let ports = process.line();
        let ports = ports.iter().map(|place| {
            let (name, port) = place.split_once('=').unwrap();
            (name.to_owned(), port.parse().unwrap())
        });
        Self { ports: ports.collect(), process }
    }

    pub fn port(&self, name: &str) -> u16 {
        self.ports.iter().find(|(found, _)| found == name).unwrap().1
    }
}

pub fn run(arguments: &Arguments) {
    let workers = arguments.given("workers");
    let own = runtime(1);
    let manager = own.block_on(manager(arguments));
    match arguments.text("framework") {
        Some("axum") => serve_axum(&manager, workers),
        Some("actix") => serve_actix(&manager, workers),
        other => panic!("--framework is axum or actix, not {other:?}"),
    }
}

/// The file of the keys that have limits, beside that of those that have none.
pub fn with_limits(file: &str) -> String {
    format!("{file}.limited")
}

async fn manager(arguments: &Arguments) -> ApiKeyManager {
    if let Some(file) = arguments.text("deployment") {
        return Deployment::read(file).connect(|builder| builder).await;
    }
    let manager = Deployment::new("").builder(MemoryStore::new()).build().unwrap();
    let keys = make_keys(&manager, arguments.given("keys")).await;
    warm(&manager, &keys).await;
    let file = arguments.text("file").unwrap();
    write_keys(Path::new(file), &keys);
    let limited = make_keys_under(&manager, arguments.given("keys"), ROOMY).await;
    warm(&manager, &limited).await;
    write_keys(Path::new(&with_limits(file)), &limited);
    manager
}

fn proxies() -> CidrSet {
    CidrSet::new([Cidr::new(PROXIES).unwrap()]).unwrap()
}

async fn hello() -> &'static str {
    "hello"
}

pub fn layer(manager: &ApiKeyManager) -> ApiKeyLayer {
    ApiKeyLayer::new(manager.clone()).trusted_proxies(proxies()).require_scope(scope())
}

fn serve_axum(manager: &ApiKeyManager, workers: usize) {
    let bare = Router::new().route("/hello", get(hello));
    let apps = [
        ("bare", bare.clone()),
        ("idle", bare.clone().layer(MapRequestLayer::new(|request: Request| request))),
        ("keyed", bare.layer(layer(manager))),
    ];
    let runtime = runtime(workers);
    let mut ports = Vec::new();
    for (name, app) in apps {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        ports.push(format!("{name}={}", listener.local_addr().unwrap().port()));
        runtime.spawn(axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).into_future());
    }
    println!("{}", ports.join(" "));
    until_told_to_end();
}

fn serve_actix(manager: &ApiKeyManager, workers: usize) {
    let keys = ApiKeyTransform::new(manager.clone()).trusted_proxies(proxies()).require_scope(scope());
    actix_web::rt::System::new().block_on(async move {
        let bare = HttpServer::new(|| App::new().route("/hello", web::get().to(hello)));
        let idle = HttpServer::new(|| {
            let nothing =
                actix_web::middleware::from_fn(|request, next: actix_web::middleware::Next<_>| next.call(request));
            App::new().wrap(nothing).route("/hello", web::get().to(hello))
        });
        let keyed = HttpServer::new(move || App::new().wrap(keys.clone()).route("/hello", web::get().to(hello)));
        let bare = bare.workers(workers).disable_signals().bind("127.0.0.1:0").unwrap();
        let idle = idle.workers(workers).disable_signals().bind("127.0.0.1:0").unwrap();
        let keyed = keyed.workers(workers).disable_signals().bind("127.0.0.1:0").unwrap();
        let ports = [("bare", bare.addrs()), ("idle", idle.addrs()), ("keyed", keyed.addrs())];
        let ports = ports.map(|(name, addresses)| format!("{name}={}", addresses[0].port()));
        for server in [bare.run(), idle.run(), keyed.run()] {
            actix_web::rt::spawn(server);
        }
        println!("{}", ports.join(" "));
        actix_web::rt::task::spawn_blocking(until_told_to_end).await.unwrap();
    });
}
