//! What can be set of a client.

use std::fmt::{self, Debug};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::Resolve;
use reqwest::{Client, Proxy, redirect, retry};
use url::Url;

use crate::address::is_public;
use crate::client::WebhookClient;
use crate::resolve::{Only, SystemNames};
use crate::tls;

/// How long it may take to find a receiver and to connect to it, if nothing else is set.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take in all until a receiver has answered, if nothing else is set: less than what
/// [`keygate_core::notice::TIMEOUT`] gives it, so that the reason is known.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection that is not used is kept, and how many of them to one host.
const IDLE: (Duration, usize) = (Duration::from_secs(15), 2);

/// Why a client cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The proxy's address is none. It is not repeated, as it may have a password in it.
    #[error("the proxy's address must begin with http:// or https:// and a host")]
    Proxy,
    /// The authorities are no certificates.
    #[error("the authorities must be certificates in PEM, one at least")]
    Authorities,
    /// Nobody is trusted by the operating system, and no authorities were named.
    #[error("the system has no certificates of authorities, and none were named: {0}")]
    SystemAuthorities(String),
    /// TLS or HTTP could not be set up.
    #[error("no client of HTTP could be made: {0}")]
    Client(String),
}

/// Builds a [`WebhookClient`].
#[must_use]
pub struct WebhookClientBuilder {
    allow_private: bool,
    connect_timeout: Duration,
    timeout: Duration,
    proxy: Option<String>,
    authorities: Option<Vec<u8>>,
    names: Arc<dyn Resolve>,
    public: fn(IpAddr) -> bool,
}

impl WebhookClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            allow_private: false,
            connect_timeout: CONNECT_TIMEOUT,
            timeout: ANSWER_TIMEOUT,
            proxy: None,
            authorities: None,
            names: Arc::new(SystemNames),
            public: is_public,
        }
    }

    /// Whether receivers may be in private networks, on this machine, and speak plain `http`. Not if never called. Only for
    /// deployments whose tenants may reach all that this process can.
    pub fn allow_private(mut self, allow: bool) -> Self {
        self.allow_private = allow;
        self
    }

    /// How long it may take to find a receiver and to connect to it, with TLS. [`CONNECT_TIMEOUT`] if never called.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long it may take in all until a receiver has answered. [`ANSWER_TIMEOUT`] if never called; whatever is longer than
    /// [`keygate_core::notice::TIMEOUT`] is cut off there.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends everything through this proxy, `http://` or `https://`, with a user and a password in it if need be. None if
    /// never called: what the environment says of proxies is not heard.
    ///
    /// It is then the proxy that asks for the addresses of names, and the proxy that must connect to public ones alone. Hosts
    /// that are addresses themselves are still looked at here.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// Trusts these authorities, certificates in PEM, in the place of those of the operating system.
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(pem.into());
        self
    }

    /// Asks somebody else for the addresses of names.
    #[cfg(test)]
    pub(crate) fn names(mut self, names: impl Resolve + 'static) -> Self {
        self.names = Arc::new(names);
        self
    }

    /// Takes other addresses of names for public.
    #[cfg(test)]
    pub(crate) fn public(mut self, public: fn(IpAddr) -> bool) -> Self {
        self.public = public;
        self
    }

    /// The client. The certificates of authorities are read here, once; nothing is connected to.
    ///
    /// # Errors
    /// When the proxy or the authorities are none, or the operating system has no certificates and none were named.
    pub fn build(self) -> Result<WebhookClient, BuildError> {
        // Behind a proxy, the only name that is asked for here is the proxy's.
        let any = self.allow_private || self.proxy.is_some();
        let names = Only { names: self.names, allowed: if any { |_| true } else { self.public } };
        let mut client = Client::builder()
            .user_agent(concat!("keygate/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls::config(self.authorities.as_deref())?)
            .http1_only()
            .dns_resolver(names)
            // A receiver may not send it on to where it must not go.
            .redirect(redirect::Policy::none())
            // Whoever calls this tries again, and knows when.
            .retry(retry::never())
            .referer(false)
            .connect_timeout(self.connect_timeout)
            .timeout(self.timeout)
            .pool_idle_timeout(IDLE.0)
            .pool_max_idle_per_host(IDLE.1)
            .no_proxy();
        if let Some(proxy) = &self.proxy {
            client = client.proxy(through(proxy).ok_or(BuildError::Proxy)?);
        }
        let client = client.build().map_err(|error| BuildError::Client(error.without_url().to_string()))?;
        Ok(WebhookClient::over(client, self.allow_private))
    }
}

impl Debug for WebhookClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookClientBuilder")
            .field("allow_private", &self.allow_private)
            .field("connect_timeout", &self.connect_timeout)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn through(proxy: &str) -> Option<Proxy> {
    let url = Url::parse(proxy).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    Proxy::all(url).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named_without_being_repeated() {
        for proxy in ["", "proxy:3128", "socks5://user:hunter2@proxy", "http://", "ftp://user:hunter2@proxy/"] {
            let error = WebhookClient::builder().proxy(proxy).build().unwrap_err();
            assert_eq!(error, BuildError::Proxy, "{proxy}");
            assert!(!error.to_string().contains("hunter2"));
        }
        for pem in ["", "hunter2", "-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n"] {
            let error = WebhookClient::builder().authorities(pem).build().unwrap_err();
            assert_eq!(error, BuildError::Authorities, "{pem}");
        }
    }

    #[test]
    fn whom_the_system_trusts_is_trusted_if_it_trusts_anybody_and_no_provider_of_the_process_is_needed() {
        let client = WebhookClient::new();
        assert!(matches!(client, Ok(_) | Err(BuildError::SystemAuthorities(_))), "{client:?}");
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    }

    #[test]
    fn debug_shows_no_password() {
        let builder = WebhookClient::builder().proxy("http://user:hunter2@127.0.0.1:3128").authorities("hunter2");
        assert!(!format!("{builder:?}").contains("hunter2"));
    }
}
