//! One request, one credential, one spelling.

use keygate_core::denial::DenialReason;
use keygate_http::credentials::{Credential, CredentialSources};
use proptest::prelude::*;

fn everywhere() -> CredentialSources {
    CredentialSources::default()
        .header("x-acme-key")
        .and_then(|sources| sources.cookie("acme"))
        .and_then(|sources| sources.query_parameter_danger("key"))
        .unwrap()
}

/// Where one credential is put.
#[derive(Debug, Clone, Copy)]
enum Place {
    Bearer,
    ApiKey,
    Acme,
    Cookie,
    Query,
}

/// Puts each text in its place; cookies on one line or on several.
fn request(credentials: &[(Place, String)], one_cookie_line: bool) -> (Vec<(&'static str, String)>, String) {
    let (mut lines, mut cookies, mut query) = (Vec::new(), vec!["theme=dark".to_owned()], vec!["page=2".to_owned()]);
    for (place, text) in credentials {
        match place {
            Place::Bearer => lines.push(("Authorization", format!("bearer {text}"))),
            Place::ApiKey => lines.push(("X-Api-Key", text.clone())),
            Place::Acme => lines.push(("X-Acme-Key", text.clone())),
            Place::Cookie => cookies.push(format!("acme={text}")),
            Place::Query => query.push(format!("key={text}")),
        }
    }
    if one_cookie_line {
        lines.push(("Cookie", cookies.join("; ")));
    } else {
        lines.extend(cookies.into_iter().map(|cookie| ("cookie", cookie)));
    }
    (lines, query.join("&"))
}

proptest! {
    #[test]
    fn two_are_never_accepted_and_one_is_given_back_unchanged(
        credentials in proptest::collection::vec(
            (
                prop_oneof![
                    Just(Place::Bearer), Just(Place::ApiKey), Just(Place::Acme), Just(Place::Cookie), Just(Place::Query),
                ],
                prop_oneof![Just("same".to_owned()), "[!-%'-:<-~]{0,20}"],
            ),
            0..4,
        ),
        one_cookie_line in any::<bool>(),
    ) {
        let (lines, query) = request(&credentials, one_cookie_line);
        let sources = everywhere();
        let read = sources.read(&lines[..], Some(&query)).map(Credential::as_bytes);
        let read = read.map_err(|denial| denial.reason());
        match &credentials[..] {
            [] => prop_assert_eq!(read, Err(DenialReason::MissingKey)),
            [(_, text)] => prop_assert_eq!(read, Ok(text.as_bytes())),
            _ => prop_assert_eq!(read, Err(DenialReason::MultipleCredentials)),
        }
    }

    #[test]
    fn no_bytes_make_it_panic_and_what_is_read_was_sent(
        lines in proptest::collection::vec(
            (prop_oneof![Just("authorization"), Just("x-api-key"), Just("cookie")], any::<Vec<u8>>()),
            0..4,
        ),
        query in any::<String>(),
    ) {
        if let Ok(credential) = everywhere().read(&lines[..], Some(&query)) {
            let text = credential.as_bytes();
            let sent = |bytes: &[u8]| text.is_empty() || bytes.windows(text.len()).any(|window| window == text);
            prop_assert!(lines.iter().any(|(_, line)| sent(line)) || sent(query.as_bytes()));
        }
    }
}
