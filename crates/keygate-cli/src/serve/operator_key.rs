//! The operator's key: made at the first start on a store, by one of however many servers start there, and shown on a
//! terminal or written to a file.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, IsTerminal, Write, stderr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use keygate::actor::{Actor, Operator};
use keygate::key::KeyId;
use keygate::manager::{ApiKeyManager, KeyFilter, ManageError};
use keygate::names::{OrganizationId, PrincipalId};
use keygate::settings::StoreAddress;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use zeroize::Zeroizing;

use crate::args::ServeArgs;
use crate::desk::Setting;
use crate::failure::{Failure, note, warn};

const VARIABLE: &str = "KEYGATE_OPERATOR_KEY_FILE";
const FILE: &str = "keygate-operator.key";
/// The store file whose key has that name. The keys of others are named after them: a directory may hold several.
const STORE: &str = "keygate.redb";
/// A store in memory has another key with each start, which must not be taken for that of a store that stays.
const FILE_OF_MEMORY: &str = "keygate-operator.memory.key";

/// How long another server, of the same directory, may take to make the key once it has made the file.
const OTHERS_PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long the end of the server waits for a key that is being made.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// Where the key goes once it is made.
#[derive(Debug, Clone)]
pub(super) enum Destination {
    /// To whoever sits at the terminal.
    Terminal,
    /// Into a file that is not there yet.
    File {
        /// Its path.
        path: PathBuf,
        /// Whether it holds the key of a store that is gone, if it is there.
        is_passing: bool,
    },
}

impl Destination {
    /// Into the file that is named; else to the terminal, if standard error is one; else into a file beside the store.
    pub(super) fn read(args: &ServeArgs, store: &StoreAddress) -> Result<Self, Failure> {
        if let Some(setting) = Setting::of(VARIABLE, args.flag(VARIABLE))? {
            return Ok(Self::File { path: setting.value.into(), is_passing: false });
        }
        if stderr().is_terminal() {
            return Ok(Self::Terminal);
        }
        let (path, is_passing) = match store {
            StoreAddress::File(store) => (beside(store), false),
            StoreAddress::Memory => (FILE_OF_MEMORY.into(), true),
            _ => (FILE.into(), false),
        };
        Ok(Self::File { path, is_passing })
    }
}

/// The file beside a store's that its key goes into.
fn beside(store: &Path) -> PathBuf {
    match store.file_name() {
        Some(name) if name != STORE => {
            let mut name = name.to_owned();
            name.push(".operator.key");
            store.with_file_name(name)
        }
        _ => store.with_file_name(FILE),
    }
}

/// Why there is no key yet.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The store is not as it should be, which may pass.
    Store(ManageError),
    /// Somebody has begun to make it, and perhaps will not end: the store knows in time.
    Contested,
    /// The key cannot be kept, which does not pass.
    Unkept(Failure),
}

impl From<ManageError> for Trouble {
    fn from(error: ManageError) -> Self {
        Self::Store(error)
    }
}

/// Sees to it that there is an operator's key.
#[derive(Debug)]
pub(super) struct Maker {
    manager: ApiKeyManager,
    /// Under a name that no other process has, so that a key that this one made is known as such.
    operator: Operator,
    destination: Destination,
}

impl Maker {
    pub(super) fn new(manager: ApiKeyManager, destination: Destination) -> Result<Self, Failure> {
        let name = format!("server-{:016x}", RandomState::new().hash_one("operator"));
        let operator = Operator::named(PrincipalId::new(name).map_err(Failure::refused)?);
        Ok(Self { manager, operator, destination })
    }

    /// Makes the key unless there is one, and hands it out.
    pub(super) async fn make(&self) -> Result<(), Trouble> {
        if !self.make_unless_there().await? {
            tracing::info!(
                "the organization system has a key, so no operator's key is made: keygate keys create --org system \
                 --user NAME makes another"
            );
        }
        Ok(())
    }

