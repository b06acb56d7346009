//! A request of the `http` crate at a gate: what of it is read, and what a service within finds in it.

use http::Request;
use keygate_core::context::Admission;
use keygate_core::denial::Denial;
use keygate_http::answer::Answer;
use keygate_http::gate::{self, Gate, Verdict, WithoutKey};

use crate::header_lines::{CredentialHeaders, HeaderLines, mark_sensitive};
use crate::peer::peer_address;

/// A gate for requests of the `http` crate.
#[derive(Debug, Clone)]
pub(super) struct HttpGate {
    gate: Gate,
    credentials: CredentialHeaders,
}

impl HttpGate {
    pub(super) fn new(gate: Gate) -> Self {
        Self { credentials: gate.credential_headers().collect(), gate }
    }

    pub(super) fn into_gate(self) -> Gate {
        self.gate
    }

    pub(super) fn judge<B>(&self, request: &mut Request<B>) -> Verdict {
        let peer = peer_address(request.extensions_mut());
        let headers = HeaderLines { headers: request.headers(), credentials: &self.credentials };
        self.gate.judge(request.method().as_str(), &headers, request.uri().query(), peer)
    }

    /// The request as a service within may see it once it is admitted.
    pub(super) fn admit<B>(&self, request: &mut Request<B>, admission: Admission) {
        mark_sensitive(request.headers_mut(), &self.credentials);
        request.extensions_mut().insert(admission);
    }

    /// The request as a service within may see it without a key. An admission of a layer further out is not this
    /// layer's word and goes.
    pub(super) fn pass<B>(&self, request: &mut Request<B>, why: WithoutKey) {
        mark_sensitive(request.headers_mut(), &self.credentials);
        request.extensions_mut().remove::<Admission>();
        request.extensions_mut().insert(why);
    }

    /// Writes a refusal to the log, and gives the answer to it.
    pub(super) fn refuse<B>(&self, denial: &Denial, request: &mut Request<B>) -> Answer {
        let peer = peer_address(request.extensions_mut());
        gate::explain(denial, peer, "see the documentation of keygate_tower::peer");
        self.gate.refuse(denial)
    }
}
