//! `keygate serve`: the real server, on real stores, over real connections.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use keygate_testkit::{FaultProxy, RedisServer};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::server::overdue;
use crate::support::{Home, Run, SECRET};

/// A loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs. It is killed when this is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    /// The line that says where it listens.
    line: String,
    rest_of_stdout: Option<JoinHandle<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer over HTTP.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn read(mut stream: impl Read) -> std::io::Result<Self> {
        let mut bytes = Vec::new();
        // A TLS peer may close without saying so, once all is said.
        if let Err(error) = stream.read_to_end(&mut bytes)
            && bytes.is_empty()
        {
            return Err(error);
        }
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok(Self { status: status.unwrap_or(0), body: body.to_owned() })
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn request(call: &str, key: &str, body: Option<&Value>) -> String {
    let mut request = format!("{call} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    if !key.is_empty() {
        request += &format!("Authorization: Bearer {key}\r\n");
    }
    match body.map(Value::to_string) {
        Some(body) => {
            request + &format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        }
        None => request + "\r\n",
    }
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Collects lines as they come.
fn collect(stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let all = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&all);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut all = kept.lock().unwrap();
            all.push_str(&line);
            all.push('\n');
        }
    });
    all
}

/// Waits until something is so.
#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let given_up = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < given_up, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Server {
    /// Starts one on a port of its own, and waits until it listens.
    #[track_caller]
    fn start(home: &Home, args: &[&str]) -> Self {
        Self::launch(home.command(&[&["serve", "--listen", "127.0.0.1:0"], args].concat()))
    }

    #[track_caller]
    fn launch(command: Command) -> Self {
        Self::spawn(command).listening()
    }

    /// Starts one, without waiting.
    fn spawn(mut command: Command) -> Starting {
        let mut child = command.spawn().unwrap();
        let stderr = collect(child.stderr.take().unwrap());
        let stdout = child.stdout.take().unwrap();
        let (said, first) = channel();
        let rest = std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = said.send(line);
            let mut rest = String::new();
            let _ = stdout.read_to_string(&mut rest);
            rest
        });
        Starting { child, first, rest, stderr }
    }

    fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    #[track_caller]
    fn call(&self, call: &str, key: &str, body: Option<&Value>) -> Answer {
        let mut stream = connect(self.address).unwrap();
        stream.write_all(request(call, key, body).as_bytes()).unwrap();
        Answer::read(stream).unwrap()
    }

    #[track_caller]
    fn get(&self, path: &str) -> Answer {
        self.call(&format!("GET {path}"), "", None)
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end, and gives the exit status and what else was on standard output.
    fn ended(mut self) -> (Option<i32>, String, String) {
        let given_up = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(Instant::now() < given_up, "it goes on: {}", self.stderr()),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let rest = self.rest_of_stdout.take().unwrap().join().unwrap();
        (status.code(), rest, self.stderr())
    }

    /// Ends it as an operator would.
    #[track_caller]
    fn end(self) {
        self.signal("TERM");
        let (status, rest, stderr) = self.ended();
        assert_eq!((status, rest.as_str()), (Some(0), ""), "{stderr}");
    }
}

/// A server that may not listen yet.
struct Starting {
    child: Child,
    first: Receiver<String>,
    rest: JoinHandle<String>,
    stderr: Arc<Mutex<String>>,
}

impl Starting {
    #[track_caller]
    fn listening(self) -> Server {
        let Self { child, first, rest, stderr } = self;
        let line = first.recv_timeout(PATIENCE).unwrap();
        let address =
            line.trim_end().rsplit("//").next().and_then(|address| address.trim_end_matches("\"}").parse().ok());
        let address = address.unwrap_or_else(|| panic!("{line:?} {}", stderr.lock().unwrap()));
        Server { child, address, line, rest_of_stdout: Some(rest), stderr }
    }
}

fn operator_key(home: &Home) -> String {
    std::fs::read_to_string(home.path("keygate-operator.key")).unwrap().trim_end().to_owned()
}

fn on_redis(redis: &RedisServer) -> Home {
    Home::new().with("KEYGATE_STORE", &redis.url()).with("KEYGATE_SECRET", SECRET)
}

