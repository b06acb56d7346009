//! The names people give to things: organizations, users, projects, keys and tags.
//!
//! Each is a type with one constructor, so that a name which exists is a name that is allowed. Ids go into
//! the names of store entries and into log lines; display text is kept free of control characters, so that no
//! name can move a terminal's cursor or forge a line of a log (RUSTSEC-2025-0055).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::key::KeyId;

/// Why a name was refused. Its text names the field and says what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct NameError {
    field: &'static str,
    problem: String,
}

impl NameError {
    /// What is wrong with a field, for whoever checks more of it than is checked here: "must ..." reads on from its name.
    #[must_use]
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }

    /// The field the refused name was meant for, in words.
    #[must_use]
    pub fn field(&self) -> &'static str {
        self.field
    }
}

/// The longest id, in bytes.
pub const MAX_ID_LENGTH: usize = 128;
/// The longest key name, in characters.
pub const MAX_KEY_NAME_LENGTH: usize = 100;
/// The longest description, in characters.
pub const MAX_DESCRIPTION_LENGTH: usize = 500;
/// The longest reason, in characters.
pub const MAX_REASON_LENGTH: usize = 200;
/// The longest tag, in bytes.
pub const MAX_TAG_LENGTH: usize = 64;
/// The longest name of a sensitive field, in bytes.
pub const MAX_FIELD_NAME_LENGTH: usize = 64;

fn check_id(field: &'static str, text: &str) -> Result<(), NameError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if text.is_empty() || text.len() > MAX_ID_LENGTH || !text.bytes().all(allowed) {
        return Err(NameError::new(field, format!("must be 1 to {MAX_ID_LENGTH} characters out of A-Z a-z 0-9 . _ -")));
    }
    Ok(())
}

fn check_tag(field: &'static str, text: &str) -> Result<(), NameError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':' | b'/' | b'=');
    if text.is_empty() || text.len() > MAX_TAG_LENGTH || !text.bytes().all(allowed) {
        return Err(NameError::new(
            field,
            format!("must be 1 to {MAX_TAG_LENGTH} characters out of A-Z a-z 0-9 . _ - : / ="),
        ));
    }
    Ok(())
}

/// Text that reorders what is printed around it, or is not seen at all.
pub(crate) fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

fn check_text(field: &'static str, text: &str, least: usize, most: usize) -> Result<(), NameError> {
    let length = text.chars().count();
    if length < least || length > most {
        return Err(NameError::new(field, format!("must be {least} to {most} characters long, not {length}")));
    }
    if text.chars().any(is_deceptive) {
        return Err(NameError::new(field, "must not contain control or invisible formatting characters"));
    }
    Ok(())
}

fn check_field_name(field: &'static str, text: &str) -> Result<(), NameError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if text.is_empty() || text.len() > MAX_FIELD_NAME_LENGTH || !text.bytes().all(allowed) {
        let problem = format!("must be 1 to {MAX_FIELD_NAME_LENGTH} characters out of A-Z a-z 0-9 . _ -");
        return Err(NameError::new(field, problem));
    }
    Ok(())
}

fn check_key_name(field: &'static str, text: &str) -> Result<(), NameError> {
    check_text(field, text, 1, MAX_KEY_NAME_LENGTH)
}

fn check_description(field: &'static str, text: &str) -> Result<(), NameError> {
    check_text(field, text, 0, MAX_DESCRIPTION_LENGTH)
}

fn check_reason(field: &'static str, text: &str) -> Result<(), NameError> {
    check_text(field, text, 1, MAX_REASON_LENGTH)
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $field:literal, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is, or says why it is refused. Nothing is trimmed, folded or cut.
            ///
            /// # Errors
            /// When the text is not of the form this type's documentation gives.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                let text = text.as_ref();
                $check($field, text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;
            fn try_from(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name! {
    /// An organization: the tenant. `[A-Za-z0-9._-]{1,128}`.
    OrganizationId, "organization id", check_id
}
name! {
    /// A user of an organization, who owns keys. `[A-Za-z0-9._-]{1,128}`.
    UserId, "user id", check_id
}

name! {
    /// A role's name: 1 to 128 characters out of `A-Z a-z 0-9 . _ -`.
    RoleName, "role", check_id
}
name! {
    /// A project of an organization. `[A-Za-z0-9._-]{1,128}`.
    ProjectId, "project id", check_id
}
name! {
    /// Who did something: a key id, or a word such as `operator`. `[A-Za-z0-9._-]{1,128}`.
    PrincipalId, "principal id", check_id
}
name! {
    /// A word that keys are grouped and found by. `[A-Za-z0-9._:/=-]{1,64}`.
    Tag, "tag", check_tag
}
name! {
    /// The name of a field that is kept encrypted with a key. `[A-Za-z0-9._-]{1,64}`.
    FieldName, "sensitive field name", check_field_name
}
name! {
    /// What a person calls a key: 1 to 100 characters, none of them a control character.
    KeyName, "key name", check_key_name
}
name! {
    /// What a key is for: up to 500 characters, none of them a control character.
    Description, "description", check_description
}
name! {
    /// Why a key was stopped: 1 to 200 characters, none of them a control character. No reason is `None`, not an empty one.
    Reason, "reason", check_reason
}

/// The organization of whoever runs the deployment.
const SYSTEM: &str = "system";

impl OrganizationId {
    /// The organization of whoever runs the deployment, `system`. It is reserved: a key of it is the operator's, and it is
    /// neither set up nor suspended.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::from(SYSTEM))
    }

    /// Whether it is [`system`](Self::system).
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.as_str() == SYSTEM
    }
}

impl From<KeyId> for PrincipalId {
    fn from(id: KeyId) -> Self {
        Self(Arc::from(id.to_string()))
    }
}

impl Default for Description {
    fn default() -> Self {
        Self(Arc::from(""))
    }
}

/// Where a key may be used: `[a-z0-9]{1,16}`, for example `dev` or `prod`. It stands in the key's text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Environment(ShortWord<16>);

/// The first word of a key's text: `[a-z][a-z0-9]{0,15}`, `mcp` by default.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix(ShortWord<16>);

/// A word of at most `N` ASCII bytes held in place, so that copying it allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct ShortWord<const N: usize> {
    bytes: [u8; N],
    length: u8,
}

