//! The script makes of batches what the model makes of them, whatever they are and whatever its clock shows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use chrono::{DateTime, TimeDelta};
use keygate_core::denial::DenialReason;
use keygate_core::names::{ProjectId, UserId};
use keygate_core::record::Quota;
use keygate_core::store::Store;
use keygate_core::usage::batch::{Delta, LastError};
use keygate_core::usage::book::{Book, RANKED, WRITER_KNOWN_FOR, keeps_day, keeps_month};
use keygate_core::usage::counts::{Counts, MAX_FIELDS, OTHER};
use keygate_core::usage::distinct::EXACTLY;
use keygate_core::usage::location::Location;
use keygate_core::usage::outcome::{Answered, Failure, Outcome};
use keygate_core::usage::period::Hour;
use keygate_core::usage::series::{LENGTH, MAX_COUNT};
use keygate_testkit::{RedisServer, sample};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::layout::Layout;

type Time = DateTime<Utc>;

const WRITERS: [Writer; 2] = [Writer(1), Writer(u64::MAX)];

/// A bucket on a server and in the model.
struct Scene<'a> {
    store: &'a RedisStore,
    bucket: u16,
    subjects: Vec<Subject>,
    /// The keys of which there is a record.
    there: BTreeSet<KeyId>,
    model: Book,
    days: BTreeSet<Day>,
    months: BTreeSet<Month>,
    /// When something of each writer was taken in last.
    said: BTreeMap<Writer, Time>,
}

fn store_at(server: &RedisServer) -> RedisStore {
    RedisStore::connect(server.url().parse().unwrap())
}

fn key_in(bucket: Bucket) -> KeyId {
    KeyId::fresh(sample::now(), Some(bucket)).unwrap()
}

impl<'a> Scene<'a> {
    /// Two keys, what is above keys, and a key of which there is no record.
    async fn new(store: &'a RedisStore) -> Self {
        let organization = sample::organization();
        let bucket = Layout::organization_bucket(&organization);
        let keys = [key_in(bucket), key_in(bucket), key_in(bucket)];
        let subjects = vec![
            Subject::Key(keys[0]),
            Subject::Key(keys[1]),
            Subject::User(organization.clone(), UserId::new("bob").unwrap()),
            Subject::Project(organization.clone(), ProjectId::new("bob").unwrap()),
            Subject::Organization(organization),
            Subject::Key(keys[2]),
        ];
        let (there, model, days, months, said) = Default::default();
        let mut scene = Self { store, bucket: bucket.number(), subjects, there, model, days, months, said };
        for key in &keys[..2] {
            scene.comes_or_goes(*key).await;
        }
        scene
    }

    /// The record of a key is made, or erased, and nothing else of it.
    async fn comes_or_goes(&mut self, key: KeyId) {
        let name = self.store.layout.record(key);
        let mut command = redis::cmd("DEL");
        if self.there.insert(key) {
            command = redis::cmd("SET");
            command.arg(&name).arg("a record");
        } else {
            self.there.remove(&key);
            command.arg(&name);
        }
        self.store.link.query(&command).await.unwrap();
    }

    /// Sends batches to both, whose marks must be the same.
    async fn record(&mut self, writer: Writer, batches: &[Arc<Batch>], now: Time) -> Mark {
        for (_, delta) in batches.iter().flat_map(|batch| &batch.deltas) {
            self.days.extend(delta.hours.keys().map(|hour| hour.day()));
            self.months.extend(delta.addresses.keys().chain(delta.keys.keys()));
        }
        // Where what is ahead is counted.
        self.days.insert(Day::of(latest(now)));
        self.months.insert(Month::of(latest(now)));
        // Here no time passes that ends anything.
        for (writer, said) in &self.said {
            if now - said >= WRITER_KNOWN_FOR {
                let mark = self.store.layout.usage_mark(Bucket::of(self.bucket.into()), *writer);
                self.store.link.query(redis::cmd("DEL").arg(mark)).await.unwrap();
            }
        }
        let script = &scripts::RECORD_USAGE_AT;
        let millis = Some(now.timestamp_millis());
        let mark = self.store.record_at(script, millis, self.bucket, writer, batches).await.unwrap();
        let is_there = |id: KeyId| self.there.contains(&id);
        let before = self.model.record(writer, [], now, is_there);
        let expected = self.model.record(writer, batches.iter().map(|batch| &**batch), now, is_there);
        assert_eq!(mark, expected, "{batches:?}");
        if mark != before {
            self.said.insert(writer, now);
        }
        mark
    }

