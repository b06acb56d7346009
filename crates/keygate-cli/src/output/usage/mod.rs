//! What keys were used for: a few words, a chart, and tables.

mod chart;
mod scale;
mod tables;

use chrono::{DateTime, TimeDelta, Utc};
use comfy_table::{Cell, ColumnConstraint, Table};
use indicatif::HumanCount;
use keygate::usage::period::Granularity;
use keygate::usage::report::{Failed, UsageReport, Used};

use self::chart::{Chart, Symbols};
use super::table::{Stream, bare, render};
use super::time::{day, moment};
use super::words::safe;
use crate::failure::Failure;

/// The width of a chart that no terminal limits.
const WIDTH: u16 = 80;
/// A chart is no narrower than this, however narrow the terminal.
const NARROWEST: u16 = 20;

/// A report, and how it is to be shown.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    report: &'a UsageReport,
    now: DateTime<Utc>,
    name: Option<&'a str>,
    with_series: bool,
    symbols: Symbols,
    width: Option<u16>,
}

impl<'a> Shown<'a> {
    /// As it suits standard output, without its series as a table.
    pub(crate) fn new(report: &'a UsageReport, now: DateTime<Utc>) -> Self {
        let symbols = match supports_unicode::on(supports_unicode::Stream::Stdout) {
            true => Symbols::Blocks,
            false => Symbols::Ascii,
        };
        Self { report, now, name: None, with_series: false, symbols, width: None }
    }

    /// With the key's name, if it is known.
    pub(crate) fn named(self, name: Option<&'a str>) -> Self {
        Self { name, ..self }
    }

    /// With its series as a table too, or not.
    pub(crate) fn with_series(self, with_series: bool) -> Self {
        Self { with_series, ..self }
    }

    /// With a chart of ASCII alone, or of what standard output takes.
    pub(crate) fn in_ascii(self, in_ascii: bool) -> Self {
        let symbols = if in_ascii { Symbols::Ascii } else { self.symbols };
        Self { symbols, ..self }
    }

    /// No wider than this, or than the terminal.
    pub(crate) fn within(self, width: Option<u16>) -> Self {
        Self { width, ..self }
    }

    /// All of it.
    pub(crate) fn lines(&self) -> String {
        let mut parts = vec![self.head(), self.series()];
        parts.extend(tables::of(self));
        parts.join("\n\n")
    }

    /// A table that is as wide as there is room.
    fn table(&self) -> Table {
        let mut table = bare(Stream::Out);
        if let Some(width) = self.width {
            table.set_width(width);
        }
        table
    }

    /// A text, over several lines where there is no room.
    fn line(&self, text: &str) -> String {
        let mut table = self.table();
        table.add_row([text]);
        render(&table)
    }

    fn head(&self) -> String {
        let UsageReport { organization_id, key_id, user_id, project_id, total, last_used, last_error, .. } =
            self.report;
        let mut table = self.table();
        let mut row = |field: &str, value: String| {
            table.add_row([Cell::new(field), Cell::new(value)]);
        };
        if let Some(key) = key_id {
            row("key id", key.to_string());
        }
        if let Some(name) = self.name {
            row("name", safe(name).into_owned());
        }
        row("organization", organization_id.to_string());
        if let Some(user) = user_id {
            row("user", user.to_string());
        }
        if let Some(project) = project_id {
            row("project", project.to_string());
        }
        row("last used", last_used.as_ref().map_or_else(|| "never".to_owned(), |used| self.used(used)));
        row("last error", last_error.as_ref().map_or_else(|| "none".to_owned(), |failed| self.failed(failed)));
        row("in all", format!("{}, {}", count(total.requests, "request"), count(total.errors, "error")));
        if let Some(column) = table.column_mut(0) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        render(&table)
    }

    fn used(&self, used: &Used) -> String {
        let address = used.address.map(|address| address.to_string());
        let from: Vec<String> =
            address.into_iter().chain(used.location.as_deref().map(|place| safe(place).into_owned())).collect();
        let from = if from.is_empty() { String::new() } else { format!(", from {}", from.join(", ")) };
        format!("{}{from}", moment(used.at, self.now))
    }

    fn failed(&self, failed: &Failed) -> String {
        format!("{}, {}", safe(&failed.reason), moment(failed.at, self.now))
    }

    fn series(&self) -> String {
        let UsageReport { series, granularity, requests, .. } = self.report;
        let of = format!("by {granularity}, {} UTC", self.span());
        if series.is_empty() {
            return self.line("nothing is kept of that time");
        }
        if *requests == 0 {
            return self.line(&format!("no requests {of}"));
        }
        let chart = Chart::of(series, *granularity, self.chart_width(), self.symbols);
        let together = match chart.steps_of_a_bar {
            1 => String::new(),
            steps => format!("; each bar is {steps} {granularity}s"),
        };
        let title = self.line(&format!("{} {of}{together}", count(*requests, "request")));
        format!("{title}\n{}", chart.lines)
    }

    /// The first and the last of the steps, or when hours begin and end.
    fn span(&self) -> String {
        let UsageReport { from, to, granularity, .. } = self.report;
        let last = *to - TimeDelta::milliseconds(1);
        match granularity {
            Granularity::Hour => format!("{} to {}", from.format("%Y-%m-%d %H:%M"), to.format("%Y-%m-%d %H:%M")),
            Granularity::Day => days(*from, *to),
            Granularity::Month => {
                between(from.format("%Y-%m").to_string(), last.max(*from).format("%Y-%m").to_string())
            }
        }
    }

    fn chart_width(&self) -> u16 {
        // A terminal whose size nobody has set is 0 wide.
        let width = self.width.or_else(|| bare(Stream::Out).width().filter(|width| *width > 0));
        width.unwrap_or(WIDTH).max(NARROWEST)
    }
}

/// The first and the last day of those between two times.
fn days(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    between(day(from), day((to - TimeDelta::milliseconds(1)).max(from)))
}

fn between(first: String, last: String) -> String {
    if first == last { first } else { format!("{first} to {last}") }
}

/// `12,345 requests`.
fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", HumanCount(number))
}

/// The series alone, as CSV.
pub(crate) fn series_as_csv(report: &UsageReport) -> Result<String, Failure> {
    let unwritten = |error: &dyn std::fmt::Display| Failure::refused(format!("the series cannot be written: {error}"));
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(["start", "requests"]).map_err(|error| unwritten(&error))?;
    for step in &report.series {
        writer.serialize(step).map_err(|error| unwritten(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| unwritten(&error))?;
    String::from_utf8(bytes).map_err(|error| unwritten(&error))
}

#[cfg(test)]
mod tests;
