//! Sends a notice, once.

use std::fmt::{self, Debug};
use std::time::SystemTime;

use async_trait::async_trait;
use chrono::Utc;
use http::header::CONTENT_TYPE;
use keygate_core::names::NameError;
use keygate_core::notice::{NotTaken, Notice, WebhookSecret, WebhookSender, WebhookUrl};
use reqwest::Client;
use url::Url;

use crate::answer::verdict;
use crate::builder::{BuildError, WebhookClientBuilder};
use crate::sign::signatures;
use crate::target::target;
use crate::trouble::why;

/// The name of the field that has the notice's id: the same however often it is sent.
pub const WEBHOOK_ID: &str = "webhook-id";
/// The name of the field that says when it was sent, in seconds since 1970. A receiver refuses what is too old.
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
/// The name of the field that has the signatures, the newest secret's first.
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";

/// Sends notices to webhooks. A clone shares its connections.
#[derive(Clone)]
pub struct WebhookClient {
    client: Client,
    allow_private: bool,
}

impl WebhookClient {
    /// A client that sends to public addresses alone, and trusts whom the operating system trusts.
    ///
    /// # Errors
    /// When that has no certificates of authorities.
    pub fn new() -> Result<Self, BuildError> {
        Self::builder().build()
    }

    /// Sets up a client.
    pub fn builder() -> WebhookClientBuilder {
        WebhookClientBuilder::new()
    }

    pub(crate) fn over(client: Client, allow_private: bool) -> Self {
        Self { client, allow_private }
    }

    async fn deliver(&self, url: Url, secrets: &[WebhookSecret], notice: &Notice) -> Result<(), NotTaken> {
        let (id, timestamp, body) = (notice.id.to_string(), Utc::now().timestamp(), notice.payload().to_string());
        let keys = secrets.iter().map(WebhookSecret::as_bytes);
        let signatures = signatures(keys, &id, timestamp, body.as_bytes())
            .ok_or_else(|| NotTaken::for_now("there is no secret to sign it with"))?;
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(WEBHOOK_ID, id)
            .header(WEBHOOK_TIMESTAMP, timestamp)
            .header(WEBHOOK_SIGNATURE, signatures)
            .body(body);
        // What follows the head of the answer is not read: it ends with the connection, if it is there at all.
        match request.send().await {
            Ok(response) => verdict(response.status(), response.headers(), SystemTime::now()),
            Err(error) => Err(NotTaken::for_now(format!("the webhook could not be reached: {}", why(&error)))),
        }
    }
}

impl Debug for WebhookClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookClient").field("allow_private", &self.allow_private).finish_non_exhaustive()
    }
}

#[async_trait]
impl WebhookSender for WebhookClient {
    /// Says whether an address has the form of one that is sent to, and no host that is not public as it stands there. What a
    /// host's name stands for is looked at whenever something is sent.
    ///
    /// # Errors
    /// When not, with what would be accepted.
    fn check(&self, url: &WebhookUrl) -> Result<(), NameError> {
        target(url, self.allow_private).map(|_| ()).map_err(|problem| NameError::new("url", problem))
    }

