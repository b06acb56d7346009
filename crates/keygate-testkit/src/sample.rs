//! Valid names and records for tests, all different unless asked to be the same.
//!
//! ```
//! use keygate_testkit::sample;
//!
//! let (organization, user) = (sample::organization(), sample::user("ann"));
//! let record = sample::record(&organization, &user);
//! assert_ne!(record.key.id, sample::record(&organization, &user).key.id);
//! ```

// A sample that cannot be made is a mistake in this file, and the test that asked for it should end with its message.
#![allow(clippy::expect_used)]

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use keygate_core::key::KeyId;
use keygate_core::limits::Limits;
use keygate_core::names::{
    Description, Environment, FieldName, KeyName, OrganizationId, PrincipalId, ProjectId, Tag, UserId,
};
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::notice::WebhookRecord;
use keygate_core::record::{
    Key, KeyRecord, KeyStatus, Lineage, Metadata, Revision, RotationSchedule, SecurityTier, StatusChange, Succession,
    Superseded,
};
use keygate_core::ring::{EntryId, Sealed};
use keygate_core::scope::ScopeSet;
use keygate_core::store::{Deployment, LookupToken};
use keygate_core::verifier::Verifier;

/// Random bytes of the operating system.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// An organization that no other test has.
#[must_use]
pub fn organization() -> OrganizationId {
    OrganizationId::new(format!("org-{:016x}", u64::from_be_bytes(random()))).expect("a valid organization id")
}

/// The user of this name.
#[must_use]
pub fn user(name: &str) -> UserId {
    UserId::new(name).expect("a valid user id")
}

/// The project of this name.
#[must_use]
pub fn project(name: &str) -> ProjectId {
    ProjectId::new(name).expect("a valid project id")
}

/// A ring entry that no other test has.
#[must_use]
pub fn ring_entry() -> EntryId {
    EntryId::from_bytes(random())
}

/// Now, to the millisecond: the precision records are kept in.
#[must_use]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(3)
}

/// A day ago, and so past on any machine's clock.
#[must_use]
pub fn past() -> DateTime<Utc> {
    now() - TimeDelta::days(1)
}

/// In ten years.
#[must_use]
pub fn far_future() -> DateTime<Utc> {
    now() + TimeDelta::days(3650)
}

/// An active key without end, just created; its verifier and its id are random.
#[must_use]
pub fn record(organization: &OrganizationId, user: &UserId) -> KeyRecord {
    record_of(organization, user, now())
}

/// The same, created at a time, which its id carries too: ids sort by it.
#[must_use]
pub fn record_of(organization: &OrganizationId, user: &UserId, created_at: DateTime<Utc>) -> KeyRecord {
    let id = KeyId::fresh(created_at, None).expect("a key id");
    let entry = EntryId::from_bytes(*b"test");
    let key = Key {
        id,
        revision: Revision::FIRST,
        organization: organization.clone(),
        user: user.clone(),
        project: None,
        name: KeyName::new("a key").expect("a valid name"),
        description: Description::default(),
        permissions: ScopeSet::empty(),
        scopes: ScopeSet::empty(),
        grantable: ScopeSet::empty(),
        limits: Limits::STANDARD,
        created_at: created_at.trunc_subsecs(3),
        created_by: PrincipalId::new("operator").expect("a valid principal"),
        expires_at: None,
        not_before: None,
        status: StatusChange::new(KeyStatus::Active, created_at, None),
        tags: Vec::new(),
        allowed_ips: CidrSet::default(),
        environment: Environment::dev(),
        rotation_schedule: None,
        security_tier: SecurityTier::Standard,
        lineage: Lineage { root: id, generation: 0 },
        succession: Succession::default(),
        metadata: Metadata::default(),
        sensitive_fields: Vec::new(),
    };
    let verifier = Verifier::HmacSha256 { digest: random() };
    KeyRecord::new(key, verifier, entry, entry)
}

