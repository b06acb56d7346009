//! The stored form of a record, versioned, compact, and readable for ever.
//!
//! A header of plain fields, which the Redis scripts read and rewrite, stands before a [postcard] body:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | schema version |
//! | 8 | revision, big-endian |
//! | 1 | status: 0 active, 1 inactive, 2 revoked |
//! | 8 | status changed at, milliseconds since 1970, big-endian |
//! | 2 + n | reason, its length big-endian |
//! | 1 + n | organization id |
//! | rest | body |
//!
//! A schema version, once released, is pinned by a golden file and never changes; a new field is a new version. Version 2
//! is version 1 with a byte behind the body: what becomes of requests while the store is not reached. Version 3 is version 2
//! with the key's place in its rotation behind that, and behind that what an imported key is found by. Version 4 is version 3
//! with the fields behind that are kept encrypted. A record is written in the oldest version that can hold it, so that
//! instances of the version before read whatever does not need the new one.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::key::{Key, KeyRecord, Lineage, Revision, RotationSchedule};
use super::metadata::Metadata;
use super::sensitive::MAX_SENSITIVE_FIELDS;
use super::status::{KeyStatus, StatusChange};
use super::succession::{Succession, Superseded};
use super::tier::SecurityTier;
use crate::import::ImportedScheme;
use crate::key::KeyId;
use crate::limits::{Fallback, Limits};
use crate::names::{
    Description, Environment, FieldName, KeyName, OrganizationId, PrincipalId, ProjectId, Reason, Tag, UserId,
};
use crate::network::{Cidr, CidrSet};
use crate::ring::{EntryId, Sealed};
use crate::scope::ScopeSet;
use crate::store::LookupToken;
use crate::verifier::{MAX_PBKDF2_ITERATIONS, MIN_PBKDF2_ITERATIONS, Verifier};

/// The newest version that is written.
pub const SCHEMA_VERSION: u8 = 4;
const WITHOUT_FALLBACK: u8 = 1;
const WITH_FALLBACK: u8 = 2;
const WITH_TAIL: u8 = 3;
const WITH_SENSITIVE: u8 = 4;
/// The longest record that is read: several times what the limits of the fields allow to be written.
pub const MAX_RECORD_BYTES: usize = 192 * 1024;

/// Why stored bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A version this build does not know; a newer one wrote it.
    #[error("record schema version {0} is not known to this version of keygate; upgrade it")]
    Version(u8),
    /// Cut short, too long, or with trailing bytes.
    #[error("the record's bytes are damaged: {0}")]
    Damaged(&'static str),
    /// A field holds what its type refuses.
    #[error("the record's {field} is not valid: {problem}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// The header's fields, borrowed from stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderView<'a> {
    /// The revision.
    pub revision: Revision,
    /// The status.
    pub status: KeyStatus,
    /// Milliseconds since 1970 at which it changed.
    pub status_changed_at: i64,
    /// Why.
    pub reason: &'a str,
    /// The tenant.
    pub organization: &'a str,
    version: u8,
    /// What follows.
    body: &'a [u8],
}

impl<'a> HeaderView<'a> {
    /// Reads the header alone.
    ///
    /// # Errors
    /// When the bytes are not a record of a known version.
    pub fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        const SHORT: DecodeError = DecodeError::Damaged("cut short");
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(DecodeError::Damaged("too long"));
        }
        let (version, rest) = bytes.split_first().ok_or(SHORT)?;
        if !(WITHOUT_FALLBACK..=SCHEMA_VERSION).contains(version) {
            return Err(DecodeError::Version(*version));
        }
        let (revision, rest) = rest.split_first_chunk().ok_or(SHORT)?;
        let (status, rest) = rest.split_first().ok_or(SHORT)?;
        let (changed_at, rest) = rest.split_first_chunk().ok_or(SHORT)?;
        let (length, rest) = rest.split_first_chunk().ok_or(SHORT)?;
        let (reason, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(SHORT)?;
        let (length, rest) = rest.split_first().ok_or(SHORT)?;
        let (organization, body) = rest.split_at_checked(usize::from(*length)).ok_or(SHORT)?;
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| DecodeError::Damaged("text is not UTF-8"));
        Ok(Self {
            revision: Revision(u64::from_be_bytes(*revision)),
            status: read_status(*status)?,
            status_changed_at: i64::from_be_bytes(*changed_at),
            reason: text(reason)?,
            organization: text(organization)?,
            version: *version,
            body,
        })
    }
}

