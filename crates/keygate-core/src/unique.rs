//! Numbers that are no other's.

use crate::clock::Clock;

/// A number that nobody else has, and never 0: random, or else made of the address of something that is in use, and the time.
pub(crate) fn unique<T>(place: &T, clock: &dyn Clock) -> u64 {
    let mut number = [0; 8];
    if getrandom::fill(&mut number).is_err() {
        // It need not be secret, only no other's.
        let place = std::ptr::from_ref(place) as u64;
        number = (place ^ clock.tick().as_nanos().rotate_left(32)).to_ne_bytes();
    }
    u64::from_ne_bytes(number).max(1)
}