impl<const N: usize> ShortWord<N> {
    fn allows(text: &[u8]) -> bool {
        let lower = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        !text.is_empty() && text.len() <= N && text.iter().all(lower)
    }

    fn new(text: &str) -> Option<Self> {
        if !Self::allows(text.as_bytes()) {
            return None;
        }
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self { bytes, length: u8::try_from(text.len()).ok()? })
    }

    fn as_str(&self) -> &str {
        // Only ASCII gets in, so the default is never taken.
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

macro_rules! short_word {
    ($name:ident) => {
        impl $name {
            /// The word as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> String {
                word.as_str().to_owned()
            }
        }
    };
}
short_word!(Environment);
short_word!(Prefix);

impl Environment {
    /// Takes the text as it is, or says why it is refused.
    ///
    /// # Errors
    /// When the text is not `[a-z0-9]{1,16}`.
    pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
        ShortWord::new(text.as_ref())
            .map(Self)
            .ok_or_else(|| NameError::new("environment", "must be 1 to 16 characters out of a-z 0-9"))
    }

    /// Whether the bytes are an environment; an answer without an error's text to put together.
    pub(crate) fn allows(text: &[u8]) -> bool {
        ShortWord::<16>::allows(text)
    }

    /// `dev`, the environment of those who name none.
    #[must_use]
    pub fn dev() -> Self {
        Self(ShortWord { bytes: *b"dev\0\0\0\0\0\0\0\0\0\0\0\0\0", length: 3 })
    }
}

impl Prefix {
    /// Takes the text as it is, or says why it is refused.
    ///
    /// # Errors
    /// When the text is not `[a-z][a-z0-9]{0,15}`.
    pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
        let text = text.as_ref();
        ShortWord::new(text).filter(|_| Self::allows(text.as_bytes())).map(Self).ok_or_else(|| {
            NameError::new("key prefix", "must be 1 to 16 characters out of a-z 0-9, the first a letter")
        })
    }

    /// Whether the bytes are a prefix; an answer without an error's text to put together.
    pub(crate) fn allows(text: &[u8]) -> bool {
        text.first().is_some_and(u8::is_ascii_lowercase) && ShortWord::<16>::allows(text)
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self(ShortWord { bytes: *b"mcp\0\0\0\0\0\0\0\0\0\0\0\0\0", length: 3 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_outside_the_grammar_are_refused_with_the_field_named() {
        for bad in ["", "a b", "a/b", "ä", &"x".repeat(129), "a\n", "a:b", "{a}"] {
            let error = OrganizationId::new(bad).unwrap_err();
            assert_eq!(error.field(), "organization id");
            assert!(error.to_string().contains("1 to 128"), "{error}");
        }
        assert!(OrganizationId::new("x".repeat(128)).is_ok());
    }

    #[test]
    fn too_long_a_name_is_an_error_and_not_cut() {
        assert!(KeyName::new("é".repeat(100)).is_ok());
        assert!(KeyName::new("é".repeat(101)).is_err());
        assert!(Description::new("x".repeat(501)).is_err());
    }

    #[test]
    fn names_cannot_carry_terminal_escapes_or_line_breaks() {
        for bad in ["a\u{1b}[31m", "a\nb", "a\u{202e}b", "\u{9b}1m", "a\u{200b}", "a\u{61c}", "a\u{e0041}"] {
            assert!(KeyName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn environments_and_prefixes_are_lower_case_words() {
        assert_eq!(Environment::new("prod").unwrap().as_str(), "prod");
        assert_eq!(Environment::dev().as_str(), "dev");
        assert_eq!(Prefix::default().as_str(), "mcp");
        for bad in ["", "Prod", "a_b", "abcdefghijklmnopq", "é"] {
            assert!(Environment::new(bad).is_err());
        }
        assert!(Prefix::new("1a").is_err());
        assert!(Environment::new("1a").is_ok());
    }
}
