//! A request of the `http` crate at a gate: what of it is read, and what a service within finds in it.

use http::{HeaderValue, Request};
use keygate_core::context::{Admission, RequestContext};
use keygate_core::denial::Denial;
use keygate_http::answer::Answer;
use keygate_http::gate::{self, Asked, Gate, Verdict, WithoutKey};
use keygate_http::headers::Headers;

use super::underway::Underway;
use crate::grpc::is_grpc;
use crate::header_lines::{CredentialHeaders, HeaderLines, mark_sensitive};
use crate::peer::peer_address;
use crate::route::route;

/// A [`Gate`] for requests of the `http` crate: what [`ApiKeyLayer`](super::ApiKeyLayer) asks, for whoever answers
/// with the decision itself instead of passing the request on, as forward-auth does.
///
/// # Example
///
/// ```
/// use http::Request;
/// use keygate_core::context::RequestContext;
/// use keygate_core::manager::Attempt;
/// # use keygate_core::{manager::ApiKeyManager, ring::{MasterSecret, SecretRing}, store::MemoryStore};
/// use keygate_http::gate::{Gate, Verdict};
/// use keygate_tower::api_key::HttpGate;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ring = SecretRing::new(&MasterSecret::generate()?);
/// # let manager = ApiKeyManager::builder(MemoryStore::new(), ring).build()?;
/// let gate = HttpGate::new(Gate::new(manager));
///
/// let mut request = Request::new(());
/// let verdict = gate.judge_for(&RequestContext::new(), &mut request);
/// let Verdict::Attempt(Attempt::Decided(Err(denial))) = verdict else { panic!("there is no key in it") };
/// assert_eq!(gate.refuse(&denial, &mut request).status, 401);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct HttpGate {
    gate: Gate,
    credentials: CredentialHeaders,
}

impl HttpGate {
    /// The gate, for requests of the `http` crate.
    pub fn new(gate: Gate) -> Self {
        Self { credentials: gate.credential_headers().collect(), gate }
    }

    pub(super) fn into_gate(self) -> Gate {
        self.gate
    }

    fn lines<'a, B>(&'a self, request: &'a Request<B>) -> Lines<'a> {
        Lines(HeaderLines { headers: request.headers(), credentials: &self.credentials })
    }

    pub(super) fn judge<B>(&self, request: &mut Request<B>) -> Verdict {
        let peer = peer_address(request.extensions_mut());
        self.gate.judge(asked(request), &self.lines(request), peer)
    }

    /// Says what is to become of a request that needs what `context` says. The client's address is read off the
    /// request, as [`peer`](crate::peer) tells. The request's extensions are left as they were.
    pub fn judge_for<B>(&self, context: &RequestContext, request: &mut Request<B>) -> Verdict {
        let peer = peer_address(request.extensions_mut());
        self.gate.judge_for(context, asked(request), &self.lines(request), peer)
    }

    /// The request as a service within may see it once it is admitted, and what follows it to its answer.
    pub(super) fn admit<B>(&self, request: &mut Request<B>, admission: Admission) -> Underway {
        mark_sensitive(request.headers_mut(), &self.credentials);
        let underway = Underway::new(self.gate.follow(&admission), is_grpc(request));
        request.extensions_mut().insert(admission);
        underway
    }

    /// The request as a service within may see it without a key. An admission of a layer further out is not this
    /// layer's word and goes.
    pub(super) fn pass<B>(&self, request: &mut Request<B>, why: WithoutKey) {
        mark_sensitive(request.headers_mut(), &self.credentials);
        request.extensions_mut().remove::<Admission>();
        request.extensions_mut().insert(why);
    }

    /// What is to be told of an admitted request that no service within answers: see [`Gate::let_in`].
    pub fn let_in(&self, admission: &Admission) {
        self.gate.let_in(admission);
    }

    /// Writes a refusal to the log, and gives the answer to it. What a layer further out has charged the request is given
    /// back; else its extensions are left as they were.
    pub fn refuse<B>(&self, denial: &Denial, request: &mut Request<B>) -> Answer {
        if let Some(admission) = request.extensions_mut().get_mut::<Admission>() {
            admission.refund();
        }
        let peer = peer_address(request.extensions_mut());
        gate::explain(denial, peer, "see the documentation of keygate_tower::peer");
        self.gate.refuse(denial)
    }
}

fn asked<B>(request: &Request<B>) -> Asked<'_> {
    let asked = Asked::new(request.method().as_str(), request.uri().path(), request.uri().query());
    asked.matching(route(request))
}

/// The lines of a request. Most requests have every name once, and to look at all their names takes less time than the
/// hash that the map finds a name by.
struct Lines<'map>(HeaderLines<'map>);

impl Headers for Lines<'_> {
    fn lines<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> + 'a {
        let headers = self.0.headers;
        if headers.len() == headers.keys_len() {
            let line = match self.0.credentials.parsed(name) {
                Some(known) => headers.iter().find(|(found, _)| *found == known),
                None => headers.iter().find(|(found, _)| found.as_str() == name),
            };
            Found::Once(line.map(|(_, value)| HeaderValue::as_bytes(value)))
        } else {
            Found::Several(self.0.lines(name))
        }
    }
}

/// The lines of one name.
enum Found<'a, I> {
    Once(Option<&'a [u8]>),
    Several(I),
}

impl<'a, I: Iterator<Item = &'a [u8]>> Iterator for Found<'a, I> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Once(line) => line.take(),
            Self::Several(lines) => lines.next(),
        }
    }
}

impl<'a, I: DoubleEndedIterator<Item = &'a [u8]>> DoubleEndedIterator for Found<'a, I> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Self::Once(line) => line.take(),
            Self::Several(lines) => lines.next_back(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn all_lines_are_read_in_their_order_however_many_there_are() {
        let credentials = ["authorization", "x-api-key"].into_iter().collect();
        let mut headers = HeaderMap::new();
        let mut assert_lines = |added: &'static str, expected: &[&str]| {
            headers.append("X-API-Key", HeaderValue::from_static(added));
            let lines = Lines(HeaderLines { headers: &headers, credentials: &credentials });
            let found: Vec<_> = lines.lines("x-api-key").collect();
            assert_eq!(found, expected.iter().map(|line| line.as_bytes()).collect::<Vec<_>>());
            let from_the_back: Vec<_> = lines.lines("x-api-key").rev().collect();
            assert!(from_the_back.iter().eq(found.iter().rev()));
            assert_eq!(lines.lines("authorization").count(), 0);
        };
        assert_lines("a", &["a"]);
        assert_lines("b", &["a", "b"]);
    }
}