fn status_byte(status: KeyStatus) -> u8 {
    match status {
        KeyStatus::Active => 0,
        KeyStatus::Inactive => 1,
        KeyStatus::Revoked => 2,
    }
}

fn read_status(byte: u8) -> Result<KeyStatus, DecodeError> {
    match byte {
        0 => Ok(KeyStatus::Active),
        1 => Ok(KeyStatus::Inactive),
        2 => Ok(KeyStatus::Revoked),
        _ => Err(DecodeError::Damaged("unknown status")),
    }
}

/// The body of schema version 1. Its field order is its format.
#[derive(Serialize, Deserialize)]
struct BodyV1 {
    id: [u8; 16],
    user: String,
    project: Option<String>,
    name: String,
    description: String,
    permissions: Vec<String>,
    scopes: Vec<String>,
    grantable: Vec<String>,
    limits: LimitsV1,
    created_at: i64,
    created_by: String,
    expires_at: Option<i64>,
    not_before: Option<i64>,
    tags: Vec<String>,
    allowed_ips: Vec<CidrV1>,
    environment: String,
    rotation: Option<RotationV1>,
    tier: u8,
    /// `None`: this key is the first of its line, generation 0.
    lineage: Option<([u8; 16], u32)>,
    metadata: String,
    verifier: VerifierV1,
    minted_under: [u8; 4],
    digested_under: [u8; 4],
}

/// Minute, hour, day, month, burst.
type LimitsV1 = [Option<u64>; 5];

#[derive(Serialize, Deserialize)]
enum CidrV1 {
    V4([u8; 4], u8),
    V6([u8; 16], u8),
}

#[derive(Serialize, Deserialize)]
struct RotationV1 {
    interval_days: u32,
    warning_days: u32,
    auto_rotate: bool,
    notify_users: bool,
    overlap_days: u32,
}

#[derive(Serialize, Deserialize)]
enum VerifierV1 {
    HmacSha256([u8; 32]),
    Pbkdf2Sha256([u8; 16], u32, [u8; 32]),
}

/// What comes with time, behind the fallback in schema version 3. Its field order is its format.
#[derive(Default, PartialEq, Serialize, Deserialize)]
struct RotationV3 {
    predecessor: Option<[u8; 16]>,
    superseded: Option<([u8; 16], i64)>,
    hand_over: bool,
    scheduled_at: Option<i64>,
    offer: Option<([u8; 4], Vec<u8>)>,
    unclaimed: bool,
    looked_at: Option<i64>,
    look_at: Option<i64>,
}

impl From<&KeyRecord> for RotationV3 {
    fn from(record: &KeyRecord) -> Self {
        let Succession { predecessor_id, superseded, hand_over, scheduled_at } = record.key.succession;
        Self {
            predecessor: predecessor_id.map(|id| *id.as_bytes()),
            superseded: superseded
                .map(|Superseded { successor_id, at }| (*successor_id.as_bytes(), at.timestamp_millis())),
            hand_over,
            scheduled_at: scheduled_at.map(|at| at.timestamp_millis()),
            offer: record.offer.as_ref().map(|offer| (offer.entry().as_bytes(), offer.as_bytes().to_vec())),
            unclaimed: record.unclaimed,
            looked_at: record.looked_at.map(|at| at.timestamp_millis()),
            look_at: record.look_at.map(|at| at.timestamp_millis()),
        }
    }
}

