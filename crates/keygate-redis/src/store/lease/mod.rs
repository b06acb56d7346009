//! Tokens of limits: how a call is written for the script, and how its answer is read. `scripts/lease.lua` says what is in
//! either.

#[cfg(test)]
mod tests;

use std::time::Duration;

use keygate_core::limiter::bucket::Shape;
use keygate_core::limiter::call::{Answer, Call, Grant, MAX_TOKENS, Outcome, Shortage, Tokens};
use keygate_core::limiter::policy::PoolId;
use keygate_core::limiter::window::{FOREVER, Millis, Window};
use keygate_core::limits::Limits;
use keygate_core::store::StoreError;

use super::RedisStore;
use super::reply::{read, unexpected};
use crate::link::{self, Script, in_time};
use crate::scripts;

/// The longest that a request waits for an answer, where that for a record, which is the lease, is longer still. After so
/// long an instance's call comes late.
const PATIENCE: Duration = Duration::from_secs(2);

/// In the place of a limit: there is none.
const NO_LIMIT: u64 = MAX_TOKENS;
/// A token in the units of a bucket's level.
const TOKEN: u64 = 60_000;

impl RedisStore {
    pub(super) async fn lease_tokens(&self, pool: &PoolId, limits: &Limits, call: &Call) -> Result<Answer, StoreError> {
        let call = written(&scripts::LEASE, self.layout.limit(pool), limits, call)?;
        let patience = self.audience.terms().lease.min(PATIENCE);
        let answer: Vec<u8> = read(in_time(patience, self.link.run(&call)).await)?;
        Reader(&answer).answer(limits).ok_or_else(unexpected)
    }
}

/// A call as the script takes it.
///
/// # Errors
/// When it has no place there: no call of an instance is as long, or the last of so many.
fn written(script: &'static Script, name: String, limits: &Limits, call: &Call) -> Result<link::Call, StoreError> {
    let packed =
        Writer::default().call(limits, call).ok_or_else(|| StoreError::unavailable("a call of no instance"))?;
    Ok(script.call(vec![name]).arg(packed))
}

/// Writes a call.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn call(mut self, limits: &Limits, call: &Call) -> Option<Vec<u8>> {
        let Call { writer, sequence, not_after, cost, want, instances, returned, ahead, known, claims, owed } = call;
        if *sequence > FOREVER {
            return None;
        }
        let recent = claims.as_ref().map_or(&[][..], |claims| &claims.recent);
        self.0.extend(writer.0.to_be_bytes());
        self.time(*sequence);
        self.time(*not_after);
        self.time(known.unwrap_or_default());
        self.0.extend([known.is_some(), claims.is_some(), *ahead].map(u8::from));
        [cost, want, instances].into_iter().for_each(|amount| self.amount(*amount));
        let Limits { per_minute, per_hour, per_day, per_month, burst, fallback: _ } = limits;
        for limit in [per_minute, per_hour, per_day, per_month, burst] {
            self.amount(limit.map_or(NO_LIMIT, |limit| limit.min(NO_LIMIT - 1)));
        }
        for count in [recent.len(), returned.len(), owed.len()] {
            self.0.push(u8::try_from(count).ok()?);
        }
        for (number, tokens) in claims.iter().flat_map(|claims| claims.before) {
            self.amount(number);
            self.amount(tokens);
        }
        recent.iter().for_each(|recent| self.time(recent.sequence));
        returned.iter().for_each(|returned| self.time(returned.from));
        let returned = returned.iter().map(|returned| &returned.tokens);
        for Tokens { numbers, tokens } in recent.iter().map(|recent| &recent.granted).chain(returned).chain(owed) {
            numbers.0.into_iter().chain([*tokens]).for_each(|amount| self.amount(amount));
        }
        Some(self.0)
    }

    /// More than the greatest is the same as the greatest: it is above every limit, and the number of no window.
    fn amount(&mut self, amount: u64) {
        self.0.extend(&amount.min(MAX_TOKENS).to_be_bytes()[3..]);
    }

    /// Later than the latest is the same as the latest: no clock shows either.
    fn time(&mut self, time: Millis) {
        self.0.extend(&time.min(FOREVER).to_be_bytes()[2..]);
    }
}

/// Reads an answer. `None` is one that the script never gives.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn answer(mut self, limits: &Limits) -> Option<Answer> {
        let (now, born) = (self.time()?, self.time()?);
        let mut left = [None; 4];
        for (left, window) in left.iter_mut().zip(Window::ALL) {
            let (granted, _ahead) = (self.amount()?, self.amount()?);
            *left = window.limit(limits).map(|limit| limit.saturating_sub(granted));
        }
        let level = self.time()?;
        let _longest = self.byte()?;
        let burst = Shape::of(limits).map(|_| level / TOKEN);
        let outcome = self.outcome()?;
        self.0.is_empty().then_some(Answer { outcome, now, born, left, burst })
    }

    fn outcome(&mut self) -> Option<Outcome> {
        Some(match self.byte()? {
            b'G' => Outcome::Granted(Grant { tokens: self.amount()?, from: self.time()?, until: self.time()? }),
            b'D' => Outcome::Denied { by: self.shortage()?, wait: self.time()? },
            b'L' => Outcome::Late,
            b'F' => Outcome::Forgotten,
            _ => return None,
        })
    }

    fn shortage(&mut self) -> Option<Shortage> {
        Some(match self.byte()? {
            4 => Shortage::Burst,
            5 => Shortage::Writers,
            place => Shortage::Window(*Window::ALL.get(usize::from(place))?),
        })
    }

    fn amount(&mut self) -> Option<u64> {
        let [a, b, c, d, e] = self.bytes()?;
        Some(u64::from_be_bytes([0, 0, 0, a, b, c, d, e]))
    }

    fn time(&mut self) -> Option<Millis> {
        let [a, b, c, d, e, f] = self.bytes()?;
        Some(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes().map(|[byte]| byte)
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }
}
