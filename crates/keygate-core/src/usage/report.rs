//! What is read of usage. The JSON form of it is that of the management API.

use std::collections::BTreeMap;
use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::book::{Account, BREAKDOWN_DAYS};
use super::counts::Counts;
use super::period::{Day, Granularity, Hour, Month};
use super::series::{DAYS, HOURS, MONTHS, Series};
use super::subject::Subject;
use crate::key::KeyId;
use crate::names::{OrganizationId, ProjectId, UserId};

/// How many of an organization's keys are told of as those that were used most.
pub const MOST_USED: usize = 10;

/// Of when usage is asked for, and in what steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageQuery {
    /// From when on; the step that it is in counts whole. By default a day of hours, 30 days, or 12 months before the end.
    pub from: Option<DateTime<Utc>>,
    /// Until when; the step that it is in counts whole, but one that only begins there does not. Now by default.
    pub to: Option<DateTime<Utc>>,
    /// In what steps.
    pub granularity: Granularity,
}

/// A query for no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("from must be before to")]
pub struct UsageQueryError;

/// Of when a report is: from the begin of a step to the end of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    granularity: Granularity,
}

impl UsageQuery {
    /// The steps that it is of. What is older than what is kept, and what is still to come, is left out.
    pub(crate) fn span(&self, now: DateTime<Utc>) -> Result<Span, UsageQueryError> {
        let Self { from, to, granularity } = *self;
        let (steps, by_default) = match granularity {
            Granularity::Hour => (HOURS, 24),
            Granularity::Day => (DAYS, 30),
            Granularity::Month => (MONTHS, 12),
        };
        let end = |at: DateTime<Utc>| {
            let begin = granularity.floor(at);
            if begin == at { at } else { granularity.next(at) }
        };
        let to = to.unwrap_or_else(|| granularity.next(now));
        let (asked, newest) = (end(to), granularity.next(now));
        let to = asked.min(newest);
        let oldest = before(granularity, newest, steps);
        let from = from.map_or_else(|| before(granularity, asked, by_default), |from| granularity.floor(from));
        if from >= asked {
            return Err(UsageQueryError);
        }
        let to = to.max(oldest);
        Ok(Span { from: from.clamp(oldest, to), to, granularity })
    }
}

/// The begin of the step so many before the one that begins at `at`.
fn before(granularity: Granularity, at: DateTime<Utc>, steps: usize) -> DateTime<Utc> {
    let steps = u32::try_from(steps).unwrap_or(u32::MAX);
    match granularity {
        Granularity::Hour => Hour(Hour::of(at).0.saturating_sub(steps)).start(),
        Granularity::Day => Day(Day::of(at).0.saturating_sub(steps)).start(),
        Granularity::Month => Month(Month::of(at).0.saturating_sub(steps)).start(),
    }
}

impl Span {
    /// The days whose breakdown belongs to it.
    pub(crate) fn days(&self) -> std::ops::RangeInclusive<Day> {
        let last = Day::of(self.to - TimeDelta::milliseconds(1));
        let first = Day::of(self.from).max(Day(last.0.saturating_sub(BREAKDOWN_DAYS - 1)));
        first..=last
    }

    /// The month whose most used keys belong to it.
    pub(crate) fn month(&self) -> Month {
        Month::of(self.to - TimeDelta::milliseconds(1))
    }

    fn steps(&self, series: &Series) -> Vec<Step> {
        let counted: BTreeMap<DateTime<Utc>, u64> = match self.granularity {
            Granularity::Hour => series.hours().map(|(hour, count)| (hour.start(), count)).collect(),
            Granularity::Day => series.days().map(|(day, count)| (day.start(), count)).collect(),
            Granularity::Month => series.months().map(|(month, count)| (month.start(), count)).collect(),
        };
        let mut steps = Vec::new();
        let mut start = self.from;
        while start < self.to {
            steps.push(Step { start, requests: counted.get(&start).copied().unwrap_or_default() });
            start = self.granularity.next(start);
        }
        steps
    }
}

/// What was used, by whom it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UsageReport {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The key, if it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
    /// The user, if it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The project, if it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// When the first step begins.
    pub from: DateTime<Utc>,
    /// When the last one ends.
    pub to: DateTime<Utc>,
    /// What the steps are.
    pub granularity: Granularity,
    /// Requests in these steps.
    pub requests: u64,
    /// Requests in each of them, the oldest first.
    pub series: Vec<Step>,
    /// What became of the requests.
    pub breakdown: Breakdown,
    /// How many different client addresses there were, in each month that this is kept of.
    pub addresses: Vec<Addresses>,
    /// Since the first request.
    pub total: Totals,
    /// When it was last used.
    pub last_used: Option<Used>,
    /// The last denial, or answer of 4xx or 5xx.
    pub last_error: Option<Failed>,
    /// Of an organization, the keys that were used most in the month of the last step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub most_used: Vec<KeyUse>,
}

