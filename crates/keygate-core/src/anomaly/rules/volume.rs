//! Far more requests in an hour than usual at its time of day.
//!
//! What is usual is read off the last seven days: for each hour of the day the median of its seven counts, and of these the
//! greatest of the hour and its two neighbours, because jobs start late and clocks change twice a year. A median takes no
//! notice of three days out of seven, so a weekend and a burst do not move it. The spread is estimated by the median
//! absolute deviation from it, times 1.4826, which is the standard deviation of what is normal (Rousseeuw and Croux,
//! "Alternatives to the Median Absolute Deviation", 1993); never less than the square root of the expectation, which is that
//! of independent requests, nor than a tenth of the expectation, by which counts of programs vary that are not.
//!
//! A count is unusual when what it is above the expectation (its surplus) is
//!
//! 1. more than so many standard deviations (6), and
//! 2. more than so many requests (1,000), however unlikely: nobody wants to know of 30 requests in the place of 2; and
//! 3. half more than the greatest surplus of any hour of the last seven days, so that keys that come in bursts, and jobs of
//!    one day of the week, are measured by what they do; and
//! 4. a quarter more than the greatest surplus of any of the four weeks before, over the median of its day of the week: the
//!    same for jobs of one day of the month.
//!
//! It takes a week to know what is usual: in less there may be a job of one day of the week that was not seen yet, and a
//! client that is being built is not yet in use. The first and the last hour that are counted are only parts of hours, which
//! makes a count smaller, never greater.

use std::collections::BTreeMap;

use crate::anomaly::finding::Measured;
use crate::usage::period::{Day, Hour};
use crate::usage::series::Series;

const HOURS_OF_DAY: usize = 24;
const DAYS: u32 = 7;
const WEEKS: u32 = 4;
/// The standard deviation of what is normal, in its median absolute deviations.
const NORMAL: f64 = 1.4826;

/// What is usual in each hour of the day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Season {
    // Kept for every busy key, so in few bytes.
    expected: [f32; HOURS_OF_DAY],
    limit: [f32; HOURS_OF_DAY],
    hours: u64,
}

fn median(values: &mut [u64]) -> f64 {
    values.sort_unstable();
    let middle = values.len() / 2;
    match values {
        [] => 0.0,
        _ if values.len() % 2 == 1 => values[middle] as f64,
        _ => (values[middle - 1] as f64 + values[middle] as f64) / 2.0,
    }
}

impl Season {
    /// What was usual before this hour; `None` where that is not known yet. A count is unusual only above `floor` requests
    /// and `sigmas` standard deviations more than expected.
    #[must_use]
    pub fn before(hour: Hour, series: &Series, floor: u64, sigmas: u32) -> Option<Self> {
        let week = hour.0.saturating_sub(DAYS * HOURS_OF_DAY as u32);
        let hours: Vec<(u32, u64)> = series
            .hours()
            .map(|(hour, count)| (hour.0, count))
            .filter(|(number, _)| (week..hour.0).contains(number))
            .collect();
        let is_old = series.days().any(|(day, count)| count > 0 && day < Hour(week).day());
        let first = if is_old { week } else { hours.iter().find(|(_, count)| *count > 0)?.0 };
        let known = hour.0.saturating_sub(first);
        if known < DAYS * HOURS_OF_DAY as u32 {
            return None;
        }
        // What is newer than the newest hour that is counted was an hour without any.
        let count_of = |number: u32| match hours.first() {
            Some((oldest, _)) if number >= *oldest => {
                hours.get((number - oldest) as usize).map_or(0, |(_, count)| *count)
            }
            _ => 0,
        };
        let mut samples: [Vec<u64>; HOURS_OF_DAY] = Default::default();
        for number in first..hour.0 {
            samples[number as usize % HOURS_OF_DAY].push(count_of(number));
        }
        let medians: [f64; HOURS_OF_DAY] = std::array::from_fn(|place| median(&mut samples[place].clone()));
        let expected: [f64; HOURS_OF_DAY] = std::array::from_fn(|place| {
            let neighbours = [place + HOURS_OF_DAY - 1, place, place + 1];
            neighbours.into_iter().map(|place| medians[place % HOURS_OF_DAY]).fold(0.0, f64::max)
        });
        let surplus = |number: u32| count_of(number) as f64 - expected[number as usize % HOURS_OF_DAY];
        let of_hours = (first..hour.0).map(surplus).fold(0.0, f64::max);
        let of_days = daily_surplus(series, Hour(week).day());
        let limit = std::array::from_fn(|place| {
            let (usual, samples) = (medians[place], &samples[place]);
            let mut deviations: Vec<u64> = samples.iter().map(|count| (*count as f64 - usual).abs() as u64).collect();
            let sigma = (NORMAL * median(&mut deviations)).max(expected[place].sqrt()).max(expected[place] / 10.0);
            let least = [f64::from(sigmas) * sigma, floor as f64, 1.5 * of_hours, 1.25 * of_days];
            (expected[place] + least.into_iter().fold(0.0, f64::max)) as f32
        });
        Some(Self { expected: expected.map(|count| count as f32), limit, hours: u64::from(known) })
    }

