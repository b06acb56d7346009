//! What happens on one connection of the fault proxy.

use std::{
    io,
    sync::{
        Arc,
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
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    fault::{Fault, Shared},
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
    /// The stream is not Redis's: whatever is read at once is a message.
    is_raw: AtomicBool,
    /// Bytes of the client's, or of the server's, were swallowed: no more of that stream makes sense.
    has_lost_requests: AtomicBool,
    has_lost_replies: AtomicBool,
    /// The number of the reply, counted from one, at which the connection ends. Zero: none.
    doomed_reply: AtomicU64,
}

/// A message on its way to the client, with the time at which it is due.
type Queued = (Instant, Vec<u8>);

impl<'a> Connection<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            is_raw: AtomicBool::new(false),
            has_lost_requests: AtomicBool::new(false),
            has_lost_replies: AtomicBool::new(false),
            doomed_reply: AtomicU64::new(0),
        }
    }

    async fn serve(&self, client: TcpStream) {
        tokio::select! {
            _ = self.exchange(client) => {}
            () = self.until_closed_by_fault() => {}
        }
    }

    async fn exchange(&self, mut client: TcpStream) -> io::Result<()> {
        self.hold_while_swallowing(&mut client).await?;
        let server = TcpStream::connect(self.shared.upstream).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let (queue, queued) = mpsc::unbounded_channel();
        // When the server side has ended, what is queued is still delivered before the client is closed.
        let server_to_client = async {
            let reading = self.read_replies(from_server, queue);
            let delivering = self.deliver_replies(queued, to_client);
            tokio::pin!(reading, delivering);
            tokio::select! {
                result = &mut reading => result.and(delivering.await),
                result = &mut delivering => result,
            }
        };
        tokio::select! {
            result = self.pass_requests(from_client, to_server) => result,
            result = server_to_client => result,
        }
    }

    /// Returns when the fault that is set closes this connection.
    async fn until_closed_by_fault(&self) {
        let mut fault = self.shared.fault.subscribe();
        let _ = fault.wait_for(|fault| self.is_closed_by(*fault)).await;
    }

    fn is_closed_by(&self, fault: Fault) -> bool {
        match fault {
            Fault::Cut => true,
            Fault::SwallowAll => false,
            Fault::SwallowReplies => self.has_lost_requests.load(SeqCst),
            Fault::None | Fault::SwallowPushes | Fault::Delay(_) => {
                self.has_lost_requests.load(SeqCst) || self.has_lost_replies.load(SeqCst)
            }
        }
    }

    /// Notes that something of a stream was swallowed. The fault may have ended since it was looked at,
    /// and then nobody else would close the connection.
    fn lose(&self, stream: &AtomicBool) -> io::Result<()> {
        stream.store(true, SeqCst);
        if self.is_closed_by(self.shared.fault()) { Err(closed()) } else { Ok(()) }
    }

    /// A connection made while everything is swallowed has no server side until that ends.
    async fn hold_while_swallowing(&self, client: &mut TcpStream) -> io::Result<()> {
        let mut fault = self.shared.fault.subscribe();
        let mut chunk = vec![0; 4096];
        while self.shared.fault() == Fault::SwallowAll {
            tokio::select! {
                _ = fault.wait_for(|fault| *fault != Fault::SwallowAll) => {}
                read = client.read(&mut chunk) => match read? {
                    0 => return Err(closed()),
                    _ => self.lose(&self.has_lost_requests)?,
                }
            }
        }
        Ok(())
    }

    async fn pass_requests(&self, mut client: OwnedReadHalf, mut server: OwnedWriteHalf) -> io::Result<()> {
        let mut messages = Messages::default();
        let mut sent = 0;
        while messages.read_from(&mut client).await? {
            if self.shared.fault() == Fault::SwallowAll {
                self.lose(&self.has_lost_requests)?;
                messages = Messages::default();
                continue;
            }
            if sent == 0 && !messages.begins_with(b'*') {
                self.is_raw.store(true, SeqCst);
            }
            let requests = messages.take_complete(self.is_raw.load(SeqCst));
            for request in &requests {
                sent += 1;
                self.shared.requests.fetch_add(1, SeqCst);
                if self.shared.springs_trap(request) && self.doomed_reply.load(SeqCst) == 0 {
                    self.doomed_reply.store(sent, SeqCst);
                }
            }
            let bytes = requests.concat();
            // First: whoever has the answer may look.
            self.shared.bytes_to_server.fetch_add(bytes.len() as u64, SeqCst);
            server.write_all(&bytes).await?;
        }
        Ok(())
    }

    async fn read_replies(&self, mut server: OwnedReadHalf, queue: mpsc::UnboundedSender<Queued>) -> io::Result<()> {
        let mut messages = Messages::default();
        let mut received = 0;
        while messages.read_from(&mut server).await? {
            let delay = match self.shared.fault() {
                Fault::Delay(delay) => delay,
                _ => Duration::ZERO,
            };
            let due = Instant::now() + delay;
            for message in messages.take_complete(self.is_raw.load(SeqCst)) {
                if self.is_doomed(&message, &mut received) {
                    self.shared.dropped_replies.fetch_add(1, SeqCst);
                    return Ok(());
                }
                queue.send((due, message)).map_err(|_| closed())?;
            }
        }
        Ok(())
    }

    /// Counts a message from the server, and says whether it is the reply that must not be delivered.
    fn is_doomed(&self, message: &[u8], received: &mut u64) -> bool {
        let doomed = self.doomed_reply.load(SeqCst);
        if self.is_raw.load(SeqCst) {
            // Whose reply this is cannot be told; it is taken for the one to the last request.
            return doomed > 0;
        }
        *received += u64::from(!is_push(message));
        !is_push(message) && *received == doomed
    }

    async fn deliver_replies(
        &self,
        mut queue: mpsc::UnboundedReceiver<Queued>,
        mut client: OwnedWriteHalf,
    ) -> io::Result<()> {
        while let Some((due, message)) = queue.recv().await {
            sleep_until(due).await;
            if matches!(self.shared.fault(), Fault::SwallowAll | Fault::SwallowReplies) {
                self.lose(&self.has_lost_replies)?;
                continue;
            }
            if self.has_lost_replies.load(SeqCst) {
                return Err(closed());
            }
            if self.shared.fault() == Fault::SwallowPushes && is_push(&message) {
                continue;
            }
            self.shared.bytes_to_client.fetch_add(message.len() as u64, SeqCst);
            client.write_all(&message).await?;
        }
        Ok(())
    }
}

fn closed() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

/// The messages of one direction.
#[derive(Default)]
struct Messages {
    buffer: Vec<u8>,
    scanner: MessageScanner,
}

impl Messages {
    /// Reads what there is; false at the end of the stream.
    async fn read_from(&mut self, half: &mut OwnedReadHalf) -> io::Result<bool> {
        self.buffer.reserve(64 * 1024);
        Ok(half.read_buf(&mut self.buffer).await? > 0)
    }

    fn begins_with(&self, byte: u8) -> bool {
        self.buffer.first() == Some(&byte)
    }

    /// Takes out every message that is complete.
    fn take_complete(&mut self, is_raw: bool) -> Vec<Vec<u8>> {
        if is_raw {
            return vec![std::mem::take(&mut self.buffer)];
        }
        let (mut complete, mut taken) = (Vec::new(), 0);
        while let Some(length) = self.scanner.next(&self.buffer[taken..]) {
            complete.push(self.buffer[taken..taken + length].to_vec());
            taken += length;
        }
        self.buffer.drain(..taken);
        complete
    }
}
