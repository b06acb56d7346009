//! How a message is signed: the scheme `v1` of the
//! [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md), HMAC-SHA256
//! over the message's id, the time it is sent and its body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The field `webhook-signature`: a signature by each of the keys, in their order. `None` where there is no key.
pub(crate) fn signatures<'a>(
    keys: impl IntoIterator<Item = &'a [u8]>,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> Option<String> {
    let signed = keys.into_iter().map(|key| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    });
    signed.collect::<Option<Vec<_>>>().map(|signed| signed.join(" ")).filter(|signed| !signed.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector that the libraries of the specification have in common.
    #[test]
    fn the_vector_of_the_specification() {
        let key = STANDARD.decode("C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let signed = signatures([&key[..]], "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553, body);
        assert_eq!(signed.as_deref(), Some("v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="));
    }

    #[test]
    fn each_key_signs_in_its_place_and_none_is_no_signature() {
        let of = |keys: &[&[u8]]| signatures(keys.iter().copied(), "msg_1", 1, b"{}");
        let (first, second) = (of(&[b"first"]).unwrap(), of(&[b"second"]).unwrap());
        assert_ne!(first, second);
        assert_eq!(of(&[b"first", b"second"]), Some(format!("{first} {second}")));
        assert_eq!(of(&[]), None);
    }
}
