//! API keys before an axum service: `cargo run --example axum`.

#[path = "support/figures.rs"]
mod figures;
#[path = "support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::process::ExitCode;

use axum::http::header::CONTENT_TYPE;
use axum::routing::{get, post};
use axum::{Json, Router};
use figures::Figures;
use keygate::tower::{ApiKey, ApiKeyLayer, Cost, RequirePermission, RequireScope};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    support::exit(serve().await)
}

async fn serve() -> Result<(), support::Failure> {
    let demo = support::start().await?;

    let figures = Figures::install(&demo.manager)?;

    let keys = ApiKeyLayer::new(demo.manager.clone())
        .environment(demo.settings.environment)
        .trusted_proxies(demo.settings.trusted_proxies.clone())
        .location(demo.settings.location_source()?);

    let app = Router::new()
        .route("/hello", get(hello))
        .route("/reports", get(reports).layer(RequireScope::new("reports:read".parse()?)))
        .route("/admin", get(admin).layer(RequirePermission::new("admin:write".parse()?)))
        .route("/expensive", post(expensive).layer(Cost::new(10)))
        .layer(keys)
        // What is added after the layer is open.
        .route("/open", get(open))
        // For Prometheus. Where strangers can reach the service, it belongs on an address of its own.
        .route("/metrics", get(async move || ([(CONTENT_TYPE, figures::CONTENT_TYPE)], figures.text())));

    let listener = TcpListener::bind(demo.settings.listen).await.map_err(support::cannot_listen)?;
    let address = listener.local_addr()?;
    let shutdown = support::shutdown()?;
    demo.announce(address, move |key| format!("curl -H 'X-API-Key: {key}' http://{address}/hello")).await;

    // With ConnectInfo the layer knows the client's address, which keys may be bound to.
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(shutdown).await?;
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
