//! A request of actix-web at a gate: what of it is read, and what a handler finds in it.

use std::net::IpAddr;

use actix_web::HttpMessage;
use actix_web::dev::ServiceRequest;
use keygate_core::context::Admission;
use keygate_core::denial::Denial;
use keygate_http::answer::Answer;
use keygate_http::gate::{self, Asked, Gate, Verdict, WithoutKey};
use keygate_http::rate_limit::Report;

use crate::header_lines::{CredentialHeaders, HeaderLines, mark_sensitive};

pub(super) fn judge(gate: &Gate, credentials: &CredentialHeaders, request: &ServiceRequest) -> Verdict {
    let headers = HeaderLines { headers: request.headers(), credentials };
    let asked = Asked::new(request.method().as_str(), request.uri().path(), request.uri().query());
    gate.judge(asked, &headers, peer_address(request))
}

/// Keeps the credential out of `Debug` output. A refused request is marked too: it goes back out with the response,
/// past every middleware further out.
pub(super) fn hide_credentials(credentials: &CredentialHeaders, request: &mut ServiceRequest) {
    mark_sensitive(request.headers_mut(), credentials);
}

/// The request as a service within may see it once it is admitted; and what its response is to tell of limits.
pub(super) fn admit(gate: &Gate, request: &ServiceRequest, admission: Admission) -> Option<Report> {
    let report = gate.report(&admission);
    request.extensions_mut().insert(admission);
    report
}

/// The request as a service within may see it without a key. An admission of a transform further out is not this
/// one's word and goes.
pub(super) fn pass(request: &ServiceRequest, why: WithoutKey) {
    let mut extensions = request.extensions_mut();
    extensions.remove::<Admission>();
    extensions.insert(why);
}

/// Writes a refusal to the log, and gives the answer to it. What a transform further out has charged the request is given
/// back.
pub(super) fn refuse(gate: &Gate, denial: &Denial, request: &ServiceRequest) -> Answer {
    if let Some(admission) = request.extensions_mut().get_mut::<Admission>() {
        admission.refund();
    }
    gate::explain(denial, peer_address(request), "a connection over a Unix socket has none");
    gate.refuse(denial)
}

fn peer_address(request: &ServiceRequest) -> Option<IpAddr> {
    request.peer_addr().map(|peer| peer.ip())
}