#[test]
fn it_serves_the_whole_api_from_the_first_start() {
    let home = Home::new();
    let server = Server::start(&home, &[]);
    assert_eq!(server.line, format!("listening on http://{}\n", server.address));

    assert_eq!(server.get("/healthz").json(), json!({"status": "ok"}));
    let ready = server.get("/readyz");
    let expected = json!({
        "ready": true,
        "store": {"reachable": true, "what": "file"},
        "deployment": "confirmed",
        "coherence": "in_process",
        "ending": false,
    });
    assert_eq!((ready.status, ready.json()), (200, expected));
    assert!(server.get("/metrics").body.contains("\nkeygate_store_confirmed 1\n"));
    assert!(server.get("/docs").body.contains("docs/swagger-ui-bundle.js"));
    assert!(server.get("/").body.contains("ready: keys can be checked"));
    assert_eq!(server.get("/openapi.json").json()["openapi"], "3.1.0");

    let operator = operator_key(&home);
    let asked = json!({"user_id": "bob", "name": "Reports", "scopes": ["reports:read"]});
    let made = server.call("POST /v1/organizations/acme/keys", &operator, Some(&asked));
    assert_eq!(made.status, 201, "{made:?}");
    let key = made.json()["key"].as_str().unwrap().to_owned();
    let verified = server.call("POST /v1/verify", &operator, Some(&json!({"key": key, "scope": "reports:read"})));
    assert_eq!(verified.json()["valid"], true, "{verified:?}");
    assert_eq!(server.call("GET /v1/self", &key, None).json()["user_id"], "bob");
    assert_eq!(server.call("GET /v1/self", "", None).status, 401);

    // It keeps what it has read, as other commands do not.
    let figures = server.get("/metrics").body;
    assert!(figures.contains("\nkeygate_cache_capacity_entries 100000\n"), "{figures}");
    let log = server.stderr();
    assert!(log.contains("keygate::access: answered method=\"GET\" route=\"/v1/self\" status=200"), "{log}");
    assert!(!log.contains("/healthz"), "probes are not worth a line: {log}");
    assert!(!log.contains(&key) && !log.contains(&operator));
    server.end();
    assert!(!home.path("keygate.redb.holder").exists(), "the store was closed");
}

#[test]
fn the_operators_key_is_in_a_file_of_its_own_and_made_once() {
    let home = Home::new();
    let server = Server::start(&home, &[]);
    let file = home.path("keygate-operator.key");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(
        server.stderr().contains("the operator's key, with which everything may be done, is in ./keygate-operator.key")
    );
    let operator = operator_key(&home);
    assert_eq!(server.call("GET /v1/self", &operator, None).json()["organization_id"], "system");
    server.end();

    // Moved away or not, the next start makes no other.
    let server = Server::start(&home, &[]);
    assert_eq!(operator_key(&home), operator);
    assert!(!server.stderr().contains("with which everything may be done"), "{}", server.stderr());
    let told = server.stderr().lines().filter(|line| line.contains("keygate keys create --org system")).count();
    assert_eq!(told, 1, "{}", server.stderr());
    server.end();
    std::fs::remove_file(&file).unwrap();
    let server = Server::start(&home, &[]);
    assert!(!file.exists());
    assert_eq!(server.call("GET /v1/self", &operator, None).status, 200);
    server.end();
    let again = home.run(&["keys", "create", "--org", "system", "--user", "me"]).done().stdout;
    assert!(again.starts_with("mcp_dev_"), "whoever has the store makes another");
}

#[test]
fn the_operators_key_goes_where_it_is_told_to() {
    let home = Home::new();
    std::fs::create_dir(home.path("store")).unwrap();
    let server = Server::start(&home, &["--store", "file:store/keys.redb"]);
    let key = std::fs::read_to_string(home.path("store/keys.redb.operator.key")).unwrap();
    assert_eq!(server.call("GET /v1/self", key.trim_end(), None).status, 200);
    assert!(!home.path("store/keygate-operator.key").exists());
    server.end();
    // Stores of one directory are in nobody's way.
    for (store, file) in [("keygate.redb", "keygate-operator.key"), ("more.redb", "more.redb.operator.key")] {
        let server = Server::start(&home, &["--store", &format!("file:store/{store}")]);
        let key = std::fs::read_to_string(home.path(&format!("store/{file}"))).unwrap();
        assert_eq!(server.call("GET /v1/self", key.trim_end(), None).status, 200);
        server.end();
    }

    let server = Server::start(&home, &["--store", "file:other.redb", "--operator-key-file", "mine"]);
    let key = std::fs::read_to_string(home.path("mine")).unwrap();
    assert_eq!(server.call("GET /v1/self", key.trim_end(), None).status, 200);
    assert!(!home.path("keygate-operator.key").exists() && !home.path("other.redb.operator.key").exists());
    server.end();

    // One of a store in memory is of this start alone, and in nobody's way.
    for _ in 0..2 {
        let server = Server::start(&home, &["--store", "memory:"]);
        let key = std::fs::read_to_string(home.path("keygate-operator.memory.key")).unwrap();
        assert_eq!(server.call("GET /v1/self", key.trim_end(), None).status, 200);
    }
}

