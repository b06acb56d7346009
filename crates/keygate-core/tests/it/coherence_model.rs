//! Promise 3: revoked means refused, over every order in which a store's messages can come.
//!
//! One instance validates over a connection of which every message is moved by hand
//! ([`simulated_store`](support::simulated_store)), with requests that are polled, and given up, one step at a time.
//! Others write to the server meanwhile. The model knows at every moment what the server said and what this instance was
//! told, and so whether an acceptance was allowed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use keygate_core::audit::AuditPolicy;
use keygate_core::clock::{Clock, Tick};
use keygate_core::coherence::Change;
use keygate_core::context::{Admission, RequestContext};
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::key::KeyId;
use keygate_core::manager::{ApiKeyManager, CreatedKey, NewKey, NewRole, OrganizationUpdate, UserUpdate};
use keygate_core::names::{ProjectId, RoleName, UserId};
use keygate_core::record::{KeyStatus, ParentStatus, UserStatus};
use keygate_core::scope::ScopeSet;
use keygate_core::store::{MemoryStore, Store};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};

use crate::support::simulated_store::{Delivered, Flaw, LEASE, SimulatedStore, at_once};
use crate::support::still_clock::StillClock;
use crate::support::{self, ROOMY, operator, org, ring, unlimited_key_with, user};

const KEYS: usize = 3;
/// What an acceptance depends on: the keys, their two organizations, the one project, their owners, and the one role.
const THINGS: usize = KEYS + 6;
const ACME: usize = KEYS;
const GLOBEX: usize = KEYS + 1;
const WEB: usize = KEYS + 2;
/// The owner of two keys, who has the role.
const ADA: usize = KEYS + 3;
/// The owner of the third, for whom nothing is configured at first, nor for anybody of its organization.
const BOB: usize = KEYS + 4;
/// Of acme: it may be used if it covers what is asked for.
const WORKER: usize = KEYS + 5;

/// Which of them a key's acceptance depends on: itself, its organization, for one its project, its owner and the owner's role.
const DEPENDS: [&[usize]; KEYS] = [&[0, ACME, ADA, WORKER], &[1, ACME, WEB, ADA, WORKER], &[2, GLOBEX, BOB]];

#[derive(Debug, Clone, Copy)]
enum Write {
    Revoke(usize),
    Deactivate(usize),
    Activate(usize),
    Delete(usize),
    /// An organization, the project, an owner or the role, and whether its keys may be used.
    Set(usize, bool),
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A request with this key begins.
    Begin(usize),
    /// One of the requests goes on, woken or not.
    Poll(usize),
    /// All that were woken go on.
    PollWoken,
    /// One of the requests is dropped.
    GiveUp(usize),
    Serve,
    Deliver,
    LetAside,
    Beat,
    /// A heartbeat is sent and everything goes through, and nobody gets round to acting on it.
    Pump,
    Freeze(bool),
    Cut,
    Connect,
    /// Everybody writes from elsewhere.
    Write(Write),
    /// So many milliseconds go by.
    Pass(u64),
    /// The connection is cut, and the server forgets that keys were revoked.
    Failover,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    capacity: usize,
    ttl: Duration,
    stale: Duration,
    flaw: Flaw,
}

impl Settings {
    const ROOMY: Self =
        Self { capacity: 1_000, ttl: Duration::from_secs(300), stale: Duration::ZERO, flaw: Flaw::None };
}

/// What the server said of one thing, and what this instance was told of it.
#[derive(Debug, Clone, Default)]
struct History {
    /// Since when it may be used, or may not, in the order of time.
    versions: Vec<(Tick, bool)>,
    /// The last change that this instance was told of was made then.
    told: Option<Tick>,
}

impl History {
    fn now(&self) -> bool {
        self.versions.last().is_some_and(|(_, usable)| *usable)
    }

    /// Whether it may be taken for usable: it was so until `bound` ago or later, and this instance was told of no change
    /// that ended it.
    fn allows(&self, now: Tick, bound: Duration) -> bool {
        self.versions.iter().enumerate().any(|(nth, (_, usable))| {
            let ended = self.versions.get(nth + 1).map_or(Tick::FOREVER, |(ended, _)| *ended);
            *usable && now <= ended.after(bound) && self.told.is_none_or(|told| ended > told)
        })
    }

