//! Which keys something is due to: a list for each day, in the slots of the keys, written with their records. A key may
//! stay on a list that it is not due on any more, so that only who goes through the list need take it off.

use keygate_core::key::{Bucket, KeyId};
use keygate_core::lifecycle::due;
use keygate_core::record::{KeyRecord, Revision};
use keygate_core::store::{Due, StoreError};
use keygate_core::usage::period::Day;

use super::RedisStore;
use super::reply::read;
use crate::link::Call;
use crate::scripts;

/// Days that are read in one call.
const DAYS: usize = 64;

/// What is listed with a record: the names of the lists behind its own, and the arguments behind its own.
pub(super) struct Listed {
    pub(super) names: Vec<String>,
    id: KeyId,
    day: Option<Day>,
}

impl Listed {
    /// Adds the arguments to a call that was made with the names.
    pub(super) fn push(&self, call: &mut Call) {
        if let Some(day) = self.day {
            call.push(self.id.as_bytes());
            call.push(day.0);
        }
    }
}

impl RedisStore {
    /// On which list a record is to be.
    pub(super) fn listed(&self, record: &KeyRecord) -> Listed {
        let (id, day) = (record.key.id, due(record).map(Day::of));
        let bucket = id.bucket();
        let names = day.map_or_else(Vec::new, |day| vec![self.layout.due(bucket, day), self.layout.due_days(bucket)]);
        Listed { names, id, day }
    }

    pub(super) async fn list_due(
        &self,
        bucket: u16,
        until: Day,
        after: Option<Due>,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let bucket = Bucket::of(bucket.into());
        let mut listed = Vec::new();
        let mut begin = after.map_or(0, |after| after.day.0);
        loop {
            let mut days = redis::cmd("ZRANGEBYSCORE");
            days.arg(self.layout.due_days(bucket)).arg(begin).arg(until.0).arg("LIMIT").arg(0).arg(DAYS);
            let days: Vec<u32> = read(self.link.query(&days).await)?;
            for day in days.iter().copied().map(Day) {
                self.list_day(bucket, day, after, limit - listed.len(), &mut listed).await?;
                if listed.len() >= limit {
                    return Ok(listed);
                }
            }
            match days.last() {
                Some(last) if days.len() == DAYS => begin = last.saturating_add(1),
                _ => return Ok(listed),
            }
        }
    }

    async fn list_day(
        &self,
        bucket: Bucket,
        day: Day,
        after: Option<Due>,
        limit: usize,
        listed: &mut Vec<Due>,
    ) -> Result<(), StoreError> {
        let mut page = redis::cmd("ZRANGEBYLEX");
        page.arg(self.layout.due(bucket, day));
        match after.filter(|after| after.day == day) {
            Some(after) => page.arg([&b"("[..], after.id.as_bytes()].concat()),
            None => page.arg("-"),
        };
        page.arg("+").arg("LIMIT").arg(0).arg(limit);
        let ids: Vec<Vec<u8>> = read(self.link.query(&page).await)?;
        for id in ids {
            let bytes =
                id.try_into().map_err(|_| StoreError::damaged("a list of keys", "it has what is no key's id"))?;
            listed.push(Due { day, id: KeyId::from_bytes(bytes) });
        }
        Ok(())
    }

    pub(super) async fn unlist_due(&self, listed: Due, seen: Option<Revision>) -> Result<(), StoreError> {
        let Due { day, id } = listed;
        let bucket = id.bucket();
        let names = vec![self.layout.record(id), self.layout.due(bucket, day), self.layout.due_days(bucket)];
        let seen = seen.map_or_else(Vec::new, |seen| seen.0.to_be_bytes().to_vec());
        let call = scripts::NOT_DUE.call(names).arg(seen).arg(id.as_bytes()).arg(day.0);
        read::<u8>(self.link.run(&call).await).map(drop)
    }
}
