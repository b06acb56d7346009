//! Where a request's credential stands, and that there is one of it.
//!
//! By default two places are read: `Authorization: Bearer <key>` (RFC 6750) and `X-API-Key: <key>`. Another header, a
//! cookie or a query parameter can be added by name. All accepted places are read on every request, and a request
//! that carries more than one credential is refused, also when they are equal: two readers of one request must never
//! be able to pick different ones (CVE-2020-25017).
//!
//! Nothing is trimmed, folded, padded or percent-decoded in a key's own text, so that each key has one spelling.
//!
//! # Example
//!
//! ```
//! use keygate_core::denial::DenialReason;
//! use keygate_http::credentials::CredentialSources;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sources = CredentialSources::default().header("X-Acme-Key")?.cookie("acme_key")?;
//!
//! let request = [("Cookie", "theme=dark; acme_key=mcp_dev_abc")];
//! assert_eq!(sources.read(&request[..], None)?.as_bytes(), b"mcp_dev_abc");
//!
//! let request = [("Authorization", "Basic YTpi")];
//! assert_eq!(sources.read(&request[..], None).unwrap_err().reason(), DenialReason::MissingKey);
//!
//! let request = [("X-Acme-Key", "mcp_dev_abc"), ("X-API-Key", "mcp_dev_abc")];
//! assert_eq!(sources.read(&request[..], None).unwrap_err().reason(), DenialReason::MultipleCredentials);
//! # Ok(())
//! # }
//! ```

mod places;
mod sources;

pub use sources::{CredentialSources, SourceError};

use std::fmt;

/// The longest credential that is looked at, in bytes. A native key has at most
/// [`MAX_KEY_LENGTH`](keygate_core::key::MAX_KEY_LENGTH); imported keys keep their old text and may be longer.
pub const MAX_CREDENTIAL_LENGTH: usize = 1024;

/// The one credential of a request: bytes that may be the text of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credential<'a>(&'a [u8]);

impl<'a> Credential<'a> {
    /// The bytes as they were sent, at most [`MAX_CREDENTIAL_LENGTH`] of them. Whoever sees them holds the key.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(redacted)")
    }
}
