//! An example's program, run as a user runs it.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::PATIENCE;
use super::freshness::program;

/// A running example on a free port. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Example {
    child: Child,
    pub(crate) address: SocketAddr,
    stdout: Output,
    stderr: Output,
}

/// What an example left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

#[derive(Debug)]
struct Output {
    text: watch::Receiver<String>,
    reader: JoinHandle<()>,
}

impl Example {
    /// Starts an example with nothing in its environment but these variables, and waits until it listens.
    pub(crate) async fn start(name: &str, variables: &[(&str, &str)]) -> Self {
        let (child, mut stdout, stderr) = launch(name, variables);
        let listening = |text: &str| lines(text).any(|line| line.starts_with("listening on "));
        let text = match stdout.wait_for(listening).await {
            Some(text) => text,
            None => panic!("{name} does not listen: {}", stderr.text.borrow().as_str()),
        };
        let address = lines(&text).find_map(|line| line.strip_prefix("listening on http://")).unwrap();
        Self { child, address: address.parse().unwrap(), stdout, stderr }
    }

    /// Runs an example that ends by itself.
    pub(crate) async fn ended(name: &str, variables: &[(&str, &str)]) -> Ended {
        let (child, stdout, stderr) = launch(name, variables);
        end(child, stdout, stderr).await
    }

    /// The demo key, once it is printed.
    pub(crate) async fn key(&mut self) -> String {
        let has_key = |text: &str| lines(text).any(|line| line.starts_with("API key: "));
        let text = self.stdout.wait_for(has_key).await.expect("a demo key");
        lines(&text).find_map(|line| line.strip_prefix("API key: ")).unwrap().to_owned()
    }

    /// Waits until a line of stdout begins with `beginning`.
    pub(crate) async fn wait_for_line(&mut self, beginning: &str) -> String {
        let text = self.stdout.wait_for(|text| lines(text).any(|line| line.starts_with(beginning))).await;
        lines(&text.expect("the line")).find(|line| line.starts_with(beginning)).unwrap().to_owned()
    }

    /// Where a path is.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Asks it to end (`TERM` or `INT`) and waits until it has.
    pub(crate) async fn stop(self, signal: &str) -> Ended {
        let pid = self.child.id().expect("it runs").to_string();
        let mut kill = Command::new("sh");
        kill.args(["-c", r#"kill -s "$1" "$2""#, "kill", signal, &pid]);
        assert!(kill.status().await.unwrap().success());
        end(self.child, self.stdout, self.stderr).await
    }
}

fn launch(name: &str, variables: &[(&str, &str)]) -> (Child, Output, Output) {
    let mut command = Command::new(program(name));
    command.env_clear().env("KEYGATE_LISTEN", "127.0.0.1:0").envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    (child, Output::read(stdout), Output::read(stderr))
}

async fn end(mut child: Child, stdout: Output, stderr: Output) -> Ended {
    let status = timeout(PATIENCE, child.wait()).await.expect("it does not end").unwrap();
    Ended { status, stdout: stdout.whole().await, stderr: stderr.whole().await }
}

/// The lines that are whole: the last one may still be on its way.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

impl Output {
    fn read(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (sender, text) = watch::channel(String::new());
        let reader = tokio::spawn(async move {
            let mut part = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = pipe.read(&mut part).await {
                sender.send_modify(|text| text.push_str(&String::from_utf8_lossy(&part[..length])));
            }
        });
        Self { text, reader }
    }

    /// The text once it is as wanted; `None` if it ends before.
    async fn wait_for(&mut self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let text =
            timeout(PATIENCE, self.text.wait_for(|text| wanted(text))).await.expect("it says nothing of the kind");
        text.ok().map(|text| text.clone())
    }

    async fn whole(self) -> String {
        timeout(PATIENCE, self.reader).await.expect("its output does not end").unwrap();
        self.text.borrow().clone()
    }
}
