//! A notice, secrets to sign it with, and a receiver under TLS.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum_server::tls_rustls::RustlsConfig;
use chrono::Utc;
use keygate_core::actor::Operator;
use keygate_core::manager::ApiKeyManager;
use keygate_core::names::NameError;
use keygate_core::notice::{Event, NotTaken, Notice, NoticeId, WebhookSecret, WebhookSender, WebhookUrl};
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_core::store::MemoryStore;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub(crate) fn notice() -> Notice {
    Notice {
        id: NoticeId::from_bytes(*b"sixteen bytes it"),
        at: Utc::now(),
        organization_id: "acme".parse().unwrap(),
        event: Event::Test,
    }
}

/// Why it was not taken, if it was not.
pub(crate) fn reason(sent: Result<(), NotTaken>) -> Option<String> {
    sent.err().map(|error| error.reason().to_owned())
}

/// Secrets of one webhook, the newest first.
pub(crate) async fn secrets(how_many: usize) -> Vec<WebhookSecret> {
    /// Sends nothing.
    #[derive(Debug)]
    struct Anywhere;

    #[async_trait]
    impl WebhookSender for Anywhere {
        fn check(&self, _: &WebhookUrl) -> Result<(), NameError> {
            Ok(())
        }
        async fn send(&self, _: &WebhookUrl, _: &[WebhookSecret], _: &Notice) -> Result<(), NotTaken> {
            Ok(())
        }
    }

    let ring = SecretRing::new(&MasterSecret::generate().unwrap());
    let manager = ApiKeyManager::builder(MemoryStore::new(), ring).webhooks(Anywhere).build().unwrap();
    let (operator, acme) = (Operator::named("tests".parse().unwrap()).into(), "acme".parse().unwrap());
    let url = WebhookUrl::new("https://hooks.example").unwrap();
    let created = manager.create_webhook(&operator, &acme, &url, &[]).await.unwrap();
    let mut secrets = vec![created.secret];
    for _ in 1..how_many {
        let renewed = manager.renew_webhook_secret(&operator, &acme, created.webhook.webhook_id).await.unwrap();
        secrets.insert(0, renewed.secret);
    }
    secrets
}

/// An authority that no system trusts.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }
}

/// A receiver under TLS that takes everything, with a certificate of this name; gives its port on 127.0.0.1.
pub(crate) async fn serve_tls(authority: &Authority, name: &str) -> u16 {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &authority.0).unwrap();
    let certificate = CertificateDer::from_pem_slice(certificate.pem().as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    // No provider is made that of the process: what is tested must not need one.
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = RustlsConfig::from_config(Arc::new(config.with_single_cert(vec![certificate], key).unwrap()));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let routes = Router::new().fallback(|| async {});
    tokio::spawn(axum_server::from_tcp_rustls(listener, config).unwrap().serve(routes.into_make_service()));
    port
}
