//! Looking a deployment over: its store, its marker, and whether its secrets fit.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{ApiKeyManager, Inner};
use crate::actor::Operator;
use crate::audit::{AuditPolicy, Needs, Unsealed, look_over};
use crate::clock::{Clock, SystemClock};
use crate::names::OrganizationId;
use crate::ring::{EntryId, SecretRing};
use crate::store::{Deployment, Depth, Finding, Store, StoreError, Verdict};

const DEPLOYMENT: &str = "deployment";
const SECRETS: &str = "secrets";
const RETIRED: &str = "retired_secrets";
const AUDIT: &str = "audit";
const KEPT: &str = "audit_kept";
/// Entries of audits that are named one by one.
const NAMED: usize = 3;

const RESTORE: &str = "if keys were kept here, restore the store from a backup before anything is written to it; if it is \
                       new, it is set up by the first key that is made, or by the first service that starts";
const FIT: &str = "set the secret that the store was set up with, or add it to KEYGATE_RETIRED_SECRETS";

impl ApiKeyManager {
    /// Looks the deployment over: the store, the deployment marker, and whether the secret ring fits them. It never fails
    /// and sets nothing up; what is wrong, or cannot be looked at, is a [`Finding`]. [`Depth::Quick`] takes a few seconds
    /// at most; [`Depth::Deep`] also reads every record and looks at every audit, to know which secrets they still need.
    pub async fn examine(&self, _operator: &Operator, depth: Depth) -> Vec<Finding> {
        let Inner { store, ring, setup, .. } = &*self.inner;
        let mut findings = store.examine(depth).await;
        if setup.is_confirmed() && matches!(setup.marker(&**store).await, Ok(None)) {
            findings.push(Finding::failure(
                DEPLOYMENT,
                "the deployment marker that this process found when it started is gone, or another is in its place: the \
                 store was emptied or replaced",
                RESTORE,
            ));
            return findings;
        }
        findings.extend(examine_all(&**store, Some(ring), depth, self.inner.audit.too_old()).await);
        findings
    }
}

/// Looks at the deployment marker of a store, and at whether the secrets fit it, without setting anything up. For those
/// who have no manager, because a part of what makes one is missing. Audits are taken to be kept as long as by default.
pub async fn examine_deployment(store: &dyn Store, ring: Option<&SecretRing>, depth: Depth) -> Vec<Finding> {
    examine_all(store, ring, depth, SystemClock.now() - AuditPolicy::default().retention()).await
}

/// The same; what audits had sealed before `too_old` they need not keep.
async fn examine_all(
    store: &dyn Store,
    ring: Option<&SecretRing>,
    depth: Depth,
    too_old: DateTime<Utc>,
) -> Vec<Finding> {
    let found = store.deployment().await;
    let mut findings = vec![marker(&found)];
    if let (Ok(Some(deployment)), Some(ring)) = (&found, ring) {
        findings.push(fit(deployment, ring));
        if depth == Depth::Deep {
            let sealed = store.audit_ring_usage().await;
            let current = ring.current_id();
            let needs = look_over(store, |entry| entry != current, too_old).await;
            let unsealed = needs.as_ref().ok().map(|needs| needs.unsealed.iter().map(|entry| entry.ring_entry));
            let by_audits = sealed.as_ref().ok().zip(unsealed);
            let by_audits = by_audits.map(|(sealed, unsealed)| sealed.keys().copied().chain(unsealed).collect());
            findings.push(needed(store.ring_usage().await, by_audits.as_ref(), ring));
            if let Ok(Needs { cut_short, .. }) = &needs {
                findings.extend(kept(cut_short));
            }
            findings.push(audit(sealed, needs.map(|needs| needs.unsealed), ring));
        }
    }
    findings
}

