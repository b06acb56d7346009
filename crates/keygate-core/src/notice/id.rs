//! What a notice is known by.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::event::NoticeKind;
use crate::anomaly::FindingId;
use crate::hex_id::hex_id;
use crate::key::KeyId;
use crate::names::{OrganizationId, ProjectId};
use crate::record::Revision;
use crate::usage::period::Day;

/// Names a notice by its cause. So whoever finds the same cause, in whatever instance and however often, makes the same
/// notice. It is written `msg_` and thirty-two hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NoticeId([u8; 16]);

impl NoticeId {
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

/// Why a notice is made. Two of one cause are one notice.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cause<'a> {
    /// What happens to a key once.
    Once(NoticeKind, KeyId),
    /// What is due to a key at a time, so many days before something.
    At(NoticeKind, KeyId, DateTime<Utc>, u16),
    /// What a key meets, told once a day.
    Daily(NoticeKind, KeyId, &'a str, Day),
    /// What was found.
    Finding(FindingId),
    /// That somebody asked for it, told once a minute.
    Asked(NoticeKind, &'a OrganizationId, i64),
    /// The write of an organization's or a project's record.
    Parent(NoticeKind, &'a OrganizationId, Option<&'a ProjectId>, Revision),
}

impl Cause<'_> {
    pub(crate) fn id(self) -> NoticeId {
        let mut digest = Sha256::new();
        let mut part = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        match self {
            Self::Once(kind, key) => {
                part(kind.as_str().as_bytes());
                part(key.as_bytes());
            }
            Self::At(kind, key, at, days) => {
                part(kind.as_str().as_bytes());
                part(key.as_bytes());
                part(&at.timestamp_millis().to_be_bytes());
                part(&days.to_be_bytes());
            }
            Self::Daily(kind, key, what, day) => {
                part(kind.as_str().as_bytes());
                part(key.as_bytes());
                part(what.as_bytes());
                part(&day.0.to_be_bytes());
            }
            Self::Finding(finding) => {
                part(NoticeKind::KeyAnomaly.as_str().as_bytes());
                part(finding.as_bytes());
            }
            Self::Asked(kind, organization, minute) => {
                part(kind.as_str().as_bytes());
                part(organization.as_str().as_bytes());
                part(&minute.to_be_bytes());
            }
            Self::Parent(kind, organization, project, revision) => {
                part(kind.as_str().as_bytes());
                part(organization.as_str().as_bytes());
                part(project.map_or("", ProjectId::as_str).as_bytes());
                part(&revision.0.to_be_bytes());
            }
        }
        let digest: [u8; 32] = digest.finalize().into();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        NoticeId(id)
    }
}

/// A text is no id of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a notice's id must be msg_ and 32 hexadecimal digits in lower case")]
pub struct NoticeIdError;

hex_id!(NoticeId, NoticeIdError, "msg_");
