//! Making a thing once, however often it is asked for and over however many instances: for callers who do not know what
//! became of a request, and send it again under the same [`IdempotencyKey`].
//!
//! Before anything is made, the store is asked to [remember](crate::store::Store::remember) a *claim*, under a name of who
//! asks, in which organization, and the caller's key. It holds the fingerprint of the request, and the id that its key is
//! to have. Whoever comes with the same request finds the claim and makes the key under the same id, of which the store
//! lets one in. So it does not matter who was first, how far anybody came, or whether an answer was lost; nor is there a
//! lock that somebody could leave behind.
//!
//! - **A key's text is kept nowhere.** The one call that made the key is answered with its text. Each other is shown the
//!   key without it.
//! - **What is erased stays erased.** An absent key is one that was never made, or one that was made and erased since. So
//!   whoever erases a key that is young enough to have a claim first leaves a mark under its id, and no request makes a
//!   key whose id is marked. One that was on its way while the mark was set finds it afterwards, and takes back its key,
//!   whose text nobody has.
//! - **Names and fingerprints do not depend on the secret ring**, on which instances differ while it is changed. Where a
//!   request has sensitive fields, which could be guessed from a plain digest, its fingerprint is keyed by a ring entry that
//!   the claim names, and whoever compares it does so under that one.
//! - **A claim is over after 24 hours.** After that the same request is another one.
//! - **A claim is as durable as any write** of the store: what a failover forgets is forgotten.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::act::Act;
use super::create::target_of;
use super::fingerprint::{self, Fingerprint};
use super::{ApiKeyManager, CreatedKey, ManageError, NewKey, OrganizationUpdate, Rotation, events};
use crate::actor::{Actor, Operator};
use crate::audit::{ActOutcome, ActTarget, Action, Changes};
use crate::clock::to_millis;
use crate::coherence::{Change, Watcher};
use crate::key::KeyId;
use crate::names::{NameError, OrganizationId};
use crate::record::{Key, OrganizationRecord, ParentStatus, Revision};
use crate::ring::{EntryId, RingEntry, SealError};
use crate::store::{CreateRefusal, MemoName, StoreError, WriteRefusal};

/// The longest idempotency key, in characters.
const MAX_IDEMPOTENCY_KEY_LENGTH: usize = 255;
/// How long a request is known again.
const CLAIMED_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it is remembered that a key was erased, and how young one is that may have a claim: longer than a claim, by
/// more than the clocks of two instances differ.
const MARKED_FOR: Duration = Duration::from_secs(25 * 60 * 60);
/// The version of the form of claims and marks, which they begin with.
const VERSION: u8 = 1;
/// That of a claim whose fingerprint is keyed.
const KEYED: u8 = 2;

/// A caller's name for a request, by which it is known again when it is sent again: 1 to 255 visible ASCII characters
/// (`Idempotency-Key`, draft-ietf-httpapi-idempotency-key-header). Callers' keys are apart: two may choose the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// Takes the text as it is, or says why it is refused.
    ///
    /// # Errors
    /// When the text is not 1 to 255 visible ASCII characters.
    pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
        let text = text.as_ref();
        if text.is_empty() || text.len() > MAX_IDEMPOTENCY_KEY_LENGTH || !text.bytes().all(|b| b.is_ascii_graphic()) {
            let problem = format!("must be 1 to {MAX_IDEMPOTENCY_KEY_LENGTH} visible ASCII characters");
            return Err(NameError::new("idempotency key", problem));
        }
        Ok(Self(Arc::from(text)))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What came of making a key once.
#[derive(Debug, Clone)]
pub enum CreatedOnce {
    /// This call made it.
    Now(CreatedKey),
    /// A call before it did, or one at the same moment. This is the key as it is now, which may have been changed or
    /// revoked since. Its text was in the answer to that call; if that was lost, it is lost.
    Before(Key),
}

/// What came of rotating a key once.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // it is made once a call, and taken apart at once
pub enum RotatedOnce {
    /// This call did it.
    Now(Rotation),
    /// A call before it did, or one at the same moment. The successor's text was in the answer to that call; if that was lost,
    /// it is lost, unless it is [handed over](ApiKeyManager::claim_successor).
    Before {
        /// The key that was rotated, as it is now.
        old: Key,
        /// Its successor, as it is now.
        successor: Key,
    },
}

