//! A key's text that stands on a line of its own.

use std::io::Read;

use keygate::key::MAX_KEY_LENGTH;
use zeroize::Zeroizing;

/// Room for the longest key, its line break, and enough to see that there is more.
const ROOM: usize = MAX_KEY_LENGTH + 16;

/// Reads a text without the one line break at its end. Nothing else is taken off: a key has one spelling.
pub(crate) fn read(source: impl Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(ROOM));
    source.take(ROOM as u64).read_to_end(&mut text)?;
    if text.ends_with(b"\n") {
        text.pop();
        if text.ends_with(b"\r") {
            text.pop();
        }
    }
    Ok(text)
}
