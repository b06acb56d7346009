//! A store at the other end of a connection whose every message the test moves by hand.
//!
//! The server is a [`MemoryStore`], which others write to directly. This side reaches it over one connection: what it
//! loads and its heartbeats wait upstream until they are served, and the answers wait downstream until they are
//! delivered, in one order with the word of every change. Everything else it asks goes over connections of its own, of
//! which nothing is promised but that they lead to the same server.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use keygate_core::anomaly::{Finding, FindingCursor};
use keygate_core::audit::{Append, AuditState, KeptEntry, KeptSeal};
use keygate_core::clock::{Clock, Tick};
use keygate_core::coherence::{Change, Coherence, Lease, Read, Watcher, Watchers};
use keygate_core::key::KeyId;
use keygate_core::limiter::call::{self, Answer};
use keygate_core::limiter::policy::PoolId;
use keygate_core::limits::Limits;
use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::notice::{Fate, Parcel, Posted, Posting, WebhookRecord};
use keygate_core::record::{
    KeyRecord, OrganizationRecord, Parents, ProjectRecord, Quotas, Revision, RolesRecord, StatusChange, UserRecord,
};
use keygate_core::ring::EntryId;
use keygate_core::store::{
    Acknowledgement, CreateRefusal, Deployment, Due, Listing, LookupToken, MemoName, MemoryStore, QuotaUse, RecordPage,
    Store, StoreError, WriteRefusal, Written,
};
use keygate_core::usage::batch::{Batch, LastUse, Mark, Writer};
use keygate_core::usage::book::Account;
use keygate_core::usage::period::{Day, Month};
use keygate_core::usage::subject::Subject;
use tokio::sync::oneshot;

use super::still_clock::StillClock;

/// H: how long a heartbeat that was answered vouches for what was read, from when it was sent.
pub const LEASE: Duration = Duration::from_secs(1);

/// What is wrong with a store, so that a property can show that it would notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// The lease is extended from when the heartbeat's answer came, and not from when it was sent.
    LeaseFromTheAnswer,
    /// The word of a change comes after the answer to the next heartbeat.
    WordAfterTheHeartbeat,
    /// Who has a load under way is not told of changes.
    DeafWhileLoading,
    /// A new connection goes on with the lease of the old one.
    LeaseOutlivesTheConnection,
}

/// What was moved downstream.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivered {
    /// Those who watch were told of a change that was made then.
    Word(Change, Tick),
    /// An answer.
    Answer,
}

#[derive(Debug)]
enum Call {
    Record(KeyId),
    Parents(OrganizationId, Option<ProjectId>),
    User(OrganizationId, UserId),
}

#[derive(Debug)]
enum Value {
    Record(Box<Option<KeyRecord>>),
    Parents(Box<Parents>),
    User(Box<Option<UserRecord>>),
}

type Reply = oneshot::Sender<Value>;

#[derive(Debug)]
enum Request {
    Load(Call, Reply),
    Heartbeat(Tick),
}

#[derive(Debug)]
enum Message {
    Word(Change, Tick),
    Loaded(Value, Reply),
    Heartbeat(Tick),
}

#[derive(Debug)]
struct Connection {
    lease: Arc<Lease>,
    upstream: VecDeque<Request>,
    downstream: VecDeque<Message>,
    frozen: bool,
}

#[derive(Debug, Default)]
struct Link {
    connection: Option<Connection>,
    last_lease: Option<Arc<Lease>>,
    /// Calls over other connections, each waiting to be let through.
    aside: VecDeque<oneshot::Sender<()>>,
    loads: u64,
    loading: u64,
}

struct Shared {
    server: MemoryStore,
    clock: StillClock,
    flaw: Flaw,
    watchers: Watchers,
    link: Mutex<Link>,
}

/// See the [module docs](self). Clones share the connection.
#[derive(Clone)]
pub struct SimulatedStore(Arc<Shared>);

impl fmt::Debug for SimulatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimulatedStore").field(&self.0.flaw).finish()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("flaw", &self.flaw).finish_non_exhaustive()
    }
}

impl Shared {
    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap()
    }
}

