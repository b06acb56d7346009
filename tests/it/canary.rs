//! Promise 9: secrets stay secret. Known secrets are planted, everything is driven through its valid, wrong and broken
//! uses with the log at its loudest, and then looked for in all that came out.

mod canaries;

use std::fmt::Debug;

use canaries::{Canaries, secret_part};
use keygate::actor::Operator;
use keygate::context::RequestContext;
use keygate::key::PresentedKey;
use keygate::manager::NewKey;
use keygate::ring::{MasterSecret, SecretRing};
use keygate::settings::{Settings, StoreAddress};
use keygate_testkit::RedisServer;
use secrecy::SecretString;

use crate::support::echo::EchoRequest;
use crate::support::echo::echo_client::EchoClient;
use crate::support::example::Example;
use crate::support::{eventually, forged, http_client, master_secret};

/// The texts a stranger, or an owner by mistake, may send in a key's place.
fn wrong_keys(key: &str) -> Vec<String> {
    let other_secret = key.replace(secret_part(key), &"Z1x".repeat(15)[..43]);
    vec![
        forged(key),
        other_secret,
        format!("{key}x"),
        key.to_uppercase(),
        format!("canary-{}", "k".repeat(2000)),
        "a password typed by mistake".to_owned(),
    ]
}

/// Sends a key in every place and mistake there is, and gives all that was answered.
async fn drive(example: &Example, key: &str) -> String {
    let client = http_client();
    let mut answers = String::new();
    for path in ["/open", "/hello", "/reports", "/admin", "/expensive", "/nowhere"] {
        let requests = [
            client.get(example.url(path)).header("X-API-Key", key),
            client.get(example.url(path)).bearer_auth(key),
            client.post(example.url(path)).bearer_auth(key),
            client.get(example.url(path)).header("Authorization", format!("Basic {key}")),
            client.get(example.url(path)).header("Cookie", format!("key={key}")),
            client.get(example.url(path)).header("X-API-Key", key).header("X-API-Key", key),
            client.get(example.url(path)).header("X-API-Key", key).bearer_auth(key),
        ];
        for request in requests {
            let response = request.send().await.unwrap();
            answers += &format!("{} {:?} ", response.status(), response.headers());
            answers += &response.text().await.unwrap();
        }
    }
    answers
}

async fn call(example: &Example, key: &str) -> String {
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", example.address)).unwrap();
    let mut client = EchoClient::new(channel.connect().await.unwrap());
    let mut request = tonic::Request::new(EchoRequest { message: "hi".into() });
    request.metadata_mut().insert("x-api-key", key.parse().unwrap());
    format!("{:?}", client.say(request).await)
}

#[tokio::test]
async fn no_secret_is_in_a_log_an_answer_or_the_store() {
    let password = "canaryRedisPassword";
    let mut redis = RedisServer::builder().password(password).append_only().start().await.unwrap();
    let (url, secret, retired) = (redis.url(), master_secret(), master_secret());
    let mut canaries = Canaries::default();
    canaries.plant("the Redis password", password);
    canaries.plant_master(&secret);
    canaries.plant_master(&retired);

    let mut endings = Vec::new();
    for name in ["axum", "actix", "tonic"] {
        let mut example = Example::start(
            name,
            &[
                ("KEYGATE_STORE", &url),
                ("KEYGATE_SECRET", &secret),
                ("KEYGATE_RETIRED_SECRETS", &retired),
                ("KEYGATE_LOG", "trace"),
            ],
        )
        .await;
        let key = example.key().await;
        canaries.plant_key(&key);
        let mut answers = String::new();
        for text in std::iter::once(key.clone()).chain(wrong_keys(&key)) {
            answers += &if name == "tonic" { call(&example, &text).await } else { drive(&example, &text).await };
        }
        // Once more while the store is away, and as it comes back: trouble is talkative.
        redis.kill();
        answers += &if name == "tonic" { call(&example, &key).await } else { drive(&example, &key).await };
        redis.restart_keeping_data().await.unwrap();
        let admitted = |answer: &String| answer.contains("\"ada\"");
        answers += &if name == "tonic" {
            eventually(async || call(&example, &key).await, admitted).await
        } else {
            eventually(async || drive(&example, &key).await, admitted).await
        };
        wrong_keys(&key).iter().for_each(|wrong| canaries.plant("a wrong key", wrong));
        canaries.assert_absent("an answer", &answers);
        endings.push(example.stop("TERM").await);
    }
    endings.iter().for_each(|ended| canaries.assert_not_said(ended));

    let dump = redis.dump_all().await.unwrap();
    assert!(!dump.entries().is_empty());
    canaries.assert_absent("Redis", dump.to_bytes());
}

#[tokio::test]
async fn no_secret_is_in_the_file_but_the_one_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let store = format!("file:{}", path.display());
    let mut canaries = Canaries::default();

    // With a secret of the store's own, which is kept beside it and only there.
    let mut example = Example::start("axum", &[("KEYGATE_STORE", &store), ("KEYGATE_LOG", "trace")]).await;
    let key = example.key().await;
    canaries.plant_key(&key);
    canaries.assert_absent("an answer", drive(&example, &key).await);
    let ended = example.stop("TERM").await;
    canaries.plant_master(std::fs::read_to_string(folder.path().join("keys.secret")).unwrap().trim());
    canaries.assert_not_said(&ended);
    canaries.assert_absent("the file", std::fs::read(&path).unwrap());

    // With a passphrase.
    let passphrase = "canary horse battery staple";
    let path = folder.path().join("others");
    let store = format!("file:{}", path.display());
    let variables = [("KEYGATE_STORE", &*store), ("KEYGATE_PASSPHRASE", passphrase), ("KEYGATE_LOG", "trace")];
    let mut example = Example::start("actix", &variables).await;
    canaries.plant("a passphrase", passphrase);
    let key = example.key().await;
    canaries.plant_key(&key);
    canaries.assert_absent("an answer", drive(&example, &key).await);
    canaries.assert_not_said(&example.stop("TERM").await);
    canaries.assert_absent("the file", std::fs::read(&path).unwrap());
}

