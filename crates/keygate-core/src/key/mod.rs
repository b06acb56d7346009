//! The text of a key: `<prefix>_<environment>_<id><secret><tag>`.
//!
//! The last part is 76 base62 characters: a 16-byte id (22), a 32-byte secret (43) and an 8-byte tag (11), each of
//! fixed width. The tag is a keyed hash of everything before it, so that a text this deployment did not mint is
//! known for a forgery without asking the store. Exactly one text is accepted for a key: nothing is trimmed,
//! folded or padded, and a part that overflows its width is refused.

mod base62;
mod id;
mod text;

pub use id::{BUCKETS, Bucket, KeyId, KeyIdError};
pub(crate) use text::TAG_BYTES;
pub use text::{KeyText, MAX_KEY_LENGTH, MIN_KEY_LENGTH, Malformed, PresentedKey, pattern};
