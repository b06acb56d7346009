//! API keys before a tonic service: `cargo run --example tonic`.

#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use echo::echo_server::{Echo, EchoServer};
use echo::{EchoReply, EchoRequest};
use keygate::tower::{Admission, ApiKeyLayer};
use tokio::net::TcpListener;
use tonic::service::LayerExt;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

#[tokio::main]
async fn main() -> ExitCode {
    support::exit(serve().await)
}

async fn serve() -> Result<(), support::Failure> {
    let demo = support::start().await?;

    let keys = ApiKeyLayer::new(demo.manager.clone())
        .environment(demo.settings.environment)
        .trusted_proxies(demo.settings.trusted_proxies.clone())
        .location(demo.settings.location_source()?)
        // The layer stands before all calls of a service, and what each of them costs is said by its path.
        .cost(|asked| if asked.path == "/keygate.example.Echo/Expensive" { 10 } else { 1 })
        .grpc();
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<EchoServer<Echoing>>().await;

    // The layer stands before one service; `Server::builder().layer(keys)` would put it before all of them.
    let server = Server::builder().add_service(health_service).add_service(keys.named_layer(EchoServer::new(Echoing)));

    let listener = TcpListener::bind(demo.settings.listen).await.map_err(support::cannot_listen)?;
    let address = listener.local_addr()?;
    let shutdown = support::shutdown()?;
    let call = format!("-import-path examples/tonic -proto echo.proto {address} keygate.example.Echo/Say");
    let try_it = move |key: &str| format!(r#"grpcurl -plaintext -H 'X-API-Key: {key}' -d '{{"message":"hi"}}' {call}"#);
    demo.announce(address, try_it).await;

    server.serve_with_incoming_shutdown(TcpIncoming::from(listener), shutdown).await?;
    demo.leave().await;
    Ok(())
}

struct Echoing;

#[tonic::async_trait]
impl Echo for Echoing {
    async fn say(&self, request: Request<EchoRequest>) -> Result<Response<EchoReply>, Status> {
        let key = request.extensions().get::<Admission>().cloned();
        let key = key.ok_or_else(|| Status::internal("the layer is missing"))?;
        Ok(Response::new(EchoReply {
            message: request.into_inner().message,
            user_id: key.user.to_string(),
            key_id: key.id.to_string(),
            organization_id: key.organization.to_string(),
        }))
    }

    async fn expensive(&self, request: Request<EchoRequest>) -> Result<Response<EchoReply>, Status> {
        self.say(request).await
    }
}

#[allow(missing_docs, unreachable_pub, clippy::pedantic)]
mod echo {
    include!("echo.rs");
}
