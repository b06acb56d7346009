//! Making keys.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use zeroize::Zeroizing;

use super::above::{Above, Levels};
use super::act::Act;
use super::policy::{self, PolicyViolation};
use super::{ApiKeyManager, Inner, ManageError, SetupError, events};
use crate::actor::{Actor, ManagementPermission};
use crate::audit::{ActOutcome, ActTarget, Action, Changes, MAX_ITEMS};
use crate::clock::to_millis;
use crate::key::{KeyId, KeyText};
use crate::lifecycle::check_schedule;
use crate::limits::Limits;
use crate::names::{Description, Environment, KeyName, NameError, OrganizationId, ProjectId, Tag, UserId};
use crate::network::CidrSet;
use crate::notice::Verdict;
use crate::record::{
    Key, KeyRecord, KeyStatus, Lineage, MAX_TAGS, Metadata, Revision, RotationSchedule, SecurityTier, Sensitive,
    StatusChange, Succession,
};
use crate::ring::EntryId;
use crate::scope::{Scope, ScopeSet};
use crate::store::{CreateRefusal, StoreError};
use crate::verifier::{MAX_PBKDF2_ITERATIONS, MIN_PBKDF2_ITERATIONS, Scheme, Verifier};

/// Days a key lives when nobody says how long.
pub const DEFAULT_EXPIRY_DAYS: u32 = 90;
/// The most days a key may be asked to live, some hundred years; a key may also never expire.
pub const MAX_EXPIRY_DAYS: u32 = 36_500;
/// What the operator's keys are permitted, and may hand on, when nothing else is asked for.
pub(super) const EVERYTHING: &str = "**";
/// The scope of a key that is made without any.
const DEFAULT_SCOPE: &str = "default";

/// When a key ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Expiry {
    /// In [`DEFAULT_EXPIRY_DAYS`].
    #[default]
    Default,
    /// So long from now: at least a second, at most [`MAX_EXPIRY_DAYS`].
    In(TimeDelta),
    /// At a time to come.
    At(DateTime<Utc>),
    /// Never.
    Never,
}

impl Expiry {
    pub(super) fn resolve(self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, NameError> {
        let at = match self {
            Self::Never => return Ok(None),
            Self::Default => now + TimeDelta::days(DEFAULT_EXPIRY_DAYS.into()),
            Self::At(at) => to_millis(at),
            Self::In(life) if life < TimeDelta::seconds(1) => {
                return Err(NameError::new("expiry", "must be at least a second away"));
            }
            Self::In(life) => {
                to_millis(now.checked_add_signed(life).ok_or_else(|| NameError::new("expiry", "is too far away"))?)
            }
        };
        if at <= now {
            return Err(NameError::new("expiry", "must be in the future"));
        }
        if at > now + TimeDelta::days(MAX_EXPIRY_DAYS.into()) {
            return Err(NameError::new("expiry", format!("must be at most {MAX_EXPIRY_DAYS} days away, or never")));
        }
        Ok(Some(at))
    }
}

/// What a key is to be. All but its organization and its owner has a default.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NewKey {
    /// The tenant it is for.
    pub organization: OrganizationId,
    /// Its owner.
    pub user: UserId,
    /// The project it is for. None by default.
    pub project: Option<ProjectId>,
    /// What people call it. `Unnamed key` by default.
    pub name: Option<KeyName>,
    /// What it is for. Empty by default.
    pub description: Description,
    /// What its holder may do. Nothing by default; everything for a key of the organization `system`.
    pub permissions: ScopeSet,
    /// What it may be used on. `None` is the scope `default`, which the actor must be able to grant too; an empty set
    /// grants nothing.
    pub scopes: Option<ScopeSet>,
    /// What its holder may hand on. Nothing by default; everything for a key of the organization `system`.
    pub grantable: ScopeSet,
    /// How much may be asked of it. By default what its project or else its organization says of new keys, or else its
    /// tier's limits; no limit for a key that may verify others (`keys:verify`), since it asks for all of them.
    pub limits: Option<Limits>,
    /// When it ends. By default as its user, its project or else its organization says of new keys, or else in 90 days, and within
    /// the longest life that their policies allow; never for a key of the organization `system`.
    pub expiry: Expiry,
    /// Before when it is refused.
    pub not_before: Option<DateTime<Utc>>,
    /// Words it is found by, at most [`MAX_TAGS`].
    pub tags: Vec<Tag>,
    /// Networks it may be used from; an empty set is anywhere. By default as its user, its project or else its organization
    /// says of new keys, or else anywhere.
    pub allowed_ips: Option<CidrSet>,
    /// Where it may be used. The manager's environment by default.
    pub environment: Option<Environment>,
    /// When it is to be rotated.
    pub rotation_schedule: Option<RotationSchedule>,
    /// Whether whoever holds it may [claim its successor](ApiKeyManager::claim_successor) with it. Not by default.
    pub hand_over: bool,
    /// How carefully it is kept. By default as its user, its project or else its organization says of new keys, or else
    /// [`Standard`](SecurityTier::Standard).
    pub security_tier: Option<SecurityTier>,
    /// The scheme of its stored verifier. Its tier's by default.
    pub scheme: Option<Scheme>,
    /// The user's own fields.
    pub metadata: Metadata,
    /// Those of the user's fields that are kept encrypted. What is shown of the key names them and has no values;
    /// [`sensitive`](ApiKeyManager::sensitive) opens them. An import takes none.
    pub sensitive: Sensitive,
}

