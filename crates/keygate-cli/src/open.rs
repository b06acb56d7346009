//! From flags and environment to the manager of a store.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use keygate::actor::{Actor, Operator};
use keygate::manager::{ApiKeyManager, SetupError};
use keygate::names::PrincipalId;
use keygate::settings::{OpenError, Opened, SettingError, Settings, StoreAddress};
use tokio::time::timeout;

use crate::args::SettingArgs;
use crate::desk::only_on_a_store;
use crate::failure::{Failure, note, warn};

/// Where keys are kept if nobody says.
const DEFAULT_STORE: &str = "./keygate.redb";
/// How long a command that has ended may still put its store in order.
const LEAVING: Duration = Duration::from_secs(3);

/// The manager of the store that this command has opened, until it leaves it: a store that is not dropped may lose what it has
/// not written yet.
static OPENED: Mutex<Option<ApiKeyManager>> = Mutex::new(None);

/// What a command works with on a store: the manager, and who it acts as.
#[derive(Debug, Clone)]
pub(crate) struct StoreDesk {
    /// The manager.
    pub(crate) manager: ApiKeyManager,
    /// Whoever has the store and its secret at hand runs the deployment.
    pub(crate) operator: Operator,
}

impl StoreDesk {
    /// The operator, as whoever acts on keys.
    pub(crate) fn actor(&self) -> Actor {
        self.operator.clone().into()
    }
}

/// What a command wants of a store file that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// To be made.
    Made,
    /// To be told of: a mistyped path must not look like a store without keys.
    Refused,
}

/// Reads the settings without touching the store.
pub(crate) fn read_settings(args: &SettingArgs) -> Result<Settings, Failure> {
    let mut settings = read_all_settings(args)?;
    // A command asks about each thing once. Without a cache it is no instance either that others would wait for.
    settings.keeping.capacity = 0;
    Ok(settings)
}

/// The same, as a service would read them.
pub(crate) fn read_all_settings(args: &SettingArgs) -> Result<Settings, Failure> {
    only_on_a_store(args)?;
    read_settings_of_server(args)
}

/// The same, for the server itself: a server that others are to go through is none of its business.
pub(crate) fn read_settings_of_server(args: &SettingArgs) -> Result<Settings, Failure> {
    let default = StoreAddress::File(PathBuf::from(DEFAULT_STORE));
    let settings = Settings::from_flags_and_env(default, |name| args.flag(name).map(|(_, value)| value.to_owned()));
    settings.map_err(|error| blame(&error, args))
}

/// A wrong flag is named as the flag it is, and is a matter of usage.
pub(crate) fn blame(error: &SettingError, args: &SettingArgs) -> Failure {
    let sentence = error.to_string();
    match (args.flag(error.name()), sentence.strip_prefix(error.name())) {
        (Some((flag, _)), Some(problem)) => Failure::usage(format!("{flag}{problem}")),
        _ => Failure::refused(sentence),
    }
}

/// Opens the store.
pub(crate) async fn open(settings: &Settings, absent: Absent) -> Result<StoreDesk, Failure> {
    let new_file = new_file_of(settings);
    if let (Some(path), Absent::Refused) = (new_file, absent) {
        return Err(Failure::refused(format!(
            "there is no store at {}: point --store (KEYGATE_STORE) at yours, or make a first key with keygate keys create",
            path.display()
        )));
    }
    let opened = open_any(settings).await?;
    if let Some(error) = opened.unavailable {
        return Err(Failure::refused(format!("{}: {error}", opened.manager.describe_store())));
    }
    if let Some(secret) = &opened.made_secret {
        tell_of_secret(new_file, secret);
    }
    if matches!(settings.store, StoreAddress::Memory) {
        warn("the store memory: keeps nothing once this command has ended");
    }
    let operator = Operator::named(PrincipalId::new("cli").map_err(Failure::refused)?);
    // A command opens one.
    *OPENED.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened.manager.clone());
    Ok(StoreDesk { manager: opened.manager, operator })
}

/// Leaves the store that this command has opened, however the command has ended: what it was granted of limits and has not used is
/// given back, what it counted is told, and what it wrote in the audit is sealed. Where that takes longer, what it was granted runs
/// out, and the audit is sealed by whoever comes next.
pub(crate) async fn leave() {
    let opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(manager) = opened
        && timeout(LEAVING, manager.leave()).await.is_err()
    {
        tracing::warn!("the store is slow: what was written in the audit is sealed by whoever comes next");
    }
}

/// Opens the store for the server. One that does not answer is no reason to stop: the manager finds it when it comes.
pub(crate) async fn open_to_serve(settings: &Settings) -> Result<Opened, Failure> {
    let new_file = new_file_of(settings).cloned();
    let opened = open_any(settings).await?;
    if let Some(secret) = &opened.made_secret {
        tell_of_secret(new_file.as_ref(), secret);
    }
    if matches!(settings.store, StoreAddress::Memory) {
        warn("the store memory: keeps nothing once this server has ended");
    }
    if let Some(error) = &opened.unavailable {
        warn(format!("{}: {error}; until it answers no key can be checked", opened.manager.describe_store()));
    }
    Ok(opened)
}

/// Where a store file is to be that is not there.
fn new_file_of(settings: &Settings) -> Option<&PathBuf> {
    match &settings.store {
        StoreAddress::File(path) if matches!(path.try_exists(), Ok(false)) => Some(path),
        _ => None,
    }
}

/// Each store has its own patience; a limit here would also cut off a passphrase that is being stretched, and a file that
/// is being put right after a crash.
async fn open_any(settings: &Settings) -> Result<Opened, Failure> {
    settings.open().await.map_err(|error| match error {
        OpenError::Unavailable(_) | OpenError::Setup(SetupError::Store(_)) => {
            Failure::refused(format!("--store (KEYGATE_STORE): {error}"))
        }
        error => Failure::refused(error),
    })
}

fn tell_of_secret(new_file: Option<&PathBuf>, secret: &Path) {
    let made = new_file.map(|store| format!("a new store was made at {}; ", store.display())).unwrap_or_default();
    note(format!(
        "{made}its secret is in {}, readable by you alone: keep a copy of it in a safe place, as without it no key of \
         this store can be checked",
        secret.display()
    ));
}
