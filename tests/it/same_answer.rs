//! Promise 11: the same answer everywhere. One table of requests, put to axum, actix-web and tonic over one manager.

mod keys;
mod limits;
mod servers;
mod usage;

use keygate::denial::DenialReason::{self, *};
use keys::World;
use servers::{Answer, Gate, Request, ask_actix, ask_axum, ask_tonic};

use crate::support;

/// One request, the gate it meets, and what must become of it: the user it is let in as, or the reason it is not.
struct Case {
    what: &'static str,
    gate: Gate,
    request: Request,
    expected: Result<&'static str, DenialReason>,
}

fn case(what: &'static str, gate: Gate, request: Request, expected: Result<&'static str, DenialReason>) -> Case {
    Case { what, gate, request, expected }
}

/// A request with its key in `X-API-Key`, from 198.51.100.1.
fn with(key: &str) -> Request {
    Request::new().header("x-api-key", key)
}

fn bearer(credentials: impl AsRef<[u8]>) -> Request {
    Request::new().header("authorization", credentials)
}

fn credentials(world: &World) -> Vec<Case> {
    let key = &*world.key;
    let (long, longer) = ("k".repeat(1024), "k".repeat(7000));
    let two_headers = with(key).header("authorization", format!("Bearer {key}"));
    vec![
        case("a key in X-API-Key", Gate::Plain, with(key), Ok("ada")),
        case("a bearer", Gate::Plain, bearer(format!("Bearer {key}")), Ok("ada")),
        case("a lower-case bearer", Gate::Plain, bearer(format!("bearer {key}")), Ok("ada")),
        case("a bearer behind many spaces", Gate::Plain, bearer(format!("BEARER   {key}")), Ok("ada")),
        case("no key", Gate::Plain, Request::new(), Err(MissingKey)),
        case("a key in the query", Gate::Plain, Request::new().query(&format!("api_key={key}")), Err(MissingKey)),
        case("a key in a cookie", Gate::Plain, Request::new().header("cookie", format!("key={key}")), Err(MissingKey)),
        case("basic authentication", Gate::Plain, bearer("Basic YTpi"), Err(MissingKey)),
        case(
            "basic authentication beside a key",
            Gate::Plain,
            with(key).header("authorization", "Basic YTpi"),
            Ok("ada"),
        ),
        case("two headers", Gate::Plain, two_headers, Err(MultipleCredentials)),
        case("two equal lines", Gate::Plain, with(key).header("x-api-key", key), Err(MultipleCredentials)),
        case("two lines, one of them wrong", Gate::Plain, with(key).header("x-api-key", "x"), Err(MultipleCredentials)),
        case("two lines, one of them empty", Gate::Plain, with("").header("x-api-key", key), Err(MultipleCredentials)),
        case(
            "two authorizations of which one is basic",
            Gate::Plain,
            bearer(format!("Bearer {key}")).header("authorization", "Basic YTpi"),
            Err(MultipleCredentials),
        ),
        case("two keys in one line", Gate::Plain, with(&format!("{key}, {key}")), Err(MalformedKey)),
        case("an empty key", Gate::Plain, with(""), Err(MalformedKey)),
        case("a bearer without a token", Gate::Plain, bearer("Bearer"), Err(MalformedKey)),
        case("a bearer with a tab", Gate::Plain, bearer(format!("Bearer\t{key}")), Err(MalformedKey)),
        case("a scheme in X-API-Key", Gate::Plain, with(&format!("Bearer {key}")), Err(MalformedKey)),
        case("a key in quotes", Gate::Plain, with(&format!("\"{key}\"")), Err(MalformedKey)),
        case("a key with a letter more", Gate::Plain, with(&format!("{key}0")), Err(MalformedKey)),
        case("a key with a letter less", Gate::Plain, with(&key[..key.len() - 1]), Err(MalformedKey)),
        case("a key in capitals", Gate::Plain, with(&key.to_uppercase()), Err(MalformedKey)),
        case("a key in UTF-8", Gate::Plain, with("schlüssel"), Err(MalformedKey)),
        case(
            "bytes that are no text",
            Gate::Plain,
            Request::new().header("x-api-key", b"\xff\xfe\x80"),
            Err(MalformedKey),
        ),
        case("a bearer that is no text", Gate::Plain, bearer(b"Bearer \xff"), Err(MalformedKey)),
        case("as long as is looked at", Gate::Plain, with(&long), Err(MalformedKey)),
        case("longer than is looked at", Gate::Plain, with(&longer), Err(MalformedKey)),
        case("another header by choice", Gate::Sources, Request::new().header("x-acme-key", key), Ok("ada")),
        case(
            "a cookie by choice",
            Gate::Sources,
            Request::new().header("cookie", format!("a=b; acme={key}")),
            Ok("ada"),
        ),
        case(
            "both by choice",
            Gate::Sources,
            with(key).header("cookie", format!("acme={key}")),
            Err(MultipleCredentials),
        ),
        case("nothing where any is read", Gate::Sources, Request::new().header("cookie", "a=b"), Err(MissingKey)),
    ]
}

