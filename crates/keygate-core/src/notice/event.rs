//! What a notice tells. Its JSON form is the body that a webhook gets.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::id::NoticeId;
use crate::anomaly::Finding;
use crate::key::KeyId;
use crate::names::{Environment, KeyName, OrganizationId, ProjectId, Reason, UserId};
use crate::record::Key;

/// What a notice is of. The words never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum NoticeKind {
    /// A key was made.
    KeyCreated,
    /// A key is to be rotated soon.
    KeyRotationDue,
    /// A key has a successor.
    KeyRotated,
    /// A key ends soon.
    KeyExpiring,
    /// A key has ended.
    KeyExpired,
    /// A key was not used for long.
    KeyUnused,
    /// A key was stopped until it is activated again.
    KeyDeactivated,
    /// A key was stopped for good.
    KeyRevoked,
    /// A limit of a key, or of what it belongs to, is used up.
    KeyLimitReached,
    /// The use of a key is unlike what it was.
    KeyAnomaly,
    /// The keys of an organization are refused.
    OrganizationSuspended,
    /// The keys of a project are refused.
    ProjectSuspended,
    /// Somebody wants to see whether notices arrive.
    Test,
}

impl NoticeKind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::KeyCreated,
        Self::KeyRotationDue,
        Self::KeyRotated,
        Self::KeyExpiring,
        Self::KeyExpired,
        Self::KeyUnused,
        Self::KeyDeactivated,
        Self::KeyRevoked,
        Self::KeyLimitReached,
        Self::KeyAnomaly,
        Self::OrganizationSuspended,
        Self::ProjectSuspended,
        Self::Test,
    ];

    /// The word for it, which never changes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyCreated => "key.created",
            Self::KeyRotationDue => "key.rotation_due",
            Self::KeyRotated => "key.rotated",
            Self::KeyExpiring => "key.expiring",
            Self::KeyExpired => "key.expired",
            Self::KeyUnused => "key.unused",
            Self::KeyDeactivated => "key.deactivated",
            Self::KeyRevoked => "key.revoked",
            Self::KeyLimitReached => "key.limit_reached",
            Self::KeyAnomaly => "key.anomaly",
            Self::OrganizationSuspended => "organization.suspended",
            Self::ProjectSuspended => "project.suspended",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text is no kind of notice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of notice: it must be {kinds}", kinds = kinds())]
pub struct NoticeKindError(String);

fn kinds() -> String {
    NoticeKind::ALL.map(NoticeKind::as_str).join(", ")
}

impl FromStr for NoticeKind {
    type Err = NoticeKindError;
    fn from_str(text: &str) -> Result<Self, NoticeKindError> {
        let kind = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        kind.ok_or_else(|| NoticeKindError(text.chars().take(64).collect()))
    }
}

impl TryFrom<String> for NoticeKind {
    type Error = NoticeKindError;
    fn try_from(text: String) -> Result<Self, NoticeKindError> {
        text.parse()
    }
}

impl From<NoticeKind> for String {
    fn from(kind: NoticeKind) -> Self {
        kind.as_str().to_owned()
    }
}

/// What is told of the key that a notice is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AboutKey {
    /// The key.
    pub key_id: KeyId,
    /// Its owner.
    pub user_id: UserId,
    /// The project it is for, if for one.
    pub project_id: Option<ProjectId>,
    /// What people call it.
    pub name: KeyName,
    /// Where it may be used.
    pub environment: Environment,
    /// When it ends, as far as is known when the notice is made.
    pub expires_at: Option<DateTime<Utc>>,
}

impl From<&Key> for AboutKey {
    fn from(key: &Key) -> Self {
        Self {
            key_id: key.id,
            user_id: key.user.clone(),
            project_id: key.project.clone(),
            name: key.name.clone(),
            environment: key.environment,
            expires_at: key.expires_at,
        }
    }
}

/// What has happened, or is about to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A key was made.
    Created {
        /// The key.
        key: AboutKey,
    },
    /// A key is to be rotated soon.
    RotationDue {
        /// The key.
        key: AboutKey,
        /// When.
        next_rotation: DateTime<Utc>,
        /// Whether that happens by itself.
        auto_rotate: bool,
    },
    /// A key has a successor.
    Rotated {
        /// The key.
        key: AboutKey,
        /// The key that replaces it.
        successor_id: KeyId,
        /// Until when the old key is good.
        overlap_expires_at: DateTime<Utc>,
        /// Whether whoever holds the old key can claim the new one with it.
        hand_over: bool,
    },
    /// A key ends soon.
    Expiring {
        /// The key.
        key: AboutKey,
        /// So many days are left, rounded up.
        days: u16,
    },
    /// A key has ended.
    Expired {
        /// The key.
        key: AboutKey,
    },
    /// A key was not used for long.
    Unused {
        /// The key.
        key: AboutKey,
        /// Since when: its last use, or its making where it never was.
        since: DateTime<Utc>,
        /// For so many days.
        days: u16,
    },
    /// A key was stopped until it is activated again.
    Deactivated {
        /// The key.
        key: AboutKey,
        /// When.
        at: DateTime<Utc>,
        /// Why, if somebody said.
        reason: Option<Reason>,
    },
    /// A key was stopped for good.
    Revoked {
        /// The key.
        key: AboutKey,
        /// Why, if somebody said.
        reason: Option<Reason>,
    },
    /// A limit of a key, or of what it belongs to, is used up. Told once a day of a key and a window.
    LimitReached {
        /// The key that met it.
        key: AboutKey,
        /// Whose limit it is: `key`, `user`, `project` or `organization`.
        level: String,
        /// Its window: `minute`, `hour`, `day`, `month` or `burst`.
        window: String,
        /// How much it allows.
        limit: u64,
    },
    /// The use of a key is unlike what it was.
    Anomaly {
        /// What was found, and in the use of which key.
        finding: Box<Finding>,
    },
    /// The keys of an organization are refused.
    OrganizationSuspended,
    /// The keys of a project are refused.
    ProjectSuspended {
        /// The project.
        project_id: ProjectId,
    },
    /// Somebody wants to see whether notices arrive.
    Test,
}

