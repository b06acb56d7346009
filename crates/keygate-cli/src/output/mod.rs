//! What goes to standard output: one JSON document, or text for people.

pub(crate) mod audit_table;
pub(crate) mod finding_table;
pub(crate) mod key_lines;
pub(crate) mod key_table;
pub(crate) mod limit_lines;
pub(crate) mod notice_table;
pub(crate) mod organization;
pub(crate) mod project;
pub(crate) mod role;
pub(crate) mod rotation_lines;
pub(crate) mod rule_lines;
pub(crate) mod sensitive_lines;
pub(crate) mod table;
pub(crate) mod time;
pub(crate) mod usage;
pub(crate) mod user;
pub(crate) mod verdict_lines;
pub(crate) mod words;

use std::io::{self, Write, stderr, stdout};

use serde::Serialize;

use crate::failure::Failure;

/// Writes lines for people. A reader that has gone away ends the command quietly.
pub(crate) fn text(lines: &str) -> Result<(), Failure> {
    line(lines).map_err(|error| Failure::unwritten(&error))
}

/// Writes the one JSON document of a command.
pub(crate) fn json(document: &impl Serialize) -> Result<(), Failure> {
    text(&to_json(document)?)
}

/// Writes the one JSON document of a command, for what must not be lost.
pub(crate) fn document(document: &impl Serialize) -> io::Result<()> {
    line(&serde_json::to_string(document)?)
}

/// A document as text.
pub(crate) fn to_json(document: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(document).map_err(|error| Failure::refused(format!("the answer cannot be written: {error}")))
}

/// Writes a part of what is to come.
pub(crate) fn raw(text: &str) -> Result<(), Failure> {
    stdout().lock().write_all(text.as_bytes()).map_err(|error| Failure::unwritten(&error))
}

/// Writes lines for people beside the output, to standard error.
pub(crate) fn aside(lines: &str) {
    // Where nobody listens there is nobody to tell.
    let _ = writeln!(stderr().lock(), "{lines}");
}

fn line(line: &str) -> io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
