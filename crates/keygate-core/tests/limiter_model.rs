//! What is granted and spent of a pool by any number of instances, over a network that loses, repeats, delays and reorders
//! what is sent, with crashes and clocks that step: consumed <= granted <= limit in every window.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use keygate_core::clock::Tick;
use keygate_core::limiter::bucket::{Bucket, Shape};
use keygate_core::limiter::call::{Answer, Call, Claims, Grant, Outcome, Recent, Tokens, Writer};
use keygate_core::limiter::ledger::Ledger;
use keygate_core::limiter::slot::Slot;
use keygate_core::limiter::window::{Millis, Numbers, Window};
use keygate_core::limits::Limits;
use proptest::prelude::*;

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// An instance gets a request.
    Request { instance: usize, cost: u64 },
    /// An instance asks for more beforehand, for these windows or the next ones.
    Renew { instance: usize, ahead: bool },
    /// An instance gives back what it holds.
    GiveBack { instance: usize },
    /// The oldest, or the newest, message under way arrives; or it arrives and is still under way; or it is lost.
    Deliver { newest: bool, again: bool, lost: bool },
    /// An instance gives up waiting and sends its call again.
    Resend { instance: usize },
    /// An instance crashes, and another takes its place.
    Crash { instance: usize },
    /// Time passes.
    Pass { millis: u64 },
    /// The store's clock is set forward or back.
    StoreClock { forward: bool, millis: u64 },
    /// A replica takes the store's place, which has not what was granted since it was last in step.
    Failover,
    /// The replica is in step.
    Replicate,
    /// A replica that has nothing takes the store's place.
    Loss,
}

fn step() -> impl Strategy<Value = Step> {
    let instance = 0usize..3;
    prop_oneof![
        8 => (instance.clone(), 1u64..4).prop_map(|(instance, cost)| Step::Request { instance, cost }),
        2 => (instance.clone(), any::<bool>()).prop_map(|(instance, ahead)| Step::Renew { instance, ahead }),
        1 => instance.clone().prop_map(|instance| Step::GiveBack { instance }),
        8 => (any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.1))
            .prop_map(|(newest, again, lost)| Step::Deliver { newest, again, lost }),
        1 => instance.clone().prop_map(|instance| Step::Resend { instance }),
        1 => instance.prop_map(|instance| Step::Crash { instance }),
        3 => prop_oneof![0u64..50, 0u64..70_000].prop_map(|millis| Step::Pass { millis }),
        1 => (any::<bool>(), 0u64..120_000).prop_map(|(forward, millis)| Step::StoreClock { forward, millis }),
    ]
}

fn failover() -> impl Strategy<Value = Step> {
    prop_oneof![3 => Just(Step::Replicate), 2 => Just(Step::Failover), 1 => Just(Step::Loss)]
}

/// On its way: to the store, or back.
#[derive(Debug, Clone)]
enum Message {
    Call { instance: usize, call: Call, sent: Tick },
    Answer { instance: usize, call: Call, sent: Tick, answer: Answer },
}

#[derive(Debug)]
struct Instance {
    writer: u64,
    sequence: u64,
    slot: Slot,
    /// The windows of what is held.
    numbers: Numbers,
    /// The call that has no answer yet.
    waiting: Option<(Call, Tick)>,
    /// The store's clock when it was last heard of, and when that was.
    heard: (Millis, Tick),
    /// When the ledger was made that it knows, and all it was granted.
    known: Option<Millis>,
    granted: Vec<Recent>,
    /// Another store may be there: nothing is spent before it is told.
    must_tell: bool,
}

struct World {
    limits: Limits,
    ledger: Ledger,
    replica: Ledger,
    /// What failovers have forgotten, of each window.
    forgotten: BTreeMap<(Window, u64), u64>,
    /// What was granted since the replica was last in step.
    since: Vec<Tokens>,
    /// All that was granted, if all is lost.
    ever: Vec<Tokens>,
    instances: Vec<Instance>,
    messages: Vec<Message>,
    now: Tick,
    store_clock: Millis,
    writers: u64,
    /// Spent in the windows it was granted in.
    spent: BTreeMap<(Window, u64), u64>,
    /// Each spending: when, on a clock that does not step, and how much.
    spendings: Vec<(Tick, u64)>,
}

const BEGIN: Millis = 1_800_000_000_000 - 20_000;

impl World {
    fn new(limits: Limits) -> Self {
        let now = Tick::from_nanos(1_000_000_000);
        let mut world = Self {
            limits,
            ledger: Ledger::new(),
            replica: Ledger::new(),
            forgotten: BTreeMap::new(),
            since: Vec::new(),
            ever: Vec::new(),
            instances: Vec::new(),
            messages: Vec::new(),
            now,
            store_clock: BEGIN,
            writers: 0,
            spent: BTreeMap::new(),
            spendings: Vec::new(),
        };
        for _ in 0..3 {
            let instance = world.fresh();
            world.instances.push(instance);
        }
        world
    }

