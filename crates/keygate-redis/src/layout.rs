//! The names of everything kept in Redis, `<namespace>:<kind>:{bNNNN}:<id>`.
//!
//! The part in braces is the hash tag: what shares it shares a slot of a Cluster. A key's own entries are in the bucket
//! of its id, an organization's in the bucket of its name, a memo in that of its digest, and so is what
//! an imported key is found by. No id contains a colon or a brace, so no two things share a
//! name.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::Arc;

use keygate_core::audit::ActId;
use keygate_core::coherence::Change;
use keygate_core::key::{Bucket, KeyId};
use keygate_core::limiter::policy::PoolId;
use keygate_core::names::{OrganizationId, ProjectId, UserId};
use keygate_core::notice::NoticeId;
use keygate_core::store::{LookupToken, MemoName};
use keygate_core::usage::batch::Writer;
use keygate_core::usage::period::{Day, Month};
use keygate_core::usage::subject::Subject;
use sha2::{Digest, Sha256};

/// The first part of every name: `[A-Za-z0-9._-]{1,32}`, `kg` by default. Deployments that share a Redis differ in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace(Arc<str>);

/// A namespace was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("namespace must be 1 to 32 characters out of A-Z a-z 0-9 . _ -")]
pub struct NamespaceError;

impl Namespace {
    /// Takes the text as it is.
    ///
    /// # Errors
    /// When it is not `[A-Za-z0-9._-]{1,32}`.
    pub fn new(text: impl AsRef<str>) -> Result<Self, NamespaceError> {
        let text = text.as_ref();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > 32 || !text.bytes().all(allowed) {
            return Err(NamespaceError);
        }
        Ok(Self(Arc::from(text)))
    }

    /// The namespace as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self(Arc::from("kg"))
    }
}

impl FromStr for Namespace {
    type Err = NamespaceError;
    fn from_str(text: &str) -> Result<Self, NamespaceError> {
        Self::new(text)
    }
}

impl Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// In how many lists notices wait. Few, because each is looked at every second.
pub(crate) const NOTICE_SHARDS: u16 = 16;

/// Names entries of one deployment. Public for those who look into the store beside keygate.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    namespace: Namespace,
}

impl Layout {
    /// The names in a namespace.
    #[must_use]
    pub fn new(namespace: Namespace) -> Self {
        Self { namespace }
    }

    /// The bucket of what belongs to an organization: the first eight bytes of the SHA-256 of its id, taken modulo
    /// [`BUCKETS`](keygate_core::key::BUCKETS).
    #[must_use]
    pub fn organization_bucket(organization: &OrganizationId) -> Bucket {
        bucket_of(&Sha256::digest(organization.as_str()).into())
    }

    fn of_key(&self, kind: &str, id: KeyId) -> String {
        format!("{}:{kind}:{{{}}}:{id}", self.namespace, id.bucket())
    }

    fn of_organization(&self, kind: &str, organization: &OrganizationId) -> String {
        format!("{}:{kind}:{{{}}}:{organization}", self.namespace, Self::organization_bucket(organization))
    }

    /// A key's record: a string, [`KeyRecord::encode`](keygate_core::record::KeyRecord::encode).
    #[must_use]
    pub fn record(&self, id: KeyId) -> String {
        self.of_key("key", id)
    }

    /// What all records' names begin with.
    #[must_use]
    pub fn record_prefix(&self) -> String {
        format!("{}:key:", self.namespace)
    }

    /// The nonces of reservations that may no longer write this key: a set with a time to live.
    #[must_use]
    pub fn fence(&self, id: KeyId) -> String {
        self.of_key("fence", id)
    }

    /// An organization's record: a version byte, the revision in eight, JSON.
    #[must_use]
    pub fn organization(&self, organization: &OrganizationId) -> String {
        self.of_organization("org", organization)
    }

    /// A project's record, written like an organization's and in its organization's bucket.
    #[must_use]
    pub fn project(&self, organization: &OrganizationId, project: &ProjectId) -> String {
        format!("{}:{project}", self.of_organization("project", organization))
    }

    /// All key ids of an organization: a sorted set of 16-byte ids, all of score 0.
    #[must_use]
    pub fn keys(&self, organization: &OrganizationId) -> String {
        self.of_organization("keys", organization)
    }

