use std::fmt;
use std::sync::Arc;

use super::Asked;

/// What each request costs, as a program says.
#[derive(Clone)]
pub(super) struct CostRule(Arc<dyn Fn(Asked<'_>) -> u64 + Send + Sync>);

impl CostRule {
    pub(super) fn new(cost: impl Fn(Asked<'_>) -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(cost))
    }

    pub(super) fn cost(&self, asked: Asked<'_>) -> u64 {
        (self.0)(asked)
    }
}

impl fmt::Debug for CostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CostRule")
    }
}
