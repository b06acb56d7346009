//! A line of an import: a key that was made elsewhere, as a JSON object.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::scheme::{ImportedScheme, MAX_IMPORTED_ITERATIONS, MAX_SALT, MIN_IMPORTED_ITERATIONS, PBKDF2_OUTPUT};
use super::{MAX_LOOKUP_PART, MIN_LOOKUP_PART};
use crate::limits::Limits;
use crate::manager::{Expiry, MAX_EXPIRY_DAYS, NewKey};
use crate::names::{Description, Environment, KeyName, NameError, OrganizationId, ProjectId, Tag, UserId};
use crate::network::CidrSet;
use crate::record::{Metadata, RotationSchedule, SecurityTier};
use crate::scope::ScopeSet;

/// The longest line of an import, in bytes.
pub const MAX_LINE: usize = 64 * 1024;
/// The longest word of a line that is repeated where something is wrong with it, in characters.
const LONGEST_WORD: usize = 32;
/// The longest sentence about a line.
const LONGEST_DETAIL: usize = 300;

/// What is known of a key's text. `Debug` shows neither text nor digest.
pub(crate) enum ImportedSecret {
    /// The text itself.
    Raw(Zeroizing<String>),
    /// Its digest, and for a scheme with a salt the part of the text that it is found by.
    Digest { scheme: ImportedScheme, digest: Zeroizing<Vec<u8>>, lookup: Option<String> },
}

/// A key to be imported.
pub(crate) struct ImportedKey {
    pub(crate) secret: ImportedSecret,
    pub(crate) new: NewKey,
}

/// A line as it is written. All but the secret and the owner is as in the creation of a key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, deserialize_with = "wiped")]
    raw: Option<Zeroizing<String>>,
    #[serde(default, deserialize_with = "wiped")]
    digest: Option<Zeroizing<String>>,
    algorithm: Option<String>,
    salt: Option<String>,
    iterations: Option<u32>,
    lookup: Option<String>,
    hmac_key: Option<String>,
    user_id: UserId,
    project_id: Option<ProjectId>,
    name: Option<KeyName>,
    description: Option<Description>,
    permissions: Option<ScopeSet>,
    scopes: Option<ScopeSet>,
    grantable: Option<ScopeSet>,
    limits: Option<Limits>,
    allowed_ips: Option<CidrSet>,
    environment: Option<Environment>,
    expires_in_days: Option<u32>,
    #[serde(default, deserialize_with = "named")]
    expires_at: Option<Option<DateTime<Utc>>>,
    not_before: Option<DateTime<Utc>>,
    tags: Option<Vec<Tag>>,
    metadata: Option<Metadata>,
    security_tier: Option<SecurityTier>,
    rotation: Option<RotationSchedule>,
    hand_over: Option<bool>,
}

/// A field that may be null: `None` only where it is not there.
fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A text that is wiped from memory when it is dropped.
fn wiped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Zeroizing<String>>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Zeroizing::new))
}

impl ImportedKey {
    /// Reads a line. What is wrong with it is told without the text or the digest in it.
    pub(crate) fn read(line: &[u8], organization: &OrganizationId) -> Result<Self, NameError> {
        if line.len() > MAX_LINE {
            return Err(NameError::new("line", format!("must have at most {MAX_LINE} bytes, not {}", line.len())));
        }
        // Fields would be read from an array too, by the order in which they are written down here.
        if line.first() != Some(&b'{') {
            return Err(NameError::new("line", "must be a JSON object"));
        }
        let read: Line = serde_json::from_slice(line).map_err(|error| NameError::new("line", detail(&error, line)))?;
        let secret = read.secret()?;
        Ok(Self { secret, new: read.new_key(organization)? })
    }
}

