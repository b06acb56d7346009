//! How what there is of a subject is asked for, and how the answers are read.

use std::collections::BTreeMap;
use std::sync::Arc;

use keygate_core::key::KeyId;
use keygate_core::store::StoreError;
use keygate_core::usage::book::Account;
use keygate_core::usage::counts::{Counts, OTHER};
use keygate_core::usage::distinct::EXACTLY;
use keygate_core::usage::location::Location;
use keygate_core::usage::outcome::{Answered, Outcome};
use keygate_core::usage::period::{Day, Month};
use keygate_core::usage::series::Series;
use keygate_core::usage::subject::Subject;
use redis::{Cmd, RedisError, Value};

use super::{damaged, named};
use crate::layout::Layout;

/// Of a series up to where its last use ends.
const HEAD: usize = 57;

/// The command that reads when a series' subject was last used.
pub(super) fn head(name: &str) -> Cmd {
    let mut range = redis::cmd("GETRANGE");
    range.arg(name).arg(0).arg(HEAD - 1);
    range
}

/// A series, or the front of one.
pub(super) fn series(name: &str, answer: Result<Value, RedisError>) -> Result<Option<Series>, StoreError> {
    let held: Option<Vec<u8>> = named(name, answer)?;
    let held = held.filter(|bytes| !bytes.is_empty());
    held.map(|bytes| Series::decode(&bytes).ok_or_else(|| damaged(name))).transpose()
}

/// The keys of a ranking, the most used first.
pub(super) fn ranking(name: &str, answer: Result<Value, RedisError>) -> Result<Vec<(KeyId, u64)>, StoreError> {
    let ranked: Vec<(Vec<u8>, f64)> = named(name, answer)?;
    let keys = ranked.into_iter().map(|(member, count)| {
        let id = <[u8; 16]>::try_from(member).map(KeyId::from_bytes).map_err(|_| damaged(name))?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "no less than 0, and what is more than the greatest is the greatest"
        )]
        Ok((id, count as u64))
    });
    keys.collect()
}

/// All that is read of a subject.
pub(super) struct Question<'a> {
    pub(super) layout: &'a Layout,
    pub(super) subject: &'a Subject,
    pub(super) days: &'a [Day],
    pub(super) months: &'a [Month],
}

impl Question<'_> {
    /// The series, each day's breakdown, and of each month how many addresses there are in the set and in the estimate.
    pub(super) fn commands(&self) -> Vec<Cmd> {
        let Self { layout, subject, days, months } = self;
        let asked = |command: &str, name: String| {
            let mut cmd = redis::cmd(command);
            cmd.arg(name);
            cmd
        };
        let mut commands = vec![asked("GET", layout.usage(subject))];
        commands.extend(days.iter().map(|day| asked("HGETALL", layout.usage_day(subject, *day))));
        commands.extend(months.iter().flat_map(|month| {
            [
                asked("SCARD", layout.usage_addresses(subject, *month)),
                asked("PFCOUNT", layout.usage_estimate(subject, *month)),
            ]
        }));
        commands
    }

    /// What the answers to these commands say.
    pub(super) fn account(&self, answers: Vec<Result<Value, RedisError>>) -> Result<Option<Account>, StoreError> {
        let Self { layout, subject, days, months } = self;
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or_else(|| Ok(Value::Nil));
        let Some(series) = series(&layout.usage(subject), next())? else { return Ok(None) };
        let mut account = Account { series, ..Account::default() };
        for day in *days {
            let name = layout.usage_day(subject, *day);
            let fields: Vec<(Vec<u8>, Vec<u8>)> = named(&name, next())?;
            if !fields.is_empty() {
                account.days.insert(*day, counts(fields).ok_or_else(|| damaged(name))?);
            }
        }
        for month in *months {
            let few: u64 = named(&layout.usage_addresses(subject, *month), next())?;
            let many: u64 = named(&layout.usage_estimate(subject, *month), next())?;
            // It is no less than what it began with, whatever it estimates.
            let many = if many > 0 { many.max(EXACTLY as u64 + 1) } else { 0 };
            if few.max(many) > 0 {
                account.addresses.insert(*month, few.max(many));
            }
        }
        Ok(Some(account))
    }
}

/// A day's breakdown. `None` where a field is of no form that it may have; an outcome or an answer that this version does not
/// know is one of a later one, and is left out.
fn counts(fields: Vec<(Vec<u8>, Vec<u8>)>) -> Option<Counts> {
    let fields = fields.into_iter().map(|(field, count)| {
        let count: u64 = std::str::from_utf8(&count).ok()?.parse().ok()?;
        Some((String::from_utf8(field).ok()?, count))
    });
    let fields: BTreeMap<String, u64> = fields.collect::<Option<_>>()?;
    let parts = fields.iter().map(|(field, count)| {
        let kind = field.get(..1)?;
        Some((kind, &field[1..], *count))
    });
    let parts: Vec<(&str, &str, u64)> = parts.collect::<Option<_>>()?;
    let mut counts = Counts::default();
    // First what there is room for, as long as nothing else takes it; then the others, which need none.
    for (kind, name, count) in &parts {
        match *kind {
            "e" if *name != OTHER => counts.add_endpoint(&Arc::from(*name), *count),
            "l" if !name.is_empty() => counts.add_location(Some(Location::new(name).ok()?), *count),
            _ => {}
        }
    }
    for (kind, name, count) in &parts {
        match *kind {
            "e" if *name == OTHER => counts.add_endpoint(&Arc::from(OTHER), *count),
            "l" if name.is_empty() => counts.add_location(None, *count),
            "e" | "l" => {}
            "o" => {
                let outcome = Outcome::ALL.get(name.parse::<usize>().ok()?);
                outcome.into_iter().for_each(|outcome| counts.add_outcome(*outcome, *count));
            }
            "a" => {
                let answered = Answered::ALL.get(name.parse::<usize>().ok()?);
                answered.into_iter().for_each(|answered| counts.add_answer(*answered, *count));
            }
            _ => return None,
        }
    }
    Some(counts)
}