    /// Whether it was this that made the key.
    async fn make_unless_there(&self) -> Result<bool, Trouble> {
        if self.is_there().await? {
            return Ok(false);
        }
        // The place comes first: a key that cannot be kept must not be made.
        let Some(mut place) = self.place().await? else { return Ok(false) };
        let created = match self.manager.ensure_operator_key(&self.operator).await {
            Ok(Some(created)) => created,
            Ok(None) if self.is_there().await? => return Ok(false),
            Ok(None) => return Err(Trouble::Contested),
            Err(error) => return Err(error.into()),
        };
        match place.keep(created.text.expose()) {
            Ok(()) => Ok(true),
            Err(error) => Err(Trouble::Unkept(self.give_up(created.key.id, &place, &error).await)),
        }
    }

    /// The task that makes the key once the store answers.
    pub(super) fn begin(self) -> Making {
        let (wanted, unwanted) = oneshot::channel();
        Making { task: tokio::spawn(async move { self.make_in_time(unwanted).await }), wanted }
    }

    /// Makes the key once the store answers, unless it is unwanted before.
    async fn make_in_time(&self, mut unwanted: oneshot::Receiver<()>) -> Result<(), Failure> {
        let (mut pause, mut said) = (FIRST_PAUSE, String::new());
        loop {
            let answer = async {
                sleep(pause).await;
                self.manager.store_state().await.is_confirmed()
            };
            let is_answering = tokio::select! {
                biased;
                _ = &mut unwanted => return Ok(()),
                is_answering = answer => is_answering,
            };
            pause = (pause * 2).min(LONGEST_PAUSE);
            // Quietly, as long as there is nothing to ask.
            if !is_answering {
                continue;
            }
            // To its end, whatever comes: a key must not be made for nobody.
            match self.make().await {
                Ok(()) => return Ok(()),
                Err(Trouble::Unkept(failure)) => return Err(failure),
                Err(Trouble::Contested) => {}
                Err(Trouble::Store(error)) => {
                    let why = error.to_string();
                    if why != said {
                        tracing::warn!("there is no operator's key yet: {why}");
                        said = why;
                    }
                }
            }
        }
    }

    /// Whether there is an operator's key. One that this very process made before the store failed is none: nobody has
    /// its text, and it is taken away.
    async fn is_there(&self) -> Result<bool, ManageError> {
        let actor = Actor::from(self.operator.clone());
        let page = self.manager.list(&actor, &OrganizationId::system(), &KeyFilter::default(), 1, None).await?;
        let Some(newest) = page.keys.first() else {
            return Ok(!page.unreadable_key_ids.is_empty() || page.next_cursor.is_some());
        };
        if newest.created_by != *actor.principal() {
            return Ok(true);
        }
        self.take_away(newest.id).await?;
        Ok(false)
    }

    /// A key that nobody has is revoked, and erased so that the next start makes another.
    async fn take_away(&self, id: KeyId) -> Result<(), ManageError> {
        let actor = Actor::from(self.operator.clone());
        self.manager.revoke(&actor, id, None).await?;
        self.manager.delete(&actor, id, None).await
    }

    async fn give_up(&self, id: KeyId, place: &Place, error: &io::Error) -> Failure {
        let fate = match self.take_away(id).await {
            Ok(()) => "it was revoked, and the next start makes another".to_owned(),
            Err(trouble) => format!("revoke it with keygate keys revoke {id}, as doing so failed: {trouble}"),
        };
        Failure::refused(format!("the operator's key cannot be kept: {place}: {error}; {fate}"))
    }