    /// Whether it could be used at some time since then.
    fn usable_since(&self, since: Tick) -> bool {
        self.versions.iter().enumerate().any(|(nth, (_, usable))| {
            let ended = self.versions.get(nth + 1).map_or(Tick::FOREVER, |(ended, _)| *ended);
            *usable && ended >= since
        })
    }
}

/// Remembers that it was woken.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Request {
    key: usize,
    began: Tick,
    future: Pin<Box<dyn Future<Output = Result<Admission, Denial>> + Send>>,
    woken: Arc<Woken>,
}

struct World {
    settings: Settings,
    clock: StillClock,
    server: MemoryStore,
    store: SimulatedStore,
    /// The instance that is looked at.
    manager: ApiKeyManager,
    /// The one that writes.
    other: ApiKeyManager,
    keys: Vec<CreatedKey>,
    requests: Vec<Request>,
    history: Vec<History>,
    /// Whether the instance was told that a key is revoked.
    told_revoked: [bool; KEYS],
}

type Outcome = Result<(), String>;

fn web() -> ProjectId {
    ProjectId::new("web").unwrap()
}

fn worker() -> RoleName {
    "worker".parse().unwrap()
}

fn covering(permission: &str) -> NewRole {
    NewRole { permissions: ScopeSet::parse([permission]).unwrap(), ..NewRole::default() }
}

/// What each request needs.
fn context() -> RequestContext {
    RequestContext::new().needing_permission("work".parse().unwrap())
}

fn new_key(nth: usize) -> NewKey {
    let (organization, owner) = if nth == 2 { ("globex", BOB) } else { ("acme", ADA) };
    unlimited_key_with(|new| {
        new.organization = org(organization);
        new.user = user_of(owner);
        new.project = (nth == 1).then(web);
        new.permissions = ScopeSet::parse(["work"]).unwrap();
    })
}

fn user_of(owner: usize) -> UserId {
    user(if owner == ADA { "ada" } else { "bob" })
}

impl World {
    fn new(settings: Settings) -> Self {
        let clock = StillClock::new();
        let server = MemoryStore::with_clock(clock.clone());
        let store = SimulatedStore::new(server.clone(), clock.clone(), settings.flaw);
        let other =
            ApiKeyManager::builder(server.clone(), ring(&[1])).clock(clock.clone()).quota(ROOMY).build().unwrap();
        let manager = ApiKeyManager::builder(store.clone(), ring(&[1]))
            .clock(clock.clone())
            .cache_capacity(settings.capacity)
            .cache_ttl(settings.ttl)
            .stale_if_error(settings.stale)
            // Denials are not written down: the model counts its steps.
            .audit(AuditPolicy::off())
            .build()
            .unwrap();
        at_once(other.put_role(&operator(), &org("acme"), &worker(), &covering("work"), None)).unwrap();
        let having = UserUpdate { roles: Some(Some(vec![worker()])), ..UserUpdate::default() };
        at_once(other.update_user(&operator(), &org("acme"), &user_of(ADA), &having, None)).unwrap();
        let keys = (0..KEYS).map(|nth| at_once(other.create(&operator(), new_key(nth))).unwrap()).collect();
        let mut world = Self {
            settings,
            clock,
            server,
            store,
            manager,
            other,
            keys,
            requests: Vec::new(),
            history: vec![History::default(); THINGS],
            told_revoked: [false; KEYS],
        };
        world.observe();
        world.store.connect();
        world.open();
        world
    }

