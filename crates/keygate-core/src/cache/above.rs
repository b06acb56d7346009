//! What stands above one key, as it was found for a decision.

use std::sync::Arc;
use std::time::Duration;

use super::Entry;
use super::parents::{HeldOwner, HeldParents};
use crate::check::AboveView;
use crate::clock::Tick;

/// What was found above a key: its organization and project, and its owner where anything is known of owners.
#[derive(Debug, Clone)]
pub(crate) struct Above {
    pub(super) parents: Arc<HeldParents>,
    pub(super) owner: Option<Arc<HeldOwner>>,
}

impl Above {
    pub(crate) fn parents(&self) -> &Arc<HeldParents> {
        &self.parents
    }

    /// Its owner, where anything is known of owners.
    pub(crate) fn owner(&self) -> Option<&Arc<HeldOwner>> {
        self.owner.as_ref()
    }

    pub(crate) fn view(&self) -> AboveView<'_> {
        AboveView { parents: self.parents.value(), owner: self.owner.as_ref().map(|owner| owner.value()) }
    }
}

impl Entry {
    /// Whether the key and what was found above it may decide a request that came at `asked`.
    pub(crate) fn may_decide_under(&self, above: &Above, now: Tick, asked: Tick) -> bool {
        let owner_may = match (&above.owner, self.owner()) {
            (Some(held), Some(cell)) => cell.may_decide(held, now, asked),
            (Some(_), None) => false,
            (None, _) => true,
        };
        owner_may && self.may_decide(now, asked) && self.parents().may_decide(&above.parents, now, asked)
    }

    /// What was found above the key last, if that may be believed while the store fails. `governed` says whether its owner has
    /// to be known.
    pub(crate) fn stale_above(
        &self,
        now: Tick,
        stale: Duration,
        governed: impl FnOnce(&HeldParents) -> bool,
    ) -> Option<Above> {
        let parents = self.parents().stale(now, stale)?;
        let owner = if governed(&parents) { Some(self.stale_owner(now, stale)?) } else { None };
        Some(Above { parents, owner })
    }

    /// What an authority said is not vouched for by the store, which may well be there: it is believed for so long beyond the
    /// age that the authority gave it.
    fn stale_owner(&self, now: Tick, stale: Duration) -> Option<Arc<HeldOwner>> {
        let cell = self.owner()?;
        if cell.last()?.value().answer.is_some() { cell.stale_as_said(now, stale) } else { cell.stale(now, stale) }
    }
}
