//! Calls that change something and are refused because the caller's key may not make them: the audit tells of them.

use axum::extract::{MatchedPath, Request, State as StateOf};
use axum::middleware::Next;
use axum::response::Response;
use http::Method;
use keygate_core::actor::ManagementPermission;
use keygate_core::denial::{Denial, DenialReason};

use crate::admin::State;
use crate::caller::Caller;

/// That a call was refused to whoever is let in, and what it needs: a permission, or to be the operator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needed(pub(crate) &'static str);

/// Within the layer that checks keys: lets a request through, and has it written down where it is refused so.
pub(crate) async fn record(StateOf(state): StateOf<State>, request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let Some(caller) = Caller::of(request.extensions()).filter(|_| !is_read) else {
        return next.run(request).await;
    };
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let denial =
        response.extensions().get::<Denial>().filter(|denial| denial.reason() == DenialReason::PermissionDenied);
    let needed = match denial {
        Some(denial) => denial.required().map(ToString::to_string).unwrap_or_default(),
        None => match response.extensions().get::<Needed>() {
            Some(Needed(needed)) => (*needed).to_owned(),
            None => return response,
        },
    };
    // Whether a key is valid is asked by services all the time, and changes nothing.
    if needed != ManagementPermission::KeysVerify.as_str() {
        let route = route.as_ref().map_or("", MatchedPath::as_str);
        let reason = DenialReason::PermissionDenied.as_str();
        state.manager().record_refused_call(&caller.actor, &format!("{method} {route}"), &needed, reason).await;
    }
    response
}
