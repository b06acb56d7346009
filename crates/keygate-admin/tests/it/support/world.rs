//! One key for each thing that may be wrong with a key, and the API over all of them.

#![allow(unreachable_pub)]

use std::time::Duration;

use chrono::TimeDelta;
use keygate_admin::Admin;
use keygate_core::actor::Actor;
use keygate_core::limits::Limits;
use keygate_core::manager::{ApiKeyManager, CreatedKey, Expiry, NewKey, OrganizationUpdate, UserUpdate};
use keygate_core::names::{Environment, OrganizationId};
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::record::{ParentStatus, Quota, UserStatus};
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_core::scope::ScopeSet;
use keygate_core::store::MemoryStore;
use keygate_testkit::{FaultyStore, HeldClock, sample};

use crate::support::{Api, boss};

/// The proxies that are trusted.
pub const PROXIES: &str = "10.0.0.0/8";

/// Keys of ada at acme, each as its name says and without limits unless it says so, and the API.
pub struct World {
    pub api: Api,
    pub store: FaultyStore,
    /// Of scope `reports:*` and permission `admin:write`.
    pub key: CreatedKey,
    pub plain: String,
    pub foreign: String,
    pub deleted: String,
    pub inactive: String,
    pub revoked: String,
    pub expired: String,
    pub not_yet_valid: String,
    pub staging: String,
    /// To be used from 203.0.113.0/24.
    pub bound: String,
    pub of_suspended_organization: String,
    pub of_suspended_project: String,
    pub of_suspended_user: String,
    /// Of 3 a month.
    pub limited: String,
    /// A valid key of the organization `other`.
    pub of_other: String,
}

fn actor() -> Actor {
    boss().into()
}

pub async fn make(manager: &ApiKeyManager, change: impl FnOnce(&mut NewKey)) -> CreatedKey {
    let mut new = NewKey::new("acme".parse().unwrap(), "ada".parse().unwrap());
    new.limits = Some(Limits::UNLIMITED);
    change(&mut new);
    manager.create(&actor(), new).await.unwrap()
}

pub async fn text(manager: &ApiKeyManager, change: impl FnOnce(&mut NewKey)) -> String {
    make(manager, change).await.text.expose().to_owned()
}

pub fn networks(text: &str) -> CidrSet {
    CidrSet::new([Cidr::new(text).unwrap()]).unwrap()
}

/// A key of the right form that no deployment of these tests made: the last character of its tag is another.
pub fn forged(key: &str) -> String {
    let (rest, last) = key.split_at(key.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" })
}

impl World {
    /// With room in the cache for this many keys.
    pub async fn new(capacity: usize) -> Self {
        Self::trusting(capacity, PROXIES).await
    }

    /// The same, behind proxies of this network.
    pub async fn trusting(capacity: usize, proxies: &str) -> Self {
        let clock = HeldClock::new();
        let store = FaultyStore::new(MemoryStore::new());
        let ring = SecretRing::new(&MasterSecret::generate().unwrap());
        let builder = ApiKeyManager::builder(store.clone(), ring).clock(clock.clone()).cache_capacity(capacity);
        let manager = builder.quota(Quota { per_organization: 10_000, per_user: 10_000 }).build().unwrap();
        let operator = manager.ensure_operator_key(&boss()).await.unwrap().unwrap().text.expose().to_owned();

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
        manager.update_organization(&boss(), &suspended, &update, None).await.unwrap();
        let project = sample::project("stopped");
        let of_suspended_project = text(&manager, |new| new.project = Some(project.clone())).await;
        let acme: OrganizationId = "acme".parse().unwrap();
        manager.set_project_status(&actor(), &acme, &project, ParentStatus::Suspended).await.unwrap();
        let gone = sample::user("gone");
        let of_suspended_user = text(&manager, |new| new.user = gone.clone()).await;
        let update = UserUpdate { status: Some(UserStatus::Suspended), ..UserUpdate::default() };
        manager.update_user(&actor(), &acme, &gone, &update, None).await.unwrap();

        let begin = clock.now() + TimeDelta::days(10);
        let not_yet_valid = text(&manager, |new| new.not_before = Some(begin)).await;
        let expired = text(&manager, |new| new.expiry = Expiry::In(TimeDelta::hours(1))).await;
        clock.advance(Duration::from_secs(2 * 3600));

        let key = make(&manager, |new| {
            new.scopes = Some(ScopeSet::parse(["reports:*", "files:/a+b~c@d"]).unwrap());
            new.permissions = ScopeSet::parse(["admin:write"]).unwrap();
        });
        let elsewhere = SecretRing::new(&MasterSecret::generate().unwrap());
        let elsewhere = ApiKeyManager::builder(MemoryStore::new(), elsewhere).build().unwrap();
        Self {
            key: key.await,
            plain: text(&manager, |_| {}).await,
            foreign: text(&elsewhere, |_| {}).await,
            deleted: deleted.text.expose().to_owned(),
            inactive: inactive.text.expose().to_owned(),
            revoked: revoked.text.expose().to_owned(),
            expired,
            not_yet_valid,
            staging: text(&manager, |new| new.environment = Some(Environment::new("staging").unwrap())).await,
            bound: text(&manager, |new| new.allowed_ips = Some(networks("203.0.113.0/24"))).await,
            of_suspended_organization,
            of_suspended_project,
            of_suspended_user,
            limited: text(&manager, |new| new.limits = Some(Limits { per_month: Some(3), ..Limits::UNLIMITED })).await,
            of_other: text(&manager, |new| new.organization = "other".parse().unwrap()).await,
            store,
            api: Api {
                router: Admin::new(manager.clone()).trusted_proxies(networks(proxies)).router(),
                manager,
                operator,
            },
        }
    }
}
