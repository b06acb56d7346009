use keygate_core::manager::Attempt;

/// What is to become of a request.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    /// It is passed on without a key.
    Pass(WithoutKey),
    /// It has been decided, or has to wait for the store.
    Attempt(Attempt),
}

/// Why a request was passed on without a key. An adapter leaves it with the request, so that what stands within does
/// not take it for one that no [`Gate`](super::Gate) has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WithoutKey {
    /// It carried none, and none is needed.
    Optional,
    /// It is a CORS preflight, and those are let through.
    Preflight,
}
