//! Who watches is told of changes. A store that tells nobody passes: what is read of it is not kept.

use std::sync::Arc;
use std::time::Duration;

use keygate_core::clock::Tick;
use keygate_core::coherence::Change;
use keygate_core::record::{KeyStatus, OrganizationRecord, Parents, ProjectRecord};
use keygate_core::store::Store;
use tokio::time::timeout;

use super::ear::{Ear, kept, kept_parents, unused_id};
use super::{AMPLE, created, read};
use crate::sample;

/// Nothing that is to end takes as long.
const FOREVER: Duration = Duration::from_secs(20);
/// How often a load and a write are let race.
const RACES: usize = 50;

/// Creation, update, status and deletion: whatever is kept of a key, its absence too, is told of when it changes.
pub async fn a_watcher_is_told_of_every_write_of_a_key(store: Arc<dyn Store>) {
    let Some(ear) = Ear::told_by(&*store).await else { return };
    let organization = sample::organization();
    let first = sample::record(&organization, &sample::user("ann"));
    let (id, told) = (first.key.id, Change::Key(first.key.id));
    assert_eq!(kept(&*store, id).await.value, None);
    created(&*store, first.clone()).await;
    ear.hears(&told).await;

    let second = sample::described(&first, "second");
    assert_eq!(kept(&*store, id).await.value.as_ref(), Some(&first));
    ear.forget();
    store.replace(&second, first.key.revision).await.unwrap();
    ear.hears(&told).await;

    let mut held = second;
    for status in [KeyStatus::Inactive, KeyStatus::Active, KeyStatus::Revoked] {
        assert_eq!(kept(&*store, id).await.value.as_ref(), Some(&held));
        ear.forget();
        held = store.set_status(&organization, id, &sample::status(status)).await.unwrap().record;
        ear.hears(&told).await;
    }

    assert_eq!(kept(&*store, id).await.value.as_ref(), Some(&held));
    ear.forget();
    store.delete(&organization, id, held.key.revision).await.unwrap();
    ear.hears(&told).await;
    assert_eq!(kept(&*store, id).await.value, None);
}

/// A batch is as many creations.
pub async fn a_watcher_is_told_of_every_key_of_a_batch(store: Arc<dyn Store>) {
    let Some(ear) = Ear::told_by(&*store).await else { return };
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let records: Vec<_> = (0..20).map(|_| sample::record(&organization, &user)).collect();
    for record in &records {
        assert_eq!(kept(&*store, record.key.id).await.value, None);
    }
    store.create(&organization, AMPLE, records.clone()).await.unwrap();
    for record in &records {
        ear.hears(&Change::Key(record.key.id)).await;
    }
}

/// A revocation is told as what it is, and nothing else is told as one.
pub async fn a_revocation_alone_is_told_as_one(store: Arc<dyn Store>) {
    let Some(ear) = Ear::told_by(&*store).await else { return };
    let organization = sample::organization();
    let first = sample::record(&organization, &sample::user("ann"));
    let (id, told, revoked) = (first.key.id, Change::Key(first.key.id), Change::Revoked(first.key.id));
    kept(&*store, id).await;
    created(&*store, first.clone()).await;
    ear.hears(&told).await;
    let mut held = first;
    for status in [KeyStatus::Inactive, KeyStatus::Active] {
        let times = ear.times(&told);
        held = store.set_status(&organization, id, &sample::status(status)).await.unwrap().record;
        ear.hears_again(&told, times).await;
    }
    let times = ear.times(&told);
    store.replace(&sample::described(&held, "changed"), held.key.revision).await.unwrap();
    ear.hears_again(&told, times).await;
    assert_eq!(ear.times(&revoked), 0, "a key that was never revoked was told of as revoked");

    store.set_status(&organization, id, &sample::status(KeyStatus::Revoked)).await.unwrap();
    ear.hears(&revoked).await;
}

