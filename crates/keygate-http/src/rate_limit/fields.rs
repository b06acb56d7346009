use bytes::Bytes;

/// The fields of one response. Their names are [`RATE_LIMIT_POLICY`](super::RATE_LIMIT_POLICY) and
/// [`RATE_LIMIT`](super::RATE_LIMIT).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// Which limits there are.
    pub policy: Bytes,
    /// What is left of the one of which least is left.
    pub standing: Bytes,
}
