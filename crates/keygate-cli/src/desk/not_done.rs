//! Why something was not done.

use std::borrow::Cow;
use std::fmt;

use keygate::denial::Denial;
use keygate::key::KeyId;
use keygate::manager::ManageError;

use crate::failure::Failure;

/// Why something was not done: one sentence for people, and what commands want to know.
#[derive(Debug)]
pub(crate) struct NotDone {
    sentence: String,
    /// The stable word for it, the same from a store and from a server.
    reason: Option<Cow<'static, str>>,
    is_in_doubt: bool,
    lost_key: Option<KeyId>,
}

impl NotDone {
    /// For this.
    pub(crate) fn new(sentence: impl fmt::Display) -> Self {
        Self { sentence: sentence.to_string(), reason: None, is_in_doubt: false, lost_key: None }
    }

    /// With the stable word for it.
    pub(super) fn because(self, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    /// It may have been done all the same.
    pub(super) fn in_doubt(self) -> Self {
        Self { is_in_doubt: true, ..self }
    }

    /// A key was made whose text nobody has.
    pub(super) fn with_lost_key(id: KeyId) -> Self {
        let sentence = format!("the key {id} was made, but the answer with its text was lost");
        Self { lost_key: Some(id), ..Self::new(sentence) }
    }

    /// Whether it is for this.
    pub(crate) fn is(&self, reason: &str) -> bool {
        self.reason.as_deref() == Some(reason)
    }

    /// Whether it may have been done all the same.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// The key that was made, and whose text nobody has.
    pub(crate) fn lost_key(&self) -> Option<KeyId> {
        self.lost_key
    }
}

impl fmt::Display for NotDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl From<ManageError> for NotDone {
    fn from(error: ManageError) -> Self {
        let not_done = Self::new(&error).because(error.reason());
        if matches!(error, ManageError::Store(_)) { not_done.in_doubt() } else { not_done }
    }
}

impl From<Denial> for NotDone {
    fn from(denial: Denial) -> Self {
        Self::new(&denial).because(denial.reason().as_str())
    }
}

impl From<NotDone> for Failure {
    fn from(not_done: NotDone) -> Self {
        Self::refused(not_done)
    }
}
