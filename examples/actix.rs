//! API keys before an actix-web service: `cargo run --example actix`.

#[path = "support/figures.rs"]
mod figures;
#[path = "support/mod.rs"]
mod support;

use std::process::ExitCode;

use actix_web::web::{self, Json};
use actix_web::{App, HttpResponse, HttpServer};
use figures::Figures;
use keygate::actix::{ApiKey, ApiKeyTransform, Cost, RequirePermission, RequireScope};
use serde_json::{Value, json};

#[actix_web::main]
async fn main() -> ExitCode {
    support::exit(serve().await)
}

async fn serve() -> Result<(), support::Failure> {
    let demo = support::start().await?;

    let figures = web::Data::new(Figures::install(&demo.manager)?);

    // Made once and cloned for each worker: they share the manager.
    let keys = ApiKeyTransform::new(demo.manager.clone())
        .environment(demo.settings.environment)
        .trusted_proxies(demo.settings.trusted_proxies.clone())
        .location(demo.settings.location_source()?);
    let reading = RequireScope::new("reports:read".parse()?);
    let administrating = RequirePermission::new("admin:write".parse()?);

    let server = HttpServer::new(move || {
        let protected = web::scope("")
            .wrap(keys.clone())
            .service(web::resource("/hello").get(hello))
            .service(web::resource("/reports").wrap(reading.clone()).get(reports))
            .service(web::resource("/admin").wrap(administrating.clone()).get(admin))
            .service(web::resource("/expensive").wrap(Cost::new(10)).post(expensive));
        App::new()
            .app_data(figures.clone())
            .service(web::resource("/open").get(open))
            // For Prometheus. Where strangers can reach the service, it belongs on an address of its own.
            .service(web::resource("/metrics").get(metrics))
            .service(protected)
    });
    // A client that goes away is no longer answered, and its request counted as cancelled.
    let server = server.h1_allow_half_closed(false);

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

async fn metrics(figures: web::Data<Figures>) -> HttpResponse {
    HttpResponse::Ok().content_type(figures::CONTENT_TYPE).body(figures.text())
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
