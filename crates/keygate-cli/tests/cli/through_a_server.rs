//! Through a running server: the same documents as on a store, and what happens when the server or the way to it fails.

use std::path::Path;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{Html, IntoResponse, Response};
use axum::{Json, Router};
use keygate_testkit::FaultProxy;
use serde_json::{Value, json};

use crate::server::{Authority, Deployment, Server, after_answering};
use crate::support::{Home, NO_KEY, Run, SECRET};

const CREATE: [&str; 7] = ["keys", "create", "--org", "acme", "--user", "bob", "--json"];

/// What differs between two deployments in which the same was done: ids, texts of keys and times.
#[derive(Default)]
struct Unlike {
    ids: Vec<String>,
    texts: Vec<String>,
}

impl Unlike {
    /// Remembers what a document brought, by the order in which it came.
    fn learn(&mut self, document: &Value) {
        let id = document["key_id"].as_str().or(document["new_key_id"].as_str());
        let text = document["key"].as_str();
        if let (Some(text), Some(id)) = (text, id) {
            self.texts.push(text.to_owned());
            self.ids.push(id.to_owned());
        }
    }

    /// The arguments with ids in the places of their numbers.
    fn fill(&self, argument: &str) -> String {
        let filled = self.ids.iter().enumerate().rev();
        filled.fold(argument.to_owned(), |text, (number, id)| text.replace(&format!("#{number}"), id))
    }

    /// A text with words in the places of what differs.
    fn alike(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (number, secret) in self.texts.iter().enumerate() {
            text = text.replace(secret, &format!("TEXT-{number}"));
        }
        for (number, id) in self.ids.iter().enumerate() {
            text = text.replace(id, &format!("ID-{number}"));
        }
        timeless(&text)
    }

    /// A document in which a word stands for whoever made a key, and one for how long a limit has no room.
    fn document(&self, text: &str) -> Value {
        fn made_by_somebody(value: &mut Value) {
            match value {
                Value::Array(values) => values.iter_mut().for_each(made_by_somebody),
                Value::Object(fields) => {
                    if let Some(maker) = fields.get_mut("created_by") {
                        *maker = json!("SOMEBODY");
                    }
                    if let Some(wait) = fields.get_mut("retry_after").filter(|wait| wait.is_u64()) {
                        *wait = json!("SECONDS");
                    }
                    fields.values_mut().for_each(made_by_somebody);
                }
                _ => {}
            }
        }
        let mut document: Value = serde_json::from_str(&self.alike(text)).unwrap_or(Value::Null);
        made_by_somebody(&mut document);
        document
    }
}

/// The text with a word for each time: `2027-01-31T00:00:00.123Z`, `2027-01-31 00:00:00`, and `00:00:00Z`.
fn timeless(text: &str) -> String {
    let text = without(&without(text, b"0000-00-00 00:00:00"), b"00:00:00Z");
    // How long ago that was, or is to come, is another word with each look too.
    let after = |part: &str| part.split_once(')').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    let mut parts = text.split("TIME UTC (");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| format!("{text}TIME UTC (AGO){}", after(part)))
}

/// The text with a word for each part of this form.
fn without(text: &str, form: &[u8]) -> String {
    let is_time = |bytes: &[u8]| {
        bytes.iter().zip(form).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            b' ' => matches!(byte, b' ' | b'T'),
            form => byte == form,
        })
    };
    let mut timeless = String::new();
    let mut rest = text;
    while let Some(place) = rest.as_bytes().windows(form.len()).position(is_time) {
        timeless += &format!("{}TIME", &rest[..place]);
        rest = rest[place + form.len()..].trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    }
    timeless + rest
}

