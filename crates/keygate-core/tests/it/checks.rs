//! The checks: each reason, their order, and the edges of each.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keygate_core::actor::Operator;
use keygate_core::check::{AboveView, check};
use keygate_core::context::RequestContext;
use keygate_core::denial::DenialReason;
use keygate_core::governance::Owner;
use keygate_core::manager::{Expiry, KeyUpdate, OrganizationUpdate};
use keygate_core::names::{Environment, PrincipalId, ProjectId};
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::record::{
    Key, KeyStatus, OrganizationRecord, ParentStatus, Parents, ProjectRecord, UserRecord, UserStatus,
};
use keygate_testkit::{HeldClock, sample};
use proptest::prelude::*;

use crate::support::{self, Instance, new_key_with, operator, org, scope, scopes};

/// Everything a decision is made of, in a state in which the key is let in.
struct Case {
    key: Key,
    parents: Parents,
    owner: Owner,
    context: RequestContext,
    environment: Option<Environment>,
    now: DateTime<Utc>,
}

fn admitted() -> Case {
    let now = HeldClock::new().now();
    let mut key = sample::record(&org("acme"), &sample::user("ada")).key;
    let project = ProjectId::new("website").unwrap();
    key.project = Some(project.clone());
    key.expires_at = Some(now + TimeDelta::days(1));
    key.not_before = Some(now - TimeDelta::days(1));
    key.environment = Environment::new("prod").unwrap();
    key.allowed_ips = networks(&["192.0.2.0/24"]);
    key.scopes = scopes(&["files:*"]);
    key.permissions = scopes(&["keys:read"]);
    let context = RequestContext::new()
        .from_address("192.0.2.7".parse().unwrap())
        .needing_scope(scope("files:read"))
        .needing_permission(scope("keys:read"));
    let parents = Parents {
        organization: Some(OrganizationRecord::new(org("acme"))),
        project: Some(ProjectRecord::new(org("acme"), project)),
        roles: None,
    };
    let owner = Owner { user: Some(UserRecord::new(org("acme"), key.user.clone())), answer: None };
    Case { key, parents, owner, context, environment: Some(Environment::new("prod").unwrap()), now }
}

fn networks(texts: &[&str]) -> CidrSet {
    CidrSet::new(texts.iter().map(|text| Cidr::new(text).unwrap())).unwrap()
}

impl Case {
    fn decide(&self) -> Result<(), DenialReason> {
        let above = AboveView { parents: &self.parents, owner: Some(&self.owner) };
        check(&self.key, above, &self.context, self.environment, self.now).map_err(|denial| {
            assert_eq!(denial.key_id(), Some(self.key.id));
            denial.reason()
        })
    }
}

/// A reason, and what makes a case one for it.
type Way = (DenialReason, fn(&mut Case));

/// Each way to be refused, in the order of the checks.
const WAYS: [Way; 13] = [
    (DenialReason::OrganizationSuspended, |case| {
        case.parents.organization.as_mut().unwrap().status = ParentStatus::Suspended;
    }),
    (DenialReason::ProjectSuspended, |case| case.parents.project.as_mut().unwrap().status = ParentStatus::Suspended),
    (DenialReason::UserSuspended, |case| case.owner.user.as_mut().unwrap().status = UserStatus::Suspended),
    (DenialReason::KeyRevoked, |case| case.key.status.status = KeyStatus::Revoked),
    (DenialReason::KeyInactive, |case| case.key.status.status = KeyStatus::Inactive),
    (DenialReason::KeyNotYetValid, |case| case.key.not_before = Some(case.now + TimeDelta::milliseconds(1))),
    (DenialReason::KeyExpired, |case| case.key.expires_at = Some(case.now)),
    (DenialReason::EnvironmentMismatch, |case| case.environment = Some(Environment::dev())),
    (DenialReason::IpNotAllowed, |case| case.context.client_address = Some("198.51.100.1".parse().unwrap())),
    (DenialReason::IpNotAllowed, |case| case.context.client_address = None),
    (DenialReason::ScopeNotAuthorized, |case| case.key.scopes = scopes(&["files", "file:*"])),
    (DenialReason::PermissionDenied, |case| case.key.permissions = scopes(&[])),
    (DenialReason::PermissionDenied, |case| case.owner.user.as_mut().unwrap().roles = Some(Vec::new())),
];

proptest! {
    #![proptest_config(support::property())]

    #[test]
    fn when_several_checks_fail_the_first_decides(failing in prop::array::uniform13(any::<bool>())) {
        let mut case = admitted();
        // Revoked and inactive are one field: the later one set would hide the earlier.
        for ((_, spoil), _) in WAYS.iter().zip(failing).rev().filter(|(_, failing)| *failing) {
            spoil(&mut case);
        }
        let first = WAYS.iter().zip(failing).find(|(_, failing)| *failing).map(|((reason, _), _)| *reason);
        prop_assert_eq!(case.decide().err(), first);
    }

    #[test]
    fn a_key_is_good_from_its_beginning_until_before_its_end(begin in 0i64..1000, life in 1i64..1000, now in 0i64..2000) {
        let mut case = admitted();
        let at = |millis| DateTime::from_timestamp_millis(millis).unwrap();
        (case.key.not_before, case.key.expires_at, case.now) = (Some(at(begin)), Some(at(begin + life)), at(now));
        let expected = match now {
            now if now < begin => Err(DenialReason::KeyNotYetValid),
            now if now >= begin + life => Err(DenialReason::KeyExpired),
            _ => Ok(()),
        };
        prop_assert_eq!(case.decide(), expected);
    }
}