    async fn account(&self, subject: &Subject, now: Time) -> Option<Account> {
        let days: Vec<Day> = self.days.iter().copied().filter(|day| keeps_day(*day, now)).collect();
        let months: Vec<Month> = self.months.iter().copied().filter(|month| keeps_month(*month, now)).collect();
        self.store.read_account(subject, &days, &months).await.unwrap()
    }

    /// Both have the same.
    async fn agrees(&self, now: Time) {
        for subject in &self.subjects {
            let found = self.account(subject, now).await;
            let expected = self.model.account(subject, Day(0)..=Day(u32::MAX), now);
            let (Some(found), Some(mut expected)) = (&found, expected.clone()) else {
                assert_eq!(found, expected, "of {subject}");
                continue;
            };
            assert_eq!(found.series, expected.series, "of {subject}");
            expected.days.retain(|_, counts| *counts != Counts::default());
            assert_eq!(found.days, expected.days, "of {subject}");
            expected.addresses.retain(|_, count| *count > 0);
            let months = |account: &Account| account.addresses.keys().copied().collect::<Vec<_>>();
            assert_eq!(months(found), months(&expected), "of {subject}");
            for (month, count) in &expected.addresses {
                let other = found.addresses[month];
                let near = if *count > EXACTLY as u64 { *count / 10 } else { 0 };
                assert!(count.abs_diff(other) <= near, "{other} addresses of {subject}, not {count}");
            }
            for month in &self.months {
                let ranked = self.model.most_used(subject, *month, 10_000, now);
                let name = self.store.layout.usage_ranking(subject, *month);
                let mut range = redis::cmd("ZRANGE");
                range.arg(&name).arg(0).arg(-1).arg("REV").arg("WITHSCORES");
                let found = read::ranking(&name, self.store.link.query(&range).await).unwrap();
                assert!(
                    keeps_month(*month, now) && found == ranked || ranked.is_empty(),
                    "of {subject}: {found:?} {ranked:?}"
                );
            }
            if let Subject::Key(id) = subject {
                let last = self.store.read_last_uses(&[*id, key_in(Bucket::of(0))]).await.unwrap();
                assert_eq!(last, [self.model.last_use(subject), None]);
            }
        }
    }
}

/// What is kept, but of the keys' records.
async fn names(server: &RedisServer) -> Vec<String> {
    let mut names: Vec<String> = server.command(["KEYS", "*"]).await.unwrap();
    names.retain(|name| !name.starts_with("kg:key:"));
    names.sort();
    names
}

fn one(after: Mark, number: Mark, deltas: Vec<(Subject, Delta)>) -> [Arc<Batch>; 1] {
    [Arc::new(Batch { after, number, deltas })]
}

/// What of a request is counted.
#[derive(Debug, Clone)]
enum Part {
    Outcome(Outcome),
    Answer(Answered),
    Endpoint(Arc<str>),
    Location(Option<Location>),
}

/// The names of so many things, and sometimes what all others are called.
fn part(names: u32) -> impl Strategy<Value = Part> {
    let endpoint = prop_oneof![15 => (0..names).prop_map(|n| format!("/{n}")), 1 => Just(OTHER.to_owned())];
    let location = prop_oneof![9 => (0..names).prop_map(|n| Location::new(&format!("L{n}")).ok()), 1 => Just(None)];
    prop_oneof![
        3 => select(&Outcome::ALL[..]).prop_map(Part::Outcome),
        1 => Just(Part::Outcome(Outcome::Denied(DenialReason::MissingKey))),
        2 => select(&Answered::ALL[..]).prop_map(Part::Answer),
        5 => endpoint.prop_map(|name| Part::Endpoint(name.into())),
        4 => location.prop_map(Part::Location),
    ]
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![
        12 => 0..20_u64,
        2 => select(vec![(1 << 32) - 1, 1 << 32, 1 << 31]),
        1 => select(vec![1 << 52, (1 << 53) - 1, 1 << 53, (1 << 53) + 1, 1 << 54]),
    ]
}

