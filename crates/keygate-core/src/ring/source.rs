//! Where a master secret comes from: bytes, base64, a file, a closure (a key service), or a passphrase.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// PBKDF2-HMAC-SHA-256 iterations for a passphrase: OWASP's figure of 2023 for that function.
pub const PASSPHRASE_ITERATIONS: u32 = 600_000;
/// The shortest passphrase, in characters (NIST SP 800-63B-4 asks for 15 of a sole factor).
const MIN_PASSPHRASE: usize = 15;
/// The most bytes of a secret file.
const MAX_FILE: usize = 4096;

/// Why a master secret cannot be had. It never shows any of the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Not base64, or not of 32 bytes.
    #[error("a master secret is base64 of exactly 32 bytes; make one with: openssl rand -base64 32")]
    Form,
    /// All bytes of it are the same.
    #[error("the master secret is one repeated byte; make one with: openssl rand -base64 32")]
    Trivial,
    /// The passphrase is short.
    #[error("a passphrase needs at least {MIN_PASSPHRASE} characters")]
    ShortPassphrase,
    /// The file cannot be read.
    #[error("the secret file {path} cannot be read: {source}")]
    File {
        /// Its path.
        path: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The caller's own source failed.
    #[error("the source of the master secret failed: {0}")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// 32 secret bytes, wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterSecret([u8; 32]);

impl MasterSecret {
    /// Makes one from the operating system's generator.
    ///
    /// # Errors
    /// When the generator fails.
    pub fn generate() -> Result<Self, SecretError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Takes 32 bytes, which must come from a cryptographic generator.
    ///
    /// # Errors
    /// When all bytes are the same, as in a variable that was never filled.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, SecretError> {
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(SecretError::Trivial);
        }
        Ok(Self(bytes))
    }

    /// Reads standard base64 of 32 bytes. White space around it is ignored, as files end in a line break.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn from_base64(text: &SecretString) -> Result<Self, SecretError> {
        let decoded = STANDARD.decode(text.expose_secret().trim()).map_err(|_| SecretError::Form)?;
        let decoded = Zeroizing::new(decoded);
        let bytes = decoded.as_slice().try_into().map_err(|_| SecretError::Form)?;
        Self::from_bytes(bytes)
    }

    /// Reads a file that holds what [`from_base64`](Self::from_base64) takes.
    ///
    /// # Errors
    /// When the file cannot be read, is larger than a secret file can be, or holds something else.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        use std::io::Read;
        let failed = |source| SecretError::File { path: path.display().to_string(), source };
        // At full capacity at once, so that growing leaves no copy behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_FILE + 1));
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MAX_FILE as u64 + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() > MAX_FILE {
            return Err(SecretError::Form);
        }
        Self::from_base64(&SecretString::from(text.as_str()))
    }

    /// Asks the caller's closure, for example a key service.
    ///
    /// # Errors
    /// What the closure fails with, or that its bytes are not a secret.
    pub fn from_source<E>(source: impl FnOnce() -> Result<[u8; 32], E>) -> Result<Self, SecretError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self::from_bytes(source().map_err(|error| SecretError::Source(error.into()))?)
    }

    /// Stretches a passphrase by PBKDF2-HMAC-SHA-256 with [`PASSPHRASE_ITERATIONS`] and the deployment's own
    /// salt. It takes a good part of a second; call it at start, off the async threads.
    ///
    /// # Errors
    /// When the passphrase is shorter than 15 characters.
    pub fn from_passphrase(passphrase: &SecretString, salt: &[u8; 16]) -> Result<Self, SecretError> {
        let passphrase = passphrase.expose_secret();
        if passphrase.chars().count() < MIN_PASSPHRASE {
            return Err(SecretError::ShortPassphrase);
        }
        let mut bytes = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(passphrase.as_bytes(), salt, PASSPHRASE_ITERATIONS, &mut bytes);
        Ok(Self(bytes))
    }

    /// The secret as base64, to be put in a file. Whoever sees it can mint keys.
    #[must_use]
    pub fn to_base64(&self) -> SecretString {
        SecretString::from(STANDARD.encode(self.0))
    }

    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for MasterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterSecret(redacted)")
    }
}
