//! A Redis Cluster of real servers.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    RedisServer, RedisServerBuilder, TestkitError,
    redis_address::RedisAddress,
    redis_cluster_node::ClusterNode,
    waiting::{PATIENCE, Seen, on_blocking_thread, wait_until},
};

const SLOTS: usize = 16_384;

/// A Redis Cluster: three masters and, if asked for, replicas of each.
///
/// Forming one takes at least two seconds: a master does not call the cluster well before that.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    masters: usize,
}

/// Settings for a [`RedisCluster`]; see [`RedisCluster::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisClusterBuilder {
    masters: usize,
    replicas: usize,
    server: RedisServerBuilder,
}

impl RedisCluster {
    /// Starts three masters without replicas and waits until all of them call the cluster well.
    ///
    /// # Errors
    /// [`TestkitError::RedisNotInstalled`] among others.
    pub async fn start() -> Result<Self, TestkitError> {
        Self::builder().start().await
    }

    /// For a cluster with settings of its own.
    pub fn builder() -> RedisClusterBuilder {
        // Two seconds to call a node failed: short enough to test, long enough for a loaded machine.
        let server = RedisServer::builder()
            .config("cluster-enabled", "yes")
            .config("cluster-config-file", "nodes.conf")
            .config("cluster-node-timeout", "2000");
        RedisClusterBuilder { masters: 3, replicas: 0, server }
    }