/// Runs a command in one of two deployments. `#1` is the id of the second key that was made there; `<1 ` before the
/// arguments gives its text to standard input.
fn step(home: &Home, unlike: &mut Unlike, step: &str) -> (Run, Option<Value>) {
    let (input, arguments) = match step.strip_prefix('<').and_then(|rest| rest.split_once(' ')) {
        Some((number, arguments)) => (unlike.texts[number.parse::<usize>().unwrap()].clone(), arguments),
        None => (String::new(), step),
    };
    let arguments: Vec<String> = arguments.split(' ').map(|argument| unlike.fill(argument)).collect();
    let run = home.run_with(&input, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    if let Ok(document) = serde_json::from_str(&run.stdout) {
        unlike.learn(&document);
    }
    let document = step.contains("--json").then(|| unlike.document(&run.stdout));
    (run, document)
}

/// The store's and the server's deployment are of the same kind, so that what a store tells of itself is the same.
#[test]
fn every_command_answers_as_on_the_store() {
    let files = Home::new();
    let deployment = Deployment::in_file(&files.path("served.redb"));
    let server = deployment.serve();
    let (on_store, through_server) = (Home::new().with("KEYGATE_SECRET", SECRET), deployment.home(&server.url()));
    let (mut here, mut there) = (Unlike::default(), Unlike::default());
    let steps = [
        "keys create --org acme --user bob --json",
        "keys create --org acme --user ci --project site --name nightly --description what-for --scope a:b --scope c:** \
         --permission deploy:* --grantable a:* --allow-ip 192.0.2.0/24 --allow-ip 2001:db8::1 --limit minute=60 --limit \
         month=7 --burst 5 --fallback open --tag team=web --tag x --environment prod --expires-in 30d --tier high --metadata \
         {\"b\":[1,0.1,null],\"a\":{\"é\":true}} --json",
        "keys create --org acme --user bob --no-scopes --limit none --expires-in never --json",
        "keys create --org acme --user bob --burst 7 --expires-in 12h --not-before 2020-01-01T00:00:00Z --json",
        "keys create --org acme --user bob --expires-at 2089-01-31T00:00:00+01:00 --json",
        "keys create --org system --user root --json",
        "keys create --org system --user root --permission keys:read --json",
        "keys create --org acme --user bob --expires-at 2001-01-31T00:00:00Z --json",
        "keys create --org acme --user bob --not-before 2088-01-01T00:00:00Z --expires-in 1d --json",
        "keys create --org acme --user bob --limit day=9 --limit month=90 --fallback local_share --json",
        "keys show #1 --json",
        "keys show #0 --json",
        "keys list --org acme --json",
        "keys list --org acme --all --json",
        "keys list --org acme --limit 2 --json",
        "keys list --org acme --cursor #2 --json",
        "keys list --org acme --user ci --json",
        "keys list --org acme --project site --tag team=web --environment prod --status active --json",
        "keys list --org acme --expiring-within 1d --json",
        "keys list --org acme --expiring-within 13h --json",
        "keys list --org acme --expiring-within 11h --json",
        "keys list --org acme --expiring-within 31d --json",
        "keys list --org nobody --json",
        "keys list --org acme",
        "keys list --org nobody",
        "<0 keys verify --json",
        "<0 keys verify",
        "<0 keys verify --scope default --permission admin --json",
        "<0 keys verify --scope a:b --client-ip 192.0.2.1 --explain --json",
        "<0 keys verify --scope a:b --explain",
        "<1 keys verify --json",
        "<1 keys verify --environment prod --client-ip 192.0.2.9 --scope c:d:e --permission deploy:x --json",
        "<1 keys verify --environment prod --client-ip 192.0.2.9 --scope c:d:e --explain --json",
        "<1 keys verify --environment prod --client-ip 192.0.2.9",
        "<1 keys verify --environment prod --explain",
        "<7 keys verify --cost 7 --json",
        "<7 keys verify --cost 3 --json",
        "<7 keys verify --cost 10",
        "<7 keys verify --cost 10 --json",
        "<7 keys verify --explain --cost 1 --json",
        "<7 keys verify",
        "keys show #7 --json",
        "keys verify --json mcp_dev_0",
        "keys verify --explain --json mcp_dev_0",
        "keys deactivate #0 --reason odd --json",
        "keys deactivate #0 --json",
        "<0 keys verify --json",
        "keys activate #0",
        "keys activate #0 --json",
        "keys deactivate #0",
        "keys delete #0 --json",
        "keys revoke #0 --reason leaked --json",
        "keys revoke #0 --json",
        "keys revoke #2 --no-wait --json",
        "keys activate #0 --json",
        "keys deactivate #0 --json",
        "<0 keys verify --json",
        "<0 keys verify --explain --json",
        "keys list --org acme --status revoked --json",
        "keys delete #2",
        "keys delete #0 --json",
        "keys show #0 --json",
        "<0 keys verify --json",
        "keys revoke #0 --json",
        "usage #3 --json",
        "usage #3 --by hour --last 3h --json",
        "usage #3",
        "usage #3 --csv --by month",
        "usage --org nobody --json",
        "usage --org nobody --user bob --table --ascii --width 60",
        "usage --org nobody --project web --json",
        "usage --org acme --from 2026-01-02 --to 2026-01-01 --json",
        "anomalies #3 --json",
        "anomalies #3",
        "anomalies #2 --json",
        "anomalies --org acme --limit 5 --json",
        "keys list --org acme --unused-for 1s --json",
        "organizations create globex --max-keys 5 --max-keys-per-user 1 --json",
        "organizations create globex --json",
        "organizations show globex --json",
        "organizations show globex",
        "organizations show initech --json",
        "organizations create hooli --limit minute=9 --limit month=90 --burst 3 --user-limit day=5 --user-fallback open \
         --key-limit hour=4 --key-fallback local_share --json",
        "organizations create massive --key-limit none --limit none --json",
        "organizations show hooli --json",
        "organizations show hooli",
        "organizations update hooli --limit day=7 --max-keys 4 --json",
        "organizations update hooli --user-limit none --key-limit default --max-keys default --json",
        "organizations update hooli --key-limit none",
        "organizations update hooli --limit none --json",
        "organizations update nobody --limit minute=2 --json",
        "organizations update system --limit minute=2 --json",
        "organizations create system",
        "keys create --org globex --user bob --json",
        "keys create --org globex --user bob --json",
        "organizations suspend globex --json",
        "<8 keys verify --json",
        "organizations suspend globex",
        "organizations resume globex --json",
        "organizations suspend system --json",
        "organizations suspend nobody",
        "keys create --org acme --user rita --expires-in 60d --hand-over --json",
        "keys create --org acme --user rita --expires-in 3d --json",
        "rotation show #9",
        "rotation show #9 --json",
        "rotation set #9 --every 90d --json",
        "rotation set #9 --every 10d --warning 1d --overlap 2d --auto --no-notify --json",
        "rotation set #9 --every 10d --warning 1d --overlap 2d --auto --no-hand-over --json",
        "rotation set #9 --every 10d --warning 1d --overlap 2d --auto --hand-over",
        "rotation set #10 --every 90d --overlap 3d --json",
        "keys show #9 --json",
        "rotation clear #10 --json",
        "rotation finish #9 --json",
        "rotation clear #0",
        "keys rotate #9 --json",
        "keys rotate #9 --overlap 0d --json",
        "keys rotate #9",
        "rotation show #9 --json",
        "rotation show #9",
        "rotation show #11 --json",
        "rotation show #11",
        "rotation set #9 --every 10d --warning 1d --hand-over --json",
        "keys show #9 --json",
        "keys show #11 --json",
        "<9 keys verify --json",
        "<11 keys verify --json",
        "rotation finish #9 --json",
        "rotation finish #9 --json",
        "<9 keys verify --json",
        "keys rotate #9 --json",
        "keys rotate #11 --overlap 0d --json",
        "<11 keys verify --json",
        "rotation finish #11 --json",
        "rotation clear #12",
        "rotation clear #12 --json",
        "keys deactivate #12 --json",
        "keys rotate #12 --json",
        "keys rotate #0 --json",
        "rotation show #0 --json",
        "rotation set #0 --every 90d --json",
        "rotation clear #0 --json",
        "rotation finish #0 --json",
        "projects show web --org acme --json",
        "projects show web --org acme",
        "projects update site --org acme --limit minute=9 --burst 3 --fallback open --json",
        "projects update site --org acme --limit day=1",
        "projects suspend site --org acme --json",
        "projects suspend site --org acme",
        "<1 keys verify --environment prod --client-ip 192.0.2.9 --json",
        "projects resume site --org acme --json",
        "projects update site --org acme --limit none --json",
        "projects suspend nothing --org acme",
        "projects suspend web --org system --json",
        "keys bulk deactivate --org acme #1 #3 #0 --reason odd --json",
        "keys bulk activate --org acme #1 #3",
        "keys bulk update-scopes --org acme --user ci --scope a:b --scope c:* --json",
        "keys bulk update-limits --org acme --status active --unused-for 1s --limit day=5 --fallback open --json",
        "keys bulk update-permissions --org acme #3 --permission a:b --json",
        "keys bulk rotate --org acme --user ci --dry-run --json",
        "keys bulk revoke --org acme --tag x --expiring-within 60d --json",
        "keys bulk revoke --org nobody --all --json",
        "keys create --org acme --user eve --sensitive account=DE02 --sensitive pin=4711 --json",
        "keys sensitive #13 --json",
        "keys sensitive #13 --field pin --json",
        "keys sensitive #13 --field pin",
        "keys sensitive #13 --field none",
        "keys sensitive #0 --json",
        "keys show #13 --json",
        "keys update #13 --name nightly --description what-for --scope a:b --permission deploy:* --allow-ip 192.0.2.0/24 \
         --limit minute=60 --burst 5 --tag x --expires-in 12h --metadata {\"a\":1} --sensitive pin=1 --json",
        "keys sensitive #13 --json",
        "keys update #13 --no-scopes --no-permissions --any-ip --no-tags --no-sensitive --limit none --expires-in never \
         --json",
        "keys update #13 --expires-at 2089-01-31T00:00:00Z --fallback open --limit day=5 --json",
        "keys update #13 --expires-at 2001-01-31T00:00:00Z --json",
        "keys update #0 --name other --json",
        "organizations create ruled --policy {\"longest_life_days\":30,\"name_pattern\":\"web-.*\"} --defaults \
         {\"allowed_ips\":[\"192.0.2.0/24\"],\"security_tier\":\"high\"} --json",
        "organizations show ruled",
        "keys create --org ruled --user bob --json",
        "keys create --org ruled --user bob --name web-1 --expires-in 31d --json",
        "keys create --org ruled --user bob --name web-1 --json",
        "projects update site --org ruled --policy {\"require_allowed_ips\":true} --key-limit minute=3 --defaults \
         {\"allowed_ips\":[]} --json",
        "projects show site --org ruled",
        "projects update site --org ruled --limit minute=9 --json",
        "keys create --org ruled --user bob --project site --name web-2 --json",
        "keys create --org ruled --user bob --project site --name web-2 --allow-ip 192.0.2.1 --json",
        "projects update site --org ruled --policy none --key-limit default --json",
        "organizations update ruled --policy none --defaults none --json",
        "projects update site --org ruled --max-keys 1 --json",
        "projects show site --org ruled",
        "keys create --org ruled --user bob --project site --name web-3 --json",
        "projects update site --org ruled --max-keys default --json",
        "users update bob --org ruled --max-keys 3 --limit minute=5 --burst 2 --policy {\"name_pattern\":\"bob\"} --json",
        "users show bob --org ruled",
        "users show bob --org ruled --json",
        "keys create --org ruled --user bob --json",
        "users update bob --org ruled --limit none --policy none --defaults {\"expires_in_days\":3} --max-keys 1",
        "keys create --org ruled --user bob --json",
        "users update bob --org ruled --limit default --defaults none --max-keys default --json",
        "organizations update system --policy none --json",
        "keys create --org acme --user many --count 20 --output keys --json",
        "keys create --org acme --user many --count 1 --output keys --json",
    ];
    for words in steps {
        let (stored, document) = step(&on_store, &mut here, words);
        let (served, its_document) = step(&through_server, &mut there, words);
        let seen = format!("{words}\nstore: {stored:?}\nserver: {served:?}");
        assert_eq!(stored.status, served.status, "{seen}");
        assert_eq!(document, its_document, "{seen}");
        assert_ne!(stored.status, Some(2), "{seen}");
        if document.is_none() {
            assert_eq!(here.alike(&stored.stdout), there.alike(&served.stdout), "{seen}");
        }
        // The server names the field of its document too.
        let error = |unlike: &Unlike, run: &Run| {
            let error = run.stderr.lines().find_map(|line| line.strip_prefix("error: "));
            unlike.alike(error.unwrap_or_default())
        };
        let (error, its_error) = (error(&here, &stored), error(&there, &served));
        assert!(its_error == error || its_error.ends_with(&format!(": {error}")), "{seen}");
    }
    let lines = |home: &Home| std::fs::read_to_string(home.path("keys")).unwrap().lines().count();
    assert_eq!((lines(&on_store), lines(&through_server)), (20, 20));
    assert!(!through_server.path("keygate.redb").exists());
}

/// What is read, of the very same keys, to the byte.
#[test]
fn the_same_key_reads_the_same_to_the_byte() {
    let files = Home::new();
    let path = files.path("both.redb");
    let deployment = Deployment::in_file(&path);
    let server = deployment.serve();
    let home = deployment.home(&server.url());
    let key = home.create(&["--user", "bob", "--metadata", r#"{"z":1.5,"a":[0.1,1e300,18446744073709551615]}"#]);
    home.create(&["--user", "ada", "--tier", "high", "--expires-in", "never", "--tag", "a=b"]);
    home.run(&["rotation", "set", key["key_id"].as_str().unwrap(), "--every", "30d", "--hand-over"]).done();
    home.run(&["keys", "rotate", key["key_id"].as_str().unwrap()]).done();
    home.run(&["keys", "deactivate", key["key_id"].as_str().unwrap(), "--reason", "“odd”"]).done();
    deployment.count("acme", key["key_id"].as_str().unwrap(), 12_345);
    for (scope, hours) in [("a:b", 1), ("c:d", 2), ("e:\u{1b}[31m", 3)] {
        deployment.find("acme", key["key_id"].as_str().unwrap(), scope, hours);
    }
    home.run(&["organizations", "create", "acme", "--max-keys", "7", "--limit", "day=1000", "--fallback", "open"])
        .done();
    let reading = [
        &["keys", "show", key["key_id"].as_str().unwrap(), "--json"][..],
        &["keys", "show", key["key_id"].as_str().unwrap()],
        &["rotation", "show", key["key_id"].as_str().unwrap(), "--json"],
        &["rotation", "show", key["key_id"].as_str().unwrap()],
        &["keys", "list", "--org", "acme", "--json"],
        &["keys", "list", "--org", "acme", "--limit", "1", "--json"],
        &["keys", "list", "--org", "acme"],
        &["organizations", "show", "acme", "--json"],
        &["organizations", "show", "acme"],
        &["usage", key["key_id"].as_str().unwrap(), "--json"],
        &["usage", "--org", "acme", "--json"],
        &["usage", "--org", "acme", "--last", "48h", "--csv"],
        &["usage", "--org", "acme", "--table"],
        &["anomalies", key["key_id"].as_str().unwrap()],
        &["anomalies", key["key_id"].as_str().unwrap(), "--json"],
        &["anomalies", "--org", "acme", "--limit", "2"],
        &["anomalies", "--org", "acme", "--limit", "2", "--json"],
    ];
    // When a limit is there again is another time with each look.
    let read = |home: &Home| reading.map(|args| timeless(&home.run(args).done().stdout));
    let served = read(&home);
    drop((server, deployment));
    let store = format!("file:{}", Path::new(&path).display());
    assert_eq!(served, read(&Home::new().with("KEYGATE_STORE", &store).with("KEYGATE_SECRET", SECRET)));
}

#[test]
fn the_api_may_be_mounted_under_a_path() {
    let deployment = Deployment::new();
    let server = Server::of(Router::new().nest("/a/b", deployment.router()));
    for url in [format!("{}/a/b", server.url()), format!("{}/a/b/", server.url())] {
        deployment.home(&url).run(&CREATE).done();
    }
    deployment.home(&server.url()).run(&CREATE).refused("as no keygate serve does");
    deployment.home(&format!("http://localhost:{}/a/b", server.address.port())).run(&CREATE).done();
}

#[test]
fn an_admin_key_that_is_refused_is_told_of_and_not_shown() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let url = server.url();
    let last = if deployment.operator.ends_with('A') { "B" } else { "A" };
    let forged = format!("{}{last}", &deployment.operator[..deployment.operator.len() - 1]);
    let home = |key: &str| Home::new().with("KEYGATE_SERVER", &url).with("KEYGATE_ADMIN_KEY", key);
    for args in
        [&CREATE[..], &["keys", "list", "--org", "acme"], &["keys", "revoke", NO_KEY], &["keys", "delete", NO_KEY]]
    {
        let run =
            home(&forged).run(args).refused("the admin key (KEYGATE_ADMIN_KEY) was refused: The API key is not valid");
        assert!(!run.stderr.contains(&forged[30..]), "{run:?}");
    }

    let reader = deployment.tenant("acme", &["keys:read"], &[]);
    home(&reader).run(&["keys", "list", "--org", "acme", "--json"]).done();
    home(&reader).run(&CREATE).refused("may not do this: The API key's permissions do not cover keys:write");
    home(&reader).run(&["keys", "list", "--org", "globex"]).refused("there is no such organization or project");
    home(&reader).run(&["organizations", "show", "globex"]).refused("there is no such organization or project");
    let writer = deployment.tenant("acme", &["**"], &["a:*"]);
    home(&writer).run(&[&CREATE[..], &["--scope", "a:b"]].concat()).done();
    home(&writer).run(&CREATE).refused("default may not be granted");
    home(&writer).run(&["organizations", "create", "new"]).refused("may not do this: Only an operator's key");
    let create = ["keys", "create", "--org", "globex", "--user", "eve", "--json"];
    let foreign = deployment.home(&url).run(&create).done().json();
    let id = foreign["key_id"].as_str().unwrap();
    home(&writer).run(&["keys", "revoke", id]).refused("there is no such key");
    let text = foreign["key"].as_str().unwrap();
    let verdict = home(&writer).run_with(text, &["keys", "verify", "--json"]).ended_with("invalid_key").json();
    assert_eq!(verdict["key_id"], json!(null));
}

#[test]
fn an_admin_key_that_is_held_to_its_limits_is_told_of() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let reader = deployment.tenant("acme", &["keys:read"], &[]);
    let limit = ["organizations", "update", "acme", "--limit", "month=2"];
    deployment.home(&server.url()).run(&limit).done();
    let home = Home::new().with("KEYGATE_SERVER", &server.url()).with("KEYGATE_ADMIN_KEY", &reader);
    let list = ["keys", "list", "--org", "acme", "--json"];
    for _ in 0..2 {
        home.run(&list).done();
    }
    let sent = server.requests();
    home.run(&list).refused(
        "the admin key (KEYGATE_ADMIN_KEY) is held to its limits: The limit of 2 a month of the API key's organization is \
         used up",
    );
    assert_eq!(server.requests(), sent + 1, "until when is too long to wait for");
}

#[test]
fn the_admin_key_may_stand_in_a_file_and_is_looked_at_before_it_is_sent() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let home = Home::new().with("KEYGATE_SERVER", &server.url());
    let list = ["keys", "list", "--org", "acme", "--json"];
    home.run(&list).refused("KEYGATE_ADMIN_KEY is not set");
    let in_file = Home::new().with("KEYGATE_SERVER", &server.url()).with("KEYGATE_ADMIN_KEY_FILE", "key");
    in_file.run(&list).refused("KEYGATE_ADMIN_KEY_FILE key: No such file");
    std::fs::write(in_file.path("key"), format!("{}\n", deployment.operator)).unwrap();
    in_file.run(&list).done();
    std::fs::write(in_file.path("key"), "hunter2\n").unwrap();
    let run = in_file.run(&list).refused("KEYGATE_ADMIN_KEY_FILE key is not the text of a key");
    assert!(!run.stderr.contains("hunter2"), "{run:?}");
    let sent = server.requests();
    for key in ["hunter2", &format!("{} ", deployment.operator), &deployment.operator[1..50]] {
        let home = Home::new().with("KEYGATE_SERVER", &server.url()).with("KEYGATE_ADMIN_KEY", key);
        let run = home.run(&list).refused("KEYGATE_ADMIN_KEY is not the text of a key");
        assert!(!run.stderr.contains(key), "{run:?}");
    }
    let both = deployment.home(&server.url()).with("KEYGATE_ADMIN_KEY_FILE", "key");
    both.run(&list).refused("KEYGATE_ADMIN_KEY is set together with KEYGATE_ADMIN_KEY_FILE");
    assert_eq!(server.requests(), sent);
}

