//! Forward-auth: whether a request at a proxy may go on, by the key it carries itself.
//!
//! Every request of the service behind the proxy comes here once, so a key that is kept is decided on as in
//! [`ApiKeyLayer`](keygate_tower::ApiKeyLayer), by the same gate, without waiting for anything.

mod asked;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State as StateOf};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use keygate_core::context::{Admission, RequestContext};
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::manager::Attempt;
use keygate_http::deprecation::Deprecation;
use keygate_http::gate::Verdict;
use keygate_http::rate_limit::{self, RATE_LIMIT, RATE_LIMIT_POLICY};
use keygate_tower::api_key::HttpGate;
use keygate_tower::{ProblemRejection, Reject};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::asked::Asked;
use crate::middleware::access_log;
use crate::problem::Problem;
use crate::schema::LimitProblemShape;

const KEY_ID: HeaderName = HeaderName::from_static("x-keygate-key-id");
const ORGANIZATION: HeaderName = HeaderName::from_static("x-keygate-organization");
const USER: HeaderName = HeaderName::from_static("x-keygate-user");
const SCOPES: HeaderName = HeaderName::from_static("x-keygate-scopes");
const STATUS: HeaderName = HeaderName::from_static("x-keygate-status");
const PROBLEM: HeaderName = HeaderName::from_static("x-keygate-problem");

/// How often a misconfiguration is worth a line: strangers who reach the server can send any query.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// The calls a proxy makes, which this gate decides on: with whatever method its client used, but for the one that is
/// answered by the request itself, its credentials included (RFC 9110, section 9.3.8).
pub(super) fn routes<S: Clone + Send + Sync + 'static>(gate: HttpGate) -> OpenApiRouter<S> {
    let (schemas, paths, _) = routes!(authorize);
    OpenApiRouter::new()
        .routes((schemas, paths, any(authorize).trace(no_trace)))
        .route("/v1/authorize/", any(authorize_root).trace(no_trace))
        .route("/v1/authorize/{*original}", any(authorize_original).trace(no_trace))
        .with_state(Arc::new(Authorizer { gate, complained: Mutex::new(None) }))
}

