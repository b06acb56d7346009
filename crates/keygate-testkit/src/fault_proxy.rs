//! A TCP proxy that breaks the connection on request.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{
    TestkitError,
    fault::{Fault, Shared, Trap},
    proxy_connection,
};

/// A TCP proxy in front of a server, whose faults a test turns on and off while it runs.
///
/// It passes everything on until told otherwise. What is set holds for open connections as well as for
/// new ones, and for the next byte that arrives. It runs on a thread of its own and in real time: it
/// works for blocking tests, across runtimes, and where tokio's clock is paused.
///
/// Requests are told apart by the Redis protocol. In a stream that does not begin as one, whatever is
/// read at once counts as a request.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What went through a [`FaultProxy`] so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyCounts {
    /// Connections that were accepted, including those closed at once by a cut.
    pub connections: u64,
    /// Connections that are open now.
    pub open: u64,
    /// Requests passed on to the server.
    pub requests: u64,
    /// Replies that the server gave and the client never saw, because of
    /// [`FaultProxy::cut_after_requests`] or one of its kin.
    pub dropped_replies: u64,
    /// Bytes passed on to the server.
    pub bytes_to_server: u64,
    /// Bytes passed on to the client.
    pub bytes_to_client: u64,
}

impl FaultProxy {
    /// Starts a proxy on a free port of 127.0.0.1 in front of `upstream`, which need not answer yet.
    ///
    /// # Errors
    /// If the system gives no port or no thread.
    pub fn start(upstream: SocketAddr) -> Result<Self, TestkitError> {
        let doing = "start a proxy";
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(TestkitError::io(doing))?;
        listener.set_nonblocking(true).map_err(TestkitError::io(doing))?;
        let address = listener.local_addr().map_err(TestkitError::io(doing))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(TestkitError::io(doing))?;
        let shared = Arc::new(Shared::new(upstream));
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = proxy_connection::accept(listener, &served) => {}
                    _ = stopped => {}
                }
            });
        };
        let thread =
            thread::Builder::new().name("fault-proxy".to_owned()).spawn(work).map_err(TestkitError::io(doing))?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Passes everything on, and disarms [`cut_after_requests`](Self::cut_after_requests) and its kin.
    pub fn pass(&self) {
        self.shared.set_trap(None);
        self.shared.set_fault(Fault::None);
    }

    /// Closes every connection, and each new one as soon as it is made. Returns once all are closed.
    pub fn cut(&self) {
        self.shared.set_fault(Fault::Cut);
        let started = Instant::now();
        while self.counts().open > 0 && started.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// Reads whatever either side sends and passes none of it on: a half-open connection. New connections
    /// are accepted. What was swallowed stays lost, so a connection that lost something is closed when
    /// this fault ends.
    pub fn swallow(&self) {
        self.shared.set_fault(Fault::SwallowAll);
    }

    /// Passes requests on and swallows everything the server sends: commands run, and the client hears
    /// nothing. A connection that lost something is closed when this fault ends.
    pub fn swallow_replies(&self) {
        self.shared.set_fault(Fault::SwallowReplies);
    }

    /// Passes everything on but what the server says unasked: a proxy that answers `OK` to `CLIENT TRACKING` and tells
    /// nobody of anything.
    pub fn swallow_pushes(&self) {
        self.shared.set_fault(Fault::SwallowPushes);
    }

    /// Passes everything on, what the server sends only after `delay`: the round trip takes that much
    /// longer, and the throughput stays the same.
    pub fn delay(&self, delay: Duration) {
        self.shared.set_fault(Fault::Delay(delay));
    }

    /// Once: lets the next `count` requests through, over all connections, waits for the server's reply
    /// to the last of them, and closes its connection instead of delivering that reply. The command has
    /// run, and looks failed to the client. Zero is taken as one.
    ///
    /// New connections are served as before. A client that sends requests in the background can meet
    /// this fault with one of those: [`drop_next_reply_to`](Self::drop_next_reply_to) picks the request.
    pub fn cut_after_requests(&self, count: u32) {
        self.shared.set_trap(Some(Trap::AfterRequests(count.max(1))));
    }

    /// [`cut_after_requests`](Self::cut_after_requests) with the very next request.
    pub fn drop_next_reply(&self) {
        self.cut_after_requests(1);
    }

    /// [`drop_next_reply`](Self::drop_next_reply), for the next request that contains `needle` anywhere
    /// in its bytes: a key, an argument, the name of the command as the client spells it.
    pub fn drop_next_reply_to(&self, needle: impl AsRef<[u8]>) {
        self.shared.set_trap(Some(Trap::Containing(needle.as_ref().to_vec())));
    }

    /// What went through so far.
    #[must_use]
    pub fn counts(&self) -> ProxyCounts {
        self.shared.counts()
    }

    /// The port clients connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The address clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a Redis server behind the proxy: `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
