//! Which keys of an organization are meant: the filters of `keygate keys list` and `keygate keys bulk`.

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use keygate::manager::KeyFilter;
use keygate::names::{Environment, ProjectId, Tag, UserId};
use keygate::record::KeyState;

use super::SettingArgs;
use super::values::{day_or_time, key_states, life, whole_days};
use crate::failure::Failure;

/// Which keys are meant. All that is said must be so of a key.
#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    /// Those of this user
    #[arg(long, value_name = "ID")]
    user: Option<UserId>,
    /// Those of this project
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// Those with this tag
    #[arg(long)]
    tag: Option<Tag>,
    /// Those in this state
    #[arg(long, value_name = "STATE", value_parser = key_states())]
    status: Option<KeyState>,
    /// Those that end within this time, such as 7d
    #[arg(long, value_name = "TIME", value_parser = life)]
    expiring_within: Option<TimeDelta>,
    /// Those that were made before so long and not used since, such as 30d; a part of a day is a day
    #[arg(long, value_name = "TIME", value_parser = life)]
    unused_for: Option<TimeDelta>,
    /// Those that were made before this: a day of UTC such as 2026-11-01, or a time as in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = day_or_time)]
    made_before: Option<DateTime<Utc>>,
}

impl FilterArgs {
    /// The filter that they make, with the environment that `--environment` names.
    pub(crate) fn filter(&self, settings: &SettingArgs) -> Result<KeyFilter, Failure> {
        let Self { user, project, tag, status, expiring_within, unused_for, made_before } = self;
        let environment = settings.environment.as_ref().map(Environment::new).transpose();
        let mut filter = KeyFilter::default();
        filter.user.clone_from(user);
        filter.project.clone_from(project);
        filter.tag.clone_from(tag);
        filter.state = *status;
        filter.environment = environment.map_err(|error| Failure::usage(format!("--environment: {error}")))?;
        filter.expiring_within = *expiring_within;
        filter.made_before = *made_before;
        // The API counts in days: so does the store, that both answer the same.
        filter.unused_for = unused_for.map(|time| TimeDelta::days(whole_days(time)));
        Ok(filter)
    }
}
