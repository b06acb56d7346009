//! Which instances are there, and for how long do they believe?

use keygate_core::store::Finding;

use super::ask::Answer;
use super::registry::{Instance, Registry};

const CHECK: &str = "instances";

pub(super) fn judge(registries: &[&Answer<Registry>]) -> Finding {
    let known: Vec<&Registry> = registries.iter().filter_map(|registry| registry.as_ref().ok()).collect();
    if let (true, Some(Err(silence))) = (known.is_empty(), registries.first()) {
        return Finding::unknown(CHECK, format!("who is registered is not known: {silence}"), silence.advice());
    }
    // Each is registered with every primary of a Cluster.
    let most = |is: &dyn Fn(&&Instance) -> bool| {
        known.iter().map(|registry| registry.instances.iter().filter(is).count()).max().unwrap_or_default()
    };
    let (alive, gone) = (most(&|one| one.is_alive), most(&|one| !one.is_alive));
    let deaf = most(&|one| one.is_alive && !one.is_told);
    let all = known.iter().flat_map(|registry| &registry.instances).filter(|one| one.is_alive);
    let longest = all.filter_map(|one| one.bound).max();
    let mut observed = match alive {
        0 => "none is registered".to_owned(),
        1 => "1 is registered".to_owned(),
        many => format!("{many} are registered"),
    };
    if let Some(longest) = longest {
        observed += &format!(", none of which believes for longer than {longest} ms without being told");
    }
    if gone > 0 {
        observed += &format!("; {gone} ended or fell silent in the last minute");
    }
    if deaf == 0 {
        return Finding::ok(CHECK, observed);
    }
    Finding::warning(
        CHECK,
        format!("{observed}; {deaf} cannot be told of changes, and believe what they read for that long"),
        "let them connect to a Redis that tracks (see the finding on tracking), without a pool or a proxy",
    )
}

#[cfg(test)]
mod tests {
    use keygate_core::store::Verdict;

    use super::super::ask::Silence;
    use super::*;

    fn instance(is_alive: bool, is_told: bool) -> Instance {
        Instance { is_alive, bound: Some(1000), is_told }
    }

    fn seen(registries: &[&[Instance]]) -> Finding {
        let registries: Vec<Answer<Registry>> =
            registries.iter().map(|instances| Ok(Registry { instances: instances.to_vec(), maximum: None })).collect();
        judge(&registries.iter().collect::<Vec<_>>())
    }

    #[test]
    fn instances_are_counted_once_over_all_primaries() {
        let told = instance(true, true);
        let finding = seen(&[&[told, told], &[told, told, instance(false, true)]]);
        assert_eq!(finding.verdict, Verdict::Ok);
        assert!(
            finding.observed.starts_with("2 are registered") && finding.observed.contains("1 ended"),
            "{finding:?}"
        );
        assert_eq!(seen(&[&[]]).observed, "none is registered");
    }

    #[test]
    fn one_that_is_not_told_is_a_warning_while_it_is_there() {
        assert_eq!(seen(&[&[instance(true, true), instance(true, false)]]).verdict, Verdict::Warning);
        assert_eq!(seen(&[&[instance(true, true), instance(false, false)]]).verdict, Verdict::Ok);
        let silent: Answer<Registry> = Err(Silence::Forbidden("ZRANGEBYSCORE"));
        assert_eq!(judge(&[&silent]).verdict, Verdict::Unknown);
    }
}
