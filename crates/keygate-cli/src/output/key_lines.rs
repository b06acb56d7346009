//! All there is to say of one key, a line for each field.

use chrono::{DateTime, Utc};
use comfy_table::{Cell, ColumnConstraint};
use keygate::lifecycle::next_rotation;
use keygate::record::Key;

use super::limit_lines::limit_lines;
use super::table::{Stream, bare, render, state};
use super::time::moment;
use super::words::{CLAIMABLE, limits, list, safe, schedule};
use crate::desk::LimitLeft;

/// The lines of a key, and of what is left of its limits, as far as that is known.
pub(crate) fn key_lines(key: &Key, left: &[LimitLeft], now: DateTime<Utc>, stream: Stream) -> String {
    let mut table = bare(stream);
    let mut row = |field: &str, value: Cell| {
        table.add_row([Cell::new(field), value]);
    };
    row("key id", Cell::new(key.id));
    row("status", state(key.state(now)));
    if let Some(reason) = &key.status.reason {
        row("reason", Cell::new(safe(reason.as_str())));
    }
    if key.status.at != key.created_at {
        row("since", Cell::new(moment(key.status.at, now)));
    }
    row("organization", Cell::new(&key.organization));
    row("user", Cell::new(&key.user));
    if let Some(project) = &key.project {
        row("project", Cell::new(project));
    }
    row("environment", Cell::new(key.environment));
    row("name", Cell::new(safe(key.name.as_str())));
    if !key.description.as_str().is_empty() {
        row("description", Cell::new(safe(key.description.as_str())));
    }
    row("scopes", Cell::new(list(&key.scopes, "none: it grants nothing")));
    row("permissions", Cell::new(list(&key.permissions, "none")));
    if !key.grantable.is_empty() {
        row("grantable", Cell::new(list(&key.grantable, "none")));
    }
    row("limits", Cell::new(limits(&key.limits)));
    if !left.is_empty() {
        row("left", Cell::new(limit_lines(left, now)));
    }
    row("allowed from", Cell::new(list(key.allowed_ips.iter(), "anywhere")));
    if !key.tags.is_empty() {
        row("tags", Cell::new(list(&key.tags, "none")));
    }
    row("security tier", Cell::new(key.security_tier));
    row("created", Cell::new(format!("{} by {}", moment(key.created_at, now), key.created_by)));
    if let Some(begin) = key.not_before {
        row("not before", Cell::new(moment(begin, now)));
    }
    row("expires", Cell::new(key.expires_at.map_or_else(|| "never".to_owned(), |end| moment(end, now))));
    if let Some(own) = &key.rotation_schedule {
        row("rotation", Cell::new(schedule(own)));
    }
    if let Some(next) = next_rotation(key) {
        row("next rotation", Cell::new(moment(next, now)));
    }
    if key.succession.hand_over {
        row("hand-over", Cell::new(CLAIMABLE));
    }
    if let Some(predecessor) = key.succession.predecessor_id {
        row("predecessor", Cell::new(predecessor));
    }
    if let Some(superseded) = key.succession.superseded {
        row("successor", Cell::new(format!("{}, since {}", superseded.successor_id, moment(superseded.at, now))));
    }
    if !key.metadata.is_empty() {
        // JSON text may hold such characters unescaped.
        let metadata = serde_json::to_string(&key.metadata).unwrap_or_default();
        row("metadata", Cell::new(safe(&metadata)));
    }
    if !key.sensitive_fields.is_empty() {
        row("sensitive", Cell::new(list(&key.sensitive_fields, "none")));
    }
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    render(&table)
}
