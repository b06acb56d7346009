//! Does the server take writes?

use keygate_core::store::Finding;
use redis::{RedisError, Value};

use super::ask::one_line;

const CHECK: &str = "writes";

/// What a refusal begins with, what it means, and what to do.
const REFUSALS: [(&str, &str, &str); 9] = [
    ("OOM", "its memory is full", "raise maxmemory, or move it to a larger machine"),
    ("READONLY", "it is a replica", "name its primary in KEYGATE_STORE, or the Sentinels that know which that is"),
    ("MISCONF", "it cannot write to its disk", "see its log, and whether its disk is full"),
    (
        "NOREPLICAS",
        "fewer replicas follow it than min-replicas-to-write asks for",
        "see to its replicas; where it was cut off from them, another may be the primary by now",
    ),
    ("CLUSTERDOWN", "its Cluster is down", "see the finding on the Cluster"),
    ("MOVED", "it is a node of a Cluster", "write redis+cluster://HOST:PORT in KEYGATE_STORE"),
    (
        "NOPERM",
        "this user may not",
        "let the user of KEYGATE_STORE write to the names of its namespace, and run scripts (ACL)",
    ),
    ("BUSY", "a script of somebody's runs without end", "end it with SCRIPT KILL"),
    ("LOADING", "it is reading its data", "wait until it has"),
];

pub(super) fn judge(written: &Result<Value, RedisError>) -> Finding {
    let error = match written {
        Ok(_) => return Finding::ok(CHECK, "a script wrote and was answered"),
        Err(error) => error,
    };
    let known = REFUSALS.iter().find(|(word, ..)| says(error, word));
    match known {
        Some((word, meaning, advice)) => {
            Finding::failure(CHECK, format!("it refuses writes ({word}): {meaning}"), *advice)
        }
        None => Finding::failure(CHECK, format!("a write failed: {}", one_line(error)), "see the server's log"),
    }
}

/// Older servers say in a script's error what was refused inside of it.
fn says(error: &RedisError, word: &str) -> bool {
    error.code() == Some(word) || error.detail().is_some_and(|detail| detail.contains(word))
}

#[cfg(test)]
mod tests {
    use keygate_core::store::Verdict;

    use super::*;

    #[test]
    fn a_refusal_is_told_with_its_meaning() {
        assert_eq!(judge(&Ok(Value::Okay)).verdict, Verdict::Ok);
        for (said, word, meaning) in [
            ("OOM command not allowed when used memory > 'maxmemory'.", "OOM", "full"),
            ("ERR Error running script: @user_script: 1: -READONLY You can't write", "READONLY", "replica"),
            ("MISCONF Redis is configured to save RDB snapshots", "MISCONF", "disk"),
            ("NOREPLICAS Not enough good replicas to write.", "NOREPLICAS", "min-replicas-to-write"),
            ("CLUSTERDOWN The cluster is down", "CLUSTERDOWN", "Cluster"),
            ("NOPERM this user has no permissions to run the 'eval' command", "NOPERM", "may not"),
            ("ERR something new", "something new", "failed"),
        ] {
            let error =
                redis::parse_redis_value(format!("-{said}\r\n").as_bytes()).unwrap().extract_error().unwrap_err();
            let finding = judge(&Err(error));
            assert_eq!(finding.verdict, Verdict::Failure);
            assert!(finding.observed.contains(word) && finding.observed.contains(meaning), "{finding:?}");
        }
    }
}
