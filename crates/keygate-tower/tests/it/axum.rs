//! The layers and the extractor in axum, in a router and over a real connection.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::connect_info::MockConnectInfo;
use axum::response::Response;
use axum::routing::get;
use http::Request;
use keygate_core::network::{Cidr, CidrSet};
use keygate_tower::{ApiKey, ApiKeyLayer, RequireScope};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use crate::support::{Deployment, scope};

async fn hello(key: ApiKey) -> String {
    key.user.to_string()
}

async fn maybe(key: Option<ApiKey>) -> String {
    key.map_or("nobody".to_owned(), |key| key.user.to_string())
}

async fn ask(app: &Router, path: &str, key: Option<&str>) -> (u16, String) {
    let mut request = Request::get(path);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let response: Response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 65_536).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn layers_stand_before_routers_and_routes() {
    let deployment = Deployment::start().await;
    let key = deployment.key().await;
    let app = Router::new()
        .route("/hello", get(hello))
        .route("/reports", get(hello).layer(RequireScope::new(scope("reports:read"))))
        .route("/invoices", get(hello).route_layer(RequireScope::new(scope("invoices:read"))))
        .route_layer(ApiKeyLayer::new(deployment.manager.clone()))
        .route("/open", get(maybe))
        .nest(
            "/optional",
            Router::new()
                .route("/maybe", get(maybe))
                .route("/hello", get(hello))
                .layer(ApiKeyLayer::new(deployment.manager.clone()).optional()),
        );

    assert_eq!(ask(&app, "/hello", Some(&key)).await, (200, "ada".to_owned()));
    assert_eq!(ask(&app, "/hello", None).await.0, 401);
    assert_eq!(ask(&app, "/reports", Some(&key)).await.0, 200);
    assert_eq!(ask(&app, "/invoices", Some(&key)).await.0, 403);
    assert_eq!(ask(&app, "/open", Some("nonsense")).await, (200, "nobody".to_owned()));
    assert_eq!(ask(&app, "/nowhere", None).await.0, 404);
    assert_eq!(ask(&app, "/optional/maybe", Some(&key)).await, (200, "ada".to_owned()));
    assert_eq!(ask(&app, "/optional/maybe", None).await, (200, "nobody".to_owned()));
    let (status, body) = ask(&app, "/optional/hello", None).await;
    assert_eq!(status, 401);
    assert!(body.contains("missing_key"), "{body}");
}

#[tokio::test]
async fn a_handler_without_a_layer_says_which_one_is_missing() {
    let app = Router::new().route("/", get(hello));
    let (status, body) = ask(&app, "/", None).await;
    assert_eq!(status, 500);
    assert!(body.starts_with("ApiKeyLayer is missing: "), "{body}");
}

#[tokio::test]
async fn addresses_come_from_connect_info() {
    let deployment = Deployment::start().await;
    let loopback = CidrSet::new([Cidr::new("127.0.0.0/8").unwrap()]).unwrap();
    let key = deployment.key_with(|new| new.allowed_ips = Some(loopback)).await;
    let app = Router::new().route("/", get(hello)).layer(ApiKeyLayer::new(deployment.manager.clone()));

    assert_eq!(ask(&app, "/", Some(&key)).await.0, 403, "nothing is known of the peer");
    let mocked = app.clone().layer(MockConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
    assert_eq!(ask(&mocked, "/", Some(&key)).await.0, 200);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, service).await });
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    connection.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200 ") && response.ends_with("\r\n\r\nada"), "{response}");
    server.abort();
}
