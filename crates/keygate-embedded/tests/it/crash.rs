//! A process is killed in the middle of its writes: what it had acknowledged is there, and all of it agrees.

#![allow(clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::record::{KeyStatus, Quota};
use keygate_core::store::{Listing, Store};
use keygate_core::usage::batch::{Batch, Delta, Mark, Writer};
use keygate_core::usage::counts::Counts;
use keygate_core::usage::outcome::Outcome;
use keygate_core::usage::period::{Day, Hour};
use keygate_core::usage::subject::Subject;
use keygate_embedded::{EmbeddedStore, Holder, OpenError};
use keygate_testkit::sample;

/// Names the store file to a child of these tests, and makes it one: without it the roles below do nothing.
const FILE: &str = "KEYGATE_TEST_STORE_FILE";
/// More than any run gets to create.
const AMPLE: Quota = Quota { per_organization: 1_000_000, per_user: 1_000_000 };

/// Runs one of the roles below in a process of its own.
fn child(role: &str, file: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("crash::{role}"), "--nocapture", "--quiet"])
        .env(FILE, file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

fn said(line: &str) {
    // A line may follow something of the test harness, so it begins anew.
    println!("\n{line}");
    std::io::stdout().flush().unwrap();
}

/// A role: holds the store until it is killed, or until whoever began it is gone.
#[test]
fn hold() {
    let Ok(file) = std::env::var(FILE) else { return };
    let _store = EmbeddedStore::open(file).unwrap();
    said("held");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// A role: creates, revokes and deletes, single keys and batches, and says each id whose write was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write() {
    let Ok(file) = std::env::var(FILE) else { return };
    let store = EmbeddedStore::open(file).unwrap();
    let organization = "crashing".parse().unwrap();
    for round in 0.. {
        let user = sample::user(&format!("user-{}", round % 7));
        let count = if round % 5 == 0 { 200 } else { 1 };
        let records: Vec<_> = (0..count)
            .map(|n| {
                let ends = (n % 2 == 0).then(sample::far_future);
                sample::expiring(&sample::record(&organization, &user), ends)
            })
            .collect();
        store.create(&organization, AMPLE, records.clone()).await.unwrap();
        for record in &records {
            said(&format!("created {}", record.key.id));
        }
        let last = records[count - 1].clone();
        if round % 3 == 1 {
            store.set_status(&organization, last.key.id, &sample::status(KeyStatus::Revoked)).await.unwrap();
            said(&format!("revoked {}", last.key.id));
        }
        if round % 7 == 3 {
            said(&format!("deleting {}", last.key.id));
            let revision = store.record(last.key.id).await.unwrap().unwrap().key.revision;
            store.delete(&organization, last.key.id, revision).await.unwrap();
            said(&format!("deleted {}", last.key.id));
        }
    }
}

/// The organization, and the user in it that stands for one who tells.
fn counted_of(writer: Writer) -> [Subject; 2] {
    let organization: OrganizationId = "crashing".parse().unwrap();
    [Subject::Organization(organization.clone()), Subject::User(organization, sample::user(&writer.to_string()))]
}

/// A role: two who tell what they counted, one request of a batch, and say each number that was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn count() {
    let Ok(file) = std::env::var(FILE) else { return };
    let store = EmbeddedStore::open(file).unwrap();
    let tellers = [(); 2].map(|()| {
        let (store, writer) = (store.clone(), Writer(u64::from_be_bytes(sample::random()) | 1));
        tokio::spawn(async move {
            let mut counts = Counts::default();
            counts.add_outcome(Outcome::Admitted, 1);
            let delta = Delta { hours: [(Hour::of(sample::now()), counts)].into(), ..Delta::default() };
            let deltas = counted_of(writer).map(|subject| (subject, delta.clone()));
            for mark in (0..).step_by(3) {
                let batches: Vec<_> = (mark..mark + 3)
                    .map(|after| Arc::new(Batch { after, number: after + 1, deltas: deltas.to_vec() }))
                    .collect();
                let mark = store.record_usage(0, writer, &batches).await.unwrap();
                said(&format!("{writer} {mark}"));
            }
        })
    });
    for teller in tellers {
        teller.await.unwrap();
    }
}

