//! What is known of keys' habits: an entry in the key's slot, under a name that nobody is told of, which ends by itself.

use keygate_core::anomaly::habits::HABITS_KEPT_DAYS;
use keygate_core::key::KeyId;
use keygate_core::store::StoreError;

use super::RedisStore;
use super::reply::read;
use crate::scripts;

const DAY_MILLIS: u64 = 86_400_000;

impl RedisStore {
    pub(super) async fn read_habits(&self, key: KeyId) -> Result<Option<Vec<u8>>, StoreError> {
        read(self.link.query(redis::cmd("GET").arg(self.layout.habits(key))).await)
    }

    pub(super) async fn swap_habits(
        &self,
        key: KeyId,
        previous: Option<&[u8]>,
        next: &[u8],
    ) -> Result<bool, StoreError> {
        let kept = u64::from(HABITS_KEPT_DAYS) * DAY_MILLIS;
        let call = scripts::PUT_HABITS.call(vec![self.layout.habits(key), self.layout.record(key)]).arg(next).arg(kept);
        let call = match previous {
            Some(previous) => call.arg(previous),
            None => call,
        };
        read(self.link.run(&call).await)
    }
}
