//! Sentinel names the primary, and another one when it is told to or has to.

use std::error::Error;

use keygate_testkit::RedisSentinel;

type TestResult = Result<(), Box<dyn Error>>;

#[tokio::test]
async fn a_failover_puts_the_replica_in_the_primarys_place() -> TestResult {
    let group = RedisSentinel::start().await?;
    let sentinel = group.sentinels()[0].port();
    assert_eq!(group.url(), format!("redis+sentinel://127.0.0.1:{sentinel}/mymaster"));
    assert_eq!(group.primary().await?, 0);

    assert_eq!(group.failover().await?, 1);
    assert_eq!(group.primary().await?, 1);
    group.servers()[1].command::<()>(["SET", "key", "value"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_quorum_of_three_replaces_a_killed_primary() -> TestResult {
    let mut group = RedisSentinel::builder().sentinels(3, 2).replicas(2).start().await?;
    assert_eq!((group.sentinels().len(), group.servers().len()), (3, 3));
    group.servers()[0].command::<()>(["SET", "key", "value"]).await?;
    assert_eq!(group.servers()[0].command::<u64>(["WAIT", "2", "5000"]).await?, 2);
    let former = group.servers()[0].address();
    group.servers_mut()[0].kill();
    let primary = group.wait_for_other_than(former).await?;
    assert_ne!(primary, 0);
    assert_eq!(group.servers()[primary].command::<String>(["GET", "key"]).await?, "value");
    Ok(())
}
