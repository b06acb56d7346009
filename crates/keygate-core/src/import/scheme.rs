//! How the digests of imported keys were made, before they were imported.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

use super::pattern::check_name;
use crate::names::NameError;

/// The fewest PBKDF2 iterations of an imported digest (RFC 8018, section 4.2). What is kept of a digest is under a key of
/// the secret ring besides, so that few iterations are not what protects it.
pub const MIN_IMPORTED_ITERATIONS: u32 = 1_000;
/// The most: about a second of one core. Whoever knows a key's lookup part makes an instance compute them.
pub const MAX_IMPORTED_ITERATIONS: u32 = 2_000_000;
/// The longest salt of an imported digest, in bytes.
pub const MAX_SALT: usize = 128;
/// The bytes of a PBKDF2 output that can be imported.
pub(super) const PBKDF2_OUTPUT: std::ops::RangeInclusive<usize> = 16..=64;
/// The longest key for HMAC, in bytes.
const MAX_HMAC_KEY: usize = 1_024;

/// The scheme of an imported digest. `Debug` shows no salt.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportedScheme {
    /// SHA-256 of the text.
    Sha256,
    /// SHA-512 of the text.
    Sha512,
    /// HMAC-SHA-256 of the text, under a key that is configured.
    HmacSha256 {
        /// The key's [name](HmacKey::name).
        key: Arc<str>,
    },
    /// PBKDF2-HMAC-SHA-256 of the text.
    Pbkdf2Sha256 {
        /// The salt, at most [`MAX_SALT`] bytes.
        salt: Arc<[u8]>,
        /// Iterations, from [`MIN_IMPORTED_ITERATIONS`] to [`MAX_IMPORTED_ITERATIONS`].
        iterations: u32,
        /// The bytes of its output, 16 to 64.
        length: u8,
    },
}

impl ImportedScheme {
    /// The stable word for it, as in a line of an import.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::HmacSha256 { .. } => "hmac-sha256",
            Self::Pbkdf2Sha256 { .. } => "pbkdf2-sha256",
        }
    }

    /// What stands before a digest where it is hashed again, so that no digest of one scheme is one of another.
    pub(crate) fn label(&self) -> u8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
            Self::HmacSha256 { .. } => 3,
            Self::Pbkdf2Sha256 { .. } => 4,
        }
    }

    /// Whether a digest takes long to make.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self, Self::Pbkdf2Sha256 { .. })
    }

    /// How many bytes its digests have.
    pub(crate) fn digest_length(&self) -> usize {
        match self {
            Self::Sha256 | Self::HmacSha256 { .. } => 32,
            Self::Sha512 => 64,
            Self::Pbkdf2Sha256 { length, .. } => usize::from(*length),
        }
    }

    /// Whether its parameters are in range.
    pub(crate) fn is_in_range(&self) -> bool {
        match self {
            Self::Sha256 | Self::Sha512 => true,
            Self::HmacSha256 { key } => check_name("", key).is_ok(),
            Self::Pbkdf2Sha256 { salt, iterations, length } => {
                salt.len() <= MAX_SALT
                    && (MIN_IMPORTED_ITERATIONS..=MAX_IMPORTED_ITERATIONS).contains(iterations)
                    && PBKDF2_OUTPUT.contains(&usize::from(*length))
            }
        }
    }

    /// The digest of a text by this scheme; `None` where the key for it is not configured. PBKDF2 blocks the thread for as
    /// long as its iterations take.
    pub(crate) fn digest(&self, text: &[u8], keys: &[HmacKey]) -> Option<Zeroizing<Vec<u8>>> {
        let digest = match self {
            Self::Sha256 => Sha256::digest(text).to_vec(),
            Self::Sha512 => Sha512::digest(text).to_vec(),
            Self::HmacSha256 { key } => keys.iter().find(|known| known.name == *key)?.digest(text).to_vec(),
            Self::Pbkdf2Sha256 { salt, iterations, length } => {
                let mut output = vec![0; usize::from(*length)];
                pbkdf2::pbkdf2_hmac::<Sha256>(text, salt, *iterations, &mut output);
                output
            }
        };
        Some(Zeroizing::new(digest))
    }
}

impl fmt::Debug for ImportedScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HmacSha256 { key } => write!(f, "{}({key})", self.as_str()),
            Self::Pbkdf2Sha256 { iterations, .. } => write!(f, "{}({iterations})", self.as_str()),
            _ => f.write_str(self.as_str()),
        }
    }
}

/// A key under which keys of another system were digested, to check them by until they are digested anew. It is a secret of
/// the configuration and is kept nowhere: a text has to be digested under it before there is a record to read it from.
/// `Debug` shows the name alone.
#[derive(Clone)]
pub struct HmacKey {
    name: Arc<str>,
    state: Hmac<Sha256>,
}

impl HmacKey {
    /// A key of this name, by which lines of an import and records refer to it.
    ///
    /// # Errors
    /// When the name is not 1 to 32 characters out of `a-z 0-9 . _ -`, or the key is empty or longer than 1,024 bytes.
    pub fn new(name: &str, key: &[u8]) -> Result<Self, NameError> {
        check_name("import HMAC key name", name)?;
        if key.is_empty() || key.len() > MAX_HMAC_KEY {
            return Err(NameError::new("import HMAC key", format!("{name}: must be 1 to {MAX_HMAC_KEY} bytes")));
        }
        let state = Hmac::new_from_slice(key);
        let state = state.map_err(|_| NameError::new("import HMAC key", format!("{name}: cannot be used")))?;
        Ok(Self { name: name.into(), state })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    fn digest(&self, text: &[u8]) -> [u8; 32] {
        let mut mac = self.state.clone();
        mac.update(text);
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HmacKey({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    fn hex(scheme: &ImportedScheme, text: &[u8]) -> Option<String> {
        let key = HmacKey::new("k", b"key").unwrap();
        scheme.digest(text, &[key]).map(|digest| HEXLOWER.encode(&digest))
    }

    /// FIPS 180-2, RFC 7914 section 11, and the well-known value of HMAC.
    #[test]
    fn digests_are_those_of_published_vectors() {
        assert_eq!(
            hex(&ImportedScheme::Sha256, b"abc").unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(hex(&ImportedScheme::Sha512, b"abc").unwrap().starts_with("ddaf35a193617abacc417349ae204131"));
        assert_eq!(
            hex(&ImportedScheme::HmacSha256 { key: "k".into() }, b"The quick brown fox jumps over the lazy dog")
                .unwrap(),
            "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
        );
        assert_eq!(hex(&ImportedScheme::HmacSha256 { key: "other".into() }, b"abc"), None);
        let pbkdf2 = ImportedScheme::Pbkdf2Sha256 { salt: b"NaCl"[..].into(), iterations: 80_000, length: 64 };
        assert_eq!(
            hex(&pbkdf2, b"Password").unwrap(),
            "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56\
             a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d"
        );
    }

    #[test]
    fn a_key_is_named_and_not_empty_and_never_shown() {
        for (name, key) in [("", &b"key"[..]), ("a b", b"key"), ("a", b""), ("a", &[0; MAX_HMAC_KEY + 1])] {
            assert!(HmacKey::new(name, key).is_err(), "{name}");
        }
        let key = HmacKey::new("old", b"very secret key").unwrap();
        assert_eq!(format!("{key:?}"), "HmacKey(old)");
    }
}
