//! The chain: whatever is changed of what was written shows, where and as what.

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::attest::attest;
use super::seal::{Before, Checkpoint, NEVER, Seal, Tally};
use super::verify::{AuditVerification, FaultKind, Verifier};
use super::{ActId, AuditEntry, AuditHead, AuditState, EntryKind, KeptEntry, KeptSeal, Step};
use crate::names::OrganizationId;
use crate::ring::{MasterSecret, SecretRing};

/// An audit as a store has it.
#[derive(Debug, Clone)]
struct Kept {
    ring: SecretRing,
    organization: OrganizationId,
    entries: Vec<KeptEntry>,
    seals: Vec<KeptSeal>,
    checkpoint: Option<Vec<u8>>,
    last: u64,
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

fn secret(number: u8) -> MasterSecret {
    MasterSecret::from_bytes(std::array::from_fn(|place| number ^ place as u8)).unwrap()
}

fn ring(number: u8) -> SecretRing {
    SecretRing::new(&secret(number))
}

impl Kept {
    /// Runs of so many entries, each under a seal, and some that are not sealed yet.
    fn new(runs: &[usize], unsealed: usize) -> Self {
        let organization = OrganizationId::new("acme").unwrap();
        let mut kept =
            Self { ring: ring(1), organization, entries: Vec::new(), seals: Vec::new(), checkpoint: None, last: 0 };
        for run in runs {
            kept.write(*run);
            kept.seal();
        }
        kept.write(unsealed);
        kept
    }

