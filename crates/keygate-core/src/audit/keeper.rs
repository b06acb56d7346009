//! An instance's part in the audit: writes entries down, and sees to what is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use moka::sync::Cache as MokaCache;
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::time::sleep;

use super::action::Action;
use super::attest::{Attested, attested};
use super::entry::{ActId, ActOutcome, ActTarget, AuditEntry, EntryKind};
use super::policy::AuditPolicy;
use super::reconcile;
use super::seal::{Before, Checkpoint, SEALED_AT_ONCE, Seal, Tally, run_of};
use super::store::{Append, AuditState, KeptEntry, KeptSeal, Step};
use super::walk::Place;
use super::window::Windows;
use crate::clock::{Clock, to_millis};
use crate::denial::{Denial, DenialReason};
use crate::key::KeyId;
use crate::names::OrganizationId;
use crate::record::Key;
use crate::ring::SecretRing;
use crate::store::{Store, StoreError};

/// After how long what was written is sealed.
const SEALED_AFTER: Duration = Duration::from_secs(1);
/// After how long it is looked up what became of an act.
pub(crate) const OPEN_FOR: TimeDelta = TimeDelta::minutes(2);
/// Of how many organizations it is remembered that there is something to see to.
pub(super) const REMEMBERED: usize = 10_000;
/// How often a seal is made anew after another came in between.
const RACES: usize = 16;
/// Seals that are made of one organization before another has its turn.
const SEALS_AT_ONCE: usize = 64;
/// Denials that are written down at once.
const SAMPLED_AT_ONCE: usize = 16;
/// Organizations that are seen to at once.
pub(super) const TIDIED_AT_ONCE: usize = 8;
/// After how long what failed is tried again.
const TRIED_AGAIN: TimeDelta = TimeDelta::seconds(10);
/// Acts that were not begun after all and are being closed.
const CLOSED_AT_ONCE: usize = 16;
/// After how long it is tried to close such an act: at first, and again.
const NOT_BEGUN_AFTER: [Duration; 3] = [Duration::from_millis(100), Duration::from_secs(5), Duration::from_secs(30)];
/// Why an act was not done whose intent may have been kept, but was not answered to be.
const NOT_BEGUN: &str = "not_begun";

