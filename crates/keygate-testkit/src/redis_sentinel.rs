//! A Redis primary with replicas, watched over by Sentinel.

use std::{net::SocketAddr, sync::Arc};

use crate::{
    RedisServer, RedisServerBuilder, TestkitError,
    redis_address::RedisAddress,
    waiting::{PATIENCE, Seen, on_blocking_thread, wait_until},
};

/// The name under which the sentinels know the primary.
const NAME: &str = "mymaster";

/// A primary, its replicas, and the Sentinel processes that decide between them.
///
/// A primary that is killed is found to be down after one second. One that was replaced while it ran
/// is told so only about ten seconds later, and takes writes until then, as in real life.
#[derive(Debug)]
pub struct RedisSentinel {
    sentinels: Vec<RedisServer>,
    servers: Vec<RedisServer>,
}

/// Settings for a [`RedisSentinel`]; see [`RedisSentinel::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisSentinelBuilder {
    sentinels: usize,
    quorum: usize,
    replicas: usize,
    server: RedisServerBuilder,
}

impl RedisSentinel {
    /// Starts a primary with one replica and one sentinel, and waits until a failover is possible.
    ///
    /// # Errors
    /// [`TestkitError::RedisNotInstalled`] among others.
    pub async fn start() -> Result<Self, TestkitError> {
        Self::builder().start().await
    }

    /// For a group with settings of its own.
    pub fn builder() -> RedisSentinelBuilder {
        RedisSentinelBuilder { sentinels: 1, quorum: 1, replicas: 1, server: RedisServer::builder() }
    }

    /// The URL: `redis+sentinel://127.0.0.1:PORT,.../mymaster`, of every sentinel.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses: Vec<String> = self.sentinels.iter().map(|sentinel| sentinel.address().to_string()).collect();
        format!("redis+sentinel://{}/{NAME}", addresses.join(","))
    }

    /// The Sentinel processes.
    #[must_use]
    pub fn sentinels(&self) -> &[RedisServer] {
        &self.sentinels
    }

    /// The Sentinel processes, to stop and restart them.
    #[must_use]
    pub fn sentinels_mut(&mut self) -> &mut [RedisServer] {
        &mut self.sentinels
    }

    /// The servers that hold the data: the one that began as the primary first.
    #[must_use]
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// The servers that hold the data, to stop and restart them.
    #[must_use]
    pub fn servers_mut(&mut self) -> &mut [RedisServer] {
        &mut self.servers
    }

    /// The position in [`servers`](Self::servers) of the primary, as the sentinels see it now.
    ///
    /// # Errors
    /// If the first running sentinel does not answer.
    pub async fn primary(&self) -> Result<usize, TestkitError> {
        let sentinels = running(&self.sentinels);
        let address = on_blocking_thread(move || {
            let sentinel = sentinels.first().ok_or_else(none_running)?;
            primary_of(sentinel)
        })
        .await?;
        let position = self.servers.iter().position(|server| server.address() == address);
        position.ok_or_else(|| TestkitError::Unexpected(format!("the sentinels name {address}, which is none of ours")))
    }

    /// Has the sentinels put a replica in the primary's place, both alive, and waits until it is there.
    /// Gives its position in [`servers`](Self::servers).
    ///
    /// # Errors
    /// [`TestkitError::Timeout`] if no replica can be promoted.
    pub async fn failover(&self) -> Result<usize, TestkitError> {
        let before = self.servers[self.primary().await?].address();
        let sentinels = running(&self.sentinels);
        on_blocking_thread(move || {
            let sentinel = sentinels.first().ok_or_else(none_running)?;
            wait_until("Sentinel to begin a failover", PATIENCE, || {
                // Refused while the last one is still running, or no replica's link is known good yet.
                Ok(match sentinel.ask::<()>(["SENTINEL", "FAILOVER", NAME]) {
                    Ok(()) => Seen::Ready(()),
                    Err(refusal) => Seen::NotYet(refusal.to_string()),
                })
            })
        })
        .await?;
        self.wait_for_other_than(before).await
    }

    /// Waits until the sentinels agree on a primary other than the one at `former`, and it has taken the
    /// role. For a test that killed the former primary. Gives the new one's position in
    /// [`servers`](Self::servers).
    ///
    /// # Errors
    /// [`TestkitError::Timeout`] if that does not come about.
    pub async fn wait_for_other_than(&self, former: SocketAddr) -> Result<usize, TestkitError> {
        let sentinels = running(&self.sentinels);
        let password = self.servers[0].redis_address().password.clone();
        on_blocking_thread(move || {
            wait_until("a new primary", PATIENCE, || {
                for sentinel in sentinels.iter() {
                    let named = primary_of(sentinel)?;
                    if named == former {
                        return Ok(Seen::NotYet(format!("still {former}")));
                    }
                    let named = RedisAddress::new(named.port(), password.clone());
                    let fields = named.fields(&["INFO", "replication"])?;
                    if fields.get("role").map(String::as_str) != Some("master") {
                        return Ok(Seen::NotYet(format!("{} is not promoted yet", named.port)));
                    }
                }
                Ok(Seen::Ready(()))
            })
        })
        .await?;
        self.primary().await
    }
}