/// Hours from now on, backwards too.
fn hours_away() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => Just(0_i64),
        4 => -3..=2_i64,
        2 => select(vec![-25, -24, -191, -192, -193, -24 * 34, -24 * 35, -24 * 36, -24 * 399, -24 * 400, -24 * 401]),
        2 => select(vec![24, 191, 192, 193, 24 * 35, 24 * 400]),
        1 => -24 * 1_200..24 * 60_i64,
    ]
}

fn counted(names: u32) -> impl Strategy<Value = Counts> {
    prop::collection::vec((part(names), count()), 0..12).prop_map(counts_of)
}

fn address() -> impl Strategy<Value = IpAddr> {
    // The bytes of some would be taken for a number.
    let fours = prop_oneof![Just(0x3132_3334_u32), Just(0), Just(u32::MAX), (0..90_u32).prop_map(|n| 0x0a00_0000 + n)];
    prop_oneof![
        3 => fours.prop_map(|bits| IpAddr::from(bits.to_be_bytes())),
        1 => (0..30_u128).prop_map(|n| IpAddr::from((0x2001_0db8_u128 << 96 | n).to_be_bytes())),
        1 => Just(IpAddr::from(*b"1234567890123456")),
    ]
}

/// A delta of what was at a time, in hours from now.
#[derive(Debug, Clone)]
struct Told {
    hours: Vec<(i64, Counts)>,
    addresses: Vec<(i64, Vec<IpAddr>)>,
    /// In milliseconds from now.
    used: Option<(i64, Option<IpAddr>, Option<Location>)>,
    failed: Option<(i64, Failure)>,
    keys: Vec<(i64, usize, u64)>,
}

impl Told {
    fn any(names: u32) -> impl Strategy<Value = Self> {
        let addresses = prop_oneof![
            5 => prop::collection::vec(address(), 1..3),
            1 => prop::collection::vec(address(), 1..60),
        ];
        let location = select(vec![Location::new("DE").ok(), None, Location::new("abcdefghijklmnop").ok()]);
        let away = || prop_oneof![6 => -5_000..5_000_i64, 1 => 3_590_000..3_610_000_i64, 1 => 0..1_i64 << 40];
        let used = prop::option::of((away(), prop::option::of(address()), location));
        let failure = select(vec![
            Failure::Denied(DenialReason::KeyExpired),
            Failure::Answered(Answered::ClientError),
            Failure::Answered(Answered::ServerError),
        ]);
        (
            prop::collection::vec((hours_away(), counted(names)), 0..4),
            prop::collection::vec((hours_away(), addresses), 0..3),
            used,
            prop::option::of((away(), failure)),
            prop::collection::vec((hours_away(), 0..8_usize, 0..1_u64 << 40), 0..4),
        )
            .prop_map(|(hours, addresses, used, failed, keys)| Self { hours, addresses, used, failed, keys })
    }

    fn at(&self, now: Time, keys: &[KeyId]) -> Delta {
        let hour = |away: i64| Hour::of(now + TimeDelta::hours(away));
        let mut delta = Delta::default();
        for (away, counts) in &self.hours {
            delta.hours.entry(hour(*away)).or_default().add(counts);
        }
        for (away, addresses) in &self.addresses {
            addresses.iter().for_each(|address| delta.add_address(hour(*away).month(), *address));
        }
        let at = |away: i64| now + TimeDelta::milliseconds(away);
        delta.used(self.used.map(|(away, address, location)| LastUse { at: at(away), address, location }));
        delta.failed(self.failed.map(|(away, failure)| LastError { at: at(away), failure }));
        for (away, key, count) in &self.keys {
            *delta.keys.entry(hour(*away).month()).or_default().entry(keys[*key]).or_default() += count;
        }
        delta
    }
}

#[derive(Debug, Clone)]
struct Step {
    /// How the clock goes on, in milliseconds.
    passing: i64,
    /// Whether the second key is erased, or made again.
    turns: bool,
    writer: usize,
    batches: Vec<Sent>,
}

