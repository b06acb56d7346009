//! A child process that does not outlive its owner.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Becomes the program once a line arrives; goes away if the owner does first.
const GATE: &str = r#"read -r go && exec "$@" </dev/null"#;

/// Reads the pid to guard, then waits. A second line ends the guard in peace; the end of the pipe means
/// that the owner is gone, however it went, and what it had on disk is left to be removed.
const WATCHDOG: &str = r#"read -r pid || exit 0; read -r done && exit 0; kill -9 "$pid"; rm -rf -- "$1""#;

/// A child process, killed and waited for on drop, and killed by a watchdog if this process is itself
/// killed. Both run in process groups of their own, so a Ctrl-C in the terminal reaches only the owner.
#[derive(Debug)]
pub struct GuardedProcess {
    child: Child,
    /// Dropped after `child` was waited for in our own `Drop`.
    _watchdog: Watchdog,
}

impl GuardedProcess {
    /// Starts `program`, which writes to `output` and keeps its files in `scratch`. There is no moment at which it runs
    /// unguarded: the watchdog knows its pid before it is let through the gate. Only the process itself is guarded: a
    /// program that starts others must be told not to.
    ///
    /// # Errors
    /// When the shell cannot be started, which starts the program.
    pub fn spawn(program: &Path, arguments: &[&str], output: File, scratch: &Path) -> io::Result<Self> {
        let mut watchdog = Watchdog::spawn(scratch)?;
        let mut gate = shell(GATE);
        gate.stdout(output.try_clone()?).stderr(output);
        gate.arg("gate").arg(program).args(arguments);
        let mut child = gate.spawn()?;
        let opened = watchdog
            .guard(child.id())
            .and_then(|()| child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(b"go\n")));
        let process = Self { child, _watchdog: watchdog };
        opened.map(|()| process)
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// Sends a signal by name, such as `STOP`.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        // The shell's own `kill`, because a small system has no other.
        let status = shell(r#"kill -s "$1" "$2""#)
            .args(["kill", name, &self.pid().to_string()])
            .stdin(Stdio::null())
            .status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("kill: {status}"))) }
    }

    /// Asks the process to end and waits; after `patience` it is killed.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn terminate(mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        // A stopped process acts on nothing but a kill, so it is continued first.
        self.signal("CONT")?;
        self.signal("TERM")?;
        let started = Instant::now();
        while started.elapsed() < patience {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(None)
    }
}

impl Drop for GuardedProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process that outlives us by a moment, to kill what we left.
#[derive(Debug)]
struct Watchdog {
    child: Child,
    line: Option<ChildStdin>,
}

impl Watchdog {
    fn spawn(scratch: &Path) -> io::Result<Self> {
        let mut child = shell(WATCHDOG).arg("watchdog").arg(scratch).spawn()?;
        let line = child.stdin.take();
        Ok(Self { child, line })
    }

    fn guard(&mut self, pid: u32) -> io::Result<()> {
        self.line.as_mut().map_or(Ok(()), |line| writeln!(line, "{pid}"))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(mut line) = self.line.take() {
            let _ = line.write_all(b"done\n");
        }
        let _ = self.child.wait();
    }
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command
}
