//! Settings: each mistake is one sentence that names its variable and shows no secret, and a store's own secret is made
//! once and never replaced.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use keygate::actor::Operator;
use keygate::anomaly::{AnomalyPolicy, Rule};
use keygate::audit::AuditPolicy;
use keygate::context::RequestContext;
use keygate::http::location::LocationHeader;
use keygate::import::ImportPattern;
use keygate::manager::{NewKey, SetupError};
use keygate::notice::NoticePolicy;
use keygate::settings::{Keeping, LocationSetting, OpenError, SettingError, Settings, StoreAddress};
use keygate_testkit::RedisServer;

const SECRET: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
const OTHER_SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn read(pairs: &[(&str, &str)]) -> Result<Settings, SettingError> {
    let pairs: HashMap<&str, &str> = pairs.iter().copied().collect();
    Settings::read(StoreAddress::Memory, |name| Ok(pairs.get(name).map(|value| (*value).to_owned())))
}

fn on_file(path: &Path, more: &[(&str, &str)]) -> Settings {
    let store = format!("file:{}", path.display());
    let pairs: Vec<_> = [("KEYGATE_STORE", store.as_str())].into_iter().chain(more.iter().copied()).collect();
    read(&pairs).unwrap()
}

#[test]
fn what_nobody_set_has_its_default() {
    let settings = read(&[("KEYGATE_STORE", "")]).unwrap();
    assert!(matches!(settings.store, StoreAddress::Memory));
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.environment.as_str(), "dev");
    assert_eq!(settings.namespace, "kg");
    assert!(settings.trusted_proxies.is_empty());
    assert!(!settings.secrets.is_configured());
}

#[test]
fn the_programs_own_environment_goes_before_the_shared_one() {
    assert_eq!(read(&[("ENVIRONMENT", "staging")]).unwrap().environment.as_str(), "staging");
    let both = read(&[("ENVIRONMENT", "staging"), ("KEYGATE_ENVIRONMENT", "prod")]).unwrap();
    assert_eq!(both.environment.as_str(), "prod");
}

