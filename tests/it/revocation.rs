//! Promise 3, over a real Redis: after `revoke` has returned, an instance accepts the key no later than its lease, whatever
//! lies between the instance and the store; and it recovers by itself.
//!
//! The moment of each request is taken before it begins. So a slow machine makes a test slow, and never wrong: only a
//! request that began after the bound and was accepted all the same is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keygate::actor::{Actor, Operator};
use keygate::coherence::Coherence;
use keygate::context::RequestContext;
use keygate::denial::DenialReason;
use keygate::manager::{ApiKeyManager, CreatedKey, NewKey, NewRole, UserUpdate};
use keygate::names::PrincipalId;
use keygate::record::{Quota, UserStatus};
use keygate::redis::{RedisSettings, RedisStore};
use keygate::ring::{MasterSecret, SecretRing};
use keygate::scope::ScopeSet;
use keygate_testkit::{FaultProxy, RedisServer};

/// H.
const LEASE: Duration = Duration::from_millis(400);
/// What an acceptance may be later than the lease.
const MARGIN: Duration = Duration::from_millis(100);
/// How long recovery may take before the test says that it does not come.
const PATIENCE: Duration = Duration::from_secs(30);

fn operator() -> Actor {
    Operator::named(PrincipalId::new("test").unwrap()).into()
}

fn manager_at(url: &str, ring: &SecretRing) -> ApiKeyManager {
    let settings = url.parse::<RedisSettings>().unwrap().with_lease(LEASE).unwrap();
    let roomy = Quota { per_organization: 1_000_000, per_user: 1_000_000 };
    ApiKeyManager::builder(RedisStore::connect(settings), ring.clone()).quota(roomy).build().unwrap()
}

/// One instance beside the server, one behind a connection that the test breaks, and a key that both have in use.
struct Scene {
    server: RedisServer,
    proxy: FaultProxy,
    here: ApiKeyManager,
    there: ApiKeyManager,
    key: CreatedKey,
}

impl Scene {
    async fn new() -> Self {
        let server = RedisServer::start().await.unwrap();
        let proxy = FaultProxy::start(server.address()).unwrap();
        let ring = SecretRing::new(&MasterSecret::generate().unwrap());
        let (here, there) = (manager_at(&server.url(), &ring), manager_at(&proxy.url(), &ring));
        here.open().await.unwrap();
        there.open().await.unwrap();
        let scene = Self { key: make(&here).await, server, proxy, here, there };
        scene.wait_until_kept(&scene.key).await;
        scene
    }

