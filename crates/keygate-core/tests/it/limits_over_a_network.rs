//! Limits that instances share over a network that loses, repeats, delays and reorders what is sent, with requests that are
//! given up at any moment, crashes, and failovers of the store: no more is let in than the limit.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use keygate_core::coherence::Lease;
use keygate_core::context::{Admission, RequestContext};
use keygate_core::denial::Denial;
use keygate_core::limiter::call::{Answer, Outcome};
use keygate_core::limiter::ledger::Ledger;
use keygate_core::limits::{Fallback, Limits};
use keygate_core::manager::ApiKeyManager;
use keygate_core::store::MemoryStore;
use proptest::prelude::*;
use tokio::sync::oneshot;

use crate::support::still_clock::StillClock;
use crate::support::wire::{Sent, Wire};
use crate::support::{self, ROOMY, block_on, new_key_with, operator, ring};

const INSTANCES: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    /// A request comes to an instance.
    Ask { instance: usize, cost: u64 },
    /// What happens each second happens at an instance.
    Tend(usize),
    /// The request that has waited longest is given up.
    GiveUp,
    /// The oldest or the newest thing under way arrives, is lost, or arrives twice.
    Arrive { newest: bool, fate: Fate },
    /// Time passes.
    Pass(u64),
    /// An instance ends without a word, and another takes its place.
    Crash(usize),
    /// The replica is in step.
    Replicate,
    /// The replica takes over; or one that has nothing does.
    Failover { empty: bool },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Arrives,
    Lost,
    Twice,
}

fn step() -> impl Strategy<Value = Step> {
    let instance = || 0..INSTANCES;
    let fate = prop_oneof![8 => Just(Fate::Arrives), 1 => Just(Fate::Lost), 1 => Just(Fate::Twice)];
    prop_oneof![
        10 => (instance(), 1u64..4).prop_map(|(instance, cost)| Step::Ask { instance, cost }),
        1 => instance().prop_map(Step::Tend),
        1 => Just(Step::GiveUp),
        14 => (any::<bool>(), fate).prop_map(|(newest, fate)| Step::Arrive { newest, fate }),
        3 => prop_oneof![1u64..200, 1u64..4_000].prop_map(Step::Pass),
        1 => instance().prop_map(Step::Crash),
    ]
}

fn failover() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Replicate),
        1 => prop::bool::weighted(0.3).prop_map(|empty| Step::Failover { empty }),
    ]
}

type Request = Pin<Box<dyn Future<Output = Option<Result<Admission, Denial>>>>>;

/// On its way back from the store.
struct Answered {
    answer: Answer,
    reply: oneshot::Sender<Answer>,
}

struct World {
    clock: StillClock,
    wire: Wire,
    limits: Limits,
    ledger: Ledger,
    replica: Ledger,
    instances: Vec<ApiKeyManager>,
    key: String,
    /// Whose they are, what they cost, and what becomes of them.
    requests: Vec<(usize, u64, Request)>,
    answers: Vec<Answered>,
    admitted: u64,
    /// What was granted since the replica was in step, and ever.
    since: u64,
    ever: u64,
    forgotten: u64,
}

impl World {
    async fn new(limits: Limits) -> Self {
        let clock = StillClock::new();
        let wire = Wire {
            memory: MemoryStore::with_clock(clock.clone()),
            sent: Arc::default(),
            lease: Arc::new(Mutex::new(Arc::new(Lease::forever()))),
            instance: 0,
            instances: INSTANCES as u64,
        };
        let mut world = Self {
            clock,
            wire,
            limits,
            ledger: Ledger::new(),
            replica: Ledger::new(),
            instances: Vec::new(),
            key: String::new(),
            requests: Vec::new(),
            answers: Vec::new(),
            admitted: 0,
            since: 0,
            ever: 0,
            forgotten: 0,
        };
        for number in 0..INSTANCES {
            let instance = world.instance(number);
            world.instances.push(instance);
        }
        let created = world.instances[0].create(&operator(), new_key_with(|new| new.limits = Some(limits))).await;
        world.key = created.unwrap().text.expose().to_owned();
        world
    }

