//! The two fields, written.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use keygate_core::limiter::policy::{Bound, Policy, Standing};

/// The greatest integer of a structured field (RFC 9651, section 3.3.1). No limit comes near it.
const MAX_INTEGER: u64 = 999_999_999_999_999;
/// More than the longest field of one limit: `"organization-minute"`, and two integers of 15 digits with their names.
const LONGEST: usize = 64;

/// In whole seconds, rounded up, so that a client that waits is not early.
pub(crate) fn seconds(wait: Duration) -> u64 {
    (wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))).min(MAX_INTEGER)
}

/// The most seconds of a month; its policy says those of 30 days.
const LONGEST_MONTH: u64 = 31 * 86_400;

/// In how many whole seconds all of a limit is there again. An instance waits for a window to have ended on every clock,
/// which is longer than it lasts; clients are told no more than that.
pub(crate) fn reset(standing: &Standing) -> u64 {
    let Policy { bound, seconds: whole, .. } = standing.policy;
    seconds(standing.reset).min(if bound == Bound::Month { LONGEST_MONTH } else { whole })
}

/// `RateLimit-Policy`: which limits there are. What an adapter has
/// [`Admission::policies`](keygate_core::context::Admission::policies) write.
#[must_use]
pub fn policies(policies: &[Policy]) -> Bytes {
    let mut field = String::new();
    for policy in policies {
        let (quota, window) = (policy.limit.min(MAX_INTEGER), policy.seconds.min(MAX_INTEGER));
        // Writing to a string does not fail.
        let _ = write!(field, "{}\"{policy}\";q={quota};w={window}", separator(&field));
    }
    Bytes::from(field)
}

/// `RateLimit`, where a request was let in: what is left of this limit. It allocates once: it is written for each response.
#[must_use]
pub fn standing(standing: &Standing) -> Bytes {
    let mut field = [0; LONGEST];
    let mut rest = &mut field[..];
    let (remaining, reset) = (standing.remaining.min(MAX_INTEGER), reset(standing));
    // It is long enough.
    let _ = write!(rest, "\"{}\";r={remaining};t={reset}", standing.policy);
    let written = LONGEST - rest.len();
    Bytes::copy_from_slice(&field[..written])
}

/// `RateLimit`, where a request was not let in: the limits that had no room for it. No time is told where none helps.
/// `None` where no limit is to blame.
pub(crate) fn violated(standings: &[Standing], is_permanent: bool) -> Option<String> {
    let mut field = String::new();
    for standing in standings {
        let _ = write!(field, "{}\"{}\";r=0", separator(&field), standing.policy);
        if !is_permanent {
            let _ = write!(field, ";t={}", reset(standing));
        }
    }
    Some(field).filter(|field| !field.is_empty())
}

fn separator(before: &str) -> &'static str {
    if before.is_empty() { "" } else { ", " }
}

#[cfg(test)]
mod tests {
    use keygate_core::limiter::policy::{Bound, Level};
    use proptest::prelude::*;
    use sfv::{BareItem, List, ListEntry, Parser};

    use super::*;

    fn policy() -> impl Strategy<Value = Policy> {
        let (level, bound) = (prop::sample::select(&Level::ALL[..]), prop::sample::select(&Bound::ALL[..]));
        (level, bound, any::<u64>(), any::<u64>()).prop_map(|(level, bound, limit, seconds)| Policy {
            level,
            bound,
            limit,
            seconds,
        })
    }

    fn one_standing() -> impl Strategy<Value = Standing> {
        let reset = (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos));
        (policy(), any::<u64>(), reset).prop_map(|(policy, remaining, reset)| Standing { policy, remaining, reset })
    }

    /// The items of a list: the name of each, and its parameters.
    fn parse(field: &[u8]) -> Vec<(String, Vec<(String, u64)>)> {
        let list: List = Parser::new(field).parse().unwrap();
        let items = list.into_iter().map(|entry| {
            let item = if let ListEntry::Item(item) = entry { Some(item) } else { None }.unwrap();
            let integer = |value: &BareItem| u64::try_from(i64::from(value.as_integer().unwrap())).unwrap();
            let params = item.params.iter().map(|(name, value)| (name.to_string(), integer(value)));
            (item.bare_item.as_string().unwrap().to_string(), params.collect())
        });
        items.collect()
    }

    fn expect(policy: &Policy, params: &[(&str, u64)]) -> (String, Vec<(String, u64)>) {
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).min(MAX_INTEGER)));
        (policy.to_string(), params.collect())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_as_a_structured_field(
            told in prop::collection::vec(policy(), 1..20),
            left in one_standing(),
            short in prop::collection::vec(one_standing(), 1..5),
        ) {
            let expected: Vec<_> = told.iter().map(|told| expect(told, &[("q", told.limit), ("w", told.seconds)])).collect();
            prop_assert_eq!(parse(&policies(&told)), expected);

            let expected = expect(&left.policy, &[("r", left.remaining), ("t", reset(&left))]);
            prop_assert_eq!(parse(&standing(&left)), [expected]);

            let expected = |times: bool| -> Vec<_> {
                let params = |short: &Standing| [("r", 0), ("t", reset(short))];
                short.iter().map(|short| expect(&short.policy, &params(short)[..1 + usize::from(times)])).collect()
            };
            prop_assert_eq!(parse(violated(&short, false).unwrap().as_bytes()), expected(true));
            prop_assert_eq!(parse(violated(&short, true).unwrap().as_bytes()), expected(false));
        }

        #[test]
        fn a_client_that_waits_so_many_seconds_is_never_early_and_never_a_second_late(millis in 0..10_000_000_u64) {
            let told = Duration::from_secs(seconds(Duration::from_millis(millis)));
            let wait = Duration::from_millis(millis);
            prop_assert!(told >= wait && told - wait < Duration::from_secs(1));
        }
    }

    #[test]
    fn seconds_are_rounded_up() {
        for (nanos, told) in [(0, 0), (1, 1), (999_999_999, 1), (1_000_000_000, 1), (1_000_000_001, 2)] {
            assert_eq!(seconds(Duration::from_nanos(nanos)), told, "{nanos}");
        }
        assert_eq!(seconds(Duration::MAX), MAX_INTEGER);
    }

    #[test]
    fn no_window_is_said_to_last_longer_than_it_does() {
        let told = |bound, seconds, reset| {
            let policy = Policy { level: Level::Key, bound, limit: 1, seconds };
            super::reset(&Standing { policy, remaining: 0, reset: Duration::from_millis(reset) })
        };
        assert_eq!(told(Bound::Minute, 60, 60_013), 60);
        assert_eq!(told(Bound::Minute, 60, 59_001), 60);
        assert_eq!(told(Bound::Minute, 60, 59_000), 59);
        assert_eq!(told(Bound::Month, 30 * 86_400, 31 * 86_400_000 + 1), 31 * 86_400);
        assert_eq!(told(Bound::Burst, 3, 2_500), 3);
    }

    #[test]
    fn the_longest_field_has_room() {
        let policy = Policy { level: Level::Organization, bound: Bound::Minute, limit: u64::MAX, seconds: u64::MAX };
        let field = standing(&Standing { policy, remaining: u64::MAX, reset: Duration::MAX });
        assert_eq!(field, format!("\"organization-minute\";r={MAX_INTEGER};t={MAX_INTEGER}"));
        assert!(field.len() < LONGEST);
    }

    #[test]
    fn without_a_limit_to_blame_none_is_named() {
        assert_eq!(violated(&[], false), None);
    }
}