#[test]
fn an_operators_key_that_cannot_be_kept_is_not_made() {
    let home = Home::new().with("KEYGATE_LISTEN", "127.0.0.1:0");
    let run = home.run(&["serve", "--operator-key-file", "no/such/directory"]).refused("--operator-key-file");
    assert!(run.stderr.contains("no/such/directory"), "{run:?}");
    // Somebody's file is left as it is.
    std::fs::write(home.path("keygate-operator.key"), "precious").unwrap();
    let begun = Instant::now();
    home.run(&["serve"]).refused("keygate-operator.key is there already and is left as it is");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(operator_key(&home), "precious");
    std::fs::remove_file(home.path("keygate-operator.key")).unwrap();
    let server = Server::start(&home, &[]);
    assert_eq!(server.call("GET /v1/self", &operator_key(&home), None).status, 200);
}

#[tokio::test]
async fn an_operators_key_that_could_not_be_written_is_taken_back() {
    let redis = RedisServer::start().await.unwrap();
    let home = on_redis(&redis).with("KEYGATE_LISTEN", "127.0.0.1:0");
    // Where no file may grow, one can be made and not written to.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" serve", env!("CARGO_BIN_EXE_keygate")]);
    let like = home.command(&[]);
    command
        .current_dir(home.path(""))
        .env_clear()
        .envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = Run::of(command.spawn().unwrap()).refused("the operator's key cannot be kept: keygate-operator.key");
    assert!(run.stderr.contains("it was revoked, and the next start makes another"), "{run:?}");
    assert!(!run.stderr.contains("mcp_"), "{run:?}");
    assert!(!home.path("keygate-operator.key").exists());
    let keys = || home.run(&["keys", "list", "--org", "system", "--json"]).done().json()["keys"].clone();
    assert_eq!(keys(), json!([]), "nothing is left of it");
    let server = Server::start(&home, &[]);
    assert_eq!(server.call("GET /v1/self", &operator_key(&home), None).status, 200);
    server.end();
    assert_eq!(keys().as_array().unwrap().len(), 1);
}

#[test]
fn keys_do_not_come_in_clear_text_from_elsewhere_unless_that_is_allowed_by_name() {
    for address in ["0.0.0.0:0", "[::]:0", "[::ffff:10.0.0.1]:0", "192.0.2.1:0"] {
        let run = Home::new().run(&["serve", "--listen", address]).refused("--listen is");
        for words in ["clear text", "--tls-cert and --tls-key", "127.0.0.1 behind a proxy", "--allow-clear-text"] {
            assert!(run.stderr.contains(words), "{words}: {run:?}");
        }
    }
    let home = Home::new().with("KEYGATE_LISTEN", "0.0.0.0:0");
    home.run(&["serve"]).refused("KEYGATE_LISTEN is 0.0.0.0:0, where keys would come in clear text");
    assert_eq!(std::fs::read_dir(home.path("")).unwrap().count(), 0, "nothing was made");
    for (home, args) in [
        (&home, &["serve", "--allow-clear-text"][..]),
        (&Home::new().with("KEYGATE_ALLOW_CLEAR_TEXT", "1"), &["serve", "--listen", "0.0.0.0:0"]),
    ] {
        let server = Server::launch(home.command(args));
        assert!(server.stderr().contains("warning: keys come to 0.0.0.0:0 in clear text"), "{}", server.stderr());
        let local = SocketAddr::from(([127, 0, 0, 1], server.address.port()));
        connect(local).unwrap();
        server.end();
    }
    for address in ["127.0.0.1:0", "[::ffff:127.0.0.1]:0", "[::1]:0"] {
        Server::launch(Home::new().command(&["serve", "--listen", address])).end();
    }
    let wrong = Home::new().with("KEYGATE_ALLOW_CLEAR_TEXT", "maybe");
    let _ = certify(&wrong, "own");
    for address in ["0.0.0.0:0", "127.0.0.1:0"] {
        wrong.run(&["serve", "--listen", address]).refused("KEYGATE_ALLOW_CLEAR_TEXT must be");
        wrong
            .run(&["serve", "--listen", address, "--tls-cert", "own.cert", "--tls-key", "own.key"])
            .refused("KEYGATE_ALLOW_CLEAR_TEXT must be");
    }
}

