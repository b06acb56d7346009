//! Others' accidents, and what keygate does instead. Those of HTTP and of fleets are tested where they could happen.

use std::net::IpAddr;

use chrono::TimeDelta;
use keygate_core::context::RequestContext;
use keygate_core::denial::{Denial, DenialReason};
use keygate_core::key::KeyId;
use keygate_core::manager::{Expiry, KeyFilter};
use keygate_core::names::{Environment, KeyName, Prefix};
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::store::Store;
use keygate_core::verifier::Verifier;

use crate::support::{Instance, new_key, new_key_with, operator, org, ring, scope, scopes, tenant, word};

async fn check(instance: &Instance, text: &str, context: &RequestContext) -> Result<(), DenialReason> {
    instance.manager.validate(text, context).await.map(drop).map_err(|denial| denial.reason())
}

/// A field of the body chose whose key was made.
#[tokio::test]
async fn better_auth_cve_2025_61928_the_tenant_comes_from_the_actor_alone() {
    let instance = Instance::new();
    let stranger = tenant("globex", &["**"]);
    let refusal = instance.manager.create(&stranger, new_key()).await.unwrap_err();
    assert_eq!(word(&refusal), "parent not found");
    assert_eq!(instance.store.calls().create, 0);
    let own = new_key_with(|new| new.organization = org("globex"));
    assert_eq!(instance.manager.create(&stranger, own).await.unwrap().key.created_by, *stranger.principal());
}

/// Empty scopes meant all scopes.
#[tokio::test]
async fn grav_cve_2026_62231_an_empty_list_grants_nothing() {
    let instance = Instance::new();
    let created = instance.create(new_key_with(|new| new.scopes = Some(scopes(&[])))).await;
    for asked in ["default", "a", "*", "**"] {
        let (on, to) =
            (RequestContext::new().needing_scope(scope(asked)), RequestContext::new().needing_permission(scope(asked)));
        assert_eq!(check(&instance, created.text.expose(), &on).await, Err(DenialReason::ScopeNotAuthorized));
        assert_eq!(check(&instance, created.text.expose(), &to).await, Err(DenialReason::PermissionDenied));
    }
    let mayor = tenant("acme", &[]);
    let refusal =
        instance.manager.create(&mayor, new_key_with(|new| new.grantable = scopes(&["**"]))).await.unwrap_err();
    assert_eq!(word(&refusal), "not grantable");
}

/// A path was compared by its beginning.
#[tokio::test]
async fn scitokens_cve_2026_32716_john_is_not_johnathan() {
    let instance = Instance::new();
    let created =
        instance.create(new_key_with(|new| new.scopes = Some(scopes(&["files:/john", "files:/john:**"])))).await;
    for (asked, allowed) in
        [("files:/john", true), ("files:/john:notes", true), ("files:/johnathan", false), ("files:/john2:x", false)]
    {
        let context = RequestContext::new().needing_scope(scope(asked));
        assert_eq!(check(&instance, created.text.expose(), &context).await.is_ok(), allowed, "{asked}");
    }
}

/// A decision made for one request was used for another.
#[tokio::test]
async fn oathkeeper_cve_2021_32701_and_duende_ghsa_84rm_every_request_is_decided_anew() {
    let instance = Instance::new();
    let created = instance
        .create(new_key_with(|new| {
            new.scopes = Some(scopes(&["files:read"]));
            new.allowed_ips = Some(CidrSet::new([Cidr::new("192.0.2.1").unwrap()]).unwrap());
            new.expiry = Expiry::In(TimeDelta::hours(1));
        }))
        .await;
    let text = created.text.expose();
    let good = RequestContext::new().from_address("192.0.2.1".parse().unwrap()).needing_scope(scope("files:read"));
    let elsewhere = good.clone().from_address("192.0.2.2".parse().unwrap());
    let beyond = good.clone().needing_scope(scope("files:write"));
    let abroad = good.clone().in_environment(Environment::new("prod").unwrap());
    for _ in 0..2 {
        assert_eq!(check(&instance, text, &good).await, Ok(()));
        assert_eq!(check(&instance, text, &elsewhere).await, Err(DenialReason::IpNotAllowed));
        assert_eq!(check(&instance, text, &beyond).await, Err(DenialReason::ScopeNotAuthorized));
        assert_eq!(check(&instance, text, &abroad).await, Err(DenialReason::EnvironmentMismatch));
    }
    instance.clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(check(&instance, text, &good).await, Err(DenialReason::KeyExpired));
}