#[test]
fn a_url_that_cannot_be_is_refused_before_anything_is_sent() {
    let deployment = Deployment::new();
    let key = &deployment.operator;
    for (url, problem) in [
        ("keys.example.org", "must be a URL such as https://keys.example.org"),
        ("keys.example.org:8080", "must begin with https:// or http://"),
        ("file:///etc/passwd", "must begin with https:// or http://"),
        ("redis://127.0.0.1:6379", "must begin with https:// or http://"),
        ("https://", "must be a URL"),
        ("https://ada:hunter2@keys.example.org", "must not hold a user or a password"),
        ("https://keys.example.org/?a=hunter2", "without a ? or a #"),
        ("https://keys.example.org/#hunter2", "without a ? or a #"),
        ("http://keys.example.org", "in clear text"),
        ("http://192.0.2.1:8080", "--allow-clear-text (KEYGATE_ALLOW_CLEAR_TEXT=1)"),
        ("http://localhost.example.org", "in clear text"),
        ("http://[::]:1", "in clear text"),
    ] {
        let variable = Home::new().with("KEYGATE_SERVER", url).with("KEYGATE_ADMIN_KEY", key);
        let run = variable.run(&["keys", "list", "--org", "acme"]).refused(problem);
        assert!(run.stderr.starts_with("error: KEYGATE_SERVER ") && !run.stderr.contains("hunter2"), "{run:?}");
        let flag = Home::new().with("KEYGATE_ADMIN_KEY", key);
        let run = flag.run(&["--server", url, "keys", "list", "--org", "acme"]).wrong_usage(problem);
        assert!(run.stderr.starts_with("error: --server ") && !run.stderr.contains("hunter2"), "{run:?}");
    }
    for url in ["http://keys.example.org", "https://keys.example.org", "http://127.0.0.1:1"] {
        let home = deployment.home(url).with("KEYGATE_ALLOW_CLEAR_TEXT", "maybe");
        home.run(&CREATE).refused("KEYGATE_ALLOW_CLEAR_TEXT must be 1 or 0");
    }
}

