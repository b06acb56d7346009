//! What one node says of the Cluster.

use std::sync::Arc;

use super::slots::Ranges;

/// By which a Cluster knows a node.
pub(super) type NodeId = Arc<str>;

/// An answer to `CLUSTER NODES`.
#[derive(Debug)]
pub(super) struct View {
    pub(super) myself: NodeId,
    pub(super) own: Own,
    /// What it says of the others.
    pub(super) others: Vec<(NodeId, Claim)>,
}

/// What a node says of itself. While none of it changes, no slot has come to it or gone from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) is_primary: bool,
    pub(super) claim: Claim,
    /// Slots that are on their way to or from it, and where the others are: one that comes back may have been written to.
    pub(super) moving: Vec<(u16, String)>,
}

/// The slots of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// Of two nodes that claim a slot the one whose configuration is newer has it.
    pub(super) epoch: u64,
    pub(super) slots: Ranges,
}

impl View {
    pub(super) fn read(text: &str) -> Option<Self> {
        let (mut own, mut others) = (None, Vec::new());
        for line in text.lines() {
            // Id, address, flags, primary, ping, pong, epoch, link, slots.
            let words: Vec<&str> = line.split(' ').collect();
            let [id, _, flags, _, _, _, epoch, _, slots @ ..] = words.as_slice() else { return None };
            let has = |flag| flags.split(',').any(|word| word == flag);
            let is_primary = has("master");
            if has("handshake") {
                // Not known yet, and under an id of no meaning.
                continue;
            }
            let ranges = slots.iter().filter(|slot| !slot.starts_with('[')).map(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                Some((first.parse().ok()?, last.parse().ok()?))
            });
            let slots_of = if is_primary { ranges.collect::<Option<Ranges>>()? } else { Ranges::new() };
            let claim = Claim { epoch: epoch.parse().ok()?, slots: slots_of };
            let id = NodeId::from(*id);
            if has("myself") {
                let moving: Option<Vec<_>> = slots.iter().filter(|slot| slot.starts_with('[')).map(read_move).collect();
                own = Some((id, Own { is_primary, claim, moving: moving? }));
            } else {
                others.push((id, claim));
            }
        }
        let (myself, own) = own?;
        Some(Self { myself, own, others })
    }
}

/// A slot under way, out of `[93-<-id]` or `[77->-id]`.
fn read_move(text: &&str) -> Option<(u16, String)> {
    let (slot, whither) = text.strip_prefix('[')?.strip_suffix(']')?.split_once('-')?;
    Some((slot.parse().ok()?, whither.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_is_read() {
        let view = View::read(
            "aa 10.0.0.1:6379@16379 myself,master - 0 1700000000000 3 connected 0-100 102 200-300 [77->-bb] [9-<-cc]\n\
             bb 10.0.0.2:6379@16379,redis-2,shard-id=x master,fail? - 0 1700000000000 7 connected 400-500\n\
             cc :0@0 master,noaddr - 0 0 2 disconnected\n\
             dd 10.0.0.4:6379@16379 slave bb 0 1700000000000 7 connected\n\
             ee 10.0.0.5:6379@16379 handshake - 0 0 0 connected\n",
        )
        .unwrap();
        assert_eq!(&*view.myself, "aa");
        let moving = vec![(77, ">-bb".to_owned()), (9, "<-cc".to_owned())];
        let claim = Claim { epoch: 3, slots: vec![(0, 100), (102, 102), (200, 300)] };
        assert_eq!(view.own, Own { is_primary: true, claim, moving });
        let others: Vec<_> = view.others.iter().map(|(id, claim)| (&**id, claim.epoch, &*claim.slots)).collect();
        assert_eq!(others, [("bb", 7, &[(400, 500)][..]), ("cc", 2, &[]), ("dd", 7, &[])]);
    }

    #[test]
    fn what_cannot_be_read_is_not_guessed_at() {
        for text in [
            "",
            "aa 10.0.0.1:6379@16379 master - 0 0 3 connected 0-100",
            "aa 10.0.0.1:6379@16379 myself,master - 0 0 3 connected 0-x",
            "aa 10.0.0.1:6379@16379 myself,master - 0 0 three connected 0-100",
            "aa 10.0.0.1:6379@16379 myself,master - 0 0 3 connected [here]",
            "aa 10.0.0.1:6379@16379 myself",
        ] {
            assert!(View::read(text).is_none(), "{text}");
        }
    }
}
