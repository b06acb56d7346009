//! Through a running server: each thing that is done is a call of its management API.
//!
//! | room | answers |
//! |---|---|
//! | `address` | where is the server, and may the admin key be sent there? |
//! | `admin_key` | with which key is it called? |
//! | `body` | how is it said what is wanted? |
//! | `link` | how is a call sent, and when again? |
//! | `answer` | what does an answer mean? |
//! | `trouble` | what does it mean that there is none? |

mod address;
mod admin_key;
mod answer;
mod body;
mod link;
mod trouble;

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use keygate::anomaly::FindingCursor;
use keygate::audit::{AuditHead, AuditVerification};
use keygate::key::{KeyId, PresentedKey};
use keygate::manager::{
    AuditCursor, AuditOrder, AuditPage, AuditQuery, BulkKeys, ChangedUser, CreatedKey, Cursor, FindingPage,
    ImportOutcome, KeyFilter, KeyPage, KeyUpdate, NewKey, NewRole, OpenedFields, OrganizationUpdate, ProjectUpdate,
    Revocation, Rotation, UserUpdate,
};
use keygate::names::{Environment, FieldName, OrganizationId, ProjectId, Reason, RoleName, UserId};
use keygate::notice::{NoticeId, NoticeKind, WebhookId, WebhookUrl};
use keygate::record::{Key, NamedRole, OrganizationRecord, ProjectRecord, RotationSchedule, UserRecord};
use keygate::usage::report::{UsageQuery, UsageReport};
use keygate::usage::subject::Subject;
use reqwest::Method;
use serde::Deserialize;
use uuid::Uuid;

use self::address::Address;
pub(crate) use self::address::is_clear_text_allowed;
use self::link::{Call, Link};
use super::place::Setting;
use super::verdict::{CheckLine, Refusal};
use super::{
    BulkDone, GivenUpNotices, NewSecret, NotDone, Operation, Pace, PostedNotice, Question, Redriven, ShownKey,
    ShownRotation, Verdict, Wait, Webhooks, Whose,
};
use crate::args::{SettingArgs, whole_days};
use crate::failure::Failure;

/// Keys that are made at the same time.
const IN_FLIGHT: usize = 16;
/// How often a change is tried again after another came in between.
const ATTEMPTS: usize = 16;

/// A server. Clones share its connections.
#[derive(Debug, Clone)]
pub(crate) struct ServerDesk {
    link: Arc<Link>,
    /// Of new keys, and the one keys are checked for; the server's own if nobody says.
    environment: Option<Environment>,
}

impl ServerDesk {
    /// One key is one call, and many are under way at the same time.
    pub(super) const PACE: Pace = Pace { at_once: 1, in_flight: IN_FLIGHT };

    /// The server that is named, with all that it takes to call it. Nothing is sent yet.
    pub(super) fn read(server: &Setting, args: &SettingArgs) -> Result<Self, Failure> {
        let address = Address::read(server, args)?;
        let environment = environment(args)?;
        let link = Link::new(address, &admin_key::read()?, Setting::read("KEYGATE_SERVER_CA", args)?)?;
        Ok(Self { link: Arc::new(link), environment })
    }

    pub(super) async fn create(&self, new: &NewKey) -> Result<CreatedKey, NotDone> {
        let path = ["organizations", new.organization.as_str(), "keys"];
        let body = body::NewKeyBody::of(new, self.environment, Utc::now());
        // However often it is sent, one key is made; and once its text was in an answer, no other answer has it.
        let answer = self.link.send(&Call::new(Method::POST, &path).saying(&body)?.once(Uuid::now_v7())).await?;
        match answer.read::<Made>()? {
            Made { key: None, key_id } => Err(NotDone::with_lost_key(key_id)),
            Made { key: Some(_), .. } => answer.read(),
        }
    }

    pub(super) async fn create_many(&self, new: Vec<NewKey>) -> Vec<Result<CreatedKey, NotDone>> {
        let calls = stream::iter(new).map(|new| async move { self.create(&new).await });
        calls.buffered(IN_FLIGHT).collect().await
    }

    pub(super) async fn import(
        &self,
        organization: &OrganizationId,
        body: &[u8],
        dry_run: bool,
    ) -> Result<Vec<ImportOutcome>, NotDone> {
        let call = Call::new(Method::POST, &["organizations", organization.as_str(), "keys:import"]);
        let call = call.asking("dry_run", dry_run.then_some(true)).with_lines(body);
        Ok(self.link.send(&call).await?.read::<Imported>()?.lines)
    }

