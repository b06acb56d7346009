//! A cluster forms, moves slots and survives the loss of a master.

use std::error::Error;

use keygate_testkit::{RedisCluster, RedisServer, TestkitError};

type TestResult = Result<(), Box<dyn Error>>;

#[tokio::test]
async fn three_masters_share_the_slots() -> TestResult {
    let cluster = RedisCluster::start().await?;
    assert_eq!(cluster.nodes().len(), 3);
    let ports: Vec<String> = cluster.nodes().iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
    assert_eq!(cluster.url(), format!("redis+cluster://{}", ports.join(",")));
    assert_eq!(cluster.slot_owner(0).await?, 0);
    assert_eq!(cluster.slot_owner(8192).await?, 1);
    assert_eq!(cluster.slot_owner(16_383).await?, 2);

    let owner = cluster.slot_owner(cluster.slot_of("key").await?).await?;
    for (position, node) in cluster.nodes().iter().enumerate() {
        let answer = node.command::<()>(["SET", "key", "value"]).await;
        assert_eq!(answer.is_ok(), position == owner, "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_slot_on_the_move_answers_ask_and_then_moved() -> TestResult {
    let cluster = RedisCluster::start().await?;
    let slot = cluster.slot_of("{tag}").await?;
    let owner = cluster.slot_owner(slot).await?;
    let target = (owner + 1) % 3;
    let (from, to) = (&cluster.nodes()[owner], &cluster.nodes()[target]);
    for n in 0..250 {
        from.command::<()>(["SET", &format!("{{tag}}{n}"), "value"]).await?;
    }

    cluster.begin_slot_move(slot, target).await?;
    assert_eq!(get(from, "{tag}0").await, "value", "a key that is still there is still answered");
    assert_eq!(get(from, "{tag}absent").await, "ASK");

    cluster.finish_slot_move(slot, target).await?;
    assert_eq!(cluster.slot_owner(slot).await?, target);
    assert_eq!(get(from, "{tag}0").await, "MOVED");
    for n in 0..250 {
        assert_eq!(get(to, &format!("{{tag}}{n}")).await, "value");
    }
    cluster.wait_until_ok().await?;
    Ok(())
}

#[tokio::test]
async fn a_replica_takes_over_from_a_killed_master() -> TestResult {
    let mut cluster = RedisCluster::builder().replicas(1).start().await?;
    assert_eq!((cluster.nodes().len(), cluster.masters()), (6, 3));
    let slot = cluster.slot_of("key").await?;
    let owner = cluster.slot_owner(slot).await?;
    cluster.nodes_mut()[owner].kill();
    cluster.wait_until_ok().await?;
    assert_eq!(cluster.slot_owner(slot).await?, owner + 3, "the killed master's own replica");
    cluster.nodes()[owner + 3].command::<()>(["SET", "key", "value"]).await?;

    cluster.nodes_mut()[owner].restart_empty().await?;
    cluster.wait_until_ok().await?;
    Ok(())
}

/// The value, or the code of the error.
async fn get(node: &RedisServer, key: &str) -> String {
    match node.command::<String>(["GET", key]).await {
        Ok(value) => value,
        Err(TestkitError::Redis { source, .. }) => source.code().unwrap_or("no code").to_owned(),
        Err(error) => error.to_string(),
    }
}
