//! Many keys, a row for each. Columns that a narrow terminal has no room for are left out, the least telling first.

use chrono::{DateTime, Utc};
use comfy_table::{Cell, ColumnConstraint, Table};
use keygate::record::Key;

use super::table::{self, Stream, render};
use super::time::day;
use super::words::safe;
use crate::failure::note;

/// What is between two columns.
const GAP: usize = 2;
/// Text is broken over lines in columns no narrower than this.
const NARROWEST: usize = 14;

/// A column: its head, what a key has in it, and whether its text may be broken over lines. An id may not, as it is
/// copied and pasted.
struct Column {
    head: &'static str,
    text: fn(&Key) -> String,
    breaks: bool,
    /// The widest text so far.
    width: usize,
}

/// The columns from the most to the least telling; the state comes second, as it has a colour.
fn columns() -> Vec<Column> {
    let column = |head: &'static str, breaks, text| Column { head, text, breaks, width: head.len() };
    vec![
        column("KEY ID", false, |key| key.id.to_string()),
        column("USER", true, |key| key.user.to_string()),
        column("EXPIRES", false, |key| key.expires_at.map_or_else(|| "never".to_owned(), day)),
        column("NAME", true, |key| safe(key.name.as_str()).into_owned()),
        column("ENV", false, |key| key.environment.to_string()),
        column("PROJECT", true, |key| key.project.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)),
    ]
}

/// A row for each key.
pub(crate) struct KeyTable {
    columns: Vec<Column>,
    rows: Vec<(Vec<String>, Cell)>,
    states: usize,
    now: DateTime<Utc>,
}

impl KeyTable {
    /// A table without keys, for what they are at `now`.
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        Self { columns: columns(), rows: Vec::new(), states: "STATUS".len(), now }
    }

    /// Whether there is no key in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a key.
    pub(crate) fn add(&mut self, key: &Key) {
        let measure = |column: &mut Column| {
            let text = (column.text)(key);
            column.width = column.width.max(console::measure_text_width(&text));
            text
        };
        let texts = self.columns.iter_mut().map(measure).collect();
        let state = key.state(self.now);
        self.states = self.states.max(state.as_str().len());
        self.rows.push((texts, table::state(state)));
    }

    /// The table as lines, as wide as the terminal at most.
    pub(crate) fn render(&self) -> String {
        let mut table = table::bare(Stream::Out);
        let shown = self.fitting(table.width().map(usize::from));
        let left_out: Vec<&str> = self.columns[shown..].iter().map(|column| column.head).collect();
        if !left_out.is_empty() {
            note(format!(
                "there is no room for {}; a wider terminal, keys show and --json have it",
                left_out.join(", ")
            ));
        }
        self.fill(&mut table, shown);
        render(&table)
    }

    /// How many columns have room. The first two always do: something has to be shown.
    fn fitting(&self, width: Option<usize>) -> usize {
        let Some(width) = width else { return self.columns.len() };
        let needs = |column: &Column| GAP + if column.breaks { column.width.min(NARROWEST) } else { column.width };
        let mut taken = self.states;
        let fits = |column: &&Column| {
            taken += needs(column);
            taken <= width
        };
        self.columns.iter().take_while(fits).count().max(2)
    }

    fn fill(&self, table: &mut Table, shown: usize) {
        let shown_columns = &self.columns[..shown];
        let mut heads: Vec<&str> = shown_columns.iter().map(|column| column.head).collect();
        heads.insert(1, "STATUS");
        table.set_header(heads.into_iter().map(table::head));
        for (texts, state) in &self.rows {
            let mut cells: Vec<Cell> = texts[..shown].iter().map(Cell::new).collect();
            cells.insert(1, state.clone());
            table.add_row(cells);
        }
        let mut whole: Vec<bool> = shown_columns.iter().map(|column| !column.breaks).collect();
        whole.insert(1, true);
        for (column, whole) in table.column_iter_mut().zip(whole) {
            if whole {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
    }
}
