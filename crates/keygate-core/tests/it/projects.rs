//! Projects: shown and changed.

use keygate_core::limits::Limits;
use keygate_core::manager::{ManageError, ProjectUpdate};
use keygate_core::record::{ParentStatus, Revision};

use crate::support::{self, operator, org};

fn update(status: Option<ParentStatus>, limits: Option<Option<Limits>>) -> ProjectUpdate {
    let mut update = ProjectUpdate::default();
    update.status = status;
    update.limits = limits;
    update
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
