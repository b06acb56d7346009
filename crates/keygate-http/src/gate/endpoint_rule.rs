use std::fmt;
use std::sync::Arc;

use super::Asked;

type Rule = dyn for<'a> Fn(Asked<'a>) -> Option<&'a str> + Send + Sync;

/// What each request is for, as a program says.
#[derive(Clone)]
pub(super) struct EndpointRule(Arc<Rule>);

impl EndpointRule {
    pub(super) fn new(endpoint: impl for<'a> Fn(Asked<'a>) -> Option<&'a str> + Send + Sync + 'static) -> Self {
        Self(Arc::new(endpoint))
    }

    pub(super) fn endpoint<'a>(&self, asked: Asked<'a>) -> Option<&'a str> {
        (self.0)(asked)
    }
}

impl fmt::Debug for EndpointRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointRule")
    }
}
