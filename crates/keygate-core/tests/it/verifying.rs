//! Whether a key may be used, and why not: for whatever key, request and asker, the explanation and the decision agree,
//! and nobody learns anything of another tenant's key.

use std::time::Duration;

use chrono::TimeDelta;
use keygate_core::actor::Actor;
use keygate_core::check::Check;
use keygate_core::context::{RequestContext, RequiredEnvironment};
use keygate_core::denial::DenialReason;
use keygate_core::manager::{CheckVerdict, CreatedKey, Expiry, Explanation, NewRole, OrganizationUpdate, UserUpdate};
use keygate_core::names::{Environment, ProjectId, Reason};
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::record::{KeyStatus, ParentStatus, UserStatus};
use keygate_core::scope::ScopeSet;
use keygate_core::verifier::{MIN_PBKDF2_ITERATIONS, Scheme};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::support::{
    self, Instance, block_on, new_key_with, operator, org, ring, scope, scopes, tenant, the_operator,
};

/// What is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presented {
    Whole,
    Mangled,
    WithWrongTag,
    OfAnotherDeployment,
    Deleted,
}

/// A key of acme, as it is when somebody asks.
#[derive(Debug, Clone)]
struct Kept {
    status: KeyStatus,
    suspended: (bool, bool),
    /// Whether its user is suspended, and what a role of its user covers, if it has one.
    owner: (bool, Option<Vec<&'static str>>),
    /// Seconds from its making to its beginning.
    begin: Option<i64>,
    /// Seconds from then to its end.
    life: Option<i64>,
    /// Seconds from its making to now.
    age: i64,
    environment: &'static str,
    networks: Vec<&'static str>,
    scopes: Vec<&'static str>,
    permissions: Vec<&'static str>,
    slow: bool,
}

/// What is asked.
#[derive(Debug, Clone)]
struct Asked {
    /// Of which organization who asks is; `None` is the operator.
    by: Option<&'static str>,
    address: Option<&'static str>,
    environment: RequiredEnvironment,
    /// The operator may ask about the keys of one organization.
    within: Option<&'static str>,
    scopes: Vec<&'static str>,
    permissions: Vec<&'static str>,
    presented: Presented,
}

prop_compose! {
    fn kept()(
        status in prop_oneof![
            6 => Just(KeyStatus::Active), 1 => Just(KeyStatus::Inactive), 1 => Just(KeyStatus::Revoked),
        ],
        suspended in (prop::bool::weighted(0.15), prop::bool::weighted(0.15)),
        owner in (
            prop::bool::weighted(0.15),
            prop::option::weighted(0.5, subsequence(vec!["keys:*", "usage:read"], 0..=2)),
        ),
        begin in prop::option::weighted(0.5, 0i64..20),
        life in prop::option::weighted(0.5, 1i64..40),
        age in 0i64..40,
        environment in select(vec!["dev", "dev", "dev", "prod"]),
        networks in subsequence(vec!["192.0.2.0/24", "2001:db8::/32"], 0..=2),
        scopes in subsequence(vec!["files:*", "reports:read", "**"], 0..=3),
        permissions in subsequence(vec!["keys:read", "keys:*", "**"], 0..=3),
        slow in prop::bool::weighted(0.05),
    ) -> Kept {
        Kept { status, suspended, owner, begin, life, age, environment, networks, scopes, permissions, slow }
    }
}

prop_compose! {
    fn asked()(
        by in select(vec![None, Some("acme"), Some("globex")]),
        address in select(vec![None, Some("192.0.2.7"), Some("::ffff:192.0.2.8"), Some("198.51.100.9")]),
        environment in select(vec![
            RequiredEnvironment::OfManager, RequiredEnvironment::Any,
            RequiredEnvironment::Exactly(Environment::new("prod").unwrap()),
        ]),
        within in select(vec![None, None, Some("acme"), Some("globex")]),
        scopes in subsequence(vec!["files:read", "reports:read", "reports:write"], 0..=2),
        permissions in subsequence(vec!["keys:read", "keys:write", "usage:read"], 0..=2),
        presented in prop_oneof![
            8 => Just(Presented::Whole), 1 => Just(Presented::Mangled), 1 => Just(Presented::WithWrongTag),
            1 => Just(Presented::OfAnotherDeployment), 1 => Just(Presented::Deleted),
        ],
    ) -> Asked {
        let within = within.filter(|_| by.is_none());
        Asked { by, address, environment, within, scopes, permissions, presented }
    }
}

fn texts(set: &[&str]) -> ScopeSet {
    scopes(set)
}

impl Kept {
    /// The key, made and brought into its state.
    async fn make(&self, instance: &Instance) -> CreatedKey {
        let project = ProjectId::new("website").unwrap();
        let at = |seconds| instance.clock.now() + TimeDelta::seconds(seconds);
        let new = new_key_with(|new| {
            new.project = Some(project.clone());
            new.not_before = self.begin.map(at);
            new.expiry = self.life.map_or(Expiry::Never, |life| Expiry::At(at(self.begin.unwrap_or(0) + life)));
            new.environment = Some(Environment::new(self.environment).unwrap());
            new.allowed_ips = Some(CidrSet::new(self.networks.iter().map(|text| Cidr::new(text).unwrap())).unwrap());
            (new.scopes, new.permissions) = (Some(texts(&self.scopes)), texts(&self.permissions));
            new.scheme = self.slow.then_some(Scheme::Pbkdf2Sha256 { iterations: MIN_PBKDF2_ITERATIONS });
        });
        let created = instance.create(new).await;
        let (manager, id, why) = (&instance.manager, created.key.id, Some(Reason::new("on leave").unwrap()));
        match self.status {
            KeyStatus::Active => {}
            KeyStatus::Inactive => drop(manager.deactivate(&operator(), id, why).await.unwrap()),
            KeyStatus::Revoked => drop(manager.revoke(&operator(), id, why).await.unwrap()),
        }
        let status = |suspended| if suspended { ParentStatus::Suspended } else { ParentStatus::Active };
        let mut update = OrganizationUpdate::default();
        update.status = Some(status(self.suspended.0));
        manager.create_organization(&the_operator(), &org("acme"), &update).await.unwrap();
        manager.set_project_status(&operator(), &org("acme"), &project, status(self.suspended.1)).await.unwrap();
        if let Some(covered) = &self.owner.1 {
            let role = NewRole { permissions: texts(covered), ..NewRole::default() };
            manager.put_role(&operator(), &org("acme"), &"clerk".parse().unwrap(), &role, None).await.unwrap();
        }
        let update = UserUpdate {
            status: Some(if self.owner.0 { UserStatus::Suspended } else { UserStatus::Active }),
            roles: Some(self.owner.1.as_ref().map(|_| vec!["clerk".parse().unwrap()])),
            ..UserUpdate::default()
        };
        manager.update_user(&operator(), &org("acme"), &created.key.user, &update, None).await.unwrap();
        instance.clock.advance(Duration::from_secs(self.age.unsigned_abs()));
        created
    }

