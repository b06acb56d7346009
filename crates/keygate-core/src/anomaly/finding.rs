//! What was found. The JSON form is that of the management API.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::to_millis;
use crate::hex_id::hex_id;
use crate::key::KeyId;
use crate::names::OrganizationId;
use crate::usage::period::Day;

/// How many findings of an organization are kept, the newest.
pub const KEPT: usize = 1_000;
/// For how long a finding is kept.
pub const KEPT_FOR: TimeDelta = TimeDelta::days(90);

/// What a finding was found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rule {
    /// Far more requests than at this time of day.
    Volume,
    /// Far more errors than usual.
    ErrorRate,
    /// A place that the key was not used from before.
    NewLocation,
    /// A network that the key was not used from before.
    NewNetwork,
    /// A key that was not used for long.
    DormantAwakened,
    /// A scope that the key was not used for before.
    NewScope,
    /// Many networks in an hour.
    AddressSpread,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Volume,
        Self::ErrorRate,
        Self::NewLocation,
        Self::NewNetwork,
        Self::DormantAwakened,
        Self::NewScope,
        Self::AddressSpread,
    ];

    /// The word for it, which never changes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::ErrorRate => "error_rate",
            Self::NewLocation => "new_location",
            Self::NewNetwork => "new_network",
            Self::DormantAwakened => "dormant_awakened",
            Self::NewScope => "new_scope",
            Self::AddressSpread => "address_spread",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text is no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("rule must be volume, error_rate, new_location, new_network, dormant_awakened, new_scope or address_spread")]
pub struct RuleError;

impl FromStr for Rule {
    type Err = RuleError;
    fn from_str(text: &str) -> Result<Self, RuleError> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == text).ok_or(RuleError)
    }
}

/// Names a finding by its cause: the key, the rule, the value concerned and the day. So what several instances find, or one
/// again and again, has one id. Thirty-two hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FindingId([u8; 16]);

impl FindingId {
    fn of(key: KeyId, rule: Rule, value: Option<&str>, day: Day) -> Self {
        let mut digest = Sha256::new();
        digest.update(key.as_bytes());
        digest.update(day.0.to_be_bytes());
        digest.update(rule.as_str());
        // No word of a rule has a zero in it.
        digest.update([0]);
        digest.update(value.unwrap_or_default());
        let digest: [u8; 32] = digest.finalize().into();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }

    /// Its sixteen bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id of sixteen bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// A text is no id of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a finding's id must be 32 hexadecimal digits in lower case")]
pub struct FindingIdError;

hex_id!(FindingId, FindingIdError, "");

/// What a rule measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// What there was.
    pub observed: f64,
    /// What there would usually be.
    pub expected: f64,
    /// From how many observations that is known.
    pub sample_size: u64,
}

/// Something unusual in the use of a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finding {
    /// Its name, by its cause.
    pub id: FindingId,
    /// What it was found by.
    pub rule: Rule,
    /// The key.
    pub key_id: KeyId,
    /// The organization of the key.
    pub organization_id: OrganizationId,
    /// When it was found, to the millisecond.
    pub at: DateTime<Utc>,
    /// What was used for the first time: the place, the network (`203.0.0.0/16`) or the scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What there was. In the unit of its rule: requests in this hour; the share of errors, 0 to 1; how many such values
    /// were new; days without use; networks in an hour.
    pub observed: f64,
    /// What there would usually be, in the same unit.
    pub expected: f64,
    /// From how many observations the expectation is known: hours; requests; days; earlier days of use.
    pub sample_size: u64,
    /// One sentence for people.
    pub detail: String,
}

impl Finding {
    /// Something unusual that was found at a time, which is kept to the millisecond.
    #[must_use]
    pub fn new(
        rule: Rule,
        (key_id, organization_id): (KeyId, OrganizationId),
        at: DateTime<Utc>,
        value: Option<String>,
        measured: Measured,
        detail: String,
    ) -> Self {
        let Measured { observed, expected, sample_size } = measured;
        let id = FindingId::of(key_id, rule, value.as_deref(), Day::of(at));
        Self { id, rule, key_id, organization_id, at: to_millis(at), value, observed, expected, sample_size, detail }
    }

    /// Its place in a list.
    #[must_use]
    pub fn cursor(&self) -> FindingCursor {
        FindingCursor { millis: self.at.timestamp_millis(), id: self.id }
    }