    pub(super) async fn list(
        &self,
        organization: &OrganizationId,
        filter: &KeyFilter,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<KeyPage, NotDone> {
        let mut call = Call::new(Method::GET, &["organizations", organization.as_str(), "keys"])
            .asking("user_id", filter.user.as_ref())
            .asking("project_id", filter.project.as_ref())
            .asking("tag", filter.tag.as_ref())
            .asking("status", filter.state)
            .asking("environment", filter.environment)
            .asking("limit", Some(limit))
            .asking("cursor", cursor);
        // The API counts in days, so what ends on the last of them is looked through here.
        let days = filter.expiring_within.map(whole_days);
        call = call.asking("expiring_within_days", days).asking("unused_for_days", filter.unused_for.map(whole_days));
        call = call
            .asking("made_before", filter.made_before.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true)));
        let mut page: KeyPage = self.link.send(&call).await?.read()?;
        if let Some(within) = filter.expiring_within
            && days.map(TimeDelta::days) != Some(within)
        {
            let now = Utc::now();
            page.keys.retain(|key| key.expires_at.is_some_and(|end| end - now <= within));
        }
        Ok(page)
    }

    pub(super) async fn show(&self, id: KeyId) -> Result<ShownKey, NotDone> {
        self.link.send(&Call::new(Method::GET, &["keys", &id.to_string()])).await?.read()
    }

    pub(super) async fn update(&self, id: KeyId, update: &KeyUpdate) -> Result<Key, NotDone> {
        let body = body::KeyChange::of(update, Utc::now());
        self.link.send(&Call::new(Method::PATCH, &["keys", &id.to_string()]).saying(&body)?).await?.read()
    }

    pub(super) async fn sensitive(&self, id: KeyId, field: Option<&FieldName>) -> Result<OpenedFields, NotDone> {
        let call = Call::new(Method::GET, &["keys", &id.to_string(), "sensitive"]).asking("field", field);
        self.link.send(&call).await?.read()
    }

    pub(super) async fn deactivate(&self, id: KeyId, reason: Option<Reason>) -> Result<Key, NotDone> {
        let call = Call::new(Method::POST, &["keys", &id.to_string(), "deactivate"]);
        self.link.send(&call.saying(&body::Why { reason })?).await?.read()
    }

    pub(super) async fn activate(&self, id: KeyId) -> Result<Key, NotDone> {
        self.link.send(&Call::new(Method::POST, &["keys", &id.to_string(), "activate"])).await?.read()
    }

    pub(super) async fn revoke(&self, id: KeyId, reason: Option<Reason>, wait: Wait) -> Result<Revocation, NotDone> {
        let call = Call::new(Method::POST, &["keys", &id.to_string(), "revoke"]);
        let call = call.asking("wait", (wait == Wait::No).then_some(false)).saying(&body::Why { reason })?;
        self.link.send(&call).await?.read()
    }

    pub(super) async fn delete(&self, id: KeyId) -> Result<(), NotDone> {
        self.link.send(&Call::new(Method::DELETE, &["keys", &id.to_string()])).await?.is_empty()
    }

    pub(super) async fn rotate(&self, id: KeyId, overlap_days: Option<u32>) -> Result<Rotation, NotDone> {
        let call = Call::new(Method::POST, &["keys", &id.to_string(), "rotate"]);
        let call = call.saying(&body::Overlap { overlap_days })?.once(Uuid::now_v7());
        let answer = self.link.send(&call).await?;
        match answer.read::<Rotated>()? {
            // Of another call of the same name, whose answer was lost. It is in the place of another, and not to be revoked.
            Rotated { key: None, new_key_id } => Err(NotDone::new(format!(
                "the key {id} was rotated, but the answer with the text of its successor was lost; rotate that in its turn, \
                 with keygate keys rotate {new_key_id}"
            ))),
            Rotated { key: Some(_), .. } => answer.read(),
        }
    }

    pub(super) async fn bulk(
        &self,
        organization: &OrganizationId,
        operation: &Operation,
        keys: &BulkKeys,
        dry_run: bool,
    ) -> Result<BulkDone, NotDone> {
        let body = body::Bulk::of(operation, keys, dry_run);
        let call = Call::new(Method::POST, &["organizations", organization.as_str(), "keys:bulk"]).saying(&body)?;
        // A rotation is refused the second time, when the new keys were in the answer that was lost.
        let is_final = matches!(operation, Operation::Rotate { .. }) && !dry_run;
        let call = if is_final { call } else { call.however_often() };
        self.link.send(&call).await?.read()
    }

    pub(super) async fn rotation(&self, id: KeyId) -> Result<ShownRotation, NotDone> {
        self.link.send(&Call::new(Method::GET, &["keys", &id.to_string(), "rotation"])).await?.read()
    }

    pub(super) async fn set_rotation(
        &self,
        id: KeyId,
        schedule: RotationSchedule,
        hand_over: Option<bool>,
    ) -> Result<ShownRotation, NotDone> {
        let key = id.to_string();
        if hand_over.is_none() {
            let call = Call::new(Method::PUT, &["keys", &key, "rotation"]);
            return self.link.send(&call.saying(&schedule)?).await?.read();
        }
        // Both or neither.
        let mut update = KeyUpdate::new();
        (update.rotation_schedule, update.hand_over) = (Some(Some(schedule)), hand_over);
        self.update(id, &update).await?;
        self.rotation(id).await
    }

    pub(super) async fn clear_rotation(&self, id: KeyId) -> Result<(), NotDone> {
        self.link.send(&Call::new(Method::DELETE, &["keys", &id.to_string(), "rotation"])).await?.is_empty()
    }

    pub(super) async fn finish_rotation(&self, id: KeyId) -> Result<Key, NotDone> {
        self.link.send(&Call::new(Method::POST, &["keys", &id.to_string(), "rotation", "finish"])).await?.read()
    }

    pub(super) async fn verify(&self, text: &str, question: &Question) -> Result<Verdict, NotDone> {
        let presented = PresentedKey::parse(text.as_bytes()).ok();
        let body = body::Verification::of(text, question, self.environment);
        let answer = self.link.send(&Call::new(Method::POST, &["verify"]).saying(&body)?).await?;
        let Decided { valid, checks } = answer.read()?;
        let decision = if valid {
            Ok(Box::new(answer.read()?))
        } else {
            Err(answer.read::<Refusal>()?.of_key(presented.map(|presented| presented.id())))
        };
        Ok(Verdict { decision, checks })
    }

    pub(super) async fn usage(&self, subject: &Subject, query: &UsageQuery) -> Result<UsageReport, NotDone> {
        let call = |path: &[&str]| Call::new(Method::GET, path);
        let of = |organization: &OrganizationId| call(&["organizations", organization.as_str(), "usage"]);
        let call = match subject {
            Subject::Key(id) => call(&["keys", &id.to_string(), "usage"]),
            Subject::User(organization, user) => of(organization).asking("user_id", Some(user)),
            Subject::Project(organization, project) => of(organization).asking("project_id", Some(project)),
            Subject::Organization(organization) => of(organization),
        };
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let call = call
            .asking("from", query.from.map(time))
            .asking("to", query.to.map(time))
            .asking("granularity", Some(query.granularity));
        self.link.send(&call).await?.read()
    }

    pub(super) async fn findings(
        &self,
        whose: &Whose,
        limit: usize,
        cursor: Option<FindingCursor>,
    ) -> Result<FindingPage, NotDone> {
        let call = match whose {
            Whose::Key(id) => Call::new(Method::GET, &["keys", &id.to_string(), "anomalies"]),
            Whose::Organization(id) => Call::new(Method::GET, &["organizations", id.as_str(), "anomalies"]),
        };
        self.link.send(&call.asking("limit", Some(limit)).asking("cursor", cursor)).await?.read()
    }

    pub(super) async fn audit(
        &self,
        organization: &OrganizationId,
        query: &AuditQuery,
        order: AuditOrder,
        limit: usize,
        cursor: Option<AuditCursor>,
    ) -> Result<AuditPage, NotDone> {
        let order = match order {
            AuditOrder::NewestFirst => "newest_first",
            AuditOrder::OldestFirst => "oldest_first",
        };
        let call = Call::new(Method::GET, &["organizations", organization.as_str(), "audit"])
            .asking("limit", Some(limit))
            .asking("cursor", cursor)
            .asking("order", Some(order))
            .asking("action", query.action.as_ref())
            .asking("principal", query.principal.as_ref())
            .asking("key_id", query.key_id)
            .asking("from", query.from.map(|time| time.to_rfc3339()))
            .asking("to", query.to.map(|time| time.to_rfc3339()));
        self.link.send(&call).await?.read()
    }

    pub(super) async fn verify_audit(
        &self,
        organization: &OrganizationId,
        head: Option<AuditHead>,
    ) -> Result<AuditVerification, NotDone> {
        let call = Call::new(Method::GET, &["organizations", organization.as_str(), "audit", "verification"]);
        self.link.send(&call.asking("head", head)).await?.read()
    }

    pub(super) async fn webhooks(&self, organization: &OrganizationId) -> Result<Webhooks, NotDone> {
        let call = Call::new(Method::GET, &["organizations", organization.as_str(), "webhooks"]);
        self.link.send(&call).await?.read()
    }

    pub(super) async fn create_webhook(
        &self,
        organization: &OrganizationId,
        url: &WebhookUrl,
        events: &[NoticeKind],
    ) -> Result<NewSecret, NotDone> {
        let body = serde_json::json!({ "url": url, "events": events });
        let call = Call::new(Method::POST, &["organizations", organization.as_str(), "webhooks"]);
        self.link.send(&call.saying(&body)?.once(Uuid::now_v7())).await?.read()
    }

    pub(super) async fn delete_webhook(&self, organization: &OrganizationId, id: WebhookId) -> Result<(), NotDone> {
        let path = ["organizations", organization.as_str(), "webhooks", &id.to_string()];
        self.link.send(&Call::new(Method::DELETE, &path)).await.map(drop)
    }

    pub(super) async fn renew_webhook_secret(
        &self,
        organization: &OrganizationId,
        id: WebhookId,
    ) -> Result<NewSecret, NotDone> {
        let path = ["organizations", organization.as_str(), "webhooks", &id.to_string(), "secret"];
        self.link.send(&Call::new(Method::POST, &path)).await?.read()
    }

    pub(super) async fn test_webhooks(&self, organization: &OrganizationId) -> Result<PostedNotice, NotDone> {
        let call = Call::new(Method::POST, &["organizations", organization.as_str(), "webhooks:test"]);
        self.link.send(&call).await?.read()
    }

    pub(super) async fn given_up(
        &self,
        organization: &OrganizationId,
        limit: usize,
    ) -> Result<GivenUpNotices, NotDone> {
        let call = Call::new(Method::GET, &["organizations", organization.as_str(), "notices"]);
        self.link.send(&call.asking("limit", Some(limit))).await?.read()
    }

    pub(super) async fn redrive(
        &self,
        organization: &OrganizationId,
        id: Option<NoticeId>,
    ) -> Result<Redriven, NotDone> {
        let call = Call::new(Method::POST, &["organizations", organization.as_str(), "notices:redrive"]);
        self.link.send(&call.saying(&serde_json::json!({ "notice_id": id }))?).await?.read()
    }

    pub(super) async fn organization(&self, id: &OrganizationId) -> Result<OrganizationRecord, NotDone> {
        self.link.send(&Call::new(Method::GET, &["organizations", id.as_str()])).await?.read()
    }

    pub(super) async fn create_organization(
        &self,
        id: &OrganizationId,
        settings: &OrganizationUpdate,
    ) -> Result<OrganizationRecord, NotDone> {
        let body = body::NewOrganization::of(id, settings);
        let call = Call::new(Method::POST, &["organizations"]).saying(&body)?.once(Uuid::now_v7());
        self.link.send(&call).await?.read()
    }

    pub(super) async fn update_organization(
        &self,
        id: &OrganizationId,
        update: &OrganizationUpdate,
    ) -> Result<OrganizationRecord, NotDone> {
        let call = Call::new(Method::PATCH, &["organizations", id.as_str()]);
        self.link.send(&call.saying(&body::OrganizationChange::of(update))?).await?.read()
    }

    pub(super) async fn project(
        &self,
        organization: &OrganizationId,
        project: &ProjectId,
    ) -> Result<ProjectRecord, NotDone> {
        let path = ["organizations", organization.as_str(), "projects", project.as_str()];
        self.link.send(&Call::new(Method::GET, &path)).await?.read()
    }

    pub(super) async fn update_project(
        &self,
        organization: &OrganizationId,
        project: &ProjectId,
        update: &ProjectUpdate,
    ) -> Result<ProjectRecord, NotDone> {
        let path = ["organizations", organization.as_str(), "projects", project.as_str()];
        let mut attempts = 0;
        loop {
            // What is not to change is said as it is, and sent for the revision that has it.
            let found = self.project(organization, project).await?;
            let body = body::Project::of(&found, update);
            let call = Call::new(Method::PUT, &path).saying(&body)?.if_unchanged(found.revision);
            match self.link.send(&call).await {
                Err(error) if error.is("revision_conflict") && attempts < ATTEMPTS => attempts += 1,
                outcome => return outcome?.read(),
            }
        }
    }
}