    /// The checks of a genuine key that fail, by the words of their documentation.
    fn failing(&self, asked: &Asked) -> Vec<(Check, DenialReason)> {
        let begin = self.begin.unwrap_or(0);
        let environment = match asked.environment {
            RequiredEnvironment::OfManager => Some("dev"),
            RequiredEnvironment::Any => None,
            RequiredEnvironment::Exactly(_) => Some("prod"),
        };
        let network_of = |address: &str| if address.contains("192.0.2.") { "192.0.2.0/24" } else { "another" };
        let from_allowed = asked.address.is_some_and(|address| self.networks.contains(&network_of(address)));
        let missing = |held: &[&str], asked: &[&str]| asked.iter().any(|asked| !texts(held).covers(&scope(asked)));
        let capped = |asked: &[&str]| self.owner.1.as_ref().is_some_and(|covered| missing(covered, asked));
        let status = match self.status {
            KeyStatus::Inactive => DenialReason::KeyInactive,
            _ => DenialReason::KeyRevoked,
        };
        let all = [
            (Check::Organization, DenialReason::OrganizationSuspended, self.suspended.0),
            (Check::Project, DenialReason::ProjectSuspended, self.suspended.1),
            (Check::User, DenialReason::UserSuspended, self.owner.0),
            (Check::Status, status, self.status != KeyStatus::Active),
            (Check::NotBefore, DenialReason::KeyNotYetValid, self.age < begin),
            (Check::Expiry, DenialReason::KeyExpired, self.life.is_some_and(|life| begin + life <= self.age)),
            (Check::Environment, DenialReason::EnvironmentMismatch, environment.is_some_and(|e| e != self.environment)),
            (Check::ClientAddress, DenialReason::IpNotAllowed, !self.networks.is_empty() && !from_allowed),
            (Check::Scopes, DenialReason::ScopeNotAuthorized, missing(&self.scopes, &asked.scopes)),
            (
                Check::Permissions,
                DenialReason::PermissionDenied,
                missing(&self.permissions, &asked.permissions) || capped(&asked.permissions),
            ),
        ];
        all.into_iter().filter(|(_, _, fails)| *fails).map(|(check, reason, _)| (check, reason)).collect()
    }
}

impl Asked {
    fn actor(&self) -> Actor {
        self.by.map_or_else(operator, |organization| tenant(organization, &["**"]))
    }

