//! What commands work with: keys and organizations, wherever they are kept. A command does not know which it is.
//!
//! | room | answers |
//! |---|---|
//! | `place` | is it a store or a server, and which? |
//! | `store` | how is it done on a store? |
//! | `server` | how is it done through a server? |
//! | `not_done` | why was it not done? |
//! | `notices` | who is told of what happens, and what was not taken? |
//! | `verdict` | may a key be used? |
//! | `bulk` | what is done to many keys, and what became of each? |
//! | `left` | what is left of its limits? |
//! | `rotation` | where is it in its rotation? |

mod bulk;
mod left;
mod not_done;
mod notices;
mod place;
mod rotation;
mod server;
mod store;
mod verdict;

use keygate::anomaly::FindingCursor;
use keygate::audit::{AuditHead, AuditVerification};
use keygate::key::KeyId;
use keygate::manager::{
    AuditCursor, AuditOrder, AuditPage, AuditQuery, BulkKeys, ChangedUser, CreatedKey, Cursor, FindingPage,
    ImportOutcome, KeyFilter, KeyPage, KeyUpdate, NewKey, NewRole, OpenedFields, OrganizationUpdate, ProjectUpdate,
    Revocation, Rotation, ScheduleRun, UserUpdate,
};
use keygate::names::{FieldName, OrganizationId, ProjectId, Reason, RoleName, UserId};
use keygate::record::{Key, NamedRole, OrganizationRecord, ProjectRecord, RotationSchedule, SecurityTier, UserRecord};
use keygate::usage::report::{UsageQuery, UsageReport};
use keygate::usage::subject::Subject;

pub(crate) use bulk::{BulkDone, BulkRefusal, Operation};
pub(crate) use left::{LimitLeft, ShownKey};
pub(crate) use not_done::NotDone;
pub(crate) use notices::{GivenUpNotices, NewSecret, PostedNotice, Redriven, Webhooks};
pub(crate) use place::{Place, Setting, only_on_a_store};
pub(crate) use rotation::ShownRotation;
pub(crate) use server::is_clear_text_allowed;
pub(crate) use verdict::{CheckLine, Question, ValidKey, Verdict};

use self::server::ServerDesk;
use crate::args::SettingArgs;
use crate::failure::Failure;
use crate::open::{Absent, StoreDesk};

/// Whether to wait until every instance has heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Until every instance refuses the key, or can no longer believe what it kept.
    UntilHeard,
    /// Not at all.
    No,
}

/// Whose findings are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Those of one key.
    Key(KeyId),
    /// Those of all keys of an organization.
    Organization(OrganizationId),
}

/// Threads to work on, for what is under way at once on a store.
pub(crate) const THREADS: usize = store::IN_FLIGHT;

/// How many keys are made at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Keys of one call.
    pub(crate) at_once: u32,
    /// Calls under way at the same time.
    pub(crate) in_flight: usize,
}

/// Where keys and organizations are managed. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) enum Desk {
    /// On a store.
    Store(StoreDesk),
    /// Through a server.
    Server(ServerDesk),
}

impl Desk {
    /// The one that flags and variables name.
    pub(crate) async fn open(args: &SettingArgs, absent: Absent) -> Result<Self, Failure> {
        Place::read(args)?.open(absent).await
    }

    /// Makes a key.
    pub(crate) async fn create(&self, new: NewKey) -> Result<CreatedKey, NotDone> {
        match self {
            Self::Store(desk) => desk.create(new).await,
            Self::Server(desk) => desk.create(&new).await,
        }
    }

    /// Makes many keys. The outcomes come in the order asked, and one refusal stops none of the others.
    pub(crate) async fn create_many(&self, new: Vec<NewKey>) -> Vec<Result<CreatedKey, NotDone>> {
        match self {
            Self::Store(desk) => desk.create_many(new).await,
            Self::Server(desk) => desk.create_many(new).await,
        }
    }

    /// How many keys of this tier to make at a time.
    pub(crate) fn pace(&self, tier: SecurityTier) -> Pace {
        match self {
            Self::Store(_) => StoreDesk::pace(tier),
            Self::Server(_) => ServerDesk::PACE,
        }
    }

