//! What is in the file: the tables, and which of them a write has in its hands.
//!
//! | table | key | value |
//! |---|---|---|
//! | `records` | key id | the record's bytes, as core writes them |
//! | `by_organization` | organization, key id | |
//! | `by_user` | organization, user, key id | |
//! | `ends` | organization, end, key id | user, or `user:project`: the keys that count until their end |
//! | `due` | day, key id | the keys to which something is due on that day |
//! | `organization_counts` | organization | how many of its keys count |
//! | `user_counts` | organization, user | how many of its keys count |
//! | `project_counts` | organization, project | how many of its keys count |
//! | `organizations` | organization | its record, JSON |
//! | `projects` | organization, project | its record, JSON |
//! | `roles` | organization | its roles, JSON |
//! | `users` | organization, user | its record, JSON |
//! | `memos` | a memo's name | its end, its value |
//! | `memo_ends` | end, a memo's name | |
//! | `ledgers` | a pool's name | its end, its ledger, postcard |
//! | `ledger_ends` | end, a pool's name | |
//! | `usage_series` | a subject | its totals and series, as core writes them |
//! | `usage_days` | a subject, a day | what became of its requests, version, postcard |
//! | `usage_addresses` | a subject, a month | its different addresses, likewise |
//! | `usage_rankings` | organization, a month | how much its keys were used, likewise |
//! | `usage_marks` | a writer | the last batch of it that is in the figures, when it said that |
//! | `usage_ends` | end, kind, name, number | what of these is kept until then |
//! | `habits` | key id | when they end, the key's habits, as core writes them |
//! | `habit_ends` | end, key id | |
//! | `findings` | organization, when, id | the key, the finding, JSON |
//! | `finding_ids` | organization, id | when |
//! | `webhooks` | organization | its webhooks, JSON |
//! | `notices` | organization, notice id | whether it waits (0) or was given up (1), its time, as core writes it |
//! | `notice_times` | time, organization, notice id | the notices that wait |
//! | `notice_counts` | organization | how many of its notices wait |
//! | `audit` | organization, sequence | an entry, as core writes it |
//! | `audit_seals` | organization, the last sequence under it | a seal, as core writes it |
//! | `audit_open` | organization, the sequence of an intent | its act, of which it is not said what became of it |
//! | `audit_states` | organization | the last sequence, the checkpoint (empty is none) |
//! | `lookups` | a token of an imported key | the key's id |
//! | `meta` | a word | `format`: the version of all this; `deployment`: the marker |
//!
//! Key ids begin with the time they were made at, so an index read backwards is a list with the newest key first.

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};

use keygate_core::key::KeyId;
use keygate_core::record::KeyRecord;
use keygate_core::store::StoreError;

use crate::error::storage;

/// The bytes of a key id, or of a finding's, a notice's or an act's.
pub(crate) type Id = &'static [u8; 16];
/// The bytes of a memo's name, or of a token.
pub(crate) type Name = &'static [u8; 32];

