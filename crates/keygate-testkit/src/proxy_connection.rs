//! The inside of the fault proxy: what happens on its connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    ProxyCounts,
    resp::{MessageScanner, is_push},
};

/// Serves connections until it is dropped, and they with it.
pub(crate) async fn accept(listener: std::net::TcpListener, shared: &Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                shared.connections.fetch_add(1, SeqCst);
                shared.open.fetch_add(1, SeqCst);
                let shared = Arc::clone(shared);
                connections.spawn(async move {
                    Connection::new(&shared).serve(client).await;
                    shared.open.fetch_sub(1, SeqCst);
                });
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

struct Connection<'a> {
    shared: &'a Shared,
    /// Bytes were swallowed: the streams no longer make sense.
    has_lost: AtomicBool,
    /// The number of the reply, counted from one, at which the connection ends. Zero: none.
    doomed_reply: AtomicU64,
}

impl<'a> Connection<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self { shared, has_lost: AtomicBool::new(false), doomed_reply: AtomicU64::new(0) }
    }

    async fn serve(&self, client: TcpStream) {
        tokio::select! {
            () = self.exchange(client) => {}
            () = self.until_closed_by_fault() => {}
        }
    }

    async fn exchange(&self, mut client: TcpStream) {
        if self.hold_while_swallowing(&mut client).await.is_err() {
            return;
        }
        let Ok(server) = TcpStream::connect(self.shared.upstream).await else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let (queue, queued) = mpsc::unbounded_channel();
        // Both ends of the queue are polled: when the server side ends, what is queued is still delivered.
        let replies = async {
            self.read_replies(from_server, queue).await;
            std::future::pending().await
        };
        tokio::select! {
            () = self.pass_requests(from_client, to_server) => {}
            () = self.deliver_replies(queued, to_client) => {}
            () = replies => {}
        }
    }

    /// Returns when a fault that is set closes this connection.
    async fn until_closed_by_fault(&self) {
        let mut fault = self.shared.fault.subscribe();
        let closes = |fault: &Fault| match fault {
            Fault::Cut => true,
            Fault::SwallowAll | Fault::SwallowReplies => false,
            Fault::None | Fault::Delay(_) => self.has_lost.load(SeqCst),
        };
        let _ = fault.wait_for(closes).await;
    }

    /// A connection made while everything is swallowed has no server side until that ends.
    async fn hold_while_swallowing(&self, client: &mut TcpStream) -> std::io::Result<()> {
        let mut fault = self.shared.fault.subscribe();
        let mut chunk = vec![0; 4096];
        while self.shared.fault() == Fault::SwallowAll {
            tokio::select! {
                _ = fault.wait_for(|fault| *fault != Fault::SwallowAll) => {}
                read = client.read(&mut chunk) => match read? {
                    0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                    _ => self.has_lost.store(true, SeqCst),
                }
            }
        }
        Ok(())
    }

    async fn pass_requests(&self, mut client: OwnedReadHalf, mut server: OwnedWriteHalf) {
        let mut messages = Messages::default();
        let mut sent = 0;
        while messages.read_from(&mut client).await {
            if self.shared.fault() == Fault::SwallowAll {
                self.has_lost.store(true, SeqCst);
                continue;
            }
            let complete = messages.take_complete();
            for request in complete.iter() {
                sent += 1;
                self.shared.requests.fetch_add(1, SeqCst);
                if self.shared.springs_trap(request) && self.doomed_reply.load(SeqCst) == 0 {
                    self.doomed_reply.store(sent, SeqCst);
                }
            }
            let bytes = complete.concat();
            if server.write_all(&bytes).await.is_err() {
                return;
            }
            self.shared.bytes_to_server.fetch_add(bytes.len() as u64, SeqCst);
        }
    }

    async fn read_replies(&self, mut server: OwnedReadHalf, queue: mpsc::UnboundedSender<(Instant, Vec<u8>)>) {
        let mut messages = Messages::default();
        let mut received = 0;
        while messages.read_from(&mut server).await {
            let delay = match self.shared.fault() {
                Fault::Delay(delay) => delay,
                _ => Duration::ZERO,
            };
            let due = Instant::now() + delay;
            for message in messages.take_complete() {
                received += u64::from(!is_push(&message));
                if !is_push(&message) && received == self.doomed_reply.load(SeqCst) {
                    self.shared.dropped_replies.fetch_add(1, SeqCst);
                    return;
                }
                if queue.send((due, message)).is_err() {
                    return;
                }
            }
        }
    }

    async fn deliver_replies(
        &self,
        mut queue: mpsc::UnboundedReceiver<(Instant, Vec<u8>)>,
        mut client: OwnedWriteHalf,
    ) {
        while let Some((due, message)) = queue.recv().await {
            sleep_until(due).await;
            if matches!(self.shared.fault(), Fault::SwallowAll | Fault::SwallowReplies) {
                self.has_lost.store(true, SeqCst);
                continue;
            }
            if client.write_all(&message).await.is_err() {
                return;
            }
            self.shared.bytes_to_client.fetch_add(message.len() as u64, SeqCst);
        }
    }
}

/// The messages of one direction.
#[derive(Default)]
struct Messages {
    buffer: Vec<u8>,
    scanner: MessageScanner,
}

impl Messages {
    /// Reads what there is; false at the end of the stream.
    async fn read_from(&mut self, half: &mut OwnedReadHalf) -> bool {
        self.buffer.reserve(64 * 1024);
        matches!(half.read_buf(&mut self.buffer).await, Ok(1..))
    }

    /// Takes out every message that is complete.
    fn take_complete(&mut self) -> Vec<Vec<u8>> {
        let (mut complete, mut taken) = (Vec::new(), 0);
        while let Some(length) = self.scanner.next(&self.buffer[taken..]) {
            complete.push(self.buffer[taken..taken + length].to_vec());
            taken += length;
        }
        self.buffer.drain(..taken);
        complete
    }
}