impl NewKey {
    /// A key for `user` of `organization`, with every default. One of the organization
    /// [`system`](OrganizationId::system) is an operator's key: it may do everything, and never ends.
    #[must_use]
    pub fn new(organization: OrganizationId, user: UserId) -> Self {
        let (permitted, expiry) = if organization.is_system() {
            (ScopeSet::of(Scope::literal(EVERYTHING)), Expiry::Never)
        } else {
            (ScopeSet::empty(), Expiry::Default)
        };
        Self {
            organization,
            user,
            project: None,
            name: None,
            description: Description::default(),
            permissions: permitted.clone(),
            scopes: None,
            grantable: permitted,
            limits: None,
            expiry,
            not_before: None,
            tags: Vec::new(),
            allowed_ips: None,
            environment: None,
            rotation_schedule: None,
            hand_over: false,
            security_tier: None,
            scheme: None,
            metadata: Metadata::default(),
            sensitive: Sensitive::default(),
        }
    }

    /// The scopes it is made with: the default scope is granted like one that was asked for.
    fn scopes(&self) -> ScopeSet {
        self.scopes.clone().unwrap_or_else(|| ScopeSet::of(Scope::literal(DEFAULT_SCOPE)))
    }

    /// Whether it may verify others, and so is asked for all of them.
    pub(super) fn verifies(&self) -> bool {
        self.permissions.covers(&ManagementPermission::KeysVerify.scope())
    }

    /// Refuses what the actor may not hand out.
    pub(super) fn check_grants(&self, actor: &Actor) -> Result<(), ManageError> {
        check_grants(actor, [&self.permissions, &self.grantable, &self.scopes()])
    }

    /// Says which field holds what it must not.
    pub(super) fn check(&self) -> Result<(), NameError> {
        check_tags(&self.tags)?;
        self.limits.as_ref().map_or(Ok(()), Limits::check)?;
        self.rotation_schedule.as_ref().map_or(Ok(()), RotationSchedule::check)?;
        if self.scheme.is_some_and(|scheme| !scheme.is_in_range()) {
            return Err(NameError::new(
                "verifier iterations",
                format!("must be {MIN_PBKDF2_ITERATIONS} to {MAX_PBKDF2_ITERATIONS}"),
            ));
        }
        Ok(())
    }
}

pub(super) fn check_tags(tags: &[Tag]) -> Result<(), NameError> {
    if tags.len() > MAX_TAGS {
        return Err(NameError::new("tags", format!("must be at most {MAX_TAGS}")));
    }
    Ok(())
}

/// Refuses what the actor may not hand out.
pub(super) fn check_grants<'a>(
    actor: &Actor,
    asked: impl IntoIterator<Item = &'a ScopeSet>,
) -> Result<(), ManageError> {
    let Some(grantable) = actor.grantable() else { return Ok(()) };
    match asked.into_iter().find_map(|set| grantable.first_uncovered(set)) {
        Some(scope) => Err(ManageError::NotGrantable { scope: scope.clone() }),
        None => Ok(()),
    }
}

