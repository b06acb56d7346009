//! Which instances are registered. What is written there is told in [`Layout::instances_beats`].

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use keygate_core::key::Bucket;
use redis::Cmd;

use super::ask::{Answer, PATIENCE, Silence, read as read_answer};
use crate::layout::Layout;
use crate::link::{Bare, in_time};

const COMMAND: &str = "ZRANGEBYSCORE";
/// Who was to be waited for no longer than so long ago is still of interest, milliseconds.
const LATELY: i64 = 60_000;

/// Who is registered with one server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Registry {
    pub(super) instances: Vec<Instance>,
    /// The most that the deployment allows anybody to believe, milliseconds, as those say who are there.
    pub(super) maximum: Option<u64>,
}

/// One connection of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instance {
    /// Whether it may have to be waited for.
    pub(super) is_alive: bool,
    /// The longest it believes without being told, milliseconds.
    pub(super) bound: Option<u64>,
    /// Whether it is told of changes.
    pub(super) is_told: bool,
}

/// Reads the registries of these buckets, of which a server of a Cluster has one that is kept, as a rule.
pub(super) async fn read(bare: &Bare<'_>, layout: &Layout, buckets: &[Bucket], now: DateTime<Utc>) -> Answer<Registry> {
    let now = now.timestamp_millis();
    let there = buckets.iter().map(|bucket| since(&layout.instances_until(*bucket), now.saturating_sub(LATELY)));
    let answers = all(bare, there.collect()).await?;
    let (mut rows, mut failure) = (Vec::new(), None);
    for (bucket, answer) in buckets.iter().zip(answers) {
        match read_answer::<Vec<(Vec<u8>, f64)>>(COMMAND, Some(answer)) {
            Ok(found) => rows.extend(found.into_iter().map(|(id, until)| (*bucket, id, until > now as f64))),
            // Of a Cluster whose slots move, one that has gone elsewhere.
            Err(silence) => failure = Some(silence),
        }
    }
    if let (true, Some(silence)) = (rows.is_empty(), failure) {
        return Err(silence);
    }
    let said = rows.iter().map(|(bucket, id, _)| get(&layout.instances_beats(*bucket), id));
    let mut maxima: HashMap<Bucket, Cmd> = HashMap::new();
    for (bucket, ..) in rows.iter().filter(|(_, _, is_alive)| *is_alive) {
        maxima.entry(*bucket).or_insert_with(|| get(&layout.instances_beats(*bucket), b"maximum"));
    }
    let mut answers = all(bare, said.chain(maxima.into_values()).collect()).await?.into_iter();
    let said: Vec<_> = answers.by_ref().take(rows.len()).collect();
    let instances = rows.iter().zip(said).map(|((_, _, is_alive), said)| {
        let said: Option<Vec<u8>> = read_answer("HGET", Some(said)).ok().flatten();
        Instance::read(*is_alive, said.as_deref().unwrap_or_default())
    });
    let instances = instances.collect();
    let maximum = answers.filter_map(|answer| read_answer::<Option<u64>>("HGET", Some(answer)).ok().flatten()).min();
    Ok(Registry { instances, maximum })
}

impl Instance {
    fn read(is_alive: bool, said: &[u8]) -> Self {
        let parts = said.split_first_chunk::<8>().and_then(|(_, rest)| rest.split_first_chunk::<8>());
        match parts {
            Some((bound, [told, ..])) => {
                Self { is_alive, bound: Some(u64::from_be_bytes(*bound)), is_told: *told == 1 }
            }
            _ => Self { is_alive, bound: None, is_told: false },
        }
    }
}

async fn all(bare: &Bare<'_>, cmds: Vec<Cmd>) -> Answer<Vec<Result<redis::Value, redis::RedisError>>> {
    in_time(PATIENCE, bare.query_all(&cmds)).await.map_err(|error| Silence::of(COMMAND, &error))
}

fn since(name: &str, least: i64) -> Cmd {
    let mut cmd = redis::cmd(COMMAND);
    cmd.arg(name).arg(format!("({least}")).arg("+inf").arg("WITHSCORES");
    cmd
}

fn get(name: &str, field: &[u8]) -> Cmd {
    let mut cmd = redis::cmd("HGET");
    cmd.arg(name).arg(field);
    cmd
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_instance_said_is_read_and_what_it_may_say_one_day_is_not_guessed_at() {
        let said = |told: u8| [&9_u64.to_be_bytes()[..], &1000_u64.to_be_bytes(), &[told]].concat();
        let told = Instance { is_alive: true, bound: Some(1000), is_told: true };
        assert_eq!(Instance::read(true, &said(1)), told);
        assert_eq!(Instance::read(true, &said(0)), Instance { is_told: false, ..told });
        for odd in [&[][..], &[1; 16], &[1; 3]] {
            assert_eq!(Instance::read(false, odd), Instance { is_alive: false, bound: None, is_told: false });
        }
    }
}
