//! What is granted and spent of a pool by any number of instances, over a network that loses, repeats, delays and reorders
//! what is sent, with crashes and clocks that step: consumed <= granted <= limit in every window.

use std::collections::BTreeMap;
use std::time::Duration;

use keygate_core::clock::Tick;
use keygate_core::limiter::bucket::{Bucket, Shape};
use keygate_core::limiter::call::{Answer, Call, Claims, Grant, Outcome, Recent, Returned, Tokens, Writer};
use keygate_core::limiter::ledger::Ledger;
use keygate_core::limiter::slot::Slot;
use keygate_core::limiter::window::{Millis, Numbers, Window};
use keygate_core::limits::Limits;
use proptest::prelude::*;

use crate::support;

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// An instance gets a request. One that is `refused` is let in by this pool and not by another: what it took is put back.
    Request { instance: usize, cost: u64, refused: bool },
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
    step_of(1u64..4, prop_oneof![0u64..50, 0u64..70_000])
}

/// What happens to a bucket: within the time that its tokens are held, for the most part.
fn step_of_bucket() -> impl Strategy<Value = Step> {
    let costs = prop_oneof![3 => 1u64..4, 1 => 1u64..40];
    step_of(costs, prop_oneof![2 => 0u64..50, 4 => 0u64..700, 1 => 0u64..5_000])
}

