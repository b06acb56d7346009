//! One key for each thing that may be wrong with a key.

use std::time::Duration;

use chrono::TimeDelta;
use keygate::actor::{Actor, Operator};
use keygate::import::{ImportPattern, ImportPolicy};
use keygate::key::KeyId;
use keygate::limits::Limits;
use keygate::manager::{ApiKeyManager, CreatedKey, Expiry, NewKey, NewRole, OrganizationUpdate, UserUpdate};
use keygate::names::{Environment, OrganizationId};
use keygate::network::{Cidr, CidrSet};
use keygate::record::{ParentStatus, Quota, SecurityTier, UserStatus};
use keygate::ring::{MasterSecret, SecretRing};
use keygate::scope::ScopeSet;
use keygate::store::{MemoryStore, Store};
use keygate_testkit::{FaultyStore, HeldClock, sample};

use super::servers::Gate;

pub(crate) struct World {
    pub(crate) store: FaultyStore,
    manager: ApiKeyManager,
    never_opened: ApiKeyManager,
    pub(crate) key: String,
    pub(crate) foreign: String,
    pub(crate) deleted: String,
    pub(crate) wrong_secret: String,
    pub(crate) expired: String,
    pub(crate) not_yet_valid: String,
    pub(crate) inactive: String,
    pub(crate) revoked: String,
    pub(crate) of_suspended_organization: String,
    pub(crate) of_suspended_project: String,
    pub(crate) of_suspended_user: String,
    pub(crate) staging: String,
    pub(crate) bound: String,
    pub(crate) high_tier: String,
    pub(crate) reader: String,
    pub(crate) other_reader: String,
    pub(crate) near_reader: String,
    pub(crate) unscoped: String,
    pub(crate) permitted_only: String,
    pub(crate) writer: String,
    /// Of owners whose roles cover what it may do, and do not.
    pub(crate) covered: String,
    pub(crate) capped: String,
    /// Rotated at 02:00 on the first of January 2026, with an overlap of a week.
    pub(crate) rotated: String,
    /// Made elsewhere; one that is, one of the same form that is not, and one that was revoked.
    pub(crate) imported: String,
    pub(crate) imported_unknown: String,
    pub(crate) imported_revoked: String,
    pub(crate) successor: CreatedSuccessor,
}

/// The key that a rotation made.
pub(crate) struct CreatedSuccessor {
    pub(crate) id: KeyId,
    pub(crate) text: String,
}

fn operator() -> Operator {
    Operator::named("test".parse().unwrap())
}

fn actor() -> Actor {
    operator().into()
}

fn scopes(texts: &[&str]) -> ScopeSet {
    ScopeSet::parse(texts).unwrap()
}

async fn make(manager: &ApiKeyManager, change: impl FnOnce(&mut NewKey)) -> CreatedKey {
    let mut new = NewKey::new("acme".parse().unwrap(), "ada".parse().unwrap());
    // What limits do has a table of its own.
    new.limits = Some(Limits::UNLIMITED);
    change(&mut new);
    manager.create(&actor(), new).await.unwrap()
}

async fn text(manager: &ApiKeyManager, change: impl FnOnce(&mut NewKey)) -> String {
    make(manager, change).await.text.expose().to_owned()
}