    /// Takes in keys that were made elsewhere: NDJSON, of which each line that says something has an outcome.
    pub(crate) async fn import(
        &self,
        organization: &OrganizationId,
        body: &[u8],
        dry_run: bool,
    ) -> Result<Vec<ImportOutcome>, NotDone> {
        match self {
            Self::Store(desk) => desk.import(organization, body, dry_run).await,
            Self::Server(desk) => desk.import(organization, body, dry_run).await,
        }
    }

    /// Lists keys of an organization, newest first.
    pub(crate) async fn list(
        &self,
        organization: &OrganizationId,
        filter: &KeyFilter,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<KeyPage, NotDone> {
        match self {
            Self::Store(desk) => desk.list(organization, filter, limit, cursor).await,
            Self::Server(desk) => desk.list(organization, filter, limit, cursor).await,
        }
    }

    /// Shows a key, and what is left of its limits.
    pub(crate) async fn show(&self, id: KeyId) -> Result<ShownKey, NotDone> {
        match self {
            Self::Store(desk) => desk.show(id).await,
            Self::Server(desk) => desk.show(id).await,
        }
    }

    /// A key.
    pub(crate) async fn get(&self, id: KeyId) -> Result<Key, NotDone> {
        match self {
            Self::Store(desk) => desk.get(id).await,
            Self::Server(desk) => Ok(desk.show(id).await?.key),
        }
    }

    /// Changes a key.
    pub(crate) async fn update(&self, id: KeyId, update: &KeyUpdate) -> Result<Key, NotDone> {
        match self {
            Self::Store(desk) => desk.update(id, update).await,
            Self::Server(desk) => desk.update(id, update).await,
        }
    }

    /// Opens the sensitive fields of a key: all of them, or one.
    pub(crate) async fn sensitive(&self, id: KeyId, field: Option<&FieldName>) -> Result<OpenedFields, NotDone> {
        match self {
            Self::Store(desk) => desk.sensitive(id, field).await,
            Self::Server(desk) => desk.sensitive(id, field).await,
        }
    }

    /// Stops a key until it is activated again.
    pub(crate) async fn deactivate(&self, id: KeyId, reason: Option<Reason>) -> Result<Key, NotDone> {
        match self {
            Self::Store(desk) => desk.deactivate(id, reason).await,
            Self::Server(desk) => desk.deactivate(id, reason).await,
        }
    }

    /// Lets a deactivated key be used again.
    pub(crate) async fn activate(&self, id: KeyId) -> Result<Key, NotDone> {
        match self {
            Self::Store(desk) => desk.activate(id).await,
            Self::Server(desk) => desk.activate(id).await,
        }
    }

    /// Stops a key for good.
    pub(crate) async fn revoke(&self, id: KeyId, reason: Option<Reason>, wait: Wait) -> Result<Revocation, NotDone> {
        match self {
            Self::Store(desk) => desk.revoke(id, reason, wait).await,
            Self::Server(desk) => desk.revoke(id, reason, wait).await,
        }
    }

    /// Revokes a key whose text nobody has, which is of use to nobody. Says what became of it.
    pub(crate) async fn take_back(&self, id: KeyId) -> String {
        match self.revoke(id, None, Wait::No).await {
            Ok(_) => "it has been revoked again".to_owned(),
            Err(trouble) => format!("revoke it with keygate keys revoke {id}, as doing so failed: {trouble}"),
        }
    }

    /// Erases a revoked or expired key.
    pub(crate) async fn delete(&self, id: KeyId) -> Result<(), NotDone> {
        match self {
            Self::Store(desk) => desk.delete(id).await,
            Self::Server(desk) => desk.delete(id).await,
        }
    }

    /// Makes a key's successor, to overlap with it for so many days.
    pub(crate) async fn rotate(&self, id: KeyId, overlap_days: Option<u32>) -> Result<Rotation, NotDone> {
        match self {
            Self::Store(desk) => desk.rotate(id, overlap_days).await,
            Self::Server(desk) => desk.rotate(id, overlap_days).await,
        }
    }

    /// Does the same to many keys of an organization; a dry run does everything but write.
    pub(crate) async fn bulk(
        &self,
        organization: &OrganizationId,
        operation: &Operation,
        keys: &BulkKeys,
        dry_run: bool,
    ) -> Result<BulkDone, NotDone> {
        match self {
            Self::Store(desk) => desk.bulk(organization, operation, keys, dry_run).await,
            Self::Server(desk) => desk.bulk(organization, operation, keys, dry_run).await,
        }
    }

    /// Shows where a key is in its rotation.
    pub(crate) async fn rotation(&self, id: KeyId) -> Result<ShownRotation, NotDone> {
        match self {
            Self::Store(desk) => desk.rotation(id).await,
            Self::Server(desk) => desk.rotation(id).await,
        }
    }

    /// Sets when a key is to be rotated, and whether its holder may claim its successor if that is to change.
    pub(crate) async fn set_rotation(
        &self,
        id: KeyId,
        schedule: RotationSchedule,
        hand_over: Option<bool>,
    ) -> Result<ShownRotation, NotDone> {
        match self {
            Self::Store(desk) => desk.set_rotation(id, schedule, hand_over).await,
            Self::Server(desk) => desk.set_rotation(id, schedule, hand_over).await,
        }
    }

    /// Takes away when a key is to be rotated.
    pub(crate) async fn clear_rotation(&self, id: KeyId) -> Result<(), NotDone> {
        match self {
            Self::Store(desk) => desk.clear_rotation(id).await,
            Self::Server(desk) => desk.clear_rotation(id).await,
        }
    }

    /// Ends a rotated key before its overlap is over.
    pub(crate) async fn finish_rotation(&self, id: KeyId) -> Result<Key, NotDone> {
        match self {
            Self::Store(desk) => desk.finish_rotation(id).await,
            Self::Server(desk) => desk.finish_rotation(id).await,
        }
    }

    /// Does all that is due by a schedule.
    pub(crate) async fn run_schedules(&self) -> Result<ScheduleRun, NotDone> {
        match self {
            Self::Store(desk) => desk.run_schedules().await,
            Self::Server(_) => Err(NotDone::new(
                "the server runs the schedules of its keys by itself, each minute: this command is for a store that no \
                 server is on",
            )),
        }
    }

    /// Says whether a text is a key that may be used, and takes what was asked of its limits. It has the form of one: whatever
    /// else was pasted is not for a server to see.
    pub(crate) async fn verify(&self, text: &str, question: &Question) -> Result<Verdict, NotDone> {
        match self {
            Self::Store(desk) => desk.verify(text, question).await,
            Self::Server(desk) => desk.verify(text, question).await,
        }
    }

    /// What a key, a user, a project or an organization was used for.
    pub(crate) async fn usage(&self, subject: &Subject, query: &UsageQuery) -> Result<UsageReport, NotDone> {
        match self {
            Self::Store(desk) => desk.usage(subject, query).await,
            Self::Server(desk) => desk.usage(subject, query).await,
        }
    }

    /// What was unusual in the use of a key, or of an organization's keys: newest first.
    pub(crate) async fn findings(
        &self,
        whose: &Whose,
        limit: usize,
        cursor: Option<FindingCursor>,
    ) -> Result<FindingPage, NotDone> {
        match self {
            Self::Store(desk) => desk.findings(whose, limit, cursor).await,
            Self::Server(desk) => desk.findings(whose, limit, cursor).await,
        }
    }

    /// What was done in an organization.
    pub(crate) async fn audit(
        &self,
        organization: &OrganizationId,
        query: &AuditQuery,
        order: AuditOrder,
        limit: usize,
        cursor: Option<AuditCursor>,
    ) -> Result<AuditPage, NotDone> {
        match self {
            Self::Store(desk) => desk.audit(organization, query, order, limit, cursor).await,
            Self::Server(desk) => desk.audit(organization, query, order, limit, cursor).await,
        }
    }

    /// Whether what is written of it is as it was written.
    pub(crate) async fn verify_audit(
        &self,
        organization: &OrganizationId,
        head: Option<AuditHead>,
    ) -> Result<AuditVerification, NotDone> {
        match self {
            Self::Store(desk) => desk.verify_audit(organization, head).await,
            Self::Server(desk) => desk.verify_audit(organization, head).await,
        }
    }

    /// Shows an organization.
    pub(crate) async fn organization(&self, id: &OrganizationId) -> Result<OrganizationRecord, NotDone> {
        match self {
            Self::Store(desk) => desk.organization(id).await,
            Self::Server(desk) => desk.organization(id).await,
        }
    }

    /// Sets an organization up that nobody configured yet.
    pub(crate) async fn create_organization(
        &self,
        id: &OrganizationId,
        settings: &OrganizationUpdate,
    ) -> Result<OrganizationRecord, NotDone> {
        match self {
            Self::Store(desk) => desk.create_organization(id, settings).await,
            Self::Server(desk) => desk.create_organization(id, settings).await,
        }
    }

    /// Changes an organization.
    pub(crate) async fn update_organization(
        &self,
        id: &OrganizationId,
        update: &OrganizationUpdate,
    ) -> Result<OrganizationRecord, NotDone> {
        match self {
            Self::Store(desk) => desk.update_organization(id, update).await,
            Self::Server(desk) => desk.update_organization(id, update).await,
        }
    }

    /// Shows a project.
    pub(crate) async fn project(
        &self,
        organization: &OrganizationId,
        project: &ProjectId,
    ) -> Result<ProjectRecord, NotDone> {
        match self {
            Self::Store(desk) => desk.project(organization, project).await,
            Self::Server(desk) => desk.project(organization, project).await,
        }
    }

    /// Shows a user.
    pub(crate) async fn user(&self, organization: &OrganizationId, user: &UserId) -> Result<UserRecord, NotDone> {
        match self {
            Self::Store(desk) => desk.user(organization, user).await,
            Self::Server(desk) => desk.user(organization, user).await,
        }
    }

    /// Changes a user.
    pub(crate) async fn update_user(
        &self,
        organization: &OrganizationId,
        user: &UserId,
        update: &UserUpdate,
    ) -> Result<ChangedUser, NotDone> {
        match self {
            Self::Store(desk) => desk.update_user(organization, user, update).await,
            Self::Server(desk) => desk.update_user(organization, user, update).await,
        }
    }

    /// Shows the roles of an organization.
    pub(crate) async fn roles(&self, organization: &OrganizationId) -> Result<Vec<NamedRole>, NotDone> {
        match self {
            Self::Store(desk) => desk.roles(organization).await,
            Self::Server(desk) => desk.roles(organization).await,
        }
    }

    /// Shows a role.
    pub(crate) async fn role(&self, organization: &OrganizationId, name: &RoleName) -> Result<NamedRole, NotDone> {
        match self {
            Self::Store(desk) => desk.role(organization, name).await,
            Self::Server(desk) => desk.role(organization, name).await,
        }
    }

    /// Makes a role, or puts another in its place.
    pub(crate) async fn put_role(
        &self,
        organization: &OrganizationId,
        name: &RoleName,
        new: &NewRole,
    ) -> Result<NamedRole, NotDone> {
        match self {
            Self::Store(desk) => desk.put_role(organization, name, new).await,
            Self::Server(desk) => desk.put_role(organization, name, new).await,
        }
    }

    /// Takes a role away.
    pub(crate) async fn delete_role(&self, organization: &OrganizationId, name: &RoleName) -> Result<(), NotDone> {
        match self {
            Self::Store(desk) => desk.delete_role(organization, name).await,
            Self::Server(desk) => desk.delete_role(organization, name).await,
        }
    }

    /// Changes a project.
    pub(crate) async fn update_project(
        &self,
        organization: &OrganizationId,
        project: &ProjectId,
        update: &ProjectUpdate,
    ) -> Result<ProjectRecord, NotDone> {
        match self {
            Self::Store(desk) => desk.update_project(organization, project, update).await,
            Self::Server(desk) => desk.update_project(organization, project, update).await,
        }
    }
}
