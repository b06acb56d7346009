//! Keys that were pasted where none belongs, and must not be shown again by the complaint about it.

use std::ffi::OsStr;

/// A key's own random part is longer: what is as long as this is no word.
const SECRET_LENGTH: usize = 40;

/// Whether a text holds the text of a key, whole or in part, whatever stands around it.
pub(crate) fn holds_key(text: &OsStr) -> bool {
    keys_in(&text.to_string_lossy()).next().is_some()
}

/// Whether a message repeats a key that is among the arguments.
pub(crate) fn repeats_key(message: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> bool {
    // Lines may have been broken within it.
    let message: String = message.split_whitespace().collect();
    arguments.into_iter().any(|argument| keys_in(&argument.as_ref().to_string_lossy()).any(|key| message.contains(key)))
}

/// What looks like `<prefix>_<environment>_<letters and digits>`. It need not be a sound key: one that was cut off in
/// pasting tells most of the secret all the same.
fn keys_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| {
        let mut parts = word.rsplitn(3, '_');
        let secret = parts.next().unwrap_or_default();
        secret.len() >= SECRET_LENGTH && parts.filter(|part| !part.is_empty()).count() == 2
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_seen_whatever_stands_around_it() {
        let key = format!("mcp_dev_{}", "0aZ".repeat(26).split_at(76).0);
        let cut_off = &key[..60];
        for text in [&key, cut_off, &format!("--key={key}"), &format!("Bearer {key}\n"), &format!("'{key}'")] {
            assert!(holds_key(OsStr::new(text)), "{text}");
        }
        for text in ["", "mcp_dev_", "a_b_c", &"x".repeat(200), "reports_daily_read", &key[8..]] {
            assert!(!holds_key(OsStr::new(text)), "{text}");
        }
    }

    #[test]
    fn a_message_that_leaves_the_key_out_may_be_shown() {
        let key = format!("mcp_dev_{}", "1".repeat(76));
        let arguments = ["keys", &key, "--scop"];
        assert!(repeats_key(&format!("unrecognized subcommand '{key}'"), arguments));
        assert!(repeats_key(&format!("unrecognized {}\n  {}", &key[..50], &key[50..]), arguments));
        assert!(!repeats_key("unexpected argument '--scop'", arguments));
    }
}
