//! What is left of limits, a line for each.

use chrono::{DateTime, TimeDelta, Utc};

use super::words::safe;
use crate::desk::LimitLeft;

/// `998 of 1000 left this minute, until 12:31:00Z`.
pub(crate) fn limit_lines(left: &[LimitLeft], now: DateTime<Utc>) -> String {
    let lines: Vec<String> = left.iter().map(|one| line(one, now)).collect();
    lines.join("\n")
}

fn line(left: &LimitLeft, now: DateTime<Utc>) -> String {
    let LimitLeft { level, window, limit, remaining, resets_at } = left;
    let whose = if level == "key" { String::new() } else { format!(" of the {}", safe(level)) };
    let time = if *resets_at - now > TimeDelta::days(1) { "%Y-%m-%dT%H:%M:%SZ" } else { "%H:%M:%SZ" };
    let at = resets_at.format(time);
    match window.as_str() {
        "burst" if remaining >= limit => format!("{remaining} of {limit} left{whose} at once"),
        "burst" => format!("{remaining} of {limit} left{whose} at once, all of them again at {at}"),
        window => format!("{remaining} of {limit} left{whose} this {}, until {at}", safe(window)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn said(level: &str, window: &str, remaining: u64, resets_at: &str) -> String {
        let now = "2026-02-20T12:30:10Z".parse().unwrap();
        let (level, window) = (level.to_owned(), window.to_owned());
        let left = LimitLeft { level, window, limit: 1000, remaining, resets_at: resets_at.parse().unwrap() };
        limit_lines(&[left], now)
    }

    #[test]
    fn a_limit_reads_as_a_sentence() {
        for (level, window, remaining, resets_at, words) in [
            ("key", "minute", 998, "2026-02-20T12:31:00Z", "998 of 1000 left this minute, until 12:31:00Z"),
            ("key", "day", 0, "2026-02-21T00:00:00Z", "0 of 1000 left this day, until 00:00:00Z"),
            (
                "user",
                "month",
                7,
                "2026-03-01T00:00:00Z",
                "7 of 1000 left of the user this month, until 2026-03-01T00:00:00Z",
            ),
            ("key", "burst", 1000, "2026-02-20T12:30:10Z", "1000 of 1000 left at once"),
            (
                "organization",
                "burst",
                40,
                "2026-02-20T12:30:20Z",
                "40 of 1000 left of the organization at once, all of them again at 12:30:20Z",
            ),
        ] {
            assert_eq!(said(level, window, remaining, resets_at), words);
        }
        assert!(!said("\u{1b}[31m", "\u{1b}[31m", 1, "2026-02-20T12:31:00Z").contains('\u{1b}'));
    }
}
