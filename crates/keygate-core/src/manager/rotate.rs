//! Rotation: a key gets a successor, and ends when the two have overlapped.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::above::Levels;
use super::act::Act;
use super::create::{check_strength, expose};
use super::{ApiKeyManager, ManageError, events, policy};
use crate::actor::Actor;
use crate::audit::{ActTarget, Action, Changes};
use crate::clock::to_millis;
use crate::coherence::{Change, Watcher};
use crate::context::Admission;
use crate::key::{KeyId, KeyText};
use crate::lifecycle::{next_rotation, succeed};
use crate::names::{NameError, Reason};
use crate::notice::Verdict;
use crate::record::{Key, KeyRecord, KeyState, KeyStatus, RotationSchedule, Superseded};
use crate::ring::Sealed;
use crate::store::{StoreError, WriteRefusal};

/// How often a rotation is tried again after another change came in between.
const ATTEMPTS: usize = 16;
/// How many keys of a line may be good beside the one that is rotated.
const OVERLAPPING: usize = 2;
/// Why a predecessor is revoked that has no overlap.
const WITHOUT_OVERLAP: &str = "rotated without an overlap";

/// A key that was rotated. Its JSON form is that of the management API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rotation {
    /// The key that was rotated.
    pub old_key_id: KeyId,
    /// Its successor.
    pub new_key_id: KeyId,
    /// The successor's text, to hand to its owner.
    #[serde(rename = "key", serialize_with = "expose")]
    pub text: KeyText,
    /// Until when the old key is good.
    pub overlap_expires_at: DateTime<Utc>,
    /// What is kept of the successor.
    pub successor: Key,
}

/// Where a key is in its rotation. Its JSON form is that of the management API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RotationStatus {
    /// The key.
    pub key_id: KeyId,
    /// How many rotations came before it.
    pub generation: u32,
    /// Its schedule, if it has one.
    #[serde(flatten)]
    pub schedule: Option<RotationSchedule>,
    /// When it is due to be rotated.
    pub next_rotation: Option<DateTime<Utc>>,
    /// Whether whoever holds it may claim its successor with it.
    pub hand_over: bool,
    /// When it was last used; `None` also where its use is not counted. It may be some seconds behind.
    pub last_used_at: Option<DateTime<Utc>>,
    /// The key that it was made to replace, if that is there still.
    pub predecessor: Option<Overlapping>,
    /// The key that was made to replace it, if it was.
    pub successor: Option<Overlapping>,
}