impl Line {
    fn secret(&self) -> Result<ImportedSecret, NameError> {
        let parameters = [
            ("algorithm", self.algorithm.is_some()),
            ("salt", self.salt.is_some()),
            ("iterations", self.iterations.is_some()),
            ("lookup", self.lookup.is_some()),
            ("hmac_key", self.hmac_key.is_some()),
        ];
        let without = |allowed: &[&str]| match parameters.iter().find(|(name, is)| *is && !allowed.contains(name)) {
            Some((name, _)) => Err(NameError::new(name, "does not go with what the line says of its key")),
            None => Ok(()),
        };
        let digest = match (&self.raw, &self.digest) {
            (Some(raw), None) => {
                without(&[])?;
                return Ok(ImportedSecret::Raw(raw.clone()));
            }
            (None, Some(digest)) => digest,
            _ => return Err(NameError::new("line", "must have either raw or digest")),
        };
        let algorithm = self.algorithm.as_deref().ok_or_else(|| NameError::new("algorithm", "is missing"))?;
        let mut lookup = None;
        let mut bytes = Zeroizing::new(bytes("digest", digest, false)?);
        let scheme = match algorithm {
            "sha256" => without(&["algorithm"]).map(|()| ImportedScheme::Sha256),
            "sha512" => without(&["algorithm"]).map(|()| ImportedScheme::Sha512),
            "hmac-sha256" => {
                without(&["algorithm", "hmac_key"])?;
                let key = self.hmac_key.as_deref().ok_or_else(|| NameError::new("hmac_key", "is missing"))?;
                Ok(ImportedScheme::HmacSha256 { key: key.into() })
            }
            "pbkdf2-sha256" => {
                without(&["algorithm", "salt", "iterations", "lookup"])?;
                lookup = Some(self.lookup_part()?);
                self.pbkdf2(&mut bytes)
            }
            _ => Err(NameError::new("algorithm", "must be sha256, sha512, hmac-sha256 or pbkdf2-sha256")),
        }?;
        if bytes.len() != scheme.digest_length() {
            let (expected, found) = (scheme.digest_length(), bytes.len());
            return Err(NameError::new("digest", format!("must have {expected} bytes, not {found}")));
        }
        Ok(ImportedSecret::Digest { scheme, digest: bytes, lookup })
    }

    fn pbkdf2(&self, output: &mut Zeroizing<Vec<u8>>) -> Result<ImportedScheme, NameError> {
        let salt = self.salt.as_deref().ok_or_else(|| NameError::new("salt", "is missing"))?;
        let salt: Arc<[u8]> = bytes("salt", salt, true)?.into();
        if salt.len() > MAX_SALT {
            return Err(NameError::new("salt", format!("must have at most {MAX_SALT} bytes")));
        }
        let iterations = self.iterations.ok_or_else(|| NameError::new("iterations", "is missing"))?;
        if !(MIN_IMPORTED_ITERATIONS..=MAX_IMPORTED_ITERATIONS).contains(&iterations) {
            let problem = format!("must be {MIN_IMPORTED_ITERATIONS} to {MAX_IMPORTED_ITERATIONS}, not {iterations}");
            return Err(NameError::new("iterations", problem));
        }
        let length = u8::try_from(output.len()).ok().filter(|length| PBKDF2_OUTPUT.contains(&usize::from(*length)));
        let (least, most) = (PBKDF2_OUTPUT.start(), PBKDF2_OUTPUT.end());
        let length = length.ok_or_else(|| NameError::new("digest", format!("must have {least} to {most} bytes")))?;
        Ok(ImportedScheme::Pbkdf2Sha256 { salt, iterations, length })
    }

    fn lookup_part(&self) -> Result<String, NameError> {
        let part = self.lookup.clone().ok_or_else(|| {
            NameError::new(
                "lookup",
                "is missing: with a salt a key is found by a part of its text, which a pattern names",
            )
        })?;
        let fits = (MIN_LOOKUP_PART..=MAX_LOOKUP_PART).contains(&part.len());
        if !fits || !part.bytes().all(|byte| byte.is_ascii_graphic()) {
            let problem = format!("must be {MIN_LOOKUP_PART} to {MAX_LOOKUP_PART} visible ASCII characters");
            return Err(NameError::new("lookup", problem));
        }
        Ok(part)
    }

    fn new_key(self, organization: &OrganizationId) -> Result<NewKey, NameError> {
        let mut new = NewKey::new(organization.clone(), self.user_id);
        new.project = self.project_id;
        new.name = self.name;
        new.description = self.description.unwrap_or_default();
        new.permissions = self.permissions.unwrap_or_default();
        new.scopes = self.scopes;
        new.grantable = self.grantable.unwrap_or_default();
        new.limits = self.limits;
        new.allowed_ips = self.allowed_ips;
        new.environment = self.environment;
        new.expiry = match (self.expires_in_days, self.expires_at) {
            (None, None) => Expiry::Default,
            (None, Some(None)) => Expiry::Never,
            (None, Some(Some(at))) => Expiry::At(at),
            (Some(days), None) if (1..=MAX_EXPIRY_DAYS).contains(&days) => Expiry::In(TimeDelta::days(days.into())),
            (Some(_), None) => {
                return Err(NameError::new("expires_in_days", format!("must be 1 to {MAX_EXPIRY_DAYS}")));
            }
            (Some(_), Some(_)) => return Err(NameError::new("expires_in_days", "goes without expires_at")),
        };
        new.not_before = self.not_before;
        new.tags = self.tags.unwrap_or_default();
        new.metadata = self.metadata.unwrap_or_default();
        new.security_tier = self.security_tier;
        new.rotation_schedule = self.rotation;
        new.hand_over = self.hand_over.unwrap_or_default();
        Ok(new)
    }
}

