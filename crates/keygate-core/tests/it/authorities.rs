//! Roles that are kept elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use keygate_core::context::{Admission, RequestContext};
use keygate_core::denial::DenialReason;
use keygate_core::governance::{AuthorityAnswer, AuthorityError, MAX_AUTHORITY_AGE, PermissionAuthority};
use keygate_core::manager::{ApiKeyManager, NewKey, UserUpdate};
use keygate_core::names::{OrganizationId, UserId};
use keygate_core::record::UserStatus;
use keygate_core::store::MemoryStore;

use crate::support::still_clock::StillClock;
use crate::support::{operator, org, ring, scope, scopes, unlimited_key_with, user};

/// Says what the test has it say, and counts how often it is asked.
#[derive(Debug, Clone)]
struct Directory {
    says: Arc<Mutex<Result<AuthorityAnswer, AuthorityError>>>,
    asked: Arc<AtomicU64>,
}

#[async_trait]
impl PermissionAuthority for Directory {
    async fn permissions_of(&self, _: &OrganizationId, _: &UserId) -> Result<AuthorityAnswer, AuthorityError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.says.lock().unwrap().clone()
    }
}

impl Directory {
    fn new(permissions: Option<&[&str]>, max_age: Duration) -> Self {
        let directory =
            Self { says: Arc::new(Mutex::new(Err(AuthorityError("nothing yet".into())))), asked: Arc::default() };
        directory.say(permissions, max_age);
        directory
    }

    fn say(&self, permissions: Option<&[&str]>, max_age: Duration) {
        *self.says.lock().unwrap() = Ok(AuthorityAnswer { permissions: permissions.map(scopes), max_age });
    }

