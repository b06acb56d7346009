//! Answering for services that do not run keygate themselves: whether a key may be used, and why not.

use std::fmt;
use std::ops::ControlFlow;

use chrono::SecondsFormat;
use serde::Serialize;

use super::validate::{Claimed, Origin};
use super::{ApiKeyManager, Inner};
use crate::actor::Actor;
use crate::cache::{Above, Entry, Found, Trouble};
use crate::check::{Check, Subject};
use crate::clock::Tick;
use crate::context::{Admission, RequestContext};
use crate::denial::{Denial, DenialReason};
use crate::key::PresentedKey;
use crate::limiter::policy::Standing;
use crate::limiter::{Charge, Exceeded};
use crate::record::{Key, UserStatus};
use std::sync::Arc;

/// How often a key that changes while it is explained is read again.
const ATTEMPTS: usize = 16;

/// What came of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckVerdict {
    /// It lets the key in.
    Passed,
    /// It does not.
    Failed,
    /// Nothing can be said, because the text is not known to be a key the one who asks may know of.
    NotReached,
}

/// One check of an [`Explanation`]. Its JSON form is that of the management API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// Which.
    pub check: Check,
    /// What came of it.
    pub verdict: CheckVerdict,
    /// The reason a request is denied for, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<DenialReason>,
    /// What was compared with what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What would mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Every check of a key, and what came of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Explanation {
    /// What a request with the key would have been answered.
    pub decision: Result<Admission, Denial>,
    /// The checks, in their order.
    pub checks: Vec<CheckReport>,
}

impl ApiKeyManager {
    /// Decides whether the key may be used for the request, for an actor: a tenant's administrator is told of keys of
    /// its own organization, and of any other that it is no valid key.
    ///
    /// # Errors
    /// The denial, as of [`validate`](Self::validate).
    pub async fn verify(&self, actor: &Actor, text: &str, context: &RequestContext) -> Result<Admission, Denial> {
        let Some(context) = within(actor, context) else { return Err(Denial::new(DenialReason::InvalidKey)) };
        self.validate(text, &context).await.map_err(|denial| match denial.reason() {
            // Not even which key it is, or a key of another organization would be told from one that was deleted.
            DenialReason::InvalidKey => Denial::new(DenialReason::InvalidKey),
            _ => denial,
        })
    }

    /// Runs every check of a key to its end, and says what came of each and what would mend it. Nothing is charged and
    /// nothing is counted. The decision is that of [`verify`](Self::verify).
    ///
    /// # Errors
    /// A denial of reason [`DenialReason::StoreUnavailable`], when the store cannot be asked.
    pub async fn explain(&self, actor: &Actor, text: &str, context: &RequestContext) -> Result<Explanation, Denial> {
        let inner = &*self.inner;
        let text = text.as_bytes();
        let presented = PresentedKey::parse(text).ok();
        if presented.is_none() && !inner.finder.admits(text) {
            return Ok(Explanation::malformed());
        }
        let asked = inner.clock.tick();
        self.open().await.map_err(|_| Denial::store_unavailable())?;
        let claims = match &presented {
            Some(presented) => {
                let minted_under = inner.ring.minted_under(presented);
                let Some(minted_under) = minted_under else { return Ok(Explanation::unknown(actor, Check::Tag)) };
                vec![Claimed::native(presented, minted_under)]
            }
            None => {
                let found = inner.find_imported(text).await.map_err(|_| Denial::store_unavailable())?;
                found.into_iter().map(|id| Claimed { id, text, origin: Origin::Imported }).collect()
            }
        };
        let context = within(actor, context);
        let mut found = Ok(None);
        for claimed in claims {
            if let (Some(context), Ok(None)) = (&context, &found) {
                found = inner.genuine(claimed, asked, context).await;
            }
        }
        if presented.is_none() && matches!(found, Ok(None)) && context.is_some() {
            inner.finds_all_imported().await.map_err(|_| Denial::store_unavailable())?;
        }
        let (Some((entry, above)), Some(context)) = (found.map_err(|_| Denial::store_unavailable())?, context) else {
            return Ok(Explanation::unknown(actor, Check::Secret));
        };
        let user = above.owner().and_then(|owner| owner.value().user.as_ref());
        let left = inner.limits_left(entry.key(), above.view().parents, user).await;
        let left = left.map_err(|error| {
            inner.trouble(Some(entry.key().id), &error);
            Denial::store_unavailable()
        })?;
        Ok(Explanation::of(entry, &above, &context, left, inner))
    }
}

/// The context within the actor's walls; `None` where it is about keys outside of them, as which no key is valid.
fn within(actor: &Actor, context: &RequestContext) -> Option<RequestContext> {
    match (actor.organization(), &context.organization) {
        (Some(own), Some(asked)) if own != asked => None,
        (Some(own), _) => Some(context.clone().within(own.clone())),
        (None, _) => Some(context.clone()),
    }
}

