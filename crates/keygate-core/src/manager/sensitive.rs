//! Fields of a key that are kept encrypted: sealed for their place and no other, read by whoever may, and moved to the
//! current ring entry when their record is at hand.
//!
//! What a value is sealed for names its organization, its key, its field, the form it is in and the ring entry. So one that
//! stands elsewhere than where it was put, or is cut short or changed, is not opened, and is told of by the name of its field.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::act::Act;
use super::{ApiKeyManager, Inner, ManageError, events};
use crate::actor::Actor;
use crate::audit::{ActTarget, Action, Changes};
use crate::key::KeyId;
use crate::names::{FieldName, OrganizationId};
use crate::record::{Key, KeyRecord, KeyStatus, Sensitive, SensitiveValue};
use crate::ring::{EntryId, SealError, Sealed};
use crate::store::{Deployment, WriteRefusal};

/// The form of what is sealed: the compact JSON of the value.
const FORM: u8 = 1;

/// A key's sensitive fields, opened. Its JSON form is that of the management API; `Debug` shows no value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OpenedFields {
    /// The key.
    pub key_id: KeyId,
    /// Its sensitive fields.
    pub sensitive: Sensitive,
}

/// Which sensitive fields of a key cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedFields {
    /// The key.
    pub key_id: KeyId,
    /// Those that cannot be opened, with the ring entry that each is sealed under and why.
    pub damaged: Vec<(FieldName, EntryId, SealError)>,
    /// Those that can: each may be read by itself.
    pub readable: Vec<FieldName>,
}

impl fmt::Display for DamagedFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (field, entry, problem)) in self.damaged.iter().enumerate() {
            let begin = if place == 0 { "the" } else { "; the" };
            write!(f, "{begin} sensitive field {field}, under ring entry {entry}, cannot be opened: {problem}")?;
        }
        if let Some((first, more)) = self.readable.split_first() {
            write!(f, "; to be read one by one: {first}")?;
            more.iter().try_for_each(|field| write!(f, ", {field}"))?;
        }
        Ok(())
    }
}

/// What the value of a field is sealed for.
fn purpose(organization: &OrganizationId, key: KeyId, field: &FieldName, entry: EntryId) -> Vec<u8> {
    let mut purpose = b"keygate/v1 sensitive".to_vec();
    let parts: [&[u8]; 5] =
        [organization.as_str().as_bytes(), key.as_bytes(), field.as_str().as_bytes(), &[FORM], &entry.as_bytes()];
    for part in parts {
        purpose.extend((part.len() as u64).to_be_bytes());
        purpose.extend(part);
    }
    purpose
}

impl ApiKeyManager {
    /// Opens the sensitive fields of a key: all of them, or the one of this name, if there is one. What is opened is written in
    /// the audit, by name, before it is, and to the log, as information.
    ///
    /// # Errors
    /// [`SensitiveDamaged`](ManageError::SensitiveDamaged) when one of them cannot be opened: then none is shown, and those
    /// that can be are named. [`Sealed`](ManageError::Sealed) when the secret that one is sealed under is not configured. When there is no such key within the actor's reach, or the store fails.
    pub async fn sensitive(
        &self,
        actor: &Actor,
        id: KeyId,
        field: Option<&FieldName>,
    ) -> Result<OpenedFields, ManageError> {
        let mut act = self.act(actor, Action::KeySensitive, ActTarget::key(id));
        let opened = self.sensitive_in(&mut act, actor, id, field).await;
        act.close(opened).await
    }

    async fn sensitive_in(
        &self,
        act: &mut Act<'_>,
        actor: &Actor,
        id: KeyId,
        field: Option<&FieldName>,
    ) -> Result<OpenedFields, ManageError> {
        let record = act.find(self, id).await?;
        // Before anything is shown: what cannot be written down is not opened.
        let names: Vec<&FieldName> = field.map_or_else(|| record.sensitive.keys().collect(), |field| vec![field]);
        act.begin(&record.key.organization, Changes::of(&serde_json::json!({ "opened": names }))).await?;
        let opened = self.inner.open_sensitive(&record, field)?;
        events::sensitive_read(actor, &record.key, &opened);
        self.sealed_anew(record).await;
        Ok(OpenedFields { key_id: id, sensitive: opened })
    }

    /// The record that was read, with what it has sealed moved to the current ring entry where that is newer. A failure leaves
    /// it for later.
    pub(super) async fn sealed_anew(&self, record: KeyRecord) -> KeyRecord {
        // A revoked record is not written any more: its secret stays in the ring until it is erased.
        if record.key.status.status == KeyStatus::Revoked || !self.inner.has_sealed_before(&record) {
            return record;
        }
        match self.seal_anew(record.clone()).await {
            Ok(written) => written.unwrap_or(record),
            Err(error) => {
                tracing::warn!(key_id = %record.key.id, %error, "sensitive fields were not moved to the current ring entry");
                record
            }
        }
    }

