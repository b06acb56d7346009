//! Seals: what shows that entries are as they were. Pure functions; the argument is on the front page of the room.
//!
//! A seal in bytes: version, ring entry (4), first and last sequence (8 each), when it was made (8), how many genuine entries
//! there have been up to here and how many bytes of them (8 each), the MAC of the seal before it (32), a tag of each entry (16 each;
//! of one that was gone or not genuine, what says so), the MAC of all that (32). A checkpoint: version, ring entry, the last sequence
//! that is not kept, when it was made, how many genuine entries there have been up to there and how many bytes of them, when the newest
//! seal was made that went before its time, the MAC of the last seal that is not kept, the MAC of all that.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::attest::{Attested, attested};
use super::entry::Header;
use super::store::{KeptEntry, KeptSeal, Step};
use crate::names::OrganizationId;
use crate::ring::{EntryId, RingEntry, SecretRing};

const VERSION: u8 = 1;
/// The most entries under one seal.
pub const SEALED_AT_ONCE: usize = 256;
/// The most bytes of entries under one seal, but for a single entry.
pub(crate) const SEALED_BYTES: usize = 1024 * 1024;

/// What is before the first seal.
pub(crate) const BEFORE_ALL: Mac = [0; 32];

pub(crate) type Mac = [u8; 32];
/// Of an entry that was not there when it was to be sealed, all zeros; of one that was not as it was written, all ones.
type Tag = [u8; 16];

const MISSING: Tag = [0; 16];
const NOT_GENUINE: Tag = [0xff; 16];
const SEAL_HEADER: usize = 1 + 4 + 8 + 8 + 8 + 8 + 8 + 32;
const CHECKPOINT_BYTES: usize = 1 + 4 + 8 + 8 + 8 + 8 + 8 + 32 + 32;

/// What is sealed is told apart from whatever else is sealed under the same key.
const OF_ENTRY: &[u8] = b"keygate/v1 audit entry";
const OF_UNKNOWN: &[u8] = b"keygate/v1 audit entry under an unknown ring entry";
const OF_SEAL: &[u8] = b"keygate/v1 audit seal";
const OF_CHECKPOINT: &[u8] = b"keygate/v1 audit checkpoint";

/// The MAC of parts, so that no two lists of parts are the same bytes.
pub(super) fn mac(ring_entry: &RingEntry, label: &[u8], organization: &OrganizationId, parts: &[&[u8]]) -> Mac {
    let mut all: Vec<&[u8]> = vec![label, organization.as_str().as_bytes()];
    all.extend(parts);
    let lengths: Vec<[u8; 8]> = all.iter().map(|part| (part.len() as u64).to_be_bytes()).collect();
    let framed: Vec<&[u8]> = lengths.iter().zip(all).flat_map(|(length, part)| [&length[..], part]).collect();
    ring_entry.audit(&framed)
}

fn tag(ring_entry: &RingEntry, label: &[u8], organization: &OrganizationId, entry: &[u8]) -> Tag {
    let whole = mac(ring_entry, label, organization, &[entry]);
    std::array::from_fn(|place| whole[place])
}

/// How many genuine entries an audit has had up to a place, and how many bytes of them. It is in seals and in the checkpoint, so that
/// nobody who can write to the store alone has it look like more than genuine entries make up. What only looks up what became of an act
/// is not counted, as whoever plants open acts has it written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Tally {
    fn with(self, entry: &[u8]) -> Self {
        if Header::read(entry).is_some_and(|header| matches!(header.step, Step::Reconciled { .. })) {
            return self;
        }
        Self { entries: self.entries.saturating_add(1), bytes: self.bytes.saturating_add(entry.len() as u64) }
    }

    /// What came after another place.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { entries: self.entries.saturating_sub(earlier.entries), bytes: self.bytes.saturating_sub(earlier.bytes) }
    }
}

/// What a seal is made after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Before {
    /// The MAC of the seal before it.
    pub(crate) mac: Mac,
    /// What that has counted. Of one that is not genuine nothing is believed, and it is counted from there.
    pub(crate) tally: Tally,
    /// The sequence that the next begins with.
    pub(crate) next: u64,
}

