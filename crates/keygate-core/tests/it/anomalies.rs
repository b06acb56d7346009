//! What is unusual in the use of keys is found, once for the whole fleet, told of to its own tenant, and nobody's request
//! depends on it. What the rules find in traces, and how much besides, is measured in `src/anomaly/traces.rs`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use keygate_core::anomaly::{AnomalyPolicy, Finding, Rule};
use keygate_core::context::RequestContext;
use keygate_core::denial::DenialReason;
use keygate_core::limits::Limits;
use keygate_core::manager::{ApiKeyManager, CreatedKey, ManageError, ManagerBuilder, NewKey};
use keygate_core::names::OrganizationId;
use keygate_core::notice::NoticeKind;
use keygate_core::record::KeyStatus;
use keygate_core::store::MemoryStore;
use keygate_core::usage::location::Location;
use keygate_testkit::{FaultyStore, Heard, HeldClock};

use crate::support::fateful_store::{Fate, FatefulStore};
use crate::support::{operator, org, ring, scope, scopes, tenant, unlimited_key_with, user};

const HOUR: Duration = Duration::from_secs(3_600);

struct Fleet {
    clock: HeldClock,
    memory: MemoryStore,
    managers: Vec<ApiKeyManager>,
    told: Arc<Mutex<Vec<Finding>>>,
}

/// What a request is made with.
#[derive(Clone, Copy)]
struct From {
    address: &'static str,
    place: &'static str,
    scope: &'static str,
}

const HOME: From = From { address: "192.0.2.1", place: "DE", scope: "files:read" };

impl Fleet {
    fn new(instances: usize, policy: &AnomalyPolicy) -> Self {
        let clock = HeldClock::new();
        let memory = MemoryStore::with_clock(clock.clone());
        let mut fleet = Self { clock, memory, managers: Vec::new(), told: Arc::default() };
        for _ in 0..instances {
            let manager = fleet.built(ApiKeyManager::builder(fleet.memory.clone(), ring(&[1])), policy);
            fleet.managers.push(manager);
        }
        fleet
    }

    fn built(&self, builder: ManagerBuilder, policy: &AnomalyPolicy) -> ApiKeyManager {
        let told = Arc::clone(&self.told);
        let builder = builder.clock(self.clock.clone()).anomalies(policy.clone());
        builder.on_finding(move |finding| told.lock().unwrap().push(finding.clone())).build().unwrap()
    }

    async fn key(&self) -> CreatedKey {
        let new = unlimited_key_with(|new| new.scopes = Some(scopes(&["files:*"])));
        self.managers[0].create(&operator(), new).await.unwrap()
    }

    async fn tend(&self) {
        for manager in &self.managers {
            manager.tend().await;
        }
    }

    /// Each instance is asked so often, and then examines what it counted.
    async fn ask(&self, key: &CreatedKey, from: From, requests: usize, status: u16) {
        for manager in &self.managers {
            for _ in 0..requests {
                ask(manager, key, from, status).await;
            }
        }
        self.tend().await;
    }

    /// Used as usual for so many days, at each hour.
    async fn days(&self, key: &CreatedKey, days: u32) {
        for _ in 0..days * 24 {
            self.clock.advance(HOUR);
            self.ask(key, HOME, 2, 200).await;
        }
    }

    async fn findings(&self) -> Vec<Finding> {
        self.managers[0].findings(&operator(), &org("acme"), None, 100, None).await.unwrap().findings
    }

    async fn found(&self) -> BTreeMap<Rule, usize> {
        let mut found = BTreeMap::new();
        self.findings().await.iter().for_each(|finding| *found.entry(finding.rule).or_default() += 1);
        found
    }

    async fn status(&self, key: &CreatedKey) -> KeyStatus {
        self.managers[0].get(&operator(), key.key.id).await.unwrap().status.status
    }
}

async fn ask(manager: &ApiKeyManager, key: &CreatedKey, from: From, status: u16) {
    let From { address, place, scope: needed } = from;
    let context = RequestContext::new()
        .from_address(address.parse().unwrap())
        .from_location(Location::new(place).unwrap())
        .needing_scope(scope(needed));
    manager.validate(key.text.expose(), &context).await.unwrap().recording().answered(status);
}

