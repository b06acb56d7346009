//! All there is to say of a project: the document of it, which is the management API's, and a line for each field.

use comfy_table::{Cell, Color, ColumnConstraint};
use keygate::limits::Limits;
use keygate::names::{OrganizationId, ProjectId};
use keygate::record::{KeyDefaults, KeyPolicy, ParentStatus, ProjectRecord, Revision};
use serde::Serialize;

use super::rule_lines::add_rules;
use super::table::{Stream, bare, render};
use super::words;

/// A project, with a null for what is not said of it.
#[derive(Debug, Serialize)]
pub(crate) struct ProjectDocument<'a> {
    organization_id: &'a OrganizationId,
    project_id: &'a ProjectId,
    revision: Revision,
    status: ParentStatus,
    max_keys: Option<u64>,
    limits: Option<Limits>,
    key_limits: Option<Limits>,
    policy: Option<&'a KeyPolicy>,
    defaults: Option<&'a KeyDefaults>,
}

impl<'a> ProjectDocument<'a> {
    /// Of this one.
    pub(crate) fn of(record: &'a ProjectRecord) -> Self {
        Self {
            organization_id: &record.organization,
            project_id: &record.id,
            revision: record.revision,
            status: record.status,
            max_keys: record.max_keys,
            limits: record.limits,
            key_limits: record.key_limits,
            policy: record.policy.as_ref(),
            defaults: record.defaults.as_ref(),
        }
    }
}

/// The lines of a project.
pub(crate) fn project_lines(record: &ProjectRecord) -> String {
    let status = match record.status {
        ParentStatus::Active => Cell::new("active").fg(Color::Green),
        ParentStatus::Suspended => Cell::new("suspended").fg(Color::Red),
    };
    let limits = record.limits.map_or_else(|| "none".to_owned(), |limits| words::limits(&limits));
    let mut table = bare(Stream::Out);
    table.add_row([Cell::new("organization"), Cell::new(&record.organization)]);
    table.add_row([Cell::new("project"), Cell::new(&record.id)]);
    table.add_row([Cell::new("status"), status]);
    if let Some(most) = record.max_keys {
        table.add_row([Cell::new("most keys"), Cell::new(most)]);
    }
    table.add_row([Cell::new("limits"), Cell::new(limits)]);
    if let Some(own) = &record.key_limits {
        table.add_row([Cell::new("limits of a new key"), Cell::new(words::limits(own))]);
    }
    add_rules(&mut table, record.policy.as_ref(), record.defaults.as_ref());
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    render(&table)
}
