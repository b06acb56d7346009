//! What is too old, or too much, goes; and what is left in its place.

use chrono::{DateTime, TimeDelta};
use futures_util::{StreamExt, stream};

use super::keeper::{Keeper, REMEMBERED, TIDIED_AT_ONCE, lock};
use super::seal::Checkpoint;
use super::store::AuditState;
use crate::names::OrganizationId;
use crate::store::StoreError;

/// How often it is looked whether anything is too old to be kept.
const TRIMS_EVERY: TimeDelta = TimeDelta::hours(1);
/// Seals whose entries are taken away in one step.
const TRIMMED_AT_ONCE: usize = 32;
/// Such steps for one who comes.
const TRIMS_AT_ONCE: usize = 16;

impl Keeper {
    /// Has an organization's audit trimmed in this instance's round, as it was looked at.
    pub(crate) fn looked_at(&self, organization: &OrganizationId) {
        self.trim_later(organization);
    }

    /// Takes away what is too old, or too much, of a few of the organizations that this instance has written or looked at. For
    /// whoever runs the schedules of the deployment, as what is kept is that deployment's to say.
    pub(crate) async fn trim_all(&self) {
        if !self.policy().is_on() {
            return;
        }
        let due = std::mem::take(&mut *lock(&self.untrimmed));
        let trimming = stream::iter(due).map(|organization| async move {
            if self.was_trimmed(&organization) {
                return self.trim_later(&organization);
            }
            let trimmed = async {
                let state = self.store.audit_state(&organization).await?;
                self.trim(&organization, state).await
            };
            match trimmed.await {
                Ok(true) => {}
                Ok(false) => self.trim_later(&organization),
                Err(error) => {
                    tracing::warn!(target: "keygate::audit", organization_id = %organization, %error, "what is too old in the audit is still kept");
                    self.trim_later(&organization);
                }
            }
        });
        trimming.buffer_unordered(TIDIED_AT_ONCE).collect::<()>().await;
    }

    /// Whether it was looked lately whether anything is too old there.
    pub(super) fn was_trimmed(&self, organization: &OrganizationId) -> bool {
        self.trimmed.get(organization).is_some_and(|at| self.now() - at < TRIMS_EVERY)
    }

    pub(super) fn trim_later(&self, organization: &OrganizationId) {
        let mut untrimmed = lock(&self.untrimmed);
        if untrimmed.len() < REMEMBERED {
            untrimmed.insert(organization.clone());
        }
    }

    /// Takes away what is too old, or too much: whole seals, and the last where nothing has happened since for so long. What is
    /// left in its place moves to a newer ring entry, so that none is needed for ever. It says whether that is all for now.
    pub(super) async fn trim(&self, organization: &OrganizationId, mut state: AuditState) -> Result<bool, StoreError> {
        let now = self.now();
        let too_old = (now - self.policy().retention()).timestamp_millis();
        // How far the chain goes by its own word: what else the store says of its end anybody can write there.
        let newest = state.seal.as_ref().and_then(|kept| self.genuine(organization, kept));
        let kept = state.checkpoint.as_deref().map(|bytes| Checkpoint::genuine(self.ring(), organization, bytes));
        // What is not genuine is evidence.
        if kept == Some(None) {
            tracing::error!(target: "keygate::audit", organization_id = %organization, "the checkpoint is not genuine, and nothing is taken away");
            self.trimmed.insert(organization.clone(), now);
            return Ok(true);
        }
        let Some(newest) = newest else {
            let is_alone = state.seal.is_none();
            if let (true, Some(checkpoint)) = (is_alone, kept.flatten()) {
                self.renew(organization, &state, checkpoint).await?;
            }
            self.trimmed.insert(organization.clone(), now);
            return Ok(true);
        };
        for round in 0.. {
            if round >= TRIMS_AT_ONCE {
                // The rest goes with the next round.
                return Ok(false);
            }
            let seals = self.store.audit_seals(organization, 0, TRIMMED_AT_ONCE).await?;
            let goes = seals.iter().map_while(|kept| {
                // What is not genuine is evidence.
                let seal = self.genuine(organization, kept)?;
                let later = newest.tally.since(seal.tally);
                let is_over = seal.millis < too_old
                    || later.entries >= self.policy().most_entries
                    || later.bytes >= self.policy().most_bytes;
                is_over.then_some(seal)
            });
            let Some(last) = goes.last() else { break };
            let checkpoint = Checkpoint::make(self.ring(), organization, &last.head(), now);
            let previous = state.checkpoint.as_deref();
            if !self.store.trim_audit(organization, last.last, &checkpoint, previous).await? {
                // Somebody else does.
                break;
            }
            state.checkpoint = Some(checkpoint);
        }
        self.trimmed.insert(organization.clone(), now);
        Ok(true)
    }

    /// Makes the checkpoint anew where all else is gone and it was made under an older ring entry.
    async fn renew(
        &self,
        organization: &OrganizationId,
        state: &AuditState,
        checkpoint: Checkpoint,
    ) -> Result<(), StoreError> {
        let current = self.ring().current_id();
        if checkpoint.ring_entry == current {
            return Ok(());
        }
        // By the order in which entries came in, so that instances with different rings move nothing to and fro.
        let marker = self.store.deployment().await?;
        if !marker.is_some_and(|marker| marker.is_newer(current, checkpoint.ring_entry)) {
            return Ok(());
        }
        let since = DateTime::from_timestamp_millis(checkpoint.millis).unwrap_or_else(|| self.now());
        let renewed = Checkpoint::make(self.ring(), organization, &checkpoint.head(), since);
        let previous = state.checkpoint.as_deref();
        // Somebody else does, where it was not.
        self.store.trim_audit(organization, checkpoint.through, &renewed, previous).await.map(drop)
    }
}
