//! What stands where in Redis, and what a call costs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keygate_core::anomaly::finding::{KEPT, Measured};
use keygate_core::anomaly::{Finding, Rule};
use keygate_core::coherence::Coherence;
use keygate_core::lifecycle::due;
use keygate_core::limiter::call::{Call, Outcome as Granting, Writer};
use keygate_core::limiter::policy::PoolId;
use keygate_core::limits::{Fallback, Limits};
use keygate_core::names::OrganizationId;
use keygate_core::notice::{Fate, NoticeId, Parcel, Posting};
use keygate_core::record::{KeyRecord, KeyStatus, OrganizationRecord, ProjectRecord, Quota, Revision, Succession};
use keygate_core::store::{Listing, LookupToken, MemoName, MemoryStore, Store, StoreError, WriteRefusal};
use keygate_core::usage::batch::{Batch, Delta, LastUse, Writer as UsageWriter};
use keygate_core::usage::counts::Counts;
use keygate_core::usage::outcome::{Answered, Outcome};
use keygate_core::usage::period::{Day, Hour, Month};
use keygate_core::usage::subject::Subject;
use keygate_redis::{Layout, Namespace, RedisStore};
use keygate_testkit::{RedisServer, sample};

use crate::support::{documented_commands, documented_names, namespace, server, some_id, store_at, watch};

const AMPLE: Quota = Quota { per_organization: 1000, per_user: 1000 };

#[tokio::test]
async fn every_entry_has_a_documented_name() {
    let server = RedisServer::start().await.unwrap();
    let store = store_at(&server.url(), namespace());
    let (organization, user) = (sample::organization(), sample::user("bob"));
    let record = sample::full_record(&organization, &user);
    store.create(&organization, AMPLE, vec![record.clone()]).await.unwrap();
    store.put_organization(&OrganizationRecord::new(organization.clone()), None).await.unwrap();
    let project = ProjectRecord::new(organization.clone(), sample::project("website"));
    store.put_project(&project, None).await.unwrap();
    store.put_deployment(None, &sample::deployment()).await.unwrap();
    let memo = MemoName::from_bytes(sample::random());
    store.remember(&memo, b"value", Duration::from_secs(60)).await.unwrap();
    let token = LookupToken::from_bytes(sample::random());
    store.take_lookups(&[(token, record.key.id)]).await.unwrap();
    let not_after = sample::now().timestamp_millis() as u64 + 2_000;
    let call = Call { sequence: 1, not_after, ..Call::default() };
    let pool = PoolId::Lineage(record.key.id);
    store.lease(&pool, &Limits::STANDARD, &call).await.unwrap();
    let key = Subject::Key(record.key.id);
    let (now, writer, bucket) = (sample::now(), UsageWriter(7), record.key.id.bucket());
    let mut counts = Counts::default();
    counts.add_outcome(Outcome::Admitted, 1);
    let mut delta = Delta { hours: [(Hour::of(now), counts)].into(), ..Delta::default() };
    delta.add_address(Month::of(now), IpAddr::from([10, 1, 2, 3]));
    let batch = Arc::new(Batch { after: 0, number: 1, deltas: vec![(key.clone(), delta)] });
    store.record_usage(bucket.number(), writer, &[batch]).await.unwrap();
    assert!(store.put_habits(record.key.id, None, b"habits").await.unwrap());
    assert!(store.record_finding(&finding(&record, now, None)).await.unwrap());
    let layout = store.layout();
    let due_day = Day::of(due(&record).unwrap());
    let mut expected = [
        layout.habits(record.key.id),
        layout.findings(&organization),
        layout.finding_times(&organization),
        layout.usage(&key),
        layout.usage_day(&key, Day::of(now)),
        layout.usage_addresses(&key, Month::of(now)),
        layout.usage_mark(bucket, writer),
        layout.due(record.key.id.bucket(), due_day),
        layout.due_days(record.key.id.bucket()),
        layout.record(record.key.id),
        layout.keys(&organization),
        layout.ended(&organization),
        layout.user_keys(&organization, &user),
        layout.project_keys(&organization, &project.id),
        layout.organization(&organization),
        layout.project(&organization, &project.id),
        layout.deployment(),
        layout.memo(&memo),
        layout.lookup(&token),
        layout.limit(&pool),
    ];
    expected.sort();
    let mut names: Vec<String> = server.command(["KEYS", "*"]).await.unwrap();
    names.sort();
    assert_eq!(names, expected);
    let held: Vec<u8> = server.command(["GET", &layout.record(record.key.id)]).await.unwrap();
    assert_eq!(held, record.encode().unwrap());
    let held: Vec<u8> = server.command(["GET", &layout.lookup(&token)]).await.unwrap();
    assert_eq!(held, record.key.id.as_bytes());
    let left: i64 = server.command(["PTTL", &layout.lookup(&token)]).await.unwrap();
    assert_eq!(left, -1, "a lookup does not end by itself");
    let left: i64 = server.command(["PTTL", &layout.memo(&memo)]).await.unwrap();
    assert!((1..=60_000).contains(&left), "a memo ends by itself, in {left} ms");
    for name in [layout.habits(record.key.id), layout.findings(&organization), layout.finding_times(&organization)] {
        let left: i64 = server.command(["PTTL", &name]).await.unwrap();
        let days = TimeDelta::milliseconds(left + 60_000).num_days();
        assert_eq!(days, 90, "{name} ends by itself, in {left} ms");
    }
}