/// Writes the audit of organizations down, and seals it.
pub(crate) struct Keeper {
    pub(super) store: Arc<dyn Store>,
    ring: SecretRing,
    clock: Arc<dyn Clock>,
    policy: AuditPolicy,
    refusals: Windows<()>,
    samples: Windows<(KeyId, DenialReason)>,
    sampling: Arc<Semaphore>,
    closing: Arc<Semaphore>,
    /// What is to be sealed.
    unsealed: Mutex<BTreeSet<OrganizationId>>,
    /// Where acts were open that it was too early to look up, or what was to be seen to could not be.
    later: Mutex<BTreeMap<OrganizationId, DateTime<Utc>>>,
    /// Where something may be too old to be kept.
    pub(super) untrimmed: Mutex<BTreeSet<OrganizationId>>,
    /// When it was last looked whether anything is too old.
    pub(super) trimmed: MokaCache<OrganizationId, DateTime<Utc>>,
    /// Where this instance has come in its walk through all audits.
    pub(super) walked: Mutex<Option<Place>>,
    is_tidying: AtomicBool,
    /// Held by one who seals: whoever leaves waits until what others have begun is done.
    sealing: AsyncMutex<()>,
    myself: Weak<Self>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Says that nobody is tidying, however that ends. It holds no keeper, whose store may be opened again by somebody else.
struct Tidying(Weak<Keeper>);

impl Drop for Tidying {
    fn drop(&mut self) {
        if let Some(keeper) = self.0.upgrade() {
            keeper.is_tidying.store(false, Ordering::SeqCst);
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        ring: SecretRing,
        clock: Arc<dyn Clock>,
        policy: AuditPolicy,
    ) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            store,
            ring,
            clock,
            policy,
            refusals: Windows::new(policy.refusals_a_minute),
            samples: Windows::new(policy.samples_a_minute),
            sampling: Arc::new(Semaphore::new(SAMPLED_AT_ONCE)),
            unsealed: Mutex::default(),
            later: Mutex::default(),
            untrimmed: Mutex::default(),
            closing: Arc::new(Semaphore::new(CLOSED_AT_ONCE)),
            trimmed: MokaCache::new(REMEMBERED as u64),
            walked: Mutex::default(),
            is_tidying: AtomicBool::new(false),
            sealing: AsyncMutex::default(),
            myself: Weak::clone(myself),
        })
    }

    pub(crate) fn policy(&self) -> &AuditPolicy {
        &self.policy
    }

    pub(crate) fn ring(&self) -> &SecretRing {
        &self.ring
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        to_millis(self.clock.now())
    }

    /// What was sealed before is not kept any more.
    pub(crate) fn too_old(&self) -> DateTime<Utc> {
        self.now() - self.policy.retention()
    }

    /// Writes an entry down, and gives its place.
    pub(crate) async fn append(&self, entry: &AuditEntry, step: Step) -> Result<Option<u64>, StoreError> {
        let append = Append { act: entry.act_id, step, bytes: entry.encode(step, &self.ring)? };
        let appended = self.store.append_audit(&entry.organization_id, &append).await;
        // Also where the store failed: it may have done it.
        self.seal_soon(&entry.organization_id);
        self.trim_later(&entry.organization_id);
        appended
    }

    /// Of an act that is not done because its intent could not be written down: the store may have kept that all the same, and is
    /// told that nothing came of it, where it did. Nothing is waited for; beyond so many at once, it is found out in two minutes.
    pub(crate) fn not_begun(&self, intent: AuditEntry) {
        let (runtime, place) = (Handle::try_current(), Arc::clone(&self.closing).try_acquire_owned());
        let (Ok(runtime), Ok(place)) = (runtime, place) else { return };
        let keeper = Weak::clone(&self.myself);
        drop(runtime.spawn(async move {
            let mut outcome = AuditEntry { kind: EntryKind::Outcome, ..intent };
            (outcome.outcome, outcome.reason) = (Some(ActOutcome::Failed), Some(NOT_BEGUN.to_owned()));
            for delay in NOT_BEGUN_AFTER {
                sleep(delay).await;
                let Some(keeper) = keeper.upgrade() else { break };
                outcome.at = keeper.now();
                // Kept only where the act is open, which it is not if its intent was not kept.
                if keeper.append(&outcome, Step::Reconciled { intent: 0 }).await.is_ok() {
                    break;
                }
            }
            drop(place);
        }));
    }

    /// Whether a refusal of an organization is written down now: with how many before it were not.
    pub(crate) fn admit_refusal(&self, organization: &OrganizationId) -> Option<u64> {
        self.refusals.admit(organization, (), true, self.clock.now()).filter(|_| self.policy.is_on)
    }

    /// A refusal that was to be written down was not.
    pub(crate) fn refusal_unsaid(&self, organization: &OrganizationId, unsaid: u64) {
        self.refusals.take_back(organization, unsaid);
    }

    /// Has a denial of a key written down, of which so many are each minute. Nothing is waited for.
    pub(crate) fn denied(&self, key: &Key, denial: &Denial, from: Option<IpAddr>) {
        let is_trouble = denial.reason() == DenialReason::StoreUnavailable;
        if !self.policy.is_on || self.policy.samples_a_minute == 0 || is_trouble {
            return;
        }
        let (organization, reason, now) = (&key.organization, denial.reason(), self.clock.now());
        let Some(unsaid) = self.samples.admit(organization, (key.id, reason), false, now) else { return };
        let (runtime, place) = (Handle::try_current(), Arc::clone(&self.sampling).try_acquire_owned());
        let (Ok(runtime), Ok(place), Some(keeper), Ok(act)) =
            (runtime, place, self.myself.upgrade(), ActId::fresh(now))
        else {
            return self.samples.take_back(organization, unsaid);
        };
        let action = Action::KeyValidate.to_string();
        let mut entry = AuditEntry::begun(organization, act, now, EntryKind::Denied, action);
        (entry.principal, entry.target) = (key.id.to_string(), ActTarget::key(key.id));
        (entry.reason, entry.from, entry.unsaid) = (Some(reason.to_string()), from, unsaid);
        runtime.spawn(async move {
            if let Err(error) = keeper.append(&entry, Step::Alone).await {
                tracing::debug!(target: "keygate::audit", %error, "a denial was not written down");
                keeper.samples.take_back(&entry.organization_id, entry.unsaid);
            }
            drop(place);
        });
    }

    fn seal_soon(&self, organization: &OrganizationId) {
        let mut unsealed = lock(&self.unsealed);
        // Beyond, whoever reads it or writes in it next seals it.
        if unsealed.len() < REMEMBERED {
            unsealed.insert(organization.clone());
        }
        drop(unsealed);
        self.wake();
    }

    /// Seals in a task of its own, if nobody does and there is a runtime.
    fn wake(&self) {
        if self.is_tidying.swap(true, Ordering::SeqCst) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return self.is_tidying.store(false, Ordering::SeqCst) };
        let tidying = Tidying(Weak::clone(&self.myself));
        drop(runtime.spawn(async move {
            let tidying = tidying;
            sleep(SEALED_AFTER).await;
            let Some(keeper) = tidying.0.upgrade() else { return };
            keeper.tidy_all().await;
            drop(tidying);
            // What came meanwhile did not wake anybody.
            if !lock(&keeper.unsealed).is_empty() {
                keeper.wake();
            }
        }));
    }

    /// Seals all that this instance wrote, and looks up what is due to be. What cannot be is tried again a little later.
    pub(crate) async fn tidy_all(&self) {
        if !self.policy.is_on {
            return;
        }
        let sealing = self.sealing.lock().await;
        let mut due = std::mem::take(&mut *lock(&self.unsealed));
        let now = self.clock.now();
        due.extend(lock(&self.later).extract_if(.., |_, at| *at <= now).map(|(organization, _)| organization));
        let tidying = stream::iter(due).map(|organization| async move {
            if let Err(error) = self.tidy(&organization).await {
                tracing::warn!(target: "keygate::audit", organization_id = %organization, %error, "the audit is not sealed yet");
                self.look_again(&organization, now + TRIED_AGAIN);
            }
        });
        tidying.buffer_unordered(TIDIED_AT_ONCE).collect::<()>().await;
        drop(sealing);
    }

    /// Has an organization looked at from this time on.
    fn look_again(&self, organization: &OrganizationId, at: DateTime<Utc>) {
        let mut later = lock(&self.later);
        if let Some(sooner) = later.get_mut(organization) {
            *sooner = at.min(*sooner);
        } else if later.len() < REMEMBERED {
            later.insert(organization.clone(), at);
        }
    }

    /// Closes what is open for long, and seals what is not sealed. It takes nothing away.
    pub(crate) async fn tidy(&self, organization: &OrganizationId) -> Result<AuditState, StoreError> {
        let mut state = self.store.audit_state(organization).await?;
        if !self.policy.is_on {
            return Ok(state);
        }
        let overdue = self.now() - OPEN_FOR;
        let mut is_any_closed = false;
        for open in state.open.iter().filter(|open| open.act.at() <= overdue) {
            match reconcile::close(self, organization, *open).await {
                Ok(is_closed) => is_any_closed |= is_closed,
                // One that cannot be closed keeps nothing from being sealed.
                Err(error) => {
                    tracing::error!(
                        target: "keygate::audit",
                        organization_id = %organization,
                        act_id = %open.act,
                        %error,
                        "it cannot be written down what became of an act"
                    );
                }
            }
        }
        if is_any_closed {
            state = self.store.audit_state(organization).await?;
        }
        // Those that it is too early to look up, that could not be closed, or that were not told of before.
        let now = self.now();
        let due = state.open.iter().map(|open| open.act.at() + OPEN_FOR);
        let due = due.map(|at| if at > now { at } else { now + TRIED_AGAIN });
        if let Some(at) = due.min() {
            self.look_again(organization, at);
        }
        self.seal(organization, state).await
    }

    async fn seal(&self, organization: &OrganizationId, mut state: AuditState) -> Result<AuditState, StoreError> {
        let (mut races, mut made, mut is_named) = (0, 0, false);
        loop {
            let before = self.before_next(organization, &state);
            let next = before.next;
            if next > state.last || made >= SEALS_AT_ONCE || races >= RACES {
                if next <= state.last {
                    self.seal_soon(organization);
                }
                return Ok(state);
            }
            if !is_named {
                // Whoever drops a ring entry that the marker does not name asks no seal for it.
                let marker = self.store.deployment().await?;
                is_named = marker.is_some_and(|marker| marker.ring_entries.contains(&self.ring.current_id()));
                if !is_named {
                    tracing::debug!(target: "keygate::audit", organization_id = %organization, "the ring is not confirmed yet");
                    return Ok(state);
                }
            }
            let mut entries = self.store.audit_entries(organization, next..=state.last, false, SEALED_AT_ONCE).await?;
            entries.dedup_by_key(|entry| entry.sequence);
            let reach = SEALED_AT_ONCE as u64 - 1;
            // Where more are gone than fit under a seal, it begins after them: that they are gone shows by where it begins.
            let first = entries.first().map_or(next, |entry| entry.sequence);
            let first = if first.saturating_sub(next) > reach { first } else { next };
            let before = Before { next: first, ..before };
            entries.retain(|entry| entry.sequence.saturating_sub(first) <= reach);
            entries.truncate(run_of(&entries));
            let run = self.sealable(organization, &entries);
            // Where there is none of its own at all, one that comes later shows that the chain goes on.
            if run > 0 || !self.goes_on_after(organization, &entries, state.last).await? {
                entries.truncate(run);
            }
            // What the store says has been written and is not there is no reason for a seal.
            let Some(last) = entries.last().map(|entry| entry.sequence) else {
                tracing::error!(
                    target: "keygate::audit", organization_id = %organization, from = next, "no entry is there that can be sealed"
                );
                return Ok(state);
            };
            let seal = Seal::make(&self.ring, organization, before, last, &entries, self.now());
            if self.store.put_audit_seal(organization, state.seal.as_ref(), &seal).await? {
                made += 1;
                if let Some(head) = Seal::read(&seal).map(|seal| seal.head()) {
                    // Outside of the store it shows later whether the end was cut off.
                    tracing::info!(target: "keygate::audit", organization_id = %organization, %head, "the audit is sealed");
                }
                state.seal = Some(seal);
            } else {
                races += 1;
                state = self.store.audit_state(organization).await?;
            }
        }
    }

    /// How many of these entries go under one seal: the last is genuine, so that nobody makes a chain long by entries of their own.
    /// What was made under a ring entry that is not configured here is for others to seal, until something genuine follows it.
    fn sealable(&self, organization: &OrganizationId, entries: &[KeptEntry]) -> usize {
        let mut run = 0;
        for (place, entry) in entries.iter().enumerate() {
            let sequence = entry.sequence;
            match attested(&self.ring, organization, &entry.bytes) {
                Attested::Genuine => run = place + 1,
                Attested::Forged => {
                    tracing::error!(target: "keygate::audit", organization_id = %organization, sequence, "an entry is not as it was written");
                }
                Attested::RingEntryMissing(id) => {
                    tracing::warn!(target: "keygate::audit", organization_id = %organization, sequence, entry = %id, "an entry needs a ring entry that is not configured");
                }
            }
        }
        run
    }

    /// Whether any of the newest entries, after these, is genuine.
    async fn goes_on_after(
        &self,
        organization: &OrganizationId,
        entries: &[KeptEntry],
        last: u64,
    ) -> Result<bool, StoreError> {
        let Some(end) = entries.last() else { return Ok(false) };
        let later = end.sequence.saturating_add(1)..=last;
        let newest = self.store.audit_entries(organization, later, true, SEALED_AT_ONCE).await?;
        Ok(newest.iter().any(|entry| attested(&self.ring, organization, &entry.bytes) == Attested::Genuine))
    }

    /// What the next seal is made after.
    fn before_next(&self, organization: &OrganizationId, state: &AuditState) -> Before {
        if let Some(kept) = &state.seal {
            let next = kept.last.saturating_add(1);
            // Whatever it is: that it is no seal stays to be seen.
            let seal = Seal::read(kept).map(|seal| seal.then(self.genuine(organization, kept).is_some()));
            return seal.unwrap_or(Before { next, ..Before::FIRST });
        }
        let Some(bytes) = state.checkpoint.as_deref() else { return Before::FIRST };
        let Some(checkpoint) = Checkpoint::read(bytes) else { return Before::FIRST };
        let is_genuine = Checkpoint::genuine(&self.ring, organization, bytes).is_some();
        Before {
            mac: checkpoint.trimmed,
            tally: if is_genuine { checkpoint.tally } else { Tally::default() },
            next: checkpoint.through.saturating_add(1),
        }
    }

    /// Reads a seal that is genuine.
    pub(super) fn genuine(&self, organization: &OrganizationId, kept: &KeptSeal) -> Option<Seal> {
        let seal = Seal::read(kept)?;
        let under = self.ring.entry(seal.ring_entry)?;
        Seal::is_genuine(kept, under, organization).then_some(seal)
    }
}