/// A name that nobody has is looked for, and so the refusal was passed.
#[test]
fn clear_text_is_sent_where_it_is_allowed() {
    let deployment = Deployment::new();
    let home = |allow: &str| deployment.home("http://keygate.invalid").with("KEYGATE_ALLOW_CLEAR_TEXT", allow);
    home("0").run(&CREATE).refused("in clear text");
    home("1").run(&CREATE).refused("nothing answers at http://keygate.invalid");
    home("").run(&[&CREATE[..], &["--allow-clear-text"]].concat()).refused("nothing answers at http://keygate.invalid");
}

#[test]
fn flags_beat_variables_and_the_server_beats_the_store() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let home = deployment.home(&server.url()).with("KEYGATE_STORE", "file:own.redb");
    home.run(&CREATE).done();
    assert!(!home.path("own.redb").exists());
    home.run(&[&CREATE[..], &["--store", "file:flag.redb"]].concat()).done();
    assert!(home.path("flag.redb").exists());
    let both = ["--store", "memory:", "--server", &server.url()];
    home.run(&[&CREATE[..], &both].concat()).wrong_usage("--server and --store are two places");
    let down = home.with("KEYGATE_SERVER", "http://127.0.0.1:1");
    down.run(&[&CREATE[..], &["--server", &server.url()]].concat()).done();
}