fn finding(record: &KeyRecord, at: DateTime<Utc>, value: Option<String>) -> Finding {
    let measured = Measured { observed: 1.0, expected: 0.0, sample_size: 1 };
    let whom = (record.key.id, record.key.organization.clone());
    Finding::new(Rule::NewScope, whom, at, value, measured, "First use.".to_owned())
}

#[tokio::test]
async fn all_of_an_organization_shares_a_slot_and_all_of_a_key_does() {
    let store = store_at("redis://127.0.0.1", namespace());
    let tag = |name: String| name.split_once('{').unwrap().1.split_once('}').unwrap().0.to_owned();
    for _ in 0..100 {
        let (organization, user) = (sample::organization(), sample::user("bob"));
        let layout = store.layout();
        let id = sample::record(&organization, &user).key.id;
        assert_eq!(tag(layout.record(id)), id.bucket().to_string());
        assert_eq!(tag(layout.record(id)), tag(layout.fence(id)));
        assert_eq!(tag(layout.record(id)), tag(layout.habits(id)));
        assert_eq!(tag(layout.record(id)), tag(layout.revoked(id)));
        assert_eq!(tag(layout.record(id)), tag(layout.limit(&PoolId::Lineage(id))));
        let key = Subject::Key(id);
        assert_eq!(tag(layout.record(id)), tag(layout.usage(&key)));
        assert_eq!(tag(layout.record(id)), tag(layout.usage_day(&key, Day(7))));
        assert_eq!(tag(layout.record(id)), tag(layout.usage_addresses(&key, Month(7))));
        assert_eq!(tag(layout.record(id)), tag(layout.usage_estimate(&key, Month(7))));
        assert_eq!(tag(layout.record(id)), tag(layout.usage_mark(id.bucket(), UsageWriter(7))));
        assert_eq!(store.usage_bucket(&key), id.bucket().number());
        let registry = id.bucket();
        assert_eq!(tag(layout.instances_until(registry)), tag(layout.instances_beats(registry)));
        let of_organization = [
            layout.keys(&organization),
            layout.ended(&organization),
            layout.user_keys(&organization, &user),
            layout.user_ended(&organization, &user),
            layout.project_keys(&organization, &sample::project("website")),
            layout.pending(&organization),
            layout.flight(&organization),
            layout.organization(&organization),
            layout.project(&organization, &sample::project("website")),
            layout.findings(&organization),
            layout.finding_times(&organization),
            layout.usage(&Subject::User(organization.clone(), user.clone())),
            layout.usage(&Subject::Project(organization.clone(), sample::project("website"))),
            layout.usage_ranking(&Subject::Organization(organization.clone()), Month(7)),
            layout.limit(&PoolId::User(organization.clone(), user)),
            layout.limit(&PoolId::Project(organization.clone(), sample::project("website"))),
            layout.limit(&PoolId::Organization(organization)),
        ];
        assert!(of_organization.map(tag).windows(2).all(|pair| pair[0] == pair[1]));
    }
}

#[tokio::test]
async fn reading_a_record_is_one_get_and_reading_parents_one_mget() {
    let server = RedisServer::start().await.unwrap();
    let store = store_at(&server.url(), namespace());
    let organization = sample::organization();
    let record = sample::record(&organization, &sample::user("bob"));
    store.create(&organization, AMPLE, vec![record.clone()]).await.unwrap();
    server.reset_command_stats().await.unwrap();
    store.record(record.key.id).await.unwrap().unwrap();
    store.parents(&organization, Some(&sample::project("website"))).await.unwrap();
    let mut stats = server.command_stats().await.unwrap();
    stats.retain(|command, _| !command.starts_with("config") && command != "info");
    assert_eq!(stats, BTreeMap::from([("get".to_owned(), 1), ("mget".to_owned(), 1)]));
}

