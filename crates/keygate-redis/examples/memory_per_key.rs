//! How much of Redis' memory a key takes, lists and all, and how long creating them takes.
//!
//! `cargo run --release -p keygate-redis --example memory_per_key [keys]` needs `redis-server` on the path. Each key is
//! of a user of its own, all in one organization.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Instant;

use keygate_core::names::{Description, KeyName, OrganizationId, Tag, UserId};
use keygate_core::record::{KeyRecord, Quota};
use keygate_core::scope::ScopeSet;
use keygate_core::store::{Listing, Store};
use keygate_redis::{RedisSettings, RedisStore};
use keygate_testkit::{RedisServer, sample};

const QUOTA: Quota = Quota { per_organization: 100_000_000, per_user: 10 };

#[tokio::main]
async fn main() {
    let count: u64 = std::env::args().nth(1).map_or(100_000, |count| count.parse().expect("a number of keys"));
    for kind in [Kind::Bare, Kind::WithEnd, Kind::Typical, Kind::Full] {
        measure(count, kind).await;
    }
}

/// What the keys measured look like.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Nothing but what every key has.
    Bare,
    /// The same with an end.
    WithEnd,
    /// Two scopes, a permission, a project, a tag, a short description and an end.
    Typical,
    /// Something in every field.
    Full,
}

fn record(kind: Kind, organization: &OrganizationId, user: &UserId) -> KeyRecord {
    let mut record = match kind {
        Kind::Full => sample::full_record(organization, user),
        _ => sample::record(organization, user),
    };
    let key = &mut record.key;
    match kind {
        Kind::Bare | Kind::Full => {}
        Kind::WithEnd => key.expires_at = Some(sample::far_future()),
        Kind::Typical => {
            key.expires_at = Some(sample::far_future());
            key.name = KeyName::new("deploy pipeline").unwrap();
            key.description = Description::new("used by the nightly deployment").unwrap();
            key.permissions = ScopeSet::parse(["deployments:write"]).unwrap();
            key.scopes = ScopeSet::parse(["tools:*:run", "files:read"]).unwrap();
            key.project = Some(sample::project("website"));
            key.tags = vec![Tag::new("team:web").unwrap()];
        }
    }
    record
}

async fn measure(count: u64, kind: Kind) {
    let server = RedisServer::start().await.unwrap();
    let store = RedisStore::connect(server.url().parse::<RedisSettings>().unwrap());
    let organization = sample::organization();
    let records: Vec<KeyRecord> = (0..count)
        .map(|number| {
            let user = UserId::new(format!("user-{number:07}")).unwrap();
            record(kind, &organization, &user)
        })
        .collect();
    let blob: usize = records.iter().map(|record| record.encode().unwrap().len()).sum();
    let listing = Listing::Organization(organization.clone());
    // The scripts' own memory is not the keys'.
    let first = store.create(&organization, QUOTA, records[..1].to_vec()).await.unwrap();
    assert!(first.iter().all(Result::is_ok));
    let before = server.used_memory().await.unwrap();

    let began = Instant::now();
    let outcomes = store.create(&organization, QUOTA, records[1..].to_vec()).await.unwrap();
    let took = began.elapsed();
    assert!(outcomes.iter().all(Result::is_ok));

    let memory = server.used_memory().await.unwrap() - before;
    assert_eq!(store.list(&listing, None, 100).await.unwrap().records.len(), 100);
    println!(
        "{count} keys, {kind:?}: {} bytes each, of them {} the record itself; created in {took:.2?}",
        memory / (count - 1),
        blob as u64 / count,
    );
}
