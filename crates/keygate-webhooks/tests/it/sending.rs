//! What a receiver gets, and what becomes of a notice by what it does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use keygate_core::actor::{Actor, Operator};
use keygate_core::manager::ApiKeyManager;
use keygate_core::notice::{NotTaken, WebhookSecret, WebhookSender, WebhookUrl};
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_core::store::MemoryStore;
use keygate_webhooks::{WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, WebhookClient, WebhookClientBuilder};
use standardwebhooks::Webhook as Verifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::support::{Authority, notice, reason, secrets, serve_tls};

/// How long what is soon may take where much else is done.
const PATIENCE: Duration = Duration::from_secs(10);

/// A receiver that answers everything in the same way, and keeps what it got.
struct Receiver {
    address: SocketAddr,
    got: Arc<Mutex<Vec<(Parts, Bytes)>>>,
}

impl Receiver {
    async fn answering(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> Self {
        let got = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&got);
        let routes = Router::new().fallback(move |parts: Parts, body: Bytes| {
            keep.lock().unwrap().push((parts, body));
            std::future::ready(answer())
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address, got }
    }

    async fn of_status(status: u16) -> Self {
        Self::answering(move || StatusCode::from_u16(status).unwrap().into_response()).await
    }

    fn url(&self, path: &str) -> WebhookUrl {
        url(&format!("http://{}{path}", self.address))
    }

    fn got(&self) -> Vec<(Parts, Bytes)> {
        self.got.lock().unwrap().clone()
    }
}

/// A receiver that need not speak HTTP.
async fn raw<F: Future<Output = ()> + Send + 'static>(
    behave: impl Fn(TcpStream) -> F + Send + Sync + 'static,
) -> WebhookUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url(&format!("http://{}/", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(behave(stream));
        }
    });
    url
}

fn url(text: &str) -> WebhookUrl {
    WebhookUrl::new(text).unwrap()
}

fn builder() -> WebhookClientBuilder {
    WebhookClient::builder().allow_private(true).authorities(Authority::new().pem())
}

fn client() -> WebhookClient {
    builder().build().unwrap()
}

async fn send(to: &WebhookUrl) -> Result<(), NotTaken> {
    client().send(to, &secrets(1).await, &notice()).await
}

/// Whether a receiver that has this secret would believe it.
fn verifies(secret: &WebhookSecret, parts: &Parts, body: &[u8]) -> bool {
    Verifier::new(&secret.expose()).unwrap().verify(body, &parts.headers).is_ok()
}

#[tokio::test]
async fn a_notice_comes_as_the_standard_webhooks_have_it() {
    let receiver = Receiver::of_status(204).await;
    let (secrets, notice) = (secrets(1).await, notice());
    client().send(&receiver.url("/hooks/keygate?token=1%20"), &secrets, &notice).await.unwrap();

    let [(parts, body)] = &receiver.got()[..] else { panic!("one request") };
    assert_eq!((parts.method.as_str(), parts.uri.to_string().as_str()), ("POST", "/hooks/keygate?token=1%20"));
    assert_eq!(parts.version, axum::http::Version::HTTP_11);
    let field = |name: &str| parts.headers[name].to_str().unwrap();
    assert_eq!(field("content-type"), "application/json");
    assert_eq!(field("user-agent"), concat!("keygate/", env!("CARGO_PKG_VERSION")));
    assert_eq!(field("content-length"), body.len().to_string());
    assert_eq!(field(WEBHOOK_ID), notice.id.to_string());
    let sent_at: i64 = field(WEBHOOK_TIMESTAMP).parse().unwrap();
    assert!((Utc::now().timestamp() - sent_at).abs() <= 10, "{sent_at}");
    assert_eq!(&body[..], notice.payload().to_string().as_bytes());
    assert!(verifies(&secrets[0], parts, body));
}

