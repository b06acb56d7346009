//! The opened fields of a key, a line for each.

use comfy_table::{Cell, ColumnConstraint};
use keygate::record::Sensitive;
use serde_json::Value;

use super::table::{Stream, bare, render};
use super::words::safe;

/// The lines of the fields: a text as it is, and whatever else as JSON.
pub(crate) fn sensitive_lines(fields: &Sensitive) -> String {
    let mut table = bare(Stream::Out);
    for (name, value) in fields.iter() {
        let value = match value.as_value() {
            Value::String(text) => safe(text).into_owned(),
            // JSON text may hold such characters unescaped.
            value => safe(&value.to_string()).into_owned(),
        };
        table.add_row([Cell::new(name), Cell::new(value)]);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    render(&table)
}
