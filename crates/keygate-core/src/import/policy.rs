//! What may be imported, and how much is spent on texts that may be imported keys.

use super::pattern::{ImportPattern, MAX_PATTERNS, is_candidate};
use super::scheme::HmacKey;
use crate::names::NameError;

/// The most keys for HMAC: a text is digested under each.
pub const MAX_HMAC_KEYS: usize = 8;
/// How many texts are looked up in a second, where nobody says otherwise.
pub const DEFAULT_LOOKUPS_PER_SECOND: u32 = 2_000;

/// Which texts may be those of imported keys, and how much an instance spends on looking them up. All instances of a
/// deployment, and whoever imports, need the same. By default nothing is imported, and no text takes this path.
#[derive(Debug, Clone)]
pub struct ImportPolicy {
    pub(super) patterns: Vec<ImportPattern>,
    pub(super) keys: Vec<HmacKey>,
    pub(super) lookups_per_second: u32,
}

impl Default for ImportPolicy {
    fn default() -> Self {
        Self { patterns: Vec::new(), keys: Vec::new(), lookups_per_second: DEFAULT_LOOKUPS_PER_SECOND }
    }
}

impl ImportPolicy {
    /// Also takes texts of this form for those of imported keys.
    ///
    /// # Errors
    /// When there is a pattern of this name already, or there are [`MAX_PATTERNS`].
    pub fn pattern(mut self, pattern: ImportPattern) -> Result<Self, NameError> {
        if self.patterns.iter().any(|known| known.name() == pattern.name()) {
            return Err(NameError::new("import pattern", format!("{} is declared twice", pattern.name())));
        }
        if self.patterns.len() == MAX_PATTERNS {
            return Err(NameError::new("import patterns", format!("must be at most {MAX_PATTERNS}")));
        }
        self.patterns.push(pattern);
        Ok(self)
    }

    /// Also digests texts under this key.
    ///
    /// # Errors
    /// When there is a key of this name already, or there are [`MAX_HMAC_KEYS`].
    pub fn hmac_key(mut self, key: HmacKey) -> Result<Self, NameError> {
        if self.keys.iter().any(|known| known.name() == key.name()) {
            return Err(NameError::new("import HMAC key", format!("{} is declared twice", key.name())));
        }
        if self.keys.len() == MAX_HMAC_KEYS {
            return Err(NameError::new("import HMAC keys", format!("must be at most {MAX_HMAC_KEYS}")));
        }
        self.keys.push(key);
        Ok(self)
    }

    /// How many texts that may be imported keys, and are not kept in memory, are looked up in a second by one instance; of
    /// those beyond, it is answered that the store is not available. At least 1;
    /// [`DEFAULT_LOOKUPS_PER_SECOND`] if never called.
    #[must_use]
    pub fn lookups_per_second(mut self, lookups: u32) -> Self {
        self.lookups_per_second = lookups.max(1);
        self
    }

    /// Whether a text may be that of an imported key, by its length, its characters and the declared patterns. No text of the
    /// native form may, and none where no pattern is declared.
    #[must_use]
    pub fn admits(&self, text: &[u8]) -> bool {
        !self.patterns.is_empty() && is_candidate(text) && self.patterns.iter().any(|pattern| pattern.matches(text))
    }

    /// The patterns.
    #[must_use]
    pub fn patterns(&self) -> &[ImportPattern] {
        &self.patterns
    }

    /// The names of the keys for HMAC.
    pub fn hmac_key_names(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(HmacKey::name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_their_number_is_bounded() {
        let pattern = |nth: usize| ImportPattern::new(&format!("p{nth}"), "sk_[a-z]{20}").unwrap();
        let mut policy = ImportPolicy::default().pattern(pattern(0)).unwrap();
        let twice = policy.clone().pattern(pattern(0)).unwrap_err();
        assert!(twice.to_string().contains("p0 is declared twice"), "{twice}");
        for nth in 1..MAX_PATTERNS {
            policy = policy.pattern(pattern(nth)).unwrap();
        }
        assert!(policy.clone().pattern(pattern(MAX_PATTERNS)).is_err());
        let key = |nth: usize| HmacKey::new(&format!("k{nth}"), b"key").unwrap();
        for nth in 0..MAX_HMAC_KEYS {
            policy = policy.hmac_key(key(nth)).unwrap();
        }
        assert!(policy.clone().hmac_key(key(0)).is_err());
        assert!(policy.clone().hmac_key(key(MAX_HMAC_KEYS)).is_err());
        assert!(!format!("{policy:?}").contains("key\""));
    }
}