    /// The instance confirms its ring, as at its start.
    fn open(&self) {
        let manager = self.manager.clone();
        let mut opening = Box::pin(async move { manager.open().await });
        while opening.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            assert!(self.store.let_aside());
        }
    }

    fn usable(&self, thing: usize) -> bool {
        let active = |status: Option<ParentStatus>| status.is_none_or(|status| status == ParentStatus::Active);
        match thing {
            ACME | GLOBEX => {
                let organization = org(if thing == ACME { "acme" } else { "globex" });
                active(
                    at_once(self.server.parents(&organization, None)).unwrap().organization.map(|found| found.status),
                )
            }
            WEB => {
                let parents = at_once(self.server.parents(&org("acme"), Some(&web()))).unwrap();
                active(parents.project.map(|found| found.status))
            }
            ADA | BOB => {
                let organization = org(if thing == ADA { "acme" } else { "globex" });
                let held = at_once(self.server.users(&organization, &[user_of(thing)])).unwrap().remove(0);
                held.is_none_or(|user| user.status == UserStatus::Active)
            }
            WORKER => {
                let roles = at_once(self.server.parents(&org("acme"), None)).unwrap().roles.unwrap();
                roles.named(&worker()).is_some_and(|named| named.role.permissions.covers(&"work".parse().unwrap()))
            }
            key => {
                let record = at_once(self.server.record(self.keys[key].key.id)).unwrap();
                record.is_some_and(|record| record.key.status.status == KeyStatus::Active)
            }
        }
    }

    /// Writes down what the server says now.
    fn observe(&mut self) {
        for thing in 0..THINGS {
            let usable = self.usable(thing);
            if self.history[thing].versions.is_empty() || self.history[thing].now() != usable {
                self.history[thing].versions.push((self.clock.tick(), usable));
            }
        }
    }

    fn told(&mut self, change: &Change, at: Tick) {
        let key = |id| self.keys.iter().position(|created| created.key.id == id).unwrap();
        let things: &[usize] = match change {
            Change::Key(id) => &[key(*id)],
            Change::Revoked(id) => {
                let key = key(*id);
                self.told_revoked[key] = true;
                &[key]
            }
            // The roles are read with the organization.
            Change::Organization(organization) if *organization == org("acme") => &[ACME, WORKER],
            Change::Organization(_) => &[GLOBEX],
            Change::Project(..) => &[WEB],
            Change::User(_, user) if *user == user_of(ADA) => &[ADA],
            Change::User(..) => &[BOB],
            _ => panic!("a change of another kind"),
        };
        for thing in things {
            self.history[*thing].told = Some(at);
        }
    }

    fn write(&self, write: Write) {
        // What a write refuses, such as to activate what is revoked, changes nothing.
        match write {
            Write::Revoke(key) => drop(at_once(self.other.revoke(&operator(), self.keys[key].key.id, None))),
            Write::Deactivate(key) => drop(at_once(self.other.deactivate(&operator(), self.keys[key].key.id, None))),
            Write::Activate(key) => drop(at_once(self.other.activate(&operator(), self.keys[key].key.id, None))),
            Write::Delete(key) => {
                if let Some(record) = at_once(self.server.record(self.keys[key].key.id)).unwrap() {
                    let key = &record.key;
                    at_once(self.server.delete(&key.organization, key.id, key.revision)).unwrap();
                }
            }
            Write::Set(thing @ (ADA | BOB), active) => {
                let status = if active { UserStatus::Active } else { UserStatus::Suspended };
                let update = UserUpdate { status: Some(status), ..UserUpdate::default() };
                let organization = org(if thing == ADA { "acme" } else { "globex" });
                at_once(self.other.update_user(&operator(), &organization, &user_of(thing), &update, None)).unwrap();
            }
            Write::Set(WORKER, active) => {
                let role = covering(if active { "work" } else { "rest" });
                at_once(self.other.put_role(&operator(), &org("acme"), &worker(), &role, None)).unwrap();
            }
            Write::Set(thing, active) => {
                let status = if active { ParentStatus::Active } else { ParentStatus::Suspended };
                if thing == WEB {
                    at_once(self.other.set_project_status(&operator(), &org("acme"), &web(), status)).unwrap();
                } else {
                    let mut update = OrganizationUpdate::default();
                    update.status = Some(status);
                    let organization = org(if thing == ACME { "acme" } else { "globex" });
                    at_once(self.other.update_organization(&support::the_operator(), &organization, &update, None))
                        .unwrap();
                }
            }
        }
    }

    /// The server comes back as it was before keys were revoked.
    fn forget_revocations(&self) {
        for created in &self.keys {
            let id = created.key.id;
            let Some(mut record) = at_once(self.server.record(id)).unwrap() else { continue };
            if record.key.status.status == KeyStatus::Revoked {
                let organization = record.key.organization.clone();
                at_once(self.server.delete(&organization, id, record.key.revision)).unwrap();
                record.key.status = created.key.status.clone();
                record.key.revision = created.key.revision;
                at_once(self.server.create(&organization, ROOMY, vec![record])).unwrap()[0].as_ref().unwrap();
            }
        }
    }

    fn begin(&mut self, key: usize) -> Outcome {
        let (manager, text) = (self.manager.clone(), self.keys[key].text.expose().to_owned());
        let future = Box::pin(async move { manager.validate(&text, &context()).await });
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        self.requests.push(Request { key, began: self.clock.tick(), future, woken });
        self.poll(self.requests.len() - 1).map(drop)
    }

    /// A request goes on. Its decision, if it came to one, is looked at and handed back.
    fn poll(&mut self, nth: usize) -> Result<Option<Result<Admission, Denial>>, String> {
        let request = &mut self.requests[nth];
        request.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&request.woken));
        let Poll::Ready(decision) = request.future.as_mut().poll(&mut Context::from_waker(&waker)) else {
            return Ok(None);
        };
        let Request { key, began, .. } = self.requests.remove(nth);
        // It may have written something.
        self.observe();
        match &decision {
            Ok(admission) => self.accepted(key, began, admission)?,
            Err(denial) => self.refused(key, denial)?,
        }
        Ok(Some(decision))
    }

    fn accepted(&self, key: usize, began: Tick, admission: &Admission) -> Outcome {
        let now = self.clock.tick();
        if admission.id != self.keys[key].key.id {
            return Err(format!("key {key} got the answer of another"));
        }
        if self.told_revoked[key] && self.settings.capacity > 0 {
            return Err(format!("key {key} was accepted at {now:?} by an instance that was told it is revoked"));
        }
        for &thing in DEPENDS[key] {
            let history = &self.history[thing];
            // One that keeps nothing is told nothing, and needs no telling: it asks for every request.
            let told = if self.settings.capacity == 0 { None } else { history.told };
            let history = History { told, ..history.clone() };
            if !history.allows(now, LEASE + self.settings.stale) {
                return Err(format!("key {key} was accepted at {now:?} in spite of {thing}: {history:?}"));
            }
            if self.settings.capacity == 0 && !history.usable_since(began) {
                return Err(format!("key {key} began at {began:?} and was accepted in spite of {thing}: {history:?}"));
            }
        }
        Ok(())
    }

    /// A refusal that blames the key has a cause in what the server says or said.
    fn refused(&self, key: usize, denial: &Denial) -> Outcome {
        let blames = denial.reason() != DenialReason::StoreUnavailable;
        let always = DEPENDS[key].iter().all(|thing| self.history[*thing].versions.iter().all(|(_, usable)| *usable));
        if blames && always {
            return Err(format!("key {key} was never unusable and was refused: {denial}"));
        }
        Ok(())
    }

    fn deliver(&mut self) -> bool {
        match self.store.deliver() {
            None => false,
            Some(Delivered::Answer) => true,
            Some(Delivered::Word(change, at)) => {
                self.told(&change, at);
                true
            }
        }
    }

    fn poll_woken(&mut self) -> Outcome {
        while let Some(nth) = self.requests.iter().position(|request| request.woken.0.load(Ordering::SeqCst)) {
            self.poll(nth)?;
        }
        Ok(())
    }

    fn pump(&mut self) {
        self.store.beat();
        while self.store.serve() {}
        while self.deliver() {}
    }

    fn step(&mut self, step: Step) -> Outcome {
        // No two things happen at the same moment.
        self.clock.advance(Duration::from_nanos(1));
        match step {
            Step::Begin(key) => self.begin(key)?,
            Step::Poll(nth) if !self.requests.is_empty() => drop(self.poll(nth % self.requests.len())?),
            Step::GiveUp(nth) if !self.requests.is_empty() => drop(self.requests.remove(nth % self.requests.len())),
            Step::Poll(_) | Step::GiveUp(_) => {}
            Step::PollWoken => self.poll_woken()?,
            Step::Serve => drop(self.store.serve()),
            Step::Deliver => drop(self.deliver()),
            Step::LetAside => drop(self.store.let_aside()),
            Step::Beat => self.store.beat(),
            Step::Pump => self.pump(),
            Step::Freeze(frozen) => self.store.freeze(frozen),
            Step::Cut => self.store.cut(),
            Step::Connect => self.store.connect(),
            Step::Write(write) => self.write(write),
            Step::Pass(millis) => self.clock.advance(Duration::from_millis(millis)),
            Step::Failover => {
                self.store.cut();
                self.forget_revocations();
            }
        }
        self.observe();
        Ok(())
    }

    /// Lets everything through until nobody waits any more. Only what was woken goes on.
    fn settle(&mut self) -> Outcome {
        self.store.freeze(false);
        self.store.connect();
        for _ in 0..200 {
            self.clock.advance(Duration::from_nanos(1));
            self.pump();
            while self.store.let_aside() {}
            self.poll_woken()?;
            self.observe();
            if self.requests.is_empty() {
                // What the last of them wrote is told too.
                self.pump();
                return Ok(());
            }
        }
        Err(format!("{} requests are stuck", self.requests.len()))
    }

    /// One request, with everything let through.
    fn ask(&mut self, key: usize) -> Result<Result<Admission, Denial>, String> {
        self.clock.advance(Duration::from_nanos(1));
        let (manager, text) = (self.manager.clone(), self.keys[key].text.expose().to_owned());
        let future = Box::pin(async move { manager.validate(&text, &context()).await });
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        self.requests.push(Request { key, began: self.clock.tick(), future, woken });
        for _ in 0..200 {
            if self.requests[0].woken.0.swap(false, Ordering::SeqCst)
                && let Some(decision) = self.poll(0)?
            {
                return Ok(decision);
            }
            while self.store.serve() {}
            while self.deliver() {}
            while self.store.let_aside() {}
            self.clock.advance(Duration::from_nanos(1));
        }
        Err(format!("a request with key {key} is stuck though everything is let through"))
    }

    /// Once connected and quiet: keys are accepted exactly if they may be used, and asking again asks nobody.
    fn quiet(&mut self) -> Outcome {
        self.settle()?;
        for (key, depends) in DEPENDS.iter().enumerate() {
            let usable = depends.iter().all(|thing| self.usable(*thing)) && !self.told_revoked[key];
            let decision = self.ask(key)?;
            match decision {
                Ok(_) if usable => {}
                Err(denial) if !usable && denial.reason() != DenialReason::StoreUnavailable => {}
                decision => {
                    return Err(format!("quiet, key {key} with usable = {usable} was decided: {decision:?}"));
                }
            }
            if self.told_revoked[key] && self.usable(key) {
                return Err(format!("the store still thinks that the revoked key {key} may be used"));
            }
            // What was told on account of the question itself.
            self.pump();
            self.ask(key)?.ok();
            if self.settings.capacity >= 100 && self.settings.ttl > LEASE {
                let before = self.store.loads();
                self.ask(key)?.ok();
                if self.store.loads() != before {
                    return Err(format!("an unchanged key {key} was loaded again under a live lease"));
                }
            }
        }
        Ok(())
    }
}

