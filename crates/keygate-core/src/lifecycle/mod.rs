//! What becomes of a key with time: when it is due to be rotated, and what its rotation makes of it and of its successor.
//!
//! # Rotation
//!
//! A rotation makes a *successor*: a key of its own text that is in all else what its *predecessor* is, the next generation
//! of one [lineage](crate::record::Lineage), whose keys share their limits. Both are good through an *overlap*, at whose end
//! the predecessor ends by itself, as a key does whose time has come.
//!
//! - **Once a generation.** The predecessor is marked as superseded, and its successor is made, in one step of the store
//!   ([`Store::succeed`](crate::store::Store::succeed)) that compares the predecessor's revision. So of all who rotate a key
//!   at once one does, and there is no moment at which neither key is good.
//! - **No room needed.** What was superseded counts against no quota; its successor takes its place.
//! - **No text lost.** The text is in the answer to the one call that made it. Where that was lost, the successor can be
//!   rotated in its turn, while the predecessor is still good. With a *hand-over* the text is kept as well, encrypted under
//!   the secret ring and in the predecessor's record: whoever holds the predecessor may claim it, again and again, until the
//!   successor is used for the first time. That use is written down before the successor is believed from memory, and takes
//!   the kept text away. Who claims after it is refused, and it is reported: two parties hold what one should.
//! - **By itself.** With a schedule that says so a key is rotated when that is [due], by one of all instances that run
//!   schedules, if its holder can claim its successor: a rotation whose new text nobody would ever see waits.
//! - **A leak leaves no overlap.** A rotation without one revokes the predecessor, and hands nothing over.

mod due;
mod rotation;

pub use due::due;
pub use rotation::next_rotation;
pub(crate) use rotation::{check_schedule, succeed};
