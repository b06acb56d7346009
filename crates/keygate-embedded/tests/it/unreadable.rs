//! A key of which nothing can be read, as an older instance meets it while others are upgraded, is told of and holds up no other.

use std::path::Path;

use keygate_core::actor::{Actor, Operator};
use keygate_core::key::KeyId;
use keygate_core::manager::{ApiKeyManager, BulkKeys, BulkOperation, KeyFilter, ManageError, NewKey, UserUpdate};
use keygate_core::names::{OrganizationId, UserId};
use keygate_core::record::UserStatus;
use keygate_core::ring::{MasterSecret, SecretRing};
use keygate_embedded::EmbeddedStore;
use redb::{ReadableTable, TableDefinition};

/// A version that nobody has written yet.
fn as_if_newer(path: &Path, id: KeyId) {
    let database = redb::Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let table: TableDefinition<'_, &'static [u8; 16], &[u8]> = TableDefinition::new("records");
        let mut records = transaction.open_table(table).unwrap();
        let mut newer = records.get(id.as_bytes()).unwrap().unwrap().value().to_vec();
        newer[0] = 200;
        records.insert(id.as_bytes(), newer.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_told_of_by_whatever_is_done_to_many() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let ring = SecretRing::new(&MasterSecret::generate().unwrap());
    let actor: Actor = Operator::named("test".parse().unwrap()).into();
    let (acme, ada): (OrganizationId, UserId) = ("acme".parse().unwrap(), "ada".parse().unwrap());
    let open = || ApiKeyManager::builder(EmbeddedStore::open(&path).unwrap(), ring.clone()).build().unwrap();

    let manager = open();
    let made = manager.create_many(&actor, vec![NewKey::new(acme.clone(), ada.clone()); 3]).await;
    let mut ids: Vec<KeyId> = made.into_iter().map(|made| made.unwrap().key.id).collect();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    manager.leave().await;
    drop(manager);
    as_if_newer(&path, ids[1]);

    let manager = open();
    let page = manager.list(&actor, &acme, &KeyFilter::default(), 100, None).await.unwrap();
    assert_eq!(page.keys.iter().map(|key| key.id).collect::<Vec<_>>(), [ids[0], ids[2]]);
    assert_eq!(page.unreadable_key_ids, [ids[1]]);

    let (mut done, mut failed, mut cursor) = (Vec::new(), Vec::new(), None);
    loop {
        let which = BulkKeys::Matching { filter: KeyFilter::default(), limit: 1, cursor };
        let stop = BulkOperation::Deactivate { reason: None };
        let page = manager.bulk_of(&actor, &acme, &stop, &which, false).await.unwrap();
        done.extend(page.outcome.successful);
        failed.extend(page.outcome.failed.into_iter().map(|failure| (failure.key_id, failure.reason)));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((done, failed), (vec![ids[0], ids[2]], vec![(ids[1], "record_unreadable")]), "each once");

    // Its user has not left for good before it is revoked.
    let to = |status| UserUpdate { status: Some(status), ..UserUpdate::default() };
    let changed = manager.update_user(&actor, &acme, &ada, &to(UserStatus::Offboarded), None).await.unwrap();
    assert_eq!((changed.revoked, changed.complete), (2, false));
    let back = manager.update_user(&actor, &acme, &ada, &to(UserStatus::Active), None).await;
    assert!(matches!(back, Err(ManageError::StillOffboarding)), "{back:?}");
}