#[tokio::test]
async fn nothing_walks_the_keyspace_but_the_count_of_ring_entries() {
    let server = RedisServer::start().await.unwrap();
    let store = store_at(&server.url(), namespace());
    let organization = sample::organization();
    let record = sample::record(&organization, &sample::user("bob"));
    let mut all = vec![record.clone()];
    all.extend((0..50).map(|_| sample::record(&organization, &sample::user("bob"))));
    server.reset_command_stats().await.unwrap();
    store.create(&organization, AMPLE, all).await.unwrap();
    store.create(&organization, Quota { per_user: 1, ..AMPLE }, vec![record.clone()]).await.unwrap();
    store.list(&Listing::Organization(organization.clone()), None, 20).await.unwrap();
    store.set_status(&organization, record.key.id, &sample::status(KeyStatus::Revoked)).await.unwrap();
    store.delete(&organization, record.key.id, record.key.revision.next()).await.unwrap();
    let stats = server.command_stats().await.unwrap();
    for walking in ["keys", "scan", "smembers", "hgetall"] {
        assert!(!stats.contains_key(walking), "{walking} was called");
    }
}

#[tokio::test]
async fn what_the_crate_docs_name_is_all_that_an_acl_must_allow() {
    let server = RedisServer::start().await.unwrap();
    let namespace = namespace();
    assert!(documented_names().eq([format!("~{}:*", Namespace::default())]));
    let names = format!("~{namespace}:*");
    let user = ["ACL", "SETUSER", "limited", "on", ">word", &names];
    server.command::<()>(user.into_iter().chain(documented_commands())).await.unwrap();
    let url = format!("redis://limited:word@{}", server.address());
    let store = store_at(&url, namespace.clone()).with_reservation(Duration::ZERO);
    let (organization, user) = (sample::organization(), sample::user("bob"));

    // Reserved and late, so that there is something to reap, and to fence.
    let late = sample::record(&organization, &user);
    store.create(&organization, AMPLE, vec![late]).await.unwrap_err();
    assert_eq!(store.reap(&organization).await.unwrap(), 1);

    let store = store_at(&url, namespace);
    let _heard = watch(&store);
    assert!(store.put_deployment(None, &sample::deployment()).await.unwrap());
    store.put_organization(&OrganizationRecord::new(organization.clone()), None).await.unwrap();
    store.parents(&organization, Some(&sample::project("website"))).await.unwrap();
    let records: Vec<_> = (0..70).map(|_| sample::full_record(&organization, &user)).collect();
    store.create(&organization, AMPLE, records.clone()).await.unwrap();
    let refused =
        store.create(&organization, Quota { per_user: 1, ..AMPLE }, vec![sample::record(&organization, &user)]);
    assert!(refused.await.unwrap()[0].is_err());
    store.recount(&organization).await.unwrap();
    let next = sample::expiring(&records[0], None);
    store.replace(&next, records[0].key.revision).await.unwrap();
    let change = sample::status(KeyStatus::Revoked);
    let revoked = store.set_status(&organization, next.key.id, &change).await.unwrap().record;
    store.delete(&organization, next.key.id, revoked.key.revision).await.unwrap();
    assert_eq!(
        store.list(&Listing::User(organization.clone(), user.clone()), None, 100).await.unwrap().records.len(),
        69
    );
    assert_eq!(store.quota_use(&organization, &user).await.unwrap().user, 69);
    assert!(!store.ring_usage().await.unwrap().is_empty());
    let memo = MemoName::from_bytes(sample::random());
    store.remember(&memo, b"value", Duration::from_secs(60)).await.unwrap();
    assert_eq!(store.recall(&memo).await.unwrap().as_deref(), Some(&b"value"[..]));
    let lookup = LookupToken::from_bytes(sample::random());
    assert_eq!(store.take_lookups(&[(lookup, records[1].key.id)]).await.unwrap(), [None]);
    assert_eq!(store.look_up(&[lookup]).await.unwrap(), [Some(records[1].key.id)]);
    assert!(store.free_lookup(&lookup, records[1].key.id).await.unwrap());
    counts_of_every_kind(&store, &organization).await;
    assert!(store.put_habits(records[1].key.id, None, b"habits").await.unwrap());
    assert!(store.habits(records[1].key.id).await.unwrap().is_some());
    // The second is over when the third comes.
    for days in [0, 91, 1] {
        let found = finding(&records[1], sample::now() - TimeDelta::days(days), None);
        assert!(store.record_finding(&found).await.unwrap());
    }
    assert_eq!(store.findings(&organization, Some(records[1].key.id), 5, None).await.unwrap().len(), 2);
    // So many that those whose time is over are looked for.
    let pool = PoolId::Organization(organization);
    for writer in 1..40 {
        let not_after = sample::now().timestamp_millis() as u64 + 2_000;
        let call = Call { writer: Writer(writer), sequence: 1, not_after, ..Call::default() };
        let answer = store.lease(&pool, &Limits::STANDARD, &call).await.unwrap();
        assert!(matches!(answer.outcome, Granting::Granted(_)), "{answer:?}");
    }
    assert_eq!(store.coherence(), Coherence::Live);
    assert!(store.told_everywhere().await.unwrap());
}