impl RedisSentinelBuilder {
    /// How many Sentinel processes there are, and how many of them must agree that the primary is down.
    /// One and one unless told.
    pub fn sentinels(mut self, count: usize, quorum: usize) -> Self {
        (self.sentinels, self.quorum) = (count, quorum);
        self
    }

    /// How many replicas the primary has: one unless told.
    pub fn replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
    }

    /// Adds a configuration line to every server that holds data; see [`RedisServerBuilder::config`].
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.server = self.server.config(name, value);
        self
    }

    /// Starts every process and waits until a failover is possible.
    ///
    /// # Errors
    /// [`TestkitError::RedisNotInstalled`] among others.
    pub async fn start(self) -> Result<RedisSentinel, TestkitError> {
        on_blocking_thread(move || {
            let primary = RedisServer::launch(&self.server)?;
            let mut servers = vec![primary];
            for _ in 0..self.replicas {
                let replica = self.server.clone().replica_of(&servers[0]);
                servers.push(RedisServer::launch(&replica)?);
            }
            let watch = format!("monitor {NAME} 127.0.0.1 {} {}", servers[0].port(), self.quorum);
            let sentinel = RedisServerBuilder::sentinel()
                .config("sentinel", &watch)
                .config("sentinel", &format!("down-after-milliseconds {NAME} 1000"))
                .config("sentinel", &format!("failover-timeout {NAME} 6000"));
            let sentinels =
                (0..self.sentinels).map(|_| RedisServer::launch(&sentinel)).collect::<Result<Vec<_>, _>>()?;
            let group = RedisSentinel { sentinels, servers };
            for sentinel in running(&group.sentinels).iter() {
                wait_until_watching(sentinel, self.replicas, self.sentinels - 1)?;
            }
            wait_until_online(group.servers[0].redis_address(), self.replicas)?;
            Ok(group)
        })
        .await
    }
}

/// Waits until the primary sends its writes to every replica. A replica that says its link is up is not there yet.
fn wait_until_online(primary: &RedisAddress, replicas: usize) -> Result<(), TestkitError> {
    wait_until("the primary to feed its replicas", PATIENCE, || {
        let fields = primary.fields(&["INFO", "replication"])?;
        let is_online = |nth: &usize| fields.get(&format!("slave{nth}")).is_some_and(|it| it.contains("state=online"));
        let online = (0..replicas).filter(is_online).count();
        Ok(if online == replicas { Seen::Ready(()) } else { Seen::NotYet(format!("{online} of {replicas} online")) })
    })
}

/// Waits until a sentinel knows its peers, and every replica as one that follows the primary.
fn wait_until_watching(sentinel: &RedisAddress, replicas: usize, peers: usize) -> Result<(), TestkitError> {
    wait_until("a sentinel to know its replicas and peers", PATIENCE, || {
        let known: Vec<std::collections::HashMap<String, String>> = sentinel.ask(["SENTINEL", "REPLICAS", NAME])?;
        let good = known.iter().filter(|replica| {
            let is = |field: &str, value: &str| replica.get(field).is_some_and(|it| it == value);
            is("flags", "slave") && is("master-link-status", "ok")
        });
        let good = good.count();
        let others: Vec<std::collections::HashMap<String, String>> = sentinel.ask(["SENTINEL", "SENTINELS", NAME])?;
        let alive = others.iter().filter(|peer| peer.get("flags").is_some_and(|it| it == "sentinel"));
        let alive = alive.count();
        Ok(if good == replicas && alive == peers {
            Seen::Ready(())
        } else {
            Seen::NotYet(format!("{good} of {replicas} replicas, {alive} of {peers} peers"))
        })
    })
}

fn primary_of(sentinel: &RedisAddress) -> Result<SocketAddr, TestkitError> {
    let (host, port): (String, String) = sentinel.ask(["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME])?;
    format!("{host}:{port}").parse().map_err(|_| TestkitError::Unexpected(format!("the sentinels name {host}:{port}")))
}

fn running(servers: &[RedisServer]) -> Arc<[RedisAddress]> {
    let running = servers.iter().filter(|server| server.pid().is_some());
    running.map(|server| server.redis_address().clone()).collect()
}

fn none_running() -> TestkitError {
    TestkitError::Unexpected("no sentinel is running".to_owned())
}