/// Runs the steps, and then lets everything come to rest.
fn run(settings: Settings, steps: &[Step]) -> Outcome {
    let mut world = World::new(settings);
    for step in steps {
        world.step(*step)?;
    }
    world.quiet()
}

fn writes() -> impl Strategy<Value = Write> {
    prop_oneof![
        2 => (0..KEYS).prop_map(Write::Revoke),
        3 => (0..KEYS).prop_map(Write::Deactivate),
        3 => (0..KEYS).prop_map(Write::Activate),
        1 => (0..KEYS).prop_map(Write::Delete),
        4 => (KEYS..THINGS, any::<bool>()).prop_map(|(thing, active)| Write::Set(thing, active)),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        // Mostly one key, so that requests meet.
        8 => prop_oneof![3 => Just(0), 2 => Just(1), 1 => Just(2)].prop_map(Step::Begin),
        5 => (0..8usize).prop_map(Step::Poll),
        4 => Just(Step::PollWoken),
        1 => (0..8usize).prop_map(Step::GiveUp),
        6 => Just(Step::Serve),
        6 => Just(Step::Deliver),
        2 => Just(Step::LetAside),
        4 => Just(Step::Beat),
        5 => Just(Step::Pump),
        1 => any::<bool>().prop_map(Step::Freeze),
        1 => Just(Step::Cut),
        2 => Just(Step::Connect),
        5 => writes().prop_map(Step::Write),
        4 => prop_oneof![1..400u64, 400..1_100u64].prop_map(Step::Pass),
    ]
}