async fn no_trace() -> impl IntoResponse {
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "Method not allowed",
        "This path takes every method but TRACE.",
    );
    ([(header::ALLOW, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")], problem)
}

/// What decides, and remembers when it complained.
#[derive(Debug)]
struct Authorizer {
    gate: HttpGate,
    complained: Mutex<Option<Instant>>,
}

/// Let a proxy's request through
///
/// For the forward-auth of nginx (`auth_request`), Caddy, Traefik and Envoy: a proxy asks, before it passes a request on,
/// with the credentials of that request, in `Authorization: Bearer` or `X-API-Key`. The key is the one of the *client*,
/// and needs no permission of its own. The decision, its status and its body are those of keygate's own layers, and its
/// limits are charged as by those. An answer of 200 has no body, and tells whose key it is in headers, with which the proxy
/// must overwrite whatever headers of these names the client sent.
///
/// The method is not looked at: every method gets the same answer. The client's address, for keys bound to networks, is
/// read from the forwarding headers of trusted proxies. The query must be the proxy's own and never the client's:
/// parameters that are not known, are there twice or cannot be read are refused with 422, and written to the server's
/// log. For proxies that append the path and the query of the original request to what they call (Envoy's `path_prefix`),
/// `/v1/authorize/` followed by anything is answered as well; its query is the client's and is not read, so that nothing
/// can be asked of the key beyond that it is valid.
#[utoipa::path(
    get, path = "/v1/authorize", tag = "checking", operation_id = "authorize",
    params(
        ("scope" = Option<String>, Query, description = "The key's scopes must cover this one."),
        ("permission" = Option<String>, Query, description = "The key's permissions must cover this one."),
        ("environment" = Option<String>, Query, description = "The environment the key must be for. The server's own if \
            there is none."),
        ("cost" = Option<u32>, Query, minimum = 0, maximum = 1_000_000, description = "How much of the key's limits the \
            request takes: 1 if there is none. 0 takes nothing, and no limit refuses it."),
        ("nginx" = Option<u8>, Query, minimum = 0, maximum = 1, description = "1 for nginx, whose `auth_request` knows \
            the statuses 200, 401 and 403 alone: every other becomes 403, and what it was is in `X-Keygate-Status`."),
    ),
    responses(
        (status = 200, description = "The request may go on.", headers(
            ("X-Keygate-Key-Id" = String, description = "The key's id."),
            ("X-Keygate-Organization" = String, description = "The organization it belongs to."),
            ("X-Keygate-User" = String, description = "Its owner."),
            ("X-Keygate-Scopes" = String, description = "Its scopes with a space between them, all of them and as they \
                were granted: with wildcards. Up to 16 kB."),
            ("RateLimit-Policy" = String, description = "Which limits it has, if any: \
                `\"minute\";q=1000;w=60, \"organization-day\";q=100000;w=86400`."),
            ("RateLimit" = String, description = "What is left of the one of which least is left, and in how many \
                seconds all of it is there again: `\"minute\";r=412;t=17`."),
            ("Deprecation" = String, description = "Since when it is replaced, if it was rotated (RFC 9745): `@1767225600`."),
            ("Sunset" = String, description = "When it ends, if it was rotated (RFC 8594)."),
            ("Link" = String, description = "Which key replaces it, if it was rotated: \
                `<urn:uuid:01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f>; rel=\"successor-version\"`."),
        )),
        (status = 400, description = "The request has more than one credential: `multiple_credentials`.",
            body = Problem, content_type = "application/problem+json",
            headers(("WWW-Authenticate" = String, description = "What to send (RFC 6750)."))),
        (status = 401, description = "The key is missing, or may not be used: `missing_key`, `malformed_key`, \
            `invalid_key`, `key_inactive`, `key_revoked`, `key_expired`, `key_not_yet_valid`, `environment_mismatch`.",
            body = Problem, content_type = "application/problem+json",
            headers(("WWW-Authenticate" = String, description = "What to send (RFC 6750)."))),
        (status = 403, description = "The key is valid and may not be used for this: `ip_not_allowed`, \
            `scope_not_authorized`, `permission_denied`, `organization_suspended`, `project_suspended`, `user_suspended`. With `nginx=1` \
            every refusal but 401.",
            body = Problem, content_type = "application/problem+json",
            headers(
                ("X-Keygate-Status" = u16, description = "With `nginx=1`, here and with 401: the status it is without."),
                ("X-Keygate-Problem" = String, description = "With `nginx=1`, here and with 401: the body, which nginx \
                    throws away."),
            )),
        (status = 422, description = "The proxy is misconfigured, and asks for what cannot be: `invalid_field`.",
            body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "A limit of the key, its user, its project or its organization has no room: \
            `rate_limit_exceeded`. Nothing is charged.",
            body = LimitProblemShape, content_type = "application/problem+json",
            headers(
                ("Retry-After" = u64, description = "In how many seconds to try again. It is not there where the request \
                    costs more than a limit, and so is never let in."),
                ("RateLimit-Policy" = String, description = "Which limits the key has."),
                ("RateLimit" = String, description = "Those that have no room."),
            )),
        (status = 503, description = "The store cannot be asked at the moment (`store_unavailable`), or too much is asked \
            at once (`busy`).", body = Problem, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "In how many seconds to try again."))),
    ),
)]
async fn authorize(StateOf(authorizer): StateOf<Arc<Authorizer>>, request: Request) -> Response {
    let asked = Asked::read(request.uri().query(), request.headers());
    authorizer.answer(asked, request).await
}

/// The original path is `/`, or somebody wrote a slash too much.
async fn authorize_root(StateOf(authorizer): StateOf<Arc<Authorizer>>, request: Request) -> Response {
    let asked = Asked::read_none(request.uri().query());
    authorizer.answer(asked, request).await
}

/// The path goes on with the original one, and the query is the original one.
async fn authorize_original(StateOf(authorizer): StateOf<Arc<Authorizer>>, request: Request) -> Response {
    authorizer.answer(Asked::nothing(), request).await
}

impl Authorizer {
    async fn answer(&self, asked: Asked, mut request: Request) -> Response {
        let (response, problem) = match asked.context {
            Ok(context) => match self.decide(&context, &mut request).await {
                Ok(admission) => {
                    access_log::note(request.extensions(), &admission);
                    self.gate.let_in(&admission);
                    match admitted(&admission) {
                        Some(response) => return response,
                        None => unnamed(),
                    }
                }
                Err(denial) => self.refused(denial, &mut request, asked.for_nginx),
            },
            Err(detail) => self.misconfigured(detail),
        };
        if asked.for_nginx { for_nginx(response, problem) } else { response }
    }

    async fn decide(&self, context: &RequestContext, request: &mut Request) -> Result<Admission, Denial> {
        match self.gate.judge_for(context, request) {
            Verdict::Attempt(Attempt::Decided(decision)) => decision,
            // In a box of its own, so that a request which need not wait does not carry room for it.
            Verdict::Attempt(Attempt::Pending(pending)) => Box::pin(pending.resolve()).await,
            // Not what this gate is told to do.
            Verdict::Pass(_) => Err(Denial::new(DenialReason::MissingKey)),
        }
    }

