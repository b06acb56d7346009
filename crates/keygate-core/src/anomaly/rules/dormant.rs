//! A key that was not used for long is used.
//!
//! A key is dormant that had no request for so many days (30) before today. It is unusual that it awakes, unless it has
//! slept nearly as long before: whoever is used on the first of each month sleeps for thirty days, and is expected to wake.
//! So the sleep must be half longer than the longest one before it. A key that was never used is dormant since it was made;
//! that counts only where usage has been counted for as long, which the organization's own account shows.

use crate::anomaly::finding::Measured;
use crate::usage::period::Day;
use crate::usage::series::Series;

/// What is unusual in a request today, if it is. `first` is when the first request of the organization was counted: without
/// it a key that was never used is not judged.
#[must_use]
pub fn judge(series: &Series, created: Day, first: Option<Day>, today: Day, dormant_days: u32) -> Option<Measured> {
    let used: Vec<Day> = series.days().filter(|(day, count)| *count > 0 && *day < today).map(|(day, _)| day).collect();
    let last = used.last().copied().or_else(|| first.map(|first| first.max(created)))?;
    let slept = today.0.saturating_sub(last.0).saturating_sub(1);
    let longest = used.windows(2).map(|pair| pair[1].0 - pair[0].0 - 1).max().unwrap_or_default();
    let (observed, expected) = (f64::from(slept), f64::from(longest));
    let is_long = slept >= dormant_days && observed > 1.5 * expected;
    is_long.then_some(Measured { observed, expected, sample_size: used.len() as u64 })
}

/// Whether it takes the organization's account to judge: the key was never used before today, and is old enough.
#[must_use]
pub fn needs_organization(series: &Series, created: Day, today: Day, dormant_days: u32) -> bool {
    today.0.saturating_sub(created.0) > dormant_days && !series.days().any(|(day, count)| count > 0 && day < today)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::batch::Delta;
    use crate::usage::counts::Counts;
    use crate::usage::outcome::Outcome;
    use crate::usage::period::Hour;

    const TODAY: Day = Day(20_000);

    /// Used on the days so long ago.
    fn used(ago: &[u32]) -> Series {
        let mut series = Series::default();
        for ago in ago {
            let mut counts = Counts::default();
            counts.add_outcome(Outcome::Admitted, 1);
            let hour = Hour((TODAY.0 - ago) * 24 + 5);
            series.add(&Delta { hours: [(hour, counts)].into(), ..Delta::default() });
        }
        series
    }

    #[test]
    fn who_sleeps_long_is_found_awake_and_who_always_does_is_not() {
        let created = Day(TODAY.0 - 300);
        let slept = |ago: &[u32]| judge(&used(ago), created, None, TODAY, 30).map(|found| found.observed);
        assert_eq!(slept(&[0, 31, 32, 33]), Some(30.0));
        assert_eq!(slept(&[0, 30, 31, 32]), None);
        assert_eq!(slept(&[0, 31, 61, 91]), None);
        assert_eq!(slept(&[0, 100, 130, 160]), Some(99.0));
        assert_eq!(slept(&[0]), None);
    }

    #[test]
    fn who_was_never_used_sleeps_since_it_was_made_or_since_requests_are_counted() {
        let (old, young) = (Day(TODAY.0 - 31), Day(TODAY.0 - 10));
        assert!(needs_organization(&used(&[0]), old, TODAY, 30));
        assert!(!needs_organization(&used(&[0]), young, TODAY, 30));
        assert!(!needs_organization(&used(&[0, 3]), old, TODAY, 30));
        let found = |first: u32| judge(&used(&[0]), old, Some(Day(first)), TODAY, 30);
        assert_eq!(found(0).map(|found| found.sample_size), Some(0));
        assert_eq!(found(TODAY.0 - 5), None);
    }
}
