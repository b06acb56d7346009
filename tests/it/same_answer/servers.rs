//! The same gate in axum, actix-web and tonic, and a request in the words of each.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header as actix_header;
use http::{HeaderName, HeaderValue};
use http_body_util::BodyExt;
use keygate::denial::{Denial, DenialReason};
use keygate::http::credentials::CredentialSources;
use keygate::manager::ApiKeyManager;
use keygate::names::Environment;
use keygate::network::{Cidr, CidrSet};
use keygate::scope::Scope;
use keygate::tower::{Admission, ApiKeyLayer, Cost, PeerAddress, RequirePermission, RequireScope};
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::service::LayerExt;
use tower::{Layer, Service, ServiceExt};

use crate::support::echo::echo_client::EchoClient;
use crate::support::echo::echo_server::{Echo, EchoServer};
use crate::support::echo::{EchoReply, EchoRequest};

/// How the layer or the transform is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Plain,
    /// Over a manager whose store has never answered.
    NeverOpened,
    Optional,
    Sources,
    Staging,
    Proxied,
    Scope,
    TwoScopes,
    Permission,
    /// A requirement of its own within the layer.
    ScopeWithin,
    PermissionWithin,
    /// Requests cost what their query says.
    Priced,
    /// A cost of its own within the layer: this one.
    Cost(u64),
    /// The same, where no key is needed.
    OptionalCost(u64),
    /// Nothing is told of limits.
    Silent,
    SilentCost(u64),
}

impl Gate {
    /// What a route within the layer costs by itself.
    fn cost(self) -> Option<u64> {
        match self {
            Self::Cost(cost) | Self::OptionalCost(cost) | Self::SilentCost(cost) => Some(cost),
            _ => None,
        }
    }

    fn is_silent(self) -> bool {
        matches!(self, Self::Silent | Self::SilentCost(_))
    }
}

/// A request, in no framework's words.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    peer: Option<SocketAddr>,
    query: Option<String>,
    headers: Vec<(&'static str, Vec<u8>)>,
}

/// What axum and actix-web must agree on, to the byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) reason: Option<DenialReason>,
}

impl Request {
    pub(crate) fn new() -> Self {
        Self { peer: None, query: None, headers: Vec::new() }.from("198.51.100.1")
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name, value.as_ref().to_vec()));
        self
    }

    pub(crate) fn query(mut self, query: &str) -> Self {
        self.query = Some(query.to_owned());
        self
    }

    pub(crate) fn from(mut self, peer: &str) -> Self {
        self.peer = Some(SocketAddr::new(peer.parse::<IpAddr>().unwrap(), 4711));
        self
    }

    pub(crate) fn of_unknown_peer(mut self) -> Self {
        self.peer = None;
        self
    }

    fn target(&self, path: &str) -> String {
        self.query.as_ref().map_or(path.to_owned(), |query| format!("{path}?{query}"))
    }

    /// Puts everything but the method and the body into a request of the `http` crate.
    fn dress<B>(&self, request: &mut http::Request<B>) {
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(value).unwrap();
            request.headers_mut().append(HeaderName::from_static(name), value);
        }
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(PeerAddress(peer));
        }
        *request.uri_mut() = self.target(request.uri().path()).parse().unwrap();
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
    }

    pub(crate) fn problem(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn scope(text: &str) -> Scope {
    Scope::new(text).unwrap()
}

/// The builder's methods have the same names for every framework.
macro_rules! set_up {
    ($layer:expr, $gate:expr) => {{
        let layer = $layer;
        match $gate {
            Gate::Plain | Gate::NeverOpened | Gate::ScopeWithin | Gate::PermissionWithin | Gate::Cost(_) => layer,
            Gate::Optional | Gate::OptionalCost(_) => layer.optional(),
            Gate::Priced => layer.cost(|asked| asked.query.map_or(1, |query| query.parse().unwrap())),
            Gate::Silent | Gate::SilentCost(_) => layer.rate_limit_headers(false),
            Gate::Sources => {
                let sources = CredentialSources::default().header("X-Acme-Key").unwrap();
                layer.credentials(sources.cookie("acme").unwrap())
            }
            Gate::Staging => layer.environment(Environment::new("staging").unwrap()),
            Gate::Proxied => layer.trusted_proxies(CidrSet::new([Cidr::new("10.0.0.0/8").unwrap()]).unwrap()),
            Gate::Scope => layer.require_scope(scope("reports:read")),
            Gate::TwoScopes => layer.require_scope(scope("reports:read")).require_scope(scope("reports:write")),
            Gate::Permission => layer.require_permission(scope("admin:write")),
        }
        .realm(keygate::http::answer::Realm::new("a \"realm\"").unwrap())
    }};
}

/// Wraps a service in the gate's layer, with a requirement within it where the gate says so.
macro_rules! stack {
    ($manager:expr, $gate:expr, $inner:expr $(, $grpc:ident)?) => {{
        let layer = set_up!(ApiKeyLayer::new($manager)$(.$grpc())?, $gate);
        let realm = keygate::http::answer::Realm::new("a \"realm\"").unwrap();
        let reading = RequireScope::new(scope("reports:read")).realm(realm.clone())$(.$grpc())?;
        let writing = RequirePermission::new(scope("admin:write")).realm(realm)$(.$grpc())?;
        let costing = $gate.cost().map(|cost| Cost::new(cost).rate_limit_headers(!$gate.is_silent())$(.$grpc())?);
        match $gate {
            _ if let Some(costing) = costing => tower::util::BoxCloneService::new(layer.layer(costing.layer($inner))),
            Gate::ScopeWithin => tower::util::BoxCloneService::new(layer.layer(reading.layer($inner))),
            Gate::PermissionWithin => tower::util::BoxCloneService::new(layer.layer(writing.layer($inner))),
            _ => tower::util::BoxCloneService::new(layer.layer($inner)),
        }
    }};
}

pub(crate) async fn ask_axum(manager: ApiKeyManager, gate: Gate, request: &Request) -> Answer {
    use axum::Router;
    use axum::routing::get;
    use keygate::tower::ApiKey;

    async fn who(key: Option<ApiKey>) -> String {
        key.map_or("stranger".to_owned(), |key| key.user.to_string())
    }

    let service = stack!(manager, gate, Router::new().route("/", get(who)));
    let mut asked = http::Request::get("/").body(axum::body::Body::empty()).unwrap();
    request.dress(&mut asked);
    let response = service.oneshot(asked).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status.as_u16(),
        headers: sorted(parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))),
        body: body.collect().await.unwrap().to_bytes().to_vec(),
        reason: parts.extensions.get::<Denial>().map(Denial::reason),
    }
}

