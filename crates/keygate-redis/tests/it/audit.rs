//! Whoever can write to the server alone cannot change the audit without a trace; and a call that is sent twice counts once.

use chrono::{TimeDelta, Utc};
use keygate_core::actor::{Actor, Operator};
use keygate_core::audit::{AuditVerification, FaultKind};
use keygate_core::manager::{ApiKeyManager, AuditOrder, AuditQuery, NewKey};
use keygate_core::names::OrganizationId;
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_redis::{Layout, Namespace, RedisStore};
use keygate_testkit::{HeldClock, RedisServer, sample};

use crate::support::{namespace, server, store_at};

struct Deployment {
    server: &'static RedisServer,
    manager: ApiKeyManager,
    layout: Layout,
    namespace: Namespace,
    ring: SecretRing,
    organization: OrganizationId,
}

impl Deployment {
    /// Five keys were made, in five acts of two entries each, under two seals.
    async fn new() -> Self {
        let server = server().await;
        let namespace = namespace();
        let store: RedisStore = store_at(&server.url(), namespace.clone());
        let layout = store.layout().clone();
        let ring = SecretRing::new(&MasterSecret::generate().unwrap());
        let manager = ApiKeyManager::builder(store, ring.clone()).build().unwrap();
        let deployment = Self { server, manager, layout, namespace, ring, organization: sample::organization() };
        for keys in [3, 2] {
            for _ in 0..keys {
                let new = NewKey::new(deployment.organization.clone(), sample::user("ann"));
                deployment.manager.create(&actor(), new).await.unwrap();
            }
            assert!(deployment.verify().await.intact);
        }
        deployment
    }

    async fn verify(&self) -> AuditVerification {
        self.manager.verify_audit(&actor(), &self.organization, None).await.unwrap()
    }

    async fn faults(&self) -> Vec<(FaultKind, u64)> {
        self.verify().await.faults.iter().map(|fault| (fault.kind, fault.sequence)).collect()
    }

    /// The bytes of an entry.
    async fn entry(&self, sequence: &str) -> Vec<u8> {
        let name = self.layout.audit(&self.organization);
        let held: Vec<(String, Vec<Vec<u8>>)> =
            self.server.command(["XRANGE", &name, sequence, sequence]).await.unwrap();
        held[0].1[1].clone()
    }
}

fn actor() -> Actor {
    Operator::named("tests".parse().unwrap()).into()
}

#[tokio::test]
async fn an_entry_that_is_removed_shows() {
    let deployment = Deployment::new().await;
    let name = deployment.layout.audit(&deployment.organization);
    let gone: u64 = deployment.server.command(["XDEL", &name, "4-0", "10-0"]).await.unwrap();
    assert_eq!(gone, 2);
    assert_eq!(deployment.faults().await, [(FaultKind::Removed, 4), (FaultKind::Removed, 10)]);
    // And goes on to, whatever is written since.
    let new = NewKey::new(deployment.organization.clone(), sample::user("ann"));
    deployment.manager.create(&actor(), new).await.unwrap();
    assert_eq!(deployment.faults().await.len(), 2);
}

/// An entry of a stream is not changed in its place: all are written anew.
#[tokio::test]
async fn an_entry_that_is_altered_or_inserted_shows() {
    let deployment = Deployment::new().await;
    let name = deployment.layout.audit(&deployment.organization);
    let mut entries = Vec::new();
    for sequence in 1..=10 {
        entries.push((format!("{sequence}-0"), deployment.entry(&sequence.to_string()).await));
    }
    *entries[6].1.last_mut().unwrap() ^= 1;
    entries.swap(1, 2);
    (entries[1].0, entries[2].0) = ("2-0".to_owned(), "3-0".to_owned());
    entries.insert(5, ("5-7".to_owned(), b"another".to_vec()));
    let _: u64 = deployment.server.command(["DEL", &name]).await.unwrap();
    for (id, bytes) in &entries {
        let added: String =
            deployment.server.command([b"XADD", name.as_bytes(), id.as_bytes(), b"e", bytes]).await.unwrap();
        assert_eq!(added, *id);
    }
    let expected =
        [(FaultKind::Inserted, 5), (FaultKind::Reordered, 2), (FaultKind::Reordered, 3), (FaultKind::Altered, 7)];
    assert_eq!(deployment.faults().await, expected);
}