    /// Until the instance behind the proxy decides over the key without the store.
    async fn wait_until_kept(&self, key: &CreatedKey) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let before = self.there.cache_statistics().hits;
            let decision = self.there.validate(key.text.expose(), &context()).await;
            if decision.is_ok() && self.there.cache_statistics().hits > before {
                return;
            }
            assert!(Instant::now() < deadline, "not kept: {decision:?}");
            tokio::task::yield_now().await;
        }
    }

    /// Asks the instance behind the proxy again and again while `act` is done, and says when the last request that was
    /// accepted began, and why the key is refused.
    async fn last_accepted(&self, act: impl Future<Output = Instant>) -> (Duration, DenialReason) {
        let stop = Arc::new(AtomicBool::new(false));
        let (there, text, stopped) = (self.there.clone(), self.key.text.expose().to_owned(), Arc::clone(&stop));
        let asking = tokio::spawn(async move {
            let (mut last, mut reason) = (None, None);
            while !stopped.load(Ordering::SeqCst) || reason.is_none() {
                let began = Instant::now();
                match there.validate(&text, &context()).await {
                    Ok(_) => (last, reason) = (Some(began), None),
                    Err(denial) => reason = Some(denial.reason()),
                }
                tokio::task::yield_now().await;
            }
            (last, reason)
        });
        let since = act.await;
        // Long enough that whoever goes on accepting is found out.
        tokio::time::sleep(3 * LEASE).await;
        stop.store(true, Ordering::SeqCst);
        let (last, reason) = tokio::time::timeout(PATIENCE, asking).await.expect("it ends").unwrap();
        (last.map_or(Duration::ZERO, |last| last.saturating_duration_since(since)), reason.unwrap())
    }

    /// The owner of the keys may do what this covers, by its one role.
    async fn covered_by(&self, permission: &str) -> Instant {
        let (acme, worker) = ("acme".parse().unwrap(), "worker".parse().unwrap());
        let role = NewRole { permissions: covering(permission), ..NewRole::default() };
        self.here.put_role(&operator(), &acme, &worker, &role, None).await.unwrap();
        self.owner(&UserUpdate { roles: Some(Some(vec![worker])), ..UserUpdate::default() }).await
    }

    async fn owner(&self, update: &UserUpdate) -> Instant {
        let (acme, ada) = ("acme".parse().unwrap(), "ada".parse().unwrap());
        self.here.update_user(&operator(), &acme, &ada, update, None).await.unwrap();
        Instant::now()
    }

    async fn revoke(&self) -> Instant {
        self.here.revoke(&operator(), self.key.key.id, None).await.unwrap();
        Instant::now()
    }

    /// The instance behind the proxy finds its way back, without being asked anything, and then knows what happened.
    async fn recovers(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.there.coherence() != Coherence::Live {
            assert!(Instant::now() < deadline, "still {:?}", self.there.coherence());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Word of a revocation made just now may still be on its way.
        let denial = loop {
            match self.there.validate(self.key.text.expose(), &context()).await {
                Err(denial) => break denial,
                Ok(_) => assert!(Instant::now() < deadline, "still accepted"),
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(denial.reason(), DenialReason::KeyRevoked);
        self.wait_until_kept(&make(&self.here).await).await;
    }
}

/// What every request needs.
fn context() -> RequestContext {
    RequestContext::new().needing_permission("work".parse().unwrap())
}

async fn make(manager: &ApiKeyManager) -> CreatedKey {
    let mut new = NewKey::new("acme".parse().unwrap(), "ada".parse().unwrap());
    new.permissions = covering("work");
    manager.create(&operator(), new).await.unwrap()
}

fn covering(permission: &str) -> ScopeSet {
    ScopeSet::parse([permission]).unwrap()
}

/// The key is revoked while the instance's connection is broken in this way, which is then mended.
async fn refuses_within_the_lease_while(break_it: impl FnOnce(&FaultProxy)) {
    let scene = Scene::new().await;
    break_it(&scene.proxy);
    let (late, reason) = scene.last_accepted(scene.revoke()).await;
    within_the_lease(late);
    assert_eq!(reason, DenialReason::StoreUnavailable);
    scene.proxy.pass();
    scene.recovers().await;
}

fn within_the_lease(late: Duration) {
    assert!(late <= LEASE + MARGIN, "accepted {late:?} after the revocation had returned");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connected_instance_hears_of_a_revocation() {
    let scene = Scene::new().await;
    let (late, reason) = scene.last_accepted(scene.revoke()).await;
    within_the_lease(late);
    assert_eq!(reason, DenialReason::KeyRevoked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_cut_off_refuses_the_key_within_its_lease() {
    refuses_within_the_lease_while(FaultProxy::cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_whose_connection_leads_nowhere_refuses_the_key_within_its_lease() {
    refuses_within_the_lease_while(FaultProxy::swallow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_gets_no_answers_refuses_the_key_within_its_lease() {
    refuses_within_the_lease_while(FaultProxy::swallow_replies).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_is_not_believed_beyond_the_lease() {
    let scene = Scene::new().await;
    let frozen = async {
        scene.server.freeze().unwrap();
        Instant::now()
    };
    let (late, reason) = scene.last_accepted(frozen).await;
    within_the_lease(late);
    assert_eq!(reason, DenialReason::StoreUnavailable);
    scene.server.thaw().unwrap();
    scene.wait_until_kept(&scene.key).await;
    scene.revoke().await;
    scene.recovers().await;
}

/// 503 by the missing marker, and not 401: to the holder of a good key it is the service that is in trouble.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_emptied_is_trouble_at_once_and_no_list_of_invalid_keys() {
    let scene = Scene::new().await;
    let flushed = async {
        scene.server.command::<()>(&["FLUSHALL"]).await.unwrap();
        Instant::now()
    };
    let (late, reason) = scene.last_accepted(flushed).await;
    within_the_lease(late);
    assert_eq!(reason, DenialReason::StoreUnavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_empty_is_trouble_and_no_list_of_invalid_keys() {
    let mut scene = Scene::new().await;
    scene.server.kill();
    let killed = Instant::now();
    scene.server.restart_empty().await.unwrap();
    let (late, reason) = scene.last_accepted(async move { killed }).await;
    within_the_lease(late);
    assert_eq!(reason, DenialReason::StoreUnavailable);
}

/// What its owner may do no more a key may do no more, whatever lies between the instance and the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demotion_reaches_the_keys_of_its_user_within_the_lease() {
    // Where no role was ever configured, where there is one that covers, and where the connection leads nowhere.
    for (covered, broken) in [(false, false), (true, false), (true, true)] {
        let scene = Scene::new().await;
        if covered {
            scene.covered_by("work").await;
            scene.wait_until_kept(&scene.key).await;
        }
        if broken {
            scene.proxy.swallow();
        }
        let (late, reason) = scene.last_accepted(scene.covered_by("rest")).await;
        within_the_lease(late);
        let expected = if broken { DenialReason::StoreUnavailable } else { DenialReason::PermissionDenied };
        assert_eq!(reason, expected);
        scene.proxy.pass();
        scene.covered_by("work").await;
        scene.wait_until_kept(&scene.key).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_owner_is_refused_within_the_lease_and_comes_back() {
    let scene = Scene::new().await;
    let to = |status| UserUpdate { status: Some(status), ..UserUpdate::default() };
    let suspended = to(UserStatus::Suspended);
    let (late, reason) = scene.last_accepted(scene.owner(&suspended)).await;
    within_the_lease(late);
    assert_eq!(reason, DenialReason::UserSuspended);
    scene.owner(&to(UserStatus::Active)).await;
    scene.wait_until_kept(&scene.key).await;
}

/// What was confirmed is final: no request that begins afterwards is accepted, by anybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_confirmed_is_refused_everywhere() {
    let scene = Scene::new().await;
    for broken in [false, true] {
        let key = make(&scene.here).await;
        scene.wait_until_kept(&key).await;
        if broken {
            scene.proxy.swallow();
        }
        let revocation = scene.here.revoke_confirmed(&operator(), key.key.id, None).await.unwrap();
        assert!(revocation.confirmed, "a lease is over long before the deployment's maximum");
        for manager in [&scene.here, &scene.there] {
            assert!(manager.validate(key.text.expose(), &context()).await.is_err());
        }
    }
}
