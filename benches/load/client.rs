//! Requests over so many connections, each of which sends the next one when it has the answer to the last.
//!
//! It is a process of its own, of one thread, that does as little as it can for each request. Where there is a processor
//! for it alone it never sleeps: to wake one that sleeps is work that the server does, and a faster server would do less
//! of it for each request, since its client has less time to fall asleep.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::arguments::Arguments;
use crate::deployment::{CLIENT, read_keys};
use crate::process::Process;

/// Before this has passed nothing is counted: connections are being made.
const WARM_UP: Duration = Duration::from_millis(300);

/// What a client has done.
pub struct Done {
    /// Requests answered, those of the warming up among them.
    pub requests: f64,
    pub per_second: f64,
}

/// Who is to be asked, and what is to be answered.
pub struct Load<'a> {
    pub port: u16,
    pub keys: &'a str,
    pub status: u16,
    pub connections: usize,
    pub seconds: f64,
    /// Whether it has a processor for itself.
    pub awake: bool,
}

impl Load<'_> {
    /// Lets another process ask.
    pub fn run(&self) -> Done {
        let Self { port, keys, status, connections, seconds, awake } = self;
        let mut client = Process::start(
            "client",
            &[
                ("port", port.to_string()),
                ("keys", (*keys).to_owned()),
                ("status", status.to_string()),
                ("connections", connections.to_string()),
                ("seconds", seconds.to_string()),
                ("awake", awake.to_string()),
            ],
        );
        let numbers = client.numbers();
        Done { requests: numbers[0], per_second: numbers[1] }
    }
}

pub fn run(arguments: &Arguments) {
    let (port, status): (u16, u16) = (arguments.given("port"), arguments.given("status"));
    let seconds = Duration::from_secs_f64(arguments.given("seconds"));
    let requests = read_keys(arguments.text("keys").unwrap()).iter().map(|key| request(key)).collect();
    let until = Instant::now() + WARM_UP + seconds;
    let client = Rc::new(Client {
        port,
        requests,
        turn: Cell::new(0),
        answer: format!("HTTP/1.1 {status} "),
        since: until - seconds,
        until,
        all: Cell::new(0),
        counted: Cell::new(0),
    });

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        if arguments.given("awake") {
            tokio::task::spawn_local(async {
                loop {
                    tokio::task::yield_now().await;
                }
            });
        }
        let connections: usize = arguments.given("connections");
        let connections: Vec<_> =
            (0..connections).map(|_| tokio::task::spawn_local(Rc::clone(&client).connection())).collect();
        for connection in connections {
            connection.await.unwrap();
        }
    });
    println!("{} {}", client.all.get(), client.counted.get() as f64 / seconds.as_secs_f64());
}

fn request(key: &str) -> Vec<u8> {
    format!(
        "GET /hello HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\nAccept: */*\r\nX-Forwarded-For: {CLIENT}\r\n\
         X-API-Key: {key}\r\n\r\n"
    )
    .into_bytes()
}

struct Client {
    port: u16,
    requests: Vec<Vec<u8>>,
    /// Which key is the next one's.
    turn: Cell<usize>,
    /// What every answer begins with.
    answer: String,
    since: Instant,
    until: Instant,
    all: Cell<u64>,
    counted: Cell<u64>,
}

impl Client {
    async fn connection(self: Rc<Self>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let turn = self.turn.replace((self.turn.get() + 1) % self.requests.len());
            stream.write_all(&self.requests[turn]).await.unwrap();
            // What is told of limits has more digits or fewer.
            let (mut read, mut length) = (0, None);
            while length.is_none_or(|length| read < length) {
                let more = stream.read(&mut buffer[read..]).await.unwrap();
                assert!(more > 0, "the server closed a connection");
                read += more;
                length = length.or_else(|| length_of_answer(&buffer[..read]));
            }
            let answer = &buffer[..read];
            assert!(answer.starts_with(self.answer.as_bytes()), "answered {}", String::from_utf8_lossy(answer));
            assert_eq!(Some(read), length);
            let now = Instant::now();
            self.all.set(self.all.get() + 1);
            if now >= self.since {
                self.counted.set(self.counted.get() + 1);
            }
            if now >= self.until {
                return;
            }
        }
    }
}

/// The length of an answer, once its head is there.
fn length_of_answer(answer: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(answer).unwrap().to_ascii_lowercase();
    let (head, _) = text.split_once("\r\n\r\n")?;
    let body = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    Some(head.len() + 4 + body.unwrap().trim().parse::<usize>().unwrap())
}
