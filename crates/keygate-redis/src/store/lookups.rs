//! What imported keys are found by: an entry for each token, in the slot of the token.

use keygate_core::key::KeyId;
use keygate_core::store::{LookupToken, StoreError, check_lookups, read_lookup};

use super::RedisStore;
use super::reply::read;
use crate::scripts;

impl RedisStore {
    /// Gets that are sent together: a text is not found under most of its tokens.
    pub(super) async fn find_lookups(&self, tokens: &[LookupToken]) -> Result<Vec<Option<KeyId>>, StoreError> {
        check_lookups(tokens.len())?;
        let gets = tokens.iter().map(|token| {
            let mut get = redis::cmd("GET");
            get.arg(self.layout.lookup(token));
            get
        });
        let answers = self.link.query_all(gets.collect()).await;
        let found = tokens.iter().zip(answers).map(|(token, answer)| {
            let held: Option<Vec<u8>> = read(answer)?;
            held.map(|held| read_lookup(token, &held)).transpose()
        });
        found.collect()
    }

    pub(super) async fn take_all_lookups(
        &self,
        taken: &[(LookupToken, KeyId)],
    ) -> Result<Vec<Option<KeyId>>, StoreError> {
        check_lookups(taken.len())?;
        let calls: Vec<_> = taken
            .iter()
            .map(|(token, id)| scripts::TAKE_LOOKUP.call(vec![self.layout.lookup(token)]).arg(&id.as_bytes()[..]))
            .collect();
        let answers = self.link.run_all(&calls).await;
        let held = taken.iter().zip(answers).map(|((token, _), answer)| {
            let held: Option<Vec<u8>> = read(answer)?;
            held.map(|held| read_lookup(token, &held)).transpose()
        });
        held.collect()
    }

    pub(super) async fn free_one_lookup(&self, token: &LookupToken, id: KeyId) -> Result<bool, StoreError> {
        let call = scripts::FREE_LOOKUP.call(vec![self.layout.lookup(token)]).arg(&id.as_bytes()[..]);
        read(self.link.run(&call).await)
    }
}
