//! What the rules find in traces of keys as they are used, with planted events, and what they find besides: through the
//! sentry and the memory store, as in production, with the clock in the test's hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};

use super::finding::{Finding, Rule};
use super::policy::AnomalyPolicy;
use super::sentry::Sentry;
use super::sighting::{Sighting, Whom};
use crate::actor::Operator;
use crate::clock::Clock;
use crate::key::KeyId;
use crate::manager::{ApiKeyManager, NewKey};
use crate::record::Quota;
use crate::ring::{MasterSecret, SecretRing};
use crate::store::{MemoryStore, Store};
use crate::usage::batch::{Batch, Delta, Writer};
use crate::usage::counts::Counts;
use crate::usage::location::Location;
use crate::usage::outcome::{Answered, Outcome};
use crate::usage::period::Hour;
use crate::usage::subject::Subject;

const DAYS: u32 = 60;
/// Events are planted from this day on.
const EVENTS_FROM: u32 = 35;
/// 2026-01-01, a Thursday.
const START: i64 = 1_767_225_600;
const STEPS: u32 = 12;

/// SplitMix64: traces are the same in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Evenly in the logarithm.
    fn magnitude(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    fn below(&mut self, end: u32) -> u32 {
        (self.next() % u64::from(end.max(1))) as u32
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().max(1e-300).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 40.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64;
        }
        let (end, mut product, mut count) = ((-mean).exp(), self.unit(), 0);
        while product > end {
            product *= self.unit();
            count += 1;
        }
        count
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A service: nearly flat, from a few networks.
    Server,
    /// A service that people use: days, nights and weekends.
    Daily,
    /// Jobs, so many days apart.
    Batch(u32),
    /// Jobs at any time, twice a week or so.
    Bursts,
    /// A person at work, who travels now and then.
    Person,
    /// A person on the move: networks change all the time.
    Mobile,
    /// An application that thousands have: many networks in each hour.
    Fleet,
    /// Used on the first of each month.
    Monthly,
}

#[derive(Debug, Clone, Copy)]
struct Event {
    rule: Rule,
    /// In hours since the start.
    from: u32,
    hours: u32,
    /// Requests, a share, or networks.
    size: f64,
}

struct Trace {
    whom: Whom,
    kind: Kind,
    rate: f64,
    growth: f64,
    error_share: f64,
    batch_hour: u32,
    batch_size: f64,
    /// Networks it is used from, the usual one first; and those it may yet be.
    networks: Vec<u32>,
    country: &'static str,
    scopes: Vec<String>,
    /// On which day it moves to another provider for good, or is released with a scope more.
    moves: Option<u32>,
    releases: Option<u32>,
    /// Until when it is on a journey, and where.
    journey: Option<(u32, u32, &'static str)>,
    event: Option<Event>,
}

const COUNTRIES: [&str; 8] = ["DE", "FR", "US", "GB", "JP", "BR", "IN", "PL"];

impl Trace {
    fn new(number: u32, dice: &mut Dice) -> Self {
        let kind = match number % 20 {
            0..8 => Kind::Server,
            8..13 => Kind::Daily,
            13 => Kind::Batch(1),
            14 => Kind::Batch(7),
            15 => {
                if number.is_multiple_of(3) {
                    Kind::Bursts
                } else {
                    Kind::Batch(30)
                }
            }
            16 | 17 => Kind::Person,
            18 => Kind::Mobile,
            _ => {
                if number.is_multiple_of(2) {
                    Kind::Fleet
                } else {
                    Kind::Monthly
                }
            }
        };
        let rate = match kind {
            Kind::Server => dice.magnitude(5.0, 5_000.0),
            Kind::Daily => dice.magnitude(20.0, 20_000.0),
            Kind::Batch(_) | Kind::Bursts => dice.between(0.0, 5.0),
            Kind::Person | Kind::Mobile | Kind::Monthly => dice.magnitude(2.0, 60.0),
            Kind::Fleet => dice.magnitude(500.0, 5_000.0),
        };
        let country = COUNTRIES[dice.below(8) as usize];
        let networks = match kind {
            Kind::Fleet => 2_000,
            Kind::Mobile => 12,
            _ => 1 + dice.below(3),
        };
        let mut id = [0; 16];
        id[12..].copy_from_slice(&number.to_be_bytes());
        Self {
            whom: Whom {
                key: KeyId::from_bytes(id),
                organization: "acme".parse().unwrap(),
                created_at: at(0) - TimeDelta::days(1),
            },
            kind,
            rate,
            growth: if dice.chance(0.1) { 0.01 } else { 0.0 },
            error_share: dice.magnitude(0.001, 0.03),
            batch_hour: dice.below(24),
            batch_size: dice.magnitude(1_000.0, 50_000.0),
            networks: (0..networks).map(|_| dice.below(1 << 16)).collect(),
            country,
            scopes: (0..1 + dice.below(4)).map(|scope| format!("s{scope}:read")).collect(),
            moves: dice.chance(0.03).then(|| 10 + dice.below(DAYS - 10)),
            releases: dice.chance(0.05).then(|| 10 + dice.below(DAYS - 10)),
            journey: None,
            event: None,
        }
    }