#[test]
fn wrong_settings_stop_the_start_with_a_sentence_that_names_them() {
    for (name, value) in [
        ("KEYGATE_LISTEN", "localhost"),
        ("KEYGATE_TRUSTED_PROXIES", "10.0.0.0/8,nonsense"),
        ("KEYGATE_CACHE_CAPACITY", "many"),
        ("KEYGATE_LEASE_MS", "5"),
        ("KEYGATE_STALE_IF_ERROR_MS", "1h"),
        ("KEYGATE_DRAIN_MS", "-1"),
        ("KEYGATE_ANOMALY_WITHOUT", "none"),
        ("KEYGATE_ANOMALY_DORMANT_DAYS", "1"),
        ("KEYGATE_STORE", "mysql://db"),
        ("KEYGATE_LOG", "=="),
    ] {
        let home = Home::new().with(name, value);
        home.run(&["serve"]).refused(name);
        assert_eq!(std::fs::read_dir(home.path("")).unwrap().count(), 0, "{name}");
    }
    let home = Home::new();
    for (flag, value) in [
        ("--listen", "localhost"),
        ("--trusted-proxies", "nonsense"),
        ("--cache-capacity", "many"),
        ("--lease-ms", "5"),
        ("--stale-if-error-ms", "1h"),
        ("--drain-ms", "400000"),
        ("--anomaly-suspend-on", "everything"),
        ("--anomaly-volume-floor", "1"),
        ("--anomaly-spread-networks", "129"),
        ("--server", "http://127.0.0.1:1"),
    ] {
        home.run(&["serve", flag, value]).wrong_usage(flag);
    }
    // A flag beats its variable, before the command and behind it.
    let wrong = Home::new().with("KEYGATE_CACHE_CAPACITY", "many").with("KEYGATE_SERVER", "http://127.0.0.1:1");
    let server = Server::launch(wrong.command(&["--cache-capacity", "7", "serve", "--listen", "127.0.0.1:0"]));
    assert!(server.get("/metrics").body.contains("keygate_cache_capacity_entries 7\n"));
    server.end();
    // The settings of servers are taken with other commands, as their variables are.
    home.run(&["keys", "create", "--org", "acme", "--user", "bob", "--lease-ms", "500", "--listen", "127.0.0.1:1"])
        .done();
}

#[test]
fn an_address_that_is_taken_is_said_before_anything_is_made() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new();
    let address = taken.local_addr().unwrap().to_string();
    home.run(&["serve", "--listen", &address])
        .refused(&format!("--listen cannot be used: {address} cannot be listened on"));
    assert_eq!(std::fs::read_dir(home.path("")).unwrap().count(), 0);
}

#[test]
fn a_store_that_a_server_holds_is_reached_through_it() {
    let home = Home::new();
    let server = Server::start(&home, &[]);
    let run = home.run(&["keys", "list", "--org", "acme"]).refused("KEYGATE_STORE");
    for words in [&format!("held by process {}", server.child.id()), "KEYGATE_SERVER"] {
        assert!(run.stderr.contains(words), "{words}: {run:?}");
    }
    home.run(&["serve", "--listen", "127.0.0.1:0"]).refused("held by process");
    let mut through = home.command(&["keys", "create", "--org", "acme", "--user", "bob", "--json"]);
    through.env("KEYGATE_SERVER", format!("http://{}", server.address)).env("KEYGATE_ADMIN_KEY", operator_key(&home));
    let made = Run::of(through.spawn().unwrap()).done().json();
    assert_eq!(server.call("GET /v1/self", made["key"].as_str().unwrap(), None).json()["user_id"], "bob");
    server.end();
}

#[test]
fn with_json_the_one_line_is_a_document() {
    let home = Home::new();
    let server = Server::start(&home, &["--json"]);
    let line: Value = serde_json::from_str(&server.line).unwrap();
    assert_eq!(line, json!({"listening": format!("http://{}", server.address)}));
    server.end();
}

