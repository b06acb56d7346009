//! Deletion.

use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::record::Revision;
use keygate_core::store::{Acknowledgement, WriteRefusal};
use keygate_core::usage::subject::Subject;

use super::RedisStore;
use super::reply::Reply;
use super::settle::State;
use crate::pending::{Change, Owner, Pending};
use crate::scripts;

impl RedisStore {
    pub(super) async fn delete_record(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expected: Revision,
    ) -> Result<Acknowledgement, WriteRefusal> {
        let held = self.owned_record(organization, id).await?.ok_or(WriteRefusal::Absent)?;
        if held.key.revision != expected {
            return Err(WriteRefusal::Conflict { found: held.key.revision });
        }
        let pending = Pending::new(id, Change::Delete(expected), Owner::of(&held.key))?;
        let deadline = self.intend(organization, &pending).await?;
        let mut names = vec![self.layout.record(id)];
        names.extend(self.usage_names(&Subject::Key(id)));
        names.push(self.layout.habits(id));
        let call = scripts::DELETE.call(names).arg(organization.as_str()).arg(&expected.0.to_be_bytes()).arg(deadline);
        let reply = Reply::read(self.link.run(&call).await)?;
        if reply.word != "written" {
            let refusal = reply.refusal(id);
            self.end_refused(organization, &pending, &refusal).await;
            return Err(refusal);
        }
        self.settle_one(organization, &pending, State::Absent).await?;
        Ok(Acknowledgement::default())
    }

    /// Ends a pending change that the key's slot refused. If that fails, its deadline ends it.
    pub(super) async fn end_refused(&self, organization: &OrganizationId, pending: &Pending, refusal: &WriteRefusal) {
        if matches!(refusal, WriteRefusal::Store(_)) {
            // Nobody knows whether it was written, and the store is in trouble: left to the deadline.
            return;
        }
        if let Err(error) = self.settle_from_record(organization, pending).await {
            tracing::debug!(%organization, %error, "a refused change is left to its deadline");
        }
    }
}