    fn fresh(&mut self) -> Instance {
        self.writers += 1;
        Instance {
            writer: self.writers,
            sequence: 0,
            slot: Slot::new(),
            numbers: Numbers::default(),
            waiting: None,
            heard: (self.store_clock, self.now),
            known: None,
            granted: Vec::new(),
            must_tell: false,
        }
    }

    fn spend(&mut self, numbers: Numbers, cost: u64) {
        for (window, number) in Window::ALL.into_iter().zip(numbers.0) {
            let spent = self.spent.entry((window, number)).or_default();
            *spent += cost;
            if let Some(limit) = window.limit(&self.limits) {
                let forgotten = self.forgotten.get(&(window, number)).copied().unwrap_or_default();
                assert!(
                    *spent <= limit + forgotten,
                    "{spent} of {limit} spent in {window} {number}, {forgotten} forgotten"
                );
            }
        }
        self.spendings.push((self.now, cost));
    }

    fn send(&mut self, instance: usize, cost: u64, want: u64, returned: Option<Tokens>, ahead: bool) {
        let one = &mut self.instances[instance];
        if one.waiting.is_some() {
            return;
        }
        one.sequence += 1;
        let (heard, at) = one.heard;
        let store_now = heard + u64::try_from(self.now.since(at).as_millis()).unwrap();
        let call = Call {
            writer: Writer(one.writer),
            sequence: one.sequence,
            not_after: store_now + 2_000,
            cost,
            want,
            instances: 3,
            returned: returned.into_iter().collect(),
            ahead,
            known: one.known,
            claims: one.must_tell.then(|| Claims { before: [(0, 0); 4], recent: one.granted.clone() }),
            owed: Vec::new(),
        };
        one.waiting = Some((call.clone(), self.now));
        self.messages.push(Message::Call { instance, call, sent: self.now });
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Request { instance, cost } => {
                let one = &self.instances[instance];
                match one.slot.take(cost, self.now).filter(|_| !one.must_tell) {
                    Some(_) => {
                        let numbers = one.numbers;
                        self.spend(numbers, cost);
                    }
                    None => self.send(instance, cost, 10, None, false),
                }
            }
            Step::Renew { instance, ahead } => self.send(instance, 0, 10, None, ahead),
            Step::GiveBack { instance } => {
                let one = &self.instances[instance];
                if one.waiting.is_none() {
                    let returned = Tokens { numbers: one.numbers, tokens: one.slot.empty() };
                    self.send(instance, 0, 0, Some(returned), false);
                }
            }
            Step::Deliver { newest, again, lost } => self.deliver(newest, again, lost),
            Step::Resend { instance } => {
                if let Some((call, _)) = self.instances[instance].waiting.clone() {
                    self.messages.push(Message::Call { instance, call, sent: self.now });
                }
            }
            Step::Crash { instance } => {
                let fresh = self.fresh();
                self.instances[instance] = fresh;
            }
            Step::Pass { millis } => {
                self.now = self.now.after(Duration::from_millis(millis));
                self.store_clock += millis;
            }
            Step::Replicate => {
                self.replica = self.ledger.clone();
                self.since.clear();
            }
            Step::Failover => {
                self.ledger = self.replica.clone();
                let since = std::mem::take(&mut self.since);
                self.forgot(&since);
            }
            Step::Loss => {
                self.ledger = Ledger::new();
                self.replica = Ledger::new();
                self.since.clear();
                let ever = std::mem::take(&mut self.ever);
                self.forgot(&ever);
            }
            Step::StoreClock { forward: true, millis } => self.store_clock += millis,
            Step::StoreClock { forward: false, millis } => self.store_clock -= millis.min(self.store_clock - BEGIN),
        }
    }

    /// What one instance can be granted before another has told what it was granted: no more than that.
    fn forgot(&mut self, tokens: &[Tokens]) {
        for Tokens { numbers, tokens } in tokens {
            for (window, number) in Window::ALL.into_iter().zip(numbers.0) {
                *self.forgotten.entry((window, number)).or_default() += tokens;
            }
        }
        self.instances.iter_mut().for_each(|one| one.must_tell = true);
    }

    fn deliver(&mut self, newest: bool, again: bool, lost: bool) {
        if self.messages.is_empty() {
            return;
        }
        let place = if newest { self.messages.len() - 1 } else { 0 };
        let message = self.messages.remove(place);
        if again {
            self.messages.push(message.clone());
        }
        if lost {
            return;
        }
        match message {
            Message::Call { instance, call, sent } => {
                let before = self.ledger.clone();
                let answer = self.ledger.call(&self.limits, &call, self.store_clock);
                if let Outcome::Granted(grant) = answer.outcome
                    && self.ledger != before
                {
                    let granted = Tokens { numbers: grant.numbers(), tokens: grant.tokens };
                    self.since.push(granted);
                    self.ever.push(granted);
                }
                for (left, window) in answer.left.iter().zip(Window::ALL) {
                    assert_eq!(left.is_some(), window.limit(&self.limits).is_some());
                }
                self.messages.push(Message::Answer { instance, call, sent, answer });
            }
            Message::Answer { instance, call, sent, answer } => self.answered(instance, &call, sent, answer),
        }
    }

    fn answered(&mut self, instance: usize, call: &Call, sent: Tick, answer: Answer) {
        let one = &mut self.instances[instance];
        if one.waiting.as_ref().is_none_or(|(waiting, _)| waiting != call) {
            return;
        }
        one.waiting = None;
        one.heard = (answer.now, self.now);
        match answer.outcome {
            Outcome::Forgotten => one.must_tell = true,
            Outcome::Late => {}
            // An answer that was under way when another store took over says nothing of that one.
            Outcome::Granted(_) | Outcome::Denied { .. } if one.must_tell && call.claims.is_none() => {}
            Outcome::Granted(_) | Outcome::Denied { .. } => {
                one.known = Some(answer.born);
                one.must_tell = false;
            }
        }
        let Outcome::Granted(grant @ Grant { tokens, from, until }) = answer.outcome else { return };
        let numbers = grant.numbers();
        one.granted.push(Recent { sequence: call.sequence, granted: Tokens { numbers, tokens } });
        assert!(tokens >= call.cost);
        if from <= answer.now {
            // What the request that waited costs is spent by the store's decision.
            self.spend(numbers, call.cost);
        }
        let one = &mut self.instances[instance];
        if from > answer.now {
            // A lease on the next windows is held by nobody here until then, and so is lost.
            return;
        }
        let kept = if one.numbers == numbers { one.slot.empty() } else { 0 };
        let valid = Duration::from_millis(until.saturating_sub(answer.now)).saturating_sub(Duration::from_millis(1));
        one.numbers = numbers;
        // What was held ends as it would have.
        one.slot.fill(tokens - call.cost + if self.limits.burst.is_some() { 0 } else { kept }, sent.after(valid));
    }
}

