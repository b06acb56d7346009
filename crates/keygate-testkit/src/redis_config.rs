//! How a Redis server is to be started.

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{RedisServer, TestkitError, waiting::on_blocking_thread};

/// Settings for a [`RedisServer`] that is about to start; see [`RedisServer::builder`].
///
/// Unless told otherwise a server keeps nothing on disk: no snapshots, no append-only file.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct RedisServerBuilder {
    lines: Vec<String>,
    password: Option<String>,
    role: Role,
}

/// What the process is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// It holds data.
    #[default]
    Store,
    /// It watches servers that do. It takes no settings about data.
    Sentinel,
}

impl RedisServerBuilder {
    /// Adds a line to the server's configuration file, as redis.conf has it: `config("maxmemory", "10mb")`.
    /// A later line for the same setting wins. A setting the server does not know makes it refuse to start.
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.lines.push(format!("{name} {value}"));
        self
    }

    /// Writes every command to the append-only file, with an fsync before the answer.
    pub fn append_only(self) -> Self {
        self.config("appendonly", "yes").config("appendfsync", "always")
    }

    /// Makes the server a replica of another, which must have the same password if it has one.
    pub fn replica_of(self, primary: &RedisServer) -> Self {
        self.config("replicaof", &format!("127.0.0.1 {}", primary.port()))
    }

    /// Asks every client for this password. Letters and digits only: it stands in the URL as it is.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.config("requirepass", password).config("masterauth", password)
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// [`TestkitError::RedisNotInstalled`], or [`TestkitError::EndedEarly`] with the server's own words
    /// if it refuses its settings.
    pub async fn start(self) -> Result<RedisServer, TestkitError> {
        on_blocking_thread(move || RedisServer::launch(&self)).await
    }

    pub(crate) fn sentinel() -> Self {
        Self { role: Role::Sentinel, ..Self::default() }
    }

    pub(crate) fn configured_password(&self) -> Option<String> {
        self.password.clone()
    }
}

/// The program, and the directory with its configuration, its log and its data.
#[derive(Debug)]
pub(crate) struct ServerFiles {
    pub(crate) program: PathBuf,
    pub(crate) role: Role,
    directory: TempDir,
    /// Whether the settings ask for snapshots.
    keeps_snapshots: bool,
}

impl ServerFiles {
    /// Writes the configuration for a server on `port` into a new temporary directory.
    pub(crate) fn write(builder: &RedisServerBuilder, port: u16) -> Result<Self, TestkitError> {
        let program =
            find_program("redis-server", env::var_os("PATH").as_deref()).ok_or(TestkitError::RedisNotInstalled)?;
        let directory =
            TempDir::with_prefix("keygate-testkit-").map_err(TestkitError::io("make a temporary directory"))?;
        let files = Self {
            program,
            role: builder.role,
            directory,
            keeps_snapshots: builder.lines.iter().any(|line| line.starts_with("save ")),
        };
        fs::write(files.config_path(), files.config_text(builder, port))
            .map_err(TestkitError::io("write redis.conf"))?;
        Ok(files)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.directory.path().join("redis.conf")
    }

    /// The last lines of the server's log.
    pub(crate) fn log(&self) -> String {
        let text = fs::read(self.log_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// An empty log, in place of what an earlier run wrote. The server appends to it, and what it says
    /// before it has read its configuration goes there too.
    pub(crate) fn new_log(&self) -> io::Result<File> {
        let _ = fs::remove_file(self.log_path());
        File::options().create(true).append(true).open(self.log_path())
    }

    /// Removes what the server has stored, and nothing else: a cluster node stays the node it is.
    pub(crate) fn remove_data(&self) {
        self.remove_snapshot();
        let _ = fs::remove_file(self.directory.path().join("appendonly.aof"));
        let _ = fs::remove_dir_all(self.directory.path().join("appendonlydir"));
    }

    /// Removes a snapshot that was taken only to carry data over a restart: left in place it would come
    /// back to life when a server that keeps nothing is killed and restarted later.
    pub(crate) fn remove_carried_snapshot(&self) {
        if !self.keeps_snapshots {
            self.remove_snapshot();
        }
    }

    fn remove_snapshot(&self) {
        let _ = fs::remove_file(self.directory.path().join("dump.rdb"));
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("redis.log")
    }

    fn config_text(&self, builder: &RedisServerBuilder, port: u16) -> String {
        let mut text = format!(
            "bind 127.0.0.1\nport {port}\ndaemonize no\ndir \"{}\"\nlogfile \"{}\"\n",
            self.directory.path().display(),
            self.log_path().display(),
        );
        if self.role == Role::Store {
            // A replica's first copy starts at once instead of after five seconds, and leaves no file.
            text += "save \"\"\nappendonly no\nrepl-diskless-sync-delay 0\nrdb-del-sync-files yes\n";
        }
        for line in &builder.lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

fn find_program(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    env::split_paths(path?).map(|folder| folder.join(name)).find(|file| Path::is_file(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_told_with_the_way_to_get_it() {
        assert_eq!(find_program("redis-server", Some(OsStr::new("/nonexistent"))), None);
        assert_eq!(find_program("redis-server", None), None);
        assert_eq!(
            TestkitError::RedisNotInstalled.to_string(),
            "redis-server was not found: run scripts/test.sh, which installs it"
        );
    }
}
