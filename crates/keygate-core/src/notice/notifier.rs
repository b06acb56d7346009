//! Whom a program hands notices to.

use std::fmt::{self, Debug};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::event::Notice;
use super::outgoing::Again;
use crate::key::{KeyId, KeyText};
use crate::names::{OrganizationId, UserId};

/// Brings notices to somebody: by mail, in a chat, to a queue. A notice that was taken is not brought again by any instance;
/// one that was not is tried again for some three days. One that was taken by an instance that then stopped may be brought
/// twice: its [id](Notice::id) is the same.
///
/// All instances of a deployment are to have the same notifiers, as any of them may bring any notice.
#[async_trait]
pub trait Notifier: Debug + Send + Sync + 'static {
    /// What this notifier is known by, which must stay the same and be no other's: what is on its way names it.
    fn name(&self) -> &str;

    /// Takes a notice. It is given up after [`TIMEOUT`] and tried again, so what is long is better only begun here. Dropping
    /// the future must be safe.
    ///
    /// # Errors
    /// When it was not taken.
    async fn notify(&self, notice: &Notice) -> Result<(), NotTaken>;

    /// Whether it takes the text of keys that are rotated by themselves, for owners who do not claim them. By default it
    /// takes none.
    fn takes_keys(&self) -> bool {
        false
    }

    /// Takes a key's new text *before* the key is rotated to it, to bring it to its owner. The rotation happens only if this
    /// says that it was taken. It may not come about all the same, as where an instance stops between the two: the key is
    /// then handed another text a little later, and the last that is handed is the good one.
    ///
    /// # Errors
    /// When it was not taken: the rotation waits.
    async fn take_key(&self, handed: &HandedKey) -> Result<(), NotTaken> {
        let _ = handed;
        Err(NotTaken::for_good("this notifier takes no keys"))
    }
}

/// How long a receiver has to take a notice.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// A key's new text, on its way to its owner.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HandedKey {
    /// The key that is to be rotated.
    pub old_key_id: KeyId,
    /// The key that is to replace it.
    pub new_key_id: KeyId,
    /// The new text. `Debug` does not show it.
    pub text: KeyText,
    /// The tenant.
    pub organization_id: OrganizationId,
    /// The owner.
    pub user_id: UserId,
    /// Until when the old text will be good.
    pub overlap_expires_at: DateTime<Utc>,
}

/// Why something was not taken, and whether it is to be tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotTaken {
    reason: String,
    retry: Retry,
}

/// Whether something is to be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    Later(Option<Duration>),
    Never,
    Gone,
}

impl NotTaken {
    /// It is to be tried again later. The reason is shown to whoever manages the organization.
    pub fn for_now(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retry: Retry::Later(None) }
    }

    /// It is to be tried again, but not before so long; an hour at most is heard.
    pub fn for_at_least(reason: impl Into<String>, pause: Duration) -> Self {
        Self { reason: reason.into(), retry: Retry::Later(Some(pause)) }
    }

    /// It will never be taken.
    pub fn for_good(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retry: Retry::Never }
    }

    /// Nothing will ever be taken there again: a webhook is disabled.
    pub fn gone(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retry: Retry::Gone }
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether nothing will ever be taken there again.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.retry == Retry::Gone
    }

    pub(super) fn again(&self) -> Again {
        match self.retry {
            Retry::Later(None) => Again::Backoff,
            Retry::Later(Some(pause)) => Again::After(pause),
            Retry::Never | Retry::Gone => Again::Never,
        }
    }
}

/// Writes notices in the log, each as an event of `tracing` with the target `keygate::notice`.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogNotifier;

#[async_trait]
impl Notifier for LogNotifier {
    fn name(&self) -> &str {
        "log"
    }

    async fn notify(&self, notice: &Notice) -> Result<(), NotTaken> {
        tracing::info!(
            target: "keygate::notice",
            notice_id = %notice.id,
            organization_id = %notice.organization_id,
            payload = %notice.payload(),
            "{}",
            notice.kind()
        );
        Ok(())
    }
}

/// Hands notices to a channel of this process. One that is full is tried again; where nobody receives any more, they are given
/// up. What is in the channel when the process ends is lost: for what must not be, write a [`Notifier`].
pub struct ChannelNotifier {
    name: String,
    sender: mpsc::Sender<Notice>,
}

impl ChannelNotifier {
    /// A notifier of this name, and the end of the channel at which up to `room` notices wait, at least one.
    #[must_use]
    pub fn new(name: impl Into<String>, room: usize) -> (Self, mpsc::Receiver<Notice>) {
        let (sender, receiver) = mpsc::channel(room.max(1));
        (Self { name: name.into(), sender }, receiver)
    }
}

impl Debug for ChannelNotifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelNotifier").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Notifier for ChannelNotifier {
    fn name(&self) -> &str {
        &self.name
    }

    async fn notify(&self, notice: &Notice) -> Result<(), NotTaken> {
        self.sender.try_send(notice.clone()).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotTaken::for_now("the channel is full"),
            mpsc::error::TrySendError::Closed(_) => NotTaken::for_good("nobody receives from the channel"),
        })
    }
}
