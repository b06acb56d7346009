//! Where the server tells nobody of changes, what is read is believed for the lease and no longer.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use keygate_core::coherence::Coherence;
use keygate_core::store::Store;
use keygate_redis::RedisStore;
use keygate_testkit::{FaultProxy, RedisServer};

use crate::support::{coherent, eventually, is_live, lease, leased_at, namespace, pool, server, some_id, watch};

const H: Duration = Duration::from_secs(1);

async fn believes_for_the_lease(store: &RedisStore) {
    coherent(store, Coherence::TimeBound(H)).await;
    let read = store.load_record(some_id()).await.unwrap();
    let kept = read.lease.expect("a lease");
    assert!(is_live(&kept));
    assert_eq!(kept.reached(), read.sent.after(H), "it has an end of its own");
    assert_eq!(read.decides_until, read.sent.after(H));
    eventually("it is believed no more", || !is_live(&kept)).await;
    assert!(!kept.has_ended());
    assert!(is_live(&lease(store).await), "what is read next is believed again");
    // Whoever waits for it waits it out, with nobody to be told.
    let kept = lease(store).await;
    assert!(store.told_everywhere().await.unwrap());
    assert!(!is_live(&kept));
}

#[tokio::test]
async fn over_a_pool() {
    let store = RedisStore::from_pool(pool(&server().await.url()), namespace()).with_lease(H).unwrap();
    let _heard = watch(&store);
    store.load_record(some_id()).await.unwrap();
    believes_for_the_lease(&store).await;
}

#[tokio::test]
async fn for_a_user_who_may_not_track() {
    let server = RedisServer::start().await.unwrap();
    let user = ["ACL", "SETUSER", "limited", "on", ">word", "~*", "+@all", "-client|tracking"];
    server.command::<()>(user).await.unwrap();
    let store = leased_at(&format!("redis://limited:word@{}", server.address()), namespace(), H);
    let _heard = watch(&store);
    store.load_record(some_id()).await.unwrap();
    believes_for_the_lease(&store).await;
}

#[tokio::test]
async fn on_a_server_that_knows_no_resp3() {
    let server = RedisServer::builder().config("rename-command", "HELLO \"\"").start().await.unwrap();
    let store = leased_at(&server.url(), namespace(), H);
    let _heard = watch(&store);
    store.load_record(some_id()).await.unwrap();
    believes_for_the_lease(&store).await;
}

/// Passes everything on to a server, but closes connections at this word.
fn closing_at(word: &'static [u8], upstream: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(upstream).unwrap());
            let (mut replies, mut answered) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut replies, &mut answered));
            std::thread::spawn(move || {
                let mut buffer = [0; 65_536];
                while let Ok(read) = client.read(&mut buffer) {
                    let sent = &buffer[..read];
                    if read == 0 || sent.windows(word.len()).any(|part| part == word) || server.write_all(sent).is_err()
                    {
                        break;
                    }
                }
                let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
            });
        }
    });
    address
}

#[tokio::test]
async fn behind_a_proxy_that_closes_connections_instead_of_refusing_resp3() {
    let proxy = closing_at(b"HELLO", server().await.address());
    let store = leased_at(&format!("redis://{proxy}"), namespace(), H);
    let _heard = watch(&store);
    let _ = store.load_record(some_id()).await;
    coherent(&store, Coherence::TimeBound(H)).await;
    believes_for_the_lease(&store).await;
}

#[tokio::test]
async fn a_server_that_was_away_is_told_by_when_it_is_back() {
    let proxy = FaultProxy::start(server().await.address()).unwrap();
    let store = leased_at(&proxy.url(), namespace(), H);
    let _heard = watch(&store);
    proxy.cut();
    let _ = store.load_record(some_id()).await;
    // Each is closed as soon as it is made.
    eventually("it is tried often", || proxy.counts().connections > 8).await;
    proxy.pass();
    coherent(&store, Coherence::Live).await;
}

#[tokio::test]
async fn a_wrong_password_is_no_reason_to_go_without() {
    let server = RedisServer::builder().password("right").start().await.unwrap();
    let store = leased_at(&format!("redis://:wrong@{}", server.address()), namespace(), H);
    let _heard = watch(&store);
    let error = store.load_record(some_id()).await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("password"), "{error}");
    assert_eq!(store.coherence(), Coherence::Unreachable);
    server.command::<()>(["CONFIG", "SET", "requirepass", "wrong"]).await.unwrap();
    coherent(&store, Coherence::Live).await;
}

#[tokio::test]
async fn a_pool_that_is_not_answered_believes_nothing_new() {
    let proxy = FaultProxy::start(server().await.address()).unwrap();
    let store = RedisStore::from_pool(pool(&proxy.url()), namespace()).with_lease(H).unwrap();
    let _heard = watch(&store);
    store.load_record(some_id()).await.unwrap();
    coherent(&store, Coherence::TimeBound(H)).await;
    let kept = lease(&store).await;
    proxy.cut();
    coherent(&store, Coherence::Unreachable).await;
    eventually("what was read is believed no more", || !is_live(&kept)).await;
    proxy.pass();
    coherent(&store, Coherence::TimeBound(H)).await;
}