impl Before {
    /// Before the first seal.
    pub(crate) const FIRST: Self = Self { mac: BEFORE_ALL, tally: Tally { entries: 0, bytes: 0 }, next: 1 };
}

/// The ring entry that a seal or a checkpoint says it was made under.
#[must_use]
pub fn ring_entry_of(bytes: &[u8]) -> Option<EntryId> {
    let (_, rest) = bytes.split_first()?;
    rest.first_chunk().map(|id| EntryId::from_bytes(*id))
}

/// A place in the chain, which whoever notes it down can ask for later: the sequence of the last entry under a seal, and the seal's
/// MAC. It is written `SEQUENCE:MAC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuditHead {
    /// The sequence.
    pub sequence: u64,
    pub(crate) mac: Mac,
}

impl fmt::Display for AuditHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, data_encoding::HEXLOWER.encode(&self.mac))
    }
}

/// A text that is no place in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a head is written SEQUENCE:MAC: a number, a colon and 64 hexadecimal digits, as a verification shows it")]
pub struct AuditHeadError;

impl FromStr for AuditHead {
    type Err = AuditHeadError;
    fn from_str(text: &str) -> Result<Self, AuditHeadError> {
        let (sequence, mac) = text.split_once(':').ok_or(AuditHeadError)?;
        let mac = data_encoding::HEXLOWER.decode(mac.as_bytes()).ok().and_then(|mac| mac.try_into().ok());
        let head = Self { sequence: sequence.parse().map_err(|_| AuditHeadError)?, mac: mac.ok_or(AuditHeadError)? };
        if head.to_string() == text { Ok(head) } else { Err(AuditHeadError) }
    }
}

impl TryFrom<String> for AuditHead {
    type Error = AuditHeadError;
    fn try_from(text: String) -> Result<Self, AuditHeadError> {
        text.parse()
    }
}

impl From<AuditHead> for String {
    fn from(head: AuditHead) -> Self {
        head.to_string()
    }
}

/// A seal, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) ring_entry: EntryId,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) millis: i64,
    pub(crate) tally: Tally,
    pub(crate) previous: Mac,
    tags: Vec<Tag>,
    pub(crate) mac: Mac,
}

/// What a seal says of one of its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    AsSealed,
    /// It is as it was sealed, by somebody who could not know whether it was as it was written.
    AsSealedUnknown,
    /// It is not there.
    Removed,
    /// It was not there when it was to be sealed.
    RemovedBefore,
    Altered,
    /// It was not as it was written when it was to be sealed.
    AlteredBefore,
    /// It is another of the same seal.
    Moved,
}

impl Seal {
    /// Seals a run of entries up to `last`, which follow one another but for those that are missing. Of those that are not as they
    /// were written it says so, for ever; of those under a ring entry that is not configured here, that it is not known.
    pub(crate) fn make(
        ring: &SecretRing,
        organization: &OrganizationId,
        before: Before,
        last: u64,
        entries: &[KeptEntry],
        now: DateTime<Utc>,
    ) -> KeptSeal {
        let (under, first) = (ring.current(), before.next);
        let (mut tally, mut tags) = (before.tally, Vec::new());
        let mut entries = entries.iter().peekable();
        for sequence in first..=last {
            let Some(entry) = entries.next_if(|entry| entry.sequence == sequence) else {
                tags.extend(MISSING);
                continue;
            };
            match attested(ring, organization, &entry.bytes) {
                Attested::Genuine => {
                    tally = tally.with(&entry.bytes);
                    tags.extend(tag(under, OF_ENTRY, organization, &entry.bytes));
                }
                Attested::RingEntryMissing(_) => tags.extend(tag(under, OF_UNKNOWN, organization, &entry.bytes)),
                Attested::Forged => tags.extend(NOT_GENUINE),
            }
        }
        let mut bytes = vec![VERSION];
        bytes.extend(under.id().as_bytes());
        bytes.extend(first.to_be_bytes());
        bytes.extend(last.to_be_bytes());
        bytes.extend(now.timestamp_millis().to_be_bytes());
        bytes.extend(tally.entries.to_be_bytes());
        bytes.extend(tally.bytes.to_be_bytes());
        bytes.extend(before.mac);
        bytes.extend(tags);
        let mac = mac(under, OF_SEAL, organization, &[&bytes]);
        bytes.extend(mac);
        KeptSeal { last, bytes }
    }