/// A step of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When it begins.
    pub start: DateTime<Utc>,
    /// How many requests there were.
    pub requests: u64,
}

/// What became of the requests of some days. It is kept by the day, for 35 days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakdown {
    /// When the first of the days begins.
    pub from: DateTime<Utc>,
    /// When the last one ends.
    pub to: DateTime<Utc>,
    /// Requests on these days.
    pub requests: u64,
    /// Those that were denied, or answered 4xx or 5xx.
    pub errors: u64,
    /// What their keys' checks came to: `admitted`, or the reason of the denial.
    pub by_outcome: Vec<Share>,
    /// How those that were let in were answered: `2xx` and so on, or `cancelled`. Fewer than were admitted: those that are
    /// being answered, and those that no adapter reported of.
    pub by_status: Vec<Share>,
    /// The routes they were for, and `other`.
    pub by_endpoint: Vec<Share>,
    /// The places they came from, and `other`.
    pub by_location: Vec<Share>,
}

/// How many of the requests are of one kind. Lists of them begin with the greatest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The kind.
    pub name: String,
    /// How many.
    pub requests: u64,
}

/// How many different addresses there were in a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// When the month begins.
    pub month: DateTime<Utc>,
    /// Exact up to 64, and beyond that estimated, to some 2 %.
    pub addresses: u64,
}

/// Since the first request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// All requests.
    pub requests: u64,
    /// Those that were denied, or answered 4xx or 5xx.
    pub errors: u64,
    /// What their keys' checks came to.
    pub by_outcome: Vec<Share>,
    /// How they were answered.
    pub by_status: Vec<Share>,
}

/// A use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// When.
    pub at: DateTime<Utc>,
    /// The client's address, where it is known.
    pub address: Option<IpAddr>,
    /// Where that is, where a resolver says so.
    pub location: Option<String>,
}

/// An error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// When.
    pub at: DateTime<Utc>,
    /// The reason of the denial, or the class of the status.
    pub reason: String,
}

/// How much a key was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUse {
    /// The key.
    pub key_id: KeyId,
    /// How many requests it made.
    pub requests: u64,
}

fn shares<N: ToString>(counted: impl Iterator<Item = (N, u64)>) -> Vec<Share> {
    let mut shares: Vec<_> = counted.map(|(name, requests)| Share { name: name.to_string(), requests }).collect();
    shares.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.name.cmp(&b.name)));
    shares
}

impl Breakdown {
    fn of(span: &Span, days: &BTreeMap<Day, Counts>) -> Self {
        let mut all = Unbounded::default();
        days.values().for_each(|counts| all.add(counts));
        let (first, last) = span.days().into_inner();
        Self {
            from: first.start(),
            to: Day(last.0.saturating_add(1)).start(),
            requests: days.values().map(Counts::requests).fold(0, u64::saturating_add),
            errors: days.values().map(Counts::errors).fold(0, u64::saturating_add),
            by_outcome: shares(all.outcomes.into_iter()),
            by_status: shares(all.answers.into_iter()),
            by_endpoint: shares(all.endpoints.into_iter()),
            by_location: shares(all.locations.into_iter()),
        }
    }
}

/// Sums over days: each is bounded, so together they are.
#[derive(Default)]
struct Unbounded<'a> {
    outcomes: BTreeMap<&'static str, u64>,
    answers: BTreeMap<&'static str, u64>,
    endpoints: BTreeMap<&'a str, u64>,
    locations: BTreeMap<&'a str, u64>,
}

impl<'a> Unbounded<'a> {
    fn add(&mut self, counts: &'a Counts) {
        fn add<N: Ord>(sums: &mut BTreeMap<N, u64>, counted: impl Iterator<Item = (N, u64)>) {
            for (name, count) in counted {
                let sum = sums.entry(name).or_default();
                *sum = sum.saturating_add(count);
            }
        }
        add(&mut self.outcomes, counts.outcomes().map(|(outcome, count)| (outcome.as_str(), count)));
        add(&mut self.answers, counts.answers().map(|(answered, count)| (answered.as_str(), count)));
        add(&mut self.endpoints, counts.endpoints());
        add(&mut self.locations, counts.locations());
    }
}