fn marker(found: &Result<Option<Deployment>, StoreError>) -> Finding {
    match found {
        Ok(Some(deployment)) => Finding::ok(
            DEPLOYMENT,
            format!("{}, set up on {}", deployment.id, deployment.created_at.format("%Y-%m-%d")),
        ),
        Ok(None) => Finding::failure(
            DEPLOYMENT,
            "there is no deployment marker: the store was never set up, or it was emptied",
            RESTORE,
        ),
        Err(error @ StoreError::Damaged { .. }) => {
            Finding::failure(DEPLOYMENT, error.to_string(), "restore the store from a backup")
        }
        Err(error) => Finding::unknown(
            DEPLOYMENT,
            format!("the deployment marker cannot be read: {error}"),
            "mend what keeps the store from answering first",
        ),
    }
}

/// Whether the ring has what the store was set up with.
fn fit(deployment: &Deployment, ring: &SecretRing) -> Finding {
    let (current, known) = (ring.current_id(), &deployment.ring_entries);
    let missing: Vec<EntryId> =
        known.iter().copied().filter(|entry| !ring.entry_ids().any(|ours| ours == *entry)).collect();
    let entries = list(ring.entry_ids());
    if !known.is_empty() && missing.len() == known.len() {
        let known = list(known.iter().copied());
        let observed =
            format!("the secrets do not fit this store: it was set up under {known}, and they are {entries}");
        return Finding::failure(SECRETS, observed, FIT);
    }
    if !missing.is_empty() {
        let observed = format!(
            "they are {entries}, and the store also knows {}: keys that need it are refused, and while there are any so is \
             a start",
            list(missing.into_iter())
        );
        return Finding::warning(SECRETS, observed, format!("{FIT}; --deep tells whether keys need it"));
    }
    if known.contains(&current) {
        return Finding::ok(
            SECRETS,
            format!("they are {entries}, as the store knows; new keys are made under {current}"),
        );
    }
    let observed = format!("they are {entries}; the store learns of {current} with the next start");
    Finding::ok(SECRETS, observed)
}

/// Which entries keys that can still be used need. One that audits need, or may need, is not to be taken out either.
fn needed(
    usage: Result<BTreeMap<EntryId, u64>, StoreError>,
    by_audits: Option<&BTreeSet<EntryId>>,
    ring: &SecretRing,
) -> Finding {
    let usage = match usage {
        Ok(usage) => usage,
        Err(error) => {
            let observed = format!("which secrets keys need is not known: {error}");
            return Finding::unknown(RETIRED, observed, "try again when the store answers");
        }
    };
    let counts = counts(&usage);
    let lost = lost(&usage, ring);
    if !lost.is_empty() {
        let observed = format!("{counts}; the secret of {} is not configured", list(lost.into_iter()));
        return Finding::failure(RETIRED, observed, FIT);
    }
    let is_idle =
        |entry: &EntryId| !usage.contains_key(entry) && by_audits.is_some_and(|needed| !needed.contains(entry));
    let idle: Vec<EntryId> = ring.entry_ids().skip(1).filter(is_idle).collect();
    let finding = Finding::ok(RETIRED, counts);
    if idle.is_empty() {
        return finding;
    }
    let idle = list(idle.into_iter());
    let advice = format!("no usable key and no audit needs {idle}: take that out of KEYGATE_RETIRED_SECRETS");
    finding.with(Verdict::Ok, advice)
}

