//! Usage: the same visits to a server of each framework, over real connections, and what is counted of them.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keygate::actor::{Actor, Operator};
use keygate::key::KeyId;
use keygate::limits::Limits;
use keygate::manager::{ApiKeyManager, CreatedKey, NewKey};
use keygate::network::{Cidr, CidrSet};
use keygate::ring::{MasterSecret, SecretRing};
use keygate::scope::Scope;
use keygate::store::MemoryStore;
use keygate::tower::ApiKeyLayer;
use keygate::usage::report::{Share, UsageQuery, UsageReport};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tonic::service::LayerExt;
use tonic::transport::server::TcpIncoming;
use tower::Layer;

use crate::support::echo::echo_client::EchoClient;
use crate::support::echo::echo_server::{Echo, EchoServer};
use crate::support::echo::{EchoReply, EchoRequest};
use crate::support::{eventually, forged, http_client};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visit {
    Hello,
    /// Of a route with a parameter: of this report.
    Report(u32),
    /// Needs a permission that no key has, within the layer.
    Admin,
    Fails,
    IsMissing,
    /// Never answers.
    Sleeps,
}

use Visit::{Admin, Fails, Hello, IsMissing, Report, Sleeps};

impl Visit {
    fn path(self) -> String {
        match self {
            Hello => "/hello".into(),
            Report(id) => format!("/reports/{id}"),
            Admin => "/admin".into(),
            Fails => "/fails".into(),
            IsMissing => "/missing".into(),
            Sleeps => "/sleeps".into(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Framework {
    Axum,
    Actix,
    Tonic,
}

/// A deployment with a server before it, and who visits it.
struct World {
    manager: ApiKeyManager,
    key: CreatedKey,
    bound: CreatedKey,
    inactive: CreatedKey,
    framework: Framework,
    address: SocketAddr,
    client: reqwest::Client,
    asleep: Arc<Notify>,
}

fn operator() -> Actor {
    Operator::named("test".parse().unwrap()).into()
}

impl World {
    async fn new(framework: Framework) -> Self {
        let ring = SecretRing::new(&MasterSecret::generate().unwrap());
        let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build().unwrap();
        manager.open().await.unwrap();
        let create = async |change: fn(&mut NewKey)| {
            let mut new = NewKey::new("acme".parse().unwrap(), "ada".parse().unwrap());
            new.limits = Some(Limits::UNLIMITED);
            change(&mut new);
            manager.create(&operator(), new).await.unwrap()
        };
        let key = create(|_| {}).await;
        let elsewhere: fn(&mut NewKey) =
            |new| new.allowed_ips = Some(CidrSet::new([Cidr::new("192.0.2.0/24").unwrap()]).unwrap());
        let (bound, inactive) = (create(elsewhere).await, create(|_| {}).await);
        manager.deactivate(&operator(), inactive.key.id, None).await.unwrap();

        let asleep = Arc::new(Notify::new());
        let address = match framework {
            Framework::Axum => serve_axum(manager.clone(), Arc::clone(&asleep)).await,
            Framework::Actix => serve_actix(manager.clone(), Arc::clone(&asleep)),
            Framework::Tonic => serve_tonic(manager.clone(), Arc::clone(&asleep)).await,
        };
        Self { manager, key, bound, inactive, framework, address, client: http_client(), asleep }
    }

    /// The status of the answer, or the code of the call's.
    async fn visit(&self, visit: Visit, key: Option<&str>) -> u16 {
        if let Framework::Tonic = self.framework {
            return self.call(visit, key).await;
        }
        let mut request = self.client.get(format!("http://{}{}", self.address, visit.path()));
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        request.send().await.unwrap().status().as_u16()
    }

    async fn call(&self, visit: Visit, key: Option<&str>) -> u16 {
        let channel = tonic::transport::Channel::from_shared(format!("http://{}", self.address)).unwrap();
        let channel = channel.connect().await.unwrap();
        let dress = |mut request: tonic::Request<()>| {
            if let Some(key) = key {
                request.metadata_mut().insert("x-api-key", key.parse().unwrap());
            }
            Ok(request)
        };
        let message = EchoRequest { message: visit.path() };
        let code = match visit {
            Admin => {
                let mut health = tonic_health::pb::health_client::HealthClient::with_interceptor(channel, dress);
                health.check(tonic_health::pb::HealthCheckRequest::default()).await.err()
            }
            Report(_) => EchoClient::with_interceptor(channel, dress).expensive(message).await.err(),
            _ => EchoClient::with_interceptor(channel, dress).say(message).await.err(),
        };
        code.map_or(0, |status| u16::try_from(status.code() as i32).unwrap())
    }

    async fn usage(&self, key: KeyId) -> UsageReport {
        assert!(self.manager.flush_usage(Duration::from_secs(60)).await);
        self.manager.key_usage(&operator(), key, UsageQuery::default()).await.unwrap()
    }
}

async fn serve_axum(manager: ApiKeyManager, asleep: Arc<Notify>) -> SocketAddr {
    use axum::Router;
    use axum::routing::get;
    use http::StatusCode;
    use keygate::tower::RequirePermission;

    let sleeps = move || {
        let asleep = Arc::clone(&asleep);
        async move {
            asleep.notify_one();
            pending::<()>().await;
        }
    };
    let admin = RequirePermission::new(Scope::new("admin:write").unwrap());
    let app = Router::new()
        .route("/hello", get(async || "hello"))
        .route("/reports/{id}", get(async || "a report"))
        .route("/admin", get(async || "admin").layer(admin))
        .route("/fails", get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .route("/missing", get(async || StatusCode::NOT_FOUND))
        .route("/sleeps", get(sleeps))
        .layer(ApiKeyLayer::new(manager));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

fn serve_actix(manager: ApiKeyManager, asleep: Arc<Notify>) -> SocketAddr {
    use actix_web::{App, HttpResponse, HttpServer, web};
    use keygate::actix::{ApiKeyTransform, RequirePermission};

    let keys = ApiKeyTransform::new(manager);
    let admin = RequirePermission::new(Scope::new("admin:write").unwrap());
    let server = HttpServer::new(move || {
        let asleep = Arc::clone(&asleep);
        let sleeps = move || {
            let asleep = Arc::clone(&asleep);
            async move {
                asleep.notify_one();
                pending::<HttpResponse>().await
            }
        };
        App::new()
            .wrap(keys.clone())
            .route("/hello", web::get().to(HttpResponse::Ok))
            .service(web::scope("/reports").route("/{id}", web::get().to(HttpResponse::Ok)))
            .service(web::resource("/admin").wrap(admin.clone()).get(HttpResponse::Ok))
            .route("/fails", web::get().to(HttpResponse::InternalServerError))
            .route("/missing", web::get().to(HttpResponse::NotFound))
            .route("/sleeps", web::get().to(sleeps))
    });
    // Else it takes a client that has gone away for one that has said all, and waits for what it is to be told.
    let server = server.h1_allow_half_closed(false).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
    let address = server.addrs()[0];
    tokio::spawn(server.run());
    address
}

async fn serve_tonic(manager: ApiKeyManager, asleep: Arc<Notify>) -> SocketAddr {
    use keygate::tower::RequirePermission;

    let keys = ApiKeyLayer::new(manager).grpc();
    let admin = RequirePermission::new(Scope::new("admin:write").unwrap()).grpc();
    let (_, health) = tonic_health::server::health_reporter();
    let echo = keys.clone().named_layer(EchoServer::new(Visited { asleep }));
    let health = tower::layer::layer_fn(move |inner| keys.layer(admin.layer(inner))).named_layer(health);
    let server = tonic::transport::Server::builder().add_service(echo).add_service(health);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    address
}

struct Visited {
    asleep: Arc<Notify>,
}

#[tonic::async_trait]
impl Echo for Visited {
    async fn say(&self, request: tonic::Request<EchoRequest>) -> Result<tonic::Response<EchoReply>, tonic::Status> {
        match &*request.into_inner().message {
            "/fails" => Err(tonic::Status::internal("of a test")),
            "/missing" => Err(tonic::Status::not_found("of a test")),
            "/sleeps" => {
                self.asleep.notify_one();
                pending().await
            }
            _ => Ok(tonic::Response::new(EchoReply::default())),
        }
    }

    async fn expensive(
        &self,
        request: tonic::Request<EchoRequest>,
    ) -> Result<tonic::Response<EchoReply>, tonic::Status> {
        self.say(request).await
    }
}

fn shares(shares: &[Share]) -> Vec<(String, u64)> {
    shares.iter().map(|share| (share.name.clone(), share.requests)).collect()
}

fn named(shares: &[(&str, u64)]) -> Vec<(String, u64)> {
    shares.iter().map(|(name, requests)| ((*name).to_owned(), *requests)).collect()
}

/// What is to be the same of all, as is said here.
fn check(what: &str, report: &UsageReport, outcomes: &[(&str, u64)], statuses: &[(&str, u64)]) {
    let all: u64 = outcomes.iter().map(|(_, requests)| requests).sum();
    assert_eq!((report.total.requests, report.breakdown.requests), (all, all), "{what}");
    assert_eq!(shares(&report.total.by_outcome), named(outcomes), "{what}");
    assert_eq!(shares(&report.breakdown.by_outcome), named(outcomes), "{what}");
    assert_eq!(shares(&report.total.by_status), named(statuses), "{what}");
    assert_eq!(shares(&report.breakdown.by_status), named(statuses), "{what}");
    let used = report.last_used.as_ref().unwrap();
    assert_eq!(used.address, Some("127.0.0.1".parse().unwrap()), "{what}");
    assert_eq!(report.addresses.last().unwrap().addresses, 1, "{what}");
}

/// Pays the visits, and holds what is counted to what is expected of every framework.
pub(crate) async fn compare() {
    for framework in [Framework::Axum, Framework::Actix, Framework::Tonic] {
        let what = format!("{framework:?}");
        let world = World::new(framework).await;
        let key = Some(world.key.text.expose());
        let is_grpc = matches!(framework, Framework::Tonic);
        for (visit, status, code) in [
            (Hello, 200, 0),
            (Hello, 200, 0),
            (Report(7), 200, 0),
            (Report(8), 200, 0),
            (Report(7), 200, 0),
            (Admin, 403, 7),
            (IsMissing, 404, 5),
            (Fails, 500, 13),
        ] {
            let expected = if is_grpc { code } else { status };
            assert_eq!(world.visit(visit, key).await, expected, "{what}: {visit:?}");
        }
        let refused = [(world.bound.text.expose(), 403, 7), (world.inactive.text.expose(), 401, 16)];
        for (key, status, code) in refused.into_iter().chain(refused) {
            let expected = if is_grpc { code } else { status };
            assert_eq!(world.visit(Hello, Some(key)).await, expected, "{what}");
        }
        let unknown = forged(world.key.text.expose());
        for text in [None, Some(&*unknown), Some("no-key"), None] {
            assert_eq!(world.visit(Hello, text).await, if is_grpc { 16 } else { 401 }, "{what}");
        }
        assert_eq!(world.manager.usage_statistics().forged, 2, "{what}");

        // The client hangs up while the handler is at it.
        {
            let mut visit = Box::pin(world.visit(Sleeps, key));
            tokio::select! {
                status = &mut visit => panic!("{what}: it answers with {status}"),
                () = world.asleep.notified() => {}
            }
        }
        let is_cancelled = |report: &UsageReport| report.total.by_status.iter().any(|share| share.name == "cancelled");
        let report = eventually(async || world.usage(world.key.key.id).await, is_cancelled).await;

        let statuses = [("2xx", 5), ("4xx", 2), ("5xx", 1), ("cancelled", 1)];
        check(&what, &report, &[("admitted", 9)], &statuses);
        let endpoints: &[(&str, u64)] = if is_grpc {
            &[
                ("/keygate.example.Echo/Say", 5),
                ("/keygate.example.Echo/Expensive", 3),
                ("/grpc.health.v1.Health/Check", 1),
            ]
        } else {
            &[("/reports/{id}", 3), ("/hello", 2), ("/admin", 1), ("/fails", 1), ("/missing", 1), ("/sleeps", 1)]
        };
        assert_eq!(shares(&report.breakdown.by_endpoint), named(endpoints), "{what}");
        check(&what, &world.usage(world.bound.key.id).await, &[("ip_not_allowed", 2)], &[]);
        let report = world.usage(world.inactive.key.id).await;
        check(&what, &report, &[("key_inactive", 2)], &[]);
        assert_eq!(report.last_error.unwrap().reason, "key_inactive", "{what}");
    }
}
