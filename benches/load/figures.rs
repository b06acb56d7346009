//! Medians, and tables of them.

/// Figures of the same thing, in order.
pub struct Figures(Vec<f64>);

impl Figures {
    pub fn new(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        assert!(!figures.is_empty(), "nothing was measured");
        Self(figures)
    }

    /// The figure that this share of all is not above.
    pub fn quantile(&self, share: f64) -> f64 {
        let place = (share * self.0.len() as f64).ceil() as usize;
        self.0[place.saturating_sub(1).min(self.0.len() - 1)]
    }

    pub fn least(&self) -> f64 {
        self.0[0]
    }

    pub fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 { self.0[middle] } else { f64::midpoint(self.0[middle - 1], self.0[middle]) }
    }

    pub fn most(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    /// Least, median and most as three cells.
    pub fn cells(&self, digits: usize) -> [String; 3] {
        [self.least(), self.median(), self.most()].map(|figure| format!("{figure:.digits$}"))
    }
}

/// Lines of cells, the first of them the names of the columns. All columns but the first are numbers.
pub struct Table(Vec<Vec<String>>);

impl Table {
    pub fn new<const N: usize>(columns: [&str; N]) -> Self {
        Self(vec![columns.map(str::to_owned).to_vec()])
    }

    pub fn line(&mut self, what: impl Into<String>, cells: impl IntoIterator<Item = String>) {
        self.0.push(std::iter::once(what.into()).chain(cells).collect());
    }

    pub fn print(&self) {
        let columns = self.0[0].len();
        let width = |column: usize| self.0.iter().filter_map(|line| line.get(column)).map(String::len).max().unwrap();
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (nth, line) in self.0.iter().enumerate() {
            let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
            if nth == 0 {
                let rules = widths
                    .iter()
                    .enumerate()
                    .map(|(column, width)| if column == 0 { "-".repeat(*width) } else { "-".repeat(width - 1) + ":" });
                println!("| {} |", rules.collect::<Vec<_>>().join(" | "));
            }
        }
        println!();
    }
}
