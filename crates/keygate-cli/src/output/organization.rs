//! All there is to say of an organization: the document of it, which is the management API's, and a line for each field.

use comfy_table::{Cell, Color, ColumnConstraint};
use keygate::limits::Limits;
use keygate::names::OrganizationId;
use keygate::record::{KeyDefaults, KeyPolicy, OrganizationRecord, ParentStatus, Quota, Revision};
use serde::Serialize;

use super::rule_lines::add_rules;
use super::table::{Stream, bare, render};
use super::words;

/// An organization, with a null for what is not said of it.
#[derive(Debug, Serialize)]
pub(crate) struct OrganizationDocument<'a> {
    organization_id: &'a OrganizationId,
    revision: Revision,
    status: ParentStatus,
    max_keys: Option<u64>,
    max_keys_per_user: Option<u64>,
    limits: Option<Limits>,
    user_limits: Option<Limits>,
    key_limits: Option<Limits>,
    policy: Option<&'a KeyPolicy>,
    defaults: Option<&'a KeyDefaults>,
}

impl<'a> OrganizationDocument<'a> {
    /// Of this one.
    pub(crate) fn of(record: &'a OrganizationRecord) -> Self {
        Self {
            organization_id: &record.id,
            revision: record.revision,
            status: record.status,
            max_keys: record.max_keys,
            max_keys_per_user: record.max_keys_per_user,
            limits: record.limits,
            user_limits: record.user_limits,
            key_limits: record.key_limits,
            policy: record.policy.as_ref(),
            defaults: record.defaults.as_ref(),
        }
    }
}

/// The lines of an organization.
pub(crate) fn organization_lines(record: &OrganizationRecord) -> String {
    let default = Quota::default();
    let quota = |own: Option<u64>, default: u64| match own {
        Some(own) => Cell::new(own),
        None => Cell::new(format!("{default}, the default")),
    };
    let limits =
        |own: Option<Limits>, none: &str| Cell::new(own.map_or_else(|| none.to_owned(), |own| words::limits(&own)));
    let status = match record.status {
        ParentStatus::Active => Cell::new("active").fg(Color::Green),
        ParentStatus::Suspended => Cell::new("suspended").fg(Color::Red),
    };
    let mut table = bare(Stream::Out);
    table.add_row([Cell::new("organization"), Cell::new(&record.id)]);
    table.add_row([Cell::new("status"), status]);
    table.add_row([Cell::new("most keys"), quota(record.max_keys, default.per_organization)]);
    table.add_row([Cell::new("most keys of a user"), quota(record.max_keys_per_user, default.per_user)]);
    table.add_row([Cell::new("limits"), limits(record.limits, "none")]);
    table.add_row([Cell::new("limits of a user"), limits(record.user_limits, "none")]);
    table.add_row([Cell::new("limits of a new key"), limits(record.key_limits, "those of its tier, the default")]);
    add_rules(&mut table, record.policy.as_ref(), record.defaults.as_ref());
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    render(&table)
}
