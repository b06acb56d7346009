//! Who did what to which key, and what was refused.
//!
//! Every organization has an *audit*: entries that are numbered from 1 without a gap. An act of whoever manages keys is two of
//! them, the *intent* before it and the *outcome* after it; what is refused before it is begun is one.
//!
//! # No intent, no action
//!
//! - **The intent comes first.** It is in the organization's part of the store before anything is written; where it cannot be
//!   written, the act does not happen and is answered as trouble of the store. The one exception is a revocation, which goes on:
//!   to stop a key that leaked is worth more than to have it written down first, and is written down after it.
//! - **What is done is answered as it was done**, also where the outcome cannot be written. An intent that is open for two minutes
//!   is closed by whoever writes or reads there next, and by a scheduler that goes through all audits: the outcome says that
//!   it was *reconciled*, and `done` where a record shows what only this act can have made, or else `unknown`. An outcome that
//!   comes later still is written beside that. Where an intent was kept and not answered, the act is not done, and is soon closed
//!   as `failed`.
//! - **Once.** A store gives the next number and keeps the entry in one step, and knows a call that is sent again by its act.
//! - **One entry for what is done to many.** A bulk operation, an import or the making of several keys names its keys as items.
//! - **Refusals are bounded.** What anybody can cause as often as they like is written down so often a minute, and the next says
//!   how much was not. A key of another tenant that was asked for stands in the audit of whoever asked.
//!
//! # What shows
//!
//! Behind every entry stands its MAC under the [secret ring](crate::ring) and for its organization, which whoever writes it makes.
//! One whose MAC does not hold is never sealed as genuine and is told as altered for ever, whoever takes seals away before; it is
//! shown to readers as `not_genuine`. That entries are all there, once, and in their order is the seals' to show.
//!
//! A second after something was written, one instance seals it: a *seal* has a tag of each entry under it and the MAC of the seal
//! before it, all keyed by the [secret ring](crate::ring), so that nobody who can write to the store alone can make one. Of two who seal
//! at once one wins, as the store compares the last seal. Where more entries in a row are gone than fit under a seal, the next begins
//! after them, and they are told as removed. A [verification](crate::manager::ApiKeyManager::verify_audit) says which
//! entry was altered, removed, inserted or moved, and which seal is gone or forged. What it cannot show is that the *end* was cut
//! off with its seals, or all of it, and that genuine entries were dropped, repeated or put into another order at an end that is not
//! sealed yet or whose seals were taken away: whoever notes down the [head](AuditHead) of the chain elsewhere, and asks for it
//! again, learns that too. Each new head is logged (`keygate::audit`, at info), so that a log outside of the store is such a
//! place. Nor does it show what is done by somebody who has the secrets. A store that fails over to a replica that was behind
//! loses the newest entries with their seals, and shows it in the same way: by a head.
//!
//! What is older, or more, than the [policy](AuditPolicy) says goes, in whole seals, and leaves a sealed *checkpoint* behind: in a
//! scheduler's minute, and never because somebody reads. Seals and the checkpoint say how many genuine entries and bytes there have
//! been, and only seals that follow one another from the checkpoint on go, so that what somebody makes up counts for nothing. Copies of
//! genuine entries do count, and so do a genuine seal of an end that was cut off and whatever anybody has written down: whoever can
//! write to the store can have older entries go by them. *That* shows: a checkpoint remembers until when entries went because there was too much, and a
//! verification (`cut_short_until`) and `keygate doctor --deep` tell it for as long as these would have been kept by their age; by
//! their age alone they go in silence. What was written down because an act was found open is not counted, as planted open acts
//! bring that about: such entries take room, and stay as long as their age lets them. A seal that is damaged keeps itself and
//! all after it, which is logged as an error. Whoever has claimed the minute goes on
//! through the audits of all organizations, some in each, so that nothing stays open or kept for ever where nothing happens any
//! more. Where all of it is too old, the checkpoint alone is left, and moves to the current ring entry.
//!
//! A ring entry is needed as long as a seal names it, and by what was written under it and is not sealed yet. An entry that is not sealed yet and was made under one that is not configured
//! is sealed by whoever has that, and shown as `ring_entry_missing` to readers who have not; or it is sealed as one of which it is not known whether it is as it was written, as soon as one follows that is
//! known: whoever has the ring entry can still tell, and for all others a verification names the entry, and the ring entry that is
//! missing.

mod action;
mod attest;
mod change;
mod entry;
mod keeper;
mod needs;
mod policy;
mod reconcile;
mod seal;
mod store;
#[cfg(test)]
mod tests;
mod trim;
mod verify;
mod walk;
mod window;

pub use action::{Action, ActionError};
pub use entry::{ActId, ActItem, ActOutcome, ActTarget, AuditEntry, EntryKind, Header, MAX_ENTRY_BYTES, MAX_ITEMS};
pub use policy::{AuditPolicy, MAX_RETENTION_DAYS, MIN_KEPT_BYTES};
pub use seal::{AuditHead, AuditHeadError, SEALED_AT_ONCE, ring_entry_of};
pub use store::{Append, AuditState, KeptEntry, KeptSeal, OPEN_AT_ONCE, OpenIntent, Step};
pub use verify::{AuditFault, AuditVerification, FaultKind, MAX_FAULTS};

pub(crate) use attest::{Attested, attested};
pub(crate) use change::Changes;
pub(crate) use keeper::Keeper;
pub(crate) use needs::{Needs, Unsealed, look_over, unsealed_under};
pub(crate) use seal::Checkpoint;
pub(crate) use verify::Verifier;
