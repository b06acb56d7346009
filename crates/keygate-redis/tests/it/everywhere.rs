//! When it is said that nobody believes any longer what was so before, nobody does.

use std::time::{Duration, Instant};

use keygate_core::coherence::{Change, Coherence};
use keygate_core::key::Bucket;
use keygate_core::record::Quota;
use keygate_core::store::Store;
use keygate_testkit::{FaultProxy, RedisServer, sample};

use crate::support::{
    self, coherent, eventually, is_live, lease, leased_at, namespace, server, some_id, store_at, watch, watch_for,
};

const H: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_healthy_fleet_has_heard_when_it_is_said_and_is_not_waited_out() {
    let server = server().await;
    let (namespace, long) = (namespace(), Duration::from_secs(4));
    let fleet: Vec<_> = (0..3).map(|_| leased_at(&server.url(), namespace.clone(), long)).collect();
    let watchers: Vec<_> = fleet.iter().map(watch).collect();
    for store in &fleet {
        assert!(is_live(&lease(store).await));
    }
    let command_line = leased_at(&server.url(), namespace, long);
    for writer in [&fleet[0], &command_line] {
        let organization = sample::organization();
        let record = sample::record(&organization, &sample::user("bob"));
        let ample = Quota { per_organization: 1000, per_user: 1000 };
        writer.create(&organization, ample, vec![record.clone()]).await.unwrap();
        let began = Instant::now();
        assert!(writer.told_everywhere().await.unwrap());
        assert!(began.elapsed() < long, "it took {:?}", began.elapsed());
        for heard in &watchers {
            assert!(heard.has(&Change::Key(record.key.id)), "one has not heard");
        }
    }
    for store in &fleet {
        assert_eq!(store.coherence(), Coherence::Live);
    }
}

#[tokio::test]
async fn where_nobody_believes_nobody_is_waited_for() {
    let store = store_at(&server().await.url(), namespace());
    let began = Instant::now();
    assert!(store.told_everywhere().await.unwrap());
    assert!(began.elapsed() < Duration::from_millis(500), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn one_who_is_cut_off_is_waited_out() {
    let server = server().await;
    let namespace = namespace();
    let proxy = FaultProxy::start(server.address()).unwrap();
    let cut_off = leased_at(&proxy.url(), namespace.clone(), H);
    let _heard = watch(&cut_off);
    let believed = lease(&cut_off).await;
    proxy.swallow();
    assert!(is_live(&believed));
    assert!(store_at(&server.url(), namespace).told_everywhere().await.unwrap());
    assert!(!is_live(&believed));
}

#[tokio::test]
async fn one_who_may_believe_for_longer_than_is_waited_makes_it_false() {
    let server = server().await;
    let namespace = namespace();
    let proxy = FaultProxy::start(server.address()).unwrap();
    let cut_off = leased_at(&proxy.url(), namespace.clone(), H).with_max_staleness(Duration::from_secs(60)).unwrap();
    let _heard = watch_for(&cut_off, Duration::from_secs(30));
    assert!(is_live(&lease(&cut_off).await));
    let short = Duration::from_secs(2);
    let store = leased_at(&server.url(), namespace, H).with_max_staleness(short).unwrap();
    assert!(store.told_everywhere().await.unwrap(), "it gets on, so it is not waited out");
    proxy.swallow();
    let began = Instant::now();
    assert!(!store.told_everywhere().await.unwrap());
    let waited = began.elapsed();
    assert!((short..short + Duration::from_secs(2)).contains(&waited), "it took {waited:?}");
}

#[tokio::test]
async fn a_connection_that_was_lost_is_waited_out_though_another_took_its_place() {
    let server = server().await;
    let namespace = namespace();
    let proxy = FaultProxy::start(server.address()).unwrap();
    let store = leased_at(&proxy.url(), namespace.clone(), H);
    // It may believe what it read over the old connection for two seconds more, should the store not answer again.
    let stale = Duration::from_secs(2);
    let _heard = watch_for(&store, stale);
    let believed = lease(&store).await;
    proxy.cut();
    eventually("the lease has ended", || believed.has_ended()).await;
    proxy.pass();
    coherent(&store, Coherence::Live).await;
    assert!(store_at(&server.url(), namespace).told_everywhere().await.unwrap());
    let now = keygate_core::clock::Tick::now();
    assert!(now >= believed.reached().after(stale), "what was read over the old one may be believed still");
}

#[tokio::test]
async fn one_who_would_believe_for_longer_than_the_deployment_allows_keeps_nothing() {
    let server = server().await;
    let namespace = namespace();
    let url = server.url();
    let first = leased_at(&url, namespace.clone(), H).with_max_staleness(Duration::from_secs(2)).unwrap();
    let _heard = watch(&first);
    assert!(is_live(&lease(&first).await));
    let second = leased_at(&url, namespace.clone(), H).with_max_staleness(Duration::from_secs(60)).unwrap();
    let _patient = watch_for(&second, Duration::from_secs(5));
    assert!(!is_live(&lease(&second).await));
    assert_eq!(second.coherence(), Coherence::Lapsed);
    let maximum = ["HGET", &second.layout().instances_beats(Bucket::of(0)), "maximum"];
    assert_eq!(server.command::<u64>(maximum).await.unwrap(), 2000);
    // When it is alone, it says what is allowed.
    drop(first);
    coherent(&second, Coherence::Live).await;
    assert_eq!(server.command::<u64>(maximum).await.unwrap(), 60_000);
    // Not even its own maximum is above its own.
    let third = leased_at(&url, support::namespace(), H);
    let _patient = watch_for(&third, Duration::from_secs(30));
    assert!(!is_live(&lease(&third).await));
    coherent(&third, Coherence::Lapsed).await;
}

#[tokio::test]
async fn those_long_gone_leave_the_registry() {
    let server = RedisServer::start().await.unwrap();
    let store = leased_at(&server.url(), namespace(), Duration::from_millis(200));
    let registry = Bucket::of(0);
    let (until, beats) = (store.layout().instances_until(registry), store.layout().instances_beats(registry));
    for number in 0..40 {
        let id = format!("{number:016}");
        server.command::<()>(["ZADD", &until, "1000", &id]).await.unwrap();
        server.command::<()>(["HSET", &beats, &id, "x"]).await.unwrap();
    }
    let _heard = watch(&store);
    store.load_record(some_id()).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    // This one, and the maximum.
    while server.command::<u64>(["ZCARD", &until]).await.unwrap() != 1
        || server.command::<u64>(["HLEN", &beats]).await.unwrap() != 2
    {
        assert!(Instant::now() < deadline, "they stay");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_says_so() {
    let proxy = FaultProxy::start(server().await.address()).unwrap();
    proxy.cut();
    assert!(store_at(&proxy.url(), namespace()).told_everywhere().await.is_err());
}