impl RotationV3 {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn write_into(self, record: &mut KeyRecord) -> Result<(), DecodeError> {
        let superseded = self.superseded.map(|(successor, at)| {
            Ok(Superseded { successor_id: KeyId::from_bytes(successor), at: time("superseded_at", at)? })
        });
        record.key.succession = Succession {
            predecessor_id: self.predecessor.map(KeyId::from_bytes),
            superseded: superseded.transpose()?,
            hand_over: self.hand_over,
            scheduled_at: self.scheduled_at.map(|at| time("scheduled_at", at)).transpose()?,
        };
        record.offer = self.offer.map(|(entry, bytes)| Sealed::from_parts(EntryId::from_bytes(entry), bytes));
        record.unclaimed = self.unclaimed;
        record.looked_at = self.looked_at.map(|at| time("looked_at", at)).transpose()?;
        record.look_at = self.look_at.map(|at| time("look_at", at)).transpose()?;
        Ok(())
    }
}

/// What stands last in schema version 3, of a key that was imported. Its field order is its format.
#[derive(Serialize, Deserialize)]
struct ImportedV3 {
    lookup: [u8; 32],
    /// How the digest in the body was made before it was imported; `None` once the key was digested here.
    scheme: Option<ImportedSchemeV3>,
}

#[derive(Serialize, Deserialize)]
enum ImportedSchemeV3 {
    Sha256,
    Sha512,
    HmacSha256(String),
    Pbkdf2Sha256(Vec<u8>, u32, u8),
}

impl ImportedV3 {
    fn of(record: &KeyRecord) -> Result<Option<Self>, DecodeError> {
        let scheme = match &record.verifier {
            Verifier::Imported { scheme, .. } => Some(match scheme {
                ImportedScheme::Sha256 => ImportedSchemeV3::Sha256,
                ImportedScheme::Sha512 => ImportedSchemeV3::Sha512,
                ImportedScheme::HmacSha256 { key } => ImportedSchemeV3::HmacSha256(key.to_string()),
                ImportedScheme::Pbkdf2Sha256 { salt, iterations, length } => {
                    ImportedSchemeV3::Pbkdf2Sha256(salt.to_vec(), *iterations, *length)
                }
            }),
            _ => None,
        };
        match (record.lookup, scheme) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(DecodeError::Damaged("an imported key has no lookup")),
            (Some(lookup), scheme) => Ok(Some(Self { lookup: *lookup.as_bytes(), scheme })),
        }
    }

    fn write_into(self, record: &mut KeyRecord) -> Result<(), DecodeError> {
        record.lookup = Some(LookupToken::from_bytes(self.lookup));
        let Some(scheme) = self.scheme else { return Ok(()) };
        let Verifier::HmacSha256 { digest } = record.verifier else {
            return Err(DecodeError::Damaged("an imported digest in the place of a slow verifier"));
        };
        let scheme = match scheme {
            ImportedSchemeV3::Sha256 => ImportedScheme::Sha256,
            ImportedSchemeV3::Sha512 => ImportedScheme::Sha512,
            ImportedSchemeV3::HmacSha256(key) => ImportedScheme::HmacSha256 { key: key.into() },
            ImportedSchemeV3::Pbkdf2Sha256(salt, iterations, length) => {
                ImportedScheme::Pbkdf2Sha256 { salt: salt.into(), iterations, length }
            }
        };
        if !scheme.is_in_range() {
            return Err(DecodeError::Damaged("an imported scheme out of range"));
        }
        record.verifier = Verifier::Imported { scheme, digest };
        Ok(())
    }
}

/// A field that is kept encrypted. They stand last in schema version 4, in the order of their names. Its field order is its
/// format.
#[derive(Serialize, Deserialize)]
struct SensitiveV4 {
    name: String,
    entry: [u8; 4],
    bytes: Vec<u8>,
}

fn sensitive_of(record: &KeyRecord) -> Vec<SensitiveV4> {
    let written = |(name, sealed): (&FieldName, &Sealed)| SensitiveV4 {
        name: name.as_str().into(),
        entry: sealed.entry().as_bytes(),
        bytes: sealed.as_bytes().to_vec(),
    };
    record.sensitive.iter().map(written).collect()
}

fn read_sensitive(stored: Vec<SensitiveV4>) -> Result<BTreeMap<FieldName, Sealed>, DecodeError> {
    if stored.is_empty() || stored.len() > MAX_SENSITIVE_FIELDS {
        return Err(DecodeError::Damaged("none or too many sensitive fields"));
    }
    if !stored.is_sorted_by(|a, b| a.name < b.name) {
        return Err(DecodeError::Damaged("the sensitive fields are not in order"));
    }
    let sealed = |SensitiveV4 { name, entry, bytes }| {
        let name = field("sensitive field name", FieldName::new(name))?;
        Ok((name, Sealed::from_parts(EntryId::from_bytes(entry), bytes)))
    };
    stored.into_iter().map(sealed).collect()
}

