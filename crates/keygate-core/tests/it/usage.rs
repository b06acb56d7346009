//! Promise 6: each request is in the usage figures once, under what became of it, whatever becomes of the calls that tell
//! of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use chrono::{TimeDelta, Timelike};
use keygate_core::context::RequestContext;
use keygate_core::denial::DenialReason;
use keygate_core::limits::Limits;
use keygate_core::manager::{ApiKeyManager, CreatedKey, KeyFilter, ManageError, NewKey};
use keygate_core::names::UserId;
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::scope::Scope;
use keygate_core::usage::location::Location;
use keygate_core::usage::outcome::Answered;
use keygate_core::usage::period::Granularity;
use keygate_core::usage::report::{Share, UsageQuery, UsageReport};
use keygate_core::usage::subject::Subject;

use crate::support::{Instance, new_key, operator, ring, tenant, unlimited_key};

fn counted(shares: &[Share]) -> BTreeMap<&str, u64> {
    shares.iter().map(|share| (share.name.as_str(), share.requests)).collect()
}

async fn used(manager: &ApiKeyManager, key: &CreatedKey) -> UsageReport {
    manager.key_usage(&operator(), key.key.id, UsageQuery::default()).await.unwrap()
}

#[tokio::test]
async fn every_request_of_a_known_key_is_counted_under_what_it_came_to() {
    let instance = Instance::new();
    let manager = &instance.manager;
    let mut new = new_key();
    new.project = Some("web".parse().unwrap());
    new.limits = Some(Limits { per_minute: Some(3), ..Limits::default() });
    new.allowed_ips = Some(CidrSet::new([Cidr::new("10.0.0.0/8").unwrap()]).unwrap());
    let key = instance.create(new).await;
    let text = key.text.expose();
    let from = |address: &str| RequestContext::new().from_address(address.parse().unwrap()).for_endpoint("/reports");

    let mut let_in = Vec::new();
    for _ in 0..3 {
        let context = from("10.1.1.1").from_location(Location::new("DE").unwrap());
        let_in.push(manager.validate(text, &context).await.unwrap());
    }
    let statuses = [200, 503];
    for (admission, status) in let_in.iter().zip(statuses) {
        admission.recording().answered(status);
    }
    drop(let_in[2].recording());
    let limited = manager.validate(text, &from("10.1.1.2")).await.unwrap_err();
    assert_eq!(limited.reason(), DenialReason::RateLimitExceeded);
    let elsewhere = manager.validate(text, &from("192.0.2.1")).await.unwrap_err();
    assert_eq!(elsewhere.reason(), DenialReason::IpNotAllowed);
    let scope: Scope = "reports:read".parse().unwrap();
    let unscoped = manager.validate(text, &from("10.1.1.1").needing_scope(scope)).await.unwrap_err();
    assert_eq!(unscoped.reason(), DenialReason::ScopeNotAuthorized);
    manager.deactivate(&operator(), key.key.id, None).await.unwrap();
    instance.clock.advance(Duration::from_millis(1));
    assert_eq!(instance.refusal(text).await, DenialReason::KeyInactive);
    manager.tend().await;

    let subjects = [
        Subject::Key(key.key.id),
        Subject::User("acme".parse().unwrap(), "ada".parse().unwrap()),
        Subject::Project("acme".parse().unwrap(), "web".parse().unwrap()),
        Subject::Organization("acme".parse().unwrap()),
    ];
    for subject in subjects {
        let report = manager.usage(&operator(), subject.clone(), UsageQuery::default()).await.unwrap();
        let outcomes = [
            ("admitted", 3),
            ("ip_not_allowed", 1),
            ("key_inactive", 1),
            ("rate_limit_exceeded", 1),
            ("scope_not_authorized", 1),
        ];
        assert_eq!(counted(&report.breakdown.by_outcome), outcomes.into(), "{subject}");
        assert_eq!(counted(&report.total.by_outcome), outcomes.into());
        assert_eq!(counted(&report.breakdown.by_status), [("2xx", 1), ("5xx", 1), ("cancelled", 1)].into());
        assert_eq!(counted(&report.breakdown.by_endpoint), [("/reports", 6)].into());
        assert_eq!(counted(&report.breakdown.by_location), [("DE", 3)].into());
        assert_eq!((report.requests, report.total.requests, report.total.errors), (7, 7, 5));
        assert_eq!(report.addresses.iter().map(|month| month.addresses).collect::<Vec<_>>(), [3]);
        assert_eq!(report.last_used.map(|used| used.address), Some(None), "the last said no address");
        assert_eq!(report.last_error.map(|error| error.reason).as_deref(), Some("key_inactive"));
        let most: Vec<_> = report.most_used.iter().map(|used| (used.key_id, used.requests)).collect();
        let expected = if matches!(subject, Subject::Organization(_)) { vec![(key.key.id, 7)] } else { Vec::new() };
        assert_eq!(most, expected);
    }
    let statistics = manager.usage_statistics();
    assert_eq!((statistics.told, statistics.waiting, statistics.forged), (7, 0, 0));
}