fn keys(world: &World) -> Vec<Case> {
    vec![
        case("a forged tag", Gate::Plain, with(&support::forged(&world.key)), Err(InvalidKey)),
        case("another deployment's key", Gate::Plain, with(&world.foreign), Err(InvalidKey)),
        case("a deleted key", Gate::Plain, with(&world.deleted), Err(InvalidKey)),
        case("another secret under a known id", Gate::Plain, with(&world.wrong_secret), Err(InvalidKey)),
        case("an expired key", Gate::Plain, with(&world.expired), Err(KeyExpired)),
        case("a key that is not valid yet", Gate::Plain, with(&world.not_yet_valid), Err(KeyNotYetValid)),
        case("an inactive key", Gate::Plain, with(&world.inactive), Err(KeyInactive)),
        case("a revoked key", Gate::Plain, with(&world.revoked), Err(KeyRevoked)),
        case(
            "a suspended organization",
            Gate::Plain,
            with(&world.of_suspended_organization),
            Err(OrganizationSuspended),
        ),
        case("a suspended project", Gate::Plain, with(&world.of_suspended_project), Err(ProjectSuspended)),
        case("a suspended user", Gate::Plain, with(&world.of_suspended_user), Err(UserSuspended)),
        case("another environment's key", Gate::Plain, with(&world.staging), Err(EnvironmentMismatch)),
        case("a key where another environment is asked for", Gate::Staging, with(&world.key), Err(EnvironmentMismatch)),
        case("a key of the environment asked for", Gate::Staging, with(&world.staging), Ok("ada")),
        case("a key of the high tier", Gate::Plain, with(&world.high_tier), Ok("ada")),
        case("a key that was rotated", Gate::Plain, with(&world.rotated), Ok("ada")),
        case("an imported key", Gate::Plain, with(&world.imported), Ok("ada")),
        case("a text of an imported key's form", Gate::Plain, with(&world.imported_unknown), Err(InvalidKey)),
        case("an imported key that is revoked", Gate::Plain, with(&world.imported_revoked), Err(KeyRevoked)),
        case("its successor", Gate::Plain, with(&world.successor.text), Ok("ada")),
    ]
}

fn grants(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    for (scoped, permitted) in [(Gate::Scope, Gate::Permission), (Gate::ScopeWithin, Gate::PermissionWithin)] {
        cases.extend([
            case("a scope that covers", scoped, with(&world.reader), Ok("ada")),
            case("a scope that does not", scoped, with(&world.other_reader), Err(ScopeNotAuthorized)),
            case("a scope that only begins alike", scoped, with(&world.near_reader), Err(ScopeNotAuthorized)),
            case("no scope at all", scoped, with(&world.unscoped), Err(ScopeNotAuthorized)),
            case("a permission in place of a scope", scoped, with(&world.permitted_only), Err(ScopeNotAuthorized)),
            case("a permission that covers", permitted, with(&world.writer), Ok("ada")),
            case("a permission that is missing", permitted, with(&world.reader), Err(PermissionDenied)),
            case("a permission that the owner's role covers", permitted, with(&world.covered), Ok("boss")),
            case("a permission that it does not", permitted, with(&world.capped), Err(PermissionDenied)),
            case("no key where one is needed for a scope", scoped, Request::new(), Err(MissingKey)),
        ]);
    }
    cases.push(case(
        "two scopes of which one is missing",
        Gate::TwoScopes,
        with(&world.reader),
        Err(ScopeNotAuthorized),
    ));
    cases.push(case("two scopes, both there", Gate::TwoScopes, with(&world.writer), Ok("ada")));
    cases
}

