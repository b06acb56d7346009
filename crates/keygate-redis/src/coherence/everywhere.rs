//! Waiting until nobody believes any longer what was so before. See the [module docs](super) for why that is known.

use std::collections::HashMap;
use std::time::Duration;

use redis::RedisError;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Audience;
use crate::link::Link;
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
    id: Id,
    /// The heartbeat that says that it does not.
    beat: Option<u64>,
    /// When it does not in any case.
    until: Instant,
}

/// Whether it came about within the longest that this instance would let anybody believe. This process's own sessions
/// are waited for like all others: one change may be of concern to several of those who watch, and whoever made it knows
/// only itself.
pub(crate) async fn told_everywhere(link: &Link, audience: &Audience) -> Result<bool, RedisError> {
    let terms = audience.terms();
    let poll = (terms.lease / 10).max(SHORTEST_POLL);
    let give_up = Instant::now() + terms.max_staleness + poll + terms.beat();
    let first = registered(link, audience).await?;
    let now = Instant::now();
    let mut awaited: Vec<Awaited> = first
        .into_iter()
        .map(|(id, seen)| Awaited { id, beat: seen.beat.map(|beat| beat.saturating_add(2)), until: now + seen.left })
        .collect();
    loop {
        awaited.retain(|one| Instant::now() < one.until);
        let Some(soonest) = awaited.iter().map(|one| one.until).min() else { return Ok(true) };
        if Instant::now() >= give_up {
            return Ok(false);
        }
        sleep_until(soonest.min(Instant::now() + poll).min(give_up)).await;
        // Those it cannot hear of have their time in any case.
        if let Ok(Ok(now)) = timeout_at(give_up, registered(link, audience)).await {
            awaited.retain(|one| {
                let beat = now.get(&one.id).and_then(|seen| seen.beat);
                one.beat.is_none_or(|awaited| beat.is_none_or(|beat| beat < awaited))
            });
        }
    }
}

async fn registered(link: &Link, audience: &Audience) -> Result<HashMap<Id, Seen>, RedisError> {
    let layout = &audience.layout;
    let call = scripts::INSTANCES.call(vec![layout.instances_until(), layout.instances_beats()]);
    let rows: Vec<(Vec<u8>, u64, Vec<u8>)> = redis::from_redis_value(link.run(&call).await?)?;
    Ok(rows.into_iter().map(|(id, left, said)| (id, read(left, &said))).collect())
}

/// A row of the registry. One whose form is not known says for how long it may have to be waited for, and no more.
fn read(left: u64, said: &[u8]) -> Seen {
    let beat = match said {
        [a, b, c, d, e, f, g, h, _, _, _, _, _, _, _, _, 1, ..] => {
            Some(u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))
        }
        _ => None,
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
