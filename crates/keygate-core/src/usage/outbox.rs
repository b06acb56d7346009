//! What is to be told of the subjects of one bucket, and what was told and may be forgotten.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::batch::{Batch, Delta, Mark, Writer};
use super::subject::Subject;
use crate::clock::Tick;

/// How long an acknowledged batch is kept for the case that the store forgets it: longer than its replicas can be behind and a
/// failover takes.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// How many subjects there are in a batch: a store is busy with it for some milliseconds.
const SUBJECTS: usize = 256;
/// After how long without a word a writer is another one when it speaks again: well before a store forgets it.
const SILENT: Duration = Duration::from_secs(24 * 60 * 60);
/// How many batches are sent in one call.
const AT_ONCE: usize = 8;
/// What came of telling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Batches that were acknowledged for the first time.
    pub(super) batches: u64,
    /// Requests of keys in them.
    pub(super) requests: u64,
    /// Batches that the store has forgotten, and that are told again.
    pub(super) forgotten: u64,
    /// Batches that it has forgotten, and that are kept no longer.
    pub(super) lost: u64,
}

#[derive(Debug)]
struct Sealed {
    batch: Arc<Batch>,
    /// When the store last said that it has it, if it then still did.
    acknowledged: Option<Tick>,
    was_acknowledged: bool,
}

/// One writer's side of one bucket.
#[derive(Debug)]
pub(super) struct Outbox {
    writer: Writer,
    open: HashMap<Subject, Delta>,
    /// Those of `open`, in the order in which they came: each has its turn, however many there are.
    order: VecDeque<Subject>,
    /// When something was last added.
    used: Tick,
    /// Consecutive, the oldest first. Those that are acknowledged come before those that are not.
    sealed: VecDeque<Sealed>,
    /// The number of the last that was sealed.
    last: Mark,
    /// The number of the last that is kept no longer.
    gone: Mark,
}

impl Outbox {
    pub(super) fn new(writer: Writer) -> Self {
        Self {
            writer,
            open: HashMap::new(),
            order: VecDeque::new(),
            used: Tick::NEVER,
            sealed: VecDeque::new(),
            last: 0,
            gone: 0,
        }
    }

    pub(super) fn writer(&self) -> Writer {
        self.writer
    }

