//! Why a setting was refused.

/// A setting was refused. Its sentence never shows the user or the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct SettingsError {
    sentence: String,
}

impl SettingsError {
    /// Of an address.
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self { sentence: format!("the Redis address {}", problem.into()) }
    }

    /// Of anything else.
    pub(super) fn of(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into() }
    }
}
