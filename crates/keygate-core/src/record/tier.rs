//! How carefully a key is kept.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::names::NameError;
use crate::verifier::Scheme;

/// Chooses a key's defaults: its verifier scheme and its limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SecurityTier {
    /// A keyed digest and [`Limits::STANDARD`].
    #[default]
    Standard,
    /// PBKDF2 over the keyed digest and [`Limits::STANDARD`].
    High,
}

impl SecurityTier {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::High => "high",
        }
    }

    /// The scheme of its keys' verifiers.
    #[must_use]
    pub fn scheme(self) -> Scheme {
        match self {
            Self::Standard => Scheme::HmacSha256,
            Self::High => Scheme::PBKDF2,
        }
    }

    /// The limits of its keys.
    #[must_use]
    pub fn limits(self) -> Limits {
        match self {
            Self::Standard | Self::High => Limits::STANDARD,
        }
    }
}

impl fmt::Display for SecurityTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for SecurityTier {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        [Self::Standard, Self::High]
            .into_iter()
            .find(|tier| tier.as_str() == text)
            .ok_or_else(|| NameError::new("security tier", "must be standard or high"))
    }
}
