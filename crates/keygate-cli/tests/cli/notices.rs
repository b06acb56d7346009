//! `keygate webhooks` and `keygate notices`, on a store and through a server: the same words and documents on both.

use serde_json::{Value, json};

use crate::server::{Authority, Deployment};
use crate::support::{Home, NO_KEY, SECRET};

const WEBHOOK: &str = "https://example.com/keygate?to=team";
const NO_WEBHOOK: &str = "wh_000102030405060708090a0b0c0d0e0f";
const NO_NOTICE: &str = "msg_000102030405060708090a0b0c0d0e0f";

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value}"))
}

/// A store in a file, with an organization's key in it.
fn on_a_store() -> Home {
    let home = Home::new().with("KEYGATE_SECRET", SECRET);
    // Also on a machine that trusts nobody: nothing is sent by these commands.
    let authorities = home.path("authorities.pem");
    std::fs::write(&authorities, Authority::new().pem()).unwrap();
    let home = home.with("SSL_CERT_FILE", authorities.to_str().unwrap());
    home.create(&["--user", "ada", "--no-scopes"]);
    home
}

/// What both desks do alike.
fn webhooks(home: &Home) {
    let webhooks = |args: &[&str]| home.run(&[&["webhooks"], args].concat());
    let none = webhooks(&["list", "--org", "acme"]).done();
    assert_eq!((&*none.stdout, &*none.stderr), ("", "note: it has no webhook\n"));
    assert_eq!(webhooks(&["list", "--org", "acme", "--json"]).done().json(), json!({"webhooks": []}));
    webhooks(&["test", "--org", "acme"]).refused("there is no such webhook");

    // Its secret is in this document alone.
    let kinds = ["--event", "key.revoked", "--event", "key.expiring"];
    let made = webhooks(&[&["create", "--org", "acme", WEBHOOK, "--json"], &kinds[..]].concat()).done();
    assert_eq!(made.stderr, "");
    let mut shown = made.json();
    let fields: Vec<_> = shown.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["created_at", "created_by", "disabled", "events", "secret", "url", "webhook_id"]);
    let secret = word(&shown["secret"]).to_owned();
    assert!(secret.starts_with("whsec_"), "{secret}");
    let mut events: Vec<_> = shown["events"].as_array().unwrap().iter().map(word).collect();
    events.sort_unstable();
    assert_eq!((events, word(&shown["url"])), (vec!["key.expiring", "key.revoked"], WEBHOOK));
    shown.as_object_mut().unwrap().remove("secret");
    let id = word(&shown["webhook_id"]);
    assert_eq!(webhooks(&["list", "--org", "acme", "--json"]).done().json(), json!({ "webhooks": [shown] }));
    let listed = webhooks(&["list", "--org", "acme"]).done().stdout;
    for words in [id, WEBHOOK, "key.revoked", "active"] {
        assert!(listed.contains(words), "{words:?} is not in {listed}");
    }
    assert!(!listed.contains("whsec_"), "{listed}");

    // The secret alone is below the id, so that a script takes either.
    let lines = |stdout: &str| stdout.lines().map(str::to_owned).collect::<Vec<_>>();
    let run = webhooks(&["create", "--org", "acme", "https://example.com/all"]).done();
    let [other, other_secret] = &lines(&run.stdout)[..] else { panic!("{run:?}") };
    assert!(other.starts_with("wh_") && other_secret.starts_with("whsec_"), "{run:?}");
    assert!(run.stderr.contains("not shown again") && !run.stderr.contains("whsec_"), "{run:?}");

    let renewed = webhooks(&["renew-secret", "--org", "acme", id, "--json"]).done().json();
    assert_eq!(renewed["webhook_id"], id);
    assert!(word(&renewed["secret"]).starts_with("whsec_") && renewed["secret"] != secret, "{renewed}");
    let run = webhooks(&["renew-secret", "--org", "acme", other]).done();
    assert_eq!(lines(&run.stdout)[0], *other);
    assert_ne!(lines(&run.stdout)[1], *other_secret);

    let posted = webhooks(&["test", "--org", "acme", "--json"]).done().json();
    assert!(word(&posted["notice_id"]).starts_with("msg_"), "{posted}");
    let run = webhooks(&["test", "--org", "acme"]).done();
    assert!(run.stdout.ends_with(" is on its way, as soon as a server runs\n"), "{run:?}");
    assert_eq!(lines(&run.stdout).len(), 1);

    assert_eq!(webhooks(&["delete", "--org", "acme", other]).done().stdout, format!("{other} is gone\n"));
    let gone = webhooks(&["delete", "--org", "acme", id, "--json"]).done().json();
    assert_eq!(gone, json!({ "webhook_id": id }));
    for unknown in [&["delete", "--org", "acme", id][..], &["renew-secret", "--org", "acme", NO_WEBHOOK]] {
        webhooks(unknown).refused("there is no such webhook");
    }
    assert_eq!(webhooks(&["list", "--org", "acme", "--json"]).done().json(), json!({"webhooks": []}));
}

