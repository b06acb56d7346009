//! What is kept of an act, and how it is written down.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::{Builder, Uuid};

use super::attest::{ATTEST_BYTES, attest, body};
use super::store::{KeptEntry, Step};
use crate::clock::to_millis;
use crate::key::KeyId;
use crate::names::OrganizationId;
use crate::ring::SecretRing;
use crate::store::StoreError;

/// The version of how entries are written.
const VERSION: u8 = 1;
/// The version, the step, the act's id and its time.
const HEADER: usize = 1 + 1 + 16 + 8;
/// The most bytes of an entry.
pub const MAX_ENTRY_BYTES: usize = 256 * 1024;
/// The most keys that one entry names.
pub const MAX_ITEMS: usize = 10_000;

/// Names an act: what was begun, and what became of it, have the same. A UUIDv7, so ids sort by the time they were made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ActId(Uuid);

impl ActId {
    /// A fresh id.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn fresh(now: DateTime<Utc>) -> Result<Self, getrandom::Error> {
        let mut random = [0; 10];
        getrandom::fill(&mut random)?;
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        Ok(Self(Builder::from_unix_timestamp_millis(millis, &random).into_uuid()))
    }

    /// When it was made.
    #[must_use]
    pub fn at(&self) -> DateTime<Utc> {
        let [a, b, c, d, e, f, ..] = *self.as_bytes();
        let millis = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        i64::try_from(millis).ok().and_then(DateTime::from_timestamp_millis).unwrap_or_default()
    }

    /// Its sixteen bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id of sixteen bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for ActId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl fmt::Debug for ActId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an entry says of its act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EntryKind {
    /// It is about to be done.
    Intent,
    /// It was done, or what else became of it.
    Outcome,
    /// It was refused before it was begun.
    Refused,
    /// A key was refused.
    Denied,
}

impl EntryKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome => "outcome",
            Self::Refused => "refused",
            Self::Denied => "denied",
        }
    }
}

/// What became of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ActOutcome {
    /// It was done; of many keys, to at least one.
    Done,
    /// It was not done.
    Refused,
    /// The store failed in its midst: it may have been done.
    Failed,
    /// Whoever did it stopped in its midst, and what is there does not say whether it was done.
    Unknown,
}

impl ActOutcome {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// What an act is about. All that it names is of the entry's organization, or was asked for and may not be there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActTarget {
    /// A key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
    /// A user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// A project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// A role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// A webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_id: Option<String>,
    /// An organization that was asked for, where it is not the entry's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<String>,
    /// A call of the management API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
}

impl ActTarget {
    /// A key.
    #[must_use]
    pub fn key(id: KeyId) -> Self {
        Self { key_id: Some(id), ..Self::default() }
    }
}

/// One of many keys, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActItem {
    /// The key.
    pub key_id: KeyId,
    /// Its successor, if it was rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor_id: Option<KeyId>,
    /// `done`, or the stable word for why it was not; none before that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

impl ActItem {
    /// A key of which nothing is known yet.
    #[must_use]
    pub fn new(key_id: KeyId) -> Self {
        Self { key_id, successor_id: None, outcome: None }
    }
}

/// An entry of an organization's audit. Its JSON form is that of the management API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditEntry {
    /// Its place: the first of an organization is 1, and each is one more than the one before.
    pub sequence: u64,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The act: what was intended and what became of it are two entries of the same.
    pub act_id: ActId,
    /// When, on the clock of whoever did it.
    pub at: DateTime<Utc>,
    /// What it says of the act.
    pub kind: EntryKind,
    /// What was done: a word such as `key.create`.
    pub action: String,
    /// Who did it: a key id, or a word such as `operator`.
    pub principal: String,
    /// From where, as far as that is known.
    pub from: Option<IpAddr>,
    /// What it is about.
    pub target: ActTarget,
    /// The fields that it changes as they were before.
    pub before: Option<Value>,
    /// The same as they are after.
    pub after: Option<Value>,
    /// What became of it.
    pub outcome: Option<ActOutcome>,
    /// Why it was not done: the stable word for it.
    pub reason: Option<String>,
    /// Whether somebody else found out what became of it, as whoever did it stopped in its midst.
    #[serde(default)]
    pub reconciled: bool,
    /// Its keys, of an act on many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ActItem>,
    /// How many more of its kind there were before it that were not written down.
    #[serde(default)]
    pub unsaid: u64,
}

