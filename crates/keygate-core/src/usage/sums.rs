//! How many requests came to what, and were answered how.

use serde::{Deserialize, Serialize};

use super::outcome::{ANSWERS, Answered, OUTCOMES, Outcome};

/// Sums by outcome and by answer, each at its place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sums {
    outcomes: [u64; OUTCOMES],
    answers: [u64; ANSWERS],
}

fn add(sum: &mut u64, count: u64) {
    *sum = sum.saturating_add(count);
}

impl Sums {
    pub(super) fn requests(&self) -> u64 {
        self.outcomes.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    pub(super) fn errors(&self) -> u64 {
        let denied = self.requests() - self.outcomes[0];
        let errors = self.answers().filter(|(answered, _)| answered.is_error());
        errors.fold(denied, |sum, (_, count)| sum.saturating_add(count))
    }

    pub(super) fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> + use<> {
        Outcome::ALL.into_iter().zip(self.outcomes).filter(|(_, count)| *count > 0)
    }

    pub(super) fn answers(&self) -> impl Iterator<Item = (Answered, u64)> + use<> {
        Answered::ALL.into_iter().zip(self.answers).filter(|(_, count)| *count > 0)
    }

    pub(super) fn add_outcome(&mut self, outcome: Outcome, count: u64) {
        outcome.place().and_then(|place| self.outcomes.get_mut(place)).into_iter().for_each(|sum| add(sum, count));
    }

    pub(super) fn add_answer(&mut self, answered: Answered, count: u64) {
        self.answers.get_mut(answered.place()).into_iter().for_each(|sum| add(sum, count));
    }

    pub(super) fn add(&mut self, others: &Self) {
        self.numbers_mut().zip(others.numbers()).for_each(|(sum, count)| add(sum, *count));
    }

    /// Outcomes and then answers, each in the order of their places.
    pub(super) fn numbers(&self) -> impl Iterator<Item = &u64> {
        self.outcomes.iter().chain(&self.answers)
    }

    pub(super) fn numbers_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        self.outcomes.iter_mut().chain(&mut self.answers)
    }
}