    /// Sends a notice, in a runtime of tokio with I/O and time. Dropping the future ends the connection; the receiver may have
    /// taken the notice all the same.
    ///
    /// # Errors
    /// When no answer of 2xx came within the timeout. It is not to be tried again where the address would not be
    /// [taken](Self::check) any more, and nothing is to be sent there ever again where the answer was 410. A receiver that
    /// answered 429 or 503 is to be left alone for as long as its `Retry-After` says. The reason tells no address of the
    /// network and nothing of the answer but its status.
    async fn send(&self, url: &WebhookUrl, secrets: &[WebhookSecret], notice: &Notice) -> Result<(), NotTaken> {
        let url = target(url, self.allow_private)
            .map_err(|problem| NotTaken::for_good(format!("the webhook's address {problem}")))?;
        // The rest of the address may be a secret.
        let host = url.host_str().unwrap_or_default().to_owned();
        let sent = self.deliver(url, secrets, notice).await;
        let problem = sent.as_ref().err().map(NotTaken::reason);
        tracing::debug!(target: "keygate::webhook", notice_id = %notice.id, host, problem, "a notice was sent to a webhook");
        sent
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use reqwest::dns::{Name, Resolve, Resolving};
    use tokio::net::TcpListener;

    use super::*;
    use crate::resolve::tests::{Always, Nothing};
    use crate::support::{Authority, notice, reason, secrets, serve_tls};

    const UNKNOWN: &str = "the webhook could not be reached: its name is not known, or is of no public address";

    fn url(text: &str) -> WebhookUrl {
        WebhookUrl::new(text).unwrap()
    }

    async fn send(client: &WebhookClient, to: &str) -> Result<(), NotTaken> {
        client.send(&url(to), &secrets(1).await, &notice()).await
    }

    fn only_localhost(address: IpAddr) -> bool {
        address == IpAddr::V4(Ipv4Addr::LOCALHOST)
    }

    #[tokio::test]
    async fn a_name_that_stands_for_an_address_that_is_not_public_is_not_connected_to() {
        let authority = Authority::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for addresses in [vec!["127.0.0.1"], vec!["::ffff:127.0.0.1"], vec!["127.0.0.1", "10.0.0.1", "::1"]] {
            let client =
                WebhookClient::builder().authorities(authority.pem()).names(Always(addresses)).build().unwrap();
            let refused = send(&client, &format!("https://hooks.example:{port}/")).await;
            assert_eq!(refused, Err(NotTaken::for_now(UNKNOWN)));
        }
        let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(accepted.is_err(), "somebody connected");
    }

    #[tokio::test]
    async fn the_system_is_asked_and_what_it_says_is_not_believed() {
        let authority = Authority::new();
        let client = WebhookClient::builder().authorities(authority.pem()).build().unwrap();
        // A name that every system knows, and that the form refuses: so the form is passed by.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("https://localhost:{}/", listener.local_addr().unwrap().port())).unwrap();
        let refused = client.deliver(url, &secrets(1).await, &notice()).await;
        assert_eq!(refused, Err(NotTaken::for_now(UNKNOWN)));
        assert!(tokio::time::timeout(Duration::from_millis(50), listener.accept()).await.is_err());
    }

    #[tokio::test]
    async fn a_name_that_is_not_known_reads_the_same_and_tells_nothing_of_the_network() {
        let authority = Authority::new();
        let client = WebhookClient::builder().authorities(authority.pem()).names(Nothing).build().unwrap();
        assert_eq!(send(&client, "https://hooks.example/").await, Err(NotTaken::for_now(UNKNOWN)));
    }

    #[tokio::test]
    async fn an_address_that_is_not_allowed_any_more_is_given_up() {
        let authority = Authority::new();
        let client = WebhookClient::builder().authorities(authority.pem()).build().unwrap();
        for to in ["http://hooks.example/", "https://127.0.0.1/", "https://localhost/", "https://[::1]/"] {
            let refused = send(&client, to).await.unwrap_err();
            assert_eq!(refused, NotTaken::for_good(refused.reason()), "{to}");
            assert!(client.check(&url(to)).is_err(), "{to}");
        }
    }

    /// What is connected to is one of the addresses that were looked at, and of those only what is public: here the one of two
    /// receivers that is taken for it.
    #[tokio::test]
    async fn of_several_addresses_only_the_public_one_is_connected_to_and_the_name_is_asked_for_once() {
        struct Counted(Arc<AtomicUsize>, Always);
        impl Resolve for Counted {
            fn resolve(&self, name: Name) -> Resolving {
                self.0.fetch_add(1, Ordering::SeqCst);
                self.1.resolve(name)
            }
        }
        let authority = Authority::new();
        let port = serve_tls(&authority, "hooks.example").await;
        let private = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let client = WebhookClient::builder()
            .authorities(authority.pem())
            .names(Counted(Arc::clone(&asked), Always(vec!["127.0.0.2", "127.0.0.1"])))
            .public(only_localhost)
            .build()
            .unwrap();
        assert_eq!(send(&client, &format!("https://hooks.example:{port}/")).await, Ok(()));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(tokio::time::timeout(Duration::from_millis(50), private.accept()).await.is_err());
    }

    #[tokio::test]
    async fn the_certificate_must_be_of_the_name_and_of_an_authority_that_is_trusted() {
        let (authority, other) = (Authority::new(), Authority::new());
        let port = serve_tls(&authority, "hooks.example").await;
        let client = |trusted: &Authority| {
            let builder = WebhookClient::builder().authorities(trusted.pem()).names(Always(vec!["127.0.0.1"]));
            builder.public(only_localhost).build().unwrap()
        };
        let untrusted = Some("the webhook could not be reached: its certificate is not trusted".to_owned());
        assert_eq!(reason(send(&client(&authority), &format!("https://hooks.example:{port}/")).await), None);
        assert_eq!(reason(send(&client(&authority), &format!("https://others.example:{port}/")).await), untrusted);
        assert_eq!(reason(send(&client(&other), &format!("https://hooks.example:{port}/")).await), untrusted);
    }
}
