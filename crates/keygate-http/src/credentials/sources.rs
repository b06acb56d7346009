//! The places of a request that are read for a credential.

use keygate_core::denial::{Denial, DenialReason};

use super::places::{bearer_token, cookie_values, parameter_values};
use super::{Credential, MAX_CREDENTIAL_LENGTH};
use crate::headers::{Headers, is_token_byte};

/// The longest name of a header, cookie or parameter, in bytes.
const MAX_NAME_LENGTH: usize = 64;
/// Headers that mean something else, or would be read twice.
const TAKEN_HEADERS: [&str; 7] =
    ["authorization", "proxy-authorization", "cookie", "host", "forwarded", "x-forwarded-for", "set-cookie"];

/// Why a place was refused as a source of credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} name {problem}")]
pub struct SourceError {
    place: &'static str,
    problem: &'static str,
}

/// The places that are read for a credential. See the [module docs](super) for an example.
///
/// [`default`](Self::default) reads `Authorization: Bearer` and `X-API-Key`; start from [`empty`](Self::empty) to
/// leave one of them to somebody else, such as a bearer token of another kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialSources {
    bearer: bool,
    headers: Vec<Box<str>>,
    cookie: Option<Box<str>>,
    parameter: Option<Box<str>>,
}

impl Default for CredentialSources {
    fn default() -> Self {
        Self { bearer: true, headers: vec!["x-api-key".into()], cookie: None, parameter: None }
    }
}

impl CredentialSources {
    /// No place at all. With nothing added, every request is one without a key.
    #[must_use]
    pub fn empty() -> Self {
        Self { bearer: false, headers: Vec::new(), cookie: None, parameter: None }
    }

    /// Reads `Authorization: Bearer` too. An `Authorization` of another scheme is not a credential of ours, but a
    /// second line of any scheme makes the request one with several.
    #[must_use]
    pub fn bearer(mut self) -> Self {
        self.bearer = true;
        self
    }

    /// Reads this header too, whose whole value is the key. Naming a header twice is naming it once.
    ///
    /// # Errors
    /// When the name is not a token of at most 64 bytes, or is that of a header with a meaning of its own, such as
    /// `Authorization` (see [`bearer`](Self::bearer)) or `Cookie` (see [`cookie`](Self::cookie)).
    pub fn header(mut self, name: impl AsRef<str>) -> Result<Self, SourceError> {
        let name = check_token("header", name.as_ref())?.to_ascii_lowercase().into_boxed_str();
        if TAKEN_HEADERS.contains(&&*name) {
            return Err(SourceError { place: "header", problem: "is that of a header with a meaning of its own" });
        }
        if !self.headers.contains(&name) {
            self.headers.push(name);
        }
        Ok(self)
    }

    /// Reads the cookie of this name too, in place of one named before. Names of cookies are case-sensitive.
    ///
    /// A browser sends cookies by itself, to requests that other sites start, too: guard against cross-site request
    /// forgery before turning this on (`SameSite`, a check of `Origin`).
    ///
    /// # Errors
    /// When the name is not a token of at most 64 bytes.
    pub fn cookie(mut self, name: impl AsRef<str>) -> Result<Self, SourceError> {
        self.cookie = Some(check_token("cookie", name.as_ref())?.into());
        Ok(self)
    }

    /// Reads the query parameter of this name too, in place of one named before. Names are case-sensitive.
    ///
    /// **Dangerous.** URLs are written to access logs, browser histories, `Referer` headers and caches, and a key in
    /// them with it; no layer can mark a URL as sensitive. Use it only for clients that cannot set a header, over
    /// links whose every log you own. Name and value are compared as they were sent, without percent-decoding.
    ///
    /// # Errors
    /// When the name is not of `[A-Za-z0-9._~-]` or longer than 64 bytes: other characters have several spellings in
    /// a URL.
    pub fn query_parameter_danger(mut self, name: impl AsRef<str>) -> Result<Self, SourceError> {
        let name = name.as_ref();
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME_LENGTH || !name.bytes().all(unreserved) {
            let problem = "must be 1 to 64 characters out of A-Z a-z 0-9 . _ ~ -";
            return Err(SourceError { place: "query parameter", problem });
        }
        self.parameter = Some(name.into());
        Ok(self)
    }

    /// The one credential of a request, `query` being that of its URL without the `?`. An empty value is a credential
    /// (a malformed one): a client that meant to send a key is told so. Nothing is allocated.
    ///
    /// # Errors
    /// A denial of reason [`DenialReason::MissingKey`] when there is none, [`DenialReason::MultipleCredentials`] when
    /// there are several over all places, [`DenialReason::MalformedKey`] when it is longer than
    /// [`MAX_CREDENTIAL_LENGTH`].
    pub fn read<'a, H: Headers + ?Sized>(
        &'a self,
        headers: &'a H,
        query: Option<&'a str>,
    ) -> Result<Credential<'a>, Denial> {
        let mut found = Found(None);
        if self.bearer {
            let mut lines = headers.lines("authorization");
            if let Some(line) = lines.next() {
                if lines.next().is_some() {
                    return Err(Denial::new(DenialReason::MultipleCredentials));
                }
                bearer_token(line).map_or(Ok(()), |token| found.add(token))?;
            }
        }
        for name in &self.headers {
            headers.lines(name).try_for_each(|value| found.add(value))?;
        }
        if let Some(name) = &self.cookie {
            // A browser may split its cookies over several lines (RFC 9113, section 8.2.3).
            headers.lines("cookie").flat_map(|line| cookie_values(line, name)).try_for_each(|v| found.add(v))?;
        }
        if let (Some(name), Some(query)) = (&self.parameter, query) {
            parameter_values(query, name).try_for_each(|value| found.add(value))?;
        }
        found.into_credential()
    }

    /// The headers a credential may stand in, in lower case: those an adapter marks as sensitive before it passes a
    /// request on.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        let bearer = self.bearer.then_some("authorization");
        let cookie = self.cookie.as_ref().map(|_| "cookie");
        bearer.into_iter().chain(self.headers.iter().map(|name| &**name)).chain(cookie)
    }
}

