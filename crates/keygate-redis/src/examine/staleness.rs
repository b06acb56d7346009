//! Does this configuration's bound on staleness fit the deployment's?

use std::collections::BTreeSet;
use std::time::Duration;

use keygate_core::store::Finding;

use super::ask::Answer;
use super::registry::Registry;
use crate::settings::Terms;

const CHECK: &str = "staleness";
const ALIKE: &str = "set KEYGATE_MAX_STALENESS_MS alike everywhere, and start every instance anew: the first one that \
                     is there sets the deployment's";

pub(super) fn judge(registries: &[&Answer<Registry>], terms: Terms, stale: Duration) -> Finding {
    let known: Vec<&Registry> = registries.iter().filter_map(|registry| registry.as_ref().ok()).collect();
    if let (true, Some(Err(silence))) = (known.is_empty(), registries.first()) {
        return Finding::unknown(CHECK, format!("the deployment's maximum is not known: {silence}"), silence.advice());
    }
    let own = millis(terms.max_staleness);
    let bound = millis(terms.lease + stale);
    let maxima: BTreeSet<u64> = known.iter().filter_map(|registry| registry.maximum).collect();
    let Some(least) = maxima.first() else {
        return Finding::ok(
            CHECK,
            format!("no instance is there; one with these settings would set the maximum to {own} ms"),
        );
    };
    let observed = format!("the deployment allows {least} ms, and these settings {own} ms");
    if bound > *least {
        return Finding::failure(
            CHECK,
            format!("{observed}; an instance with them would believe for {bound} ms, so it keeps nothing"),
            format!("lower KEYGATE_LEASE_MS (and KEYGATE_STALE_IF_ERROR_MS); or {ALIKE}"),
        );
    }
    if maxima.len() > 1 {
        let all: Vec<String> = maxima.iter().map(u64::to_string).collect();
        return Finding::warning(CHECK, format!("the primaries allow {} ms", all.join(", ")), ALIKE);
    }
    if *least != own {
        return Finding::warning(CHECK, observed, ALIKE);
    }
    Finding::ok(
        CHECK,
        format!("the deployment allows {own} ms, as these settings do, with a lease of {} ms", millis(terms.lease)),
    )
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use keygate_core::store::Verdict;

    use super::super::ask::Silence;
    use super::*;

    fn seen(maxima: &[Option<u64>], stale: u64) -> Verdict {
        let registries: Vec<Answer<Registry>> =
            maxima.iter().map(|maximum| Ok(Registry { maximum: *maximum, ..Registry::default() })).collect();
        judge(&registries.iter().collect::<Vec<_>>(), Terms::default(), Duration::from_millis(stale)).verdict
    }

    #[test]
    fn one_bound_holds_for_all() {
        assert_eq!(seen(&[Some(5000)], 0), Verdict::Ok);
        assert_eq!(seen(&[None], 0), Verdict::Ok);
        assert_eq!(seen(&[Some(5000), None, Some(5000)], 0), Verdict::Ok);
        assert_eq!(seen(&[Some(6000)], 0), Verdict::Warning);
        assert_eq!(seen(&[Some(2000)], 0), Verdict::Warning);
        assert_eq!(seen(&[Some(5000), Some(6000)], 0), Verdict::Warning);
        assert_eq!(seen(&[Some(900)], 0), Verdict::Failure);
        assert_eq!(seen(&[Some(2000)], 1500), Verdict::Failure);
    }

    #[test]
    fn a_registry_that_is_not_read_is_unknown() {
        let silent: Answer<Registry> = Err(Silence::Forbidden("ZRANGEBYSCORE"));
        assert_eq!(judge(&[&silent], Terms::default(), Duration::ZERO).verdict, Verdict::Unknown);
    }
}
