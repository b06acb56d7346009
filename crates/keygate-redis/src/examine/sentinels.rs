//! Do the Sentinels agree, and could they replace the primary?

use std::collections::HashMap;

use futures_util::future::join_all;
use keygate_core::store::Finding;
use redis::Value;

use super::ask::{Answer, PATIENCE, Silence, read};
use crate::link::{Bare, Server, in_time};
use crate::settings::{Host, Place, RedisSettings};

const CHECK: &str = "sentinels";
/// Fewer cannot outvote one that is cut off. Source: the documentation of Sentinel.
const FEW: usize = 3;

/// What one Sentinel says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    primary: Host,
    /// Grows with every failover.
    epoch: Option<u64>,
    /// How many there are, itself included.
    sentinels: Option<usize>,
    /// Whether it takes the primary for down.
    is_down: bool,
    /// Its word on whether a failover is possible.
    quorum: Answer<String>,
}

pub(super) async fn examine(settings: &RedisSettings) -> Vec<Finding> {
    let Place::Sentinel { sentinels, master, credentials } = &settings.address.place else { return Vec::new() };
    let mut own = settings.clone();
    (own.address.credentials, own.address.db) = (credentials.clone(), 0);
    let said = join_all(sentinels.iter().map(|host| ask(&own, host, master))).await;
    let said: Vec<(String, Answer<Said>)> = sentinels.iter().map(Host::to_string).zip(said).collect();
    vec![judge(&said, master)]
}

async fn ask(settings: &RedisSettings, host: &Host, master: &str) -> Answer<Said> {
    let failed = |error: redis::RedisError| Silence::of("SENTINEL", &error);
    let bare = Server::at(settings, host).await.map_err(failed)?.open().await.map_err(failed)?;
    Said::ask(&bare, master).await
}

impl Said {
    async fn ask(bare: &Bare<'_>, master: &str) -> Answer<Self> {
        let cmds = ["GET-MASTER-ADDR-BY-NAME", "MASTER", "CKQUORUM"].map(|word| {
            let mut cmd = redis::cmd("SENTINEL");
            cmd.arg(word).arg(master);
            cmd
        });
        let answers =
            in_time(PATIENCE, bare.query_all(&cmds)).await.map_err(|error| Silence::of("SENTINEL", &error))?;
        let mut answers = answers.into_iter();
        let (named, details, quorum) = (answers.next(), answers.next(), answers.next());
        let named: Option<(String, u16)> = read("SENTINEL GET-MASTER-ADDR-BY-NAME", named)?;
        let (name, port) = named.ok_or(Silence::Unsaid("who the master is: it knows none of this name"))?;
        // Of one that does not tell more, the address alone counts.
        let details: HashMap<String, String> = read::<Value>("SENTINEL MASTER", details)
            .ok()
            .and_then(|all| redis::from_redis_value(all).ok())
            .unwrap_or_default();
        let number = |field: &str| details.get(field).and_then(|value| value.parse::<u64>().ok());
        Ok(Self {
            primary: Host { name, port },
            epoch: number("config-epoch"),
            sentinels: number("num-other-sentinels")
                .and_then(|others| usize::try_from(others).ok())
                .map(|others| others + 1),
            is_down: details.get("flags").is_some_and(|flags| flags.contains("_down")),
            quorum: read("SENTINEL CKQUORUM", quorum),
        })
    }
}

fn judge(said: &[(String, Answer<Said>)], master: &str) -> Finding {
    let answers: Vec<(&str, &Said)> =
        said.iter().filter_map(|(name, said)| Some((name.as_str(), said.as_ref().ok()?))).collect();
    let silent: Vec<String> =
        said.iter().filter_map(|(name, said)| Some(format!("{name}: {}", said.as_ref().err()?))).collect();
    let Some((_, first)) = answers.first() else {
        let observed = format!("none of {} names {master}: {}", said.len(), silent.join("; "));
        return Finding::failure(
            CHECK,
            observed,
            "see that they run and watch that master, and that KEYGATE_STORE names them",
        );
    };
    if let Some(finding) = disagreement(&answers).or_else(|| no_failover(&answers)) {
        return finding;
    }
    let observed = format!("{} of {} name {} as {master}", answers.len(), said.len(), first.primary);
    if !silent.is_empty() {
        let observed = format!("{observed}; {}", silent.join("; "));
        return Finding::warning(CHECK, observed, "see to those, or take them out of KEYGATE_STORE");
    }
    if let Some(silence) = answers.iter().find_map(|(_, said)| said.quorum.as_ref().err()) {
        let observed = format!("{observed}; whether they could replace it is not known: {silence}");
        return Finding::unknown(CHECK, observed, silence.advice());
    }
    let fewest = answers.iter().filter_map(|(_, said)| said.sentinels).min();
    match fewest {
        Some(few) if few < FEW => Finding::warning(
            CHECK,
            format!("{observed}, and there are {few} in all"),
            "run at least three, on machines that fail apart: with fewer, the loss of one may leave nobody to replace the \
             primary",
        ),
        _ => Finding::ok(CHECK, format!("{observed}, and could replace it")),
    }
}

