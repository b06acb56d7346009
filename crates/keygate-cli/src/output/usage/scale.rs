//! What the height of a chart stands for: a round number, and how it is written.

/// Tenths of the round numbers, before their zeros. Beyond the first one so are their halves.
const ROUND: [u128; 10] = [10, 12, 16, 20, 30, 40, 50, 60, 80, 100];
const UNITS: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];

/// The scale of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scale {
    top: u128,
}

impl Scale {
    /// With the next round number that is as high as this.
    pub(super) fn up_to(highest: u64) -> Self {
        let highest = u128::from(highest.max(1));
        let mut ten = 1;
        loop {
            let fitting = ROUND.into_iter().map(|tenths| (tenths * ten, tenths * ten / 10));
            let whole = fitting.filter(|(tenths, _)| tenths % 10 == 0).map(|(_, top)| top);
            if let Some(top) = whole.into_iter().find(|top| *top >= highest) {
                return Self { top };
            }
            ten *= 10;
        }
    }

    /// How high a number is, where the whole height is so many ticks. What is not nothing is seen.
    pub(super) fn ticks(&self, number: u64, height: u64) -> u64 {
        let ticks = (u128::from(number) * u128::from(height)).div_ceil(self.top);
        u64::try_from(ticks).unwrap_or(height).min(height)
    }

    /// The numbers beside the axis, each with how many halves of the height it is at.
    pub(super) fn labels(&self) -> Vec<(String, usize)> {
        let mut labels = vec![(short(self.top), 2), (short(0), 0)];
        if self.top.is_multiple_of(2) {
            labels.push((short(self.top / 2), 1));
        }
        labels
    }

    /// The width of the widest of them.
    pub(super) fn widest(&self) -> usize {
        self.labels().iter().map(|(label, _)| label.len()).max().unwrap_or_default()
    }
}

/// `1.2k`: of a number that has two digits and zeros.
fn short(number: u128) -> String {
    let (mut number, mut tenths, mut unit) = (number, 0, 0);
    while number >= 1_000 && unit + 1 < UNITS.len() {
        tenths = number % 1_000 / 100;
        number /= 1_000;
        unit += 1;
    }
    let unit = UNITS[unit];
    if tenths == 0 { format!("{number}{unit}") } else { format!("{number}.{tenths}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(highest: u64) -> String {
        let mut labels = Scale::up_to(highest).labels();
        labels.sort_by_key(|(_, level)| *level);
        labels.into_iter().map(|(label, _)| label).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_axis_ends_with_a_round_number() {
        for (highest, words) in [
            (0, "0 1"),
            (1, "0 1"),
            (2, "0 1 2"),
            (3, "0 3"),
            (7, "0 4 8"),
            (11, "0 6 12"),
            (21, "0 15 30"),
            (99, "0 50 100"),
            (1_001, "0 600 1.2k"),
            (2_100, "0 1.5k 3k"),
            (41_000, "0 25k 50k"),
            (999_999, "0 500k 1M"),
            (u64::MAX, "0 10E 20E"),
        ] {
            assert_eq!(labels(highest), words, "{highest}");
        }
    }

    #[test]
    fn what_is_there_is_seen_and_nothing_is_too_high() {
        for highest in [1, 2, 1_000, u64::MAX] {
            let scale = Scale::up_to(highest);
            assert_eq!((scale.ticks(0, 80), scale.ticks(1, 80) >= 1), (0, true));
            assert!(scale.ticks(highest, 80) <= 80 && scale.ticks(highest, 80) > 40);
        }
    }
}
