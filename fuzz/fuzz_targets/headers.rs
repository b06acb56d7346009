//! Any header lines and query as a request: of one reading there is one credential, and it stands in the request.

#![no_main]

use keygate_core::denial::DenialReason;
use keygate_http::credentials::{CredentialSources, MAX_CREDENTIAL_LENGTH};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<(u8, Vec<u8>)>, Option<String>)| {
    let (lines, query) = input;
    let names = ["Authorization", "authorization", "X-API-Key", "x-acme-key", "Cookie", "X-Other"];
    let request: Vec<(&str, &[u8])> =
        lines.iter().map(|(name, value)| (names[usize::from(*name) % names.len()], value.as_slice())).collect();
    let all = CredentialSources::default()
        .header("X-Acme-Key")
        .and_then(|sources| sources.cookie("key"))
        .and_then(|sources| sources.query_parameter_danger("key"))
        .expect("names that are allowed");
    let contains = |text: &[u8]| {
        let within = |place: &[u8]| text.is_empty() || place.windows(text.len()).any(|window| window == text);
        request.iter().any(|(_, value)| within(value)) || query.as_deref().is_some_and(|query| within(query.as_bytes()))
    };
    for sources in [CredentialSources::default(), all] {
        match sources.read(&request[..], query.as_deref()) {
            Ok(credential) => {
                assert!(credential.as_bytes().len() <= MAX_CREDENTIAL_LENGTH);
                assert!(contains(credential.as_bytes()));
                // A second one makes it several, wherever it stands.
                let mut twice = request.clone();
                twice.push(("X-API-Key", b"another"));
                let denial = sources.read(&twice[..], query.as_deref()).expect_err("two credentials");
                assert_eq!(denial.reason(), DenialReason::MultipleCredentials);
            }
            Err(denial) => assert!(matches!(
                denial.reason(),
                DenialReason::MissingKey | DenialReason::MultipleCredentials | DenialReason::MalformedKey
            )),
        }
    }
});
