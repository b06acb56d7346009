//! Projects: shown and changed.

use keygate_core::denial::DenialReason;
use keygate_core::limits::Limits;
use keygate_core::manager::{ManageError, ProjectUpdate};
use keygate_core::record::{ParentStatus, Revision};

use crate::support::{self, new_key_with, operator, org, scopes, tenant, word};

fn update(status: Option<ParentStatus>, limits: Option<Option<Limits>>) -> ProjectUpdate {
    let mut update = ProjectUpdate::default();
    update.status = status;
    update.limits = limits;
    update
}

/// To resume a project is to activate its keys: nobody does it whose own may grant less than these can do.
#[tokio::test]
async fn a_project_is_resumed_by_who_may_grant_what_its_keys_can_do() {
    let instance = support::Instance::new();
    let (manager, acme, web) = (&instance.manager, org("acme"), "web".parse().unwrap());
    let of = |project: &str, permission: &str| {
        new_key_with(|new| {
            new.project = Some(project.parse().unwrap());
            new.permissions = scopes(&[permission]);
            new.scopes = Some(scopes(&[]));
        })
    };
    let strong = instance.create(of("web", "admin:write")).await;
    instance.create(of("docs", "**")).await;
    let stop = async || manager.set_project_status(&operator(), &acme, &web, ParentStatus::Suspended).await.unwrap();
    let resume = async |grantable: &[&str]| {
        let actor = tenant("acme", grantable);
        manager.set_project_status(&actor, &acme, &web, ParentStatus::Active).await.map_err(|error| word(&error))
    };
    stop().await;
    assert_eq!(resume(&[]).await, Err("not grantable"));
    assert_eq!(resume(&["files:*"]).await, Err("not grantable"));
    assert_eq!(instance.refusal(strong.text.expose()).await, DenialReason::ProjectSuspended);
    assert!(resume(&["admin:*"]).await.is_ok(), "keys of other projects are none of it");
    assert!(instance.validate(strong.text.expose()).await.is_ok());
    // A key that cannot be used in it is none either.
    stop().await;
    manager.deactivate(&operator(), strong.key.id, None).await.unwrap();
    assert!(resume(&[]).await.is_ok());
}

#[tokio::test]
async fn what_is_not_named_stays_as_it_is() {
    let instance = support::Instance::new();
    let (manager, acme, web) = (&instance.manager, org("acme"), "web".parse().unwrap());
    let shown = manager.project(&operator(), &acme, &web).await.unwrap();
    assert_eq!((shown.revision, shown.status, shown.limits), (Revision::UNWRITTEN, ParentStatus::Active, None));
    let daily = Limits { per_day: Some(5), ..Limits::UNLIMITED };
    let suspended = update(Some(ParentStatus::Suspended), None);
    manager.update_project(&operator(), &acme, &web, &suspended, Some(Revision::UNWRITTEN)).await.unwrap();
    let limited =
        manager.update_project(&operator(), &acme, &web, &update(None, Some(Some(daily))), None).await.unwrap();
    assert_eq!((limited.status, limited.limits), (ParentStatus::Suspended, Some(daily)));
    assert_eq!(manager.project(&operator(), &acme, &web).await.unwrap(), limited);
    let late = manager.update_project(&operator(), &acme, &web, &suspended, Some(Revision::UNWRITTEN)).await;
    assert!(matches!(late, Err(ManageError::Conflict { found }) if found == limited.revision), "{late:?}");
    let resumed = manager.set_project_status(&operator(), &acme, &web, ParentStatus::Active).await.unwrap();
    assert_eq!((resumed.status, resumed.limits), (ParentStatus::Active, Some(daily)));
    let none = manager.set_project_limits(&operator(), &acme, &web, None).await.unwrap();
    assert_eq!((none.status, none.limits), (ParentStatus::Active, None));
    let zero = Limits { per_day: Some(0), ..Limits::UNLIMITED };
    assert!(manager.set_project_limits(&operator(), &acme, &web, Some(zero)).await.is_err());
}