    fn context(&self) -> RequestContext {
        let mut context = RequestContext::new();
        context.client_address = self.address.map(|address| address.parse().unwrap());
        context.environment = self.environment;
        context.organization = self.within.map(org);
        context.scopes = texts(&self.scopes).iter().cloned().collect();
        context.permissions = texts(&self.permissions).iter().cloned().collect();
        context
    }

    /// What is presented, of this key.
    async fn text(&self, instance: &Instance, created: &CreatedKey) -> String {
        let text = created.text.expose();
        match self.presented {
            Presented::Whole => text.to_owned(),
            Presented::Mangled => format!("{text} "),
            Presented::WithWrongTag => {
                let (rest, last) = text.split_at(text.len() - 1);
                format!("{rest}{}", if last == "0" { '1' } else { '0' })
            }
            Presented::OfAnotherDeployment => {
                Instance::under(ring(&[9])).create(new_key_with(|_| {})).await.text.expose().to_owned()
            }
            Presented::Deleted => {
                delete(instance, created).await;
                text.to_owned()
            }
        }
    }

    fn failing(&self, kept: &Kept) -> Vec<(Check, DenialReason)> {
        let foreign = self.by.or(self.within).is_some_and(|organization| organization != "acme");
        match self.presented {
            Presented::Mangled => vec![(Check::Format, DenialReason::MalformedKey)],
            Presented::WithWrongTag | Presented::OfAnotherDeployment => vec![(Check::Tag, DenialReason::InvalidKey)],
            // A tenant is not told whether it is another's, nobody's any more, or was never a key.
            Presented::Deleted if self.by.is_some() => vec![(Check::Tag, DenialReason::InvalidKey)],
            Presented::Whole if foreign && self.by.is_some() => vec![(Check::Tag, DenialReason::InvalidKey)],
            Presented::Deleted => vec![(Check::Secret, DenialReason::InvalidKey)],
            Presented::Whole if foreign => vec![(Check::Secret, DenialReason::InvalidKey)],
            Presented::Whole => kept.failing(self),
        }
    }
}

async fn delete(instance: &Instance, created: &CreatedKey) {
    instance.manager.revoke(&operator(), created.key.id, None).await.unwrap();
    instance.manager.delete(&operator(), created.key.id, None).await.unwrap();
}

/// That an explanation is one: every check once, in order; what is said of each goes with what came of it; and the first
/// that failed decides.
fn assert_sound(explanation: &Explanation) {
    let checks = &explanation.checks;
    assert_eq!(checks.iter().map(|report| report.check).collect::<Vec<_>>(), Check::ALL);
    for report in checks {
        let failed = report.verdict == CheckVerdict::Failed;
        assert_eq!((report.reason.is_some(), report.detail.is_some()), (failed, failed), "{report:?}");
        assert_eq!(report.remedy.is_some(), failed, "{report:?}");
    }
    assert_eq!(explanation.is_valid(), explanation.decision.is_ok());
    let Some(first) = checks.iter().position(|report| report.verdict == CheckVerdict::Failed) else {
        assert!(explanation.is_valid());
        assert!(checks.iter().all(|report| report.verdict == CheckVerdict::Passed));
        return;
    };
    assert_eq!(Some(explanation.decision.as_ref().unwrap_err().reason()), checks[first].reason);
    assert!(checks[..first].iter().all(|report| report.verdict == CheckVerdict::Passed));
    // Of a key that is known, all is said; of a text that is not, no more than where it stops.
    let unknown = matches!(checks[first].check, Check::Format | Check::Tag | Check::Secret);
    for report in &checks[first + 1..] {
        assert_eq!(report.verdict == CheckVerdict::NotReached, unknown, "{report:?}");
    }
}

/// All that is answered, as text.
async fn told(instance: &Instance, actor: &Actor, text: &str, context: &RequestContext) -> String {
    let explanation = instance.manager.explain(actor, text, context).await.unwrap();
    let json = serde_json::to_string(&explanation.checks).unwrap();
    let decision = instance.manager.verify(actor, text, context).await;
    format!("{explanation:?} {json} {decision:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..support::property() })]

    #[test]
    fn the_explanation_and_the_decision_agree_and_tell_everything(
        kept in kept(), asked in asked(), cold in any::<bool>(), explained_first in any::<bool>(),
    ) {
        block_on(async {
            let instance = Instance::new();
            let created = kept.make(&instance).await;
            let text = asked.text(&instance, &created).await;
            let other = instance.beside(ring(&[1]));
            let manager = if cold { &other.manager } else { &instance.manager };
            let (actor, context) = (asked.actor(), asked.context());
            let explained = if explained_first { manager.explain(&actor, &text, &context).await.ok() } else { None };
            let verified = manager.verify(&actor, &text, &context).await;
            let explanation = match explained {
                Some(explained) => explained,
                None => manager.explain(&actor, &text, &context).await.unwrap(),
            };
            assert_sound(&explanation);
            match (&explanation.decision, &verified) {
                (Ok(explained), Ok(verified)) => assert_eq!((explained.key(), verified.key().id), (verified.key(), created.key.id)),
                (explained, verified) => assert_eq!(explained.as_ref().unwrap_err(), verified.as_ref().unwrap_err()),
            }
            let failed = explanation.checks.iter().filter_map(|report| Some((report.check, report.reason?)));
            assert_eq!(failed.collect::<Vec<_>>(), asked.failing(&kept));
        });
    }

    /// Whatever the key is like and whatever is asked of it.
    #[test]
    fn of_a_foreign_key_a_tenant_is_told_what_it_is_told_of_a_deleted_one(kept in kept(), asked in asked()) {
        block_on(async {
            let instance = Instance::new();
            let created = kept.make(&instance).await;
            let (text, context) = (created.text.expose(), RequestContext { organization: None, ..asked.context() });
            let stranger = tenant("globex", &["**"]);
            let foreign = told(&instance, &stranger, text, &context).await;
            delete(&instance, &created).await;
            assert_eq!(foreign, told(&instance, &stranger, text, &context).await);
            let id = created.key.id.to_string();
            for data in ["acme", "website", "ada", "on leave", "files", "reports", "192.0.2", "2026-01", text, &id] {
                assert!(!foreign.contains(data), "{data}: {foreign}");
            }
        });
    }
}
