//! Servers in this process, on ports of their own: keygate's management API, and others that are not.

use std::future::ready;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum_server::tls_rustls::RustlsConfig;
use chrono::{TimeDelta, Utc};
use keygate::actor::{Actor, Operator};
use keygate::anomaly::finding::Measured;
use keygate::anomaly::{Finding, Rule};
use keygate::embedded::EmbeddedStore;
use keygate::import::{ImportPattern, ImportPolicy};
use keygate::manager::{ApiKeyManager, Expiry, NewKey};
use keygate::notice::WebhookUrl;
use keygate::record::RotationSchedule;
use keygate::ring::{MasterSecret, SecretRing};
use keygate::scope::ScopeSet;
use keygate::store::{MemoryStore, Store};
use keygate::usage::batch::{Batch, Delta, LastUse, Writer};
use keygate::usage::counts::Counts;
use keygate::usage::outcome::{Answered, Outcome};
use keygate::usage::period::{Hour, Month};
use keygate::usage::subject::Subject;
use keygate::webhooks::WebhookClient;
use keygate_testkit::HeldClock;
use tokio::runtime::{Builder, Runtime};

use crate::support::{Home, SECRET};

/// Which texts may be those of imported keys.
pub(crate) const IMPORTED: &str = "legacy=sk_live_[A-Za-z0-9]{24}";

/// A server, which ends with this.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl Server {
    /// Serves these routes.
    pub(crate) fn of(routes: Router) -> Self {
        let (listener, address) = listen();
        let (routes, requests) = counted(routes);
        let runtime = runtime();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, routes.into_make_service_with_connect_info::<SocketAddr>()).await
        });
        Self { address, requests, _runtime: runtime }
    }

    /// The same under TLS, with a certificate of this authority's.
    pub(crate) fn under_tls(routes: Router, authority: &Authority) -> Self {
        let (listener, address) = listen();
        let (routes, requests) = counted(routes);
        let runtime = runtime();
        let (certificate, key) = authority.certify("localhost");
        let _ = rustls::crypto::ring::default_provider().install_default();
        runtime.spawn(async move {
            let config = RustlsConfig::from_pem(certificate.into_bytes(), key.into_bytes()).await.unwrap();
            axum_server::from_tcp_rustls(listener, config).unwrap().serve(routes.into_make_service()).await
        });
        Self { address, requests, _runtime: runtime }
    }

    /// Answers everything with this.
    pub(crate) fn answering(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> Self {
        Self::of(Router::new().fallback(move || ready(answer())))
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn counted(routes: Router) -> (Router, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let count = move |request: Request, next: Next| {
        counter.fetch_add(1, Ordering::SeqCst);
        next.run(request)
    };
    (routes.layer(from_fn(count)), requests)
}

/// An authority that no system trusts.
pub(crate) struct Authority(rcgen::CertifiedIssuer<'static, rcgen::KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        Self(rcgen::CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    fn certify(&self, name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// A deployment with its management API.
pub(crate) struct Deployment {
    manager: ApiKeyManager,
    store: Arc<dyn Store>,
    /// The operator's key.
    pub(crate) operator: String,
    runtime: Runtime,
}

impl Deployment {
    /// In memory.
    pub(crate) fn new() -> Self {
        Self::over(MemoryStore::new)
    }

    /// In this file, under [`SECRET`].
    pub(crate) fn in_file(path: &Path) -> Self {
        Self::over(|| EmbeddedStore::open(path).unwrap())
    }

    fn over<S: Store>(store: impl FnOnce() -> S) -> Self {
        let runtime = runtime();
        let store: Arc<dyn Store> = Arc::new(store());
        let (manager, operator) = runtime.block_on(async {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), SECRET).unwrap();
            let ring = SecretRing::new(&MasterSecret::from_file(file.path()).unwrap());
            let pattern = ImportPattern::parse(IMPORTED).unwrap();
            let imports = ImportPolicy::default().pattern(pattern).unwrap();
            let builder = ApiKeyManager::builder_shared(Arc::clone(&store), ring).imports(imports);
            let manager = builder.webhooks(sender(false)).build().unwrap();
            manager.open().await.unwrap();
            let new = NewKey::new("system".parse().unwrap(), "operator".parse().unwrap());
            let operator = manager.create(&boss(), new).await.unwrap().text.expose().to_owned();
            (manager, operator)
        });
        Self { manager, store, operator, runtime }
    }

    /// A key of a tenant's, who may do this.
    pub(crate) fn tenant(&self, organization: &str, permissions: &[&str], grantable: &[&str]) -> String {
        let mut new = NewKey::new(organization.parse().unwrap(), "admin".parse().unwrap());
        new.permissions = ScopeSet::parse(permissions).unwrap();
        new.grantable = ScopeSet::parse(grantable).unwrap();
        let created = self.runtime.block_on(self.manager.create(&boss(), new)).unwrap();
        created.text.expose().to_owned()
    }

    /// Counts so many requests of a key in this hour, of it and of its organization, as an instance would tell of them.
    pub(crate) fn count(&self, organization: &str, key: &str, requests: u64) {
        let now = Utc::now();
        let key = key.parse().unwrap();
        let mut counts = Counts::default();
        counts.add_outcome(Outcome::Admitted, requests);
        counts.add_answer(Answered::Success, requests);
        counts.add_endpoint(&"GET /reports".into(), requests);
        let delta = Delta {
            hours: [(Hour::of(now), counts)].into(),
            last_use: Some(LastUse { at: now, address: "192.0.2.1".parse().ok(), location: None }),
            ..Delta::default()
        };
        let keys = [(Month::of(now), [(key, requests)].into())].into();
        let organization = Subject::Organization(organization.parse().unwrap());
        self.runtime.block_on(async {
            for (subject, delta) in [(Subject::Key(key), delta.clone()), (organization, Delta { keys, ..delta })] {
                let (bucket, writer) = (self.store.usage_bucket(&subject), Writer(1));
                let mark = self.store.record_usage(bucket, writer, &[]).await.unwrap();
                let batch = Batch { after: mark, number: mark + 1, deltas: vec![(subject, delta)] };
                assert_eq!(self.store.record_usage(bucket, writer, &[Arc::new(batch)]).await.unwrap(), mark + 1);
            }
        });
    }

    /// Something was found in the use of a key so many hours ago: a scope that it was not used for before.
    pub(crate) fn find(&self, organization: &str, key: &str, scope: &str, hours: i64) {
        let at = Utc::now() - TimeDelta::hours(hours);
        let measured = Measured { observed: 1.0, expected: 0.25, sample_size: 12 };
        let whom = (key.parse().unwrap(), organization.parse().unwrap());
        let detail =
            format!("First use of the scope {scope}, after 12 days in which there were 3 others, 0 of them new.");
        let finding = Finding::new(Rule::NewScope, whom, at, Some(scope.to_owned()), measured, detail);
        assert!(self.runtime.block_on(self.store.record_finding(&finding)).unwrap());
    }

    /// Makes a webhook at an address that nothing is sent to here, and gives its id.
    pub(crate) fn private_webhook(&self, organization: &str, url: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), SECRET).unwrap();
        let ring = SecretRing::new(&MasterSecret::from_file(file.path()).unwrap());
        let builder = ApiKeyManager::builder_shared(Arc::clone(&self.store), ring);
        let manager = builder.webhooks(sender(true)).build().unwrap();
        let (organization, url) = (organization.parse().unwrap(), WebhookUrl::new(url).unwrap());
        let made = self.runtime.block_on(manager.create_webhook(&boss(), &organization, &url, &[])).unwrap();
        made.webhook.webhook_id.to_string()
    }

    /// Brings the notices that are due, or gives them up.
    pub(crate) fn deliver_notices(&self) {
        self.runtime.block_on(self.manager.deliver_notices()).unwrap();
    }

    /// The API.
    pub(crate) fn router(&self) -> Router {
        keygate_admin::router(self.manager.clone())
    }

    /// A server of it.
    pub(crate) fn serve(&self) -> Server {
        Server::of(self.router())
    }

    /// A place to run commands that go to this URL as the operator.
    pub(crate) fn home(&self, url: &str) -> Home {
        Home::new().with("KEYGATE_SERVER", url).with("KEYGATE_ADMIN_KEY", &self.operator)
    }
}