/// Which entries audits need that are not there: those of seals, and of what is not sealed yet.
fn audit(
    sealed: Result<BTreeMap<EntryId, u64>, StoreError>,
    unsealed: Result<Vec<Unsealed>, StoreError>,
    ring: &SecretRing,
) -> Finding {
    let (sealed, unsealed) = match (sealed, unsealed) {
        (Ok(sealed), Ok(unsealed)) => (sealed, unsealed),
        (Err(error), _) | (_, Err(error)) => {
            let observed = format!("which secrets audits need is not known: {error}");
            return Finding::unknown(AUDIT, observed, "try again when the store answers");
        }
    };
    let counts: Vec<String> = sealed.iter().map(|(entry, seals)| format!("{entry} {seals}")).collect();
    let mut observed = match &counts[..] {
        [] => "nothing is sealed".to_owned(),
        counts => format!("seals by the ring entry they name: {}", counts.join(", ")),
    };
    let lost = lost(&sealed, ring);
    if !lost.is_empty() {
        observed += &format!("; the secret of {} is not configured", list(lost.into_iter()));
        let advice = format!("{FIT}, until no seal names it: what it has sealed cannot be verified without it");
        return Finding::failure(AUDIT, observed, advice);
    }
    let mut unsealed = unsealed;
    unsealed.retain(|entry| ring.entry(entry.ring_entry).is_none());
    // The first of each organization, which come one after the other.
    unsealed.dedup_by(|next, first| next.organization == first.organization);
    if unsealed.is_empty() {
        return Finding::ok(AUDIT, observed);
    }
    let named = unsealed.iter().take(NAMED).map(|entry| {
        let Unsealed { organization, sequence, ring_entry } = entry;
        format!("entry {sequence} of {organization} (ring entry {ring_entry})")
    });
    let named: Vec<String> = named.collect();
    observed += &format!(
        "; in {} audits there is what is not sealed yet and was written under a ring entry that is not configured, first {}",
        unsealed.len(),
        named.join(", ")
    );
    let advice = "put the secret of that ring entry among KEYGATE_RETIRED_SECRETS until it is sealed; if you never had one, \
                  somebody else wrote the entry: see keygate audit verify";
    Finding::warning(AUDIT, observed, advice)
}

/// Where entries went before their time, if anywhere.
fn kept(cut_short: &[(OrganizationId, DateTime<Utc>)]) -> Option<Finding> {
    if cut_short.is_empty() {
        return None;
    }
    let named = cut_short.iter().take(NAMED);
    let named =
        named.map(|(organization, until)| format!("of {organization} until {}", until.format("%Y-%m-%d %H:%M")));
    let observed = format!(
        "in {} audits entries went before their time, as there was too much, first {}",
        cut_short.len(),
        named.collect::<Vec<_>>().join(", ")
    );
    let advice = "see in keygate audit whether so much was done there: if it was, raise KEYGATE_AUDIT_MEGABYTES or export more often; if \
                  not, somebody who can write to the store may have made it look like it";
    Some(Finding::warning(KEPT, observed, advice))
}

/// Those that are needed and not there.
fn lost(needed: &BTreeMap<EntryId, u64>, ring: &SecretRing) -> Vec<EntryId> {
    needed.keys().copied().filter(|needed| ring.entry(*needed).is_none()).collect()
}

fn counts(usage: &BTreeMap<EntryId, u64>) -> String {
    if usage.is_empty() {
        return "no usable key needs any secret".into();
    }
    let counts: Vec<String> = usage.iter().map(|(entry, keys)| format!("{entry} {keys}")).collect();
    format!("usable keys by the ring entry they need: {}", counts.join(", "))
}

