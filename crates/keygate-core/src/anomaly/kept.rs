//! What the memory store keeps of findings: the model other stores are compared with.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::finding::{Finding, FindingCursor, FindingId, KEPT, KEPT_FOR};
use crate::key::KeyId;
use crate::names::OrganizationId;

/// Findings by organization.
#[derive(Debug, Default)]
pub(crate) struct KeptFindings(HashMap<OrganizationId, Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_time: BTreeMap<FindingCursor, Finding>,
    ids: HashSet<FindingId>,
}

impl KeptFindings {
    /// Keeps a finding, unless one of its id is kept; says whether it did.
    pub(crate) fn record(&mut self, finding: &Finding, now: DateTime<Utc>) -> bool {
        let kept = self.0.entry(finding.organization_id.clone()).or_default();
        while let Some((oldest, finding)) = kept.by_time.first_key_value()
            && is_over(finding, now)
        {
            let oldest = *oldest;
            kept.remove(&oldest);
        }
        if !kept.ids.insert(finding.id) {
            return false;
        }
        kept.by_time.insert(finding.cursor(), finding.clone());
        while kept.by_time.len() > KEPT
            && let Some((oldest, _)) = kept.by_time.first_key_value()
        {
            let oldest = *oldest;
            kept.remove(&oldest);
        }
        true
    }

    /// The newest of an organization, or of one of its keys, before a place in the list; at most so many.
    pub(crate) fn list(
        &self,
        organization: &OrganizationId,
        key: Option<KeyId>,
        limit: usize,
        before: Option<FindingCursor>,
        now: DateTime<Utc>,
    ) -> Vec<Finding> {
        let Some(kept) = self.0.get(organization) else { return Vec::new() };
        let newest = kept.by_time.iter().rev().filter(|(place, _)| before.is_none_or(|before| **place < before));
        let findings = newest.map(|(_, finding)| finding);
        findings
            .filter(|finding| !is_over(finding, now) && key.is_none_or(|key| finding.key_id == key))
            .take(limit)
            .cloned()
            .collect()
    }
}

impl Kept {
    fn remove(&mut self, place: &FindingCursor) {
        self.by_time.remove(place);
        self.ids.remove(&place.id);
    }
}

fn is_over(finding: &Finding, now: DateTime<Utc>) -> bool {
    now.signed_duration_since(finding.at) >= KEPT_FOR
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::anomaly::finding::{Measured, Rule};

    fn finding(number: usize, at: DateTime<Utc>) -> Finding {
        let measured = Measured { observed: 1.0, expected: 0.0, sample_size: 9 };
        let subject = (KeyId::from_bytes([1; 16]), "acme".parse().unwrap());
        Finding::new(Rule::NewScope, subject, at, Some(format!("s{number}")), measured, String::new())
    }

    #[test]
    fn the_newest_are_kept_for_their_time() {
        let mut kept = KeptFindings::default();
        let start = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(1_000);
        let at = |number: usize| start + TimeDelta::milliseconds(number as i64);
        for number in 0..KEPT + 10 {
            assert!(kept.record(&finding(number, at(number)), start));
        }
        assert!(!kept.record(&finding(KEPT, at(KEPT)), start));
        let acme = "acme".parse().unwrap();
        let all = kept.list(&acme, None, usize::MAX, None, start);
        assert_eq!(all.len(), KEPT);
        assert_eq!(all[0].at, at(KEPT + 9));
        assert_eq!(all.last().unwrap().at, at(10));
        assert_eq!(kept.list(&acme, None, 2, Some(all[1].cursor()), start), all[2..4]);
        let later = at(KEPT + 8) + KEPT_FOR;
        assert_eq!(kept.list(&acme, None, usize::MAX, None, later).len(), 1);
        assert!(kept.record(&finding(0, later), later));
        assert_eq!(kept.0[&acme].ids.len(), 2);
    }
}
