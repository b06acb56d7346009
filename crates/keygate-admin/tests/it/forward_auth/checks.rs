//! What must be so behind every proxy.

use keygate_core::scope::ScopeSet;
use serde_json::Value;

use crate::forward_auth::proxy::Proxy;
use crate::forward_auth::site::{CLIENT, Site, claims, lines};
use crate::forward_auth::wire::Response;
use crate::support::world::{forged, make, networks};

/// All that a client may try to be taken for somebody else by.
const CLAIMS: &str = "X-Keygate-User: root\r\n\
    x-keygate-user: root\r\n\
    X-KEYGATE-USER: root\r\n\
    X_Keygate_User: root\r\n\
    X-Keygate_User: root\r\n\
    X.Keygate.User: root\r\n\
    X~Keygate!User: root\r\n\
    x_keygate-scopes: **\r\n\
    X-Keygate-Scopes: **\r\n\
    X-Keygate-Scopes: admin:**\r\n\
    X-Keygate-Organization: system\r\n\
    X-Keygate-Key-Id: 00000000-0000-0000-0000-000000000000\r\n";

fn with(key: &str) -> String {
    format!("X-API-Key: {key}\r\n")
}

fn key_of(site: &Site) -> String {
    with(site.world.key.text.expose())
}

/// What the service is to be told of `world.key`.
fn identity(site: &Site) -> Vec<(String, String)> {
    let key = &site.world.key.key;
    let scopes: Vec<_> = key.scopes.iter().map(ToString::to_string).collect();
    let named = |name: &str, value: String| (format!("x-keygate-{name}"), value);
    let mut identity = vec![
        named("key-id", key.id.to_string()),
        named("organization", key.organization.to_string()),
        named("user", key.user.to_string()),
        named("scopes", scopes.join(" ")),
    ];
    identity.sort();
    identity
}