impl UsageReport {
    pub(crate) fn new(
        organization: OrganizationId,
        subject: Subject,
        span: &Span,
        account: Option<Account>,
        most_used: Vec<(KeyId, u64)>,
    ) -> Self {
        let Account { series, days, addresses } = account.unwrap_or_default();
        let steps = span.steps(&series);
        let (mut key_id, mut user_id, mut project_id) = (None, None, None);
        match subject {
            Subject::Key(id) => key_id = Some(id),
            Subject::User(_, user) => user_id = Some(user),
            Subject::Project(_, project) => project_id = Some(project),
            Subject::Organization(_) => {}
        }
        Self {
            organization_id: organization,
            key_id,
            user_id,
            project_id,
            from: span.from,
            to: span.to,
            granularity: span.granularity,
            requests: steps.iter().map(|step| step.requests).fold(0, u64::saturating_add),
            series: steps,
            breakdown: Breakdown::of(span, &days),
            addresses: addresses
                .into_iter()
                .map(|(month, addresses)| Addresses { month: month.start(), addresses })
                .collect(),
            total: Totals {
                requests: series.requests(),
                errors: series.errors(),
                by_outcome: shares(series.outcomes()),
                by_status: shares(series.answers()),
            },
            last_used: series.last_use.map(|last| Used {
                at: last.at,
                address: last.address,
                location: last.location.map(|location| location.to_string()),
            }),
            last_error: series.last_error.map(|last| Failed { at: last.at, reason: last.failure.to_string() }),
            most_used: most_used.into_iter().map(|(key_id, requests)| KeyUse { key_id, requests }).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn span(
        from: Option<&str>,
        to: Option<&str>,
        granularity: Granularity,
    ) -> Result<(String, String), UsageQueryError> {
        let query = UsageQuery { from: from.map(at), to: to.map(at), granularity };
        let span = query.span(at("2026-03-15T10:30:00Z"))?;
        let text = |time: DateTime<Utc>| time.format("%F %R").to_string();
        Ok((text(span.from), text(span.to)))
    }

    #[test]
    fn steps_count_whole_and_what_is_not_kept_is_left_out() {
        let is = |span: Result<(String, String), _>, from: &str, to: &str| {
            assert_eq!(span, Ok((from.to_owned(), to.to_owned())));
        };
        is(span(None, None, Granularity::Hour), "2026-03-14 11:00", "2026-03-15 11:00");
        is(span(None, None, Granularity::Day), "2026-02-14 00:00", "2026-03-16 00:00");
        is(span(None, None, Granularity::Month), "2025-04-01 00:00", "2026-04-01 00:00");
        let march = Some("2026-03-01T00:00:00Z");
        is(span(Some("2026-02-20T12:00:00Z"), march, Granularity::Day), "2026-02-20 00:00", "2026-03-01 00:00");
        is(span(Some("2026-03-15T10:59:00Z"), None, Granularity::Hour), "2026-03-15 10:00", "2026-03-15 11:00");
        is(span(Some("1970-01-01T00:00:00Z"), None, Granularity::Hour), "2026-03-07 11:00", "2026-03-15 11:00");
        is(span(march, Some("9999-01-01T00:00:00Z"), Granularity::Month), "2026-03-01 00:00", "2026-04-01 00:00");
        // Of when nothing is kept, and of when nothing can have been counted.
        let (from, to) = span(Some("1990-01-01T00:00:00Z"), Some("1991-01-01T00:00:00Z"), Granularity::Day).unwrap();
        assert_eq!(from, to);
        let (from, to) = span(Some("2030-01-01T00:00:00Z"), Some("2031-01-01T00:00:00Z"), Granularity::Day).unwrap();
        assert_eq!(from, to);
        assert_eq!(span(march, march, Granularity::Day), Err(UsageQueryError));
        assert_eq!(span(march, Some("2026-02-01T00:00:00Z"), Granularity::Month), Err(UsageQueryError));
    }

    #[test]
    fn no_span_is_out_of_the_calendar() {
        for granularity in Granularity::ALL {
            for (from, to) in [(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC), (DateTime::UNIX_EPOCH, Utc::now())]
            {
                let query = UsageQuery { from: Some(from), to: Some(to), granularity };
                for now in [DateTime::UNIX_EPOCH, Utc::now(), at("9999-12-31T23:59:59Z")] {
                    if let Ok(span) = query.span(now) {
                        let _ = (span.days(), span.month());
                        assert!(span.steps(&Series::default()).len() <= DAYS);
                    }
                }
            }
        }
    }
}
