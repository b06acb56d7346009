//! Setting organizations up and changing them, one after another and at once.

use std::sync::Arc;

use keygate_core::context::RequestContext;
use keygate_core::denial::DenialReason;
use keygate_core::manager::{ApiKeyManager, ManageError, OrganizationUpdate};
use keygate_core::record::{OrganizationRecord, ParentStatus, Revision};
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::fateful_store::{Fate, FatefulStore};
use crate::support::yielding_store::YieldingStore;
use crate::support::{
    self, Instance, block_on, manager_over, new_key, operator, org, ring, tenant, the_operator, word,
};

fn suspended() -> OrganizationUpdate {
    let mut update = OrganizationUpdate::default();
    update.status = Some(ParentStatus::Suspended);
    update
}

fn with_max_keys(most: u64) -> OrganizationUpdate {
    let mut update = OrganizationUpdate::default();
    update.max_keys = Some(Some(most));
    update
}

fn with_max_keys_per_user(most: u64) -> OrganizationUpdate {
    let mut update = OrganizationUpdate::default();
    update.max_keys_per_user = Some(Some(most));
    update
}

async fn create(manager: &ApiKeyManager, settings: &OrganizationUpdate) -> Result<OrganizationRecord, ManageError> {
    manager.create_organization(&the_operator(), &org("acme"), settings).await
}

async fn update(
    manager: &ApiKeyManager,
    update: &OrganizationUpdate,
    expected: Option<u64>,
) -> Result<OrganizationRecord, ManageError> {
    manager.update_organization(&the_operator(), &org("acme"), update, expected.map(Revision)).await
}

/// What is shown of acme.
async fn shown(instance: &Instance) -> OrganizationRecord {
    instance.manager.organization(&operator(), &org("acme")).await.unwrap()
}

/// An instance of the same deployment whose every call of the store gives way to others.
fn yielding(instance: &Instance) -> ApiKeyManager {
    manager_over(Arc::new(YieldingStore(instance.memory.clone())), ring(&[1]), &instance.clock)
}

#[tokio::test]
async fn one_that_nobody_configured_is_shown_with_the_defaults_and_no_revision() {
    let instance = Instance::new();
    let shown = shown(&instance).await;
    assert_eq!((shown.revision, shown.status), (Revision(0), ParentStatus::Active));
    assert_eq!((shown.max_keys, shown.max_keys_per_user), (None, None));
    assert_eq!(instance.store.calls().put_organization, 0, "to look at it does not make it");
    assert_eq!(instance.manager.organization(&tenant("acme", &[]), &org("acme")).await.unwrap(), shown);
}

#[tokio::test]
async fn an_organization_is_set_up_once() {
    for settings in [OrganizationUpdate::default(), suspended(), with_max_keys(5)] {
        let instance = Instance::new();
        let record = create(&instance.manager, &settings).await.unwrap();
        let status = settings.status.unwrap_or_default();
        assert_eq!(
            (record.revision, record.status, record.max_keys),
            (Revision::FIRST, status, settings.max_keys.flatten())
        );
        assert_eq!(shown(&instance).await, record);
        for again in [OrganizationUpdate::default(), settings, with_max_keys(7)] {
            let refusal = create(&instance.manager, &again).await.unwrap_err();
            assert!(matches!(refusal, ManageError::AlreadyExists), "{refusal:?}");
            assert_eq!(refusal.reason(), "already_exists");
        }
        assert_eq!(shown(&instance).await, record);
    }
}

#[tokio::test]
async fn one_that_was_changed_is_set_up_already_and_one_with_keys_is_not() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let record = create(&instance.manager, &OrganizationUpdate::default()).await.unwrap();
    assert!(instance.validate(created.text.expose()).await.is_ok(), "its keys go on as they are");
    assert_eq!(shown(&instance).await, record);

    let instance = Instance::new();
    let record = update(&instance.manager, &OrganizationUpdate::default(), None).await.unwrap();
    assert_eq!(record.revision, Revision::FIRST);
    assert_eq!(create(&instance.manager, &with_max_keys(5)).await.unwrap_err().reason(), "already_exists");
    assert_eq!(shown(&instance).await, record);
}