/// So much of an organization that what is not told apart, what is estimated and what is forgotten is among it.
async fn counts_of_every_kind(store: &RedisStore, organization: &OrganizationId) {
    let subject = Subject::Organization(organization.clone());
    let now = sample::now();
    let month = Month::of(now);
    let mut counts = Counts::default();
    counts.add_outcome(Outcome::Admitted, u64::MAX);
    (0..200).for_each(|number| counts.add_endpoint(&format!("/{number}").into(), 1));
    let addresses = (0..100_u32).map(|number| IpAddr::from(number.to_be_bytes())).collect();
    let keys = (0..5_000).map(|number| (some_id(), number)).collect();
    let delta = Delta {
        hours: [(Hour::of(now), counts)].into(),
        addresses: [(month, addresses)].into(),
        keys: [(month, keys)].into(),
        last_use: Some(LastUse { at: now, address: None, location: None }),
        ..Delta::default()
    };
    let bucket = store.usage_bucket(&subject);
    let at = |hours: u32, number: u64| {
        let mut delta = delta.clone();
        delta.hours = delta.hours.iter().map(|(hour, counts)| (Hour(hour.0 + hours), counts.clone())).collect();
        Arc::new(Batch { after: number - 1, number, deltas: vec![(subject.clone(), delta)] })
    };
    let batches = [at(0, 1), at(1, 2), at(25, 3)];
    assert_eq!(store.record_usage(bucket, UsageWriter(7), &batches).await.unwrap(), 3);
    assert_eq!(store.record_usage(bucket, UsageWriter(7), &[]).await.unwrap(), 3);
    let account = store.usage(&subject, Day(0)..=Day(u32::MAX)).await.unwrap().unwrap();
    assert!(account.addresses[&month] > 64, "{account:?}");
    assert_eq!(store.most_used(organization, month, 10).await.unwrap().len(), 10);
    assert_eq!(store.last_uses(&[some_id()]).await.unwrap(), [None]);
}

#[tokio::test]
async fn taking_in_a_key_is_few_commands_and_so_is_reading_it() {
    let server = RedisServer::start().await.unwrap();
    let store = store_at(&server.url(), namespace());
    let record = sample::record(&sample::organization(), &sample::user("bob"));
    let (id, now) = (record.key.id, sample::now());
    store.create(&record.key.organization.clone(), AMPLE, vec![record]).await.unwrap();
    let subject = Subject::Key(id);
    let mut counts = Counts::default();
    counts.add_outcome(Outcome::Admitted, 3);
    counts.add_answer(Answered::Success, 3);
    counts.add_endpoint(&"/v1/things".into(), 3);
    let mut delta = Delta { hours: [(Hour::of(now), counts)].into(), ..Delta::default() };
    delta.add_address(Month::of(now), IpAddr::from([10, 1, 2, 3]));
    for number in 1..3 {
        server.reset_command_stats().await.unwrap();
        delta.used(Some(LastUse { at: now + TimeDelta::milliseconds(number), address: None, location: None }));
        let number = number as u64;
        let batch = Arc::new(Batch { after: number - 1, number, deltas: vec![(subject.clone(), delta.clone())] });
        assert_eq!(store.record_usage(id.bucket().number(), UsageWriter(7), &[batch]).await.unwrap(), number);
    }
    let counted = |stats: BTreeMap<String, u64>| {
        let ours = stats.into_iter().filter(|(command, _)| !command.starts_with("config") && command != "info");
        ours.map(|(command, calls)| format!("{command} {calls}")).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        counted(server.command_stats().await.unwrap()),
        "bitfield 1, evalsha 1, exists 1, get 1, getrange 1, hincrby 3, hlen 1, set 1, setrange 1, smismember 1, time 1"
    );
    server.reset_command_stats().await.unwrap();
    store.last_uses(&[id, id]).await.unwrap();
    store.usage(&subject, Day::of(now)..=Day::of(now)).await.unwrap().unwrap();
    assert_eq!(counted(server.command_stats().await.unwrap()), "get 1, getrange 2, hgetall 1, pfcount 5, scard 5");
}

