//! Times for people: in UTC, and how far away they are.

use chrono::{DateTime, TimeDelta, Utc};

/// `2026-02-20`.
pub(crate) fn day(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d").to_string()
}

/// `2026-02-20 15:42:10 UTC (in 89 days)`.
pub(crate) fn moment(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} ({})", time.format("%Y-%m-%d %H:%M:%S UTC"), distance(time - now))
}

fn distance(from_now: TimeDelta) -> String {
    let seconds = from_now.num_seconds();
    let (count, unit) = match seconds.unsigned_abs() {
        0..5 => return "now".to_owned(),
        s @ 5..120 => (s, "seconds"),
        s @ 120..7_200 => ((s + 30) / 60, "minutes"),
        s @ 7_200..172_800 => ((s + 1_800) / 3_600, "hours"),
        s => ((s + 43_200) / 86_400, "days"),
    };
    if seconds < 0 { format!("{count} {unit} ago") } else { format!("in {count} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_in_the_unit_that_reads_best() {
        let words = [
            (0, "now"),
            (119, "in 119 seconds"),
            (-120, "2 minutes ago"),
            (7_199, "in 120 minutes"),
            (7_200, "in 2 hours"),
            (86_400 * 90 - 1, "in 90 days"),
            (-86_400 * 90, "90 days ago"),
        ];
        for (seconds, words) in words {
            assert_eq!(distance(TimeDelta::seconds(seconds)), words);
        }
    }
}