/// What came of setting an organization up once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrganizationOnce {
    /// This call did it.
    Now(OrganizationRecord),
    /// A call before it did, or one at the same moment. This is the organization as it is now.
    Before(OrganizationRecord),
}

/// What is remembered of a request. In bytes: the version, the fingerprint, the chosen bytes, and the ring entry where the
/// fingerprint is keyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim {
    fingerprint: Fingerprint,
    /// Random, and so in no other claim: of a key, the id it is to have.
    chosen: [u8; 16],
    /// What the fingerprint is keyed by, if it is.
    under: Option<EntryId>,
}

impl Claim {
    fn encode(&self) -> Vec<u8> {
        let version = if self.under.is_some() { KEYED } else { VERSION };
        let mut bytes = [&[version], &self.fingerprint[..], &self.chosen[..]].concat();
        bytes.extend(self.under.into_iter().flat_map(EntryId::as_bytes));
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (fingerprint, rest) = rest.split_first_chunk()?;
        let (chosen, rest) = rest.split_first_chunk()?;
        let under = match (*version, rest) {
            (VERSION, []) => None,
            (KEYED, under) => Some(EntryId::from_bytes(under.try_into().ok()?)),
            _ => return None,
        };
        Some(Self { fingerprint: *fingerprint, chosen: *chosen, under })
    }

    fn read(held: &[u8]) -> Result<Self, StoreError> {
        Self::decode(held).ok_or_else(|| StoreError::damaged("a memo", "it is no claim of a known version"))
    }

    /// What an earlier claim of the same request chose: `None` if the one that is held is this very claim.
    fn before(&self, held: &[u8]) -> Result<Option<[u8; 16]>, ManageError> {
        let held = Self::read(held)?;
        if held.fingerprint != self.fingerprint {
            return Err(ManageError::IdempotencyMismatch);
        }
        Ok((held.chosen != self.chosen).then_some(held.chosen))
    }
}

/// What came of claiming a key's creation.
enum Claimed {
    /// It was made before.
    Before(Box<Key>),
    /// It is to be made under this id.
    Now(KeyId),
}

/// Under what a request is claimed.
fn claim_name(kind: &str, actor: &Actor, organization: &OrganizationId, key: &IdempotencyKey) -> MemoName {
    let parts = [kind, actor.principal().as_str(), organization.as_str(), key.as_str()];
    MemoName::of("keygate/v1 claim", &parts.map(str::as_bytes))
}

/// Under what a key is marked as erased.
fn erased_name(id: KeyId) -> MemoName {
    MemoName::of("keygate/v1 erased key", &[id.as_bytes()])
}

impl ApiKeyManager {
    /// Makes a key, once for all calls with the same request, actor and idempotency key within 24 hours. However many of
    /// them there are, and on however many instances, one key is made, and one call is answered with its text.
    ///
    /// A refusal or a failure uses nothing up: the same request may be sent again, under the same idempotency key, when
    /// its cause is gone.
    ///
    /// # Errors
    /// As [`create`](Self::create); [`IdempotencyMismatch`](ManageError::IdempotencyMismatch) when the idempotency key
    /// was used for another request; [`NotFound`](ManageError::NotFound) when the key was made and has been erased since:
    /// it is not made again.
    pub async fn create_once(
        &self,
        actor: &Actor,
        new: NewKey,
        key: &IdempotencyKey,
    ) -> Result<CreatedOnce, ManageError> {
        let act = self.act(actor, Action::KeyCreate, target_of(&new)).of(&new.organization);
        let claimed = self.claim_creation(actor, &new, key).await;
        let id = match act.look(claimed).await? {
            Claimed::Before(key) => return Ok(CreatedOnce::Before(*key)),
            Claimed::Now(id) => id,
        };
        match self.create_under(actor, new, id).await {
            Ok(created) => self.unless_erased(actor, created).await.map(CreatedOnce::Now),
            Err(ManageError::Refused(CreateRefusal::Exists)) => {
                self.made(actor, id).await?.map(CreatedOnce::Before).ok_or(ManageError::NotFound)
            }
            Err(error) => Err(error),
        }
    }