// The end.

/// A connection on which a request has begun, and goes on when it is told to.
struct Half(TcpStream, String);

impl Half {
    fn begin(server: &Server, key: &str) -> Self {
        let whole = request("POST /v1/organizations", key, Some(&json!({"organization_id": "acme"})));
        let (first, rest) = whole.split_at(whole.len() - 5);
        let mut stream = connect(server.address).unwrap();
        stream.write_all(first.as_bytes()).unwrap();
        Self(stream, rest.to_owned())
    }

    /// Goes on a byte at a time, often enough not to be given up, and never to the end.
    fn trickle(mut self) {
        std::thread::spawn(move || {
            for byte in self.1.as_bytes().split_last().map_or(&[][..], |(_, before)| before) {
                std::thread::sleep(Duration::from_secs(3));
                // Until the server has cut it off.
                if self.0.write_all(&[*byte]).is_err() {
                    return;
                }
            }
        });
    }

    fn finish(mut self) -> std::io::Result<Answer> {
        self.0.write_all(self.1.as_bytes())?;
        Answer::read(self.0)
    }
}

#[test]
fn told_to_end_it_says_so_finishes_what_it_has_begun_and_takes_nothing_new() {
    let home = Home::new();
    let server = Server::start(&home, &["--drain-ms", "1500"]);
    let operator = operator_key(&home);
    let half = Half::begin(&server, &operator);
    std::thread::sleep(Duration::from_millis(200));
    server.signal("TERM");
    wait_until("not being ready", || server.get("/readyz").status == 503);
    let ready = server.get("/readyz").json();
    assert_eq!((&ready["ready"], &ready["ending"]), (&json!(false), &json!(true)));
    assert_eq!(server.get("/healthz").status, 200);
    wait_until("taking nothing new", || TcpStream::connect(server.address).is_err());
    let answer = half.finish().unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    let (status, rest, stderr) = server.ended();
    assert_eq!((status, rest.as_str()), (Some(0), ""), "{stderr}");
}

#[test]
fn an_idle_connection_holds_nobody_up_and_a_second_signal_ends_at_once() {
    let home = Home::new();
    let server = Server::start(&home, &["--drain-ms", "0"]);
    let mut idle = connect(server.address).unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_ne!(idle.read(&mut [0; 4096]).unwrap(), 0);
    let begun = Instant::now();
    server.signal("INT");
    assert_eq!(server.ended().0, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());

    let server = Server::start(&home, &[]);
    let half = Half::begin(&server, &operator_key(&home));
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    server.signal("TERM");
    wait_until("taking nothing new", || TcpStream::connect(server.address).is_err());
    server.signal("TERM");
    let (status, _, stderr) = server.ended();
    assert_eq!(status, Some(0), "{stderr}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(stderr.contains("connections that were cut"), "{stderr}");
    assert!(half.finish().is_err());
}

#[test]
fn a_client_that_never_finishes_is_cut_after_a_while() {
    let home = Home::new();
    let server = Server::start(&home, &["--drain-ms", "0"]);
    Half::begin(&server, &operator_key(&home)).trickle();
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    server.signal("TERM");
    let (status, _, stderr) = server.ended();
    assert_eq!(status, Some(0), "{stderr}");
    let took = begun.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(20)).contains(&took), "{took:?}");
}

// TLS.

/// A certificate of its own making, for `localhost`, in files.
fn certify(home: &Home, name: &str) -> RootCertStore {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(home.path(&format!("{name}.cert")), made.cert.pem()).unwrap();
    std::fs::write(home.path(&format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    roots
}

fn call_under_tls(server: &Server, roots: RootCertStore, call: &str) -> std::io::Result<Answer> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, connect(server.address)?);
    stream.write_all(request(call, "", None).as_bytes())?;
    Answer::read(stream)
}