    /// Above how many requests this hour is unusual.
    #[must_use]
    pub fn limit(&self, hour: Hour) -> f64 {
        f64::from(self.limit[hour.0 as usize % HOURS_OF_DAY])
    }

    /// What is unusual in so many requests in this hour, if it is.
    #[must_use]
    pub fn judge(&self, hour: Hour, requests: u64) -> Option<Measured> {
        let observed = requests as f64;
        let expected = f64::from(self.expected[hour.0 as usize % HOURS_OF_DAY]);
        (observed > self.limit(hour)).then_some(Measured { observed, expected, sample_size: self.hours })
    }
}

/// The most requests that any of the days of four weeks before `week` had above the median of its day of the week.
fn daily_surplus(series: &Series, week: Day) -> f64 {
    let counts: BTreeMap<u32, u64> =
        series.days().filter(|(_, count)| *count > 0).map(|(day, count)| (day.0, count)).collect();
    let Some((begun, _)) = counts.first_key_value() else { return 0.0 };
    let mut weekdays: [Vec<u64>; DAYS as usize] = Default::default();
    for day in week.0.saturating_sub(WEEKS * DAYS).max(*begun)..week.0 {
        weekdays[(day % DAYS) as usize].push(counts.get(&day).copied().unwrap_or_default());
    }
    let surplus = |counts: &mut Vec<u64>| {
        let usual = median(counts);
        // Of less than three there is no telling which is the usual one.
        if counts.len() < 3 { 0.0 } else { counts.last().map_or(0.0, |most| *most as f64 - usual) }
    };
    weekdays.iter_mut().map(surplus).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::batch::Delta;
    use crate::usage::counts::Counts;
    use crate::usage::outcome::Outcome;

    const START: u32 = 480_000 - 480_000 % 168;

    /// A series of hours, each with as many requests as `count` says of it.
    fn series(hours: u32, count: impl Fn(u32) -> u64) -> Series {
        let mut series = Series::default();
        for hour in (0..hours).filter(|hour| count(*hour) > 0) {
            let mut counts = Counts::default();
            counts.add_outcome(Outcome::Admitted, count(hour));
            series.add(&Delta { hours: [(Hour(START + hour), counts)].into(), ..Delta::default() });
        }
        series
    }

    fn season(hour: u32, count: impl Fn(u32) -> u64) -> Option<Season> {
        Season::before(Hour(START + hour), &series(hour, count), 1_000, 6)
    }

    #[test]
    fn what_is_usual_at_noon_is_unusual_at_night() {
        let daily = |hour: u32| if (8..20).contains(&(hour % 24)) { 10_000 } else { 100 };
        let season = season(24 * 30 + 2, daily).unwrap();
        let (night, noon) = (Hour(START + 24 * 30 + 2), Hour(START + 24 * 30 + 12));
        assert_eq!(season.judge(noon, 10_500), None);
        assert_eq!(season.judge(night, 1_000), None);
        let found = season.judge(night, 5_000).unwrap();
        assert_eq!((found.observed, found.expected, found.sample_size), (5_000.0, 100.0, 168));
    }

    #[test]
    fn a_week_has_to_pass_and_a_thousand_requests_to_come() {
        let flat = |_: u32| 10;
        assert_eq!(season(167, flat), None);
        let season = season(168, flat).unwrap();
        assert_eq!(season.judge(Hour(START + 168), 1_010), None);
        assert!(season.judge(Hour(START + 168), 1_011).is_some());
        assert_eq!(Season::before(Hour(START), &Series::default(), 1_000, 6), None);
    }

    #[test]
    fn jobs_of_a_day_a_week_and_a_month_are_usual_when_they_were_seen_before() {
        let job = |hour: u32, every: u32| if hour % (24 * every) == 50 % (24 * every) { 20_000 } else { 50 };
        for every in [1, 7, 28] {
            let hour = 24 * 56 + 50;
            let season = season(hour, |hour| job(hour, every)).unwrap();
            assert_eq!(season.judge(Hour(START + hour), 21_000), None, "every {every} days");
            assert!(season.judge(Hour(START + hour), 60_000).is_some(), "every {every} days");
        }
        // A clock that was set for the summer.
        let season = season(24 * 56 + 49, |hour| job(hour, 1)).unwrap();
        assert_eq!(season.judge(Hour(START + 24 * 56 + 49), 20_000), None);
    }

    #[test]
    fn silence_is_counted_as_such_and_what_there_was_before_it_is_not_forgotten() {
        let hour = 24 * 40;
        let season = |until: u32| season(hour, |hour| if hour < 24 * until { 1_000 } else { 0 }).unwrap();
        let found = season(2).judge(Hour(START + hour), 10_000).unwrap();
        assert_eq!(found.expected, 0.0);
        assert_eq!(season(15).judge(Hour(START + hour), 10_000), None);
        assert!(season(15).judge(Hour(START + hour), 40_000).is_some());
    }
}
