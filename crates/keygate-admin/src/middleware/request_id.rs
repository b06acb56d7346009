//! What a request is called, here and wherever else it is followed.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest that is taken from a client, in bytes. A UUID has 36, a trace id 32.
const MAX_LENGTH: usize = 64;
/// A word of as many letters and digits in a row may be a key, or part of one, which is written nowhere.
const SECRET_LENGTH: usize = 40;

/// The name of a request: the client's own, or a UUIDv7.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// The name that the client, or a proxy, gave the request, if it is one; else a fresh one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(X_REQUEST_ID).iter();
        match (given.next().and_then(|value| value.to_str().ok()), given.next()) {
            (Some(text), None) if is_sane(text) => Self(text.to_owned()),
            _ => Self(Uuid::now_v7().to_string()),
        }
    }

    /// As it goes back to the client.
    pub(crate) fn header_value(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_sane(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let words = || text.split(|c: char| !c.is_ascii_alphanumeric());
    (1..=MAX_LENGTH).contains(&text.len())
        && text.bytes().all(allowed)
        && words().all(|word| word.len() < SECRET_LENGTH)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(values: &[&str]) -> RequestId {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(X_REQUEST_ID, HeaderValue::from_str(value).unwrap());
        }
        RequestId::of(&headers)
    }

    #[test]
    fn a_sane_name_is_taken_as_it_is() {
        for good in
            ["a", "0193c1a2-7b1e-7cc3-98c4-dc0c0c07398f", "1-67891233-abcdef012345678912345678", "job_7.retry-2"]
        {
            assert_eq!(named(&[good]).to_string(), good);
        }
    }

    #[test]
    fn any_other_gives_way_to_a_fresh_one() {
        let key = format!("mcp_dev_{}", "0aZ9".repeat(19));
        let long = "a-".repeat(33);
        for bad in [&[][..], &[""], &["a b"], &["a\"b"], &["a", "b"], &[&long], &[&key], &[&key[..60]], &["ä"]] {
            let id = named(bad).to_string();
            assert_eq!(id.parse::<Uuid>().unwrap().get_version_num(), 7, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_the_name_can_stand_in_a_line_and_in_a_header(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.insert(X_REQUEST_ID, value);
            }
            let id = RequestId::of(&headers);
            prop_assert!(is_sane(&id.to_string()) && id.header_value().is_some());
        }
    }
}
