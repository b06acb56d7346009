//! Taking in keys that were made elsewhere: see [`import`](crate::import) for what is kept of them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::above::{Above, Levels};
use super::act::Act;
use super::{ApiKeyManager, ManageError, events};
use crate::actor::{Actor, Operator};
use crate::audit::{ActOutcome, ActTarget, Action, Changes};
use crate::import::{
    ImportPattern, ImportedKey, ImportedScheme, ImportedSecret, MAX_IMPORTED_LENGTH, MIN_IMPORTED_LENGTH, is_native,
    token_of_digest, token_of_part,
};
use crate::key::KeyId;
use crate::names::{NameError, OrganizationId, ProjectId, UserId};
use crate::record::{Key, KeyRecord, Lineage};
use crate::ring::{EntryId, RingEntry};
use crate::store::{CreateRefusal, LookupToken, MAX_LOOKUPS, QuotaUse, StoreError};
use crate::verifier::{Scheme, Verifier};

/// The most lines of one import.
pub const MAX_IMPORT: usize = 10_000;
/// The most bytes of one import.
pub const MAX_IMPORT_BYTES: usize = 16 * 1024 * 1024;
/// How many lines go to the store together.
const AT_ONCE: usize = 500;
/// How many records are read at once.
const IN_FLIGHT: usize = 32;
/// What is said of a line whose key was found by its lookup part, and is in use.
const ALIKE: &str =
    "a key of this user with this lookup part is in use already; whether it is this one cannot be compared any more";

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportStatus {
    /// Its key is made; in a dry run, it would be.
    Created,
    /// Its key was there already, and is left as it is.
    Exists,
    /// Its key is not made.
    Refused,
}

/// What became of a line, and why. Its JSON form is that of the management API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImportOutcome {
    /// The line, counted from 1. Lines without anything on them are counted, and have no outcome.
    pub line: u64,
    /// What became of it.
    pub status: ImportStatus,
    /// Its key. None where that is not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
    /// Why it was refused: the stable word for it, as of [`ManageError::reason`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same in a sentence for people, which repeats no secret. Of a key that was there already, what could not be
    /// compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl ImportOutcome {
    fn of(line: u64, came: Result<Came, ManageError>) -> Self {
        let (status, key_id, reason, detail) = match came {
            Ok(Came::Created(key_id)) => (ImportStatus::Created, key_id, None, None),
            Ok(Came::Exists(id)) => (ImportStatus::Exists, Some(id), None, None),
            Ok(Came::Alike(id)) => (ImportStatus::Exists, Some(id), None, Some(ALIKE.to_owned())),
            Err(error) => (ImportStatus::Refused, None, Some(error.reason().to_owned()), Some(error.detail())),
        };
        Self { line, status, key_id, reason, detail }
    }
}

/// What became of a key.
#[derive(Clone, Copy)]
enum Came {
    /// Of a dry run there is no id.
    Created(Option<KeyId>),
    Exists(KeyId),
    /// It exists as far as can be told.
    Alike(KeyId),
}

/// Refuses those that are not there and whose users have left.
fn refuse_offboarded(prepared: &[Prepared], came: &mut [Option<Result<Came, ManageError>>]) {
    for (one, came) in prepared.iter().zip(came).filter(|(_, came)| came.is_none()) {
        *came = one.above.check_user().err().map(Err);
    }
}

/// Notes what became of an import: the keys it has made, in the place of those it was to make, and of how many lines nothing
/// came.
fn tell(act: &mut Act<'_>, outcomes: &[ImportOutcome]) {
    let count = |status| outcomes.iter().filter(|outcome| outcome.status == status).count();
    let (created, exists) = (count(ImportStatus::Created), count(ImportStatus::Exists));
    let refused = count(ImportStatus::Refused);
    act.came_to(&json!({ "lines": outcomes.len(), "created": created, "exists": exists, "refused": refused }));
    let made = outcomes.iter().filter(|outcome| outcome.status == ImportStatus::Created);
    act.on(made.filter_map(|outcome| outcome.key_id));
    act.all_became(std::iter::repeat_n(ActOutcome::Done.as_str(), created));
}

