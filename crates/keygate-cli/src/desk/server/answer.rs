//! What an answer means.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::address::Address;
use super::trouble::{Again, Trouble};
use crate::desk::NotDone;
use crate::output::words::safe;

/// The longest answer that is read: many times a page of the largest keys.
const MAX_BODY: usize = 64 * 1024 * 1024;
/// The longest text of a server's that is shown, in characters.
const MAX_SHOWN: usize = 500;

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    address: String,
    status: StatusCode,
    headers: HeaderMap,
    /// It may hold a new key's text.
    body: Zeroizing<Vec<u8>>,
    /// Whether there was more than is read.
    is_cut: bool,
}

/// What a server says of a call that is not done (RFC 9457).
#[derive(Debug, Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
    reason: Option<String>,
}

impl Answer {
    /// Reads an answer to its end.
    pub(super) async fn take(mut response: Response, address: &Address) -> Result<Self, reqwest::Error> {
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        // At full size where that is known: growing would leave copies of a key behind.
        let length = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        let mut body = Zeroizing::new(Vec::with_capacity(length.min(MAX_BODY)));
        let mut is_cut = false;
        while let Some(chunk) = response.chunk().await? {
            let room = MAX_BODY - body.len();
            is_cut = chunk.len() > room;
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if is_cut {
                break;
            }
        }
        Ok(Self { address: address.to_string(), status, headers, body, is_cut })
    }

    /// What was answered, if the call was done.
    pub(super) fn unless_refused(self) -> Result<Self, Trouble> {
        if self.status.is_success() {
            return Ok(self);
        }
        if self.status.is_redirection() {
            let elsewhere = shown(&self.header(&LOCATION));
            return Err(Trouble::for_good(NotDone::new(format!(
                "{} answers that it is elsewhere ({elsewhere}), where the admin key is not sent: name that address \
                 itself with --server (KEYGATE_SERVER) if it is meant",
                self.address
            ))));
        }
        let busy = matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        let again = self.retry_after().filter(|_| busy).map_or(Again::No, Again::In);
        Err(Trouble { not_done: self.problem(), again })
    }

    /// Reads the document of an answer.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, NotDone> {
        if !self.is_json() || self.is_cut {
            return Err(self.strange());
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            NotDone::new(format!(
                "{} answers what this version of the command does not understand, as it is another's or another \
                 version's: {}",
                self.address,
                shown(&error.to_string())
            ))
            .in_doubt()
        })
    }

    /// That there is no document, and that it is done.
    pub(super) fn is_empty(&self) -> Result<(), NotDone> {
        if self.status == StatusCode::NO_CONTENT { Ok(()) } else { Err(self.strange()) }
    }

    fn problem(&self) -> NotDone {
        let problem: Option<Problem> = if self.is_json() { serde_json::from_slice(&self.body).ok() } else { None };
        let Some(Problem { title, detail: Some(detail), reason: Some(reason) }) = problem else {
            return self.strange();
        };
        let said = shown(if detail.is_empty() { title.as_deref().unwrap_or_default() } else { &detail });
        let sentence = match self.status {
            StatusCode::UNAUTHORIZED => format!("the admin key (KEYGATE_ADMIN_KEY) was refused: {said}"),
            // Of what may be granted the sentence tells itself.
            StatusCode::FORBIDDEN if reason != "not_grantable" => {
                format!("the admin key (KEYGATE_ADMIN_KEY) may not do this: {said}")
            }
            StatusCode::TOO_MANY_REQUESTS => {
                format!("the admin key (KEYGATE_ADMIN_KEY) is held to its limits: {said}")
            }
            _ => said,
        };
        let not_done = NotDone::new(sentence);
        // A store that failed may have done it.
        let is_in_doubt = self.status.is_server_error() && !["busy", "sensitive_damaged"].contains(&&*reason);
        let not_done = if is_in_doubt { not_done.in_doubt() } else { not_done };
        not_done.because(reason)
    }

    /// Not keygate's.
    fn strange(&self) -> NotDone {
        let (address, status) = (&self.address, self.status);
        let kind = match shown(&self.header(&CONTENT_TYPE)) {
            kind if kind.is_empty() => "without a content type".to_owned(),
            kind => format!("with {kind}"),
        };
        let not_done = NotDone::new(format!(
            "{address} answers {status} {kind}, as no keygate serve does: see that --server (KEYGATE_SERVER) names its \
             address, and the path it is mounted under"
        ));
        if status.is_client_error() { not_done } else { not_done.in_doubt() }
    }

    fn is_json(&self) -> bool {
        let kind = self.header(&CONTENT_TYPE);
        let essence = kind.split(';').next().unwrap_or_default().trim();
        ["application/json", "application/problem+json"].iter().any(|json| essence.eq_ignore_ascii_case(json))
    }

    fn retry_after(&self) -> Option<Duration> {
        self.header(&RETRY_AFTER).parse().ok().map(Duration::from_secs)
    }

    fn header(&self, name: &HeaderName) -> String {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
    }
}

/// A server's text, short enough and without what a terminal obeys.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(MAX_SHOWN).collect();
    safe(&short).into_owned()
}
