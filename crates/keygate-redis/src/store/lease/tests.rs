//! The script says what the model says, whatever it is asked and whatever its clock shows.

use keygate_core::limiter::call::{
    Claims, LATEST, MAX_COST, MAX_WRITERS, REMEMBERED, Recent, Returned, Writer as WriterId,
};
use keygate_core::limiter::ledger::Ledger;
use keygate_core::limiter::window::Numbers;
use keygate_core::limits::{MAX_BURST, MAX_LIMIT};
use keygate_testkit::{RedisServer, sample};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::layout::Layout;
use crate::link::Link;

/// One pool on a server and in the model.
struct Scene<'a> {
    link: &'a Link,
    name: String,
    model: Ledger,
}

fn link_to(server: &RedisServer) -> Link {
    let store = RedisStore::connect(server.url().parse().unwrap());
    store.link
}

impl<'a> Scene<'a> {
    fn new(link: &'a Link) -> Self {
        let name = Layout::default().limit(&PoolId::Organization(sample::organization()));
        Self { link, name, model: Ledger::new() }
    }

    /// What the script says alone.
    async fn script(&self, limits: &Limits, call: &Call, clock: Millis) -> Answer {
        let call = written(&scripts::LEASE_AT, self.name.clone(), limits, call).unwrap().arg(clock);
        let answer: Vec<u8> = read(self.link.run(&call).await).unwrap();
        Reader(&answer).answer(limits).unwrap()
    }

    /// Asks both, which must say the same.
    async fn call(&mut self, limits: &Limits, call: &Call, clock: Millis) -> Answer {
        let (answer, expected) = (self.script(limits, call, clock).await, self.model.call(limits, call, clock));
        assert_eq!(answer, expected, "at {clock} to {call:?} of {limits:?}");
        answer
    }

    /// Whether it is kept until then, in one piece of memory.
    async fn is_kept_until(&self, end: Millis) {
        let left = self.ask(&["PTTL", &self.name]).await;
        let left: u64 = redis::from_redis_value(left).unwrap();
        let now = sample::now().timestamp_millis() as u64;
        assert!((now + left).abs_diff(end) < 5_000, "it ends in {left} ms, and not at {end}");
        let encoding: String = redis::from_redis_value(self.ask(&["OBJECT", "ENCODING", &self.name]).await).unwrap();
        assert!(["listpack", "ziplist"].contains(&encoding.as_str()), "{encoding}");
    }

    async fn ask(&self, words: &[&str]) -> redis::Value {
        let mut cmd = redis::cmd(words[0]);
        cmd.arg(&words[1..]);
        self.link.query(&cmd).await.unwrap()
    }
}

/// Of a whole number, the ends of its range more often than what is in between.
fn up_to(greatest: u64) -> impl Strategy<Value = u64> {
    prop_oneof![2 => select(vec![0, 1, greatest - 1, greatest]), 4 => 0..=greatest.min(60), 3 => 0..=greatest]
}

fn limit() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![3 => Just(None), 4 => (1..=60_u64).prop_map(Some), 2 => (1..=MAX_LIMIT).prop_map(Some)]
}

fn limits() -> impl Strategy<Value = Limits> {
    let per_minute = prop_oneof![4 => limit(), 2 => (1_000..100_000_u64).prop_map(Some)];
    let burst = prop_oneof![3 => Just(None), 4 => (1..=60_u64).prop_map(Some), 1 => (1..=MAX_BURST).prop_map(Some)];
    (per_minute, limit(), limit(), limit(), burst).prop_map(|(per_minute, per_hour, per_day, per_month, burst)| {
        Limits {
            per_minute,
            per_hour,
            per_day,
            per_month,
            burst: burst.filter(|_| per_minute.is_some()),
            ..Limits::UNLIMITED
        }
    })
}

/// Of a bucket that is what is short, as a rule.
fn bursts() -> impl Strategy<Value = Limits> {
    (600..1_000_000_u64, 1..200_u64).prop_map(|(per_minute, burst)| Limits {
        per_minute: Some(per_minute),
        burst: Some(burst),
        ..Limits::UNLIMITED
    })
}