fn limits() -> impl Strategy<Value = Limits> {
    (1u64..40, prop::option::of(1u64..60), prop::option::of(1u64..100), prop::option::of(1u64..20)).prop_map(
        |(per_minute, per_hour, per_day, burst)| Limits {
            per_minute: Some(per_minute),
            per_hour,
            per_day,
            burst,
            ..Limits::UNLIMITED
        },
    )
}

proptest! {
    #![proptest_config(support::property())]

    #[test]
    fn no_window_is_ever_overspent(limits in limits(), steps in prop::collection::vec(step(), 1..400)) {
        let mut world = World::new(limits);
        for step in &steps {
            world.step(step);
        }
    }

    #[test]
    fn a_failover_lets_in_no_more_than_what_it_forgot(
        limits in limits(),
        steps in prop::collection::vec(prop_oneof![12 => step(), 1 => failover()], 1..300),
    ) {
        let mut world = World::new(limits);
        for step in &steps {
            world.step(step);
        }
    }

    #[test]
    fn no_more_than_the_burst_and_the_rate_is_spent_in_any_interval(
        limits in limits(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let Some(burst) = limits.burst else { return Ok(()) };
        let mut world = World::new(limits);
        // Clocks that agree: an interval on one that steps is no interval.
        for step in steps.iter().filter(|step| !matches!(step, Step::StoreClock { .. } | Step::Deliver { lost: true, .. })) {
            world.step(step);
            // Answers that come at once: the request that waited is spent when the store decides.
            while !world.messages.is_empty() {
                world.deliver(false, false, false);
            }
        }
        let rate = u128::from(limits.per_minute.unwrap());
        for (first, (begin, _)) in world.spendings.iter().enumerate() {
            let mut spent = 0;
            for (end, cost) in &world.spendings[first..] {
                spent += u128::from(*cost);
                let refilled = end.since(*begin).as_millis() * rate;
                prop_assert!(spent * 60_000 <= u128::from(burst) * 60_000 + refilled + 60_000, "{spent} of {burst}");
            }
        }
    }

    #[test]
    fn a_call_that_comes_again_changes_nothing(limits in limits(), costs in prop::collection::vec(0u64..5, 1..20)) {
        let (mut once, mut twice) = (Ledger::new(), Ledger::new());
        for (nth, cost) in (1u64..).zip(costs) {
            let call = Call {
                writer: Writer(1), sequence: nth, not_after: BEGIN + 1_000, cost, want: 3, instances: 2,
                ..Call::default()
            };
            let first = once.call(&limits, &call, BEGIN);
            prop_assert_eq!(twice.call(&limits, &call, BEGIN), first);
            prop_assert_eq!(twice.call(&limits, &call, BEGIN), first);
        }
        prop_assert_eq!(once, twice);
    }
}

#[test]
fn a_whole_burst_may_come_at_once_and_a_tenth_of_it_is_given_up_for_what_is_held() {
    let shape = Shape::of(&Limits::STANDARD).unwrap();
    let full = Bucket::full(shape, BEGIN);
    assert_eq!((full.tokens(), full.lowered(shape).tokens(), shape.tau()), (50, 45, 300));
    let small = Shape::of(&Limits { burst: Some(9), ..Limits::STANDARD }).unwrap();
    assert_eq!((Bucket::full(small, BEGIN).tokens(), small.tau()), (9, 0));
}