/// What is wrong is told with the field, and before anything is sent where that can be.
fn wrong_webhooks(home: &Home) {
    let create = |args: &[&str]| home.run(&[&["webhooks", "create", "--org", "acme"], args].concat());
    create(&["http://example.com/keygate"]).refused("url must begin with https://");
    for private in ["https://127.0.0.1/x", "https://[::1]/x", "https://localhost/x"] {
        create(&[private]).refused("url must be of a host on the public internet");
    }
    create(&["https://bob:hunter2@example.com/"]).refused("url must have no user and no password");
    create(&["ftp://example.com/"]).wrong_usage("url must begin with https:// and a host");
    create(&[]).wrong_usage("URL");
    create(&["https://example.com/", "--event", "key.eaten"]).wrong_usage("--event");
    home.run(&["webhooks", "create", "https://example.com/"]).wrong_usage("--org");
    for wrong in ["example", NO_KEY, "wh_0001"] {
        for command in ["delete", "renew-secret"] {
            home.run(&["webhooks", command, "--org", "acme", wrong]).wrong_usage("WEBHOOK_ID");
        }
    }
    home.run(&["notices", "redrive", "--org", "acme", "example"]).wrong_usage("NOTICE_ID");
    home.run(&["notices", "list", "--org", "acme", "--limit", "0"]).wrong_usage("--limit");
    home.run(&["notices", "list", "--org", "a b"]).wrong_usage("--org");
    assert_eq!(home.run(&["webhooks", "list", "--org", "acme", "--json"]).done().json(), json!({"webhooks": []}));
}

fn no_notices(home: &Home) {
    let none = home.run(&["notices", "list", "--org", "acme"]).done();
    assert_eq!((&*none.stdout, &*none.stderr), ("", "note: no notice was given up\n"));
    assert_eq!(home.run(&["notices", "list", "--org", "acme", "--json"]).done().json(), json!({"notices": []}));
    for all_or_one in [&[][..], &[NO_NOTICE]] {
        let redrive = [&["notices", "redrive", "--org", "acme"], all_or_one].concat();
        assert_eq!(home.run(&redrive).done().stdout, "0 sent again, as soon as a server runs\n");
        assert_eq!(home.run(&[&redrive[..], &["--json"]].concat()).done().json(), json!({"redriven": 0}));
    }
}

/// A notice was given up, which this webhook did not take.
fn given_up(home: &Home, webhook: &str) -> String {
    let document = home.run(&["notices", "list", "--org", "acme", "--json"]).done().json();
    let [notice] = &document["notices"].as_array().unwrap()[..] else { panic!("{document}") };
    assert_eq!(notice["notice"]["type"], "test");
    let failed = &notice["failed"][0];
    assert_eq!((&failed["receiver"], &failed["attempts"]), (&json!({ "webhook": webhook }), &json!(1)));
    let id = word(&notice["notice_id"]).to_owned();
    let table = home.run(&["notices", "list", "--org", "acme"]).done().stdout;
    for words in [&*id, "test", webhook, "1 times: ", word(&failed["reason"])] {
        assert!(table.contains(words), "{words:?} is not in {table}");
    }
    assert_eq!(home.run(&["notices", "redrive", "--org", "acme", NO_NOTICE, "--json"]).done().json()["redriven"], 0);
    id
}

#[test]
fn webhooks_are_managed_on_a_store() {
    let home = on_a_store();
    webhooks(&home);
    wrong_webhooks(&home);
    no_notices(&home);
}

#[test]
fn webhooks_are_managed_through_a_server() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let home = deployment.home(&server.url());
    webhooks(&home);
    wrong_webhooks(&home);
    no_notices(&home);
    // A tenant's administrator manages its own and learns of no others.
    let tenant = deployment.tenant("acme", &["organization:settings"], &[]);
    let home = Home::new().with("KEYGATE_SERVER", &server.url()).with("KEYGATE_ADMIN_KEY", &tenant);
    webhooks(&home);
    home.run(&["webhooks", "list", "--org", "globex"]).refused("no such organization");
    let reader = deployment.tenant("acme", &["keys:read"], &[]);
    let home = Home::new().with("KEYGATE_SERVER", &server.url()).with("KEYGATE_ADMIN_KEY", &reader);
    home.run(&["webhooks", "list", "--org", "acme"]).refused("may not do this");
}

#[test]
fn what_was_given_up_is_listed_and_sent_again_on_a_store() {
    let home = on_a_store();
    let create = ["webhooks", "create", "--org", "acme", "http://127.0.0.1:9/hook", "--webhooks-allow-private", "true"];
    let made = home.run(&[&create[..], &["--json"]].concat()).done().json();
    home.run(&["webhooks", "test", "--org", "acme"]).done();
    Deployment::in_file(&home.path("keygate.redb")).deliver_notices();
    let notice = given_up(&home, word(&made["webhook_id"]));
    let redrive = home.run(&["notices", "redrive", "--org", "acme", &notice]).done();
    assert_eq!(redrive.stdout, "1 sent again, as soon as a server runs\n");
    no_notices(&home);
}

#[test]
fn what_was_given_up_is_listed_and_sent_again_through_a_server() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let home = deployment.home(&server.url());
    let webhook = deployment.private_webhook("acme", "http://127.0.0.1:9/hook");
    home.run(&["webhooks", "test", "--org", "acme"]).done();
    deployment.deliver_notices();
    given_up(&home, &webhook);
    let redrive = home.run(&["notices", "redrive", "--org", "acme", "--json"]).done();
    assert_eq!(redrive.json(), json!({"redriven": 1}));
    no_notices(&home);
}

/// An answer that was lost leaves a webhook whose secret nobody has: the same call is then answered without it, and what to
/// do is said.
#[test]
fn a_secret_that_was_lost_is_told_with_what_to_do() {
    let shown = json!({
        "secret": null, "webhook_id": NO_WEBHOOK, "url": WEBHOOK, "events": [], "created_at": "2026-01-01T00:00:00Z",
        "created_by": "operator", "disabled": null,
    });
    let server = crate::server::Server::answering(move || {
        axum::response::IntoResponse::into_response(axum::Json(shown.clone()))
    });
    let home = Deployment::new().home(&server.url());
    let run = home.run(&["webhooks", "create", "--org", "acme", WEBHOOK]).done();
    assert_eq!(run.stdout, format!("{NO_WEBHOOK}\n"));
    assert!(run.stderr.contains("keygate webhooks renew-secret"), "{run:?}");
}
