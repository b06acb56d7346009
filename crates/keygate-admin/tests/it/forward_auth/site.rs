//! A service behind a proxy that asks keygate: three servers on this machine, and requests to the first.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response as AxumResponse};
use http::StatusCode;
use http_body_util::BodyExt;
use keygate_testkit::{GuardedProcess, PortLease};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::forward_auth::proxy::{Ports, Proxy};
use crate::forward_auth::wire::{Response, send};
use crate::support::world::World;

/// Where clients are, so that the proxy, which is at 127.0.0.1 as everything is here, is somebody else.
pub const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Generous: a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Site {
    pub world: World,
    pub proxy: Proxy,
    keygate: Server,
    service: Server,
    /// How many requests came as far as the service.
    served: Arc<AtomicUsize>,
    at: SocketAddr,
    _process: GuardedProcess,
    _folder: Folder,
    _port: PortLease,
}

/// A server with a runtime of its own, which takes its connections with it.
struct Server {
    runtime: Option<Runtime>,
    at: SocketAddr,
}

impl Server {
    async fn start(router: Router) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listening = runtime.spawn(async { TcpListener::bind((PROXY, 0)).await.unwrap() });
        let listener = listening.await.unwrap();
        let at = listener.local_addr().unwrap();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        runtime.spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { runtime: Some(runtime), at }
    }

    fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A folder of a test's own, removed with what is in it.
struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Answers with what it was asked, and under `/reports/refused` with a refusal of its own.
async fn echo(State(served): State<Arc<AtomicUsize>>, request: Request) -> AxumResponse {
    served.fetch_add(1, Ordering::SeqCst);
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let headers: Vec<_> =
        parts.headers.iter().map(|(name, value)| json!([name.as_str(), value.to_str().unwrap()])).collect();
    let told = json!({
        "method": parts.method.as_str(), "uri": parts.uri.to_string(), "headers": headers,
        "body": String::from_utf8(body.to_vec()).unwrap(),
    });
    let status = if parts.uri.path() == "/reports/refused" { StatusCode::FORBIDDEN } else { StatusCode::OK };
    (status, axum::Json(told)).into_response()
}

impl Site {
    /// `None` where nginx is not on this machine, which is no developer's fault and is one of CI's.
    pub async fn new(proxy: Proxy) -> Option<Self> {
        let Some(program) = proxy.program() else {
            assert_eq!(proxy, Proxy::Nginx, "{} was not found on the path", proxy.name());
            let advice = "nginx was not found: run scripts/test.sh, which installs it";
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{advice}");
            eprintln!("skipped, because {advice}");
            return None;
        };
        let world = World::trusting(100, "127.0.0.1").await;
        let served = Arc::new(AtomicUsize::new(0));
        let keygate = Server::start(world.api.router.clone()).await;
        let service = Server::start(Router::new().fallback(echo).with_state(Arc::clone(&served))).await;

        let port = PortLease::take().unwrap();
        let folder =
            std::env::temp_dir().join(format!("keygate-{}-{}-{}", proxy.name(), std::process::id(), port.port()));
        fs::create_dir_all(&folder).unwrap();
        let folder = Folder(folder);
        let ports = Ports { proxy: port.port(), keygate: keygate.at.port(), service: service.at.port() };
        let arguments = proxy.configure(&folder.0, ports);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let log = folder.0.join("log");
        let output = File::create(&log).unwrap();
        let mut process = GuardedProcess::spawn(&program, &arguments, output, &folder.0).unwrap();
        let at = SocketAddr::new(PROXY, port.port());
        let began = Instant::now();
        while TcpStream::connect(at).is_err() {
            let told = || fs::read_to_string(&log).unwrap_or_default();
            assert!(!process.has_ended(), "{} ended:\n{}", proxy.name(), told());
            assert!(began.elapsed() < PATIENCE, "{} does not listen:\n{}", proxy.name(), told());
            thread::sleep(Duration::from_millis(20));
        }
        let site = Self { world, proxy, keygate, service, served, at, _process: process, _folder: folder, _port: port };
        // Some listen before they know where to.
        while site.ask("GET /open/", "").await.status != 200 {
            assert!(began.elapsed() < PATIENCE, "{} does not pass anything on", proxy.name());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(site)
    }

    /// A request: `GET /reports/a`, with these lines of headers, each with its end.
    pub async fn ask(&self, call: &str, headers: &str) -> Response {
        let request = format!("{call} HTTP/1.1\r\nHost: service.example\r\nConnection: close\r\n{headers}\r\n");
        self.send(&request).await
    }

    pub async fn send(&self, request: &str) -> Response {
        send(CLIENT, self.at, request).await
    }

    /// What keygate answers where no proxy stands between.
    pub async fn ask_keygate(&self, query: &str, headers: &str) -> Response {
        let call = format!("GET /v1/authorize?{query} HTTP/1.1\r\nHost: keygate\r\nConnection: close\r\n{headers}\r\n");
        send(CLIENT, self.keygate.at, &call).await
    }

    /// How many requests came as far as the service, since this was asked last.
    pub fn served(&self) -> usize {
        self.served.swap(0, Ordering::SeqCst)
    }

    /// From now on nothing answers where keygate was.
    pub fn stop_keygate(&mut self) {
        self.keygate.stop();
    }

    /// From now on nothing answers where the service was.
    pub fn stop_service(&mut self) {
        self.service.stop();
    }
}

/// The lines that the service got of headers that any of its frameworks may take for one of keygate's: as names in lower
/// case and with hyphens, and values.
pub fn claims(told: &Value) -> Vec<(String, String)> {
    lines(told).into_iter().filter(|(name, _)| name.contains("keygate")).collect()
}

/// All lines of headers that the service got.
pub fn lines(told: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let headers = told["headers"].as_array().unwrap().iter();
    headers.map(|line| (text(&line[0]).to_ascii_lowercase().replace('_', "-"), text(&line[1]))).collect()
}
