//! The tables of a report: what became of requests, from where they came, and which keys made them.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, Table};
use indicatif::HumanCount;
use keygate::usage::period::Granularity;
use keygate::usage::report::{Addresses, Breakdown, KeyUse, Share, Step, UsageReport};

use super::{Shown, count, days};
use crate::output::table::{head, render};
use crate::output::words::safe;

/// How many rows a table of endpoints or locations has.
const MOST_ROWS: usize = 10;

/// All of them that have a row.
pub(super) fn of(shown: &Shown<'_>) -> Vec<String> {
    let report = shown.report;
    let breakdown = &report.breakdown;
    let mut parts = Vec::new();
    if breakdown.requests > 0 {
        parts.push(shown.line(&errors(report)));
    }
    let shares = [
        ("OUTCOME", &breakdown.by_outcome),
        ("STATUS", &breakdown.by_status),
        ("ENDPOINT", &breakdown.by_endpoint),
        ("LOCATION", &breakdown.by_location),
    ];
    parts.extend(shares.into_iter().filter_map(|(head, shares)| by_kind(shown, head, shares)));
    parts.extend(addresses(shown, &report.addresses));
    parts.extend(most_used(shown, &report.most_used));
    if shown.with_series {
        parts.extend(series(shown, &report.series));
    }
    parts
}

/// `1,207 of these were errors (3.5 %)`. What is kept of days may be of fewer, or of more, than the series.
fn errors(report: &UsageReport) -> String {
    let Breakdown { from, to, requests, errors, .. } = report.breakdown;
    let which = match requests == report.requests {
        true => "these".to_owned(),
        false => format!("{} on {}", count(requests, "request"), days(from, to)),
    };
    match errors {
        0 => format!("none of {which} was an error"),
        1 => format!("1 of {which} was an error ({})", part(1, requests)),
        errors => format!("{} of {which} were errors ({})", HumanCount(errors), part(errors, requests)),
    }
}

fn by_kind(shown: &Shown<'_>, kind: &str, shares: &[Share]) -> Option<String> {
    let sum = |shares: &[Share]| shares.iter().fold(0, |sum: u64, share| sum.saturating_add(share.requests));
    let all = sum(shares);
    // A row for the others would take the place of the one that it hides.
    let most = if shares.len() == MOST_ROWS + 1 { shares.len() } else { MOST_ROWS };
    let (first, others) = shares.split_at(most.min(shares.len()));
    let mut rows: Vec<_> = first.iter().map(|share| (safe(&share.name).into_owned(), share.requests)).collect();
    if !others.is_empty() {
        rows.push((format!("({} more)", others.len()), sum(others)));
    }
    let rows = rows.into_iter().map(|(name, requests)| [name, HumanCount(requests).to_string(), part(requests, all)]);
    numbers(shown, [kind, "REQUESTS", "SHARE"], rows, Names::MayBreak)
}

fn addresses(shown: &Shown<'_>, addresses: &[Addresses]) -> Option<String> {
    let rows = addresses.iter().map(|month| {
        // Beyond these they are estimated.
        let about = if month.addresses > 64 { "about " } else { "" };
        [month.month.format("%Y-%m").to_string(), format!("{about}{}", HumanCount(month.addresses))]
    });
    numbers(shown, ["MONTH", "ADDRESSES"], rows, Names::MayBreak)
}

fn most_used(shown: &Shown<'_>, keys: &[KeyUse]) -> Option<String> {
    let rows = keys.iter().map(|key| [key.key_id.to_string(), HumanCount(key.requests).to_string()]);
    let last = shown.report.to - chrono::TimeDelta::milliseconds(1);
    numbers(shown, [&format!("MOST USED IN {}", last.format("%Y-%m")), "REQUESTS"], rows, Names::AreCopied)
}

fn series(shown: &Shown<'_>, series: &[Step]) -> Option<String> {
    let form = match shown.report.granularity {
        Granularity::Hour => "%Y-%m-%d %H:%M",
        Granularity::Day => "%Y-%m-%d",
        Granularity::Month => "%Y-%m",
    };
    let rows = series.iter().map(|step| [step.start.format(form).to_string(), HumanCount(step.requests).to_string()]);
    let name = shown.report.granularity.as_str().to_uppercase();
    numbers(shown, [&name, "REQUESTS"], rows, Names::MayBreak)
}

/// Whether names are broken over lines where there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    MayBreak,
    /// An id is copied and pasted.
    AreCopied,
}

/// A table of names and of numbers, which are never broken over lines. `None` without a row.
fn numbers<const N: usize>(
    shown: &Shown<'_>,
    heads: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    names: Names,
) -> Option<String> {
    let mut table: Table = shown.table();
    table.set_header(heads.map(head));
    rows.for_each(|row| {
        table.add_row(row.map(Cell::new));
    });
    if table.is_empty() {
        return None;
    }
    if let (Names::AreCopied, Some(column)) = (names, table.column_mut(0)) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    Some(render(&table))
}

/// `12.3 %`.
fn part(number: u64, all: u64) -> String {
    let (number, all) = (u128::from(number), u128::from(all.max(1)));
    match (number * 1_000 + all / 2) / all {
        0 if number > 0 => "<0.1 %".to_owned(),
        1_000 if number < all => ">99.9 %".to_owned(),
        thousandths => format!("{}.{} %", thousandths / 10, thousandths % 10),
    }
}
