//! Each fault looks to the client as it would in life.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use keygate_testkit::{FaultProxy, RedisServer};
use redis::{AsyncConnectionConfig, aio::MultiplexedConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

type TestResult = Result<(), Box<dyn Error>>;

const SOON: Duration = Duration::from_secs(10);
const A_WHILE: Duration = Duration::from_millis(200);

async fn behind_proxy() -> Result<(RedisServer, FaultProxy), Box<dyn Error>> {
    let server = RedisServer::start().await?;
    let proxy = FaultProxy::start(server.address())?;
    Ok((server, proxy))
}

async fn connect(proxy: &FaultProxy) -> redis::RedisResult<MultiplexedConnection> {
    let patient = AsyncConnectionConfig::new().set_connection_timeout(Some(SOON)).set_response_timeout(Some(SOON));
    redis::Client::open(proxy.url())?.get_multiplexed_async_connection_with_config(&patient).await
}

async fn incr(connection: &mut MultiplexedConnection) -> redis::RedisResult<i64> {
    redis::cmd("INCR").arg("n").query_async(connection).await
}

#[tokio::test]
async fn without_a_fault_everything_passes_and_is_counted() -> TestResult {
    let (_server, proxy) = behind_proxy().await?;
    let mut connection = connect(&proxy).await?;
    let before = proxy.counts();
    assert_eq!((before.connections, before.open), (1, 1));
    assert_eq!(incr(&mut connection).await?, 1);
    assert_eq!(incr(&mut connection).await?, 2);
    let after = proxy.counts();
    assert_eq!(after.requests - before.requests, 2);
    assert_eq!(after.bytes_to_server - before.bytes_to_server, 2 * "*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n".len() as u64);
    assert_eq!(after.bytes_to_client - before.bytes_to_client, 2 * ":1\r\n".len() as u64);
    Ok(())
}

#[tokio::test]
async fn large_values_and_deep_pipelines_pass_unchanged() -> TestResult {
    let (_server, proxy) = behind_proxy().await?;
    let mut connection = connect(&proxy).await?;
    let large: Vec<u8> = (0..5_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    redis::cmd("SET").arg("large").arg(&large).exec_async(&mut connection).await?;
    let back: Vec<u8> = redis::cmd("GET").arg("large").query_async(&mut connection).await?;
    assert!(back == large);

    let mut pipeline = redis::pipe();
    for _ in 0..5000 {
        pipeline.cmd("INCR").arg("n");
    }
    let answers: Vec<i64> = pipeline.query_async(&mut connection).await?;
    assert_eq!(answers, (1..=5000).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn a_cut_closes_what_is_open_and_what_is_opened() -> TestResult {
    let (_server, proxy) = behind_proxy().await?;
    let mut connection = connect(&proxy).await?;
    proxy.cut();
    assert_eq!(proxy.counts().open, 0);
    assert!(incr(&mut connection).await.is_err());
    assert!(connect(&proxy).await.is_err());
    proxy.pass();
    assert_eq!(incr(&mut connect(&proxy).await?).await?, 1, "what was sent into the cut never ran");
    Ok(())
}

#[tokio::test]
async fn a_swallowed_request_is_neither_answered_nor_run() -> TestResult {
    let (server, proxy) = behind_proxy().await?;
    let mut connection = connect(&proxy).await?;
    proxy.swallow();
    assert!(timeout(A_WHILE, incr(&mut connection)).await.is_err(), "silence, not an error");
    let mut newcomer = TcpStream::connect(proxy.address()).await?;
    newcomer.write_all(b"*1\r\n$4\r\nPING\r\n").await?;
    assert!(timeout(A_WHILE, newcomer.read_u8()).await.is_err(), "accepted, and silent");
    assert_eq!(server.command::<Option<i64>>(["GET", "n"]).await?, None);

    proxy.pass();
    assert!(timeout(SOON, newcomer.read_u8()).await?.is_err(), "what lost bytes is closed");
    assert!(timeout(SOON, incr(&mut connection)).await?.is_err());
    assert_eq!(incr(&mut connect(&proxy).await?).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_connection_that_lost_nothing_survives_a_swallow() -> TestResult {
    let (_server, proxy) = behind_proxy().await?;
    let mut connection = connect(&proxy).await?;
    proxy.swallow();
    let newcomer = tokio::spawn(TcpStream::connect(proxy.address())).await??;
    proxy.pass();
    assert_eq!(incr(&mut connection).await?, 1);
    drop(newcomer);
    Ok(())
}

#[tokio::test]
async fn swallowed_replies_leave_the_command_done_and_the_client_waiting() -> TestResult {
    let (server, proxy) = behind_proxy().await?;
    let mut connection = connect(&proxy).await?;
    proxy.swallow_replies();
    assert!(timeout(A_WHILE, incr(&mut connection)).await.is_err());
    assert_eq!(server.command::<i64>(["GET", "n"]).await?, 1);
    proxy.pass();
    assert!(timeout(SOON, incr(&mut connection)).await?.is_err());
    Ok(())
}

#[tokio::test]
async fn a_delay_adds_to_each_round_trip_and_not_to_the_pipeline() -> TestResult {
    let (_server, proxy) = behind_proxy().await?;
    let mut connection = connect(&proxy).await?;
    proxy.delay(Duration::from_millis(100));
    let started = Instant::now();
    for _ in 0..3 {
        incr(&mut connection).await?;
    }
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());

    let started = Instant::now();
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let mut connection = connection.clone();
        requests.spawn(async move { incr(&mut connection).await });
    }
    while let Some(done) = requests.join_next().await {
        done??;
    }
    assert!(started.elapsed() < Duration::from_secs(2), "fifty in flight wait together: {:?}", started.elapsed());
    proxy.pass();
    Ok(())
}

#[tokio::test]
async fn a_dropped_reply_is_of_a_command_that_ran() -> TestResult {
    let (server, proxy) = behind_proxy().await?;
    let mut connection = connect(&proxy).await?;
    proxy.drop_next_reply();
    assert!(incr(&mut connection).await.is_err());
    assert_eq!(server.command::<i64>(["GET", "n"]).await?, 1);
    assert_eq!(proxy.counts().dropped_replies, 1);
    assert_eq!(incr(&mut connect(&proxy).await?).await?, 2, "once only");
    Ok(())
}

#[tokio::test]
async fn the_requests_before_the_cut_are_answered() -> TestResult {
    let (server, proxy) = behind_proxy().await?;
    let mut connection = connect(&proxy).await?;
    proxy.cut_after_requests(3);
    assert_eq!(incr(&mut connection).await?, 1);
    assert_eq!(incr(&mut connection).await?, 2);
    assert!(incr(&mut connection).await.is_err());
    assert_eq!(server.command::<i64>(["GET", "n"]).await?, 3);

    // The same within one write: two replies come through, the third does not.
    let mut raw = TcpStream::connect(proxy.address()).await?;
    proxy.cut_after_requests(3);
    raw.write_all(&b"*2\r\n$4\r\nINCR\r\n$1\r\nm\r\n".repeat(4)).await?;
    let mut seen = Vec::new();
    // The end may be a reset rather than an orderly close; either way it is the end.
    let _ = timeout(SOON, raw.read_to_end(&mut seen)).await?;
    assert_eq!(String::from_utf8(seen)?, ":1\r\n:2\r\n");
    Ok(())
}

#[tokio::test]
async fn a_reply_can_be_picked_by_what_the_request_contains() -> TestResult {
    let (server, proxy) = behind_proxy().await?;
    let mut bystander = connect(&proxy).await?;
    let mut connection = connect(&proxy).await?;
    proxy.drop_next_reply_to("chosen");
    assert_eq!(incr(&mut bystander).await?, 1);
    let answer: redis::RedisResult<i64> = redis::cmd("INCR").arg("chosen").query_async(&mut connection).await;
    assert!(answer.is_err());
    assert_eq!(server.command::<i64>(["GET", "chosen"]).await?, 1);
    assert_eq!(incr(&mut bystander).await?, 2, "other connections are left alone");

    proxy.drop_next_reply_to("chosen");
    proxy.pass();
    redis::cmd("INCR").arg("chosen").exec_async(&mut bystander).await?;
    Ok(())
}

#[tokio::test]
async fn pushes_are_passed_on_and_not_taken_for_replies() -> TestResult {
    let (server, proxy) = behind_proxy().await?;
    let mut raw = TcpStream::connect(proxy.address()).await?;
    let hello = b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n";
    let tracking = b"*4\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$2\r\nON\r\n$5\r\nBCAST\r\n";
    raw.write_all(&[&hello[..], &tracking[..]].concat()).await?;
    read_until(&mut raw, "+OK\r\n").await?;
    server.command::<()>(["SET", "watched", "1"]).await?;
    read_until(&mut raw, "$7\r\nwatched\r\n").await?;

    proxy.drop_next_reply();
    raw.write_all(b"*1\r\n$4\r\nPING\r\n").await?;
    let mut rest = Vec::new();
    let _ = timeout(SOON, raw.read_to_end(&mut rest)).await?;
    assert!(rest.is_empty(), "{}", rest.escape_ascii());
    Ok(())
}

#[tokio::test]
async fn pushes_alone_can_be_swallowed() -> TestResult {
    let (server, proxy) = behind_proxy().await?;
    let mut raw = TcpStream::connect(proxy.address()).await?;
    let hello = b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n";
    let tracking = b"*4\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$2\r\nON\r\n$5\r\nBCAST\r\n";
    proxy.swallow_pushes();
    raw.write_all(&[&hello[..], &tracking[..]].concat()).await?;
    read_until(&mut raw, "+OK\r\n").await?;
    server.command::<()>(["SET", "swallowed", "1"]).await?;
    raw.write_all(b"*1\r\n$4\r\nPING\r\n").await?;
    let mut reply = [0; 7];
    timeout(SOON, raw.read_exact(&mut reply)).await??;
    assert_eq!(reply.escape_ascii().to_string(), "+PONG\\r\\n", "the push came before it");
    proxy.pass();
    server.command::<()>(["SET", "told", "1"]).await?;
    read_until(&mut raw, "$4\r\ntold\r\n").await
}

#[tokio::test]
async fn other_protocols_pass_and_can_lose_a_reply() -> TestResult {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = FaultProxy::start(listener.local_addr()?)?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    let mut client = TcpStream::connect(proxy.address()).await?;
    client.write_all(b"hello").await?;
    read_until(&mut client, "hello").await?;
    proxy.drop_next_reply();
    client.write_all(b"again").await?;
    let mut rest = Vec::new();
    let _ = timeout(SOON, client.read_to_end(&mut rest)).await?;
    assert!(rest.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_dropped_proxy_is_gone_with_its_connections() -> TestResult {
    let (_server, proxy) = behind_proxy().await?;
    let address = proxy.address();
    let mut raw = TcpStream::connect(address).await?;
    raw.write_all(b"*1\r\n$4\r\nPING\r\n").await?;
    read_until(&mut raw, "+PONG\r\n").await?;
    drop(proxy);
    assert!(matches!(timeout(SOON, raw.read(&mut [0])).await?, Ok(0) | Err(_)));
    assert!(TcpStream::connect(address).await.is_err());
    Ok(())
}

async fn read_until(stream: &mut TcpStream, end: &str) -> TestResult {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        let read = timeout(SOON, stream.read_buf(&mut seen)).await.map_err(|_| format!("no {end:?} in {seen:?}"))?;
        assert_ne!(read?, 0, "closed before {end:?}");
    }
    Ok(())
}
