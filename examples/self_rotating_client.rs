//! A client that needs no human when its key is rotated: `cargo run --example self_rotating_client`.
//!
//! [`RotatingKey`] is what to copy: it keeps the key in a file, notices the `Deprecation` that comes with answers to a key that
//! was rotated, claims the successor with the old key, writes it down before it uses it, and goes on. The rest of this file is
//! a server of its own to show it with.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use keygate::actor::{Actor, Operator};
use keygate::manager::{ApiKeyManager, NewKey};
use keygate::ring::{MasterSecret, SecretRing};
use keygate::store::MemoryStore;
use keygate::tower::{ApiKey, ApiKeyLayer};
use reqwest::header::HeaderValue;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, RwLock};

type Failure = Box<dyn Error + Send + Sync>;

/// A key in a file, which replaces itself when it is rotated. For keys that may hand their successors over (`hand_over`), each
/// with one holder: once a successor is used it is handed to nobody else.
pub struct RotatingKey {
    client: Client,
    /// Where successors are claimed: `https://keys.example.org/v1/self/successor`.
    successor: String,
    file: PathBuf,
    key: RwLock<Arc<str>>,
    /// One claim at a time.
    claiming: Mutex<()>,
}

impl RotatingKey {
    /// The key that is in `file`, whose successors are claimed at this address.
    pub fn open(client: Client, successor: impl Into<String>, file: impl Into<PathBuf>) -> io::Result<Self> {
        let file = file.into();
        let key = read(&file)?;
        Ok(Self { client, successor: successor.into(), file, key: RwLock::new(key), claiming: Mutex::new(()) })
    }

    /// Sends a request with the key. Where the answer says that the key was rotated, the next request has its successor.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, reqwest::Error> {
        let key = self.key.read().await.clone();
        let response = request.header("X-API-Key", &*key).send().await?;
        // A route may be deprecated too; a key's successor is named by its id.
        let names_successor = |link: &HeaderValue| link.as_bytes().starts_with(b"<urn:uuid:");
        if response.headers().get_all("link").iter().any(names_successor) {
            // What goes wrong is tried again with the next answer: until its sunset the old key is good.
            if let Err(error) = self.claim(&key).await {
                eprintln!("the successor of the key could not be claimed yet: {error}");
            }
        }
        Ok(response)
    }

    /// Claims the successor of `old`, unless somebody has meanwhile.
    async fn claim(&self, old: &str) -> Result<(), Failure> {
        let _one_at_a_time = self.claiming.lock().await;
        // Another process that uses the same file may have been quicker.
        let held = read(&self.file)?;
        if *held != *old {
            *self.key.write().await = held;
            return Ok(());
        }
        let answer = self.client.post(&self.successor).header("X-API-Key", old).send().await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        if status != StatusCode::OK {
            // `successor_in_use` means that somebody else has it, and may be an alarm.
            return Err(format!("{status}: {}", body["detail"]).into());
        }
        let new = body["key"].as_str().ok_or("the answer has no key")?;
        // First to disk, so that a crash loses nothing: until it is used it can be claimed again.
        replace(&self.file, new)?;
        *self.key.write().await = new.into();
        Ok(())
    }
}

impl fmt::Debug for RotatingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key.
        f.debug_struct("RotatingKey").field("file", &self.file).finish_non_exhaustive()
    }
}

/// The key that is in a file.
fn read(file: &Path) -> io::Result<Arc<str>> {
    Ok(std::fs::read_to_string(file)?.trim_end().into())
}

/// Puts a key in the place of the one in a file: all of it or nothing, and for nobody else to read.
fn replace(file: &Path, key: &str) -> io::Result<()> {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(directory)?;
    writeln!(new, "{key}")?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // A service with a key before it, and the management API beside it.
    let manager = ApiKeyManager::builder(MemoryStore::new(), SecretRing::new(&MasterSecret::generate()?)).build()?;
    let keys = ApiKeyLayer::new(manager.clone());
    let app = Router::new().route("/hello", get(hello)).layer(keys).merge(keygate::admin::router(manager.clone()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let server = format!("http://{}", listener.local_addr()?);
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });

    // A key that may hand its successor over, in a file.
    let operator: Actor = Operator::named("demo".parse()?).into();
    let mut new = NewKey::new("demo".parse()?, "ada".parse()?);
    new.hand_over = true;
    let created = manager.create(&operator, new).await?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("api.key");
    replace(&file, created.text.expose())?;

    // reqwest is built with TLS in this workspace, and wants to be told by what.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().no_proxy().tls_certs_only([]).build()?;
    let key = RotatingKey::open(client.clone(), format!("{server}/v1/self/successor"), &file)?;
    let mut used = created.key.id;
    for round in 1..=3 {
        let answer = key.send(client.get(format!("{server}/hello"))).await?.text().await?;
        println!("round {round}: {answer}");

        // Somebody, or its schedule, rotates the key. The client is not told; it finds out.
        let rotation = manager.rotate(&operator, used, None).await?;
        let answer = key.send(client.get(format!("{server}/hello"))).await?;
        let sunset = answer.headers().get("sunset").and_then(|at| at.to_str().ok()).unwrap_or("never").to_owned();
        println!("round {round}: {}, whose key was rotated and is good until {sunset}", answer.text().await?);
        // Nobody uses the old one any more, which need not wait for its end.
        manager.finish_rotation(&operator, used).await?;
        used = rotation.new_key_id;
    }
    let answer = key.send(client.get(format!("{server}/hello"))).await?;
    println!("at the end: {}", answer.text().await?);
    Ok(())
}

async fn hello(key: ApiKey) -> String {
    format!("hello from key {}", key.id)
}
