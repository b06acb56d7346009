//! What is too old, or too much, goes; and what is left in its place.

use chrono::{DateTime, TimeDelta};
use futures_util::{StreamExt, stream};

use super::keeper::{Keeper, REMEMBERED, TIDIED_AT_ONCE, lock};
use super::seal::{BEFORE_ALL, Checkpoint, NEVER, Seal};
use super::store::{AuditState, KeptSeal};
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
        let too_old = self.too_old().timestamp_millis();
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
            match (&state.seal, kept.flatten()) {
                (Some(seal), _) => not_genuine(organization, seal),
                (None, Some(checkpoint)) => self.renew(organization, &state, checkpoint).await?,
                (None, None) => {}
            }
            self.trimmed.insert(organization.clone(), now);
            return Ok(true);
        };
        let left = kept.flatten();
        let (mut trimmed, mut cut_short) = left.map_or((BEFORE_ALL, NEVER), |left| (left.trimmed, left.cut_short));
        for round in 0.. {
            if round >= TRIMS_AT_ONCE {
                // The rest goes with the next round.
                return Ok(false);
            }
            let seals = self.store.audit_seals(organization, 0, TRIMMED_AT_ONCE).await?;
            let mut last = None;
            for kept in &seals {
                // What is not genuine, or does not follow what is before it, is evidence.
                let Some(seal) = self.genuine(organization, kept).filter(|seal| seal.previous == trimmed) else {
                    not_genuine(organization, kept);
                    break;
                };
                let is_too_old = seal.millis < too_old;
                if !is_too_old && !self.is_too_much(&newest, &seal) {
                    break;
                }
                if !is_too_old {
                    cut_short = cut_short.max(seal.millis);
                }
                trimmed = seal.mac;
                last = Some(seal);
            }
            let Some(last) = last else { break };
            let checkpoint = Checkpoint::make(self.ring(), organization, &last.head(), last.tally, cut_short, now);
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

    /// Whether there is so much after a seal that it goes, whatever its age.
    fn is_too_much(&self, newest: &Seal, seal: &Seal) -> bool {
        let later = newest.tally.since(seal.tally);
        later.entries >= self.policy().most_entries || later.bytes >= self.policy().most_bytes
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
        let Checkpoint { tally, cut_short, .. } = checkpoint;
        let renewed = Checkpoint::make(self.ring(), organization, &checkpoint.head(), tally, cut_short, since);
        let previous = state.checkpoint.as_deref();
        // Somebody else does, where it was not.
        self.store.trim_audit(organization, checkpoint.through, &renewed, previous).await.map(drop)
    }
}

/// Says that a seal keeps itself and all after it from being taken away.
fn not_genuine(organization: &OrganizationId, seal: &KeptSeal) {
    tracing::error!(
        target: "keygate::audit",
        organization_id = %organization,
        sequence = seal.last,
        ring_entry = ?seal.ring_entry(),
        "a seal is damaged, does not follow the one before it, or was made under a ring entry that is not configured here: neither it \
         nor anything after it is taken away, however old, and the secrets that it and later seals name stay needed. Ask keygate audit \
         verify what it is, and put back the ring entry or the seal"
    );
}