    /// The key that a call before made of the same request, or the id under which this one is to make it.
    async fn claim_creation(&self, actor: &Actor, new: &NewKey, key: &IdempotencyKey) -> Result<Claimed, ManageError> {
        if !actor.reaches(&new.organization) {
            return Err(ManageError::ParentNotFound);
        }
        // What nobody could ever make claims nothing, so that it may be put right under the same idempotency key.
        new.check()?;
        self.confirm_current().await?;
        let name = claim_name("key", actor, &new.organization, key);
        if self.inner.store.recall(&name).await?.is_none() {
            // Whoever may make none may not fill the store with claims either.
            let above = self.check_new(actor, new).await?;
            self.check_room(&above, &new.organization, &new.user, new.project.as_ref()).await?;
        }
        let fresh = KeyId::fresh(to_millis(self.inner.clock.now()), None)?;
        let claimed = self.claim_key(&name, new, fresh).await?;
        let id = claimed.unwrap_or(fresh);
        if claimed.is_some() {
            if let Some(key) = self.made(actor, id).await? {
                return Ok(Claimed::Before(Box::new(key)));
            }
            if self.is_erased(id).await? {
                return Err(ManageError::NotFound);
            }
        }
        Ok(Claimed::Now(id))
    }

    /// Rotates a key, once for all calls with the same request, actor and idempotency key within 24 hours, and tells a repetition
    /// from a rotation by somebody else: of the calls with the same idempotency key one is answered with the successor's
    /// text, and the others are shown what came of it.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate); [`IdempotencyMismatch`](ManageError::IdempotencyMismatch) when the idempotency key was used
    /// for another request; [`NotFound`](ManageError::NotFound) when the successor was made and has been erased since.
    pub async fn rotate_once(
        &self,
        actor: &Actor,
        id: KeyId,
        overlap: Option<TimeDelta>,
        key: &IdempotencyKey,
    ) -> Result<RotatedOnce, ManageError> {
        let mut act = self.act(actor, Action::KeyRotate, ActTarget::key(id));
        match self.rotate_once_in(&mut act, actor, id, overlap, key).await {
            // It was done before, and nothing now.
            Ok(before @ RotatedOnce::Before { .. }) if !act.is_begun() => Ok(before),
            rotated => act.close(rotated).await,
        }
    }

    async fn rotate_once_in(
        &self,
        act: &mut Act<'_>,
        actor: &Actor,
        id: KeyId,
        overlap: Option<TimeDelta>,
        key: &IdempotencyKey,
    ) -> Result<RotatedOnce, ManageError> {
        let found = act.find(self, id).await?.key;
        let now = to_millis(self.inner.clock.now());
        let name = claim_name("rotation", actor, &found.organization, key);
        if self.inner.store.recall(&name).await?.is_none() {
            Self::check_rotation(actor, &found, overlap, now)?;
        }
        let claim = Claim {
            fingerprint: fingerprint::of_rotation(id, overlap)?,
            chosen: *self.successor_id(&found, now)?.as_bytes(),
            under: None,
        };
        let chosen = self.claim(&name, &claim).await?.unwrap_or(claim.chosen);
        let successor = KeyId::from_bytes(chosen);
        match self.rotate_in(act, actor, id, overlap, Some(successor), false).await {
            Ok(rotation) => Ok(RotatedOnce::Now(rotation)),
            Err(ManageError::Superseded { successor_id }) if successor_id == successor => {
                let successor = self.made(actor, successor).await?.ok_or(ManageError::NotFound)?;
                let old = self.visible(actor, id).await?.key;
                Ok(RotatedOnce::Before { old, successor })
            }
            Err(error) => Err(error),
        }
    }

