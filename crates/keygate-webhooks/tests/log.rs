//! What is written in the log of a notice that was sent.
#![allow(clippy::unwrap_used, clippy::panic)]

#[expect(dead_code, reason = "it speaks no TLS")]
mod support;

use std::io;
use std::sync::{Arc, Mutex};

use keygate_core::notice::{WebhookSender, WebhookUrl};
use keygate_webhooks::WebhookClient;
use support::{Authority, notice, secrets};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Written {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_host_is_written_and_nothing_of_the_rest_of_the_address_or_of_the_secrets() {
    let secrets = secrets(2).await;
    let client = WebhookClient::builder().allow_private(true).authorities(Authority::new().pem()).build().unwrap();
    let written = Written::default();
    let log = tracing_subscriber::fmt().with_writer(written.clone()).with_max_level(tracing::Level::TRACE).finish();
    {
        let _log = tracing::subscriber::set_default(log);
        // Nobody is there any more.
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for to in [format!("http://{nobody}/hunter2?token=hunter3"), format!("http://user:hunter4@{nobody}/hunter2")] {
            client.send(&WebhookUrl::new(to).unwrap(), &secrets, &notice()).await.unwrap_err();
        }
        tracing::trace!(?client, ?secrets, "what is known of them");
    }
    let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert!(written.contains("127.0.0.1") && written.contains(&notice().id.to_string()), "{written}");
    let told: Vec<String> = secrets.iter().map(|secret| secret.expose()["whsec_".len()..].to_owned()).collect();
    for secret in told.iter().map(String::as_str).chain(["hunter", "token", "whsec_", "v1,"]) {
        assert!(!written.contains(secret), "{secret}: {written}");
    }
}