/// What became of an import as a whole, and why nothing did, where nothing was made and not all of it was there.
fn became(outcomes: &[ImportOutcome]) -> (ActOutcome, Option<&str>) {
    let is_any = |status| outcomes.iter().any(|outcome| outcome.status == status);
    if is_any(ImportStatus::Created) || !is_any(ImportStatus::Refused) {
        return (ActOutcome::Done, None);
    }
    let mut reasons = outcomes.iter().filter_map(|outcome| outcome.reason.as_deref());
    let first = reasons.clone().next();
    // As of `ManageError::is_trouble`: it may have been done all the same.
    match reasons.find(|reason| matches!(*reason, "store_unavailable" | "internal")) {
        Some(trouble) => (ActOutcome::Failed, Some(trouble)),
        None => (ActOutcome::Refused, first),
    }
}

/// A key that may be made, as far as its line is concerned.
struct Prepared {
    line: u64,
    record: KeyRecord,
    /// What stands above it.
    above: Levels,
    /// What it may be found by, under each ring entry; the current one first.
    tokens: Vec<LookupToken>,
    /// Where it is found by a part of its text, which may be another key's as well.
    salted: Option<Salted>,
}

/// What a key is told from others by that are found by the same part of their texts: the scheme of its digest, and that as it
/// is kept under each ring entry.
#[derive(PartialEq)]
struct Salted {
    scheme: ImportedScheme,
    kept: Vec<(EntryId, [u8; 32])>,
}

impl Salted {
    /// Whether it is what a record was made from. `None` where that is gone since the key was used for the first time, or is
    /// kept under a ring entry that is not configured.
    fn is_of(&self, record: &KeyRecord) -> Option<bool> {
        let Verifier::Imported { scheme, digest } = &record.verifier else { return None };
        let (_, own) = self.kept.iter().find(|(entry, _)| *entry == record.digested_under)?;
        Some(self.scheme == *scheme && own == digest)
    }
}

impl Prepared {
    /// What it is to be found by.
    fn token(&self) -> LookupToken {
        self.tokens[0]
    }

    /// To be made under this id.
    fn under(&mut self, id: KeyId) {
        self.record.key.id = id;
        self.record.key.lineage = Lineage { root: id, generation: 0 };
    }

    /// What it means for it that this key is found by the same token.
    fn find(&self, found: &KeyRecord) -> Result<Came, ManageError> {
        let (id, own) = (found.key.id, &self.record.key);
        let is_ours = found.key.organization == own.organization;
        match self.salted.as_ref().map(|salted| salted.is_of(found)) {
            Some(Some(false)) => Err(ManageError::LookupPartTaken),
            // The owner is what never changes of a key.
            Some(None) if !is_ours || found.key.user != own.user => Err(ManageError::LookupPartTaken),
            Some(None) => Ok(Came::Alike(id)),
            None | Some(Some(true)) if !is_ours => Err(ManageError::ImportedElsewhere),
            None | Some(Some(true)) => Ok(Came::Exists(id)),
        }
    }
}

/// How many more keys there may be, for those who do not make them.
#[derive(Default)]
struct Room {
    /// How many are planned; of each user and each project too, with how many there are.
    planned: u64,
    users: HashMap<UserId, (QuotaUse, u64)>,
    projects: HashMap<ProjectId, (u64, u64)>,
    /// What those are found by.
    tokens: HashMap<LookupToken, Option<Salted>>,
}

impl ApiKeyManager {
    /// Takes in keys of one organization that were made elsewhere. The body is NDJSON, one key on each line, at most
    /// [`MAX_IMPORT`] of them in [`MAX_IMPORT_BYTES`]; the management API's documentation has its fields. Of each line it is
    /// told what became of it, in their order; one that is refused stops none of the others, but when the store fails what
    /// is left is refused without trying.
    ///
    /// A line whose key is there already is left alone, whatever else it says. So an import that was cut off, or whose
    /// answer was lost, is run again. Keys that are found by a part of their texts are compared by their digests, and of two
    /// with one part the second is refused; once such a key is in use it is the line's if it has its user, which the outcome
    /// says. A dry run checks everything and writes nothing; quotas are then as they are found.
    ///
    /// Dropping the future leaves those lines undone that were not begun.
    ///
    /// # Errors
    /// When the organization is `system`, no pattern is declared, the body is too long, or the deployment does not fit: then
    /// nothing is done.
    pub async fn import(
        &self,
        operator: &Operator,
        organization: &OrganizationId,
        body: &[u8],
        dry_run: bool,
    ) -> Result<Vec<ImportOutcome>, ManageError> {
        let actor = Actor::from(operator.clone());
        let mut act = self.act(&actor, Action::KeysImport, ActTarget::default()).of(organization);
        let imported = self.import_in(&mut act, &actor, organization, body, dry_run).await;
        if let (true, Ok(outcomes)) = (act.is_begun(), &imported) {
            tell(&mut act, outcomes);
        }
        match &imported {
            Ok(outcomes) if act.is_begun() => {
                let (became, why) = became(outcomes);
                act.conclude(became, why).await;
                imported
            }
            _ => act.close(imported).await,
        }
    }

