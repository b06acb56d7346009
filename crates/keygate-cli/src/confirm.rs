//! Asking before what cannot be undone, where there is somebody to ask.

use std::io::{BufRead, IsTerminal, Write, stderr, stdin};

use crate::failure::Failure;

/// Whether there is somebody to ask.
pub(crate) fn can_ask() -> bool {
    stdin().is_terminal() && stderr().is_terminal()
}

/// Asks, and takes only a yes for one.
///
/// # Errors
/// When the answer is no.
pub(crate) fn confirm(question: &str) -> Result<(), Failure> {
    let mut terminal = stderr();
    let asked = write!(terminal, "{question} [y/N] ").and_then(|()| terminal.flush());
    let mut answer = String::new();
    let answered = asked.and_then(|()| stdin().lock().read_line(&mut answer));
    match answered {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes" | "Yes" | "YES") => Ok(()),
        _ => Err(Failure::refused("nothing was changed: the answer was not yes")),
    }
}
