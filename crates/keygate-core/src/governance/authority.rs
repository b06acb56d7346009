//! Those who keep roles elsewhere.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::names::{OrganizationId, UserId};
use crate::patience::at_most;
use crate::scope::ScopeSet;

/// The longest that an answer is believed, whatever it says itself.
pub const MAX_AUTHORITY_AGE: Duration = Duration::from_secs(60 * 60);
/// How long an authority is waited for. A request that needs its answer is then answered with 503.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a user may do, as an authority says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityAnswer {
    /// Keys of the user may do what they were given and this covers. `None` caps nothing.
    pub permissions: Option<ScopeSet>,
    /// How long that may be believed without asking again, [`MAX_AUTHORITY_AGE`] at most. Within it a change there is not
    /// seen: it is no part of the bound within which revocations and changes of roles that are kept here reach everybody.
    pub max_age: Duration,
}

/// Why an authority has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the permission authority has no answer: {0}")]
pub struct AuthorityError(pub String);

/// Knows what users may do, for deployments whose roles are kept elsewhere: a directory, an identity provider. It is asked
/// in the place of the roles that are kept here, for every owner of a key but those of the organization
/// [`system`](OrganizationId::system), whose keys must work when it does not. Whether a user is suspended is kept here.
///
/// One request asks, and all that wait for the same user share its answer. No answer within 5 s, or an error, is trouble: the
/// request is answered with 503; or, where [stale answers](crate::manager::ManagerBuilder::stale_if_error) were opted into, from
/// its last answer, for so long beyond the age that this had. What it said before may be believed for
/// [`DEFAULT_CACHE_TTL`](crate::manager::DEFAULT_CACHE_TTL) at most, whatever age it had.
#[async_trait]
pub trait PermissionAuthority: Debug + Send + Sync + 'static {
    /// What a user of an organization may do now. It may be asked for users that it does not know. Dropping the future
    /// must be harmless.
    ///
    /// # Errors
    /// When it cannot say.
    async fn permissions_of(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<AuthorityAnswer, AuthorityError>;
}

/// Asks an authority, and waits no longer than that is worth. The age is within its bound.
pub(crate) async fn ask(
    authority: &dyn PermissionAuthority,
    organization: &OrganizationId,
    user: &UserId,
) -> Result<AuthorityAnswer, AuthorityError> {
    let asked = at_most(PATIENCE, authority.permissions_of(organization, user)).await;
    let answer = asked.ok_or_else(|| AuthorityError(format!("it took longer than {} s", PATIENCE.as_secs())))??;
    Ok(AuthorityAnswer { max_age: answer.max_age.min(MAX_AUTHORITY_AGE), ..answer })
}