/// The server's side: every write sends word down the connection.
impl Watcher for Shared {
    fn changed(&self, change: &Change) {
        let now = self.clock.tick();
        if let Some(connection) = &mut self.link().connection {
            connection.downstream.push_back(Message::Word(change.clone(), now));
        }
    }
}

fn cut() -> StoreError {
    StoreError::unavailable("the simulated connection was cut")
}

/// The answer of a store that answers at once.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it has to wait"),
    }
}

struct Loading<'a>(&'a Shared);

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.0.link().loading -= 1;
    }
}

impl SimulatedStore {
    /// Before this server; not connected yet.
    pub fn new(server: MemoryStore, clock: StillClock, flaw: Flaw) -> Self {
        let shared =
            Arc::new(Shared { server, clock, flaw, watchers: Watchers::new(), link: Mutex::new(Link::default()) });
        let watcher: Arc<dyn Watcher> = shared.clone();
        shared.server.watch(Arc::downgrade(&watcher), Duration::ZERO);
        Self(shared)
    }

    /// A new connection, whose lease has not begun.
    pub fn connect(&self) {
        let mut link = self.0.link();
        if link.connection.is_some() {
            return;
        }
        let kept = link.last_lease.take().filter(|_| self.0.flaw == Flaw::LeaseOutlivesTheConnection);
        let lease = kept.unwrap_or_default();
        link.last_lease = Some(Arc::clone(&lease));
        link.connection =
            Some(Connection { lease, upstream: VecDeque::new(), downstream: VecDeque::new(), frozen: false });
        drop(link);
        self.0.watchers.tell_reached_anew();
    }

    /// The connection is lost, and whatever was on its way.
    pub fn cut(&self) {
        let mut link = self.0.link();
        link.aside.clear();
        let Some(connection) = link.connection.take() else { return };
        if self.0.flaw != Flaw::LeaseOutlivesTheConnection {
            connection.lease.end();
        }
        drop(link);
        // What was on its way fails for those who wait, who may drop what they hold.
        drop(connection);
    }

    /// Nothing goes through the connection any more, in either direction, and nobody is told that it is so.
    pub fn freeze(&self, frozen: bool) {
        if let Some(connection) = &mut self.0.link().connection {
            connection.frozen = frozen;
        }
    }

    /// Sends a heartbeat.
    pub fn beat(&self) {
        let now = self.0.clock.tick();
        if let Some(connection) = &mut self.0.link().connection {
            connection.upstream.push_back(Request::Heartbeat(now));
        }
    }

    /// The server handles the next request. Says whether there was one.
    pub fn serve(&self) -> bool {
        let mut link = self.0.link();
        let Some(connection) = link.connection.as_mut().filter(|connection| !connection.frozen) else { return false };
        let Some(request) = connection.upstream.pop_front() else { return false };
        let server = &self.0.server;
        connection.downstream.push_back(match request {
            Request::Heartbeat(sent) => Message::Heartbeat(sent),
            Request::Load(Call::Record(id), reply) => {
                Message::Loaded(Value::Record(Box::new(at_once(server.record(id)).unwrap())), reply)
            }
            Request::Load(Call::Parents(organization, project), reply) => {
                let parents = at_once(server.parents(&organization, project.as_ref())).unwrap();
                Message::Loaded(Value::Parents(Box::new(parents)), reply)
            }
            Request::Load(Call::User(organization, user), reply) => {
                let mut held = at_once(server.users(&organization, &[user])).unwrap();
                Message::Loaded(Value::User(Box::new(held.remove(0))), reply)
            }
        });
        true
    }

    /// This side handles the next message.
    pub fn deliver(&self) -> Option<Delivered> {
        let mut link = self.0.link();
        let loading = link.loading > 0;
        let connection = link.connection.as_mut().filter(|connection| !connection.frozen)?;
        let late = self.0.flaw == Flaw::WordAfterTheHeartbeat
            && matches!(connection.downstream.front(), Some(Message::Word(..)));
        let overtakes = |message: &Message| late && matches!(message, Message::Heartbeat(_));
        let place = connection.downstream.iter().position(overtakes).unwrap_or(0);
        match connection.downstream.remove(place)? {
            Message::Heartbeat(sent) => {
                let from = if self.0.flaw == Flaw::LeaseFromTheAnswer { self.0.clock.tick() } else { sent };
                connection.lease.extend(from.after(LEASE));
                Some(Delivered::Answer)
            }
            Message::Loaded(value, reply) => {
                drop(link);
                // Nobody may be waiting for it any more.
                let _ = reply.send(value);
                Some(Delivered::Answer)
            }
            Message::Word(change, at) => {
                drop(link);
                if !(loading && self.0.flaw == Flaw::DeafWhileLoading) {
                    self.0.watchers.tell(&change);
                }
                Some(Delivered::Word(change, at))
            }
        }
    }

