//! A server starts, obeys and keeps what it was told to keep.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use keygate_testkit::{RedisServer, TestkitError};

type TestResult = Result<(), Box<dyn Error>>;

#[tokio::test]
async fn a_server_answers_on_its_url_and_starts_empty() -> TestResult {
    let server = RedisServer::start().await?;
    assert_eq!(server.url(), format!("redis://127.0.0.1:{}", server.port()));
    let client = redis::Client::open(server.url())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let size: u64 = redis::cmd("DBSIZE").query_async(&mut connection).await?;
    assert_eq!(size, 0);
    assert!(server.used_memory().await? > 0);
    Ok(())
}

#[tokio::test]
async fn servers_started_at_once_do_not_share_a_port() -> TestResult {
    let starts: Vec<_> = (0..8).map(|_| tokio::spawn(RedisServer::start())).collect();
    let mut servers = Vec::new();
    for start in starts {
        servers.push(start.await??);
    }
    let mut ports: Vec<u16> = servers.iter().map(RedisServer::port).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 8);
    Ok(())
}

#[tokio::test]
async fn a_clean_restart_keeps_the_data_and_the_port() -> TestResult {
    let mut server = RedisServer::start().await?;
    let port = server.port();
    server.command::<()>(["SET", "key", "value"]).await?;
    server.restart_keeping_data().await?;
    assert_eq!(server.port(), port);
    assert_eq!(server.command::<String>(["GET", "key"]).await?, "value");

    server.kill();
    server.restart_keeping_data().await?;
    assert_eq!(server.command::<u64>(["DBSIZE"]).await?, 0, "nothing was persisted, so a crash loses it");
    Ok(())
}

#[tokio::test]
async fn an_append_only_server_survives_a_kill_but_not_a_wipe() -> TestResult {
    let mut server = RedisServer::builder().append_only().start().await?;
    server.command::<()>(["SET", "key", "value"]).await?;
    server.kill();
    assert_eq!(server.pid(), None);
    assert!(matches!(server.freeze(), Err(TestkitError::NotRunning { .. })));
    server.restart_keeping_data().await?;
    assert_eq!(server.command::<String>(["GET", "key"]).await?, "value");

    server.restart_empty().await?;
    assert_eq!(server.command::<u64>(["DBSIZE"]).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_stopped_server_refuses_connections_and_can_come_back() -> TestResult {
    let mut server = RedisServer::start().await?;
    server.stop().await?;
    assert!(tokio::net::TcpStream::connect(server.address()).await.is_err());
    assert!(matches!(server.stop().await, Err(TestkitError::NotRunning { .. })));
    server.restart_empty().await?;
    assert_eq!(server.command::<String>(["PING"]).await?, "PONG");
    Ok(())
}

#[tokio::test]
async fn a_frozen_server_answers_once_it_is_thawed() -> TestResult {
    let server = RedisServer::start().await?;
    server.freeze()?;
    let waiting = server.command::<String>(["PING"]);
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut waiting).await.is_err());
    server.thaw()?;
    assert_eq!(waiting.await?, "PONG");
    Ok(())
}

#[tokio::test]
async fn a_frozen_server_can_be_stopped() -> TestResult {
    let mut server = RedisServer::start().await?;
    server.freeze()?;
    let started = Instant::now();
    server.stop().await?;
    assert!(started.elapsed() < Duration::from_secs(10));
    Ok(())
}

#[tokio::test]
async fn a_password_stands_in_the_url_and_is_asked_for() -> TestResult {
    let server = RedisServer::builder().password("opensesame").start().await?;
    assert_eq!(server.url(), format!("redis://:opensesame@127.0.0.1:{}", server.port()));
    assert_eq!(server.command::<String>(["PING"]).await?, "PONG");
    let stranger = redis::Client::open(format!("redis://127.0.0.1:{}", server.port()))?;
    let mut connection = stranger.get_multiplexed_async_connection().await?;
    assert!(redis::cmd("PING").query_async::<String>(&mut connection).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_replica_follows_its_primary() -> TestResult {
    let primary = RedisServer::start().await?;
    let replica = RedisServer::builder().replica_of(&primary).start().await?;
    primary.command::<()>(["SET", "key", "value"]).await?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while replica.command::<Option<String>>(["GET", "key"]).await?.is_none() {
        assert!(Instant::now() < deadline, "the replica never caught up:\n{}", replica.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

#[tokio::test]
async fn settings_that_the_server_refuses_are_reported_in_its_words() {
    let outcome = RedisServer::builder().config("no-such-setting", "1").start().await;
    let Err(TestkitError::EndedEarly { log, .. }) = outcome else {
        unreachable!("the server should have refused: {outcome:?}");
    };
    assert!(log.contains("no-such-setting"), "{log}");
}

#[tokio::test]
async fn commands_are_counted_by_name() -> TestResult {
    let server = RedisServer::start().await?;
    server.reset_command_stats().await?;
    for _ in 0..3 {
        server.command::<()>(["SET", "key", "value"]).await?;
    }
    let stats = server.command_stats().await?;
    assert_eq!(stats.get("set"), Some(&3));
    let noise: Vec<_> = stats.keys().filter(|name| !["set", "info", "config|resetstat"].contains(&&***name)).collect();
    assert!(noise.is_empty(), "{noise:?}");
    Ok(())
}

#[tokio::test]
async fn a_dump_shows_every_byte_of_every_type() -> TestResult {
    let server = RedisServer::start().await?;
    // Long and repetitive, so that anything which compresses would hide it.
    let canary = "canary".repeat(20);
    let canary = canary.as_str();
    for words in [
        vec!["SET", "string", canary],
        vec!["HSET", "hash-field", canary, "1"],
        vec!["HSET", "hash-value", "f", canary],
        vec!["RPUSH", "list", "other", canary],
        vec!["SADD", "set", canary],
        vec!["ZADD", "sorted", "1", canary],
        vec!["XADD", "stream", "*", "f", canary],
        vec!["SET", canary, "1"],
    ] {
        server.command::<()>(words).await?;
    }
    let other_database = redis::Client::open(format!("{}/3", server.url()))?;
    let mut connection = other_database.get_multiplexed_async_connection().await?;
    redis::cmd("SET").arg("elsewhere").arg(canary).exec_async(&mut connection).await?;
    let pairs = (0..3000).flat_map(|n| [format!("k{n}"), n.to_string()]);
    server.command::<()>(std::iter::once("MSET".to_owned()).chain(pairs)).await?;

    let dump = server.dump_all().await?;
    assert_eq!(dump.entries().len(), 8 + 1 + 3000);
    let mut holders = dump.holding(canary.as_bytes());
    holders.sort();
    let expected = [canary, "elsewhere", "hash-field", "hash-value", "list", "set", "sorted", "stream", "string"];
    assert_eq!(holders, expected);
    assert!(dump.holding(b"nowhere").is_empty());
    assert!(dump.to_bytes().len() > 9 * canary.len());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_does_not_disturb_a_server() -> TestResult {
    let mut server = RedisServer::start().await?;
    server.command::<()>(["SET", "key", "value"]).await?;
    server.restart_keeping_data().await?;
    assert_eq!(server.command::<String>(["GET", "key"]).await?, "value");
    Ok(())
}
