//! Which primary has which bucket, out of what all primaries say of themselves and of each other.
//!
//! Of those who claim a slot the one whose configuration is newest has it, by the Cluster's own rule. What a node says of
//! itself counts for more than what others say of it; and only one that says so itself is believed to have a slot, because
//! others are late to know. A primary that was replaced and has not heard of it is known by what the others say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};

use keygate_core::key::Bucket;

use super::slots::{all_buckets, has, slot_of};
use super::view::{Claim, NodeId, View};

/// See the [module docs](self).
#[derive(Debug, Default)]
pub(super) struct Claims(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    own: BTreeMap<NodeId, Claim>,
    /// Of nodes that were not asked, with who said it.
    others: BTreeMap<NodeId, (NodeId, Claim)>,
    /// Who has each bucket, by its number.
    owners: Vec<Option<Owner>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    id: NodeId,
    /// Whether it says so itself.
    says_so: bool,
}

impl Claims {
    /// Takes in what a node says, and says whether another has taken over what it has.
    pub(super) fn hear(&self, view: &View) -> bool {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.take_in(view) {
            known.settle();
        }
        let slots = &view.own.claim.slots;
        all_buckets().zip(&known.owners).any(|(bucket, owner)| {
            has(slots, slot_of(bucket)) && owner.as_ref().is_some_and(|owner| owner.id != view.myself)
        })
    }

    /// Who has a bucket.
    pub(super) fn owner(&self, bucket: Bucket) -> Option<NodeId> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let owner = known.owners.get(usize::from(bucket.number()))?.as_ref()?;
        owner.says_so.then(|| NodeId::clone(&owner.id))
    }

    /// All who have a bucket, if every bucket has an owner.
    pub(super) fn owners(&self) -> Option<BTreeSet<NodeId>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut owners = BTreeSet::new();
        for owner in &known.owners {
            let owner = owner.as_ref().filter(|owner| owner.says_so)?;
            if !owners.contains(&owner.id) {
                owners.insert(NodeId::clone(&owner.id));
            }
        }
        Some(owners).filter(|owners| !owners.is_empty())
    }

    /// Forgets what a node said that is not asked any more.
    pub(super) fn forget(&self, id: &NodeId) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.own.remove(id);
        known.others.retain(|_, (by, _)| by != id);
        known.settle();
    }
}

impl Known {
    /// Says whether anything is new.
    fn take_in(&mut self, view: &View) -> bool {
        let own = view.own.claim.clone();
        let mut is_new = self.own.insert(NodeId::clone(&view.myself), own.clone()) != Some(own);
        is_new |= self.others.remove(&view.myself).is_some();
        let before = self.others.len();
        self.others.retain(|id, (by, _)| *by != view.myself || view.others.iter().any(|(said, _)| said == id));
        is_new |= self.others.len() != before;
        for (id, claim) in &view.others {
            let is_better = match self.others.get(id) {
                None => !self.own.contains_key(id),
                Some((_, known)) => claim.epoch >= known.epoch && claim != known,
            };
            if is_better {
                self.others.insert(NodeId::clone(id), (NodeId::clone(&view.myself), claim.clone()));
                is_new = true;
            }
        }
        is_new
    }

    /// Finds the owners anew.
    fn settle(&mut self) {
        let owner = |slot: u16| {
            let own = self.own.iter().map(|(id, claim)| (claim, true, id));
            let others = self.others.iter().map(|(id, (_, claim))| (claim, false, id));
            let claiming = own.chain(others).filter(|(claim, ..)| has(&claim.slots, slot));
            let newest = claiming.max_by_key(|(claim, says_so, id)| (claim.epoch, *says_so, *id))?;
            Some(Owner { id: NodeId::clone(newest.2), says_so: newest.1 })
        };
        self.owners = all_buckets().map(|bucket| owner(slot_of(bucket))).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::Own;
    use super::*;

    const ALL: (u16, u16) = (0, 16_383);

    fn claim(epoch: u64, slots: &[(u16, u16)]) -> Claim {
        Claim { epoch, slots: slots.to_vec() }
    }

    fn view(myself: &str, own: Claim, others: &[(&str, Claim)]) -> View {
        let others = others.iter().map(|(id, claim)| (NodeId::from(*id), claim.clone())).collect();
        View { myself: myself.into(), own: Own { is_primary: true, claim: own, moving: vec![] }, others }
    }

    fn without(slot: u16) -> Vec<(u16, u16)> {
        [(0, slot.wrapping_sub(1)), (slot + 1, 16_383)].into_iter().filter(|(first, last)| first <= last).collect()
    }

    #[test]
    fn the_newest_configuration_has_a_slot() {
        let claims = Claims::default();
        let bucket = Bucket::of(5);
        assert!(claims.owners().is_none() && claims.owner(bucket).is_none());
        assert!(!claims.hear(&view("old", claim(3, &[ALL]), &[("new", claim(2, &[]))])));
        assert_eq!(claims.owner(bucket).as_deref(), Some("old"));
        assert_eq!(claims.owners(), Some(BTreeSet::from(["old".into()])));
        // The one that took over is heard first; the old one does not know.
        assert!(!claims.hear(&view("new", claim(4, &[ALL]), &[("old", claim(3, &[]))])));
        assert_eq!(claims.owner(bucket).as_deref(), Some("new"));
        assert!(claims.hear(&view("old", claim(3, &[ALL]), &[("new", claim(2, &[]))])));
        assert_eq!(claims.owners(), Some(BTreeSet::from(["new".into()])));
    }

    #[test]
    fn others_say_who_was_replaced_and_nobody_else_is_believed_to_have_a_slot() {
        let claims = Claims::default();
        assert!(!claims.hear(&view("old", claim(3, &[ALL]), &[])));
        assert!(!claims.hear(&view("third", claim(1, &[]), &[("new", claim(4, &[ALL])), ("old", claim(3, &[]))])));
        assert!(claims.hear(&view("old", claim(3, &[ALL]), &[])));
        assert!(claims.owner(Bucket::of(5)).is_none() && claims.owners().is_none());
        // Who said it is not asked any more.
        claims.forget(&"third".into());
        assert_eq!(claims.owner(Bucket::of(5)).as_deref(), Some("old"));
    }

    #[test]
    fn what_a_node_says_of_itself_counts_for_more_than_what_others_say() {
        let claims = Claims::default();
        let bucket = Bucket::of(5);
        let slot = slot_of(bucket);
        // The one it was given to; the giver, who knows; and a third, who is late.
        claims.hear(&view("to", claim(2, &[(slot, slot)]), &[("from", claim(7, &[ALL]))]));
        assert!(claims.owner(bucket).is_none());
        claims.hear(&view("from", claim(7, &without(slot)), &[]));
        assert_eq!(claims.owner(bucket).as_deref(), Some("to"));
        claims.hear(&view("third", claim(1, &[]), &[("from", claim(7, &[ALL]))]));
        assert_eq!(claims.owner(bucket).as_deref(), Some("to"));
        assert_eq!(claims.owners(), Some(BTreeSet::from(["from".into(), "to".into()])));
    }
}
