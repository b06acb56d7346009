//! `keygate usage`: its flags, and what they ask for.

use chrono::{DateTime, Months, TimeDelta, Utc};
use clap::{ArgGroup, Args};
use keygate::key::KeyId;
use keygate::names::{OrganizationId, ProjectId, UserId};
use keygate::usage::period::Granularity;
use keygate::usage::report::UsageQuery;
use keygate::usage::subject::Subject;

use super::values::{KeyIdParser, day_or_time, granularities, life, organization};

const EXAMPLES: &str = "\
Examples:
  keygate usage 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f
  keygate usage 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --last 24h
  keygate usage --org acme --from 2026-11-01 --to 2026-12-01
  keygate usage --org acme --user bob --by month
  keygate usage --org acme --last 1y --csv > acme.csv
  keygate usage --org acme --json | jq '.breakdown.by_outcome'

Hours are kept for 8 days, days for 400, months for 36, and what became of
requests for 35 days. The chart is drawn in ASCII on a terminal that does not
say that it takes UTF-8 (LC_ALL, LC_CTYPE or LANG), and in blocks elsewhere.";

/// The longest time that is shown by the hour, and the longest by the day, if nobody says by what.
const BY_HOUR: TimeDelta = TimeDelta::hours(48);
const BY_DAY: TimeDelta = TimeDelta::days(92);
/// A month, as times for people have it: a twelfth of 365.25 days.
const MONTH: TimeDelta = TimeDelta::seconds(2_629_800);

/// `keygate usage`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("subject").required(true).args(["id", "org"]))]
pub(crate) struct UsageArgs {
    /// The key's id: not the key itself, which is secret
    #[arg(value_name = "KEY_ID", value_parser = KeyIdParser)]
    id: Option<KeyId>,
    /// In the place of a key: all keys of this organization together, and which of them were used most
    #[arg(long, value_name = "ID", value_parser = organization)]
    org: Option<OrganizationId>,
    /// With --org: the keys of this user alone
    #[arg(long, value_name = "ID", requires = "org", conflicts_with_all = ["id", "project"])]
    user: Option<UserId>,
    /// With --org: the keys of this project alone
    #[arg(long, value_name = "ID", requires = "org", conflicts_with = "id")]
    project: Option<ProjectId>,
    /// From when on: a day such as 2026-11-01, which is 00:00 in UTC, or a time such as 2026-11-01T09:30:00Z; the step that
    /// it is in counts whole [default: 24 hours, 30 days or 12 months before the end]
    #[arg(long, value_name = "TIME", value_parser = day_or_time)]
    from: Option<DateTime<Utc>>,
    /// Until when: a step that only begins there does not count, so that 2026-12-01 ends with November [default: now]
    #[arg(long, value_name = "TIME", value_parser = day_or_time)]
    to: Option<DateTime<Utc>>,
    /// In the place of --from: so long before the end, such as 24h, 30d or 1y, the step of the end among it
    #[arg(long, value_name = "TIME", value_parser = life, conflicts_with = "from")]
    last: Option<TimeDelta>,
    /// In what steps [default: day; with --last hour up to 48h, and month beyond 92d]
    #[arg(long, value_name = "STEP", value_parser = granularities())]
    by: Option<Granularity>,
    /// Also print the series as a table
    #[arg(long)]
    pub(crate) table: bool,
    /// Print the series alone, as CSV: start,requests
    #[arg(long, conflicts_with = "table")]
    pub(crate) csv: bool,
    /// Draw the chart in ASCII, whatever the terminal takes
    #[arg(long)]
    pub(crate) ascii: bool,
    /// How many columns wide the output is at most [default: the terminal's; without one 80 for the chart, and tables as
    /// they are]
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(20..=1000))]
    pub(crate) width: Option<u16>,
}

impl UsageArgs {
    /// Of whom usage is asked for. The group has it that there is one.
    pub(crate) fn subject(&self) -> Option<Subject> {
        let Self { id, org, user, project, .. } = self;
        match (*id, org.clone(), user.clone(), project.clone()) {
            (Some(id), ..) => Some(Subject::Key(id)),
            (None, Some(org), Some(user), _) => Some(Subject::User(org, user)),
            (None, Some(org), None, Some(project)) => Some(Subject::Project(org, project)),
            (None, Some(org), None, None) => Some(Subject::Organization(org)),
            (None, None, ..) => None,
        }
    }

