//! Where the server listens, and whether keys may come there in clear text.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::RustlsAcceptor;
use axum_server::{Handle, Server};
use tokio::task::JoinHandle;

use super::tls::Tls;
use crate::args::{ServeArgs, SettingArgs};
use crate::desk::is_clear_text_allowed;
use crate::failure::{Failure, warn};

/// How long a client may take to say what it wants, once it is connected, and once it has begun to.
const PATIENCE: Duration = Duration::from_secs(10);

/// The address that is listened on, before anything is.
#[derive(Debug)]
pub(super) struct Place {
    address: SocketAddr,
    /// What the address was named by.
    name: &'static str,
    tls: Option<Tls>,
}

/// A socket that takes connections, which nobody serves yet.
#[derive(Debug)]
pub(super) struct Taken {
    listener: TcpListener,
    listening: Listening,
}

/// The task that serves, until its handle says otherwise.
pub(super) type Serving = JoinHandle<std::io::Result<()>>;

/// Where the server listens, and under which certificate.
#[derive(Debug)]
pub(super) struct Listening {
    address: SocketAddr,
    tls: Option<Tls>,
}

impl Place {
    /// Reads how the address is to be served, and refuses to have keys sent between machines in clear text.
    pub(super) fn read(args: &ServeArgs, settings: &SettingArgs, address: SocketAddr) -> Result<Self, Failure> {
        let name = settings.flag("KEYGATE_LISTEN").map_or("KEYGATE_LISTEN", |(flag, _)| flag);
        let tls = Tls::read(args)?;
        // Checked also where it is of no use.
        let is_clear_text_allowed = is_clear_text_allowed(settings)?;
        if tls.is_none() && !address.ip().to_canonical().is_loopback() {
            if !is_clear_text_allowed {
                return Err(Failure::refused(format!(
                    "{name} is {address}, where keys would come in clear text, for whoever is on the way to read: set a \
                     certificate (--tls-cert and --tls-key), or listen on 127.0.0.1 behind a proxy that speaks TLS, or \
                     allow it with --allow-clear-text (KEYGATE_ALLOW_CLEAR_TEXT=1)"
                )));
            }
            warn(format!("keys come to {address} in clear text, and whoever is on the way can read them"));
        }
        Ok(Self { address, name, tls })
    }

    /// Whether there is a certificate, which may be read again.
    pub(super) fn has_certificate(&self) -> bool {
        self.tls.is_some()
    }

    /// Takes the address.
    pub(super) fn take(self) -> Result<Taken, Failure> {
        let Self { address, name, tls } = self;
        let cannot = |error: std::io::Error| {
            Failure::refused(format!("{name} cannot be used: {address} cannot be listened on: {error}"))
        };
        let listener = TcpListener::bind(address).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        Ok(Taken { listener, listening: Listening { address, tls } })
    }
}

impl Taken {
    /// Serves the router, on a task of its own. The socket is that task's, and closed when it takes no more.
    pub(super) fn serve(self, router: Router, handle: Handle<SocketAddr>) -> Result<(Serving, Listening), Failure> {
        let Self { listener, listening } = self;
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        let server = axum_server::from_tcp(listener)
            .map_err(|error| Failure::refused(format!("the server cannot start: {error}")))?;
        let server = patient(server.handle(handle));
        let serving = match &listening.tls {
            Some(tls) => {
                let acceptor = RustlsAcceptor::new(tls.config()).acceptor(NoDelayAcceptor::new());
                tokio::spawn(server.acceptor(acceptor).serve(router))
            }
            None => tokio::spawn(server.acceptor(NoDelayAcceptor::new()).serve(router)),
        };
        Ok((serving, listening))
    }
}

impl Listening {
    /// Reads the certificate again, if there is one.
    pub(super) fn reload(&self) {
        match self.tls.as_ref().map(Tls::reload) {
            None => {}
            Some(Ok(())) => tracing::info!("the certificate was read again"),
            Some(Err(failure)) => tracing::error!("{failure}; the certificate that was read before is used"),
        }
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }
}

/// Clients that say nothing, or only a little at a time, do not hold their connections for ever.
fn patient<A>(mut server: Server<SocketAddr, A>) -> Server<SocketAddr, A> {
    let http = server.http_builder();
    http.http1().header_read_timeout(PATIENCE);
    http.http2().keep_alive_interval(PATIENCE).keep_alive_timeout(PATIENCE);
    server.first_request_timeout(PATIENCE).accept_error_handler(|peer, error| match peer {
        // A client that does not get through its handshake is nobody's business here, and any stranger may be one.
        Some(peer) => tracing::debug!(%peer, %error, "a connection was not taken"),
        None => tracing::warn!(%error, "connections cannot be taken at the moment"),
    })
}
