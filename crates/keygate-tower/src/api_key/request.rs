//! A request of the `http` crate at a gate: what of it is read, and what a service within finds in it.

use http::Request;
use keygate_core::context::Admission;
use keygate_core::denial::Denial;
use keygate_http::gate::{self, Gate, Verdict, WithoutKey};

use crate::header_lines::{HeaderLines, mark_sensitive};
use crate::peer::peer_address;

pub(super) fn judge<B>(gate: &Gate, request: &mut Request<B>) -> Verdict {
    let peer = peer_address(request.extensions_mut());
    gate.judge(request.method().as_str(), &HeaderLines(request.headers()), request.uri().query(), peer)
}

/// The request as a service within may see it once it is admitted.
pub(super) fn admit<B>(gate: &Gate, request: &mut Request<B>, admission: Admission) {
    mark_sensitive(request.headers_mut(), gate.credential_headers());
    request.extensions_mut().insert(admission);
}

/// The request as a service within may see it without a key. An admission of a layer further out is not this layer's
/// word and goes.
pub(super) fn pass<B>(gate: &Gate, request: &mut Request<B>, why: WithoutKey) {
    mark_sensitive(request.headers_mut(), gate.credential_headers());
    request.extensions_mut().remove::<Admission>();
    request.extensions_mut().insert(why);
}

pub(super) fn explain<B>(denial: &Denial, request: &mut Request<B>) {
    let peer = peer_address(request.extensions_mut());
    gate::explain(denial, peer, "see the documentation of keygate_tower::peer");
}