fn addresses(world: &World) -> Vec<Case> {
    // The key may be used from 203.0.113.0/24, and 10.0.0.0/8 is trusted where anybody is.
    let key = &*world.bound;
    let from = |peer| with(key).from(peer);
    let spoofed = |peer| from(peer).header("x-forwarded-for", "203.0.113.7");
    let forwarded = |peer, chain: &str| from(peer).header("x-forwarded-for", chain);
    vec![
        case("the right network", Gate::Plain, from("203.0.113.7"), Ok("ada")),
        case("the right network, mapped into IPv6", Gate::Plain, from("::ffff:203.0.113.7"), Ok("ada")),
        case("the wrong network", Gate::Plain, from("198.51.100.1"), Err(IpNotAllowed)),
        case("the wrong network in IPv6", Gate::Plain, from("2001:db8::1"), Err(IpNotAllowed)),
        case("an unknown peer", Gate::Plain, with(key).of_unknown_peer(), Err(IpNotAllowed)),
        case("a spoofed header, nobody trusted", Gate::Plain, spoofed("198.51.100.1"), Err(IpNotAllowed)),
        case("a spoofed header, a stranger's", Gate::Proxied, spoofed("198.51.100.1"), Err(IpNotAllowed)),
        case(
            "a spoofed header, peer unknown",
            Gate::Proxied,
            spoofed("198.51.100.1").of_unknown_peer(),
            Err(IpNotAllowed),
        ),
        case(
            "a spoofed Forwarded",
            Gate::Proxied,
            from("10.0.0.1").header("forwarded", "for=203.0.113.7"),
            Err(IpNotAllowed),
        ),
        case("a trusted proxy's word", Gate::Proxied, spoofed("10.0.0.1"), Ok("ada")),
        case("a chain of trusted proxies", Gate::Proxied, forwarded("10.0.0.1", "203.0.113.7, 10.2.3.4"), Ok("ada")),
        case(
            "a chain with a spoofed start",
            Gate::Proxied,
            forwarded("10.0.0.1", "203.0.113.7, 192.0.2.1"),
            Err(IpNotAllowed),
        ),
        case(
            "a chain over two lines",
            Gate::Proxied,
            spoofed("10.0.0.1").header("x-forwarded-for", "10.9.9.9"),
            Ok("ada"),
        ),
        case(
            "a spoofed line before the proxy's",
            Gate::Proxied,
            spoofed("10.0.0.1").header("x-forwarded-for", "192.0.2.1"),
            Err(IpNotAllowed),
        ),
        case("an unreadable hop", Gate::Proxied, forwarded("10.0.0.1", "203.0.113.7, unknown"), Err(IpNotAllowed)),
        case("a key bound to nothing, from nowhere", Gate::Plain, with(&world.key).of_unknown_peer(), Ok("ada")),
    ]
}

fn optional(world: &World) -> Vec<Case> {
    vec![
        case("no key where none is needed", Gate::Optional, Request::new(), Ok("stranger")),
        case("basic authentication where no key is needed", Gate::Optional, bearer("Basic YTpi"), Ok("stranger")),
        case("a valid key where none is needed", Gate::Optional, with(&world.key), Ok("ada")),
        case("a malformed one", Gate::Optional, with("x"), Err(MalformedKey)),
        case("a forged one", Gate::Optional, with(&support::forged(&world.key)), Err(InvalidKey)),
        case("a revoked one", Gate::Optional, with(&world.revoked), Err(KeyRevoked)),
        case("two", Gate::Optional, with(&world.key).header("x-api-key", &*world.key), Err(MultipleCredentials)),
    ]
}

fn without_a_store(world: &World) -> Vec<Case> {
    vec![
        case("a good key, store down", Gate::Plain, with(&world.key), Err(StoreUnavailable)),
        case("a revoked key, store down", Gate::Plain, with(&world.revoked), Err(StoreUnavailable)),
        case("a good key where none is needed, store down", Gate::Optional, with(&world.key), Err(StoreUnavailable)),
        case("no key, store down", Gate::Plain, Request::new(), Err(MissingKey)),
        case("no key where none is needed, store down", Gate::Optional, Request::new(), Ok("stranger")),
        case("a malformed key, store down", Gate::Plain, with("x"), Err(MalformedKey)),
        case("a forged key, store down", Gate::Plain, with(&support::forged(&world.key)), Err(InvalidKey)),
        case(
            "a forged key, store never seen",
            Gate::NeverOpened,
            with(&support::forged(&world.key)),
            Err(StoreUnavailable),
        ),
        case("a malformed key, store never seen", Gate::NeverOpened, with("x"), Err(MalformedKey)),
    ]
}

#[actix_web::test]
async fn every_adapter_gives_the_same_answer() {
    // With every key read for each request, and with keys kept: the second time each is decided from what was kept.
    for (capacity, rounds) in [(0, 1), (1_000, 2)] {
        let world = World::new(capacity).await;
        let mut reasons = Vec::new();
        for _ in 0..rounds {
            let groups = [credentials(&world), keys(&world), grants(&world), addresses(&world), optional(&world)];
            reasons.extend(compare(&world, groups.into_iter().flatten()).await);
        }
        world.store.fail();
        if capacity > 0 {
            let kept = case("a key that is kept, store down", Gate::Plain, with(&world.key), Ok("ada"));
            compare(&world, [kept]).await;
        }
        world.store.lapse();
        reasons.extend(compare(&world, without_a_store(&world)).await);
        world.store.heal();
        compare(&world, credentials(&world)).await;

        // Every reason is in the table, but for the limits', which have one of their own.
        let untried: Vec<_> = DenialReason::ALL.into_iter().filter(|reason| !reasons.contains(reason)).collect();
        assert_eq!(untried, [RateLimitExceeded]);
    }
}