/// Whatever is kept of an organization or a project, their absence too, is told of when it changes.
pub async fn a_watcher_is_told_of_organizations_and_projects(store: Arc<dyn Store>) {
    let Some(ear) = Ear::told_by(&*store).await else { return };
    let first = OrganizationRecord::new(sample::organization());
    let project = ProjectRecord::new(first.id.clone(), sample::project("website"));
    let told = Change::Organization(first.id.clone());
    assert_eq!(kept_parents(&*store, &first.id, &project.id).await.value, Parents::default());
    store.put_organization(&first, None).await.unwrap();
    ear.hears(&told).await;

    let second = OrganizationRecord { revision: first.revision.next(), max_keys: Some(5), ..first.clone() };
    let parents = kept_parents(&*store, &first.id, &project.id).await.value;
    assert_eq!(parents, Parents { organization: Some(first.clone()), project: None, roles: None });
    ear.forget();
    store.put_organization(&second, Some(first.revision)).await.unwrap();
    ear.hears(&told).await;

    let told = Change::Project(first.id.clone(), project.id.clone());
    assert_eq!(kept_parents(&*store, &first.id, &project.id).await.value.project, None);
    ear.forget();
    store.put_project(&project, None).await.unwrap();
    ear.hears(&told).await;

    let changed = ProjectRecord { revision: project.revision.next(), ..project.clone() };
    let parents = kept_parents(&*store, &first.id, &project.id).await.value;
    assert_eq!(parents, Parents { organization: Some(second), project: Some(project.clone()), roles: None });
    ear.forget();
    store.put_project(&changed, Some(project.revision)).await.unwrap();
    ear.hears(&told).await;
}

/// An import of many keys costs nobody what is kept of another key, though it be of the same user.
pub async fn other_keys_are_told_of_under_their_own_names(store: Arc<dyn Store>) {
    let Some(ear) = Ear::told_by(&*store).await else { return };
    let (organization, user) = (sample::organization(), sample::user("ann"));
    let ours = sample::record(&organization, &user);
    kept(&*store, ours.key.id).await;
    created(&*store, ours.clone()).await;
    let told = Change::Key(ours.key.id);
    ear.hears(&told).await;
    ear.forget();
    for _ in 0..100 {
        let other = sample::record(&organization, &user);
        kept(&*store, other.key.id).await;
        created(&*store, other.clone()).await;
        ear.hears(&Change::Key(other.key.id)).await;
    }
    assert_eq!(ear.times(&told), 0, "other keys' changes were told of under this one's name");
    assert_eq!(ear.times(&Change::Organization(organization)), 0, "keys' changes were told of as their organization's");
}

/// Projects of one name are told apart by their organizations, and a project from its organization.
pub async fn other_parents_are_told_of_under_their_own_names(store: Arc<dyn Store>) {
    let Some(ear) = Ear::told_by(&*store).await else { return };
    let (ours, theirs) = (sample::organization(), sample::organization());
    let project = sample::project("website");
    kept_parents(&*store, &ours, &project).await;
    kept_parents(&*store, &theirs, &project).await;
    store.put_organization(&OrganizationRecord::new(theirs.clone()), None).await.unwrap();
    store.put_project(&ProjectRecord::new(theirs.clone(), project.clone()), None).await.unwrap();
    ear.hears(&Change::Organization(theirs.clone())).await;
    ear.hears(&Change::Project(theirs, project.clone())).await;
    let (organization_told, project_told) =
        (Change::Organization(ours.clone()), Change::Project(ours.clone(), project));
    assert_eq!((ear.times(&organization_told), ear.times(&project_told)), (0, 0));

    store.put_project(&ProjectRecord::new(ours.clone(), sample::project("website")), None).await.unwrap();
    ear.hears(&project_told).await;
    assert_eq!(ear.times(&organization_told), 0);
}

/// One who watches takes nothing from another.
pub async fn every_watcher_is_told(store: Arc<dyn Store>) {
    let Some(first) = Ear::told_by(&*store).await else { return };
    let ears = [first, Ear::at(&*store).await, Ear::at(&*store).await];
    let record = sample::record(&sample::organization(), &sample::user("ann"));
    kept(&*store, record.key.id).await;
    created(&*store, record.clone()).await;
    for ear in ears {
        ear.hears(&Change::Key(record.key.id)).await;
    }
}

/// The store keeps nobody alive who watches it, and goes on without those who are gone.
pub async fn a_watcher_that_is_gone_is_let_go(store: Arc<dyn Store>) {
    let Some(stays) = Ear::told_by(&*store).await else { return };
    let leaves = Ear::at(&*store).await;
    let mut heard = leaves.heard();
    drop(leaves);
    // It ends when all who hold the watcher are gone, of whom one may be telling it something.
    in_time(async { while heard.changed().await.is_ok() {} }).await;
    let heard_before = heard.borrow().len();
    let record = sample::record(&sample::organization(), &sample::user("ann"));
    kept(&*store, record.key.id).await;
    created(&*store, record.clone()).await;
    stays.hears(&Change::Key(record.key.id)).await;
    assert_eq!(heard.borrow().len(), heard_before);
}