/// How the clock goes on from one call to the next.
#[derive(Debug, Clone, Copy)]
enum Passing {
    By(u64),
    /// To where a window ends, or a millisecond before or after.
    ToEnd(Window, i64),
    Back(u64),
}

impl Passing {
    fn any() -> impl Strategy<Value = Self> {
        let by = select(vec![0, 1, 7, 90, 900, VALID + REMEMBERED, VALID + REMEMBERED + 1, 61_000, 3_700_000]);
        prop_oneof![
            6 => by.prop_map(Self::By),
            2 => (0..200_000_000_u64).prop_map(Self::By),
            1 => (0..200_000_000_000_u64).prop_map(Self::By),
            3 => (select(&Window::ALL[..]), -1..=1_i64).prop_map(|(window, by)| Self::ToEnd(window, by)),
            1 => (0..100_000_u64).prop_map(Self::Back),
        ]
    }

    fn from(self, now: Millis) -> Millis {
        match self {
            Self::By(passed) => now + passed,
            Self::ToEnd(window, by) => window.end(now).saturating_add_signed(by),
            Self::Back(by) => now - by,
        }
    }
}

/// Tokens of the present windows, or of others near them.
#[derive(Debug, Clone, Copy)]
struct Near {
    windows: i64,
    tokens: u64,
}

impl Near {
    fn any() -> impl Strategy<Value = Self> {
        let tokens = prop_oneof![12 => 0..20_u64, 1 => up_to(u64::MAX)];
        (-1..=2_i64, tokens).prop_map(|(windows, tokens)| Self { windows, tokens })
    }

    fn some() -> impl Strategy<Value = Vec<Self>> {
        prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(Self::any(), 1..4)]
    }

    fn at(self, now: Millis) -> Tokens {
        let numbers = Numbers(Numbers::at(now).0.map(|number| number.saturating_add_signed(self.windows)));
        Tokens { numbers, tokens: self.tokens }
    }
}

#[derive(Debug, Clone)]
struct Claimed {
    before: [Near; 4],
    /// By which call, from this one.
    recent: Vec<(i64, Near)>,
}

impl Claimed {
    fn any() -> impl Strategy<Value = Self> {
        let before = prop::array::uniform4(Near::any());
        let recent = prop::collection::vec((-2..=2_i64, Near::any()), 0..4);
        (before, recent).prop_map(|(before, recent)| Self { before, recent })
    }

    fn at(self, now: Millis, sequence: u64) -> Claims {
        let before = |place: usize| {
            let Tokens { numbers, tokens } = self.before[place].at(now);
            (numbers.0[place], tokens)
        };
        let recent =
            |(by, near): &(i64, Near)| Recent { sequence: sequence.saturating_add_signed(*by), granted: near.at(now) };
        Claims { before: std::array::from_fn(before), recent: self.recent.iter().map(recent).collect() }
    }
}

#[derive(Debug, Clone)]
struct Step {
    passing: Passing,
    limits: Option<Limits>,
    writer: usize,
    /// From the writer's last; 1 is the next.
    sequence: i64,
    not_after: i64,
    cost: u64,
    want: u64,
    instances: u64,
    ahead: bool,
    known: Option<i64>,
    claims: Option<Claimed>,
    /// With each, how many grants before this call it was granted.
    returned: Vec<(Near, usize)>,
    owed: Vec<Near>,
}