#[tokio::test]
async fn while_a_secret_is_changed_both_verify_the_newest_first() {
    let receiver = Receiver::of_status(200).await;
    let both = secrets(2).await;
    client().send(&receiver.url("/"), &both, &notice()).await.unwrap();

    let [(parts, body)] = &receiver.got()[..] else { panic!("one request") };
    assert!(both.iter().all(|secret| verifies(secret, parts, body)));
    let signatures = parts.headers[WEBHOOK_SIGNATURE].to_str().unwrap();
    let timestamp = parts.headers[WEBHOOK_TIMESTAMP].to_str().unwrap().parse().unwrap();
    let newest = Verifier::new(&both[0].expose()).unwrap();
    let newest = newest.sign(&notice().id.to_string(), timestamp, body).unwrap();
    assert_eq!(signatures.split(' ').count(), 2);
    assert_eq!(signatures.split(' ').next(), Some(&*newest));
}

#[tokio::test]
async fn nothing_verifies_that_was_changed_or_is_signed_by_another_secret() {
    let receiver = Receiver::of_status(200).await;
    let (own, others) = (secrets(1).await, secrets(1).await);
    client().send(&receiver.url("/"), &own, &notice()).await.unwrap();

    let (parts, body) = receiver.got().pop().unwrap();
    assert!(verifies(&own[0], &parts, &body));
    assert!(!verifies(&others[0], &parts, &body));
    assert!(!verifies(&own[0], &parts, &[&body[..], b" "].concat()));
    for (field, value) in [(WEBHOOK_ID, "msg_1"), (WEBHOOK_TIMESTAMP, &*(Utc::now().timestamp() - 5).to_string())] {
        let mut changed = parts.clone();
        changed.headers.insert(HeaderName::from_static(field), HeaderValue::from_str(value).unwrap());
        assert!(!verifies(&own[0], &changed, &body), "{field}");
    }
}

#[tokio::test]
async fn without_a_secret_nothing_is_sent() {
    let receiver = Receiver::of_status(200).await;
    let sent = client().send(&receiver.url("/"), &[], &notice()).await;
    assert_eq!(sent, Err(NotTaken::for_now("there is no secret to sign it with")));
    assert!(receiver.got().is_empty());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Receiver::of_status(200).await;
    for status in [301, 302, 303, 307, 308] {
        let to = format!("http://{}/", target.address);
        let receiver = Receiver::answering(move || {
            (StatusCode::from_u16(status).unwrap(), [("location", to.clone())]).into_response()
        });
        let sent = send(&receiver.await.url("/")).await;
        let reason = format!("the webhook answered {status}: redirects are not followed");
        assert_eq!(sent, Err(NotTaken::for_now(reason)));
    }
    assert!(target.got().is_empty());
}

#[tokio::test]
async fn a_receiver_that_is_gone_wants_nothing_any_more() {
    assert!(send(&Receiver::of_status(410).await.url("/")).await.unwrap_err().is_gone());
}

#[tokio::test]
async fn other_failures_are_tried_again_and_the_status_is_told_but_not_the_answer() {
    for status in [400, 401, 404, 422, 429, 500, 502, 503, 599] {
        let receiver = Receiver::answering(move || {
            (StatusCode::from_u16(status).unwrap(), [("x-secret", "hunter2")], "hunter2").into_response()
        });
        let sent = send(&receiver.await.url("/")).await;
        assert_eq!(sent, Err(NotTaken::for_now(format!("the webhook answered {status}"))));
    }
}

#[tokio::test]
async fn a_receiver_that_is_busy_is_left_alone_for_as_long_as_it_says() {
    for status in [429, 503] {
        let in_seconds = Receiver::answering(move || {
            (StatusCode::from_u16(status).unwrap(), [("retry-after", "90")]).into_response()
        });
        let sent = send(&in_seconds.await.url("/")).await;
        let reason = format!("the webhook answered {status}");
        assert_eq!(sent, Err(NotTaken::for_at_least(&*reason, Duration::from_secs(90))));

        let date = SystemTime::now() + Duration::from_secs(1000);
        let at_a_time = Receiver::answering(move || {
            (StatusCode::from_u16(status).unwrap(), [("retry-after", httpdate::fmt_http_date(date))]).into_response()
        });
        // The pause is what is left until then: some part of these seconds.
        let sent = format!("{:?}", send(&at_a_time.await.url("/")).await.unwrap_err());
        let pause = sent.split("Later(Some(").nth(1).and_then(|rest| rest.split('.').next());
        assert!(pause.is_some_and(|pause| (980..1000).contains(&pause.parse().unwrap())), "{sent}");
    }
}

