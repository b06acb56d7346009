//! Which slot of a Cluster each bucket is in. Nothing else of a deployment is kept coherent, so nothing else is looked at.

use keygate_core::key::{BUCKETS, Bucket};

/// First slot and last slot of each.
pub(super) type Ranges = Vec<(u16, u16)>;

/// How many there are.
pub(super) const SLOTS: u16 = 16_384;

/// By the bucket's number.
static SLOT_OF: [u16; BUCKETS as usize] = {
    let mut slots = [0; BUCKETS as usize];
    let mut number = 0;
    while number < BUCKETS {
        slots[number as usize] = crc16(tag(number)) % SLOTS;
        number += 1;
    }
    slots
};

pub(crate) fn all_buckets() -> impl Iterator<Item = Bucket> {
    (0..BUCKETS).map(|number| Bucket::of(number.into()))
}

pub(super) fn slot_of(bucket: Bucket) -> u16 {
    SLOT_OF[usize::from(bucket.number())]
}

pub(super) fn has(ranges: &[(u16, u16)], slot: u16) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&slot))
}

/// A bucket as the hash tag that it is.
const fn tag(number: u16) -> [u8; 5] {
    [b'b', digit(number / 1000), digit(number / 100), digit(number / 10), digit(number)]
}

const fn digit(number: u16) -> u8 {
    b'0' + (number % 10) as u8
}

/// CRC-16/XMODEM, by which a Cluster shares out names.
const fn crc16(tag: [u8; 5]) -> u16 {
    let mut crc = 0_u16;
    let mut at = 0;
    while at < tag.len() {
        crc ^= (tag[at] as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        at += 1;
    }
    crc
}

#[cfg(test)]
mod tests {
    use redis::cluster_routing::Slot;

    use super::*;

    #[test]
    fn slots_are_those_that_the_library_sends_names_to() {
        for bucket in all_buckets() {
            let name = format!("kg:key:{{{bucket}}}:01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f");
            assert_eq!(Slot::new(slot_of(bucket)), Some(Slot::for_key(name)), "{bucket}");
        }
        assert_eq!(all_buckets().count(), usize::from(BUCKETS));
    }
}
