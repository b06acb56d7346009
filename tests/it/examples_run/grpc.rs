//! The tonic example, asked by a generated client.

use keygate_testkit::RedisServer;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::echo::echo_client::EchoClient;
use crate::support::echo::{EchoReply, EchoRequest};
use crate::support::example::Example;
use crate::support::{eventually, forged, master_secret};

async fn connect(example: &Example) -> Channel {
    Channel::from_shared(format!("http://{}", example.address)).unwrap().connect().await.unwrap()
}

async fn say(channel: &Channel, key: Option<&str>) -> Result<EchoReply, Status> {
    let mut request = Request::new(EchoRequest { message: "hi".into() });
    if let Some(key) = key {
        request.metadata_mut().insert("x-api-key", key.parse().unwrap());
    }
    EchoClient::new(channel.clone()).say(request).await.map(tonic::Response::into_inner)
}

async fn expensive(channel: &Channel, key: &str) -> Result<EchoReply, Status> {
    let mut request = Request::new(EchoRequest { message: "hi".into() });
    request.metadata_mut().insert("x-api-key", key.parse().unwrap());
    EchoClient::new(channel.clone()).expensive(request).await.map(tonic::Response::into_inner)
}

fn refusal(answer: Result<EchoReply, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    (status.code(), status.metadata().get("x-keygate-reason").unwrap().to_str().unwrap().to_owned())
}

#[tokio::test]
async fn health_is_open_and_echo_needs_a_key() {
    let mut example = Example::start("tonic", &[]).await;
    let key = example.key().await;
    let channel = connect(&example).await;

    for service in ["", "keygate.example.Echo"] {
        let request = HealthCheckRequest { service: service.into() };
        let answer = HealthClient::new(channel.clone()).check(request).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    }
    let reply = say(&channel, Some(&key)).await.unwrap();
    assert_eq!((&*reply.message, &*reply.user_id, &*reply.organization_id), ("hi", "ada", "demo"));
    assert_eq!(refusal(say(&channel, None).await), (Code::Unauthenticated, "missing_key".into()));
    assert_eq!(refusal(say(&channel, Some(&forged(&key))).await), (Code::Unauthenticated, "invalid_key".into()));
}

#[tokio::test]
async fn the_expensive_call_costs_ten() {
    let mut example = Example::start("tonic", &[]).await;
    let key = example.key().await;
    let channel = connect(&example).await;
    // Five of them use up the 50 that may come at once, and 16 more a second are let in.
    let mut count = 0;
    let refused = loop {
        match expensive(&channel, &key).await {
            Ok(_) => count += 1,
            refused => break refused,
        }
        assert!(count < 25);
    };
    assert!(count >= 5, "{count}");
    assert_eq!(refusal(refused), (Code::ResourceExhausted, "rate_limit_exceeded".into()));
}

#[tokio::test]
async fn a_redis_that_goes_away_is_unavailable_until_it_is_back() {
    let mut redis = RedisServer::builder().append_only().start().await.unwrap();
    let (url, secret) = (redis.url(), master_secret());
    let mut example = Example::start("tonic", &[("KEYGATE_STORE", &url), ("KEYGATE_SECRET", &secret)]).await;
    let key = example.key().await;
    let channel = connect(&example).await;
    say(&channel, Some(&key)).await.unwrap();

    redis.kill();
    for _ in 0..5 {
        assert_eq!(refusal(say(&channel, Some(&key)).await), (Code::Unavailable, "store_unavailable".into()));
    }
    redis.restart_keeping_data().await.unwrap();
    eventually(async || say(&channel, Some(&key)).await.map_err(|status| status.code()), Result::is_ok).await.unwrap();
    assert!(example.stop("TERM").await.status.success());
}
