//! What a store keeps of the audit, and what it is told to. It knows nothing of what the bytes mean but their [`Header`].

use super::entry::{ActId, Header};
use super::seal;
use crate::ring::EntryId;

/// What an entry is to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It opens an act.
    Intent,
    /// It closes its act, and is kept all the same where that is closed.
    Outcome {
        /// The intent's sequence, where a store may look first; 0 where it is not known.
        intent: u64,
    },
    /// It closes its act, and is not kept where that is closed.
    Reconciled {
        /// The intent's sequence, where a store may look first; 0 where it is not known.
        intent: u64,
    },
    /// It stands for itself.
    Alone,
}

impl Step {
    /// The byte it is written as.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Intent => 0,
            Self::Outcome { .. } => 1,
            Self::Reconciled { .. } => 2,
            Self::Alone => 3,
        }
    }

    /// The step of a byte. Which intent it closes is not written.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Intent),
            1 => Some(Self::Outcome { intent: 0 }),
            2 => Some(Self::Reconciled { intent: 0 }),
            3 => Some(Self::Alone),
            _ => None,
        }
    }

    /// The sequence of the intent that it closes, as far as that is known.
    #[must_use]
    pub fn closes(self) -> Option<u64> {
        match self {
            Self::Outcome { intent } | Self::Reconciled { intent } => Some(intent),
            Self::Intent | Self::Alone => None,
        }
    }
}

/// An entry to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The act.
    pub act: ActId,
    /// What the entry is to the store.
    pub step: Step,
    /// The entry.
    pub bytes: Vec<u8>,
}

/// An entry that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEntry {
    /// Its place.
    pub sequence: u64,
    /// The entry.
    pub bytes: Vec<u8>,
}

impl KeptEntry {
    /// What is written in front of it.
    #[must_use]
    pub fn header(&self) -> Option<Header> {
        Header::read(&self.bytes)
    }
}

/// A seal that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSeal {
    /// The sequence of the last entry under it.
    pub last: u64,
    /// The seal.
    pub bytes: Vec<u8>,
}

impl KeptSeal {
    /// The ring entry it says it was made under.
    #[must_use]
    pub fn ring_entry(&self) -> Option<EntryId> {
        seal::ring_entry_of(&self.bytes)
    }
}

/// An act that was begun, and of which nobody said what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenIntent {
    /// The act.
    pub act: ActId,
    /// The sequence of its intent.
    pub sequence: u64,
}

/// How far the audit of an organization has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditState {
    /// The sequence of the last entry; 0 before the first.
    pub last: u64,
    /// The last seal.
    pub seal: Option<KeptSeal>,
    /// What was left of what is not kept any more.
    pub checkpoint: Option<Vec<u8>>,
    /// The acts that are open and were begun longest ago, at most [`OPEN_AT_ONCE`].
    pub open: Vec<OpenIntent>,
}

/// How many open acts are told at a time.
pub const OPEN_AT_ONCE: usize = 16;