#[test]
fn what_works_on_the_store_itself_says_so() {
    let home = Home::new().with("KEYGATE_SERVER", "https://keys.example.org");
    for args in [&["ring", "show"][..], &["ring", "show", "--json"], &["doctor"], &["doctor", "--json"]] {
        let run = home.run(args).refused("KEYGATE_SERVER is set, and this command works on the store itself");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    }
    let flag = ["--server", "https://keys.example.org", "ring", "show"];
    Home::new().run(&flag).wrong_usage("--server does not go with this command");
    assert_eq!(std::fs::read_dir(home.path("")).unwrap().count(), 0);
    home.run(&["--store", "memory:", "ring", "show"]).done();
    home.run(&["completions", "bash"]).done();
}

#[test]
fn the_environment_is_the_servers_unless_it_is_named() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let home = deployment.home(&server.url());
    assert_eq!(home.create(&["--user", "a"])["environment"], "dev");
    assert_eq!(home.create(&["--user", "a", "--environment", "prod"])["environment"], "prod");
    let named = deployment.home(&server.url()).with("KEYGATE_ENVIRONMENT", "test").with("ENVIRONMENT", "no");
    let key = named.create(&["--user", "a"]);
    assert_eq!(key["environment"], "test");
    named.run_with(key["key"].as_str().unwrap(), &["keys", "verify"]).done();
    home.run_with(key["key"].as_str().unwrap(), &["keys", "verify"]).ended_with("environment_mismatch");
    deployment.home(&server.url()).with("ENVIRONMENT", "No").run(&CREATE).refused("ENVIRONMENT must be 1 to 16");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let deployment = Deployment::new();
    let url = deployment.serve().url();
    let begun = Instant::now();
    let run = deployment.home(&url).run(&CREATE).refused(&format!("nothing answers at {url} (Connection refused"));
    assert!(run.stderr.contains("is keygate serve running there?"), "{run:?}");
    deployment.home(&url).run(&["keys", "revoke", NO_KEY]).refused("is keygate serve running there?");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn another_server_is_told_from_keygates() {
    let deployment = Deployment::new();
    let page = Server::answering(|| Html("<h1>It works!</h1>\u{1b}[31m").into_response());
    let json = Server::answering(|| Json(json!({ "hello": "world" })).into_response());
    let missing = Server::answering(|| (StatusCode::NOT_FOUND, "no").into_response());
    let broken = Server::answering(|| (StatusCode::BAD_GATEWAY, Html("<h1>Bad Gateway</h1>")).into_response());
    let odd = Server::answering(|| (StatusCode::CONFLICT, Json(json!({ "error": 7 }))).into_response());
    for (server, words) in [
        (&page, "answers 200 OK with text/html; charset=utf-8, as no keygate serve does"),
        (&json, "answers what this version of the command does not understand"),
        (&missing, "answers 404 Not Found with text/plain; charset=utf-8, as no keygate serve does"),
        (&broken, "answers 502 Bad Gateway"),
        (&odd, "answers 409 Conflict with application/json"),
    ] {
        let home = deployment.home(&server.url());
        for args in [
            &CREATE[..],
            &["keys", "list", "--org", "acme", "--json"],
            &["keys", "revoke", NO_KEY],
            &["keys", "delete", NO_KEY],
            &["organizations", "create", "acme"],
        ] {
            if !(args[1] == "delete" && words.contains("understand")) {
                let run = home.run(args).refused(words);
                assert!(run.stderr.contains(&server.url()) && run.stderr.lines().count() == 1, "{run:?}");
            }
        }
    }
}