/// Makes a store in this file, under [`SECRET`], with a key of acme's that was due to be rotated by itself long ago: its id
/// and its text.
pub(crate) fn overdue(path: &Path, hand_over: bool) -> (String, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SECRET).unwrap();
    let ring = SecretRing::new(&MasterSecret::from_file(file.path()).unwrap());
    let store = EmbeddedStore::open(path).unwrap();
    // Since the first of January 2026.
    let manager = ApiKeyManager::builder(store, ring).clock(HeldClock::new()).build().unwrap();
    let mut new = NewKey::new("acme".parse().unwrap(), "bob".parse().unwrap());
    new.expiry = Expiry::Never;
    new.hand_over = hand_over;
    new.rotation_schedule = Some(RotationSchedule {
        interval_days: 30,
        warning_days: 7,
        auto_rotate: true,
        notify_users: true,
        overlap_days: 7,
    });
    let created = Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        manager.open().await.unwrap();
        manager.create(&boss(), new).await.unwrap()
    });
    (created.key.id.to_string(), created.text.expose().to_owned())
}

/// Sends notices to public addresses, or to any. It trusts nobody.
fn sender(private: bool) -> WebhookClient {
    WebhookClient::builder().allow_private(private).authorities(Authority::new().pem()).build().unwrap()
}

fn boss() -> Actor {
    Operator::named("tests".parse().unwrap()).into()
}

/// Answers the first requests with this, and serves the others.
pub(crate) fn after_answering(times: usize, routes: Router, answer: fn() -> Response) -> Router {
    let left = Arc::new(AtomicUsize::new(times));
    routes.layer(from_fn(move |request: Request, next: Next| {
        let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        async move { if taken { answer() } else { next.run(request).await } }
    }))
}

/// Serves the first requests, and answers the others with this.
pub(crate) fn answering_after(times: usize, routes: Router, answer: fn() -> Response) -> Router {
    let left = Arc::new(AtomicUsize::new(times));
    routes.layer(from_fn(move |request: Request, next: Next| {
        let is_served = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        async move { if is_served { next.run(request).await } else { answer() } }
    }))
}