#[tokio::test]
async fn a_seal_that_is_removed_or_made_by_others_shows() {
    let deployment = Deployment::new().await;
    let name = deployment.layout.audit_seals(&deployment.organization);
    let _: u64 = deployment.server.command(["XDEL", &name, "6-0"]).await.unwrap();
    assert_eq!(deployment.faults().await, [(FaultKind::SealRemoved, 6)]);
    let deployment = Deployment::new().await;
    let name = deployment.layout.audit_seals(&deployment.organization);
    let _: u64 = deployment.server.command(["XTRIM", &name, "MAXLEN", "0"]).await.unwrap();
    let _: String = deployment.server.command(["XADD", &name, "11-0", "s", "forged"]).await.unwrap();
    assert_eq!(deployment.faults().await[0], (FaultKind::SealForged, 11));
}

/// Whoever takes the seals away and alters what was under them does not have it sealed as it then is.
#[tokio::test]
async fn an_altered_entry_is_not_sealed_anew() {
    let deployment = Deployment::new().await;
    let (name, seals) =
        (deployment.layout.audit(&deployment.organization), deployment.layout.audit_seals(&deployment.organization));
    let mut entries = Vec::new();
    for sequence in 1..=10 {
        entries.push((format!("{sequence}-0"), deployment.entry(&sequence.to_string()).await));
    }
    entries[6].1[40] ^= 1;
    let _: u64 = deployment.server.command(["DEL", &name, &seals]).await.unwrap();
    for (id, bytes) in &entries {
        let _: String =
            deployment.server.command([b"XADD", name.as_bytes(), id.as_bytes(), b"e", bytes]).await.unwrap();
    }
    assert_eq!(deployment.faults().await, [(FaultKind::Altered, 7)]);
    let new = NewKey::new(deployment.organization.clone(), sample::user("ann"));
    deployment.manager.create(&actor(), new).await.unwrap();
    let found = deployment.verify().await;
    assert_eq!((found.faults_in_all, found.first_unsealed), (1, None), "{found:?}");
    // Where the last seal alone is taken away, what was under it is genuine, and sealed anew.
    let deployment = Deployment::new().await;
    let name = deployment.layout.audit_seals(&deployment.organization);
    let _: u64 = deployment.server.command(["XDEL", &name, "10-0"]).await.unwrap();
    let found = deployment.verify().await;
    assert_eq!((found.intact, found.first_unsealed), (true, None), "{found:?}");
}

/// What is beyond the last entry is shown to nobody, and told by a verification; a `last` that somebody made up has nothing
/// sealed or taken away.
#[tokio::test]
async fn what_is_beyond_the_end_shows() {
    let deployment = Deployment::new().await;
    let name = deployment.layout.audit(&deployment.organization);
    let copy = deployment.entry("3").await;
    let _: String = deployment.server.command([b"XADD", name.as_bytes(), b"50-0", b"e", &copy]).await.unwrap();
    assert_eq!(deployment.faults().await, [(FaultKind::Inserted, 50)]);
    let (query, order) = (AuditQuery::default(), AuditOrder::NewestFirst);
    let organization = &deployment.organization;
    let page = deployment.manager.audit(&actor(), organization, &query, order, 100, None).await.unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.sequence).max(), Some(10));
    let deployment = Deployment::new().await;
    let state = deployment.layout.audit_state(&deployment.organization);
    let _: u64 = deployment.server.command(["HSET", &state, "last", "2000000"]).await.unwrap();
    deployment.manager.trim_audits().await;
    let found = deployment.verify().await;
    assert_eq!((found.seals, found.trimmed_through, found.intact), (2, 0, false), "{found:?}");
}

/// However far away something is put, or the end is said to be: what is written after it is sealed, the hole shows, and all of it is
/// looked through by what is there.
#[tokio::test]
async fn what_is_far_away_holds_nothing_up() {
    for is_entry in [true, false] {
        let deployment = Deployment::new().await;
        let far = "9000000000000000";
        if is_entry {
            let name = deployment.layout.audit(&deployment.organization);
            let (copy, id) = (deployment.entry("3").await, format!("{far}-0"));
            let command = [b"XADD", name.as_bytes(), id.as_bytes(), b"e", &copy];
            let _: String = deployment.server.command(command).await.unwrap();
        } else {
            let state = deployment.layout.audit_state(&deployment.organization);
            let _: u64 = deployment.server.command(["HSET", &state, "last", far]).await.unwrap();
            let found = deployment.verify().await;
            assert_eq!((found.intact, found.first_unsealed, found.seals), (false, None, 2), "{found:?}");
        }
        for seals in [3, 4] {
            let new = NewKey::new(deployment.organization.clone(), sample::user("ann"));
            deployment.manager.create(&actor(), new).await.unwrap();
            let found = deployment.verify().await;
            assert_eq!((found.seals, found.first_unsealed), (seals, None), "{found:?}");
            assert_eq!(deployment.faults().await, [(FaultKind::Removed, 11)]);
        }
    }
}