pub(crate) async fn ask_actix(manager: ApiKeyManager, gate: Gate, request: &Request) -> Answer {
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, body, middleware::Condition, web};
    use keygate::actix::{ApiKey, ApiKeyTransform, Cost, RequirePermission, RequireScope};

    async fn who(key: Option<ApiKey>) -> String {
        key.map_or("stranger".to_owned(), |key| key.user.to_string())
    }

    let realm = keygate::http::answer::Realm::new("a \"realm\"").unwrap();
    let reading = RequireScope::new(scope("reports:read")).realm(realm.clone());
    let writing = RequirePermission::new(scope("admin:write")).realm(realm);
    let cost = Cost::new(gate.cost().unwrap_or_default()).rate_limit_headers(!gate.is_silent());
    let app = App::new()
        .wrap(Condition::new(gate.cost().is_some(), cost))
        .wrap(Condition::new(gate == Gate::ScopeWithin, reading))
        .wrap(Condition::new(gate == Gate::PermissionWithin, writing))
        .wrap(set_up!(ApiKeyTransform::new(manager), gate))
        .route("/", web::get().to(who));
    let app = init_service(app).await;

    let mut asked = TestRequest::get().uri(&request.target("/"));
    for (name, value) in &request.headers {
        let value = actix_header::HeaderValue::from_bytes(value).unwrap();
        asked = asked.append_header((actix_header::HeaderName::from_static(name), value));
    }
    if let Some(peer) = request.peer {
        asked = asked.peer_addr(peer);
    }
    let response = call_service(&app, asked.to_request()).await;
    let reason = response.response().extensions().get::<Denial>().map(Denial::reason);
    Answer {
        status: response.status().as_u16(),
        headers: sorted(response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()))),
        reason,
        body: body::to_bytes(response.into_body()).await.unwrap().to_vec(),
    }
}

/// The headers in their order by name; the length is the server's to add.
fn sorted<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<(String, String)> {
    let kept = headers.filter(|(name, _)| *name != "content-length");
    let mut kept: Vec<_> =
        kept.map(|(name, value)| (name.to_owned(), String::from_utf8(value.to_vec()).unwrap())).collect();
    kept.sort();
    kept
}

/// A unary call, from a generated client to a generated server through the layer: the message, and what came with it.
pub(crate) async fn ask_tonic(
    manager: ApiKeyManager,
    gate: Gate,
    request: &Request,
) -> Result<(String, MetadataMap), tonic::Status> {
    let named = tower::layer::layer_fn(|inner: EchoServer<Who>| stack!(manager.clone(), gate, inner, grpc));
    let service = named.named_layer(EchoServer::new(Who));
    let dressed = tower::service_fn(move |mut asked: http::Request<Body>| {
        request.dress(&mut asked);
        let mut service = service.clone();
        async move { service.ready().await?.call(asked).await }
    });
    let reply = EchoClient::new(dressed).say(EchoRequest::default()).await?;
    let (metadata, reply, _) = reply.into_parts();
    Ok((reply.message, metadata))
}

struct Who;

#[tonic::async_trait]
impl Echo for Who {
    async fn say(&self, request: tonic::Request<EchoRequest>) -> Result<tonic::Response<EchoReply>, tonic::Status> {
        let admission = request.extensions().get::<Admission>();
        let message = admission.map_or("stranger".to_owned(), |admission| admission.user.to_string());
        Ok(tonic::Response::new(EchoReply { message, ..EchoReply::default() }))
    }

    async fn expensive(
        &self,
        request: tonic::Request<EchoRequest>,
    ) -> Result<tonic::Response<EchoReply>, tonic::Status> {
        self.say(request).await
    }
}