    async fn import_in(
        &self,
        act: &mut Act<'_>,
        actor: &Actor,
        organization: &OrganizationId,
        body: &[u8],
        dry_run: bool,
    ) -> Result<Vec<ImportOutcome>, ManageError> {
        if organization.is_system() {
            return Err(ManageError::Reserved);
        }
        if self.import_policy().patterns().is_empty() {
            let problem = "are not declared: say with KEYGATE_IMPORT_PATTERNS which texts imported keys have";
            return Err(NameError::new("import patterns", problem).into());
        }
        if body.len() > MAX_IMPORT_BYTES {
            return Err(NameError::new("body", format!("must have at most {MAX_IMPORT_BYTES} bytes")).into());
        }
        let now = self.inner.clock.now();
        // The ids that the keys are to have: one that was begun before may be held under another.
        let lines: Vec<(u64, &[u8], KeyId)> = (1..)
            .zip(body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii))
            .filter(|(_, line)| !line.is_empty())
            .take(MAX_IMPORT + 1)
            .map(|(number, line)| Ok((number, line, KeyId::fresh(now, None)?)))
            .collect::<Result<_, ManageError>>()?;
        if lines.len() > MAX_IMPORT {
            return Err(NameError::new("body", format!("must have at most {MAX_IMPORT} lines, and has more")).into());
        }
        self.confirm_current().await?;
        if !dry_run && !lines.is_empty() {
            act.on(lines.iter().map(|(_, _, id)| *id));
            act.begin(organization, Changes::of(&json!({ "lines": lines.len() }))).await?;
        }
        let mut room = dry_run.then(Room::default);
        let mut outcomes = Vec::with_capacity(lines.len());
        let mut in_trouble = false;
        let mut above = Above::new(&*self.inner.store);
        for chunk in lines.chunks(AT_ONCE) {
            // A policy may be set while a long import runs.
            above.read_again();
            let read = |(line, text, id): &(u64, &[u8], KeyId)| (*line, *id, ImportedKey::read(text, organization));
            let read: Vec<_> = chunk.iter().map(read).collect();
            let users = read.iter().filter_map(|(_, _, read)| read.as_ref().ok());
            above.expect(users.map(|read| (&read.new.organization, &read.new.user)));
            let mut prepared = Vec::with_capacity(chunk.len());
            for (line, id, read) in read {
                let one = match read {
                    Ok(read) => self.prepare(actor, (line, id), read, &mut above).await,
                    Err(error) => Err(error.into()),
                };
                match one {
                    Ok(one) => prepared.push(one),
                    Err(error) if error.is_trouble() && !in_trouble => {
                        tracing::error!(organization_id = %organization, %error, "an import met trouble");
                        outcomes.push(ImportOutcome::of(line, Err(error)));
                        in_trouble = true;
                    }
                    Err(error) => outcomes.push(ImportOutcome::of(line, Err(error))),
                }
            }
            if in_trouble {
                let undone = || ManageError::from(StoreError::unavailable("it failed before this line"));
                outcomes.extend(prepared.iter().map(|one| ImportOutcome::of(one.line, Err(undone()))));
                continue;
            }
            let lines: Vec<u64> = prepared.iter().map(|one| one.line).collect();
            match self.import_prepared(actor, organization, prepared, room.as_mut()).await {
                Ok(came) => outcomes.extend(came),
                Err(error) => {
                    tracing::error!(organization_id = %organization, %error, "an import met trouble");
                    let undone = || ManageError::from(StoreError::unavailable("it failed at this line"));
                    outcomes.extend(lines.into_iter().map(|line| ImportOutcome::of(line, Err(undone()))));
                    in_trouble = true;
                }
            }
        }
        outcomes.sort_by_key(|outcome| outcome.line);
        Ok(outcomes)
    }

    /// Draws up the key of a line.
    async fn prepare(
        &self,
        actor: &Actor,
        (line, id): (u64, KeyId),
        ImportedKey { secret, new }: ImportedKey,
        above: &mut Above<'_>,
    ) -> Result<Prepared, ManageError> {
        let above = self.above(actor, &new, above).await?;
        let (key, scheme) = self.draw_up(actor, &new, Some(id), &above)?;
        let entry = self.inner.ring.current();
        let (verifier, tokens, salted) = self.keep_of(&secret, scheme, entry)?;
        let mut record = KeyRecord::new(key, verifier, entry.id(), entry.id());
        self.inner.plan_look(&mut record);
        record.lookup = tokens.first().copied();
        Ok(Prepared { line, record, above, tokens, salted })
    }

    /// What is kept of a secret, and what it is found by under each ring entry; where that is a part of the text, what it is
    /// told from others by.
    fn keep_of(
        &self,
        secret: &ImportedSecret,
        scheme: Scheme,
        entry: &RingEntry,
    ) -> Result<(Verifier, Vec<LookupToken>, Option<Salted>), NameError> {
        let finder = &self.inner.finder;
        let under_all = |token: &dyn Fn(&RingEntry) -> LookupToken| self.inner.ring.entries().map(token).collect();
        match secret {
            ImportedSecret::Raw(text) => {
                self.check_raw(text)?;
                let text = text.as_bytes();
                let found_by = ImportedScheme::Sha256;
                let digest = found_by.digest(text, &[]).ok_or_else(|| NameError::new("raw", "cannot be digested"))?;
                let tokens = under_all(&|entry| token_of_digest(entry, &found_by, &digest));
                // A slow verifier is made with the first use, and not for thousands of keys at once.
                let verifier = match scheme {
                    Scheme::HmacSha256 => Verifier::HmacSha256 { digest: entry.digest(text) },
                    Scheme::Pbkdf2Sha256 { .. } => {
                        Verifier::Imported { digest: entry.imported(found_by.label(), &digest), scheme: found_by }
                    }
                };
                Ok((verifier, tokens, None))
            }
            ImportedSecret::Digest { scheme, digest, lookup } => {
                if let ImportedScheme::HmacSha256 { key } = scheme
                    && !finder.policy().hmac_key_names().any(|name| name == &**key)
                {
                    let problem = "names no key that is configured: see KEYGATE_IMPORT_HMAC_KEYS";
                    return Err(NameError::new("hmac_key", problem));
                }
                let tokens = match lookup {
                    None => under_all(&|entry| token_of_digest(entry, scheme, digest)),
                    Some(_) if !finder.policy().patterns().iter().any(ImportPattern::has_lookup_part) => {
                        let problem =
                            "is named by no declared pattern: a group (?P<lookup>...) in one says which part it is";
                        return Err(NameError::new("lookup", problem));
                    }
                    Some(part) => under_all(&|entry| token_of_part(entry, part.as_bytes())),
                };
                let kept = |entry: &RingEntry| (entry.id(), entry.imported(scheme.label(), digest));
                let salted = lookup
                    .is_some()
                    .then(|| Salted { scheme: scheme.clone(), kept: self.inner.ring.entries().map(kept).collect() });
                let digest = entry.imported(scheme.label(), digest);
                Ok((Verifier::Imported { scheme: scheme.clone(), digest }, tokens, salted))
            }
        }
    }

    /// Refuses a text that would never be taken for that of an imported key.
    fn check_raw(&self, text: &str) -> Result<(), NameError> {
        let refused = |problem: String| Err(NameError::new("raw", problem));
        if is_native(text.as_bytes()) {
            return refused("is of the form of native keys, which are not imported".into());
        }
        if !(MIN_IMPORTED_LENGTH..=MAX_IMPORTED_LENGTH).contains(&text.len()) {
            return refused(format!(
                "must have {MIN_IMPORTED_LENGTH} to {MAX_IMPORTED_LENGTH} bytes, not {}",
                text.len()
            ));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refused("must be visible ASCII characters, without spaces".into());
        }
        if !self.inner.finder.admits(text.as_bytes()) {
            return refused("is of no declared pattern: see KEYGATE_IMPORT_PATTERNS".into());
        }
        Ok(())
    }

    /// Makes those of the keys that are not there, or says for how many of them there is room.
    async fn import_prepared(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        prepared: Vec<Prepared>,
        room: Option<&mut Room>,
    ) -> Result<Vec<ImportOutcome>, ManageError> {
        // A text that comes twice is that of the first of its lines.
        let (mut firsts, mut repeats): (Vec<Prepared>, Vec<(u64, usize)>) = Default::default();
        let mut places: HashMap<LookupToken, Vec<usize>> = HashMap::new();
        for one in prepared {
            let alike = places.entry(one.token()).or_default();
            match alike.iter().find(|place| firsts[**place].salted == one.salted) {
                Some(place) => repeats.push((one.line, *place)),
                None => {
                    alike.push(firsts.len());
                    firsts.push(one);
                }
            }
        }
        let lines: Vec<u64> = firsts.iter().map(|one| one.line).collect();
        let came = match room {
            Some(room) => self.look_for_room(firsts, room).await?,
            None => self.make(actor, organization, firsts).await?,
        };
        let again = |(line, place): (u64, usize)| {
            let outcome = match &came[place] {
                Ok(Came::Created(Some(id)) | Came::Exists(id)) => Ok(Came::Exists(*id)),
                Ok(Came::Alike(id)) => Ok(Came::Alike(*id)),
                Ok(Came::Created(None)) => Err(ManageError::AlreadyExists),
                Err(error) => Err(error.again()),
            };
            ImportOutcome::of(line, outcome)
        };
        let repeated: Vec<ImportOutcome> = repeats.into_iter().map(again).collect();
        let firsts = lines.into_iter().zip(came).map(|(line, came)| ImportOutcome::of(line, came));
        Ok(firsts.chain(repeated).collect())
    }

    /// Those of the keys that are there: found under whatever ring entry, with a record.
    async fn there(&self, prepared: &[Prepared]) -> Result<Vec<Option<Result<Came, ManageError>>>, ManageError> {
        let store = &self.inner.store;
        let tokens: Vec<LookupToken> = prepared.iter().flat_map(|one| one.tokens.iter().copied()).collect();
        let mut held = Vec::with_capacity(tokens.len());
        for tokens in tokens.chunks(MAX_LOOKUPS) {
            held.extend(store.look_up(tokens).await?);
        }
        let mut held = held.into_iter();
        let mut there = Vec::with_capacity(prepared.len());
        for one in prepared {
            let ids: Vec<KeyId> = held.by_ref().take(one.tokens.len()).flatten().collect();
            there.push(self.there_under(one, ids));
        }
        stream::iter(there).buffered(IN_FLIGHT).try_collect().await
    }

    /// What these keys, by which a line's key is found, mean for it. One that it is goes before others.
    async fn there_under(
        &self,
        one: &Prepared,
        ids: Vec<KeyId>,
    ) -> Result<Option<Result<Came, ManageError>>, ManageError> {
        let mut refused = None;
        for id in ids {
            match self.inner.store.record(id).await?.map(|record| one.find(&record)) {
                Some(Ok(came)) => return Ok(Some(Ok(came))),
                Some(Err(refusal)) => refused = Some(Err(refusal)),
                None => {}
            }
        }
        Ok(refused)
    }

    /// Makes keys whose lines are right.
    async fn make(
        &self,
        actor: &Actor,
        organization: &OrganizationId,
        mut prepared: Vec<Prepared>,
    ) -> Result<Vec<Result<Came, ManageError>>, ManageError> {
        let store = &self.inner.store;
        let mut came = self.there(&prepared).await?;
        refuse_offboarded(&prepared, &mut came);
        // Of those with one lookup part the first is made.
        let mut tokens = HashSet::new();
        let mut absent = Vec::with_capacity(prepared.len());
        for place in 0..prepared.len() {
            if came[place].is_none() && tokens.insert(prepared[place].token()) {
                absent.push(place);
            }
        }
        let asked: Vec<_> =
            absent.iter().map(|place| (prepared[*place].token(), prepared[*place].record.key.id)).collect();
        let mut taken = Vec::with_capacity(asked.len());
        for asked in asked.chunks(MAX_LOOKUPS) {
            taken.extend(store.take_lookups(asked).await?);
        }
        // What an import left behind that was cut off, or one at the same moment has just taken: the key is made under the
        // id that is held, by one of those who make it.
        for (place, held) in absent.iter().zip(taken) {
            if let Some(held) = held {
                prepared[*place].under(held);
            }
        }
        let quotas = self.quotas(absent.iter().map(|place| &prepared[*place].above));
        let records = absent.iter().map(|place| prepared[*place].record.clone()).collect();
        let outcomes = store.create_within(organization, &quotas, records).await?;
        let mut departed = Vec::new();
        if absent.iter().any(|place| prepared[*place].above.are_governed()) {
            let made = absent.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
            let made: Vec<&Key> = made.map(|(place, _)| &prepared[*place].record.key).collect();
            departed = self.revoke_of_departed(actor, organization, &made).await;
        }
        let mut outcomes = outcomes.into_iter();
        for place in absent {
            let key = &prepared[place].record.key;
            came[place] = Some(match outcomes.next() {
                Some(Ok(())) if departed.contains(&key.id) => Err(ManageError::Offboarded { user: key.user.clone() }),
                Some(Ok(())) => {
                    events::imported(actor, key);
                    Ok(Came::Created(Some(key.id)))
                }
                Some(Err(CreateRefusal::Exists)) => match store.record(key.id).await? {
                    Some(record) => prepared[place].find(&record),
                    None => Err(StoreError::unavailable("the key was deleted while it was imported").into()),
                },
                // What it was to be found by is left to the next import of the line: one that runs now may be making the
                // key under that id, which would not be found then.
                Some(Err(refusal)) => Err(ManageError::Refused(refusal)),
                None => Err(StoreError::unavailable("it left a key unanswered").into()),
            });
        }
        Ok(came.into_iter().map(|came| came.unwrap_or(Err(ManageError::LookupPartTaken))).collect())
    }

    /// Says what would become of keys, and writes nothing.
    async fn look_for_room(
        &self,
        prepared: Vec<Prepared>,
        room: &mut Room,
    ) -> Result<Vec<Result<Came, ManageError>>, ManageError> {
        let mut there = self.there(&prepared).await?;
        refuse_offboarded(&prepared, &mut there);
        let mut came = Vec::with_capacity(prepared.len());
        for (one, there) in prepared.into_iter().zip(there) {
            let planned = room.tokens.get(&one.token());
            came.push(match (there, planned) {
                (Some(there), _) => there,
                (None, Some(other)) if *other != one.salted => Err(ManageError::LookupPartTaken),
                (None, Some(_)) => Err(ManageError::AlreadyExists),
                (None, None) => {
                    let token = one.token();
                    let taken = self.take_room(&one.record.key, &one.above, room).await?;
                    if taken.is_ok() {
                        room.tokens.insert(token, one.salted);
                    }
                    taken
                }
            });
        }
        Ok(came)
    }

    async fn take_room(
        &self,
        key: &Key,
        above: &Levels,
        room: &mut Room,
    ) -> Result<Result<Came, ManageError>, ManageError> {
        let (store, quotas) = (&self.inner.store, self.quotas([above]));
        let refused = |refusal| Ok(Err(ManageError::Refused(refusal)));
        let Room { planned, users, projects, .. } = room;
        let (used, of_user) = match users.entry(key.user.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let used = store.quota_use(&key.organization, new.key()).await?;
                new.insert((used, 0))
            }
        };
        let limit = quotas.quota.per_organization;
        if used.organization + *planned >= limit {
            return refused(CreateRefusal::OrganizationQuota { limit });
        }
        let limit = quotas.of_user(&key.user);
        if used.user + *of_user >= limit {
            return refused(CreateRefusal::UserQuota { limit });
        }
        if let Some((project, limit)) = quotas.of_project(key.project.as_ref()) {
            let (used, of_project) = match projects.entry(project.clone()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let used = store.project_use(&key.organization, new.key()).await?;
                    new.insert((used, 0))
                }
            };
            if *used + *of_project >= limit {
                return refused(CreateRefusal::ProjectQuota { limit });
            }
            *of_project += 1;
        }
        (*planned, *of_user) = (*planned + 1, *of_user + 1);
        Ok(Ok(Came::Created(None)))
    }
}

impl ManageError {
    /// The same refusal, of another line with the same text.
    fn again(&self) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(*refusal),
            Self::ImportedElsewhere => Self::ImportedElsewhere,
            Self::LookupPartTaken => Self::LookupPartTaken,
            Self::Offboarded { user } => Self::Offboarded { user: user.clone() },
            _ => Self::AlreadyExists,
        }
    }
}
