//! Which texts may be those of imported keys: `KEYGATE_IMPORT_PATTERNS` and `KEYGATE_IMPORT_HMAC_KEYS`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keygate_core::import::{HmacKey, ImportPattern, ImportPolicy};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{SettingError, whole_number};

const PATTERNS: &str = "KEYGATE_IMPORT_PATTERNS";
const HMAC_KEYS: &str = "KEYGATE_IMPORT_HMAC_KEYS";
const LOOKUPS: &str = "KEYGATE_IMPORT_LOOKUPS_PER_SECOND";

pub(super) fn read(
    lookup: impl Fn(&'static str) -> Result<Option<String>, SettingError>,
) -> Result<ImportPolicy, SettingError> {
    let mut policy = ImportPolicy::default();
    // A pattern has no white space in it, as no key has.
    for declaration in lookup(PATTERNS)?.unwrap_or_default().split_ascii_whitespace() {
        let declared = ImportPattern::parse(declaration).and_then(|pattern| policy.clone().pattern(pattern));
        policy = declared.map_err(|error| SettingError::new(PATTERNS, format!("cannot be used: {error}")))?;
    }
    let refused = |problem: String| SettingError::new(HMAC_KEYS, problem);
    let keys = lookup(HMAC_KEYS)?.map(SecretString::from);
    let keys = keys.as_ref().map_or("", |keys| keys.expose_secret());
    for (number, key) in keys.split(',').filter(|_| !keys.is_empty()).enumerate() {
        // No part of it is repeated, which may be the secret.
        let number = number + 1;
        let form = || refused(format!("must be name=base64, separated by commas: key {number} is not"));
        let (name, text) = key.trim().split_once('=').ok_or_else(form)?;
        let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| form())?);
        let declared = HmacKey::new(name, &bytes).and_then(|key| policy.clone().hmac_key(key));
        policy = declared.map_err(|_| {
            refused(format!(
                "cannot be used: key {number} needs a name of its own, of 1 to 32 characters out of a-z 0-9 . _ -, and \
                 1 to 1024 bytes"
            ))
        })?;
    }
    Ok(match whole_number(LOOKUPS, lookup(LOOKUPS)?, 1..=1_000_000)? {
        Some(lookups) => policy.lookups_per_second(lookups),
        None => policy,
    })
}
