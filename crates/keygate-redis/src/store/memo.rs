//! What is remembered for a while: entries that end by themselves.

use std::time::Duration;

use keygate_core::store::{MemoName, StoreError, check_memo, memo_millis};

use super::RedisStore;
use super::reply::read;
use crate::scripts;

impl RedisStore {
    /// A script and no `SET` with `NX` and `GET`, which Redis 6.2 refuses together.
    pub(super) async fn remember_memo(
        &self,
        name: &MemoName,
        value: &[u8],
        ttl: Duration,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        check_memo(value)?;
        let call = scripts::REMEMBER.call(vec![self.layout.memo(name)]).arg(value).arg(memo_millis(ttl));
        read(self.link.run(&call).await)
    }

    pub(super) async fn recall_memo(&self, name: &MemoName) -> Result<Option<Vec<u8>>, StoreError> {
        read(self.link.query(redis::cmd("GET").arg(self.layout.memo(name))).await)
    }
}
