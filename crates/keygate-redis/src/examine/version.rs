//! Is the server of a version that keygate works on?

use keygate_core::store::Finding;

use super::SelfDescription;
use super::info::Info;

const CHECK: &str = "version";

type Version = (u32, u32, u32);

const LEAST: Version = (6, 2, 0);

/// The first releases with the fix of CVE-2025-49844 (Lua), by their series; of 7.0 there is none. Source: the advisories of
/// Redis and of Valkey.
const REDIS_FIXES: [Version; 6] = [(6, 2, 20), (7, 0, u32::MAX), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)];
const VALKEY_FIXES: [Version; 3] = [(7, 2, 11), (8, 0, 6), (8, 1, 4)];

pub(super) fn judge(info: &SelfDescription) -> Finding {
    let info = match info {
        Ok(info) => info,
        Err(silence) => return Finding::unknown(CHECK, format!("not known: {silence}"), silence.advice()),
    };
    if info.field("redis_mode") == Some("sentinel") {
        return Finding::failure(
            CHECK,
            "this is a Sentinel, which keeps no keys",
            "name it as one in KEYGATE_STORE: redis+sentinel://HOST:PORT,HOST:PORT/MASTER",
        );
    }
    let Some((text, version)) = info.field("redis_version").and_then(|text| Some((text, parse(text)?))) else {
        return Finding::unknown(CHECK, "the server does not say its version", "see that it is 6.2 or later");
    };
    let (name, fixes) = product(info, text);
    if version < LEAST {
        return Finding::failure(
            CHECK,
            format!("{name} is too old"),
            "upgrade it to 6.2 or later, best 8.2.2 or later",
        );
    }
    let (own, fixes) = match fixes {
        Fixes::Redis => (version, &REDIS_FIXES[..]),
        Fixes::Valkey(own) => (own, &VALKEY_FIXES[..]),
        Fixes::NotKnown => return Finding::ok(CHECK, name),
    };
    match fixes.iter().find(|fix| (fix.0, fix.1) == (own.0, own.1)) {
        Some(fix) if own < *fix => Finding::warning(
            CHECK,
            format!(
                "{name}: a version without the fix of CVE-2025-49844, unless who built it put that in; with the flaw, \
                 whoever may run scripts can take the server over"
            ),
            "upgrade it to 6.2.20, 7.2.11, 7.4.6, 8.0.4, 8.2.2 or later (Valkey: 7.2.11, 8.0.6, 8.1.4), and let nobody \
             but keygate run scripts on it",
        ),
        _ => Finding::ok(CHECK, name),
    }
}

/// Whose fixes count.
enum Fixes {
    Redis,
    Valkey(Version),
    /// Those who call themselves Redis, of this version, for the sake of clients.
    NotKnown,
}

fn product(info: &Info, redis: &str) -> (String, Fixes) {
    if let Some(own) = info.field("valkey_version") {
        let fixes = parse(own).map_or(Fixes::NotKnown, Fixes::Valkey);
        return (format!("Valkey {own}"), fixes);
    }
    for (field, name) in
        [("dragonfly_version", "Dragonfly"), ("kvrocks_version", "Kvrocks"), ("garnet_version", "Garnet")]
    {
        if let Some(own) = info.field(field) {
            return (format!("{name} {own}, which goes as Redis {redis}"), Fixes::NotKnown);
        }
    }
    (format!("Redis {redis}"), Fixes::Redis)
}

/// The first three numbers; what is left out is 0.
fn parse(text: &str) -> Option<Version> {
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
    let mut parts = text.trim_start_matches('v').split('.').map(|part| digits(part).parse::<u32>().ok());
    let major = parts.next()??;
    let mut next = || parts.next().flatten().unwrap_or_default();
    Some((major, next(), next()))
}

#[cfg(test)]
mod tests {
    use keygate_core::store::Verdict;

    use super::super::ask::Silence;
    use super::*;

    #[track_caller]
    fn is(fields: &str, expected: Verdict) -> Finding {
        let finding = judge(&Ok(Info::parse(fields)));
        assert_eq!(finding.verdict, expected, "{fields}: {finding:?}");
        finding
    }

    #[test]
    fn what_is_too_old_is_a_failure_and_what_has_the_flaw_a_warning() {
        for old in ["2.8.0", "5.0.14", "6.0.16"] {
            is(&format!("redis_version:{old}"), Verdict::Failure);
        }
        for flawed in ["6.2.7", "7.0.15", "7.2.4", "7.4.5", "8.0.3", "8.2.1"] {
            is(&format!("redis_version:{flawed}"), Verdict::Warning);
        }
        for fixed in ["6.2.20", "7.2.11", "7.4.6", "8.0.4", "8.2.2", "8.4.0", "9.0.0-rc1"] {
            is(&format!("redis_version:{fixed}"), Verdict::Ok);
        }
    }

    #[test]
    fn others_than_redis_go_by_their_own_versions() {
        let valkey = is("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.4", Verdict::Ok);
        assert_eq!(valkey.observed, "Valkey 8.1.4");
        is("redis_version:7.2.4\r\nvalkey_version:8.1.3", Verdict::Warning);
        is("redis_version:7.2.4\r\nvalkey_version:9.0.0", Verdict::Ok);
        is("redis_version:7.4.0\r\ndragonfly_version:df-v1.30.0", Verdict::Ok);
    }

    #[test]
    fn what_is_not_said_is_unknown_and_a_sentinel_is_no_store() {
        is("", Verdict::Unknown);
        is("redis_version:unstable", Verdict::Unknown);
        is("redis_version:7.2.11\r\nredis_mode:sentinel", Verdict::Failure);
        assert_eq!(judge(&Err(Silence::Forbidden("INFO"))).verdict, Verdict::Unknown);
    }
}
