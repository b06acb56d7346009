//! What was decided and answered in this process, counted where no two threads write to the same memory.
//!
//! It is not told to the facade one by one: to find a counter of a recorder by its name takes 140 nanoseconds and two
//! allocations (metrics-exporter-prometheus 0.18), and a handle that is kept is of the recorder that was there when it was
//! made, or of none.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use keygate_core::denial::DenialReason;
use keygate_core::usage::outcome::Answered;

const STRIPES: usize = 16;
const REASONS: usize = DenialReason::ALL.len();
const ANSWERS: usize = Answered::ALL.len();

/// Two lines of 64 bytes at least, which processors fetch together.
#[repr(align(128))]
struct Stripe {
    admitted: AtomicU64,
    denied: [AtomicU64; REASONS],
    answered: [AtomicU64; ANSWERS],
}

static COUNTED: [Stripe; STRIPES] = [const {
    Stripe {
        admitted: AtomicU64::new(0),
        denied: [const { AtomicU64::new(0) }; REASONS],
        answered: [const { AtomicU64::new(0) }; ANSWERS],
    }
}; STRIPES];

thread_local! {
    /// The stripe of this thread, once it has one.
    static PLACE: Cell<Option<usize>> = const { Cell::new(None) };
}

fn stripe() -> &'static Stripe {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // A thread that ends has none any more.
    let place = PLACE.try_with(|place| {
        place.get().unwrap_or_else(|| {
            let next = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
            place.set(Some(next));
            next
        })
    });
    &COUNTED[place.unwrap_or_default()]
}

pub(crate) fn admitted() {
    stripe().admitted.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn denied(reason: DenialReason) {
    if let Some(place) = DenialReason::ALL.iter().position(|known| *known == reason) {
        stripe().denied[place].fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn answered(answered: Answered) {
    stripe().answered[answered.place()].fetch_add(1, Ordering::Relaxed);
}

/// Decisions: `admitted`, and each reason.
pub(super) fn requests() -> impl Iterator<Item = (&'static str, u64)> {
    let admitted = ("admitted", sum(|stripe| &stripe.admitted));
    let denied = DenialReason::ALL.into_iter().enumerate();
    [admitted].into_iter().chain(denied.map(|(place, reason)| (reason.as_str(), sum(|stripe| &stripe.denied[place]))))
}

/// Answers, by the class of their status.
pub(super) fn answers() -> impl Iterator<Item = (&'static str, u64)> {
    Answered::ALL.into_iter().map(|answered| (answered.as_str(), sum(|stripe| &stripe.answered[answered.place()])))
}

fn sum(of: impl Fn(&Stripe) -> &AtomicU64) -> u64 {
    COUNTED.iter().map(|stripe| of(stripe).load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
}
