//! Windows of time: fixed, in UTC, on the store's clock.

use std::fmt;

use chrono::{DateTime, Datelike, Months, Utc};
use serde::{Deserialize, Serialize};

use crate::limits::Limits;

/// Milliseconds since 1970-01-01T00:00:00Z, on the store's clock.
pub type Millis = u64;

/// After every time that a store's clock is taken to show.
pub const FOREVER: Millis = (1 << 48) - 1;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The length of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// From one full minute to the next.
    Minute,
    /// From one full hour to the next.
    Hour,
    /// A day.
    Day,
    /// A month of the calendar.
    Month,
}

impl Window {
    /// All of them, the shortest first.
    pub const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Month];

    /// The word for it: the name of its policy in `RateLimit-Policy`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// Its limit among these.
    #[must_use]
    pub fn limit(self, limits: &Limits) -> Option<u64> {
        match self {
            Self::Minute => limits.per_minute,
            Self::Hour => limits.per_hour,
            Self::Day => limits.per_day,
            Self::Month => limits.per_month,
        }
    }

    /// The number of the window that `at` is in. It grows by one with each window.
    #[must_use]
    pub fn number(self, at: Millis) -> u64 {
        match self {
            Self::Minute => at / MINUTE,
            Self::Hour => at / HOUR,
            Self::Day => at / DAY,
            Self::Month => {
                let day = calendar(at);
                u64::try_from(i64::from(day.year()) * 12 + i64::from(day.month0())).unwrap_or_default()
            }
        }
    }

    /// When the window that `at` is in ends, which is when the next one begins.
    #[must_use]
    pub fn end(self, at: Millis) -> Millis {
        match self {
            Self::Minute => (at / MINUTE + 1) * MINUTE,
            Self::Hour => (at / HOUR + 1) * HOUR,
            Self::Day => (at / DAY + 1) * DAY,
            Self::Month => {
                let first = calendar(at).date_naive().with_day(1);
                let next = first.and_then(|first| first.checked_add_months(Months::new(1)));
                let begin = next.and_then(|next| next.and_hms_opt(0, 0, 0)).map(|next| next.and_utc());
                begin.and_then(|begin| Millis::try_from(begin.timestamp_millis()).ok()).unwrap_or(FOREVER)
            }
        }
    }
}

/// Times that no calendar has are its last one's.
fn calendar(at: Millis) -> DateTime<Utc> {
    i64::try_from(at).ok().and_then(DateTime::from_timestamp_millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which windows it is in, one number for each of [`Window::ALL`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers(pub [u64; 4]);

impl Numbers {
    /// Those that `at` is in.
    #[must_use]
    pub fn at(at: Millis) -> Self {
        Self(Window::ALL.map(|window| window.number(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Millis {
        text.parse::<DateTime<Utc>>().unwrap().timestamp_millis().try_into().unwrap()
    }

    #[test]
    fn a_window_ends_where_the_next_begins_and_numbers_grow_by_one() {
        let times =
            ["1970-01-01T00:00:00Z", "2024-02-29T23:59:59.999Z", "2026-12-31T23:59:00Z", "2027-01-01T00:00:00Z"];
        for (time, window) in times.iter().flat_map(|time| Window::ALL.map(|window| (at(time), window))) {
            let end = window.end(time);
            assert!(end > time);
            assert_eq!(window.number(end - 1), window.number(time), "{window} {time}");
            assert_eq!(window.number(end), window.number(time) + 1, "{window} {time}");
        }
    }

    #[test]
    fn a_month_is_that_of_the_calendar() {
        assert_eq!(Window::Month.end(at("2024-02-10T12:00:00Z")), at("2024-03-01T00:00:00Z"));
        assert_eq!(Window::Month.end(at("2026-12-31T23:59:59Z")), at("2027-01-01T00:00:00Z"));
    }

    #[test]
    fn no_time_is_too_late() {
        for window in Window::ALL {
            let _ = (window.number(Millis::MAX - DAY), window.end(Millis::MAX - DAY));
            assert!(window.end(FOREVER - 100 * DAY) <= FOREVER, "{window}");
        }
    }
}
