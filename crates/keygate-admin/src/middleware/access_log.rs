//! One line in the log for each request, and one more in the figures.
//!
//! What a client wrote is never in the line: its path, its query and its headers may hold a key. The route is the pattern
//! that matched, a method of the client's own making is `other`, and the request's name is the client's only where it
//! cannot be a key.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State as StateOf};
use axum::middleware::Next;
use axum::response::Response;
use http::{Extensions, Method, StatusCode};
use keygate_core::context::Admission;
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_tower::peer::client_address;
use tracing::Instrument;

use super::request_id::{RequestId, X_REQUEST_ID};
use crate::admin::State;

/// What asks every few seconds, and says nothing by itself: it is in the log at the level `debug`.
const ROUTINE: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// The route of a request that no route took.
const UNMATCHED: &str = "unmatched";

/// Lets a request through and writes down what came of it. A client that does not wait for its answer leaves a line too,
/// without a status.
pub(crate) async fn log(StateOf(state): StateOf<State>, mut request: Request, next: Next) -> Response {
    let caller = LetIn::default();
    request.extensions_mut().insert(caller.clone());
    let client = client_address(&mut request, state.proxies());
    request.extensions_mut().insert(From(client));
    let mut line = Line {
        began: Instant::now(),
        method: method_of(request.method()),
        route: request.extensions().get::<MatchedPath>().cloned(),
        id: RequestId::of(request.headers()),
        client,
        caller,
        outcome: None,
        state,
    };
    let span = tracing::info_span!(target: "keygate::access", "request", request_id = %line.id);
    let mut response = next.run(request).instrument(span).await;
    if let Some(id) = line.id.header_value() {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    line.outcome = Some((response.status(), response.extensions().get().map(Denial::reason)));
    response
}

/// Where a request comes from, as far as that is known: for whoever does what it asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct From(pub(crate) Option<IpAddr>);

/// Within the layer that checks keys: whose request it is.
pub(crate) async fn note_caller(request: Request, next: Next) -> Response {
    if let Some(admission) = request.extensions().get::<Admission>() {
        note(request.extensions(), admission);
    }
    next.run(request).await
}

/// For the line of this request: it was let in with this key.
pub(crate) fn note(extensions: &Extensions, admission: &Admission) {
    if let Some(caller) = extensions.get::<LetIn>() {
        let _ = caller.0.set((admission.id, admission.organization.clone()));
    }
}

/// The key that the request was let in with, once it was: told by the layers within, as a request that is not answered
/// has no response to tell it in.
#[derive(Debug, Clone, Default)]
struct LetIn(Arc<OnceLock<(KeyId, OrganizationId)>>);

/// What is to be written of a request. It is, when this is dropped.
struct Line {
    began: Instant,
    method: &'static str,
    route: Option<MatchedPath>,
    id: RequestId,
    client: Option<IpAddr>,
    caller: LetIn,
    outcome: Option<(StatusCode, Option<DenialReason>)>,
    state: State,
}

impl Drop for Line {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let route = self.route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
        let status = self.outcome.map(|(status, _)| status);
        let reason = self.outcome.and_then(|(_, reason)| reason);
        self.state.metrics().request(route, self.method, status, took);
        if let Some(reason) = reason {
            self.state.metrics().denial(reason);
        }
        // A macro, because the level is part of what is known before the program runs.
        macro_rules! write {
            ($level:ident) => {
                tracing::$level!(
                    target: "keygate::access",
                    method = self.method,
                    route,
                    status = status.map(|status| status.as_u16()),
                    reason = reason.map(display),
                    duration_ms = millis(took),
                    key_id = self.caller.0.get().map(|(id, _)| display(id)),
                    organization_id = self.caller.0.get().map(|(_, organization)| display(organization)),
                    client_address = self.client.map(display),
                    request_id = %self.id,
                    "{}", if status.is_some() { "answered" } else { "given up by the client" }
                )
            };
        }
        if ROUTINE.iter().any(|routine| route.ends_with(routine)) {
            write!(debug);
        } else {
            write!(info);
        }
    }
}

/// In milliseconds, to the microsecond.
fn millis(took: Duration) -> f64 {
    took.as_micros() as f64 / 1000.0
}

/// The methods there are. Any token may stand in a method's place, a key not excepted.
fn method_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
