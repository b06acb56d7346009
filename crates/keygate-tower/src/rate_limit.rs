//! What a response tells of limits, put into its headers.

use http::{HeaderMap, HeaderName, HeaderValue};
use keygate_http::gate::Followed;
use keygate_http::rate_limit::{self, Fields};

const POLICY: HeaderName = HeaderName::from_static(rate_limit::RATE_LIMIT_POLICY);
const STANDING: HeaderName = HeaderName::from_static(rate_limit::RATE_LIMIT);

/// Tells of limits in these headers, unless they tell of some already: whoever is further in knew of what it told.
pub(crate) fn tell(followed: &mut Followed, headers: &mut HeaderMap) {
    if !followed.tells_limits() || headers.contains_key(POLICY) || headers.contains_key(STANDING) {
        return;
    }
    let Some(Fields { policy, standing }) = followed.fields() else { return };
    for (name, field) in [(POLICY, policy), (STANDING, standing)] {
        // Printable ASCII, and so in order; taken over as it is, without a copy.
        if let Ok(value) = HeaderValue::from_maybe_shared(field) {
            headers.insert(name, value);
        }
    }
}
