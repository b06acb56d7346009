//! Far more errors than usual: denials, and answers of 4xx and 5xx.
//!
//! What is usual is the share of errors in the last seven days before today, or in the worst of them that had 50 requests
//! or more, if that is greater. The requests of now are counted in windows of at least five minutes and 25 requests each;
//! three of them, one after the other, are looked at together. The share is unusual when
//!
//! 1. so many errors or more would come about with a probability of less than one in a million if errors came independently
//!    with the usual share: by the bound of Chernoff and Hoeffding, exp(-n KL(observed || usual)) (Hoeffding, "Probability
//!    Inequalities for Sums of Bounded Random Variables", 1963, theorem 1), which needs no table and no large numbers; and
//! 2. in each of the windows it is at least twice the usual one and so many points (5) more. Errors do not come
//!    independently: a release or a restart is a few minutes of them, and in at most two windows.

use crate::anomaly::finding::Measured;
use crate::usage::book::Account;
use crate::usage::counts::Counts;
use crate::usage::period::Day;

/// How many windows are looked at together.
pub const WINDOWS: usize = 3;
/// How many requests a window has at least.
pub const WINDOW_REQUESTS: u64 = 25;
/// How long a window is at least, in seconds.
pub const WINDOW_SECONDS: i64 = 300;

/// The days that it is read of.
const DAYS: u32 = 7;
/// How many requests it takes to know what is usual.
const KNOWN_FROM: u64 = 200;
/// From how many requests on a day counts by itself.
const DAY_REQUESTS: u64 = 50;
/// The probability below which a share is unusual.
const UNLIKELY: f64 = 1e-6;

/// Requests and errors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// How many requests there were.
    pub requests: u64,
    /// How many of them came to an error. An answer may come in a later window than its request.
    pub errors: u64,
}

impl Window {
    /// The share of errors.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { (self.errors as f64 / self.requests as f64).min(1.0) }
    }
}

/// The share of errors that is usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UsualErrors {
    share: f64,
    requests: u64,
}

impl UsualErrors {
    /// What was usual before this day; `None` where that is not known yet.
    #[must_use]
    pub fn before(today: Day, account: &Account) -> Option<Self> {
        let days = Day(today.0.saturating_sub(DAYS))..today;
        let counts: Vec<&Counts> = account.days.range(days).map(|(_, counts)| counts).collect();
        let sum = |of: fn(&Counts) -> u64| counts.iter().fold(0_u64, |sum, day| sum.saturating_add(of(day)));
        let (requests, errors) = (sum(Counts::requests), sum(Counts::errors));
        if requests < KNOWN_FROM {
            return None;
        }
        // One more of either than there were: nothing that was never seen is impossible (Laplace's rule of succession).
        let all = (errors.saturating_add(1)) as f64 / (requests.saturating_add(2)) as f64;
        let own = counts.iter().filter(|day| day.requests() >= DAY_REQUESTS);
        let share = own.map(|day| day.errors() as f64 / day.requests() as f64).fold(all, f64::max).min(1.0);
        Some(Self { share, requests })
    }

    /// What is unusual in these windows, if it is; `points` is how many percentage points above twice the usual share they
    /// must be.
    #[must_use]
    pub fn judge(&self, windows: &[Window; WINDOWS], points: u32) -> Option<Measured> {
        let least = 2.0 * self.share + f64::from(points) / 100.0;
        if windows.iter().any(|window| window.requests < WINDOW_REQUESTS || window.share() < least) {
            return None;
        }
        let all = windows.iter().fold(Window::default(), |sum, window| Window {
            requests: sum.requests.saturating_add(window.requests),
            errors: sum.errors.saturating_add(window.errors),
        });
        let unlikely = probability_at_most(all.requests, all.share(), self.share) < UNLIKELY;
        unlikely.then_some(Measured { observed: all.share(), expected: self.share, sample_size: self.requests })
    }
}

/// A bound of the probability that of `n` independent trials, each with the probability `usual`, a share of `observed` or
/// more comes about, for a share above the usual one.
fn probability_at_most(n: u64, observed: f64, usual: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    let divergence = part(observed, usual) + part(1.0 - observed, 1.0 - usual);
    (-(n as f64) * divergence).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::outcome::{Answered, Outcome};

    const TODAY: Day = Day(20_000);

    fn counts(requests: u64, errors: u64) -> Counts {
        let mut counts = Counts::default();
        counts.add_outcome(Outcome::Admitted, requests);
        counts.add_answer(Answered::ServerError, errors);
        counts
    }

    fn usual(days: &[(u64, u64)]) -> Option<UsualErrors> {
        let days =
            days.iter().zip(1..).map(|((requests, errors), ago)| (Day(TODAY.0 - ago), counts(*requests, *errors)));
        let mut account = Account { days: days.collect(), ..Account::default() };
        account.days.insert(TODAY, counts(1_000, 1_000));
        UsualErrors::before(TODAY, &account)
    }

    fn windows(all: [(u64, u64); WINDOWS]) -> [Window; WINDOWS] {
        all.map(|(requests, errors)| Window { requests, errors })
    }

    #[test]
    fn a_share_is_measured_by_the_worst_day_of_the_week_before() {
        assert_eq!(usual(&[(199, 0)]), None);
        let (good, bad) = (usual(&[(1_000, 10); 7]).unwrap(), usual(&[(1_000, 10), (100, 20)]).unwrap());
        let now = windows([(40, 12); 3]);
        let found = good.judge(&now, 5).unwrap();
        assert!((found.observed - 0.3).abs() < 1e-9 && (found.expected - 0.01).abs() < 1e-3, "{found:?}");
        assert_eq!(found.sample_size, 7_000);
        assert_eq!(bad.judge(&now, 5), None);
        assert!(bad.judge(&windows([(40, 20); 3]), 5).is_some());
    }

    #[test]
    fn a_release_is_no_finding_and_neither_are_few_requests() {
        let usual = usual(&[(10_000, 20); 7]).unwrap();
        assert_eq!(usual.judge(&windows([(1_000, 2), (1_000, 400), (1_000, 300)]), 5), None);
        assert_eq!(usual.judge(&windows([(24, 24); 3]), 5), None);
        assert_eq!(usual.judge(&windows([(30, 1); 3]), 5), None);
        assert!(usual.judge(&windows([(30, 30); 3]), 5).is_some());
    }

    #[test]
    fn the_bound_is_above_the_tail_of_the_binomial_and_near_it() {
        // P(X >= 60) of 100 trials of 1/2 is 0.0284.
        let bound = probability_at_most(100, 0.6, 0.5);
        assert!(bound > 0.0284 && bound < 0.2, "{bound}");
        let all = probability_at_most(100, 1.0, 0.5) / 0.5_f64.powi(100);
        assert!((all - 1.0).abs() < 1e-9, "{all}");
    }
}
