//! Where a key is in its rotation, a line for each field.

use chrono::{DateTime, Utc};
use comfy_table::{Cell, ColumnConstraint};
use keygate::manager::{Overlapping, RotationStatus};

use super::table::{Stream, bare, render};
use super::time::moment;
use super::words::{CLAIMABLE, schedule};

/// The lines of a rotation.
pub(crate) fn rotation_lines(status: &RotationStatus, now: DateTime<Utc>) -> String {
    let mut table = bare(Stream::Out);
    let mut row = |field: &str, value: Cell| {
        table.add_row([Cell::new(field), value]);
    };
    row("key id", Cell::new(status.key_id));
    row("generation", Cell::new(status.generation));
    row("schedule", Cell::new(status.schedule.map_or_else(|| "none".to_owned(), |own| schedule(&own))));
    if let Some(next) = status.next_rotation {
        let overdue = if next <= now { ", overdue" } else { "" };
        row("next rotation", Cell::new(format!("{}{overdue}", moment(next, now))));
    }
    row("hand-over", Cell::new(if status.hand_over { CLAIMABLE } else { "none" }));
    row("last used", Cell::new(used(status.last_used_at, now)));
    if let Some(predecessor) = &status.predecessor {
        row("predecessor", Cell::new(overlapping(predecessor, now)));
    }
    if let Some(successor) = &status.successor {
        row("successor", Cell::new(overlapping(successor, now)));
    }
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    render(&table)
}

/// The other key of a rotation, in three lines.
fn overlapping(key: &Overlapping, now: DateTime<Utc>) -> String {
    let end = key.expires_at.map_or_else(
        || "never expires".to_owned(),
        |end| format!("{} {}", if end <= now { "expired" } else { "expires" }, moment(end, now)),
    );
    format!("{}\n{}, {end}\nlast used: {}", key.key_id, key.state, used(key.last_used_at, now))
}

fn used(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| moment(at, now))
}