fn list(entries: impl Iterator<Item = EntryId>) -> String {
    let entries: Vec<String> = entries.map(|entry| entry.to_string()).collect();
    match entries.as_slice() {
        [one] => format!("ring entry {one}"),
        many => format!("ring entries {}", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::ring::MasterSecret;

    fn secret(byte: u8) -> MasterSecret {
        MasterSecret::from_bytes(std::array::from_fn(|at| byte + at as u8)).unwrap()
    }

    fn set_up_under(secrets: &[u8]) -> Deployment {
        let mut deployment = Deployment::new(Utc::now()).unwrap();
        deployment.ring_entries = secrets.iter().map(|byte| SecretRing::new(&secret(*byte)).current_id()).collect();
        deployment
    }

    fn ring(current: u8, retired: &[u8]) -> SecretRing {
        let retired: Vec<MasterSecret> = retired.iter().map(|byte| secret(*byte)).collect();
        SecretRing::with_retired(&secret(current), &retired).unwrap()
    }

    #[test]
    fn secrets_fit_fall_short_or_are_those_of_another_store() {
        for (known, current, retired, expected) in [
            (&[1][..], 1, &[][..], Verdict::Ok),
            (&[1], 2, &[1], Verdict::Ok),
            (&[1, 2], 2, &[1], Verdict::Ok),
            (&[], 1, &[], Verdict::Ok),
            (&[1, 2], 2, &[], Verdict::Warning),
            (&[1], 2, &[], Verdict::Failure),
            (&[1, 2], 3, &[4], Verdict::Failure),
        ] {
            let finding = fit(&set_up_under(known), &ring(current, retired));
            assert_eq!(finding.verdict, expected, "{finding:?}");
            assert_eq!(finding.advice.is_some(), expected != Verdict::Ok);
        }
    }

    #[test]
    fn a_retired_secret_that_no_key_needs_may_go_and_one_that_keys_need_must_be_there() {
        let ring = ring(1, &[2, 3]);
        let id = |byte| SecretRing::new(&secret(byte)).current_id();
        let (usage, none) = (BTreeMap::from([(id(1), 5), (id(2), 1)]), BTreeSet::new());
        let finding = needed(Ok(usage.clone()), Some(&none), &ring);
        assert_eq!(finding.verdict, Verdict::Ok);
        assert!(finding.advice.unwrap().contains(&id(3).to_string()));
        // Nor is one to go that audits need, or of which that is not known.
        assert_eq!(needed(Ok(usage.clone()), Some(&BTreeSet::from([id(3)])), &ring).advice, None);
        assert_eq!(needed(Ok(usage), None, &ring).advice, None);
        assert_eq!(needed(Ok(BTreeMap::from([(id(2), 1), (id(3), 1)])), Some(&none), &ring).advice, None);
        let finding = needed(Ok(BTreeMap::from([(id(4), 7)])), Some(&none), &ring);
        assert_eq!(finding.verdict, Verdict::Failure);
        assert!(finding.observed.contains(&id(4).to_string()));
        let finding = needed(Err(StoreError::unavailable("away")), Some(&none), &ring);
        assert_eq!(finding.verdict, Verdict::Unknown);
    }

    #[test]
    fn a_secret_that_audits_need_must_be_there() {
        let (ring, id) = (ring(1, &[2]), |byte| SecretRing::new(&secret(byte)).current_id());
        let (sealed, unsealed) = (BTreeMap::from([(id(1), 5), (id(2), 1)]), Vec::new());
        assert_eq!(audit(Ok(sealed.clone()), Ok(unsealed.clone()), &ring).verdict, Verdict::Ok);
        let lost = audit(Ok(BTreeMap::from([(id(4), 7)])), Ok(unsealed), &ring);
        assert_eq!(lost.verdict, Verdict::Failure);
        assert!(lost.observed.contains(&id(4).to_string()), "{lost:?}");
        let unsealed = Unsealed { organization: "acme".parse().unwrap(), sequence: 12, ring_entry: id(5) };
        let waits = audit(Ok(sealed), Ok(vec![unsealed]), &ring);
        assert_eq!(waits.verdict, Verdict::Warning);
        assert!(waits.observed.contains(&format!("entry 12 of acme (ring entry {})", id(5))), "{waits:?}");
        let unknown = audit(Err(StoreError::unavailable("away")), Ok(Vec::new()), &ring);
        assert_eq!(unknown.verdict, Verdict::Unknown);
    }

    #[test]
    fn a_marker_that_is_absent_is_a_failure_and_one_that_cannot_be_read_is_unknown() {
        assert_eq!(marker(&Ok(Some(set_up_under(&[1])))).verdict, Verdict::Ok);
        assert_eq!(marker(&Ok(None)).verdict, Verdict::Failure);
        assert_eq!(marker(&Err(StoreError::unavailable("away"))).verdict, Verdict::Unknown);
        assert_eq!(marker(&Err(StoreError::damaged("the marker", "odd"))).verdict, Verdict::Failure);
    }
}
