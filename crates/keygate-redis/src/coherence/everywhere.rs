//! Waiting until nobody believes any longer what was so before. See the [module docs](super) for why that is known.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use keygate_core::key::Bucket;
use redis::{RedisError, Value};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Audience;
use crate::link::{Link, too_slow};
use crate::scripts;

/// Looking more often finds nothing new.
const SHORTEST_POLL: Duration = Duration::from_millis(10);

type Id = Vec<u8>;

/// A session as the registry has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// How long it may have to be waited for.
    left: Duration,
    /// The number of its last heartbeat, if it is told of changes.
    beat: Option<u64>,
}

/// One who may still believe.
struct Awaited {
    registry: Bucket,
    id: Id,
    /// The heartbeat that says that it does not.
    beat: Option<u64>,
    /// When it does not in any case.
    until: Instant,
}

/// Whether it came about within the longest that this instance would let anybody believe. This process's own sessions
/// are waited for like all others: one change may be of concern to several of those who watch, and whoever made it knows
/// only itself.
///
/// # Errors
/// When who is registered is not to be known: at once if nobody answers, else when it is not known in the end. While slots
/// of a Cluster move, or a primary is replaced, a registry may be read only later.
pub(crate) async fn told_everywhere(link: &Link, audience: &Audience) -> Result<bool, RedisError> {
    let terms = audience.terms();
    let poll = (terms.lease / 10).max(SHORTEST_POLL);
    let give_up = Instant::now() + terms.max_staleness + poll + terms.beat();
    let mut unread: BTreeSet<Bucket> = link.registries().into_iter().collect();
    let all = unread.len();
    let mut awaited: Vec<Awaited> = Vec::new();
    loop {
        let registries: BTreeSet<Bucket> = awaited.iter().map(|one| one.registry).chain(unread.clone()).collect();
        let mut now: HashMap<Bucket, Rows> = HashMap::new();
        let mut failure = None;
        // Those it cannot hear of have their time in any case.
        match timeout_at(give_up, registered(link, audience, registries.into_iter().collect())).await {
            Ok(answers) => {
                for (registry, rows) in answers {
                    match rows {
                        Ok(rows) => drop(now.insert(registry, rows)),
                        Err(error) => failure = Some(error),
                    }
                }
            }
            Err(_) => failure = Some(too_slow()),
        }
        awaited.retain(|one| {
            let beat = now.get(&one.registry).and_then(|rows| rows.get(&one.id)).and_then(|seen| seen.beat);
            one.beat.is_none_or(|awaited| beat.is_none_or(|beat| beat < awaited))
        });
        for (registry, rows) in now {
            if unread.remove(&registry) {
                awaited.extend(rows.into_iter().map(|(id, seen)| Awaited::new(registry, id, seen)));
            }
        }
        if let Some(error) =
            failure.filter(|_| unread.len() == all || (!unread.is_empty() && Instant::now() >= give_up))
        {
            return Err(error);
        }
        awaited.retain(|one| Instant::now() < one.until);
        let soonest = awaited.iter().map(|one| one.until).min();
        if unread.is_empty() && soonest.is_none() {
            return Ok(true);
        }
        if Instant::now() >= give_up {
            return Ok(false);
        }
        let next = Instant::now() + poll;
        sleep_until(soonest.unwrap_or(next).min(next).min(give_up)).await;
    }
}

impl Awaited {
    fn new(registry: Bucket, id: Id, seen: Seen) -> Self {
        let beat = seen.beat.map(|beat| beat.saturating_add(2));
        Self { registry, id, beat, until: Instant::now() + seen.left }
    }
}

type Rows = HashMap<Id, Seen>;

/// Who is registered in each.
async fn registered(
    link: &Link,
    audience: &Audience,
    registries: Vec<Bucket>,
) -> Vec<(Bucket, Result<Rows, RedisError>)> {
    let layout = &audience.layout;
    let calls: Vec<_> =
        registries.iter().map(|at| scripts::INSTANCES.call(vec![layout.instances_until(*at)])).collect();
    let there = link.run_all(&calls).await.into_iter().map(|answer| answer.and_then(read_there));
    let there: Vec<(Bucket, Result<There, RedisError>)> = registries.into_iter().zip(there).collect();
    // After it: a heartbeat that comes in between is the last that had run.
    let gets = there.iter().flat_map(|(at, there)| {
        let name = layout.instances_beats(*at);
        there.iter().flatten().map(move |(id, _)| {
            let mut get = redis::cmd("HGET");
            get.arg(&name).arg(id);
            get
        })
    });
    let mut said = link.query_all(gets.collect()).await.into_iter();
    let mut rows = |there: There| there.into_iter().zip(said.by_ref()).map(read_row).collect();
    there.into_iter().map(|(at, there)| (at, there.and_then(&mut rows))).collect()
}

/// Each one's id, and how long it may have to be waited for.
type There = Vec<(Id, i64)>;

fn read_there(answer: Value) -> Result<There, RedisError> {
    Ok(redis::from_redis_value(answer)?)
}

fn read_row(((id, left), said): ((Id, i64), Result<Value, RedisError>)) -> Result<(Id, Seen), RedisError> {
    let said: Option<Vec<u8>> = redis::from_redis_value(said?)?;
    Ok((id, read(left, &said.unwrap_or_default())))
}

/// A row of the registry. One whose form is not known says for how long it may have to be waited for, and no more.
fn read(left: i64, said: &[u8]) -> Seen {
    // Less than nothing is left of one whose time has passed by the server's clock.
    let left = u64::try_from(left).unwrap_or_default();
    // What it said itself goes before the score, which is of the server's clock, and that may have been set since.
    let (beat, left) = match said.split_first_chunk::<8>() {
        Some((number, rest)) => match rest.split_first_chunk::<8>() {
            Some((bound, [1, ..])) => (Some(u64::from_be_bytes(*number)), u64::from_be_bytes(*bound)),
            Some((bound, [0, ..])) => (None, u64::from_be_bytes(*bound)),
            _ => (None, left),
        },
        None => (None, left),
    };
    // This clock's rate differs from the server's too.
    let left = Duration::from_millis(left.saturating_add(1).saturating_add(left.div_ceil(5000)));
    Seen { left, beat }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_registry_is_read() {
        let said = |is_told: u8| [&9_u64.to_be_bytes()[..], &1000_u64.to_be_bytes(), &[is_told]].concat();
        let left = Duration::from_millis(1002);
        assert_eq!(read(1000, &said(1)), Seen { left, beat: Some(9) });
        // Who is not told, or speaks a form to come, has its time.
        for said in [said(0), said(2), vec![], vec![1; 16]] {
            assert_eq!(read(1000, &said), Seen { left, beat: None }, "{said:?}");
        }
    }
}
