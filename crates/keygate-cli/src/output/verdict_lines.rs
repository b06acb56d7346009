//! Whose a valid key is, and what came of the checks of any.

use chrono::Utc;
use comfy_table::{Cell, Color, ColumnConstraint};

use super::limit_lines::limit_lines;
use super::table::{Stream, bare, render};
use super::time::moment;
use super::words::{list, safe};
use crate::desk::{CheckLine, ValidKey};

/// The lines of a valid key, as far as a verdict tells of it.
pub(crate) fn valid_key_lines(key: &ValidKey) -> String {
    let mut table = bare(Stream::Out);
    let mut row = |field: &str, value: Cell| {
        table.add_row([Cell::new(field), value]);
    };
    row("key id", Cell::new(key.key_id));
    row("organization", Cell::new(&key.organization_id));
    row("user", Cell::new(&key.user_id));
    if let Some(project) = &key.project_id {
        row("project", Cell::new(project));
    }
    row("environment", Cell::new(key.environment));
    row("name", Cell::new(safe(key.name.as_str())));
    row("scopes", Cell::new(list(&key.scopes, "none: it grants nothing")));
    row("permissions", Cell::new(list(&key.permissions, "none")));
    if !key.tags.is_empty() {
        row("tags", Cell::new(list(&key.tags, "none")));
    }
    let now = Utc::now();
    if !key.limits_left.is_empty() {
        row("left", Cell::new(limit_lines(&key.limits_left, now)));
    }
    row("expires", Cell::new(key.expires_at.map_or_else(|| "never".to_owned(), |end| moment(end, now))));
    if let Some(superseded) = key.superseded {
        row("successor", Cell::new(format!("{}, since {}", superseded.successor_id, moment(superseded.at, now))));
    }
    if !key.metadata.is_empty() {
        let metadata = serde_json::to_string(&key.metadata).unwrap_or_default();
        row("metadata", Cell::new(safe(&metadata)));
    }
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    render(&table)
}

/// A line for each check, with what was compared, and what would mend it below.
pub(crate) fn check_lines(checks: &[CheckLine]) -> String {
    let mut table = bare(Stream::Out);
    for CheckLine { check, verdict, detail, remedy, .. } in checks {
        let mut words = safe(detail.as_deref().unwrap_or_default()).into_owned();
        if let Some(remedy) = remedy {
            words += &format!("\n-> {}", safe(remedy));
        }
        let color = match verdict.as_str() {
            "passed" => Color::Green,
            "failed" => Color::Red,
            _ => Color::Yellow,
        };
        let of_words = |text: &str| safe(&text.replace('_', " ")).into_owned();
        table.add_row([Cell::new(of_words(verdict)).fg(color), Cell::new(of_words(check)), Cell::new(words)]);
    }
    for column in [0, 1] {
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    render(&table)
}
