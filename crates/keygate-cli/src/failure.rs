//! How a command ends when it does not do what it was asked: one sentence on standard error, and an exit status.

use std::fmt::{self, Display};
use std::io::{ErrorKind, Write, stderr};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

/// Why the command was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line says what cannot be: status 2.
    Usage(String),
    /// It was refused, or it failed: status 1.
    Refused(String),
    /// Whoever read the output has heard enough: status 0, without a word.
    Unread,
}

impl Failure {
    /// The command line says what cannot be.
    pub(crate) fn usage(sentence: impl Display) -> Self {
        Self::Usage(sentence.to_string())
    }

    /// It was refused, or it failed.
    pub(crate) fn refused(sentence: impl Display) -> Self {
        Self::Refused(sentence.to_string())
    }

    /// Standard output did not take what was written.
    pub(crate) fn unwritten(error: &std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::refused(format!("standard output cannot be written: {error}")),
        }
    }

    /// How a command ends that has told something and comes to a verdict: this stands even if the reader of the words has gone.
    pub(crate) fn or_verdict(told: Result<(), Self>, verdict: Result<(), Self>) -> Result<(), Self> {
        match (told, verdict) {
            (Ok(()) | Err(Self::Unread), Err(verdict)) => Err(verdict),
            (told, _) => told,
        }
    }

    /// Says the sentence and gives the exit status.
    pub(crate) fn report(self) -> ExitCode {
        let (sentence, status) = match self {
            Self::Usage(sentence) => (sentence, 2),
            Self::Refused(sentence) => (sentence, 1),
            Self::Unread => return ExitCode::SUCCESS,
        };
        say("error", AnsiColor::Red, &sentence);
        ExitCode::from(status)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Usage(sentence) | Self::Refused(sentence) => sentence,
            Self::Unread => "nobody reads the output",
        })
    }
}

/// Tells the person at the terminal what is not the command's output.
pub(crate) fn note(sentence: impl Display) {
    say("note", AnsiColor::Cyan, &sentence.to_string());
}

/// Tells of a danger.
pub(crate) fn warn(sentence: impl Display) {
    say("warning", AnsiColor::Yellow, &sentence.to_string());
}

fn say(word: &str, color: AnsiColor, sentence: &str) {
    let style = Style::new().fg_color(Some(color.into())).bold();
    // Where nobody listens there is nobody to tell. The colour is taken out where standard error is no terminal.
    let _ = writeln!(anstream::AutoStream::auto(stderr()), "{style}{word}:{style:#} {sentence}");
}