impl ServerDesk {
    pub(super) async fn user(&self, organization: &OrganizationId, user: &UserId) -> Result<UserRecord, NotDone> {
        self.link.send(&Call::new(Method::GET, &of_user(organization, user))).await?.read()
    }

    pub(super) async fn update_user(
        &self,
        organization: &OrganizationId,
        user: &UserId,
        update: &UserUpdate,
    ) -> Result<ChangedUser, NotDone> {
        let body = body::User::of(update);
        let call = Call::new(Method::PUT, &of_user(organization, user)).saying(&body)?.however_often();
        self.link.send(&call).await?.read()
    }

    pub(super) async fn roles(&self, organization: &OrganizationId) -> Result<Vec<NamedRole>, NotDone> {
        let call = Call::new(Method::GET, &["organizations", organization.as_str(), "roles"]);
        let Roles { roles } = self.link.send(&call).await?.read()?;
        Ok(roles)
    }

    pub(super) async fn role(&self, organization: &OrganizationId, name: &RoleName) -> Result<NamedRole, NotDone> {
        self.link.send(&Call::new(Method::GET, &of_role(organization, name))).await?.read()
    }

    pub(super) async fn put_role(
        &self,
        organization: &OrganizationId,
        name: &RoleName,
        new: &NewRole,
    ) -> Result<NamedRole, NotDone> {
        let body = body::Role::of(new);
        let call = Call::new(Method::PUT, &of_role(organization, name)).saying(&body)?.however_often();
        self.link.send(&call).await?.read()
    }

