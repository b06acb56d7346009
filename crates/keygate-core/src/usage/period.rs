//! Hours, days and months, in UTC: what requests are counted by.

use std::fmt;

use chrono::{DateTime, Datelike, Months, Utc};
use serde::{Deserialize, Serialize};

const SECONDS_OF_HOUR: i64 = 3_600;
const HOURS_OF_DAY: u32 = 24;

/// An hour: how many full hours there have been since 1970-01-01T00:00Z. What is before then is in the first hour, what is
/// after the year 400,000 in the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hour(pub u32);

/// A day, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Day(pub u32);

/// A month of the calendar: twelve times the year, and 0 for January.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Month(pub u32);

impl Hour {
    /// The hour that `at` is in.
    #[must_use]
    pub fn of(at: DateTime<Utc>) -> Self {
        let hours = at.timestamp().div_euclid(SECONDS_OF_HOUR).max(0);
        Self(u32::try_from(hours).unwrap_or(u32::MAX))
    }

    /// Its day.
    #[must_use]
    pub fn day(self) -> Day {
        Day(self.0 / HOURS_OF_DAY)
    }

    /// Its month.
    #[must_use]
    pub fn month(self) -> Month {
        Month::of(self.start())
    }

    /// When it begins.
    #[must_use]
    pub fn start(self) -> DateTime<Utc> {
        DateTime::from_timestamp(i64::from(self.0) * SECONDS_OF_HOUR, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

impl Day {
    /// The day that `at` is in.
    #[must_use]
    pub fn of(at: DateTime<Utc>) -> Self {
        Hour::of(at).day()
    }

    /// When it begins.
    #[must_use]
    pub fn start(self) -> DateTime<Utc> {
        Hour(self.0.saturating_mul(HOURS_OF_DAY)).start()
    }

    /// The month it is in.
    #[must_use]
    pub fn month(self) -> Month {
        Month::of(self.start())
    }
}

impl Month {
    /// The month that `at` is in.
    #[must_use]
    pub fn of(at: DateTime<Utc>) -> Self {
        let months = i64::from(at.year()) * 12 + i64::from(at.month0());
        Self(u32::try_from(months.max(0)).unwrap_or(u32::MAX))
    }

    /// When it begins.
    #[must_use]
    pub fn start(self) -> DateTime<Utc> {
        let begin = DateTime::<Utc>::UNIX_EPOCH.checked_sub_months(Months::new(1970 * 12));
        begin.and_then(|begin| begin.checked_add_months(Months::new(self.0))).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// The steps of a series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// By the hour, of the last 8 days.
    Hour,
    /// By the day, of the last 400.
    #[default]
    Day,
    /// By the month, of the last 36.
    Month,
}

impl Granularity {
    /// All of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// When the step that `at` is in begins.
    #[must_use]
    pub fn floor(self, at: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Hour => Hour::of(at).start(),
            Self::Day => Day::of(at).start(),
            Self::Month => Month::of(at).start(),
        }
    }

    /// When the step after the one that `at` is in begins.
    #[must_use]
    pub fn next(self, at: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Hour => Hour(Hour::of(at).0.saturating_add(1)).start(),
            Self::Day => Day(Day::of(at).0.saturating_add(1)).start(),
            Self::Month => Month(Month::of(at).0.saturating_add(1)).start(),
        }
    }
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text is no granularity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("granularity must be hour, day or month")]
pub struct GranularityError;

impl std::str::FromStr for Granularity {
    type Err = GranularityError;
    fn from_str(text: &str) -> Result<Self, GranularityError> {
        Self::ALL.into_iter().find(|granularity| granularity.as_str() == text).ok_or(GranularityError)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn what_begins_is_in_itself_and_the_next_begins_where_it_ends() {
        for time in ["1970-01-01T00:00:00Z", "2024-02-29T23:59:59.999Z", "2026-12-31T23:00:00Z", "2027-01-01T00:00:00Z"]
        {
            let at: DateTime<Utc> = time.parse().unwrap();
            for granularity in Granularity::ALL {
                let (begin, next) = (granularity.floor(at), granularity.next(at));
                assert!(begin <= at && at < next, "{granularity} {time}");
                assert_eq!(granularity.floor(next), next);
                assert_eq!(granularity.next(next - TimeDelta::milliseconds(1)), next);
            }
            assert_eq!(Hour::of(at).month(), Month::of(at));
            assert_eq!(Hour::of(at).day().month(), Month::of(at));
        }
    }

    #[test]
    fn no_time_is_out_of_the_calendar() {
        for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            for granularity in Granularity::ALL {
                let _ = (granularity.floor(at), granularity.next(at));
            }
        }
        let _ = (Hour(u32::MAX).month(), Day(u32::MAX).month(), Month(u32::MAX).start());
    }
}
