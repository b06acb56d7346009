//! What a start prints, and what every route answers.

use keygate::actor::Operator;
use keygate::manager::NewKey;
use keygate::network::{Cidr, CidrSet};
use keygate::settings::{Settings, StoreAddress};
use keygate_testkit::RedisServer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{HTTP_EXAMPLES, call, get, reason};
use crate::support::example::Example;
use crate::support::{forged, http_client, master_secret};

/// Every route of the contract, with the demo key and without one.
async fn walk_all_routes(example: &Example, key: &str) {
    let open = call(example, Method::GET, "/open", None).await;
    assert_eq!((open.status(), open.json::<Value>().await.unwrap()), (StatusCode::OK, json!({ "hello": "world" })));

    let hello = get(example, "/hello", key).await;
    assert_eq!(hello.status(), 200);
    let limits = r#""minute";q=1000;w=60, "hour";q=10000;w=3600, "day";q=100000;w=86400, "burst";q=50;w=3"#;
    assert_eq!(hello.headers()["ratelimit-policy"], limits);
    // At most 50 may come at once, which is the least of the limits as long as few have come.
    assert!(hello.headers()["ratelimit"].to_str().unwrap().starts_with("\"burst\";r="), "{:?}", hello.headers());
    let hello: Value = hello.json().await.unwrap();
    assert_eq!((&hello["hello"], &hello["organization_id"]), (&json!("ada"), &json!("demo")));
    assert_eq!(hello["key_id"].as_str().map(str::len), Some(36));

    assert_eq!(get(example, "/reports", key).await.status(), 200);
    assert_eq!(call(example, Method::POST, "/expensive", Some(key)).await.status(), 200);
    assert_eq!(reason(get(example, "/admin", key).await).await, (403, "permission_denied".into()));

    for (method, path) in
        [(Method::GET, "/hello"), (Method::GET, "/reports"), (Method::GET, "/admin"), (Method::POST, "/expensive")]
    {
        let missing = call(example, method.clone(), path, None).await;
        assert_eq!(reason(missing).await, (401, "missing_key".into()), "{path}");
        let wrong = call(example, method, path, Some(&forged(key))).await;
        assert_eq!(reason(wrong).await, (401, "invalid_key".into()), "{path}");
    }
}

#[tokio::test]
async fn every_route_answers_as_pinned_over_every_kind_of_store() {
    let redis = RedisServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let secret = master_secret();
    for name in HTTP_EXAMPLES {
        let file = format!("file:{}", folder.path().join(name).display());
        for variables in [
            vec![],
            vec![("KEYGATE_STORE", "memory:")],
            vec![("KEYGATE_STORE", &*file)],
            vec![("KEYGATE_STORE", &*redis.url()), ("KEYGATE_SECRET", &*secret), ("KEYGATE_NAMESPACE", name)],
        ] {
            let mut example = Example::start(name, &variables).await;
            let key = example.key().await;
            walk_all_routes(&example, &key).await;
        }
    }
}

#[tokio::test]
async fn the_expensive_route_costs_ten() {
    for name in HTTP_EXAMPLES {
        let mut example = Example::start(name, &[]).await;
        let key = example.key().await;
        // Five of them use up the 50 that may come at once, and 16 more a second are let in.
        let mut count = 0;
        let refused = loop {
            let answer = call(&example, Method::POST, "/expensive", Some(&key)).await;
            if answer.status() != 200 {
                break answer;
            }
            count += 1;
            assert!(count < 25, "{name}");
        };
        assert!(count >= 5, "{name}: {count}");
        let waits = ["retry-after", "ratelimit"].map(|name| refused.headers()[name].to_str().unwrap().to_owned());
        assert_eq!(waits[1], format!("\"burst\";r=0;t={}", waits[0]));
        let problem: Value = refused.json().await.unwrap();
        assert_eq!((&problem["reason"], &problem["status"]), (&json!("rate_limit_exceeded"), &json!(429)));
        assert_eq!(problem["violated-policies"], json!(["burst"]));
    }
}