impl World {
    pub(crate) async fn new(capacity: usize) -> Self {
        let clock = HeldClock::new();
        let start = clock.now();
        let ring = SecretRing::new(&MasterSecret::generate().unwrap());
        let memory = std::sync::Arc::new(MemoryStore::new());
        let store = FaultyStore::before(memory.clone());
        let quota = Quota { per_organization: 100, per_user: 100 };
        let builder = ApiKeyManager::builder(store.clone(), ring.clone()).clock(clock.clone()).quota(quota);
        let pattern = ImportPattern::parse("legacy=sk_live_[a-z]{24}").unwrap();
        let builder = builder.cache_capacity(capacity).imports(ImportPolicy::default().pattern(pattern).unwrap());
        let manager = builder.build().unwrap();
        manager.open().await.unwrap();

        let revoked = make(&manager, |_| {}).await;
        manager.revoke(&actor(), revoked.key.id, None).await.unwrap();
        let deleted = make(&manager, |_| {}).await;
        manager.revoke(&actor(), deleted.key.id, None).await.unwrap();
        manager.delete(&actor(), deleted.key.id, None).await.unwrap();
        let inactive = make(&manager, |_| {}).await;
        manager.deactivate(&actor(), inactive.key.id, None).await.unwrap();

        let suspended: OrganizationId = "suspended".parse().unwrap();
        let of_suspended_organization = text(&manager, |new| new.organization = suspended.clone()).await;
        let mut update = OrganizationUpdate::default();
        update.status = Some(ParentStatus::Suspended);
        manager.update_organization(&operator(), &suspended, &update, None).await.unwrap();
        let project = sample::project("stopped");
        let of_suspended_project = text(&manager, |new| new.project = Some(project.clone())).await;
        let acme: OrganizationId = "acme".parse().unwrap();
        manager.set_project_status(&actor(), &acme, &project, ParentStatus::Suspended).await.unwrap();
        let gone = sample::user("gone");
        let of_suspended_user = text(&manager, |new| new.user = gone.clone()).await;
        let update = UserUpdate { status: Some(UserStatus::Suspended), ..UserUpdate::default() };
        manager.update_user(&actor(), &acme, &gone, &update, None).await.unwrap();

        let expired = text(&manager, |new| new.expiry = Expiry::In(TimeDelta::hours(1))).await;
        let not_yet_valid = text(&manager, |new| new.not_before = Some(start + TimeDelta::days(10))).await;
        clock.advance(Duration::from_secs(2 * 3600));

        let [imported, imported_unknown, imported_revoked] =
            ["i", "u", "r"].map(|of| format!("sk_live_{}", of.repeat(24)));
        let line = |text: &String| format!("{{\"raw\":\"{text}\",\"user_id\":\"ada\",\"limits\":{{}}}}\n");
        let lines = [&imported, &imported_revoked].map(line).concat();
        let outcomes = manager.import(&operator(), &acme, lines.as_bytes(), false).await.unwrap();
        manager.revoke(&actor(), outcomes[1].key_id.unwrap(), None).await.unwrap();

        let rotated = make(&manager, |_| {}).await;
        let rotation = manager.rotate(&actor(), rotated.key.id, None).await.unwrap();

        let networks = CidrSet::new([Cidr::new("203.0.113.0/24").unwrap()]).unwrap();
        Self {
            key: text(&manager, |_| {}).await,
            foreign: foreign(&clock).await,
            deleted: deleted.text.expose().to_owned(),
            wrong_secret: wrong_secret(&*memory, ring.clone(), &clock).await,
            imported,
            imported_unknown,
            imported_revoked,
            expired,
            not_yet_valid,
            inactive: inactive.text.expose().to_owned(),
            revoked: revoked.text.expose().to_owned(),
            of_suspended_organization,
            of_suspended_project,
            of_suspended_user,
            staging: text(&manager, |new| new.environment = Some(Environment::new("staging").unwrap())).await,
            bound: text(&manager, |new| new.allowed_ips = Some(networks)).await,
            high_tier: text(&manager, |new| new.security_tier = Some(SecurityTier::High)).await,
            reader: text(&manager, |new| new.scopes = Some(scopes(&["*:read"]))).await,
            other_reader: text(&manager, |new| new.scopes = Some(scopes(&["invoices:read"]))).await,
            near_reader: text(&manager, |new| new.scopes = Some(scopes(&["reports:readonly", "reports"]))).await,
            unscoped: text(&manager, |new| new.scopes = Some(ScopeSet::empty())).await,
            permitted_only: text(&manager, |new| new.permissions = scopes(&["reports:read", "admin:write"])).await,
            writer: text(&manager, |new| {
                new.scopes = Some(scopes(&["reports:read", "reports:write"]));
                new.permissions = scopes(&["admin:**"]);
            })
            .await,
            covered: owned(&manager, "boss", &["admin:**"]).await,
            capped: owned(&manager, "clerk", &["reports:**"]).await,
            rotated: rotated.text.expose().to_owned(),
            successor: CreatedSuccessor { id: rotation.new_key_id, text: rotation.text.expose().to_owned() },
            never_opened: {
                let broken = FaultyStore::new(MemoryStore::new());
                broken.fail();
                ApiKeyManager::builder(broken, ring).clock(clock).build().unwrap()
            },
            store,
            manager,
        }
    }

    /// The manager that stands behind a gate.
    pub(crate) fn manager(&self, gate: Gate) -> ApiKeyManager {
        if gate == Gate::NeverOpened { self.never_opened.clone() } else { self.manager.clone() }
    }
}

/// A key with permissions, whose owner has a role that covers these.
async fn owned(manager: &ApiKeyManager, owner: &str, covered: &[&str]) -> String {
    let acme: OrganizationId = "acme".parse().unwrap();
    let role = NewRole { permissions: scopes(covered), ..NewRole::default() };
    manager.put_role(&actor(), &acme, &owner.parse().unwrap(), &role, None).await.unwrap();
    let having = UserUpdate { roles: Some(Some(vec![owner.parse().unwrap()])), ..UserUpdate::default() };
    manager.update_user(&actor(), &acme, &sample::user(owner), &having, None).await.unwrap();
    text(manager, |new| {
        new.user = sample::user(owner);
        new.permissions = scopes(&["admin:**"]);
    })
    .await
}

/// A key of another deployment.
async fn foreign(clock: &HeldClock) -> String {
    let ring = SecretRing::new(&MasterSecret::generate().unwrap());
    let manager = ApiKeyManager::builder(MemoryStore::new(), ring).clock(clock.clone()).build().unwrap();
    text(&manager, |_| {}).await
}

/// A text with a genuine tag whose id has a record here, which was made from another secret.
async fn wrong_secret(store: &dyn Store, ring: SecretRing, clock: &HeldClock) -> String {
    let elsewhere = std::sync::Arc::new(MemoryStore::new());
    let manager = ApiKeyManager::builder_shared(elsewhere.clone(), ring).clock(clock.clone()).build().unwrap();
    let created = make(&manager, |_| {}).await;
    let id: KeyId = created.key.id;
    let mut record = elsewhere.record(id).await.unwrap().unwrap();
    record.verifier = sample::record(&record.key.organization, &record.key.user).verifier;
    let quota = Quota { per_organization: 100, per_user: 100 };
    let organization = record.key.organization.clone();
    store.create(&organization, quota, vec![record]).await.unwrap().remove(0).unwrap();
    created.text.expose().to_owned()
}
