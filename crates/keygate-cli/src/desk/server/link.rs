//! How a call is sent, and when it is sent again.

use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use keygate::key::KeyText;
use keygate::record::Revision;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH};
use reqwest::{Certificate, Client, Method, Url, redirect, retry};
use serde::Serialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::address::{Address, LOCALHOST};
use super::answer::Answer;
use super::trouble::{Again, Trouble, innermost};
use crate::desk::NotDone;
use crate::desk::place::Setting;
use crate::failure::Failure;

/// How long a connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer may take: that to a revocation waits for every instance.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How often a call is sent again.
const REPEATS: usize = 3;
/// The first pause before that; each further one is about twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// A server, with the key it is called with and the certificates it is trusted by.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    address: Address,
}

/// A call of the management API.
#[derive(Debug)]
pub(super) struct Call {
    method: Method,
    /// Behind `/v1`.
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Zeroizing<Vec<u8>>>,
    /// The body is one document on each line, and what they ask for is done once, however often it is sent.
    has_lines: bool,
    /// Under this name it is done once, however often it is sent.
    once: Option<Uuid>,
    /// What it does is the same, however often it is sent.
    is_idempotent: bool,
    /// It is done only if what it changes still has this revision.
    revision: Option<Revision>,
}

impl Call {
    /// The call at this path.
    pub(super) fn new(method: Method, path: &[&str]) -> Self {
        let path = path.iter().map(|&part| part.to_owned()).collect();
        Self {
            method,
            path,
            query: Vec::new(),
            body: None,
            has_lines: false,
            once: None,
            is_idempotent: false,
            revision: None,
        }
    }

    /// With a parameter, if it has a value.
    pub(super) fn asking(mut self, name: &'static str, value: Option<impl Display>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// With a body.
    pub(super) fn saying(self, body: &impl Serialize) -> Result<Self, NotDone> {
        let body = serde_json::to_vec(body);
        let body = body.map_err(|error| NotDone::new(format!("what is wanted cannot be written: {error}")))?;
        Ok(Self { body: Some(Zeroizing::new(body)), ..self })
    }

    /// With a body of lines, each of which is done once by itself.
    pub(super) fn with_lines(self, lines: &[u8]) -> Self {
        Self { body: Some(Zeroizing::new(lines.to_vec())), has_lines: true, ..self }
    }

    /// To be done once, however often it is sent.
    pub(super) fn once(self, name: Uuid) -> Self {
        Self { once: Some(name), ..self }
    }

    /// That does the same, however often it is sent.
    pub(super) fn however_often(self) -> Self {
        Self { is_idempotent: true, ..self }
    }

    /// To be done only if what it changes still has this revision.
    pub(super) fn if_unchanged(self, revision: Revision) -> Self {
        Self { revision: Some(revision), ..self }
    }

    /// Whether it may be sent again when nobody knows what became of it.
    fn is_repeatable(&self) -> bool {
        self.is_reading() || self.once.is_some() || self.has_lines || self.is_idempotent
    }

    /// Whether it changes nothing.
    pub(super) fn is_reading(&self) -> bool {
        self.method == Method::GET
    }
}

impl Link {
    /// A link to this address, over which nothing is sent yet.
    pub(super) fn new(address: Address, admin_key: &KeyText, authority: Option<Setting>) -> Result<Self, Failure> {
        // Somebody else in this process may have chosen it before, and then it is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder()
            .user_agent(concat!("keygate/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers(admin_key)?)
            // The admin key goes to the server that was named, and to no other.
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .connect_timeout(CONNECT_PATIENCE)
            .timeout(PATIENCE);
        // In clear text a proxy would read the key; under TLS it passes on what it cannot read.
        if address.is_loopback() || !address.is_encrypted() {
            client = client.no_proxy();
        }
        if address.is_loopback() {
            let here = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            client = client.resolve_to_addrs(LOCALHOST, &here.map(|here| SocketAddr::new(here, 0)));
        }
        match authority {
            Some(authority) => client = client.tls_certs_only(certificates(&authority)?),
            // Without TLS nothing is lost where the system has no certificates.
            None if !address.is_encrypted() => client = client.tls_certs_only([]),
            None => {}
        }
        let client = client.build().map_err(|error| {
            Failure::refused(format!(
                "the server cannot be called: {}; where the system has no certificates, --server-ca (KEYGATE_SERVER_CA) \
                 names a file of them",
                innermost(&error.without_url())
            ))
        })?;
        Ok(Self { client, address })
    }

    /// Sends a call, and again while that is safe and may help.
    pub(super) async fn send(&self, call: &Call) -> Result<Answer, NotDone> {
        let mut url = self.address.of_call(&call.path)?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let pauses = ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_max_times(REPEATS).with_jitter();
        let sent = (|| self.send_once(call, &url))
            .retry(pauses)
            .when(|trouble: &Trouble| call.is_repeatable() && trouble.again != Again::No)
            .adjust(|trouble, pause| match trouble.again {
                Again::In(wait) if wait > LONGEST_PAUSE => None,
                Again::In(wait) => pause.map(|pause| pause.max(wait)),
                Again::No | Again::Soon => pause,
            });
        sent.await.map_err(|trouble| trouble.not_done)
    }

    async fn send_once(&self, call: &Call, url: &Url) -> Result<Answer, Trouble> {
        let lost = |error| Trouble::unanswered(error, &self.address, call);
        let mut request = self.client.request(call.method.clone(), url.clone());
        if let Some(body) = &call.body {
            let kind = if call.has_lines { NDJSON } else { JSON };
            request = request.header(CONTENT_TYPE, kind).body(body.to_vec());
        }
        if let Some(name) = &call.once {
            request = request.header("Idempotency-Key", format!("\"{name}\""));
        }
        if let Some(revision) = &call.revision {
            request = request.header(IF_MATCH, format!("\"{revision}\""));
        }
        let response = request.send().await.map_err(lost)?;
        Answer::take(response, &self.address).await.map_err(lost)?.unless_refused()
    }
}

fn headers(admin_key: &KeyText) -> Result<HeaderMap, Failure> {
    let bearer = Zeroizing::new(format!("Bearer {}", admin_key.expose()));
    let mut bearer = HeaderValue::from_str(&bearer).map_err(Failure::refused)?;
    bearer.set_sensitive(true);
    Ok(HeaderMap::from_iter([(ACCEPT, JSON), (AUTHORIZATION, bearer)]))
}

fn certificates(authority: &Setting) -> Result<Vec<Certificate>, Failure> {
    let file = &authority.value;
    let pem = std::fs::read(file).map_err(|error| authority.wrong(format!("{file}: {error}")))?;
    let certificates = Certificate::from_pem_bundle(&pem).ok().filter(|found| !found.is_empty());
    certificates.ok_or_else(|| authority.wrong(format!("{file} holds no certificate in PEM")))
}