/// What a server says is a stranger's text.
#[test]
fn what_a_terminal_would_obey_is_written_out() {
    let deployment = Deployment::new();
    let evil = Server::answering(|| {
        let problem = json!({ "reason": "evil", "detail": format!("a\u{1b}[31m\nerror: b{}", "x".repeat(10_000)) });
        (StatusCode::CONFLICT, Json(problem)).into_response()
    });
    let run = deployment.home(&evil.url()).run(&CREATE).refused("a\\u{1b}[31m\\u{a}error: bxxx");
    assert!(run.stderr.len() < 1_000, "{run:?}");
}

#[test]
fn the_admin_key_does_not_follow_a_redirect() {
    let deployment = Deployment::new();
    let elsewhere = deployment.serve();
    let url = elsewhere.url();
    for code in [301, 302, 303, 307, 308] {
        let target = format!("{url}/v1/keys?code={code}");
        let redirecting = Server::answering(move || {
            let code = StatusCode::from_u16(code).unwrap();
            (code, [("location", target.clone())]).into_response()
        });
        let home = deployment.home(&redirecting.url());
        for args in [&CREATE[..], &["keys", "list", "--org", "acme"], &["keys", "revoke", NO_KEY]] {
            let run = home.run(args).refused("where the admin key is not sent");
            assert!(run.stderr.contains(&format!("{url}/v1/keys?code={code}")), "{run:?}");
        }
        assert_eq!(redirecting.requests(), 3);
    }
    assert_eq!(elsewhere.requests(), 0);
}

fn busy() -> Response {
    let problem = json!({ "reason": "overloaded", "detail": "The server is busy." });
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], Json(problem)).into_response()
}