fn told(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

fn sorted_claims(told: &Value) -> Vec<(String, String)> {
    let mut claims = claims(told);
    claims.sort();
    claims
}

/// The service learns whose key it is, and gets the request as it was, without the key.
pub async fn a_valid_key_is_named_to_the_service(site: &Site) {
    let key = site.world.key.text.expose();
    let bearer = format!("Authorization: Bearer {key}\r\n");
    for (path, credentials) in
        [("/a%20b?c=d&c=%2F", key_of(site)), ("/reports/a", key_of(site)), ("/reports/a", bearer)]
    {
        let request = format!(
            "PUT {path} HTTP/1.1\r\nHost: service.example\r\nConnection: close\r\n{credentials}Content-Length: 5\r\nX-Own: o\r\n\r\nhello"
        );
        let told = told(&site.send(&request).await);
        assert_eq!(sorted_claims(&told), identity(site), "{path}");
        assert_eq!((&told["method"], &told["body"]), (&"PUT".into(), &"hello".into()));
        assert_eq!(told["uri"], path);
        let lines = lines(&told);
        assert!(lines.contains(&("x-own".into(), "o".into())), "{lines:?}");
        assert!(!lines.iter().any(|(name, _)| name == "x-api-key"), "{lines:?}");
        let forwarded: Vec<_> = lines.iter().filter(|(name, _)| name == "x-forwarded-for").collect();
        assert_eq!(forwarded, [&("x-forwarded-for".to_owned(), CLIENT.to_string())]);
    }
    // Up to 64 scopes of 256 bytes.
    let scopes: Vec<_> = (0..64).map(|number| format!("{number:0>255}")).collect();
    let wide = make(&site.world.api.manager, |new| new.scopes = Some(ScopeSet::parse(&scopes).unwrap())).await;
    let told = told(&site.ask("GET /", &with(wide.text.expose())).await);
    assert!(claims(&told).contains(&("x-keygate-scopes".to_owned(), scopes.join(" "))));
}

/// What a client says of itself reaches the service under no spelling, with a key or where none is needed.
pub async fn nobody_is_who_he_says(site: &Site) {
    let headers = format!("{CLAIMS}{}", key_of(site));
    for path in ["/", "/reports/a"] {
        assert_eq!(sorted_claims(&told(&site.ask(&format!("GET {path}"), &headers).await)), identity(site), "{path}");
    }
    assert_eq!(claims(&told(&site.ask("GET /open/a", CLAIMS).await)), []);
    assert_eq!(claims(&told(&site.ask("GET /open/a", &headers).await)), []);

    // A key without scopes has none, whatever the client says.
    let unscoped = make(&site.world.api.manager, |new| new.scopes = Some(ScopeSet::empty())).await;
    let headers = format!("{CLAIMS}{}", with(unscoped.text.expose()));
    let told_of = told(&site.ask("GET /", &headers).await);
    let scopes: Vec<_> =
        claims(&told_of).into_iter().filter(|(name, value)| name.ends_with("scopes") && !value.is_empty()).collect();
    assert_eq!(scopes, []);
    // Who calls a header one of this connection alone may take one away, and not make one up.
    let request = format!(
        "GET / HTTP/1.1\r\nHost: service.example\r\nConnection: close, X-Keygate-User, X-Keygate-Scopes\r\n{CLAIMS}{}\r\n",
        key_of(site)
    );
    let (identity, told) = (identity(site), told(&site.send(&request).await));
    assert!(claims(&told).iter().all(|claim| identity.contains(claim)), "{told}");
}

/// Refusals are keygate's own, and the service hears of none.
pub async fn refusals_are_keygates_own(site: &Site) {
    let world = &site.world;
    let key = world.key.text.expose();
    let two = format!("X-API-Key: {key}\r\nAuthorization: Bearer {key}\r\n");
    let twice = format!("X-API-Key: {key}\r\nX-API-Key: {key}\r\n");
    site.served();
    for (path, headers, status, reason) in [
        ("/reports/a.html", String::new(), 401, "missing_key"),
        ("/", CLAIMS.to_owned(), 401, "missing_key"),
        ("/", two, 400, "multiple_credentials"),
        ("/", with("x"), 401, "malformed_key"),
        ("/", with(&forged(key)), 401, "invalid_key"),
        ("/", with(&world.revoked), 401, "key_revoked"),
        ("/", with(&world.expired), 401, "key_expired"),
        ("/", with(&world.staging), 401, "environment_mismatch"),
        ("/?environment=staging", with(&world.staging), 401, "environment_mismatch"),
        ("/", with(&world.of_suspended_organization), 403, "organization_suspended"),
        ("/reports/a.json", with(&world.plain), 403, "scope_not_authorized"),
        ("/reports/a?scope=**", with(&world.plain), 403, "scope_not_authorized"),
        ("/", with(&world.bound), 403, "ip_not_allowed"),
    ] {
        let response = site.ask(&format!("GET {path}"), &headers).await;
        assert_eq!((response.status, &response.json()["reason"]), (status, &reason.into()), "{path} {reason}");
        let query = if path.starts_with("/reports") { "scope=reports:read" } else { "" };
        let own = site.ask_keygate(query, &headers).await;
        assert_eq!((response.status, &response.body), (own.status, &own.body), "{reason}");
        for name in ["content-type", "www-authenticate", "retry-after", "cache-control"] {
            assert_eq!(response.all(name), own.all(name), "{name} of {reason}");
        }
        assert!(!response.headers.iter().any(|(name, _)| name.starts_with("x-keygate")), "{response:?}");
    }
    // How many keys a proxy makes of two lines is its own affair, as long as nobody gets in by them.
    let response = site.ask("GET /", &twice).await;
    assert!([400, 401].contains(&response.status), "{response:?}");
    assert_eq!(site.served(), 0);
}

/// What the client asks the service is nothing that it asks keygate.
pub async fn the_clients_query_is_not_keygates(site: &Site) {
    for query in ["page=2", "environment=staging", "scope=x:y", "cost=0", "nginx=1", "a=b?c=d&nginx=0"] {
        for path in ["/", "/reports/"] {
            let told = told(&site.ask(&format!("GET {path}?{query}"), &key_of(site)).await);
            assert_eq!(told["uri"], format!("{path}?{query}"));
        }
    }
}

/// Keys that are bound to networks are, to that of the client.
pub async fn a_key_is_bound_to_its_clients_address(site: &Site) {
    let manager = &site.world.api.manager;
    let here = make(manager, |new| new.allowed_ips = Some(networks(&CLIENT.to_string()))).await;
    let elsewhere = make(manager, |new| new.allowed_ips = Some(networks("192.0.2.0/24"))).await;
    let proxys = make(manager, |new| new.allowed_ips = Some(networks("127.0.0.1"))).await;
    assert_eq!(site.ask("GET /", &with(here.text.expose())).await.status, 200);
    for spoofed in [
        "",
        "X-Forwarded-For: 192.0.2.7\r\n",
        "X-Forwarded-For: 192.0.2.7, 127.0.0.1\r\n",
        "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-For: 192.0.2.7\r\n",
        "Forwarded: for=192.0.2.7\r\nX-Real-IP: 192.0.2.7\r\n",
        "X_Forwarded_For: 192.0.2.7\r\n",
        "X-Forwarded-For: 192.0.2.7\r\nX-Envoy-External-Address: 192.0.2.7\r\n",
    ] {
        let headers = |key: &str| format!("{spoofed}{}", with(key));
        assert_eq!(site.ask("GET /", &headers(here.text.expose())).await.status, 200, "{spoofed}");
        for key in [&elsewhere, &proxys] {
            let response = site.ask("GET /", &headers(key.text.expose())).await;
            assert_eq!((response.status, &response.json()["reason"]), (403, &"ip_not_allowed".into()), "{spoofed}");
        }
    }
}

/// Paths that are put in order by some, after they have dropped what follows a semicolon.
const AFTER_A_SEMICOLON: [&str; 12] = [
    "/open/..;/reports/a",
    "/open/..;x=1/reports/a",
    "/open/..%3b/reports/a",
    "/open/..%3Bx/reports/a",
    "/open/%2e%2E;/reports/a",
    "/open/%2e.%3b/reports/a",
    "/open/a/..;/..;/reports/a",
    "/open/..;",
    "/x/..;/reports/a",
    "/.;/reports/a",
    "/;/reports/a",
    "/%3bx/reports/a",
];

/// A path that two may read as two different ones leads nobody past the guard.
pub async fn no_path_leads_past_the_guard(site: &Site) {
    site.served();
    let mut passed = Vec::new();
    for path in [
        "/open/../reports/a",
        "/open/..%2freports/a",
        "/open/%2e%2e/reports/a",
        "/open/%2E%2E%2Freports/a",
        "/open/..\\reports/a",
        "/open/..%5creports/a",
        "/reports/../open/a",
        "/reports/..%2fopen/a",
        "/reports/%2e%2e/open/a",
        "/reports/.%2e/open/a",
        "//reports/a",
        "/./reports/a",
        "/open/..#/reports/a",
        "/%72eports/a",
        "/REPORTS/a",
        "/Reports",
        "/reports",
        "/reports;x/a",
        "/reports;x",
        "/reports%3bx/a",
        "/REPORTS%3Bx/a",
        "/reports\\a",
        "/\\reports/a",
        "/OPEN/a",
    ]
    .into_iter()
    .chain(AFTER_A_SEMICOLON)
    {
        // Neither is a key of any use here that does not have the scope.
        for headers in [String::new(), with(&site.world.plain)] {
            let response = site.ask(&format!("GET {path}"), &headers).await;
            if response.status == 200 {
                passed.push((path, headers.is_empty(), told(&response)["uri"].as_str().unwrap().to_owned()));
            }
            // Envoy puts those in order whose semicolon is not encoded, and then there is nothing to refuse.
            let in_order = site.proxy == Proxy::Envoy && path.contains(';');
            if AFTER_A_SEMICOLON.contains(&path) && !in_order {
                assert_eq!(response.status, 400, "{path}");
            }
        }
    }
    for (path, without_key, seen) in passed {
        // As the service sees it, which may have no regard to case, nor to what follows a semicolon.
        let mut decoded = seen.to_lowercase();
        for (encoded, plain) in [("%2e", "."), ("%2f", "/"), ("%5c", "/"), ("\\", "/"), ("%3b", ";"), ("%72", "r")] {
            decoded = decoded.replace(encoded, plain);
        }
        let segments = decoded.split('/').map(|segment| segment.split(';').next().unwrap());
        let segments: Vec<_> = segments.filter(|segment| !segment.is_empty() && *segment != ".").collect();
        assert!(!segments.contains(&".."), "{path} is seen as {seen}");
        assert_ne!(segments.first(), Some(&"reports"), "{path} is seen as {seen}");
        assert!(!without_key || seen.starts_with("/open/"), "{path} is seen without a key as {seen}");
    }
    // A semicolon is no offence by itself, and what is guarded by another name is there for those who may.
    assert_eq!(site.ask("GET /open/a;x=1/b..;c", "").await.status, 200);
    for path in ["/reports", "/REPORTS/a", "/reports;x/a"] {
        assert_eq!(site.ask(&format!("GET {path}"), &key_of(site)).await.status, 200, "{path}");
    }
}

/// What the service answers is its own, and where it is not there that is not the key's fault.
pub async fn answers_of_the_service_are_its_own(site: &mut Site) {
    let response = site.ask("GET /reports/refused", &key_of(site)).await;
    assert_eq!((response.status, &response.json()["uri"]), (403, &"/reports/refused".into()));
    assert!(response.all("www-authenticate").is_empty());
    site.stop_service();
    let response = site.ask("GET /reports/a", &key_of(site)).await;
    assert!([502, 503].contains(&response.status), "{response:?}");
}

/// Trouble is 503, and lets nobody in.
pub async fn trouble_is_503(site: &Site) {
    assert_eq!(site.ask("GET /", &key_of(site)).await.status, 200);
    site.served();
    site.world.store.fail();
    site.world.store.lapse();
    for headers in [key_of(site), with(&site.world.revoked)] {
        let response = site.ask("GET /", &headers).await;
        assert_eq!((response.status, &response.json()["reason"]), (503, &"store_unavailable".into()), "{response:?}");
        assert_eq!(response.all("retry-after"), ["1"]);
        assert_eq!(response.all("content-type"), ["application/problem+json"]);
    }
    // What needs no store is refused all the same.
    assert_eq!(site.ask("GET /", "").await.status, 401);
    assert_eq!(site.served(), 0);
    site.world.store.heal();
    assert_eq!(site.ask("GET /", &key_of(site)).await.status, 200);
}

/// Where keygate does not answer, nobody is let in, and what needs no key goes on.
pub async fn without_keygate_nobody_is_let_in(site: &mut Site) {
    assert_eq!(site.ask("GET /", &key_of(site)).await.status, 200);
    site.stop_keygate();
    site.served();
    for path in ["/", "/reports/a"] {
        let response = site.ask(&format!("GET {path}"), &key_of(site)).await;
        assert_eq!(response.status, site.proxy.status_without_keygate(), "{response:?}");
        if response.status == 503 {
            assert_eq!(response.json()["reason"], "store_unavailable");
            assert_eq!(response.all("retry-after"), ["1"]);
            assert_eq!(response.all("content-type"), ["application/problem+json"]);
        }
    }
    assert_eq!(site.served(), 0);
    assert_eq!(site.ask("GET /open/", "").await.status, 200);
}