#[derive(Debug, Clone)]
struct Sent {
    /// How far it is from the writer's mark, and how much later it is numbered.
    after: i64,
    number: i64,
    /// What it tells of whom.
    told: Vec<(usize, Told)>,
}

fn step(names: u32) -> impl Strategy<Value = Step> {
    const HOUR: i64 = 3_600_000;
    let passing = prop_oneof![
        6 => select(vec![0, 1, 1_000, HOUR, 24 * HOUR, 24 * 31 * HOUR, 24 * 36 * HOUR]),
        2 => 0..5 * HOUR,
    ];
    let after = prop_oneof![9 => Just(0_i64), 1 => -2..=2_i64];
    let number = prop_oneof![9 => Just(1_i64), 1 => select(vec![0, -1, 7])];
    let told = (0..6_usize, Told::any(names));
    let batch = (after, number, prop::collection::vec(told, 0..6)).prop_map(|(after, number, told)| Sent {
        after,
        number,
        told,
    });
    let turns = prop::bool::weighted(0.1);
    (passing, turns, 0..3_usize, prop::collection::vec(batch, 0..4))
        .prop_map(|(passing, turns, writer, batches)| Step { passing, turns, writer, batches })
}

/// What is later than any test is run, so that nothing ends under way: ends of a February, of a year and of a century.
fn begins() -> impl Strategy<Value = Time> {
    let ends = ["2100-02-28T23:59:59.990Z", "2096-02-28T22:59:00Z", "2099-12-31T23:59:59Z", "2400-02-29T23:00:00Z"];
    select(ends.map(|end| end.parse::<Time>().unwrap()).to_vec())
}

async fn replay(store: &RedisStore, mut now: Time, steps: Vec<Step>) {
    let mut scene = Scene::new(store).await;
    let keys: Vec<KeyId> = (0..8).map(|_| key_in(Bucket::of(0))).collect();
    // No other scene's, which may have the same bucket.
    let writers: [Writer; 3] = std::array::from_fn(|_| Writer(u64::from_be_bytes(sample::random())));
    let mut marks = [0_u64; 3];
    for step in steps {
        now += TimeDelta::milliseconds(step.passing);
        if let (true, Subject::Key(id)) = (step.turns, scene.subjects[1].clone()) {
            scene.comes_or_goes(id).await;
        }
        let mut mark = marks[step.writer];
        let mut batches = Vec::new();
        for Sent { after, number, told } in step.batches {
            let after = mark.saturating_add_signed(after);
            let number = after.saturating_add_signed(number);
            let deltas = told.iter().map(|(who, told)| (scene.subjects[*who].clone(), told.at(now, &keys))).collect();
            batches.push(Arc::new(Batch { after, number, deltas }));
            mark = mark.max(number);
        }
        let told = scene.record(writers[step.writer], &batches, now).await;
        // What is said again changes nothing.
        if !batches.is_empty() && told > 0 {
            assert_eq!(scene.record(writers[step.writer], &batches[batches.len() - 1..], now).await.max(told), told);
        }
        marks[step.writer] = told;
        scene.agrees(now).await;
    }
}

fn replay_all(cases: u32, scenarios: impl Strategy<Value = (Time, Vec<Step>)>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(RedisServer::start()).unwrap();
    let store = store_at(&server);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let replayed = runner.run(&scenarios, |(begin, steps)| {
        runtime.block_on(replay(&store, begin, steps));
        Ok(())
    });
    replayed.unwrap();
}

#[test]
fn whatever_is_told_the_script_makes_of_it_what_the_model_makes() {
    replay_all(192, (begins(), prop::collection::vec(step(10), 1..12)));
}

#[test]
fn of_many_endpoints_and_locations_the_same_are_told_apart() {
    replay_all(48, (begins(), prop::collection::vec(step(90), 12..30)));
}

fn counts_of(parts: impl IntoIterator<Item = (Part, u64)>) -> Counts {
    let mut counts = Counts::default();
    for (part, count) in parts {
        match part {
            Part::Outcome(outcome) => counts.add_outcome(outcome, count),
            Part::Answer(answered) => counts.add_answer(answered, count),
            Part::Endpoint(endpoint) => counts.add_endpoint(&endpoint, count),
            Part::Location(location) => counts.add_location(location, count),
        }
    }
    counts
}