    fn instance(&self, number: usize) -> ApiKeyManager {
        let wire = Wire { instance: number, ..self.wire.clone() };
        ApiKeyManager::builder(wire, ring(&[1])).clock(self.clock.clone()).quota(ROOMY).build().unwrap()
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Ask { instance, cost } => {
                let (manager, key) = (self.instances[instance].clone(), self.key.clone());
                let request = async move { Some(manager.validate(&key, &RequestContext::new().costing(cost)).await) };
                self.requests.push((instance, cost, Box::pin(request)));
            }
            Step::Tend(instance) => {
                let manager = self.instances[instance].clone();
                let tended = async move {
                    manager.tend().await;
                    None
                };
                self.requests.push((instance, 0, Box::pin(tended)));
            }
            Step::GiveUp => {
                if !self.requests.is_empty() {
                    drop(self.requests.remove(0));
                }
            }
            Step::Arrive { newest, fate } => self.arrive(newest, fate),
            Step::Pass(millis) => self.clock.advance(Duration::from_millis(millis)),
            Step::Crash(instance) => {
                self.requests.retain(|(whose, ..)| *whose != instance);
                self.instances[instance] = self.instance(instance);
            }
            Step::Replicate => {
                self.replica = self.ledger.clone();
                self.since = 0;
            }
            Step::Failover { empty } => {
                self.forgotten += if empty { self.ever } else { self.since };
                self.ledger = if empty { Ledger::new() } else { self.replica.clone() };
                if empty {
                    (self.replica, self.ever) = (Ledger::new(), 0);
                }
                self.since = 0;
                // Every connection is another one from now on, and what was under way on the old ones is lost.
                let lease = Arc::new(Lease::forever());
                std::mem::replace(&mut *self.wire.lease.lock().unwrap(), lease).end();
                self.wire.sent.lock().unwrap().clear();
                self.answers.clear();
            }
        }
        self.go_on().await;
    }

    /// Calls and answers are one queue each; calls come first, so that both are under way for a while.
    fn arrive(&mut self, newest: bool, fate: Fate) {
        let mut sent = self.wire.sent.lock().unwrap();
        let place = |length: usize| if newest { length.checked_sub(1) } else { (length > 0).then_some(0) };
        if let Some(place) = place(sent.len()).filter(|_| self.answers.len() < 3 || newest) {
            let Sent { limits, call, reply, .. } = sent.remove(place);
            if fate == Fate::Lost {
                return;
            }
            let now = u64::try_from(self.clock.millis()).unwrap();
            let before = self.ledger.clone();
            let answer = self.ledger.call(&limits, &call, now);
            if let Outcome::Granted(grant) = answer.outcome
                && self.ledger != before
            {
                self.since += grant.tokens;
                self.ever += grant.tokens;
            }
            if fate == Fate::Twice {
                let again = self.ledger.call(&limits, &call, now);
                assert_eq!(again.outcome, answer.outcome);
            }
            self.answers.push(Answered { answer, reply });
        } else if let Some(place) = place(self.answers.len()) {
            let Answered { answer, reply } = self.answers.remove(place);
            if fate != Fate::Lost {
                // Whoever gave up does not hear it.
                let _ = reply.send(answer);
            }
        }
    }

    /// Lets everything go on that can.
    async fn go_on(&mut self) {
        for _ in 0..4 {
            tokio::task::yield_now().await;
            let mut waiting = Vec::new();
            for (instance, cost, mut request) in self.requests.drain(..) {
                let polled = poll_fn(|context| Poll::Ready(request.as_mut().poll(context))).await;
                match polled {
                    Poll::Pending => waiting.push((instance, cost, request)),
                    Poll::Ready(Some(Ok(_))) => self.admitted += cost,
                    Poll::Ready(_) => {}
                }
            }
            self.requests = waiting;
        }
    }

    /// The network is well again: everything that is under way arrives.
    async fn settle(&mut self) {
        for _ in 0..1_000 {
            self.go_on().await;
            if self.requests.is_empty() && self.answers.is_empty() && self.wire.sent.lock().unwrap().is_empty() {
                return;
            }
            self.arrive(false, Fate::Arrives);
        }
        panic!("{} requests wait for ever", self.requests.len());
    }
}

impl World {
    /// Lets requests of cost 1 come to an instance, one after the other; says how many were let in.
    async fn ask(&mut self, instance: usize, times: u64) -> u64 {
        let before = self.admitted;
        for _ in 0..times {
            self.step(&Step::Ask { instance, cost: 1 }).await;
            self.settle().await;
        }
        self.admitted - before
    }

    /// Has an instance hold something that it does not use.
    async fn hold(&mut self, instance: usize) -> u64 {
        let mut used = 0;
        for _ in 0..4 {
            used += self.ask(instance, 5).await;
            self.clock.advance(Duration::from_millis(100));
        }
        used
    }
}

fn a_day(limit: u64) -> Limits {
    Limits { per_day: Some(limit), ..Limits::UNLIMITED }
}

/// Who was granted something before a failover says so with its next request, held or not, and so it is granted to nobody
/// else: by a replica that was behind, and by one that has nothing.
#[tokio::test]
async fn after_a_failover_the_store_learns_what_it_forgot_before_anything_is_spent() {
    for empty in [false, true] {
        let mut world = World::new(a_day(1_000)).await;
        world.ask(2, 1).await;
        world.step(&Step::Replicate).await;
        let used = 1 + world.hold(0).await;
        let granted = world.ever;
        assert!(granted > used + 10, "{granted} granted, {used} used");
        world.step(&Step::Failover { empty }).await;
        assert_eq!(world.ask(0, 1).await + world.ask(2, 1).await, 2);
        let others = world.ask(1, 1_000).await;
        // What was granted and held went back with that request; what was used counts.
        assert_eq!(world.admitted, used + 2 + others);
        // What is told may be more than was forgotten, and never less.
        assert!(world.admitted <= 1_000, "{others} beside {used} that were used before");
        assert!(others >= 800, "{others} beside {granted} that were granted before");
    }
}