/// One key that is kept, a few heartbeats, and time: what only the bound of a lease decides is rare among everything else.
fn at_the_edge_of_a_lease() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Beat),
        3 => Just(Step::Serve),
        3 => Just(Step::Deliver),
        4 => (100..700u64).prop_map(Step::Pass),
        6 => Just(Step::Begin(0)),
        1 => Just(Step::PollWoken),
        2 => prop_oneof![
            Just(Write::Revoke(0)),
            Just(Write::Deactivate(0)),
            Just(Write::Set(ACME, false)),
            Just(Write::Set(ACME, true)),
            Just(Write::Set(ADA, false)),
            Just(Write::Set(WORKER, false)),
            Just(Write::Set(WORKER, true)),
        ].prop_map(Step::Write),
    ];
    prop::collection::vec(step, 1..40).prop_map(|steps| {
        let kept = [Step::Begin(0), Step::Pump, Step::PollWoken, Step::Pump, Step::PollWoken];
        kept.into_iter().chain(steps).collect()
    })
}

fn schedule() -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![prop::collection::vec(steps(), 1..120), at_the_edge_of_a_lease()]
}

/// The same, with a store that fails over and forgets.
fn schedule_with_failovers() -> impl Strategy<Value = Vec<Step>> {
    let steps = prop_oneof![
        20 => steps(),
        1 => Just(Step::Failover),
        2 => (0..KEYS).prop_map(|key| Step::Write(Write::Revoke(key))),
    ];
    prop::collection::vec(steps, 1..120)
}

