//! Roles for people: a line for each, or for each field.

use comfy_table::{Cell, ColumnConstraint};
use keygate::record::NamedRole;

use super::table::{Stream, bare, render, with_header};
use super::words;

const NOTHING: &str = "nothing";

/// The lines of a role.
pub(crate) fn role_lines(role: &NamedRole) -> String {
    let mut table = bare(Stream::Out);
    table.add_row([Cell::new("organization"), Cell::new(&role.organization_id)]);
    table.add_row([Cell::new("role"), Cell::new(&role.name)]);
    table.add_row([Cell::new("permissions"), Cell::new(words::list(&role.role.permissions, NOTHING))]);
    table.add_row([Cell::new("description"), Cell::new(words::safe(role.role.description.as_str()))]);
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    render(&table)
}

/// A line for each role.
pub(crate) fn role_table(roles: &[NamedRole]) -> String {
    let mut table = with_header(&["ROLE", "PERMISSIONS", "DESCRIPTION"], Stream::Out);
    for role in roles {
        let permissions = words::list(&role.role.permissions, NOTHING);
        let description = words::safe(role.role.description.as_str()).into_owned();
        table.add_row([Cell::new(&role.name), Cell::new(permissions), Cell::new(description)]);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    render(&table)
}