    /// Of when.
    pub(crate) fn query(&self, now: DateTime<Utc>) -> UsageQuery {
        let Self { from, to, last, by, .. } = *self;
        let granularity = by.unwrap_or(match last {
            Some(last) if last <= BY_HOUR => Granularity::Hour,
            Some(last) if last > BY_DAY => Granularity::Month,
            _ => Granularity::Day,
        });
        let from = last.map_or(from, |last| before(end(to, now, granularity), last, granularity));
        UsageQuery { from, to, granularity }
    }
}

/// When the last step ends.
fn end(to: Option<DateTime<Utc>>, now: DateTime<Utc>, granularity: Granularity) -> DateTime<Utc> {
    match to {
        Some(to) if granularity.floor(to) == to => to,
        to => granularity.next(to.unwrap_or(now)),
    }
}

/// So long before the end; months are those of the calendar. `None` is further back than time goes.
fn before(end: DateTime<Utc>, time: TimeDelta, granularity: Granularity) -> Option<DateTime<Utc>> {
    let from = match granularity {
        Granularity::Hour | Granularity::Day => end.checked_sub_signed(time),
        Granularity::Month => {
            let months = (time + MONTH / 2).num_seconds() / MONTH.num_seconds();
            end.checked_sub_months(Months::new(u32::try_from(months).unwrap_or(u32::MAX).max(1)))
        }
    };
    Some(from.unwrap_or(DateTime::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        usage: UsageArgs,
    }

    fn read(line: &str) -> Result<UsageArgs, String> {
        let words = std::iter::once("usage").chain(line.split(' '));
        Command::try_parse_from(words).map(|command| command.usage).map_err(|error| error.to_string())
    }

    #[test]
    fn the_last_so_long_is_so_many_steps() {
        let now = "2026-03-15T10:30:00Z".parse().unwrap();
        for (line, from, granularity) in [
            ("--last 24h", "2026-03-14T11:00:00Z", Granularity::Hour),
            ("--last 30d", "2026-02-14T00:00:00Z", Granularity::Day),
            ("--last 12h --by day", "2026-03-15T12:00:00Z", Granularity::Day),
            ("--last 3d --by hour", "2026-03-12T11:00:00Z", Granularity::Hour),
            ("--last 1y", "2025-04-01T00:00:00Z", Granularity::Month),
            ("--last 1day --by month", "2026-03-01T00:00:00Z", Granularity::Month),
            ("--last 6months --to 2026-01-01", "2025-07-01T00:00:00Z", Granularity::Month),
            ("--last 30d --to 2026-02-01", "2026-01-02T00:00:00Z", Granularity::Day),
            ("--last 36500d --by hour", "1926-04-09T11:00:00Z", Granularity::Hour),
        ] {
            let query = read(&format!("--org acme {line}")).unwrap().query(now);
            assert_eq!(query.from, Some(from.parse().unwrap()), "{line}");
            assert_eq!(query.granularity, granularity, "{line}");
        }
        let query = read("--org acme").unwrap().query(now);
        assert_eq!(query, UsageQuery::default());
    }

    #[test]
    fn it_is_of_one_key_or_one_organization() {
        let key = "01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f";
        for bad in [
            "--by day",
            &format!("{key} --org acme"),
            &format!("{key} --user bob"),
            "--org acme --user bob --project web",
            "--user bob",
            "--org acme --last 3d --from 2026-01-01",
            "--org acme --csv --table",
            "--org acme --width 19",
            "--org acme --by week",
            "--org acme --from yesterday",
        ] {
            read(bad).unwrap_err();
        }
        let subject = |line: &str| read(line).unwrap().subject().unwrap().to_string();
        assert_eq!(subject(key), format!("key:{key}"));
        assert_eq!(subject("--org acme"), "organization:acme");
        assert_eq!(subject("--org acme --user bob"), "user:acme:bob");
        assert_eq!(subject("--org acme --project web"), "project:acme:web");
    }
}