    /// A place for the key: `None` where another server has made one meanwhile.
    async fn place(&self) -> Result<Option<Place>, Trouble> {
        let Destination::File { path, is_passing } = &self.destination else { return Ok(Some(Place::Terminal)) };
        let unkept = |error: io::Error| {
            Trouble::Unkept(Failure::refused(format!(
                "the operator's key cannot be kept: {}: {error}; name a file that can be made with --operator-key-file \
                 ({VARIABLE})",
                path.display()
            )))
        };
        if *is_passing {
            let removed = std::fs::remove_file(path);
            if let Err(error) = removed
                && error.kind() != ErrorKind::NotFound
            {
                return Err(unkept(error));
            }
        }
        let given_up = Instant::now() + OTHERS_PATIENCE;
        loop {
            match new_file(path) {
                Ok(file) => return Ok(Some(Place::File(NewFile { path: path.clone(), file, is_kept: false }))),
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(unkept(error)),
                Err(_) => {}
            }
            // In this order: another's key is on the store before it is in the file.
            let may_be_anothers = may_become_a_key(path);
            if self.is_there().await? {
                return Ok(None);
            }
            if !may_be_anothers || Instant::now() >= given_up {
                return Err(Trouble::Unkept(Failure::refused(format!(
                    "the operator's key is yet to be made, and {} is there already and is left as it is: move it away, \
                     or name another file with --operator-key-file ({VARIABLE})",
                    path.display()
                ))));
            }
            sleep(FIRST_PAUSE).await;
        }
    }
}

/// Whether what is at this path may be of another server, which starts beside this one and is about to put the key there.
fn may_become_a_key(path: &Path) -> bool {
    let Ok(found) = path.symlink_metadata() else { return true };
    let is_old = |made: SystemTime| made.elapsed().is_ok_and(|age| age >= OTHERS_PATIENCE);
    found.is_file() && found.len() == 0 && !found.modified().is_ok_and(is_old)
}

/// The task that makes the key. It begins nothing any more once this is told to end.
#[derive(Debug)]
pub(super) struct Making {
    task: JoinHandle<Result<(), Failure>>,
    /// As long as it is there.
    wanted: oneshot::Sender<()>,
}

impl Making {
    /// Waits until the key is made. A task that panicked has said so in its own way.
    pub(super) async fn done(&mut self) -> Result<(), Failure> {
        (&mut self.task).await.unwrap_or(Ok(()))
    }

    /// Has no key made, unless that has begun.
    pub(super) fn stop(self) -> LastMaking {
        drop(self.wanted);
        LastMaking(self.task)
    }
}

/// The making of a key that has begun, if it has, while the server ends.
#[derive(Debug)]
pub(super) struct LastMaking(JoinHandle<Result<(), Failure>>);

impl LastMaking {
    /// Waits for it, but not for ever.
    pub(super) async fn done(self) -> Result<(), Failure> {
        let made = timeout(LAST_PATIENCE, self.0).await.map_err(|_| {
            Failure::refused(
                "the server ended while the operator's key was being made, and the key may be there without anybody \
                 having it: keygate keys list --org system shows it, and keygate keys create --org system --user NAME \
                 makes another",
            )
        })?;
        made.unwrap_or(Ok(()))
    }
}

/// A place that is there for the key.
#[derive(Debug)]
enum Place {
    Terminal,
    File(NewFile),
}

/// A file that was made for the key, and goes again unless the key is in it.
#[derive(Debug)]
struct NewFile {
    path: PathBuf,
    file: File,
    is_kept: bool,
}

impl Place {
    /// Puts the key there, to stay, and says so.
    fn keep(&mut self, key: &str) -> io::Result<()> {
        match self {
            Self::Terminal => {
                note("this is the operator's key, with which everything may be done. It is shown this once:");
                let line = Zeroizing::new(format!("\n    {key}\n"));
                writeln!(stderr().lock(), "{}", *line)
            }
            Self::File(new) => {
                new.keep(key)?;
                note(format!(
                    "the operator's key, with which everything may be done, is in {}, readable by you alone: keep it in \
                     a safe place",
                    new.path.display()
                ));
                Ok(())
            }
        }
    }
}

impl NewFile {
    /// Writes the key, to be on disk when this returns.
    fn keep(&mut self, key: &str) -> io::Result<()> {
        let line = Zeroizing::new(format!("{key}\n"));
        self.file.write_all(line.as_bytes())?;
        self.file.sync_all()?;
        sync_directory_of(&self.path)?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            warn(format!("{} is of no use, and cannot be removed: {error}", self.path.display()));
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Terminal => f.write_str("standard error"),
            Self::File(new) => write!(f, "{}", new.path.display()),
        }
    }
}

/// A new file that its owner alone can read.
fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The name of a new file is on the disk only when its directory is.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}