/// Much room and little, long lives and short ones: an entry that went for either reason is told nothing any more.
fn settings() -> impl Strategy<Value = Settings> {
    let capacity = prop_oneof![Just(1_000), Just(1), Just(2), Just(0)];
    let ttl = prop_oneof![Just(Duration::from_secs(300)), Just(LEASE / 4)];
    (capacity, ttl).prop_map(|(capacity, ttl)| Settings { capacity, ttl, ..Settings::ROOMY })
}

fn config(cases: u32) -> ProptestConfig {
    // More where the environment asks for more.
    ProptestConfig { cases: cases.max(ProptestConfig::default().cases), ..support::property() }
}

proptest! {
    #![proptest_config(config(1_500))]

    /// No key is accepted later than H after the write that stopped it had returned, nor after word of it was
    /// delivered; nobody is stuck; and once it is quiet, keys are accepted that may be used, without being loaded again.
    #[test]
    fn what_was_stopped_is_refused_within_a_lease_whatever_the_order(settings in settings(), steps in schedule()) {
        run(settings, &steps).map_err(TestCaseError::fail)?;
    }

    /// The same with much room alone, which is how nearly everyone runs it.
    #[test]
    fn it_holds_of_a_cache_with_room(steps in schedule()) {
        run(Settings::ROOMY, &steps).map_err(TestCaseError::fail)?;
    }

    /// By name, an operator may have keys accepted while the store fails: for S longer, and not a moment more.
    #[test]
    fn a_stale_policy_adds_its_bound_and_no_more(
        settings in settings(),
        stale in prop_oneof![Just(LEASE / 2), Just(LEASE * 3)],
        steps in schedule(),
    ) {
        run(Settings { stale, ..settings }, &steps).map_err(TestCaseError::fail)?;
    }

    /// A store that fails over and forgets a revocation: who was told of it never accepts the key again, and writes it
    /// again.
    #[test]
    fn a_forgotten_revocation_is_remembered_and_written_again(
        stale in prop_oneof![Just(Duration::ZERO), Just(LEASE)],
        steps in schedule_with_failovers(),
    ) {
        run(Settings { stale, ..Settings::ROOMY }, &steps).map_err(TestCaseError::fail)?;
    }
}

