//! The configuration that is shipped for nginx, before a real one: a service behind it, and clients who try things.

use crate::forward_auth::checks;
use crate::forward_auth::proxy::Proxy;
use crate::forward_auth::site::{Site, lines};

macro_rules! behind_nginx {
    ($($check:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                let Some(mut site) = Site::new(Proxy::Nginx).await else { return };
                checks::$check(&mut site).await;
            }
        )*
    };
}

behind_nginx! {
    a_valid_key_is_named_to_the_service,
    nobody_is_who_he_says,
    refusals_are_keygates_own,
    the_clients_query_is_not_keygates,
    a_key_is_bound_to_its_clients_address,
    no_path_leads_past_the_guard,
    answers_of_the_service_are_its_own,
    trouble_is_503,
    without_keygate_nobody_is_let_in,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_keygate_is_nothing_a_client_can_call() {
    let Some(site) = Site::new(Proxy::Nginx).await else { return };
    let key = format!("X-API-Key: {}\r\n", site.world.key.text.expose());
    for path in ["/_keygate/any", "/_keygate/reports", "/_keygate/any?scope=x"] {
        assert_eq!(site.ask(&format!("GET {path}"), &key).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_gets_no_key_and_all_other_credentials() {
    let Some(site) = Site::new(Proxy::Nginx).await else { return };
    let key = site.world.key.text.expose();
    for (path, credentials, passed) in [
        ("/reports/a", format!("Authorization: Bearer {key}\r\n"), None),
        ("/reports/a", format!("authorization: bEARER  {key}\r\n"), None),
        ("/reports/a", format!("Authorization: Basic YTpi\r\nX-API-Key: {key}\r\n"), Some("Basic YTpi")),
        ("/open/a", format!("Authorization: Bearer {key}\r\nX-API-Key: {key}\r\n"), None),
        ("/open/a", "Authorization: Basic YTpi\r\n".to_owned(), Some("Basic YTpi")),
    ] {
        let response = site.ask(&format!("GET {path}"), &credentials).await;
        assert_eq!(response.status, 200, "{response:?}");
        assert!(!response.body.contains(key), "{response:?}");
        let lines = lines(&response.json());
        let found = lines.iter().find(|(name, _)| name == "authorization").map(|(_, value)| value.as_str());
        assert_eq!(found, passed, "{credentials}");
    }
}