#[test]
fn under_tls_it_listens_everywhere_and_reads_its_certificate_again() {
    let home = Home::new();
    let (first, second) = (certify(&home, "first"), certify(&home, "second"));
    for part in ["cert", "key"] {
        std::fs::copy(home.path(&format!("first.{part}")), home.path(&format!("server.{part}"))).unwrap();
    }
    let mut command = home.command(&["serve", "--listen", "0.0.0.0:0", "--tls-cert", "server.cert"]);
    command.env("KEYGATE_TLS_KEY", "server.key");
    let mut server = Server::launch(command);
    assert!(server.line.starts_with("listening on https://0.0.0.0:"), "{}", server.line);
    server.address = SocketAddr::from(([127, 0, 0, 1], server.address.port()));
    let answer = call_under_tls(&server, first.clone(), "GET /readyz").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(call_under_tls(&server, second.clone(), "GET /readyz").is_err(), "it is another certificate");
    let mut clear = connect(server.address).unwrap();
    clear.write_all(request("GET /healthz", "", None).as_bytes()).unwrap();
    assert!(Answer::read(clear).is_err(), "clear text is not answered");

    // Half a change is none.
    std::fs::copy(home.path("second.cert"), home.path("server.cert")).unwrap();
    server.signal("HUP");
    wait_until("a word about it", || server.stderr().contains("the certificate that was read before is used"));
    assert_eq!(call_under_tls(&server, first.clone(), "GET /healthz").unwrap().status, 200);

    std::fs::copy(home.path("second.key"), home.path("server.key")).unwrap();
    server.signal("HUP");
    wait_until("a new certificate", || call_under_tls(&server, second.clone(), "GET /healthz").is_ok());
    assert!(call_under_tls(&server, first, "GET /healthz").is_err());
    server.end();
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_with_what_is_wrong_with_it() {
    let home = Home::new();
    let _ = (certify(&home, "one"), certify(&home, "other"));
    std::fs::write(home.path("empty"), "").unwrap();
    std::fs::write(home.path("nonsense"), "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n").unwrap();
    for (cert, key, words) in [
        ("missing", "one.key", "--tls-cert cannot be used: missing: No such file"),
        ("one.cert", "missing", "--tls-key cannot be used: missing: No such file"),
        (
            "one.cert",
            "other.key",
            "--tls-key cannot be used: other.key: it is not the private key of the certificate in one.cert",
        ),
        ("one.key", "one.key", "--tls-cert cannot be used: one.key: there is no certificate in it"),
        ("one.cert", "one.cert", "--tls-key cannot be used: one.cert: there is no private key in it"),
        ("empty", "one.key", "--tls-cert cannot be used: empty: there is no certificate in it"),
        ("nonsense", "one.key", "--tls-cert cannot be used: nonsense: it is no PEM"),
        (".", "one.key", "--tls-cert cannot be used: ."),
    ] {
        home.run(&["serve", "--tls-cert", cert, "--tls-key", key]).refused(words);
    }
    home.run(&["serve", "--tls-cert", "one.cert"]).wrong_usage("--tls-cert is set without");
    let half = Home::new().with("KEYGATE_TLS_KEY", "one.key");
    half.run(&["serve"]).refused("KEYGATE_TLS_KEY is set without");
    assert!(!home.path("keygate.redb").exists());
    // The certificates of the test are sound.
    let pem = std::fs::read(home.path("one.cert")).unwrap();
    rustls::pki_types::CertificateDer::from_pem_slice(&pem).unwrap();
}

#[test]
fn without_a_certificate_a_hangup_is_the_end() {
    let home = Home::new();
    let server = Server::start(&home, &[]);
    let half = Half::begin(&server, &operator_key(&home));
    std::thread::sleep(Duration::from_millis(200));
    server.signal("HUP");
    wait_until("not being ready", || server.stderr().contains("told to end"));
    // Said twice, by a shell and by its terminal, it is no more than that.
    server.signal("HUP");
    wait_until("taking nothing new", || TcpStream::connect(server.address).is_err());
    assert_eq!(half.finish().unwrap().status, 201);
    let (status, rest, stderr) = server.ended();
    assert_eq!((status, rest.as_str()), (Some(0), ""), "{stderr}");
    assert!(!home.path("keygate.redb.holder").exists(), "the store was closed");
}

// On Redis.

#[tokio::test]
async fn a_server_whose_redis_goes_is_not_ready_until_it_is_back() {
    let mut redis = RedisServer::builder().append_only().start().await.unwrap();
    let home = on_redis(&redis);
    let server = Server::start(&home, &[]);
    wait_until("being told of changes", || server.get("/readyz").json()["coherence"] == "live");
    let operator = operator_key(&home);
    assert_eq!(server.call("GET /v1/self", &operator, None).status, 200);

    redis.kill();
    wait_until("not being ready", || server.get("/readyz").status == 503);
    let ready = server.get("/readyz").json();
    assert_eq!((&ready["store"]["reachable"], &ready["deployment"]), (&json!(false), &json!("unknown")));
    assert_eq!(ready["store"]["what"], "redis", "where it is, is nothing for strangers");
    assert_eq!(server.get("/healthz").status, 200);
    wait_until("trouble", || server.call("GET /v1/self", &operator, None).status == 503);

    redis.restart_keeping_data().await.unwrap();
    wait_until("being ready again", || server.get("/readyz").status == 200);
    wait_until("letting in", || server.call("GET /v1/self", &operator, None).status == 200);
    server.end();
}

#[tokio::test]
async fn a_server_that_starts_before_its_redis_waits_for_it() {
    let mut redis = RedisServer::start().await.unwrap();
    let home = on_redis(&redis);
    redis.stop().await.unwrap();
    let server = Server::start(&home, &[]);
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/readyz").status, 503);
    assert!(!home.path("keygate-operator.key").exists());
    redis.restart_empty().await.unwrap();
    wait_until("being ready", || server.get("/readyz").status == 200);
    wait_until("an operator's key", || {
        server.stderr().contains("the operator's key, with which everything may be done, is in")
    });
    let operator = operator_key(&home);
    assert_eq!(server.call("GET /v1/self", &operator, None).json()["organization_id"], "system");
    let errors = server.stderr().lines().filter(|line| line.contains("could not be confirmed")).count();
    assert!(errors <= 2, "it is not complained of again and again: {}", server.stderr());
    server.end();
}

/// A key that is being made has a place to go to, and goes there before the server ends.
#[tokio::test]
async fn a_server_that_is_told_to_end_while_it_makes_the_operators_key_keeps_it() {
    let redis = RedisServer::start().await.unwrap();
    let proxy = FaultProxy::start(redis.address()).unwrap();
    let home = on_redis(&redis);
    proxy.cut();
    let server = Server::start(&home, &["--store", &proxy.url(), "--drain-ms", "0"]);
    proxy.delay(Duration::from_millis(300));
    wait_until("a place for the key", || home.path("keygate-operator.key").exists());
    assert_eq!(operator_key(&home), "", "it is yet to be made");
    server.end();
    let operator = operator_key(&home);
    let server = Server::start(&home, &[]);
    assert_eq!(server.call("GET /v1/self", &operator, None).json()["organization_id"], "system");
    server.end();
}

#[tokio::test]
async fn a_server_that_waits_for_its_store_ends_without_it() {
    let redis = RedisServer::start().await.unwrap();
    let proxy = FaultProxy::start(redis.address()).unwrap();
    let home = on_redis(&redis);
    proxy.cut();
    let server = Server::start(&home, &["--store", &proxy.url(), "--drain-ms", "0"]);
    let begun = Instant::now();
    server.end();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(!home.path("keygate-operator.key").exists());
}

/// Of servers that start at once on one empty Redis, in one directory or in several.
async fn one_operators_key_of_eight(in_one_directory: bool) {
    let redis = RedisServer::start().await.unwrap();
    let homes: Vec<Home> = (0..if in_one_directory { 1 } else { 8 }).map(|_| on_redis(&redis)).collect();
    let starting: Vec<Starting> = (0..8)
        .map(|number| Server::spawn(homes[number % homes.len()].command(&["serve", "--listen", "127.0.0.1:0"])))
        .collect();
    let servers: Vec<Server> = starting.into_iter().map(Starting::listening).collect();
    // Another may have found, a moment too early, that there is none, and have a file for a moment.
    let keys = || {
        let files = homes.iter().map(|home| home.path("keygate-operator.key"));
        files.filter_map(|file| std::fs::read_to_string(file).ok()).collect::<Vec<String>>()
    };
    wait_until("one file", || matches!(&keys()[..], [key] if key.ends_with('\n')));
    let operator = keys().remove(0);
    for server in &servers {
        assert_eq!(server.call("GET /v1/self", operator.trim_end(), None).status, 200, "{}", server.stderr());
    }
    let listed = servers[0].call("GET /v1/organizations/system/keys", operator.trim_end(), None).json();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 1, "{listed}");
    let told = servers.iter().filter(|server| server.stderr().contains("with which everything may be done")).count();
    assert_eq!(told, 1);
    for server in servers {
        server.end();
    }
}

