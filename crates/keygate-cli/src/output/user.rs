//! All there is to say of a user: a line for each field.

use comfy_table::{Cell, Color, ColumnConstraint};
use keygate::record::{UserRecord, UserStatus};

use super::rule_lines::add_rules;
use super::table::{Stream, bare, render};
use super::words;

/// The lines of a user.
pub(crate) fn user_lines(record: &UserRecord) -> String {
    let status = match record.status {
        UserStatus::Active => Cell::new("active").fg(Color::Green),
        UserStatus::Suspended => Cell::new("suspended").fg(Color::Red),
        UserStatus::Offboarded => Cell::new("offboarded").fg(Color::Red),
    };
    let roles = match &record.roles {
        None => "nothing caps its keys".to_owned(),
        Some(roles) => words::list(roles, "none: its keys may do nothing that needs a permission"),
    };
    let mut table = bare(Stream::Out);
    table.add_row([Cell::new("organization"), Cell::new(&record.organization)]);
    table.add_row([Cell::new("user"), Cell::new(&record.id)]);
    table.add_row([Cell::new("status"), status]);
    table.add_row([Cell::new("roles"), Cell::new(roles)]);
    if let Some(most) = record.max_keys {
        table.add_row([Cell::new("most keys"), Cell::new(most)]);
    }
    if let Some(limits) = &record.limits {
        table.add_row([Cell::new("limits"), Cell::new(words::limits(limits))]);
    }
    add_rules(&mut table, record.policy.as_ref(), record.defaults.as_ref());
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    render(&table)
}