/// A request that waits for what stands above a key holds the key as it was read. Word of a change reaches it there too,
/// though the cache has let the key go meanwhile.
#[test]
fn a_request_that_holds_an_evicted_key_is_told_of_its_revocation() {
    let little = Settings { capacity: 1, ..Settings::ROOMY };
    let steps = [Step::Begin(2), Step::Begin(0), Step::Pump, Step::Write(Write::Revoke(2)), Step::PollWoken];
    run(little, &steps).unwrap();
}

/// The same of a key that came over a connection that is gone, and so was never kept.
#[test]
fn a_request_that_holds_a_key_of_a_lost_connection_is_told_of_its_revocation() {
    use Step::{Begin, Connect, Cut, Poll, Pump};
    run(Settings::ROOMY, &[Begin(2), Pump, Cut, Connect, Poll(0), Step::Write(Write::Revoke(2))]).unwrap();
}

/// Who keeps nothing is told nothing, so nobody may be served by what another's request has read before.
#[test]
fn without_a_cache_a_read_from_before_a_request_does_not_decide_it() {
    use Step::{Begin, Pump};
    let none = Settings { capacity: 0, ..Settings::ROOMY };
    run(none, &[Begin(0), Begin(0), Pump, Step::Write(Write::Revoke(0)), Begin(0)]).unwrap();
    run(none, &[Begin(0), Pump, Step::PollWoken, Pump, Step::Write(Write::Set(ACME, false)), Begin(0)]).unwrap();
}

/// More keys may be revoked than are remembered: the last ones are remembered, which a failover may have forgotten.
#[test]
fn the_newest_revocations_are_the_ones_remembered() {
    let mut world = World::new(Settings::ROOMY);
    let others = |world: &World, numbers: std::ops::Range<u128>| {
        for nth in numbers {
            world.store.tell(&Change::Revoked(KeyId::from_bytes(nth.to_be_bytes())));
        }
    };
    others(&world, 0..120_000);
    world.store.tell(&Change::Revoked(world.keys[0].key.id));
    world.told_revoked[0] = true;
    others(&world, 120_000..140_000);
    world.quiet().unwrap();
}

/// The properties can fail: stores that break one of the rules are found out, with the same steps in the same number.
mod the_property_bites {
    use super::*;

    /// What the property says of a store with this flaw.
    fn finds(flaw: Flaw) -> String {
        // The same cases every time, and as they came: a shrunken one says nothing more here.
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let config = ProptestConfig { cases: 5_000, max_shrink_iters: 0, ..support::property() };
        let found = TestRunner::new_with_rng(config, rng)
            .run(&schedule(), |steps| run(Settings { flaw, ..Settings::ROOMY }, &steps).map_err(TestCaseError::fail));
        match found {
            Err(TestError::Fail(reason, _)) => reason.message().to_owned(),
            other => panic!("{flaw:?} was not noticed: {other:?}"),
        }
    }

    #[test]
    fn at_a_lease_counted_from_the_answer() {
        let found = finds(Flaw::LeaseFromTheAnswer);
        assert!(found.contains("was accepted at"), "{found}");
    }

    #[test]
    fn at_word_that_comes_after_the_next_heartbeat() {
        let found = finds(Flaw::WordAfterTheHeartbeat);
        assert!(found.contains("was accepted at"), "{found}");
    }

    #[test]
    fn at_a_load_under_way_that_is_not_told() {
        let found = finds(Flaw::DeafWhileLoading);
        assert!(found.contains("was accepted at"), "{found}");
    }

    #[test]
    fn at_a_lease_that_outlives_its_connection() {
        // The lost word never comes, so what was kept decides even when all is quiet.
        let found = finds(Flaw::LeaseOutlivesTheConnection);
        assert!(found.contains("was accepted at") || found.contains("quiet"), "{found}");
    }
}