pub(crate) const RECORDS: TableDefinition<'_, Id, &[u8]> = TableDefinition::new("records");
pub(crate) const BY_ORGANIZATION: TableDefinition<'_, (&str, Id), ()> = TableDefinition::new("by_organization");
pub(crate) const BY_USER: TableDefinition<'_, (&str, &str, Id), ()> = TableDefinition::new("by_user");
pub(crate) const ENDS: TableDefinition<'_, (&str, i64, Id), &str> = TableDefinition::new("ends");
pub(crate) const DUE: TableDefinition<'_, (u32, Id), ()> = TableDefinition::new("due");
pub(crate) const ORGANIZATION_COUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("organization_counts");
pub(crate) const USER_COUNTS: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("user_counts");
pub(crate) const PROJECT_COUNTS: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("project_counts");
pub(crate) const ORGANIZATIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("organizations");
pub(crate) const PROJECTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("projects");
pub(crate) const ROLES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("roles");
pub(crate) const USERS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("users");
pub(crate) const MEMOS: TableDefinition<'_, Name, (i64, &[u8])> = TableDefinition::new("memos");
pub(crate) const MEMO_ENDS: TableDefinition<'_, (i64, Name), ()> = TableDefinition::new("memo_ends");
pub(crate) const LEDGERS: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("ledgers");
pub(crate) const LEDGER_ENDS: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("ledger_ends");
pub(crate) const USAGE_SERIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("usage_series");
pub(crate) const USAGE_DAYS: TableDefinition<'_, (&str, u32), &[u8]> = TableDefinition::new("usage_days");
pub(crate) const USAGE_ADDRESSES: TableDefinition<'_, (&str, u32), &[u8]> = TableDefinition::new("usage_addresses");
pub(crate) const USAGE_RANKINGS: TableDefinition<'_, (&str, u32), &[u8]> = TableDefinition::new("usage_rankings");
pub(crate) const USAGE_MARKS: TableDefinition<'_, u64, (u64, i64)> = TableDefinition::new("usage_marks");
pub(crate) const USAGE_ENDS: TableDefinition<'_, (i64, u8, &str, u64), ()> = TableDefinition::new("usage_ends");
pub(crate) const WEBHOOKS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("webhooks");
pub(crate) const NOTICES: TableDefinition<'_, (&str, Id), (u8, i64, &[u8])> = TableDefinition::new("notices");
pub(crate) const NOTICE_TIMES: TableDefinition<'_, (i64, &str, Id), ()> = TableDefinition::new("notice_times");
pub(crate) const NOTICES_GIVEN_UP: TableDefinition<'_, (&str, i64, Id), ()> = TableDefinition::new("notices_given_up");
pub(crate) const NOTICE_COUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("notice_counts");
pub(crate) const HABITS: TableDefinition<'_, Id, (i64, &[u8])> = TableDefinition::new("habits");
pub(crate) const HABIT_ENDS: TableDefinition<'_, (i64, Id), ()> = TableDefinition::new("habit_ends");
pub(crate) const FINDINGS: TableDefinition<'_, (&str, i64, Id), (Id, &[u8])> = TableDefinition::new("findings");
pub(crate) const FINDING_IDS: TableDefinition<'_, (&str, Id), i64> = TableDefinition::new("finding_ids");
pub(crate) const AUDIT: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("audit");
pub(crate) const AUDIT_SEALS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("audit_seals");
pub(crate) const AUDIT_OPEN: TableDefinition<'_, (&str, u64), Id> = TableDefinition::new("audit_open");
pub(crate) const AUDIT_STATES: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("audit_states");
pub(crate) const LOOKUPS: TableDefinition<'_, Name, Id> = TableDefinition::new("lookups");
pub(crate) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// The version of the file that is written.
pub(crate) const FORMAT: u64 = 1;
pub(crate) const FORMAT_WORD: &str = "format";
pub(crate) const DEPLOYMENT_WORD: &str = "deployment";

/// The first and the last of all ids.
pub(crate) const FIRST_ID: Id = &[0; 16];
pub(crate) const LAST_ID: Id = &[0xff; 16];
/// The first and the last of all memos' names.
pub(crate) const FIRST_NAME: Name = &[0; 32];
pub(crate) const LAST_NAME: Name = &[0xff; 32];

/// All tables that keys are in, in one write transaction.
pub(crate) struct KeyTables<'t> {
    pub(crate) records: Table<'t, Id, &'static [u8]>,
    pub(crate) by_organization: Table<'t, (&'static str, Id), ()>,
    pub(crate) by_user: Table<'t, (&'static str, &'static str, Id), ()>,
    pub(crate) ends: Table<'t, (&'static str, i64, Id), &'static str>,
    pub(crate) due: Table<'t, (u32, Id), ()>,
    pub(crate) organization_counts: Table<'t, &'static str, u64>,
    pub(crate) user_counts: Table<'t, (&'static str, &'static str), u64>,
    pub(crate) project_counts: Table<'t, (&'static str, &'static str), u64>,
}