    /// The response, and its body once more if it is needed.
    fn refused(&self, denial: Denial, request: &mut Request, again: bool) -> (Response, Vec<u8>) {
        let answer = self.gate.refuse(&denial, request);
        let problem = if again { answer.body.clone() } else { Vec::new() };
        let mut response: Response = ProblemRejection.reject(&denial, answer);
        response.extensions_mut().insert(denial);
        (response, problem)
    }

    fn misconfigured(&self, detail: String) -> (Response, Vec<u8>) {
        if self.is_time_to_complain() {
            tracing::warn!(detail, "a proxy that asks /v1/authorize is misconfigured, and its requests are refused");
        } else {
            tracing::debug!(detail, "a proxy that asks /v1/authorize is misconfigured, and a request was refused");
        }
        told(Problem::invalid(detail))
    }

    fn is_time_to_complain(&self) -> bool {
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_time = complained.is_none_or(|last| now.duration_since(last) >= COMPLAIN_EVERY);
        if is_time {
            *complained = Some(now);
        }
        is_time
    }
}

fn told(problem: Problem) -> (Response, Vec<u8>) {
    // Strings and a number into memory: there is nothing that could fail.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    (problem.into_response(), body)
}

/// The request may go on, as that of this key. `None` is a key whose names cannot stand in a header, which the grammar of
/// names rules out.
fn admitted(admission: &Admission) -> Option<Response> {
    let mut scopes = String::with_capacity(admission.scopes.iter().map(|scope| scope.as_str().len() + 1).sum());
    for scope in &admission.scopes {
        if !scopes.is_empty() {
            scopes.push(' ');
        }
        scopes.push_str(scope.as_str());
    }
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(KEY_ID, HeaderValue::try_from(admission.id.to_string()).ok()?);
    headers.insert(ORGANIZATION, HeaderValue::from_str(admission.organization.as_str()).ok()?);
    headers.insert(USER, HeaderValue::from_str(admission.user.as_str()).ok()?);
    headers.insert(SCOPES, HeaderValue::try_from(scopes).ok()?);
    tell_limits(headers, admission);
    tell_deprecation(headers, admission);
    Some(response)
}

/// What the layers tell of limits, which a proxy may pass on to its client. It is left out where it cannot be told.
fn tell_limits(headers: &mut HeaderMap, admission: &Admission) {
    let Some(policy) = admission.policies(rate_limit::policies) else { return };
    let Some(tightest) = admission.tightest_limit() else { return };
    for (name, field) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, rate_limit::standing(&tightest))] {
        if let Ok(field) = HeaderValue::from_maybe_shared(field) {
            headers.insert(HeaderName::from_static(name), field);
        }
    }
}

/// What the layers tell of a key that was rotated, which a proxy may pass on as well.
fn tell_deprecation(headers: &mut HeaderMap, admission: &Admission) {
    for (name, field) in Deprecation::of(admission).into_iter().flat_map(Deprecation::into_fields) {
        if let Ok(field) = HeaderValue::try_from(field) {
            headers.insert(HeaderName::from_static(name), field);
        }
    }
}

/// A request that would go on without saying whose it is does not go on.
fn unnamed() -> (Response, Vec<u8>) {
    tracing::error!("a key was let in whose names cannot stand in a header");
    let detail = "The key's names cannot stand in a header.";
    told(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail))
}

/// Around all that may answer in the place of a call: the limits, and what is said of a call that panicked. nginx is to
/// understand that, too.
pub(crate) async fn answer_nginx_always(request: Request, next: Next) -> Response {
    let pattern = request.extensions().get::<MatchedPath>();
    let uri = pattern.is_some_and(|pattern| pattern.as_str().ends_with("/v1/authorize")).then(|| request.uri().clone());
    let response = next.run(request).await;
    match uri {
        Some(uri) if response.status().is_server_error() && Asked::read(uri.query(), &HeaderMap::new()).for_nginx => {
            for_nginx(response, Vec::new())
        }
        _ => response,
    }
}

/// A refusal as nginx's `auth_request` understands it: 401 or 403, all else being an error to it, and nothing of the body,
/// which it throws away.
fn for_nginx(mut response: Response, problem: Vec<u8>) -> Response {
    let status = response.status();
    let headers = response.headers_mut();
    headers.insert(STATUS, HeaderValue::from(status.as_u16()));
    if let Ok(problem) = HeaderValue::try_from(problem) {
        headers.insert(PROBLEM, problem);
    }
    if status != StatusCode::UNAUTHORIZED {
        *response.status_mut() = StatusCode::FORBIDDEN;
    }
    response
}