#[tokio::test]
async fn after_a_crash_the_marks_are_as_far_as_the_figures() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let mut acknowledged = BTreeMap::<Writer, Mark>::new();
    for round in 0..6_usize {
        let (mut child, mut output) = child("count", &path);
        let (mut lines, mut line) = (0, String::new());
        while output.read_line(&mut line).unwrap() > 0 {
            let said = line.trim().split_once(' ');
            let said =
                said.and_then(|(writer, mark)| Some((u64::from_str_radix(writer, 16).ok()?, mark.parse().ok()?)));
            if let Some((writer, mark)) = said {
                acknowledged.insert(Writer(writer), mark);
                lines += 1;
                if lines == 40 + 17 * round {
                    child.kill().unwrap();
                }
            }
            line.clear();
        }
        assert!(!child.wait().unwrap().success());

        let store = EmbeddedStore::open(&path).unwrap();
        assert_eq!(store.verify().await.unwrap().problems, Vec::<String>::new(), "round {round}");
        let counted = async |subject: &Subject| {
            let account = store.usage(subject, Day(0)..=Day(u32::MAX)).await.unwrap().unwrap();
            let of_days = account.days.values().map(Counts::requests).sum::<u64>();
            assert_eq!(of_days, account.series.requests(), "round {round}");
            of_days
        };
        let mut sum = 0;
        for (writer, last) in &acknowledged {
            let mark = store.record_usage(0, *writer, &[]).await.unwrap();
            assert!(mark >= *last, "round {round}: {last} was acknowledged and {mark} is there");
            assert_eq!(mark % 3, 0, "round {round}: a part of a call is there");
            let [_, user] = counted_of(*writer);
            assert_eq!(counted(&user).await, mark, "round {round}");
            sum += mark;
        }
        let (writer, _) = acknowledged.first_key_value().unwrap();
        // A teller that was killed before it said anything may have been counted.
        assert!(counted(&counted_of(*writer)[0]).await >= sum, "round {round}");
    }
    assert!(acknowledged.len() > 6);
}

#[test]
fn the_process_that_holds_a_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let (mut child, output) = child("hold", &path);
    assert!(output.lines().any(|line| line.unwrap() == "held"));

    let error = EmbeddedStore::open(&path).unwrap_err();
    assert!(matches!(&error, OpenError::Held { holder: Holder::Process { id, .. }, .. } if *id == child.id()));
    let message = error.to_string();
    assert!(message.starts_with(&format!("the store file {} is held by process {} (", path.display(), child.id())));
    assert!(message.ends_with("(KEYGATE_SERVER), stop it first, or point this one at another file"), "{message}");

    child.kill().unwrap();
    child.wait().unwrap();
    EmbeddedStore::open(&path).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_writer_loses_nothing_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let listing = Listing::Organization("crashing".parse().unwrap());
    let (mut created, mut revoked, mut deleting, mut deleted) =
        (BTreeSet::<KeyId>::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());

    // Each round goes on with the file the one before left.
    for round in 0..8_usize {
        let (mut child, mut output) = child("write", &path);
        let mut lines = 0;
        let mut line = String::new();
        while output.read_line(&mut line).unwrap() > 0 {
            if let Some((word, id)) = line.trim().split_once(' ')
                && let Ok(id) = id.parse()
            {
                match word {
                    "created" => created.insert(id),
                    "revoked" => revoked.insert(id),
                    "deleting" => deleting.insert(id),
                    "deleted" => deleted.insert(id),
                    _ => false,
                };
                lines += 1;
                if lines == 150 + 37 * round {
                    // What it has said by the time it dies is still read.
                    child.kill().unwrap();
                }
            }
            line.clear();
        }
        assert!(!child.wait().unwrap().success());
        assert!(lines >= 150 + 37 * round, "round {round}: it ended by itself, after {lines} lines");

        let store = EmbeddedStore::open(&path).unwrap();
        let verification = store.verify().await.unwrap();
        assert_eq!(verification.problems, Vec::<String>::new(), "round {round}");
        let page = store.list(&listing, None, usize::MAX).await.unwrap();
        assert_eq!(page.records.len() as u64, verification.records);
        for id in &created {
            let record = store.record(*id).await.unwrap();
            assert!(record.is_some() || deleting.contains(id), "round {round}: {id} was created and is not there");
            if let Some(record) = record {
                assert!(!deleted.contains(id), "round {round}: {id} was deleted and is there");
                let is_revoked = record.key.status.status == KeyStatus::Revoked;
                assert!(is_revoked || !revoked.contains(id), "round {round}: {id} was revoked and is not");
            }
        }
    }
    assert!(created.len() > 1_000 && !revoked.is_empty() && !deleted.is_empty());
}