/// The other key of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Overlapping {
    /// The key.
    pub key_id: KeyId,
    /// What it is now.
    pub state: KeyState,
    /// When it ends, or has ended.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used. A predecessor that nobody uses any more can be
    /// [ended](ApiKeyManager::finish_rotation) before its time.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl ApiKeyManager {
    /// Makes a key's successor: the same in all but its text, its generation and its times. It lives as long as the key was to
    /// live, or as long as the policies above it allow; an overlap of its schedule that has no room in that becomes half of it.
    /// The key itself is good for another `overlap`, at most 365 days, but no longer than it was; by default for that of its
    /// schedule, or seven days. Without any, which is for a key that leaked, it is revoked at once.
    ///
    /// Each generation is rotated once, whoever asks. Dropping the future leaves it open whether this one was; so does a store
    /// that fails in the middle. The successor's text is then lost, unless it is [handed over](Self::claim_successor); the
    /// successor can be rotated in its turn.
    ///
    /// # Errors
    /// [`Superseded`](ManageError::Superseded) when it was rotated already; [`NotActive`](ManageError::NotActive) when it is
    /// deactivated or has ended, [`Revoked`](ManageError::Revoked) when it is revoked,
    /// [`SensitiveDamaged`](ManageError::SensitiveDamaged) when a sensitive field of it cannot be opened, to be handed on;
    /// [`StillOverlapping`](ManageError::StillOverlapping) when two earlier keys of its line are good still,
    /// [`Offboarded`](ManageError::Offboarded) when its user has left;
    /// [`PolicyViolated`](ManageError::PolicyViolated) when its successor would have to end before it begins; when there is no
    /// such key within the actor's reach, it can do what the actor may not grant, the overlap is out of range, or the store fails.
    pub async fn rotate(&self, actor: &Actor, id: KeyId, overlap: Option<TimeDelta>) -> Result<Rotation, ManageError> {
        let mut act = self.act(actor, Action::KeyRotate, ActTarget::key(id));
        let rotated = self.rotate_in(&mut act, actor, id, overlap, None, false).await;
        act.close(rotated).await
    }

    /// The same, as this act or as part of it, to a successor whose id may have been chosen before, and whose text may have to be
    /// taken first by a notifier.
    pub(super) async fn rotate_in(
        &self,
        act: &mut Act<'_>,
        actor: &Actor,
        id: KeyId,
        overlap: Option<TimeDelta>,
        successor: Option<KeyId>,
        hands: bool,
    ) -> Result<Rotation, ManageError> {
        self.confirm_current().await?;
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let found = act.find(self, id).await?;
            let now = to_millis(self.inner.clock.now());
            let above = self.check_rotatable(actor, &found, overlap, now).await?;
            let successor = successor.map_or_else(|| self.successor_id(&found.key, now), Ok)?;
            let overlap = overlap.unwrap_or_else(|| overlap_of(&found.key));
            let (old, mut new) = succeed(&found.key, successor, actor.principal(), now, overlap);
            policy::bound_successor(&above, &mut new);
            let scheme = found.verifier.scheme().unwrap_or(new.security_tier.scheme());
            let (text, verifier, entry) = self.mint_text(successor, new.environment, scheme).await?;
            let offer = if new.succession.hand_over && overlap > TimeDelta::zero() {
                Some(self.inner.ring.seal(&purpose(id, successor), text.expose().as_bytes())?)
            } else {
                None
            };
            let mut new = KeyRecord::new(new, verifier, entry, entry);
            self.inner.hand_sensitive_on(&found, &mut new)?;
            new.unclaimed = offer.is_some();
            // That it is rotated tells when it ends.
            let mut old = KeyRecord { key: old, offer, looked_at: Some(now), ..found.clone() };
            [&mut old, &mut new].into_iter().for_each(|record| self.inner.plan_look(record));
            act.begin(&old.key.organization, Changes::between(&found.key, &old.key)).await?;
            // First, so that no text is handed over in vain because the outbox fails.
            let announced = self.announce_rotated(&old.key, &new.key).await?;
            if hands && let Err(not_taken) = self.hand_to_notifier(&old.key, &new.key, &text).await {
                self.settle_all(announced, |_| Verdict::Forgotten).await;
                return Err(not_taken);
            }
            let written = self.inner.store.succeed(&old, found.key.revision, &new).await;
            for id in [id, successor] {
                self.inner.cache.changed(&Change::Key(id));
            }
            self.settle(announced, &written, |notice, _| Verdict::Told(notice)).await;
            match written {
                Ok(_) => {}
                // Perhaps it has happened, and the answer was lost on the way; then the text is good.
                Err(WriteRefusal::Store(_) | WriteRefusal::Conflict { .. }) if self.is_stored(&new).await => {}
                Err(refusal @ WriteRefusal::Conflict { .. }) => {
                    last = Some(refusal.into());
                    continue;
                }
                Err(refusal) => return Err(refusal.into()),
            }
            if above.are_governed() {
                let both = [&old.key, &new.key];
                if !self.revoke_of_departed(actor, &new.key.organization, &both).await.is_empty() {
                    return Err(ManageError::Offboarded { user: new.key.user });
                }
            }
            events::rotated(actor, &old.key, &new.key);
            if overlap <= TimeDelta::zero() {
                self.end_without_overlap(act, actor, &old.key).await;
            }
            let overlap_expires_at = old.key.expires_at.unwrap_or(now);
            return Ok(Rotation {
                old_key_id: id,
                new_key_id: successor,
                text,
                overlap_expires_at,
                successor: new.key,
            });
        }
        Err(last.unwrap_or(ManageError::NotFound))
    }

    /// Where a key is in its rotation, and who still uses what it replaces.
    ///
    /// # Errors
    /// When there is no such key within the actor's reach, or the store fails.
    pub async fn rotation(&self, actor: &Actor, id: KeyId) -> Result<RotationStatus, ManageError> {
        let key = self.visible(actor, id).await?.key;
        let (predecessor, superseded) = (key.succession.predecessor_id, key.succession.superseded);
        let successor = superseded.map(|superseded| superseded.successor_id);
        let asked: Vec<KeyId> = [Some(id), predecessor, successor].into_iter().flatten().collect();
        let uses = self.inner.store.last_uses(&asked).await?;
        let last_used =
            |id: KeyId| asked.iter().zip(&uses).find(|(asked, _)| **asked == id)?.1.as_ref().map(|last| last.at);
        let overlapping = async |other: Option<KeyId>| -> Result<Option<Overlapping>, StoreError> {
            let Some(key_id) = other else { return Ok(None) };
            let record = self.inner.store.record(key_id).await?;
            let record = record.filter(|record| record.key.organization == key.organization);
            Ok(record.map(|record| Overlapping {
                key_id,
                state: record.key.state(self.inner.clock.now()),
                expires_at: record.key.expires_at,
                last_used_at: last_used(key_id),
            }))
        };
        Ok(RotationStatus {
            key_id: id,
            generation: key.lineage.generation,
            schedule: key.rotation_schedule,
            next_rotation: next_rotation(&key),
            hand_over: key.succession.hand_over,
            last_used_at: last_used(id),
            predecessor: overlapping(predecessor).await?,
            successor: overlapping(successor).await?,
        })
    }

    /// Ends a superseded key before its overlap is over, as when nobody uses it any more. One that has ended stays as it is.
    ///
    /// # Errors
    /// [`NotSuperseded`](ManageError::NotSuperseded) when it was not rotated; when there is no such key within the actor's
    /// reach, it is revoked, or the store fails.
    pub async fn finish_rotation(&self, actor: &Actor, id: KeyId) -> Result<Key, ManageError> {
        let mut act = self.act(actor, Action::RotationFinish, ActTarget::key(id));
        let finished = self.finish_rotation_in(&mut act, actor, id).await;
        act.close(finished).await
    }

    async fn finish_rotation_in(&self, act: &mut Act<'_>, actor: &Actor, id: KeyId) -> Result<Key, ManageError> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let mut record = act.find(self, id).await?;
            let now = to_millis(self.inner.clock.now());
            match record.key.state(now) {
                KeyState::Revoked => return Err(ManageError::Revoked),
                _ if record.key.succession.superseded.is_none() => return Err(ManageError::NotSuperseded),
                KeyState::Expired => return Ok(record.key),
                KeyState::Active | KeyState::Inactive => {}
            }
            let before = record.key.clone();
            record.key.expires_at = Some(now);
            record.offer = None;
            act.begin(&before.organization, Changes::between(&before, &record.key)).await?;
            match self.inner.replace(record).await {
                Ok(ended) => {
                    events::updated(actor, &ended.key, &["expires_at"]);
                    return Ok(ended.key);
                }
                Err(conflict @ WriteRefusal::Conflict { .. }) => last = Some(conflict.into()),
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Err(last.unwrap_or(ManageError::NotFound))
    }

    /// Hands the successor of a key to whoever holds the key and was let in with it, from this address as far as that is known,
    /// which the [audit](crate::audit) tells of. A lost answer can be asked for again, until the successor is first used.
    ///
    /// # Errors
    /// [`NotSuperseded`](ManageError::NotSuperseded) before the key is rotated; [`NotHandedOver`](ManageError::NotHandedOver)
    /// when it was not to be handed over, or no longer is; [`SuccessorInUse`](ManageError::SuccessorInUse) when the
    /// successor was used already, which is written to the log as a warning: whoever uses it and whoever asks may be two.
    /// Also when the key has ended or is revoked since it was let in, or the store fails.
    pub async fn claim_successor(&self, held: &Admission, from: Option<IpAddr>) -> Result<Rotation, ManageError> {
        let actor = Actor::with_key(held).at_address(from);
        let mut act = self.act(&actor, Action::KeyClaim, ActTarget::key(held.id)).of(&held.organization);
        let claimed = self.claim_successor_in(&mut act, held).await;
        act.close(claimed).await
    }

    async fn claim_successor_in(&self, act: &mut Act<'_>, held: &Admission) -> Result<Rotation, ManageError> {
        let store = &self.inner.store;
        // As they are now, and not as they are kept.
        let Some(old) = store.record(held.id).await? else { return Err(ManageError::Revoked) };
        match old.key.state(self.inner.clock.now()) {
            KeyState::Active => {}
            KeyState::Revoked => return Err(ManageError::Revoked),
            state @ (KeyState::Inactive | KeyState::Expired) => return Err(ManageError::NotActive { state }),
        }
        let Some(Superseded { successor_id, .. }) = old.key.succession.superseded else {
            return Err(ManageError::NotSuperseded);
        };
        let now = self.inner.clock.now();
        let new = store.record(successor_id).await?.filter(|new| new.key.state(now) == KeyState::Active);
        let Some(new) = new.filter(|_| old.key.succession.hand_over) else { return Err(ManageError::NotHandedOver) };
        if !new.unclaimed {
            events::claimed_in_use(&old.key, &new.key);
            return Err(ManageError::SuccessorInUse);
        }
        let offer = old.offer.as_ref().ok_or(ManageError::NotHandedOver)?;
        let text = self.open_offer(old.key.id, successor_id, offer)?;
        act.begin(&old.key.organization, Changes::of(&json!({ "successor_id": successor_id }))).await?;
        events::claimed(&old.key, &new.key);
        let overlap_expires_at = old.key.expires_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
        let (old_key_id, new_key_id) = (old.key.id, successor_id);
        Ok(Rotation { old_key_id, new_key_id, text, overlap_expires_at, successor: new.key })
    }

    /// Refuses a rotation at `now` that the key, those before it, what stands above it, its actor or the overlap does not
    /// allow; what stands above it is handed back.
    pub(super) async fn check_rotatable(
        &self,
        actor: &Actor,
        record: &KeyRecord,
        overlap: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) -> Result<Levels, ManageError> {
        Self::check_rotation(actor, &record.key, overlap, now)?;
        self.check_overlapping(&record.key, now).await?;
        // What cannot be opened cannot be handed on, and would be lost with the key.
        self.inner.open_sensitive(record, None)?;
        let above = self.levels_of(&record.key).await?;
        above.check_user()?;
        policy::check_successor(&above, now, record.key.not_before)?;
        Ok(above)
    }

    /// Refuses a rotation that the key, its actor or the overlap does not allow.
    pub(super) fn check_rotation(
        actor: &Actor,
        key: &Key,
        overlap: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) -> Result<(), ManageError> {
        check_overlap(overlap)?;
        check_rotatable(key, now)?;
        check_strength(actor, key)
    }

    /// A fresh id in the bucket of the key's lineage, whose limits it shares.
    pub(super) fn successor_id(&self, key: &Key, now: DateTime<Utc>) -> Result<KeyId, ManageError> {
        Ok(KeyId::fresh(now, Some(key.lineage.root.bucket()))?)
    }

    fn open_offer(&self, old: KeyId, new: KeyId, offer: &Sealed) -> Result<KeyText, ManageError> {
        let text = self.inner.ring.open(&purpose(old, new), offer)?;
        let text = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        let unreadable = || StoreError::damaged(format!("the text of key {new}"), "it is not the text of a key");
        text.ok_or_else(|| unreadable().into())
    }

    /// Whether it is this very successor that the store has: one of the same id may have another text, of another call.
    async fn is_stored(&self, new: &KeyRecord) -> bool {
        let held = self.inner.store.record(new.key.id).await;
        matches!(held, Ok(Some(held)) if held.verifier == new.verifier)
    }

    /// Refuses a third key of a line that is good at once: superseded keys count against no quota, and must not be without
    /// number.
    async fn check_overlapping(&self, key: &Key, now: DateTime<Utc>) -> Result<(), ManageError> {
        let mut earlier = key.succession.predecessor_id;
        for _ in 0..OVERLAPPING {
            let Some(id) = earlier else { return Ok(()) };
            let record = self.inner.store.record(id).await?;
            let Some(record) = record.filter(|record| record.key.usable_until().is_none_or(|end| end > now)) else {
                return Ok(());
            };
            earlier = record.key.succession.predecessor_id;
        }
        Err(ManageError::StillOverlapping)
    }

    /// A key that leaked is revoked, because a revocation reaches who is cut off and outlives a failover. It has ended
    /// already, so that this may fail.
    async fn end_without_overlap(&self, rotation: &Act<'_>, actor: &Actor, old: &Key) {
        let reason = Reason::new(WITHOUT_OVERLAP).ok();
        let mut act = if rotation.is_part() {
            self.part(actor, Action::KeyRevoke)
        } else {
            self.act(actor, Action::KeyRevoke, ActTarget::key(old.id))
        };
        let revoked = self.set_status(&mut act, actor, old, KeyStatus::Revoked, reason).await;
        if let Err(error) = act.close(revoked).await {
            tracing::error!(key_id = %old.id, %error, "a rotated key has ended, but could not be revoked as well");
        }
    }
}

