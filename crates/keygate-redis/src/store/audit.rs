//! The audit of organizations: two streams in the organization's slot, of entries and of seals, whose ids are sequences; which acts
//! are open; and how far it has come. And in each bucket a list of the organizations that have one. Nobody is told of any of these
//! names.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use keygate_core::audit::{ActId, Append, AuditState, KeptEntry, KeptSeal, OPEN_AT_ONCE, OpenIntent};
use keygate_core::key::Bucket;
use keygate_core::names::OrganizationId;
use keygate_core::ring::EntryId;
use keygate_core::store::StoreError;

use super::RedisStore;
use super::reply::read;
use crate::layout::Layout;
use crate::link::Primary;
use crate::scripts;

/// For how long it is remembered that an entry is kept: longer than a call is sent again.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// What a range of a stream is answered with: of each its id, and its fields and values one after the other.
type Streamed = Vec<(String, Vec<Vec<u8>>)>;

/// The sequence of an id, and the one value. Whatever else is in a stream is somebody else's, and given as it is found.
fn kept((id, fields): (String, Vec<Vec<u8>>), name: &str) -> Result<(u64, Vec<u8>), StoreError> {
    let sequence = id.split('-').next().and_then(|sequence| sequence.parse().ok());
    let sequence = sequence.ok_or_else(|| StoreError::damaged(name, format!("{id} is no id of a stream")))?;
    Ok((sequence, fields.into_iter().nth(1).unwrap_or_default()))
}

impl RedisStore {
    pub(super) async fn keep_audit(
        &self,
        organization: &OrganizationId,
        entry: &Append,
    ) -> Result<Option<u64>, StoreError> {
        let step = entry.step.byte();
        let names = vec![
            self.layout.audit(organization),
            self.layout.audit_open(organization),
            self.layout.audit_state(organization),
            self.layout.audit_once(organization, entry.act, step),
            self.layout.audits(Layout::organization_bucket(organization)),
        ];
        let call = scripts::APPEND_AUDIT.call(names).arg(&entry.act.as_bytes()[..]).arg(step);
        let call = call.arg(&entry.bytes[..]).arg(REMEMBERED_FOR.as_millis() as u64);
        read(self.link.run(&call.arg(organization.as_str())).await)
    }

    pub(super) async fn read_audit_state(&self, organization: &OrganizationId) -> Result<AuditState, StoreError> {
        let names = vec![
            self.layout.audit_seals(organization),
            self.layout.audit_open(organization),
            self.layout.audit_state(organization),
        ];
        let call = scripts::AUDIT_STATE.call(names).arg(OPEN_AT_ONCE);
        type State = (u64, String, Vec<u8>, Vec<u8>, Vec<(Vec<u8>, u64)>);
        let (last, seal, bytes, checkpoint, open): State = read(self.link.run(&call).await)?;
        let damaged = |what: &str| StoreError::damaged(self.layout.audit_state(organization), what);
        let seal = match seal.as_str() {
            "" => None,
            last => Some(KeptSeal { last: last.parse().map_err(|_| damaged("its last seal has no sequence"))?, bytes }),
        };
        let open = open.into_iter().map(|(act, sequence)| {
            let act = act.try_into().map(ActId::from_bytes).map_err(|_| damaged("an open act has no id"))?;
            Ok(OpenIntent { act, sequence })
        });
        let open = open.collect::<Result<_, StoreError>>()?;
        Ok(AuditState { last, seal, checkpoint: (!checkpoint.is_empty()).then_some(checkpoint), open })
    }