fn step(passing: impl Strategy<Value = Passing>, limits: impl Strategy<Value = Limits>) -> impl Strategy<Value = Step> {
    let changed = prop_oneof![9 => Just(None), 1 => limits.prop_map(Some)];
    let sequence = prop_oneof![8 => Just(1), 1 => Just(0), 1 => select(vec![-1, 3, i64::MIN])];
    let latest = LATEST as i64;
    let not_after = prop_oneof![9 => Just(VALID as i64), 1 => select(vec![-1, 0, latest, latest + 1])];
    let cost = prop_oneof![12 => 0..4_u64, 2 => 0..60_u64, 1 => up_to(MAX_COST)];
    let instances = prop_oneof![4 => 0..9_u64, 1 => up_to(1 << 50)];
    let known = prop_oneof![4 => Just(None), 9 => Just(Some(0)), 1 => Just(Some(-1))];
    let claims = prop_oneof![4 => Just(None), 1 => Claimed::any().prop_map(Some)];
    let amounts = (cost, up_to(u64::MAX), instances, prop::bool::weighted(0.15));
    let back = (Near::any(), prop_oneof![3 => Just(0), 2 => 0..8_usize]);
    let returned = prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(back, 1..4)];
    let told = (known, claims, returned, Near::some());
    ((passing, changed), 0..4_usize, sequence, not_after, amounts, told).prop_map(
        |((passing, limits), writer, sequence, not_after, amounts, (known, claims, returned, owed))| {
            let (cost, want, instances, ahead) = amounts;
            Step {
                passing,
                limits,
                writer,
                sequence,
                not_after,
                cost,
                want,
                instances,
                ahead,
                known,
                claims,
                returned,
                owed,
            }
        },
    )
}

/// For how long a call may be done, as a rule.
const VALID: u64 = 2_000;
/// The last of them is as Redis writes a number.
const WRITERS: [u64; 4] = [0, 7, u64::MAX, u64::from_be_bytes(*b"12345678")];

/// What is later than any test is run, so that nothing ends under way: ends of February, of years and of a century.
fn begins() -> impl Strategy<Value = Millis> {
    let ends = ["2100-02-28T23:59:59.990Z", "2096-02-28T23:59:00Z", "2099-12-31T23:59:59Z", "2400-02-29T23:00:00Z"];
    let ends = ends.map(|end| end.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp_millis() as u64);
    prop_oneof![1 => select(ends.to_vec()), 1 => 4_100_000_000_000..40_000_000_000_000_u64]
}

async fn replay(link: &Link, mut clock: Millis, mut limits: Limits, steps: Vec<Step>) {
    let mut scene = Scene::new(link);
    let mut sequences = [0_u64; WRITERS.len()];
    let mut born = 0_u64;
    let mut end = None;
    let mut grants = Vec::new();
    for step in steps {
        clock = step.passing.from(clock);
        limits = step.limits.unwrap_or(limits);
        let now = clock;
        let next = sequences[step.writer].saturating_add_signed(step.sequence);
        let from = |before: usize| grants.iter().rev().nth(before).copied().unwrap_or_default();
        let returned = |(near, before): &(Near, usize)| Returned { from: from(*before), tokens: near.at(now) };
        let near = |all: &[Near]| all.iter().map(|near| near.at(now)).collect::<Vec<_>>();
        let call = Call {
            writer: WriterId(WRITERS[step.writer]),
            sequence: next,
            not_after: now.saturating_add_signed(step.not_after),
            cost: step.cost,
            want: step.want,
            instances: step.instances,
            returned: step.returned.iter().map(returned).collect(),
            ahead: step.ahead,
            known: step.known.map(|by| born.saturating_add_signed(by)),
            claims: step.claims.map(|claimed| claimed.at(now, next)),
            owed: near(&step.owed),
        };
        let answer = scene.call(&limits, &call, clock).await;
        if let Outcome::Granted(grant) = answer.outcome {
            grants.push(grant.from);
        }
        sequences[step.writer] = sequences[step.writer].max(next);
        if !call.only_looks() {
            (born, end) = (answer.born, Some(scene.model.expires()));
        }
    }
    match end {
        Some(end) => scene.is_kept_until(end).await,
        None => assert_eq!(scene.ask(&["EXISTS", &scene.name]).await, redis::Value::Int(0), "what only looks wrote"),
    }
}

