//! What is kept of one subject for as long as it is used: totals, and how many requests there were in each of the last hours,
//! days and months.
//!
//! It is written down in [`LENGTH`] bytes, each number at its place, so that a store can add to it where it is. Every number
//! is big-endian:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | version: 1 |
//! | 4 | 4 | the newest [`Hour`] there is |
//! | 8 | 4 | the newest [`Day`] |
//! | 12 | 4 | the newest [`Month`] |
//! | 16 | 8 | last used, in milliseconds since 1970; 0 is never |
//! | 24 | 1 | bytes of the address it was used from: 0, 4 or 16 |
//! | 25 | 16 | that address, at the front |
//! | 41 | 16 | the location it was used from, zeros after it |
//! | 57 | 8 | last error, in milliseconds since 1970; 0 is never |
//! | 65 | 1 | the [code](super::outcome::Failure::code) of that error |
//! | 66 | 6 | nothing yet |
//! | 72 | 16 × 8 | requests by [place](super::outcome::Outcome::place) of their outcome |
//! | 200 | 8 × 8 | requests by [place](super::outcome::Answered::place) of their answer |
//! | 264 | 36 × 8 | requests of each month, at the place of its number modulo 36 |
//! | 552 | 192 × 4 | requests of each hour, likewise |
//! | 1320 | 400 × 4 | requests of each day, likewise |

use std::net::IpAddr;

use chrono::DateTime;

use super::batch::{Delta, LastError, LastUse};
use super::location::{Location, MAX_LOCATION_BYTES};
use super::outcome::{Answered, Failure, Outcome};
use super::period::{Day, Hour, Month};
use super::sums::Sums;

/// How many hours are kept.
pub const HOURS: usize = 192;
/// How many days are kept.
pub const DAYS: usize = 400;
/// How many months are kept.
pub const MONTHS: usize = 36;
/// The length of what is written, in bytes.
pub const LENGTH: usize = 2_920;
/// The greatest number of a total and of a month: what the least of the stores can count to.
pub const MAX_COUNT: u64 = i64::MAX as u64;

const VERSION: u32 = 1;

/// The last so many periods. What is older goes as newer ones come.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ring<T, const N: usize> {
    newest: u32,
    counts: [T; N],
}

impl<T: Copy + Default, const N: usize> Default for Ring<T, N> {
    fn default() -> Self {
        Self { newest: 0, counts: [T::default(); N] }
    }
}

impl<T: Copy + Default, const N: usize> Ring<T, N> {
    fn place(number: u32) -> usize {
        number as usize % N
    }

    /// The count of a period, to add to; `None` where it is too old to be counted.
    fn at(&mut self, number: u32) -> Option<&mut T> {
        if number > self.newest {
            for skipped in (self.newest + 1..=number).rev().take(N) {
                self.counts[Self::place(skipped)] = T::default();
            }
            self.newest = number;
        }
        self.keeps(number).then(|| &mut self.counts[Self::place(number)])
    }

    fn keeps(&self, number: u32) -> bool {
        number <= self.newest && (self.newest - number) < N as u32
    }

    fn get(&self, number: u32) -> T {
        if self.keeps(number) { self.counts[Self::place(number)] } else { T::default() }
    }

    /// Those that are counted, the oldest first.
    fn numbers(&self) -> impl Iterator<Item = (u32, T)> {
        let oldest = self.newest.saturating_sub(N as u32 - 1);
        (oldest..=self.newest).map(|number| (number, self.get(number)))
    }
}

/// Totals, and the last hours, days and months, of one subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Series {
    /// When it was last used.
    pub last_use: Option<LastUse>,
    /// Its last error.
    pub last_error: Option<LastError>,
    sums: Sums,
    months: Ring<u64, MONTHS>,
    hours: Ring<u32, HOURS>,
    days: Ring<u32, DAYS>,
}

