//! Is a Cluster whole?

use futures_util::future::join_all;
use keygate_core::store::Finding;
use redis::RedisError;

use super::ask::{Answer, PATIENCE, Silence, read};
use super::info::Info;
use crate::link::{Bare, Range, Server, Share, in_time, read_slots, shares as shares_of, uncovered};
use crate::settings::{Host, Place, RedisSettings};

const CHECK: &str = "cluster";
const ADDRESSES: &str = "cluster_addresses";

/// What one primary says of the Cluster.
pub(super) struct View {
    info: Answer<Info>,
    ranges: Answer<Vec<Range>>,
}

/// Which primaries there are.
pub(super) struct Shares {
    pub(super) primaries: Vec<Share>,
    /// On the addresses that they were asked for at.
    pub(super) finding: Option<Finding>,
}

/// Asks every address that is configured, and believes the first that answers.
///
/// # Errors
/// When none does: why the first does not.
pub(super) async fn shares(settings: &RedisSettings) -> Result<Shares, RedisError> {
    let Place::Cluster(hosts) = &settings.address.place else {
        return Ok(Shares { primaries: Vec::new(), finding: None });
    };
    let answers = join_all(hosts.iter().map(|host| ask_at(settings, host))).await;
    let mut silent = Vec::new();
    let (mut found, mut failure) = (None, None);
    for (host, answer) in hosts.iter().zip(answers) {
        match answer {
            Ok(ranges) => found = found.or(Some((host, ranges))),
            Err(error) => {
                silent.push(host.to_string());
                failure = failure.or(Some(error));
            }
        }
    }
    match (found, failure) {
        (Some((host, ranges)), _) => {
            Ok(Shares { primaries: shares_of(&ranges, &host.name), finding: Some(addresses(hosts.len(), &silent)) })
        }
        (None, Some(error)) => Err(error),
        (None, None) => Ok(Shares { primaries: Vec::new(), finding: None }),
    }
}

async fn ask_at(settings: &RedisSettings, host: &Host) -> Result<Vec<Range>, RedisError> {
    let bare = Server::at(settings, host).await?.open().await?;
    let answer = in_time(PATIENCE, bare.query(redis::cmd("CLUSTER").arg("SLOTS"))).await;
    read_slots(answer?)
}

fn addresses(all: usize, silent: &[String]) -> Finding {
    let answering = all - silent.len();
    if silent.is_empty() {
        return Finding::ok(ADDRESSES, format!("{answering} of {all} answer"));
    }
    Finding::warning(
        ADDRESSES,
        format!("{answering} of {all} answer; silent: {}", silent.join(", ")),
        "see to those nodes, or name others in KEYGATE_STORE: a service that starts needs one that answers",
    )
}

impl View {
    pub(super) async fn of(bare: &Bare<'_>) -> Self {
        let mut cmds = [redis::cmd("CLUSTER"), redis::cmd("CLUSTER")];
        cmds[0].arg("INFO");
        cmds[1].arg("SLOTS");
        let mut answers = match in_time(PATIENCE, bare.query_all(&cmds)).await {
            Ok(answers) => answers.into_iter(),
            Err(error) => vec![Err(error.clone()), Err(error)].into_iter(),
        };
        let info = read::<String>("CLUSTER INFO", answers.next()).map(|text| Info::parse(&text));
        let ranges = read("CLUSTER SLOTS", answers.next())
            .and_then(|value| read_slots(value).map_err(|error| Silence::of("CLUSTER SLOTS", &error)));
        Self { info, ranges }
    }
}

/// What all primaries say of it; none is one that is not reached.
pub(super) fn judge(views: &[(&str, Option<&View>)]) -> Finding {
    let silent: Vec<&str> = views.iter().filter(|(_, view)| view.is_none()).map(|(name, _)| *name).collect();
    if !silent.is_empty() {
        return Finding::failure(
            CHECK,
            format!("not reached: {}", silent.join(", ")),
            "see to them, or let their replicas take over: keys that they have cannot be checked",
        );
    }
    let views: Vec<(&str, &View)> = views.iter().filter_map(|(name, view)| Some((*name, (*view)?))).collect();
    let missing = views.iter().filter_map(|(name, view)| Some((name, gap(view.ranges.as_ref().ok()?)?))).next();
    if let Some((name, gap)) = missing {
        let observed = format!("{gap}, says {name}");
        return Finding::failure(CHECK, observed, "give every slot to a primary: redis-cli --cluster fix HOST:PORT");
    }
    for (name, view) in &views {
        if let Some(finding) = view.info.as_ref().ok().and_then(|info| trouble(name, info)) {
            return finding;
        }
    }
    if let Some(silence) = views.iter().find_map(|(_, view)| view.info.as_ref().err().or(view.ranges.as_ref().err())) {
        return Finding::unknown(CHECK, format!("whether it is whole is not known: {silence}"), silence.advice());
    }
    let maps: Vec<_> =
        views.iter().filter_map(|(_, view)| view.ranges.as_ref().ok()).map(|ranges| who_has(ranges)).collect();
    if maps.windows(2).any(|pair| pair[0] != pair[1]) {
        let observed = "the primaries do not agree about who has which slots";
        return Finding::warning(
            CHECK,
            observed,
            "wait until slots rest; if it stays so: redis-cli --cluster check HOST:PORT",
        );
    }
    Finding::ok(CHECK, format!("{} primaries have all slots between them, and agree", views.len()))
}