/// Refuses to give a key more life, reach or room than it has when it can do more than the actor may hand out.
pub(super) fn check_strength(actor: &Actor, key: &Key) -> Result<(), ManageError> {
    check_grants(actor, [&key.permissions, &key.scopes, &key.grantable])
}

/// A key that was just made. Its JSON form is that of the management API: the one answer that shows the key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CreatedKey {
    /// The text to hand to its owner. It is not kept and cannot be shown again.
    #[serde(rename = "key", serialize_with = "expose")]
    pub text: KeyText,
    /// What is kept of it.
    #[serde(flatten)]
    pub key: Key,
}

pub(super) fn expose<S: serde::Serializer>(text: &KeyText, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text.expose())
}

/// A key that was made and is not stored yet.
struct Minted {
    /// Its place among those asked for.
    place: usize,
    text: KeyText,
    record: KeyRecord,
}

/// Why one of a group was not stored.
#[derive(Debug, Clone)]
enum Refusal {
    /// The store refused it.
    Store(CreateRefusal),
    /// It is not within a policy that was set while it was made.
    Policy(Box<PolicyViolation>),
    /// Its user has left.
    Offboarded,
}

impl Refusal {
    fn of(self, key: &Key) -> ManageError {
        match self {
            Self::Store(refusal) => ManageError::Refused(refusal),
            Self::Policy(violation) => ManageError::PolicyViolated(violation),
            Self::Offboarded => ManageError::Offboarded { user: key.user.clone() },
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Store(refusal) => ManageError::Refused(*refusal).reason(),
            Self::Policy(_) => "policy_violated",
            Self::Offboarded => "user_offboarded",
        }
    }
}

/// What the audit tells of keys that are to be made: of several, how many they are and what all of them may do.
fn told_of(minted: &[Minted]) -> Changes {
    match minted {
        [Minted { record, .. }] => Changes::made(&record.key),
        many => {
            let mut told = Map::from_iter([("keys".to_owned(), json!(many.len()))]);
            let mut common = |name: &str, of: fn(&Key) -> &ScopeSet| {
                let mut all = many.iter().map(|minted| of(&minted.record.key));
                if let Some(first) = all.next()
                    && all.all(|other| other == first)
                {
                    told.insert(name.to_owned(), json!(first));
                }
            };
            common("permissions", |key| &key.permissions);
            common("scopes", |key| &key.scopes);
            common("grantable", |key| &key.grantable);
            Changes::of(&told)
        }
    }
}

/// Writes down what became of keys that were to be made.
async fn close_making(mut act: Act<'_>, stored: &Result<Vec<Result<(), Refusal>>, NotStored>) {
    let Ok(outcomes) = stored else {
        return act.conclude(ActOutcome::Failed, Some("store_unavailable")).await;
    };
    let refusals: Vec<Option<&'static str>> =
        outcomes.iter().map(|made| made.as_ref().err().map(Refusal::reason)).collect();
    act.all_became(refusals.iter().map(|refusal| refusal.unwrap_or(ActOutcome::Done.as_str())));
    match refusals.iter().any(Option::is_none) {
        true => act.conclude(ActOutcome::Done, None).await,
        false => act.conclude(ActOutcome::Refused, refusals.first().copied().flatten()).await,
    }
}

/// What the making of a key is about, before it has an id.
pub(super) fn target_of(new: &NewKey) -> ActTarget {
    ActTarget {
        user_id: Some(new.user.to_string()),
        project_id: new.project.as_ref().map(ToString::to_string),
        ..ActTarget::default()
    }
}

/// Why none of a group was stored. Shared, as each key of the group is answered with it.
enum NotStored {
    Setup(SetupError),
    Store(Arc<StoreError>),
}

impl From<SetupError> for NotStored {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::Store(error) => Self::Store(error),
            error => Self::Setup(error),
        }
    }
}

impl From<Arc<StoreError>> for NotStored {
    fn from(error: Arc<StoreError>) -> Self {
        Self::Store(error)
    }
}