fn requests(hour: Hour, count: u64) -> Delta {
    let parts = [
        (Part::Outcome(Outcome::Admitted), count),
        (Part::Answer(Answered::Success), count),
        (Part::Endpoint("/v1/things".into()), count),
        (Part::Location(Location::new("DE").ok()), count),
    ];
    Delta { hours: [(hour, counts_of(parts))].into(), ..Delta::default() }
}

#[tokio::test]
async fn nothing_is_too_many() {
    let server = RedisServer::start().await.unwrap();
    let store = store_at(&server);
    let mut scene = Scene::new(&store).await;
    let now = sample::now();
    let subject = scene.subjects[0].clone();
    for number in 1..4 {
        let delta = requests(Hour::of(now), u64::MAX);
        scene.record(WRITERS[0], &one(number - 1, number, vec![(subject.clone(), delta)]), now).await;
        let found = scene.account(&subject, now).await.unwrap();
        let expected = scene.model.account(&subject, Day(0)..=Day(u32::MAX), now).unwrap();
        assert_eq!(found.series, expected.series);
        // No store counts further in a day than in all.
        let day = &found.days[&Day::of(now)];
        assert_eq!(day.endpoints().collect::<Vec<_>>(), [("/v1/things", MAX_COUNT)]);
        assert_eq!(day.locations().collect::<Vec<_>>(), [("DE", MAX_COUNT)]);
        assert_eq!(day.requests(), MAX_COUNT);
    }
    let far = requests(Hour(u32::MAX), 3);
    scene.record(WRITERS[0], &one(3, 4, vec![(scene.subjects[1].clone(), far)]), now).await;
    scene.record(WRITERS[0], &one(4, 5, vec![(scene.subjects[1].clone(), requests(Hour::of(now), 1))]), now).await;
    let found = scene.account(&scene.subjects[1], now).await;
    assert_eq!(found, scene.model.account(&scene.subjects[1], Day(0)..=Day(u32::MAX), now));
}

#[tokio::test]
async fn more_is_not_told_apart_than_there_is_room_for() {
    let server = RedisServer::start().await.unwrap();
    let store = store_at(&server);
    let mut scene = Scene::new(&store).await;
    let now = sample::now();
    let subject = scene.subjects[2].clone();
    for number in 0..6_u64 {
        let endpoints = (0..40).map(|n| (Part::Endpoint(format!("/{}", 40 * number + n).into()), 1));
        let locations = (0..40).map(|n| (Part::Location(Location::new(&format!("L{}", 7 * number + n)).ok()), 1));
        let outcome = (Part::Outcome(Outcome::ALL[number as usize]), 1);
        let counts = counts_of(endpoints.chain(locations).chain([outcome]));
        let delta = Delta { hours: [(Hour::of(now), counts)].into(), ..Delta::default() };
        scene.record(WRITERS[0], &one(number, number + 1, vec![(subject.clone(), delta)]), now).await;
        scene.agrees(now).await;
    }
    let name = store.layout.usage_day(&subject, Day::of(now));
    let fields: usize = server.command(["HLEN", &name]).await.unwrap();
    assert!((MAX_FIELDS..=MAX_FIELDS + 7).contains(&fields), "{fields}");
}

#[tokio::test]
async fn many_addresses_are_estimated_and_many_keys_ranked() {
    let server = RedisServer::start().await.unwrap();
    let store = store_at(&server);
    let mut scene = Scene::new(&store).await;
    let now = sample::now();
    let (organization, month) = (scene.subjects[4].clone(), Month::of(now));
    let ids: Vec<KeyId> = (0..2 * RANKED + 500).map(|_| key_in(Bucket::of(0))).collect();
    for number in 0..6_u32 {
        let addresses = (0..1_500).map(|n| IpAddr::from((number * 1_000 + n).to_be_bytes())).collect();
        let keys = ids.iter().enumerate().filter(|(at, _)| *at % 6 <= number as usize);
        let keys = keys.map(|(at, id)| (*id, at as u64 * 7 % 1_000)).collect();
        let delta = Delta { addresses: [(month, addresses)].into(), keys: [(month, keys)].into(), ..Delta::default() };
        let number = Mark::from(number);
        scene.record(WRITERS[0], &one(number, number + 1, vec![(organization.clone(), delta)]), now).await;
        scene.agrees(now).await;
    }
    let Subject::Organization(organization) = organization else { panic!() };
    let best = store.most_used(&organization, month, 5).await.unwrap();
    assert_eq!(best, scene.model.most_used(&scene.subjects[4], month, 5, now));
    assert_eq!(store.most_used(&organization, month, 0).await.unwrap(), []);
    assert_eq!(store.most_used(&sample::organization(), month, 5).await.unwrap(), []);
}