/// Slots that nobody has.
fn gap(ranges: &[Range]) -> Option<String> {
    let free = uncovered(ranges);
    let first = free.first()?;
    Some(match free.len() {
        1 => format!("nobody has slot {first}"),
        many => format!("nobody has {many} slots, {first} among them"),
    })
}

fn trouble(name: &str, info: &Info) -> Option<Finding> {
    if let Some(state) = info.field("cluster_state").filter(|state| *state != "ok") {
        let observed = format!("{name} says that its state is {state}");
        return Some(Finding::failure(
            CHECK,
            observed,
            "see which nodes are down, and start them: redis-cli --cluster check HOST:PORT",
        ));
    }
    let failing: u64 =
        ["cluster_slots_fail", "cluster_slots_pfail"].iter().filter_map(|field| info.read::<u64>(field)).sum();
    (failing > 0).then(|| {
        let observed = format!("{name} does not reach who has {failing} of the slots");
        Finding::warning(CHECK, observed, "see to the nodes that are down")
    })
}

fn who_has(ranges: &[Range]) -> Vec<(u16, u16, &str)> {
    ranges.iter().map(|range| (range.first, range.last, &*range.id)).collect()
}

/// What there is to say of a node of a Cluster that is taken for a server of its own.
pub(super) fn mistaken(info: &Info) -> Option<Finding> {
    (info.flag("cluster_enabled") == Some(true)).then(|| {
        Finding::failure(
            CHECK,
            "this is a node of a Cluster, which refuses what is elsewhere",
            "write redis+cluster://HOST:PORT in KEYGATE_STORE",
        )
    })
}

#[cfg(test)]
mod tests {
    use keygate_core::store::Verdict;
    use redis::Value;

    use super::*;

    fn ranges(ends: &[(i64, i64, &str)]) -> Answer<Vec<Range>> {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let entry = |(first, last, id): &(i64, i64, &str)| {
            let node = Value::Array(vec![text("10.0.0.1"), Value::Int(7000), text(id)]);
            Value::Array(vec![Value::Int(*first), Value::Int(*last), node])
        };
        Ok(read_slots(Value::Array(ends.iter().map(entry).collect())).unwrap())
    }

    fn view(info: &str, ends: &[(i64, i64, &str)]) -> View {
        View { info: Ok(Info::parse(info)), ranges: ranges(ends) }
    }

    const WELL: &str = "cluster_state:ok\ncluster_slots_pfail:0\ncluster_slots_fail:0";
    const ALL: [(i64, i64, &str); 2] = [(0, 8191, "aa"), (8192, 16_383, "bb")];

    #[test]
    fn a_cluster_is_whole_when_all_say_so() {
        let well = view(WELL, &ALL);
        assert_eq!(judge(&[("a", Some(&well)), ("b", Some(&well))]).verdict, Verdict::Ok);
        assert_eq!(judge(&[("a", Some(&well)), ("b", None)]).verdict, Verdict::Failure);
        let down = view("cluster_state:fail", &ALL);
        assert_eq!(judge(&[("a", Some(&well)), ("b", Some(&down))]).verdict, Verdict::Failure);
        let doubted = view("cluster_state:ok\ncluster_slots_pfail:3", &ALL);
        assert_eq!(judge(&[("a", Some(&well)), ("b", Some(&doubted))]).verdict, Verdict::Warning);
        let other = view(WELL, &[(0, 8190, "aa"), (8191, 16_383, "bb")]);
        assert_eq!(judge(&[("a", Some(&well)), ("b", Some(&other))]).verdict, Verdict::Warning);
    }

    #[test]
    fn a_slot_that_nobody_has_is_told() {
        let gap = view(WELL, &[(0, 99, "aa"), (101, 16_383, "bb")]);
        let finding = judge(&[("a", Some(&gap))]);
        assert_eq!(finding.verdict, Verdict::Failure);
        assert!(finding.observed.contains("slot 100"), "{finding:?}");
    }

    #[test]
    fn what_may_not_be_asked_is_unknown() {
        let forbidden = View { info: Err(Silence::Forbidden("CLUSTER INFO")), ranges: ranges(&ALL) };
        assert_eq!(judge(&[("a", Some(&forbidden))]).verdict, Verdict::Unknown);
    }

    #[test]
    fn a_node_is_no_server_of_its_own() {
        assert_eq!(mistaken(&Info::parse("cluster_enabled:0")), None);
        assert_eq!(mistaken(&Info::parse("")), None);
        assert_eq!(mistaken(&Info::parse("cluster_enabled:1")).unwrap().verdict, Verdict::Failure);
    }

    #[test]
    fn addresses_that_do_not_answer_are_named() {
        assert_eq!(addresses(3, &[]).verdict, Verdict::Ok);
        let finding = addresses(3, &["10.0.0.3:7000".into()]);
        assert_eq!(finding.verdict, Verdict::Warning);
        assert!(finding.observed.contains("10.0.0.3:7000"), "{finding:?}");
    }
}
