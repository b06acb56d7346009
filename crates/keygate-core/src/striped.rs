//! Counting without a line of memory that all threads write to.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many places there are: with more threads than that, some share one.
pub(crate) const STRIPES: usize = 16;

/// A counter that threads add to without writing to the same line of memory.
#[derive(Debug, Default)]
pub(crate) struct Striped {
    stripes: [Stripe; STRIPES],
}

/// Two lines of 64 bytes, which processors fetch together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe(AtomicU64);

thread_local! {
    static PLACE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES
    };
}

/// This thread's place among [`STRIPES`].
pub(crate) fn place() -> usize {
    // A thread that is ending has none any more.
    PLACE.try_with(|place| *place).unwrap_or(0)
}

impl Striped {
    pub(crate) fn add(&self) {
        self.stripes[place()].0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sum(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.0.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}
