//! Where keys are managed: flags and variables name a store or a server.

use keygate::settings::Settings;

use super::Desk;
use super::server::ServerDesk;
use crate::args::SettingArgs;
use crate::failure::Failure;
use crate::open::{Absent, open, read_settings};

const SERVER: &str = "KEYGATE_SERVER";
const STORE: &str = "KEYGATE_STORE";

/// Where keys are managed, before anything is opened or asked.
#[derive(Debug)]
pub(crate) enum Place {
    /// On a store.
    Store(Box<Settings>),
    /// Through a server.
    Server(ServerDesk),
}

impl Place {
    /// Reads flags and variables.
    pub(crate) fn read(args: &SettingArgs) -> Result<Self, Failure> {
        match named_server(args)? {
            Some(server) => ServerDesk::read(&server, args).map(Self::Server),
            None => read_settings(args).map(|settings| Self::Store(Box::new(settings))),
        }
    }

    /// Whether it is a server, to which texts would be sent.
    pub(crate) fn is_server(&self) -> bool {
        matches!(self, Self::Server(_))
    }

    /// Opens a store; a server is asked only when there is something to ask.
    pub(crate) async fn open(self, absent: Absent) -> Result<Desk, Failure> {
        match self {
            Self::Store(settings) => open(&settings, absent).await.map(Desk::Store),
            Self::Server(desk) => Ok(Desk::Server(desk)),
        }
    }
}

/// A setting of the environment or of the command line.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// The flag if it was one, or else the variable.
    name: &'static str,
    is_flag: bool,
    /// What it says.
    pub(crate) value: String,
}

impl Setting {
    /// The flag, else the variable unless it is empty.
    pub(crate) fn read(variable: &'static str, args: &SettingArgs) -> Result<Option<Self>, Failure> {
        Self::of(variable, args.flag(variable))
    }

    /// The flag that is given here, else the variable unless it is empty.
    pub(crate) fn of(variable: &'static str, flag: Option<(&'static str, &str)>) -> Result<Option<Self>, Failure> {
        if let Some((name, value)) = flag {
            return Ok(Some(Self { name, is_flag: true, value: value.to_owned() }));
        }
        let value = match std::env::var(variable) {
            Ok(value) => Some(value).filter(|value| !value.is_empty()),
            Err(std::env::VarError::NotPresent) => None,
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(Failure::refused(format!("{variable} is not valid UTF-8")));
            }
        };
        Ok(value.map(|value| Self { name: variable, is_flag: false, value }))
    }

    /// The flag if it was one, or else the variable.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// It cannot be: a wrong flag is a matter of usage.
    pub(crate) fn wrong(&self, problem: impl std::fmt::Display) -> Failure {
        let sentence = format!("{} {problem}", self.name);
        if self.is_flag { Failure::usage(sentence) } else { Failure::refused(sentence) }
    }
}

/// The server that commands are to go through. A flag beats a variable; of the variables the server beats the store:
/// whoever means a server's keys must not be shown those of some local store, let alone be made one.
fn named_server(args: &SettingArgs) -> Result<Option<Setting>, Failure> {
    let server = Setting::read(SERVER, args)?;
    match (&server, args.flag(STORE)) {
        (Some(Setting { is_flag: true, .. }), Some(_)) => {
            Err(Failure::usage("--server and --store are two places; name the one that the keys are in"))
        }
        (Some(Setting { is_flag: false, .. }), Some(_)) => Ok(None),
        _ => Ok(server),
    }
}

/// Refuses to go on where a server is named, for what is done on a store alone.
pub(crate) fn only_on_a_store(args: &SettingArgs) -> Result<(), Failure> {
    match named_server(args)? {
        None => Ok(()),
        Some(Setting { is_flag: true, .. }) => Err(Failure::usage(
            "--server does not go with this command, which works on the store itself: name the store with --store",
        )),
        Some(Setting { is_flag: false, .. }) => Err(Failure::refused(format!(
            "{SERVER} is set, and this command works on the store itself: name the store with --store, or unset {SERVER}"
        ))),
    }
}