/// What is written of an entry. Fields are never taken away or changed: another version is another type.
#[derive(Serialize, Deserialize)]
struct WrittenV1 {
    kind: u8,
    action: String,
    principal: String,
    from: Option<IpAddr>,
    key_id: Option<[u8; 16]>,
    /// The other names, in the order of [`ActTarget`].
    names: [Option<String>; 6],
    before: Option<String>,
    after: Option<String>,
    outcome: Option<u8>,
    reason: Option<String>,
    reconciled: bool,
    /// The words for what became of keys, each once.
    words: Vec<String>,
    items: Vec<WrittenItem>,
    unsaid: u64,
}

#[derive(Serialize, Deserialize)]
struct WrittenItem {
    key_id: [u8; 16],
    successor_id: Option<[u8; 16]>,
    /// Which of the words; 0 is none.
    word: u8,
}

const KINDS: [EntryKind; 4] = [EntryKind::Intent, EntryKind::Outcome, EntryKind::Refused, EntryKind::Denied];
const OUTCOMES: [ActOutcome; 4] = [ActOutcome::Done, ActOutcome::Refused, ActOutcome::Failed, ActOutcome::Unknown];

fn place<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|other| other == one).and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
}

/// What is written in front of every entry, whatever its version: a store tells acts apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the entry is to the store.
    pub step: Step,
    /// The act.
    pub act: ActId,
    /// When, in milliseconds since 1970.
    pub millis: i64,
}

impl Header {
    /// Reads it; `None` where these are no bytes of an entry.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (_, rest) = bytes.split_first()?;
        let (step, rest) = rest.split_first()?;
        let (act, rest) = rest.split_first_chunk()?;
        let (millis, _) = rest.split_first_chunk()?;
        let step = Step::from_byte(*step)?;
        Some(Self { step, act: ActId::from_bytes(*act), millis: i64::from_be_bytes(*millis) })
    }
}

impl AuditEntry {
    /// The entry's bytes, without its place and its organization, which are where it stands; and behind them what shows that they
    /// were written under this ring.
    ///
    /// # Errors
    /// When it has more than [`MAX_ENTRY_BYTES`].
    pub(crate) fn encode(&self, step: Step, ring: &SecretRing) -> Result<Vec<u8>, StoreError> {
        let mut words: Vec<String> = Vec::new();
        let items = self.items.iter().map(|item| {
            let word = item.outcome.as_ref().map_or(0, |outcome| {
                let place = words.iter().position(|word| word == outcome).unwrap_or_else(|| {
                    words.push(outcome.clone());
                    words.len() - 1
                });
                u8::try_from(place + 1).unwrap_or(u8::MAX)
            });
            let successor_id = item.successor_id.map(|id| *id.as_bytes());
            WrittenItem { key_id: *item.key_id.as_bytes(), successor_id, word }
        });
        let items: Vec<_> = items.collect();
        let ActTarget { key_id, user_id, project_id, role, webhook_id, organization_id, call } = self.target.clone();
        let written = WrittenV1 {
            kind: place(&KINDS, &self.kind),
            action: self.action.clone(),
            principal: self.principal.clone(),
            from: self.from,
            key_id: key_id.map(|id| *id.as_bytes()),
            names: [user_id, project_id, role, webhook_id, organization_id, call],
            before: self.before.as_ref().map(Value::to_string),
            after: self.after.as_ref().map(Value::to_string),
            outcome: self.outcome.map(|outcome| place(&OUTCOMES, &outcome)),
            reason: self.reason.clone(),
            reconciled: self.reconciled,
            words,
            items,
            unsaid: self.unsaid,
        };
        let mut bytes = Vec::with_capacity(HEADER + 256);
        bytes.push(VERSION);
        bytes.push(step.byte());
        bytes.extend(self.act_id.as_bytes());
        bytes.extend(self.at.timestamp_millis().to_be_bytes());
        let damaged = |problem: String| StoreError::damaged("an entry of the audit to be kept", problem);
        let bytes = postcard::to_extend(&written, bytes).map_err(|error| damaged(error.to_string()))?;
        let length = bytes.len() + ATTEST_BYTES;
        if length > MAX_ENTRY_BYTES {
            return Err(damaged(format!("it has {length} bytes, and may have {MAX_ENTRY_BYTES}")));
        }
        Ok(attest(ring, &self.organization_id, bytes))
    }