#[tokio::test]
async fn each_entry_ends_when_it_is_kept_no_longer() {
    let server = RedisServer::start().await.unwrap();
    let store = store_at(&server);
    let mut scene = Scene::new(&store).await;
    let now = sample::now();
    let (day, month) = (Day::of(now), Month::of(now));
    let few: BTreeSet<IpAddr> = [IpAddr::from([10, 1, 2, 3])].into();
    let many: BTreeSet<IpAddr> = (0..100_u32).map(|n| IpAddr::from(n.to_be_bytes())).collect();
    let mut deltas = Vec::new();
    for (subject, addresses) in [(0, few), (4, many)] {
        let mut delta = requests(Hour::of(now), 1);
        delta.addresses = [(month, addresses)].into();
        delta.keys = [(month, [(key_in(Bucket::of(0)), 3)].into())].into();
        deltas.push((scene.subjects[subject].clone(), delta));
    }
    scene.record(WRITERS[1], &one(0, 1, deltas.clone()), now).await;
    let [key, organization] = [0, 4].map(|at| scene.subjects[at].clone());
    let (key, organization) = (&key, &organization);
    let layout = &store.layout;
    let month_ends = Month(month.0 + DISTINCT_MONTHS).start();
    let day_ends = Day(day.0 + BREAKDOWN_DAYS).start();
    let expected = [
        (layout.usage(key), now + TimeDelta::days(1_126)),
        (layout.usage(organization), now + TimeDelta::days(1_126)),
        (layout.usage_day(key, day), day_ends),
        (layout.usage_day(organization, day), day_ends),
        (layout.usage_addresses(key, month), month_ends),
        (layout.usage_estimate(organization, month), month_ends),
        (layout.usage_ranking(key, month), month_ends),
        (layout.usage_ranking(organization, month), month_ends),
        (layout.usage_mark(Bucket::of(scene.bucket.into()), WRITERS[1]), now + TimeDelta::days(30)),
    ];
    let mut documented: Vec<_> = expected.iter().map(|(name, _)| name.clone()).collect();
    documented.sort();
    assert_eq!(names(&server).await, documented);
    let length: usize = server.command(["STRLEN", &layout.usage(key)]).await.unwrap();
    assert_eq!(length, LENGTH);
    for (name, ends) in &expected {
        let left: i64 = server.command(["PTTL", name]).await.unwrap();
        let expected = (*ends - now).num_milliseconds();
        assert!((expected - left).abs() < 10_000, "{name} ends in {left} ms, not in {expected}");
        server.command::<()>(["PERSIST", name]).await.unwrap();
    }
    // On the same day only the writer's mark is kept anew.
    scene.record(WRITERS[1], &one(1, 2, deltas), now).await;
    for (name, _) in &expected {
        let left: i64 = server.command(["PTTL", name]).await.unwrap();
        assert_eq!(left > 0, name.contains("usage-mark"), "{name}");
    }
    // On the next the series is.
    let next = vec![(key.clone(), requests(Hour(Hour::of(now).0 + 24), 1))];
    let name = store.layout.usage(key);
    scene.record(WRITERS[1], &one(2, 3, next), now + TimeDelta::days(1)).await;
    let left: i64 = server.command(["PTTL", &name]).await.unwrap();
    assert!(left > TimeDelta::days(1_126).num_milliseconds(), "{left}");
}