#[tokio::test]
async fn one_that_is_set_up_suspended_stops_the_keys_it_has() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    assert!(instance.validate(created.text.expose()).await.is_ok());
    create(&instance.manager, &suspended()).await.unwrap();
    assert_eq!(instance.refusal(created.text.expose()).await, DenialReason::OrganizationSuspended);
}

#[tokio::test]
async fn of_many_who_set_it_up_at_once_one_does() {
    let instance = Instance::new();
    let tasks: Vec<_> = (1..=8)
        .map(|nth| {
            let manager = yielding(&instance);
            tokio::spawn(async move { create(&manager, &with_max_keys(nth)).await })
        })
        .collect();
    let (mut made, mut refused) = (Vec::new(), 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(record) => made.push(record),
            Err(error) => {
                assert_eq!(error.reason(), "already_exists");
                refused += 1;
            }
        }
    }
    assert_eq!((made.len(), refused), (1, 7));
    assert_eq!(shown(&instance).await, made[0]);
}

#[tokio::test]
async fn a_change_from_another_revision_is_a_conflict_and_changes_nothing() {
    let instance = Instance::new();
    for wrong in [1, 2, u64::MAX] {
        let refusal = update(&instance.manager, &suspended(), Some(wrong)).await.unwrap_err();
        assert!(matches!(refusal, ManageError::Conflict { found: Revision(0) }), "{refusal:?}");
        assert_eq!(refusal.reason(), "revision_conflict");
    }
    assert_eq!(shown(&instance).await.revision, Revision(0));
    for (expected, next) in [(0, 1), (1, 2), (2, 3)] {
        let record = update(&instance.manager, &with_max_keys(expected), Some(expected)).await.unwrap();
        assert_eq!((record.revision, record.max_keys), (Revision(next), Some(expected)));
        for wrong in [0, expected, next + 1] {
            let refusal = update(&instance.manager, &suspended(), Some(wrong)).await.unwrap_err();
            assert!(matches!(refusal, ManageError::Conflict { found } if found == Revision(next)), "{refusal:?}");
        }
        assert_eq!(shown(&instance).await, record);
    }
}

