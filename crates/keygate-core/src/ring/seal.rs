//! What is kept encrypted: with XChaCha20-Poly1305, under a subkey of a ring entry, and bound to what it belongs to.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::SecretRing;
use super::entry::{EntryId, RingEntry};

/// A nonce may be random, since two of 192 bits are never the same.
const NONCE_BYTES: usize = 24;

/// Bytes that are encrypted under a ring entry. `Debug` shows the entry alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    entry: EntryId,
    /// The nonce, and what was made with it.
    bytes: Box<[u8]>,
}

impl Sealed {
    /// The ring entry that opens it.
    #[must_use]
    pub fn entry(&self) -> EntryId {
        self.entry
    }

    /// Its bytes, to be kept.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// One that was kept.
    #[must_use]
    pub fn from_parts(entry: EntryId, bytes: Vec<u8>) -> Self {
        Self { entry, bytes: bytes.into() }
    }
}

/// As it is kept in JSON: the entry, and base64.
#[derive(Serialize, Deserialize)]
struct Written {
    entry: EntryId,
    bytes: String,
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written { entry: self.entry, bytes: STANDARD.encode(&self.bytes) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { entry, bytes } = Written::deserialize(deserializer)?;
        let bytes = STANDARD.decode(bytes).map_err(D::Error::custom)?;
        Ok(Self::from_parts(entry, bytes))
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({})", self.entry)
    }
}

/// Why something cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// It was sealed under an entry that this ring does not have.
    #[error("it is sealed under ring entry {0}, which is not configured")]
    UnknownEntry(EntryId),
    /// It was not sealed by this deployment for this purpose, or it was changed since.
    #[error("what is sealed is damaged, or belongs to something else")]
    Damaged,
}

impl SecretRing {
    /// Seals `secret` under the current entry. Only who names the same `purpose` opens it.
    pub(crate) fn seal(&self, purpose: &[u8], secret: &[u8]) -> Result<Sealed, SealError> {
        let entry = self.current();
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let payload = Payload { msg: secret, aad: purpose };
        // It fails above 256 GiB alone.
        let sealed = cipher(entry).encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Damaged)?;
        Ok(Sealed { entry: entry.id(), bytes: [&nonce[..], &sealed].concat().into() })
    }

    /// Opens what was sealed for this purpose.
    pub(crate) fn open(&self, purpose: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let entry = self.entry(sealed.entry).ok_or(SealError::UnknownEntry(sealed.entry))?;
        let (nonce, bytes) = sealed.bytes.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Damaged)?;
        let payload = Payload { msg: bytes, aad: purpose };
        let opened = cipher(entry).decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::Damaged)?;
        Ok(Zeroizing::new(opened))
    }
}

fn cipher(entry: &RingEntry) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(entry.encryption_key().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::MasterSecret;

    #[test]
    fn what_is_sealed_opens_under_its_entry_and_for_its_purpose_alone() {
        let (old, new) = (MasterSecret::generate().unwrap(), MasterSecret::generate().unwrap());
        let before = SecretRing::new(&old);
        let sealed = before.seal(b"a", b"secret").unwrap();
        assert_eq!(sealed.entry(), before.current_id());
        let after = SecretRing::with_retired(&new, &[old]).unwrap();
        assert_eq!(&**after.open(b"a", &sealed).unwrap(), b"secret");
        assert_eq!(after.open(b"b", &sealed), Err(SealError::Damaged));
        assert_eq!(SecretRing::new(&new).open(b"a", &sealed), Err(SealError::UnknownEntry(sealed.entry())));
        for place in 0..sealed.as_bytes().len() {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[place] ^= 1;
            let damaged = Sealed::from_parts(sealed.entry(), bytes);
            assert_eq!(after.open(b"a", &damaged), Err(SealError::Damaged));
        }
        assert_eq!(after.open(b"a", &Sealed::from_parts(sealed.entry(), vec![0; 23])), Err(SealError::Damaged));
        // The same text twice is two, and neither shows it.
        assert_ne!(before.seal(b"a", b"secret").unwrap(), sealed);
        assert!(!sealed.as_bytes().windows(6).any(|part| part == b"secret"));
        assert_eq!(format!("{sealed:?}"), format!("Sealed({})", sealed.entry()));
    }
}