#[tokio::test]
async fn one_that_does_not_come_to_an_end_is_given_up_within_the_timeout() {
    const LATE: &str = "the webhook could not be reached: it did not answer in time";
    let timeout = Duration::from_millis(300);
    let client = builder().timeout(timeout).build().unwrap();
    let secrets = secrets(1).await;
    let silent = raw(|stream| async move {
        let _open = stream;
        tokio::time::sleep(PATIENCE * 10).await;
    });
    let dripping = raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"x: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let processing = raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        while stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").await.is_ok() {}
    });
    for to in [silent.await, dripping.await, processing.await] {
        let started = Instant::now();
        assert_eq!(client.send(&to, &secrets, &notice()).await, Err(NotTaken::for_now(LATE)));
        let took = started.elapsed();
        assert!(took >= timeout && took < PATIENCE, "{took:?}");
    }
}

#[tokio::test]
async fn to_drop_what_is_sent_ends_the_connection() {
    let (ended, end) = oneshot::channel();
    let ended = Arc::new(Mutex::new(Some(ended)));
    let to = raw(move |mut stream| {
        let ended = ended.lock().unwrap().take();
        async move {
            let _ = stream.read_to_end(&mut Vec::new()).await;
            let _ = ended.map(|ended| ended.send(()));
        }
    });
    let (to, secrets) = (to.await, secrets(1).await);
    let dropped = tokio::time::timeout(Duration::from_millis(200), client().send(&to, &secrets, &notice())).await;
    assert!(dropped.is_err());
    tokio::time::timeout(PATIENCE, end).await.unwrap().unwrap();
}

/// As many bytes as the buffers between hold, which are a few megabytes at most: more would be read by somebody.
const READ_BY_NOBODY: u64 = 32 << 20;

/// Sends a head and then this without end; says how much of it was taken when the connection has ended.
async fn endless(head: &'static str, then: &'static [u8]) -> (WebhookUrl, oneshot::Receiver<u64>) {
    let (told, taken) = oneshot::channel();
    let told = Arc::new(Mutex::new(Some(told)));
    let to = raw(move |mut stream| {
        let told = told.lock().unwrap().take();
        async move {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let mut taken = 0;
            if stream.write_all(head.as_bytes()).await.is_ok() {
                while taken < 2 * READ_BY_NOBODY && stream.write_all(then).await.is_ok() {
                    taken += then.len() as u64;
                }
            }
            let _ = told.map(|told| told.send(taken));
        }
    });
    (to.await, taken)
}

#[tokio::test]
async fn a_body_is_not_read_however_long_it_is() {
    static ZEROS: [u8; 1 << 16] = [b'0'; 1 << 16];
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1099511627776\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000000000\r\n",
    ] {
        let (to, taken) = endless(head, &ZEROS).await;
        // It is kept, so that the end of the connection is not the end of the client.
        let client = client();
        let started = Instant::now();
        assert_eq!(client.send(&to, &secrets(1).await, &notice()).await, Ok(()));
        assert!(started.elapsed() < PATIENCE);
        let taken = tokio::time::timeout(PATIENCE, taken).await.unwrap().unwrap();
        assert!(taken < READ_BY_NOBODY, "{taken}");
        drop(client);
    }
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let (to, taken) =
        endless("HTTP/1.1 200 OK\r\n", b"x-some-field: and its value, which is of no use to anybody\r\n").await;
    let sent = send(&to).await;
    let reason = "the webhook could not be reached: the connection ended before it had answered";
    assert_eq!(sent, Err(NotTaken::for_now(reason)));
    assert!(tokio::time::timeout(PATIENCE, taken).await.unwrap().unwrap() < READ_BY_NOBODY);
}