    fn fail(&self) {
        *self.says.lock().unwrap() = Err(AuthorityError("it is away".into()));
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// A deployment whose time the test moves, the ticks by which answers age too.
struct Scene {
    clock: StillClock,
    manager: ApiKeyManager,
}

impl Scene {
    fn asking(authority: impl PermissionAuthority) -> Self {
        let clock = StillClock::new();
        let store = MemoryStore::with_clock(clock.clone());
        let builder = ApiKeyManager::builder(store, ring(&[1])).clock(clock.clone());
        Self { clock, manager: builder.authority(authority).build().unwrap() }
    }

    async fn create(&self, new: NewKey) -> String {
        self.manager.create(&operator(), new).await.unwrap().text.expose().to_owned()
    }

    async fn admission(&self, text: &str) -> Result<Admission, DenialReason> {
        self.manager.validate(text, &RequestContext::new()).await.map_err(|denial| denial.reason())
    }
}

async fn scene(directory: &Directory) -> (Scene, String) {
    let scene = Scene::asking(directory.clone());
    let text = scene.create(unlimited_key_with(|new| new.permissions = scopes(&["reports:*"]))).await;
    (scene, text)
}

async fn may(scene: &Scene, text: &str, permission: &str) -> Result<(), DenialReason> {
    let context = RequestContext::new().needing_permission(scope(permission));
    scene.manager.validate(text, &context).await.map(drop).map_err(|denial| denial.reason())
}

#[tokio::test]
async fn an_answer_caps_and_is_believed_as_long_as_it_says() {
    let directory = Directory::new(Some(&["reports:read", "users:read"]), MINUTE);
    let (instance, text) = scene(&directory).await;
    for _ in 0..2 {
        assert_eq!(may(&instance, &text, "reports:read").await, Ok(()));
        assert_eq!(may(&instance, &text, "reports:write").await, Err(DenialReason::PermissionDenied));
        assert_eq!(may(&instance, &text, "users:read").await, Err(DenialReason::PermissionDenied), "it was not given");
    }
    assert_eq!(directory.asked(), 1);
    let admission = instance.admission(&text).await.unwrap();
    assert_eq!(admission.owner_permissions(), Some(vec![scope("reports:read"), scope("users:read")]));

    // Nobody tells of a change there: it is seen when the answer is old.
    directory.say(None, MINUTE);
    instance.clock.advance(MINUTE - Duration::from_millis(1));
    assert_eq!(may(&instance, &text, "reports:write").await, Err(DenialReason::PermissionDenied));
    instance.clock.advance(Duration::from_millis(1));
    assert_eq!(may(&instance, &text, "reports:write").await, Ok(()));
    assert_eq!((directory.asked(), instance.admission(&text).await.unwrap().owner_permissions()), (2, None));
}

#[tokio::test]
async fn what_has_no_age_is_asked_for_each_time_and_what_has_too_much_within_the_bound() {
    let directory = Directory::new(Some(&["reports:read"]), Duration::ZERO);
    let (instance, text) = scene(&directory).await;
    for nth in 1..4 {
        assert_eq!(may(&instance, &text, "reports:read").await, Ok(()));
        assert_eq!(directory.asked(), nth);
        instance.clock.advance(Duration::from_millis(1));
    }
    directory.say(Some(&[]), MAX_AUTHORITY_AGE * 100);
    assert_eq!(may(&instance, &text, "reports:read").await, Err(DenialReason::PermissionDenied));
    directory.say(None, MINUTE);
    instance.clock.advance(MAX_AUTHORITY_AGE);
    assert_eq!(may(&instance, &text, "reports:read").await, Ok(()));
}

/// It is trouble, whatever the request needs: neither an acceptance nor a denial that a client would take for its own.
#[tokio::test]
async fn an_authority_that_is_away_is_trouble() {
    let directory = Directory::new(Some(&["reports:read"]), MINUTE);
    let (instance, text) = scene(&directory).await;
    directory.fail();
    assert_eq!(may(&instance, &text, "reports:read").await, Err(DenialReason::StoreUnavailable));
    assert_eq!(instance.admission(&text).await.unwrap_err(), DenialReason::StoreUnavailable);
    directory.say(Some(&["reports:read"]), MINUTE);
    instance.clock.advance(Duration::from_millis(1));
    assert_eq!(may(&instance, &text, "reports:read").await, Ok(()));
    // What it said before is good while it is.
    directory.fail();
    assert_eq!(may(&instance, &text, "reports:read").await, Ok(()));
    instance.clock.advance(MINUTE);
    assert_eq!(may(&instance, &text, "reports:read").await, Err(DenialReason::StoreUnavailable));
}

/// The store may well be there, and vouches for nothing that others said: that is believed for so long beyond its own age.
#[tokio::test]
async fn what_it_said_is_believed_no_longer_than_was_chosen_though_it_is_away() {
    let directory = Directory::new(Some(&["reports:read"]), MINUTE);
    let clock = StillClock::new();
    let store = MemoryStore::with_clock(clock.clone());
    let builder = ApiKeyManager::builder(store, ring(&[1])).clock(clock.clone()).stale_if_error(MINUTE);
    let instance = Scene { clock, manager: builder.authority(directory.clone()).build().unwrap() };
    let text = instance.create(unlimited_key_with(|new| new.permissions = scopes(&["reports:*"]))).await;
    assert_eq!(may(&instance, &text, "reports:read").await, Ok(()));
    directory.fail();
    instance.clock.advance(MINUTE * 2 - Duration::from_millis(1));
    assert_eq!(may(&instance, &text, "reports:read").await, Ok(()));
    assert_eq!(may(&instance, &text, "reports:write").await, Err(DenialReason::PermissionDenied));
    instance.clock.advance(Duration::from_millis(1));
    assert_eq!(may(&instance, &text, "reports:read").await, Err(DenialReason::StoreUnavailable));
}

#[derive(Debug)]
struct Silent;

#[async_trait]
impl PermissionAuthority for Silent {
    async fn permissions_of(&self, _: &OrganizationId, _: &UserId) -> Result<AuthorityAnswer, AuthorityError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_says_nothing_is_not_waited_for() {
    let instance = Scene::asking(Silent);
    let text = instance.create(unlimited_key_with(|_| {})).await;
    assert_eq!(instance.admission(&text).await.unwrap_err(), DenialReason::StoreUnavailable);
}

/// The operator manages keys also while an authority is away.
#[tokio::test]
async fn keys_of_the_operator_are_nobodys_to_cap() {
    let directory = Directory::new(Some(&[]), MINUTE);
    directory.fail();
    let (instance, _) = scene(&directory).await;
    let text = instance.create(NewKey::new(org("system"), user("root"))).await;
    assert_eq!(may(&instance, &text, "organizations:write").await, Ok(()));
    assert_eq!(directory.asked(), 0);
}

/// What the authority says stands in the place of roles; whether a user is suspended is kept here.
#[tokio::test]
async fn a_user_is_suspended_here() {
    let directory = Directory::new(None, MINUTE);
    let (instance, text) = scene(&directory).await;
    assert_eq!(may(&instance, &text, "reports:read").await, Ok(()));
    let update =
        UserUpdate { status: Some(UserStatus::Suspended), roles: Some(Some(Vec::new())), ..UserUpdate::default() };
    instance.manager.update_user(&operator(), &org("acme"), &user("ada"), &update, None).await.unwrap();
    assert_eq!(may(&instance, &text, "reports:read").await, Err(DenialReason::UserSuspended));
    let update = UserUpdate { status: Some(UserStatus::Active), ..UserUpdate::default() };
    instance.manager.update_user(&operator(), &org("acme"), &user("ada"), &update, None).await.unwrap();
    assert_eq!(may(&instance, &text, "reports:read").await, Ok(()), "no role of its is looked at");
}
