//! What stands in the way of opening a store file is said in a sentence that names it.

use std::fs;
use std::path::Path;

use keygate_core::record::Quota;
use keygate_core::store::Store;
use keygate_embedded::{EmbeddedStore, Holder, OpenError};
use keygate_testkit::sample;

fn refusal(path: &Path) -> OpenError {
    let error = EmbeddedStore::open(path).unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "the path is missing: {error}");
    error
}

#[tokio::test]
async fn a_second_store_in_the_same_process_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    let error = refusal(&path);
    assert!(matches!(error, OpenError::Held { holder: Holder::ThisProcess, .. }), "{error:?}");
    assert!(error.to_string().contains("already open in this process"), "{error}");
    // The refusal took nothing from the first.
    store.verify().await.unwrap();
    let clone = store.clone();
    drop(store);
    refusal(&path);
    drop(clone);
    EmbeddedStore::open(&path).unwrap();
}

#[test]
fn a_holder_of_whom_nothing_is_known_is_still_a_holder() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let _store = EmbeddedStore::open(&path).unwrap();
    let holder = directory.path().join("keys.redb.holder");
    for text in ["", "nobody\n", "1\n2\n", "\u{0}", "4194305\n2026-01-01T00:00:00Z\nkeygate\n0\n"] {
        fs::write(&holder, text).unwrap();
        let error = refusal(&path);
        assert!(matches!(error, OpenError::Held { holder: Holder::Unknown, .. }), "{error:?}");
        assert!(error.to_string().contains("held by another process"), "{error}");
    }
    fs::remove_file(&holder).unwrap();
    assert!(matches!(refusal(&path), OpenError::Held { holder: Holder::Unknown, .. }));
    #[cfg(unix)]
    {
        // Nobody ever writes into it.
        assert!(std::process::Command::new("mkfifo").arg(&holder).status().unwrap().success());
        assert!(matches!(refusal(&path), OpenError::Held { holder: Holder::Unknown, .. }));
    }
}

#[test]
fn what_a_killed_holder_left_behind_is_no_obstacle() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let holder = directory.path().join("keys.redb.holder");
    fs::write(&holder, "4194305\n2026-01-01T00:00:00Z\nkeygate\n0\n").unwrap();
    let store = EmbeddedStore::open(&path).unwrap();
    assert!(fs::read_to_string(&holder).unwrap().starts_with(&format!("{}\n", std::process::id())));
    drop(store);
    assert!(!holder.exists());
}

#[test]
fn a_missing_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("not").join("there");
    let error = refusal(&missing.join("keys.redb"));
    assert!(matches!(&error, OpenError::NoDirectory { directory, .. } if *directory == missing), "{error:?}");
    assert!(error.to_string().ends_with("does not exist; create it first"), "{error}");
}

#[test]
fn a_directory_is_not_a_file() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(refusal(directory.path()), OpenError::Io { .. }));
}

#[test]
fn the_files_are_their_owners_alone() {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.redb");
        let _store = EmbeddedStore::open(&path).unwrap();
        for name in ["keys.redb", "keys.redb.holder"] {
            let mode = fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}

#[test]
fn no_permission_is_said_so() {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.redb");
        drop(EmbeddedStore::open(&path).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        // To root every file is open.
        if fs::File::open(&path).is_err() {
            let error = refusal(&path);
            assert!(matches!(error, OpenError::Permission { .. }), "{error:?}");
        }
    }
}

#[test]
fn a_file_of_something_else_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    for text in ["h", "hello, this is a text\n", &"x".repeat(100_000)] {
        fs::write(&path, text).unwrap();
        let error = refusal(&path);
        assert!(matches!(error, OpenError::NotAStore { .. }), "{error:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn another_programs_database_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.redb");
    let table = redb::TableDefinition::<&str, u64>::new("theirs");
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert("a", 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(refusal(&path), OpenError::NotAStore { .. }));

    // One with a table of the same name, and other things in it.
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<&str, u64>::new("meta")).unwrap().insert("format", 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(refusal(&path), OpenError::NotAStore { .. }));
}

#[test]
fn a_newer_format_asks_for_a_newer_keygate() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    drop(EmbeddedStore::open(&path).unwrap());
    let set_format = |text: &str| {
        let database = redb::Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
        transaction.open_table(meta).unwrap().insert("format", text.as_bytes()).unwrap();
        transaction.commit().unwrap();
    };
    set_format("2");
    let error = refusal(&path);
    assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error:?}");
    assert!(error.to_string().ends_with("upgrade keygate"), "{error}");
    set_format("zero");
    assert!(matches!(refusal(&path), OpenError::Damaged { .. }));
    set_format("1");
    EmbeddedStore::open(&path).unwrap();
}

#[test]
fn an_empty_file_becomes_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    fs::write(&path, "").unwrap();
    EmbeddedStore::open(&path).unwrap();
}

/// Whatever a file was cut to or overwritten with: an error that names it, or a store whose reads say what they miss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_an_error_and_no_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    let organization = sample::organization();
    let records: Vec<_> =
        (0..300).map(|n| sample::full_record(&organization, &sample::user(&format!("u{n}")))).collect();
    store.create(&organization, Quota::default(), records.clone()).await.unwrap();
    drop(store);
    let whole = fs::read(&path).unwrap();

    for length in [1, 8, 9, 64, 320, 4_095, 4_096, 10_000, whole.len() / 2, whole.len() - 4_096, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        if let Err(error) = EmbeddedStore::open(&path) {
            let is_named = matches!(error, OpenError::Damaged { .. } | OpenError::NotAStore { .. });
            assert!(is_named, "cut to {length}: {error:?}");
        }
    }

    // Every third page: a backtrace for each of redb's panics takes its time.
    for page in (0..whole.len() / 4_096).step_by(3) {
        let mut bytes = whole.clone();
        // Every byte, in its low three bits alone: the size of a page stands in the high five of its number, and redb makes
        // room for a page of gigabytes before it finds that the file is shorter.
        for (at, byte) in bytes[page * 4_096 + 64..].iter_mut().take(4_000).enumerate() {
            *byte ^= 1 + (at * 5 + page) as u8 % 7;
        }
        fs::write(&path, &bytes).unwrap();
        match EmbeddedStore::open(&path) {
            Err(error) => assert!(matches!(error, OpenError::Damaged { .. }), "page {page}: {error:?}"),
            Ok(store) => {
                let _ = store.verify().await;
                let _ = store.ring_usage().await;
                for record in &records {
                    // Absent would be a lie; damaged, or as it was, is not. (An index page may be what is damaged.)
                    if let Ok(Some(read)) = store.record(record.key.id).await {
                        assert_eq!(read.key.id, record.key.id);
                    }
                }
                let more = sample::record(&organization, &sample::user("late"));
                let _ = store.create(&organization, Quota::default(), vec![more]).await;
            }
        }
    }
}