#[tokio::test]
async fn eight_servers_that_start_at_once_make_one_operators_key() {
    one_operators_key_of_eight(false).await;
}

#[tokio::test]
async fn eight_servers_of_one_directory_make_one_operators_key() {
    one_operators_key_of_eight(true).await;
}

/// The key is made, and its text is lost with the answer: nobody has it.
#[tokio::test]
async fn an_operators_key_whose_making_looked_failed_is_replaced_by_one_that_somebody_has() {
    let redis = RedisServer::start().await.unwrap();
    let proxy = FaultProxy::start(redis.address()).unwrap();
    let home = on_redis(&redis);
    proxy.drop_next_reply_to("Operator");
    let server = Server::start(&home, &["--store", &proxy.url()]);
    assert!(server.stderr().contains("there is no operator's key yet"), "{}", server.stderr());
    wait_until("an operator's key", || server.stderr().contains("with which everything may be done, is in"));
    let operator = operator_key(&home);
    let listed = server.call("GET /v1/organizations/system/keys", &operator, None).json();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["keys"][0]["key_id"], server.call("GET /v1/self", &operator, None).json()["key_id"]);
    server.end();
}

/// What one server stops, another refuses.
#[tokio::test]
async fn servers_tell_each_other_of_changes() {
    let redis = RedisServer::start().await.unwrap();
    let home = on_redis(&redis);
    let (one, other) = (Server::start(&home, &[]), Server::start(&home, &[]));
    let operator = operator_key(&home);
    let made = one.call("POST /v1/organizations/acme/keys", &operator, Some(&json!({"user_id": "bob"}))).json();
    let (key, id) = (made["key"].as_str().unwrap(), made["key_id"].as_str().unwrap());
    for _ in 0..3 {
        assert_eq!(other.call("GET /v1/self", key, None).status, 200);
    }
    let revoked = one.call(&format!("POST /v1/keys/{id}/revoke"), &operator, None);
    assert_eq!(revoked.json()["confirmed"], true, "{revoked:?}");
    assert_eq!(other.call("GET /v1/self", key, None).status, 401);
    one.end();
    other.end();
}

