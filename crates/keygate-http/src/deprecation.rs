//! What clients are told of a key that was rotated, with each answer to a request made with the old one.
//!
//! ```text
//! Deprecation: @1767225600
//! Sunset: Thu, 08 Jan 2026 00:00:00 GMT
//! Link: <urn:uuid:01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f>; rel="successor-version"
//! ```
//!
//! Since when the key is replaced (RFC 9745), when it ends (RFC 8594), and by which key (RFC 8288, with the relation of
//! RFC 5829): its successor's id, which is public, as a URN (RFC 9562). An answer that has one of the first two already, as of
//! a route that is deprecated itself, is left as it is.
//!
//! # Example
//!
//! ```
//! use chrono::DateTime;
//! use keygate_http::deprecation::{Deprecation, deprecation};
//!
//! let at = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
//! let successor = "01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f".parse().unwrap();
//! let Deprecation { deprecation, sunset, link } = deprecation(successor, at, Some(at));
//! assert_eq!(deprecation, "@1767225600");
//! assert_eq!(sunset.unwrap(), "Thu, 01 Jan 2026 00:00:00 GMT");
//! assert_eq!(link, r#"<urn:uuid:01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f>; rel="successor-version""#);
//! ```

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use keygate_core::context::Admission;
use keygate_core::key::KeyId;
use keygate_core::record::{Key, Superseded};

/// The name of the field that says since when a key is replaced, in lower case.
pub const DEPRECATION: &str = "deprecation";
/// The name of the field that says when it ends, in lower case.
pub const SUNSET: &str = "sunset";
/// The name of the field that says by which key, in lower case.
pub const LINK: &str = "link";

/// What an answer tells of a key that was replaced: the values of the three fields, in printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deprecation {
    /// Since when it is replaced.
    pub deprecation: String,
    /// When it ends.
    pub sunset: Option<String>,
    /// By which key.
    pub link: String,
}

impl Deprecation {
    /// What is to be told of the key of a request. `None` of one that was not replaced.
    #[must_use]
    pub fn of(admission: &Admission) -> Option<Self> {
        Some(Self::of_key(admission, admission.superseded()?))
    }

    pub(crate) fn of_key(key: &Key, superseded: Superseded) -> Self {
        let Superseded { successor_id, at } = superseded;
        deprecation(successor_id, at, key.expires_at)
    }

    /// Its fields, by their names.
    pub fn into_fields(self) -> impl Iterator<Item = (&'static str, String)> {
        let Self { deprecation, sunset, link } = self;
        let fields = [(DEPRECATION, Some(deprecation)), (SUNSET, sunset), (LINK, Some(link))];
        fields.into_iter().filter_map(|(name, field)| Some((name, field?)))
    }
}

/// What is told of a key that was replaced by `successor` at this time, and ends then.
#[must_use]
pub fn deprecation(successor: KeyId, at: DateTime<Utc>, end: Option<DateTime<Utc>>) -> Deprecation {
    // A date has four digits of a year, and no sign.
    let sayable = |end: &DateTime<Utc>| (0..253_402_300_800).contains(&end.timestamp());
    Deprecation {
        deprecation: format!("@{}", at.timestamp()),
        sunset: end.filter(sayable).map(|end| httpdate::fmt_http_date(SystemTime::from(end))),
        link: format!("<urn:uuid:{successor}>; rel=\"successor-version\""),
    }
}