#[test]
fn a_malformed_value_is_one_sentence_that_names_its_variable() {
    let cases = [
        ("KEYGATE_STORE", "postgres://localhost"),
        ("KEYGATE_STORE", "nothing"),
        ("KEYGATE_STORE", "file:"),
        ("KEYGATE_STORE", "memory:x"),
        ("KEYGATE_STORE", "redis:6379"),
        ("KEYGATE_STORE", "redis://host:notaport"),
        ("KEYGATE_STORE", "redis+sentinel://host:26379"),
        ("KEYGATE_SECRET", "too short"),
        ("KEYGATE_SECRET", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("KEYGATE_RETIRED_SECRETS", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,"),
        ("KEYGATE_LISTEN", "localhost"),
        ("KEYGATE_LISTEN", "127.0.0.1:99999"),
        ("KEYGATE_ENVIRONMENT", "Prod"),
        ("ENVIRONMENT", "a-b"),
        ("KEYGATE_TRUSTED_PROXIES", "10.0.0.0/8,nonsense"),
        ("KEYGATE_TRUSTED_PROXIES", "10.0.0.1/8"),
        // Without a proxy that it could be believed of.
        ("KEYGATE_LOCATION_HEADER", "CF-IPCountry"),
        ("KEYGATE_NAMESPACE", "a:b"),
        ("KEYGATE_CACHE_CAPACITY", "many"),
        ("KEYGATE_CACHE_CAPACITY", "-1"),
        ("KEYGATE_CACHE_CAPACITY", "+1"),
        ("KEYGATE_CACHE_CAPACITY", "1e6"),
        ("KEYGATE_LEASE_MS", "99"),
        ("KEYGATE_LEASE_MS", "60001"),
        ("KEYGATE_LEASE_MS", "1s"),
        ("KEYGATE_LEASE_MS", "6000"),
        ("KEYGATE_STALE_IF_ERROR_MS", "4001"),
        ("KEYGATE_STALE_IF_ERROR_MS", "3600001"),
        ("KEYGATE_MAX_STALENESS_MS", "99"),
        ("KEYGATE_ANOMALY_WITHOUT", "everything"),
        ("KEYGATE_ANOMALY_WITHOUT", "volume,"),
        ("KEYGATE_ANOMALY_WITHOUT", "volume,all"),
        ("KEYGATE_ANOMALY_SUSPEND_ON", "Volume"),
        ("KEYGATE_ANOMALY_LEARNING_DAYS", "0"),
        ("KEYGATE_ANOMALY_LEARNING_DAYS", "61"),
        ("KEYGATE_ANOMALY_LEARNING_DAYS", "7d"),
        ("KEYGATE_ANOMALY_VOLUME_FLOOR", "9"),
        ("KEYGATE_ANOMALY_VOLUME_FLOOR", "1000000001"),
        ("KEYGATE_ANOMALY_VOLUME_SIGMAS", "2"),
        ("KEYGATE_ANOMALY_VOLUME_SIGMAS", "101"),
        ("KEYGATE_ANOMALY_ERROR_POINTS", "0"),
        ("KEYGATE_ANOMALY_ERROR_POINTS", "91"),
        ("KEYGATE_ANOMALY_DORMANT_DAYS", "6"),
        ("KEYGATE_ANOMALY_DORMANT_DAYS", "+30"),
        ("KEYGATE_ANOMALY_SPREAD_NETWORKS", "129"),
        ("KEYGATE_ANOMALY_SPREAD_NETWORKS", "many"),
        ("KEYGATE_IMPORT_PATTERNS", "sk_[a-z]{20}"),
        ("KEYGATE_IMPORT_PATTERNS", "legacy=sk_("),
        ("KEYGATE_IMPORT_PATTERNS", "legacy=.*"),
        ("KEYGATE_IMPORT_PATTERNS", "a=sk_[a-z]{20} a=pk_[a-z]{20}"),
        ("KEYGATE_IMPORT_HMAC_KEYS", "old"),
        ("KEYGATE_IMPORT_HMAC_KEYS", "old=***"),
        ("KEYGATE_IMPORT_HMAC_KEYS", "OLD=aGVsbG8="),
        ("KEYGATE_IMPORT_HMAC_KEYS", "old=aGVsbG8=,old=aGVsbG8="),
        ("KEYGATE_IMPORT_HMAC_KEYS", "old=aGVsbG8=,"),
        ("KEYGATE_IMPORT_LOOKUPS_PER_SECOND", "0"),
        ("KEYGATE_IMPORT_LOOKUPS_PER_SECOND", "1000001"),
        ("KEYGATE_IMPORT_LOOKUPS_PER_SECOND", "+1"),
        ("KEYGATE_NOTICE_EXPIRING_DAYS", "0"),
        ("KEYGATE_NOTICE_EXPIRING_DAYS", "3651"),
        ("KEYGATE_NOTICE_EXPIRING_DAYS", "7,"),
        ("KEYGATE_NOTICE_EXPIRING_DAYS", "+7"),
        ("KEYGATE_NOTICE_EXPIRING_DAYS", "7d"),
        ("KEYGATE_NOTICE_EXPIRING_DAYS", "7,none"),
        ("KEYGATE_NOTICE_EXPIRING_DAYS", "1,2,3,4,5,6,7,8,9"),
        ("KEYGATE_NOTICE_UNUSED_DAYS", "0"),
        ("KEYGATE_NOTICE_UNUSED_DAYS", "3651"),
        ("KEYGATE_NOTICE_UNUSED_DAYS", "never"),
        ("KEYGATE_AUDIT_RETENTION_DAYS", "0"),
        ("KEYGATE_AUDIT_RETENTION_DAYS", "36501"),
        ("KEYGATE_AUDIT_MEGABYTES", "0"),
        ("KEYGATE_AUDIT_MEGABYTES", "1000001"),
        ("KEYGATE_AUDIT_MEGABYTES", "1.5"),
        ("KEYGATE_NOTICE_LOG", "yes"),
        ("KEYGATE_NOTICE_LOG", "True"),
        ("KEYGATE_WEBHOOKS_ALLOW_PRIVATE", "1"),
    ];
    for (name, value) in cases {
        let error = read(&[(name, value)]).expect_err(name);
        assert_eq!(error.name(), name);
        let sentence = error.to_string();
        assert!(sentence.starts_with(name) && !sentence.contains('\n'), "{sentence}");
    }
}

#[test]
fn how_much_is_kept_and_how_long_it_is_believed_can_be_set() {
    assert_eq!(read(&[]).unwrap().keeping, Keeping::default());
    let keeping = read(&[
        ("KEYGATE_CACHE_CAPACITY", "0"),
        ("KEYGATE_LEASE_MS", "250"),
        ("KEYGATE_STALE_IF_ERROR_MS", "29750"),
        ("KEYGATE_MAX_STALENESS_MS", "30000"),
    ])
    .unwrap()
    .keeping;
    let millis = Duration::from_millis;
    assert_eq!((keeping.capacity, keeping.lease), (0, millis(250)));
    assert_eq!((keeping.stale_if_error, keeping.max_staleness), (millis(29_750), millis(30_000)));
}

#[test]
fn what_is_unusual_can_be_set() {
    assert_eq!(read(&[]).unwrap().anomalies, AnomalyPolicy::default());
    let policy = read(&[
        ("KEYGATE_ANOMALY_WITHOUT", "new_scope, error_rate"),
        ("KEYGATE_ANOMALY_SUSPEND_ON", "address_spread"),
        ("KEYGATE_ANOMALY_LEARNING_DAYS", "1"),
        ("KEYGATE_ANOMALY_VOLUME_FLOOR", "1000000000"),
        ("KEYGATE_ANOMALY_VOLUME_SIGMAS", "3"),
        ("KEYGATE_ANOMALY_ERROR_POINTS", "90"),
        ("KEYGATE_ANOMALY_DORMANT_DAYS", "7"),
        ("KEYGATE_ANOMALY_SPREAD_NETWORKS", "128"),
    ])
    .unwrap()
    .anomalies;
    let expected = AnomalyPolicy::new()
        .without([Rule::NewScope, Rule::ErrorRate])
        .suspend_on([Rule::AddressSpread])
        .learning_days(1)
        .volume_floor(1_000_000_000)
        .volume_sigmas(3)
        .error_points(90)
        .dormant_days(7)
        .spread_networks(128);
    assert_eq!(policy, expected);
    assert!(read(&[("KEYGATE_ANOMALY_WITHOUT", "all")]).unwrap().anomalies.is_off());
    let all = read(&[("KEYGATE_ANOMALY_SUSPEND_ON", "all")]).unwrap().anomalies;
    assert!(Rule::ALL.into_iter().all(|rule| all.suspends_on(rule)));
    // What nobody looks for suspends nobody: that was not meant.
    let error = read(&[("KEYGATE_ANOMALY_WITHOUT", "all"), ("KEYGATE_ANOMALY_SUSPEND_ON", "volume")]).unwrap_err();
    assert_eq!(error.to_string(), "KEYGATE_ANOMALY_SUSPEND_ON has volume, which KEYGATE_ANOMALY_WITHOUT leaves out");
}

#[test]
fn what_is_told_and_how_can_be_set() {
    let notices = read(&[]).unwrap().notices;
    assert_eq!(notices.policy, NoticePolicy::default());
    assert_eq!((notices.log, notices.allow_private, notices.proxy), (false, false, None));
    let notices = read(&[
        ("KEYGATE_NOTICE_EXPIRING_DAYS", "3650, 1,1"),
        ("KEYGATE_NOTICE_UNUSED_DAYS", "90"),
        ("KEYGATE_NOTICE_LOG", "true"),
        ("KEYGATE_WEBHOOKS_ALLOW_PRIVATE", "true"),
        ("KEYGATE_WEBHOOKS_PROXY", "http://proxy.internal:3128"),
    ])
    .unwrap()
    .notices;
    assert_eq!(notices.policy, NoticePolicy::default().expiring([3650, 1]).unwrap().unused(Some(90)).unwrap());
    assert_eq!((notices.log, notices.allow_private), (true, true));
    assert_eq!(notices.proxy.as_deref(), Some("http://proxy.internal:3128"));
    let none = read(&[("KEYGATE_NOTICE_EXPIRING_DAYS", "none"), ("KEYGATE_NOTICE_LOG", "false")]).unwrap().notices;
    assert_eq!((none.policy, none.log), (NoticePolicy::default().expiring([]).unwrap(), false));
}

/// It is looked at with the client that goes through it, so where webhooks are sent.
#[cfg(feature = "webhooks")]
#[test]
fn how_much_of_the_audit_is_kept_can_be_set() {
    assert_eq!(read(&[]).unwrap().audit, AuditPolicy::default());
    let set = read(&[("KEYGATE_AUDIT_RETENTION_DAYS", "7"), ("KEYGATE_AUDIT_MEGABYTES", "25")]).unwrap();
    let expected = AuditPolicy::default().retention_days(7).unwrap().most_bytes(25_000_000).unwrap();
    assert_eq!(set.audit, expected);
}

#[tokio::test]
async fn a_proxy_that_is_none_is_told_at_the_start() {
    for proxy in ["proxy.internal:3128", "socks5://proxy.internal", "http://"] {
        let error = read(&[("KEYGATE_WEBHOOKS_PROXY", proxy)]).unwrap().open().await.unwrap_err();
        assert!(matches!(&error, OpenError::Setting(error) if error.name() == "KEYGATE_WEBHOOKS_PROXY"), "{error}");
        assert!(error.to_string().starts_with("KEYGATE_WEBHOOKS_PROXY must begin with"), "{error}");
    }
    read(&[("KEYGATE_WEBHOOKS_PROXY", "http://proxy.internal:3128")]).unwrap().open().await.unwrap();
}

#[test]
fn the_forms_of_imported_keys_can_be_set() {
    let nothing = read(&[]).unwrap().imports;
    assert!(nothing.patterns().is_empty() && nothing.hmac_key_names().next().is_none());
    assert!(format!("{nothing:?}").contains("lookups_per_second: 2000"), "{nothing:?}");
    let imports = read(&[
        ("KEYGATE_IMPORT_PATTERNS", "legacy=sk_live_[A-Za-z0-9]{24,32}\n  salted=pk_(?P<lookup>[a-z]{8})_[a-z]{16} "),
        ("KEYGATE_IMPORT_HMAC_KEYS", "old=aGVsbG8=, older=d29ybGQ="),
        ("KEYGATE_IMPORT_LOOKUPS_PER_SECOND", "1000000"),
    ])
    .unwrap()
    .imports;
    let names: Vec<_> = imports.patterns().iter().map(ImportPattern::name).collect();
    assert_eq!(names, ["legacy", "salted"]);
    assert!(imports.patterns()[1].has_lookup_part());
    assert_eq!(imports.hmac_key_names().collect::<Vec<_>>(), ["old", "older"]);
    assert!(format!("{imports:?}").contains("lookups_per_second: 1000000"), "{imports:?}");
    // What is wrong with a key is said without it.
    let error = read(&[("KEYGATE_IMPORT_HMAC_KEYS", "secretsecret")]).unwrap_err().to_string();
    assert!(!error.contains("secretsecret"), "{error}");
}

#[test]
fn locations_come_from_a_header_of_the_proxies_or_from_a_database() {
    assert_eq!(read(&[]).unwrap().location, LocationSetting::Nowhere);
    let proxies = ("KEYGATE_TRUSTED_PROXIES", "10.0.0.0/8");
    let header = read(&[proxies, ("KEYGATE_LOCATION_HEADER", "CF-IPCountry")]).unwrap();
    assert_eq!(header.location, LocationSetting::Header(LocationHeader::new("cf-ipcountry").unwrap()));
    assert!(header.location_source().is_ok());

    for (pairs, name) in [
        ([proxies, ("KEYGATE_LOCATION_HEADER", "CF: IPCountry")].as_slice(), "KEYGATE_LOCATION_HEADER"),
        (
            &[proxies, ("KEYGATE_LOCATION_HEADER", "CF-IPCountry"), ("KEYGATE_LOCATION_DATABASE", "countries.mmdb")],
            "KEYGATE_LOCATION_DATABASE",
        ),
    ] {
        assert_eq!(read(pairs).unwrap_err().name(), name);
    }
    // The file is read when it is wanted, and not before.
    let database = read(&[("KEYGATE_LOCATION_DATABASE", "/nowhere/countries.mmdb")]).unwrap();
    let error = database.location_source().unwrap_err().to_string();
    assert!(error.starts_with("KEYGATE_LOCATION_DATABASE "), "{error}");
    if cfg!(feature = "maxmind") {
        assert!(error.contains("/nowhere/countries.mmdb"), "{error}");
    }
}

#[test]
fn a_bound_above_the_deployments_maximum_names_both_settings() {
    let error = read(&[("KEYGATE_LEASE_MS", "3000"), ("KEYGATE_MAX_STALENESS_MS", "2000")]).unwrap_err();
    assert!(error.to_string().contains("KEYGATE_MAX_STALENESS_MS, which is 2000"), "{error}");
    let error = read(&[("KEYGATE_STALE_IF_ERROR_MS", "5000")]).unwrap_err();
    assert!(error.to_string().contains("comes to 6000 ms"), "{error}");
}

#[test]
fn two_sources_of_the_secret_are_refused() {
    for pair in [
        [("KEYGATE_SECRET", SECRET), ("KEYGATE_PASSPHRASE", "correct horse battery")],
        [("KEYGATE_SECRET", SECRET), ("KEYGATE_SECRET_FILE", "somewhere")],
        [("KEYGATE_SECRET_FILE", "somewhere"), ("KEYGATE_PASSPHRASE", "correct horse battery")],
    ] {
        let error = read(&pair).unwrap_err().to_string();
        assert!(error.contains("exactly one"), "{error}");
    }
}

#[test]
fn no_debug_output_or_error_shows_a_secret() {
    let settings = read(&[
        ("KEYGATE_STORE", "redis://ada:hunter2@127.0.0.1:6379"),
        ("KEYGATE_SECRET", SECRET),
        ("KEYGATE_RETIRED_SECRETS", OTHER_SECRET),
    ]);
    let shown = format!("{settings:?}");
    for secret in ["hunter2", SECRET, OTHER_SECRET] {
        assert!(!shown.contains(secret), "{shown}");
    }
    for store in ["redis://ada:hunter2@host:notaport", "redis://ada:hunter2@", "redis+cluster://ada:hunter2@h:1,:2/x"] {
        let error = read(&[("KEYGATE_STORE", store)]).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
    let error = read(&[("KEYGATE_SECRET", "c2VjcmV0LXNlY3JldA==")]).unwrap_err().to_string();
    assert!(!error.contains("c2VjcmV0"), "{error}");
}

#[tokio::test]
async fn a_file_store_makes_its_secret_once_and_says_where() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let operator = Operator::named("test".parse().unwrap()).into();

    let opened = on_file(&path, &[]).open().await.unwrap();
    let secret = opened.made_secret.clone().expect("the first start makes a secret");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let new = NewKey::new("acme".parse().unwrap(), "bob".parse().unwrap());
    let created = opened.manager.create(&operator, new).await.unwrap();
    drop(opened);

    let again = on_file(&path, &[]).open().await.unwrap();
    assert_eq!(again.made_secret, None);
    again.manager.validate(created.text.expose(), &RequestContext::new()).await.unwrap();
    // What was counted is told, so that nothing holds the file any more.
    again.manager.leave().await;
    drop(again);

    std::fs::remove_file(&secret).unwrap();
    let error = on_file(&path, &[]).open().await.unwrap_err();
    assert!(matches!(&error, OpenError::SecretMissing(missing) if *missing == secret), "{error}");
    assert!(!secret.exists(), "a lost secret is not replaced by another one");
}

#[tokio::test]
async fn a_start_that_ended_while_its_secret_was_written_leaves_the_next_one_free() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let unfinished = directory.path().join("keys.redb.secret.new");
    std::fs::write(&unfinished, "half a sec").unwrap();
    let opened = on_file(&path, &[]).open().await.unwrap();
    assert!(opened.made_secret.is_some_and(|secret| secret.exists()));
    assert!(!unfinished.exists());
}

#[tokio::test]
async fn a_secret_that_cannot_be_written_is_told_with_its_path_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    // Where the unfinished file would go stands what no file can take the place of.
    let blocked = directory.path().join("keys.redb.secret.new");
    std::fs::create_dir(&blocked).unwrap();
    let error = on_file(&path, &[]).open().await.unwrap_err();
    assert!(matches!(error, OpenError::SecretUnwritten { .. }), "{error}");
    assert!(error.to_string().contains("keys.redb.secret"), "{error}");

    std::fs::remove_dir(&blocked).unwrap();
    assert!(on_file(&path, &[]).open().await.unwrap().made_secret.is_some());
}

