//! What a key costs a real Redis, counted by the server: one round trip for a key never seen, two when what stands above it
//! is unknown too, and none for one that is kept or forged.

use keygate::actor::{Actor, Operator};
use keygate::context::RequestContext;
use keygate::denial::DenialReason;
use keygate::limits::Limits;
use keygate::manager::{ApiKeyManager, NewKey};
use keygate::names::PrincipalId;
use keygate::record::Quota;
use keygate::redis::{RedisSettings, RedisStore};
use keygate::ring::{MasterSecret, SecretRing};
use keygate_testkit::RedisServer;

fn operator() -> Actor {
    Operator::named(PrincipalId::new("test").unwrap()).into()
}

fn manager_at(url: &str, ring: &SecretRing) -> ApiKeyManager {
    let roomy = Quota { per_organization: 1_000_000, per_user: 1_000_000 };
    let store = RedisStore::connect(url.parse::<RedisSettings>().unwrap());
    ApiKeyManager::builder(store, ring.clone()).quota(roomy).build().unwrap()
}

/// How often each command was called, but for those of heartbeats.
async fn reads(server: &RedisServer) -> (u64, u64, u64) {
    let stats = server.command_stats().await.unwrap();
    let of = |name: &str| stats.get(name).copied().unwrap_or(0);
    let known = ["get", "mget", "evalsha", "eval", "hello", "client", "info", "config", "ping", "time", "script"];
    // What the heartbeat's script calls.
    let beats =
        ["zadd", "hset", "hget", "hdel", "zrem", "zscore", "zcard", "zcount", "zrangebyscore", "zrange", "hmget"];
    let others =
        |name: &str| known.iter().chain(&beats).any(|known| name == *known || name.starts_with(&format!("{known}|")));
    let unknown = stats.iter().filter(|(name, _)| !others(name)).map(|(_, calls)| calls).sum();
    (of("get"), of("mget"), unknown)
}

/// A key that nothing limits: a limit asks for its first tokens with a call of its own.
fn unlimited(user: &str) -> NewKey {
    let mut new = NewKey::new("acme".parse().unwrap(), user.parse().unwrap());
    new.limits = Some(Limits::UNLIMITED);
    new
}

#[tokio::test]
async fn a_key_never_seen_costs_one_round_trip_and_a_kept_or_forged_one_none() {
    let server = RedisServer::start().await.unwrap();
    let ring = SecretRing::new(&MasterSecret::generate().unwrap());
    let maker = manager_at(&server.url(), &ring);
    let new = |nth: usize| unlimited(&format!("user-{nth}"));
    let keys = maker.create_many(&operator(), (0..20).map(new).collect()).await;
    let texts: Vec<String> = keys.into_iter().map(|key| key.unwrap().text.expose().to_owned()).collect();
    drop(maker);

    let manager = manager_at(&server.url(), &ring);
    manager.open().await.unwrap();
    server.reset_command_stats().await.unwrap();
    let context = RequestContext::new();
    manager.validate(&texts[0], &context).await.unwrap();
    assert_eq!(reads(&server).await, (1, 1, 0), "the first key of its organization: its record, and what is above it");
    for text in &texts[1..] {
        manager.validate(text, &context).await.unwrap();
    }
    assert_eq!(reads(&server).await, (20, 1, 0), "each other one: its record");
    for text in &texts {
        manager.validate(text, &context).await.unwrap();
    }
    let foreign = SecretRing::new(&MasterSecret::generate().unwrap());
    let other = ApiKeyManager::builder(keygate::store::MemoryStore::new(), foreign).build().unwrap();
    let forged = other.create(&operator(), new(0)).await.unwrap();
    for _ in 0..100 {
        let denial = manager.validate(forged.text.expose(), &context).await.unwrap_err();
        assert_eq!(denial.reason(), DenialReason::InvalidKey);
    }
    assert_eq!(reads(&server).await, (20, 1, 0), "kept and forged ones: nothing");
}

/// One read for all who ask for the same key at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_for_one_key_costs_one_read() {
    let server = RedisServer::start().await.unwrap();
    let ring = SecretRing::new(&MasterSecret::generate().unwrap());
    let maker = manager_at(&server.url(), &ring);
    let key = maker.create(&operator(), unlimited("ada")).await.unwrap();
    let manager = manager_at(&server.url(), &ring);
    manager.open().await.unwrap();
    server.reset_command_stats().await.unwrap();
    let crowd: Vec<_> = (0..200)
        .map(|_| {
            let (manager, text) = (manager.clone(), key.text.expose().to_owned());
            tokio::spawn(async move { manager.validate(&text, &RequestContext::new()).await.is_ok() })
        })
        .collect();
    for one in crowd {
        assert!(one.await.unwrap());
    }
    assert_eq!(reads(&server).await, (1, 1, 0));
}
