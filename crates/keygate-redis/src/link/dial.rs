//! Makes connections.

use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    TlsMode,
};
use tokio::sync::Mutex;

use super::connection::Connection;
use crate::settings::{Address, Credentials, Host, Patience, Place, RedisSettings};

/// A peer that has answered nothing for so long is gone: the kernel then closes the connection.
const SILENCE: Duration = Duration::from_secs(10);
/// Requests that may wait to be written before callers wait in turn.
const QUEUE: usize = 1024;

/// How to reach the primary, or the Cluster.
pub(super) struct Dial {
    settings: RedisSettings,
    /// Kept between calls because it keeps its connections to the Sentinels.
    sentinel: Mutex<Option<SentinelClient>>,
}

impl Dial {
    pub(super) fn new(settings: RedisSettings) -> Self {
        #[cfg(feature = "tls")]
        if settings.address.tls && rustls::crypto::CryptoProvider::get_default().is_none() {
            // The library names no provider and panics without one, or when several are compiled in. One that the
            // application installed stays; an error here says that it did so this very moment.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        Self { settings, sentinel: Mutex::new(None) }
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

    pub(super) async fn connect(&self) -> Result<Connection, RedisError> {
        let Address { place, credentials, tls, db } = &self.settings.address;
        let Patience { connection: connecting, response } = self.settings.patience;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connecting))
            .set_response_timeout(Some(response))
            .set_pipeline_buffer_size(QUEUE);
        let one = |address: ConnectionAddr| -> Result<Client, RedisError> {
            Client::open(info(address, credentials)?.set_redis_settings(login(credentials).set_db((*db).into())))
        };
        match place {
            Place::Single(host) => {
                let client = one(socket_address(host, *tls))?;
                client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::One)
            }
            Place::Socket(path) => {
                let client = one(ConnectionAddr::Unix(path.clone()))?;
                client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::One)
            }
            Place::Sentinel { .. } => {
                let mut sentinel = self.sentinel.lock().await;
                let client = match &mut *sentinel {
                    Some(client) => client,
                    none => none.insert(self.sentinels()?),
                };
                client.get_async_connection_with_config(&config).await.map(Connection::One)
            }
            Place::Cluster(nodes) => {
                let client = cluster(nodes, credentials, *tls, self.settings.patience)?;
                client.get_async_connection().await.map(Connection::Cluster)
            }
        }
    }

    fn sentinels(&self) -> Result<SentinelClient, RedisError> {
        let Address { place, credentials: Credentials { username, password }, tls, db } = &self.settings.address;
        let Place::Sentinel { sentinels, master, credentials } = place else {
            return Err((redis::ErrorKind::InvalidClientConfig, "not the address of Sentinels").into());
        };
        let addresses = sentinels.iter().map(|host| socket_address(host, *tls));
        let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
            .set_client_to_redis_db((*db).into())
            .set_client_to_redis_tcp_settings(tcp())
            .set_client_to_sentinel_tcp_settings(tcp());
        if *tls {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        if let Some(username) = username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = password {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(username) = &credentials.username {
            builder = builder.set_client_to_sentinel_username(username);
        }
        if let Some(password) = &credentials.password {
            builder = builder.set_client_to_sentinel_password(password);
        }
        builder.build()
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

fn info(address: ConnectionAddr, credentials: &Credentials) -> Result<ConnectionInfo, RedisError> {
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