#[tokio::test]
async fn findings_are_kept_as_the_memory_store_keeps_them() {
    let server = RedisServer::start().await.unwrap();
    let (store, model) = (store_at(&server.url(), namespace()), MemoryStore::new());
    let record = sample::record(&sample::organization(), &sample::user("bob"));
    let organization = &record.key.organization;
    let now = sample::now();
    for number in 0..KEPT as i64 + 30 {
        // The times go to and fro, over a year, and some causes come again on their days.
        let at = now - TimeDelta::minutes(number * 7_919 % 500_000);
        for value in [None, Some(number.to_string())] {
            let found = finding(&record, at, value);
            let is_kept = model.record_finding(&found).await.unwrap();
            assert_eq!(store.record_finding(&found).await.unwrap(), is_kept, "{found:?}");
        }
        if number == 500 {
            server.command::<()>(["SCRIPT", "FLUSH"]).await.unwrap();
        }
    }
    let all = model.findings(organization, None, 2 * KEPT, None).await.unwrap();
    assert_eq!(store.findings(organization, None, 2 * KEPT, None).await.unwrap(), all);
    let (findings, times) = (store.layout().findings(organization), store.layout().finding_times(organization));
    let in_hash: usize = server.command(["HLEN", &findings]).await.unwrap();
    let among_times: usize = server.command(["ZCARD", &times]).await.unwrap();
    assert_eq!(in_hash, among_times);
    assert!(among_times <= KEPT, "{among_times}");

    let damage = redis::cmd("HSET").arg(&findings).arg(&all[0].id.as_bytes()[..]).arg("{}").clone();
    server.query::<()>(damage).await.unwrap();
    let told = store.findings(organization, None, 1, None).await;
    assert!(matches!(&told, Err(StoreError::Damaged { what, .. }) if *what == findings), "{told:?}");
    server.command::<()>(["ZADD", &times, "2000000000000", "a"]).await.unwrap();
    let told = store.findings(organization, None, 1, None).await;
    assert!(matches!(&told, Err(StoreError::Damaged { what, .. }) if *what == times), "{told:?}");
}