impl Series {
    /// Adds what was counted.
    pub fn add(&mut self, delta: &Delta) {
        LastUse::keep_later(&mut self.last_use, delta.last_use);
        LastError::keep_later(&mut self.last_error, delta.last_error);
        for (hour, counts) in &delta.hours {
            self.sums.add(counts.sums());
            let requests = counts.requests();
            let few = u32::try_from(requests).unwrap_or(u32::MAX);
            if let Some(sum) = self.hours.at(hour.0) {
                *sum = sum.saturating_add(few);
            }
            if let Some(sum) = self.days.at(hour.day().0) {
                *sum = sum.saturating_add(few);
            }
            if let Some(sum) = self.months.at(hour.month().0) {
                *sum = sum.saturating_add(requests).min(MAX_COUNT);
            }
        }
        self.sums.numbers_mut().for_each(|sum| *sum = (*sum).min(MAX_COUNT));
    }

    /// All requests there ever were.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.sums.requests()
    }

    /// All that were denied, or answered 4xx or 5xx.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.sums.errors()
    }

    /// How many ever came to what.
    pub fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> {
        self.sums.outcomes()
    }

    /// How many were ever answered how.
    pub fn answers(&self) -> impl Iterator<Item = (Answered, u64)> {
        self.sums.answers()
    }

    /// The hours that are kept, the oldest first.
    pub fn hours(&self) -> impl Iterator<Item = (Hour, u64)> {
        self.hours.numbers().map(|(number, count)| (Hour(number), u64::from(count)))
    }

    /// The days that are kept, the oldest first.
    pub fn days(&self) -> impl Iterator<Item = (Day, u64)> {
        self.days.numbers().map(|(number, count)| (Day(number), u64::from(count)))
    }

    /// The months that are kept, the oldest first.
    pub fn months(&self) -> impl Iterator<Item = (Month, u64)> {
        self.months.numbers().map(|(number, count)| (Month(number), count))
    }

    /// Written down, as the [module docs](self) say.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LENGTH);
        for number in [VERSION, self.hours.newest, self.days.newest, self.months.newest] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(encode_last_use(self.last_use));
        bytes.extend(encode_last_error(self.last_error));
        bytes.extend([0; 6]);
        let longs = self.sums.numbers().chain(&self.months.counts);
        bytes.extend(longs.flat_map(|count| count.to_be_bytes()));
        bytes.extend(self.hours.counts.iter().chain(&self.days.counts).flat_map(|count| count.to_be_bytes()));
        bytes
    }

    /// Read back. What is missing at the end is nothing. `None` where it was written by no version that is known.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.short() != VERSION {
            return None;
        }
        let newest = [reader.short(), reader.short(), reader.short()];
        let mut series = Self { last_use: reader.last_use(), last_error: reader.last_error(), ..Self::default() };
        let _nothing_yet: [u8; 6] = reader.bytes();
        let longs = series.sums.numbers_mut().chain(&mut series.months.counts);
        longs.for_each(|count| *count = reader.long());
        series.hours.counts.iter_mut().chain(&mut series.days.counts).for_each(|count| *count = reader.short());
        [series.hours.newest, series.days.newest, series.months.newest] = newest;
        Some(series)
    }

    /// When it was last used, out of the first bytes of what was written.
    #[must_use]
    pub fn decode_last_use(bytes: &[u8]) -> Option<LastUse> {
        Reader(bytes.get(16..)?).last_use()
    }
}

/// When a subject was last used, as it is written from byte 16 on.
#[must_use]
pub fn encode_last_use(last: Option<LastUse>) -> [u8; 41] {
    let mut bytes = [0; 41];
    let Some(LastUse { at, address, location }) = last else { return bytes };
    bytes[..8].copy_from_slice(&at.timestamp_millis().to_be_bytes());
    match address {
        Some(IpAddr::V4(address)) => {
            bytes[8] = 4;
            bytes[9..13].copy_from_slice(&address.octets());
        }
        Some(IpAddr::V6(address)) => {
            bytes[8] = 16;
            bytes[9..25].copy_from_slice(&address.octets());
        }
        None => {}
    }
    if let Some(location) = location {
        bytes[25..].copy_from_slice(&location.to_bytes());
    }
    bytes
}

/// The last error of a subject, as it is written from byte 57 on.
#[must_use]
pub fn encode_last_error(last: Option<LastError>) -> [u8; 9] {
    let mut bytes = [0; 9];
    if let Some(LastError { at, failure }) = last {
        bytes[..8].copy_from_slice(&at.timestamp_millis().to_be_bytes());
        bytes[8] = failure.code();
    }
    bytes
}