impl Inner {
    /// The key that was presented and what stands above it, if it is one the context may know of.
    async fn genuine(
        &self,
        claimed: Claimed<'_>,
        asked: Tick,
        context: &RequestContext,
    ) -> Result<Option<(Arc<Entry>, Above)>, Trouble> {
        for _ in 0..ATTEMPTS {
            let Found::Key(entry) = self.cache.find(claimed.id, asked, || self.read(claimed.id)).await? else {
                return Ok(None);
            };
            let trouble = |error| self.trouble(Some(claimed.id), &error);
            let above = self.cache.above(&entry, asked).await.map_err(trouble)?;
            let genuine = self.is_genuine(&entry, claimed).await?;
            let now = self.clock.tick();
            if entry.may_decide_under(&above, now, asked) {
                let foreign = context.organization.as_ref().is_some_and(|only| *only != entry.key().organization);
                return Ok((genuine && !foreign).then_some((entry, above)));
            }
        }
        Err(Trouble::Other)
    }
}

impl Explanation {
    /// Whether the key may be used.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.decision.is_ok()
    }

    /// Of a text that has not the form of a key, for which nothing need be asked.
    #[must_use]
    pub fn malformed() -> Self {
        Self::stopped_at(
            Check::Format,
            DenialReason::MalformedKey,
            "It is not of the form prefix_environment_body, or has characters before or after it.",
            "Send the key exactly as it was shown when it was made.",
        )
    }

    /// Of a text that is no key the actor may know of. A tenant is not told whether it is another's key or nobody's.
    fn unknown(actor: &Actor, at: Check) -> Self {
        let (at, detail, remedy) = match (actor.organization(), at) {
            (None, Check::Secret) => (
                at,
                "There is no such key: it was deleted, or is not of the organization asked about.",
                "Make a new key.",
            ),
            (None, _) => (
                Check::Tag,
                "It was not made by this deployment, or a character of it is wrong.",
                "Compare it with the key as it was shown when it was made; see that it is a key of this deployment.",
            ),
            (Some(_), _) => (
                Check::Tag,
                "It is no key of this organization: a character of it is wrong, or it was deleted.",
                "Compare it with the key as it was shown when it was made, or make a new key.",
            ),
        };
        Self::stopped_at(at, DenialReason::InvalidKey, detail, remedy)
    }

    fn stopped_at(at: Check, reason: DenialReason, detail: &str, remedy: &str) -> Self {
        let reached = Check::ALL.iter().position(|check| *check == at).unwrap_or_default();
        let checks = Check::ALL.iter().enumerate().map(|(place, check)| {
            let verdict = match place {
                place if place < reached => CheckVerdict::Passed,
                place if place == reached => CheckVerdict::Failed,
                _ => CheckVerdict::NotReached,
            };
            let of_failed = |text: &str| (verdict == CheckVerdict::Failed).then(|| text.to_owned());
            CheckReport {
                check: *check,
                verdict,
                reason: (verdict == CheckVerdict::Failed).then_some(reason),
                detail: of_failed(detail),
                remedy: of_failed(remedy),
            }
        });
        Self { decision: Err(Denial::new(reason)), checks: checks.collect() }
    }

    fn of(entry: Arc<Entry>, above: &Above, context: &RequestContext, left: Vec<Standing>, inner: &Inner) -> Self {
        let subject = inner.subject(&entry, above.view(), context, inner.clock.now());
        let passed =
            |check| CheckReport { check, verdict: CheckVerdict::Passed, reason: None, detail: None, remedy: None };
        let mut checks: Vec<_> = [Check::Format, Check::Tag, Check::Secret].map(passed).into();
        let mut denial = None;
        let _: ControlFlow<()> = subject.run(|check, outcome| {
            checks.push(match outcome {
                Ok(()) => passed(check),
                Err(failure) => {
                    let (detail, remedy) = account(&subject, check);
                    let reason = failure.reason();
                    denial.get_or_insert(failure);
                    CheckReport {
                        verdict: CheckVerdict::Failed,
                        reason: Some(reason),
                        detail: Some(detail),
                        remedy: Some(remedy.to_owned()),
                        ..passed(check)
                    }
                }
            });
            ControlFlow::Continue(())
        });
        checks.push(match room(left, context.cost) {
            None => passed(Check::Limits),
            Some(exceeded) => {
                let detail = exceeded.violated.iter().map(|violated| {
                    let Standing { policy, remaining, reset } = violated;
                    format!("{remaining} of the {} of {policy} are left for {} s", policy.limit, reset.as_secs() + 1)
                });
                let detail = format!("The request costs {}: {}.", context.cost, listed(detail));
                let remedy = "Wait until the limit is whole again, raise it, or let the request cost less.";
                denial.get_or_insert_with(|| {
                    let wait = exceeded.violated.iter().map(|violated| violated.reset).max().unwrap_or_default();
                    let denial = Denial::new(DenialReason::RateLimitExceeded).for_key(entry.key().id);
                    let denial = if exceeded.is_permanent { denial } else { denial.retry_after(wait) };
                    denial.exceeding(exceeded)
                });
                CheckReport {
                    verdict: CheckVerdict::Failed,
                    reason: Some(DenialReason::RateLimitExceeded),
                    detail: Some(detail),
                    remedy: Some(remedy.to_owned()),
                    ..passed(Check::Limits)
                }
            }
        });
        let decision = denial.map_or_else(|| Ok(Admission::new(Arc::clone(&entry), Charge::default())), Err);
        Self { decision, checks }
    }
}

