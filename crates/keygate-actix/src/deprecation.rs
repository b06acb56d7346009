//! What a response tells of a key that was rotated, put into its headers.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use keygate_http::deprecation::{self, Deprecation};
use keygate_http::gate::Followed;

const DEPRECATION: HeaderName = HeaderName::from_static(deprecation::DEPRECATION);
const SUNSET: HeaderName = HeaderName::from_static(deprecation::SUNSET);
const LINK: HeaderName = HeaderName::from_static(deprecation::LINK);

/// Tells in these headers that the request's key was replaced, unless they tell of something that is deprecated already.
pub(crate) fn tell(followed: &Followed, headers: &mut HeaderMap) {
    let Some(Deprecation { deprecation, sunset, link }) = followed.deprecation() else { return };
    if headers.contains_key(DEPRECATION) || headers.contains_key(SUNSET) {
        return;
    }
    for (name, field) in [(DEPRECATION, Some(deprecation)), (SUNSET, sunset), (LINK, Some(link))] {
        // Printable ASCII, and so in order.
        if let Some(Ok(value)) = field.map(HeaderValue::try_from) {
            // Another link says something else.
            headers.append(name, value);
        }
    }
}