#[tokio::test]
async fn what_is_no_key_is_counted_of_nobody() {
    let instance = Instance::new();
    let (mine, other) = (
        instance.create(new_key()).await,
        instance.create(NewKey::new("rival".parse().unwrap(), "bob".parse().unwrap())).await,
    );
    // Another secret under the tag of a key that exists, text that is no key, and a key of another tenant.
    instance.validate(mine.text.expose()).await.unwrap();
    let forged = mine.text.expose().replacen(char::is_numeric, "x", 1);
    for text in ["", "mcp_dev_x", forged.as_str()] {
        instance.validate(text).await.unwrap_err();
    }
    let within = RequestContext::new().within("acme".parse().unwrap());
    let denial = instance.manager.validate(other.text.expose(), &within).await.unwrap_err();
    assert_eq!(denial.reason(), DenialReason::InvalidKey);
    instance.manager.tend().await;
    assert_eq!(used(&instance.manager, &mine).await.total.requests, 1);
    assert_eq!(used(&instance.manager, &other).await.total.requests, 0);
    assert_eq!(instance.manager.usage_statistics().forged, 3);
}

#[tokio::test]
async fn a_request_counts_in_its_own_hour_and_so_does_its_answer() {
    let instance = Instance::new();
    let key = instance.create(new_key()).await;
    instance.clock.advance(Duration::from_secs(3_599));
    let admission = instance.validate(key.text.expose()).await.unwrap();
    instance.manager.tend().await;
    instance.clock.advance(Duration::from_secs(2));
    admission.recording().answered(200);
    instance.validate(key.text.expose()).await.unwrap();
    instance.manager.tend().await;
    let query = UsageQuery { granularity: Granularity::Hour, ..UsageQuery::default() };
    let report = instance.manager.key_usage(&operator(), key.key.id, query).await.unwrap();
    assert_eq!(report.series.len(), 24);
    let by_hour: Vec<_> = report.series.iter().filter(|step| step.requests > 0).collect();
    assert_eq!(by_hour.iter().map(|step| (step.start.hour(), step.requests)).collect::<Vec<_>>(), [(0, 1), (1, 1)]);
    assert_eq!(counted(&report.breakdown.by_status), [("2xx", 1)].into());
}

