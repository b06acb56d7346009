//! Is there room for more?

use keygate_core::store::Finding;

use super::SelfDescription;

const CHECK: &str = "memory";
/// Shares of what may be used, in percent. A full server refuses creations, revocations and heartbeats.
const SHORT: u64 = 80;
const FULL: u64 = 95;

pub(super) fn judge(info: &SelfDescription) -> Finding {
    let info = match info {
        Ok(info) => info,
        Err(silence) => return Finding::unknown(CHECK, format!("not known: {silence}"), silence.advice()),
    };
    let Some(used) = info.read::<u64>("used_memory") else {
        return Finding::unknown(CHECK, "the server does not say how much it uses", "watch it by other means");
    };
    let limit = info.read::<u64>("maxmemory").filter(|limit| *limit > 0);
    match (limit, info.read::<u64>("total_system_memory").filter(|total| *total > 0)) {
        (Some(limit), _) => used_of(used, limit, "maxmemory", "raise maxmemory"),
        (None, Some(total)) => used_of(used, total, "the machine's memory", "move it to a larger machine"),
        (None, None) => Finding::ok(CHECK, format!("{} are used, without a limit", mebibytes(used))),
    }
}

fn used_of(used: u64, whole: u64, what: &str, mend: &str) -> Finding {
    let percent = u128::from(used) * 100 / u128::from(whole.max(1));
    let observed = format!("{} are used, {percent} % of {what} ({})", mebibytes(used), mebibytes(whole));
    let mend = format!("{mend}, or delete keys that are out of use: when it is full, keys cannot be made or revoked");
    if percent >= u128::from(FULL) {
        Finding::failure(CHECK, observed, mend)
    } else if percent >= u128::from(SHORT) {
        Finding::warning(CHECK, observed, mend)
    } else {
        Finding::ok(CHECK, observed)
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

#[cfg(test)]
mod tests {
    use keygate_core::store::Verdict;

    use super::super::info::Info;
    use super::*;

    fn seen(fields: &str) -> Verdict {
        judge(&Ok(Info::parse(fields))).verdict
    }

    #[test]
    fn a_server_is_short_of_memory_before_it_is_full() {
        assert_eq!(seen("used_memory:79\nmaxmemory:100"), Verdict::Ok);
        assert_eq!(seen("used_memory:80\nmaxmemory:100"), Verdict::Warning);
        assert_eq!(seen("used_memory:95\nmaxmemory:100"), Verdict::Failure);
        assert_eq!(seen("used_memory:200\nmaxmemory:100"), Verdict::Failure);
    }

    #[test]
    fn without_a_limit_the_machine_is_one() {
        assert_eq!(seen("used_memory:79\nmaxmemory:0\ntotal_system_memory:100"), Verdict::Ok);
        assert_eq!(seen("used_memory:90\nmaxmemory:0\ntotal_system_memory:100"), Verdict::Warning);
        assert_eq!(seen("used_memory:90"), Verdict::Ok);
        assert_eq!(seen("maxmemory:100"), Verdict::Unknown);
    }
}
