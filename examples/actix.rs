//! API keys before an actix-web service: `cargo run --example actix`.

#[path = "support/mod.rs"]
mod support;

use std::process::ExitCode;

use actix_web::web::{self, Json};
use actix_web::{App, HttpServer};
use keygate::actix::{ApiKey, ApiKeyTransform, Cost, RequirePermission, RequireScope};
use serde_json::{Value, json};

#[actix_web::main]
async fn main() -> ExitCode {
    support::exit(serve().await)
}

async fn serve() -> Result<(), support::Failure> {
    let demo = support::start().await?;

    // Made once and cloned for each worker: they share the manager.
    let keys = ApiKeyTransform::new(demo.manager.clone())
        .environment(demo.settings.environment)
        .trusted_proxies(demo.settings.trusted_proxies.clone());
    let reading = RequireScope::new("reports:read".parse()?);
    let administrating = RequirePermission::new("admin:write".parse()?);

    let server = HttpServer::new(move || {
        let protected = web::scope("")
            .wrap(keys.clone())
            .service(web::resource("/hello").get(hello))
            .service(web::resource("/reports").wrap(reading.clone()).get(reports))
            .service(web::resource("/admin").wrap(administrating.clone()).get(admin))
            .service(web::resource("/expensive").wrap(Cost::new(10)).post(expensive));
        App::new().service(web::resource("/open").get(open)).service(protected)
    });

    let server = server.bind(demo.settings.listen).map_err(support::cannot_listen)?;
    let address = server.addrs()[0];
    let shutdown = support::shutdown()?;
    demo.announce(address, move |key| format!("curl -H 'X-API-Key: {key}' http://{address}/hello")).await;

    server.shutdown_signal(shutdown).run().await?;
    demo.leave().await;
    Ok(())
}

async fn open() -> Json<Value> {
    Json(json!({ "hello": "world" }))
}

async fn hello(key: ApiKey) -> Json<Value> {
    Json(json!({ "hello": key.user, "key_id": key.id, "organization_id": key.organization }))
}

async fn reports() -> Json<Value> {
    Json(json!({ "reports": ["january", "february"] }))
}

async fn admin() -> Json<Value> {
    Json(json!({ "admin": true }))
}

async fn expensive() -> Json<Value> {
    Json(json!({ "done": true }))
}