#[test]
fn a_busy_server_is_asked_again_where_that_is_safe() {
    let deployment = Deployment::new();
    let safe = [&CREATE[..], &["keys", "list", "--org", "acme"], &["organizations", "create", "acme"]];
    for args in safe {
        let server = Server::of(after_answering(2, deployment.router(), busy));
        let begun = Instant::now();
        deployment.home(&server.url()).run(args).done();
        assert!(server.requests() == 3 && begun.elapsed() >= Duration::from_secs(2), "{args:?}");
    }
    for args in [&["keys", "revoke", NO_KEY][..], &["organizations", "suspend", "acme"]] {
        let server = Server::of(after_answering(2, deployment.router(), busy));
        deployment.home(&server.url()).run(args).refused("The server is busy.");
        assert_eq!(server.requests(), 1, "{args:?}");
    }
}

#[test]
fn nobody_is_asked_for_ever() {
    let deployment = Deployment::new();
    let server = Server::answering(busy);
    deployment.home(&server.url()).run(&CREATE).refused("The server is busy.");
    assert_eq!(server.requests(), 4);
    let patient = Server::answering(|| {
        let problem = json!({ "reason": "overloaded", "detail": "Come back tomorrow." });
        (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "86400")], Json(problem)).into_response()
    });
    deployment.home(&patient.url()).run(&CREATE).refused("Come back tomorrow.");
    assert_eq!(patient.requests(), 1);
}

#[test]
fn a_lost_answer_makes_one_key_and_leaves_none_in_use() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let proxy = FaultProxy::start(server.address).unwrap();
    let home = deployment.home(&format!("http://{}", proxy.address()));
    proxy.drop_next_reply_to("POST /v1/organizations/acme/keys");
    let run = home.run(&CREATE).refused("was made, but the answer with its text was lost; it has been revoked again");
    let list = home.run(&["keys", "list", "--org", "acme", "--json"]).done().json();
    let keys = list["keys"].as_array().unwrap();
    assert_eq!((keys.len(), &keys[0]["status"]), (1, &json!("revoked")), "{list}");
    assert!(run.stderr.contains(keys[0]["key_id"].as_str().unwrap()), "{run:?}");

    // An organization has no text that could be lost.
    proxy.drop_next_reply_to("POST /v1/organizations");
    home.run(&["organizations", "create", "acme", "--max-keys", "7"]).done();
    assert_eq!(home.run(&["organizations", "show", "acme", "--json"]).done().json()["max_keys"], 7);
    proxy.drop_next_reply_to("GET /v1/keys");
    home.run(&["keys", "show", keys[0]["key_id"].as_str().unwrap()]).done();
}

#[test]
fn what_may_have_been_done_is_said_and_not_done_twice() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let proxy = FaultProxy::start(server.address).unwrap();
    let home = deployment.home(&format!("http://{}", proxy.address()));
    let id = home.create_id(&["--user", "bob"]);
    let sent = server.requests();
    proxy.drop_next_reply_to("/revoke");
    home.run(&["keys", "revoke", &id]).refused("it may have been done all the same");
    assert_eq!(server.requests(), sent + 1);
    assert_eq!(home.run(&["keys", "show", &id, "--json"]).done().json()["status"], "revoked");
}

#[test]
fn many_keys_are_made_side_by_side_and_written_in_order() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let proxy = FaultProxy::start(server.address).unwrap();
    proxy.delay(Duration::from_millis(100));
    let home = deployment.home(&format!("http://{}", proxy.address()));
    let create = ["keys", "create", "--org", "acme", "--user", "load", "--count", "64", "--output", "keys"];
    let begun = Instant::now();
    let run = home.run(&create).done();
    assert!(begun.elapsed() < Duration::from_millis(3_200), "one after the other takes 6.4 s");
    assert!(run.stderr.contains("64 keys for load-1 to load-64 of acme were made and are in keys"), "{run:?}");
    proxy.pass();
    let text = std::fs::read_to_string(home.path("keys")).unwrap();
    let keys: Vec<&str> = text.lines().collect();
    assert_eq!(keys.len(), 64);
    for place in [0, 17, 63] {
        let verdict = home.run_with(keys[place], &["keys", "verify", "--json"]).done().json();
        assert_eq!(verdict["user_id"], format!("load-{}", place + 1));
    }
}

#[test]
fn of_many_keys_a_refusal_or_a_lost_answer_ends_the_making_and_loses_no_text() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let proxy = FaultProxy::start(server.address).unwrap();
    let home = deployment.home(&format!("http://{}", proxy.address()));
    home.run(&["organizations", "create", "acme", "--max-keys", "40"]).done();
    let create = ["keys", "create", "--org", "acme", "--user", "load", "--count", "1000", "--output"];
    home.run(&[&create[..], &["first"]].concat())
        .refused("40 of 1000 keys were made and are in first: the organization");
    let lines = |file: &str| std::fs::read_to_string(home.path(file)).unwrap().lines().count();
    assert_eq!(lines("first"), 40);

    let create = ["keys", "create", "--org", "globex", "--user", "load", "--count", "1000", "--output", "second"];
    proxy.drop_next_reply_to("POST /v1/organizations/globex/keys");
    let run = home.run(&create).refused("the answer with its text was lost; it has been revoked again");
    let active = ["keys", "list", "--org", "globex", "--all", "--status", "active", "--json"];
    let active = home.run(&active).done().json()["keys"].as_array().unwrap().len();
    let written = if home.path("second").exists() { lines("second") } else { 0 };
    assert!(active == written && run.stderr.contains(&format!("{written} of 1000 keys")), "{active} {written} {run:?}");
}

