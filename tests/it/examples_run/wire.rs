//! What only the bytes of a connection show.

use keygate_testkit::RedisServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::HTTP_EXAMPLES;
use crate::support::example::Example;
use crate::support::{PATIENCE, master_secret};

/// Sends bytes on a connection of its own and gives what comes back until it is closed.
async fn exchange(example: &Example, bytes: &[u8]) -> String {
    let mut connection = TcpStream::connect(example.address).await.unwrap();
    connection.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, connection.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn what_stands_on_the_wire_is_read_alike_by_both_servers() {
    let redis = RedisServer::start().await.unwrap();
    let (url, secret) = (redis.url(), master_secret());
    let variables = [("KEYGATE_STORE", &*url), ("KEYGATE_SECRET", &*secret)];
    let mut axum = Example::start("axum", &variables).await;
    let actix = Example::start("actix", &variables).await;
    let key = axum.key().await;

    let line = |before: &str, after: &str| [before.as_bytes(), key.as_bytes(), after.as_bytes()].concat();
    for (headers, expected) in [
        (line("X-API-Key: ", ""), "200"),
        // Spaces around a header's value are no part of it (RFC 9110, section 5.5); spaces within are.
        (line("x-api-key:", " \t "), "200"),
        (line("AUTHORIZATION: bearer ", ""), "200"),
        (line("Authorization: Basic YTpi\r\nX-API-Key: ", ""), "200"),
        (line("X-API-Key: ", " x"), "malformed_key"),
        (line("X-API-Key: ", "\r\nX-API-Key: "), "multiple_credentials"),
        (line(&format!("Authorization: Bearer {key}\r\nX-API-Key: "), ""), "multiple_credentials"),
        (line("Authorization: Basic YTpi\r\nAuthorization: Bearer ", ""), "multiple_credentials"),
        (line("X_API_Key: ", ""), "missing_key"),
        (b"X-API-Key: \xff\xfe".to_vec(), "malformed_key"),
        (b"X-API-Key: schl\xc3\xbcssel".to_vec(), "malformed_key"),
        (b"X-API-Key:".to_vec(), "malformed_key"),
        ([b"X-API-Key: ".to_vec(), vec![b'k'; 20_000]].concat(), "malformed_key"),
        (b"Authorization: Bearer".to_vec(), "malformed_key"),
        (b"Accept: */*".to_vec(), "missing_key"),
    ] {
        let start = b"GET /hello HTTP/1.1\r\nHost: example\r\nConnection: close\r\n";
        let request = [&start[..], &headers, b"\r\n\r\n"].concat();
        let (axum, actix) = (exchange(&axum, &request).await, exchange(&actix, &request).await);
        let shown = String::from_utf8_lossy(&headers[..headers.len().min(100)]).into_owned();
        let found = |answer: &str| match answer.split_once("\"reason\":\"").and_then(|(_, rest)| rest.split_once('"')) {
            Some((reason, _)) => reason.to_owned(),
            None => answer.split(' ').nth(1).unwrap_or_default().to_owned(),
        };
        assert_eq!((&*found(&axum), &*found(&actix)), (expected, expected), "{shown}");
        let body = |answer: &str| answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        assert_eq!(body(&axum), body(&actix), "{shown}");
    }
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_process_and_one_that_never_ends_not_for_long() {
    let ask_to_end = async |name: &str, last_words: &[u8]| {
        let example = Example::start(name, &[]).await;
        let mut connection = TcpStream::connect(example.address).await.unwrap();
        connection.write_all(b"GET /open HTTP/1.1\r\nHost: example\r\n\r\n").await.unwrap();
        assert!(connection.read(&mut [0; 1024]).await.unwrap() > 0);
        connection.write_all(last_words).await.unwrap();
        let ended = example.stop("TERM").await;
        drop(connection);
        ended
    };
    for name in HTTP_EXAMPLES {
        assert!(ask_to_end(name, b"").await.status.success(), "{name}");
        // It may be cut off at once or after a while.
        let code = ask_to_end(name, b"GET /open HTTP/1.1\r\nHost: ").await.status.code();
        assert!(matches!(code, Some(0 | 1)), "{name}: {code:?}");
    }
}