impl From<StoreError> for NotStored {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl ApiKeyManager {
    /// Makes a key.
    ///
    /// # Errors
    /// When a field is not allowed, the actor may not grant what is asked, a quota is reached, or the store fails.
    pub async fn create(&self, actor: &Actor, new: NewKey) -> Result<CreatedKey, ManageError> {
        self.create_many(actor, vec![new]).await.pop().unwrap_or(Err(ManageError::NotFound))
    }

    /// Makes many keys in few round trips. The outcomes come in the order asked, and one refusal stops none of the
    /// others. Where the store failed in the middle ([`ManageError::Store`]), a key may have been made whose text is
    /// lost: it counts against the quota until it is revoked or expires.
    pub async fn create_many(&self, actor: &Actor, new: Vec<NewKey>) -> Vec<Result<CreatedKey, ManageError>> {
        self.create_all(actor, new.into_iter().map(|new| (new, None)).collect()).await
    }

    /// Makes one key, under an id that was chosen before.
    pub(super) async fn create_under(&self, actor: &Actor, new: NewKey, id: KeyId) -> Result<CreatedKey, ManageError> {
        self.create_all(actor, vec![(new, Some(id))]).await.pop().unwrap_or(Err(ManageError::NotFound))
    }

    async fn create_all(
        &self,
        actor: &Actor,
        new: Vec<(NewKey, Option<KeyId>)>,
    ) -> Vec<Result<CreatedKey, ManageError>> {
        let mut outcomes: Vec<Option<Result<CreatedKey, ManageError>>> = Vec::with_capacity(new.len());
        let mut minted: Vec<Minted> = Vec::new();
        let mut above = Above::new(&*self.inner.store);
        above.expect(new.iter().map(|(new, _)| (&new.organization, &new.user)));
        for (place, (new, id)) in new.into_iter().enumerate() {
            outcomes.push(None);
            let (organization, target) = (new.organization.clone(), target_of(&new));
            match self.mint(actor, new, id, &mut above).await {
                Ok((text, record)) => minted.push(Minted { place, text, record }),
                Err(refusal) => {
                    let act = self.act(actor, Action::KeyCreate, target).of(&organization);
                    outcomes[place] = Some(act.look(Err(refusal)).await);
                }
            }
        }
        // One call of the store for each organization; a stable sort keeps the order within one.
        minted.sort_by(|a, b| a.record.key.organization.cmp(&b.record.key.organization));
        let groups = minted.chunk_by(|a, b| a.record.key.organization == b.record.key.organization);
        for group in groups.flat_map(|group| group.chunks(MAX_ITEMS)) {
            let mut act = self.act_of_making(actor, group);
            let stored = self.store_new(&mut act, actor, group).await;
            close_making(act, &stored).await;
            for (nth, Minted { place, text, record, .. }) in group.iter().enumerate() {
                outcomes[*place] = Some(match &stored {
                    Ok(outcomes) => match outcomes.get(nth) {
                        Some(Ok(())) => {
                            events::created(actor, &record.key);
                            Ok(CreatedKey { text: text.clone(), key: record.key.clone() })
                        }
                        Some(Err(refusal)) => Err(refusal.clone().of(&record.key)),
                        None => Err(ManageError::Store(Arc::new(StoreError::unavailable("it left a key unanswered")))),
                    },
                    Err(NotStored::Setup(error)) => Err(ManageError::Setup(error.clone())),
                    Err(NotStored::Store(error)) => Err(ManageError::Store(Arc::clone(error))),
                });
            }
        }
        outcomes.into_iter().map(|outcome| outcome.unwrap_or(Err(ManageError::NotFound))).collect()
    }

    /// The act of making these keys: one, or several of one organization.
    fn act_of_making<'a>(&'a self, actor: &'a Actor, minted: &[Minted]) -> Act<'a> {
        match minted {
            [Minted { record, .. }] => {
                let target = ActTarget {
                    key_id: Some(record.key.id),
                    user_id: Some(record.key.user.to_string()),
                    project_id: record.key.project.as_ref().map(ToString::to_string),
                    ..ActTarget::default()
                };
                self.act(actor, Action::KeyCreate, target)
            }
            many => {
                let mut act = self.act(actor, Action::KeysCreate, ActTarget::default());
                act.on(many.iter().map(|minted| minted.record.key.id));
                act
            }
        }
    }

