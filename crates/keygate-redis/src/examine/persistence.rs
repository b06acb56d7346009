//! What does the server still know after it has ended?

use keygate_core::store::Finding;

use super::ask::Asked;
use super::info::Info;

const CHECK: &str = "persistence";
const TURN_ON: &str = "set appendonly yes and appendfsync everysec (or always)";

pub(super) fn judge(asked: &Asked) -> Finding {
    let info = match &asked.info {
        Ok(info) => info,
        Err(silence) => return Finding::unknown(CHECK, format!("not known: {silence}"), silence.advice()),
    };
    if let Some(trouble) = trouble(info) {
        return trouble;
    }
    match info.flag("aof_enabled") {
        Some(true) => appending(asked),
        Some(false) => without(asked),
        None => Finding::unknown(CHECK, "the server does not say whether it writes an append-only file", TURN_ON),
    }
}

/// A disk that does not take what is written.
fn trouble(info: &Info) -> Option<Finding> {
    let failed = |field| info.field(field).is_some_and(|status| status != "ok");
    let mend = "see the server's log, and whether its disk is full";
    if failed("aof_last_write_status") {
        return Some(Finding::failure(CHECK, "the last write to the append-only file failed", mend));
    }
    for (field, what) in
        [("rdb_last_bgsave_status", "snapshot"), ("aof_last_bgrewrite_status", "rewriting of the append-only file")]
    {
        if failed(field) {
            return Some(Finding::warning(CHECK, format!("the last {what} failed"), mend));
        }
    }
    None
}

fn appending(asked: &Asked) -> Finding {
    match asked.appendfsync.as_deref() {
        Ok("always") => Finding::ok(CHECK, "append-only file, synced before each answer"),
        Ok("everysec") => {
            Finding::ok(CHECK, "append-only file, synced every second: a power loss may forget that much")
        }
        Ok(other) => Finding::warning(
            CHECK,
            format!(
                "append-only file with appendfsync {other}: a power loss may forget half a minute, revocations included"
            ),
            TURN_ON,
        ),
        Err(silence) => {
            let observed = format!("append-only file; how often it is synced is not known: {silence}");
            Finding::unknown(CHECK, observed, silence.advice())
        }
    }
}

fn without(asked: &Asked) -> Finding {
    match asked.save.as_deref().map(str::trim) {
        Ok("" | "\"\"") => Finding::warning(
            CHECK,
            "nothing is written to disk: a server that ends without a replica to take over forgets every key",
            TURN_ON,
        ),
        Ok(save) => Finding::warning(
            CHECK,
            format!(
                "snapshots alone (save {save}): a crash forgets what was changed since the last, revocations included"
            ),
            TURN_ON,
        ),
        Err(silence) => {
            let observed = format!("no append-only file; whether there are snapshots is not known: {silence}");
            Finding::unknown(CHECK, observed, silence.advice())
        }
    }
}

#[cfg(test)]
mod tests {
    use keygate_core::store::Verdict;

    use super::super::ask::{Answer, Silence};
    use super::*;

    fn seen(info: &str, save: Answer<&str>, fsync: Answer<&str>) -> Verdict {
        let unsaid = || Err(Silence::Unsaid("it"));
        let (save, appendfsync) = (save.map(str::to_owned), fsync.map(str::to_owned));
        let info = Ok(Info::parse(info));
        judge(&Asked { info, save, appendfsync, policy: unsaid(), min_replicas: unsaid() }).verdict
    }

    #[test]
    fn what_a_crash_forgets_is_a_warning() {
        let (on, off) = ("aof_enabled:1", "aof_enabled:0");
        assert_eq!(seen(on, Ok(""), Ok("always")), Verdict::Ok);
        assert_eq!(seen(on, Ok(""), Ok("everysec")), Verdict::Ok);
        assert_eq!(seen(on, Ok(""), Ok("no")), Verdict::Warning);
        assert_eq!(seen(off, Ok("3600 1 300 100"), Ok("everysec")), Verdict::Warning);
        assert_eq!(seen(off, Ok(""), Ok("everysec")), Verdict::Warning);
    }

    #[test]
    fn what_is_not_said_is_unknown() {
        let forbidden = || Err(Silence::Forbidden("CONFIG GET"));
        for info in ["aof_enabled:1", "aof_enabled:0", "", "aof_enabled:x"] {
            assert_eq!(seen(info, forbidden(), forbidden()), Verdict::Unknown, "{info}");
        }
    }

    #[test]
    fn a_disk_that_takes_nothing_is_told_first() {
        let seen = |info: &str| seen(info, Ok(""), Ok("always"));
        assert_eq!(seen("aof_enabled:1\naof_last_write_status:err"), Verdict::Failure);
        assert_eq!(seen("aof_enabled:1\nrdb_last_bgsave_status:err"), Verdict::Warning);
        assert_eq!(seen("aof_enabled:1\naof_last_write_status:ok\nrdb_last_bgsave_status:ok"), Verdict::Ok);
    }
}