    /// The expected requests of an hour.
    fn mean(&self, hour: u32, dice: &mut Dice) -> f64 {
        let (day, of_day) = (hour / 24, hour % 24);
        let is_weekend = matches!(day % 7, 2 | 3);
        let is_batch = |every: u32| day % every == self.batch_hour % every && of_day == self.batch_hour;
        let wave = |depth: f64| 1.0 + depth * (std::f64::consts::TAU * (f64::from(of_day) - 8.0) / 24.0).sin();
        let is_working = !is_weekend && (8..18).contains(&of_day);
        let mean = self.rate
            * match self.kind {
                Kind::Server => wave(0.2),
                Kind::Fleet => wave(0.6),
                Kind::Daily => wave(0.8) * if is_weekend { 0.3 } else { 1.0 },
                Kind::Batch(_) | Kind::Bursts => 1.0,
                Kind::Person | Kind::Mobile => f64::from(is_working),
                Kind::Monthly => f64::from(matches!(day, 0 | 31 | 59) && is_working),
            };
        let burst = match self.kind {
            Kind::Batch(every) if is_batch(every) => self.batch_size * dice.between(0.9, 1.1),
            Kind::Bursts if dice.chance(2.0 / 168.0) => self.batch_size * dice.between(0.7, 1.3),
            _ => 0.0,
        };
        // Programs are not independent of each other.
        let noise = (0.1 * dice.normal()).exp();
        let growth = (1.0 + self.growth).powi(day as i32);
        let asleep = self.event.is_some_and(|event| {
            event.rule == Rule::DormantAwakened && hour < event.from && hour + event.size as u32 * 24 >= event.from
        });
        if asleep { 0.0 } else { mean * noise * growth + burst }
    }

    /// The most requests that are expected of an hour.
    fn peak(&self) -> f64 {
        let growth = (1.0 + self.growth).powi(DAYS as i32);
        match self.kind {
            Kind::Batch(_) | Kind::Bursts => self.batch_size,
            _ => 1.8 * self.rate * growth,
        }
    }

    fn address(network: u32) -> IpAddr {
        IpAddr::from(((network << 16) | 0x0a0b).to_be_bytes())
    }