#[test]
fn each_check_alone_gives_its_reason_and_none_of_them_lets_the_key_in() {
    assert_eq!(admitted().decide(), Ok(()));
    for (reason, spoil) in WAYS {
        let mut case = admitted();
        spoil(&mut case);
        assert_eq!(case.decide(), Err(reason));
    }
}

#[test]
fn the_order_that_is_published_is_the_order_of_the_checks() {
    let place = |reason| DenialReason::ALL.iter().position(|other| *other == reason).unwrap();
    assert!(WAYS.windows(2).all(|pair| place(pair[0].0) <= place(pair[1].0)));
    let words: std::collections::BTreeSet<_> = DenialReason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(words.len(), DenialReason::ALL.len());
    assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
}

#[test]
fn what_was_not_asked_is_not_checked_and_what_is_not_there_is_active() {
    let mut case = admitted();
    case.context = RequestContext::new();
    case.environment = None;
    case.parents = Parents::default();
    case.key.allowed_ips = CidrSet::default();
    (case.key.scopes, case.key.permissions) = (scopes(&[]), scopes(&[]));
    (case.key.expires_at, case.key.not_before) = (None, None);
    assert_eq!(case.decide(), Ok(()));
}

#[test]
fn the_environment_of_the_request_goes_before_the_managers() {
    let (dev, prod) = (Environment::dev(), Environment::new("prod").unwrap());
    let mut case = admitted();
    case.environment = Some(dev);
    case.context = case.context.in_environment(prod);
    assert_eq!(case.decide(), Ok(()));
    (case.environment, case.context) = (Some(prod), case.context.in_environment(dev));
    assert_eq!(case.decide(), Err(DenialReason::EnvironmentMismatch));
    case.context = case.context.in_any_environment();
    assert_eq!(case.decide(), Ok(()));
}

#[test]
fn a_key_of_another_organization_than_the_one_asked_about_is_as_good_as_none() {
    let mut case = admitted();
    case.context = case.context.within(org("acme"));
    assert_eq!(case.decide(), Ok(()));
    case.context = case.context.within(org("other"));
    assert_eq!(case.decide(), Err(DenialReason::InvalidKey));
    // Whatever else there is to say of it.
    for (_, spoil) in WAYS {
        let mut case = admitted();
        case.context = case.context.within(org("other"));
        spoil(&mut case);
        assert_eq!(case.decide(), Err(DenialReason::InvalidKey));
    }
}

#[test]
fn a_denial_names_what_was_missing_and_only_then() {
    let mut case = admitted();
    case.key.scopes = scopes(&["other"]);
    let denial = check(&case.key, &case.parents, &case.context, case.environment, case.now).unwrap_err();
    assert_eq!(denial.required(), Some(&scope("files:read")));
    assert_eq!(denial.to_string(), "scope_not_authorized: The API key's scopes do not cover files:read.");
    case.key.status.status = KeyStatus::Revoked;
    let denial = check(&case.key, &case.parents, &case.context, case.environment, case.now).unwrap_err();
    assert_eq!(denial.required(), None);
}

#[test]
fn all_that_is_asked_for_is_needed_and_the_first_that_is_missing_is_named() {
    let missing = |scopes: &[&str], permissions: &[&str]| {
        let mut case = admitted();
        for asked in ["files:write", "reports:read", "reports:write"] {
            case.context = case.context.needing_scope(scope(asked));
        }
        case.context = case.context.needing_permission(scope("keys:write"));
        case.key.scopes = support::scopes(scopes);
        case.key.permissions = support::scopes(permissions);
        let denial = check(&case.key, &case.parents, &case.context, case.environment, case.now).err()?;
        Some((denial.reason(), denial.required().unwrap().to_string()))
    };
    let named = |reason, required: &str| Some((reason, required.to_owned()));
    assert_eq!(missing(&["files:*", "reports:*"], &["keys:*"]), None);
    assert_eq!(missing(&["files:write"], &["keys:*"]), named(DenialReason::ScopeNotAuthorized, "files:read"));
    // Every scope goes before any permission.
    assert_eq!(missing(&["files:*"], &[]), named(DenialReason::ScopeNotAuthorized, "reports:read"));
    assert_eq!(missing(&["**"], &["keys:read"]), named(DenialReason::PermissionDenied, "keys:write"));
    assert_eq!(missing(&["**"], &["keys:write"]), named(DenialReason::PermissionDenied, "keys:read"));
}

// The same, through the manager.

