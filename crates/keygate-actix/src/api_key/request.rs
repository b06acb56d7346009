//! A request of actix-web at a gate: what of it is read, and what a handler finds in it.

use std::net::IpAddr;

use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::{Error, HttpMessage};
use keygate_core::context::Admission;
use keygate_core::denial::Denial;
use keygate_http::answer::Answer;
use keygate_http::gate::{self, Asked, Followed, Gate, Verdict, WithoutKey};

use super::routes::Routes;
use crate::header_lines::{CredentialHeaders, HeaderLines, mark_sensitive};
use crate::{deprecation, rate_limit};

pub(super) fn judge(
    gate: &Gate,
    credentials: &CredentialHeaders,
    routes: &Routes,
    request: &ServiceRequest,
) -> Verdict {
    let headers = HeaderLines { headers: request.headers(), credentials };
    let route = routes.pattern(request);
    let asked = Asked::new(request.method().as_str(), request.uri().path(), request.uri().query());
    let asked = asked.matching(route.as_deref());
    gate.judge(asked, &headers, peer_address(request))
}

/// Keeps the credential out of `Debug` output. A refused request is marked too: it goes back out with the response,
/// past every middleware further out.
pub(super) fn hide_credentials(credentials: &CredentialHeaders, request: &mut ServiceRequest) {
    mark_sensitive(request.headers_mut(), credentials);
}

/// The request as a service within may see it once it is admitted, and what follows it to its answer.
pub(super) fn admit(gate: &Gate, request: &ServiceRequest, admission: Admission) -> Followed {
    let followed = gate.follow(&admission);
    request.extensions_mut().insert(admission);
    followed
}

/// Counts what the service within answered, and has the response tell of limits, as they are now, since it may have charged
/// the request something else, and of a key that was rotated.
pub(super) fn end<B>(mut followed: Followed, result: &mut Result<ServiceResponse<B>, Error>) {
    match result {
        Ok(response) => {
            rate_limit::tell(&mut followed, response.headers_mut());
            deprecation::tell(&followed, response.headers_mut());
            followed.answered(response.status().as_u16());
        }
        Err(error) => followed.answered(error.as_response_error().status_code().as_u16()),
    }
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
