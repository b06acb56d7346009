//! Clusters, for the tests that change them.

use std::sync::Arc;
use std::time::Duration;

use keygate_core::coherence::{Coherence, Lease};
use keygate_core::names::OrganizationId;
use keygate_core::store::Store;
use keygate_redis::{Namespace, RedisStore};
use keygate_testkit::RedisCluster;

use super::{Heard, coherent, leased_at, namespace, owner_of, some_id, store_at, watch};

/// A Cluster, and a store that is told of changes by all its primaries.
pub(crate) struct Scene {
    pub(crate) cluster: RedisCluster,
    pub(crate) namespace: Namespace,
    pub(crate) store: RedisStore,
    pub(crate) heard: Arc<Heard>,
}

pub(crate) async fn scene_in(cluster: RedisCluster, lease: Duration) -> Scene {
    let namespace = namespace();
    let store = leased_at(&cluster.url(), namespace.clone(), lease).with_max_staleness(2 * lease).unwrap();
    let heard = watch(&store);
    store.load_record(some_id()).await.unwrap();
    coherent(&store, Coherence::Live).await;
    Scene { cluster, namespace, store, heard }
}

pub(crate) async fn scene(lease: Duration) -> Scene {
    scene_in(RedisCluster::start().await.unwrap(), lease).await
}

impl Scene {
    /// Another instance, which nobody watches.
    pub(crate) fn writer(&self) -> RedisStore {
        store_at(&self.cluster.url(), self.namespace.clone())
    }

    /// Where the entry is, and whither it may move.
    pub(crate) async fn route(&self, name: &str) -> (u16, usize) {
        let slot = self.cluster.slot_of(name).await.unwrap();
        (slot, (owner_of(&self.cluster, name).await + 1) % 3)
    }

    /// The lease of what is read of an organization that was never configured.
    pub(crate) async fn absent_parents(&self, organization: &OrganizationId) -> Arc<Lease> {
        let read = self.store.load_parents(organization, None).await.unwrap();
        assert_eq!(read.value.organization, None);
        read.lease.expect("a lease")
    }
}
