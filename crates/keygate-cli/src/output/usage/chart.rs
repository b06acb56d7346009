//! The chart of a series: a bar for each step, or for some steps together where there is no room for each.

use chrono::{DateTime, Datelike, Timelike, Utc};
use keygate::usage::period::Granularity;
use keygate::usage::report::Step;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;
use ratatui_core::symbols::{bar, border};
use ratatui_core::widgets::Widget;
use ratatui_widgets::barchart::{Bar, BarChart, BarGroup};
use ratatui_widgets::block::Block;
use ratatui_widgets::borders::Borders;

use super::scale::Scale;

/// How many lines the highest bar has.
const HEIGHT: u16 = 10;
/// What a line is divided into.
const TICKS: u64 = 8;
/// A bar is no wider than this, that a few of them do not look like a wall.
const WIDEST_BAR: usize = 7;
/// What is between two labels below the bars, at least.
const LABEL_GAP: usize = 2;

/// What a chart is drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Symbols {
    /// Blocks of eighths, and lines.
    Blocks,
    /// What every terminal has.
    Ascii,
}

impl Symbols {
    fn bars(self) -> bar::Set<'static> {
        match self {
            Self::Blocks => bar::NINE_LEVELS,
            Self::Ascii => bar::Set {
                full: "#",
                seven_eighths: ":",
                three_quarters: ":",
                five_eighths: ":",
                half: ":",
                three_eighths: ".",
                one_quarter: ".",
                one_eighth: ".",
                empty: " ",
            },
        }
    }

    fn axes(self) -> border::Set<'static> {
        match self {
            Self::Blocks => border::PLAIN,
            Self::Ascii => border::Set {
                top_left: "+",
                top_right: "+",
                bottom_left: "+",
                bottom_right: "+",
                vertical_left: "|",
                vertical_right: "|",
                horizontal_top: "-",
                horizontal_bottom: "-",
            },
        }
    }
}

/// How many steps a bar is of, how wide it is, and what is between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    steps: usize,
    width: usize,
    gap: usize,
}

impl Layout {
    /// Of so many steps in so many columns.
    fn of(steps: usize, columns: usize) -> Self {
        let together = steps.div_ceil(columns).max(1);
        let bars = steps.div_ceil(together).max(1);
        // The last bar has no gap behind it.
        match (columns + 1) / bars {
            0 | 1 => Self { steps: together, width: 1, gap: 0 },
            pitch => Self { steps: together, width: (pitch - 1).min(WIDEST_BAR), gap: 1 },
        }
    }

    fn pitch(self) -> usize {
        self.width + self.gap
    }
}

/// A chart, and of how many steps each of its bars is.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) lines: String,
    pub(super) steps_of_a_bar: usize,
}

impl Chart {
    /// Of this series, which has at least one request, in so many columns.
    pub(super) fn of(series: &[Step], granularity: Granularity, width: u16, symbols: Symbols) -> Self {
        // Fewer columns make bars of more steps, which are higher, and so may have a longer label beside them.
        let mut label = 1;
        let (layout, scale) = loop {
            let columns = usize::from(width).saturating_sub(label + 2).max(1);
            let layout = Layout::of(series.len(), columns);
            let highest = sums(series, layout.steps).into_iter().max().unwrap_or_default();
            let scale = Scale::up_to(highest);
            if scale.widest() <= label {
                break (layout, scale);
            }
            label = scale.widest();
        };
        let sums = sums(series, layout.steps);
        let used = (sums.len() * layout.pitch()).saturating_sub(layout.gap);
        let left = to_u16(scale.widest() + 1);
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, HEIGHT + 2));
        let area = Rect::new(left, 0, to_u16(used + 1), HEIGHT + 1).intersection(buffer.area);
        draw_bars(&mut buffer, area, &sums, layout, &scale, symbols);
        for (label, level) in scale.labels() {
            let row = HEIGHT - to_u16(usize::from(HEIGHT) * level / 2);
            let label = format!("{label:>width$}", width = scale.widest());
            buffer.set_string(0, row, label, Style::new());
        }
        draw_times(&mut buffer, left + 1, series, granularity, layout);
        Self { lines: to_text(&buffer), steps_of_a_bar: layout.steps }
    }
}

/// The steps of each bar. The last bar has all of its steps, which leaves the first one with what remains.
fn bars(series: &[Step], steps: usize) -> impl Iterator<Item = &[Step]> {
    series.rchunks(steps.max(1)).rev()
}

fn sums(series: &[Step], steps: usize) -> Vec<u64> {
    let sum = |steps: &[Step]| steps.iter().fold(0, |sum: u64, step| sum.saturating_add(step.requests));
    bars(series, steps).map(sum).collect()
}