    pub(super) async fn delete_role(&self, organization: &OrganizationId, name: &RoleName) -> Result<(), NotDone> {
        self.link.send(&Call::new(Method::DELETE, &of_role(organization, name))).await?.is_empty()
    }
}

fn of_user<'a>(organization: &'a OrganizationId, user: &'a UserId) -> [&'a str; 4] {
    ["organizations", organization.as_str(), "users", user.as_str()]
}

fn of_role<'a>(organization: &'a OrganizationId, name: &'a RoleName) -> [&'a str; 4] {
    ["organizations", organization.as_str(), "roles", name.as_str()]
}

/// All roles of an organization.
#[derive(Debug, Deserialize)]
struct Roles {
    roles: Vec<NamedRole>,
}

/// What tells a key that was made now from one that was made for the same call before.
#[derive(Debug, Deserialize)]
struct Made {
    key: Option<serde::de::IgnoredAny>,
    key_id: KeyId,
}

/// What became of an import.
#[derive(Debug, Deserialize)]
struct Imported {
    lines: Vec<ImportOutcome>,
}

/// What tells a key that was rotated now from one that was rotated for the same call before.
#[derive(Debug, Deserialize)]
struct Rotated {
    key: Option<serde::de::IgnoredAny>,
    new_key_id: KeyId,
}

/// What was decided over a key, before whose it is or why not.
#[derive(Debug, Deserialize)]
struct Decided {
    valid: bool,
    checks: Option<Vec<CheckLine>>,
}

/// The environment that was named, by the flag or either variable.
fn environment(args: &SettingArgs) -> Result<Option<Environment>, Failure> {
    let named = match Setting::read("KEYGATE_ENVIRONMENT", args)? {
        Some(own) => Some(own),
        None => Setting::read("ENVIRONMENT", args)?,
    };
    let wrong = |setting: &Setting| setting.wrong("must be 1 to 16 characters out of a-z 0-9");
    named.map(|setting| Environment::new(&setting.value).map_err(|_| wrong(&setting))).transpose()
}
