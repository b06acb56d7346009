//! What the end-to-end tests share.

pub(crate) mod example;
pub(crate) mod freshness;

use std::fmt::Debug;
use std::time::{Duration, Instant};

use keygate::ring::MasterSecret;
use secrecy::ExposeSecret;

/// How long anything may take that happens on another process's time. Generous: a loaded machine is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The tonic example's client and messages.
#[allow(missing_docs, unreachable_pub, clippy::pedantic)]
pub(crate) mod echo {
    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tonic/echo.rs"));
}

/// A client of the servers under test, which speak no TLS.
pub(crate) fn http_client() -> reqwest::Client {
    // Somebody may have been here before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).tls_certs_only([]).build().unwrap()
}

/// Asks again until the answer is `wanted`, and gives it; panics with the last other one after [`PATIENCE`].
pub(crate) async fn eventually<T: Debug>(mut ask: impl AsyncFnMut() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let started = Instant::now();
    loop {
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "after {PATIENCE:?} still {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A new master secret, as `KEYGATE_SECRET` takes it.
pub(crate) fn master_secret() -> String {
    MasterSecret::generate().unwrap().to_base64().expose_secret().to_owned()
}

/// A key of the right form that no deployment of these tests made: the last character of its tag is another.
pub(crate) fn forged(key: &str) -> String {
    let (rest, last) = key.split_at(key.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" })
}
