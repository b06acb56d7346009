//! A deployment to be measured: its secret, its keys, and what a request brings along.

use std::fs;
use std::path::Path;
use std::time::Duration;

use keygate::actor::{Actor, Operator};
use keygate::coherence::Coherence;
use keygate::context::RequestContext;
use keygate::limits::Limits;
use keygate::manager::{ApiKeyManager, ManagerBuilder, NewKey};
use keygate::names::PrincipalId;
use keygate::network::{Cidr, CidrSet};
use keygate::record::Quota;
use keygate::redis::{Namespace, RedisSettings, RedisStore, deadpool_redis};
use keygate::ring::{MasterSecret, SecretRing};
use keygate::scope::{Scope, ScopeSet};
use keygate::store::Store;
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Runtime;

/// The address that clients are at, and the networks that proxies are in.
pub const CLIENT: &str = "192.0.2.7";
pub const PROXIES: &str = "127.0.0.0/8";

pub fn operator() -> Actor {
    Operator::named(PrincipalId::new("bench").unwrap()).into()
}

/// A key of the usual kind, for a user of its own, that nothing limits.
pub fn new_key(nth: usize) -> NewKey {
    let mut new = NewKey::new("acme".parse().unwrap(), format!("user-{nth}").parse().unwrap());
    new.scopes = Some(ScopeSet::parse(["files:read", "files:write", "tools:*"]).unwrap());
    new.allowed_ips = Some(CidrSet::new([Cidr::new("192.0.2.0/24").unwrap()]).unwrap());
    new.limits = Some(Limits::UNLIMITED);
    new
}

/// Limits in three windows that no load here reaches.
pub const ROOMY: Limits = Limits {
    per_minute: Some(1_000_000_000),
    per_hour: Some(10_000_000_000),
    per_day: Some(100_000_000_000),
    ..Limits::UNLIMITED
};

/// Makes one key under these limits, and gives its text.
pub async fn make_key(manager: &ApiKeyManager, limits: Limits) -> String {
    make_keys_under(manager, 1, limits).await.remove(0)
}

/// The scope that every request needs.
pub fn scope() -> Scope {
    Scope::new("tools:run").unwrap()
}

pub fn context() -> RequestContext {
    RequestContext::new().from_address(CLIENT.parse().unwrap()).needing_scope(scope()).for_endpoint("/hello")
}

pub fn runtime(workers: usize) -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap()
}

/// What all processes of a deployment know.
#[derive(Clone)]
pub struct Deployment {
    secret: MasterSecret,
    /// Of Redis.
    pub url: String,
}

impl Deployment {
    pub fn new(url: impl Into<String>) -> Self {
        Self { secret: MasterSecret::generate().unwrap(), url: url.into() }
    }

    pub fn builder(&self, store: impl Store) -> ManagerBuilder {
        let roomy = Quota { per_organization: u64::MAX, per_user: u64::MAX };
        ApiKeyManager::builder(store, SecretRing::new(&self.secret)).quota(roomy)
    }

    /// A manager over Redis, once it is told of changes.
    pub async fn connect(&self, change: impl FnOnce(ManagerBuilder) -> ManagerBuilder) -> ApiKeyManager {
        let store = RedisStore::connect(self.url.parse::<RedisSettings>().unwrap());
        let manager = change(self.builder(store)).build().unwrap();
        manager.open().await.unwrap();
        for _ in 0..500 {
            if manager.coherence() == Coherence::Live {
                return manager;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the store does not tell of changes: {:?}", manager.coherence());
    }

    /// A manager over a pool of so many connections to Redis, which is not told of changes: it reads every key it needs.
    pub async fn connect_pool(&self, connections: usize) -> ApiKeyManager {
        let pool = deadpool_redis::Config::from_url(&self.url)
            .builder()
            .unwrap()
            .max_size(connections)
            .runtime(deadpool_redis::Runtime::Tokio1)
            .build()
            .unwrap();
        let manager = self.builder(RedisStore::from_pool(pool, Namespace::default())).build().unwrap();
        manager.open().await.unwrap();
        manager
    }

    /// For other processes of the deployment.
    pub fn write(&self, file: &Path) {
        fs::write(file, format!("{}\n{}\n", self.url, self.secret.to_base64().expose_secret())).unwrap();
    }

    pub fn read(file: &str) -> Self {
        let text = fs::read_to_string(file).unwrap();
        let (url, secret) = text.trim_end().split_once('\n').unwrap();
        let secret = MasterSecret::from_base64(&SecretString::from(secret)).unwrap();
        Self { secret, url: url.to_owned() }
    }
}

/// Makes so many keys that nothing limits, and gives their texts.
pub async fn make_keys(manager: &ApiKeyManager, count: usize) -> Vec<String> {
    make_keys_under(manager, count, Limits::UNLIMITED).await
}

/// The same under these limits, of each.
pub async fn make_keys_under(manager: &ApiKeyManager, count: usize, limits: Limits) -> Vec<String> {
    let new = |nth| {
        let mut new = new_key(nth);
        new.limits = Some(limits);
        new
    };
    let created = manager.create_many(&operator(), (0..count).map(new).collect()).await;
    created.into_iter().map(|created| created.unwrap().text.expose().to_owned()).collect()
}

/// Checks each key once, so that it is kept.
pub async fn warm(manager: &ApiKeyManager, keys: &[String]) {
    let context = context();
    for key in keys {
        manager.validate(key, &context).await.unwrap();
    }
}

pub fn write_keys(file: &Path, keys: &[String]) {
    fs::write(file, keys.join("\n")).unwrap();
}

pub fn read_keys(file: &str) -> Vec<String> {
    fs::read_to_string(file).unwrap().lines().map(ToOwned::to_owned).collect()
}