    /// Those of an organization's ids that have an end: a sorted set of 16-byte ids, the score when the key stops
    /// counting against the quotas in milliseconds since 1970, 0 for revoked keys. What is used of the quota is the
    /// number of all ids less the number of those here whose time has come.
    #[must_use]
    pub fn ended(&self, organization: &OrganizationId) -> String {
        self.of_organization("ended", organization)
    }

    /// All key ids of one user.
    #[must_use]
    pub fn user_keys(&self, organization: &OrganizationId, user: &UserId) -> String {
        format!("{}:{user}", self.of_organization("user-keys", organization))
    }

    /// Those of one user's ids that have an end. It is kept only while the user has more than 64 keys; with fewer, the
    /// organization's is asked about each.
    #[must_use]
    pub fn user_ended(&self, organization: &OrganizationId, user: &UserId) -> String {
        format!("{}:{user}", self.of_organization("user-ended", organization))
    }

    /// Those of one project's ids that count, or did until they ended: a sorted set of 16-byte ids, the score when they stop in
    /// milliseconds since 1970, infinite for never.
    #[must_use]
    pub fn project_keys(&self, organization: &OrganizationId, project: &ProjectId) -> String {
        format!("{}:{project}", self.of_organization("project-keys", organization))
    }

    /// Changes that were begun and are not settled: a sorted set, the score their deadline.
    #[must_use]
    pub fn pending(&self, organization: &OrganizationId) -> String {
        self.of_organization("pending", organization)
    }

    /// For each id that is in a pending change, how many, and the newest revision the lists were settled from: a hash.
    #[must_use]
    pub fn flight(&self, organization: &OrganizationId) -> String {
        self.of_organization("flight", organization)
    }

    /// That a key was revoked, for those who are told of changes: `1`, for an hour. It says so again when it goes.
    #[must_use]
    pub fn revoked(&self, id: KeyId) -> String {
        self.of_key("revoked", id)
    }

    /// Until when each instance may have to be waited for: a sorted set of 16-byte ids, each of one life of one
    /// instance's connection, the score a time of the server in milliseconds since 1970.
    ///
    /// One server has it in bucket 0. In a Cluster every bucket is a registry: a connection to a primary is registered in
    /// the lowest bucket that primary has, so each has one that keeps anything.
    #[must_use]
    pub fn instances_until(&self, registry: Bucket) -> String {
        format!("{}:instances:{{{registry}}}:until", self.namespace)
    }

    /// What each instance of a registry said with its last heartbeat: a hash, under the same ids. Each is the heartbeat's
    /// number in eight bytes, the longest this instance believes in milliseconds in eight, and a byte, 1 if it is told of
    /// changes. `maximum` is the most that the deployment allows, in milliseconds.
    #[must_use]
    pub fn instances_beats(&self, registry: Bucket) -> String {
        format!("{}:instances:{{{registry}}}:beats", self.namespace)
    }

    /// What is remembered under a name for a while: a string with a time to live. Its bucket is that of the name's first
    /// eight bytes.
    #[must_use]
    pub fn memo(&self, name: &MemoName) -> String {
        format!("{}:memo:{{{}}}:{name}", self.namespace, bucket_of(name.as_bytes()))
    }

    /// The id of the key that is found by a token, in 16 bytes. Its bucket is that of the token's first eight bytes.
    #[must_use]
    pub fn lookup(&self, token: &LookupToken) -> String {
        format!("{}:lookup:{{{}}}:{token}", self.namespace, bucket_of(token.as_bytes()))
    }

    /// What is granted of a limit: a hash with a time to live, the state of a
    /// [`Ledger`](keygate_core::limiter::ledger::Ledger) under `s`, and what each writer said last under its eight bytes. It
    /// is in the slot of what it is the pool of: the first key of a lineage, whose bucket all of the lineage share, or the
    /// organization.
    #[must_use]
    pub fn limit(&self, pool: &PoolId) -> String {
        match pool {
            PoolId::Lineage(first) => self.of_key("limit", *first),
            PoolId::User(organization, user) => {
                format!("{}:{user}", self.of_organization("limit-user", organization))
            }
            PoolId::Project(organization, project) => {
                format!("{}:{project}", self.of_organization("limit-project", organization))
            }
            PoolId::Organization(organization) => self.of_organization("limit-org", organization),
        }
    }