#[tokio::test]
async fn each_rule_finds_once_over_all_instances() {
    let fleet = Fleet::new(2, &AnomalyPolicy::new().volume_floor(50));
    let key = fleet.key().await;
    fleet.days(&key, 10).await;
    assert_eq!(fleet.found().await, BTreeMap::new());

    // Far more than usual, and what comes after it in the same hour and the next.
    for minutes in [10, 10, 50] {
        fleet.ask(&key, HOME, 120, 200).await;
        fleet.clock.advance(Duration::from_secs(60) * minutes);
    }
    let mut expected = BTreeMap::from([(Rule::Volume, 1)]);
    assert_eq!(fleet.found().await, expected);

    fleet.days(&key, 2).await;
    for _ in 0..8 {
        fleet.ask(&key, HOME, 30, 500).await;
        fleet.clock.advance(Duration::from_secs(301));
    }
    // No more than there were two days before.
    expected.extend([(Rule::ErrorRate, 1)]);
    assert_eq!(fleet.found().await, expected);

    fleet.days(&key, 1).await;
    for _ in 0..3 {
        fleet.ask(&key, From { scope: "files:delete", ..HOME }, 1, 200).await;
        fleet.clock.advance(HOUR);
    }
    expected.extend([(Rule::NewScope, 1)]);
    assert_eq!(fleet.found().await, expected);

    for _ in 0..3 {
        fleet.ask(&key, From { address: "203.0.113.1", place: "KP", ..HOME }, 1, 200).await;
        fleet.clock.advance(HOUR);
    }
    expected.extend([(Rule::NewLocation, 1), (Rule::NewNetwork, 1)]);
    assert_eq!(fleet.found().await, expected);

    for manager in &fleet.managers {
        for number in 0..20_u8 {
            let context = RequestContext::new().from_address(IpAddr::from([100, number, 0, 1]));
            manager.validate(key.text.expose(), &context).await.unwrap();
        }
    }
    fleet.tend().await;
    expected.extend([(Rule::AddressSpread, 1)]);
    assert_eq!(fleet.found().await, expected);

    fleet.clock.advance(HOUR * 24 * 40);
    fleet.ask(&key, HOME, 1, 200).await;
    expected.extend([(Rule::DormantAwakened, 1)]);
    assert_eq!(fleet.found().await, expected);

    // Each was told of by the one that recorded it.
    let mut told = fleet.told.lock().unwrap().clone();
    let findings = fleet.findings().await;
    told.sort_by_key(|finding| std::cmp::Reverse(finding.cursor()));
    assert_eq!(told, findings);
    for finding in &findings {
        assert_eq!((finding.key_id, finding.organization_id.as_str()), (key.key.id, "acme"));
        assert!(finding.observed > finding.expected && finding.sample_size > 0, "{finding:?}");
        println!("{} {}", finding.rule, finding.detail);
    }
    let values: Vec<_> = findings.iter().filter_map(|finding| finding.value.as_deref()).collect();
    assert!(["KP", "203.0.0.0/16", "files:delete"].iter().all(|value| values.contains(value)), "{values:?}");
    let statistics = fleet.managers.iter().map(ApiKeyManager::anomaly_statistics);
    let sums = statistics.fold((0, 0, 0), |(findings, known, other), one| {
        (findings + one.findings, known + one.known, other + one.suspended + one.failures + one.dropped)
    });
    assert_eq!((sums.0, sums.2), (7, 0));
    assert!(sums.1 >= 3, "both found the same, and one recorded it: {sums:?}");
    assert_eq!(fleet.status(&key).await, KeyStatus::Active);
}

#[tokio::test]
async fn a_restart_forgets_nothing_of_a_keys_habits() {
    let mut fleet = Fleet::new(1, &AnomalyPolicy::new());
    let key = fleet.key().await;
    fleet.days(&key, 10).await;
    fleet.managers = vec![fleet.built(ApiKeyManager::builder(fleet.memory.clone(), ring(&[1])), &AnomalyPolicy::new())];
    fleet.days(&key, 1).await;
    assert_eq!(fleet.found().await, BTreeMap::new());
    fleet.managers = vec![fleet.built(ApiKeyManager::builder(fleet.memory.clone(), ring(&[1])), &AnomalyPolicy::new())];
    fleet.ask(&key, From { place: "KP", ..HOME }, 1, 200).await;
    assert_eq!(fleet.found().await, BTreeMap::from([(Rule::NewLocation, 1)]));
}

