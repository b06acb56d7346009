//! The public id of a key: a UUIDv7, whose last ten bits choose the bucket its data is kept in.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

/// How many buckets a store spreads its keys over.
pub const BUCKETS: u16 = 1024;

/// One of [`BUCKETS`] places a store keeps a key in. All that belongs to one key is in one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket(u16);

impl Bucket {
    /// The bucket of a number, which is taken modulo [`BUCKETS`].
    #[must_use]
    pub fn of(number: u64) -> Self {
        Self((number % u64::from(BUCKETS)) as u16)
    }

    /// Its number, below [`BUCKETS`].
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Bucket {
    /// Four digits, as in the names of store entries: `b0042`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{:04}", self.0)
    }
}

/// Why a text is not a key id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("key id must be a UUID in lower case with hyphens, such as 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f")]
pub struct KeyIdError;

/// The public id of a key: a UUIDv7, so ids sort by the time they were made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(Uuid);

impl KeyId {
    /// A fresh id for the given time. With a bucket (a successor's, from its lineage) it lands in that bucket.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn fresh(now: DateTime<Utc>, bucket: Option<Bucket>) -> Result<Self, getrandom::Error> {
        let mut random = [0; 10];
        getrandom::fill(&mut random)?;
        if let Some(bucket) = bucket {
            let [high, low] = bucket.0.to_be_bytes();
            random[8] = (random[8] & !0b11) | high;
            random[9] = low;
        }
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        Ok(Self(Builder::from_unix_timestamp_millis(millis, &random).into_uuid()))
    }

    /// The bucket everything of this key is kept in.
    #[must_use]
    pub fn bucket(self) -> Bucket {
        Bucket::of(self.0.as_u128() as u64)
    }

    /// The id's sixteen bytes, big-endian: they sort by the time the id was made.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id of sixteen bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    pub(super) fn from_u128(number: u128) -> Self {
        Self(Uuid::from_u128(number))
    }

    pub(super) fn as_u128(self) -> u128 {
        self.0.as_u128()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;
    /// Takes the one spelling that `Display` writes.
    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let id = Uuid::try_parse(text).map(Self).map_err(|_| KeyIdError)?;
        if id.0.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text { Ok(id) } else { Err(KeyIdError) }
    }
}

impl TryFrom<String> for KeyId {
    type Error = KeyIdError;
    fn try_from(text: String) -> Result<Self, KeyIdError> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> String {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_lands_in_its_lineages_bucket() {
        for number in [0, 1, 255, 256, 1023] {
            let bucket = Bucket::of(number);
            let id = KeyId::fresh(Utc::now(), Some(bucket)).unwrap();
            assert_eq!(id.bucket(), bucket);
            assert_eq!(id.0.get_version_num(), 7);
        }
    }

    #[test]
    fn one_spelling_of_an_id_is_read() {
        let id = KeyId::fresh(Utc::now(), None).unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        for other in
            [id.to_string().to_uppercase(), id.0.simple().to_string(), id.0.braced().to_string(), format!("{id} ")]
        {
            assert_eq!(other.parse::<KeyId>(), Err(KeyIdError), "{other}");
        }
    }
}
