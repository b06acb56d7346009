//! Checking a presented key: parse, tag, record and verifier, then the [checks](crate::check). A text that is no native key
//! may be that of an [imported](crate::import) one, which is found by a lookup in the place of the tag and the id in it.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{ApiKeyManager, Inner, ManageError, events};
use crate::cache::{Above, Entry, Found, Trouble};
use crate::check::{AboveView, Subject};
use crate::clock::Tick;
use crate::coherence::{Change, Read, Watcher};
use crate::context::{Admission, RequestContext, RequestView};
use crate::denial::{Denial, DenialReason};
use crate::import::token_of_same_kind;
use crate::key::{KeyId, PresentedKey};
use crate::limiter::{Charge, Quick};
use crate::record::KeyRecord;
use crate::ring::{EntryId, RingEntry};
use crate::store::{LookupToken, StoreError, WriteRefusal};
use crate::usage::Decision;
use crate::usage::outcome::Outcome;
use crate::verifier::{Overloaded, Verifier};

/// How long a key whose use could not be written down is left alone: a store that reads but does not write must not cost a
/// write, and perhaps a slow verifier, at every request.
const WRITE_AGAIN: TimeDelta = TimeDelta::seconds(60);
/// The same of the first use of a key that was handed over, which ends the claims of whoever holds its predecessor.
const FIRST_USE_AGAIN: TimeDelta = TimeDelta::seconds(1);

/// How often a key that changes while it is checked is checked again.
const ATTEMPTS: usize = 16;

/// What can be said of a presented key at once.
#[derive(Debug)]
#[must_use]
pub enum Attempt {
    /// The decision.
    Decided(Result<Admission, Denial>),
    /// The store has to be asked.
    Pending(Pending),
}

/// A presented key whose record has to be read.
#[must_use]
pub struct Pending {
    manager: ApiKeyManager,
    text: Zeroizing<Vec<u8>>,
    /// The entry whose tag it carries, once a tag could be judged.
    minted_under: Option<EntryId>,
    context: RequestContext,
}

/// A text, and the key that it claims to be.
#[derive(Clone, Copy)]
pub(super) struct Claimed<'a> {
    pub(super) id: KeyId,
    pub(super) text: &'a [u8],
    pub(super) origin: Origin,
}

/// Where a text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It carries the tag of this entry.
    Minted(EntryId),
    /// It was made elsewhere.
    Imported,
}

impl<'a> Claimed<'a> {
    pub(super) fn native(presented: &PresentedKey<'a>, minted_under: EntryId) -> Self {
        Self { id: presented.id(), text: presented.text(), origin: Origin::Minted(minted_under) }
    }
}

/// What was decided of a text.
enum Judgement {
    /// It is no key of this deployment.
    NoKey,
    /// The decision over its key.
    Decided(Result<Admission, Denial>),
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the text: it is the key.
        f.debug_struct("Pending").field("context", &self.context).finish_non_exhaustive()
    }
}