impl<'t> KeyTables<'t> {
    pub(crate) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            records: transaction.open_table(RECORDS).map_err(storage)?,
            by_organization: transaction.open_table(BY_ORGANIZATION).map_err(storage)?,
            by_user: transaction.open_table(BY_USER).map_err(storage)?,
            ends: transaction.open_table(ENDS).map_err(storage)?,
            due: transaction.open_table(DUE).map_err(storage)?,
            organization_counts: transaction.open_table(ORGANIZATION_COUNTS).map_err(storage)?,
            user_counts: transaction.open_table(USER_COUNTS).map_err(storage)?,
            project_counts: transaction.open_table(PROJECT_COUNTS).map_err(storage)?,
        })
    }
}

/// Makes every table, so that a reader finds them all.
pub(crate) fn create_all(transaction: &WriteTransaction) -> Result<(), redb::TableError> {
    transaction.open_table(RECORDS)?;
    transaction.open_table(BY_ORGANIZATION)?;
    transaction.open_table(BY_USER)?;
    transaction.open_table(ENDS)?;
    transaction.open_table(DUE)?;
    transaction.open_table(ORGANIZATION_COUNTS)?;
    transaction.open_table(USER_COUNTS)?;
    transaction.open_table(PROJECT_COUNTS)?;
    transaction.open_table(ORGANIZATIONS)?;
    transaction.open_table(PROJECTS)?;
    transaction.open_table(ROLES)?;
    transaction.open_table(USERS)?;
    transaction.open_table(MEMOS)?;
    transaction.open_table(MEMO_ENDS)?;
    transaction.open_table(LEDGERS)?;
    transaction.open_table(LEDGER_ENDS)?;
    transaction.open_table(USAGE_SERIES)?;
    transaction.open_table(USAGE_DAYS)?;
    transaction.open_table(USAGE_ADDRESSES)?;
    transaction.open_table(USAGE_RANKINGS)?;
    transaction.open_table(USAGE_MARKS)?;
    transaction.open_table(USAGE_ENDS)?;
    transaction.open_table(HABITS)?;
    transaction.open_table(HABIT_ENDS)?;
    transaction.open_table(FINDINGS)?;
    transaction.open_table(FINDING_IDS)?;
    transaction.open_table(WEBHOOKS)?;
    transaction.open_table(NOTICES)?;
    transaction.open_table(NOTICE_TIMES)?;
    transaction.open_table(NOTICE_COUNTS)?;
    transaction.open_table(NOTICES_GIVEN_UP)?;
    transaction.open_table(AUDIT)?;
    transaction.open_table(AUDIT_SEALS)?;
    transaction.open_table(AUDIT_OPEN)?;
    transaction.open_table(AUDIT_STATES)?;
    transaction.open_table(LOOKUPS)?;
    transaction.open_table(META)?;
    Ok(())
}

/// The record with this id.
pub(crate) fn record_of(
    records: &impl ReadableTable<Id, &'static [u8]>,
    id: KeyId,
) -> Result<Option<KeyRecord>, StoreError> {
    let bytes = records.get(id.as_bytes()).map_err(storage)?;
    bytes.map(|bytes| decode(id, bytes.value())).transpose()
}

/// Reads the bytes kept under an id, which must be that id's record.
pub(crate) fn decode(id: KeyId, bytes: &[u8]) -> Result<KeyRecord, StoreError> {
    let record = KeyRecord::decode(bytes).map_err(|error| StoreError::undecodable(format!("key {id}"), error))?;
    if record.key.id != id {
        return Err(StoreError::damaged(format!("key {id}"), "it is the record of another key"));
    }
    Ok(record)
}

/// A table to read, in one read transaction.
pub(crate) fn reading<K: redb::Key + 'static, V: redb::Value + 'static>(
    transaction: &ReadTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<redb::ReadOnlyTable<K, V>, StoreError> {
    transaction.open_table(table).map_err(storage)
}

/// The same, where the file may be from before there was such a table and nothing was written to it since.
pub(crate) fn reading_if_there<K: redb::Key + 'static, V: redb::Value + 'static>(
    transaction: &ReadTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<Option<redb::ReadOnlyTable<K, V>>, StoreError> {
    match transaction.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        table => table.map(Some).map_err(storage),
    }
}
