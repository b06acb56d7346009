//! Organizations and projects.

use std::sync::Arc;

use keygate_core::record::{OrganizationRecord, ParentStatus, Parents, ProjectRecord, Revision};
use keygate_core::store::{Store, WriteRefusal};

use super::assert_absent;
use crate::sample;

/// Who was never configured has no record, which is an answer.
pub async fn parents_are_absent_until_configured(store: Arc<dyn Store>) {
    let (organization, project) = (sample::organization(), sample::project("website"));
    assert_eq!(store.parents(&organization, Some(&project)).await.unwrap(), Parents::default());

    let organization_record = OrganizationRecord::new(organization.clone());
    store.put_organization(&organization_record, None).await.unwrap();
    let parents = store.parents(&organization, Some(&project)).await.unwrap();
    assert_eq!(parents, Parents { organization: Some(organization_record.clone()), project: None, roles: None });

    let project_record = ProjectRecord::new(organization.clone(), project.clone());
    store.put_project(&project_record, None).await.unwrap();
    let parents = store.parents(&organization, Some(&project)).await.unwrap();
    assert_eq!(parents.project, Some(project_record));
    let parents = store.parents(&organization, None).await.unwrap();
    assert_eq!(parents, Parents { organization: Some(organization_record), project: None, roles: None });
}

/// Every field comes back.
pub async fn parents_are_read_back_as_written(store: Arc<dyn Store>) {
    let organization = OrganizationRecord {
        status: ParentStatus::Suspended,
        max_keys: Some(u64::from(u32::MAX) + 1),
        max_keys_per_user: Some(0),
        ..OrganizationRecord::new(sample::organization())
    };
    let project = ProjectRecord {
        status: ParentStatus::Suspended,
        ..ProjectRecord::new(organization.id.clone(), sample::project("website"))
    };
    store.put_organization(&organization, None).await.unwrap();
    store.put_project(&project, None).await.unwrap();
    let parents = store.parents(&organization.id, Some(&project.id)).await.unwrap();
    assert_eq!(parents, Parents { organization: Some(organization), project: Some(project), roles: None });
}

/// A write made from what is not there is refused and changes nothing.
pub async fn parents_compare_revisions(store: Arc<dyn Store>) {
    let first = OrganizationRecord::new(sample::organization());
    let second = OrganizationRecord { revision: first.revision.next(), max_keys: Some(5), ..first.clone() };
    assert_absent(store.put_organization(&second, Some(first.revision)).await);
    store.put_organization(&first, None).await.unwrap();
    store.put_organization(&second, Some(first.revision)).await.unwrap();
    for expected in [None, Some(first.revision), Some(Revision(9))] {
        let refused = store.put_organization(&first, expected).await;
        assert!(matches!(refused, Err(WriteRefusal::Conflict { found: Revision(2) })), "{refused:?}");
    }

    let project = ProjectRecord::new(first.id.clone(), sample::project("website"));
    let suspended =
        ProjectRecord { revision: project.revision.next(), status: ParentStatus::Suspended, ..project.clone() };
    assert_absent(store.put_project(&suspended, Some(project.revision)).await);
    store.put_project(&project, None).await.unwrap();
    store.put_project(&suspended, Some(project.revision)).await.unwrap();
    for expected in [None, Some(project.revision), Some(Revision(9))] {
        let refused = store.put_project(&project, expected).await;
        assert!(matches!(refused, Err(WriteRefusal::Conflict { found: Revision(2) })), "{refused:?}");
    }

    let parents = store.parents(&first.id, Some(&project.id)).await.unwrap();
    assert_eq!(parents, Parents { organization: Some(second), project: Some(suspended), roles: None });
}

/// Two tenants' projects of one name are two projects.
pub async fn projects_belong_to_one_organization(store: Arc<dyn Store>) {
    let (owner, stranger) = (sample::organization(), sample::organization());
    let project = ProjectRecord::new(owner, sample::project("website"));
    store.put_project(&project, None).await.unwrap();
    assert_eq!(store.parents(&stranger, Some(&project.id)).await.unwrap(), Parents::default());
}