fn check_token<'a>(place: &'static str, name: &'a str) -> Result<&'a str, SourceError> {
    if name.is_empty() || name.len() > MAX_NAME_LENGTH || !name.bytes().all(is_token_byte) {
        return Err(SourceError {
            place,
            problem: "must be 1 to 64 characters out of A-Z a-z 0-9 and !#$%&'*+-.^_`|~",
        });
    }
    Ok(name)
}

/// What was found so far. A second find ends the search.
struct Found<'a>(Option<&'a [u8]>);

impl<'a> Found<'a> {
    fn add(&mut self, text: &'a [u8]) -> Result<(), Denial> {
        match self.0.replace(text) {
            None => Ok(()),
            Some(_) => Err(Denial::new(DenialReason::MultipleCredentials)),
        }
    }

    fn into_credential(self) -> Result<Credential<'a>, Denial> {
        match self.0 {
            None => Err(Denial::new(DenialReason::MissingKey)),
            Some(text) if text.len() > MAX_CREDENTIAL_LENGTH => Err(Denial::new(DenialReason::MalformedKey)),
            Some(text) => Ok(Credential(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_means_something_else_or_does_not_parse_is_refused() {
        for name in ["Authorization", "COOKIE", "x-forwarded-for", "", "a b", "ä", "x:", &"x".repeat(65)] {
            let error = CredentialSources::empty().header(name).unwrap_err();
            assert!(error.to_string().starts_with("header name "), "{error}");
        }
        assert!(CredentialSources::empty().cookie("a=b").is_err());
        assert!(CredentialSources::empty().query_parameter_danger("api key").is_err());
    }

    #[test]
    fn naming_a_header_twice_does_not_count_its_key_twice() {
        let sources = CredentialSources::default().header("X-Api-Key").unwrap();
        assert_eq!(sources.read(&[("X-API-KEY", "k")][..], None).unwrap().as_bytes(), b"k");
        assert_eq!(sources.header_names().collect::<Vec<_>>(), ["authorization", "x-api-key"]);
    }

    #[test]
    fn places_that_are_not_turned_on_are_not_read() {
        let request = [("Authorization", "Bearer a"), ("X-API-Key", "b"), ("Cookie", "key=c")];
        let read = |sources: &CredentialSources| {
            let read = sources.read(&request[..], Some("key=d"));
            read.map(|credential| credential.as_bytes().to_vec()).map_err(|denial| denial.reason())
        };
        assert_eq!(read(&CredentialSources::empty()), Err(DenialReason::MissingKey));
        assert_eq!(read(&CredentialSources::empty().bearer()).unwrap(), b"a");
        assert_eq!(read(&CredentialSources::empty().header("x-api-key").unwrap()).unwrap(), b"b");
        assert_eq!(read(&CredentialSources::empty().cookie("key").unwrap()).unwrap(), b"c");
        assert_eq!(read(&CredentialSources::empty().query_parameter_danger("key").unwrap()).unwrap(), b"d");
        assert_eq!(read(&CredentialSources::default()), Err(DenialReason::MultipleCredentials));
    }

    #[test]
    fn repeated_lines_are_several_credentials_even_when_equal_or_not_ours() {
        for request in [
            [("Authorization", "Bearer a"), ("Authorization", "Bearer a")],
            [("Authorization", "Bearer a"), ("Authorization", "Basic YTpi")],
            [("Authorization", "Basic YTpi"), ("authorization", "Basic YTpi")],
            [("X-API-Key", "a"), ("x-api-key", "a")],
            [("X-API-Key", ""), ("x-api-key", "a")],
            [("Authorization", "Bearer"), ("x-api-key", "a")],
        ] {
            let denial = CredentialSources::default().read(&request[..], None).unwrap_err();
            assert_eq!(denial.reason(), DenialReason::MultipleCredentials, "{request:?}");
        }
    }

    #[test]
    fn another_scheme_beside_a_key_is_none_of_our_business() {
        let request = [("Authorization", "Basic YTpi"), ("X-API-Key", "a")];
        assert_eq!(CredentialSources::default().read(&request[..], None).unwrap().as_bytes(), b"a");
    }

    #[test]
    fn empty_is_malformed_and_not_missing_and_oversized_is_malformed() {
        let sources = CredentialSources::default();
        for request in [("Authorization", "Bearer "), ("X-API-Key", "")] {
            assert_eq!(sources.read(&[request][..], None).unwrap().as_bytes(), b"");
        }
        let (fits, too_long) = ("k".repeat(MAX_CREDENTIAL_LENGTH), "k".repeat(MAX_CREDENTIAL_LENGTH + 1));
        assert_eq!(sources.read(&[("X-API-Key", &fits)][..], None).unwrap().as_bytes(), fits.as_bytes());
        let denial = sources.read(&[("X-API-Key", &too_long)][..], None).unwrap_err();
        assert_eq!(denial.reason(), DenialReason::MalformedKey);
    }

    #[test]
    fn no_debug_output_shows_a_credential() {
        let sources = CredentialSources::default();
        let read = sources.read(&[("X-API-Key", "canary")][..], None);
        assert!(!format!("{read:?}").contains("canary"));
    }
}