    /// The bucket of what was counted of a subject: of a key its own, of all others their organization's.
    #[must_use]
    pub fn usage_bucket(subject: &Subject) -> Bucket {
        match subject {
            Subject::Key(id) => id.bucket(),
            Subject::User(organization, _)
            | Subject::Project(organization, _)
            | Subject::Organization(organization) => Self::organization_bucket(organization),
        }
    }

    /// What was counted of a subject: a string with a time to live, a
    /// [`Series`](keygate_core::usage::series::Series).
    #[must_use]
    pub fn usage(&self, subject: &Subject) -> String {
        match subject {
            Subject::Key(id) => self.of_key("usage", *id),
            Subject::User(organization, user) => {
                format!("{}:{user}", self.of_organization("usage-user", organization))
            }
            Subject::Project(organization, project) => {
                format!("{}:{project}", self.of_organization("usage-project", organization))
            }
            Subject::Organization(organization) => self.of_organization("usage-org", organization),
        }
    }

    /// What became of a subject's requests on a day: a hash with a time to live, the
    /// [`Counts`](keygate_core::usage::counts::Counts) by `o` and the place of an outcome, `a` and that of an answer, `e` and
    /// an endpoint, `l` and a location. `l` alone is of no location that is told apart.
    #[must_use]
    pub fn usage_day(&self, subject: &Subject, day: Day) -> String {
        format!("{}:d{}", self.usage(subject), day.0)
    }

    /// The addresses that a subject was used from in a month, while they are few: a set with a time to live, of the numbers
    /// that IPv4 addresses are in decimal, which take the least memory, and the 16 bytes of others.
    #[must_use]
    pub fn usage_addresses(&self, subject: &Subject, month: Month) -> String {
        format!("{}:a{}", self.usage(subject), month.0)
    }

    /// How many addresses there were when they are many: a HyperLogLog with a time to live, in the place of the set.
    #[must_use]
    pub fn usage_estimate(&self, subject: &Subject, month: Month) -> String {
        format!("{}:h{}", self.usage(subject), month.0)
    }

    /// How much each key of an organization was used in a month: a sorted set of 16-byte ids with a time to live.
    #[must_use]
    pub fn usage_ranking(&self, subject: &Subject, month: Month) -> String {
        format!("{}:k{}", self.usage(subject), month.0)
    }

    /// The number of the last batch that was taken in of a writer, in eight bytes: a string with a time to live.
    #[must_use]
    pub fn usage_mark(&self, bucket: Bucket, writer: Writer) -> String {
        format!("{}:usage-mark:{{{bucket}}}:{writer}", self.namespace)
    }

    /// The keys of a bucket to which something is due on a day: a sorted set of 16-byte ids, all with the same score.
    #[must_use]
    pub fn due(&self, bucket: Bucket, day: Day) -> String {
        format!("{}:due:{{{bucket}}}:{}", self.namespace, day.0)
    }

    /// The days on which something is due to keys of a bucket: a sorted set of their numbers, by which it is sorted.
    #[must_use]
    pub fn due_days(&self, bucket: Bucket) -> String {
        format!("{}:due-days:{{{bucket}}}", self.namespace)
    }

    /// What is known of a key's [habits](keygate_core::anomaly::habits): a string with a time to live.
    #[must_use]
    pub fn habits(&self, id: KeyId) -> String {
        self.of_key("habits", id)
    }

    /// What was found in the use of an organization's keys: a hash with a time to live, of
    /// [findings](keygate_core::anomaly::finding) in JSON by the 16 bytes of their ids.
    #[must_use]
    pub fn findings(&self, organization: &OrganizationId) -> String {
        self.of_organization("findings", organization)
    }

    /// When: a sorted set with a time to live, of the finding's id followed by the key's, 16 bytes each, the score
    /// milliseconds since 1970.
    #[must_use]
    pub fn finding_times(&self, organization: &OrganizationId) -> String {
        self.of_organization("finding-times", organization)
    }