    /// Stores new records of one organization within its quotas.
    async fn store_new(
        &self,
        act: &mut Act<'_>,
        actor: &Actor,
        minted: &[Minted],
    ) -> Result<Vec<Result<(), Refusal>>, NotStored> {
        let Some(Minted { record: first, .. }) = minted.first() else { return Ok(Vec::new()) };
        let organization = first.key.organization.clone();
        self.confirm_current().await?;
        // Once more, as making their texts may have taken long.
        let mut above = Above::new(&*self.inner.store);
        above.expect(minted.iter().map(|minted| (&organization, &minted.record.key.user)));
        let mut levels = Vec::with_capacity(minted.len());
        for Minted { record, .. } in minted {
            levels.push(above.of_key(&record.key).await?);
        }
        let quotas = self.quotas(&levels);
        act.begin(&organization, told_of(minted)).await?;
        let refusal = |(minted, levels): (&Minted, &Levels)| match levels.check_user() {
            Err(_) => Some(Refusal::Offboarded),
            Ok(()) => policy::violation(levels, &minted.record.key).map(Refusal::Policy),
        };
        let refusals: Vec<Option<Refusal>> = minted.iter().zip(&levels).map(refusal).collect();
        let made = || {
            let all = minted.iter().zip(&refusals);
            all.filter(|(_, refusal)| refusal.is_none()).map(|(minted, _)| &minted.record)
        };
        let announced = self.announce_created(made().map(|record| &record.key)).await?;
        let records: Vec<_> = made().cloned().collect();
        let ids: Vec<_> = records.iter().map(|record| record.key.id).collect();
        let created = self.inner.store.create_within(&organization, &quotas, records).await;
        self.settle(announced, &created, |notice, outcomes| {
            let key = notice.event.key().map(|key| key.key_id);
            match ids.iter().position(|id| Some(*id) == key).and_then(|place| outcomes.get(place)) {
                Some(Ok(())) => Verdict::Told(notice),
                // Perhaps by another call for the same, whose it then is to tell.
                Some(Err(CreateRefusal::Exists)) | None => Verdict::Unknown,
                Some(Err(_)) => Verdict::Forgotten,
            }
        })
        .await;
        let mut created = created?.into_iter();
        // Where the store leaves one unanswered, none of those behind it has an answer.
        let outcomes = refusals.into_iter().map_while(|refusal| match refusal {
            Some(refusal) => Some(Err(refusal)),
            None => Some(created.next()?.map_err(Refusal::Store)),
        });
        let mut outcomes: Vec<_> = outcomes.collect();
        if levels.iter().any(Levels::are_governed) {
            let made = minted.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
            let made: Vec<&Key> = made.map(|(minted, _)| &minted.record.key).collect();
            let departed = self.revoke_of_departed(actor, &organization, &made).await;
            for (Minted { record, .. }, outcome) in minted.iter().zip(&mut outcomes) {
                if departed.contains(&record.key.id) {
                    *outcome = Err(Refusal::Offboarded);
                }
            }
        }
        Ok(outcomes)
    }

    /// Makes a key's text and record, without storing them; under this id, or else a fresh one.
    pub(super) async fn mint(
        &self,
        actor: &Actor,
        new: NewKey,
        id: Option<KeyId>,
        above: &mut Above<'_>,
    ) -> Result<(KeyText, KeyRecord), ManageError> {
        let above = self.above(actor, &new, above).await?;
        let (key, scheme) = self.draw_up(actor, &new, id, &above)?;
        let (text, verifier, entry) = self.mint_text(key.id, key.environment, scheme).await?;
        let mut record = KeyRecord::new(key, verifier, entry, entry);
        record.keep_sensitive(self.inner.seal_sensitive(&record.key, &new.sensitive)?);
        self.inner.plan_look(&mut record);
        Ok((text, record))
    }

