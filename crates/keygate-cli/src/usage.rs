//! `keygate usage`.

use chrono::Utc;
use keygate::names::KeyName;
use keygate::usage::period::Granularity;
use keygate::usage::report::{UsageQuery, UsageReport};
use keygate::usage::subject::Subject;

use crate::args::{SettingArgs, UsageArgs};
use crate::desk::Desk;
use crate::failure::{Failure, note};
use crate::open::Absent;
use crate::output;
use crate::output::usage::{Shown, series_as_csv};

/// Shows what keys were used for.
pub(crate) async fn run(args: &UsageArgs, settings: &SettingArgs) -> Result<(), Failure> {
    // --json may stand before the word usage, where the parser does not see the two together.
    if args.csv && settings.json {
        return Err(Failure::usage("--csv and --json cannot be used together"));
    }
    let subject = args.subject().ok_or_else(|| Failure::usage("name a KEY_ID, or an organization with --org"))?;
    let now = Utc::now();
    let query = args.query(now);
    let desk = Desk::open(settings, Absent::Refused).await?;
    let report = desk.usage(&subject, &query).await?;
    if settings.json {
        return output::json(&report);
    }
    tell_of_what_is_not_kept(&query, &report);
    if args.csv {
        return output::raw(&series_as_csv(&report)?);
    }
    let name = match subject {
        // An admin key may see usage and not the key itself.
        Subject::Key(id) => desk.get(id).await.ok().map(|key| key.name),
        _ => None,
    };
    let shown = Shown::new(&report, now)
        .named(name.as_ref().map(KeyName::as_str))
        .with_series(args.table)
        .in_ascii(args.ascii)
        .within(args.width);
    output::text(&shown.lines())
}

fn tell_of_what_is_not_kept(query: &UsageQuery, report: &UsageReport) {
    let kept = match report.granularity {
        Granularity::Hour => "hours are kept for 8 days",
        Granularity::Day => "days are kept for 400 days",
        Granularity::Month => "months are kept for 3 years",
    };
    let asked = query.from.map(|from| report.granularity.floor(from));
    if report.series.is_empty() {
        note(format!("nothing is kept of that time: {kept}"));
    } else if asked.is_some_and(|asked| asked < report.from) {
        note(format!("{kept}, so the series begins at {}", report.from.format("%Y-%m-%d %H:%M UTC")));
    }
}