#[tokio::test]
async fn nothing_is_lost_or_told_twice_while_the_store_fails_or_loses_its_answers() {
    let instance = Instance::new();
    let key = instance.create(unlimited_key()).await;
    instance.validate(key.text.expose()).await.unwrap();
    let mut asked = 1;
    for round in 0..30 {
        match round % 3 {
            0 => instance.store.fail(),
            1 => instance.store.lose_answers(),
            _ => instance.store.heal(),
        }
        for _ in 0..=round {
            if instance.validate(key.text.expose()).await.is_ok() {
                asked += 1;
            }
        }
        instance.manager.tend().await;
    }
    instance.store.heal();
    assert!(instance.manager.flush_usage(Duration::from_secs(10)).await);
    let report = used(&instance.manager, &key).await;
    assert_eq!(counted(&report.total.by_outcome)["admitted"], asked);
    assert!(asked > 30 && instance.manager.usage_statistics().failures > 10);
}

#[tokio::test]
async fn an_outage_takes_no_more_memory_than_the_keys_and_totals_stay_exact() {
    let instance = Instance::new();
    let key = instance.create(unlimited_key()).await;
    instance.validate(key.text.expose()).await.unwrap();
    instance.store.fail();
    for number in 0..5_000_u32 {
        let context =
            RequestContext::new().for_endpoint(format!("/{number}")).from_address(IpAddr::from(number.to_be_bytes()));
        instance.manager.validate(key.text.expose(), &context).await.unwrap();
        if number % 50 == 0 {
            instance.manager.tend().await;
        }
    }
    instance.manager.tend().await;
    assert_eq!(instance.manager.usage_statistics().waiting, 5_001);
    instance.store.heal();
    assert!(instance.manager.flush_usage(Duration::from_secs(10)).await);
    let report = used(&instance.manager, &key).await;
    assert_eq!((report.requests, report.total.requests), (5_001, 5_001));
    assert_eq!(report.breakdown.by_endpoint.iter().map(|share| share.requests).sum::<u64>(), 5_000);
    assert!(report.breakdown.by_endpoint.len() < 200);
}

#[tokio::test]
async fn who_leaves_has_told_all_and_who_does_not_in_time_says_so() {
    let instance = Instance::new();
    let key = instance.create(new_key()).await;
    instance.validate(key.text.expose()).await.unwrap();
    instance.store.fail();
    assert!(!instance.manager.flush_usage(Duration::from_millis(10)).await);
    instance.store.heal();
    instance.manager.leave().await;
    assert_eq!(used(&instance.manager, &key).await.total.requests, 1);
}

#[tokio::test]
async fn the_last_clone_of_a_manager_tells_what_it_has_counted() {
    let Instance { manager, store, memory, clock } = Instance::new();
    let key = manager.create(&operator(), new_key()).await.unwrap();
    manager.validate(key.text.expose(), &RequestContext::new()).await.unwrap();
    drop(manager);
    while store.calls().record_usage == 0 {
        tokio::task::yield_now().await;
    }
    let beside = ApiKeyManager::builder(memory, ring(&[1])).clock(clock).build().unwrap();
    assert_eq!(used(&beside, &key).await.total.requests, 1);
}

#[tokio::test]
async fn two_instances_count_together() {
    let instance = Instance::new();
    let key = instance.create(new_key()).await;
    let beside = instance.beside(ring(&[1]));
    for _ in 0..3 {
        instance.validate(key.text.expose()).await.unwrap();
        beside.validate(key.text.expose()).await.unwrap();
        instance.manager.tend().await;
        beside.manager.tend().await;
    }
    assert_eq!(used(&instance.manager, &key).await.total.requests, 6);
}