#[tokio::test]
async fn a_record_of_every_schema_version_is_changed_revoked_and_deleted() {
    let store = store_at(&server().await.url(), namespace());
    for (fallback, rotates, sensitive, version) in [
        (Fallback::Deny, false, false, 1),
        (Fallback::Open, false, false, 2),
        (Fallback::Deny, true, false, 3),
        (Fallback::Open, true, false, 3),
        (Fallback::Deny, false, true, 4),
        (Fallback::Open, true, true, 4),
    ] {
        let organization = sample::organization();
        let mut record = sample::full_record(&organization, &sample::user("bob"));
        record.key.limits.fallback = fallback;
        if !rotates {
            (record.key.succession, record.offer, record.unclaimed) = (Succession::default(), None, false);
            record.lookup = None;
        }
        if !sensitive {
            record.keep_sensitive(std::collections::BTreeMap::new());
        }
        assert_eq!(record.encode().unwrap()[0], version);
        let id = record.key.id;
        assert_eq!(store.create(&organization, AMPLE, vec![record.clone()]).await.unwrap(), [Ok(())]);
        let described = sample::described(&record, "changed");
        store.replace(&described, record.key.revision).await.unwrap();
        let revoked = store.set_status(&organization, id, &sample::status(KeyStatus::Revoked)).await.unwrap().record;
        assert_eq!(store.record(id).await.unwrap(), Some(revoked.clone()));
        assert_eq!(revoked.key.limits, record.key.limits);
        let other = sample::organization();
        let walled = store.delete(&other, id, revoked.key.revision).await;
        assert!(matches!(walled, Err(WriteRefusal::Absent)), "{walled:?}");
        store.delete(&organization, id, revoked.key.revision).await.unwrap();
        assert_eq!(store.record(id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_entry_that_is_no_record_is_named() {
    let server = server().await;
    let store = store_at(&server.url(), namespace());
    let organization = sample::organization();
    let record = sample::record(&organization, &sample::user("bob"));
    let id = record.key.id;
    let other = sample::record(&organization, &sample::user("bob"));
    store.create(&organization, AMPLE, vec![record.clone(), other.clone()]).await.unwrap();
    let mut newer = record.encode().unwrap();
    newer[0] = 200;
    for blob in [b"not a record".to_vec(), newer] {
        server.query::<()>(redis_set(&store.layout().record(id), &blob)).await.unwrap();
        let named = |error: &StoreError| {
            assert!(matches!(error, StoreError::Damaged { what, .. } if what.contains(&id.to_string())), "{error:?}");
        };
        named(&store.record(id).await.unwrap_err());
        // It holds up no other.
        let listed = store.list(&Listing::Organization(organization.clone()), None, 5).await.unwrap();
        assert_eq!((listed.records, listed.unreadable), (vec![other.clone()], vec![id]));
        // It counts like one of them, so that a page does not look through all that cannot be read.
        let page = store.list(&Listing::Organization(organization.clone()), None, 1).await.unwrap();
        assert_eq!(page.records.len() + page.unreadable.len(), 1);
        named(&store.ring_usage().await.unwrap_err());
        for status in [KeyStatus::Inactive, KeyStatus::Revoked] {
            match store.set_status(&organization, id, &sample::status(status)).await {
                Err(WriteRefusal::Store(error)) => named(&error),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// What is in a list of notices and is none keeps none from being sent.
#[tokio::test]
async fn an_entry_that_is_no_notice_holds_up_no_other() {
    let server = server().await;
    let store = store_at(&server.url(), namespace());
    let now = DateTime::from_timestamp_millis(1_700_000_000_000).unwrap();
    let organization = sample::organization();
    let id = NoticeId::from_bytes(sample::random());
    let notice = Parcel { organization: organization.clone(), id, due: now, bytes: b"a notice".to_vec() };
    store.put_notice(&notice, Posting::USUAL).await.unwrap();
    let shard = Layout::notice_shard(&organization);
    let earlier = now.timestamp_millis() - 1;
    for waiting in [&b"short"[..], &[0xff; 40]] {
        let mut add = redis::cmd("ZADD");
        add.arg(store.layout().notices_waiting(shard)).arg(earlier).arg(waiting);
        server.query::<()>(add).await.unwrap();
    }
    let until = now + TimeDelta::seconds(60);
    let taken = store.take_notices(shard, now, until, 10).await.unwrap();
    assert_eq!(taken, [Parcel { due: until, ..notice }]);
    assert!(store.settle_notice(&taken[0], &Fate::GivenUp { at: now, bytes: b"why".to_vec() }).await.unwrap());
    let mut add = redis::cmd("ZADD");
    add.arg(store.layout().notices_given_up(&organization)).arg(earlier).arg(&b"short"[..]);
    server.query::<()>(add).await.unwrap();
    assert_eq!(store.given_up(&organization, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_revision_grows_through_all_its_bytes() {
    let server = server().await;
    let store = store_at(&server.url(), namespace());
    let organization = sample::organization();
    let mut record = sample::record(&organization, &sample::user("bob"));
    store.create(&organization, AMPLE, vec![record.clone()]).await.unwrap();
    for revision in [1, 254, 255, 256, 65_535, (1 << 53) - 1, 1 << 53, u64::MAX - 1, u64::MAX] {
        record.key.revision = Revision(revision);
        let blob = record.encode().unwrap();
        server.query::<()>(redis_set(&store.layout().record(record.key.id), &blob)).await.unwrap();
        let change = sample::status(KeyStatus::Inactive);
        let written = store.set_status(&organization, record.key.id, &change).await.unwrap();
        assert_eq!(written.record.key.revision, Revision(revision).next());
        assert_eq!(written.record.key.status, change);
        let described = sample::described(&written.record, "changed");
        if revision < u64::MAX - 1 {
            store.replace(&described, written.record.key.revision).await.unwrap();
            let stale = store.replace(&described, Revision(revision)).await;
            assert!(matches!(stale, Err(WriteRefusal::Conflict { found }) if found == described.key.revision));
        }
    }
}

fn redis_set(name: &str, value: &[u8]) -> redis::Cmd {
    let mut set = redis::cmd("SET");
    set.arg(name).arg(value);
    set
}