    pub(super) async fn read_audit(
        &self,
        organization: &OrganizationId,
        range: RangeInclusive<u64>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<KeptEntry>, StoreError> {
        if range.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let name = self.layout.audit(organization);
        let mut query = redis::cmd(if newest_first { "XREVRANGE" } else { "XRANGE" });
        query.arg(&name);
        if newest_first {
            query.arg(*range.end()).arg(*range.start());
        } else {
            query.arg(*range.start()).arg(*range.end());
        }
        let held: Streamed = read(self.link.query(query.arg("COUNT").arg(limit)).await)?;
        let entries = held.into_iter().map(|held| {
            let (sequence, bytes) = kept(held, &name)?;
            Ok(KeptEntry { sequence, bytes })
        });
        entries.collect()
    }

    pub(super) async fn read_audit_seals(
        &self,
        organization: &OrganizationId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<KeptSeal>, StoreError> {
        let Some(first) = after.checked_add(1).filter(|_| limit > 0) else { return Ok(Vec::new()) };
        let name = self.layout.audit_seals(organization);
        let mut query = redis::cmd("XRANGE");
        query.arg(&name).arg(first).arg("+").arg("COUNT").arg(limit);
        let held: Streamed = read(self.link.query(&query).await)?;
        let seals = held.into_iter().map(|held| {
            let (last, bytes) = kept(held, &name)?;
            Ok(KeptSeal { last, bytes })
        });
        seals.collect()
    }

    pub(super) async fn keep_audit_seal(
        &self,
        organization: &OrganizationId,
        previous: Option<&KeptSeal>,
        seal: &KeptSeal,
    ) -> Result<bool, StoreError> {
        let names = vec![self.layout.audit_seals(organization), self.layout.audit_state(organization)];
        let expected = previous.map_or_else(String::new, |previous| previous.last.to_string());
        let held = previous.map(|previous| &previous.bytes[..]).unwrap_or_default();
        let call = scripts::PUT_AUDIT_SEAL.call(names).arg(expected).arg(held).arg(seal.last).arg(&seal.bytes[..]);
        read(self.link.run(&call).await)
    }

    pub(super) async fn cut_audit(
        &self,
        organization: &OrganizationId,
        through: u64,
        checkpoint: &[u8],
        previous: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        let names = vec![
            self.layout.audit(organization),
            self.layout.audit_seals(organization),
            self.layout.audit_state(organization),
        ];
        let call = scripts::TRIM_AUDIT.call(names).arg(through).arg(checkpoint);
        read(self.link.run(&call.arg(previous.unwrap_or_default())).await)
    }

    pub(super) async fn list_audited(
        &self,
        bucket: u16,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<OrganizationId>, StoreError> {
        let name = self.layout.audits(Bucket::of(bucket.into()));
        let begin = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let mut query = redis::cmd("ZRANGE");
        query.arg(&name).arg(begin).arg("+").arg("BYLEX").arg("LIMIT").arg(0).arg(limit);
        let listed: Vec<String> = read(self.link.query(&query).await)?;
        let listed = listed.into_iter().map(|id| OrganizationId::new(&id));
        listed.map(|id| id.map_err(|error| StoreError::damaged(&name, error))).collect()
    }

    /// Adds how many seals and checkpoints name each ring entry.
    pub(super) async fn scan_audits(
        &self,
        primaries: &[Primary],
        usage: &mut BTreeMap<EntryId, u64>,
    ) -> Result<(), StoreError> {
        let mut seen: HashSet<String> = HashSet::new();
        let prefix = self.layout.audit_states_prefix();
        for primary in primaries {
            let mut cursor = 0_u64;
            loop {
                let (next, names) = self.names(*primary, &prefix, cursor).await?;
                for name in names.into_iter().filter(|name| seen.insert(name.clone())) {
                    let fields: HashMap<Vec<u8>, Vec<u8>> =
                        read(self.link.query(redis::cmd("HGETALL").arg(&name)).await)?;
                    for (field, count) in fields {
                        let Some(entry) = field.strip_prefix(b"r").and_then(|id| <[u8; 4]>::try_from(id).ok()) else {
                            continue;
                        };
                        let count = std::str::from_utf8(&count).ok().and_then(|count| count.parse::<u64>().ok());
                        let count = count.ok_or_else(|| StoreError::damaged(&name, "a count is no number"))?;
                        *usage.entry(EntryId::from_bytes(entry)).or_insert(0) += count;
                    }
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(())
    }
}
