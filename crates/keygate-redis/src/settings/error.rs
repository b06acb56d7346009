//! Why an address was refused.

/// An address was refused. Its sentence never shows the user or the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the Redis address {problem}")]
pub struct SettingsError {
    problem: String,
}

impl SettingsError {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into() }
    }
}
