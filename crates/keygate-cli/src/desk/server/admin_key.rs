//! The key that a server is called with. It is no flag, which other users of the machine could see.

use std::fs::File;

use keygate::key::KeyText;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::secret_line;

const KEY: &str = "KEYGATE_ADMIN_KEY";
const FILE: &str = "KEYGATE_ADMIN_KEY_FILE";

/// Reads the key from its variable, or from the file that the other names. No complaint repeats it.
pub(super) fn read() -> Result<KeyText, Failure> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    match (variable(KEY), variable(FILE)) {
        (Some(_), Some(_)) => Err(Failure::refused(format!("{KEY} is set together with {FILE}; set one of them"))),
        (Some(key), None) => parse(KEY, &Zeroizing::new(key.into_encoded_bytes())),
        (None, Some(path)) => {
            let text = File::open(&path).and_then(secret_line::read);
            let name = format!("{FILE} {}", path.display());
            parse(&name, &text.map_err(|error| Failure::refused(format!("{name}: {error}")))?)
        }
        (None, None) => Err(Failure::refused(format!(
            "{KEY} is not set: it holds the key that the server is called with, or {FILE} names a file that does"
        ))),
    }
}

fn parse(name: &str, text: &[u8]) -> Result<KeyText, Failure> {
    let key = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    key.ok_or_else(|| {
        Failure::refused(format!("{name} is not the text of a key: it must be exactly as the key was shown"))
    })
}