    /// The entry of these bytes, without asking whether they are as they were written.
    ///
    /// # Errors
    /// When they are those of none, or of a version that is not known.
    pub(crate) fn decode(organization: &OrganizationId, kept: &KeptEntry) -> Result<Self, StoreError> {
        let sequence = kept.sequence;
        let damaged = |problem: &str| StoreError::damaged(format!("entry {sequence} of the audit"), problem);
        let header = Header::read(&kept.bytes).ok_or_else(|| damaged("it has no header"))?;
        if kept.bytes[0] != VERSION {
            return Err(damaged(&format!("its version is {}, and {VERSION} is known", kept.bytes[0])));
        }
        let unreadable = || damaged("it cannot be read");
        let written = body(&kept.bytes).and_then(|body| body.get(HEADER..)).ok_or_else(unreadable)?;
        let written: WrittenV1 = postcard::from_bytes(written).map_err(|_| unreadable())?;
        let json =
            |text: Option<String>| text.map(|text| serde_json::from_str(&text)).transpose().map_err(|_| unreadable());
        let mut items = Vec::with_capacity(written.items.len());
        for item in written.items {
            let outcome = match item.word {
                0 => None,
                word => Some(written.words.get(usize::from(word) - 1).cloned().unwrap_or_default()),
            };
            let successor_id = item.successor_id.map(KeyId::from_bytes);
            items.push(ActItem { key_id: KeyId::from_bytes(item.key_id), successor_id, outcome });
        }
        let [user_id, project_id, role, webhook_id, organization_id, call] = written.names;
        let key_id = written.key_id.map(KeyId::from_bytes);
        let outcome = match written.outcome {
            Some(outcome) => Some(*OUTCOMES.get(usize::from(outcome)).ok_or_else(unreadable)?),
            None => None,
        };
        Ok(Self {
            sequence,
            organization_id: organization.clone(),
            act_id: header.act,
            at: DateTime::from_timestamp_millis(header.millis).ok_or_else(unreadable)?,
            kind: *KINDS.get(usize::from(written.kind)).ok_or_else(unreadable)?,
            action: written.action,
            principal: written.principal,
            from: written.from,
            target: ActTarget { key_id, user_id, project_id, role, webhook_id, organization_id, call },
            before: json(written.before)?,
            after: json(written.after)?,
            outcome,
            reason: written.reason,
            reconciled: written.reconciled,
            items,
            unsaid: written.unsaid,
        })
    }

    /// An entry that says nothing but who does what now.
    pub(crate) fn begun(
        organization: &OrganizationId,
        act_id: ActId,
        now: DateTime<Utc>,
        kind: EntryKind,
        action: String,
    ) -> Self {
        Self {
            sequence: 0,
            organization_id: organization.clone(),
            act_id,
            at: to_millis(now),
            kind,
            action,
            principal: String::new(),
            from: None,
            target: ActTarget::default(),
            before: None,
            after: None,
            outcome: None,
            reason: None,
            reconciled: false,
            items: Vec::new(),
            unsaid: 0,
        }
    }
}