#[tokio::test]
async fn a_start_prints_one_key_one_address_and_one_line_to_paste() {
    for name in ["axum", "actix", "tonic"] {
        let mut example = Example::start(name, &[]).await;
        let key = example.key().await;
        let address = example.address;
        let line = example.wait_for_line(if name == "tonic" { "grpcurl " } else { "curl " }).await;
        assert!(line.contains(&key) && line.contains(&address.to_string()), "{line}");

        let ended = example.stop("TERM").await;
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(ended.stdout, format!("API key: {key}\nlistening on http://{address}\n{line}\n"));
    }
}

#[tokio::test]
async fn the_line_to_paste_is_let_in() {
    for name in HTTP_EXAMPLES {
        let mut example = Example::start(name, &[]).await;
        let line = example.wait_for_line("curl ").await;
        let (header, url) = line.strip_prefix("curl -H '").unwrap().split_once("' ").unwrap();
        let (header, value) = header.split_once(": ").unwrap();
        assert_eq!(http_client().get(url).header(header, value).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn without_a_demo_key_only_the_address_is_printed() {
    for name in ["axum", "actix", "tonic"] {
        let example = Example::start(name, &[("KEYGATE_DEMO_KEY", "off")]).await;
        let address = example.address;
        let ended = example.stop("INT").await;
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(ended.stdout, format!("listening on http://{address}\n"));
        assert!(!ended.stderr.contains("key created"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn keys_bound_to_networks_know_the_peer_and_trusted_proxies() {
    let redis = RedisServer::start().await.unwrap();
    let (url, secret) = (redis.url(), master_secret());
    let variables = [("KEYGATE_STORE", &*url), ("KEYGATE_SECRET", &*secret)];
    let lookup = |name: &str| variables.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned());
    let settings = Settings::read(StoreAddress::Memory, |name| Ok(lookup(name))).unwrap();
    let manager = settings.open().await.unwrap().manager;
    let operator = Operator::named("test".parse().unwrap()).into();
    let bound_to = async |network: &str| {
        let mut new = NewKey::new("demo".parse().unwrap(), "ada".parse().unwrap());
        new.allowed_ips = Some(CidrSet::new([Cidr::new(network).unwrap()]).unwrap());
        manager.create(&operator, new).await.unwrap().text
    };
    let (here, there) = (bound_to("127.0.0.1").await, bound_to("203.0.113.0/24").await);

    for name in HTTP_EXAMPLES {
        let forwarded = async |example: &Example, key: &str| {
            let request = http_client().get(example.url("/hello")).header("X-API-Key", key);
            request.header("X-Forwarded-For", "203.0.113.7").send().await.unwrap()
        };
        let direct = Example::start(name, &variables).await;
        assert_eq!(get(&direct, "/hello", here.expose()).await.status(), 200);
        assert_eq!(forwarded(&direct, here.expose()).await.status(), 200);
        assert_eq!(reason(forwarded(&direct, there.expose()).await).await, (403, "ip_not_allowed".into()));

        let proxied = [variables[0], variables[1], ("KEYGATE_TRUSTED_PROXIES", "10.0.0.0/8, 127.0.0.1")];
        let proxied = Example::start(name, &proxied).await;
        assert_eq!(forwarded(&proxied, there.expose()).await.status(), 200);
        assert_eq!(reason(forwarded(&proxied, here.expose()).await).await, (403, "ip_not_allowed".into()));
    }
}

#[tokio::test]
async fn a_key_is_for_the_environment_it_was_made_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("file:{}/keys", folder.path().display());
    for (name, setting) in [("axum", "KEYGATE_ENVIRONMENT"), ("actix", "ENVIRONMENT")] {
        let mut first = Example::start(name, &[("KEYGATE_STORE", &file), (setting, "staging")]).await;
        let key = first.key().await;
        assert!(key.starts_with("mcp_staging_"), "{name}");
        assert_eq!(get(&first, "/hello", &key).await.status(), 200);
        first.stop("TERM").await;

        let second = Example::start(name, &[("KEYGATE_STORE", &file), (setting, "prod")]).await;
        assert_eq!(reason(get(&second, "/hello", &key).await).await, (401, "environment_mismatch".into()));
        second.stop("TERM").await;
    }
}