    /// The open delta of a subject, to add to.
    pub(super) fn open(&mut self, subject: Subject, now: Tick) -> &mut Delta {
        self.used = now;
        match self.open.entry(subject) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(place) => {
                self.order.push_back(place.key().clone());
                place.insert(Delta::default())
            }
        }
    }

    /// What is to be sent now, if anything: batches the store does not have, the oldest first, or none, to ask which it has.
    pub(super) fn due(&mut self, now: Tick) -> Option<Vec<Arc<Batch>>> {
        while self.unacknowledged().count() < AT_ONCE && !self.open.is_empty() {
            self.seal();
        }
        let batches: Vec<_> = self.unacknowledged().take(AT_ONCE).map(|sealed| Arc::clone(&sealed.batch)).collect();
        let is_to_ask = || self.sealed.front().is_some_and(|sealed| sealed.is_old(now));
        (!batches.is_empty() || is_to_ask()).then_some(batches)
    }

    fn unacknowledged(&self) -> impl Iterator<Item = &Sealed> {
        self.sealed.iter().filter(|sealed| sealed.acknowledged.is_none())
    }

    fn seal(&mut self) {
        let some = self.order.len().min(SUBJECTS);
        let deltas = self.order.drain(..some).filter_map(|subject| self.open.remove_entry(&subject)).collect();
        let after = self.last;
        self.last += 1;
        let batch = Arc::new(Batch { after, number: self.last, deltas });
        self.sealed.push_back(Sealed { batch, acknowledged: None, was_acknowledged: false });
        if self.open.is_empty() {
            // What a burst of keys took is not kept for ever.
            self.open.shrink_to(SUBJECTS);
            self.order.shrink_to(SUBJECTS);
        }
    }

    /// Seals all that is open, and says the number of the last batch there is.
    pub(super) fn seal_all(&mut self) -> Mark {
        while !self.open.is_empty() {
            self.seal();
        }
        self.last
    }

    /// Whether the store has all batches up to this one.
    pub(super) fn has_told(&self, last: Mark) -> bool {
        self.unacknowledged().next().is_none_or(|sealed| sealed.batch.number > last)
    }

    /// Whether nobody needs it: the store has all, nothing is kept, and nothing came for a day. Whoever comes next is another
    /// writer, so that a store may forget this one.
    pub(super) fn is_over(&self, now: Tick) -> bool {
        self.is_empty() && self.sealed.is_empty() && now.since(self.used) >= SILENT
    }

    /// The store has said which mark it has.
    pub(super) fn answered(&mut self, mark: Mark, now: Tick) -> Told {
        let mut told = Told::default();
        for sealed in &mut self.sealed {
            if sealed.batch.number <= mark {
                if !std::mem::replace(&mut sealed.was_acknowledged, true) {
                    told.batches += 1;
                    told.requests += sealed.requests();
                }
                sealed.acknowledged.get_or_insert(now);
            } else if sealed.acknowledged.take().is_some() {
                told.forgotten += 1;
            }
        }
        if told.forgotten > 0 {
            // What it has may have come to it after it went back, and its replicas be behind with that anew.
            let held = self.sealed.iter_mut().filter(|sealed| sealed.acknowledged.is_some());
            held.for_each(|sealed| sealed.acknowledged = Some(now));
        }
        if mark < self.gone {
            // It has forgotten more than there is. What there is comes after what it has: nobody can tell it of the rest.
            told.lost = self.gone - mark;
            self.gone = mark;
        }
        if let Some(first) = self.sealed.iter_mut().find(|sealed| sealed.acknowledged.is_none())
            && first.batch.after != mark
            && mark < first.batch.number
        {
            // A copy of it that is still under way has another `after`, so at most one of the two is ever taken in.
            Arc::make_mut(&mut first.batch).after = mark;
        }
        self.let_go(now);
        told
    }

    /// Lets go of what the store still had when it was old enough.
    fn let_go(&mut self, now: Tick) {
        while let Some(sealed) = self.sealed.pop_front_if(|sealed| sealed.is_old(now)) {
            self.gone = sealed.batch.number;
        }
    }

    /// Lets go of the older half of what is acknowledged, however old it is: there is too much of it.
    pub(super) fn keep_half(&mut self) {
        for _ in 0..self.kept().div_ceil(2) {
            if let Some(sealed) = self.sealed.pop_front_if(|sealed| sealed.acknowledged.is_some()) {
                self.gone = sealed.batch.number;
            }
        }
    }

    /// Requests of keys that the store is not known to have.
    pub(super) fn waiting(&self) -> u64 {
        let sealed = self.sealed.iter().filter(|sealed| !sealed.was_acknowledged).map(Sealed::requests);
        self.open.iter().map(requests).chain(sealed).fold(0, u64::saturating_add)
    }

    /// Whether the store has all that it was told of.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.unacknowledged().next().is_none()
    }

    /// Batches kept that are acknowledged.
    pub(super) fn kept(&self) -> usize {
        self.sealed.iter().filter(|sealed| sealed.acknowledged.is_some()).count()
    }

    /// Deltas in them.
    pub(super) fn kept_deltas(&self) -> usize {
        let kept = self.sealed.iter().filter(|sealed| sealed.acknowledged.is_some());
        kept.map(|sealed| sealed.batch.deltas.len()).sum()
    }

    /// What waits to be sealed, in numbers.
    pub(super) fn fields(&self) -> usize {
        self.open.values().map(Delta::fields).sum()
    }

    /// Tells endpoints, locations and addresses apart no longer in what waits to be sealed.
    pub(super) fn fold(&mut self) {
        self.open.values_mut().for_each(Delta::fold);
    }
}

impl Sealed {
    fn is_old(&self, now: Tick) -> bool {
        self.acknowledged.is_some_and(|at| now.since(at) >= KEPT_FOR)
    }

    fn requests(&self) -> u64 {
        let deltas = self.batch.deltas.iter();
        deltas.map(|(subject, delta)| requests((subject, delta))).fold(0, u64::saturating_add)
    }
}

