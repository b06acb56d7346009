//! The rules: pure functions of what is known of a key, what was just counted, and the time. Each says what it measures, and
//! from when on that is unusual.

pub mod dormant;
pub mod error_rate;
pub mod spread;
pub mod unfamiliar;
pub mod volume;