    /// What is counted in a part of an hour.
    fn counted(&mut self, hour: u32, part: f64, blip: f64, dice: &mut Dice) -> Option<Delta> {
        let (day, now) = (hour / 24, Hour::of(at(hour)));
        let mean = self.mean(hour, dice) * part;
        let mut requests = dice.poisson(mean);
        let event = self.event.filter(|event| (event.from..event.from + event.hours).contains(&hour));
        let mut error_share = self.error_share.max(blip);
        match event {
            Some(Event { rule: Rule::Volume, size, .. }) => requests += dice.poisson(size * part),
            Some(Event { rule: Rule::ErrorRate, size, .. }) => error_share = size,
            Some(Event { rule: Rule::AddressSpread, size, .. }) => requests += size as u64 * 3,
            Some(_) => requests += 5,
            None => {}
        }
        if requests == 0 {
            return None;
        }
        let mut counts = Counts::default();
        counts.add_outcome(Outcome::Admitted, requests);
        let errors = dice.poisson(requests as f64 * error_share).min(requests);
        counts.add_answer(Answered::ServerError, errors);
        counts.add_answer(Answered::Success, requests - errors);
        let mut delta = Delta::default();
        if self.moves.is_some_and(|moves| day == moves && hour % 24 == 10) {
            (self.moves, self.networks[0]) = (None, dice.below(1 << 16));
        }
        let sees = |delta: &mut Delta, network: u32| delta.add_address(now.month(), Self::address(network));
        let mut country = self.country;
        match self.kind {
            Kind::Fleet => {
                for _ in 0..(requests / 20).clamp(5, 60) {
                    let network = self.networks[dice.below(self.networks.len() as u32) as usize];
                    sees(&mut delta, network);
                }
            }
            Kind::Mobile => {
                // Mostly one of those it knows, now and then one it does not.
                let network = match dice.chance(0.05) {
                    true => dice.below(1 << 16),
                    false => self.networks[dice.below(self.networks.len() as u32) as usize],
                };
                sees(&mut delta, network);
            }
            _ => {
                let known = self.networks.len() as u32;
                (0..known)
                    .filter(|_| dice.chance(0.8))
                    .for_each(|place| sees(&mut delta, self.networks[place as usize]));
                sees(&mut delta, self.networks[0]);
            }
        }
        if matches!(self.kind, Kind::Person | Kind::Mobile) {
            if self.journey.is_none_or(|(until, ..)| until <= day) {
                // Three days, once in two months; every second one abroad.
                let starts = dice.chance(1.0 / (60.0 * 10.0));
                let place = if dice.chance(0.5) { COUNTRIES[dice.below(8) as usize] } else { self.country };
                self.journey = starts.then(|| (day + 3, dice.below(1 << 16), place));
            }
            if let Some((_, network, place)) = self.journey {
                delta.addresses.clear();
                sees(&mut delta, network);
                country = place;
            }
        }
        counts.add_location(Location::new(country).ok(), requests);
        delta.scopes = self.scopes.iter().filter(|_| dice.chance(0.7)).map(|scope| scope.parse().unwrap()).collect();
        if self.releases.is_some_and(|releases| day >= releases) {
            delta.scopes.insert("released:write".parse().unwrap());
        }
        match event {
            Some(Event { rule: Rule::NewLocation, .. }) => {
                counts.add_location(Location::new("KP").ok(), 5);
                sees(&mut delta, 4_711);
            }
            Some(Event { rule: Rule::NewNetwork, .. }) => sees(&mut delta, 4_711),
            Some(Event { rule: Rule::NewScope, .. }) => {
                delta.scopes.insert("admin:write".parse().unwrap());
            }
            Some(Event { rule: Rule::AddressSpread, size, .. }) => {
                (0..size as u32).for_each(|network| sees(&mut delta, 50_000 + network));
            }
            _ => {}
        }
        delta.hours.insert(now, counts);
        Some(delta)
    }
}

fn at(hour: u32) -> DateTime<Utc> {
    DateTime::from_timestamp(START + i64::from(hour) * 3_600, 0).unwrap()
}

#[derive(Debug, Clone)]
struct Held(Arc<Mutex<DateTime<Utc>>>);

impl Clock for Held {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// Which events may be planted in a trace, in turn.
fn plant(trace: &mut Trace, number: u32, dice: &mut Dice) {
    let rule = Rule::ALL[(number / 2) as usize % Rule::ALL.len()];
    let is_steady = matches!(trace.kind, Kind::Server | Kind::Daily);
    let may_be = match rule {
        Rule::Volume => !matches!(trace.kind, Kind::Monthly),
        Rule::ErrorRate => is_steady && trace.rate > 60.0,
        Rule::NewLocation => !matches!(trace.kind, Kind::Monthly),
        Rule::NewNetwork => is_steady || matches!(trace.kind, Kind::Person | Kind::Batch(_)),
        Rule::DormantAwakened => is_steady || matches!(trace.kind, Kind::Person | Kind::Mobile),
        Rule::NewScope => !matches!(trace.kind, Kind::Monthly),
        Rule::AddressSpread => !matches!(trace.kind, Kind::Fleet | Kind::Monthly),
    };
    if !may_be {
        return;
    }
    let from = (EVENTS_FROM + dice.below(DAYS - EVENTS_FROM - 2)) * 24 + dice.below(24);
    let (hours, size) = match rule {
        Rule::Volume => (2, 1_500.0 + dice.between(3.0, 20.0) * trace.peak()),
        Rule::ErrorRate => (1 + dice.below(3), dice.between(0.25, 1.0)),
        Rule::AddressSpread => (1, dice.between(12.0, 60.0)),
        // For so many days before it there is silence.
        Rule::DormantAwakened => (6, dice.between(31.0, 34.0)),
        _ => (1, 0.0),
    };
    trace.event = Some(Event { rule, from, hours, size });
}

#[derive(Debug, Default)]
struct Score {
    planted: u32,
    found: u32,
    false_alarms: u32,
}

fn scores(traces: &[Trace], findings: &[Finding]) -> BTreeMap<Rule, Score> {
    let mut scores: BTreeMap<Rule, Score> = Rule::ALL.map(|rule| (rule, Score::default())).into();
    let of_key: BTreeMap<KeyId, &Trace> = traces.iter().map(|trace| (trace.whom.key, trace)).collect();
    for trace in traces {
        let Some(Event { rule, from, hours, .. }) = trace.event else { continue };
        let during = at(from)..=at(from + hours + 1);
        let is_found = findings
            .iter()
            .any(|finding| finding.key_id == trace.whom.key && finding.rule == rule && during.contains(&finding.at));
        let score = scores.get_mut(&rule).unwrap();
        score.planted += 1;
        score.found += u32::from(is_found);
    }
    for finding in findings {
        let event = of_key[&finding.key_id].event;
        // What else an event brings about, on its day, is no false alarm: a thief in a country has a network there.
        let is_of_event = event.is_some_and(|event| (at(event.from)..at(event.from + 24)).contains(&finding.at));
        scores.get_mut(&finding.rule).unwrap().false_alarms += u32::from(!is_of_event);
    }
    scores
}

/// Makes a record of each key: of what has none nothing is counted.
async fn create(store: &MemoryStore, traces: &[Trace]) {
    let ring = SecretRing::new(&MasterSecret::generate().unwrap());
    let manager = ApiKeyManager::builder(store.clone(), ring).counts_usage(false).build().unwrap();
    let (organization, operator) = ("acme".parse().unwrap(), Operator::named("tests".parse().unwrap()).into());
    let made = manager.create(&operator, NewKey::new("acme".parse().unwrap(), "ada".parse().unwrap())).await.unwrap();
    let record = store.record(made.key.id).await.unwrap().unwrap();
    let records = traces.iter().map(|trace| {
        let mut record = record.clone();
        (record.key.id, record.key.lineage.root) = (trace.whom.key, trace.whom.key);
        record
    });
    let ample = Quota { per_organization: u64::MAX, per_user: u64::MAX };
    let created = store.create(&organization, ample, records.collect()).await.unwrap();
    assert!(created.iter().all(Result::is_ok));
}

async fn watch(keys: u32, seed: u64) -> (Vec<Trace>, Vec<Finding>, Arc<Sentry>) {
    let mut dice = Dice(seed);
    let clock = Held(Arc::new(Mutex::new(at(0))));
    let store = MemoryStore::with_clock(clock.clone());
    let findings: Arc<Mutex<Vec<Finding>>> = Arc::default();
    let told = Arc::clone(&findings);
    let hook = move |finding: &Finding| told.lock().unwrap().push(finding.clone());
    let sentry =
        Sentry::new(Arc::new(store.clone()), Arc::new(clock.clone()), AnomalyPolicy::new(), Some(Arc::new(hook)));
    let mut traces: Vec<_> = (0..keys).map(|number| Trace::new(number, &mut dice)).collect();
    let planted = traces.iter_mut().zip(0..).filter(|(_, number)| number % 2 == 1);
    planted.for_each(|(trace, number)| plant(trace, number, &mut dice));
    create(&store, &traces).await;
    let mut mark = 0;
    for hour in 0..DAYS * 24 {
        // A release: three minutes of errors for whoever asks meanwhile; five minutes are the finest step there is.
        let blips: Vec<Option<(u32, f64)>> = traces
            .iter()
            .map(|_| dice.chance(1.0 / (5.0 * 24.0)).then(|| (dice.below(STEPS), dice.between(0.2, 0.5))))
            .collect();
        for step in 0..STEPS {
            *clock.0.lock().unwrap() = at(hour) + TimeDelta::seconds(i64::from(step + 1) * 300 - 1);
            let mut deltas = Vec::new();
            for (trace, blip) in traces.iter_mut().zip(&blips) {
                let near = |event: Event| {
                    event.rule == Rule::ErrorRate && (event.from..event.from + event.hours + 1).contains(&hour)
                };
                let is_fine = blip.is_some() || trace.event.is_some_and(near);
                let part = match (is_fine, step) {
                    (true, _) => 1.0 / f64::from(STEPS),
                    (false, 11) => 1.0,
                    _ => continue,
                };
                // A release that begins late in a step is in the next as well.
                let share = blip.filter(|(at, _)| *at == step || *at + 1 == step).map_or(0.0, |(_, share)| share);
                if let Some(delta) = trace.counted(hour, part, share, &mut dice) {
                    deltas.push((trace.whom.clone(), delta));
                }
            }
            if deltas.is_empty() {
                continue;
            }
            for (whom, delta) in &deltas {
                sentry.see(whom.clone(), Sighting::of(delta));
            }
            let deltas = deltas.into_iter().map(|(whom, delta)| (Subject::Key(whom.key), delta)).collect();
            let batch = Batch { after: mark, number: mark + 1, deltas };
            mark = store.record_usage(0, Writer(1), &[Arc::new(batch)]).await.unwrap();
            sentry.run().await;
        }
    }
    let findings = findings.lock().unwrap().clone();
    (traces, findings, sentry)
}

async fn judge(keys: u32, seed: u64) {
    let (traces, findings, sentry) = watch(keys, seed).await;
    let key_months = f64::from(keys) * f64::from(DAYS) / 30.0;
    let mut table =
        format!("{keys} keys, {DAYS} days, seed {seed}\nrule              planted found recall  false/key-month\n");
    let scores = scores(&traces, &findings);
    let recall = |score: &Score| f64::from(score.found) / f64::from(score.planted.max(1));
    let mut all = Score::default();
    for (rule, score) in &scores {
        let Score { planted, found, false_alarms } = score;
        let rate = f64::from(*false_alarms) / key_months;
        writeln!(table, "{rule:17} {planted:7} {found:5}   {:.2}  {rate:15.4}", recall(score)).unwrap();
        all = Score {
            planted: all.planted + planted,
            found: all.found + found,
            false_alarms: all.false_alarms + false_alarms,
        };
    }
    let rate = f64::from(all.false_alarms) / key_months;
    writeln!(table, "{:17} {:7} {:5}   {:.2}  {rate:15.4}", "all", all.planted, all.found, recall(&all)).unwrap();
    let statistics = sentry.statistics();
    println!("{table}{statistics:?}");
    if std::env::var_os("KEYGATE_TRACES").is_some() {
        for finding in &findings {
            let trace = traces.iter().find(|trace| trace.whom.key == finding.key_id).unwrap();
            let event = trace.event.map(|event| (event.rule, event.from / 24));
            println!("{} {:?} {event:?} {} {}", finding.at, trace.kind, finding.rule, finding.detail);
        }
        for trace in &traces {
            if let Some(event) = trace.event
                && !findings.iter().any(|finding| finding.key_id == trace.whom.key && finding.rule == event.rule)
            {
                println!("missed {:?} rate {} {event:?}", trace.kind, trace.rate);
            }
        }
    }
    assert_eq!(statistics.dropped + statistics.failures, 0);
    assert!(recall(&all) >= 0.9, "{table}");
    assert!(scores.values().all(|score| recall(score) >= 0.75), "{table}");
    // Of what a trace does by itself most is news all the same: a new provider, a first journey, a first job of a month.
    assert!(rate < 0.15, "{table}");
}

#[tokio::test]
async fn planted_events_are_found_and_little_else() {
    judge(300, 1).await;
}

/// More of it, for figures: `cargo test --release -p keygate-core traces -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "takes minutes"]
async fn of_many_keys_planted_events_are_found_and_little_else() {
    for seed in 2..6 {
        judge(2_000, seed).await;
    }
}