impl Event {
    /// What it is of.
    #[must_use]
    pub fn kind(&self) -> NoticeKind {
        match self {
            Self::Created { .. } => NoticeKind::KeyCreated,
            Self::RotationDue { .. } => NoticeKind::KeyRotationDue,
            Self::Rotated { .. } => NoticeKind::KeyRotated,
            Self::Expiring { .. } => NoticeKind::KeyExpiring,
            Self::Expired { .. } => NoticeKind::KeyExpired,
            Self::Unused { .. } => NoticeKind::KeyUnused,
            Self::Deactivated { .. } => NoticeKind::KeyDeactivated,
            Self::Revoked { .. } => NoticeKind::KeyRevoked,
            Self::LimitReached { .. } => NoticeKind::KeyLimitReached,
            Self::Anomaly { .. } => NoticeKind::KeyAnomaly,
            Self::OrganizationSuspended => NoticeKind::OrganizationSuspended,
            Self::ProjectSuspended { .. } => NoticeKind::ProjectSuspended,
            Self::Test => NoticeKind::Test,
        }
    }

    /// The key that it is of, if it is of one.
    #[must_use]
    pub fn key(&self) -> Option<&AboutKey> {
        match self {
            Self::Created { key }
            | Self::RotationDue { key, .. }
            | Self::Rotated { key, .. }
            | Self::Expiring { key, .. }
            | Self::Expired { key }
            | Self::Unused { key, .. }
            | Self::Deactivated { key, .. }
            | Self::Revoked { key, .. }
            | Self::LimitReached { key, .. } => Some(key),
            Self::Anomaly { .. } | Self::OrganizationSuspended | Self::ProjectSuspended { .. } | Self::Test => None,
        }
    }

    /// What is told beyond the organization and the key.
    fn details(&self) -> Value {
        match self {
            Self::RotationDue { next_rotation, auto_rotate, .. } => {
                json!({ "next_rotation": next_rotation, "auto_rotate": auto_rotate })
            }
            Self::Rotated { successor_id, overlap_expires_at, hand_over, .. } => json!({
                "successor_id": successor_id,
                "overlap_expires_at": overlap_expires_at,
                "hand_over": hand_over,
            }),
            Self::Expiring { days, .. } => json!({ "days": days }),
            Self::Unused { since, days, .. } => json!({ "unused_since": since, "days": days }),
            Self::Deactivated { reason, .. } | Self::Revoked { reason, .. } => json!({ "reason": reason }),
            Self::LimitReached { level, window, limit, .. } => {
                json!({ "level": level, "window": window, "limit": limit })
            }
            Self::Anomaly { finding } => json!(finding),
            Self::ProjectSuspended { project_id } => json!({ "project_id": project_id }),
            Self::Created { .. } | Self::Expired { .. } | Self::OrganizationSuspended | Self::Test => json!({}),
        }
    }
}

/// Something that is told once, to everybody who is to hear of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Names it by its cause: whoever gets it twice can tell by this.
    pub id: NoticeId,
    /// When what it tells of was found.
    pub at: DateTime<Utc>,
    /// The tenant it concerns.
    pub organization_id: OrganizationId,
    /// What it tells.
    pub event: Event,
}

impl Notice {
    /// What it is of.
    #[must_use]
    pub fn kind(&self) -> NoticeKind {
        self.event.kind()
    }

    /// The notice as it is sent: `{"type", "timestamp", "data"}`, as the
    /// [Standard Webhooks](https://www.standardwebhooks.com) have it. `data` has `organization_id`, what is told of the key
    /// (`key_id`, `user_id`, `project_id`, `name`, `environment`, `expires_at`), and what is told besides.
    #[must_use]
    pub fn payload(&self) -> Value {
        let mut data = Map::new();
        data.insert("organization_id".to_owned(), json!(self.organization_id));
        for part in [self.event.key().map_or(Value::Null, |key| json!(key)), self.event.details()] {
            if let Value::Object(fields) = part {
                data.extend(fields);
            }
        }
        json!({ "type": self.kind(), "timestamp": self.at, "data": data })
    }
}