    /// Tells those who watch of a change, as if the server had sent word of it.
    pub fn tell(&self, change: &Change) {
        self.0.watchers.tell(change);
    }

    /// Lets the next call over another connection through. Says whether there was one.
    pub fn let_aside(&self) -> bool {
        let next = self.0.link().aside.pop_front();
        next.is_some_and(|next| next.send(()).is_ok())
    }

    /// How many loads were sent.
    pub fn loads(&self) -> u64 {
        self.0.link().loads
    }

    async fn load(&self, call: Call) -> Result<Read<Value>, StoreError> {
        let sent = self.0.clock.tick();
        let (reply, answer) = oneshot::channel();
        let lease = {
            let mut link = self.0.link();
            let connection = link.connection.as_mut().ok_or_else(cut)?;
            connection.upstream.push_back(Request::Load(call, reply));
            let lease = Arc::clone(&connection.lease);
            (link.loads, link.loading) = (link.loads + 1, link.loading + 1);
            lease
        };
        let _loading = Loading(&self.0);
        let value = answer.await.map_err(|_| cut())?;
        Ok(Read { value, sent, decides_until: sent.after(LEASE), lease: Some(lease) })
    }

    async fn aside(&self) -> Result<&MemoryStore, StoreError> {
        let (pass, passed) = oneshot::channel();
        {
            let mut link = self.0.link();
            if link.connection.is_none() {
                return Err(cut());
            }
            link.aside.push_back(pass);
        }
        passed.await.map_err(|_| cut())?;
        Ok(&self.0.server)
    }
}

#[async_trait]
impl Store for SimulatedStore {
    fn describe(&self) -> String {
        "simulated:".into()
    }

    fn watch(&self, watcher: Weak<dyn Watcher>, stale: Duration) {
        self.0.watchers.add(watcher, stale);
    }

    fn coherence(&self) -> Coherence {
        let now = self.0.clock.tick();
        match &self.0.link().connection {
            None => Coherence::Unreachable,
            Some(connection) if connection.lease.is_live(now) => Coherence::Live,
            Some(_) => Coherence::Lapsed,
        }
    }

    async fn load_record(&self, id: KeyId) -> Result<Read<Option<KeyRecord>>, StoreError> {
        Ok(self.load(Call::Record(id)).await?.map(|value| match value {
            Value::Record(record) => *record,
            Value::Parents(_) | Value::User(_) => panic!("an answer to another question"),
        }))
    }

    async fn load_parents(
        &self,
        organization: &OrganizationId,
        project: Option<&ProjectId>,
    ) -> Result<Read<Parents>, StoreError> {
        Ok(self.load(Call::Parents(organization.clone(), project.cloned())).await?.map(|value| match value {
            Value::Parents(parents) => *parents,
            Value::Record(_) | Value::User(_) => panic!("an answer to another question"),
        }))
    }

    async fn load_user(
        &self,
        organization: &OrganizationId,
        user: &UserId,
    ) -> Result<Read<Option<UserRecord>>, StoreError> {
        Ok(self.load(Call::User(organization.clone(), user.clone())).await?.map(|value| match value {
            Value::User(user) => *user,
            Value::Record(_) | Value::Parents(_) => panic!("an answer to another question"),
        }))
    }

    async fn deployment(&self) -> Result<Option<Deployment>, StoreError> {
        self.aside().await?.deployment().await
    }

    async fn put_deployment(&self, previous: Option<&Deployment>, next: &Deployment) -> Result<bool, StoreError> {
        self.aside().await?.put_deployment(previous, next).await
    }

    async fn record(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.aside().await?.record(id).await
    }