    /// Reads a seal, without asking whether it is genuine.
    pub(crate) fn read(kept: &KeptSeal) -> Option<Self> {
        let (version, rest) = kept.bytes.split_first()?;
        let (ring_entry, rest) = rest.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (last, rest) = rest.split_first_chunk()?;
        let (millis, rest) = rest.split_first_chunk()?;
        let (counted, rest) = rest.split_first_chunk()?;
        let (counted_bytes, rest) = rest.split_first_chunk()?;
        let (previous, rest) = rest.split_first_chunk()?;
        let (tags, mac) = rest.split_last_chunk()?;
        let (first, last) = (u64::from_be_bytes(*first), u64::from_be_bytes(*last));
        let entries = last.checked_sub(first).and_then(|more| more.checked_add(1))?;
        let tags: Vec<Tag> = tags.chunks(16).map(|tag| tag.try_into().ok()).collect::<Option<_>>()?;
        let is_known = *version == VERSION
            && first > 0
            && tags.len() as u64 == entries
            && tags.len() <= SEALED_AT_ONCE
            && kept.last == last;
        is_known.then(|| Self {
            ring_entry: EntryId::from_bytes(*ring_entry),
            first,
            last,
            millis: i64::from_be_bytes(*millis),
            tally: Tally { entries: u64::from_be_bytes(*counted), bytes: u64::from_be_bytes(*counted_bytes) },
            previous: *previous,
            tags,
            mac: *mac,
        })
    }

    /// Whether a seal was made by somebody who has this ring entry's secret, for this organization.
    pub(crate) fn is_genuine(kept: &KeptSeal, under: &RingEntry, organization: &OrganizationId) -> bool {
        let Some((sealed, own)) = kept.bytes.split_last_chunk::<32>() else { return false };
        sealed.len() >= SEAL_HEADER && mac(under, OF_SEAL, organization, &[sealed]).ct_eq(own).into()
    }

    /// What it says of an entry in its midst, by the bytes that are there.
    pub(crate) fn look_at(
        &self,
        under: &RingEntry,
        organization: &OrganizationId,
        sequence: u64,
        there: Option<&[u8]>,
    ) -> Found {
        let place = sequence.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let Some(sealed) = place.and_then(|place| self.tags.get(place)) else { return Found::Altered };
        if *sealed == NOT_GENUINE {
            return Found::AlteredBefore;
        }
        let Some(there) = there else {
            return if *sealed == MISSING { Found::RemovedBefore } else { Found::Removed };
        };
        let found = tag(under, OF_ENTRY, organization, there);
        let unknown = tag(under, OF_UNKNOWN, organization, there);
        if found.ct_eq(sealed).into() {
            Found::AsSealed
        } else if unknown.ct_eq(sealed).into() {
            Found::AsSealedUnknown
        } else if self.tags.contains(&found) || self.tags.contains(&unknown) {
            Found::Moved
        } else {
            Found::Altered
        }
    }

    pub(crate) fn head(&self) -> AuditHead {
        AuditHead { sequence: self.last, mac: self.mac }
    }

    /// What the next seal is made after; nothing is counted up to here where it is not known to be genuine.
    pub(crate) fn then(&self, is_genuine: bool) -> Before {
        let tally = if is_genuine { self.tally } else { Tally::default() };
        Before { mac: self.mac, tally, next: self.last.saturating_add(1) }
    }
}

/// What is left of entries that are not kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) ring_entry: EntryId,
    /// The last sequence that is not kept.
    pub(crate) through: u64,
    pub(crate) millis: i64,
    /// What was counted up to there.
    pub(crate) tally: Tally,
    /// When the newest seal was made that went because there was too much, before its time; [`NEVER`] where none did.
    pub(crate) cut_short: i64,
    /// The MAC of the last seal that is not kept.
    pub(crate) trimmed: Mac,
}