/// An answer that is lost is asked for again, so that what was granted is not.
#[tokio::test]
async fn an_answer_that_is_lost_loses_nothing() {
    let mut world = World::new(a_day(20)).await;
    for _ in 0..40 {
        world.step(&Step::Ask { instance: 0, cost: 1 }).await;
        // The call arrives, its answer does not.
        world.arrive(false, Fate::Arrives);
        world.answers.clear();
        world.go_on().await;
        world.clock.advance(Duration::from_millis(300));
        world.ask(0, 1).await;
        world.clock.advance(Duration::from_millis(300));
    }
    assert_eq!(world.admitted, 20);
}

/// So is that of a request that was given up, at whatever moment.
#[tokio::test]
async fn a_request_that_is_given_up_takes_nothing() {
    let mut world = World::new(a_day(20)).await;
    for nth in 0..40 {
        world.step(&Step::Ask { instance: 0, cost: 1 }).await;
        if nth % 2 == 0 {
            world.arrive(false, Fate::Arrives);
        }
        world.step(&Step::GiveUp).await;
        world.settle().await;
    }
    assert_eq!((world.admitted, world.ask(0, 40).await), (0, 20));
}

fn limits() -> impl Strategy<Value = Limits> {
    (1u64..80, any::<bool>()).prop_map(|(per_day, shares)| Limits {
        per_day: Some(per_day),
        fallback: if shares { Fallback::LocalShare } else { Fallback::Deny },
        ..Limits::UNLIMITED
    })
}

proptest! {
    #![proptest_config(support::property())]

    #[test]
    fn no_more_is_let_in_than_the_limit(
        limits in limits().prop_map(|limits| Limits { fallback: Fallback::Deny, ..limits }),
        steps in prop::collection::vec(step(), 1..250),
    ) {
        block_on(async {
            let mut world = World::new(limits).await;
            for step in &steps {
                world.step(step).await;
                prop_assert!(world.admitted <= limits.per_day.unwrap(), "{} admitted", world.admitted);
            }
            world.settle().await;
            prop_assert!(world.admitted <= limits.per_day.unwrap(), "{} admitted", world.admitted);
            Ok(())
        })?;
    }

    #[test]
    fn a_failover_lets_in_no_more_than_what_it_forgot(
        limits in limits().prop_map(|limits| Limits { fallback: Fallback::Deny, ..limits }),
        steps in prop::collection::vec(prop_oneof![12 => step(), 1 => failover()], 1..250),
    ) {
        block_on(async {
            let mut world = World::new(limits).await;
            for step in &steps {
                world.step(step).await;
                let most = limits.per_day.unwrap() + world.forgotten;
                prop_assert!(world.admitted <= most, "{} admitted of {most}", world.admitted);
            }
            world.settle().await;
            Ok(())
        })?;
    }

    /// Where each instance lets in its share while the store is not heard: a share more each time, and it is told.
    #[test]
    fn what_was_let_in_without_the_store_is_told_and_nobody_waits_for_ever(
        limits in limits(),
        steps in prop::collection::vec(step(), 1..250),
    ) {
        block_on(async {
            let mut world = World::new(limits).await;
            for step in &steps {
                world.step(step).await;
            }
            world.settle().await;
            world.clock.advance(Duration::from_secs(3));
            // Told by all, the ledger has no room that was used already.
            for instance in 0..INSTANCES {
                let manager = world.instances[instance].clone();
                world.requests.push((instance, 0, Box::pin(async move { manager.leave().await; None })));
            }
            world.settle().await;
            world.clock.advance(Duration::from_secs(1));
            let limit = limits.per_day.unwrap();
            let (before, mut count) = (world.admitted, 0);
            while count <= limit {
                world.requests.push((0, 1, {
                    let (manager, key) = (world.instances[0].clone(), world.key.clone());
                    Box::pin(async move { Some(manager.validate(&key, &RequestContext::new()).await) })
                }));
                world.settle().await;
                count += 1;
            }
            prop_assert!(world.admitted - before <= limit.saturating_sub(before.min(limit)) + crashed(&steps) * limit);
            prop_assert_eq!(world.limits, limits);
            Ok(())
        })?;
    }
}

/// What an instance let in without the store is not told when it crashes.
fn crashed(steps: &[Step]) -> u64 {
    u64::from(steps.iter().any(|step| matches!(step, Step::Crash(_))))
}