    async fn seal_anew(&self, mut record: KeyRecord) -> Result<Option<KeyRecord>, ManageError> {
        let found = record.sensitive.clone();
        self.inner.renew_sensitive(&mut record).await?;
        if record.sensitive == found {
            return Ok(None);
        }
        match self.inner.replace(record).await {
            Ok(written) => {
                events::sealed_anew(&written.key);
                Ok(Some(written))
            }
            // Whoever changed it has moved them too, or the next to read it will.
            Err(WriteRefusal::Conflict { .. } | WriteRefusal::Revoked | WriteRefusal::Absent) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Inner {
    /// Seals fields for this key.
    pub(super) fn seal_sensitive(
        &self,
        key: &Key,
        fields: &Sensitive,
    ) -> Result<BTreeMap<FieldName, Sealed>, ManageError> {
        let seal =
            |(name, value): (&FieldName, &SensitiveValue)| Ok((name.clone(), self.seal_field(key, name, value)?));
        fields.iter().map(seal).collect()
    }

    fn seal_field(&self, key: &Key, name: &FieldName, value: &SensitiveValue) -> Result<Sealed, SealError> {
        // It was written before, when it was taken.
        let text = value.to_json().map_err(|_| SealError::Damaged)?;
        self.ring.seal(&purpose(&key.organization, key.id, name, self.ring.current_id()), &text)
    }

    fn open_field(&self, key: &Key, name: &FieldName, sealed: &Sealed) -> Result<SensitiveValue, SealError> {
        let text = self.ring.open(&purpose(&key.organization, key.id, name, sealed.entry()), sealed)?;
        SensitiveValue::from_json(&text).ok_or(SealError::Damaged)
    }

    fn complain_of(&self, key: &Key, name: &FieldName, sealed: &Sealed, problem: &SealError) {
        self.cache.complaints().sensitive_unopened.at(self.clock.tick(), |unsaid| {
            events::sensitive_unopened(key, name, sealed.entry(), problem, unsaid);
        });
    }

    /// Opens all sensitive fields, or the one of this name.
    pub(super) fn open_sensitive(
        &self,
        record: &KeyRecord,
        only: Option<&FieldName>,
    ) -> Result<Sensitive, ManageError> {
        let (mut opened, mut damaged) = (BTreeMap::new(), Vec::new());
        for (name, sealed) in record.sensitive.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
            match self.open_field(&record.key, name, sealed) {
                Ok(value) => {
                    opened.insert(name.clone(), value);
                }
                Err(problem) => {
                    self.complain_of(&record.key, name, sealed, &problem);
                    damaged.push((name.clone(), sealed.entry(), problem));
                }
            }
        }
        if damaged.is_empty() {
            return Ok(Sensitive::of(opened)?);
        }
        // A secret that is not configured is the deployment's trouble, and no damage.
        if let Some((.., problem)) = damaged.iter().find(|(.., why)| matches!(why, SealError::UnknownEntry(_))) {
            return Err(problem.clone().into());
        }
        let readable = opened.into_keys().collect();
        let fields = DamagedFields { key_id: record.key.id, damaged, readable };
        Err(ManageError::SensitiveDamaged(Box::new(fields)))
    }

    /// What a rotation makes of them: the same, sealed for the successor.
    pub(super) fn hand_sensitive_on(&self, old: &KeyRecord, new: &mut KeyRecord) -> Result<(), ManageError> {
        let fields = self.open_sensitive(old, None)?;
        new.keep_sensitive(self.seal_sensitive(&new.key, &fields)?);
        Ok(())
    }

    fn has_sealed_before(&self, record: &KeyRecord) -> bool {
        record.sensitive.values().any(|sealed| sealed.entry() != self.ring.current_id())
    }

    /// Seals anew what is sealed under an older entry, in a record that is to be written.
    pub(super) async fn renew_sensitive(&self, record: &mut KeyRecord) -> Result<(), ManageError> {
        if self.has_sealed_before(record) {
            let marker = self.setup.confirm_current(&*self.store, &self.ring, self.clock.now()).await?;
            self.renew_sensitive_by(record, &marker)?;
        }
        Ok(())
    }

    /// The same, by a marker that was read. What cannot be opened stays as it is, for whoever puts the secret back.
    pub(super) fn renew_sensitive_by(&self, record: &mut KeyRecord, marker: &Deployment) -> Result<(), SealError> {
        let current = self.ring.current_id();
        let KeyRecord { key, sensitive, .. } = record;
        for (name, sealed) in sensitive.iter_mut().filter(|(_, sealed)| marker.is_newer(current, sealed.entry())) {
            match self.open_field(key, name, sealed) {
                Ok(value) => *sealed = self.seal_field(key, name, &value)?,
                Err(problem) => self.complain_of(key, name, sealed, &problem),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was sealed for it is opened by the versions to come.
    #[test]
    fn a_purpose_stays_what_it_is() {
        let (organization, field) = ("acme".parse().unwrap(), "card".parse().unwrap());
        let purpose = purpose(&organization, KeyId::from_bytes([7; 16]), &field, EntryId::from_bytes([1, 2, 3, 4]));
        let expected = [
            &b"keygate/v1 sensitive\0\0\0\0\0\0\0\x04acme\0\0\0\0\0\0\0\x10"[..],
            &[7; 16],
            b"\0\0\0\0\0\0\0\x04card\0\0\0\0\0\0\0\x01\x01\0\0\0\0\0\0\0\x04\x01\x02\x03\x04",
        ];
        assert_eq!(purpose, expected.concat());
    }
}