    fn write(&mut self, entries: usize) {
        for _ in 0..entries {
            self.last += 1;
            // No two of them are one bit apart.
            let bytes = format!("entry {:016x} of many", self.last.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes();
            let bytes = attest(&self.ring, &self.organization, bytes);
            self.entries.push(KeptEntry { sequence: self.last, bytes });
        }
    }

    fn seal(&mut self) {
        let previous = self.seals.last().and_then(Seal::read);
        let before = previous.map_or(Before::FIRST, |seal| seal.then(true));
        let under: Vec<_> = self.entries.iter().filter(|entry| entry.sequence >= before.next).cloned().collect();
        self.seals.push(Seal::make(&self.ring, &self.organization, before, self.last, &under, now()));
    }

    /// Takes away all under the first seals.
    fn trim(&mut self, seals: usize) {
        let last = Seal::read(&self.seals[seals - 1]).unwrap();
        self.checkpoint =
            Some(Checkpoint::make(&self.ring, &self.organization, &last.head(), last.tally, NEVER, now()));
        self.seals.drain(..seals);
        self.entries.retain(|entry| entry.sequence > last.last);
    }

    fn verify(&self, noted: Option<AuditHead>) -> AuditVerification {
        let state = AuditState {
            last: self.last,
            seal: self.seals.last().cloned(),
            checkpoint: self.checkpoint.clone(),
            open: Vec::new(),
        };
        let mut verifier = Verifier::new(&self.ring, &self.organization, &state, noted, now());
        for seal in &self.seals {
            let under = Verifier::under(seal);
            let there =
                self.entries.iter().filter(|entry| under.as_ref().is_some_and(|range| range.contains(&entry.sequence)));
            verifier.seal(seal, &there.cloned().collect::<Vec<_>>());
        }
        let next = verifier.next();
        let rest: Vec<_> = self.entries.iter().filter(|entry| entry.sequence >= next).cloned().collect();
        verifier.unsealed(&rest);
        verifier.finish(self.last)
    }

    fn faults(&self) -> Vec<(FaultKind, u64)> {
        self.verify(None).faults.iter().map(|fault| (fault.kind, fault.sequence)).collect()
    }
}

#[test]
fn what_is_as_it_was_written_is_intact() {
    let mut kept = Kept::new(&[3, 1, 5], 2);
    let found = kept.verify(None);
    assert!(found.intact && found.faults.is_empty(), "{found:?}");
    assert_eq!((found.entries, found.seals, found.first_unsealed, found.head_found), (11, 3, Some(10), None));
    let head = found.head.unwrap();
    assert_eq!((head.sequence, head.to_string().parse()), (9, Ok(head)));
    kept.trim(2);
    let found = kept.verify(Some(head));
    assert!(found.intact, "{found:?}");
    assert_eq!((found.entries, found.seals, found.trimmed_through, found.head_found), (7, 1, 4, Some(true)));
    assert!(Kept::new(&[], 0).verify(None).intact);
}

#[test]
fn another_order_is_told_as_one() {
    let mut kept = Kept::new(&[4], 0);
    let (one, other) = (kept.entries[0].bytes.clone(), kept.entries[2].bytes.clone());
    (kept.entries[0].bytes, kept.entries[2].bytes) = (other, one);
    assert_eq!(kept.faults(), [(FaultKind::Reordered, 1), (FaultKind::Reordered, 3)]);
}

#[test]
fn a_seal_that_is_gone_is_told_with_what_was_under_it() {
    let mut kept = Kept::new(&[2, 2, 2], 0);
    kept.seals.remove(1);
    assert_eq!(kept.faults(), [(FaultKind::SealRemoved, 4)]);
    let mut kept = Kept::new(&[2, 2, 2], 0);
    kept.trim(1);
    kept.checkpoint = None;
    assert_eq!(kept.faults(), [(FaultKind::SealRemoved, 2)]);
}

/// Whoever has no secret of the ring makes no seal, and neither does one of another organization's serve.
#[test]
fn a_seal_of_others_is_forged() {
    let mut kept = Kept::new(&[2, 2], 0);
    let other = Kept { ring: ring(2), ..Kept::new(&[2, 2], 0) };
    let mut foreign = Kept::new(&[], 0);
    foreign.organization = OrganizationId::new("other").unwrap();
    foreign.write(2);
    foreign.seal();
    foreign.write(2);
    foreign.seal();
    assert_eq!(other.verify(None).faults[0].kind, FaultKind::RingEntryMissing, "its ring entry is not configured");
    assert!(other.verify(None).faults[0].detail.contains("is not configured"));
    kept.seals[1] = foreign.seals[1].clone();
    assert_eq!(kept.faults(), [(FaultKind::SealForged, 4)]);
    let mut kept = Kept::new(&[2, 2, 2], 0);
    kept.trim(1);
    foreign.trim(1);
    kept.checkpoint = foreign.checkpoint;
    assert_eq!(kept.faults()[0], (FaultKind::CheckpointForged, 2));
}

/// The end with its seals leaves a chain that is whole; whoever noted its head down knows better.
#[test]
fn an_end_that_was_cut_off_shows_by_a_noted_head() {
    let kept = Kept::new(&[2, 2, 2], 0);
    let head = kept.verify(None).head.unwrap();
    for left in 0..3 {
        let mut cut = kept.clone();
        cut.seals.truncate(left);
        cut.last = left as u64 * 2;
        cut.entries.truncate(left * 2);
        assert!(cut.verify(None).intact);
        let found = cut.verify(Some(head));
        assert_eq!((found.intact, found.head_found), (false, Some(false)));
        assert_eq!(found.faults.last().unwrap().kind, FaultKind::Truncated);
        // And what was written anew since is another.
        cut.write(6 - left * 2);
        cut.entries.iter_mut().for_each(|entry| entry.bytes.push(b'!'));
        cut.seals.clear();
        cut.seal();
        assert_eq!(cut.verify(Some(head)).head_found, Some(false));
    }
}

#[test]
fn what_is_not_sealed_yet_must_not_have_gaps() {
    let mut kept = Kept::new(&[2], 3);
    kept.entries.remove(3);
    assert_eq!(kept.faults(), [(FaultKind::Removed, 4)]);
    let mut kept = Kept::new(&[2], 3);
    kept.entries.pop();
    assert_eq!(kept.faults(), [(FaultKind::Removed, 5)]);
}

/// An entry that was gone when it was to be sealed is not forgotten.
#[test]
fn what_was_gone_before_it_was_sealed_stays_to_be_seen() {
    let mut kept = Kept::new(&[2], 3);
    kept.entries.remove(3);
    kept.seal();
    assert_eq!(kept.faults(), [(FaultKind::Removed, 4)]);
}

/// Whoever takes the seals away and alters what was under them does not have it sealed as genuine: it shows before it is sealed,
/// and for ever after.
#[test]
fn an_altered_entry_is_never_sealed_as_genuine() {
    for left in 0..2 {
        let mut kept = Kept::new(&[2, 2], 0);
        kept.seals.truncate(left);
        kept.entries[2].bytes[8] ^= 1;
        assert_eq!(kept.faults(), [(FaultKind::Altered, 3)]);
        kept.seal();
        assert_eq!(kept.faults(), [(FaultKind::Altered, 3)]);
        kept.write(2);
        kept.seal();
        assert_eq!(kept.faults(), [(FaultKind::Altered, 3)]);
        // Nor does it help to put back what was there.
        kept.entries[2].bytes[8] ^= 1;
        assert_eq!(kept.faults(), [(FaultKind::Altered, 3)]);
    }
}

/// It is sealed as what it is: whoever has its ring entry can tell, and whoever has not is told which it is.
#[test]
fn an_entry_under_an_unknown_ring_entry_is_sealed_as_that() {
    let mut kept = Kept::new(&[2], 3);
    let both = SecretRing::with_retired(&secret(1), &[secret(2)]).unwrap();
    kept.entries[3].bytes = attest(&ring(2), &kept.organization, b"an entry of another instance".to_vec());
    kept.seal();
    assert_eq!(kept.faults(), [(FaultKind::RingEntryMissing, 4)]);
    assert!(kept.verify(None).faults[0].detail.contains(&ring(2).current_id().to_string()));
    kept.ring = both;
    assert_eq!(kept.faults(), []);
    let genuine = kept.clone();
    kept.entries[3].bytes[3] ^= 1;
    assert_eq!(kept.faults(), [(FaultKind::Altered, 4)]);
    kept = genuine;
    kept.entries.swap(2, 3);
    (kept.entries[2].sequence, kept.entries[3].sequence) = (3, 4);
    assert_eq!(kept.faults(), [(FaultKind::Reordered, 3), (FaultKind::Reordered, 4)]);
    // One that is no entry of that ring entry's shows to whoever has it, for ever.
    let mut kept = Kept::new(&[2], 3);
    let mut forged = attest(&ring(2), &kept.organization, b"an entry of nobody".to_vec());
    forged[3] ^= 1;
    kept.entries[3].bytes = forged;
    kept.seal();
    kept.ring = SecretRing::with_retired(&secret(1), &[secret(2)]).unwrap();
    assert_eq!(kept.faults(), [(FaultKind::Altered, 4)]);
}

/// What is genuine is counted, and nothing else; after a seal that is not, from there on.
#[test]
fn a_seal_counts_what_is_genuine() {
    let mut kept = Kept::new(&[2, 3], 2);
    kept.entries[5].bytes[3] ^= 1;
    kept.seal();
    let tallies: Vec<_> = kept.seals.iter().map(|seal| Seal::read(seal).unwrap().tally).collect();
    let bytes = |entries: &[KeptEntry]| entries.iter().map(|entry| entry.bytes.len() as u64).sum::<u64>();
    assert_eq!(tallies.iter().map(|tally| tally.entries).collect::<Vec<_>>(), [2, 5, 6]);
    assert_eq!(tallies[1].bytes, bytes(&kept.entries[..5]));
    assert_eq!(tallies[2].since(tallies[1]).bytes, bytes(&kept.entries[6..]));
    assert_eq!(Seal::read(&kept.seals[2]).unwrap().then(false).tally, Tally::default());
    assert_eq!(tallies[0].since(tallies[1]), Tally::default());
}

/// What was written down because somebody left an act open is not: whoever can write to the store alone has that written.
#[test]
fn what_was_looked_up_is_not_counted() {
    let mut kept = Kept::new(&[2], 0);
    let entry = |step| {
        let act = ActId::fresh(now()).unwrap();
        let entry = AuditEntry::begun(&kept.organization, act, now(), EntryKind::Outcome, "unknown".to_owned());
        entry.encode(step, &kept.ring).unwrap()
    };
    let (reconciled, outcome) = (entry(Step::Reconciled { intent: 0 }), entry(Step::Outcome { intent: 0 }));
    let more = outcome.len() as u64;
    kept.entries.extend([(3, reconciled), (4, outcome)].map(|(sequence, bytes)| KeptEntry { sequence, bytes }));
    kept.last = 4;
    kept.seal();
    let tally = |seal: usize| Seal::read(&kept.seals[seal]).unwrap().tally;
    assert_eq!(tally(1).since(tally(0)), Tally { entries: 1, bytes: more });
    assert_eq!(kept.faults(), []);
}

/// More are gone than fit under a seal: it begins after them, and says so.
#[test]
fn a_hole_before_a_seal_shows() {
    let mut kept = Kept::new(&[2], 0);
    kept.last = 5_000;
    kept.write(3);
    let before = Before { next: 5_001, ..Seal::read(&kept.seals[0]).unwrap().then(true) };
    let seal = Seal::make(&kept.ring, &kept.organization, before, kept.last, &kept.entries[2..], now());
    kept.seals.push(seal);
    assert_eq!(kept.faults(), [(FaultKind::Removed, 3)]);
}

/// For as long as it would be kept by its age.
#[test]
fn what_went_before_its_time_is_told() {
    let kept = Kept::new(&[2, 2], 0);
    let (last, millis) = (Seal::read(&kept.seals[0]).unwrap(), now().timestamp_millis());
    for (cut_short, too_old, expected) in
        [(NEVER, 0, None), (millis, 0, Some(now())), (millis, millis, Some(now())), (millis, millis + 1, None)]
    {
        let bytes = Checkpoint::make(&kept.ring, &kept.organization, &last.head(), last.tally, cut_short, now());
        let too_old = DateTime::from_timestamp_millis(too_old).unwrap();
        let state = AuditState { last: 2, checkpoint: Some(bytes.clone()), ..AuditState::default() };
        let found = Verifier::new(&kept.ring, &kept.organization, &state, None, too_old).finish(2);
        assert_eq!((found.cut_short_until, found.intact), (expected, true));
        assert_eq!(Checkpoint::read(&bytes).unwrap().tally, last.tally);
    }
}

/// An entry of another time in its place, or what is left of a checkpoint.
#[test]
fn an_altered_checkpoint_shows_whatever_is_altered() {
    let mut kept = Kept::new(&[2, 2, 2], 0);
    kept.trim(1);
    let genuine = kept.checkpoint.clone().unwrap();
    for place in 0..genuine.len() {
        let mut altered = genuine.clone();
        altered[place] ^= 1;
        kept.checkpoint = Some(altered);
        assert_ne!(kept.faults(), [], "byte {place}");
        kept.checkpoint = Some(genuine[..place].to_vec());
        assert_ne!(kept.faults(), [], "{place} bytes");
    }
}

fn audits() -> impl Strategy<Value = Kept> {
    (prop::collection::vec(1..6_usize, 1..6), 0..3_usize, any::<bool>()).prop_map(|(runs, unsealed, trims)| {
        let mut kept = Kept::new(&runs, unsealed);
        if trims && runs.len() > 1 {
            kept.trim(1);
        }
        kept
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// One bit of an entry, a seal or a checkpoint.
    #[test]
    fn what_is_altered_shows((kept, what, place, bit) in (audits(), 0..3_u8, any::<prop::sample::Index>(), any::<prop::sample::Index>())) {
        let mut altered = kept.clone();
        let flip = |bytes: &mut Vec<u8>| {
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        };
        let sealed = kept.seals.last().unwrap().last;
        match what {
            0 => {
                let entries = altered.entries.iter().filter(|entry| entry.sequence <= sealed).count();
                let entry = &mut altered.entries[place.index(entries)];
                flip(&mut entry.bytes);
                let sequence = entry.sequence;
                prop_assert_eq!(altered.faults(), [(FaultKind::Altered, sequence)]);
            }
            1 => {
                let place = place.index(kept.seals.len());
                flip(&mut altered.seals[place].bytes);
            }
            _ => match &mut altered.checkpoint {
                Some(checkpoint) => flip(checkpoint),
                None => return Ok(()),
            },
        }
        prop_assert!(kept.verify(None).intact);
        prop_assert!(!altered.verify(None).intact);
    }

    #[test]
    fn what_is_removed_shows((kept, is_seal, place) in (audits(), any::<bool>(), any::<prop::sample::Index>())) {
        let mut removed = kept.clone();
        if is_seal && kept.seals.len() > 1 {
            // Without the last seal what was under it would not be sealed yet.
            removed.seals.remove(place.index(kept.seals.len() - 1));
            prop_assert!(!removed.verify(None).intact);
        } else {
            let gone = removed.entries.remove(place.index(kept.entries.len()));
            prop_assert_eq!(removed.faults(), [(FaultKind::Removed, gone.sequence)]);
        }
    }

    #[test]
    fn what_is_inserted_shows((kept, place) in (audits(), any::<prop::sample::Index>())) {
        let mut inserted = kept.clone();
        let place = place.index(kept.entries.len());
        let sequence = kept.entries[place].sequence;
        inserted.entries.insert(place + 1, KeptEntry { sequence, bytes: b"another".to_vec() });
        prop_assert_eq!(inserted.faults(), [(FaultKind::Inserted, sequence)]);
    }

    #[test]
    fn what_is_swapped_shows((kept, one, other) in (audits(), any::<prop::sample::Index>(), any::<prop::sample::Index>())) {
        let mut swapped = kept.clone();
        let sealed = kept.seals.last().unwrap().last;
        let entries = kept.entries.iter().filter(|entry| entry.sequence <= sealed).count();
        let (one, other) = (one.index(entries), other.index(entries));
        prop_assume!(one != other);
        swapped.entries[one].bytes.clone_from(&kept.entries[other].bytes);
        swapped.entries[other].bytes.clone_from(&kept.entries[one].bytes);
        let (one, other) = (one.min(other), one.max(other));
        let faults: Vec<u64> = swapped.faults().iter().map(|(_, sequence)| *sequence).collect();
        prop_assert_eq!(faults, [kept.entries[one].sequence, kept.entries[other].sequence]);
    }
}
