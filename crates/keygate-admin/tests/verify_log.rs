//! The log of verifications. A program of its own: what is logged while another test begins or ends to listen may be lost.

#![allow(clippy::unwrap_used)]

mod support;
#[path = "support/world.rs"]
mod world;

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use support::Answer;
use tracing_subscriber::util::SubscriberInitExt;
use world::{World, forged};

const CALL: &str = "POST /v1/verify";

async fn verify(world: &World, body: Value) -> Answer {
    world.api.call(&world.api.operator, CALL, Some(body)).await
}

/// All that is logged on this thread, down to the last detail.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_of_a_key_is_logged() {
    let world = World::new(100).await;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_env_filter("trace").with_writer(move || writer.clone());
    let logging = subscriber.set_default();
    let keys = [&world.plain, &world.revoked, &world.staging, &world.of_other, &forged(&world.plain), &world.foreign];
    for key in keys {
        for explain in [false, true] {
            verify(&world, json!({"key": key, "explain": explain, "endpoint": "GET /reports", "cost": 2})).await;
            verify(&world, json!({"key": key, "explain": key})).await;
        }
        let by = world.api.call(key, CALL, Some(json!({"key": key}))).await;
        assert_ne!(by.status, 200);
        world.api.call(key, "GET /v1/authorize?scope=reports:read", None).await;
        world.api.call(key, &format!("GET /v1/authorize?{key}"), None).await;
        world.api.call(key, &format!("GET /v1/authorize?scope={key}&{key}={key}"), None).await;
        world.api.call("", &format!("GET /v1/authorize/a?api_key={key}"), None).await;
    }
    world.store.fail();
    world.store.lapse();
    verify(&world, json!({"key": world.plain})).await;
    drop(logging);
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("a key was verified") && logged.contains("misconfigured"), "{logged}");
    for key in keys.into_iter().chain([&world.api.operator]) {
        // All but the id, which is no secret.
        assert!(!logged.contains(&key[key.len() - 54..key.len() - 20]), "{logged}");
    }
}