#[test]
fn an_authority_of_ones_own_is_named() {
    let deployment = Deployment::new();
    let authority = Authority::new();
    let server = Server::under_tls(deployment.router(), &authority);
    let url = format!("https://localhost:{}", server.address.port());
    // Whatever the system trusts, it is not this authority.
    let home = deployment.home(&url).with("SSL_CERT_FILE", "other.pem");
    std::fs::write(home.path("other.pem"), Authority::new().pem()).unwrap();
    std::fs::write(home.path("own.pem"), authority.pem()).unwrap();
    std::fs::write(home.path("none.pem"), "dear diary").unwrap();
    let run = home.run(&CREATE).refused("is not trusted");
    assert!(run.stderr.contains("--server-ca (KEYGATE_SERVER_CA)"), "{run:?}");
    assert_eq!(server.requests(), 0, "the admin key is not sent before the server is known");
    let with = |file: &str| [&CREATE[..], &["--server-ca", file]].concat().into_iter().map(str::to_owned).collect();
    let run = |args: Vec<String>| home.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
    run(with("own.pem")).done();
    run(with("other.pem")).refused("is not trusted");
    run(with("none.pem")).wrong_usage("--server-ca none.pem holds no certificate in PEM");
    run(with("missing.pem")).wrong_usage("--server-ca missing.pem: No such file");
    let by_address = deployment.home(&format!("https://127.0.0.1:{}", server.address.port()));
    std::fs::write(by_address.path("own.pem"), authority.pem()).unwrap();
    by_address.with("KEYGATE_SERVER_CA", "own.pem").run(&CREATE).refused("is not trusted");
}

#[test]
fn the_wrong_scheme_is_found_out() {
    let deployment = Deployment::new();
    let authority = Authority::new();
    let (plain, encrypted) = (deployment.serve(), Server::under_tls(deployment.router(), &authority));
    let home = deployment.home(&format!("https://localhost:{}", plain.address.port()));
    let home = home.with("KEYGATE_SERVER_CA", "own.pem");
    std::fs::write(home.path("own.pem"), authority.pem()).unwrap();
    home.run(&CREATE).refused("no TLS can be spoken with https://localhost");
    let home = deployment.home(&format!("http://localhost:{}", encrypted.address.port()));
    assert_eq!(home.run(&CREATE).status, Some(1));
    assert_eq!(encrypted.requests(), 0);
}

/// As in a container with nothing but the command in it.
#[test]
fn a_system_without_certificates_can_call_what_needs_none() {
    let deployment = Deployment::new();
    let authority = Authority::new();
    let (plain, encrypted) = (deployment.serve(), Server::under_tls(deployment.router(), &authority));
    let bare = |url: &str| deployment.home(url).with("SSL_CERT_FILE", "/dev/null").with("SSL_CERT_DIR", "/dev/null");
    bare(&plain.url()).run(&CREATE).done();
    let home = bare(&format!("https://localhost:{}", encrypted.address.port()));
    std::fs::write(home.path("own.pem"), authority.pem()).unwrap();
    home.run(&[&CREATE[..], &["--server-ca", "own.pem"]].concat()).done();
    let run = home.run(&CREATE).refused("the server cannot be called");
    assert!(run.stderr.contains("--server-ca"), "{run:?}");
}

/// A proxy of the environment would be told the admin key.
#[test]
fn what_is_on_this_machine_is_called_without_a_proxy() {
    let deployment = Deployment::new();
    let (server, proxy) = (deployment.serve(), Server::answering(|| "no".into_response()));
    let home = deployment.home(&server.url()).with("http_proxy", &proxy.url()).with("ALL_PROXY", &proxy.url());
    home.run(&CREATE).done();
    assert_eq!((proxy.requests(), server.requests()), (0, 1));
}

/// Clear text that is allowed is allowed for the way to the server.
#[test]
fn what_is_called_in_clear_text_is_called_without_a_proxy() {
    let deployment = Deployment::new();
    let proxy = Server::answering(|| "no".into_response());
    let home = deployment.home("http://keygate.invalid").with("KEYGATE_ALLOW_CLEAR_TEXT", "1");
    let home = home.with("http_proxy", &proxy.url()).with("ALL_PROXY", &proxy.url());
    home.run(&CREATE).refused("nothing answers at http://keygate.invalid");
    assert_eq!(proxy.requests(), 0);
}

/// Whatever else was pasted by mistake is nothing to send anywhere.
#[test]
fn what_is_no_key_is_not_sent() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let home = deployment.home(&server.url());
    for args in [&["keys", "verify", "--json"][..], &["keys", "verify", "--explain", "--json"]] {
        let run = home.run_with("ghp_0123456789abcdefghijklmnopqrstuvwxyz", args).ended_with("malformed_key");
        assert_eq!(run.json()["valid"], false);
    }
    home.run(&["organizations", "show", ".."]).refused("no URL can have");
    home.run(&["keys", "list", "--org", "."]).refused("no URL can have");
    assert_eq!(server.requests(), 0);
}

/// The log at its loudest tells of calls, and of no key.
#[test]
fn the_log_shows_no_key() {
    let deployment = Deployment::new();
    let server = deployment.serve();
    let home = deployment.home(&server.url());
    let created = home.run(&[&CREATE[..], &["--log", "trace"]].concat()).done();
    let text = created.json()["key"].as_str().unwrap().to_owned();
    let verified = home.run_with(&text, &["keys", "verify", "--log", "trace"]).done();
    for run in [created, verified] {
        assert!(run.stderr.contains("TRACE") || run.stderr.contains("DEBUG"), "{run:?}");
        for key in [&text, &deployment.operator] {
            assert!(!run.stderr.contains(&key[30..]), "{run:?}");
        }
    }
}