#[tokio::test]
async fn usage_is_within_the_tenants_walls() {
    let instance = Instance::new();
    let key = instance.create(new_key()).await;
    instance.validate(key.text.expose()).await.unwrap();
    instance.manager.tend().await;
    let rival = tenant("rival", &["**"]);
    let query = UsageQuery::default();
    let error = instance.manager.key_usage(&rival, key.key.id, query).await.unwrap_err();
    assert!(matches!(error, ManageError::NotFound));
    for subject in [
        Subject::Organization("acme".parse().unwrap()),
        Subject::User("acme".parse().unwrap(), "ada".parse().unwrap()),
        Subject::Project("acme".parse().unwrap(), "web".parse().unwrap()),
    ] {
        let error = instance.manager.usage(&rival, subject, query).await.unwrap_err();
        assert!(matches!(error, ManageError::ParentNotFound));
    }
    let own =
        instance.manager.organization_usage(&tenant("acme", &["**"]), &"acme".parse().unwrap(), query).await.unwrap();
    assert_eq!(own.requests, 1);
    let backwards =
        UsageQuery { from: Some(instance.clock.now()), to: Some(instance.clock.now() - TimeDelta::days(2)), ..query };
    let error = instance.manager.key_usage(&operator(), key.key.id, backwards).await.unwrap_err();
    assert_eq!((error.reason(), error.to_string().as_str()), ("invalid_field", "from must be before to"));
}

#[tokio::test]
async fn keys_are_listed_that_were_not_used_for_a_while() {
    let instance = Instance::new();
    let users: Vec<UserId> = ["ada", "bob", "eve"].map(|user| user.parse().unwrap()).into();
    let mut keys = Vec::new();
    for user in &users {
        keys.push(instance.create(NewKey::new("acme".parse().unwrap(), user.clone())).await);
    }
    instance.validate(keys[0].text.expose()).await.unwrap();
    instance.manager.tend().await;
    instance.clock.advance(Duration::from_secs(20 * 86_400));
    instance.validate(keys[1].text.expose()).await.unwrap();
    let young = instance.create(NewKey::new("acme".parse().unwrap(), "kim".parse().unwrap())).await;
    instance.manager.tend().await;
    let unused = async |days| {
        let mut filter = KeyFilter::default();
        filter.unused_for = Some(TimeDelta::days(days));
        let page = instance.manager.list(&operator(), &"acme".parse().unwrap(), &filter, 100, None).await.unwrap();
        page.keys.into_iter().map(|key| key.id).collect::<BTreeSet<_>>()
    };
    assert_eq!(unused(10).await, [keys[2].key.id, keys[0].key.id].into());
    assert_eq!(unused(21).await, BTreeSet::new());
    assert_eq!(unused(0).await, [young.key.id, keys[2].key.id, keys[1].key.id, keys[0].key.id].into());
}

#[tokio::test]
async fn what_was_counted_of_a_key_goes_with_it_and_the_rest_stays() {
    let instance = Instance::new();
    let key = instance.create(new_key()).await;
    instance.validate(key.text.expose()).await.unwrap();
    instance.manager.tend().await;
    instance.manager.revoke(&operator(), key.key.id, None).await.unwrap();
    instance.manager.delete(&operator(), key.key.id, None).await.unwrap();
    let error = instance.manager.key_usage(&operator(), key.key.id, UsageQuery::default()).await.unwrap_err();
    assert!(matches!(error, ManageError::NotFound));
    let organization = "acme".parse().unwrap();
    let report = instance.manager.organization_usage(&operator(), &organization, UsageQuery::default()).await.unwrap();
    assert_eq!(report.requests, 1);
}

#[tokio::test]
async fn an_explanation_counts_nothing() {
    let instance = Instance::new();
    let key = instance.create(new_key()).await;
    instance.manager.explain(&operator(), key.text.expose(), &RequestContext::new()).await.unwrap();
    instance.manager.tend().await;
    assert_eq!(used(&instance.manager, &key).await.total.requests, 0);
}

#[tokio::test]
async fn an_answer_can_be_told_by_what_it_came_to() {
    let instance = Instance::new();
    let key = instance.create(new_key()).await;
    for answered in Answered::ALL {
        instance.validate(key.text.expose()).await.unwrap().recording().came_to(answered);
    }
    instance.manager.tend().await;
    let report = used(&instance.manager, &key).await;
    assert_eq!(counted(&report.total.by_status), Answered::ALL.map(|answered| (answered.as_str(), 1)).into());
    assert_eq!(report.total.errors, 2);
}