    async fn parents(&self, organization: &OrganizationId, project: Option<&ProjectId>) -> Result<Parents, StoreError> {
        self.aside().await?.parents(organization, project).await
    }

    async fn create_within(
        &self,
        organization: &OrganizationId,
        quotas: &Quotas,
        records: Vec<KeyRecord>,
    ) -> Result<Vec<Result<(), CreateRefusal>>, StoreError> {
        self.aside().await?.create_within(organization, quotas, records).await
    }

    async fn replace(&self, record: &KeyRecord, expected: Revision) -> Result<Acknowledgement, WriteRefusal> {
        self.aside().await?.replace(record, expected).await
    }

    async fn succeed(
        &self,
        old: &KeyRecord,
        expected: Revision,
        new: &KeyRecord,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.aside().await?.succeed(old, expected, new).await
    }

    async fn due(&self, bucket: u16, until: Day, after: Option<Due>, limit: usize) -> Result<Vec<Due>, StoreError> {
        self.aside().await?.due(bucket, until, after, limit).await
    }

    async fn not_due(&self, bucket: u16, listed: Due, seen: Option<Revision>) -> Result<(), StoreError> {
        self.aside().await?.not_due(bucket, listed, seen).await
    }

    async fn set_status(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        change: &StatusChange,
    ) -> Result<Written, WriteRefusal> {
        self.aside().await?.set_status(organization, id, change).await
    }

    async fn delete(
        &self,
        organization: &OrganizationId,
        id: KeyId,
        expected: Revision,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.aside().await?.delete(organization, id, expected).await
    }

    async fn list(&self, listing: &Listing, after: Option<KeyId>, limit: usize) -> Result<RecordPage, StoreError> {
        self.aside().await?.list(listing, after, limit).await
    }

    async fn quota_use(&self, organization: &OrganizationId, user: &UserId) -> Result<QuotaUse, StoreError> {
        self.aside().await?.quota_use(organization, user).await
    }

    async fn project_use(&self, organization: &OrganizationId, project: &ProjectId) -> Result<u64, StoreError> {
        self.aside().await?.project_use(organization, project).await
    }

    async fn put_organization(
        &self,
        record: &OrganizationRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.aside().await?.put_organization(record, expected).await
    }

    async fn put_project(
        &self,
        record: &ProjectRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.aside().await?.put_project(record, expected).await
    }

    async fn users(
        &self,
        organization: &OrganizationId,
        users: &[UserId],
    ) -> Result<Vec<Option<UserRecord>>, StoreError> {
        self.aside().await?.users(organization, users).await
    }

    async fn put_user(&self, record: &UserRecord, expected: Option<Revision>) -> Result<Acknowledgement, WriteRefusal> {
        self.aside().await?.put_user(record, expected).await
    }

    async fn put_roles(
        &self,
        record: &RolesRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.aside().await?.put_roles(record, expected).await
    }

    async fn remember(&self, name: &MemoName, value: &[u8], ttl: Duration) -> Result<Option<Vec<u8>>, StoreError> {
        self.aside().await?.remember(name, value, ttl).await
    }

    async fn recall(&self, name: &MemoName) -> Result<Option<Vec<u8>>, StoreError> {
        self.aside().await?.recall(name).await
    }

    async fn look_up(&self, tokens: &[LookupToken]) -> Result<Vec<Option<KeyId>>, StoreError> {
        self.aside().await?.look_up(tokens).await
    }

    async fn take_lookups(&self, taken: &[(LookupToken, KeyId)]) -> Result<Vec<Option<KeyId>>, StoreError> {
        self.aside().await?.take_lookups(taken).await
    }

    async fn free_lookup(&self, token: &LookupToken, id: KeyId) -> Result<bool, StoreError> {
        self.aside().await?.free_lookup(token, id).await
    }

    async fn lease(&self, pool: &PoolId, limits: &Limits, call: &call::Call) -> Result<Answer, StoreError> {
        self.aside().await?.lease(pool, limits, call).await
    }

    async fn record_usage(&self, bucket: u16, writer: Writer, batches: &[Arc<Batch>]) -> Result<Mark, StoreError> {
        self.aside().await?.record_usage(bucket, writer, batches).await
    }

    async fn usage(&self, subject: &Subject, days: RangeInclusive<Day>) -> Result<Option<Account>, StoreError> {
        self.aside().await?.usage(subject, days).await
    }