#[tokio::test]
async fn no_secret_is_in_what_refuses_to_start() {
    let mut canaries = Canaries::default();
    let (right, wrong) = (master_secret(), master_secret());
    canaries.plant_master(&right);
    canaries.plant_master(&wrong);
    for text in ["canaryPassphrase", "canary/secret/that/is/none"] {
        canaries.plant("a value", text);
    }
    let folder = tempfile::tempdir().unwrap();
    let store = format!("file:{}/keys", folder.path().display());
    let first = Example::start("axum", &[("KEYGATE_STORE", &store), ("KEYGATE_SECRET", &right)]).await;
    first.stop("TERM").await;
    for variables in [
        vec![("KEYGATE_SECRET", "canary/secret/that/is/none")],
        vec![("KEYGATE_RETIRED_SECRETS", "canary/secret/that/is/none")],
        vec![("KEYGATE_SECRET", &*right), ("KEYGATE_PASSPHRASE", "canaryPassphrase")],
        vec![("KEYGATE_STORE", "redis://:canaryPassphrase@127.0.0.1:notaport")],
        vec![("KEYGATE_STORE", "redis://:canaryPassphrase@127.0.0.1:1")],
        vec![("KEYGATE_STORE", "nothing://:canaryPassphrase@127.0.0.1")],
        vec![("KEYGATE_STORE", &*store), ("KEYGATE_SECRET", &*wrong)],
    ] {
        let ended = Example::ended("axum", &[&variables[..], &[("KEYGATE_LOG", "trace")]].concat()).await;
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        canaries.assert_absent("stderr", &ended.stderr);
        canaries.assert_absent("stdout", &ended.stdout);
    }
}

#[actix_web::test]
async fn no_secret_is_in_any_debug_output() {
    let mut canaries = Canaries::default();
    let (secret, retired) = (master_secret(), master_secret());
    canaries.plant_master(&secret);
    canaries.plant_master(&retired);
    canaries.plant("the Redis password", "canaryRedisPassword");
    canaries.plant("a passphrase", "canary horse battery staple");
    let shows = |canaries: &Canaries, what: &dyn Debug| {
        canaries.assert_absent("Debug output", format!("{what:?}"));
        canaries.assert_absent("pretty Debug output", format!("{what:#?}"));
    };

    for variables in [
        [("KEYGATE_STORE", "redis://:canaryRedisPassword@127.0.0.1:1"), ("KEYGATE_SECRET", &*secret)],
        [("KEYGATE_STORE", "memory:"), ("KEYGATE_PASSPHRASE", "canary horse battery staple")],
    ] {
        let lookup = |name: &str| {
            let retired = (name == "KEYGATE_RETIRED_SECRETS").then(|| retired.clone());
            retired.or_else(|| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
        };
        let settings = Settings::read(StoreAddress::Memory, |name| Ok(lookup(name))).unwrap();
        shows(&canaries, &settings);
        shows(&canaries, &settings.open().await.unwrap());
    }

    let master = MasterSecret::from_base64(&SecretString::from(&*secret)).unwrap();
    let ring = SecretRing::new(&master);
    let manager = keygate::manager::ApiKeyManager::builder(keygate::store::MemoryStore::new(), ring.clone());
    shows(&canaries, &(&master, master.to_base64(), &ring, &manager));
    let manager = manager.build().unwrap();
    let operator = Operator::named("test".parse().unwrap()).into();
    let new = NewKey::new("acme".parse().unwrap(), "ada".parse().unwrap());
    let created = manager.create(&operator, new).await.unwrap();
    let key = created.text.expose();
    canaries.plant_key(key);

    shows(&canaries, &(&created, &created.text, &manager));
    shows(&canaries, &PresentedKey::parse(key.as_bytes()).unwrap());
    shows(&canaries, &manager.attempt(key.as_bytes(), &RequestContext::new()));
    shows(&canaries, &manager.validate(key, &RequestContext::new()).await.unwrap());
    let wrong = forged(key);
    canaries.plant_key(&wrong);
    shows(&canaries, &manager.validate(&wrong, &RequestContext::new()).await.unwrap_err());
    shows(&canaries, &keygate::tower::ApiKeyLayer::new(manager.clone()));

    // A request that waits for the store, in either framework.
    use tower::{Layer, Service};
    let inner = tower::service_fn(async |_: http::Request<()>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(axum::body::Body::empty()))
    });
    let mut service = keygate::tower::ApiKeyLayer::new(manager.clone()).layer(inner);
    let waiting = service.call(http::Request::get("/").header("x-api-key", key).body(()).unwrap());
    shows(&canaries, &waiting);
    waiting.await.unwrap();

    use actix_web::dev::{Service as _, Transform, fn_service};
    let inner = fn_service(async |request: actix_web::dev::ServiceRequest| {
        Ok::<_, actix_web::Error>(request.into_response(actix_web::HttpResponse::Ok()))
    });
    let transform = keygate::actix::ApiKeyTransform::new(manager);
    shows(&canaries, &transform);
    let service = transform.new_transform(inner).await.unwrap();
    let request = actix_web::test::TestRequest::get().insert_header(("x-api-key", key)).to_srv_request();
    let waiting = service.call(request);
    shows(&canaries, &waiting);
    let response = waiting.await.unwrap();
    shows(&canaries, &(response.request(), response.request().headers(), &response));
}
