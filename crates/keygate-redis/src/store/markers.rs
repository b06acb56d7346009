//! What stands beside the keys: the deployment marker, and the records of organizations, their roles, projects and users.

use keygate_core::coherence::Read;
use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::record::{OrganizationRecord, Parents, ProjectRecord, Revision, RolesRecord, UserRecord};
use keygate_core::store::{Acknowledgement, Deployment, StoreError, WriteRefusal};
use redis::{RedisError, Value};
use serde::{Serialize, de::DeserializeOwned};

use super::RedisStore;
use super::reply::{self, Reply, read, unexpected};
use crate::layout::Layout;
use crate::scripts;

/// The version of the form of all these records: this byte, the revision in eight, JSON.
const PARENT_VERSION: u8 = 1;

impl RedisStore {
    /// The marker, and its bytes.
    pub(super) async fn read_deployment(&self) -> Result<Option<(Deployment, Vec<u8>)>, StoreError> {
        let name = self.layout.deployment();
        let held: Option<Vec<u8>> = read(self.link.query(redis::cmd("GET").arg(&name)).await)?;
        let marker = held.map(|bytes| match Deployment::decode(&bytes) {
            Ok(deployment) => Ok((deployment, bytes)),
            Err(error) => Err(StoreError::damaged(name, error)),
        });
        marker.transpose()
    }

    pub(super) async fn swap_deployment(
        &self,
        previous: Option<&Deployment>,
        next: &Deployment,
    ) -> Result<bool, StoreError> {
        // The bytes compared are those read, because another version of keygate may have written them otherwise.
        let held = self.read_deployment().await?;
        if held.as_ref().map(|(deployment, _)| deployment) != previous {
            return Ok(false);
        }
        let name = self.layout.deployment();
        let next = next.encode().map_err(|error| StoreError::damaged(&name, error))?;
        let expected = held.map(|(_, bytes)| bytes).unwrap_or_default();
        let call = scripts::SWAP.call(vec![name]).arg(expected).arg(next);
        read(self.link.run(&call).await)
    }

    pub(super) async fn read_parents(
        &self,
        organization: &OrganizationId,
        project: Option<&ProjectId>,
    ) -> Result<Parents, StoreError> {
        let names = self.parent_names(organization, project);
        read_parents(&names, self.link.query(redis::cmd("MGET").arg(&names)).await)
    }

    /// The same, to be kept.
    pub(super) async fn keep_parents(
        &self,
        organization: &OrganizationId,
        project: Option<&ProjectId>,
    ) -> Result<Read<Parents>, StoreError> {
        let names = self.parent_names(organization, project);
        let loaded = self.link.load(redis::cmd("MGET").arg(&names), Layout::organization_bucket(organization)).await;
        reply::keep(loaded.map_err(StoreError::unavailable)?, |held| read_parents(&names, Ok(held)))
    }

    fn parent_names(&self, organization: &OrganizationId, project: Option<&ProjectId>) -> Vec<String> {
        let mut names = vec![self.layout.organization(organization), self.layout.roles(organization)];
        names.extend(project.map(|project| self.layout.project(organization, project)));
        names
    }

    pub(super) async fn write_organization(
        &self,
        record: &OrganizationRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.write_parent(self.layout.organization(&record.id), record, record.revision, expected).await
    }

    pub(super) async fn write_project(
        &self,
        record: &ProjectRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let name = self.layout.project(&record.organization, &record.id);
        self.write_parent(name, record, record.revision, expected).await
    }

    pub(super) async fn read_users(
        &self,
        organization: &OrganizationId,
        users: &[UserId],
    ) -> Result<Vec<Option<UserRecord>>, StoreError> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<_> = users.iter().map(|user| self.layout.user(organization, user)).collect();
        read_users(&names, self.link.query(redis::cmd("MGET").arg(&names)).await)
    }

    /// One of them, to be kept.
    pub(super) async fn keep_user(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Read<Option<UserRecord>>, StoreError> {
        let names = [self.layout.user(organization, user)];
        let loaded = self.link.load(redis::cmd("MGET").arg(&names), Layout::organization_bucket(organization)).await;
        let read = reply::keep(loaded.map_err(StoreError::unavailable)?, |held| read_users(&names, Ok(held)))?;
        Ok(read.map(|held| held.into_iter().next().flatten()))
    }

    pub(super) async fn write_user(
        &self,
        record: &UserRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let name = self.layout.user(&record.organization, &record.id);
        self.write_parent(name, record, record.revision, expected).await
    }

    pub(super) async fn write_roles(
        &self,
        record: &RolesRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.write_parent(self.layout.roles(&record.organization), record, record.revision, expected).await
    }

    pub(super) async fn write_parent(
        &self,
        name: String,
        record: &(impl Serialize + Sync),
        revision: Revision,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let blob = encode(record, revision).map_err(|error| StoreError::damaged(&name, error))?;
        let expected = expected.map(|revision| revision.0.to_be_bytes().to_vec()).unwrap_or_default();
        let call = scripts::PUT_PARENT.call(vec![name]).arg(expected).arg(blob);
        let reply = Reply::read(self.link.run(&call).await)?;
        match (reply.word.as_str(), <[u8; 8]>::try_from(reply.bytes.as_slice())) {
            ("written", _) => Ok(Acknowledgement::default()),
            ("absent", _) => Err(WriteRefusal::Absent),
            ("conflict", Ok(found)) => Err(WriteRefusal::Conflict { found: Revision(u64::from_be_bytes(found)) }),
            _ => Err(unexpected().into()),
        }
    }
}

/// The parents out of the answer for these names.
fn read_parents(names: &[String], answer: Result<Value, RedisError>) -> Result<Parents, StoreError> {
    let held: Vec<Option<Vec<u8>>> = read(answer)?;
    let mut held = names.iter().zip(held);
    let mut next = || held.next().and_then(|(name, bytes)| bytes.map(|bytes| (name, bytes)));
    let organization = next().map(|(name, bytes)| decode(name, &bytes)).transpose()?;
    let roles = next().map(|(name, bytes)| decode(name, &bytes)).transpose()?;
    let project = next().map(|(name, bytes)| decode(name, &bytes)).transpose()?;
    Ok(Parents { organization, project, roles })
}

/// The users out of the answer for these names.
fn read_users(names: &[String], answer: Result<Value, RedisError>) -> Result<Vec<Option<UserRecord>>, StoreError> {
    let held: Vec<Option<Vec<u8>>> = read(answer)?;
    let held = names.iter().zip(held);
    held.map(|(name, bytes)| bytes.map(|bytes| decode(name, &bytes)).transpose()).collect()
}

fn encode(record: &impl Serialize, revision: Revision) -> Result<Vec<u8>, serde_json::Error> {
    let mut blob = vec![PARENT_VERSION];
    blob.extend(revision.0.to_be_bytes());
    serde_json::to_writer(&mut blob, record)?;
    Ok(blob)
}

pub(super) fn decode<T: DeserializeOwned>(name: &str, blob: &[u8]) -> Result<T, StoreError> {
    match blob {
        [PARENT_VERSION, _, _, _, _, _, _, _, _, json @ ..] => {
            serde_json::from_slice(json).map_err(|error| StoreError::damaged(name, error))
        }
        _ => Err(StoreError::damaged(name, "its form is not one that this version of keygate knows")),
    }
}
