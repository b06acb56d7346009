//! Servers that are away, slow, full or locked: calls fail soon and say why, and work again without a restart.

use std::time::{Duration, Instant};

use keygate_core::record::Quota;
use keygate_core::store::{Store, StoreError};
use keygate_redis::{Namespace, RedisSettings, RedisStore};
use keygate_testkit::{FaultProxy, RedisServer, sample};

use crate::support::{self, assert_whole, namespace, pool, server, store_at};

const AMPLE: Quota = Quota { per_organization: 100_000, per_user: 100_000 };

async fn works(store: &RedisStore) -> Result<(), StoreError> {
    let organization = sample::organization();
    let record = sample::record(&organization, &sample::user("bob"));
    assert_eq!(store.create(&organization, AMPLE, vec![record.clone()]).await?, [Ok(())]);
    assert_eq!(store.record(record.key.id).await?, Some(record));
    Ok(())
}

async fn works_soon(store: &RedisStore) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = works(store).await {
        assert!(Instant::now() < deadline, "it does not recover: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Fails as unavailable within `most`, and gives the reason.
async fn fails_within(store: &RedisStore, most: Duration) -> String {
    let began = Instant::now();
    let error = store.record(sample::record(&sample::organization(), &sample::user("bob")).key.id).await.unwrap_err();
    assert!(began.elapsed() < most, "it took {:?} to fail", began.elapsed());
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(std::error::Error::source(&error).is_some());
    error.to_string()
}

#[tokio::test]
async fn a_store_made_before_its_server_works_when_the_server_comes() {
    let mut server = RedisServer::start().await.unwrap();
    server.stop().await.unwrap();
    let own = store_at(&server.url(), namespace());
    let pooled = RedisStore::from_pool(pool(&server.url()), namespace());
    for store in [&own, &pooled] {
        fails_within(store, Duration::from_secs(1)).await;
    }
    server.restart_empty().await.unwrap();
    for store in [&own, &pooled] {
        works_soon(store).await;
    }
}

#[tokio::test]
async fn a_server_killed_under_way_fails_calls_soon_and_is_used_again_when_back() {
    let mut server = RedisServer::builder().append_only().start().await.unwrap();
    let store = store_at(&server.url(), namespace());
    works(&store).await.unwrap();
    server.kill();
    for _ in 0..20 {
        fails_within(&store, Duration::from_millis(500)).await;
    }
    server.restart_keeping_data().await.unwrap();
    works_soon(&store).await;
}

#[tokio::test]
async fn a_server_that_stops_answering_fails_calls_within_the_time_limits() {
    let server = RedisServer::start().await.unwrap();
    let settings: RedisSettings = server.url().parse().unwrap();
    let limit = Duration::from_millis(300);
    let store = RedisStore::connect(settings.with_response_timeout(limit).with_connection_timeout(limit));
    works(&store).await.unwrap();
    server.freeze().unwrap();
    for _ in 0..3 {
        fails_within(&store, 2 * limit + Duration::from_millis(200)).await;
    }
    server.thaw().unwrap();
    works_soon(&store).await;
}

#[tokio::test]
async fn a_half_open_connection_is_given_up() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).unwrap();
    let settings: RedisSettings = proxy.url().parse().unwrap();
    let store = RedisStore::connect(settings.with_response_timeout(Duration::from_millis(200)));
    works(&store).await.unwrap();
    proxy.swallow();
    fails_within(&store, Duration::from_secs(1)).await;
    proxy.pass();
    works_soon(&store).await;
    assert!(proxy.counts().connections >= 2, "the connection that fell silent was kept");
}

#[tokio::test]
async fn a_connection_is_made_though_everyone_who_waits_for_it_gives_up() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).unwrap();
    let store = store_at(&proxy.url(), namespace());
    let id = sample::record(&sample::organization(), &sample::user("bob")).key.id;
    proxy.delay(Duration::from_millis(200));
    for _ in 0..12 {
        let impatient = tokio::time::timeout(Duration::from_millis(50), store.record(id)).await;
        assert!(impatient.is_err(), "{impatient:?}");
    }
    proxy.pass();
    works_soon(&store).await;
    assert_eq!(proxy.counts().connections, 1, "attempts were begun and given up");
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let server = RedisServer::builder().password("right").start().await.unwrap();
    let url = format!("redis://:canary-wrong@{}", server.address());
    let store = store_at(&url, namespace());
    let error = fails_within(&store, Duration::from_secs(1)).await;
    assert!(error.to_lowercase().contains("password"), "{error}");
    let settings: RedisSettings = url.parse().unwrap();
    for shown in [error, format!("{store:?}"), store.describe(), format!("{settings:?}")] {
        assert!(!shown.contains("canary"), "{shown}");
    }
    // The operator mends the server, not the service.
    let address = format!("redis://:right@{}", server.address());
    works(&store_at(&address, namespace())).await.unwrap();
    let client = server.command::<()>(["CONFIG", "SET", "requirepass", "canary-wrong"]);
    client.await.unwrap();
    works_soon(&store).await;
}

#[tokio::test]
async fn a_full_server_is_unavailable_and_takes_writes_again_when_it_has_room() {
    let server = RedisServer::start().await.unwrap();
    let store = store_at(&server.url(), namespace());
    works(&store).await.unwrap();
    server.command::<()>(["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let error = works(&store).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(error.to_string().contains("OOM"), "{error}");
    server.command::<()>(["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    works(&store).await.unwrap();
}

#[tokio::test]
async fn a_replica_is_not_written_to() {
    let primary = RedisServer::start().await.unwrap();
    let replica = RedisServer::builder().replica_of(&primary).start().await.unwrap();
    let error = works(&store_at(&replica.url(), namespace())).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_scripts_are_loaded_again() {
    let server = RedisServer::start().await.unwrap();
    for store in
        [store_at(&server.url(), namespace()), RedisStore::from_pool(pool(&server.url()), Namespace::default())]
    {
        let organization = sample::organization();
        let flushing = async {
            loop {
                server.command::<()>(["SCRIPT", "FLUSH"]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let records: Vec<_> = (0..3000).map(|_| sample::record(&organization, &sample::user("bob"))).collect();
        let creating = async {
            let outcomes = store.create(&organization, AMPLE, records).await.unwrap();
            assert!(outcomes.iter().all(Result::is_ok));
        };
        tokio::select! {
            () = flushing => {}
            () = creating => {}
        }
        assert_eq!(assert_whole(&server, &store, &organization, &[]).await.len(), 3000);
    }
}

#[tokio::test]
async fn a_batch_cut_off_half_way_is_an_error_and_leaves_nothing_behind() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).unwrap();
    let namespace = namespace();
    let reservation = Duration::from_millis(1500);
    let store = store_at(&proxy.url(), namespace.clone()).with_reservation(reservation);
    let other = store_at(&server.url(), namespace).with_reservation(reservation);
    let organization = sample::organization();
    let records: Vec<_> = (0..2000).map(|_| sample::record(&organization, &sample::user("bob"))).collect();
    proxy.cut_after_requests(1300);
    let answer = store.create(&organization, AMPLE, records.clone()).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    tokio::time::sleep(reservation).await;
    support::reaped(server, &other, &organization).await;
    let ids: Vec<_> = records.iter().map(|record| record.key.id).collect();
    let there = assert_whole(server, &other, &organization, &ids).await;
    assert!((500..2000).contains(&there.len()), "{} are there", there.len());
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tls_to_a_server_without_it_is_unavailable() {
    let server = server().await;
    let store = store_at(&server.url().replace("redis://", "rediss://"), namespace());
    fails_within(&store, Duration::from_secs(3)).await;
}
