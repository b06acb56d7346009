//! The configurations that are shipped for Caddy, Traefik and Envoy, before real ones. What installs the programs of the
//! tests does not install these, so they run where somebody has put them on the path:
//!
//! ```text
//! cargo test -p keygate-admin --test it forward_auth_others -- --ignored
//! ```

use crate::forward_auth::checks;
use crate::forward_auth::proxy::Proxy;
use crate::forward_auth::site::Site;

async fn check_all(proxy: Proxy) {
    let Some(mut site) = Site::new(proxy).await else { return };
    checks::a_valid_key_is_named_to_the_service(&site).await;
    checks::nobody_is_who_he_says(&site).await;
    checks::refusals_are_keygates_own(&site).await;
    checks::the_clients_query_is_not_keygates(&site).await;
    checks::a_key_is_bound_to_its_clients_address(&site).await;
    checks::no_path_leads_past_the_guard(&site).await;
    checks::trouble_is_503(&site).await;
    checks::without_keygate_nobody_is_let_in(&mut site).await;
    checks::answers_of_the_service_are_its_own(&mut Site::new(proxy).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs caddy on the path"]
async fn caddy() {
    check_all(Proxy::Caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs traefik on the path"]
async fn traefik() {
    check_all(Proxy::Traefik).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs envoy on the path"]
async fn envoy() {
    check_all(Proxy::Envoy).await;
}