impl KeyRecord {
    /// Writes the record in the oldest schema version that can hold it.
    ///
    /// # Errors
    /// Never for a record made of checked fields; the encoder's own error otherwise.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let key = &self.key;
        let mut bytes = Vec::with_capacity(320);
        let (fallback, rotation, imported) = (key.limits.fallback, RotationV3::from(self), ImportedV3::of(self)?);
        let has_sensitive = !self.sensitive.is_empty();
        let has_tail = !rotation.is_none() || imported.is_some() || has_sensitive;
        bytes.push(match (fallback, has_tail, has_sensitive) {
            (_, _, true) => WITH_SENSITIVE,
            (_, true, false) => WITH_TAIL,
            (Fallback::Deny, false, false) => WITHOUT_FALLBACK,
            (_, false, false) => WITH_FALLBACK,
        });
        bytes.extend(key.revision.0.to_be_bytes());
        bytes.push(status_byte(key.status.status));
        bytes.extend(key.status.at.timestamp_millis().to_be_bytes());
        let reason = key.status.reason.as_ref().map_or("", Reason::as_str);
        let length = u16::try_from(reason.len()).map_err(|_| DecodeError::Damaged("reason too long"))?;
        bytes.extend(length.to_be_bytes());
        bytes.extend(reason.as_bytes());
        let organization = key.organization.as_str();
        bytes.push(u8::try_from(organization.len()).map_err(|_| DecodeError::Damaged("organization too long"))?);
        bytes.extend(organization.as_bytes());
        let unencodable = |_| DecodeError::Damaged("cannot be encoded");
        let mut bytes = postcard::to_extend(&BodyV1::from(self), bytes).map_err(unencodable)?;
        if fallback != Fallback::Deny || has_tail {
            bytes.push(fallback_byte(fallback));
        }
        if !has_tail {
            return Ok(bytes);
        }
        let bytes = postcard::to_extend(&rotation, bytes).map_err(unencodable)?;
        let bytes = postcard::to_extend(&imported, bytes).map_err(unencodable)?;
        if !has_sensitive {
            return Ok(bytes);
        }
        postcard::to_extend(&sensitive_of(self), bytes).map_err(unencodable)
    }

    /// Reads a record of any schema version written so far.
    ///
    /// # Errors
    /// When the bytes are not such a record. No input makes it panic or allocate beyond a small
    /// multiple of its own size (an empty text is one byte here and 24 in memory).
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let header = HeaderView::read(bytes)?;
        let (body, rest) = postcard::take_from_bytes::<BodyV1>(header.body)
            .map_err(|_| DecodeError::Damaged("the body does not decode"))?;
        let mut record = body.into_record(&header)?;
        let rest = match (header.version, rest) {
            (WITHOUT_FALLBACK, rest) => rest,
            // Each version has one form of what it can hold, and so none for what an older one holds.
            (WITH_FALLBACK, [0, ..]) => return Err(DecodeError::Damaged("unknown fallback")),
            (_, [byte, rest @ ..]) => {
                record.key.limits.fallback = read_fallback(*byte)?;
                rest
            }
            (_, []) => return Err(DecodeError::Damaged("cut short")),
        };
        let rest = if header.version < WITH_TAIL {
            rest
        } else {
            let (rotation, rest) = postcard::take_from_bytes::<RotationV3>(rest)
                .map_err(|_| DecodeError::Damaged("the rotation does not decode"))?;
            let (imported, rest) = postcard::take_from_bytes::<Option<ImportedV3>>(rest)
                .map_err(|_| DecodeError::Damaged("what it is found by does not decode"))?;
            if header.version < WITH_SENSITIVE && rotation.is_none() && imported.is_none() {
                return Err(DecodeError::Damaged("there is nothing behind its fallback"));
            }
            rotation.write_into(&mut record)?;
            imported.map_or(Ok(()), |imported| imported.write_into(&mut record))?;
            rest
        };
        let rest = if header.version < WITH_SENSITIVE {
            rest
        } else {
            let (sensitive, rest) = postcard::take_from_bytes(rest)
                .map_err(|_| DecodeError::Damaged("the sensitive fields do not decode"))?;
            record.keep_sensitive(read_sensitive(sensitive)?);
            rest
        };
        if rest.is_empty() { Ok(record) } else { Err(DecodeError::Damaged("trailing bytes")) }
    }
}

