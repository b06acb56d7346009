//! Findings, a row for each.

use comfy_table::{Cell, ColumnConstraint};
use keygate::anomaly::Finding;

use super::table::{Stream, bare, head, render as lines};
use super::words::safe;
use crate::desk::Whose;

/// From this width on ids of keys have a column of their own.
const WIDE: u16 = 120;

/// The table as lines, as wide as the terminal at most. Whose keys they are of is said of an organization's alone: above the
/// sentence where there is little room.
pub(crate) fn render(findings: &[Finding], whose: &Whose) -> String {
    let mut table = bare(Stream::Out);
    let of_many = matches!(whose, Whose::Organization(_));
    let has_column = of_many && table.width().is_none_or(|width| width >= WIDE);
    let mut heads = vec!["FOUND (UTC)", "RULE", "WHAT"];
    if has_column {
        heads.insert(2, "KEY ID");
    }
    let whole = heads.len() - 1;
    table.set_header(heads.into_iter().map(head));
    for finding in findings {
        let Finding { rule, key_id, at, detail, .. } = finding;
        let mut row = vec![at.format("%Y-%m-%d %H:%M:%S").to_string(), rule.to_string()];
        let detail = safe(detail);
        if has_column {
            row.push(key_id.to_string());
        }
        row.push(if of_many && !has_column { format!("{key_id}\n{detail}") } else { detail.into_owned() });
        table.add_row(row.into_iter().map(Cell::new));
    }
    for column in table.column_iter_mut().take(whole) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    lines(&table)
}
