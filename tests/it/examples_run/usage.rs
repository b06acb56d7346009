//! What an example counts: told to Prometheus, and to the store before it ends.

use keygate::actor::Operator;
use keygate::key::PresentedKey;
use keygate::settings::{Settings, StoreAddress};
use keygate::usage::report::UsageQuery;
use reqwest::Method;

use super::{HTTP_EXAMPLES, call, get};
use crate::support::example::Example;
use crate::support::http_client;

#[tokio::test]
async fn figures_are_told_without_a_key_and_name_nobody() {
    for name in HTTP_EXAMPLES {
        let mut example = Example::start(name, &[]).await;
        let key = example.key().await;
        assert_eq!(get(&example, "/hello", &key).await.status(), 200);
        assert_eq!(get(&example, "/admin", &key).await.status(), 403);
        assert_eq!(call(&example, Method::GET, "/hello", None).await.status(), 401);

        let answer = call(&example, Method::GET, "/metrics", None).await;
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain"), "{name}");
        let text = answer.text().await.unwrap();
        for line in [
            r#"keygate_requests_total{outcome="admitted"} 2"#,
            r#"keygate_requests_total{outcome="missing_key"} 1"#,
            r#"keygate_answers_total{class="2xx"} 1"#,
            r#"keygate_answers_total{class="4xx"} 1"#,
            "keygate_cache_entries 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{name}: {line} is missing in {text}");
        }
        assert!(["ada", "demo"].iter().all(|word| !text.contains(word)), "{name}: {text}");
    }
}

#[tokio::test]
async fn what_was_counted_is_in_the_store_when_the_process_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    for name in HTTP_EXAMPLES {
        let file = format!("file:{}", folder.path().join(name).display());
        let variables = [
            ("KEYGATE_STORE", &*file),
            ("KEYGATE_TRUSTED_PROXIES", "127.0.0.1"),
            ("KEYGATE_LOCATION_HEADER", "CF-IPCountry"),
        ];
        let mut example = Example::start(name, &variables).await;
        let key = example.key().await;
        for country in ["DE", "DE", "FR"] {
            let request = http_client().get(example.url("/hello")).header("X-API-Key", &key);
            let request = request.header("CF-IPCountry", country).header("X-Forwarded-For", "203.0.113.7");
            assert_eq!(request.send().await.unwrap().status(), 200);
        }
        assert!(example.stop("TERM").await.status.success());

        let lookup = |name: &str| (name == "KEYGATE_STORE").then(|| file.clone());
        let settings = Settings::read(StoreAddress::Memory, |name| Ok(lookup(name))).unwrap();
        let manager = settings.open().await.unwrap().manager;
        let operator = Operator::named("test".parse().unwrap()).into();
        let id = PresentedKey::parse(key.as_bytes()).unwrap().id();
        let report = manager.key_usage(&operator, id, UsageQuery::default()).await.unwrap();
        let share = |shares: &[keygate::usage::report::Share]| -> Vec<_> {
            shares.iter().map(|share| (share.name.clone(), share.requests)).collect()
        };
        assert_eq!(share(&report.breakdown.by_status), [("2xx".to_owned(), 3)], "{name}");
        assert_eq!(share(&report.breakdown.by_endpoint), [("/hello".to_owned(), 3)], "{name}");
        let locations = [("DE".to_owned(), 2), ("FR".to_owned(), 1)];
        assert_eq!(share(&report.breakdown.by_location), locations, "{name}");
        let last = report.last_used.unwrap();
        assert_eq!((last.address, last.location), (Some([203, 0, 113, 7].into()), Some("FR".to_owned())), "{name}");
    }
}
