//! What the examples do beside their framework: settings, log, a demo key, and the lines that say how to try them.

use std::error::Error;
use std::fmt::Display;
use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use keygate::actor::{Actor, Operator};
use keygate::manager::{ApiKeyManager, CreatedKey, ManageError, NewKey, OrganizationUpdate};
use keygate::scope::ScopeSet;
use keygate::settings::{Settings, StoreAddress};
use tracing_subscriber::EnvFilter;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Each start makes a key, and a store that stays sees many starts.
const KEYS_PER_USER: u64 = 1_000_000;
/// How long requests under way have after the process was asked to end.
const GRACE: Duration = Duration::from_secs(10);
/// How long the store has, after that, to take back what is held of limits and take note of what was counted.
const LEAVING: Duration = Duration::from_secs(2);

/// Where the example stands before its framework comes in.
pub(crate) struct Demo {
    pub(crate) settings: Settings,
    pub(crate) manager: ApiKeyManager,
    answering: bool,
    with_key: bool,
}

/// Reads the `KEYGATE_*` variables and opens the store. A Redis that does not answer is no reason to stop: the manager
/// finds it when it comes, and requests are answered with 503 until then.
pub(crate) async fn start() -> Result<Demo, Failure> {
    let settings = Settings::from_env(StoreAddress::Memory)?;
    let with_key = match variable("KEYGATE_DEMO_KEY")?.as_deref() {
        None | Some("on") => true,
        Some("off") => false,
        Some(_) => return Err("KEYGATE_DEMO_KEY must be on or off".into()),
    };
    start_log()?;
    let opened = settings.open().await?;
    if let Some(file) = &opened.made_secret {
        note(format_args!("made a master secret in {}; keep it: without it no key can be checked", file.display()));
    }
    if let Some(why) = &opened.unavailable {
        note(format_args!(
            "the store does not answer; until it does, requests with a key are answered with 503: {why}"
        ));
    }
    Ok(Demo { settings, manager: opened.manager, answering: opened.unavailable.is_none(), with_key })
}

impl Demo {
    /// Says where the server listens, and with which key to try it: at once, or as soon as the store answers.
    pub(crate) async fn announce(&self, address: SocketAddr, try_it: impl Fn(&str) -> String + Send + 'static) {
        let listening = format!("listening on http://{address}");
        if !self.with_key {
            return say(listening);
        }
        if self.answering
            && let Ok(created) = make_key(&self.manager).await
        {
            let key = created.text.expose();
            return say(format_args!("API key: {key}\n{listening}\n{}", try_it(key)));
        }
        say(listening);
        let manager = self.manager.clone();
        tokio::spawn(async move {
            if let Some(created) = keep_trying(&manager).await {
                let key = created.text.expose();
                say(format_args!("API key: {key}\n{}", try_it(key)));
            }
        });
    }

    /// Gives back what this process holds of limits, for others to use at once, and tells the store what was counted. Where
    /// the store does not answer, what is held is theirs when it has run out, and what was counted is lost.
    pub(crate) async fn leave(&self) {
        let _ = tokio::time::timeout(LEAVING, self.manager.leave()).await;
    }
}

/// A key of `ada` in the organization `demo`, for `reports:read`.
async fn make_key(manager: &ApiKeyManager) -> Result<CreatedKey, ManageError> {
    let operator = Operator::named("example".parse()?);
    let actor = Actor::from(operator.clone());
    let mut new = NewKey::new("demo".parse()?, "ada".parse()?);
    new.scopes = Some(ScopeSet::parse(["reports:read"])?);
    if manager.organization(&actor, &new.organization).await?.max_keys_per_user != Some(KEYS_PER_USER) {
        let mut quota = OrganizationUpdate::default();
        quota.max_keys_per_user = Some(Some(KEYS_PER_USER));
        manager.update_organization(&operator, &new.organization, &quota, None).await?;
    }
    manager.create(&actor, new).await
}

/// Makes the key once the store answers, and gives up on what waiting does not mend.
async fn keep_trying(manager: &ApiKeyManager) -> Option<CreatedKey> {
    let mut pause = Duration::from_millis(250);
    let mut said = String::new();
    loop {
        let error = match make_key(manager).await {
            Ok(created) => return Some(created),
            Err(error) => error,
        };
        let why = error.to_string();
        if why != said {
            note(format_args!("no demo key yet: {why}"));
            said = why;
        }
        if !is_passing(&error) {
            return None;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

fn is_passing(error: &ManageError) -> bool {
    matches!(error, ManageError::Store(_) | ManageError::Setup(_) | ManageError::Conflict { .. })
}

/// Ends when the process is asked to: SIGTERM, or SIGINT (Ctrl-C). Both are listened for from the call on. Requests
/// under way then have [`GRACE`] to end, so that a client that never does cannot hold the process.
pub(crate) fn shutdown() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let asked = asked_to_end()?;
    Ok(async {
        asked.await;
        tokio::spawn(async {
            tokio::time::sleep(GRACE).await;
            note(format_args!("ended with requests under way, {GRACE:?} after being asked to"));
            std::process::exit(1);
        });
    })
}

#[cfg(unix)]
fn asked_to_end() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn asked_to_end() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

/// The address is somebody else's, or not this machine's.
pub(crate) fn cannot_listen(error: io::Error) -> Failure {
    format!("KEYGATE_LISTEN cannot be used: {error}").into()
}

/// The end of `main`: one sentence on stderr where something went wrong.
pub(crate) fn exit(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(error);
            ExitCode::FAILURE
        }
    }
}

fn start_log() -> Result<(), Failure> {
    let filter = variable("KEYGATE_LOG")?.unwrap_or_else(|| "info".to_owned());
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("KEYGATE_LOG is not a log filter: {error}"))?;
    let colours = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours).init();
    Ok(())
}

fn variable(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(format!("{name} is not valid UTF-8").into()),
    }
}

// Unlike println! and eprintln!, these do not end a server whose reader has gone.

fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