#[tokio::test]
async fn a_mark_says_what_is_there_and_a_forgotten_script_is_loaded_again() {
    let server = RedisServer::start().await.unwrap();
    let store = store_at(&server);
    let mut scene = Scene::new(&store).await;
    let now = sample::now();
    let subject = scene.subjects[0].clone();
    assert_eq!(store.record_usage(scene.bucket, WRITERS[0], &[]).await.unwrap(), 0);
    // As many as go into several calls.
    let told = || vec![(subject.clone(), requests(Hour::of(now), 1)); 200];
    let batches: Vec<_> = (0..7).flat_map(|number| one(number, number + 1, told())).collect();
    assert_eq!(store.record_usage(scene.bucket, WRITERS[0], &batches).await.unwrap(), 7);
    server.command::<()>(["SCRIPT", "FLUSH"]).await.unwrap();
    assert_eq!(store.record_usage(scene.bucket, WRITERS[0], &batches).await.unwrap(), 7);
    assert_eq!(store.record_usage(scene.bucket, WRITERS[0], &[]).await.unwrap(), 7);
    assert_eq!(store.record_usage(scene.bucket, WRITERS[1], &[]).await.unwrap(), 0);
    let today = Day::of(now)..=Day::of(now);
    let account = store.usage(&subject, today.clone()).await.unwrap().unwrap();
    assert_eq!((account.series.requests(), account.days[&Day::of(now)].requests()), (1_400, 1_400));
    assert_eq!(store.usage(&scene.subjects[1], today).await.unwrap(), None);
    // What is of another bucket is not taken in.
    let stray = one(7, 8, vec![(Subject::Key(key_in(Bucket::of(u64::from(scene.bucket) + 1))), Delta::default())]);
    let refused = store.record_usage(scene.bucket, WRITERS[0], &stray).await.unwrap_err();
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused:?}");
    scene.days.insert(Day::of(now));
}

#[tokio::test]
async fn what_cannot_be_added_to_is_left_as_it_is_and_all_else_is_taken_in() {
    let server = RedisServer::start().await.unwrap();
    let store = store_at(&server);
    let scene = Scene::new(&store).await;
    let now = sample::now();
    let (good, bad, month) = (&scene.subjects[0], &scene.subjects[4], Month::of(now));
    let layout = &store.layout;
    let delta = || {
        let mut delta = requests(Hour::of(now), 1);
        delta.addresses = [(month, [IpAddr::from([10, 1, 2, 3])].into())].into();
        delta.keys = [(month, [(key_in(Bucket::of(0)), 3)].into())].into();
        delta
    };
    let Subject::Key(id) = good else { panic!() };
    let told = [good, bad, &scene.subjects[2], bad].map(|subject| (subject.clone(), delta()));
    let batch = one(0, 1, told.to_vec());
    let mut passed_over = 0;
    let damages: [(String, &[&str]); 8] = [
        (layout.usage(bad), &["SADD", "a"]),
        (layout.usage(bad), &["SET", "\0\0\0\u{2}"]),
        (layout.usage(bad), &["SET", "a"]),
        (layout.usage_day(bad, Day::of(now)), &["SET", "a"]),
        (layout.usage_addresses(bad, month), &["SET", "a"]),
        (layout.usage_estimate(bad, month), &["SET", "abcd"]),
        (layout.usage_estimate(bad, month), &["SADD", "a"]),
        (layout.usage_ranking(bad, month), &["SET", "a"]),
    ];
    for (name, words) in damages {
        server.command::<()>([words[0], name.as_str(), words[1]]).await.unwrap();
        server.command::<()>(["SET", &layout.record(*id), "a record"]).await.unwrap();
        let before: Vec<u8> = server.command(["DUMP", &name]).await.unwrap();
        assert_eq!(store.record_usage(scene.bucket, WRITERS[0], &batch).await.unwrap(), 1);
        passed_over += 1;
        assert_eq!(store.usage_passed_over(), passed_over, "{name}");
        let after: Vec<u8> = server.command(["DUMP", &name]).await.unwrap();
        assert_eq!(after, before, "{name}");
        let mut of_bad = names(&server).await;
        of_bad.retain(|name| name.starts_with(&layout.usage(bad)));
        assert_eq!(of_bad, [name.as_str()]);
        for subject in [good, &scene.subjects[2]] {
            let account = store.usage(subject, Day(0)..=Day(u32::MAX)).await.unwrap().unwrap();
            assert_eq!((account.series.requests(), account.addresses.len()), (1, 1), "{subject}");
        }
        if name != layout.usage(bad) {
            server.command::<()>(["SET", &layout.usage(bad), "\0\0\0\u{1}"]).await.unwrap();
        }
        if name == layout.usage_ranking(bad, month) {
            let Subject::Organization(organization) = bad else { panic!() };
            let unread = store.most_used(organization, month, 5).await.unwrap_err();
            assert!(matches!(unread, StoreError::Damaged { .. }), "{unread:?}");
        } else {
            let unread = store.usage(bad, Day(0)..=Day(u32::MAX)).await.unwrap_err();
            assert!(matches!(&unread, StoreError::Damaged { what, .. } if *what == name), "{unread:?}");
        }
        server.command::<()>(["FLUSHALL"]).await.unwrap();
    }
    let mark = layout.usage_mark(Bucket::of(scene.bucket.into()), WRITERS[0]);
    server.command::<()>(["SET", &mark, "a"]).await.unwrap();
    for batches in [&batch[..], &[]] {
        let refused = store.record_usage(scene.bucket, WRITERS[0], batches).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Damaged { what, .. } if *what == mark), "{refused:?}");
    }
    server.command::<()>(["SET", &layout.usage(good), "b"]).await.unwrap();
    assert!(matches!(store.last_uses(&[*id]).await, Err(StoreError::Damaged { .. })));
}