fn step_of(cost: impl Strategy<Value = u64>, millis: impl Strategy<Value = u64>) -> impl Strategy<Value = Step> {
    let instance = 0usize..3;
    prop_oneof![
        8 => (instance.clone(), cost, prop::bool::weighted(0.2))
            .prop_map(|(instance, cost, refused)| Step::Request { instance, cost, refused }),
        2 => (instance.clone(), any::<bool>()).prop_map(|(instance, ahead)| Step::Renew { instance, ahead }),
        1 => instance.clone().prop_map(|instance| Step::GiveBack { instance }),
        8 => (any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.1))
            .prop_map(|(newest, again, lost)| Step::Deliver { newest, again, lost }),
        1 => instance.clone().prop_map(|instance| Step::Resend { instance }),
        1 => instance.prop_map(|instance| Step::Crash { instance }),
        3 => millis.prop_map(|millis| Step::Pass { millis }),
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
    /// The windows of what is held, and when it was granted.
    numbers: Numbers,
    from: Millis,
    /// What goes back with the next call.
    returned: Vec<Returned>,
    /// Whether the request that waits will be refused.
    refused: bool,
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

impl Instance {
    /// What is held goes back with the next call.
    fn give_up(&mut self) {
        let tokens = self.slot.empty();
        if tokens > 0 {
            let tokens = Tokens { numbers: self.numbers, tokens };
            self.returned.push(Returned { from: self.from, tokens });
        }
    }
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
            from: 0,
            returned: Vec::new(),
            refused: false,
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

    fn send(&mut self, instance: usize, cost: u64, want: u64, ahead: bool) {
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
            returned: std::mem::take(&mut one.returned),
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
            Step::Request { instance, cost, refused } => {
                let one = &mut self.instances[instance];
                match one.slot.take(cost, self.now).filter(|_| !one.must_tell) {
                    Some(taken) if refused => assert!(one.slot.put_back(taken.lease, cost)),
                    Some(_) => {
                        let numbers = one.numbers;
                        self.spend(numbers, cost);
                    }
                    None if one.waiting.is_none() => {
                        one.refused = refused;
                        if self.limits.burst.is_some() {
                            one.give_up();
                        }
                        self.send(instance, cost, 10, false);
                    }
                    None => {}
                }
            }
            Step::Renew { instance, ahead } => self.send(instance, 0, 10, ahead),
            Step::GiveBack { instance } => {
                let one = &mut self.instances[instance];
                if one.waiting.is_none() {
                    one.give_up();
                    self.send(instance, 0, 0, false);
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

    fn deliver_answers(&mut self) {
        let is_answer = |message: &Message| matches!(message, Message::Answer { .. });
        while let Some(place) = self.messages.iter().position(is_answer) {
            if let Message::Answer { instance, call, sent, answer } = self.messages.remove(place) {
                self.answered(instance, &call, sent, answer);
            }
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
        let is_refused = std::mem::take(&mut one.refused);
        let spent = if is_refused { 0 } else { call.cost };
        if from <= answer.now {
            // What the request that waited costs is spent by the store's decision.
            self.spend(numbers, spent);
        }
        let has_bucket = self.limits.burst.is_some();
        let one = &mut self.instances[instance];
        if from > answer.now {
            // A lease on the next windows is held by nobody here until then, and so is lost.
            return;
        }
        // Of a bucket, what was held before ends as it would have.
        let kept = if one.numbers == numbers && !has_bucket { one.slot.empty() } else { 0 };
        one.give_up();
        let valid = Duration::from_millis(until.saturating_sub(answer.now)).saturating_sub(Duration::from_millis(1));
        (one.numbers, one.from) = (numbers, from);
        one.slot.fill(tokens - spent + kept, sent.after(valid));
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

/// With a burst, of which a tenth is something.
fn bursts() -> impl Strategy<Value = Limits> {
    (60u64..6_000, 5u64..60).prop_map(|(per_minute, burst)| Limits {
        per_minute: Some(per_minute),
        burst: Some(burst),
        ..Limits::UNLIMITED
    })
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
        limits in bursts(),
        steps in prop::collection::vec(step_of_bucket(), 1..200),
    ) {
        let mut world = World::new(limits);
        // Clocks that agree: an interval on one that steps is no interval.
        for step in steps.iter().filter(|step| !matches!(step, Step::StoreClock { .. })) {
            world.step(step);
            // Answers that come at once: the request that waited is spent when the store decides. Calls are late, or lost.
            world.deliver_answers();
        }
        let (rate, burst) = (u128::from(limits.per_minute.unwrap()), u128::from(limits.burst.unwrap()));
        for (first, (begin, _)) in world.spendings.iter().enumerate() {
            let mut spent = 0;
            for (end, cost) in &world.spendings[first..] {
                spent += u128::from(*cost);
                let refilled = end.since(*begin).as_millis() * rate;
                prop_assert!(spent * 60_000 <= burst * 60_000 + refilled, "{spent} of {burst} and {refilled} / 60,000");
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

/// A bucket, asked by so many instances; each call is the writer's next.
struct Asked {
    limits: Limits,
    ledger: Ledger,
    sequence: u64,
}

impl Asked {
    fn new(limits: Limits) -> Self {
        Self { limits, ledger: Ledger::new(), sequence: 0 }
    }

    fn ask(&mut self, at: Millis, cost: u64, want: u64, returned: &[(Millis, u64)]) -> Answer {
        self.sequence += 1;
        let numbers = Numbers::at(BEGIN + at);
        let back = |(from, tokens): &(Millis, u64)| Returned {
            from: BEGIN + from,
            tokens: Tokens { numbers, tokens: *tokens },
        };
        let call = Call {
            writer: Writer(1),
            sequence: self.sequence,
            not_after: BEGIN + at + 1_000,
            cost,
            want,
            returned: returned.iter().map(back).collect(),
            ..Call::default()
        };
        self.ledger.call(&self.limits, &call, BEGIN + at)
    }

    fn granted(&mut self, at: Millis, cost: u64, want: u64, returned: &[(Millis, u64)]) -> u64 {
        match self.ask(at, cost, want, returned).outcome {
            Outcome::Granted(grant) => grant.tokens,
            other => panic!("{other:?}"),
        }
    }

    fn left(&mut self, at: Millis, returned: &[(Millis, u64)]) -> u64 {
        self.ask(at, 0, 0, returned).burst.unwrap()
    }
}

/// 60 tokens that refill at one in ten milliseconds; six of them are given up to hold others for 60 ms.
const SIXTY: Limits = Limits { per_minute: Some(6_000), burst: Some(60), ..Limits::UNLIMITED };

#[test]
fn what_was_held_and_comes_back_is_in_the_bucket_again() {
    let mut asked = Asked::new(SIXTY);
    assert_eq!(asked.granted(0, 1, 20, &[]), 21);
    assert_eq!(asked.left(10, &[]), 34, "54 without 21, and one that refilled");
    assert_eq!(asked.left(10, &[(0, 20)]), 54);
    assert_eq!(asked.left(10, &[(0, 20)]), 55, "of 21 one may still be credited, but no more");
    assert_eq!(asked.left(10, &[(3, 20)]), 55, "nothing was granted then");
    assert_eq!(asked.left(60_000, &[(0, 20)]), 60);
}

#[test]
fn what_comes_back_late_is_credited_as_if_it_had_never_been_granted() {
    let mut asked = Asked::new(SIXTY);
    assert_eq!(asked.granted(0, 1, 20, &[]), 21);
    // Never granted, the bucket would have been full after a tenth of a second.
    assert_eq!(asked.left(200, &[]), 53);
    assert_eq!(asked.granted(200, 40, 0, &[]), 40);
    assert_eq!(asked.left(200, &[(0, 20)]), 20, "60 without 40, and not 13 and 20");
    // As if there had been no grant, the bucket has run over: nothing is left to credit.
    let mut asked = Asked::new(SIXTY);
    assert_eq!(asked.granted(0, 1, 20, &[]), 21);
    assert_eq!(asked.left(1_000, &[]), 60);
    assert_eq!(asked.granted(1_000, 40, 0, &[]), 40);
    assert_eq!(asked.left(1_000, &[(0, 20)]), 20);
}

#[test]
fn what_is_credited_while_another_holds_does_not_refill_beside_it() {
    let mut asked = Asked::new(SIXTY);
    assert_eq!(asked.granted(0, 0, 6, &[]), 6);
    // The bucket is where it was when the next are granted, and what is credited later was not in it.
    assert_eq!(asked.granted(59, 0, 20, &[]), 20);
    let left = asked.left(60, &[(0, 6)]);
    assert!(left + 20 <= 54 + 1, "{left} and 20 that are held");
    let left = asked.left(118, &[]);
    assert!(left + 20 <= 60, "{left} and 20 that are held");
}

#[test]
fn beside_a_request_that_costs_more_than_refills_in_that_time_nothing_is_held_and_nothing_is_given_up() {
    let mut asked = Asked::new(Limits::STANDARD);
    for nth in 1..=5 {
        let answer = asked.ask(nth - 1, 10, 1_000, &[]);
        let Outcome::Granted(grant) = answer.outcome else { panic!("{answer:?}") };
        assert_eq!((grant.tokens, grant.until), (10, grant.from), "it may not be held");
        assert_eq!(answer.burst, Some(50 - 10 * nth));
    }
    // What it costs is credited too.
    assert_eq!(asked.left(4, &[(3, 10)]), 10);
}

#[test]
fn what_is_granted_in_the_same_millisecond_is_not_credited_in_the_place_of_what_was_cut() {
    let mut asked = Asked::new(SIXTY);
    assert_eq!(asked.granted(0, 10, 0, &[]), 10);
    // Lowered to 54, the bucket has room for four of those ten, whatever else is granted now.
    assert_eq!(asked.granted(0, 0, 6, &[]), 6);
    assert_eq!(asked.left(0, &[(0, 10)]), 48);
}