impl ApiKeyManager {
    /// Decides what can be decided without the store: a key that is kept and still holds, and a text that is not a key
    /// or whose tag this deployment did not make. No store call, no lock that all requests share, no allocation; one
    /// hash for a key that is kept, at most one for each ring entry for one that is not.
    pub fn attempt<'a>(&self, text: &[u8], context: impl Into<RequestView<'a>>) -> Attempt {
        let (inner, context) = (&*self.inner, context.into());
        let Ok(presented) = PresentedKey::parse(text) else { return self.attempt_imported(text, context) };
        if let Some(entry) = inner.cache.entry(presented.id())
            && let Some(decision) = inner.decide_at_once(entry, text, context)
        {
            inner.cache.counters().hits.add();
            return Attempt::Decided(decision);
        }
        // Before the store has confirmed the ring, a tag that fails says nothing.
        let mut minted_under = None;
        if inner.setup.is_confirmed() {
            minted_under = inner.ring.minted_under(&presented);
            if minted_under.is_none() {
                return Attempt::Decided(Err(inner.forged()));
            }
            if inner.cache.is_absent(presented.id(), inner.clock.tick()) {
                inner.cache.counters().hits.add();
                return Attempt::Decided(Err(inner.forged()));
            }
        }
        let text = Zeroizing::new(text.to_vec());
        Attempt::Pending(Pending { manager: self.clone(), text, minted_under, context: context.to_context() })
    }

    /// Decides over a text that is no native key. In memory where it may be no key at all, or is one that was found before.
    fn attempt_imported(&self, text: &[u8], context: RequestView<'_>) -> Attempt {
        let inner = &*self.inner;
        if !inner.finder.admits(text) {
            inner.recorder.forged();
            return Attempt::Decided(Err(Denial::new(DenialReason::MalformedKey)));
        }
        if let Some(entry) = inner.finder.known(text).and_then(|id| inner.cache.entry(id))
            && let Some(decision) = inner.decide_at_once(entry, text, context)
        {
            inner.cache.counters().hits.add();
            return Attempt::Decided(decision);
        }
        let text = Zeroizing::new(text.to_vec());
        Attempt::Pending(Pending { manager: self.clone(), text, minted_under: None, context: context.to_context() })
    }

    /// Decides whether the key may be used for the request.
    ///
    /// Dropping the future gives up the answer and nothing else.
    ///
    /// # Errors
    /// The denial. A store that does not answer is one too ([`DenialReason::StoreUnavailable`]): never an acceptance,
    /// and never an invalid key.
    pub async fn validate(&self, text: &str, context: &RequestContext) -> Result<Admission, Denial> {
        match self.attempt(text.as_bytes(), context) {
            Attempt::Decided(decision) => decision,
            Attempt::Pending(pending) => pending.resolve().await,
        }
    }
}

impl Pending {
    /// Asks the store and decides.
    ///
    /// # Errors
    /// The denial, as of [`ApiKeyManager::validate`].
    pub async fn resolve(self) -> Result<Admission, Denial> {
        let Self { manager, text, minted_under, context } = self;
        let inner = &*manager.inner;
        let asked = inner.clock.tick();
        manager.open().await.map_err(|_| Denial::store_unavailable())?;
        // Parsed once more, which is cheap beside the store: what was parsed does not outlive its text.
        let Ok(presented) = PresentedKey::parse(&text) else {
            return inner.decide_imported(&text, &context, asked).await;
        };
        let Some(minted_under) = minted_under.or_else(|| inner.ring.minted_under(&presented)) else {
            return Err(inner.forged());
        };
        inner.cache.counters().misses.add();
        match inner.decide(Claimed::native(&presented, minted_under), &context, asked).await {
            Judgement::Decided(decision) => decision,
            Judgement::NoKey => Err(inner.forged()),
        }
    }
}

