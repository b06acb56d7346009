//! The text of a key to be checked, from wherever it is presented.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{IsTerminal, stdin};

use console::Term;
use zeroize::Zeroizing;

use crate::args::VerifyArgs;
use crate::failure::{Failure, warn};
use crate::pasted::holds_key;
use crate::secret_line;

/// Reads the key: from the argument, the file, a prompt that does not show it, or standard input.
pub(crate) fn read(args: &VerifyArgs) -> Result<Zeroizing<Vec<u8>>, Failure> {
    match (&args.key, &args.key_file) {
        (Some(key), _) if key != OsStr::new("-") => {
            warn("a key given as an argument can be seen by other users of this machine; standard input hides it");
            Ok(Zeroizing::new(key.as_encoded_bytes().to_vec()))
        }
        (_, Some(path)) => {
            if holds_key(path.as_os_str()) {
                return Err(Failure::usage("--key-file takes the name of a file that holds the key, not the key"));
            }
            let read = File::open(path).and_then(secret_line::read);
            present(read.map_err(|error| Failure::refused(format!("--key-file {}: {error}", path.display())))?)
        }
        _ if stdin().is_terminal() => prompt().and_then(present),
        _ => {
            let read = secret_line::read(stdin().lock());
            present(read.map_err(|error| Failure::refused(format!("standard input: {error}")))?)
        }
    }
}

fn prompt() -> Result<Zeroizing<Vec<u8>>, Failure> {
    let terminal = Term::stderr();
    let asked = terminal.write_str("Key (not shown): ").and_then(|()| terminal.read_secure_line());
    asked
        .map(|text| Zeroizing::new(text.into_bytes()))
        .map_err(|error| Failure::refused(format!("the key cannot be read from the terminal: {error}")))
}

fn present(text: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if text.is_empty() {
        return Err(Failure::refused("no key was given: write it to standard input, or name a --key-file"));
    }
    Ok(text)
}