#[tokio::test]
async fn a_secret_that_does_not_fit_the_store_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    drop(on_file(&path, &[("KEYGATE_SECRET", SECRET)]).open().await.unwrap());
    let error = on_file(&path, &[("KEYGATE_SECRET", OTHER_SECRET)]).open().await.unwrap_err();
    assert!(matches!(error, OpenError::Setup(SetupError::WrongSecret { .. })), "{error}");

    // A new secret beside the old one, which is retired, is how a secret is replaced.
    let replaced = [("KEYGATE_SECRET", OTHER_SECRET), ("KEYGATE_RETIRED_SECRETS", SECRET)];
    on_file(&path, &replaced).open().await.unwrap();
}

#[tokio::test]
async fn a_secret_file_is_read_and_its_absence_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let file = directory.path().join("secret");
    let named = file.display().to_string();
    let error = on_file(&path, &[("KEYGATE_SECRET_FILE", &named)]).open().await.unwrap_err().to_string();
    assert!(error.starts_with("KEYGATE_SECRET_FILE") && error.contains(&named), "{error}");

    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    drop(on_file(&path, &[("KEYGATE_SECRET_FILE", &named)]).open().await.unwrap());
    on_file(&path, &[("KEYGATE_SECRET", SECRET)]).open().await.unwrap();
}

