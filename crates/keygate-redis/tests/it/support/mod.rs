//! What the tests of the Redis store share: servers that live as long as the test process, and stores in them.

pub(crate) mod clusters;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use keygate_core::clock::Tick;
use keygate_core::coherence::{Change, Coherence, Lease, Watcher};
use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::record::{KeyRecord, Quota};
use keygate_core::store::{Listing, Store};
use keygate_redis::{Namespace, Pool, RedisSettings, RedisStore};
use keygate_testkit::{RedisCluster, RedisSentinel, RedisServer, sample};
use tokio::sync::OnceCell;

/// A namespace that nobody else uses.
pub(crate) fn namespace() -> Namespace {
    let random = u64::from_be_bytes(sample::random());
    Namespace::new(format!("t{random:016x}")).unwrap()
}

/// One server for all tests of the process.
pub(crate) async fn server() -> &'static RedisServer {
    static SERVER: OnceCell<RedisServer> = OnceCell::const_new();
    SERVER.get_or_init(|| async { RedisServer::start().await.unwrap() }).await
}

/// What the crate docs say that an ACL must allow, in its words: the names, and the commands.
fn documented<'a>() -> impl Iterator<Item = &'a str> {
    let (_, documented) = include_str!("../../../src/lib.rs").split_once("ACL SETUSER").unwrap();
    let (documented, _) = documented.split_once("```").unwrap();
    documented.split_whitespace()
}

/// The commands among them.
pub(crate) fn documented_commands<'a>() -> impl Iterator<Item = &'a str> {
    documented().filter(|word| word.starts_with('+'))
}

/// The names among them.
pub(crate) fn documented_names<'a>() -> impl Iterator<Item = &'a str> {
    documented().filter(|word| word.starts_with('~'))
}

/// One Cluster for all tests of the process.
pub(crate) async fn cluster() -> &'static RedisCluster {
    static CLUSTER: OnceCell<RedisCluster> = OnceCell::const_new();
    CLUSTER.get_or_init(|| async { RedisCluster::start().await.unwrap() }).await
}

/// One set of Sentinels for all tests of the process.
pub(crate) async fn sentinel() -> &'static RedisSentinel {
    static SENTINEL: OnceCell<RedisSentinel> = OnceCell::const_new();
    SENTINEL.get_or_init(|| async { RedisSentinel::start().await.unwrap() }).await
}

/// A store at this address, in this namespace.
pub(crate) fn store_at(url: &str, namespace: Namespace) -> RedisStore {
    RedisStore::connect(url.parse::<RedisSettings>().unwrap().with_namespace(namespace))
}

/// A pool of eight connections to this address.
pub(crate) fn pool(url: &str) -> Pool {
    let config = deadpool_redis::Config::from_url(url);
    config.builder().unwrap().max_size(8).runtime(deadpool_redis::Runtime::Tokio1).build().unwrap()
}

/// What the organization's slot and the keys' slots say, and that they agree: every key listed is there, every one there
/// is listed, ends are those of the records, and nothing is pending.
pub(crate) async fn assert_whole(
    server: &RedisServer,
    store: &RedisStore,
    organization: &OrganizationId,
    ids: &[KeyId],
) -> Vec<KeyRecord> {
    let layout = store.layout();
    let pending: u64 = server.command(["ZCARD", &layout.pending(organization)]).await.unwrap();
    let flights: u64 = server.command(["HLEN", &layout.flight(organization)]).await.unwrap();
    assert_eq!((pending, flights), (0, 0), "something is pending still");
    let listing = Listing::Organization(organization.clone());
    let listed: Vec<Vec<u8>> = server.command(["ZRANGE", &layout.keys(organization), "0", "-1"]).await.unwrap();
    let records = store.list(&listing, None, 10_000).await.unwrap().records;
    assert_eq!(listed.len(), records.len(), "keys are listed that are not there");
    for id in ids {
        let there = store.record(*id).await.unwrap();
        assert_eq!(records.iter().find(|record| record.key.id == *id), there.as_ref(), "key {id}");
    }
    let ended: Vec<(Vec<u8>, f64)> =
        server.command(["ZRANGE", &layout.ended(organization), "0", "-1", "WITHSCORES"]).await.unwrap();
    let mut expected: Vec<(Vec<u8>, f64)> = records
        .iter()
        .filter_map(|record| {
            Some((record.key.id.as_bytes().to_vec(), record.key.counts_until()?.timestamp_millis() as f64))
        })
        .collect();
    expected.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    assert_eq!(ended, expected, "ends are not those of the records");
    for user in records.iter().map(|record| &record.key.user).collect::<BTreeSet<_>>() {
        let counting = |record: &&KeyRecord| record.key.counts_until().is_none_or(|end| end > sample::now());
        let of_user = records.iter().filter(|record| record.key.user == *user).filter(counting).count() as u64;
        let used = store.quota_use(organization, user).await.unwrap();
        assert_eq!(used.user, of_user, "of user {user}");
        assert_eq!(used.organization, records.iter().filter(counting).count() as u64);
    }
    for project in records.iter().filter_map(|record| record.key.project.as_ref()).collect::<BTreeSet<_>>() {
        let counting = |record: &&KeyRecord| record.key.counts_until().is_none_or(|end| end > sample::now());
        let in_project = records.iter().filter(|record| record.key.project.as_ref() == Some(project));
        let used = store.project_use(organization, project).await.unwrap();
        assert_eq!(used, in_project.filter(counting).count() as u64, "of project {project}");
        let listed: Vec<(Vec<u8>, f64)> = server
            .command(["ZRANGE", &layout.project_keys(organization, project), "0", "-1", "WITHSCORES"])
            .await
            .unwrap();
        let listed: BTreeMap<Vec<u8>, String> = listed.into_iter().map(|(id, ends)| (id, ends.to_string())).collect();
        let in_project = records.iter().filter(|record| record.key.project.as_ref() == Some(project));
        let ends = |record: &KeyRecord| {
            let end = record.key.counts_until().map_or(f64::INFINITY, |end| end.timestamp_millis() as f64);
            (end != 0.0).then(|| (record.key.id.as_bytes().to_vec(), end.to_string()))
        };
        assert_eq!(listed, in_project.filter_map(ends).collect(), "of project {project}");
    }
    records
}

