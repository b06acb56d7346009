//! Whether the store answers now, and still is the one this manager's keys are in.

use super::{ApiKeyManager, Inner, SetupError};
use crate::store::StoreError;

/// What a look at the store found. See [`ApiKeyManager::store_state`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreState {
    /// It answers, and is the deployment that the secrets belong to: keys can be checked.
    Confirmed,
    /// It does not answer.
    Unreachable,
    /// It answers, and its deployment marker cannot be read.
    Damaged,
    /// The marker that was there is gone, or another is in its place: the store was emptied or replaced.
    Emptied,
    /// It was set up under other secrets.
    WrongSecret,
    /// It has usable keys under a secret that is no longer there.
    SecretMissing,
    /// It answers, and could not be set up just now.
    Unconfirmed,
}

impl StoreState {
    /// The word for it: `confirmed`, `unknown` (it does not answer), `damaged`, `emptied`, `wrong_secret`,
    /// `secret_missing`, `unconfirmed`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Unreachable => "unknown",
            Self::Damaged => "damaged",
            Self::Emptied => "emptied",
            Self::WrongSecret => "wrong_secret",
            Self::SecretMissing => "secret_missing",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    /// Whether it answered at all.
    #[must_use]
    pub fn is_reachable(self) -> bool {
        self != Self::Unreachable
    }

    /// Whether keys can be checked.
    #[must_use]
    pub fn is_confirmed(self) -> bool {
        self == Self::Confirmed
    }
}

impl From<&StoreError> for StoreState {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Damaged { .. } => Self::Damaged,
            StoreError::Unavailable(_) => Self::Unreachable,
        }
    }
}

impl From<&SetupError> for StoreState {
    fn from(error: &SetupError) -> Self {
        match error {
            SetupError::Store(error) => (&**error).into(),
            SetupError::WrongSecret { .. } => Self::WrongSecret,
            SetupError::StillNamed { .. } | SetupError::StillSealed { .. } | SetupError::StillUnsealed { .. } => {
                Self::SecretMissing
            }
            SetupError::Emptied => Self::Emptied,
            SetupError::Contended | SetupError::Random(_) => Self::Unconfirmed,
        }
    }
}

impl ApiKeyManager {
    /// Asks the store once whether it answers and still is this manager's: one round trip, once the deployment is
    /// confirmed. Until then it is confirmed by this, as by [`open`](Self::open).
    ///
    /// It takes as long as the store's own patience, at most; a caller with less drops the future, which gives up the
    /// answer and nothing else.
    pub async fn store_state(&self) -> StoreState {
        let Inner { store, setup, .. } = &*self.inner;
        if setup.is_confirmed() {
            return match setup.marker(&**store).await {
                Ok(Some(_)) => StoreState::Confirmed,
                Ok(None) => StoreState::Emptied,
                Err(error) => (&error).into(),
            };
        }
        // Asked first, so that a store that is away is not complained of in the log each time somebody looks.
        if let Err(error) = store.deployment().await {
            return (&error).into();
        }
        match self.open().await {
            Ok(()) => StoreState::Confirmed,
            Err(error) => (&error).into(),
        }
    }
}