/// bcrypt read 72 bytes: behind a long name any password would do.
#[tokio::test]
async fn okta_2024_every_byte_of_the_longest_key_counts() {
    let long = "p".repeat(16);
    let instance = Instance::built(ring(&[1]), |builder| {
        builder.prefix(Prefix::new(&long).unwrap()).environment(Environment::new(&long).unwrap())
    });
    let (a, b) = (instance.create(new_key()).await, instance.create(new_key()).await);
    let (a, b) = (a.text.expose(), b.text.expose());
    assert!(a.len() > 72);
    for at in 64..a.len() {
        let changed = format!("{}{}{}", &a[..at], if &a[at..=at] == "x" { "y" } else { "x" }, &a[at + 1..]);
        assert_eq!(instance.refusal(&changed).await, DenialReason::InvalidKey, "at {at}");
        let grafted = format!("{}{}", &a[..at], &b[at..]);
        assert!(grafted == a || instance.validate(&grafted).await.is_err());
    }
    // What stands between two fields cannot wander from one into the other.
    let moved = a.replacen(&format!("{long}_{long}_"), &format!("{}_p{long}_", &long[1..]), 1);
    assert_ne!(moved, a);
    assert!(instance.validate(&moved).await.is_err());
}

/// Time told unknown keys from known ones. Ours do the same work: one read, and none for as long as that holds.
#[tokio::test]
async fn fastapi_api_key_cve_2026_23996_an_unknown_id_and_a_wrong_secret_are_one_answer() {
    let instance = Instance::new();
    let (unknown, wrong) = (instance.create(new_key()).await, instance.create(new_key()).await);
    instance.manager.revoke(&operator(), unknown.key.id, None).await.unwrap();
    instance.manager.delete(&operator(), unknown.key.id, None).await.unwrap();
    let mut record = instance.record(wrong.key.id).await;
    let revision = record.key.revision;
    (record.verifier, record.key.revision) = (Verifier::HmacSha256 { digest: [0; 32] }, revision.next());
    instance.memory.replace(&record, revision).await.unwrap();

    for created in [&unknown, &wrong] {
        instance.store.reset_calls();
        let denial = instance.validate(created.text.expose()).await.unwrap_err();
        assert_eq!(denial, Denial::new(DenialReason::InvalidKey), "nothing tells the two apart");
        assert_eq!(instance.store.calls().load_record, 1, "the record is read, whatever comes of it");
        let denial = instance.validate(created.text.expose()).await.unwrap_err();
        assert_eq!(denial, Denial::new(DenialReason::InvalidKey), "nor what is remembered of them");
        assert_eq!(instance.store.calls().load_record, 1);
    }
    // A stranger's guess at an id never reaches the store, and so learns nothing from time either.
    let guess = format!("{}{}", &wrong.text.expose()[..30], "0".repeat(54));
    instance.store.reset_calls();
    assert_eq!(instance.validate(&guess).await.unwrap_err(), Denial::new(DenialReason::InvalidKey));
    assert_eq!(instance.store.calls().total(), 0);
}

/// Only the holder of the whole secret learns that a key is revoked.
#[tokio::test]
async fn fastapi_api_key_cve_2026_23996_a_stranger_does_not_learn_that_a_key_is_revoked() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    instance.manager.revoke(&operator(), created.key.id, None).await.unwrap();
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::KeyRevoked);
    let other = instance.create(new_key()).await;
    let guess = format!("{}{}", &created.text.expose()[..30], &other.text.expose()[30..]);
    assert_eq!(instance.refusal(&guess).await, DenialReason::InvalidKey);
}

