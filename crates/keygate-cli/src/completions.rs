//! `keygate completions`: what a shell needs to complete this command.

use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Failure;
use crate::output;

/// Writes the script for a shell.
pub(crate) fn write(shell: Shell, json: bool) -> Result<(), Failure> {
    // Into memory first: the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::shown(), "keygate", &mut script);
    let script = String::from_utf8_lossy(&script);
    if json {
        return output::json(&serde_json::json!({ "shell": shell.to_string(), "script": script }));
    }
    output::raw(&script)
}