    /// Sets an organization up that nobody configured yet, once for all calls with the same request, operator and
    /// idempotency key within 24 hours. Each but the one that did it is answered with the organization as it is.
    ///
    /// # Errors
    /// As [`create_organization`](Self::create_organization);
    /// [`IdempotencyMismatch`](ManageError::IdempotencyMismatch) when the idempotency key was used for another request.
    pub async fn create_organization_once(
        &self,
        operator: &Operator,
        organization: &OrganizationId,
        settings: &OrganizationUpdate,
        key: &IdempotencyKey,
    ) -> Result<OrganizationOnce, ManageError> {
        let actor = Actor::from(operator.clone());
        let act = self.act(&actor, Action::OrganizationCreate, ActTarget::default()).of(organization);
        let claimed = self.claim_organization(&actor, organization, settings, key).await;
        let is_claimed = match act.look(claimed).await? {
            Ok(found) => return Ok(OrganizationOnce::Before(found)),
            Err(is_claimed) => is_claimed,
        };
        match self.create_organization(operator, organization, settings).await {
            Ok(record) => Ok(OrganizationOnce::Now(record)),
            Err(ManageError::AlreadyExists) => {
                // By the same request that came second and was quicker, unless it is not as that would have made it.
                let found = self.organization(&actor, organization).await?;
                let is_ours = is_claimed || is_as_asked(&found, settings);
                if is_ours { Ok(OrganizationOnce::Before(found)) } else { Err(ManageError::AlreadyExists) }
            }
            Err(error) => Err(error),
        }
    }

    /// The organization that a call before set up by the same request, or whether one has claimed it that has not done so yet.
    async fn claim_organization(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        settings: &OrganizationUpdate,
        key: &IdempotencyKey,
    ) -> Result<Result<OrganizationRecord, bool>, ManageError> {
        if organization.is_system() {
            return Err(ManageError::Reserved);
        }
        settings.check()?;
        self.confirm_current().await?;
        let mut chosen = [0; 16];
        getrandom::fill(&mut chosen)?;
        let claim = Claim { fingerprint: fingerprint::of_organization(organization, settings)?, chosen, under: None };
        let name = claim_name("organization", actor, organization, key);
        if let Some(found) = self.inner.store.parents(organization, None).await?.organization {
            // One that somebody else configured is not claimed, or the next call would take it for this one's.
            let held = self.inner.store.recall(&name).await?.ok_or(ManageError::AlreadyExists)?;
            claim.before(&held)?;
            return Ok(Ok(found));
        }
        Ok(Err(self.claim(&name, &claim).await?.is_some()))
    }

    /// Claims a request: `None` if it is claimed now, or else what was chosen for it when it was.
    async fn claim(&self, name: &MemoName, claim: &Claim) -> Result<Option<[u8; 16]>, ManageError> {
        match self.inner.store.remember(name, &claim.encode(), CLAIMED_FOR).await? {
            Some(held) => claim.before(&held),
            None => Ok(None),
        }
    }

    /// Claims the making of a key under this id: `None` if it is claimed now, or else the id that was chosen for it when it
    /// was.
    async fn claim_key(&self, name: &MemoName, new: &NewKey, id: KeyId) -> Result<Option<KeyId>, ManageError> {
        let claim_under = |entry: &RingEntry| -> Result<Claim, NameError> {
            let under = (!new.sensitive.is_empty()).then_some(entry.id());
            Ok(Claim { fingerprint: fingerprint::of_key(new, entry)?, chosen: *id.as_bytes(), under })
        };
        let ring = &self.inner.ring;
        let claim = claim_under(ring.current())?;
        let Some(held) = self.inner.store.remember(name, &claim.encode(), CLAIMED_FOR).await? else { return Ok(None) };
        // It may have been claimed under an entry that was current then, or is on another instance.
        let claim = match (claim.under, Claim::read(&held)?.under) {
            (Some(own), Some(other)) if own != other => {
                claim_under(ring.entry(other).ok_or(SealError::UnknownEntry(other))?)?
            }
            _ => claim,
        };
        Ok(claim.before(&held)?.map(KeyId::from_bytes))
    }

