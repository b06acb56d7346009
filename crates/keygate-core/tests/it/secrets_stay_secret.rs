//! Promise 9: no secret in Debug, in errors or in the log.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use keygate_core::actor::Operator;
use keygate_core::context::RequestContext;
use keygate_core::key::{KeyText, PresentedKey};
use keygate_core::manager::{ApiKeyManager, CreatedKey, KeyUpdate, OrganizationUpdate};
use keygate_core::names::{Description, KeyName, PrincipalId, Reason};
use keygate_core::record::{KeyRecord, ParentStatus};
use keygate_core::ring::MasterSecret;
use keygate_core::verifier::Verifier;
use keygate_testkit::log::Log;
use secrecy::{ExposeSecret, SecretString};

use crate::support::{Instance, new_key, new_key_with, operator, org, ring, secret, tenant};

/// Every way the secrets of a key and its deployment might be written down.
struct Canaries(Vec<(&'static str, String)>);

impl Canaries {
    fn of(text: &KeyText, record: &KeyRecord, master: &MasterSecret) -> Self {
        let text = text.expose();
        let master: Vec<u8> = STANDARD.decode(master.to_base64().expose_secret()).unwrap();
        let mut canaries = vec![
            ("the key", text.to_owned()),
            ("the key's secret part", text[30..73].to_owned()),
            ("the key's tag", text[73..].to_owned()),
            ("a piece of the secret part", text[40..56].to_owned()),
        ];
        let Verifier::HmacSha256 { digest } = &record.verifier else { panic!("a key of the standard tier") };
        for (what, bytes) in
            [("the key's bytes", text.as_bytes()), ("the digest", digest), ("the master secret", &master)]
        {
            canaries.push((what, list(bytes)));
            canaries.push((what, bytes.iter().map(|byte| format!("{byte:02x}")).collect()));
            canaries.push((what, bytes.iter().map(|byte| format!("{byte:02X}")).collect()));
            canaries.push((what, STANDARD.encode(bytes)));
            canaries.push((what, URL_SAFE_NO_PAD.encode(bytes)));
        }
        Self(canaries)
    }

    /// Fails where the text shows one of them.
    fn are_not_in(&self, place: &str, shown: &str) {
        // `{:#?}` writes one element a line.
        let packed: String = shown.chars().filter(|c| !c.is_whitespace()).collect();
        for (what, canary) in &self.0 {
            assert!(!shown.contains(canary) && !packed.contains(canary), "{place} shows {what}: {shown}");
        }
    }
}

/// Eight bytes from the middle, as `Debug` of a slice writes them.
fn list(bytes: &[u8]) -> String {
    bytes[8..16].iter().map(u8::to_string).collect::<Vec<_>>().join(",")
}

async fn planted() -> (Instance, CreatedKey, Canaries) {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let canaries = Canaries::of(&created.text, &instance.record(created.key.id).await, &secret(1));
    (instance, created, canaries)
}

#[tokio::test]
async fn no_debug_form_shows_a_secret() {
    let (instance, created, canaries) = planted().await;
    let record = instance.record(created.key.id).await;
    let text = created.text.expose().to_owned();
    let presented = PresentedKey::parse(text.as_bytes()).unwrap();
    let attempt = instance.manager.attempt(text.as_bytes(), &RequestContext::new());
    let admission = instance.validate(&text).await.unwrap();
    let builder = ApiKeyManager::builder(instance.memory.clone(), ring(&[1]));
    let (master, ring) = (secret(1), ring(&[1, 2]));
    let passphrase = SecretString::from("correct horse battery staple");
    let shown: [(&str, &dyn std::fmt::Debug); 13] = [
        ("the master secret", &master),
        ("the base64 of the master secret", &master.to_base64()),
        ("the passphrase", &passphrase),
        ("the ring", &ring),
        ("the key's text", &created.text),
        ("the presented key", &presented),
        ("the verifier", &record.verifier),
        ("the record", &record),
        ("the created key", &created),
        ("the attempt", &attempt),
        ("the admission", &admission),
        ("the builder", &builder),
        ("the manager", &instance.manager),
    ];
    for (place, value) in shown {
        canaries.are_not_in(place, &format!("{value:?}"));
        canaries.are_not_in(place, &format!("{value:#?}"));
    }
    assert!(!format!("{passphrase:?}").contains("horse"));
}

/// A manager is shown in logs of services: it names no tenant either.
#[tokio::test]
async fn the_debug_form_of_a_manager_names_no_tenant() {
    let (instance, ..) = planted().await;
    let shown = format!("{:#?}", instance.manager);
    assert!(!shown.contains("acme") && !shown.contains("ada"), "{shown}");
}

#[tokio::test]
async fn the_one_answer_that_shows_the_key_is_the_one_to_its_creation() {
    let (instance, created, canaries) = planted().await;
    let json = serde_json::to_value(&created).unwrap();
    assert_eq!(json["key"], created.text.expose());
    let shown = serde_json::to_string(&instance.manager.get(&operator(), created.key.id).await.unwrap()).unwrap();
    canaries.are_not_in("the key's JSON", &shown);
    assert!(shown.contains("acme"));
}

#[tokio::test]
async fn no_error_repeats_what_was_presented() {
    let (instance, created, canaries) = planted().await;
    let text = created.text.expose();
    for near in [format!("{text} "), text.replace("mcp", "MCP"), format!("x{text}"), text[..83].to_owned()] {
        let denial = instance.validate(&near).await.unwrap_err();
        canaries.are_not_in("a denial", &format!("{denial} {denial:?}"));
    }
    // A master secret given where another form is wanted.
    let master = secret(1).to_base64();
    for near in [format!("{}x", master.expose_secret()), master.expose_secret().replace('=', "")] {
        let error = MasterSecret::from_base64(&SecretString::from(near)).unwrap_err();
        canaries.are_not_in("a secret's error", &format!("{error} {error:?}"));
    }
}

#[tokio::test]
async fn a_planted_key_appears_nowhere_in_the_log_and_its_owner_does() {
    let log = Log::begin();
    let (instance, created, canaries) = planted().await;
    let (id, text, manager) = (created.key.id, created.text.expose(), &instance.manager);
    let _ = instance.validate(text).await;
    let _ = instance.validate(&text[..80]).await;
    let _ = instance.validate(&format!("{}0", &text[..83])).await;
    let _ = manager.get(&tenant("globex", &[]), id).await;
    let mut update = KeyUpdate::new();
    update.description = Some(Description::new("described").unwrap());
    manager.update(&operator(), id, &update, None).await.unwrap();
    // Every kind of trouble, too.
    instance.store.fail();
    let _ = instance.validate(text).await;
    instance.store.heal();
    let _ = instance.beside(ring(&[9])).validate(text).await;
    let moved = instance.beside(ring(&[2, 1]));
    moved.validate(text).await.unwrap();
    moved.manager.deactivate(&operator(), id, None).await.unwrap();
    let _ = moved.validate(text).await;
    moved.manager.revoke(&operator(), id, Some(Reason::new("leaked").unwrap())).await.unwrap();
    let _ = moved.validate(text).await;
    moved.manager.delete(&operator(), id, None).await.unwrap();
    let _ = moved.validate(text).await;
    let boss = Operator::named(PrincipalId::new("boss").unwrap());
    let mut suspended = OrganizationUpdate::default();
    suspended.status = Some(ParentStatus::Suspended);
    moved.manager.update_organization(&boss, &org("acme"), &suspended, None).await.unwrap();
    moved.wipe();
    let _ = moved.validate(text).await;

    let log = log.take();
    canaries.are_not_in("the log", &log);
    for said in
        [&id.to_string(), "acme", "ada", "operator", "created", "updated", "revoked", "deleted", "leaked", "boss"]
    {
        assert!(log.contains(said), "the log does not say {said}: {log}");
    }
}

#[tokio::test]
async fn a_name_cannot_forge_a_line_of_the_log() {
    let log = Log::begin();
    let instance = Instance::new();
    let name = KeyName::new("x\" action=\"revoked\" by=root key_id=1").unwrap();
    instance.create(new_key_with(|new| new.name = Some(name))).await;
    let log = log.take();
    assert!(log.contains("name=\"x\\\" action=\\\"revoked\\\" by=root key_id=1\""), "{log}");
}