/// What is loaded to be kept is what any other read has, whether or not anybody watches.
pub async fn a_load_reads_what_is_there(store: Arc<dyn Store>) {
    let organization = sample::organization();
    let project = sample::project("website");
    for watched in [false, true] {
        let ear = if watched { Ear::told_by(&*store).await } else { None };
        let first = sample::full_record(&organization, &sample::user("ann"));
        let id = first.key.id;
        let loads_the_same = async || {
            let loaded = store.load_record(id).await.unwrap();
            assert_eq!(loaded.value, read(&*store, id).await);
            let parents = store.parents(&organization, Some(&project)).await.unwrap();
            assert_eq!(store.load_parents(&organization, Some(&project)).await.unwrap().value, parents);
            let parents = store.parents(&organization, None).await.unwrap();
            assert_eq!(store.load_parents(&organization, None).await.unwrap().value, parents);
            loaded.value
        };
        assert_eq!(loads_the_same().await, None);
        created(&*store, first.clone()).await;
        assert_eq!(loads_the_same().await.as_ref(), Some(&first));
        let second = sample::described(&first, "second");
        store.replace(&second, first.key.revision).await.unwrap();
        assert_eq!(loads_the_same().await.as_ref(), Some(&second));
        let revoked = store.set_status(&organization, id, &sample::status(KeyStatus::Revoked)).await.unwrap().record;
        assert_eq!(loads_the_same().await.as_ref(), Some(&revoked));
        store.delete(&organization, id, revoked.key.revision).await.unwrap();
        assert_eq!(loads_the_same().await, None);
        if !watched {
            store.put_organization(&OrganizationRecord::new(organization.clone()), None).await.unwrap();
            loads_the_same().await;
            store.put_project(&ProjectRecord::new(organization.clone(), project.clone()), None).await.unwrap();
            loads_the_same().await;
        }
        drop(ear);
    }
}

/// The time by which others judge what was loaded is that of this load.
pub async fn a_load_says_when_it_was_asked_for(store: Arc<dyn Store>) {
    let _ear = Ear::told_by(&*store).await;
    for _ in 0..3 {
        let before = Tick::now();
        let record = store.load_record(unused_id()).await.unwrap();
        let between = Tick::now();
        let parents = store.load_parents(&sample::organization(), None).await.unwrap();
        assert!(before <= record.sent && record.sent <= between, "{before:?}, {:?}, {between:?}", record.sent);
        assert!(between <= parents.sent && parents.sent <= Tick::now(), "{between:?}, {:?}", parents.sent);
    }
}

/// Something loaded while it changes is the new, or is told of after the load was asked for: who looks at what it was
/// told before it loads is never left with the old.
pub async fn what_is_loaded_beside_a_write_is_new_or_told_of(store: Arc<dyn Store>) {
    let Some(ear) = Ear::told_by(&*store).await else { return };
    let record = sample::record(&sample::organization(), &sample::user("ann"));
    let (id, told) = (record.key.id, Change::Key(record.key.id));
    let mut held = created(&*store, record).await;
    for race in 0..RACES {
        let next = sample::described(&held, &format!("of race {race}"));
        kept(&*store, id).await;
        let loader = tokio::spawn({
            let (store, ear, told, next) = (Arc::clone(&store), Arc::clone(&ear), told.clone(), next.clone());
            async move {
                let mut before_the_last_of_the_old = None;
                loop {
                    let before = ear.times(&told);
                    let read = store.load_record(id).await.unwrap();
                    if read.value.as_ref() == Some(&next) {
                        return before_the_last_of_the_old;
                    }
                    if read.lease.is_some_and(|lease| lease.is_live(Tick::now())) {
                        before_the_last_of_the_old = Some(before);
                    }
                    tokio::task::yield_now().await;
                }
            }
        });
        store.replace(&next, held.key.revision).await.unwrap();
        if let Some(before) = in_time(loader).await.unwrap() {
            ear.hears_again(&told, before).await;
        }
        held = next;
    }
}

/// Once everywhere is told, nobody believes what was so before. There is nobody here who could not be told.
pub async fn everywhere_is_told_of_what_was_written(store: Arc<dyn Store>) {
    let Some(ear) = Ear::told_by(&*store).await else { return };
    let record = sample::record(&sample::organization(), &sample::user("ann"));
    let (id, told) = (record.key.id, Change::Key(record.key.id));
    created(&*store, record.clone()).await;
    let read = kept(&*store, id).await;
    let times = ear.times(&told);
    store.set_status(&record.key.organization, id, &sample::status(KeyStatus::Revoked)).await.unwrap();
    assert!(in_time(store.told_everywhere()).await.unwrap(), "a lone store cannot tell everywhere");
    let believed = read.lease.is_some_and(|lease| lease.is_live(Tick::now()));
    assert!(ear.times(&told) > times || !believed, "everywhere was told, and one here still believes the old");
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(FOREVER, future).await.expect("what a test waited for did not come")
}
