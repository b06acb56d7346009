//! The Lua scripts. Each stands in a file of its own, which says what it takes and gives.
//!
//! Every script declares its keys, and all keys of a call share a slot. Times are milliseconds since 1970 on the
//! server's clock. Revisions are compared as eight bytes, because Lua's numbers are doubles.

use std::sync::LazyLock;

use crate::link::Script;

macro_rules! script {
    ($(#[$doc:meta])* $name:ident, $($file:literal),+) => {
        $(#[$doc])*
        pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| Script::new(concat!($(include_str!($file)),+)));
    };
}

// In the key's slot.
script!(/// Writes a new record.
    CREATE, "due.lua", "create.lua");
script!(/// Puts a record in the place of an older revision.
    REPLACE, "header.lua", "due.lua", "replace.lua");
script!(/// Puts a record in the place of an older revision and writes its successor's.
    SUCCEED, "header.lua", "due.lua", "succeed.lua");
script!(/// Takes a key off the list of what is due on a day.
    NOT_DUE, "header.lua", "not_due.lua");
script!(/// Rewrites the status in a record's header.
    SET_STATUS, "header.lua", "set_status.lua");
script!(/// Erases a record.
    DELETE, "header.lua", "delete.lua");
script!(/// Reads a record, or sees to it that a reservation cannot write it any more.
    FENCE, "header.lua", "fence.lua");

script!(/// Puts a key's habits in the place of others.
    PUT_HABITS, "put_habits.lua");

// In the organization's slot.
script!(/// Takes places in the quotas and the lists.
    RESERVE, "places.lua", "reserve.lua");
script!(/// Notes a change to come.
    INTEND, "intend.lua");
script!(/// Makes lists and quotas agree with records, and ends pending changes.
    SETTLE, "places.lua", "settle.lua");
script!(/// Finds pending changes whose deadline has passed.
    OVERDUE, "overdue.lua");
script!(/// Counts what is used of the quotas.
    QUOTA_USE, "places.lua", "quota_use.lua");
script!(/// Counts what is used of a project's quota.
    PROJECT_USE, "places.lua", "project_use.lua");
script!(/// Writes an organization's or a project's record.
    PUT_PARENT, "put_parent.lua");
script!(/// Keeps what was found, once.
    RECORD_FINDING, "clock.lua", "record_finding.lua");
script!(/// Keeps an entry of the audit.
    APPEND_AUDIT, "append_audit.lua");
script!(/// Reads how far the audit has come.
    AUDIT_STATE, "audit_state.lua");
script!(/// Keeps a seal of the audit.
    PUT_AUDIT_SEAL, "put_audit_seal.lua");
script!(/// Takes the oldest of the audit away.
    TRIM_AUDIT, "trim_audit.lua");

// In the slot of a list of notices.
script!(/// Keeps a notice, once.
    PUT_NOTICE, "put_notice.lua");
script!(/// Takes notices that are due.
    TAKE_NOTICES, "take_notices.lua");
script!(/// Says what becomes of a notice that was taken.
    SETTLE_NOTICE, "settle_notice.lua");
script!(/// Has a notice wait that was given up.
    REDRIVE_NOTICE, "redrive_notice.lua");

// In the slot of a memo.
script!(/// Remembers a value for a while, unless something is remembered already.
    REMEMBER, "remember.lua");

// In the slot of a lookup.
script!(/// Takes what an imported key is found by.
    TAKE_LOOKUP, "take_lookup.lua");
script!(/// Frees what an imported key was found by.
    FREE_LOOKUP, "free_lookup.lua");

// In the slot of a registry of instances.
script!(/// Says that an instance is there, and for how long it may believe.
    BEAT, "beat.lua");
script!(/// Reads which instances are there.
    INSTANCES, "instances.lua");

// In the slot of a pool.
script!(/// Answers a call for tokens of a pool.
    LEASE, "clock.lua", "lease.lua");
#[cfg(test)]
script!(/// The same, at the time that the call says.
    LEASE_AT, "held_clock.lua", "lease.lua");

// In the slot of a bucket.
script!(/// Takes in what was counted.
    RECORD_USAGE, "clock.lua", "record_usage.lua");
#[cfg(test)]
script!(/// The same, at the time that the call says.
    RECORD_USAGE_AT, "held_clock.lua", "record_usage.lua");

// Anywhere.
script!(/// Compares and sets a whole value.
    SWAP, "swap.lua");
script!(/// Writes something that ends by itself.
    CANARY, "canary.lua");
