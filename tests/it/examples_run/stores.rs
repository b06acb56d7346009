//! Stores that stay, go away and come back.

use keygate_testkit::RedisServer;
use reqwest::Method;

use super::{HTTP_EXAMPLES, call, get, reason};
use crate::support::example::Example;
use crate::support::{eventually, forged, master_secret};

#[tokio::test]
async fn keys_outlive_restarts_and_any_number_of_starts_meets_no_quota() {
    let redis = RedisServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (file, url, secret) = (format!("file:{}/keys", folder.path().display()), redis.url(), master_secret());
    for (name, variables) in [
        ("axum", vec![("KEYGATE_STORE", &*file)]),
        ("actix", vec![("KEYGATE_STORE", &*url), ("KEYGATE_SECRET", &*secret)]),
    ] {
        let mut first_key = None;
        // One more than a user may have where nobody raised the quota.
        for start in 0..=10 {
            let mut example = Example::start(name, &variables).await;
            let own = example.key().await;
            let key = first_key.get_or_insert(own);
            assert_eq!(get(&example, "/hello", key).await.status(), 200, "{name} after {start} restarts");
            assert!(example.stop("TERM").await.status.success());
        }
    }
}

#[tokio::test]
async fn a_redis_that_goes_away_is_503_and_one_that_comes_back_is_found_without_a_restart() {
    let mut redis = RedisServer::builder().append_only().start().await.unwrap();
    let (url, secret) = (redis.url(), master_secret());
    let variables = [("KEYGATE_STORE", &*url), ("KEYGATE_SECRET", &*secret)];
    for name in HTTP_EXAMPLES {
        let mut example = Example::start(name, &variables).await;
        let key = example.key().await;
        assert_eq!(get(&example, "/hello", &key).await.status(), 200);

        redis.kill();
        for _ in 0..20 {
            let response = get(&example, "/hello", &key).await;
            assert!(response.headers().contains_key("retry-after"), "{response:?}");
            assert_eq!(reason(response).await, (503, "store_unavailable".into()));
        }
        // What needs no store is answered as ever.
        assert_eq!(call(&example, Method::GET, "/open", None).await.status(), 200);
        assert_eq!(reason(get(&example, "/hello", &forged(&key)).await).await, (401, "invalid_key".into()));

        redis.restart_keeping_data().await.unwrap();
        let back = eventually(
            async || get(&example, "/hello", &key).await.status(),
            |status| {
                assert!([200, 503].contains(&status.as_u16()), "{status}");
                *status == 200
            },
        );
        assert_eq!(back.await, 200);
    }
}

#[tokio::test]
async fn a_redis_that_stalls_is_503_and_never_a_hanging_request() {
    let redis = RedisServer::start().await.unwrap();
    let (url, secret) = (redis.url(), master_secret());
    let mut example = Example::start("axum", &[("KEYGATE_STORE", &url), ("KEYGATE_SECRET", &secret)]).await;
    let key = example.key().await;

    redis.freeze().unwrap();
    assert_eq!(reason(get(&example, "/hello", &key).await).await, (503, "store_unavailable".into()));
    redis.thaw().unwrap();
    eventually(async || get(&example, "/hello", &key).await.status(), |status| *status == 200).await;
}

#[tokio::test]
async fn without_a_redis_at_start_it_listens_and_makes_the_key_when_one_comes() {
    let mut redis = RedisServer::start().await.unwrap();
    redis.kill();
    let (url, secret) = (redis.url(), master_secret());
    let stranger = {
        let mut other = Example::start("axum", &[]).await;
        other.key().await
    };
    for name in HTTP_EXAMPLES {
        let mut example = Example::start(name, &[("KEYGATE_STORE", &url), ("KEYGATE_SECRET", &secret)]).await;
        assert_eq!(call(&example, Method::GET, "/open", None).await.status(), 200);
        // Whether it is one of ours nobody can say yet.
        let response = get(&example, "/hello", &stranger).await;
        assert!(response.headers().contains_key("retry-after"));
        assert_eq!(reason(response).await, (503, "store_unavailable".into()));
        assert_eq!(reason(get(&example, "/hello", "nonsense").await).await, (401, "malformed_key".into()));

        redis.restart_empty().await.unwrap();
        let key = example.key().await;
        assert_eq!(get(&example, "/hello", &key).await.status(), 200);
        assert_eq!(reason(get(&example, "/hello", &stranger).await).await, (401, "invalid_key".into()));
        let ended = example.stop("TERM").await;
        assert!(ended.stderr.contains("the store does not answer"), "{}", ended.stderr);
        redis.kill();
    }
}
