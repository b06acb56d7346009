//! What stands above keys, in cells that all keys below share.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::cell::{Cell, Held};
use crate::governance::Owner;
use crate::names::{OrganizationId, ProjectId, UserId};
use crate::record::Parents;

/// What stands above the keys of one organization, or of one project in it. A key holds its cell for as long as it is
/// kept.
pub(crate) type ParentsCell = Cell<Parents>;
/// What such a cell holds.
pub(crate) type HeldParents = Held<Parents>;
/// What is known of the owner of keys.
pub(crate) type OwnerCell = Cell<Owner>;
/// What such a cell holds.
pub(crate) type HeldOwner = Held<Owner>;

/// All cells that a kept key, or one that is being read, holds: of organizations and projects, and of users.
#[derive(Debug)]
pub(super) struct SharedCells {
    parents: Cells<Option<ProjectId>, Parents>,
    owners: Cells<UserId, Owner>,
}

impl SharedCells {
    pub(super) fn new() -> Self {
        Self { parents: Cells::new(), owners: Cells::new() }
    }

    /// The cell of an organization or a project.
    pub(super) fn parents(&self, organization: &OrganizationId, project: Option<&ProjectId>) -> Arc<ParentsCell> {
        self.parents.cell(organization, &project.cloned())
    }

    /// The cell of a user.
    pub(super) fn owner(&self, organization: &OrganizationId, user: &UserId) -> Arc<OwnerCell> {
        self.owners.cell(organization, user)
    }

    /// The same, if any other key of the user holds it.
    pub(super) fn held_owner(&self, organization: &OrganizationId, user: &UserId) -> Option<Arc<OwnerCell>> {
        self.owners.held(organization, user)
    }

    /// A project's record has changed, or an organization's, which stands above all its projects.
    pub(super) fn parents_change(&self, organization: &OrganizationId, project: Option<&ProjectId>) {
        self.parents.change(organization, |place| project.is_none() || place.as_ref() == project);
    }

    /// A user's record has changed.
    pub(super) fn owner_changes(&self, organization: &OrganizationId, user: &UserId) {
        if let Some(cell) = self.owners.held(organization, user) {
            cell.change();
        }
    }
}

/// Cells by their organization and their place in it.
#[derive(Debug)]
struct Cells<P, T> {
    table: Mutex<Table<P, T>>,
}

#[derive(Debug)]
struct Table<P, T> {
    by_organization: HashMap<OrganizationId, HashMap<P, Weak<Cell<T>>>>,
    count: usize,
    /// At how many cells those that nobody holds any more are swept out: twice as many as were left the last time.
    sweep_at: usize,
}

const SWEEP_FIRST: usize = 1024;

impl<P: Eq + Hash + Clone, T> Cells<P, T> {
    fn new() -> Self {
        Self { table: Mutex::new(Table { by_organization: HashMap::new(), count: 0, sweep_at: SWEEP_FIRST }) }
    }

    /// The cell of a place. It is known here from now on, so no change is missed.
    fn cell(&self, organization: &OrganizationId, place: &P) -> Arc<Cell<T>> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let held = table.by_organization.get(organization).and_then(|places| places.get(place));
        if let Some(cell) = held.and_then(Weak::upgrade) {
            return cell;
        }
        if table.count >= table.sweep_at {
            table.sweep();
        }
        let cell = Arc::new(Cell::new());
        let places = table.by_organization.entry(organization.clone()).or_default();
        if places.insert(place.clone(), Arc::downgrade(&cell)).is_none() {
            table.count += 1;
        }
        cell
    }

    /// The cell of a place, if anybody holds it.
    fn held(&self, organization: &OrganizationId, place: &P) -> Option<Arc<Cell<T>>> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.by_organization.get(organization)?.get(place)?.upgrade()
    }

    fn change(&self, organization: &OrganizationId, is_concerned: impl Fn(&P) -> bool) {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(places) = table.by_organization.get(organization) else { return };
        let concerned = places.iter().filter(|(place, _)| is_concerned(place));
        concerned.filter_map(|(_, cell)| cell.upgrade()).for_each(|cell| cell.change());
    }
}

impl<P, T> Table<P, T> {
    fn sweep(&mut self) {
        self.by_organization.retain(|_, places| {
            places.retain(|_, cell| cell.strong_count() > 0);
            !places.is_empty()
        });
        self.count = self.by_organization.values().map(HashMap::len).sum();
        self.sweep_at = (2 * self.count).max(SWEEP_FIRST);
    }
}