/// Requests of a key: what stands above it counts the same ones again.
fn requests((subject, delta): (&Subject, &Delta)) -> u64 {
    if matches!(subject, Subject::Key(_)) { delta.requests() } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use chrono::Utc;
    use proptest::prelude::*;

    use super::*;
    use crate::key::KeyId;
    use crate::usage::book::Book;
    use crate::usage::counts::Counts;
    use crate::usage::outcome::Outcome;
    use crate::usage::period::{Day, Hour};

    fn requests(count: u64) -> Delta {
        let mut counts = Counts::default();
        counts.add_outcome(Outcome::Admitted, count);
        Delta { hours: [(Hour::of(Utc::now()), counts)].into(), ..Delta::default() }
    }

    /// What happens to an outbox and a store that it reaches over a network.
    #[derive(Debug, Clone)]
    enum Event {
        /// So many requests of one of so many keys.
        Count { key: u8, requests: u8 },
        /// A call, of which nothing may arrive, or no answer; and a copy may stay under way.
        Call { arrives: bool, answered: bool, copied: bool },
        /// The oldest copy that is under way arrives.
        Late,
        /// The store goes back to what its replica had.
        Failover,
        /// The replica has all that the store has.
        Replicated,
        /// Time passes, in seconds.
        Pass(u8),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (0..4_u8, 1..9_u8).prop_map(|(key, requests)| Event::Count { key, requests }),
            6 => (prop::bool::weighted(0.8), prop::bool::weighted(0.7), any::<bool>())
                .prop_map(|(arrives, answered, copied)| Event::Call { arrives, answered, copied }),
            2 => Just(Event::Late),
            1 => Just(Event::Failover),
            2 => Just(Event::Replicated),
            2 => (0..4_u8).prop_map(Event::Pass),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        /// Calls and answers are lost, copies arrive late, the store forgets what it acknowledged less than ten seconds ago: in
        /// the end it has each request once.
        #[test]
        fn each_request_is_told_once(events in prop::collection::vec(event(), 0..120)) {
            let keys: Vec<_> = (0..4).map(|_| Subject::Key(KeyId::fresh(Utc::now(), None).unwrap())).collect();
            let writer = Writer(9);
            let mut outbox = Outbox::new(writer);
            let (mut store, mut replica) = (Book::default(), Book::default());
            let mut behind_since = Tick::from_nanos(1);
            let mut under_way: VecDeque<Vec<Arc<Batch>>> = VecDeque::new();
            let mut now = Tick::from_nanos(1);
            let mut counted = [0_u64; 4];
            let take_in = |store: &mut Book, batches: &[Arc<Batch>]| {
                store.record(writer, batches.iter().map(|batch| &**batch), Utc::now(), |_| true)
            };
            for event in events {
                // The promise is for replicas that are behind for less than a batch is kept.
                if now.since(behind_since) >= KEPT_FOR - Duration::from_secs(4) {
                    (replica, behind_since) = (store.clone(), now);
                }
                match event {
                    Event::Count { key, requests: count } => {
                        counted[usize::from(key)] += u64::from(count);
                        outbox.open(keys[usize::from(key)].clone(), now).add(&requests(count.into()));
                    }
                    Event::Call { arrives, answered, copied } => {
                        let Some(batches) = outbox.due(now) else { continue };
                        if copied {
                            under_way.push_back(batches.clone());
                        }
                        if arrives {
                            let mark = take_in(&mut store, &batches);
                            if answered {
                                prop_assert_eq!(outbox.answered(mark, now).lost, 0);
                            }
                        }
                    }
                    Event::Late => {
                        if let Some(batches) = under_way.pop_front() {
                            take_in(&mut store, &batches);
                        }
                    }
                    Event::Failover => {
                        store = replica.clone();
                        // What is under way to the one that is gone arrives nowhere.
                        under_way.clear();
                    }
                    Event::Replicated => (replica, behind_since) = (store.clone(), now),
                    Event::Pass(seconds) => now = now.after(Duration::from_secs(seconds.into())),
                }
            }
            // The trouble is over: what is kept is asked after once more, and all of it arrives.
            now = now.after(KEPT_FOR);
            for _ in 0..200 {
                let Some(batches) = outbox.due(now) else { break };
                let mark = take_in(&mut store, &batches);
                prop_assert_eq!(outbox.answered(mark, now).lost, 0);
            }
            prop_assert!(outbox.is_empty());
            let totals: Vec<_> = keys
                .iter()
                .map(|key| store.account(key, Day(0)..=Day(0), Utc::now()).map_or(0, |account| account.series.requests()))
                .collect();
            prop_assert_eq!(totals, counted.to_vec());
        }
    }

    #[test]
    fn what_is_forgotten_too_late_is_lost_and_said_and_what_comes_then_is_counted() {
        let key = Subject::Key(KeyId::fresh(Utc::now(), None).unwrap());
        let mut outbox = Outbox::new(Writer(9));
        let mut now = Tick::from_nanos(1);
        let tell = |outbox: &mut Outbox, store: &mut Book, now| {
            let batches = outbox.due(now)?;
            let mark = store.record(Writer(9), batches.iter().map(|batch| &**batch), Utc::now(), |_| true);
            Some(outbox.answered(mark, now))
        };
        let mut store = Book::default();
        outbox.open(key.clone(), Tick::from_nanos(1)).add(&requests(5));
        tell(&mut outbox, &mut store, now);
        now = now.after(KEPT_FOR);
        assert!(tell(&mut outbox, &mut store, now).is_some());
        assert_eq!((outbox.kept(), outbox.due(now)), (0, None));
        let mut store = Book::default();
        outbox.open(key.clone(), Tick::from_nanos(1)).add(&requests(7));
        assert_eq!(tell(&mut outbox, &mut store, now).map(|told| told.lost), Some(1));
        assert_eq!(tell(&mut outbox, &mut store, now).map(|told| (told.lost, told.requests)), Some((0, 7)));
        assert_eq!(store.account(&key, Day(0)..=Day(0), Utc::now()).unwrap().series.requests(), 7);
    }

    #[test]
    fn an_outage_takes_no_more_memory_than_the_subjects() {
        let mut outbox = Outbox::new(Writer(9));
        let key = Subject::Key(KeyId::fresh(Utc::now(), None).unwrap());
        for _ in 0..10_000 {
            outbox.open(key.clone(), Tick::from_nanos(1)).add(&requests(1));
            assert!(outbox.due(Tick::from_nanos(1)).unwrap().len() <= AT_ONCE);
        }
        assert!(outbox.sealed.len() <= AT_ONCE && outbox.open.len() == 1);
        assert_eq!(outbox.waiting(), 10_000);
    }

    #[test]
    fn each_subject_has_its_turn_however_many_there_are() {
        const MANY: usize = 3 * AT_ONCE * SUBJECTS;
        let keys: Vec<_> = (0..MANY).map(|_| Subject::Key(KeyId::fresh(Utc::now(), None).unwrap())).collect();
        let (mut outbox, mut store, now) = (Outbox::new(Writer(9)), Book::default(), Tick::from_nanos(1));
        for _ in 0..6 {
            for key in &keys {
                outbox.open(key.clone(), now).add(&requests(1));
            }
            let batches = outbox.due(now).unwrap();
            let mark = store.record(Writer(9), batches.iter().map(|batch| &**batch), Utc::now(), |_| true);
            outbox.answered(mark, now);
        }
        assert!(keys.iter().all(|key| store.last_use(key).is_none()), "no use was told");
        let told = |key| store.account(key, Day(0)..=Day(0), Utc::now()).map_or(0, |account| account.series.requests());
        assert!(keys.iter().all(|key| told(key) >= 3), "some were never told");
    }

    #[test]
    fn one_who_was_silent_for_a_day_is_over_and_no_other() {
        let (mut outbox, mut store) = (Outbox::new(Writer(9)), Book::default());
        let key = Subject::Key(KeyId::fresh(Utc::now(), None).unwrap());
        let now = Tick::from_nanos(1);
        outbox.open(key, now).add(&requests(1));
        let last = outbox.seal_all();
        let later = now.after(SILENT);
        assert!(!outbox.is_over(later) && !outbox.has_told(last) && !outbox.is_empty());
        let mut tell = |outbox: &mut Outbox, now| {
            let batches = outbox.due(now).unwrap();
            outbox.answered(store.record(Writer(9), batches.iter().map(|batch| &**batch), Utc::now(), |_| true), now)
        };
        tell(&mut outbox, now);
        assert!(outbox.has_told(last) && !outbox.is_over(later), "it is kept still");
        tell(&mut outbox, now.after(KEPT_FOR));
        assert!(outbox.is_over(later) && !outbox.is_over(now.after(KEPT_FOR)));
    }
}
