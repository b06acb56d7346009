//! The webhooks of an organization: where its notices are sent, and by which secrets they are signed.

use std::collections::BTreeSet;
use std::fmt::{self, Debug};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::event::{Notice, NoticeKind};
use super::notifier::NotTaken;
use crate::hex_id::hex_id;
use crate::names::{NameError, OrganizationId, PrincipalId};
use crate::record::Revision;
use crate::ring::{EntryId, SealError, Sealed, SecretRing};
use crate::store::MemoName;

/// The most webhooks of an organization.
pub const MAX_WEBHOOKS: usize = 10;
/// The most bytes of a webhook's address.
pub const MAX_URL_BYTES: usize = 2048;
/// How long the secret before the last one signs too, so that a receiver can change over.
pub const OLD_SECRET_KEPT: TimeDelta = TimeDelta::hours(24);
/// The most secrets before the last one that sign too.
const MAX_OLD_SECRETS: usize = 4;
const SECRET_PREFIX: &str = "whsec_";

/// The id of a webhook, `wh_` and thirty-two hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookId([u8; 16]);

impl WebhookId {
    pub(crate) fn fresh() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The id that stands for a name.
    pub(crate) fn of(name: &MemoName) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&name.as_bytes()[..16]);
        Self(bytes)
    }
}

/// A text is no id of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a webhook's id must be wh_ and 32 hexadecimal digits in lower case")]
pub struct WebhookIdError;

hex_id!(WebhookId, WebhookIdError, "wh_");

/// Where a webhook is: an absolute `https` or `http` address of visible ASCII characters, at most [`MAX_URL_BYTES`]. Whether
/// anything is sent there is for the [sender](WebhookSender) to say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookUrl(String);

impl WebhookUrl {
    /// Takes the text as it is.
    ///
    /// # Errors
    /// When it is no such address.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        if text.len() > MAX_URL_BYTES {
            return Err(NameError::new("url", format!("must be at most {MAX_URL_BYTES} bytes")));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NameError::new("url", "must be of visible ASCII characters: encode others as %XX"));
        }
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Err(NameError::new("url", "must begin with https:// and a host"));
        }
        Ok(Self(text))
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for WebhookUrl {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<WebhookUrl> for String {
    fn from(url: WebhookUrl) -> Self {
        url.0
    }
}

/// What a webhook's notices are signed with, as the [Standard Webhooks](https://www.standardwebhooks.com) have it: `whsec_`
/// and the base64 of 24 to 64 bytes. `Debug` does not show it.
#[derive(Clone)]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

impl WebhookSecret {
    fn fresh() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new(vec![0; 32]);
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Its bytes, the key of the signature.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text to hand to whoever receives.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{SECRET_PREFIX}{}", STANDARD.encode(&*self.0)))
    }
}

impl Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

/// Where notices of an organization are sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Where it is.
    pub url: WebhookUrl,
    /// Of what it is told; of everything where this is empty.
    pub events: Vec<NoticeKind>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who made it.
    pub created_by: PrincipalId,
    /// Since when, and why, nothing is sent there any more.
    #[serde(default)]
    pub disabled: Option<Disabled>,
    secret: Sealed,
    /// Those before it, the oldest first, and until when they sign.
    #[serde(default)]
    old_secrets: Vec<(Sealed, DateTime<Utc>)>,
}

/// That nothing is sent to a webhook any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Disabled {
    /// Since when.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

impl Webhook {
    /// A webhook with a secret of its own, which is to be handed to whoever receives there, and is not shown again.
    pub(crate) fn new(
        ring: &SecretRing,
        organization: &OrganizationId,
        id: WebhookId,
        url: WebhookUrl,
        events: Vec<NoticeKind>,
        created_at: DateTime<Utc>,
        created_by: PrincipalId,
    ) -> Result<(Self, WebhookSecret), SealError> {
        let secret = WebhookSecret::fresh()?;
        let sealed = ring.seal(&purpose(organization, id), secret.as_bytes())?;
        let webhook =
            Self { id, url, events, created_at, created_by, disabled: None, secret: sealed, old_secrets: Vec::new() };
        Ok((webhook, secret))
    }

    /// Whether notices of this kind are sent there.
    #[must_use]
    pub fn hears(&self, kind: NoticeKind) -> bool {
        self.disabled.is_none() && (kind == NoticeKind::Test || self.events.is_empty() || self.events.contains(&kind))
    }

