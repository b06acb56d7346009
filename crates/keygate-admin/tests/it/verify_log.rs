//! The log of verifications.

use keygate_testkit::log::Log;
use serde_json::{Value, json};

use crate::support::Answer;
use crate::support::world::{World, forged};

const CALL: &str = "POST /v1/verify";

async fn verify(world: &World, body: Value) -> Answer {
    world.api.call(&world.api.operator, CALL, Some(body)).await
}

#[tokio::test]
async fn nothing_of_a_key_is_logged() {
    let world = World::new(100).await;
    let log = Log::begin();
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
    let logged = log.take();
    assert!(logged.contains("a key was verified") && logged.contains("misconfigured"), "{logged}");
    for key in keys.into_iter().chain([&world.api.operator]) {
        // All but the id, which is no secret.
        assert!(!logged.contains(&key[key.len() - 54..key.len() - 20]), "{logged}");
    }
}
