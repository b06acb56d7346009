//! Starts that must not be, each with one sentence.

use keygate_testkit::RedisServer;

use crate::support::example::Example;
use crate::support::master_secret;

#[tokio::test]
async fn a_setting_that_cannot_be_used_stops_the_start_with_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").display().to_string();
    let unreachable = format!("file:{missing}/keys");
    let secret = master_secret();
    for (setting, value) in [
        ("KEYGATE_STORE", "nonsense"),
        ("KEYGATE_STORE", "redis://127.0.0.1:notaport"),
        ("KEYGATE_STORE", &*unreachable),
        ("KEYGATE_SECRET", "tooshort"),
        ("KEYGATE_SECRET_FILE", &*missing),
        ("KEYGATE_PASSPHRASE", "short"),
        ("KEYGATE_RETIRED_SECRETS", "nonsense"),
        ("KEYGATE_LISTEN", "localhost"),
        ("KEYGATE_LISTEN", "192.0.2.1:1"),
        ("KEYGATE_ENVIRONMENT", "Prod"),
        ("KEYGATE_TRUSTED_PROXIES", "10.0.0.7/8"),
        ("KEYGATE_LOG", "keygate=loud"),
        ("KEYGATE_DEMO_KEY", "maybe"),
    ] {
        for name in ["axum", "actix", "tonic"] {
            let ended = Example::ended(name, &[("KEYGATE_LOG", "off"), (setting, value)]).await;
            assert_eq!(ended.status.code(), Some(1), "{name} {setting}: {ended:?}");
            assert_eq!(ended.stdout, "", "{name} {setting}");
            assert_eq!(ended.stderr.lines().count(), 1, "{name} {setting}: {}", ended.stderr);
            assert!(ended.stderr.contains(setting), "{name} {setting}: {}", ended.stderr);
        }
    }
    for variables in [
        [("KEYGATE_STORE", "redis://127.0.0.1:1"), ("KEYGATE_LOG", "off")],
        [("KEYGATE_SECRET", &*secret), ("KEYGATE_SECRET_FILE", &*missing)],
    ] {
        let ended = Example::ended("axum", &variables).await;
        assert!(ended.stderr.contains("KEYGATE_SECRET") && ended.stderr.lines().count() == 1, "{ended:?}");
        assert!(!ended.stderr.contains(&secret));
    }
}

#[tokio::test]
async fn a_secret_that_does_not_fit_the_store_is_told_at_start() {
    let redis = RedisServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (file, url) = (format!("file:{}/keys", folder.path().display()), redis.url());
    for store in [&file, &url] {
        let (right, wrong) = (master_secret(), master_secret());
        let first = Example::start("axum", &[("KEYGATE_STORE", store), ("KEYGATE_SECRET", &right)]).await;
        first.stop("TERM").await;

        let variables = [("KEYGATE_STORE", &**store), ("KEYGATE_SECRET", &*wrong), ("KEYGATE_LOG", "off")];
        let ended = Example::ended("axum", &variables).await;
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.stderr.contains("secret does not fit this store"), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(!ended.stderr.contains(&right) && !ended.stderr.contains(&wrong));
    }
}

#[tokio::test]
async fn a_file_that_another_process_holds_is_told_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("file:{}/keys", folder.path().display());
    let _holder = Example::start("axum", &[("KEYGATE_STORE", &file)]).await;
    let ended = Example::ended("actix", &[("KEYGATE_STORE", &file), ("KEYGATE_LOG", "off")]).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("KEYGATE_STORE") && ended.stderr.lines().count() == 1, "{}", ended.stderr);
}
