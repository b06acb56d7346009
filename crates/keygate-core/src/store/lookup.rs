//! Under what an imported key is found, whose text says nothing of its id.

use std::fmt;

use super::StoreError;
use crate::key::KeyId;

/// The most tokens of one call, of either kind.
pub const MAX_LOOKUPS: usize = 1_024;

/// Under what an imported key is found: a digest under a subkey of the secret ring, so that whoever reads the store learns
/// nothing from it. `Debug` shows its first four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LookupToken([u8; 32]);

impl LookupToken {
    /// Its thirty-two bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The token of thirty-two bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for LookupToken {
    /// In hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LookupToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "LookupToken({a:02x}{b:02x}{c:02x}{d:02x})")
    }
}

/// For stores: refuses more tokens than one call may have.
///
/// # Errors
/// When there are more than [`MAX_LOOKUPS`].
pub fn check_lookups(count: usize) -> Result<(), StoreError> {
    if count > MAX_LOOKUPS {
        return Err(StoreError::unavailable(format!(
            "{count} lookups in one call, of which {MAX_LOOKUPS} are allowed"
        )));
    }
    Ok(())
}

/// For stores: the id that is kept under a token.
///
/// # Errors
/// When the bytes are no id.
pub fn read_lookup(token: &LookupToken, bytes: &[u8]) -> Result<KeyId, StoreError> {
    let id = <[u8; 16]>::try_from(bytes);
    id.map(KeyId::from_bytes).map_err(|_| StoreError::damaged(format!("lookup {token:?}"), "it is no id of a key"))
}
