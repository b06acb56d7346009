//! The layer before a tonic server, asked by a tonic client.

use keygate_core::limits::Limits;
use keygate_core::network::{Cidr, CidrSet};
use keygate_tower::{ApiKeyLayer, Cost, RequireScope};
use tokio::net::TcpListener;
use tonic::metadata::MetadataMap;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::support::{Deployment, scope};

async fn serve(deployment: &Deployment) -> HealthClient<Channel> {
    serve_costing(deployment, 1).await
}

async fn serve_costing(deployment: &Deployment, cost: u64) -> HealthClient<Channel> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_, health) = tonic_health::server::health_reporter();
    let server = Server::builder()
        .layer(ApiKeyLayer::new(deployment.manager.clone()).grpc())
        .layer(RequireScope::new(scope("reports:read")).grpc())
        .layer(Cost::new(cost).grpc())
        .add_service(health);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    HealthClient::new(Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap())
}

async fn answer(client: &mut HealthClient<Channel>, key: &str) -> Result<MetadataMap, Status> {
    let mut request = Request::new(HealthCheckRequest { service: String::new() });
    request.metadata_mut().append("x-api-key", key.parse().unwrap());
    client.check(request).await.map(|response| response.metadata().clone())
}

async fn check(client: &mut HealthClient<Channel>, keys: &[&str]) -> Result<(), Status> {
    let mut request = Request::new(HealthCheckRequest { service: String::new() });
    for key in keys {
        request.metadata_mut().append("x-api-key", key.parse().unwrap());
    }
    client.check(request).await.map(|_| ())
}

#[tokio::test]
async fn refusals_arrive_as_grpc_statuses_with_their_reason() {
    let deployment = Deployment::start().await;
    let key = deployment.key().await;
    let elsewhere = CidrSet::new([Cidr::new("192.0.2.0/24").unwrap()]).unwrap();
    let bound_elsewhere = deployment.key_with(|new| new.allowed_ips = Some(elsewhere)).await;
    let unscoped = deployment.key_with(|new| new.scopes = None).await;
    let mut client = serve(&deployment).await;

    check(&mut client, &[&key]).await.unwrap();
    for (keys, code, reason) in [
        (vec![], Code::Unauthenticated, "missing_key"),
        (vec!["nonsense"], Code::Unauthenticated, "malformed_key"),
        (vec![&*key, &*key], Code::InvalidArgument, "multiple_credentials"),
        (vec![&*unscoped], Code::PermissionDenied, "scope_not_authorized"),
        (vec![&*bound_elsewhere], Code::PermissionDenied, "ip_not_allowed"),
    ] {
        let status = check(&mut client, &keys).await.unwrap_err();
        assert_eq!(status.code(), code, "{reason}");
        assert_eq!(status.metadata().get("x-keygate-reason").unwrap(), reason);
        assert!(!status.message().is_empty());
    }
    deployment.store.fail();
    deployment.store.lapse();
    let status = check(&mut client, &[&key]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "1000");
}

#[tokio::test]
async fn addresses_come_from_tonics_connection_information() {
    let deployment = Deployment::start().await;
    let loopback = CidrSet::new([Cidr::new("127.0.0.1").unwrap()]).unwrap();
    let key = deployment.key_with(|new| new.allowed_ips = Some(loopback)).await;
    check(&mut serve(&deployment).await, &[&key]).await.unwrap();
}

#[tokio::test]
async fn limits_are_told_in_metadata_and_in_details_of_the_status() {
    let deployment = Deployment::start().await;
    let limits = Limits { per_month: Some(15), ..Limits::UNLIMITED };
    let key = deployment.key_with(|new| new.limits = Some(limits)).await;
    let mut client = serve_costing(&deployment, 10).await;

    let told = answer(&mut client, &key).await.unwrap();
    assert_eq!(told.get("ratelimit-policy").unwrap(), "\"month\";q=15;w=2592000");
    assert!(told.get("ratelimit").unwrap().to_str().unwrap().starts_with("\"month\";r=5;t="));

    let status = answer(&mut client, &key).await.unwrap_err();
    let field = |name| status.metadata().get(name).unwrap().to_str().unwrap();
    assert_eq!((status.code(), field("x-keygate-reason")), (Code::ResourceExhausted, "rate_limit_exceeded"));
    assert_eq!(field("ratelimit-policy"), "\"month\";q=15;w=2592000");
    let seconds = field("ratelimit").strip_prefix("\"month\";r=0;t=").unwrap();
    assert_eq!(field("grpc-retry-pushback-ms"), format!("{seconds}000"));
    let details = status.get_error_details();
    let wait = details.retry_info().unwrap().retry_delay.unwrap();
    assert_eq!(wait.as_secs().to_string(), seconds);
    let violations = &details.quota_failure().unwrap().violations;
    assert_eq!(violations.len(), 1);
    assert_eq!((&*violations[0].subject, &*violations[0].description), ("key", "month: 15 in 2592000 s"));

    let mut client = serve_costing(&deployment, 100).await;
    let status = answer(&mut client, &key).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().ends_with("it is never let in."), "{}", status.message());
    // No number of milliseconds helps, and less than none asks not to try again.
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
    assert!(status.get_error_details().retry_info().is_none());
    assert!(status.get_error_details().quota_failure().is_some());
}