/// Bytes as they are written: in hexadecimal digits, or in base64 after `base64:`; where text may stand, after `text:`.
fn bytes(field: &'static str, written: &str, is_text_allowed: bool) -> Result<Vec<u8>, NameError> {
    let read = match written.split_once(':') {
        Some(("base64", rest)) => BASE64.decode(rest.as_bytes()).ok(),
        Some(("text", rest)) if is_text_allowed => Some(rest.as_bytes().to_vec()),
        Some(_) => None,
        None => HEXLOWER_PERMISSIVE.decode(written.as_bytes()).ok(),
    };
    read.ok_or_else(|| {
        let or_text = if is_text_allowed { ", or text after text:" } else { "" };
        NameError::new(field, format!("must be hexadecimal digits, or base64 after base64:{or_text}"))
    })
}

/// What is wrong with a line. A reader repeats what it stumbles over, and that may be the text of a key, at its own place or
/// at a wrong one.
fn detail(error: &serde_json::Error, line: &[u8]) -> String {
    if !error.is_data() {
        return format!("is not JSON, at column {}", error.column());
    }
    let mut text = error.to_string();
    // It counts the lines within a line.
    if let Some(place) = text.rfind(" at line ") {
        text.truncate(place);
    }
    if let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice(line) {
        for field in ["raw", "digest", "salt"] {
            match fields.get(field) {
                Some(serde_json::Value::String(secret)) if !secret.is_empty() => text = text.replace(secret, "..."),
                _ => {}
            }
        }
    }
    let is_in_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut kept = String::new();
    for word in text.split_inclusive(|c: char| !is_in_word(c)) {
        let length = word.trim_end_matches(|c: char| !is_in_word(c)).len();
        let end = &word[length..];
        kept.push_str(if length > LONGEST_WORD { "..." } else { &word[..length] });
        kept.push_str(end);
    }
    format!("is refused: {}", kept.chars().filter(|c| !c.is_control()).take(LONGEST_DETAIL).collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn read(line: &Value) -> Result<ImportedKey, NameError> {
        ImportedKey::read(line.to_string().as_bytes(), &OrganizationId::new("acme").unwrap())
    }

    fn with(changes: Value) -> Value {
        let mut line = json!({"digest": DIGEST, "algorithm": "sha256", "user_id": "bob"});
        for (field, value) in changes.as_object().unwrap() {
            line[field] = value.clone();
        }
        line
    }

    #[test]
    fn a_line_says_all_that_a_creation_says() {
        let line = with(json!({
            "project_id": "website", "name": "n", "description": "d", "permissions": ["a:b"], "scopes": [],
            "grantable": ["c"], "limits": {"per_minute": 5}, "allowed_ips": ["192.0.2.0/24"], "environment": "prod",
            "expires_at": null, "not_before": "2020-01-01T00:00:00Z", "tags": ["t"], "metadata": {"k": 1},
            "security_tier": "high", "rotation": {"interval_days": 30}, "hand_over": true,
        }));
        let ImportedKey { secret, new } = read(&line).unwrap();
        assert!(matches!(secret, ImportedSecret::Digest { scheme: ImportedScheme::Sha256, .. }));
        assert_eq!((new.expiry, new.hand_over, new.tags.len()), (Expiry::Never, true, 1));
        assert_eq!(new.limits.unwrap().per_minute, Some(5));
        assert_eq!(new.security_tier, Some(SecurityTier::High));
        assert_eq!(new.scopes.unwrap(), ScopeSet::empty());
        assert_eq!(read(&with(json!({}))).unwrap().new.expiry, Expiry::Default);
    }

    #[test]
    fn each_scheme_is_read() {
        let upper = DIGEST.to_uppercase();
        let base64 = format!("base64:{}", BASE64.encode(&HEXLOWER_PERMISSIVE.decode(DIGEST.as_bytes()).unwrap()));
        for digest in [DIGEST, &upper, &base64] {
            let read = read(&with(json!({"digest": digest}))).unwrap();
            let ImportedSecret::Digest { digest, .. } = read.secret else { panic!("a digest") };
            assert_eq!(HEXLOWER_PERMISSIVE.encode(&digest), DIGEST);
        }
        let sha512 = with(json!({"algorithm": "sha512", "digest": DIGEST.repeat(2)}));
        assert!(read(&sha512).is_ok());
        assert!(read(&with(json!({"algorithm": "hmac-sha256", "hmac_key": "old"}))).is_ok());
        for (salt, expected) in [("text:a:b", &b"a:b"[..]), ("6162", b"ab"), ("base64:YWI=", b"ab"), ("", b"")] {
            let line = json!({"algorithm": "pbkdf2-sha256", "salt": salt, "iterations": 1_000, "lookup": "abcd"});
            let ImportedSecret::Digest { scheme: ImportedScheme::Pbkdf2Sha256 { salt, .. }, lookup, .. } =
                read(&with(line)).unwrap().secret
            else {
                panic!("salted")
            };
            assert_eq!((&*salt, lookup.as_deref()), (expected, Some("abcd")));
        }
        let raw = json!({"raw": "sk_live_abc", "user_id": "bob"});
        assert!(matches!(read(&raw).unwrap().secret, ImportedSecret::Raw(text) if *text == "sk_live_abc"));
    }

    #[test]
    fn what_is_wrong_with_a_field_is_said() {
        let salted = |changes: Value| {
            let mut line = with(json!({
                "algorithm": "pbkdf2-sha256", "salt": "text:s", "iterations": 10_000, "lookup": "abcd"
            }));
            for (field, value) in changes.as_object().unwrap() {
                line[field] = value.clone();
            }
            line
        };
        for (line, words) in [
            (json!([1]), "must be a JSON object"),
            (json!({"user_id": "bob"}), "either raw or digest"),
            (with(json!({"raw": "x"})), "either raw or digest"),
            (json!({"raw": "x", "salt": "00", "user_id": "bob"}), "salt does not go"),
            (json!({"raw": "x", "algorithm": "sha256", "user_id": "bob"}), "algorithm does not go"),
            (json!({"raw": "x"}), "missing field `user_id`"),
            (with(json!({"plan": 1})), "unknown field `plan`"),
            (with(json!({"algorithm": null})), "algorithm is missing"),
            (with(json!({"algorithm": "md5"})), "algorithm must be sha256, sha512"),
            (with(json!({"algorithm": "sha512"})), "must have 64 bytes, not 32"),
            (with(json!({"digest": "abc"})), "digest must be hexadecimal"),
            (with(json!({"digest": "text:abc"})), "digest must be hexadecimal"),
            (with(json!({"digest": "base64:***"})), "digest must be hexadecimal"),
            (with(json!({"lookup": "abcd"})), "lookup does not go"),
            (with(json!({"algorithm": "hmac-sha256"})), "hmac_key is missing"),
            (salted(json!({"salt": null})), "salt is missing"),
            (salted(json!({"salt": "zz"})), "salt must be hexadecimal"),
            (salted(json!({"salt": format!("text:{}", "s".repeat(MAX_SALT + 1))})), "at most 128 bytes"),
            (salted(json!({"iterations": null})), "iterations is missing"),
            (salted(json!({"iterations": 999})), "must be 1000 to 2000000, not 999"),
            (salted(json!({"iterations": 2_000_001})), "must be 1000 to 2000000"),
            (salted(json!({"lookup": null})), "lookup is missing"),
            (salted(json!({"lookup": "abc"})), "lookup must be 4 to 64"),
            (salted(json!({"lookup": "a b c d"})), "lookup must be 4 to 64"),
            (salted(json!({"digest": "00"})), "must have 16 to 64 bytes"),
            (with(json!({"user_id": "a b"})), "user"),
            (with(json!({"limits": {"per_second": 1}})), "per_second"),
            (with(json!({"expires_in_days": 0})), "expires_in_days must be 1"),
            (with(json!({"expires_in_days": 1, "expires_at": null})), "goes without expires_at"),
            (with(json!({"expires_at": "tomorrow"})), "refused"),
            (with(json!({"metadata": 1})), "refused"),
            (with(json!({"allowed_ips": ["nowhere"]})), "refused"),
        ] {
            let error = read(&line).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
        let acme = OrganizationId::new("acme").unwrap();
        let long = format!("{{\"raw\":\"{}\"}}", "x".repeat(MAX_LINE));
        for (line, words) in [(&b"{\"raw\":"[..], "is not JSON"), (b"", "JSON object"), (long.as_bytes(), "at most")] {
            let error = ImportedKey::read(line, &acme).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn no_error_repeats_the_secret() {
        let secret = "sk_live_0123456789";
        for line in [
            json!({"raw": secret, "user_id": secret.repeat(9)}),
            json!({"raw": secret, "user_id": "bob", "iterations": secret}),
            json!({"raw": secret, "user_id": "bob", secret: 1}),
            json!({"digest": secret, "user_id": "bob", "algorithm": "sha256"}),
            json!({"raw": [secret], "user_id": "bob"}),
            json!({"raw": secret, "user_id": "bob", "scopes": [secret, "**", " "]}),
        ] {
            let error = read(&line).map(|_| ()).unwrap_err().to_string();
            assert!(!error.contains(secret), "{line}: {error}");
        }
    }
}