fn decision(outcome: Outcome, context: RequestView<'_>, at: DateTime<Utc>) -> Decision<'_> {
    let (address, location, endpoint) = (context.client_address(), context.location(), context.endpoint());
    Decision { at, outcome, address, location, endpoint, scopes: context.shared_scopes() }
}

impl Inner {
    /// A denial of a known key, counted, and sampled for the audit. What a stranger would be told, another tenant's key among it,
    /// is counted of nobody, and stands in nobody's audit.
    fn denied(&self, entry: &Arc<Entry>, denial: Denial, context: RequestView<'_>, at: DateTime<Utc>) -> Denial {
        let outcome = Outcome::Denied(denial.reason());
        if outcome.place().is_some() {
            self.audit.denied(entry.key(), &denial, context.client_address());
            entry.decided(&decision(outcome, context, at));
        }
        denial
    }

    /// The decision over a key that is kept: `None` where the store has to be asked, because something of it may no longer
    /// hold, or no text was found yet to be this key by its slow verifier.
    ///
    /// The tag is not looked at: it is part of the text, and the text's digest is that of the one text that is the key.
    fn decide_at_once(
        &self,
        entry: Arc<Entry>,
        text: &[u8],
        context: RequestView<'_>,
    ) -> Option<Result<Admission, Denial>> {
        let now = self.clock.tick();
        if !entry.is_current(now) || self.is_to_write(&entry) {
            return None;
        }
        let parents = entry.parents().current(now)?;
        let digest = self.ring.entry(entry.digested_under())?.digest(text);
        if !entry.proves(&digest)? {
            return Some(Err(self.forged()));
        }
        let held = parents.as_ref()?;
        let governed = self.cache.governs(&entry, held.value());
        let owner = if governed { Some(entry.owner()?.current(now)?) } else { None };
        let known = owner.as_ref().and_then(|owner| owner.as_ref());
        let above = AboveView { parents: held.value(), owner: known.map(|owner| owner.value()) };
        let at = self.clock.now_at(now);
        if let Err(denial) = self.subject(&entry, above, context, at).decide() {
            return Some(Err(self.denied(&entry, denial, context, at)));
        }
        // Last, so that a denial burns nothing.
        let charge = if entry.is_unlimited_under(held, known) {
            None
        } else {
            let mut charge = Charge::default();
            let limits = entry.limits_under(held, known, &self.limiter);
            match limits.as_ref()?.set().charge_at_once(&mut charge, context.cost(), now) {
                Quick::Charged => {}
                Quick::Denied(denial) => {
                    let denial = denial.for_key(entry.key().id);
                    self.limit_met(entry.key(), &denial);
                    return Some(Err(self.denied(&entry, denial, context, at)));
                }
                Quick::Ask => return None,
            }
            Some(charge)
        };
        drop((owner, parents));
        let hour = entry.decided(&decision(Outcome::Admitted, context, at));
        let admission = match charge {
            Some(charge) => Admission::new(entry, charge),
            None => Admission::unlimited(entry, context.cost()),
        };
        Some(Ok(admission.counted_in(hour)))
    }

    /// The denial of a text that is no key of this deployment.
    fn forged(&self) -> Denial {
        self.recorder.forged();
        Denial::new(DenialReason::InvalidKey)
    }

    /// The decision over a known key, counted.
    fn counted(
        &self,
        entry: &Arc<Entry>,
        decided: Result<Admission, Denial>,
        context: &RequestContext,
    ) -> Result<Admission, Denial> {
        let at = self.clock.now();
        match decided {
            Ok(admission) => {
                let hour = entry.decided(&decision(Outcome::Admitted, context.into(), at));
                Ok(admission.counted_in(hour))
            }
            Err(denial) => Err(self.denied(entry, denial, context.into(), at)),
        }
    }

    /// The decision over a text that may be an imported key: the one it was found to be before, or else one of those that
    /// the store finds by it.
    async fn decide_imported(&self, text: &[u8], context: &RequestContext, asked: Tick) -> Result<Admission, Denial> {
        self.cache.counters().misses.add();
        let of = |id| Claimed { id, text, origin: Origin::Imported };
        if let Some(id) = self.finder.known(text) {
            match self.decide(of(id), context, asked).await {
                Judgement::Decided(decision) => return decision,
                // It was deleted; the text may have been imported again since.
                Judgement::NoKey => self.finder.forget(text),
            }
        }
        let found = self.find_imported(text).await.map_err(|_| Denial::store_unavailable())?;
        for id in found {
            if let Judgement::Decided(decision) = self.decide(of(id), context, asked).await {
                return decision;
            }
        }
        match self.finds_all_imported().await {
            Ok(()) => Err(self.forged()),
            Err(_) => Err(Denial::store_unavailable()),
        }
    }

    /// Whether what is not found is no key: a key may be found under a ring entry that is not configured here, and an
    /// emptied store finds none.
    pub(super) async fn finds_all_imported(&self) -> Result<(), Trouble> {
        let marker = self.setup.marker(&*self.store).await.map_err(|error| self.trouble(None, &error))?;
        let Some(marker) = marker else {
            self.cache.complaints().store_emptied.at(self.clock.tick(), |unsaid| {
                tracing::error!(
                    store = %self.store.describe(),
                    unsaid,
                    "the deployment marker is not the one known: the store has been emptied, and finds no imported key"
                );
            });
            return Err(Trouble::Other);
        };
        match marker.ring_entries.iter().find(|entry| self.ring.entry(**entry).is_none()) {
            None => Ok(()),
            Some(entry) => {
                self.cache.complaints().ring_entry_missing.at(self.clock.tick(), |unsaid| {
                    tracing::error!(%entry, unsaid, "an imported key may be found under a ring entry that is not configured");
                });
                Err(Trouble::Other)
            }
        }
    }

    /// The keys that may have this text, as the store finds them.
    pub(super) async fn find_imported(&self, text: &[u8]) -> Result<Vec<KeyId>, Trouble> {
        let turn = self.finder.turn(self.clock.tick()).await.map_err(|overloaded| {
            self.cache.complaints().lookups_overloaded.at(self.clock.tick(), |unsaid| {
                tracing::warn!(%overloaded, unsaid, "a text was not looked up");
            });
            Trouble::Other
        })?;
        let tokens: Vec<LookupToken> =
            self.finder.candidates(text, &self.ring).into_iter().map(|candidate| candidate.token).collect();
        let found = self.store.look_up(&tokens).await;
        drop(turn);
        let mut ids: Vec<KeyId> = Vec::new();
        for id in found.map_err(|error| self.trouble(None, &error))?.into_iter().flatten() {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// The decision over a text that claims to be a key, from the store where it must be.
    async fn decide(&self, claimed: Claimed<'_>, context: &RequestContext, asked: Tick) -> Judgement {
        for _ in 0..ATTEMPTS {
            let found = match self.cache.find(claimed.id, asked, || self.read(claimed.id)).await {
                Ok(Found::Key(entry)) => self.decide_over(entry, claimed, context, asked).await,
                Ok(Found::Nothing(_)) => return Judgement::NoKey,
                Err(trouble) => Err(trouble),
            };
            match found {
                Ok(Some(judgement)) => return judgement,
                Ok(None) => {}
                Err(Trouble::StoreFails) => {
                    let stale = self.decide_stale(claimed, context).await;
                    return stale.unwrap_or_else(|| Judgement::Decided(Err(Denial::store_unavailable())));
                }
                Err(Trouble::Other) => return Judgement::Decided(Err(Denial::store_unavailable())),
            }
        }
        self.cache.complaints().keeps_changing.at(self.clock.tick(), |unsaid| {
            tracing::error!(key_id = %claimed.id, unsaid, "a key changed again and again while it was checked");
        });
        Judgement::Decided(Err(Denial::store_unavailable()))
    }

    /// `None` where the key or what stands above it changed meanwhile, not least because it was moved to the current ring
    /// entry here, or was read too long ago to decide.
    async fn decide_over(
        &self,
        entry: Arc<Entry>,
        claimed: Claimed<'_>,
        context: &RequestContext,
        asked: Tick,
    ) -> Result<Option<Judgement>, Trouble> {
        let above = self.cache.above(&entry, asked).await.map_err(|error| self.trouble(Some(claimed.id), &error))?;
        let genuine = self.is_genuine(&entry, claimed).await?;
        let tick = self.clock.tick();
        if !entry.may_decide_under(&above, tick, asked) {
            return Ok(None);
        }
        if !genuine {
            return Ok(Some(Judgement::NoKey));
        }
        let charged = match self.check(&entry, &above, context) {
            Ok(()) => self.charge(Arc::clone(&entry), &above, context).await,
            Err(denial) => Err(denial),
        };
        let mut admission = match charged {
            Ok(admission) => admission,
            denied @ Err(_) => return Ok(Some(Judgement::Decided(self.counted(&entry, denied, context)))),
        };
        // To charge it takes a while, and so does to move it, in which it may have been revoked: what has changed meanwhile is
        // decided anew.
        let tick = self.clock.tick();
        let holds = entry.may_decide_under(&above, tick, asked);
        if holds && (!self.is_to_write(&entry) || self.write_use(&entry, &above, claimed.text, asked).await) {
            return Ok(Some(Judgement::Decided(self.counted(&entry, Ok(admission), context))));
        }
        admission.refund();
        Ok(None)
    }

    /// While the store fails, the decision over what was kept, if the operator chose that it may be believed so long.
    async fn decide_stale(&self, claimed: Claimed<'_>, context: &RequestContext) -> Option<Judgement> {
        let stale = self.cache.stale();
        if stale.is_zero() || self.cache.was_revoked(claimed.id) {
            return None;
        }
        let entry = self.cache.entry(claimed.id)?;
        let stale_above = |now| entry.stale_above(now, stale, |parents| self.cache.governs(&entry, parents.value()));
        let above = stale_above(self.clock.tick())?;
        let genuine = self.is_genuine(&entry, claimed).await.ok()?;
        // Last, because a slow verifier takes its time.
        let now = self.clock.tick();
        let may = entry.is_current(now) || entry.may_be_stale(now, stale);
        if !may || stale_above(now).is_none() {
            return None;
        }
        self.cache.counters().stale.add();
        tracing::debug!(key_id = %claimed.id, "decided from what was kept, because the store fails");
        if !genuine {
            return Some(Judgement::NoKey);
        }
        let decided = match self.check(&entry, &above, context) {
            Ok(()) => self.charge(Arc::clone(&entry), &above, context).await,
            Err(denial) => Err(denial),
        };
        Some(Judgement::Decided(self.counted(&entry, decided, context)))
    }

    /// Charges the request, which all checks have let in.
    async fn charge(&self, entry: Arc<Entry>, above: &Above, context: &RequestContext) -> Result<Admission, Denial> {
        let mut charge = Charge::default();
        // Held for as long as it takes, which a guard should not be.
        let limits = arc_swap::Guard::into_inner(entry.limits_under(above.parents(), above.owner(), &self.limiter));
        if let Some(limited) = limits {
            let charged = limited.set().charge(&mut charge, context.cost).await;
            charged.map_err(|denial| denial.for_key(entry.key().id)).inspect_err(|denial| {
                self.limit_met(entry.key(), denial);
            })?;
        }
        Ok(Admission::new(entry, charge))
    }

    /// What a decision over a key that was read is made of.
    #[inline]
    pub(super) fn subject<'a>(
        &self,
        entry: &'a Entry,
        above: AboveView<'a>,
        context: impl Into<RequestView<'a>>,
        now: DateTime<Utc>,
    ) -> Subject<'a> {
        let (key, checked, context) = (entry.key(), entry.checked(), context.into());
        Subject { key, checked, above, context, environment: Some(self.environment), now }
    }

    fn check(&self, entry: &Entry, above: &Above, context: &RequestContext) -> Result<(), Denial> {
        self.subject(entry, above.view(), context, self.clock.now()).decide().inspect_err(|denial| {
            tracing::debug!(key_id = %entry.key().id, reason = %denial.reason(), "a key was refused");
        })
    }

    /// `None` is a text of which it is not known whose key it is.
    pub(super) fn trouble(&self, id: Option<KeyId>, error: &StoreError) -> Trouble {
        let key_id = id.map(tracing::field::display);
        tracing::debug!(%error, key_id, store = %self.store.describe(), "a key could not be checked");
        self.cache.complaints().store_fails.at(self.clock.tick(), |unsaid| {
            tracing::error!(%error, key_id, store = %self.store.describe(), unsaid, "keys cannot be checked");
        });
        match error {
            StoreError::Unavailable(_) => Trouble::StoreFails,
            StoreError::Damaged { .. } => Trouble::Other,
        }
    }

    /// Reads a key's record.
    pub(super) async fn read(&self, id: KeyId) -> Result<Read<Option<KeyRecord>>, Trouble> {
        let trouble = |error: StoreError| self.trouble(Some(id), &error);
        let read = self.store.load_record(id).await.map_err(trouble)?;
        match &read.value {
            None if self.was_deleted(id).await.map_err(trouble)? => Ok(read),
            None => Err(Trouble::Other),
            Some(record) if self.cache.was_revoked(record.key.id) => Ok(self.still_revoked(read).await),
            Some(_) => Ok(read),
        }
    }

    /// A genuine tag without a record: whether the key was deleted, and the store not emptied. Only the holder of a genuine
    /// key gets here, to whom the time it takes tells nothing that the answer does not.
    async fn was_deleted(&self, id: KeyId) -> Result<bool, StoreError> {
        let deleted = self.setup.marker(&*self.store).await?.is_some();
        if !deleted {
            self.cache.complaints().store_emptied.at(self.clock.tick(), |unsaid| {
                tracing::error!(
                    key_id = %id,
                    store = %self.store.describe(),
                    unsaid,
                    "a genuine key has no record and the deployment marker is not the one known: the store has been emptied"
                );
            });
        }
        Ok(deleted)
    }

    /// Whether the record is this key's and the presented text is the one it was made from.
    pub(super) async fn is_genuine(&self, entry: &Entry, claimed: Claimed<'_>) -> Result<bool, Trouble> {
        let (record, complaints) = (entry.record(), self.cache.complaints());
        let Some(ring_entry) = self.ring.entry(record.digested_under) else {
            complaints.ring_entry_missing.at(self.clock.tick(), |unsaid| {
                tracing::error!(
                    key_id = %record.key.id,
                    entry = %record.digested_under,
                    unsaid,
                    "a key's record needs a ring entry that is not configured"
                );
            });
            return Err(Trouble::Other);
        };
        let is_of_origin = match claimed.origin {
            Origin::Minted(entry) => record.minted_under == entry && record.lookup.is_none(),
            Origin::Imported => record.lookup.is_some(),
        };
        if !is_of_origin || record.key.id != claimed.id {
            return Ok(false);
        }
        let digest = ring_entry.digest(claimed.text);
        let matches = match (entry.proves(&digest), &record.verifier) {
            (Some(matches), _) => Ok(matches),
            (None, Verifier::Imported { .. }) => {
                self.matches_imported(&record.verifier, ring_entry, claimed.text).await
            }
            (None, verifier) => self.slow.matches(verifier, &digest).await,
        };
        let genuine = matches.map_err(|overloaded| {
            complaints.verifiers_overloaded.at(self.clock.tick(), |unsaid| {
                tracing::warn!(key_id = %record.key.id, %overloaded, unsaid, "a key could not be checked");
            });
            Trouble::Other
        })?;
        if genuine {
            entry.proven(digest);
            if claimed.origin == Origin::Imported {
                self.finder.learn(claimed.text, claimed.id);
            }
        }
        Ok(genuine)
    }

    /// Whether a text is the one whose digest was imported, which is found out by the scheme that it was made by.
    async fn matches_imported(&self, verifier: &Verifier, entry: &RingEntry, text: &[u8]) -> Result<bool, Overloaded> {
        let Verifier::Imported { scheme, digest: kept } = verifier else { return Ok(false) };
        let (label, kept) = (scheme.label(), *kept);
        if !scheme.is_slow() {
            // Without the key that it was made under the text would not have been found.
            let digest = scheme.digest(text, self.finder.hmac_keys());
            return Ok(digest.is_some_and(|digest| entry.imported(label, &digest).ct_eq(&kept).into()));
        }
        let (slow, entry, scheme, text) = (&self.slow, entry.clone(), scheme.clone(), Zeroizing::new(text.to_vec()));
        let text_digest = entry.digest(&text);
        slow.matches_imported(verifier, &text_digest, move || {
            let digest = scheme.digest(&text, &[]);
            digest.is_some_and(|digest| entry.imported(label, &digest).ct_eq(&kept).into())
        })
        .await
    }

    /// Whether this use is to be written down: the record was made under an older ring entry, or the key was handed over or
    /// imported and not used yet; and it has not been tried lately.
    fn is_to_write(&self, entry: &Entry) -> bool {
        let again = if entry.is_unclaimed() {
            FIRST_USE_AGAIN
        } else if entry.is_imported() || entry.digested_under() != self.ring.current_id() {
            WRITE_AGAIN
        } else {
            return false;
        };
        let lately = |at| (TimeDelta::zero()..again).contains(&(self.clock.now() - at));
        !self.writes.get(&entry.key().id).is_some_and(lately)
    }

    /// Moves a record made under an older ring entry to the current one, and writes down that the key is in use. A failure
    /// leaves it for a later use: the request has its answer already, if that still holds, which is what this says. After
    /// the write itself it does not, where the store tells of changes.
    async fn write_use(&self, entry: &Entry, above: &Above, text: &[u8], asked: Tick) -> bool {
        let record = entry.record();
        // A first use is written before the key is believed from memory, unless the store does not write at all.
        if !record.unclaimed {
            self.writes.insert(record.key.id, self.clock.now());
        }
        let written = self.write_used(record, text).await;
        if record.unclaimed && matches!(&written, Err(error) if error.is_trouble()) {
            self.writes.insert(record.key.id, self.clock.now());
        }
        let tick = self.clock.tick();
        // The store's refusal may come before its word of what it refuses for.
        let refused =
            matches!(written, Err(ManageError::Revoked | ManageError::NotFound | ManageError::Conflict { .. }));
        let holds = !refused && entry.may_decide_under(above, tick, asked);
        // Whether or not the store is known to have done it.
        self.cache.changed(&Change::Key(record.key.id));
        match written {
            Ok(Some(written)) => {
                if written.digested_under != record.digested_under || record.verifier.is_imported() {
                    events::redigested(&written.key);
                }
                if record.unclaimed {
                    self.withdraw_offer(&written).await;
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(key_id = %record.key.id, %error, "the use of a key was not written to its record");
            }
        }
        holds
    }

    /// `None` where there is nothing to write, as when the current entry is the older one.
    async fn write_used(&self, record: &KeyRecord, text: &[u8]) -> Result<Option<KeyRecord>, ManageError> {
        let marker = self.setup.confirm_current(&*self.store, &self.ring, self.clock.now()).await?;
        let current = self.ring.current();
        let mut used = record.clone();
        used.unclaimed = false;
        let digested_by = if marker.is_newer(current.id(), record.digested_under) {
            Some(current)
        } else if record.verifier.is_imported() {
            self.ring.entry(record.digested_under)
        } else {
            None
        };
        if let Some(entry) = digested_by {
            let scheme = record.verifier.scheme().unwrap_or(record.key.security_tier.scheme());
            used.verifier = self.make_verifier(scheme, entry.digest(text)).await?;
            used.digested_under = entry.id();
            if let Some(lookup) = self.lookup_under(record, text, entry).await? {
                (used.lookup, used.minted_under) = (Some(lookup), entry.id());
            }
        }
        self.renew_sensitive_by(&mut used, &marker)?;
        if used == *record {
            return Ok(None);
        }
        used.key.revision = record.key.revision.next();
        let replaced = self.store.replace(&used, record.key.revision).await;
        if used.lookup != record.lookup {
            self.free_other_lookup(record, &used, &replaced).await;
        }
        replaced?;
        Ok(Some(used))
    }

    /// Takes for an imported key what it is found by under another ring entry. `None` where it stays as it is: it is made
    /// under that entry, or the kind of text it was found by is declared no more, or the token is another key's.
    async fn lookup_under(
        &self,
        record: &KeyRecord,
        text: &[u8],
        entry: &RingEntry,
    ) -> Result<Option<LookupToken>, ManageError> {
        let Some(held) = record.lookup.filter(|_| record.minted_under != entry.id()) else { return Ok(None) };
        let candidates = self.finder.candidates(text, &self.ring);
        let Some(token) = token_of_same_kind(&candidates, held, entry.id()) else { return Ok(None) };
        let taken = self.store.take_lookups(&[(token, record.key.id)]).await?;
        Ok(match taken.first() {
            Some(Some(other)) if *other != record.key.id => {
                let key_id = record.key.id;
                tracing::warn!(%key_id, %other, "two keys have the text of one; each is found under its own ring entry");
                None
            }
            _ => Some(token),
        })
    }

    /// Of the two tokens that an imported key has while it moves, frees the one that its record does not name. A failure
    /// leaves one that leads to the same key, or to none.
    async fn free_other_lookup<T>(&self, before: &KeyRecord, after: &KeyRecord, replaced: &Result<T, WriteRefusal>) {
        let freed = match replaced {
            Ok(_) => before.lookup,
            // Another instance has moved it in the same way.
            Err(WriteRefusal::Conflict { .. } | WriteRefusal::Store(_)) => None,
            Err(_) => after.lookup,
        };
        if let Some(freed) = freed
            && let Err(error) = self.store.free_lookup(&freed, before.key.id).await
        {
            tracing::debug!(key_id = %before.key.id, %error, "what a key was found by before is left behind");
        }
    }

    /// Takes the text of a key that is in use out of its predecessor's record. Nobody is handed it any more, whether or not
    /// that is done.
    async fn withdraw_offer(&self, used: &KeyRecord) {
        let Some(predecessor) = used.key.succession.predecessor_id else { return };
        for _ in 0..ATTEMPTS {
            let Ok(Some(mut record)) = self.store.record(predecessor).await else { return };
            if record.offer.take().is_none() || record.key.organization != used.key.organization {
                return;
            }
            if !matches!(self.replace(record).await, Err(WriteRefusal::Conflict { .. })) {
                return;
            }
        }
    }
}
