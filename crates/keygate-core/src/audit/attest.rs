//! What shows of an entry by itself that whoever wrote it has the secret ring: behind its bytes stand the ring entry (4) and the
//! MAC of all that, for its organization (32). So nobody who can write to the store alone can make one or alter it, sealed or
//! not. Where it stands is not under the MAC, as the store gives the place: that is the seals' to show.

use subtle::ConstantTimeEq;

use super::seal::{Mac, mac};
use crate::names::OrganizationId;
use crate::ring::{EntryId, SecretRing};

/// The ring entry and the MAC.
pub(crate) const ATTEST_BYTES: usize = 4 + 32;

const OF_WRITTEN: &[u8] = b"keygate/v1 audit entry as written";

/// Whether an entry was written by somebody who has the secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attested {
    Genuine,
    /// It was not, or is not as it was written.
    Forged,
    /// It says that it was made under a ring entry that is not configured.
    RingEntryMissing(EntryId),
}

/// Puts behind an entry's bytes what shows that they were written here.
pub(crate) fn attest(ring: &SecretRing, organization: &OrganizationId, mut bytes: Vec<u8>) -> Vec<u8> {
    let under = ring.current();
    bytes.extend(under.id().as_bytes());
    let own: Mac = mac(under, OF_WRITTEN, organization, &[&bytes]);
    bytes.extend(own);
    bytes
}

/// Whether an entry's bytes are as they were written.
pub(crate) fn attested(ring: &SecretRing, organization: &OrganizationId, bytes: &[u8]) -> Attested {
    let Some((written, own)) = bytes.split_last_chunk::<32>() else { return Attested::Forged };
    let Some(id) = written.last_chunk().map(|id| EntryId::from_bytes(*id)) else { return Attested::Forged };
    let Some(under) = ring.entry(id) else { return Attested::RingEntryMissing(id) };
    let is_genuine: bool = mac(under, OF_WRITTEN, organization, &[written]).ct_eq(own).into();
    if is_genuine { Attested::Genuine } else { Attested::Forged }
}

/// The ring entry that an entry says it was written under.
pub(crate) fn written_under(bytes: &[u8]) -> Option<EntryId> {
    let (written, _) = bytes.split_last_chunk::<32>()?;
    written.last_chunk().map(|id| EntryId::from_bytes(*id))
}

/// An entry's bytes without what stands behind them.
pub(crate) fn body(bytes: &[u8]) -> Option<&[u8]> {
    bytes.len().checked_sub(ATTEST_BYTES).map(|length| &bytes[..length])
}