/// All of it is in one slot, under names that nobody is told of, and what is remembered of a call ends by itself.
#[tokio::test]
async fn an_entry_is_remembered_for_a_minute() {
    let deployment = Deployment::new().await;
    let pattern = format!("{}*", deployment.layout.audit_states_prefix().replace("audit-state:", "audit-once:"));
    let names: Vec<String> = deployment.server.command(["KEYS", &pattern]).await.unwrap();
    assert_eq!(names.len(), 10);
    for name in names {
        let left: i64 = deployment.server.command(["PTTL", &name]).await.unwrap();
        assert!((1..=60_000).contains(&left), "{left}");
    }
}

impl Deployment {
    /// Writes the stream of entries anew, as somebody does who puts something in.
    async fn write_anew(&self, entries: &[(String, Vec<u8>)]) {
        let name = self.layout.audit(&self.organization);
        let _: u64 = self.server.command(["DEL", &name]).await.unwrap();
        for (id, bytes) in entries {
            let _: String = self.server.command([b"XADD", name.as_bytes(), id.as_bytes(), b"e", bytes]).await.unwrap();
        }
    }

    async fn entries(&self, sequences: std::ops::RangeInclusive<u64>) -> Vec<(String, Vec<u8>)> {
        let mut entries = Vec::new();
        for sequence in sequences {
            entries.push((format!("{sequence}-0"), self.entry(&sequence.to_string()).await));
        }
        entries
    }

    async fn shown(&self) -> Vec<u64> {
        let (query, order) = (AuditQuery::default(), AuditOrder::OldestFirst);
        let page = self.manager.audit(&actor(), &self.organization, &query, order, 100, None).await.unwrap();
        page.entries.iter().map(|entry| entry.sequence).collect()
    }
}

/// Where nothing was ever written, though what is put there is genuine elsewhere.
#[tokio::test]
async fn an_entry_before_the_first_shows() {
    let deployment = Deployment::new().await;
    let mut entries = deployment.entries(1..=10).await;
    entries.insert(0, ("0-1".to_owned(), entries[3].1.clone()));
    deployment.write_anew(&entries).await;
    assert_eq!(deployment.faults().await, [(FaultKind::Inserted, 0)]);
    assert_eq!(deployment.shown().await, (1..=10).collect::<Vec<_>>());
}

/// What is not kept any more does not come back, and a checkpoint is as it was made.
#[tokio::test]
async fn what_is_below_the_checkpoint_or_changes_it_shows() {
    let mut deployment = Deployment::new().await;
    let first = deployment.entry("2").await;
    let clock = HeldClock::at(Utc::now() + TimeDelta::days(401));
    let store: RedisStore = store_at(&deployment.server.url(), deployment.namespace.clone());
    deployment.manager = ApiKeyManager::builder(store, deployment.ring.clone()).clock(clock).build().unwrap();
    let new = NewKey::new(deployment.organization.clone(), sample::user("ann"));
    deployment.manager.create(&actor(), new).await.unwrap();
    assert!(deployment.verify().await.intact);
    // It begins somewhere, and comes to every bucket in sixteen rounds.
    for _ in 0..16 {
        deployment.manager.walk_audits().await;
    }
    let found = deployment.verify().await;
    assert_eq!((found.intact, found.trimmed_through, found.entries), (true, 10, 2), "{found:?}");
    let mut entries = deployment.entries(11..=12).await;
    entries.insert(0, ("2-0".to_owned(), first));
    deployment.write_anew(&entries).await;
    assert_eq!(deployment.faults().await, [(FaultKind::Inserted, 2)]);
    assert_eq!(deployment.shown().await, [11, 12]);
    entries.remove(0);
    deployment.write_anew(&entries).await;
    assert_eq!(deployment.faults().await, []);
    let state = deployment.layout.audit_state(&deployment.organization);
    let checkpoint: Vec<u8> = deployment.server.command(["HGET", &state, "checkpoint"]).await.unwrap();
    let mut altered = checkpoint.clone();
    // When it was made, and then its MAC.
    for place in [15, checkpoint.len() - 1] {
        altered[place] ^= 1;
        let _: u64 = deployment.server.command([b"HSET", state.as_bytes(), b"checkpoint", &altered]).await.unwrap();
        assert_eq!(deployment.faults().await, [(FaultKind::CheckpointForged, 10)]);
    }
    let _: u64 = deployment.server.command(["HDEL", &state, "checkpoint"]).await.unwrap();
    assert_eq!(deployment.faults().await[0], (FaultKind::SealRemoved, 10));
}
