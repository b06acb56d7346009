//! Writing a key's text and reading one that was presented.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::base62::{self, ID_WIDTH, SECRET_WIDTH, TAG_WIDTH};
use super::id::KeyId;
use crate::names::{Environment, Prefix};

const BODY_WIDTH: usize = ID_WIDTH + SECRET_WIDTH + TAG_WIDTH;
/// The longest text of a key, in bytes.
pub const MAX_KEY_LENGTH: usize = 16 + 1 + 16 + 1 + BODY_WIDTH;
/// The shortest text of a key, in bytes.
pub const MIN_KEY_LENGTH: usize = 1 + 1 + 1 + 1 + BODY_WIDTH;
/// Bytes of a tag.
pub(crate) const TAG_BYTES: usize = 8;

/// A text that is not of the form of a key. It says no more: what was presented may have been a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the text of a key: expected <prefix>_<environment>_ and 76 letters and digits")]
pub struct Malformed;

/// A regular expression that finds keys of this prefix in other texts, for secret scanners: in the syntax that RE2, PCRE and
/// Rust's `regex` share. What it finds has the form of a key, and need not be one.
#[must_use]
pub fn pattern(prefix: Prefix) -> String {
    format!(r"\b{prefix}_[a-z0-9]{{1,16}}_[0-9A-Za-z]{{{BODY_WIDTH}}}\b")
}

/// The whole text of a key: of a freshly minted one, or as somebody read it where it is shown this once. The memory is
/// wiped when it is dropped. Whether it is genuine is not known of one that was read.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct KeyText(String);

impl KeyText {
    /// Puts a text together; `tag` is asked for the tag of everything before it.
    pub(crate) fn compose(
        prefix: Prefix,
        environment: Environment,
        id: KeyId,
        secret: &[u8; 32],
        tag: impl FnOnce(&[u8]) -> [u8; TAG_BYTES],
    ) -> Self {
        // Written once at full capacity, so that no copy of the secret is left behind by growing.
        let mut text = String::with_capacity(MAX_KEY_LENGTH);
        let mut digits = base62::encode_secret(secret);
        let mut push = |bytes: &[u8]| text.extend(bytes.iter().copied().map(char::from));
        push(prefix.as_str().as_bytes());
        push(b"_");
        push(environment.as_str().as_bytes());
        push(b"_");
        push(&base62::encode_id(id.as_u128()));
        push(&digits);
        digits.zeroize();
        let tag = base62::encode_tag(u64::from_be_bytes(tag(text.as_bytes())));
        text.extend(tag.into_iter().map(char::from));
        Self(text)
    }

    /// The text itself. Whoever sees it holds the key.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyText {
    type Err = Malformed;
    /// Takes a text of exactly the form of the [module docs](super).
    fn from_str(text: &str) -> Result<Self, Malformed> {
        PresentedKey::parse(text.as_bytes())?;
        Ok(Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = KeyText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the text of a key")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<KeyText, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<KeyText, E> {
                self.visit_str(&Zeroizing::new(text))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(redacted)")
    }
}

/// A text of the right form that somebody presented. Nothing is known yet of its genuineness.
#[derive(Clone, Copy)]
pub struct PresentedKey<'a> {
    text: &'a [u8],
    id: KeyId,
}

impl<'a> PresentedKey<'a> {
    /// Reads a text of exactly the form of the [module docs](super). It costs a scan of at most
    /// [`MAX_KEY_LENGTH`] bytes and allocates nothing.
    ///
    /// # Errors
    /// [`Malformed`] for every other text.
    pub fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        if text.len() > MAX_KEY_LENGTH {
            return Err(Malformed);
        }
        let (head, body) = text.split_last_chunk::<BODY_WIDTH>().ok_or(Malformed)?;
        let head = head.strip_suffix(b"_").ok_or(Malformed)?;
        let underscore = head.iter().position(|byte| *byte == b'_').ok_or(Malformed)?;
        if !Prefix::allows(&head[..underscore]) || !Environment::allows(&head[underscore + 1..]) {
            return Err(Malformed);
        }

        let (id, rest) = body.split_first_chunk::<ID_WIDTH>().ok_or(Malformed)?;
        let (secret, tag) = rest.split_first_chunk::<SECRET_WIDTH>().ok_or(Malformed)?;
        let id = base62::decode_id(id).ok_or(Malformed)?;
        if !base62::is_canonical_secret(secret) || !base62::is_alphabet(tag) {
            return Err(Malformed);
        }
        Ok(Self { text, id: KeyId::from_u128(id) })
    }

    /// The id it claims.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// What the tag is made of: everything before it.
    pub(crate) fn tagged(&self) -> &'a [u8] {
        &self.text[..self.text.len() - TAG_WIDTH]
    }

    /// Whether its tag is this one, in constant time. The comparison is of texts, so that a second spelling of
    /// the same number is no tag.
    pub(crate) fn has_tag(&self, tag: [u8; TAG_BYTES]) -> bool {
        let presented = &self.text[self.text.len() - TAG_WIDTH..];
        base62::encode_tag(u64::from_be_bytes(tag)).as_slice().ct_eq(presented).into()
    }
}

impl fmt::Debug for PresentedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedKey").field("id", &self.id).finish_non_exhaustive()
    }
}