    /// The finding as stores keep it: its JSON form.
    ///
    /// # Errors
    /// Never in practice: every field has a JSON form.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads what [`encode`](Self::encode) wrote, in this version or an earlier one.
    ///
    /// # Errors
    /// When it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

/// A place in a list of findings, newest first; of those of one millisecond, the greater id first. Opaque to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FindingCursor {
    /// When, in milliseconds since 1970.
    pub millis: i64,
    /// Which.
    pub id: FindingId,
}

impl fmt::Display for FindingCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.millis, self.id)
    }
}

impl From<FindingCursor> for String {
    fn from(cursor: FindingCursor) -> Self {
        cursor.to_string()
    }
}

/// A text is no place in a list of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cursor must be one that a page of findings gave")]
pub struct FindingCursorError;

impl FromStr for FindingCursor {
    type Err = FindingCursorError;
    fn from_str(text: &str) -> Result<Self, FindingCursorError> {
        let (millis, id) = text.split_once('.').ok_or(FindingCursorError)?;
        let cursor = millis.parse().ok().zip(id.parse().ok()).map(|(millis, id)| Self { millis, id });
        cursor.filter(|cursor| cursor.to_string() == text).ok_or(FindingCursorError)
    }
}

impl TryFrom<String> for FindingCursor {
    type Error = FindingCursorError;
    fn try_from(text: String) -> Result<Self, FindingCursorError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What version 1 wrote, a finding a line.
    const GOLDEN_V1: &str = include_str!("../../tests/golden/finding_v1.json");

    #[test]
    fn findings_of_version_1_are_readable_for_ever_and_written_the_same() {
        let values = [Some("DE"), None].into_iter().cycle();
        let findings =
            Rule::ALL.into_iter().zip(values).map(|(rule, value)| finding(rule, "2026-03-01T12:00:00.5Z", value));
        let written: Vec<String> =
            findings.clone().map(|finding| String::from_utf8(finding.encode().unwrap()).unwrap()).collect();
        assert_eq!(written, GOLDEN_V1.lines().collect::<Vec<_>>(), "{}", written.join("\n"));
        let read: Vec<Finding> = GOLDEN_V1.lines().map(|line| Finding::decode(line.as_bytes()).unwrap()).collect();
        assert_eq!(read, findings.collect::<Vec<_>>());
        // What a later version adds is passed over.
        let more = GOLDEN_V1.lines().next().unwrap().replacen('{', "{\"more\":1,", 1);
        assert_eq!(Finding::decode(more.as_bytes()).unwrap(), read[0]);
        assert!(Finding::decode(b"{}").is_err() && Finding::decode(b"").is_err());
    }

    fn finding(rule: Rule, at: &str, value: Option<&str>) -> Finding {
        let key = KeyId::from_bytes([7; 16]);
        let measured = Measured { observed: 3.0, expected: 0.25, sample_size: 12 };
        let subject = (key, "acme".parse().unwrap());
        Finding::new(rule, subject, at.parse().unwrap(), value.map(str::to_owned), measured, "So.".to_owned())
    }

    #[test]
    fn an_id_is_of_the_cause_and_the_day() {
        let morning = finding(Rule::NewLocation, "2026-03-01T00:00:00Z", Some("DE"));
        assert_eq!(morning.id, finding(Rule::NewLocation, "2026-03-01T23:59:59.999Z", Some("DE")).id);
        for other in [
            finding(Rule::NewLocation, "2026-03-02T00:00:00Z", Some("DE")),
            finding(Rule::NewLocation, "2026-03-01T00:00:00Z", Some("FR")),
            finding(Rule::NewLocation, "2026-03-01T00:00:00Z", None),
            finding(Rule::NewScope, "2026-03-01T00:00:00Z", Some("DE")),
        ] {
            assert_ne!(other.id, morning.id);
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (rule, value) in Rule::ALL.into_iter().zip([None, Some("DE")].into_iter().cycle()) {
            let finding = finding(rule, "2026-03-01T12:00:00.5Z", value);
            let json = serde_json::to_value(&finding).unwrap();
            assert_eq!(json["rule"], rule.as_str());
            assert_eq!(json.get("value").and_then(|value| value.as_str()), value);
            assert_eq!(serde_json::from_value::<Finding>(json).unwrap(), finding);
            assert_eq!(rule.as_str().parse(), Ok(rule));
            assert_eq!(finding.cursor().to_string().parse(), Ok(finding.cursor()));
            assert_eq!(finding.id.to_string().parse(), Ok(finding.id));
        }
        for text in ["", ".", "1", "1.0", "01.00000000000000000000000000000000", "1.0000000000000000000000000000000A"] {
            assert_eq!(text.parse::<FindingCursor>(), Err(FindingCursorError), "{text}");
        }
    }
}
