//! What is written in the log of a notice that was sent.

use keygate_core::notice::{WebhookSender, WebhookUrl};
use keygate_testkit::log::Log;
use keygate_webhooks::WebhookClient;

use crate::support::{Authority, notice, secrets};

#[tokio::test]
async fn the_host_is_written_and_nothing_of_the_rest_of_the_address_or_of_the_secrets() {
    let secrets = secrets(2).await;
    let client = WebhookClient::builder().allow_private(true).authorities(Authority::new().pem()).build().unwrap();
    let log = Log::begin();
    // Nobody is there any more.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for to in [format!("http://{nobody}/hunter2?token=hunter3"), format!("http://user:hunter4@{nobody}/hunter2")] {
        client.send(&WebhookUrl::new(to).unwrap(), &secrets, &notice()).await.unwrap_err();
    }
    tracing::trace!(?client, ?secrets, "what is known of them");
    let written = log.take();
    assert!(written.contains("127.0.0.1") && written.contains(&notice().id.to_string()), "{written}");
    let told: Vec<String> = secrets.iter().map(|secret| secret.expose()["whsec_".len()..].to_owned()).collect();
    for secret in told.iter().map(String::as_str).chain(["hunter", "token", "whsec_", "v1,"]) {
        assert!(!written.contains(secret), "{secret}: {written}");
    }
}