    /// An organization's roles: written like its record, and in its bucket.
    #[must_use]
    pub fn roles(&self, organization: &OrganizationId) -> String {
        self.of_organization("roles", organization)
    }

    /// A user's record, written like an organization's and in its organization's bucket.
    #[must_use]
    pub fn user(&self, organization: &OrganizationId, user: &UserId) -> String {
        format!("{}:{user}", self.of_organization("user", organization))
    }

    /// The audit of an organization: a stream of entries, as core writes them, under `e`. Their ids are their sequences and `-0`.
    #[must_use]
    pub fn audit(&self, organization: &OrganizationId) -> String {
        self.of_organization("audit", organization)
    }

    /// What seals the audit: a stream of seals, as core writes them, under `s`. Their ids are the sequences of the last entries
    /// under them and `-0`.
    #[must_use]
    pub fn audit_seals(&self, organization: &OrganizationId) -> String {
        self.of_organization("audit-seals", organization)
    }

    /// The acts of which it is not said what became of them: a sorted set of 16-byte ids, the score the sequence of the intent.
    #[must_use]
    pub fn audit_open(&self, organization: &OrganizationId) -> String {
        self.of_organization("audit-open", organization)
    }

    /// How far the audit has come: a hash of the `last` sequence, the `checkpoint`, and under `r` and the four bytes of each entry
    /// of the secret ring how many seals and checkpoints name it.
    #[must_use]
    pub fn audit_state(&self, organization: &OrganizationId) -> String {
        self.of_organization("audit-state", organization)
    }

    /// What the names of all these begin with.
    #[must_use]
    pub fn audit_states_prefix(&self) -> String {
        format!("{}:audit-state:", self.namespace)
    }

    /// The organizations of a bucket that have an audit: a sorted set of their ids, all of score 0.
    #[must_use]
    pub fn audits(&self, bucket: Bucket) -> String {
        format!("{}:audits:{{{bucket}}}", self.namespace)
    }

    /// That an entry of an act was kept: its sequence, for a minute.
    #[must_use]
    pub fn audit_once(&self, organization: &OrganizationId, act: ActId, step: u8) -> String {
        format!("{}:{act}:{step}", self.of_organization("audit-once", organization))
    }

    /// An organization's webhooks: written like its record, and in its bucket.
    #[must_use]
    pub fn webhooks(&self, organization: &OrganizationId) -> String {
        self.of_organization("webhooks", organization)
    }

    /// What the names of all webhooks begin with.
    #[must_use]
    pub fn webhooks_prefix(&self) -> String {
        format!("{}:webhooks:", self.namespace)
    }

    /// In which of the sixteen lists an organization's notices are: its bucket's number, taken modulo that.
    #[must_use]
    pub fn notice_shard(organization: &OrganizationId) -> u16 {
        Self::organization_bucket(organization).number() % NOTICE_SHARDS
    }

    fn of_shard(&self, kind: &str, shard: u16) -> String {
        format!("{}:{kind}:{{{}}}", self.namespace, Bucket::of(shard.into()))
    }

    /// The notices of a list, those that wait and those that were given up: a hash, each under the 16 bytes of its id
    /// followed by its organization.
    #[must_use]
    pub fn notices(&self, shard: u16) -> String {
        self.of_shard("notices", shard)
    }

    /// When the notices of a list that wait are due: a sorted set of the same, the score milliseconds since 1970.
    #[must_use]
    pub fn notices_waiting(&self, shard: u16) -> String {
        self.of_shard("notices-waiting", shard)
    }

    /// How many notices of each organization wait in a list: a hash.
    #[must_use]
    pub fn notice_counts(&self, shard: u16) -> String {
        self.of_shard("notice-counts", shard)
    }

    /// That a notice was sent: `1`, with a time to live.
    #[must_use]
    pub fn notice_sent(&self, organization: &OrganizationId, id: NoticeId) -> String {
        format!("{}:{organization}:{id}", self.of_shard("notice-sent", Self::notice_shard(organization)))
    }