/// They name different primaries.
fn disagreement(answers: &[(&str, &Said)]) -> Option<Finding> {
    let newest = answers.iter().map(|(_, said)| said.epoch).max()?;
    let (_, right) = answers.iter().find(|(_, said)| said.epoch == newest)?;
    let (name, other) = answers.iter().find(|(_, said)| said.primary != right.primary)?;
    let observed = format!("{name} names {} as the primary, another {}", other.primary, right.primary);
    if other.epoch == newest {
        let advice = "see that all Sentinels watch the same master, and reach each other";
        return Some(Finding::failure(CHECK, observed, advice));
    }
    let observed = format!("{observed}, of a newer configuration");
    Some(Finding::warning(
        CHECK,
        observed,
        "wait for a failover to end; if it stays so, see whether that Sentinel is cut off",
    ))
}

/// They could not replace the primary, or have to.
fn no_failover(answers: &[(&str, &Said)]) -> Option<Finding> {
    if let Some((name, said)) = answers.iter().find(|(_, said)| said.is_down) {
        let observed = format!("{name} takes the primary {} for down", said.primary);
        return Some(Finding::failure(CHECK, observed, "see to the primary, and whether the Sentinels reach it"));
    }
    let refused = answers.iter().find_map(|(name, said)| match &said.quorum {
        Err(Silence::Failed(_, refusal)) => Some((name, refusal)),
        _ => None,
    });
    let (name, refusal) = refused?;
    let observed = format!("no failover is possible, says {name}: {refusal}");
    Some(Finding::failure(CHECK, observed, "see that enough Sentinels run and reach each other"))
}

#[cfg(test)]
mod tests {
    use keygate_core::store::Verdict;

    use super::*;

    fn one(port: u16, epoch: u64) -> Said {
        let primary = Host { name: "10.0.0.1".into(), port };
        let quorum = Ok("OK 3 usable Sentinels. Quorum and failover authorization can be reached".into());
        Said { primary, epoch: Some(epoch), sentinels: Some(3), is_down: false, quorum }
    }

    fn seen(said: Vec<Answer<Said>>) -> Finding {
        let named = said.into_iter().enumerate().map(|(nth, said)| (format!("s{nth}:26379"), said));
        judge(&named.collect::<Vec<_>>(), "mymaster")
    }

    #[test]
    fn sentinels_that_agree_and_can_act_are_well() {
        assert_eq!(seen(vec![Ok(one(1, 4)), Ok(one(1, 4)), Ok(one(1, 4))]).verdict, Verdict::Ok);
        let few = Said { sentinels: Some(1), ..one(1, 4) };
        assert_eq!(seen(vec![Ok(few)]).verdict, Verdict::Warning);
    }

    #[test]
    fn sentinels_that_disagree_or_are_silent_are_told() {
        assert_eq!(seen(vec![Ok(one(1, 4)), Ok(one(2, 5))]).verdict, Verdict::Warning);
        assert_eq!(seen(vec![Ok(one(1, 5)), Ok(one(2, 5))]).verdict, Verdict::Failure);
        let silent = || Err(Silence::Failed("SENTINEL", "timed out".into()));
        let finding = seen(vec![Ok(one(1, 4)), silent()]);
        assert_eq!(finding.verdict, Verdict::Warning);
        assert!(finding.observed.contains("s1:26379"), "{finding:?}");
        assert_eq!(seen(vec![silent(), silent()]).verdict, Verdict::Failure);
    }

    #[test]
    fn a_failover_that_is_not_possible_is_a_failure() {
        let refused = Err(Silence::Failed("SENTINEL CKQUORUM", "NOQUORUM 1 usable Sentinels".into()));
        assert_eq!(seen(vec![Ok(Said { quorum: refused, ..one(1, 4) })]).verdict, Verdict::Failure);
        assert_eq!(seen(vec![Ok(Said { is_down: true, ..one(1, 4) })]).verdict, Verdict::Failure);
        let forbidden = Err(Silence::Forbidden("SENTINEL CKQUORUM"));
        assert_eq!(seen(vec![Ok(Said { quorum: forbidden, ..one(1, 4) })]).verdict, Verdict::Unknown);
    }
}
