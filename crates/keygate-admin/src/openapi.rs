//! The document of the API (OpenAPI 3.1). What all calls have in common is said here, once.

use http::StatusCode;
use utoipa::OpenApi;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, ServerBuilder};

use crate::problem::Problem;
use crate::schema::{AuditOrderShape, LimitProblemShape};

/// Where the calls are that need a key.
const GUARDED: &str = "/v1/";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "keygate",
        description = "API keys: make them, check them, stop them.\n\n\
                       Every call under `/v1` needs a key, in `Authorization: Bearer` or `X-API-Key`: an operator's, of \
                       the organization `system`, or one of the organization whose keys it is to manage. Bodies are \
                       JSON, times are those of RFC 3339 in UTC. Fields that are not described here are refused. What \
                       is not done is answered with a problem (RFC 9457), whose `reason` is a stable word.\n\n\
                       A call takes 1 of the limits of its key. Answers to a key that has limits tell of them in \
                       `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers). Answers to a key that was \
                       rotated say since when in `Deprecation` (RFC 9745), when it ends in `Sunset` (RFC 8594), and which \
                       key replaces it in `Link`, with the relation `successor-version`.",
    ),
    tags(
        (name = "organizations", description = "Tenants: their status and their quotas."),
        (name = "projects", description = "Parts of an organization: their status and their limits."),
        (name = "users", description = "Who owns keys: their status and their roles, which cap what their keys may do."),
        (name = "roles", description = "Named sets of permissions of an organization."),
        (name = "keys", description = "The keys of an organization."),
        (name = "usage", description = "What keys were used for, and what was unusual about it."),
        (name = "audit", description = "Who did what, what was refused, and whether what is written of it is as it was written."),
        (name = "notices", description = "Who is told of what happens to keys, and what was not taken."),
        (name = "self", description = "The key a call is made with."),
        (name = "server", description = "What this server is up to. These calls need no key."),
        (name = "checking", description = "Whether a request may go on, for services that do not run keygate themselves."),
    ),
    security(("bearer" = []), ("header" = [])),
    components(schemas(Problem, LimitProblemShape, AuditOrderShape)),
)]
struct Document;

/// The document before any call is in it.
pub(crate) fn begun() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("API key").build();
    let header = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    components.add_security_scheme("header", SecurityScheme::ApiKey(header));
    components.responses.extend(COMMON.iter().map(|common| (common.name.to_owned(), common.response().into())));
    document
}

/// The document with all calls in it, and with what each of them may be answered beside what it says itself.
pub(crate) fn finished(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item).filter(|_| path.starts_with(GUARDED)) {
            add_problems(path, operation);
        }
    }
    document
}

/// The document of an API that begins at this path.
pub(crate) fn mounted(document: &utoipa::openapi::OpenApi, begin: &str) -> utoipa::openapi::OpenApi {
    let server = ServerBuilder::new().url(begin).description(Some("This server.")).build();
    let mut document = document.clone();
    document.servers = Some(vec![server]);
    document
}

/// All operations of a path.
pub(crate) fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().filter_map(Option::as_mut)
}

/// A problem that many calls may be answered with.
struct Common {
    status: StatusCode,
    name: &'static str,
    description: &'static str,
    /// The name of its body's schema.
    schema: &'static str,
    /// The headers that come with it, and what they say.
    headers: &'static [(&'static str, &'static str)],
    /// Whether a call with this path may be answered with it.
    applies: fn(&str, &Operation) -> bool,
}

const RETRY_AFTER: (&str, &str) = ("Retry-After", "In how many seconds to try again.");
const PROBLEM: &str = "Problem";

/// Whether an operation takes something that could be wrong.
fn takes_values(_: &str, operation: &Operation) -> bool {
    operation.request_body.is_some() || operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty())
}

fn takes_body(_: &str, operation: &Operation) -> bool {
    operation.request_body.is_some()
}

fn always(_: &str, _: &Operation) -> bool {
    true
}

