//! Which keys of an organization are meant: those that a list has, or that something is done to.

use chrono::TimeDelta;
use keygate_core::manager::{Cursor, KeyFilter, MAX_EXPIRY_DAYS};
use keygate_core::names::{Environment, ProjectId, Tag, UserId};
use keygate_core::record::KeyState;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::fields::Time;
use crate::problem::Problem;
use crate::routes::paging;
use crate::schema::{EnvironmentShape, KeyStateShape, ProjectIdShape, TagShape, UserIdShape};

/// Which keys of an organization are meant, newest first. All that is said must be so of a key.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[schema(as = KeyFilter)]
pub(super) struct Which {
    /// Only those in this state.
    #[param(value_type = Option<KeyStateShape>)]
    #[schema(value_type = Option<KeyStateShape>)]
    status: Option<KeyState>,
    /// Only those of this user.
    #[param(value_type = Option<UserIdShape>)]
    #[schema(value_type = Option<UserIdShape>)]
    user_id: Option<UserId>,
    /// Only those of this project.
    #[param(value_type = Option<ProjectIdShape>)]
    #[schema(value_type = Option<ProjectIdShape>)]
    project_id: Option<ProjectId>,
    /// Only those with this tag.
    #[param(value_type = Option<TagShape>)]
    #[schema(value_type = Option<TagShape>)]
    tag: Option<Tag>,
    /// Only those for this environment.
    #[param(value_type = Option<EnvironmentShape>)]
    #[schema(value_type = Option<EnvironmentShape>)]
    environment: Option<Environment>,
    /// Only those that end within so many days, and have neither ended nor been revoked yet.
    #[param(minimum = 1, maximum = 36_500)]
    #[schema(minimum = 1, maximum = 36_500)]
    expiring_within_days: Option<u32>,
    /// Only those that were made at least so many days ago, and not used since, not even in vain.
    #[param(minimum = 1, maximum = 36_500)]
    #[schema(minimum = 1, maximum = 36_500)]
    unused_for_days: Option<u32>,
    /// Only those that were made before this.
    #[param(value_type = Option<String>, format = DateTime)]
    #[schema(value_type = Option<String>, format = DateTime)]
    made_before: Option<Time>,
    /// How many keys are to be on a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    #[schema(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Where the page begins: the `next_cursor` of the one before.
    cursor: Option<String>,
}

impl Which {
    /// The filter, how many keys are to be on a page, and where the page begins.
    pub(super) fn read(self) -> Result<(KeyFilter, usize, Option<Cursor>), Problem> {
        let limit = paging::length(self.limit)?;
        let mut filter = KeyFilter::default();
        filter.state = self.status;
        filter.user = self.user_id;
        filter.project = self.project_id;
        filter.tag = self.tag;
        filter.environment = self.environment;
        filter.expiring_within = within("expiring_within_days", self.expiring_within_days)?;
        filter.unused_for = within("unused_for_days", self.unused_for_days)?;
        filter.made_before = self.made_before.map(|Time(time)| time);
        Ok((filter, limit, paging::begin(self.cursor)?))
    }
}

/// So many days, as this parameter says.
fn within(name: &str, days: Option<u32>) -> Result<Option<TimeDelta>, Problem> {
    if days.is_some_and(|days| !(1..=MAX_EXPIRY_DAYS).contains(&days)) {
        return Err(Problem::invalid(format!("{name}: must be 1 to {MAX_EXPIRY_DAYS}")));
    }
    Ok(days.map(|days| TimeDelta::days(days.into())))
}