/// 0 is the default, for which version 1 has no byte.
fn fallback_byte(fallback: Fallback) -> u8 {
    match fallback {
        Fallback::Deny => 0,
        Fallback::Open => 1,
        Fallback::LocalShare => 2,
    }
}

fn read_fallback(byte: u8) -> Result<Fallback, DecodeError> {
    match byte {
        0 => Ok(Fallback::Deny),
        1 => Ok(Fallback::Open),
        2 => Ok(Fallback::LocalShare),
        _ => Err(DecodeError::Damaged("unknown fallback")),
    }
}

impl From<&KeyRecord> for BodyV1 {
    fn from(record: &KeyRecord) -> Self {
        let key = &record.key;
        let texts = |set: &ScopeSet| set.iter().map(|scope| scope.as_str().to_owned()).collect();
        let limits = key.limits;
        let first = key.lineage.root == key.id && key.lineage.generation == 0;
        Self {
            id: *key.id.as_bytes(),
            user: key.user.as_str().into(),
            project: key.project.as_ref().map(|project| project.as_str().into()),
            name: key.name.as_str().into(),
            description: key.description.as_str().into(),
            permissions: texts(&key.permissions),
            scopes: texts(&key.scopes),
            grantable: texts(&key.grantable),
            limits: [limits.per_minute, limits.per_hour, limits.per_day, limits.per_month, limits.burst],
            created_at: key.created_at.timestamp_millis(),
            created_by: key.created_by.as_str().into(),
            expires_at: key.expires_at.map(|time| time.timestamp_millis()),
            not_before: key.not_before.map(|time| time.timestamp_millis()),
            tags: key.tags.iter().map(|tag| tag.as_str().into()).collect(),
            allowed_ips: key.allowed_ips.iter().map(CidrV1::from).collect(),
            environment: key.environment.as_str().into(),
            rotation: key.rotation_schedule.map(RotationV1::from),
            tier: match key.security_tier {
                SecurityTier::Standard => 0,
                SecurityTier::High => 1,
            },
            lineage: (!first).then_some((*key.lineage.root.as_bytes(), key.lineage.generation)),
            metadata: key.metadata.to_json(),
            verifier: match &record.verifier {
                // Of an imported key, how it was made stands last in the record.
                Verifier::HmacSha256 { digest } | Verifier::Imported { digest, .. } => VerifierV1::HmacSha256(*digest),
                Verifier::Pbkdf2Sha256 { salt, iterations, output } => {
                    VerifierV1::Pbkdf2Sha256(*salt, *iterations, *output)
                }
            },
            minted_under: record.minted_under.as_bytes(),
            digested_under: record.digested_under.as_bytes(),
        }
    }
}

/// Names the field that a value was refused for.
fn field<T, E: std::fmt::Display>(field: &'static str, value: Result<T, E>) -> Result<T, DecodeError> {
    value.map_err(|problem| DecodeError::Field { field, problem: problem.to_string() })
}

fn time(name: &'static str, millis: i64) -> Result<DateTime<Utc>, DecodeError> {
    field(name, DateTime::from_timestamp_millis(millis).ok_or("out of range"))
}