    async fn last_uses(&self, keys: &[KeyId]) -> Result<Vec<Option<LastUse>>, StoreError> {
        self.aside().await?.last_uses(keys).await
    }

    async fn most_used(
        &self,
        organization: &OrganizationId,
        month: Month,
        limit: usize,
    ) -> Result<Vec<(KeyId, u64)>, StoreError> {
        self.aside().await?.most_used(organization, month, limit).await
    }

    async fn habits(&self, key: KeyId) -> Result<Option<Vec<u8>>, StoreError> {
        self.aside().await?.habits(key).await
    }

    async fn put_habits(&self, key: KeyId, previous: Option<&[u8]>, next: &[u8]) -> Result<bool, StoreError> {
        self.aside().await?.put_habits(key, previous, next).await
    }

    async fn record_finding(&self, finding: &Finding) -> Result<bool, StoreError> {
        self.aside().await?.record_finding(finding).await
    }

    async fn findings(
        &self,
        organization: &OrganizationId,
        key: Option<KeyId>,
        limit: usize,
        before: Option<FindingCursor>,
    ) -> Result<Vec<Finding>, StoreError> {
        self.aside().await?.findings(organization, key, limit, before).await
    }

    async fn webhooks(&self, organization: &OrganizationId) -> Result<Option<WebhookRecord>, StoreError> {
        self.aside().await?.webhooks(organization).await
    }

    async fn put_webhooks(
        &self,
        record: &WebhookRecord,
        expected: Option<Revision>,
    ) -> Result<Acknowledgement, WriteRefusal> {
        self.aside().await?.put_webhooks(record, expected).await
    }

    async fn put_notice(&self, notice: &Parcel, how: Posting) -> Result<Posted, StoreError> {
        self.aside().await?.put_notice(notice, how).await
    }

    async fn take_notices(
        &self,
        shard: u16,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Parcel>, StoreError> {
        self.aside().await?.take_notices(shard, now, until, limit).await
    }

    async fn settle_notice(&self, taken: &Parcel, fate: &Fate) -> Result<bool, StoreError> {
        self.aside().await?.settle_notice(taken, fate).await
    }

    async fn given_up(&self, organization: &OrganizationId, limit: usize) -> Result<Vec<Parcel>, StoreError> {
        self.aside().await?.given_up(organization, limit).await
    }

    async fn redrive_notice(&self, notice: &Parcel, room: usize) -> Result<Posted, StoreError> {
        self.aside().await?.redrive_notice(notice, room).await
    }

    async fn append_audit(&self, organization: &OrganizationId, entry: &Append) -> Result<Option<u64>, StoreError> {
        self.aside().await?.append_audit(organization, entry).await
    }

    async fn audit_state(&self, organization: &OrganizationId) -> Result<AuditState, StoreError> {
        self.aside().await?.audit_state(organization).await
    }

    async fn audit_entries(
        &self,
        organization: &OrganizationId,
        range: RangeInclusive<u64>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<KeptEntry>, StoreError> {
        self.aside().await?.audit_entries(organization, range, newest_first, limit).await
    }

    async fn audit_seals(
        &self,
        organization: &OrganizationId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<KeptSeal>, StoreError> {
        self.aside().await?.audit_seals(organization, after, limit).await
    }

    async fn put_audit_seal(
        &self,
        organization: &OrganizationId,
        previous: Option<&KeptSeal>,
        seal: &KeptSeal,
    ) -> Result<bool, StoreError> {
        self.aside().await?.put_audit_seal(organization, previous, seal).await
    }

    async fn trim_audit(
        &self,
        organization: &OrganizationId,
        through: u64,
        checkpoint: &[u8],
        previous: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        self.aside().await?.trim_audit(organization, through, checkpoint, previous).await
    }

    async fn audited(
        &self,
        bucket: u16,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<OrganizationId>, StoreError> {
        self.aside().await?.audited(bucket, after, limit).await
    }

    async fn audit_ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        self.aside().await?.audit_ring_usage().await
    }

    async fn ring_usage(&self) -> Result<BTreeMap<EntryId, u64>, StoreError> {
        self.aside().await?.ring_usage().await
    }
}
