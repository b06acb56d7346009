//! Does the server forget entries when memory is short?

use keygate_core::store::Finding;

use super::ask::{Asked, Silence};

const CHECK: &str = "eviction";
const MEND: &str = "set maxmemory-policy noeviction, and give keygate a server of its own";

pub(super) fn judge(asked: &Asked) -> Finding {
    let said = asked.info.as_ref().ok().and_then(|info| info.field("maxmemory_policy"));
    let policy = match (said, &asked.policy) {
        (Some(policy), _) => policy,
        (None, Ok(policy)) => policy.as_str(),
        (None, Err(silence)) => return unknown(silence),
    };
    match policy {
        "noeviction" => Finding::ok(CHECK, "noeviction: nothing is forgotten when memory is short"),
        "volatile-lru" | "volatile-lfu" | "volatile-random" | "volatile-ttl" => Finding::failure(
            CHECK,
            format!(
                "{policy}: when memory is short it forgets what has an end: the word that keys were revoked, and what keeps \
                 late writes from landing"
            ),
            MEND,
        ),
        _ => Finding::failure(
            CHECK,
            format!("{policy}: when memory is short it forgets keys, revocations and suspensions"),
            MEND,
        ),
    }
}

fn unknown(silence: &Silence) -> Finding {
    Finding::unknown(
        CHECK,
        format!("the maxmemory-policy is not known: {silence}"),
        format!("{}; {MEND}", silence.advice()),
    )
}

#[cfg(test)]
mod tests {
    use keygate_core::store::Verdict;

    use super::super::ask::Answer;
    use super::super::info::Info;
    use super::*;

    fn seen(info: &str, policy: Answer<&str>) -> Verdict {
        let unsaid = || Err(Silence::Unsaid("it"));
        let (info, policy) = (Ok(Info::parse(info)), policy.map(str::to_owned));
        judge(&Asked { info, save: unsaid(), appendfsync: unsaid(), policy, min_replicas: unsaid() }).verdict
    }

    #[test]
    fn anything_but_noeviction_is_a_failure() {
        let silent = || Err(Silence::Forbidden("CONFIG GET"));
        assert_eq!(seen("maxmemory_policy:noeviction", silent()), Verdict::Ok);
        for policy in ["allkeys-lru", "allkeys-random", "volatile-ttl", "volatile-lru", "cache"] {
            assert_eq!(seen(&format!("maxmemory_policy:{policy}"), silent()), Verdict::Failure, "{policy}");
            assert_eq!(seen("", Ok(policy)), Verdict::Failure, "{policy}");
        }
        assert_eq!(seen("", Ok("noeviction")), Verdict::Ok);
        assert_eq!(seen("", silent()), Verdict::Unknown);
    }
}