#[tokio::test]
async fn another_tenant_sees_nothing() {
    let fleet = Fleet::new(1, &AnomalyPolicy::new());
    let key = fleet.key().await;
    fleet.days(&key, 8).await;
    fleet.ask(&key, From { place: "KP", ..HOME }, 1, 200).await;
    let manager = &fleet.managers[0];
    let (acme, other) = (org("acme"), org("globex"));
    let own = manager.findings(&tenant("acme", &[]), &acme, Some(key.key.id), 100, None).await.unwrap();
    assert_eq!(own.findings.len(), 1);
    assert_eq!(own.next_cursor, None);
    let stranger = tenant("globex", &[]);
    let refused = manager.findings(&stranger, &acme, None, 100, None).await.unwrap_err();
    assert!(matches!(refused, ManageError::ParentNotFound));
    for key in [None, Some(key.key.id)] {
        assert_eq!(manager.findings(&stranger, &other, key, 100, None).await.unwrap().findings, []);
    }
    // A page of one has a next one, which is empty.
    let page = manager.findings(&operator(), &acme, None, 1, None).await.unwrap();
    let cursor = page.next_cursor.unwrap().to_string().parse().unwrap();
    let next = manager.findings(&operator(), &acme, None, 1, Some(cursor)).await.unwrap();
    assert_eq!((next.findings, next.next_cursor), (vec![], None));
}

#[tokio::test]
async fn a_key_is_suspended_where_the_operator_chose_so_and_a_system_key_never() {
    let policy = AnomalyPolicy::new().suspend_on([Rule::NewLocation]);
    let fleet = Fleet::new(2, &policy);
    let key = fleet.key().await;
    let mut new = NewKey::new(OrganizationId::system(), user("ada"));
    (new.scopes, new.limits) = (Some(scopes(&["files:*"])), Some(Limits::UNLIMITED));
    let system = fleet.managers[0].create(&operator(), new).await.unwrap();
    for _ in 0..8 {
        fleet.clock.advance(HOUR * 24);
        fleet.ask(&key, HOME, 2, 200).await;
        fleet.ask(&system, HOME, 2, 200).await;
    }
    // Of another rule.
    fleet.ask(&key, From { scope: "files:delete", ..HOME }, 1, 200).await;
    assert_eq!(fleet.found().await, BTreeMap::from([(Rule::NewScope, 1)]));
    assert_eq!(fleet.status(&key).await, KeyStatus::Active);

    for key in [&key, &system] {
        fleet.ask(key, From { place: "KP", ..HOME }, 1, 200).await;
    }
    let stopped = fleet.managers[0].get(&operator(), key.key.id).await.unwrap().status;
    assert_eq!(stopped.status, KeyStatus::Inactive);
    let finding = fleet.findings().await.into_iter().find(|finding| finding.rule == Rule::NewLocation).unwrap();
    assert_eq!(stopped.reason.unwrap().as_str(), format!("anomaly new_location, finding {}", finding.id));
    for manager in &fleet.managers {
        let refused = manager.validate(key.text.expose(), &RequestContext::new()).await.unwrap_err();
        assert_eq!(refused.reason(), DenialReason::KeyInactive);
    }
    assert_eq!(fleet.status(&system).await, KeyStatus::Active);
    let of_system = fleet.managers[0].findings(&operator(), &OrganizationId::system(), None, 10, None).await.unwrap();
    assert_eq!(of_system.findings.len(), 1);
    assert_eq!(fleet.managers.iter().map(|manager| manager.anomaly_statistics().suspended).sum::<u64>(), 1);

    // Whoever starts it again is not contradicted because of what was found before.
    fleet.managers[0].activate(&operator(), key.key.id, None).await.unwrap();
    fleet.ask(&key, From { place: "KP", ..HOME }, 1, 200).await;
    assert_eq!(fleet.status(&key).await, KeyStatus::Active);
}