/// Reads what was written; beyond its end there are zeros.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let (front, rest) = self.0.split_at(N.min(self.0.len()));
        bytes[..front.len()].copy_from_slice(front);
        self.0 = rest;
        bytes
    }

    fn short(&mut self) -> u32 {
        u32::from_be_bytes(self.bytes())
    }

    fn long(&mut self) -> u64 {
        u64::from_be_bytes(self.bytes())
    }

    fn last_use(&mut self) -> Option<LastUse> {
        let at = i64::from_be_bytes(self.bytes());
        let [length] = self.bytes();
        let address: [u8; 16] = self.bytes();
        let [a, b, c, d, ..] = address;
        let address = match length {
            4 => Some(IpAddr::from([a, b, c, d])),
            16 => Some(IpAddr::from(address)),
            _ => None,
        };
        let location: [u8; MAX_LOCATION_BYTES] = self.bytes();
        let end = location.iter().position(|b| *b == 0).unwrap_or(MAX_LOCATION_BYTES);
        let location = std::str::from_utf8(&location[..end]).ok().and_then(|text| Location::new(text).ok());
        let at = DateTime::from_timestamp_millis(at).filter(|_| at != 0)?;
        Some(LastUse { at, address, location })
    }

    fn last_error(&mut self) -> Option<LastError> {
        let at = i64::from_be_bytes(self.bytes());
        let [code] = self.bytes();
        let at = DateTime::from_timestamp_millis(at).filter(|_| at != 0)?;
        Some(LastError { at, failure: Failure::of_code(code)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::counts::Counts;

    fn requests(hour: u32, count: u64) -> Delta {
        let mut counts = Counts::default();
        counts.add_outcome(Outcome::Admitted, count);
        counts.add_answer(Answered::Success, count);
        Delta { hours: [(Hour(hour), counts)].into(), ..Delta::default() }
    }

    #[test]
    fn what_is_written_is_read_back_and_has_its_length() {
        let mut series = Series::default();
        let at = DateTime::from_timestamp_millis(1_700_000_000_123);
        for (hour, address) in [(480_000, "10.1.2.3"), (480_001, "2001:db8::1")] {
            let mut delta = requests(hour, u64::from(hour));
            delta.used(at.map(|at| LastUse {
                at: at + chrono::TimeDelta::hours(i64::from(hour)),
                address: address.parse().ok(),
                location: Location::new("DE").ok(),
            }));
            delta.failed(at.map(|at| LastError { at, failure: Failure::Answered(Answered::ServerError) }));
            series.add(&delta);
            let bytes = series.encode();
            assert_eq!(bytes.len(), LENGTH);
            assert_eq!(Series::decode(&bytes).as_ref(), Some(&series));
            assert_eq!(Series::decode_last_use(&bytes[..57]), series.last_use);
        }
        assert_eq!(Series::decode(&[0, 0, 0, 2]), None);
        assert_eq!(Series::decode(b""), None);
        assert_eq!(Series::decode(&[0, 0, 0, 1]), Some(Series::default()));
    }

    #[test]
    fn what_is_too_old_for_hours_is_still_in_its_day() {
        let mut series = Series::default();
        series.add(&requests(480_000, 1));
        series.add(&requests(480_000 - 192, 1));
        series.add(&requests(480_000 - 191, 1));
        assert_eq!(series.hours().map(|(_, count)| count).sum::<u64>(), 2);
        assert_eq!(series.days().map(|(_, count)| count).sum::<u64>(), 3);
        assert_eq!(series.requests(), 3);
        series.add(&requests(480_000 + 192 * 100, 5));
        assert_eq!(series.hours().map(|(_, count)| count).sum::<u64>(), 5);
    }

    #[test]
    fn nothing_is_too_many() {
        let mut series = Series::default();
        for _ in 0..3 {
            series.add(&requests(u32::MAX, u64::MAX));
        }
        let _ = (series.requests(), series.errors(), series.encode());
        assert_eq!(series.hours().last(), Some((Hour(u32::MAX), u64::from(u32::MAX))));
        assert_eq!(Series::decode(&series.encode()), Some(series));
    }
}
