//! A directory of its own with a store in it, and the command run there with nothing else from the environment.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// An id that no key has.
pub(crate) const NO_KEY: &str = "01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f";
/// A master secret.
pub(crate) const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Where a test runs its commands.
pub(crate) struct Home {
    directory: TempDir,
    environment: Vec<(String, String)>,
}

impl Home {
    /// A directory without anything in it: the default store is a file there.
    pub(crate) fn new() -> Self {
        Self { directory: TempDir::new().unwrap(), environment: Vec::new() }
    }

    /// With a variable of the environment for every command.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The path of a file of it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A command that is not run yet.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
        command.args(args).current_dir(self.directory.path()).env_clear();
        command.envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        Run::of(self.command(args).spawn().unwrap())
    }

    /// Runs a command with this on its standard input.
    pub(crate) fn run_with(&self, input: &str, args: &[&str]) -> Run {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // A command that ends without reading it closes its end.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Run::of(child)
    }

    /// Makes a key of `acme` and answers with the document of it.
    pub(crate) fn create(&self, args: &[&str]) -> Value {
        let all = [&["keys", "create", "--org", "acme", "--json"], args].concat();
        self.run(&all).done().json()
    }

    /// Makes a key of `acme` and answers with its id.
    pub(crate) fn create_id(&self, args: &[&str]) -> String {
        self.create(args)["key_id"].as_str().unwrap().to_owned()
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Waits for a command's end.
    pub(crate) fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// It was done.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.status, Some(0), "{self:?}");
        self
    }

    /// It was refused or failed: status 1, nothing on standard output, one sentence on standard error with these words.
    #[track_caller]
    pub(crate) fn refused(self, words: &str) -> Self {
        assert_eq!(self.stdout, "", "{self:?}");
        self.ended_with(words)
    }

    /// Status 1, and one sentence with these words at the end of standard error, whatever is on standard output.
    #[track_caller]
    pub(crate) fn ended_with(self, words: &str) -> Self {
        assert_eq!(self.status, Some(1), "{self:?}");
        let errors: Vec<&str> = self.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{self:?}");
        assert_eq!(self.stderr.lines().last(), Some(errors[0]), "{self:?}");
        assert!(errors[0].contains(words), "{words:?} is not in {self:?}");
        self
    }

    /// It was wrong usage: status 2, nothing on standard output, these words on standard error.
    #[track_caller]
    pub(crate) fn wrong_usage(self, words: &str) -> Self {
        assert_eq!((self.status, self.stdout.as_str()), (Some(2), ""), "{self:?}");
        assert!(self.stderr.contains(words), "{words:?} is not in {self:?}");
        self
    }

    /// Standard output is exactly one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
