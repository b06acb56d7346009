//! A map of a few entries: an ordered list of pairs.
//!
//! Most deltas are of one hour, one endpoint and one month, and a hundred thousand of them may be kept: a `BTreeMap` makes
//! room for eleven entries with the first.

use serde::{Deserialize, Serialize};

/// Pairs, each key once, in the order of the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Few<K, V>(Vec<(K, V)>);

/// The place of one key.
#[derive(Debug)]
pub struct Place<'a, K, V> {
    few: &'a mut Vec<(K, V)>,
    found: Result<usize, usize>,
    key: K,
}

impl<'a, K, V: Default> Place<'a, K, V> {
    /// What is there, and what there is by default where there is nothing yet.
    pub fn or_default(self) -> &'a mut V {
        let at = match self.found {
            Ok(at) => at,
            Err(at) => {
                if self.few.is_empty() {
                    self.few.reserve_exact(1);
                }
                self.few.insert(at, (self.key, V::default()));
                at
            }
        };
        &mut self.few[at].1
    }
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> Few<K, V> {
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.0.binary_search_by(|(other, _)| other.borrow().cmp(key))
    }

    /// The place of a key.
    pub fn entry(&mut self, key: K) -> Place<'_, K, V> {
        let found = self.find(&key);
        Place { few: &mut self.0, found, key }
    }

    /// What there is of a key.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.find(key).ok().and_then(|at| self.0.get_mut(at)).map(|(_, value)| value)
    }

    /// Puts a value at a key, in the place of the one that was there.
    pub fn insert(&mut self, key: K, value: V) {
        match self.find(&key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, value)),
        }
    }
}

impl<K, V> Few<K, V> {
    /// The entries, in their order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The keys, in their order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    /// The values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// The values, to change.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

/// Entries of a [`Few`].
pub type Iter<'a, K, V> = std::iter::Map<std::slice::Iter<'a, (K, V)>, fn(&'a (K, V)) -> (&'a K, &'a V)>;

impl<'a, K, V> IntoIterator for &'a Few<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;
    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Few<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut few = Self::default();
        pairs.into_iter().for_each(|(key, value)| few.insert(key, value));
        few
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for Few<K, V> {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(changes in prop::collection::vec((0..10_u8, any::<u8>(), any::<bool>()), 0..40)) {
            let (mut few, mut map) = (Few::default(), BTreeMap::new());
            for (key, value, is_insert) in changes {
                if is_insert {
                    few.insert(key, value);
                    map.insert(key, value);
                } else {
                    let (sum, expected) = (few.entry(key).or_default(), map.entry(key).or_default());
                    *sum = sum.wrapping_add(value);
                    *expected = expected.wrapping_add(value);
                }
                prop_assert!(few.iter().eq(map.iter()) && few.keys().eq(map.keys()) && few.values().eq(map.values()));
                prop_assert_eq!(few.get_mut(&key), map.get_mut(&key));
                prop_assert_eq!((few.len(), few.is_empty()), (map.len(), map.is_empty()));
            }
        }
    }
}
