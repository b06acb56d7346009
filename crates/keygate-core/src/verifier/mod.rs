//! What a record keeps to know its key by: a stored verifier, tagged with its scheme so that it can change.
//!
//! A native key carries 256 random bits, so a fast keyed hash is the right one (NIST SP 800-63B-4 asks for slow
//! salted hashing only below 112 bits). `pbkdf2-sha256` is there for those whose rules ask for it: it runs over the
//! keyed digest, with a salt of its own for each key, off the async threads and once per key and process. A key that was
//! [imported](crate::import) is known by its old digest, under a key of the ring, until it is used for the first time.

mod slow;

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::import::ImportedScheme;

pub(crate) use slow::{Overloaded, SlowVerifiers};

/// The fewest PBKDF2 iterations a record may ask for.
pub const MIN_PBKDF2_ITERATIONS: u32 = 100_000;
/// The most PBKDF2 iterations a record may ask for: some seconds of one core.
pub const MAX_PBKDF2_ITERATIONS: u32 = 10_000_000;
/// The iterations used where nobody says otherwise (OWASP 2023).
pub const DEFAULT_PBKDF2_ITERATIONS: u32 = 600_000;

/// How a new key's verifier is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "scheme")]
#[non_exhaustive]
pub enum Scheme {
    /// The keyed digest itself. The default.
    HmacSha256,
    /// PBKDF2-HMAC-SHA-256 over the keyed digest, with a unique salt.
    Pbkdf2Sha256 {
        /// Iterations, from [`MIN_PBKDF2_ITERATIONS`] to [`MAX_PBKDF2_ITERATIONS`].
        iterations: u32,
    },
}

impl Scheme {
    /// PBKDF2 with [`DEFAULT_PBKDF2_ITERATIONS`].
    pub const PBKDF2: Self = Self::Pbkdf2Sha256 { iterations: DEFAULT_PBKDF2_ITERATIONS };

    /// Whether the iteration count, if there is one, is in range.
    #[must_use]
    pub fn is_in_range(self) -> bool {
        match self {
            Self::HmacSha256 => true,
            Self::Pbkdf2Sha256 { iterations } => (MIN_PBKDF2_ITERATIONS..=MAX_PBKDF2_ITERATIONS).contains(&iterations),
        }
    }
}

/// The stored verifier of one key. `Debug` shows the scheme alone.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verifier {
    /// The keyed digest of the key's text.
    HmacSha256 {
        /// HMAC-SHA-256 under the digest subkey.
        digest: [u8; 32],
    },
    /// PBKDF2-HMAC-SHA-256 over the keyed digest.
    Pbkdf2Sha256 {
        /// Unique to this record.
        salt: [u8; 16],
        /// Never below [`MIN_PBKDF2_ITERATIONS`].
        iterations: u32,
        /// What comes out.
        output: [u8; 32],
    },
    /// The digest of a key that was made elsewhere and has not been used here yet, digested once more.
    Imported {
        /// How it was made there.
        scheme: ImportedScheme,
        /// HMAC-SHA-256 of it, under the subkey for imported digests.
        digest: [u8; 32],
    },
}

impl Verifier {
    /// Makes a verifier from a key's keyed digest. PBKDF2 blocks the thread for as long as its iterations take.
    pub(crate) fn make(scheme: Scheme, digest: [u8; 32]) -> Result<Self, getrandom::Error> {
        Ok(match scheme {
            Scheme::HmacSha256 => Self::HmacSha256 { digest },
            Scheme::Pbkdf2Sha256 { iterations } => {
                let mut salt = [0; 16];
                getrandom::fill(&mut salt)?;
                Self::Pbkdf2Sha256 { salt, iterations, output: stretch(&digest, &salt, iterations) }
            }
        })
    }

    /// The scheme it was made by: `None` where that was done elsewhere, before the key was imported.
    #[must_use]
    pub fn scheme(&self) -> Option<Scheme> {
        match self {
            Self::HmacSha256 { .. } => Some(Scheme::HmacSha256),
            Self::Pbkdf2Sha256 { iterations, .. } => Some(Scheme::Pbkdf2Sha256 { iterations: *iterations }),
            Self::Imported { .. } => None,
        }
    }

    /// Whether it was made elsewhere, and the key has not been used since it was imported.
    #[must_use]
    pub fn is_imported(&self) -> bool {
        matches!(self, Self::Imported { .. })
    }

    /// Whether the key with this digest is the one, in constant time. Slow for a slow scheme. Of an imported key it is the
    /// digest of its old digest that is compared.
    pub(crate) fn matches(&self, presented: &[u8; 32]) -> bool {
        match self {
            Self::HmacSha256 { digest } | Self::Imported { digest, .. } => digest.ct_eq(presented).into(),
            Self::Pbkdf2Sha256 { salt, iterations, output } => {
                stretch(presented, salt, *iterations).ct_eq(output).into()
            }
        }
    }
}

fn stretch(digest: &[u8; 32], salt: &[u8; 16], iterations: u32) -> [u8; 32] {
    let mut output = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(digest, salt, iterations, &mut output);
    output
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.scheme()) {
            (Self::Imported { scheme, .. }, _) => write!(f, "Verifier(imported {scheme:?})"),
            (_, Some(scheme)) => write!(f, "Verifier({scheme:?})"),
            (_, None) => f.write_str("Verifier"),
        }
    }
}