impl BodyV1 {
    fn into_record(self, header: &HeaderView<'_>) -> Result<KeyRecord, DecodeError> {
        let id = KeyId::from_bytes(self.id);
        let [per_minute, per_hour, per_day, per_month, burst] = self.limits;
        let reason = if header.reason.is_empty() { None } else { Some(field("reason", Reason::new(header.reason))?) };
        let key = Key {
            id,
            revision: header.revision,
            organization: field("organization", OrganizationId::new(header.organization))?,
            user: field("user", UserId::new(self.user))?,
            project: field("project", self.project.map(ProjectId::new).transpose())?,
            name: field("name", KeyName::new(self.name))?,
            description: field("description", Description::new(self.description))?,
            permissions: field("permissions", ScopeSet::parse(self.permissions))?,
            scopes: field("scopes", ScopeSet::parse(self.scopes))?,
            grantable: field("grantable", ScopeSet::parse(self.grantable))?,
            limits: Limits { per_minute, per_hour, per_day, per_month, burst, fallback: Fallback::Deny },
            created_at: time("created_at", self.created_at)?,
            created_by: field("created_by", PrincipalId::new(self.created_by))?,
            expires_at: self.expires_at.map(|millis| time("expires_at", millis)).transpose()?,
            not_before: self.not_before.map(|millis| time("not_before", millis)).transpose()?,
            status: StatusChange {
                status: header.status,
                at: time("status_changed_at", header.status_changed_at)?,
                reason,
            },
            tags: field("tags", self.tags.into_iter().map(Tag::new).collect())?,
            allowed_ips: field("allowed_ips", read_networks(self.allowed_ips))?,
            environment: field("environment", Environment::new(self.environment))?,
            rotation_schedule: self.rotation.map(RotationSchedule::from),
            security_tier: match self.tier {
                0 => SecurityTier::Standard,
                1 => SecurityTier::High,
                _ => return Err(DecodeError::Damaged("unknown security tier")),
            },
            lineage: match self.lineage {
                None => Lineage { root: id, generation: 0 },
                Some((root, generation)) => Lineage { root: KeyId::from_bytes(root), generation },
            },
            succession: Succession::default(),
            metadata: field("metadata", Metadata::from_json(&self.metadata))?,
            sensitive_fields: Vec::new(),
        };
        let verifier = match self.verifier {
            VerifierV1::HmacSha256(digest) => Verifier::HmacSha256 { digest },
            VerifierV1::Pbkdf2Sha256(salt, iterations, output) => {
                // A record is not trusted to choose a trivial count, nor one that stalls a thread for minutes.
                if !(MIN_PBKDF2_ITERATIONS..=MAX_PBKDF2_ITERATIONS).contains(&iterations) {
                    return Err(DecodeError::Damaged("iteration count out of range"));
                }
                Verifier::Pbkdf2Sha256 { salt, iterations, output }
            }
        };
        let (minted_under, digested_under) = (self.minted_under, self.digested_under);
        Ok(KeyRecord::new(key, verifier, EntryId::from_bytes(minted_under), EntryId::from_bytes(digested_under)))
    }
}

fn read_networks(stored: Vec<CidrV1>) -> Result<CidrSet, String> {
    let networks: Result<Vec<Cidr>, String> = stored
        .into_iter()
        .map(|network| {
            let net = match network {
                CidrV1::V4(address, prefix) => ipnet::IpNet::new(address.into(), prefix),
                CidrV1::V6(address, prefix) => ipnet::IpNet::new(address.into(), prefix),
            };
            net.map(Cidr::from).map_err(|error| error.to_string())
        })
        .collect();
    CidrSet::new(networks?).map_err(|error| error.to_string())
}

impl From<&Cidr> for CidrV1 {
    fn from(cidr: &Cidr) -> Self {
        match cidr.as_net() {
            ipnet::IpNet::V4(net) => Self::V4(net.addr().octets(), net.prefix_len()),
            ipnet::IpNet::V6(net) => Self::V6(net.addr().octets(), net.prefix_len()),
        }
    }
}

impl From<RotationSchedule> for RotationV1 {
    fn from(schedule: RotationSchedule) -> Self {
        let RotationSchedule { interval_days, warning_days, auto_rotate, notify_users, overlap_days } = schedule;
        Self { interval_days, warning_days, auto_rotate, notify_users, overlap_days }
    }
}

impl From<RotationV1> for RotationSchedule {
    fn from(stored: RotationV1) -> Self {
        let RotationV1 { interval_days, warning_days, auto_rotate, notify_users, overlap_days } = stored;
        Self { interval_days, warning_days, auto_rotate, notify_users, overlap_days }
    }
}
