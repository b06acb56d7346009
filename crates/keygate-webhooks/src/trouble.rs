//! Why no answer came, in words that whoever made the webhook may read: nothing of what its name stands for, of the network
//! between, or of what came back.

use std::error::Error;
use std::io;
use std::iter::successors;

use crate::resolve::NoPublicAddress;

/// What happened.
pub(crate) fn why(error: &reqwest::Error) -> &'static str {
    let is_io = |kind| find::<io::Error>(error).any(|error| error.kind() == kind);
    if error.is_timeout() {
        "it did not answer in time"
    } else if find::<NoPublicAddress>(error).next().is_some() || error.is_dns() {
        "its name is not known, or is of no public address"
    } else if let Some(error) = find::<rustls::Error>(error).next() {
        match error {
            rustls::Error::InvalidCertificate(_) => "its certificate is not trusted",
            _ => "no TLS could be spoken with it",
        }
    } else if is_io(io::ErrorKind::ConnectionRefused) {
        "the connection was refused"
    } else if error.is_connect() {
        "no connection could be made"
    } else {
        "the connection ended before it had answered"
    }
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a T> {
    causes(error).filter_map(|error| error.downcast_ref())
}

/// An error and what it came of.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| {
        // Such an error does not name what is in it as its source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
    })
}