/// A record with something in every field.
#[must_use]
pub fn full_record(organization: &OrganizationId, user: &UserId) -> KeyRecord {
    let scopes = |texts: &[&str]| ScopeSet::parse(texts).expect("valid scopes");
    let mut record = record(organization, user);
    let key = &mut record.key;
    key.project = Some(project("website"));
    key.name = KeyName::new("Schlüssel für die Seite").expect("a valid name");
    key.description = Description::new("serves the site; ask the web team").expect("a valid description");
    key.permissions = scopes(&["keys:read", "keys:create"]);
    key.scopes = scopes(&["files:**", "tools:*:run"]);
    key.grantable = scopes(&["files:public:**"]);
    key.limits = Limits { per_month: Some(1_000_000), ..Limits::STANDARD };
    key.created_by = PrincipalId::new(key.id.to_string()).expect("a key id is a principal");
    key.expires_at = Some(far_future());
    key.not_before = Some(past());
    key.tags = ["team:web", "tier=1"].into_iter().map(|tag| Tag::new(tag).expect("a valid tag")).collect();
    let networks = ["192.0.2.0/24", "2001:db8::/32"].map(|text| Cidr::new(text).expect("a valid network"));
    key.allowed_ips = CidrSet::new(networks).expect("few networks");
    key.environment = Environment::new("prod").expect("a valid environment");
    key.rotation_schedule = Some(RotationSchedule {
        interval_days: 90,
        warning_days: 7,
        auto_rotate: true,
        notify_users: true,
        overlap_days: 7,
    });
    key.security_tier = SecurityTier::High;
    key.lineage = Lineage { root: KeyId::fresh(past(), Some(key.id.bucket())).expect("a key id"), generation: 3 };
    key.succession = Succession {
        predecessor_id: Some(key.lineage.root),
        superseded: None,
        hand_over: true,
        scheduled_at: Some(past()),
    };
    let metadata = serde_json::json!({ "ticket": 4711, "owners": ["ann", "bob"], "note": "a \"quoted\" word" });
    key.metadata = metadata.as_object().cloned().map(Metadata::new).expect("an object").expect("small metadata");
    record.verifier = Verifier::Pbkdf2Sha256 { salt: random(), iterations: 600_000, output: random() };
    record.minted_under = ring_entry();
    record.digested_under = ring_entry();
    record.offer = Some(Sealed::from_parts(ring_entry(), random::<100>().to_vec()));
    record.unclaimed = true;
    record.lookup = Some(LookupToken::from_bytes(random()));
    let fields = ["card", "pin"].map(|name| {
        (FieldName::new(name).expect("a valid name"), Sealed::from_parts(ring_entry(), random::<60>().to_vec()))
    });
    record.keep_sensitive(fields.into_iter().collect());
    record
}

/// The record as the next write of it would put it, with another description.
#[must_use]
pub fn described(record: &KeyRecord, description: &str) -> KeyRecord {
    let mut next = record.clone();
    next.key.description = Description::new(description).expect("a valid description");
    next.key.revision = record.key.revision.next();
    next
}

/// The record as the next write of it would put it, with another end.
#[must_use]
pub fn expiring(record: &KeyRecord, end: Option<DateTime<Utc>>) -> KeyRecord {
    let mut next = record.clone();
    next.key.expires_at = end;
    next.key.revision = record.key.revision.next();
    next
}

/// A record as its rotation puts it, and the one of its successor.
#[must_use]
pub fn succession(record: &KeyRecord) -> (KeyRecord, KeyRecord) {
    let (mut old, mut new) = (record.clone(), record.clone());
    // Newer than its predecessor, as lists have it, also where both are made in one millisecond.
    new.key.created_at = now().max(record.key.created_at) + TimeDelta::milliseconds(1);
    new.key.id = KeyId::fresh(new.key.created_at, Some(record.key.id.bucket())).expect("a key id");
    new.key.revision = Revision::FIRST;
    new.key.lineage.generation += 1;
    new.key.status = status(KeyStatus::Active);
    new.key.succession = Succession { predecessor_id: Some(record.key.id), ..record.key.succession };
    new.verifier = Verifier::HmacSha256 { digest: random() };
    new.lookup = None;
    old.key.revision = record.key.revision.next();
    old.key.expires_at = Some(far_future());
    old.key.succession.superseded = Some(Superseded { successor_id: new.key.id, at: now() });
    (old, new)
}

/// A change to this status now, with no reason.
#[must_use]
pub fn status(status: KeyStatus) -> StatusChange {
    StatusChange::new(status, now(), None)
}

/// The webhooks of an organization that has one, whose secret nobody can open.
#[must_use]
pub fn webhooks(organization: &OrganizationId) -> WebhookRecord {
    let record = serde_json::json!({
        "organization_id": organization,
        "revision": 1,
        "webhooks": [{
            "id": format!("wh_{:032x}", u128::from_be_bytes(random())),
            "url": "https://example.com/hook?token=1",
            "events": ["key.created", "key.revoked"],
            "created_at": now(),
            "created_by": "test",
            "secret": { "entry": ring_entry(), "bytes": "AAEC" },
        }],
    });
    serde_json::from_value(record).expect("webhooks")
}

/// A deployment that was set up just now.
#[must_use]
pub fn deployment() -> Deployment {
    Deployment::new(now()).expect("the operating system gives random bytes")
}