    /// The key, if it is there.
    async fn made(&self, actor: &Actor, id: KeyId) -> Result<Option<Key>, ManageError> {
        match self.visible(actor, id).await {
            Ok(record) => Ok(Some(record.key)),
            Err(ManageError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Before a key is erased: says so to every request that may still make it.
    pub(super) async fn mark_erased(&self, key: &Key) -> Result<(), ManageError> {
        let age = self.inner.clock.now().signed_duration_since(key.created_at);
        if age < TimeDelta::from_std(MARKED_FOR).unwrap_or(TimeDelta::MAX) {
            self.inner.store.remember(&erased_name(key.id), &[VERSION], MARKED_FOR).await?;
        }
        Ok(())
    }

    async fn is_erased(&self, id: KeyId) -> Result<bool, StoreError> {
        Ok(self.inner.store.recall(&erased_name(id)).await?.is_some())
    }

    /// Takes a key back that was made after another call had made it and it was erased.
    async fn unless_erased(&self, actor: &Actor, created: CreatedKey) -> Result<CreatedKey, ManageError> {
        // Where that cannot be asked, the key is there and its text would be lost with an error.
        if !matches!(self.is_erased(created.key.id).await, Ok(true)) {
            return Ok(created);
        }
        let Key { id, organization, .. } = &created.key;
        let mut act = self.act(actor, Action::KeyDelete, ActTarget::key(*id));
        act.begin(organization, Changes::gone(&created.key)).await?;
        let taken = self.inner.store.delete(organization, *id, Revision::FIRST).await;
        self.inner.cache.changed(&Change::Key(*id));
        let became = match &taken {
            Ok(_) => ActOutcome::Done,
            Err(WriteRefusal::Store(_)) => ActOutcome::Failed,
            Err(_) => ActOutcome::Refused,
        };
        act.conclude(became, None).await;
        match taken {
            Ok(_) => {
                events::deleted(actor, &created.key);
                Err(ManageError::NotFound)
            }
            Err(WriteRefusal::Absent) => Err(ManageError::NotFound),
            // It has been changed since, so whoever was to erase it did not.
            Err(WriteRefusal::Conflict { .. } | WriteRefusal::Revoked) => Ok(created),
            Err(WriteRefusal::Store(error)) => Err(error.into()),
        }
    }
}

/// Whether an organization is just what these settings make of a new one.
fn is_as_asked(record: &OrganizationRecord, settings: &OrganizationUpdate) -> bool {
    let OrganizationUpdate { status, max_keys, max_keys_per_user, limits, user_limits, key_limits, policy, defaults } =
        settings;
    record.revision == Revision::FIRST
        && record.status == status.unwrap_or(ParentStatus::Active)
        && record.max_keys == max_keys.flatten()
        && record.max_keys_per_user == max_keys_per_user.flatten()
        && record.limits == limits.flatten()
        && record.user_limits == user_limits.flatten()
        && record.key_limits == key_limits.flatten()
        && record.policy == policy.clone().flatten()
        && record.defaults == defaults.clone().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idempotency_key_is_visible_ascii() {
        for good in ["a", "8e03978e-40d5-43dd-bc93-6894a57f9324", "!\"~", &"x".repeat(255)] {
            assert_eq!(IdempotencyKey::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a\n", "\u{7f}", "ä", &"x".repeat(256)] {
            let error = IdempotencyKey::new(bad).unwrap_err();
            assert_eq!(error.field(), "idempotency key");
            assert!(error.to_string().contains("1 to 255"), "{error}");
        }
    }

    #[test]
    fn a_claim_is_read_back_and_nothing_else_is_one() {
        let claim = Claim { fingerprint: [7; 32], chosen: [9; 16], under: None };
        let bytes = claim.encode();
        assert_eq!(bytes.len(), 49);
        assert_eq!(Claim::decode(&bytes), Some(claim));
        let keyed = Claim { under: Some(EntryId::from_bytes([1, 2, 3, 4])), ..claim };
        assert_eq!(keyed.encode(), [&[2], &bytes[1..], &[1, 2, 3, 4]].concat());
        assert_eq!(Claim::decode(&keyed.encode()), Some(keyed));
        let (unkeyed, newer) = ([&[2], &bytes[1..]].concat(), [&[3], &bytes[1..]].concat());
        for other in [&[][..], &bytes[..48], &[&bytes[..], &[0]].concat(), &unkeyed, &newer] {
            assert_eq!(Claim::decode(other), None);
            assert!(matches!(claim.before(other), Err(ManageError::Store(_))));
        }
    }

    /// A call that the way to the store repeats finds its own claim.
    #[test]
    fn ones_own_claim_is_none_before_it() {
        let claim = Claim { fingerprint: [7; 32], chosen: [9; 16], under: None };
        assert!(matches!(claim.before(&claim.encode()), Ok(None)));
        let same = Claim { chosen: [8; 16], ..claim };
        assert!(matches!(claim.before(&same.encode()), Ok(Some([8, ..]))));
        let other = Claim { fingerprint: [6; 32], ..claim };
        assert!(matches!(claim.before(&other.encode()), Err(ManageError::IdempotencyMismatch)));
    }
}