    /// When notices of an organization were given up: a sorted set like that of those that wait.
    #[must_use]
    pub fn notices_given_up(&self, organization: &OrganizationId) -> String {
        format!("{}:{organization}", self.of_shard("notices-given-up", Self::notice_shard(organization)))
    }

    /// The deployment marker: JSON.
    #[must_use]
    pub fn deployment(&self) -> String {
        format!("{}:deployment", self.namespace)
    }

    /// What an examination writes for a moment, to see whether instances are told: under a prefix that they are told of, and
    /// no key's id, so that nobody acts on it.
    pub(crate) fn canary(&self, bucket: Bucket, nonce: u64) -> String {
        format!("{}:revoked:{{{bucket}}}:doctor-{nonce:016x}", self.namespace)
    }

    /// What the names begin with of which instances are told. None is the beginning of another.
    pub(crate) fn told_prefixes(&self) -> [String; 6] {
        ["key", "org", "project", "revoked", "roles", "user"].map(|kind| format!("{}:{kind}:", self.namespace))
    }

    /// What a change of the entry of this name is, if it is one that instances are told of.
    pub(crate) fn changes(&self, name: &[u8]) -> impl Iterator<Item = Change> + use<> {
        let changes = self.parts(name).and_then(|(kind, id)| match kind {
            "key" => Some([Some(Change::Key(id.parse().ok()?)), None]),
            "revoked" => {
                let id = id.parse().ok()?;
                Some([Some(Change::Revoked(id)), Some(Change::Key(id))])
            }
            "org" | "roles" => Some([Some(Change::Organization(OrganizationId::new(id).ok()?)), None]),
            "project" => {
                let (organization, project) = id.split_once(':')?;
                let organization = OrganizationId::new(organization).ok()?;
                Some([Some(Change::Project(organization, ProjectId::new(project).ok()?)), None])
            }
            "user" => {
                let (organization, user) = id.split_once(':')?;
                let organization = OrganizationId::new(organization).ok()?;
                Some([Some(Change::User(organization, UserId::new(user).ok()?)), None])
            }
            _ => None,
        });
        changes.into_iter().flatten().flatten()
    }

    /// The kind and the id out of `<namespace>:<kind>:{bNNNN}:<id>`.
    fn parts<'a>(&self, name: &'a [u8]) -> Option<(&'a str, &'a str)> {
        let name = std::str::from_utf8(name).ok()?;
        let (kind, rest) = name.strip_prefix(self.namespace.as_str())?.strip_prefix(':')?.split_once(':')?;
        let (_bucket, id) = rest.strip_prefix('{')?.split_once("}:")?;
        Some((kind, id))
    }
}