#[tokio::test]
async fn a_store_that_fails_disturbs_nobody() {
    let mut fleet = Fleet::new(0, &AnomalyPolicy::new());
    let store = FaultyStore::new(fleet.memory.clone());
    let manager = fleet.built(ApiKeyManager::builder(store.clone(), ring(&[1])), &AnomalyPolicy::new());
    fleet.managers.push(manager);
    let key = fleet.key().await;
    fleet.ask(&key, HOME, 1, 200).await;
    fleet.clock.advance(HOUR * 24 * 40);
    store.fail();
    fleet.ask(&key, HOME, 10, 200).await;
    let statistics = fleet.managers[0].anomaly_statistics();
    assert!(statistics.failures > 0 && statistics.findings == 0, "{statistics:?}");
    store.heal();
    // Late, but found: it woke on this day.
    fleet.ask(&key, HOME, 1, 200).await;
    let told = fleet.told.lock().unwrap().clone();
    assert_eq!(told.iter().map(|finding| finding.rule).collect::<Vec<_>>(), [Rule::DormantAwakened]);
}

#[tokio::test]
async fn where_nothing_is_looked_for_nothing_is_read() {
    let mut fleet = Fleet::new(0, &AnomalyPolicy::off());
    let store = FaultyStore::new(fleet.memory.clone());
    let manager = fleet.built(ApiKeyManager::builder(store.clone(), ring(&[1])), &AnomalyPolicy::off());
    fleet.managers.push(manager);
    let key = fleet.key().await;
    fleet.clock.advance(HOUR * 24 * 60);
    fleet.ask(&key, HOME, 1, 200).await;
    assert_eq!(store.calls().usage, 0);
    assert_eq!(fleet.managers[0].anomaly_statistics().examined, 0);
}

#[tokio::test]
async fn the_key_of_a_finding_may_be_gone() {
    let fleet = Fleet::new(1, &AnomalyPolicy::new());
    let key = fleet.key().await;
    fleet.days(&key, 8).await;
    fleet.ask(&key, From { place: "KP", ..HOME }, 1, 200).await;
    let manager = &fleet.managers[0];
    manager.revoke(&operator(), key.key.id, None).await.unwrap();
    manager.delete(&operator(), key.key.id, None).await.unwrap();
    assert_eq!(fleet.findings().await.len(), 1);
    fleet.clock.advance(Duration::from_secs(TimeDelta::days(90).num_seconds().unsigned_abs()));
    assert_eq!(fleet.findings().await, []);
}

/// An outbox that fails keeps no key from being suspended, and what was found is told when it works again.
#[tokio::test]
async fn a_key_is_suspended_though_it_cannot_be_told_yet() {
    let policy = AnomalyPolicy::new().suspend_on([Rule::NewLocation]);
    let mut fleet = Fleet::new(0, &policy);
    let (heard, fails) = (Heard::new(), Arc::new(AtomicBool::new(false)));
    let failing = Arc::clone(&fails);
    let store = FatefulStore::new(fleet.memory.clone(), move |call| {
        if call.starts_with("put_notice") && failing.load(Ordering::Relaxed) { Fate::Failed } else { Fate::Answered }
    });
    let manager = fleet.built(ApiKeyManager::builder(store, ring(&[1])).notifier(heard.clone()), &policy);
    fleet.managers.push(manager);
    let key = fleet.key().await;
    fleet.days(&key, 8).await;
    fails.store(true, Ordering::Relaxed);
    fleet.ask(&key, From { place: "KP", ..HOME }, 1, 200).await;
    assert_eq!(fleet.status(&key).await, KeyStatus::Inactive);
    assert_eq!(fleet.found().await, BTreeMap::from([(Rule::NewLocation, 1)]));
    let told = async || {
        fleet.tend().await;
        fleet.managers[0].deliver_notices().await.unwrap();
        heard.kinds().into_iter().filter(|kind| *kind == NoticeKind::KeyAnomaly).count()
    };
    assert_eq!(told().await, 0);
    fails.store(false, Ordering::Relaxed);
    assert_eq!((told().await, told().await), (1, 1));
}
