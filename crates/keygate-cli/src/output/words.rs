//! Words for people.

use std::borrow::Cow;
use std::fmt::Display;

use keygate::limits::Limits;
use keygate::record::RotationSchedule;

/// What is said of a key that is handed over.
pub(crate) const CLAIMABLE: &str = "whoever holds the key may claim its successor with it";

/// A text somebody chose, with whatever a terminal might obey written out.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if !text.chars().any(obeyed) {
        return Cow::Borrowed(text);
    }
    let write = |c: char| if obeyed(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(write).collect())
}

/// Things in a row, or a word for none.
pub(crate) fn list<T: Display>(things: impl IntoIterator<Item = T>, none: &str) -> String {
    let texts: Vec<String> = things.into_iter().map(|thing| thing.to_string()).collect();
    if texts.is_empty() { none.to_owned() } else { texts.join(", ") }
}

/// `1000 a minute, 10000 an hour, bursts of 50`.
pub(crate) fn limits(limits: &Limits) -> String {
    let parts = [
        limits.per_minute.map(|n| format!("{n} a minute")),
        limits.per_hour.map(|n| format!("{n} an hour")),
        limits.per_day.map(|n| format!("{n} a day")),
        limits.per_month.map(|n| format!("{n} a month")),
        limits.burst.map(|n| format!("bursts of {n}")),
    ];
    let words = list(parts.into_iter().flatten(), "none");
    if limits.fallback.is_default() || limits.are_none() {
        return words;
    }
    format!("{words}; {} while the store is not reached", limits.fallback.as_str().replace('_', " "))
}

/// `every 90 days, by itself; a warning 7 days before, an overlap of 7 days`.
pub(crate) fn schedule(schedule: &RotationSchedule) -> String {
    let days = |count: u32| if count == 1 { "1 day".to_owned() } else { format!("{count} days") };
    let RotationSchedule { interval_days, warning_days, auto_rotate, notify_users, overlap_days } = *schedule;
    let interval = if interval_days == 1 { "day".to_owned() } else { days(interval_days) };
    let by = if auto_rotate { "by itself" } else { "by hand" };
    let untold = if notify_users { "" } else { "; its owner is not told" };
    let (warning, overlap) = (days(warning_days), days(overlap_days));
    format!("every {interval}, {by}; a warning {warning} before, an overlap of {overlap}{untold}")
}

#[cfg(test)]
mod tests {
    use keygate::limits::Fallback;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(safe("Jürgen's key 鍵"), "Jürgen's key 鍵");
        assert_eq!(safe("a\u{1b}[31mb\u{202e}"), "a\\u{1b}[31mb\\u{202e}");
    }

    #[test]
    fn limits_read_as_words() {
        assert_eq!(limits(&Limits::STANDARD), "1000 a minute, 10000 an hour, 100000 a day, bursts of 50");
        assert_eq!(limits(&Limits::UNLIMITED), "none");
        let open = Limits { per_day: Some(5), fallback: Fallback::LocalShare, ..Limits::UNLIMITED };
        assert_eq!(limits(&open), "5 a day; local share while the store is not reached");
    }

    #[test]
    fn a_schedule_reads_as_words() {
        let by_hand = RotationSchedule {
            interval_days: 90,
            warning_days: 7,
            auto_rotate: false,
            notify_users: true,
            overlap_days: 1,
        };
        assert_eq!(schedule(&by_hand), "every 90 days, by hand; a warning 7 days before, an overlap of 1 day");
        let daily = RotationSchedule {
            interval_days: 1,
            warning_days: 0,
            auto_rotate: true,
            notify_users: false,
            overlap_days: 0,
        };
        let words = "every day, by itself; a warning 0 days before, an overlap of 0 days; its owner is not told";
        assert_eq!(schedule(&daily), words);
    }
}