/// Where nothing went before its time.
pub(crate) const NEVER: i64 = i64::MIN;

impl Checkpoint {
    pub(crate) fn make(
        ring: &SecretRing,
        organization: &OrganizationId,
        trimmed: &AuditHead,
        tally: Tally,
        cut_short: i64,
        now: DateTime<Utc>,
    ) -> Vec<u8> {
        let under = ring.current();
        let mut bytes = vec![VERSION];
        bytes.extend(under.id().as_bytes());
        bytes.extend(trimmed.sequence.to_be_bytes());
        bytes.extend(now.timestamp_millis().to_be_bytes());
        bytes.extend(tally.entries.to_be_bytes());
        bytes.extend(tally.bytes.to_be_bytes());
        bytes.extend(cut_short.to_be_bytes());
        bytes.extend(trimmed.mac);
        let mac = mac(under, OF_CHECKPOINT, organization, &[&bytes]);
        bytes.extend(mac);
        bytes
    }

    /// Reads a checkpoint, without asking whether it is genuine.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (ring_entry, rest) = rest.split_first_chunk()?;
        let (through, rest) = rest.split_first_chunk()?;
        let (millis, rest) = rest.split_first_chunk()?;
        let (counted, rest) = rest.split_first_chunk()?;
        let (counted_bytes, rest) = rest.split_first_chunk()?;
        let (cut_short, rest) = rest.split_first_chunk()?;
        let (trimmed, rest) = rest.split_first_chunk()?;
        (*version == VERSION && rest.len() == 32).then(|| Self {
            ring_entry: EntryId::from_bytes(*ring_entry),
            through: u64::from_be_bytes(*through),
            millis: i64::from_be_bytes(*millis),
            tally: Tally { entries: u64::from_be_bytes(*counted), bytes: u64::from_be_bytes(*counted_bytes) },
            cut_short: i64::from_be_bytes(*cut_short),
            trimmed: *trimmed,
        })
    }

    pub(crate) fn is_genuine(bytes: &[u8], under: &RingEntry, organization: &OrganizationId) -> bool {
        let Some((sealed, own)) = bytes.split_last_chunk::<32>() else { return false };
        bytes.len() == CHECKPOINT_BYTES && mac(under, OF_CHECKPOINT, organization, &[sealed]).ct_eq(own).into()
    }

    /// Reads a checkpoint that is genuine.
    pub(crate) fn genuine(ring: &SecretRing, organization: &OrganizationId, bytes: &[u8]) -> Option<Self> {
        let checkpoint = Self::read(bytes)?;
        let under = ring.entry(checkpoint.ring_entry)?;
        Self::is_genuine(bytes, under, organization).then_some(checkpoint)
    }

    /// The last sequence that is not kept, as a genuine checkpoint says: 0 where there is none.
    pub(crate) fn through(ring: &SecretRing, organization: &OrganizationId, bytes: Option<&[u8]>) -> u64 {
        let genuine = bytes.and_then(|bytes| Self::genuine(ring, organization, bytes));
        genuine.map_or(0, |checkpoint| checkpoint.through)
    }

    /// Until when entries are not kept, because there was too much, that would still be kept by their age.
    pub(crate) fn cut_short_until(&self, too_old: DateTime<Utc>) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.cut_short).filter(|until| self.cut_short != NEVER && *until >= too_old)
    }

    pub(crate) fn head(&self) -> AuditHead {
        AuditHead { sequence: self.through, mac: self.trimmed }
    }
}

/// How many of these entries go under one seal.
pub(crate) fn run_of(entries: &[KeptEntry]) -> usize {
    let mut bytes = 0;
    let fits = entries.iter().take(SEALED_AT_ONCE).take_while(|entry| {
        bytes += entry.bytes.len();
        bytes <= SEALED_BYTES
    });
    fits.count().max(1).min(entries.len())
}
