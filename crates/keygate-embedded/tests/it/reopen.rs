//! What is in the file stays in the file.

use keygate_core::record::{KeyStatus, OrganizationRecord, ProjectRecord, Quota};
use keygate_core::store::{Acknowledgement, Listing, Store};
use keygate_embedded::EmbeddedStore;
use keygate_testkit::sample;

#[tokio::test]
async fn reopening_finds_everything_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let organization = sample::organization();
    let (ann, bob) = (sample::user("ann"), sample::user("bob"));
    let records: Vec<_> = [&ann, &ann, &bob, &bob].map(|user| sample::full_record(&organization, user)).into();
    let deployment = sample::deployment();
    let configured = OrganizationRecord::new(organization.clone());
    let project = ProjectRecord::new(organization.clone(), sample::project("website"));
    let listing = Listing::Organization(organization.clone());

    let store = EmbeddedStore::open(&path).unwrap();
    assert!(store.put_deployment(None, &deployment).await.unwrap());
    store.put_organization(&configured, None).await.unwrap();
    store.put_project(&project, None).await.unwrap();
    store.create(&organization, Quota::default(), records.clone()).await.unwrap();
    store.set_status(&organization, records[0].key.id, &sample::status(KeyStatus::Revoked)).await.unwrap();
    store.replace(&sample::described(&records[1], "new"), records[1].key.revision).await.unwrap();
    store.delete(&organization, records[2].key.id, records[2].key.revision).await.unwrap();
    let listed = store.list(&listing, None, 10).await.unwrap();
    let used = store.quota_use(&organization, &ann).await.unwrap();
    let usage = store.ring_usage().await.unwrap();
    drop(store);

    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.deployment().await.unwrap(), Some(deployment));
    let parents = store.parents(&organization, Some(&project.id)).await.unwrap();
    assert_eq!((parents.organization, parents.project), (Some(configured), Some(project)));
    assert_eq!(listed.records.len(), 3);
    assert_eq!(store.list(&listing, None, 10).await.unwrap(), listed);
    assert_eq!(store.quota_use(&organization, &ann).await.unwrap(), used);
    assert_eq!(store.ring_usage().await.unwrap(), usage);
    let verification = store.verify().await.unwrap();
    assert_eq!((verification.records, verification.problems), (3, Vec::new()));
}

#[tokio::test]
async fn a_write_is_on_disk_when_it_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path().join("keys.redb")).unwrap();
    let organization = sample::organization();
    let record = sample::record(&organization, &sample::user("ann"));
    store.create(&organization, Quota::default(), vec![record.clone()]).await.unwrap();
    let synced = Acknowledgement { replicas: 0, fsynced: Some(true) };
    let next = sample::described(&record, "new");
    assert_eq!(store.replace(&next, record.key.revision).await.unwrap(), synced);
    let change = sample::status(KeyStatus::Revoked);
    let written = store.set_status(&organization, record.key.id, &change).await.unwrap();
    assert_eq!(written.acknowledgement, synced);
    let revision = written.record.key.revision;
    assert_eq!(store.delete(&organization, record.key.id, revision).await.unwrap(), synced);
}

#[tokio::test]
async fn a_batch_of_several_transactions_is_created_whole_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path().join("keys.redb")).unwrap();
    let organization = sample::organization();
    let user = sample::user("ann");
    let records: Vec<_> = (0..20_001).map(|_| sample::record(&organization, &user)).collect();
    let quota = Quota { per_organization: 20_000, per_user: 20_000 };
    let outcomes = store.create(&organization, quota, records).await.unwrap();
    assert_eq!(outcomes.iter().take_while(|outcome| outcome.is_ok()).count(), 20_000);
    assert!(outcomes[20_000].is_err());
    assert_eq!(store.quota_use(&organization, &user).await.unwrap().user, 20_000);
    assert_eq!(store.verify().await.unwrap().problems, Vec::<String>::new());
}

#[tokio::test]
async fn neither_debug_nor_description_shows_contents() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.describe(), format!("file:{}", path.display()));
    assert_eq!(format!("{store:?}"), format!("EmbeddedStore {{ path: {path:?}, .. }}"));
}

#[tokio::test]
async fn a_write_nobody_waits_for_is_finished_and_stops_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path().join("keys.redb")).unwrap();
    let organization = sample::organization();
    let user = sample::user("ann");
    for _ in 0..20 {
        let (store, organization) = (store.clone(), organization.clone());
        let record = sample::record(&organization, &user);
        let writer = tokio::spawn(async move { store.create(&organization, Quota::default(), vec![record]).await });
        tokio::task::yield_now().await;
        writer.abort();
    }
    let record = sample::record(&organization, &sample::user("bob"));
    let outcomes = store.create(&organization, Quota::default(), vec![record]).await.unwrap();
    assert_eq!(outcomes, [Ok(())]);
    let verification = store.verify().await.unwrap();
    assert_eq!(verification.problems, Vec::<String>::new());
    assert_eq!(verification.records, store.quota_use(&organization, &user).await.unwrap().organization);
}

/// A file of before projects had quotas: the keys that count are counted when it is opened, and no others.
#[tokio::test]
async fn the_keys_of_projects_are_counted_in_a_file_that_did_not_count_them() {
    const COUNTS: redb::TableDefinition<'_, (&str, &str), u64> = redb::TableDefinition::new("project_counts");
    const ENDS: redb::TableDefinition<'_, (&str, i64, &[u8; 16]), &str> = redb::TableDefinition::new("ends");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let (organization, ann, web) = (sample::organization(), sample::user("ann"), sample::project("web"));
    let store = EmbeddedStore::open(&path).unwrap();
    let ends = [None, None, Some(sample::far_future()), Some(sample::past())];
    let mut records = ends.map(|end| sample::expiring(&sample::record(&organization, &ann), end));
    records.iter_mut().for_each(|record| record.key.project = Some(web.clone()));
    let ids = records.clone().map(|record| record.key.id);
    let elsewhere = sample::expiring(&sample::record(&organization, &ann), Some(sample::far_future()));
    store.create(&organization, Quota::default(), [&records[..], &[elsewhere]].concat()).await.unwrap();
    store.set_status(&organization, ids[0], &sample::status(KeyStatus::Revoked)).await.unwrap();
    assert_eq!(store.project_use(&organization, &web).await.unwrap(), 2);
    drop(store);
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    assert!(transaction.delete_table(COUNTS).unwrap());
    let place = (organization.as_str(), records[2].key.expires_at.unwrap().timestamp_millis(), ids[2].as_bytes());
    transaction.open_table(ENDS).unwrap().insert(place, "ann").unwrap();
    transaction.commit().unwrap();
    drop(database);

    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.project_use(&organization, &web).await.unwrap(), 2);
    assert_eq!(store.verify().await.unwrap().problems, Vec::<String>::new());
    for id in [ids[1], ids[2]] {
        store.set_status(&organization, id, &sample::status(KeyStatus::Revoked)).await.unwrap();
    }
    assert_eq!(store.project_use(&organization, &web).await.unwrap(), 0);
    assert_eq!(store.verify().await.unwrap().problems, Vec::<String>::new());
}