/// The bucket of a digest: its first eight bytes, taken modulo the number of buckets.
fn bucket_of(digest: &[u8; 32]) -> Bucket {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    Bucket::of(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_documented() {
        let layout = Layout::default();
        let id: KeyId = "01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f".parse().unwrap();
        let acme = OrganizationId::new("acme").unwrap();
        let bucket = Layout::organization_bucket(&acme);
        assert_eq!(layout.record(id), "kg:key:{b0607}:01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f");
        assert_eq!(layout.fence(id), "kg:fence:{b0607}:01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f");
        assert_eq!(
            layout.user_keys(&acme, &UserId::new("bob").unwrap()),
            format!("kg:user-keys:{{{bucket}}}:acme:bob")
        );
        assert_eq!(
            layout.project_keys(&acme, &ProjectId::new("website").unwrap()),
            format!("kg:project-keys:{{{bucket}}}:acme:website")
        );
        assert_eq!(layout.deployment(), "kg:deployment");
        assert!(layout.record(id).starts_with(&layout.record_prefix()));
        assert_eq!(layout.revoked(id), "kg:revoked:{b0607}:01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f");
        let limits = [
            (PoolId::Lineage(id), "kg:limit:{b0607}:01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f".to_owned()),
            (PoolId::User(acme.clone(), UserId::new("bob").unwrap()), format!("kg:limit-user:{{{bucket}}}:acme:bob")),
            (
                PoolId::Project(acme.clone(), ProjectId::new("website").unwrap()),
                format!("kg:limit-project:{{{bucket}}}:acme:website"),
            ),
            (PoolId::Organization(acme), format!("kg:limit-org:{{{bucket}}}:acme")),
        ];
        for (pool, name) in limits {
            assert_eq!(layout.limit(&pool), name);
            assert!(layout.told_prefixes().iter().all(|prefix| !name.starts_with(prefix)), "{name}");
        }
        let acme = || OrganizationId::new("acme").unwrap();
        let usage = [
            (Subject::Key(id), "kg:usage:{b0607}:01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f".to_owned()),
            (Subject::User(acme(), UserId::new("bob").unwrap()), format!("kg:usage-user:{{{bucket}}}:acme:bob")),
            (
                Subject::Project(acme(), ProjectId::new("website").unwrap()),
                format!("kg:usage-project:{{{bucket}}}:acme:website"),
            ),
            (Subject::Organization(acme()), format!("kg:usage-org:{{{bucket}}}:acme")),
        ];
        for (subject, name) in usage {
            assert_eq!(layout.usage(&subject), name);
            assert_eq!(layout.usage_day(&subject, Day(20_000)), format!("{name}:d20000"));
            assert_eq!(layout.usage_addresses(&subject, Month(24_310)), format!("{name}:a24310"));
            assert_eq!(layout.usage_estimate(&subject, Month(24_310)), format!("{name}:h24310"));
            assert_eq!(layout.usage_ranking(&subject, Month(24_310)), format!("{name}:k24310"));
            assert!(layout.told_prefixes().iter().all(|prefix| !name.starts_with(prefix)), "{name}");
        }
        assert_eq!(layout.due(Bucket::of(7), Day(20_000)), "kg:due:{b0007}:20000");
        assert_eq!(layout.due_days(Bucket::of(7)), "kg:due-days:{b0007}");
        let mark = layout.usage_mark(Bucket::of(7), Writer(255));
        assert_eq!(mark, "kg:usage-mark:{b0007}:00000000000000ff");
        assert_eq!(layout.habits(id), "kg:habits:{b0607}:01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f");
        assert_eq!(layout.findings(&acme()), format!("kg:findings:{{{bucket}}}:acme"));
        assert_eq!(layout.finding_times(&acme()), format!("kg:finding-times:{{{bucket}}}:acme"));
        assert_eq!(layout.webhooks(&acme()), format!("kg:webhooks:{{{bucket}}}:acme"));
        assert_eq!(layout.audit(&acme()), format!("kg:audit:{{{bucket}}}:acme"));
        assert_eq!(layout.audit_seals(&acme()), format!("kg:audit-seals:{{{bucket}}}:acme"));
        assert_eq!(layout.audit_open(&acme()), format!("kg:audit-open:{{{bucket}}}:acme"));
        assert_eq!(layout.audit_state(&acme()), format!("kg:audit-state:{{{bucket}}}:acme"));
        assert_eq!(layout.audits(bucket), format!("kg:audits:{{{bucket}}}"));
        let once = layout.audit_once(&acme(), ActId::from_bytes([7; 16]), 1);
        assert_eq!(once, format!("kg:audit-once:{{{bucket}}}:acme:07070707-0707-0707-0707-070707070707:1"));
        let shard = Layout::notice_shard(&acme());
        assert_eq!(shard, bucket.number() % 16);
        assert_eq!(layout.notices(shard), format!("kg:notices:{{b{shard:04}}}"));
        assert_eq!(layout.notices_waiting(shard), format!("kg:notices-waiting:{{b{shard:04}}}"));
        assert_eq!(layout.notice_counts(shard), format!("kg:notice-counts:{{b{shard:04}}}"));
        let sent = layout.notice_sent(&acme(), NoticeId::from_bytes([7; 16]));
        assert_eq!(sent, format!("kg:notice-sent:{{b{shard:04}}}:acme:msg_07070707070707070707070707070707"));
        assert_eq!(layout.notices_given_up(&acme()), format!("kg:notices-given-up:{{b{shard:04}}}:acme"));
        let memo = MemoName::from_bytes(std::array::from_fn(|place| place as u8));
        // 0x0001020304050607 modulo 1024.
        assert_eq!(
            layout.memo(&memo),
            "kg:memo:{b0519}:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        );
        let token = LookupToken::from_bytes(*memo.as_bytes());
        assert_eq!(
            layout.lookup(&token),
            "kg:lookup:{b0519}:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        );
        assert_eq!(layout.instances_until(Bucket::of(0)), "kg:instances:{b0000}:until");
        assert_eq!(layout.instances_beats(Bucket::of(7)), "kg:instances:{b0007}:beats");
    }

    #[test]
    fn a_name_says_what_changed() {
        let layout = Layout::new(Namespace::new("prod-1.eu").unwrap());
        let told = |name: &str| layout.changes(name.as_bytes()).collect::<Vec<_>>();
        let id: KeyId = "01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f".parse().unwrap();
        let (acme, website) = (OrganizationId::new("acme").unwrap(), ProjectId::new("website").unwrap());
        assert_eq!(told(&layout.record(id)), [Change::Key(id)]);
        assert_eq!(told(&layout.revoked(id)), [Change::Revoked(id), Change::Key(id)]);
        assert_eq!(told(&layout.organization(&acme)), [Change::Organization(acme.clone())]);
        assert_eq!(told(&layout.project(&acme, &website)), [Change::Project(acme.clone(), website.clone())]);
        assert_eq!(told(&layout.roles(&acme)), [Change::Organization(acme.clone())]);
        let bob = UserId::new("bob").unwrap();
        assert_eq!(told(&layout.user(&acme, &bob)), [Change::User(acme.clone(), bob.clone())]);
        let of_owners = [layout.roles(&acme), layout.user(&acme, &bob)];
        for name in [layout.record(id), layout.revoked(id), layout.organization(&acme)].into_iter().chain(of_owners) {
            assert!(layout.told_prefixes().iter().any(|prefix| name.starts_with(prefix)), "{name}");
        }
        // What is of no concern, of another deployment, or no name of ours.
        for name in [
            &layout.canary(id.bucket(), 7),
            &layout.fence(id),
            &layout.memo(&MemoName::from_bytes([7; 32])),
            &layout.lookup(&LookupToken::from_bytes([7; 32])),
            &layout.keys(&acme),
            &layout.user_keys(&acme, &bob),
            &layout.project_keys(&acme, &website),
            &layout.limit(&PoolId::Lineage(id)),
            &layout.limit(&PoolId::Organization(acme.clone())),
            &layout.due(id.bucket(), Day(20_000)),
            &layout.due_days(id.bucket()),
            &layout.usage(&Subject::Key(id)),
            &layout.usage(&Subject::Organization(acme.clone())),
            &layout.habits(id),
            &layout.findings(&acme),
            &layout.finding_times(&acme),
            &layout.webhooks(&acme),
            &layout.audits(id.bucket()),
            &layout.audit(&acme),
            &layout.audit_seals(&acme),
            &layout.audit_open(&acme),
            &layout.audit_state(&acme),
            &layout.audit_once(&acme, ActId::from_bytes([7; 16]), 0),
            &layout.notices(7),
            &layout.notices_waiting(7),
            &layout.notice_counts(7),
            &layout.notice_sent(&acme, NoticeId::from_bytes([7; 16])),
            &layout.notices_given_up(&acme),
            &layout.deployment(),
            &Layout::default().record(id),
            "",
            "prod-1.eu",
            "prod-1.eu:key:",
            "prod-1.eu:key:{b0607}:nothing",
            "prod-1.eu:key:{b0607",
            "prod-1.eu:key:{}:{}:",
            "prod-1.eu:org:{b0001}:a b",
            "prod-1.eu:project:{b0001}:acme",
            "prod-1.eu:project:{b0001}:acme:a:b",
        ] {
            assert_eq!(told(name), [], "{name}");
        }
        assert_eq!(layout.changes(b"prod-1.eu:key:{b0607}:\xff").count(), 0);
    }

    #[test]
    fn a_namespace_outside_the_grammar_is_refused() {
        for bad in ["", "a b", "a:b", "{a}", "ä", &"x".repeat(33)] {
            assert_eq!(Namespace::new(bad), Err(NamespaceError), "{bad}");
        }
        assert_eq!(Namespace::new("prod-1.eu").unwrap().as_str(), "prod-1.eu");
    }
}