#[tokio::test]
async fn different_changes_at_once_all_land() {
    for configured in [false, true] {
        let instance = Instance::new();
        if configured {
            create(&instance.manager, &OrganizationUpdate::default()).await.unwrap();
        }
        let changes = [suspended(), with_max_keys(5), with_max_keys_per_user(2)];
        let tasks: Vec<_> = changes
            .into_iter()
            .map(|change| {
                let manager = yielding(&instance);
                tokio::spawn(async move { update(&manager, &change, None).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let record = shown(&instance).await;
        assert_eq!(record.status, ParentStatus::Suspended);
        assert_eq!((record.max_keys, record.max_keys_per_user), (Some(5), Some(2)));
        assert_eq!(record.revision, Revision(3 + u64::from(configured)));
    }
}

#[tokio::test]
async fn of_changes_at_once_from_one_revision_one_wins() {
    for revision in [0, 1] {
        let instance = Instance::new();
        if revision == 1 {
            create(&instance.manager, &OrganizationUpdate::default()).await.unwrap();
        }
        let tasks: Vec<_> = (1..=8)
            .map(|nth| {
                let manager = yielding(&instance);
                tokio::spawn(async move { update(&manager, &with_max_keys(nth), Some(revision)).await })
            })
            .collect();
        let mut won = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                Ok(record) => won.push(record),
                Err(error) => assert_eq!(word(&error), "conflict"),
            }
        }
        assert_eq!(won.len(), 1);
        assert_eq!(shown(&instance).await, won[0]);
    }
}

/// Nobody knows whether it was done, so it is not believed that it was not.
#[tokio::test]
async fn a_change_whose_answer_was_lost_is_in_force_where_it_was_made() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let store = FatefulStore::new(instance.memory.clone(), |call| {
        if call.starts_with("put_organization") { Fate::Lost } else { Fate::Answered }
    });
    let troubled = manager_over(Arc::new(store), ring(&[1]), &instance.clock);
    let admitted = async || troubled.validate(created.text.expose(), &RequestContext::new()).await.map(drop);
    assert_eq!(admitted().await, Ok(()));
    assert_eq!(word(&create(&troubled, &suspended()).await.unwrap_err()), "store");
    assert_eq!(admitted().await.unwrap_err().reason(), DenialReason::OrganizationSuspended);
    let mut active = OrganizationUpdate::default();
    active.status = Some(ParentStatus::Active);
    assert_eq!(word(&update(&troubled, &active, Some(1)).await.unwrap_err()), "store");
    assert_eq!(admitted().await, Ok(()));
    // Repeated, each says what it found.
    assert_eq!(create(&instance.manager, &suspended()).await.unwrap_err().reason(), "already_exists");
    assert_eq!(word(&update(&instance.manager, &active, Some(1)).await.unwrap_err()), "conflict");
    assert_eq!(shown(&instance).await.revision, Revision(2));
}

#[tokio::test]
async fn a_change_that_failed_changed_nothing() {
    let instance = Instance::new();
    let record = create(&instance.manager, &with_max_keys(5)).await.unwrap();
    let store = FatefulStore::new(instance.memory.clone(), |call| {
        if call.starts_with("put_organization") { Fate::Failed } else { Fate::Answered }
    });
    let troubled = manager_over(Arc::new(store), ring(&[1]), &instance.clock);
    for expected in [None, Some(1)] {
        assert_eq!(word(&update(&troubled, &suspended(), expected).await.unwrap_err()), "store");
    }
    assert_eq!(shown(&instance).await, record);
}

/// One call: what is to change, and from which revision: of now, of before, or of any.
#[derive(Debug, Clone)]
enum Step {
    Create(OrganizationUpdate),
    Update(OrganizationUpdate, Option<bool>),
}

fn changes() -> impl Strategy<Value = OrganizationUpdate> {
    let quota = || prop::option::of(prop::option::of(0u64..4));
    let status = prop::option::of(select(vec![ParentStatus::Active, ParentStatus::Suspended]));
    (status, quota(), quota()).prop_map(|(status, max_keys, max_keys_per_user)| {
        let mut update = OrganizationUpdate::default();
        (update.status, update.max_keys, update.max_keys_per_user) = (status, max_keys, max_keys_per_user);
        update
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => changes().prop_map(Step::Create),
        3 => (changes(), prop::option::of(any::<bool>())).prop_map(|(changes, fresh)| Step::Update(changes, fresh)),
    ];
    prop::collection::vec(step, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..support::property() })]

    /// Whatever is asked in whatever order, what is shown is what the calls that succeeded say.
    #[test]
    fn an_organization_is_what_was_last_said_of_it(steps in steps()) {
        block_on(async {
            let instance = Instance::new();
            let mut model = shown(&instance).await;
            for step in steps {
                let Revision(now) = model.revision;
                let (outcome, changes, refused) = match &step {
                    Step::Create(changes) => (create(&instance.manager, changes).await, changes, now > 0),
                    Step::Update(changes, fresh) => {
                        let expected = fresh.map(|fresh| if fresh { now } else { now + 1 });
                        (update(&instance.manager, changes, expected).await, changes, *fresh == Some(false))
                    }
                };
                assert_eq!(outcome.is_err(), refused, "{step:?}: {outcome:?}");
                if !refused {
                    model.revision = model.revision.next();
                    model.status = changes.status.unwrap_or(model.status);
                    model.max_keys = changes.max_keys.unwrap_or(model.max_keys);
                    model.max_keys_per_user = changes.max_keys_per_user.unwrap_or(model.max_keys_per_user);
                    assert_eq!(outcome.unwrap(), model);
                }
                assert_eq!(shown(&instance).await, model);
            }
        });
    }
}
