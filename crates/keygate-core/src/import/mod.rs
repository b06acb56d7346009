//! Keys that were made elsewhere, and keep their text.
//!
//! Whoever moves to keygate has customers with keys. An [import](crate::manager::ApiKeyManager::import) takes those keys in,
//! from their texts or from what another system kept of them, and they are then keys like any other: the same checks,
//! limits, figures and revocation. Only how they are found differs, as their texts carry no id and no tag.
//!
//! # Which texts
//!
//! A deployment declares the forms that its imported keys have ([`ImportPattern`]). A text of the native form never takes
//! this path, and neither does one of no declared form, of fewer than [`MIN_IMPORTED_LENGTH`] or of more than
//! [`MAX_IMPORTED_LENGTH`] bytes: those are refused in memory, as before.
//!
//! # What is kept
//!
//! | given | algorithm | found by |
//! |---|---|---|
//! | the text | | its SHA-256 |
//! | a digest | `sha256`, `sha512` | the digest |
//! | a digest | `hmac-sha256`, under a key that is configured ([`HmacKey`]) | the digest |
//! | a digest | `pbkdf2-sha256`, with its salt and iterations | a part of the text, which a pattern names |
//!
//! None of it is kept as it was given. A digest that was made elsewhere is hashed again under a subkey of the secret ring
//! before it is stored, and what a key is found by is such a hash too ([`LookupToken`](crate::store::LookupToken)). So from
//! the moment of the import a stolen store lets nobody guess texts, however weak they are or were digested.
//!
//! With its first use the text is there, and the key is digested like a native key of its security tier, under the current
//! entry of the secret ring. With each further use under another entry both its digest and what it is found by move to
//! that. Until then it needs the entry it was imported under, which is counted with all others
//! ([`ring_usage`](crate::manager::ApiKeyManager::ring_usage)), and to drop it is refused.
//!
//! # How a text is checked
//!
//! 1. The length, the characters, the form of native keys, and the declared patterns: all in memory.
//! 2. Texts that were found to be keys before are remembered, as hashes under a key random to this process, with the id of
//!    the key; a key that is kept in memory is decided at once then, like a native one.
//! 3. Otherwise it is looked up: a bounded number at once and in a second
//!    ([`lookups_per_second`](ImportPolicy::lookups_per_second)), beyond which the answer is that the store is not available
//!    (503). What is not found is an invalid key, and leaves nothing behind in memory.
//!    An instance that does not know every ring entry of the deployment, or whose store was emptied, cannot say that and
//!    answers 503.
//! 4. The digest is compared, in constant time. PBKDF2 runs off the async threads, and a bounded number at once.
//!
//! Whoever knows the lookup part of a salted key makes an instance run PBKDF2 with each wrong text, until the key is used
//! for the first time. Choose a part that is not printed in documentation.
//!
//! # In which order it is written
//!
//! First what the key is found by is taken, with the key's id, and then its record is created under that id. Who comes
//! second, in the same import or another, learns the id of the first. An import that was cut off in between leaves a
//! lookup without a record: no key is found by it, and the next import of the same line completes it. So an import is
//! resumed by running it again. A line that is refused for a quota leaves such a lookup as well: to free it could take it
//! from another import, which has learnt of it and makes the key now. A key that is deleted gives up what it was found by
//! first, and takes it again where it is not deleted after all.
//!
//! Two texts may have the same lookup part, and a key is found by it alone. So of two such lines one is made, and the other is
//! refused (`lookup_part_taken`), unless scheme and digest are the same, which is one key that comes twice. With its first use
//! the old digest is gone; a line is then that of the key if it has the same user.
//!
//! A key that was digested by HMAC is found by the digest of the text under the [`HmacKey`], so without that it is not found,
//! and nothing can say why: there is nothing to compare the text with. An HMAC key is needed until each key that was imported
//! under it was used once.
//!
//! # What is not
//!
//! Keys of the organization `system` are not imported: they manage every other key, and are made here. An imported key that
//! is rotated has a native successor.

mod finder;
mod line;
mod pattern;
mod policy;
mod scheme;

pub(crate) use finder::{Finder, token_of_digest, token_of_part, token_of_same_kind};
pub use line::MAX_LINE;
pub(crate) use line::{ImportedKey, ImportedSecret};
pub use pattern::{ImportPattern, MAX_PATTERN_LENGTH, MAX_PATTERNS};
pub use policy::{DEFAULT_LOOKUPS_PER_SECOND, ImportPolicy, MAX_HMAC_KEYS};
pub use scheme::{HmacKey, ImportedScheme, MAX_IMPORTED_ITERATIONS, MAX_SALT, MIN_IMPORTED_ITERATIONS};

/// The shortest text of an imported key, in bytes: what is shorter is guessed.
pub const MIN_IMPORTED_LENGTH: usize = 16;
/// The longest text of an imported key, in bytes.
pub const MAX_IMPORTED_LENGTH: usize = 512;
/// The shortest part of a text that a salted key is found by, in bytes.
pub const MIN_LOOKUP_PART: usize = 4;
/// The longest.
pub const MAX_LOOKUP_PART: usize = 64;

/// Of the form of a native key, or of one that was made elsewhere.
pub(crate) fn is_native(text: &[u8]) -> bool {
    crate::key::PresentedKey::parse(text).is_ok()
}
