//! What was done, and whether what is written of it is as it was written.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::values::{KeyIdShape, OrganizationIdShape};

/// What an entry says of its act.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AuditEntryKind)]
pub(crate) enum EntryKindShape {
    /// It is about to be done.
    Intent,
    /// It was done, or what else became of it.
    Outcome,
    /// It was refused before it was begun.
    Refused,
    /// A key was refused. So many are written down each minute.
    Denied,
}

/// What became of an act.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ActOutcome)]
pub(crate) enum ActOutcomeShape {
    /// It was done; of many keys, to at least one.
    Done,
    /// It was not done.
    Refused,
    /// The store failed in its midst: it may have been done.
    Failed,
    /// Whoever did it stopped in its midst, and what is there does not say whether it was done.
    Unknown,
}

/// What an act is about. What it does not concern is left out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ActTarget)]
pub(crate) struct ActTargetShape {
    #[schema(required = false, nullable = false)]
    key_id: Option<KeyIdShape>,
    #[schema(required = false, nullable = false)]
    user_id: Option<String>,
    #[schema(required = false, nullable = false)]
    project_id: Option<String>,
    #[schema(required = false, nullable = false)]
    role: Option<String>,
    #[schema(required = false, nullable = false)]
    webhook_id: Option<String>,
    /// An organization that was asked for, where it is not the entry's.
    #[schema(required = false, nullable = false)]
    organization_id: Option<String>,
    /// A call of this API that was refused before it was known what it asks for.
    #[schema(required = false, nullable = false, example = "POST /v1/keys/{key_id}/revoke")]
    call: Option<String>,
}

/// One of many keys, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ActItem)]
pub(crate) struct ActItemShape {
    key_id: KeyIdShape,
    /// Its successor, if it was rotated.
    #[schema(required = false, nullable = false)]
    successor_id: Option<KeyIdShape>,
    /// `done`, or the stable word for why it was not; none before that is known.
    #[schema(required = false, nullable = false, example = "done")]
    outcome: Option<String>,
}

/// An entry of the audit. What is about to be done and what became of it are two of one `act_id`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct AuditEntryShape {
    /// Its place: the first of an organization is 1, and each is one more than the one before.
    #[schema(minimum = 1)]
    sequence: u64,
    organization_id: OrganizationIdShape,
    /// The act.
    #[schema(format = "uuid")]
    act_id: String,
    /// When.
    at: DateTime<Utc>,
    kind: EntryKindShape,
    /// What was done.
    #[schema(example = "key.revoke")]
    action: String,
    /// Who did it: a key id, or a word such as `operator`.
    principal: String,
    /// From which address, as far as that is known.
    #[schema(required)]
    from: Option<String>,
    target: ActTargetShape,
    /// The fields that it changes, as they were before. What is secret is never among them.
    #[schema(required)]
    before: Option<Map<String, Value>>,
    /// The same as they are after.
    #[schema(required)]
    after: Option<Map<String, Value>>,
    #[schema(required)]
    outcome: Option<ActOutcomeShape>,
    /// Why it was not done: the `reason` it was answered with.
    #[schema(required)]
    reason: Option<String>,
    /// Whether it was looked up later what became of it, as whoever did it stopped in its midst.
    reconciled: bool,
    /// Its keys, of an act on many.
    #[schema(required = false)]
    items: Vec<ActItemShape>,
    /// How many more of its kind there were before it that were not written down.
    unsaid: u64,
}

/// Which entries come first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AuditOrder)]
pub(crate) enum AuditOrderShape {
    /// The newest.
    NewestFirst,
    /// The oldest.
    OldestFirst,
}

/// A part of the audit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditPage)]
pub(crate) struct AuditPageShape {
    /// The entries. A filtered page may be short and still have a next one.
    entries: Vec<AuditEntryShape>,
    /// What to send as `cursor` for the next page; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// What is wrong at one place.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AuditFaultKind)]
pub(crate) enum FaultKindShape {
    /// An entry is not as it was sealed.
    Altered,
    /// An entry is gone.
    Removed,
    /// There is an entry where none was written.
    Inserted,
    /// An entry stands where another was sealed.
    Reordered,
    /// A seal was not made by this deployment, or not for what is before it.
    SealForged,
    /// A seal is gone.
    SealRemoved,
    /// The checkpoint was not made by this deployment, or is gone.
    CheckpointForged,
    /// The head that was noted down is not in the chain: its end was cut off.
    Truncated,
    /// The secret it was sealed under is not configured, so that it cannot be said whether it is as it was.
    RingEntryMissing,
}

/// Something that is wrong with the audit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditFault)]
pub(crate) struct AuditFaultShape {
    kind: FaultKindShape,
    /// The sequence of the entry; of a seal or a checkpoint, that of the last entry under it.
    sequence: u64,
    /// One sentence for people.
    detail: String,
}

/// What a verification found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditVerification)]
pub(crate) struct AuditVerificationShape {
    organization_id: OrganizationIdShape,
    /// Whether nothing is wrong.
    intact: bool,
    /// How many entries there are.
    entries: u64,
    /// How many seals.
    seals: u64,
    /// The last sequence that is not kept any more; 0 where everything is.
    trimmed_through: u64,
    /// Since when that is so.
    #[schema(required)]
    trimmed_at: Option<DateTime<Utc>>,
    /// Until when entries are not kept, because there were too many of them or too many bytes, that would still be kept by their age:
    /// null where none are. Whoever can write to the store can bring that about.
    #[schema(required)]
    cut_short_until: Option<DateTime<Utc>>,
    /// The newest place of the chain. Noted down elsewhere and asked for later, it shows whether the end was cut off.
    #[schema(required, pattern = "^[0-9]+:[0-9a-f]{64}$")]
    head: Option<String>,
    /// The first entry that is not sealed yet.
    #[schema(required)]
    first_unsealed: Option<u64>,
    /// Whether the head that was asked for is in the chain: null where none was, or what is before it is not kept any more.
    #[schema(required)]
    head_found: Option<bool>,
    /// What is wrong, the first hundred of it.
    faults: Vec<AuditFaultShape>,
    /// How much is wrong.
    faults_in_all: u64,
}