/// An IPv4 address written as IPv6 was another address.
#[tokio::test]
async fn proxy_addr_cve_2026_90711_and_express_rate_limit_cve_2026_30827_mapped_addresses_are_ipv4() {
    let instance = Instance::new();
    for network in ["10.0.0.0/8", "::ffff:10.0.0.0/104"] {
        let created = instance
            .create(new_key_with(|new| new.allowed_ips = Some(CidrSet::new([Cidr::new(network).unwrap()]).unwrap())))
            .await;
        for (address, allowed) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("::ffff:a01:203", true),
            ("::ffff:11.0.0.1", false),
            ("::10.1.2.3", false),
        ] {
            let context = RequestContext::new().from_address(address.parse::<IpAddr>().unwrap());
            assert_eq!(check(&instance, created.text.expose(), &context).await.is_ok(), allowed, "{network} {address}");
        }
    }
}

/// Names with terminal escapes in them reached terminals.
#[test]
fn rustsec_2025_0055_no_name_carries_a_terminal_escape() {
    for bad in [
        "\u{1b}[2J",
        "\u{9b}31m",
        "a\rb",
        "a\nb",
        "a\u{7f}",
        "a\0",
        "\u{202e}dlrow",
        "\u{2066}x",
        "a\u{200d}b",
        "\u{61c}x",
    ] {
        assert!(KeyName::new(bad).is_err(), "{bad:?}");
        let refusal = KeyName::new(bad).unwrap_err();
        assert!(!format!("{refusal} {refusal:?}").contains(bad), "and the refusal does not repeat it");
    }
    for good in ["Schlüssel", "網站", "clé 🔑", "ключ"] {
        assert!(KeyName::new(good).is_ok());
    }
}

/// One removal took more than it was meant for.
#[tokio::test]
async fn unkey_a_removal_touches_its_target_alone() {
    let instance = Instance::new();
    let mut kept = Vec::new();
    for _ in 0..5 {
        kept.push(instance.create(new_key()).await);
    }
    let removed = kept.remove(2);
    instance.manager.revoke(&operator(), removed.key.id, None).await.unwrap();
    instance.manager.delete(&operator(), removed.key.id, None).await.unwrap();
    for created in &kept {
        assert_eq!(instance.manager.get(&operator(), created.key.id).await.unwrap(), created.key);
        assert!(instance.validate(created.text.expose()).await.is_ok());
    }
    let page = instance.manager.list(&operator(), &org("acme"), &KeyFilter::default(), 10, None).await.unwrap();
    assert_eq!(page.keys.len(), 4);
}

/// A revoked key was still let in.
#[tokio::test]
async fn tyk_2083_kong_5705_and_litellm_32816_a_revoked_key_is_refused_at_its_next_use() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let beside = instance.beside(ring(&[1]));
    for _ in 0..3 {
        assert!(
            instance.validate(created.text.expose()).await.is_ok()
                && beside.validate(created.text.expose()).await.is_ok()
        );
    }
    instance.manager.revoke(&operator(), created.key.id, None).await.unwrap();
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::KeyRevoked);
    assert_eq!(beside.refusal(created.text.expose()).await, DenialReason::KeyRevoked);
}

/// Two keys had one hash of 32 bits.
#[tokio::test]
async fn tyk_3192_ids_are_128_bits_and_digests_256() {
    let instance = Instance::new();
    // All in one millisecond, which the ids begin with.
    let made = instance.manager.create_many(&operator(), vec![new_key(); 2_000]).await;
    let made: Vec<_> = made.into_iter().map(|created| created.unwrap()).collect();
    let ids: std::collections::BTreeSet<KeyId> = made.iter().map(|created| created.key.id).collect();
    assert_eq!(ids.len(), 2_000);
    let mut digests = std::collections::BTreeSet::new();
    for id in ids {
        let Verifier::HmacSha256 { digest } = instance.record(id).await.verifier else { panic!("a standard key") };
        assert!(digests.insert(digest));
    }
}
