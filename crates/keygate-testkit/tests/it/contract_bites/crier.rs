//! Those who tell watchers of changes, and get it wrong.

use std::sync::{Arc, Mutex, Weak};

use keygate_core::coherence::{Change, Watcher};
use keygate_core::key::KeyId;
use keygate_core::record::KeyRecord;

use super::bent::Bend;

/// One for each watcher of a bent store.
#[derive(Debug)]
pub(crate) struct Criers {
    bend: Bend,
    criers: Mutex<Vec<Arc<Crier>>>,
    /// Watchers that should not be held.
    held: Mutex<Vec<Arc<dyn Watcher>>>,
    /// The keys of the last batch after its first.
    late_in_batch: Arc<Mutex<Vec<KeyId>>>,
}

#[derive(Debug)]
struct Crier {
    bend: Bend,
    watcher: Weak<dyn Watcher>,
    /// The key it heard of first.
    neighbour: Mutex<Option<KeyId>>,
    late_in_batch: Arc<Mutex<Vec<KeyId>>>,
}

impl Criers {
    pub(crate) fn new(bend: Bend) -> Self {
        Self { bend, criers: Mutex::default(), held: Mutex::default(), late_in_batch: Arc::default() }
    }

    /// Who the store is to tell in the watcher's place, if anybody.
    pub(crate) fn stand_in(&self, watcher: Weak<dyn Watcher>) -> Option<Weak<dyn Watcher>> {
        let mut criers = self.criers.lock().unwrap();
        if self.bend == Bend::TellsOneWatcher && !criers.is_empty() {
            return None;
        }
        if self.bend == Bend::HoldsItsWatchers {
            self.held.lock().unwrap().extend(watcher.upgrade());
        }
        let late_in_batch = Arc::clone(&self.late_in_batch);
        let crier = Arc::new(Crier { bend: self.bend, watcher, neighbour: Mutex::default(), late_in_batch });
        criers.push(Arc::clone(&crier));
        let crier: Weak<Crier> = Arc::downgrade(&crier);
        Some(crier)
    }

    /// Tells the watchers of something out of turn.
    pub(crate) fn tell(&self, change: &Change) {
        self.criers.lock().unwrap().iter().for_each(|crier| crier.pass_on(change));
    }

    pub(crate) fn expect_batch(&self, records: &[KeyRecord]) {
        *self.late_in_batch.lock().unwrap() = records.iter().skip(1).map(|record| record.key.id).collect();
    }
}

impl Crier {
    fn pass_on(&self, change: &Change) {
        if let Some(watcher) = self.watcher.upgrade() {
            watcher.changed(change);
        }
    }
}

impl Watcher for Crier {
    fn changed(&self, change: &Change) {
        match (self.bend, change) {
            (Bend::TellsNothing, _)
            | (Bend::TellsBeforeItWrites, Change::Key(_))
            | (Bend::TellsOfKeysAlone, Change::Organization(_) | Change::Project(..) | Change::User(..))
            | (Bend::NeverCallsARevocationOne, Change::Revoked(_)) => {}
            (Bend::TellsOfTheFirstOfABatch, Change::Key(id)) if self.late_in_batch.lock().unwrap().contains(id) => {}
            (Bend::TellsOfNeighbours, Change::Key(id)) => {
                let neighbour = *self.neighbour.lock().unwrap().get_or_insert(*id);
                self.pass_on(change);
                self.pass_on(&Change::Key(neighbour));
            }
            (Bend::CallsEveryChangeARevocation, Change::Key(id)) => {
                self.pass_on(change);
                self.pass_on(&Change::Revoked(*id));
            }
            (Bend::ForgetsWhoseTheProjectIs, Change::Project(_, project)) => {
                self.pass_on(&Change::Project("nobody".parse().unwrap(), project.clone()));
            }
            (Bend::TellsOfProjectsAsTheirOrganizations, Change::Project(organization, _)) => {
                self.pass_on(change);
                self.pass_on(&Change::Organization(organization.clone()));
            }
            _ => self.pass_on(change),
        }
    }
}