#[tokio::test]
async fn a_full_server_takes_in_nothing_of_a_batch() {
    let server = RedisServer::start().await.unwrap();
    let store = store_at(&server);
    let scene = Scene::new(&store).await;
    let now = sample::now();
    let batch = one(0, 1, scene.subjects.iter().map(|subject| (subject.clone(), requests(Hour::of(now), 1))).collect());
    server.command::<()>(["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let refused = store.record_usage(scene.bucket, WRITERS[0], &batch).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert_eq!(names(&server).await, Vec::<String>::new());
    server.command::<()>(["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    assert_eq!(store.record_usage(scene.bucket, WRITERS[0], &batch).await.unwrap(), 1);
}

#[tokio::test]
async fn what_was_counted_of_a_key_goes_with_it() {
    let server = RedisServer::start().await.unwrap();
    let store = store_at(&server);
    let now = sample::now();
    let organization = sample::organization();
    let record = sample::record(&organization, &sample::user("bob"));
    let quota = Quota { per_organization: 10, per_user: 10 };
    store.create(&organization, quota, vec![record.clone()]).await.unwrap();
    let subject = Subject::Key(record.key.id);
    let mut delta = Delta::default();
    for day in 0..BREAKDOWN_DAYS {
        delta.add(&requests(Hour(Hour::of(now).0 - 24 * day), 1));
    }
    for back in 0..DISTINCT_MONTHS {
        let many: BTreeSet<IpAddr> = (0..50 * back + 1).map(|n| IpAddr::from(n.to_be_bytes())).collect();
        delta.addresses.insert(Month(Month::of(now).0 - back), many);
    }
    let bucket = store.usage_bucket(&subject);
    let batch = one(0, 1, vec![(subject.clone(), delta)]);
    assert_eq!(store.record_usage(bucket, Writer(7), &batch).await.unwrap(), 1);
    let account = store.usage(&subject, Day(0)..=Day(u32::MAX)).await.unwrap().unwrap();
    assert_eq!((account.days.len(), account.addresses.len()), (BREAKDOWN_DAYS as usize, DISTINCT_MONTHS as usize));
    let usage_names = format!("*usage*{}*", record.key.id);
    assert_eq!(server.command::<Vec<String>>(["KEYS", &usage_names]).await.unwrap().len(), 39);
    store.delete(&organization, record.key.id, record.key.revision).await.unwrap();
    assert!(server.command::<Vec<String>>(["KEYS", &usage_names]).await.unwrap().is_empty());
    assert_eq!(store.usage(&subject, Day(0)..=Day(u32::MAX)).await.unwrap(), None);
}