/// Replays so many scenarios on a server of their own.
fn replay_all(cases: u32, scenarios: impl Strategy<Value = (Millis, Limits, Vec<Step>)>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(RedisServer::start()).unwrap();
    let link = runtime.block_on(async { link_to(&server) });
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let replayed = runner.run(&scenarios, |(begin, limits, steps)| {
        runtime.block_on(replay(&link, begin, limits, steps));
        Ok(())
    });
    replayed.unwrap();
}

#[test]
fn whatever_is_asked_the_script_says_what_the_model_says() {
    let steps = prop::collection::vec(step(Passing::any(), limits()), 1..40);
    replay_all(384, (begins(), limits(), steps));
}

#[test]
fn a_bucket_is_emptied_and_refills_as_in_the_model() {
    let passing = (0..300_u64).prop_map(Passing::By);
    let steps = prop::collection::vec(step(passing, bursts()), 1..60);
    replay_all(128, (begins(), bursts(), steps));
}

fn call(writer: u64, sequence: u64, now: Millis) -> Call {
    Call { writer: WriterId(writer), sequence, not_after: now + VALID, cost: 1, ..Call::default() }
}

#[tokio::test]
async fn as_many_writers_as_may_be_are_remembered_and_no_longer_than_they_must() {
    let server = RedisServer::start().await.unwrap();
    let link = link_to(&server);
    let mut scene = Scene::new(&link);
    let limits = Limits { per_minute: Some(MAX_LIMIT), ..Limits::UNLIMITED };
    let now = 4_100_000_000_000;
    let many = MAX_WRITERS as u64;
    for writer in 0..many {
        scene.call(&limits, &call(writer, 1, now + writer), now + writer).await;
    }
    let full = now + many;
    let crowded = Outcome::Denied { by: Shortage::Writers, wait: 1_000 };
    assert_eq!(scene.call(&limits, &call(many, 1, full), full).await.outcome, crowded);
    assert!(matches!(scene.call(&limits, &call(5, 2, full), full).await.outcome, Outcome::Granted(_)));
    // The first may be forgotten, and then the next.
    let later = now + VALID + REMEMBERED + 1;
    let granted = scene.call(&limits, &call(many, 1, later), later).await.outcome;
    assert!(matches!(granted, Outcome::Granted(_)));
    assert_eq!(scene.call(&limits, &call(many + 1, 1, later), later).await.outcome, crowded);
    let all_over = full + VALID + REMEMBERED + 1;
    scene.call(&limits, &call(many + 1, 1, all_over), all_over).await;
    // The state, and the two that came after the others.
    assert_eq!(scene.ask(&["HLEN", &scene.name]).await, redis::Value::Int(3));
}

#[tokio::test]
async fn of_writers_that_come_and_go_few_are_kept() {
    let server = RedisServer::start().await.unwrap();
    let link = link_to(&server);
    let mut scene = Scene::new(&link);
    for writer in 0..200 {
        let now = 4_100_000_000_000 + writer * (VALID + REMEMBERED + 1);
        scene.call(&Limits::STANDARD, &call(writer, 1, now), now).await;
        let there: u64 = redis::from_redis_value(scene.ask(&["HLEN", &scene.name]).await).unwrap();
        assert!(there <= 33, "{there} fields after {writer} writers");
    }
}

#[tokio::test]
async fn what_is_counted_without_a_limit_stops_at_the_most() {
    let server = RedisServer::start().await.unwrap();
    let link = link_to(&server);
    let mut scene = Scene::new(&link);
    let now = 4_100_000_000_000;
    let by_hour = Limits { per_hour: Some(MAX_LIMIT), ..Limits::UNLIMITED };
    let owed = vec![Tokens { numbers: Numbers::at(now), tokens: u64::MAX }];
    scene.call(&Limits::UNLIMITED, &Call { owed, ..call(1, 1, now) }, now).await;
    scene.call(&Limits::UNLIMITED, &Call { want: u64::MAX, ..call(1, 2, now) }, now).await;
    let answer = scene.call(&by_hour, &call(1, 3, now), now).await;
    assert_eq!(answer.left[1], Some(0), "it came round to nothing");
}
