//! Notices that wait, and those that were given up: in a few lists, each in a slot of its own, so that whoever brings them
//! need not look in many places. What is of one organization is in one of them.

use chrono::{DateTime, Utc};
use keygate_core::names::OrganizationId;
use keygate_core::notice::{Fate, MAX_GIVEN_UP, NoticeId, Parcel, Posted, Posting, SENT_KEPT, WebhookRecord};
use keygate_core::record::Revision;
use keygate_core::store::{Acknowledgement, StoreError, WriteRefusal};

use super::RedisStore;
use super::markers::decode;
use super::reply::{read, unexpected};
use crate::layout::Layout;
use crate::scripts;

/// What stands for a notice in the lists: its id, and its organization.
fn member(notice: &Parcel) -> Vec<u8> {
    [notice.id.as_bytes(), notice.organization.as_str().as_bytes()].concat()
}

fn notice(member: &[u8], due: DateTime<Utc>, bytes: Vec<u8>) -> Result<Parcel, StoreError> {
    let damaged = || StoreError::damaged("a list of notices", "it has what is no notice");
    let (id, organization) = member.split_first_chunk::<16>().ok_or_else(damaged)?;
    let organization = std::str::from_utf8(organization).ok().and_then(|text| OrganizationId::new(text).ok());
    let organization = organization.ok_or_else(damaged)?;
    Ok(Parcel { organization, id: NoticeId::from_bytes(*id), due, bytes })
}

/// A notice, but for one that is none, which must not keep the others from being sent.
fn readable(notice: Result<Parcel, StoreError>) -> Option<Parcel> {
    notice.inspect_err(|error| tracing::error!(target: "keygate::notice", %error, "a notice cannot be read")).ok()
}

fn posted(word: &str) -> Result<Posted, StoreError> {
    match word {
        "new" => Ok(Posted::New),
        "known" => Ok(Posted::Known),
        "full" => Ok(Posted::Full),
        _ => Err(unexpected()),
    }
}

impl RedisStore {
    pub(super) async fn read_webhooks(
        &self,
        organization: &OrganizationId,
    ) -> Result<Option<WebhookRecord>, StoreError> {
        let name = self.layout.webhooks(organization);
        let held: Option<Vec<u8>> = read(self.link.query(redis::cmd("GET").arg(&name)).await)?;
        held.map(|bytes| decode(&name, &bytes)).transpose()
    }

    pub(super) async fn write_webhooks(
        &self,
        record: &WebhookRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.write_parent(self.layout.webhooks(&record.organization), record, record.revision, expected).await
    }

    pub(super) async fn keep_notice(&self, notice: &Parcel, how: Posting) -> Result<Posted, StoreError> {
        let [notices, waiting, counts, sent, _] = self.notice_names(notice);
        let call = scripts::PUT_NOTICE.call(vec![notices, waiting, counts, sent]);
        let call = call.arg(member(notice)).arg(notice.organization.as_str()).arg(notice.due.timestamp_millis());
        let call = call.arg(&notice.bytes[..]).arg(how.room).arg(u8::from(how.replaces));
        posted(&read::<String>(self.link.run(&call).await)?)
    }

    pub(super) async fn take_due_notices(
        &self,
        shard: u16,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Parcel>, StoreError> {
        let names = vec![self.layout.notices(shard), self.layout.notices_waiting(shard)];
        let call = scripts::TAKE_NOTICES.call(names);
        let call = call.arg(now.timestamp_millis()).arg(until.timestamp_millis()).arg(limit);
        let taken: Vec<(Vec<u8>, Vec<u8>)> = read(self.link.run(&call).await)?;
        Ok(taken.into_iter().filter_map(|(member, bytes)| readable(notice(&member, until, bytes))).collect())
    }

    pub(super) async fn end_notice(&self, taken: &Parcel, fate: &Fate) -> Result<bool, StoreError> {
        let (word, time, bytes) = match fate {
            Fate::Later { due, bytes } => ("later", due.timestamp_millis(), &bytes[..]),
            Fate::GivenUp { at, bytes } => ("given_up", at.timestamp_millis(), &bytes[..]),
            Fate::Sent => ("sent", SENT_KEPT.num_milliseconds(), &[][..]),
            Fate::Forgotten => ("forgotten", 0, &[][..]),
        };
        let call = scripts::SETTLE_NOTICE.call(self.notice_names(taken).to_vec());
        let call = call.arg(member(taken)).arg(taken.organization.as_str()).arg(taken.due.timestamp_millis());
        read(self.link.run(&call.arg(word).arg(time).arg(bytes).arg(MAX_GIVEN_UP)).await)
    }

    pub(super) async fn list_given_up(
        &self,
        organization: &OrganizationId,
        limit: usize,
    ) -> Result<Vec<Parcel>, StoreError> {
        let mut range = redis::cmd("ZREVRANGE");
        range.arg(self.layout.notices_given_up(organization)).arg(0).arg(limit.saturating_sub(1)).arg("WITHSCORES");
        let held: Vec<(Vec<u8>, f64)> = read(self.link.query(&range).await)?;
        if held.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let mut get = redis::cmd("HMGET");
        get.arg(self.layout.notices(Layout::notice_shard(organization)));
        for (member, _) in &held {
            get.arg(&member[..]);
        }
        let bytes: Vec<Option<Vec<u8>>> = read(self.link.query(&get).await)?;
        // What has gone meanwhile is sent again.
        let there = held.into_iter().zip(bytes).filter_map(|((member, at), bytes)| Some((member, at, bytes?)));
        let parcels = there.filter_map(|(member, at, bytes)| {
            #[expect(clippy::cast_possible_truncation, reason = "it was a whole number of milliseconds")]
            let at = DateTime::from_timestamp_millis(at as i64).unwrap_or_default();
            readable(notice(&member, at, bytes))
        });
        Ok(parcels.collect())
    }

    pub(super) async fn take_up_again(&self, notice: &Parcel, room: usize) -> Result<Posted, StoreError> {
        let [notices, waiting, counts, _, given_up] = self.notice_names(notice);
        let call = scripts::REDRIVE_NOTICE.call(vec![notices, waiting, counts, given_up]);
        let call = call.arg(member(notice)).arg(notice.organization.as_str()).arg(notice.due.timestamp_millis());
        posted(&read::<String>(self.link.run(&call.arg(&notice.bytes[..]).arg(room)).await)?)
    }

    /// The names of all that concerns a notice.
    fn notice_names(&self, notice: &Parcel) -> [String; 5] {
        let shard = Layout::notice_shard(&notice.organization);
        [
            self.layout.notices(shard),
            self.layout.notices_waiting(shard),
            self.layout.notice_counts(shard),
            self.layout.notice_sent(&notice.organization, notice.id),
            self.layout.notices_given_up(&notice.organization),
        ]
    }
}
