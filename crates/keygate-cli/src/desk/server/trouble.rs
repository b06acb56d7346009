//! What it means that a call was not answered as hoped, and whether to send it again.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::time::Duration;

use super::address::Address;
use super::link::{Call, PATIENCE};
use crate::desk::NotDone;

/// When a call may be sent again, if it may be sent twice at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Never: it would come to the same.
    No,
    /// After a moment.
    Soon,
    /// When the server said.
    In(Duration),
}

/// Why a call was not done.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) not_done: NotDone,
    pub(super) again: Again,
}

impl Trouble {
    /// One that would come again.
    pub(super) fn for_good(not_done: NotDone) -> Self {
        Self { not_done, again: Again::No }
    }

    /// No answer came, or not all of it.
    pub(super) fn unanswered(error: reqwest::Error, address: &Address, call: &Call) -> Self {
        let error = error.without_url();
        let cause = innermost(&error);
        if let Some(error) = causes(&error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
            return Self::for_good(untrusted(error, address));
        }
        if error.is_connect() {
            let sentence = format!("nothing answers at {address} ({cause}): is keygate serve running there?");
            return Self { not_done: NotDone::new(sentence), again: Again::Soon };
        }
        let what = if error.is_timeout() {
            format!("{address} did not answer within {} s", PATIENCE.as_secs())
        } else {
            format!("the answer of {address} was lost ({cause})")
        };
        let not_done = if call.is_reading() {
            NotDone::new(what)
        } else {
            NotDone::new(format!("{what}; it may have been done all the same")).in_doubt()
        };
        Self { not_done, again: if error.is_timeout() { Again::No } else { Again::Soon } }
    }
}

fn untrusted(error: &rustls::Error, address: &Address) -> NotDone {
    NotDone::new(match error {
        rustls::Error::InvalidCertificate(_) => format!(
            "the certificate of {address} is not trusted ({error}): --server-ca (KEYGATE_SERVER_CA) names the \
             certificates of an authority of your own"
        ),
        error => format!("no TLS can be spoken with {address} ({error}): see whether it is to be http or another port"),
    })
}

/// What lies at the bottom of an error, which says most.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

/// An error and what it came of.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| {
        // Such an error does not name what is in it as its source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
    })
}