/// Waits until everything that was begun in an organization is ended, which is soon after its reservation.
pub(crate) async fn reaped(server: &RedisServer, store: &RedisStore, organization: &OrganizationId) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        store.reap(organization).await.unwrap();
        let pending: u64 = server.command(["ZCARD", &store.layout().pending(organization)]).await.unwrap();
        if pending == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "something stays pending");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One who watches a store, and remembers what it was told.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    changes: Mutex<Vec<Change>>,
    reached: Mutex<usize>,
}

impl Watcher for Heard {
    fn changed(&self, change: &Change) {
        self.changes.lock().unwrap().push(change.clone());
    }

    fn reached_anew(&self) {
        *self.reached.lock().unwrap() += 1;
    }
}

impl Heard {
    pub(crate) fn has(&self, change: &Change) -> bool {
        self.changes.lock().unwrap().contains(change)
    }

    pub(crate) fn forget(&self) {
        self.changes.lock().unwrap().clear();
    }

    pub(crate) fn reached(&self) -> usize {
        *self.reached.lock().unwrap()
    }
}

/// Watches a store, believing beyond a lease for `stale`.
pub(crate) fn watch_for(store: &RedisStore, stale: Duration) -> Arc<Heard> {
    let heard = Arc::new(Heard::default());
    let watcher: Weak<dyn Watcher> = Arc::downgrade(&(Arc::clone(&heard) as Arc<dyn Watcher>));
    store.watch(watcher, stale);
    heard
}

/// Watches a store.
pub(crate) fn watch(store: &RedisStore) -> Arc<Heard> {
    watch_for(store, Duration::ZERO)
}

/// A store at this address with this lease.
pub(crate) fn leased_at(url: &str, namespace: Namespace, lease: Duration) -> RedisStore {
    let settings: RedisSettings = url.parse().unwrap();
    RedisStore::connect(settings.with_namespace(namespace).with_lease(lease).unwrap())
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let what = what.to_owned();
    async move {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_so() {
            assert!(Instant::now() < deadline, "it does not come about that {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Waits until a store's watchers learn of changes in this way, without asking it anything.
pub(crate) async fn coherent(store: &RedisStore, coherence: Coherence) {
    eventually(&format!("the store is {coherence:?}"), || store.coherence() == coherence).await;
}

/// The lease of what is read now of nothing in particular.
pub(crate) async fn lease(store: &RedisStore) -> Arc<Lease> {
    store.load_record(some_id()).await.unwrap().lease.expect("a lease")
}

/// The id of no key.
pub(crate) fn some_id() -> KeyId {
    sample::record(&sample::organization(), &sample::user("bob")).key.id
}

pub(crate) fn is_live(lease: &Arc<Lease>) -> bool {
    lease.is_live(Tick::now())
}

/// A key of an organization of its own.
pub(crate) async fn create(store: &RedisStore) -> KeyRecord {
    let organization = sample::organization();
    let record = sample::record(&organization, &sample::user("bob"));
    let ample = Quota { per_organization: 1000, per_user: 1000 };
    assert_eq!(store.create(&organization, ample, vec![record.clone()]).await.unwrap(), [Ok(())]);
    record
}

/// The node of a Cluster that has the entry of this name.
pub(crate) async fn owner_of(cluster: &RedisCluster, name: &str) -> usize {
    cluster.slot_owner(cluster.slot_of(name).await.unwrap()).await.unwrap()
}

/// A key on each primary of a Cluster whose primaries are the first nodes, in their order.
pub(crate) async fn records_on_all(cluster: &RedisCluster, store: &RedisStore) -> Vec<KeyRecord> {
    let mut records = BTreeMap::new();
    while records.len() < cluster.masters() {
        let record = create(store).await;
        records.insert(owner_of(cluster, &store.layout().record(record.key.id)).await, record);
    }
    records.into_values().collect()
}

/// A live lease of what is read of this key. In a Cluster that may take until all know again who has what.
pub(crate) async fn lease_of(store: &RedisStore, id: KeyId) -> Arc<Lease> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(lease) = store.load_record(id).await.unwrap().lease.filter(is_live) {
            return lease;
        }
        assert!(Instant::now() < deadline, "what is read of {id} is not to be kept");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
