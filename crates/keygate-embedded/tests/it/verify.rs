//! `verify` finds what does not agree, and reads do not pass over it.

use std::path::Path;

use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::record::{KeyStatus, Quota};
use keygate_core::store::{Depth, Finding, Listing, Store, StoreError, Verdict};
use keygate_embedded::EmbeddedStore;
use keygate_testkit::sample;
use redb::{ReadableTable, TableDefinition, WriteTransaction};

type Id = &'static [u8; 16];

/// A store file with two keys of one user, the first of which ends.
async fn two_keys(path: &Path) -> (OrganizationId, [KeyId; 2]) {
    let store = EmbeddedStore::open(path).unwrap();
    let organization = sample::organization();
    let [mut ending, endless] = [(); 2].map(|()| sample::record(&organization, &sample::user("ann")));
    ending.key.expires_at = Some(sample::far_future());
    let ids = [ending.key.id, endless.key.id];
    store.create(&organization, Quota::default(), vec![ending, endless]).await.unwrap();
    assert_eq!(store.verify().await.unwrap().problems, Vec::<String>::new());
    (organization, ids)
}

/// Changes the file behind the store's back and says what it then finds.
async fn problems_after(path: &Path, change: impl FnOnce(&WriteTransaction)) -> String {
    let database = redb::Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
    drop(database);
    EmbeddedStore::open(path).unwrap().verify().await.unwrap().problems.join("\n")
}

#[tokio::test]
async fn an_entry_missing_from_a_list_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let (organization, [id, _]) = two_keys(&path).await;
    let problems = problems_after(&path, |transaction| {
        let table: TableDefinition<'_, (&str, Id), ()> = TableDefinition::new("by_organization");
        transaction.open_table(table).unwrap().remove((organization.as_str(), id.as_bytes())).unwrap();
    });
    assert!(problems.await.contains(&format!("key {id} is not in its organization's list")));
}

#[tokio::test]
async fn an_entry_without_a_record_is_found_and_holds_up_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let (organization, [id, other]) = two_keys(&path).await;
    let problems = problems_after(&path, |transaction| {
        let table: TableDefinition<'_, Id, &[u8]> = TableDefinition::new("records");
        transaction.open_table(table).unwrap().remove(id.as_bytes()).unwrap();
    });
    let problems = problems.await;
    for problem in ["users' lists have 2 entries for 1 keys", "counts 2 keys and has 1", "1 keys are kept as ending"] {
        assert!(problems.contains(problem), "{problem}: {problems}");
    }
    let store = EmbeddedStore::open(&path).unwrap();
    let listed = store.list(&Listing::Organization(organization), None, 10).await.unwrap();
    assert_eq!(listed.records.iter().map(|record| record.key.id).collect::<Vec<_>>(), [other]);
    assert_eq!((listed.unreadable, listed.next), (vec![id], None));
}

/// As an older instance meets it while others are upgraded.
#[tokio::test]
async fn a_record_that_cannot_be_read_holds_up_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let (organization, [id, other]) = two_keys(&path).await;
    problems_after(&path, |transaction| {
        let table: TableDefinition<'_, Id, &[u8]> = TableDefinition::new("records");
        let mut records = transaction.open_table(table).unwrap();
        let mut newer = records.get(id.as_bytes()).unwrap().unwrap().value().to_vec();
        newer[0] = 200;
        records.insert(id.as_bytes(), newer.as_slice()).unwrap();
    })
    .await;
    let store = EmbeddedStore::open(&path).unwrap();
    let (mut after, mut read, mut unreadable) = (None, Vec::new(), Vec::new());
    loop {
        let page = store.list(&Listing::Organization(organization.clone()), after, 1).await.unwrap();
        read.extend(page.records.iter().map(|record| record.key.id));
        unreadable.extend(page.unreadable);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((read, unreadable), (vec![other], vec![id]));
}

#[tokio::test]
async fn a_wrong_count_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let (organization, _) = two_keys(&path).await;
    let problems = problems_after(&path, |transaction| {
        let table: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("user_counts");
        transaction.open_table(table).unwrap().insert((organization.as_str(), "ann"), 7).unwrap();
    });
    assert!(problems.await.contains("counts 7 keys and has 2"));
}

#[tokio::test]
async fn a_wrong_count_does_not_stand_in_the_way_of_a_revocation() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let (organization, ids) = two_keys(&path).await;
    let problems = problems_after(&path, |transaction| {
        let table: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("user_counts");
        transaction.open_table(table).unwrap().remove((organization.as_str(), "ann")).unwrap();
    });
    assert!(problems.await.contains("a user with keys has no count"));
    let store = EmbeddedStore::open(&path).unwrap();
    for id in ids {
        let revoked = store.set_status(&organization, id, &sample::status(KeyStatus::Revoked)).await.unwrap();
        assert_eq!(revoked.record.key.status.status, KeyStatus::Revoked);
    }
    assert_eq!(store.verify().await.unwrap().problems, Vec::<String>::new());
}

#[tokio::test]
async fn a_key_left_out_of_the_count_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let (_, [id, _]) = two_keys(&path).await;
    let problems = problems_after(&path, |transaction| {
        let table: TableDefinition<'_, (&str, i64, Id), &str> = TableDefinition::new("ends");
        transaction.open_table(table).unwrap().pop_first().unwrap();
    });
    assert!(problems.await.contains(&format!("key {id} does not count, and has not ended")));
}

#[tokio::test]
async fn a_record_under_another_keys_id_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let (_, [id, other]) = two_keys(&path).await;
    let problems = problems_after(&path, |transaction| {
        let table: TableDefinition<'_, Id, &[u8]> = TableDefinition::new("records");
        let mut records = transaction.open_table(table).unwrap();
        let bytes = records.get(other.as_bytes()).unwrap().unwrap().value().to_vec();
        records.insert(id.as_bytes(), bytes.as_slice()).unwrap();
    });
    assert!(problems.await.contains("it is the record of another key"));
    let read = EmbeddedStore::open(&path).unwrap().record(id).await;
    assert!(matches!(read, Err(StoreError::Damaged { .. })), "{read:?}");
}

async fn integrity(path: &Path) -> Finding {
    let findings = EmbeddedStore::open(path).unwrap().examine(Depth::Quick).await;
    findings.into_iter().find(|finding| finding.check == "integrity").unwrap()
}

#[tokio::test]
async fn an_examination_finds_what_does_not_agree() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let (organization, [id, _]) = two_keys(&path).await;
    assert_eq!(integrity(&path).await.verdict, Verdict::Ok);
    let problems = problems_after(&path, |transaction| {
        let table: TableDefinition<'_, (&str, Id), ()> = TableDefinition::new("by_organization");
        transaction.open_table(table).unwrap().remove((organization.as_str(), id.as_bytes())).unwrap();
    });
    assert!(!problems.await.is_empty());
    let finding = integrity(&path).await;
    assert_eq!(finding.verdict, Verdict::Failure);
    assert!(finding.observed.contains(&id.to_string()), "{finding:?}");
}
