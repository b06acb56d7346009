//! `WWW-Authenticate`: what a client must send to be let in (RFC 9110, section 11.6.1; RFC 6750, section 3).

use std::fmt::{self, Write};

use keygate_core::denial::{Denial, DenialReason};

use super::status::status;

/// The longest realm, in bytes.
const MAX_REALM_LENGTH: usize = 128;

/// Why a text is not a realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("realm must be 1 to {MAX_REALM_LENGTH} characters of printable ASCII")]
pub struct RealmError;

/// The name of what is protected, as clients show it: 1 to 128 characters of printable ASCII, so that nothing in it
/// can end a header. `keygate` by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realm(Box<str>);

impl Realm {
    /// Takes the text as it is; quotes and backslashes in it are escaped when it is written.
    ///
    /// # Errors
    /// When it is empty, too long, or has a character that is not printable ASCII.
    pub fn new(text: impl AsRef<str>) -> Result<Self, RealmError> {
        let text = text.as_ref();
        let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if text.is_empty() || text.len() > MAX_REALM_LENGTH || !text.bytes().all(printable) {
            return Err(RealmError);
        }
        Ok(Self(text.into()))
    }

    /// The realm as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Realm {
    fn default() -> Self {
        Self("keygate".into())
    }
}

/// The challenge for this denial, if it is one that another credential may mend. One without any key is told no error:
/// it may not have known that it needs one (RFC 6750, section 3.1).
pub(super) fn challenge(denial: &Denial, realm: &Realm) -> Option<String> {
    let error = match (denial.reason(), status(denial.reason())) {
        (DenialReason::MissingKey, _) => None,
        (DenialReason::MultipleCredentials, _) => Some("invalid_request"),
        (DenialReason::ScopeNotAuthorized, _) => Some("insufficient_scope"),
        (_, 401) => Some("invalid_token"),
        _ => return None,
    };
    let mut challenge = format!("Bearer realm={}", Quoted(&realm.0));
    // Writing to a string does not fail.
    if let Some(error) = error {
        let _ = write!(challenge, ", error=\"{error}\", error_description={}", Quoted(&denial.detail()));
    }
    if let (DenialReason::ScopeNotAuthorized, Some(scope)) = (denial.reason(), denial.required()) {
        let _ = write!(challenge, ", scope={}", Quoted(scope.as_str()));
    }
    Some(challenge)
}

/// A text as a quoted string: quotes and backslashes are escaped, and what may not stand in a header is a `?`.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => {
                    f.write_char('\\')?;
                    f.write_char(c)?;
                }
                ' '..='~' => f.write_char(c)?,
                _ => f.write_char('?')?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use keygate_core::scope::Scope;
    use proptest::prelude::*;

    use super::*;

    fn challenge_for(denial: &Denial) -> Option<String> {
        challenge(denial, &Realm::default())
    }

    #[test]
    fn without_a_key_the_challenge_names_no_error() {
        let challenge = challenge_for(&Denial::new(DenialReason::MissingKey));
        assert_eq!(challenge.as_deref(), Some("Bearer realm=\"keygate\""));
    }

    #[test]
    fn every_other_401_is_an_invalid_token() {
        for reason in DenialReason::ALL {
            let challenge = challenge_for(&Denial::new(reason));
            let invalid_token = challenge.is_some_and(|challenge| challenge.contains("error=\"invalid_token\""));
            assert_eq!(invalid_token, status(reason) == 401 && reason != DenialReason::MissingKey, "{reason}");
        }
    }

    #[test]
    fn several_credentials_are_an_invalid_request_and_a_missing_scope_is_named() {
        let several = challenge_for(&Denial::new(DenialReason::MultipleCredentials)).unwrap();
        assert!(several.contains("error=\"invalid_request\""), "{several}");

        let scope = Scope::new("reports:read").unwrap();
        let denial = Denial::new(DenialReason::ScopeNotAuthorized).requiring(scope.clone());
        let challenge = challenge_for(&denial).unwrap();
        assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
        assert!(challenge.ends_with(", scope=\"reports:read\""), "{challenge}");
        // A permission is not a scope, and no other key of the same kind mends the rest.
        assert_eq!(challenge_for(&Denial::new(DenialReason::PermissionDenied).requiring(scope)), None);
        assert_eq!(challenge_for(&Denial::new(DenialReason::IpNotAllowed)), None);
        assert_eq!(challenge_for(&Denial::store_unavailable()), None);
    }

    #[test]
    fn a_realm_that_could_end_a_header_is_refused() {
        for bad in ["", "a\r\nSet-Cookie: x", "a\nb", "\u{7f}", "ä", &"x".repeat(129)] {
            assert_eq!(Realm::new(bad), Err(RealmError), "{bad:?}");
        }
        let challenge = challenge(&Denial::new(DenialReason::MissingKey), &Realm::new(r#"a "b\" c"#).unwrap());
        assert_eq!(challenge.as_deref(), Some(r#"Bearer realm="a \"b\\\" c""#));
    }

    proptest! {
        #[test]
        fn quoted_text_is_one_printable_string_whatever_goes_in(text in any::<String>()) {
            let quoted = Quoted(&text).to_string();
            prop_assert!(quoted.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
            let mut escaped = false;
            for c in inner.chars() {
                prop_assert!(c != '"' || escaped);
                escaped = c == '\\' && !escaped;
            }
            prop_assert!(!escaped);
        }

        #[test]
        fn no_challenge_can_carry_a_second_header(realm in any::<String>(), which in 0..DenialReason::ALL.len()) {
            let realm = Realm::new(&realm).unwrap_or_default();
            if let Some(challenge) = challenge(&Denial::new(DenialReason::ALL[which]), &realm) {
                prop_assert!(challenge.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            }
        }
    }
}