const COMMON: [Common; 10] = [
    Common {
        status: StatusCode::BAD_REQUEST,
        name: "Malformed",
        description: "The request has more than one credential (`multiple_credentials`), or its body is not JSON \
                      (`malformed_body`).",
        schema: PROBLEM,
        headers: &[],
        applies: always,
    },
    Common {
        status: StatusCode::UNAUTHORIZED,
        name: "KeyRefused",
        description: "The key is missing, or may not be used: `missing_key`, `malformed_key`, `invalid_key`, \
                      `key_inactive`, `key_revoked`, `key_expired`, `key_not_yet_valid`.",
        schema: PROBLEM,
        headers: &[("WWW-Authenticate", "What to send (RFC 6750).")],
        applies: always,
    },
    Common {
        status: StatusCode::FORBIDDEN,
        name: "Forbidden",
        description: "The key is valid and may not do this: `permission_denied`, `not_grantable`, `ip_not_allowed`, \
                      `organization_suspended`, `project_suspended`, `user_suspended`.",
        schema: PROBLEM,
        headers: &[],
        applies: always,
    },
    Common {
        status: StatusCode::NOT_FOUND,
        name: "NotFound",
        description: "What the path names does not exist, or is not within the key's reach: `not_found`.",
        schema: PROBLEM,
        headers: &[],
        applies: |path, _| path.contains('{'),
    },
    Common {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        name: "BodyTooLarge",
        description: "The body is too large: `body_too_large`.",
        schema: PROBLEM,
        headers: &[],
        applies: takes_body,
    },
    Common {
        status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        name: "UnsupportedMediaType",
        description: "The body is not sent as `application/json`: `unsupported_media_type`.",
        schema: PROBLEM,
        headers: &[],
        applies: takes_body,
    },
    Common {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        name: "InvalidField",
        description: "A field or a parameter is unknown, missing, or holds what it must not; `detail` names it: \
                      `invalid_field`.",
        schema: PROBLEM,
        headers: &[],
        applies: takes_values,
    },
    Common {
        status: StatusCode::TOO_MANY_REQUESTS,
        name: "TooManyRequests",
        description: "A limit of the key, its user, its project or its organization has no room: `rate_limit_exceeded`.",
        schema: "LimitProblem",
        headers: &[
            RETRY_AFTER,
            ("RateLimit-Policy", "Which limits the key has."),
            ("RateLimit", "Those that have no room, and in how many seconds all of each is there again."),
        ],
        applies: always,
    },
    Common {
        status: StatusCode::SERVICE_UNAVAILABLE,
        name: "Unavailable",
        description: "The store cannot be asked at the moment (`store_unavailable`), or too much is asked at once \
                      (`busy`).",
        schema: PROBLEM,
        headers: &[RETRY_AFTER],
        applies: always,
    },
    Common {
        status: StatusCode::GATEWAY_TIMEOUT,
        name: "TimedOut",
        description: "It was not done in time, and a change may have been made all the same: `timed_out`.",
        schema: PROBLEM,
        headers: &[],
        applies: always,
    },
];

impl Common {
    fn response(&self) -> Response {
        let mut response = ResponseBuilder::new().description(self.description).build();
        for (name, description) in self.headers {
            response.headers.insert((*name).to_owned(), header(description).into());
        }
        be_problem(&mut response, self.schema);
        response
    }
}

fn header(description: &str) -> Header {
    HeaderBuilder::new().schema(Header::default().schema).description(Some(description)).build()
}

fn be_problem(response: &mut Response, schema: &str) {
    let content = Content::new(Some(Ref::from_schema_name(schema)));
    response.content.insert("application/problem+json".to_owned(), content.into());
}

/// Adds what a call may be answered with where it is not done. What it says of a status itself stands.
fn add_problems(path: &str, operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.as_str() >= "400"
            && response.content.is_empty()
        {
            be_problem(response, PROBLEM);
        }
    }
    for common in COMMON.iter().filter(|common| (common.applies)(path, operation)).collect::<Vec<_>>() {
        let reference = || RefOr::Ref(Ref::from_response_name(common.name));
        operation.responses.responses.entry(common.status.as_str().to_owned()).or_insert_with(reference);
    }
}