    /// What stands above a new key that its actor may ask for. What nobody may ask for is refused without it.
    pub(super) async fn above(
        &self,
        actor: &Actor,
        new: &NewKey,
        above: &mut Above<'_>,
    ) -> Result<Levels, ManageError> {
        if !actor.reaches(&new.organization) {
            return Err(ManageError::ParentNotFound);
        }
        new.check()?;
        new.check_grants(actor)?;
        new.expiry.resolve(to_millis(self.inner.clock.now()))?;
        Ok(above.of(&new.organization, new.project.as_ref(), &new.user).await?)
    }

    /// Refuses a new key that could not be made, whatever the quotas say; what stands above it is handed back.
    pub(super) async fn check_new(&self, actor: &Actor, new: &NewKey) -> Result<Levels, ManageError> {
        let above = self.above(actor, new, &mut Above::new(&*self.inner.store)).await?;
        self.draw_up(actor, new, None, &above)?;
        Ok(above)
    }

    /// All that is shown of a new key, below what stands [above](Self::above) it, and how it is to be verified.
    pub(super) fn draw_up(
        &self,
        actor: &Actor,
        new: &NewKey,
        id: Option<KeyId>,
        above: &Levels,
    ) -> Result<(Key, Scheme), ManageError> {
        let scopes = new.scopes();
        let now = to_millis(self.inner.clock.now());
        let expires_at = policy::expiry(above, new.expiry).resolve(now)?;
        let not_before = new.not_before.map(to_millis);
        if let (Some(begin), Some(end)) = (not_before, expires_at)
            && begin >= end
        {
            return Err(NameError::new("not_before", "must be before the key's expiry").into());
        }

        let security_tier = policy::tier(above, new.security_tier);
        let default_limits = if new.verifies() {
            Limits::UNLIMITED
        } else {
            policy::limits(above).unwrap_or_else(|| security_tier.limits())
        };

        let id = id.map_or_else(|| KeyId::fresh(now, None), Ok)?;
        let environment = new.environment.unwrap_or(self.inner.environment);
        let scheme = new.scheme.unwrap_or(security_tier.scheme());
        let key = Key {
            id,
            revision: Revision::FIRST,
            organization: new.organization.clone(),
            user: new.user.clone(),
            project: new.project.clone(),
            name: new.name.clone().map_or_else(|| KeyName::new("Unnamed key"), Ok)?,
            description: new.description.clone(),
            permissions: new.permissions.clone(),
            scopes,
            grantable: new.grantable.clone(),
            limits: new.limits.unwrap_or(default_limits),
            created_at: now,
            created_by: actor.principal().clone(),
            expires_at,
            not_before,
            status: StatusChange::new(KeyStatus::Active, now, None),
            tags: new.tags.clone(),
            allowed_ips: policy::allowed_ips(above, new.allowed_ips.clone()),
            environment,
            rotation_schedule: new.rotation_schedule,
            security_tier,
            lineage: Lineage { root: id, generation: 0 },
            succession: Succession { hand_over: new.hand_over, ..Succession::default() },
            metadata: new.metadata.clone(),
            sensitive_fields: Vec::new(),
        };
        check_schedule(&key)?;
        policy::check(above, &key)?;
        Ok((key, scheme))
    }

    /// A fresh text for a key, what it is verified by, and the ring entry it is made under.
    pub(super) async fn mint_text(
        &self,
        id: KeyId,
        environment: Environment,
        scheme: Scheme,
    ) -> Result<(KeyText, Verifier, EntryId), ManageError> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *secret)?;
        let entry = self.inner.ring.current();
        let text = KeyText::compose(self.inner.prefix, environment, id, &secret, |tagged| entry.tag(tagged));
        let digest = entry.digest(text.expose().as_bytes());
        let verifier = self.inner.make_verifier(scheme, digest).await?;
        Ok((text, verifier, entry.id()))
    }
}

impl Inner {
    /// What a text of this digest is verified by: where that is slow, off the async threads.
    pub(super) async fn make_verifier(&self, scheme: Scheme, digest: [u8; 32]) -> Result<Verifier, ManageError> {
        match scheme {
            Scheme::HmacSha256 => Ok(Verifier::make(scheme, digest)?),
            Scheme::Pbkdf2Sha256 { .. } => Ok(self.slow.make(scheme, digest).await??),
        }
    }
}
