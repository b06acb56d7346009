//! Who would take over, and what would they know?

use std::collections::HashMap;

use keygate_core::store::Finding;

use super::Kind;
use super::ask::Asked;
use super::info::Info;

const CHECK: &str = "replicas";
/// A replica says every second how far it has got.
const LATE: u64 = 3;
const FENCE: &str = "set min-replicas-to-write 1, so that a primary that is cut off from its replicas takes no writes \
                     that a failover forgets";

/// One replica, as its primary sees it.
struct Replica {
    name: String,
    is_online: bool,
    /// Seconds since it last said how far it has got.
    lag: Option<u64>,
}

pub(super) fn judge(asked: &Asked, kind: Kind) -> Finding {
    let info = match &asked.info {
        Ok(info) => info,
        Err(silence) => return Finding::unknown(CHECK, format!("not known: {silence}"), silence.advice()),
    };
    match info.field("role") {
        Some("master") => {}
        Some(_) => {
            return Finding::failure(
                CHECK,
                "this is a replica, which takes no writes",
                "name its primary in KEYGATE_STORE, or the Sentinels that know which that is",
            );
        }
        None => {
            let observed = "the server does not say whether it is a primary, nor who follows it";
            return Finding::unknown(CHECK, observed, "ask whoever runs it");
        }
    }
    let replicas = replicas(info);
    if replicas.is_empty() {
        return alone(kind);
    }
    followed(&replicas, info, asked, kind)
}

fn alone(kind: Kind) -> Finding {
    let observed = "none";
    let advice = "add a replica: while there is none, nobody can take over from this primary";
    match kind {
        Kind::Lone | Kind::Pool => Finding::ok(CHECK, observed),
        Kind::Sentinel | Kind::Cluster => Finding::warning(CHECK, observed, advice),
    }
}

fn followed(replicas: &[Replica], info: &Info, asked: &Asked, kind: Kind) -> Finding {
    let late: Vec<String> = replicas.iter().filter_map(Replica::trouble).collect();
    let in_time = replicas.len() - late.len();
    let observed = format!("{in_time} of {} in time", replicas.len());
    if !late.is_empty() {
        let observed = format!("{observed}; {}", late.join(", "));
        let advice = "see to the replicas that are behind: a failover to one forgets what it has not heard, revocations \
                      included";
        return Finding::warning(CHECK, observed, advice);
    }
    let least = asked.min_replicas.as_ref().ok().and_then(|least| least.parse::<u64>().ok());
    // It is said only while the setting is in force.
    let is_fenced = least.map_or_else(|| info.field("min_slaves_good_slaves").is_some(), |least| least > 0);
    match (least, is_fenced) {
        (Some(least), true) => Finding::ok(CHECK, format!("{observed}, {least} of whom each write needs")),
        (None, true) => Finding::ok(CHECK, format!("{observed}, some of whom each write needs")),
        (_, false) if kind == Kind::Sentinel => {
            Finding::warning(CHECK, format!("{observed}, and writes need none of them"), FENCE)
        }
        (_, false) => Finding::ok(CHECK, observed),
    }
}

impl Replica {
    fn trouble(&self) -> Option<String> {
        let name = &self.name;
        if !self.is_online {
            return Some(format!("{name} is not in line yet"));
        }
        self.lag.filter(|lag| *lag > LATE).map(|lag| format!("{name} was last heard of {lag} s ago"))
    }
}

fn replicas(info: &Info) -> Vec<Replica> {
    let count = info.read::<usize>("connected_slaves").unwrap_or_default().min(1000);
    let lines = (0..count).filter_map(|nth| info.field(&format!("slave{nth}")));
    let read = |line: &str| {
        let fields: HashMap<&str, &str> = line.split(',').filter_map(|part| part.split_once('=')).collect();
        let field = |name| fields.get(name).copied();
        Replica {
            name: format!("{}:{}", field("ip").unwrap_or("?"), field("port").unwrap_or("?")),
            is_online: field("state") == Some("online"),
            lag: field("lag").and_then(|lag| lag.parse().ok()),
        }
    };
    lines.map(read).collect()
}

#[cfg(test)]
mod tests {
    use keygate_core::store::Verdict;

    use super::super::ask::{Answer, Silence};
    use super::*;

    fn seen(fields: &str, least: Answer<&str>, kind: Kind) -> Finding {
        let unsaid = || Err(Silence::Unsaid("it"));
        let (info, min_replicas) = (Ok(Info::parse(fields)), least.map(str::to_owned));
        judge(&Asked { info, save: unsaid(), appendfsync: unsaid(), policy: unsaid(), min_replicas }, kind)
    }

    fn line(nth: usize, state: &str, lag: u64) -> String {
        format!("slave{nth}:ip=10.0.0.{nth},port=6379,state={state},offset=5,lag={lag}\n")
    }

    #[test]
    fn a_primary_that_must_be_replaceable_needs_replicas() {
        let alone = "role:master\nconnected_slaves:0";
        for (kind, expected) in
            [(Kind::Lone, Verdict::Ok), (Kind::Sentinel, Verdict::Warning), (Kind::Cluster, Verdict::Warning)]
        {
            assert_eq!(seen(alone, Ok("0"), kind).verdict, expected, "{kind:?}");
        }
    }

    #[test]
    fn a_replica_that_is_behind_is_named() {
        let fields = format!("role:master\nconnected_slaves:2\n{}{}", line(0, "online", 1), line(1, "online", 40));
        let finding = seen(&fields, Ok("1"), Kind::Sentinel);
        assert_eq!(finding.verdict, Verdict::Warning);
        assert!(finding.observed.contains("1 of 2") && finding.observed.contains("10.0.0.1:6379"), "{finding:?}");
        let fields = format!("role:master\nconnected_slaves:1\n{}", line(0, "wait_bgsave", 0));
        assert_eq!(seen(&fields, Ok("1"), Kind::Lone).verdict, Verdict::Warning);
    }

    #[test]
    fn behind_sentinels_writes_are_fenced() {
        let fields = format!("role:master\nconnected_slaves:1\n{}", line(0, "online", 0));
        let forbidden = || Err(Silence::Forbidden("CONFIG GET"));
        assert_eq!(seen(&fields, Ok("0"), Kind::Sentinel).verdict, Verdict::Warning);
        assert_eq!(seen(&fields, forbidden(), Kind::Sentinel).verdict, Verdict::Warning);
        assert_eq!(seen(&fields, Ok("1"), Kind::Sentinel).verdict, Verdict::Ok);
        assert_eq!(seen(&fields, Ok("0"), Kind::Lone).verdict, Verdict::Ok);
        let said = format!("{fields}min_slaves_good_slaves:1");
        assert_eq!(seen(&said, forbidden(), Kind::Sentinel).verdict, Verdict::Ok);
    }

    #[test]
    fn a_replica_is_no_store() {
        assert_eq!(seen("role:slave", Ok("0"), Kind::Lone).verdict, Verdict::Failure);
        assert_eq!(seen("", Ok("0"), Kind::Lone).verdict, Verdict::Unknown);
    }
}