pub(super) fn check_overlap(overlap: Option<TimeDelta>) -> Result<(), NameError> {
    let most = RotationSchedule::MAX_OVERLAP_DAYS;
    if overlap.is_some_and(|overlap| overlap < TimeDelta::zero() || overlap > TimeDelta::days(most.into())) {
        return Err(NameError::new("overlap", format!("must be 0 to {most} days")));
    }
    Ok(())
}

/// How long a key is good beside its successor when nobody says otherwise.
fn overlap_of(key: &Key) -> TimeDelta {
    let days = key.rotation_schedule.map_or(RotationSchedule::DEFAULT_OVERLAP_DAYS, |schedule| schedule.overlap_days);
    TimeDelta::days(days.into())
}

fn check_rotatable(key: &Key, now: DateTime<Utc>) -> Result<(), ManageError> {
    if key.status.status == KeyStatus::Revoked {
        return Err(ManageError::Revoked);
    }
    if let Some(Superseded { successor_id, .. }) = key.succession.superseded {
        return Err(ManageError::Superseded { successor_id });
    }
    match key.state(now) {
        KeyState::Active => Ok(()),
        state => Err(ManageError::NotActive { state }),
    }
}

/// What a successor's text is sealed for.
fn purpose(old: KeyId, new: KeyId) -> Vec<u8> {
    [&b"keygate/v1 successor"[..], old.as_bytes(), new.as_bytes()].concat()
}
