//! What owners and operators are told of keys, and how it gets to them.
//!
//! A [`Notice`] tells that a key was made, is to be rotated, has a successor, ends, has ended, was not used for long, was
//! deactivated or revoked, has met a limit or is used as it never was, or that an organization or a project was suspended. It is brought to
//! every [`Notifier`] of the program and sent to every [webhook](Webhook) of its organization that asked for its kind.
//!
//! # Once for each cause, and never not at all
//!
//! - **A notice is known by its cause.** Its [id](NoticeId) is a digest of what it tells of: the key and the end that comes,
//!   the rotation, the finding, the write of the organization's record. However many instances find the same, they make the
//!   same notice, and a store keeps one of an id, and remembers for seven days that it was sent.
//! - **Kept before anything is done.** Whoever is about to do something announces it first: the notice is in the store's
//!   *outbox*, and not to be brought yet. Then it is done, and then the notice is said to be true. Where whoever did it stopped
//!   in between, a minute later whoever takes the notice looks up in the records whether it came to pass. So nothing is
//!   done and not told, and nothing is told and not done. Where the look was too early, because the write took longer than a
//!   minute or clocks differ by as much, whoever did it puts the notice anew. What is undone before it is looked up, such as a
//!   deactivation, is then not told. The one exception is whatever stops a key: revocations, deactivations and suspensions
//!   go on where the outbox does not answer within a second, as to stop a key is worth more than to tell of it.
//! - **What comes with time** is due to a record like its rotation (`looked_at` and `look_at` of
//!   [`KeyRecord`](crate::record::KeyRecord)): whoever runs schedules posts the notice, and then writes down, comparing
//!   revisions, until when the record was looked at. A crash between the two posts the same notice again, which the store
//!   knows.
//! - **One instance at a time.** To take a notice out of the outbox is to move its time a minute on. Whoever took it says what
//!   became of it, naming the time it was taken under: one who is too late changes nothing.
//! - **At least once.** An instance that stops after a receiver has answered, and before that is written down, leaves the
//!   notice to be brought again, with the same id. A receiver that does not take a notice is tried again for some three days,
//!   with growing delays that are never quite the same; then the notice is given up, and kept until somebody has it
//!   [sent again](crate::manager::ApiKeyManager::redrive_notices).
//! - **Heard where they are made.** An instance makes notices that its own notifiers or the organization's webhooks hear: what
//!   is done by one without the others' notifiers, such as a command on the store, is not told to those.
//! - **Bounded.** Five thousand notices of an organization [wait](MAX_WAITING) at most, and then as many again for notifiers alone;
//!   beyond, none are kept, which is an error in the log. One thousand are kept that were given up. A webhook that fails is left alone for as long as it has failed, up to an
//!   hour, and one instance sends four notices to a webhook at once, so that none takes the time of others. What is not
//!   tried because of that is given up after the same three days.

mod delivery;
mod event;
mod id;
mod notifier;
mod outgoing;
mod parcel;
mod policy;
mod post;
mod webhook;

pub use delivery::DeliveryRun;
pub use event::{AboutKey, Event, Notice, NoticeKind, NoticeKindError};
pub use id::{NoticeId, NoticeIdError};
pub use notifier::{ChannelNotifier, HandedKey, LogNotifier, NotTaken, Notifier, TIMEOUT};
pub use outgoing::{Failed, Receiver};
pub use parcel::{Fate, MAX_GIVEN_UP, MAX_PARCEL_BYTES, MAX_WAITING, Parcel, Posted, Posting, SENT_KEPT};
pub use policy::{MAX_DAYS, MAX_EXPIRING, NoticePolicy};
pub use post::NoticeStatistics;
pub use webhook::{
    Disabled, MAX_URL_BYTES, MAX_WEBHOOKS, OLD_SECRET_KEPT, Webhook, WebhookId, WebhookIdError, WebhookRecord,
    WebhookSecret, WebhookSender, WebhookUrl,
};

pub(crate) use delivery::within;
pub(crate) use id::Cause;
pub(crate) use outgoing::Outgoing;
pub(crate) use policy::looked_at;
pub(crate) use post::{Announced, Post, Verdict};