#[tokio::test]
async fn what_answers_no_http_or_no_tls_is_not_quoted() {
    let said = raw(|mut stream| async move {
        let _ = stream.write_all(b"SSH-2.0-hunter2\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let said = said.await;
    let ended = "the webhook could not be reached: the connection ended before it had answered";
    assert_eq!(send(&said).await, Err(NotTaken::for_now(ended)));
    let under_tls = url(&said.as_str().replace("http://", "https://"));
    let no_tls = "the webhook could not be reached: no TLS could be spoken with it";
    assert_eq!(send(&under_tls).await, Err(NotTaken::for_now(no_tls)));
    let hangs_up = raw(|stream| async move { drop(stream) }).await;
    assert_eq!(send(&hangs_up).await, Err(NotTaken::for_now(ended)));
}

#[tokio::test]
async fn a_connection_that_is_refused_is_said_to_be_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let sent = send(&url(&format!("http://{address}/hunter2"))).await;
    assert_eq!(sent, Err(NotTaken::for_now("the webhook could not be reached: the connection was refused")));
}

#[tokio::test]
async fn under_tls_a_receiver_of_ones_own_authority_is_believed() {
    let authority = Authority::new();
    let to = url(&format!("https://localhost:{}/", serve_tls(&authority, "localhost").await));
    let trusting = WebhookClient::builder().allow_private(true).authorities(authority.pem()).build().unwrap();
    assert_eq!(trusting.send(&to, &secrets(1).await, &notice()).await, Ok(()));
    let untrusted = "the webhook could not be reached: its certificate is not trusted";
    assert_eq!(reason(send(&to).await).as_deref(), Some(untrusted));
}

#[tokio::test]
async fn behind_a_proxy_names_are_the_proxys_and_addresses_are_still_looked_at() {
    let (told, asked) = oneshot::channel();
    let told = Arc::new(Mutex::new(Some(told)));
    let proxy = raw(move |mut stream| {
        let told = told.lock().unwrap().take();
        async move {
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap_or(0);
            head.truncate(length);
            let _ = told.map(|told| told.send(String::from_utf8(head).unwrap()));
            let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 7\r\n\r\nhunter2").await;
        }
    });
    let proxy = proxy.await.as_str().replace("http://", "http://user:password@");
    let client = WebhookClient::builder().proxy(proxy).authorities(Authority::new().pem()).build().unwrap();
    assert!(!format!("{client:?}").contains("password"));
    let secrets = secrets(1).await;

    let private = client.send(&url("https://10.0.0.1/"), &secrets, &notice()).await.unwrap_err();
    assert_eq!(private, NotTaken::for_good("the webhook's address must be of a host on the public internet"));
    let sent = client.send(&url("https://hooks.example/path"), &secrets, &notice()).await;
    assert_eq!(sent, Err(NotTaken::for_now("the webhook could not be reached: no connection could be made")));
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("CONNECT hooks.example:443 HTTP/1.1\r\n"), "{asked}");
    assert!(!asked.contains("webhook-") && !asked.contains("/path"), "what is sent is not for the proxy: {asked}");
}

#[tokio::test]
async fn a_manager_makes_only_webhooks_that_are_sent_to_and_sends_to_them() {
    let receiver = Receiver::of_status(200).await;
    let manager = |client| {
        let ring = SecretRing::new(&MasterSecret::generate().unwrap());
        ApiKeyManager::builder(MemoryStore::new(), ring).webhooks(client).build().unwrap()
    };
    let operator: Actor = Operator::named("tests".parse().unwrap()).into();
    let acme = "acme".parse().unwrap();
    let public = manager(WebhookClient::builder().authorities(Authority::new().pem()).build().unwrap());
    let refused = public.create_webhook(&operator, &acme, &receiver.url("/"), &[]).await.unwrap_err();
    assert!(refused.to_string().contains("url must begin with https://"), "{refused}");

    let private = manager(client());
    let created = private.create_webhook(&operator, &acme, &receiver.url("/"), &[]).await.unwrap();
    let id = private.test_webhooks(&operator, &acme).await.unwrap();
    assert_eq!(private.deliver_notices().await.unwrap().sent, 1);
    let [(parts, body)] = &receiver.got()[..] else { panic!("one request") };
    assert_eq!(parts.headers[WEBHOOK_ID].to_str().unwrap(), id.to_string());
    assert!(verifies(&created.secret, parts, body));
}