    /// The URL: `redis+cluster://127.0.0.1:PORT,127.0.0.1:PORT,...`, of every node.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(|node| node.address().to_string()).collect();
        format!("redis+cluster://{}", addresses.join(","))
    }

    /// The servers: those that began as masters first, then their replicas, the first replica of each
    /// master before any second.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The servers, to stop and restart them.
    #[must_use]
    pub fn nodes_mut(&mut self) -> &mut [RedisServer] {
        &mut self.nodes
    }

    /// How many of the servers began as masters.
    #[must_use]
    pub fn masters(&self) -> usize {
        self.masters
    }

    /// Waits until every running node calls the cluster well and knows a living owner of every slot, and the
    /// running nodes own every slot between them. After a master was killed that is when its replica has taken over.
    ///
    /// # Errors
    /// [`TestkitError::Timeout`] if that does not come about, as when a killed master has no replica.
    pub async fn wait_until_ok(&self) -> Result<(), TestkitError> {
        let running = self.running();
        on_blocking_thread(move || wait_until_ok(&running)).await
    }

    /// The slot a key belongs to.
    ///
    /// # Errors
    /// If the first node does not answer.
    pub async fn slot_of(&self, key: &str) -> Result<u16, TestkitError> {
        self.nodes[0].command(["CLUSTER", "KEYSLOT", key]).await
    }

    /// The position in [`nodes`](Self::nodes) of the running master that owns a slot.
    ///
    /// # Errors
    /// [`TestkitError::Unexpected`] if none does.
    pub async fn slot_owner(&self, slot: u16) -> Result<usize, TestkitError> {
        let running = self.running();
        let port = on_blocking_thread(move || {
            for address in running.iter() {
                if ClusterNode::ask(address)?.owns(slot) {
                    return Ok(address.port);
                }
            }
            Err(TestkitError::Unexpected(format!("no running node owns slot {slot}")))
        })
        .await?;
        let position = self.nodes.iter().position(|node| node.port() == port);
        position.ok_or_else(|| TestkitError::Unexpected(format!("no node has port {port}")))
    }

    /// Begins to move a slot to the master at `target` in [`nodes`](Self::nodes): from here on its owner
    /// answers `ASK` for keys it does not hold.
    ///
    /// # Errors
    /// If a node does not answer, or has the slot already.
    pub async fn begin_slot_move(&self, slot: u16, target: usize) -> Result<(), TestkitError> {
        let (from, to) = self.ends_of_move(slot, target).await?;
        on_blocking_thread(move || {
            let (from_id, to_id) = (ClusterNode::ask(&from)?.id, ClusterNode::ask(&to)?.id);
            let slot = slot.to_string();
            to.ask::<()>(["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id])?;
            from.ask::<()>(["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id])
        })
        .await
    }

    /// Moves the slot's keys and gives it to the master at `target`: its former owner answers `MOVED`
    /// from here on. The move must have been begun.
    ///
    /// # Errors
    /// If a node does not answer or a key cannot be moved.
    pub async fn finish_slot_move(&self, slot: u16, target: usize) -> Result<(), TestkitError> {
        let (from, to) = self.ends_of_move(slot, target).await?;
        let running = self.running();
        on_blocking_thread(move || {
            move_keys(slot, &from, &to)?;
            let to_id = ClusterNode::ask(&to)?.id;
            let others = running.iter().filter(|node| node.port != to.port && node.port != from.port);
            // The new owner first, so that there is no moment at which nobody owns the slot.
            for node in [&to, &from].into_iter().chain(others) {
                if ClusterNode::ask(node)?.is_master {
                    node.ask::<()>(["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &to_id])?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn ends_of_move(&self, slot: u16, target: usize) -> Result<(RedisAddress, RedisAddress), TestkitError> {
        let owner = self.slot_owner(slot).await?;
        let to = self
            .nodes
            .get(target)
            .ok_or_else(|| TestkitError::Unexpected(format!("the cluster has no node {target}")))?;
        Ok((self.nodes[owner].redis_address().clone(), to.redis_address().clone()))
    }

    fn running(&self) -> Arc<[RedisAddress]> {
        let running = self.nodes.iter().filter(|node| node.pid().is_some());
        running.map(|node| node.redis_address().clone()).collect()
    }
}

impl RedisClusterBuilder {
    /// How many replicas each master has: none unless told.
    pub fn replicas(mut self, each: usize) -> Self {
        self.replicas = each;
        self
    }

    /// Adds a configuration line to every node; see [`RedisServerBuilder::config`].
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.server = self.server.config(name, value);
        self
    }

    /// Starts the nodes, forms the cluster and waits until every node calls it well.
    ///
    /// # Errors
    /// [`TestkitError::RedisNotInstalled`] among others.
    pub async fn start(self) -> Result<RedisCluster, TestkitError> {
        on_blocking_thread(move || {
            let count = self.masters * (1 + self.replicas);
            let nodes = (0..count).map(|_| RedisServer::launch(&self.server)).collect::<Result<Vec<_>, _>>()?;
            let cluster = RedisCluster { nodes, masters: self.masters };
            form(&cluster.running(), self.masters)?;
            Ok(cluster)
        })
        .await
    }
}

fn form(nodes: &[RedisAddress], masters: usize) -> Result<(), TestkitError> {
    for (position, node) in nodes.iter().enumerate() {
        // Distinct from the start, or the nodes would have to settle who comes first.
        node.ask::<()>(["CLUSTER", "SET-CONFIG-EPOCH", &(position + 1).to_string()])?;
        if position < masters {
            let slots = (SLOTS * position / masters)..(SLOTS * (position + 1) / masters);
            node.query::<()>(redis::cmd("CLUSTER").arg("ADDSLOTS").arg(slots.collect::<Vec<_>>()))?;
        }
        nodes[0].ask::<()>(["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string()])?;
    }
    wait_until("every node to know every other", PATIENCE, || {
        for node in nodes {
            let known = field(node, &["CLUSTER", "INFO"], "cluster_known_nodes")?;
            if known != nodes.len().to_string() {
                return Ok(Seen::NotYet(format!("the node on {} knows {known}", node.port)));
            }
        }
        Ok(Seen::Ready(()))
    })?;
    for (position, replica) in nodes.iter().enumerate().skip(masters) {
        let master = ClusterNode::ask(&nodes[position % masters])?;
        replica.ask::<()>(["CLUSTER", "REPLICATE", &master.id])?;
    }
    wait_until("every replica to follow its master", PATIENCE, || {
        for replica in &nodes[masters..] {
            let link = field(replica, &["INFO", "replication"], "master_link_status")?;
            if link != "up" {
                return Ok(Seen::NotYet(format!("the link of {} is '{link}'", replica.port)));
            }
        }
        Ok(Seen::Ready(()))
    })?;
    wait_until_ok(nodes)
}

fn wait_until_ok(running: &[RedisAddress]) -> Result<(), TestkitError> {
    wait_until("the cluster to be well on every node", PATIENCE, || {
        let mut owned = 0;
        for node in running {
            let mut info: BTreeMap<_, _> = node.fields(&["CLUSTER", "INFO"])?;
            let [state, known] =
                ["cluster_state", "cluster_slots_ok"].map(|field| info.remove(field).unwrap_or_default());
            // The state alone is no proof: without `cluster-require-full-coverage` a node calls a cluster well of which it
            // knows its own slots and no others.
            if state != "ok" || known != SLOTS.to_string() {
                return Ok(Seen::NotYet(format!(
                    "the node on {} says '{state}', and knows a living owner of {known} slots",
                    node.port
                )));
            }
            owned += ClusterNode::ask(node)?.owned();
        }
        Ok(if owned == SLOTS { Seen::Ready(()) } else { Seen::NotYet(format!("the running nodes own {owned} slots")) })
    })
}

fn move_keys(slot: u16, from: &RedisAddress, to: &RedisAddress) -> Result<(), TestkitError> {
    loop {
        let keys: Vec<Vec<u8>> = from.ask(["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "100"])?;
        if keys.is_empty() {
            return Ok(());
        }
        let mut migrate = redis::cmd("MIGRATE");
        migrate.arg("127.0.0.1").arg(to.port).arg("").arg(0).arg(5000);
        from.query::<()>(migrate.arg("KEYS").arg(keys))?;
    }
}

fn field(node: &RedisAddress, words: &[&str], name: &str) -> Result<String, TestkitError> {
    let mut fields: BTreeMap<_, _> = node.fields(words)?;
    Ok(fields.remove(name).unwrap_or_default())
}