impl FromStr for ActId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::try_parse(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::audit::attest::{Attested, attested};
    use crate::ring::MasterSecret;

    fn ring(number: u8) -> SecretRing {
        SecretRing::new(&MasterSecret::from_bytes(std::array::from_fn(|place| number ^ place as u8)).unwrap())
    }

    fn entry() -> AuditEntry {
        let acme = OrganizationId::new("acme").unwrap();
        let at = DateTime::from_timestamp_millis(1_790_000_000_123).unwrap();
        let act = ActId::fresh(at).unwrap();
        let mut entry = AuditEntry::begun(&acme, act, at, EntryKind::Outcome, "keys.bulk".to_owned());
        entry.principal = "operator".to_owned();
        entry.from = Some("192.0.2.7".parse().unwrap());
        entry.target = ActTarget { user_id: Some("bob".to_owned()), ..ActTarget::key(KeyId::from_bytes([7; 16])) };
        entry.before = Some(json!({"status": "active"}));
        entry.after = Some(json!({"status": "revoked"}));
        entry.outcome = Some(ActOutcome::Done);
        entry.unsaid = 3;
        entry
    }

    fn read_back(entry: &AuditEntry, step: Step) -> AuditEntry {
        let bytes = entry.encode(step, &ring(1)).unwrap();
        let header = Header::read(&bytes).unwrap();
        assert_eq!(header, Header { step, act: entry.act_id, millis: entry.at.timestamp_millis() });
        AuditEntry::decode(&entry.organization_id, &KeptEntry { sequence: entry.sequence, bytes }).unwrap()
    }

    #[test]
    fn an_entry_is_read_back() {
        let mut entry = entry();
        assert_eq!(entry.act_id.at(), entry.at);
        assert_eq!(read_back(&entry, Step::Outcome { intent: 0 }), entry);
        let done = |number: u8, outcome: &str| ActItem {
            outcome: Some(outcome.to_owned()),
            successor_id: (number == 2).then(|| KeyId::from_bytes([9; 16])),
            ..ActItem::new(KeyId::from_bytes([number; 16]))
        };
        entry.items =
            vec![done(1, "done"), done(2, "done"), done(3, "not_found"), ActItem::new(KeyId::from_bytes([4; 16]))];
        assert_eq!(read_back(&entry, Step::Alone), entry);
    }

    /// As compact as they are promised to be: a bulk operation's thousand, and an import's ten.
    #[test]
    fn many_keys_are_compact() {
        let mut entry = entry();
        let one = |number: usize| ActItem {
            outcome: Some("done".to_owned()),
            ..ActItem::new(KeyId::from_bytes((number as u128).to_be_bytes()))
        };
        entry.items = (0..1_000).map(one).collect();
        assert!(entry.encode(Step::Alone, &ring(1)).unwrap().len() < 20_000);
        entry.items = (0..MAX_ITEMS).map(one).collect();
        assert!(entry.encode(Step::Alone, &ring(1)).unwrap().len() < MAX_ENTRY_BYTES);
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        let bytes = entry().encode(Step::Alone, &ring(1)).unwrap();
        let decode = |bytes: &[u8]| {
            let acme = OrganizationId::new("acme").unwrap();
            AuditEntry::decode(&acme, &KeptEntry { sequence: 7, bytes: bytes.to_vec() })
        };
        assert!(decode(&bytes).is_ok());
        for length in 0..bytes.len() {
            let error = decode(&bytes[..length]).unwrap_err();
            assert!(error.to_string().contains("entry 7"), "{error}");
        }
        let newer = [&[2], &bytes[1..]].concat();
        assert!(decode(&newer).unwrap_err().to_string().contains("version is 2"));
    }

    /// By itself, sealed or not: no bit of it is changed, and it is of no other organization.
    #[test]
    fn an_entry_shows_who_wrote_it() {
        let (entry, other) = (entry(), OrganizationId::new("other").unwrap());
        let (bytes, acme) = (entry.encode(Step::Alone, &ring(1)).unwrap(), &entry.organization_id);
        assert_eq!(attested(&ring(1), acme, &bytes), Attested::Genuine);
        assert_eq!(attested(&ring(1), &other, &bytes), Attested::Forged);
        assert_eq!(attested(&ring(2), acme, &bytes), Attested::RingEntryMissing(ring(1).current_id()));
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(attested(&ring(1), acme, &altered), Attested::Genuine, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_ne!(attested(&ring(1), acme, &bytes[..length]), Attested::Genuine, "{length} bytes");
        }
    }
}
