//! Makes connections.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, RedisError,
};

use super::connection::Connection;
use super::sentinels::Sentinels;
use crate::coherence::Push;
use crate::settings::{Address, Credentials, Host, Patience, Place, RedisSettings};

/// A peer that has answered nothing for so long is gone: the kernel then closes the connection.
const SILENCE: Duration = Duration::from_secs(10);
/// Requests that may wait to be written before callers wait in turn.
const QUEUE: usize = 1024;

/// How to reach the primary, or the Cluster.
pub(super) struct Dial {
    settings: RedisSettings,
    /// Kept between calls because they keep their connections.
    sentinels: Option<Sentinels>,
}

/// A server that may be the primary.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    info: ConnectionInfo,
    /// As the Sentinels name it, if they do.
    pub(super) named: Option<Host>,
}

impl Dial {
    pub(super) fn new(settings: RedisSettings) -> Self {
        #[cfg(feature = "tls")]
        if settings.address.tls && rustls::crypto::CryptoProvider::get_default().is_none() {
            // The library names no provider and panics without one, or when several are compiled in. One that the
            // application installed stays; an error here says that it did so this very moment.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let sentinels = match &settings.address.place {
            Place::Sentinel { sentinels, master, credentials } => {
                let addresses = sentinels.iter().map(|host| socket_address(host, settings.address.tls));
                Some(Sentinels::new(addresses, master, credentials, settings.patience.connection))
            }
            Place::Single(_) | Place::Socket(_) | Place::Cluster(_) => None,
        };
        Self { settings, sentinels }
    }

    pub(super) fn address(&self) -> &Address {
        &self.settings.address
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.settings.address.place, Place::Cluster(_))
    }

    /// The longest a connection may take to make. Behind Sentinels it is several connections.
    pub(super) fn patience(&self) -> Duration {
        match self.settings.address.place {
            Place::Single(_) | Place::Socket(_) => self.settings.patience.connection,
            Place::Sentinel { .. } | Place::Cluster(_) => 2 * self.settings.patience.connection,
        }
    }

    /// Where the primary may be, the likeliest first.
    pub(super) async fn candidates(&self) -> Result<Vec<Candidate>, RedisError> {
        let Address { place, credentials, tls, db } = &self.settings.address;
        let candidate = |address: ConnectionAddr, named: Option<Host>| -> Result<Candidate, RedisError> {
            let login = login(credentials).set_db((*db).into());
            Ok(Candidate { info: info(address, credentials)?.set_redis_settings(login), named })
        };
        match place {
            Place::Single(host) => Ok(vec![candidate(socket_address(host, *tls), None)?]),
            Place::Socket(path) => Ok(vec![candidate(ConnectionAddr::Unix(path.clone()), None)?]),
            Place::Sentinel { .. } => {
                let Some(sentinels) = &self.sentinels else { return Ok(Vec::new()) };
                let named = sentinels.primaries().await?;
                named.into_iter().map(|host| candidate(socket_address(&host, *tls), Some(host))).collect()
            }
            Place::Cluster(_) => Ok(Vec::new()),
        }
    }

    /// Connects to one server. With a `push` it is spoken to in RESP3, and what it says unasked goes there.
    pub(super) async fn open(
        &self,
        candidate: &Candidate,
        push: Option<Push>,
    ) -> Result<MultiplexedConnection, RedisError> {
        let Patience { connection: connecting, response } = self.settings.patience;
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connecting))
            .set_response_timeout(Some(response))
            .set_pipeline_buffer_size(QUEUE);
        let mut info = candidate.info.clone();
        if let Some(push) = push {
            let login = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
            info = info.set_redis_settings(login);
            config = config.set_push_sender(push);
        }
        Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Connects to the Cluster.
    pub(super) async fn open_cluster(&self) -> Result<Connection, RedisError> {
        let Address { place, credentials, tls, .. } = &self.settings.address;
        let Place::Cluster(nodes) = place else {
            return Err((ErrorKind::InvalidClientConfig, "not the address of a Cluster").into());
        };
        let client = cluster(nodes, credentials, *tls, self.settings.patience)?;
        client.get_async_connection().await.map(Connection::Cluster)
    }

    /// Whether the Sentinels, as far as they answer in time, name another primary than this.
    pub(super) async fn has_moved(&self, candidate: &Candidate, patience: Duration) -> bool {
        match (&self.sentinels, &candidate.named) {
            (Some(sentinels), Some(named)) => sentinels.have_left(named, patience).await,
            _ => false,
        }
    }
}

fn cluster(
    nodes: &[Host],
    credentials: &Credentials,
    tls: bool,
    patience: Patience,
) -> Result<ClusterClient, RedisError> {
    let nodes: Result<Vec<ConnectionInfo>, RedisError> =
        nodes.iter().map(|host| info(socket_address(host, tls), credentials)).collect();
    // Redirections are tries too. The waits are milliseconds; the library's own begin at 1.3 s.
    let mut builder = ClusterClientBuilder::new(nodes?)
        .retries(4)
        .min_retry_wait(20)
        .max_retry_wait(250)
        .connection_timeout(patience.connection)
        .response_timeout(patience.response)
        .overall_response_timeout(Some(patience.response))
        .tcp_settings(tcp());
    if let Some(username) = &credentials.username {
        builder = builder.username(username);
    }
    if let Some(password) = &credentials.password {
        builder = builder.password(password);
    }
    #[cfg(feature = "tls")]
    if tls {
        builder = builder.tls(redis::TlsMode::Secure);
    }
    builder.build()
}

fn login(credentials: &Credentials) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default();
    if let Some(username) = &credentials.username {
        login = login.set_username(username);
    }
    if let Some(password) = &credentials.password {
        login = login.set_password(password);
    }
    login
}

pub(super) fn info(address: ConnectionAddr, credentials: &Credentials) -> Result<ConnectionInfo, RedisError> {
    Ok(address.into_connection_info()?.set_tcp_settings(tcp()).set_redis_settings(login(credentials)))
}

fn socket_address(host: &Host, tls: bool) -> ConnectionAddr {
    let (host, port) = (host.name.clone(), host.port);
    if tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    }
}

fn tcp() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(SILENCE / 2).with_interval(SILENCE / 5);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(SILENCE);
    settings
}