fn draw_bars(buffer: &mut Buffer, area: Rect, sums: &[u64], layout: Layout, scale: &Scale, symbols: Symbols) {
    let highest = u64::from(HEIGHT) * TICKS;
    let bars: Vec<Bar<'_>> =
        sums.iter().map(|sum| Bar::default().value(scale.ticks(*sum, highest)).text_value("")).collect();
    BarChart::default()
        .block(Block::new().borders(Borders::LEFT | Borders::BOTTOM).border_set(symbols.axes()))
        .data(BarGroup::default().bars(&bars))
        .bar_width(to_u16(layout.width))
        .bar_gap(to_u16(layout.gap))
        .bar_set(symbols.bars())
        .max(highest)
        .render(area, buffer);
}

/// Labels below the bars, as many as there is room for.
fn draw_times(buffer: &mut Buffer, left: u16, series: &[Step], granularity: Granularity, layout: Layout) {
    let widest = granularity_label(granularity, DateTime::UNIX_EPOCH).len();
    let room = |steps: usize| steps * layout.pitch() >= (widest + LABEL_GAP) * layout.steps;
    let fitting = strides(granularity).iter().copied().find(|stride| room(*stride));
    let stride = fitting.unwrap_or_else(|| (1..).find(|stride| room(*stride)).unwrap_or(usize::MAX));
    let mut index = 0;
    let mut free = 0;
    for (number, steps) in bars(series, layout.steps).enumerate() {
        let labelled = steps
            .iter()
            .enumerate()
            .find(|(nth, step)| place(granularity, step.start, index + nth).is_multiple_of(stride));
        index += steps.len();
        let Some((_, step)) = labelled else { continue };
        let label = granularity_label(granularity, step.start);
        let column = usize::from(left) + number * layout.pitch();
        if column >= free && column + label.len() <= usize::from(buffer.area.width) {
            buffer.set_string(to_u16(column), HEIGHT + 1, &label, Style::new());
            free = column + label.len() + 1;
        }
    }
}

/// The distances of labels that read well.
fn strides(granularity: Granularity) -> &'static [usize] {
    match granularity {
        Granularity::Hour => &[1, 2, 3, 4, 6, 12, 24, 48, 96],
        Granularity::Day => &[1, 2, 7, 14, 28, 56, 112],
        Granularity::Month => &[1, 2, 3, 6, 12, 24],
    }
}

/// What has to be a multiple of the stride: hours and months are those of the clock and the calendar.
fn place(granularity: Granularity, start: DateTime<Utc>, index: usize) -> usize {
    match granularity {
        Granularity::Hour => usize::try_from(start.timestamp() / 3_600).unwrap_or(index),
        Granularity::Day => index,
        Granularity::Month => usize::try_from(start.year()).unwrap_or(0) * 12 + start.month0() as usize,
    }
}

/// Where an hour is midnight its day is told.
fn granularity_label(granularity: Granularity, start: DateTime<Utc>) -> String {
    let form = match granularity {
        Granularity::Hour if start.hour() == 0 => "%m-%d",
        Granularity::Hour => "%H:%M",
        Granularity::Day => "%m-%d",
        Granularity::Month => "%Y-%m",
    };
    start.format(form).to_string()
}

fn to_text(buffer: &Buffer) -> String {
    let row = |cells: &[ratatui_core::buffer::Cell]| {
        let line: String = cells.iter().map(ratatui_core::buffer::Cell::symbol).collect();
        line.trim_end().to_owned()
    };
    let lines: Vec<String> = buffer.content.chunks(usize::from(buffer.area.width).max(1)).map(row).collect();
    lines.join("\n")
}

fn to_u16(columns: usize) -> u16 {
    u16::try_from(columns).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_in_a_bar_and_the_bars_fit() {
        for columns in 1..=200 {
            for steps in 1..=400 {
                let layout = Layout::of(steps, columns);
                let bars = steps.div_ceil(layout.steps);
                assert!(bars * layout.pitch() - layout.gap <= columns, "{steps} in {columns}: {layout:?}");
                assert!(layout.width >= 1);
            }
        }
    }

    #[test]
    fn no_line_is_wider_than_it_may_be() {
        for requests in [1, 999, u64::MAX] {
            for width in [20, 21, 40, 79, 80, 200, 1_000] {
                for (granularity, steps) in
                    [(Granularity::Hour, 192), (Granularity::Day, 400), (Granularity::Day, 1), (Granularity::Month, 36)]
                {
                    let mut start = DateTime::UNIX_EPOCH;
                    let series: Vec<Step> = (0..steps)
                        .map(|_| {
                            let step = Step { start, requests };
                            start = granularity.next(start);
                            step
                        })
                        .collect();
                    for symbols in [Symbols::Blocks, Symbols::Ascii] {
                        let Chart { lines, .. } = Chart::of(&series, granularity, width, symbols);
                        let widest = lines.lines().map(|line| line.chars().count()).max();
                        assert!(widest <= Some(usize::from(width)), "{lines}");
                        assert_eq!(lines.lines().count(), usize::from(HEIGHT) + 2, "{lines}");
                        assert!(symbols == Symbols::Blocks || lines.is_ascii(), "{lines}");
                    }
                }
            }
        }
    }
}
