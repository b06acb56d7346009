//! Who has a store file open: written beside it, for the error message of whoever comes second.
//!
//! The lock on the store file decides; this only gives it a name. What a killed process leaves behind is overwritten by
//! the next one, and a reader who finds nothing of use says that much.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use chrono::{DateTime, SecondsFormat, Utc};

/// Long enough for what is written, so that a file of something else is not read whole.
const MAX_BYTES: u64 = 1024;

/// The process that has a store file open, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// The very process that asks.
    ThisProcess,
    /// Another one.
    Process {
        /// Its process id, as it is seen from where it runs.
        id: u32,
        /// The name of its program.
        program: String,
        /// When it opened the file.
        since: String,
    },
    /// Another one, of which nothing is known.
    Unknown,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThisProcess => {
                f.write_str("already open in this process; share that store instead of opening it a second time")
            }
            Self::Process { id, program, since } => write!(
                f,
                "held by process {id} ({program}) since {since}; go through that process if it is a keygate server \
                 (KEYGATE_SERVER), stop it first, or point this one at another file"
            ),
            Self::Unknown => f.write_str(
                "held by another process; go through that process if it is a keygate server (KEYGATE_SERVER), stop it \
                 first, or point this one at another file",
            ),
        }
    }
}

/// The file that names this process, for as long as it lives.
#[derive(Debug)]
pub(crate) struct HolderFile {
    path: PathBuf,
}

/// Beside the store file, with `.holder` after its whole name.
fn beside(store: &Path) -> PathBuf {
    let mut name = OsString::from(store);
    name.push(".holder");
    name.into()
}

impl HolderFile {
    /// Writes it, once the store file is locked. Where that fails nothing is lost but a name in an error message.
    pub(crate) fn write(store: &Path, now: DateTime<Utc>) -> Self {
        // Whole, since the process may have another working directory when it ends.
        let path = beside(store);
        let holder = Self { path: std::path::absolute(&path).unwrap_or(path) };
        // Made anew, so that it is this user's and follows no link that somebody put there.
        let _ = fs::remove_file(&holder.path);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        if let Ok(mut file) = options.open(&holder.path) {
            let since = time(now);
            let text = format!("{}\n{since}\n{}\n{:016x}\n", std::process::id(), program(), mark());
            let _ = file.write_all(text.as_bytes());
        }
        holder
    }
}

impl Drop for HolderFile {
    /// It goes before the lock on the store file does: later, it might be the next holder's.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A number of this process alone: in containers that share a file, both may be process 1.
fn mark() -> u64 {
    static MARK: OnceLock<u64> = OnceLock::new();
    *MARK.get_or_init(|| RandomState::new().hash_one("holder"))
}

/// The name of this program without its arguments, in which secrets may stand, and without what a terminal might obey.
fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    path.file_name().unwrap_or_default().to_string_lossy().chars().filter(|c| !c.is_control()).take(64).collect()
}

/// Who the file beside the store names.
pub(crate) fn of(store: &Path) -> Holder {
    read(&beside(store)).unwrap_or(Holder::Unknown)
}

fn read(path: &Path) -> Option<Holder> {
    // A pipe that somebody put there would be waited for.
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
    let mut text = String::new();
    fs::File::open(path).ok()?.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    let id: u32 = lines.next()?.parse().ok()?;
    let since = lines.next().and_then(|line| DateTime::parse_from_rfc3339(line).ok())?;
    let program = lines.next()?;
    if program.chars().any(char::is_control) {
        return None;
    }
    if lines.next() == Some(&format!("{:016x}", mark())) {
        return Some(Holder::ThisProcess);
    }
    if id == std::process::id() {
        return None;
    }
    // Left behind by a process that was killed, while the one that holds the file now has not got this far.
    let processes = Path::new("/proc");
    if processes.join("self").exists() && !processes.join(id.to_string()).exists() {
        return None;
    }
    Some(Holder::Process { id, program: program.to_owned(), since: time(since.to_utc()) })
}