    /// Gives it another secret, beside which those before sign for [`OLD_SECRET_KEPT`]: all of them, because whoever renews it
    /// again may have lost the last one on its way. It is told of notices again.
    pub(crate) fn renew_secret(
        &mut self,
        ring: &SecretRing,
        organization: &OrganizationId,
        now: DateTime<Utc>,
    ) -> Result<WebhookSecret, SealError> {
        let secret = WebhookSecret::fresh()?;
        let sealed = ring.seal(&purpose(organization, self.id), secret.as_bytes())?;
        let old = std::mem::replace(&mut self.secret, sealed);
        // One that cannot be opened signs nothing.
        let opens = ring.open(&purpose(organization, self.id), &old).is_ok();
        self.old_secrets.retain(|(_, until)| now < *until);
        // The oldest is the one that a receiver has.
        self.old_secrets.truncate(MAX_OLD_SECRETS - 1);
        self.old_secrets.extend(opens.then_some((old, now + OLD_SECRET_KEPT)));
        self.disabled = None;
        Ok(secret)
    }

    /// What is signed with now, the newest first.
    pub(super) fn secrets(
        &self,
        ring: &SecretRing,
        organization: &OrganizationId,
        now: DateTime<Utc>,
    ) -> Result<Vec<WebhookSecret>, SealError> {
        let old = self.old_secrets.iter().rev().filter(|(_, until)| now < *until).map(|(sealed, _)| sealed);
        let purpose = purpose(organization, self.id);
        let open = |sealed| ring.open(&purpose, sealed).map(WebhookSecret);
        std::iter::once(&self.secret).chain(old).map(open).collect()
    }

    /// Whether all that it signs with is sealed under this entry.
    pub(super) fn is_sealed_under(&self, entry: EntryId) -> bool {
        let old = self.old_secrets.iter().map(|(old, _)| old);
        std::iter::once(&self.secret).chain(old).all(|sealed| sealed.entry() == entry)
    }

    /// Seals its secrets under the ring's current entry, and lets go of one that does not sign any more. One that cannot be
    /// opened stays as it is: it is renewed by whoever manages the webhook, who must not be kept from that.
    pub(crate) fn reseal(&mut self, ring: &SecretRing, organization: &OrganizationId, now: DateTime<Utc>) {
        self.old_secrets.retain(|(_, until)| now < *until);
        let (id, purpose) = (self.id, purpose(organization, self.id));
        let old = self.old_secrets.iter_mut().map(|(old, _)| old);
        for sealed in std::iter::once(&mut self.secret).chain(old) {
            if sealed.entry() == ring.current_id() {
                continue;
            }
            match ring.open(&purpose, sealed).and_then(|secret| ring.seal(&purpose, &secret)) {
                Ok(resealed) => *sealed = resealed,
                Err(error) => {
                    tracing::error!(target: "keygate::notice", webhook_id = %id, %error, "a webhook's secret is lost");
                }
            }
        }
    }
}

/// What a webhook's secret is sealed for.
fn purpose(organization: &OrganizationId, id: WebhookId) -> Vec<u8> {
    [&b"keygate/v1 webhook"[..], &id.0, organization.as_str().as_bytes()].concat()
}

/// The webhooks of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookRecord {
    /// The organization.
    #[serde(rename = "organization_id")]
    pub organization: OrganizationId,
    /// Counts its writes.
    pub revision: Revision,
    /// At most [`MAX_WEBHOOKS`].
    pub webhooks: Vec<Webhook>,
}

impl WebhookRecord {
    /// That of an organization that has none.
    #[must_use]
    pub fn new(organization: OrganizationId) -> Self {
        Self { organization, revision: Revision::FIRST, webhooks: Vec::new() }
    }

    /// The ring entries that what signs now is sealed under, each as often as there are webhooks that need it.
    #[must_use]
    pub fn ring_entries(&self, now: DateTime<Utc>) -> Vec<EntryId> {
        let entries = self.webhooks.iter().flat_map(|webhook| {
            let old = webhook.old_secrets.iter().filter(|(_, until)| now < *until).map(|(old, _)| old.entry());
            BTreeSet::from_iter(std::iter::once(webhook.secret.entry()).chain(old))
        });
        entries.collect()
    }

    /// Whether notices of this kind are sent to one of them.
    #[must_use]
    pub fn hears(&self, kind: NoticeKind) -> bool {
        self.webhooks.iter().any(|webhook| webhook.hears(kind))
    }
}

/// Sends notices to webhooks. `keygate-webhooks` has one.
#[async_trait]
pub trait WebhookSender: Debug + Send + Sync + 'static {
    /// Says whether anything would be sent to an address, as far as can be told without asking the network.
    ///
    /// # Errors
    /// When not.
    fn check(&self, url: &WebhookUrl) -> Result<(), NameError>;

    /// Sends a notice to an address, signed with each of the secrets. It is given up after [`TIMEOUT`](super::TIMEOUT).
    ///
    /// # Errors
    /// When it was not taken there.
    async fn send(&self, url: &WebhookUrl, secrets: &[WebhookSecret], notice: &Notice) -> Result<(), NotTaken>;
}
