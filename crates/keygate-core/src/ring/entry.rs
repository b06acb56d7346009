//! One master secret's subkeys, kept as ready hash states.

use std::fmt;
use std::str::FromStr;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::source::MasterSecret;
use crate::key::TAG_BYTES;

type HmacSha256 = Hmac<Sha256>;

/// The public name of a ring entry: four bytes derived from its secret, written as eight hexadecimal digits. Records
/// carry it, so that a record says which secret it needs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryId([u8; 4]);

impl EntryId {
    /// Its four bytes.
    #[must_use]
    pub fn as_bytes(self) -> [u8; 4] {
        self.0
    }

    /// The entry id of four bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not eight hexadecimal digits in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a ring entry id is eight hexadecimal digits in lower case")]
pub struct EntryIdError;

impl FromStr for EntryId {
    type Err = EntryIdError;
    fn from_str(text: &str) -> Result<Self, EntryIdError> {
        if text.len() != 8 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(EntryIdError);
        }
        u32::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| EntryIdError)
    }
}

impl TryFrom<String> for EntryId {
    type Error = EntryIdError;
    fn try_from(text: String) -> Result<Self, EntryIdError> {
        text.parse()
    }
}

impl From<EntryId> for String {
    fn from(id: EntryId) -> String {
        id.to_string()
    }
}

/// The subkeys of one master secret.
#[derive(Clone)]
pub(crate) struct RingEntry {
    id: EntryId,
    tag: HmacSha256,
    digest: HmacSha256,
    imported: HmacSha256,
    lookup: HmacSha256,
    request: HmacSha256,
    audit: HmacSha256,
    encryption: Zeroizing<[u8; 32]>,
}

impl RingEntry {
    /// Derives the subkeys. Labels are fixed for ever: other labels would be other keys.
    pub(crate) fn derive(secret: &MasterSecret) -> Self {
        let hkdf = Hkdf::<Sha256>::new(Some(b"keygate/v1"), secret.expose());
        let mut id = [0; 4];
        expand(&hkdf, b"entry id", &mut id);
        let mut encryption = Zeroizing::new([0; 32]);
        expand(&hkdf, b"encryption", &mut *encryption);
        Self {
            id: EntryId(id),
            tag: keyed(&hkdf, b"tag"),
            digest: keyed(&hkdf, b"digest"),
            imported: keyed(&hkdf, b"imported digest"),
            lookup: keyed(&hkdf, b"import lookup"),
            request: keyed(&hkdf, b"request fingerprint"),
            audit: keyed(&hkdf, b"audit"),
            encryption,
        }
    }

    pub(crate) fn id(&self) -> EntryId {
        self.id
    }

    /// The tag of a key's text before the tag: HMAC-SHA-256, its first eight bytes.
    pub(crate) fn tag(&self, tagged: &[u8]) -> [u8; TAG_BYTES] {
        let whole = mac(&self.tag, &[tagged]);
        std::array::from_fn(|i| whole[i])
    }

    /// What things are encrypted under.
    pub(super) fn encryption_key(&self) -> &[u8; 32] {
        &self.encryption
    }

    /// The keyed digest of a key's whole text, its tag included, so that one text and no other has it.
    pub(crate) fn digest(&self, text: &[u8]) -> [u8; 32] {
        mac(&self.digest, &[text])
    }

    /// What is kept of a digest that was made elsewhere, by a scheme of this label.
    pub(crate) fn imported(&self, label: u8, digest: &[u8]) -> [u8; 32] {
        mac(&self.imported, &[&[label], digest])
    }

    /// Under what the key is found of which this is known, of the kind of this label.
    pub(crate) fn lookup(&self, label: u8, known: &[u8]) -> [u8; 32] {
        mac(&self.lookup, &[&[label], known])
    }

    /// By what a request is known again that has secrets in it.
    pub(crate) fn request(&self, digest: &[u8; 32]) -> [u8; 32] {
        mac(&self.request, &[digest])
    }

    /// What entries and seals of the audit are sealed with. The parts must be framed by the caller.
    pub(crate) fn audit(&self, parts: &[&[u8]]) -> [u8; 32] {
        mac(&self.audit, parts)
    }
}

impl fmt::Debug for RingEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RingEntry({})", self.id)
    }
}

fn keyed(hkdf: &Hkdf<Sha256>, label: &[u8]) -> HmacSha256 {
    // A block of SHA-256, which HMAC takes as its key unhashed and unpadded.
    let mut key = Zeroizing::new([0; 64]);
    expand(hkdf, label, &mut *key);
    HmacSha256::new(&(*key).into())
}

fn expand(hkdf: &Hkdf<Sha256>, label: &[u8], into: &mut [u8]) {
    // Only a request for more than 255 hash lengths can fail.
    let expanded = hkdf.expand(label, into);
    debug_assert!(expanded.is_ok());
}

fn mac(state: &HmacSha256, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = state.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
