//! What stands above keys, in cells that all keys below share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::{LANDINGS, Policy};
use crate::clock::{Clock, Tick};
use crate::coherence::{Generation, Stamp};
use crate::names::{OrganizationId, ProjectId};
use crate::record::Parents;
use crate::store::{Store, StoreError};
use crate::striped::Striped;

/// What stands above the keys of one organization, or of one project in it. A key holds its cell for as long as it is
/// kept; what the cell holds is read again when it changed, once for all of them.
#[derive(Debug)]
pub(crate) struct ParentsCell {
    organization: OrganizationId,
    project: Option<ProjectId>,
    generation: Generation,
    held: ArcSwapOption<HeldParents>,
    /// Held while reading: when the last read failed, if the last one did.
    reading: tokio::sync::Mutex<Option<Tick>>,
}

/// What a cell holds.
#[derive(Debug)]
pub(crate) struct HeldParents {
    stamp: Stamp,
    parents: Parents,
}

impl HeldParents {
    pub(crate) fn parents(&self) -> &Parents {
        &self.parents
    }

    pub(crate) fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

impl ParentsCell {
    /// What is held, if it may be believed without asking the store.
    pub(crate) fn current(&self, now: Tick) -> Option<arc_swap::Guard<Option<Arc<HeldParents>>>> {
        let guard = self.held.load();
        guard.as_ref().is_some_and(|held| held.stamp.is_current(&self.generation, now)).then_some(guard)
    }

    /// What is held, if it may be believed while the store fails.
    pub(crate) fn stale(&self, now: Tick, stale: Duration) -> Option<Arc<HeldParents>> {
        self.held.load_full().filter(|held| held.stamp.may_be_stale(&self.generation, now, stale))
    }

    /// Whether what was found may decide a request that came at `asked`.
    pub(crate) fn may_decide(&self, held: &HeldParents, now: Tick, asked: Tick) -> bool {
        held.stamp.may_decide(&self.generation, now, asked)
    }

    /// What is held if that may decide, else what is read now. One reads; others wait for it, look again, and share its
    /// failure: were each to try in turn, the last would wait for all the others.
    pub(super) async fn find(
        &self,
        store: &dyn Store,
        clock: &dyn Clock,
        asked: Tick,
        policy: &Policy,
        loads: &Striped,
    ) -> Result<Arc<HeldParents>, StoreError> {
        let usable = || self.held.load_full().filter(|held| self.may_decide(held, clock.tick(), asked));
        for _ in 0..LANDINGS {
            if let Some(held) = usable() {
                return Ok(held);
            }
            let mut failed = self.reading.lock().await;
            if let Some(held) = usable() {
                return Ok(held);
            }
            if failed.is_some_and(|failed| failed >= asked) {
                return Err(StoreError::unavailable("the read that was waited for failed"));
            }
            loads.add();
            let generation = self.generation.current();
            let read = match store.load_parents(&self.organization, self.project.as_ref()).await {
                Ok(read) => policy.as_told(read),
                Err(error) => {
                    *failed = Some(clock.tick());
                    return Err(error);
                }
            };
            *failed = None;
            let stamp = Stamp::new(generation, &read).fresh_until(read.sent.after(policy.ttl));
            let held = Arc::new(HeldParents { stamp, parents: read.value });
            self.held.store(Some(Arc::clone(&held)));
            if self.may_decide(&held, clock.tick(), asked) {
                return Ok(held);
            }
        }
        Err(StoreError::unavailable("what stands above the key changed or was lost under way each time it was read"))
    }
}

/// All cells that a kept key, or one that is being read, holds.
#[derive(Debug)]
pub(super) struct ParentCells {
    cells: Mutex<Cells>,
}

#[derive(Debug, Default)]
struct Cells {
    by_organization: HashMap<OrganizationId, HashMap<Option<ProjectId>, Weak<ParentsCell>>>,
    count: usize,
    /// At how many cells those that nobody holds any more are swept out: twice as many as were left the last time.
    sweep_at: usize,
}

const SWEEP_FIRST: usize = 1024;

impl ParentCells {
    pub(super) fn new() -> Self {
        Self { cells: Mutex::new(Cells { sweep_at: SWEEP_FIRST, ..Cells::default() }) }
    }

    /// The cell of an organization or a project. It is known here from now on, so no change is missed.
    pub(super) fn cell(&self, organization: &OrganizationId, project: Option<&ProjectId>) -> Arc<ParentsCell> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let place = cells.by_organization.get(organization).and_then(|projects| projects.get(&project.cloned()));
        if let Some(cell) = place.and_then(Weak::upgrade) {
            return cell;
        }
        if cells.count >= cells.sweep_at {
            cells.sweep();
        }
        let cell = Arc::new(ParentsCell {
            organization: organization.clone(),
            project: project.cloned(),
            generation: Generation::new(),
            held: ArcSwapOption::empty(),
            reading: tokio::sync::Mutex::new(None),
        });
        let projects = cells.by_organization.entry(organization.clone()).or_default();
        if projects.insert(project.cloned(), Arc::downgrade(&cell)).is_none() {
            cells.count += 1;
        }
        cell
    }

    /// A project's record has changed, or an organization's, which stands above all its projects.
    pub(super) fn change(&self, organization: &OrganizationId, project: Option<&ProjectId>) {
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(projects) = cells.by_organization.get(organization) else { return };
        let concerned = projects.iter().filter(|(place, _)| project.is_none() || place.as_ref() == project);
        for cell in concerned.filter_map(|(_, cell)| cell.upgrade()) {
            cell.generation.advance();
        }
    }
}

impl Cells {
    fn sweep(&mut self) {
        self.by_organization.retain(|_, projects| {
            projects.retain(|_, cell| cell.strong_count() > 0);
            !projects.is_empty()
        });
        self.count = self.by_organization.values().map(HashMap::len).sum();
        self.sweep_at = (2 * self.count).max(SWEEP_FIRST);
    }
}