#[actix_web::test]
async fn every_adapter_charges_alike_and_tells_the_same_of_limits() {
    for sequence in limits::sequences() {
        sequence.compare().await;
    }
}

#[actix_web::test]
async fn every_adapter_counts_alike() {
    usage::compare().await;
}

#[actix_web::test]
async fn every_adapter_tells_the_same_of_a_key_that_was_rotated() {
    for capacity in [0, 1_000] {
        let world = World::new(capacity).await;
        let link = format!("<urn:uuid:{}>; rel=\"successor-version\"", world.successor.id);
        let told = [Some("@1767232800"), Some("Thu, 08 Jan 2026 02:00:00 GMT"), Some(&*link)];
        let nothing = [None; 3];
        for (what, gate, key, expected) in [
            ("a key that was rotated", Gate::Plain, &world.rotated, told),
            ("once more", Gate::Plain, &world.rotated, told),
            ("one that a requirement within refuses", Gate::ScopeWithin, &world.rotated, told),
            ("one that the layer refuses", Gate::Scope, &world.rotated, nothing),
            ("its successor", Gate::Plain, &world.successor.text, nothing),
            ("a key that was not", Gate::Plain, &world.key, nothing),
        ] {
            let request = with(key);
            let axum = ask_axum(world.manager(gate), gate, &request).await;
            let actix = ask_actix(world.manager(gate), gate, &request).await;
            assert_eq!(axum, actix, "{what}");
            let tonic = ask_tonic(world.manager(gate), gate, &request).await;
            let metadata = tonic.map_or_else(|status| status.metadata().clone(), |(_, metadata)| metadata);
            let fields = ["deprecation", "sunset", "link"];
            assert_eq!(fields.map(|name| axum.header(name)), expected, "{what}");
            let of_tonic = fields.map(|name| metadata.get(name).map(|value| value.to_str().unwrap()));
            assert_eq!(of_tonic, expected, "{what}");
        }
    }
}

/// Puts every case to all three, and gives the reasons that were met.
async fn compare(world: &World, cases: impl IntoIterator<Item = Case>) -> Vec<DenialReason> {
    let mut reasons = Vec::new();
    for Case { what, gate, request, expected } in cases {
        let axum = ask_axum(world.manager(gate), gate, &request).await;
        let actix = ask_actix(world.manager(gate), gate, &request).await;
        assert_eq!(axum, actix, "{what}");
        check(what, &axum, expected);

        let tonic = ask_tonic(world.manager(gate), gate, &request).await;
        match expected {
            Ok(user) => assert_eq!(tonic.expect(what).0, user, "{what}"),
            Err(reason) => {
                let status = tonic.expect_err(what);
                let told = status.metadata().get("x-keygate-reason").map(|value| value.to_str().unwrap());
                assert_eq!(told, Some(reason.as_str()), "{what}");
                assert_eq!(status.code() as i32, i32::from(keygate::http::answer::grpc_code(reason)), "{what}");
                assert_eq!(status.message(), axum.problem()["detail"], "{what}");
                let pushback = status.metadata().contains_key("grpc-retry-pushback-ms");
                assert_eq!(pushback, axum.header("retry-after").is_some(), "{what}");
            }
        }
        reasons.extend(expected.err());
    }
    reasons
}

/// What must hold of an answer, by itself.
fn check(what: &str, answer: &Answer, expected: Result<&str, DenialReason>) {
    assert_eq!(answer.reason, expected.err(), "{what}");
    match expected {
        Ok(user) => {
            assert_eq!(answer.status, 200, "{what}");
            assert_eq!(String::from_utf8_lossy(&answer.body), user, "{what}");
        }
        Err(reason) => {
            assert_eq!(answer.status, keygate::http::answer::status(reason), "{what}");
            assert_eq!(answer.problem()["reason"], reason.as_str(), "{what}");
            assert_eq!(answer.problem()["status"], answer.status, "{what}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
            let challenged = answer.status == 401 || matches!(reason, MultipleCredentials | ScopeNotAuthorized);
            assert_eq!(answer.header("www-authenticate").is_some(), challenged, "{what}");
            assert_eq!(answer.header("retry-after").is_some(), answer.status == 503, "{what}");
        }
    }
}