#[tokio::test]
async fn a_key_ends_at_the_exact_instant() {
    let instance = Instance::new();
    let life = Duration::from_millis(1_500);
    let created = instance.create(new_key_with(|new| new.expiry = Expiry::In(TimeDelta::milliseconds(1_500)))).await;
    instance.clock.advance(life - Duration::from_millis(1));
    assert!(instance.validate(created.text.expose()).await.is_ok());
    instance.clock.advance(Duration::from_millis(1));
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::KeyExpired);
    // A clock that is set back makes it valid again: expiry is by the clock, and nothing else is.
    instance.clock.step_back(Duration::from_millis(1));
    assert!(instance.validate(created.text.expose()).await.is_ok());
}

#[tokio::test]
async fn a_key_begins_at_the_exact_instant() {
    let instance = Instance::new();
    let begin = instance.clock.now() + TimeDelta::hours(1);
    let created = instance.create(new_key_with(|new| new.not_before = Some(begin))).await;
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::KeyNotYetValid);
    instance.clock.set(begin);
    assert!(instance.validate(created.text.expose()).await.is_ok());
}

#[tokio::test]
async fn a_key_for_some_networks_is_refused_where_the_client_is_not_known() {
    let instance = Instance::new();
    let created =
        instance.create(new_key_with(|new| new.allowed_ips = Some(networks(&["192.0.2.0/24", "2001:db8::/32"])))).await;
    let from = async |address: &str| {
        let context = RequestContext::new().from_address(address.parse::<IpAddr>().unwrap());
        instance.manager.validate(created.text.expose(), &context).await.map(drop).map_err(|denial| denial.reason())
    };
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::IpNotAllowed);
    for allowed in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"] {
        assert_eq!(from(allowed).await, Ok(()), "{allowed}");
    }
    for other in ["192.0.3.1", "::ffff:192.0.3.1", "::192.0.2.1", "2001:db9::1"] {
        assert_eq!(from(other).await, Err(DenialReason::IpNotAllowed), "{other}");
    }
}

#[tokio::test]
async fn suspending_an_organization_or_a_project_stops_its_keys_and_no_others() {
    let instance = Instance::new();
    let boss = Operator::named(PrincipalId::new("boss").unwrap());
    let (web, app) = (ProjectId::new("web").unwrap(), ProjectId::new("app").unwrap());
    let of_web = instance.create(new_key_with(|new| new.project = Some(web.clone()))).await;
    let of_app = instance.create(new_key_with(|new| new.project = Some(app))).await;
    let of_other = instance
        .create(new_key_with(|new| {
            new.organization = org("other");
            new.project = Some(web.clone());
        }))
        .await;

    instance.manager.set_project_status(&operator(), &org("acme"), &web, ParentStatus::Suspended).await.unwrap();
    assert_eq!(instance.refusal(of_web.text.expose()).await, DenialReason::ProjectSuspended);
    assert!(instance.validate(of_app.text.expose()).await.is_ok());
    assert!(instance.validate(of_other.text.expose()).await.is_ok());
    instance.manager.set_project_status(&operator(), &org("acme"), &web, ParentStatus::Active).await.unwrap();
    assert!(instance.validate(of_web.text.expose()).await.is_ok());

    let mut update = OrganizationUpdate::default();
    update.status = Some(ParentStatus::Suspended);
    instance.manager.update_organization(&boss, &org("acme"), &update, None).await.unwrap();
    for stopped in [&of_web, &of_app] {
        assert_eq!(instance.refusal(stopped.text.expose()).await, DenialReason::OrganizationSuspended);
    }
    assert!(instance.validate(of_other.text.expose()).await.is_ok());
}

#[tokio::test]
async fn an_admission_can_be_asked_for_more() {
    let instance = Instance::new();
    let created = instance
        .create(new_key_with(|new| {
            new.scopes = Some(scopes(&["files:*"]));
            new.permissions = scopes(&["keys:read"]);
        }))
        .await;
    let admission = instance.validate(created.text.expose()).await.unwrap();
    assert!(admission.require_scope(&scope("files:read")).is_ok());
    assert!(admission.require_permission(&scope("keys:read")).is_ok());
    let denial = admission.require_scope(&scope("keys:read")).unwrap_err();
    assert_eq!((denial.reason(), denial.required()), (DenialReason::ScopeNotAuthorized, Some(&scope("keys:read"))));
    let denial = admission.require_permission(&scope("files:read")).unwrap_err();
    assert_eq!(denial.reason(), DenialReason::PermissionDenied);
}

#[tokio::test]
async fn a_change_of_the_key_is_in_force_at_its_next_use() {
    let instance = Instance::new();
    let created = instance.create(new_key_with(|new| new.scopes = Some(scopes(&["a"])))).await;
    let context = RequestContext::new().needing_scope(scope("a"));
    assert!(instance.manager.validate(created.text.expose(), &context).await.is_ok());
    let mut update = KeyUpdate::new();
    update.scopes = Some(scopes(&[]));
    instance.manager.update(&operator(), created.key.id, &update, None).await.unwrap();
    let denial = instance.manager.validate(created.text.expose(), &context).await.unwrap_err();
    assert_eq!(denial.reason(), DenialReason::ScopeNotAuthorized);
}