/// The new key, whose text nobody else has seen, is its holder's to claim.
#[test]
fn a_key_that_is_due_is_rotated_by_the_server_itself() {
    let home = Home::new().with("KEYGATE_SECRET", SECRET);
    let (id, old) = overdue(&home.path("keygate.redb"), true);
    let (id, old) = (&*id, &*old);
    let server = Server::start(&home, &[]);
    wait_until("a successor", || server.call("POST /v1/self/successor", old, None).status == 200);
    let claim = server.call("POST /v1/self/successor", old, None).json();
    assert_eq!(claim["successor"]["created_by"], "scheduler");
    let new = claim["key"].as_str().unwrap();
    assert_eq!(server.call("GET /v1/self", new, None).json()["predecessor_id"], id);
    let refused = server.call("POST /v1/self/successor", old, None);
    assert_eq!((refused.status, &refused.json()["reason"]), (409, &json!("successor_in_use")));
    server.end();
}

/// What a server was granted and did not use is there for others as soon as it has ended, and not when it has run out.
#[test]
fn what_is_held_of_limits_is_given_back_at_the_end() {
    let home = Home::new();
    let server = Server::start(&home, &["--drain-ms", "0"]);
    let operator = operator_key(&home);
    let asked = json!({"user_id": "bob", "limits": {"per_month": 100_000}});
    let made = server.call("POST /v1/organizations/acme/keys", &operator, Some(&asked)).json();
    let verify = json!({"key": made["key"], "cost": 10});
    let mut used = 0;
    // As long as it takes to be granted something beyond what is asked for.
    let figure = |name: &str| -> u64 {
        let figures = server.get("/metrics").body;
        let line = figures.lines().find_map(|line| line.strip_prefix(&format!("keygate_limiter_{name} ")));
        line.unwrap().parse().unwrap()
    };
    wait_until("holding some of a limit", || {
        for _ in 0..20 {
            assert_eq!(server.call("POST /v1/verify", &operator, Some(&verify)).json()["valid"], true);
            used += 10;
        }
        figure("granted_total") - figure("returned_total") > used
    });
    server.end();
    let id = made["key_id"].as_str().unwrap();
    let shown = home.run(&["keys", "show", id, "--json"]).done().json();
    assert_eq!(shown["limits_left"][0]["remaining"], 100_000 - used, "{shown}");
}
