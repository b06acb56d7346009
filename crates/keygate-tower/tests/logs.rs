//! What the log says of refusals, and what it never says.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use http::Request;
use keygate_core::network::{Cidr, CidrSet};
use keygate_tower::{ApiKeyLayer, RequireScope};
use support::{Deployment, scope, whose, with_headers, with_key};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tracing_subscriber::filter::LevelFilter;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// What was written since the last time.
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

#[tokio::test]
async fn refusals_are_logged_by_reason_and_key_id_and_never_with_what_was_sent() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let deployment = Deployment::start().await;
    let (key, forgery) = (deployment.key().await, Deployment::forgery().await);
    let elsewhere = CidrSet::new([Cidr::new("192.0.2.0/24").unwrap()]).unwrap();
    let bound = deployment.key_with(|new| new.allowed_ips = elsewhere).await;
    let service = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(deployment.manager.clone()))
        .layer(RequireScope::new(scope("invoices:read")))
        .service_fn(whose);
    lines.take();

    let bearer = format!("Bearer {key}");
    for (request, expected) in [
        (Request::new(()), "missing_key"),
        (with_key("canary\u{9}[31m"), "malformed_key"),
        (with_key(&forgery), "invalid_key"),
        (with_headers(&[("authorization", &bearer), ("x-api-key", &key)]), "multiple_credentials"),
        (with_key(&key), "scope_not_authorized"),
        (with_key(&bound), "address is not known"),
    ] {
        service.clone().oneshot(request).await.unwrap();
        let written = lines.take();
        assert!(written.contains(expected), "{written}");
        for secret in [&*key, &*forgery, &*bound, "canary"] {
            assert!(!written.contains(secret), "the log shows what was sent");
        }
        if expected == "scope_not_authorized" {
            assert!(written.contains("key_id="), "{written}");
        }
    }

    let alone = RequireScope::new(scope("invoices:read")).layer(service_fn(whose));
    alone.oneshot(with_key(&key)).await.unwrap();
    assert!(lines.take().contains("ApiKeyLayer is missing"));
}