/// The limits that have no room for a cost, if there are any.
fn room(left: Vec<Standing>, cost: u64) -> Option<Exceeded> {
    let policies = left.iter().map(|standing| standing.policy).collect();
    let violated: Vec<Standing> = left.into_iter().filter(|standing| standing.remaining < cost).collect();
    let is_permanent = violated.iter().any(|standing| standing.policy.limit < cost);
    (!violated.is_empty()).then_some(Exceeded { violated, policies, is_permanent })
}

/// What was compared with what where a check failed, and what would mend it.
fn account(subject: &Subject<'_>, check: Check) -> (String, &'static str) {
    let key: &Key = subject.key;
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map_or_else(|| "never".to_owned(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
    };
    match check {
        // These fail before there is a key to tell of, or are told of elsewhere.
        Check::Format | Check::Tag | Check::Secret | Check::Tenant | Check::Limits => {
            ("There is no such key.".to_owned(), "Make a new key.")
        }
        Check::Organization => {
            (format!("The organization {} is suspended.", key.organization), "Resume the organization.")
        }
        Check::Project => {
            let project = key.project.as_ref().map_or("", |project| project.as_str());
            (format!("The project {project} is suspended."), "Let the project be used again.")
        }
        Check::User => {
            let left = subject.above.owner.is_some_and(|owner| owner.status() == UserStatus::Offboarded);
            let what = if left { "was offboarded" } else { "is suspended" };
            (format!("The user {} {what}.", key.user), "Set the user's status to active, or make a key for another.")
        }
        Check::Status => {
            let since = time(Some(key.status.at));
            let why = key.status.reason.as_ref().map_or_else(String::new, |reason| format!(", for: {reason}"));
            let remedy = match key.status.status {
                crate::record::KeyStatus::Revoked => "Make a new key: a revoked key is never usable again.",
                _ => "Activate the key.",
            };
            (format!("The key is {} since {since}{why}.", key.status.status), remedy)
        }
        Check::NotBefore => {
            (format!("The key begins at {}.", time(key.not_before)), "Wait until it begins, or make another key.")
        }
        Check::Expiry => {
            (format!("The key ended at {}.", time(key.expires_at)), "Give the key a later end, or make another key.")
        }
        Check::Environment => {
            let here = subject.required_environment().map(|environment| environment.to_string()).unwrap_or_default();
            (
                format!("The key is for {} and is used in {here}.", key.environment),
                "Use a key that was made for this environment.",
            )
        }
        Check::ClientAddress => {
            let allowed = listed(key.allowed_ips.iter());
            let from = match subject.context.client_address() {
                Some(address) => format!("The key may be used from {allowed} and is used from {address}."),
                None => format!("The key may be used from {allowed}, and where it is used from is not known."),
            };
            (from, "Add the address to the key's allowed_ips; behind a proxy, see that the proxy is a trusted one.")
        }
        Check::Scopes => {
            let missing = subject.context.scopes().iter().filter(|scope| !key.scopes.covers(scope));
            (
                format!("The key's scopes are {} and do not cover {}.", listed(key.scopes.iter()), listed(missing)),
                "Add what is missing to the key's scopes.",
            )
        }
        Check::Permissions => {
            let asked = || subject.context.permissions().iter();
            if asked().any(|asked| !key.permissions.covers(asked)) {
                let missing = listed(asked().filter(|asked| !key.permissions.covers(asked)));
                let held = listed(key.permissions.iter());
                let detail = format!("The key's permissions are {held} and do not cover {missing}.");
                return (detail, "Add what is missing to the key's permissions.");
            }
            let missing = listed(asked().filter(|asked| !subject.permits(asked)));
            let cap = subject.above.owner.and_then(|owner| owner.cap(subject.above.parents)).unwrap_or_default();
            (
                format!("The roles of its user {} cover {} and not {missing}.", key.user, listed(cap.iter())),
                "Give the user a role that covers what is missing.",
            )
        }
    }
}

fn listed(items: impl Iterator<Item = impl fmt::Display>) -> String {
    let words: Vec<String> = items.map(|item| item.to_string()).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
