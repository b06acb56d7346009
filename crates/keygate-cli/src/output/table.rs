//! Tables: columns in line, no wider than the terminal, and coloured only on one.

use std::io::{stderr, stdout};

use anstream::{AutoStream, ColorChoice};
use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};
use keygate::record::KeyState;

/// Where a table is to be written, which decides on its width and its colours.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A table with these words at the head of its columns.
pub(crate) fn with_header(columns: &[&str], stream: Stream) -> Table {
    let mut table = bare(stream);
    table.set_header(columns.iter().copied().map(head));
    table
}

/// The head of a column.
pub(crate) fn head(word: &str) -> Cell {
    Cell::new(word).add_attribute(Attribute::Bold)
}

/// A table without a head.
pub(crate) fn bare(stream: Stream) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.style_text_only();
    let color = match stream {
        Stream::Out => AutoStream::choice(&stdout()),
        Stream::Err => {
            table.use_stderr();
            AutoStream::choice(&stderr())
        }
    };
    if table.width() == Some(0) {
        // A terminal whose size nobody has set.
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    if color == ColorChoice::Never {
        // To comfy-table a terminal is what has a width and colours both; NO_COLOR takes away the colours alone.
        if let Some(width) = table.width() {
            table.set_width(width);
        }
        table.force_no_tty();
    }
    table
}

/// The table as lines, without spaces at their ends.
pub(crate) fn render(table: &Table) -> String {
    let lines = table.to_string();
    let lines: Vec<&str> = lines.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    lines.join("\n")
}

/// A key's state, in the colour of its meaning.
pub(crate) fn state(state: KeyState) -> Cell {
    let color = match state {
        KeyState::Active => Color::Green,
        KeyState::Inactive => Color::Yellow,
        KeyState::Revoked | KeyState::Expired => Color::Red,
    };
    Cell::new(state).fg(color)
}
