//! What was found unusual: two entries in the organization's slot, under names that nobody is told of, which end by
//! themselves.

use chrono::Utc;
use keygate_core::anomaly::finding::{KEPT, KEPT_FOR};
use keygate_core::anomaly::{Finding, FindingCursor, FindingId};
use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::store::StoreError;

use super::RedisStore;
use super::reply::read;
use crate::scripts;

/// What stands for a finding among the times: its id and its key's, so that no more findings are read than are told.
fn member(finding: &Finding) -> [u8; 32] {
    let mut member = [0; 32];
    member[..16].copy_from_slice(finding.id.as_bytes());
    member[16..].copy_from_slice(finding.key_id.as_bytes());
    member
}

/// The place and the key of a finding, by what stands for it. `None` is of another form.
fn place(member: &[u8], score: f64) -> Option<(FindingCursor, KeyId)> {
    let (id, key) = member.split_at_checked(16)?;
    let (id, key) = (FindingId::from_bytes(id.try_into().ok()?), KeyId::from_bytes(key.try_into().ok()?));
    #[expect(clippy::cast_possible_truncation, reason = "it was a whole number of milliseconds")]
    Some((FindingCursor { millis: score as i64, id }, key))
}

impl RedisStore {
    pub(super) async fn keep_finding(&self, finding: &Finding) -> Result<bool, StoreError> {
        let organization = &finding.organization_id;
        let (times, findings) = (self.layout.finding_times(organization), self.layout.findings(organization));
        let json = finding.encode().map_err(|error| StoreError::damaged(format!("finding {}", finding.id), error))?;
        let call = scripts::RECORD_FINDING.call(vec![times, findings]).arg(&member(finding)[..]);
        let call = call.arg(finding.at.timestamp_millis()).arg(json).arg(KEPT).arg(KEPT_FOR.num_milliseconds());
        read(self.link.run(&call).await)
    }

    /// Reads where they are, of which there are at most [`KEPT`], and then those that are told.
    pub(super) async fn list_findings(
        &self,
        organization: &OrganizationId,
        key: Option<KeyId>,
        limit: usize,
        before: Option<FindingCursor>,
    ) -> Result<Vec<Finding>, StoreError> {
        let (times, findings) = (self.layout.finding_times(organization), self.layout.findings(organization));
        let latest = before.map_or("+inf".to_owned(), |before| before.millis.to_string());
        let over = Utc::now().timestamp_millis().saturating_sub(KEPT_FOR.num_milliseconds());
        let mut range = redis::cmd("ZRANGE");
        range.arg(&times).arg(latest).arg(format!("({over}")).arg("BYSCORE").arg("REV");
        range.arg("LIMIT").arg(0).arg(KEPT).arg("WITHSCORES");
        let held: Vec<(Vec<u8>, f64)> = read(self.link.query(&range).await)?;
        let places = held.iter().map(|(member, score)| place(member, *score));
        let places: Vec<_> = places.collect::<Option<_>>().ok_or_else(|| unknown(&times))?;
        let told = places
            .into_iter()
            .filter(|(place, of)| before.is_none_or(|before| *place < before) && key.is_none_or(|key| *of == key));
        let ids: Vec<FindingId> = told.map(|(place, _)| place.id).take(limit).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut get = redis::cmd("HMGET");
        get.arg(&findings);
        for id in &ids {
            get.arg(&id.as_bytes()[..]);
        }
        let held: Vec<Option<Vec<u8>>> = read(self.link.query(&get).await)?;
        // What has gone meanwhile is the oldest.
        let held = ids.into_iter().zip(held).filter_map(|(id, json)| json.map(|json| (id, json)));
        held.map(|(id, json)| match Finding::decode(&json) {
            Ok(finding) if finding.id == id && finding.organization_id == *organization => Ok(finding),
            Ok(_) => Err(StoreError::damaged(&findings, format!("what is there as {id} is another"))),
            Err(error) => Err(StoreError::damaged(&findings, error)),
        })
        .collect()
    }
}

fn unknown(name: &str) -> StoreError {
    StoreError::damaged(name, "its form is not one that this version of keygate knows")
}
