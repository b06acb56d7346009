//! What can be done, as the audit names it.

use std::fmt;
use std::str::FromStr;

/// What was done, or was to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// A key was made.
    KeyCreate,
    /// Several keys were made with one call.
    KeysCreate,
    /// Fields of a key were changed.
    KeyUpdate,
    /// A key was made active again.
    KeyActivate,
    /// A key was stopped until it is activated.
    KeyDeactivate,
    /// A key was stopped for good.
    KeyRevoke,
    /// A key was erased.
    KeyDelete,
    /// A key got a successor.
    KeyRotate,
    /// Whoever holds a key was handed its successor.
    KeyClaim,
    /// A key was refused, of which so many are written down each minute.
    KeyValidate,
    /// The same was done to many keys.
    KeysBulk,
    /// Keys were taken in that were made elsewhere.
    KeysImport,
    /// Sensitive fields of a key were opened.
    KeySensitive,
    /// When a key is to be rotated was set.
    RotationSet,
    /// When a key is to be rotated was taken away.
    RotationClear,
    /// A rotated key was ended before its overlap was over.
    RotationFinish,
    /// An organization was set up.
    OrganizationCreate,
    /// An organization was changed.
    OrganizationUpdate,
    /// A project was changed.
    ProjectUpdate,
    /// A role was written.
    RolePut,
    /// A role was taken away.
    RoleDelete,
    /// A user was changed; where it has left, its keys were revoked.
    UserUpdate,
    /// A webhook was made.
    WebhookCreate,
    /// A webhook got another secret.
    WebhookRenewSecret,
    /// A webhook was taken away.
    WebhookDelete,
    /// All webhooks of an organization were taken away.
    WebhooksDelete,
    /// A notice was sent to all webhooks, to try them.
    WebhooksTest,
    /// Notices that were given up were sent again.
    NoticesRedrive,
    /// A call of the management API, which was refused before it was known what it asks for.
    ManagementCall,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::KeyCreate,
        Self::KeysCreate,
        Self::KeyUpdate,
        Self::KeyActivate,
        Self::KeyDeactivate,
        Self::KeyRevoke,
        Self::KeyDelete,
        Self::KeyRotate,
        Self::KeyClaim,
        Self::KeyValidate,
        Self::KeysBulk,
        Self::KeysImport,
        Self::KeySensitive,
        Self::RotationSet,
        Self::RotationClear,
        Self::RotationFinish,
        Self::OrganizationCreate,
        Self::OrganizationUpdate,
        Self::ProjectUpdate,
        Self::RolePut,
        Self::RoleDelete,
        Self::UserUpdate,
        Self::WebhookCreate,
        Self::WebhookRenewSecret,
        Self::WebhookDelete,
        Self::WebhooksDelete,
        Self::WebhooksTest,
        Self::NoticesRedrive,
        Self::ManagementCall,
    ];

    /// The stable word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyCreate => "key.create",
            Self::KeysCreate => "keys.create",
            Self::KeyUpdate => "key.update",
            Self::KeyActivate => "key.activate",
            Self::KeyDeactivate => "key.deactivate",
            Self::KeyRevoke => "key.revoke",
            Self::KeyDelete => "key.delete",
            Self::KeyRotate => "key.rotate",
            Self::KeyClaim => "key.claim",
            Self::KeyValidate => "key.validate",
            Self::KeysBulk => "keys.bulk",
            Self::KeysImport => "keys.import",
            Self::KeySensitive => "key.sensitive",
            Self::RotationSet => "rotation.set",
            Self::RotationClear => "rotation.clear",
            Self::RotationFinish => "rotation.finish",
            Self::OrganizationCreate => "organization.create",
            Self::OrganizationUpdate => "organization.update",
            Self::ProjectUpdate => "project.update",
            Self::RolePut => "role.put",
            Self::RoleDelete => "role.delete",
            Self::UserUpdate => "user.update",
            Self::WebhookCreate => "webhook.create",
            Self::WebhookRenewSecret => "webhook.renew_secret",
            Self::WebhookDelete => "webhook.delete",
            Self::WebhooksDelete => "webhooks.delete",
            Self::WebhooksTest => "webhooks.test",
            Self::NoticesRedrive => "notices.redrive",
            Self::ManagementCall => "management.call",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such action: they are words such as key.create, key.revoke and keys.bulk")]
pub struct ActionError;

impl FromStr for Action {
    type Err = ActionError;
    fn from_str(text: &str) -> Result<Self, ActionError> {
        Self::ALL.into_iter().find(|action| action.as_str() == text).ok_or(ActionError)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_action_has_a_word_of_its_own() {
        let words: HashSet<_> = Action::ALL.into_iter().map(Action::as_str).collect();
        assert_eq!(words.len(), Action::ALL.len());
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(action));
        }
        assert_eq!("key.nothing".parse::<Action>(), Err(ActionError));
    }
}