#[tokio::test]
async fn a_passphrase_gives_the_same_keys_again_and_another_one_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let operator = Operator::named("test".parse().unwrap()).into();
    let passphrase = [("KEYGATE_PASSPHRASE", "correct horse battery staple")];

    let opened = on_file(&path, &passphrase).open().await.unwrap();
    let new = NewKey::new("acme".parse().unwrap(), "bob".parse().unwrap());
    let created = opened.manager.create(&operator, new).await.unwrap();
    drop(opened);

    let again = on_file(&path, &passphrase).open().await.unwrap();
    again.manager.validate(created.text.expose(), &RequestContext::new()).await.unwrap();
    // What was counted is told, so that nothing holds the file any more.
    again.manager.leave().await;
    drop(again);

    let error = on_file(&path, &[("KEYGATE_PASSPHRASE", "correct horse battery stable")]).open().await.unwrap_err();
    assert!(matches!(error, OpenError::Setup(SetupError::WrongSecret { .. })), "{error}");
    let error = on_file(&path, &[("KEYGATE_PASSPHRASE", "short")]).open().await.unwrap_err().to_string();
    assert!(error.starts_with("KEYGATE_PASSPHRASE"), "{error}");
}

#[tokio::test]
async fn redis_needs_a_secret_and_an_absent_server_does_not_stop_the_start() {
    let mut server = RedisServer::start().await.unwrap();
    let url = server.url();
    let error = read(&[("KEYGATE_STORE", &url)]).unwrap().open().await.unwrap_err().to_string();
    assert!(error.starts_with("KEYGATE_SECRET is required"), "{error}");

    server.stop().await.unwrap();
    let settings = read(&[("KEYGATE_STORE", &url), ("KEYGATE_SECRET", SECRET)]).unwrap();
    let opened = settings.open().await.unwrap();
    assert!(opened.unavailable.is_some());

    // A passphrase needs the salt that the store keeps.
    let settings = read(&[("KEYGATE_STORE", &url), ("KEYGATE_PASSPHRASE", "correct horse battery staple")]).unwrap();
    assert!(matches!(settings.open().await.unwrap_err(), OpenError::Setup(SetupError::Store(_))));
}
