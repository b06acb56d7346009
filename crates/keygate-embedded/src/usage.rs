//! What was counted of requests, and whose batches were taken in.
//!
//! Everything that one call tells is in one transaction with the mark it leads to, so a crash keeps both or neither. An
//! instance calls once a second with all that it has, so the sync is one for many requests.
//!
//! What is kept for a time only has an entry among the ends. Those whose end has come are taken away by whoever writes, a
//! bounded number at a time, but more than come new: so what one write costs does not grow with what is over. Until then
//! nobody is shown them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;
use keygate_core::store::StoreError;
use keygate_core::usage::batch::{Batch, Delta, LastUse, Mark, Writer};
use keygate_core::usage::book::{
    Account, BREAKDOWN_DAYS, DISTINCT_MONTHS, Ranking, WRITER_KNOWN_FOR, is_next, keeps_day, keeps_month, latest,
};
use keygate_core::usage::counts::Counts;
use keygate_core::usage::distinct::Distinct;
use keygate_core::usage::period::{Day, Month};
use keygate_core::usage::series::Series;
use keygate_core::usage::subject::Subject;
use redb::{ReadTransaction, ReadableTable, Table, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::storage;
use crate::tables::{
    Id, RECORDS, USAGE_ADDRESSES, USAGE_DAYS, USAGE_ENDS, USAGE_MARKS, USAGE_RANKINGS, USAGE_SERIES, reading_if_there,
};

/// How many that are over go with one call, besides two for each that comes new.
const SWEPT: usize = 64;
/// The first byte of whatever is written by postcard. Another version has another, and goes on reading this one.
const VERSION: u8 = 1;

/// Counts by a subject's name and the number of a day or a month.
type Periods<'t> = Table<'t, (&'static str, u32), &'static [u8]>;
type Marks<'t> = Table<'t, u64, (u64, i64)>;
type Ends<'t> = Table<'t, (i64, u8, &'static str, u64), ()>;

/// What an entry among the ends is of. The numbers are part of what is stored.
mod kind {
    pub(super) const DAY: u8 = 0;
    pub(super) const ADDRESSES: u8 = 1;
    pub(super) const RANKING: u8 = 2;
    pub(super) const WRITER: u8 = 3;
}

/// The name of a key's figures and of those above it.
fn name_of(subject: &Subject) -> String {
    subject.to_string()
}

/// When what is kept of a day is kept no longer: as [`keeps_day`] says.
fn end_of_day(day: Day) -> i64 {
    Day(day.0.saturating_add(BREAKDOWN_DAYS)).start().timestamp_millis()
}

/// The same of a month, as [`keeps_month`] says.
fn end_of_month(month: Month) -> i64 {
    Month(month.0.saturating_add(DISTINCT_MONTHS)).start().timestamp_millis()
}

fn end_of_writer(said: i64) -> i64 {
    said.saturating_add(WRITER_KNOWN_FOR.num_milliseconds())
}

/// What is kept of a period, and as what it is written.
trait Figures: Default {
    type Written: Serialize + DeserializeOwned;
    fn write(self) -> Self::Written;
    fn read(written: Self::Written) -> Self;
}

impl Figures for Counts {
    type Written = Self;
    fn write(self) -> Self {
        self
    }
    fn read(written: Self) -> Self {
        written
    }
}

impl Figures for Distinct {
    type Written = Self;
    fn write(self) -> Self {
        self
    }
    fn read(written: Self) -> Self {
        written
    }
}

impl Figures for Ranking {
    /// The bytes of the ids, since the ids themselves are written as text, which is twice as long.
    type Written = Vec<([u8; 16], u64)>;
    fn write(self) -> Self::Written {
        self.most_used(usize::MAX).into_iter().map(|(key, count)| (*key.as_bytes(), count)).collect()
    }
    fn read(written: Self::Written) -> Self {
        let mut ranking = Self::default();
        ranking.add(&written.into_iter().map(|(key, count)| (KeyId::from_bytes(key), count)).collect());
        ranking
    }
}

fn encode<T: Figures>(figures: T) -> Result<Vec<u8>, StoreError> {
    postcard::to_extend(&figures.write(), vec![VERSION]).map_err(StoreError::unavailable)
}

fn decode<T: Figures>(what: impl FnOnce() -> String, bytes: &[u8]) -> Result<T, StoreError> {
    let Some((&VERSION, rest)) = bytes.split_first() else {
        return Err(StoreError::damaged(what(), "no version that is known wrote it"));
    };
    postcard::from_bytes(rest).map(T::read).map_err(|error| StoreError::damaged(what(), error))
}

fn decode_series(name: &str, bytes: &[u8]) -> Result<Series, StoreError> {
    let unknown = || StoreError::damaged(format!("figures of {name}"), "no version that is known wrote them");
    Series::decode(bytes).ok_or_else(unknown)
}

/// The mark of a writer, if it is known still.
fn mark_of(
    marks: &impl ReadableTable<u64, (u64, i64)>,
    writer: Writer,
    now: DateTime<Utc>,
) -> Result<Mark, StoreError> {
    let held = marks.get(writer.0).map_err(storage)?;
    let held = held.map(|held| held.value()).filter(|(_, said)| end_of_writer(*said) > now.timestamp_millis());
    Ok(held.map_or(0, |(mark, _)| mark))
}

/// What there is of a writer, and whether any of these batches would change it.
pub(crate) fn look(
    transaction: &ReadTransaction,
    writer: Writer,
    batches: &[Arc<Batch>],
    now: DateTime<Utc>,
) -> Result<(Mark, bool), StoreError> {
    let marks = reading_if_there(transaction, USAGE_MARKS)?;
    let mark = marks.map_or(Ok(0), |marks| mark_of(&marks, writer, now))?;
    Ok((mark, batches.iter().any(|batch| is_next(mark, batch))))
}

/// What came of a call.
pub(crate) struct Recorded {
    pub(crate) mark: Mark,
    /// What could not be read, and so was not added to.
    pub(crate) unreadable: Vec<StoreError>,
}

/// Takes in each batch that comes after what there is of its writer, in order, and says what there is then. Of a subject
/// whose figures cannot be read nothing is taken in, and all else is.
pub(crate) fn record(
    transaction: &WriteTransaction,
    writer: Writer,
    batches: &[Arc<Batch>],
    now: DateTime<Utc>,
) -> Result<Recorded, StoreError> {
    let mut tables = Tables::open(transaction)?;
    let mut mark = mark_of(&tables.marks, writer, now)?;
    let (before, mut unreadable) = (mark, Vec::new());
    for batch in batches {
        if is_next(mark, batch) {
            for (subject, delta) in &batch.deltas {
                if matches!(subject, Subject::Key(id) if !tables.has_record(*id)?) {
                    continue;
                }
                match tables.sums(subject, &delta.until(latest(now)), now) {
                    Ok(sums) => tables.put(subject, sums)?,
                    Err(Trouble::Unreadable(error)) => unreadable.push(error),
                    Err(Trouble::Store(error)) => return Err(error),
                }
            }
            mark = batch.number;
        }
    }
    if mark != before {
        tables.put_mark(writer, mark, now)?;
    }
    tables.sweep(now)?;
    Ok(Recorded { mark, unreadable })
}

/// Erases what was counted of a key.
pub(crate) fn forget(transaction: &WriteTransaction, key: KeyId) -> Result<(), StoreError> {
    let mut tables = Tables::open(transaction)?;
    let name = name_of(&Subject::Key(key));
    tables.series.remove(name.as_str()).map_err(storage)?;
    erase(&mut tables.days, &mut tables.ends, kind::DAY, &name, |day| end_of_day(Day(day)))?;
    erase(&mut tables.addresses, &mut tables.ends, kind::ADDRESSES, &name, |month| end_of_month(Month(month)))
}

/// Erases all periods of a subject, and their ends.
fn erase(
    periods: &mut Periods<'_>,
    ends: &mut Ends<'_>,
    kind: u8,
    name: &str,
    end: impl Fn(u32) -> i64,
) -> Result<(), StoreError> {
    for entry in periods.extract_from_if((name, 0)..=(name, u32::MAX), |_, _| true).map_err(storage)? {
        let (_, number) = entry.map_err(storage)?.0.value();
        ends.remove((end(number), kind, name, u64::from(number))).map_err(storage)?;
    }
    Ok(())
}

/// All tables that usage is in, in one write transaction.
struct Tables<'t> {
    /// Of a key without a record nothing is counted.
    records: Table<'t, Id, &'static [u8]>,
    series: Table<'t, &'static str, &'static [u8]>,
    days: Periods<'t>,
    addresses: Periods<'t>,
    rankings: Periods<'t>,
    marks: Marks<'t>,
    ends: Ends<'t>,
    /// How many ends have come new in this transaction.
    come: usize,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            records: transaction.open_table(RECORDS).map_err(storage)?,
            series: transaction.open_table(USAGE_SERIES).map_err(storage)?,
            days: transaction.open_table(USAGE_DAYS).map_err(storage)?,
            addresses: transaction.open_table(USAGE_ADDRESSES).map_err(storage)?,
            rankings: transaction.open_table(USAGE_RANKINGS).map_err(storage)?,
            marks: transaction.open_table(USAGE_MARKS).map_err(storage)?,
            ends: transaction.open_table(USAGE_ENDS).map_err(storage)?,
            come: 0,
        })
    }

    fn has_record(&self, id: KeyId) -> Result<bool, StoreError> {
        Ok(self.records.get(id.as_bytes()).map_err(storage)?.is_some())
    }

    /// What there is of one subject together with what was counted, none of which is written yet.
    fn sums(&self, subject: &Subject, delta: &Delta, now: DateTime<Utc>) -> Result<Sums, Trouble> {
        let name = name_of(subject);
        let held = self.series.get(name.as_str()).map_err(storage)?;
        let held = held.map(|held| decode_series(&name, held.value())).transpose();
        let mut series = held.map_err(Trouble::Unreadable)?.unwrap_or_default();
        series.add(delta);
        let mut sums = Sums { series: series.encode(), ..Sums::default() };

        let mut days = BTreeMap::<Day, Vec<&Counts>>::new();
        for (hour, counts) in delta.hours.iter().filter(|(hour, _)| keeps_day(hour.day(), now)) {
            days.entry(hour.day()).or_default().push(counts);
        }
        for (day, hours) in days {
            // One after another: what is told apart depends on what there is already.
            let add = |held: &mut Counts| hours.into_iter().for_each(|counts| held.add(counts));
            sums.days.push(sum(&self.days, &name, (day.0, end_of_day(day)), add)?);
        }
        for (month, addresses) in delta.addresses.iter().filter(|(month, _)| keeps_month(**month, now)) {
            let insert = |held: &mut Distinct| addresses.iter().for_each(|address| held.insert(*address));
            sums.addresses.push(sum(&self.addresses, &name, (month.0, end_of_month(*month)), insert)?);
        }
        let Subject::Organization(organization) = subject else { return Ok(sums) };
        for (month, keys) in delta.keys.iter().filter(|(month, _)| keeps_month(**month, now)) {
            let rank = |held: &mut Ranking| held.add(keys);
            sums.rankings.push(sum(&self.rankings, organization.as_str(), (month.0, end_of_month(*month)), rank)?);
        }
        Ok(sums)
    }

    /// Writes what there now is of one subject.
    fn put(&mut self, subject: &Subject, sums: Sums) -> Result<(), StoreError> {
        let name = name_of(subject);
        let Sums { series, days, addresses, rankings } = sums;
        self.series.insert(name.as_str(), series.as_slice()).map_err(storage)?;
        for Sum { number, end, bytes, is_new } in days {
            self.days.insert((name.as_str(), number), bytes.as_slice()).map_err(storage)?;
            self.end(is_new, (end, kind::DAY, &name, number.into()))?;
        }
        for Sum { number, end, bytes, is_new } in addresses {
            self.addresses.insert((name.as_str(), number), bytes.as_slice()).map_err(storage)?;
            self.end(is_new, (end, kind::ADDRESSES, &name, number.into()))?;
        }
        let Subject::Organization(organization) = subject else { return Ok(()) };
        for Sum { number, end, bytes, is_new } in rankings {
            self.rankings.insert((organization.as_str(), number), bytes.as_slice()).map_err(storage)?;
            self.end(is_new, (end, kind::RANKING, organization.as_str(), number.into()))?;
        }
        Ok(())
    }

    fn put_mark(&mut self, writer: Writer, mark: Mark, now: DateTime<Utc>) -> Result<(), StoreError> {
        let said = now.timestamp_millis();
        let before = self.marks.insert(writer.0, (mark, said)).map_err(storage)?.map(|before| before.value().1);
        if let Some(before) = before {
            self.ends.remove((end_of_writer(before), kind::WRITER, "", writer.0)).map_err(storage)?;
        }
        self.end(true, (end_of_writer(said), kind::WRITER, "", writer.0))
    }

    /// Enters the end of what is new.
    fn end(&mut self, is_new: bool, end: (i64, u8, &str, u64)) -> Result<(), StoreError> {
        if is_new {
            self.ends.insert(end, ()).map_err(storage)?;
            self.come += 1;
        }
        Ok(())
    }

    /// Takes away some of what is over.
    fn sweep(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        // What ends in this millisecond is over, so all kinds of it are.
        let over = (i64::MIN, 0, "", 0)..(now.timestamp_millis().saturating_add(1), 0, "", 0);
        let most = SWEPT + 2 * self.come;
        for entry in self.ends.extract_from_if(over, |_, ()| true).map_err(storage)?.take(most) {
            let end = entry.map_err(storage)?.0;
            let (_, kind, name, number) = end.value();
            let period = (name, u32::try_from(number).unwrap_or(u32::MAX));
            match kind {
                kind::DAY => drop(self.days.remove(period).map_err(storage)?),
                kind::ADDRESSES => drop(self.addresses.remove(period).map_err(storage)?),
                kind::RANKING => drop(self.rankings.remove(period).map_err(storage)?),
                _ => drop(self.marks.remove(number).map_err(storage)?),
            }
        }
        Ok(())
    }
}

/// Why there is no sum.
enum Trouble {
    /// What there is cannot be read.
    Unreadable(StoreError),
    Store(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// All that there now is of one subject.
#[derive(Default)]
struct Sums {
    series: Vec<u8>,
    days: Vec<Sum>,
    addresses: Vec<Sum>,
    rankings: Vec<Sum>,
}

/// What there now is of a period, which ends to be kept then.
struct Sum {
    number: u32,
    end: i64,
    bytes: Vec<u8>,
    is_new: bool,
}

fn sum<T: Figures>(
    table: &Periods<'_>,
    name: &str,
    (number, end): (u32, i64),
    change: impl FnOnce(&mut T),
) -> Result<Sum, Trouble> {
    let held = table.get((name, number)).map_err(storage)?;
    let held = held.map(|held| decode(|| what(name, number), held.value())).transpose();
    let held: Option<T> = held.map_err(Trouble::Unreadable)?;
    let is_new = held.is_none();
    let mut value = held.unwrap_or_default();
    change(&mut value);
    Ok(Sum { number, end, bytes: encode(value)?, is_new })
}

fn what(name: &str, number: u32) -> String {
    format!("figures of {name} in the day or month {number}")
}

/// What was counted of a subject, and of these days.
pub(crate) fn account(
    transaction: &ReadTransaction,
    subject: &Subject,
    days: &RangeInclusive<Day>,
    now: DateTime<Utc>,
) -> Result<Option<Account>, StoreError> {
    let name = name_of(subject);
    let Some(all) = reading_if_there(transaction, USAGE_SERIES)? else { return Ok(None) };
    let Some(series) = all.get(name.as_str()).map_err(storage)? else { return Ok(None) };
    let mut account = Account { series: decode_series(&name, series.value())?, ..Account::default() };
    // A range that ends before it begins is of no days; to the table it would be a mistake.
    if let Some(table) = reading_if_there(transaction, USAGE_DAYS)?.filter(|_| !days.is_empty()) {
        let range = (name.as_str(), days.start().0)..=(name.as_str(), days.end().0);
        for entry in table.range(range).map_err(storage)? {
            let (place, counts) = entry.map_err(storage)?;
            let (_, day) = place.value();
            if keeps_day(Day(day), now) {
                account.days.insert(Day(day), decode(|| what(&name, day), counts.value())?);
            }
        }
    }
    if let Some(table) = reading_if_there(transaction, USAGE_ADDRESSES)? {
        for entry in table.range((name.as_str(), 0)..=(name.as_str(), u32::MAX)).map_err(storage)? {
            let (place, addresses) = entry.map_err(storage)?;
            let (_, month) = place.value();
            if keeps_month(Month(month), now) {
                let addresses: Distinct = decode(|| what(&name, month), addresses.value())?;
                account.addresses.insert(Month(month), addresses.len());
            }
        }
    }
    Ok(Some(account))
}

/// When each of these keys was last used.
pub(crate) fn last_uses(transaction: &ReadTransaction, keys: &[KeyId]) -> Result<Vec<Option<LastUse>>, StoreError> {
    let Some(all) = reading_if_there(transaction, USAGE_SERIES)? else { return Ok(vec![None; keys.len()]) };
    let last_use = |key: &KeyId| {
        let series = all.get(name_of(&Subject::Key(*key)).as_str()).map_err(storage)?;
        Ok(series.and_then(|series| Series::decode_last_use(series.value())))
    };
    keys.iter().map(last_use).collect()
}

/// The keys of an organization that were used most in a month.
pub(crate) fn most_used(
    transaction: &ReadTransaction,
    organization: &OrganizationId,
    month: Month,
    limit: usize,
    now: DateTime<Utc>,
) -> Result<Vec<(KeyId, u64)>, StoreError> {
    let table = reading_if_there(transaction, USAGE_RANKINGS)?.filter(|_| keeps_month(month, now));
    let Some(table) = table else { return Ok(Vec::new()) };
    let Some(held) = table.get((organization.as_str(), month.0)).map_err(storage)? else { return Ok(Vec::new()) };
    let ranking: Ranking = decode(|| what(organization.as_str(), month.0), held.value())?;
    Ok(ranking.most_used(limit))
}

/// Whether all that is kept for a time has its end, nothing else has one, and everything can be read: if not, in words.
pub(crate) fn disagreement(transaction: &ReadTransaction) -> Result<Option<String>, StoreError> {
    let Some(ends) = reading_if_there(transaction, USAGE_ENDS)? else { return Ok(None) };
    let mut count = 0_u64;
    if let Some(series) = reading_if_there(transaction, USAGE_SERIES)? {
        for entry in series.iter().map_err(storage)? {
            let (name, bytes) = entry.map_err(storage)?;
            if let Err(error) = decode_series(name.value(), bytes.value()) {
                return Ok(Some(error.to_string()));
            }
        }
    }
    type Reads = fn(&str, u32, &[u8]) -> Result<(), StoreError>;
    fn reads<T: Figures>(name: &str, number: u32, bytes: &[u8]) -> Result<(), StoreError> {
        decode::<T>(|| what(name, number), bytes).map(drop)
    }
    let day = |number| end_of_day(Day(number));
    let month = |number| end_of_month(Month(number));
    let tables: [(_, _, &dyn Fn(u32) -> i64, Reads); 3] = [
        (USAGE_DAYS, kind::DAY, &day, reads::<Counts>),
        (USAGE_ADDRESSES, kind::ADDRESSES, &month, reads::<Distinct>),
        (USAGE_RANKINGS, kind::RANKING, &month, reads::<Ranking>),
    ];
    for (table, kind, end, reads) in tables {
        let Some(table) = reading_if_there(transaction, table)? else { continue };
        for entry in table.iter().map_err(storage)? {
            let (place, bytes) = entry.map_err(storage)?;
            let (name, number) = place.value();
            count += 1;
            if let Err(error) = reads(name, number, bytes.value()) {
                return Ok(Some(error.to_string()));
            }
            if ends.get((end(number), kind, name, u64::from(number))).map_err(storage)?.is_none() {
                return Ok(Some(format!("{} are not kept as ending", what(name, number))));
            }
        }
    }
    if let Some(marks) = reading_if_there(transaction, USAGE_MARKS)? {
        for entry in marks.iter().map_err(storage)? {
            let (writer, held) = entry.map_err(storage)?;
            count += 1;
            let end = end_of_writer(held.value().1);
            if ends.get((end, kind::WRITER, "", writer.value())).map_err(storage)?.is_none() {
                return Ok(Some(format!("the mark of writer {} is not kept as ending", Writer(writer.value()))));
            }
        }
    }
    let ends = ends.iter().map_err(storage)?.count() as u64;
    Ok((count != ends).then(|| format!("{ends} figures and marks are kept as ending, and there are {count}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::IpAddr;

    use keygate_core::denial::DenialReason;
    use keygate_core::usage::batch::LastError;
    use keygate_core::usage::location::Location;
    use keygate_core::usage::outcome::{Answered, Failure, Outcome};
    use keygate_core::usage::period::Hour;

    use super::*;

    /// What version 1 wrote, each kind by its name.
    const GOLDEN_V1: &str = include_str!("../tests/golden/usage_v1.hex");

    fn golden(name: &str) -> Vec<u8> {
        let line = GOLDEN_V1.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap();
        (0..line.len() / 2).map(|byte| u8::from_str_radix(&line[byte * 2..byte * 2 + 2], 16).unwrap()).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(millis).unwrap()
    }

    fn id(number: u8) -> KeyId {
        KeyId::from_bytes([0x01, 0x9a, 0, 0, 0, number, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0x03, number])
    }

    fn counts() -> Counts {
        let mut counts = Counts::default();
        counts.add_outcome(Outcome::Admitted, 300);
        counts.add_outcome(Outcome::Denied(DenialReason::RateLimitExceeded), 2);
        counts.add_answer(Answered::Success, 290);
        counts.add_answer(Answered::ServerError, 10);
        counts.add_endpoint(&"GET /files/{id}".into(), 301);
        counts.add_endpoint(&"POST /ü".into(), 1);
        counts.add_location(Location::new("US-CA").ok(), 200);
        counts.add_location(None, 102);
        counts
    }

    fn series() -> Series {
        let mut series = Series::default();
        for hour in [490_000, 490_001, 490_100] {
            let mut delta = Delta { hours: [(Hour(hour), counts())].into(), ..Delta::default() };
            delta.used(Some(LastUse {
                at: at(1_764_003_600_123),
                address: "2001:db8::1".parse().ok(),
                location: Location::new("US-CA").ok(),
            }));
            delta.failed(Some(LastError {
                at: at(1_764_003_600_122),
                failure: Failure::Denied(DenialReason::RateLimitExceeded),
            }));
            series.add(&delta);
        }
        series
    }

    fn distinct(addresses: u32) -> Distinct {
        let mut distinct = Distinct::default();
        (0..addresses).map(address).for_each(|address| distinct.insert(address));
        distinct
    }

    fn address(number: u32) -> IpAddr {
        let number = number * 0x0101_0101;
        if number.is_multiple_of(2) { number.to_be_bytes().into() } else { u128::from(number).to_be_bytes().into() }
    }

    fn ranking() -> Ranking {
        let mut ranking = Ranking::default();
        ranking.add(&[(id(1), 1_000), (id(2), 7), (id(3), 7)].into());
        ranking
    }

    fn name() -> String {
        "a test".into()
    }

    #[test]
    fn figures_of_version_1_are_readable_for_ever_and_written_the_same() {
        assert_eq!(decode_series("a test", &golden("series")).unwrap(), series());
        assert_eq!(hex(&series().encode()), hex(&golden("series")));
        assert_eq!(decode::<Counts>(name, &golden("counts")).unwrap(), counts());
        assert_eq!(hex(&encode(counts()).unwrap()), hex(&golden("counts")));
        assert_eq!(decode::<Ranking>(name, &golden("ranking")).unwrap(), ranking());
        assert_eq!(hex(&encode(ranking()).unwrap()), hex(&golden("ranking")));
        for (kind, addresses) in [("exact", 3), ("estimate", 65)] {
            let mut held: Distinct = decode(name, &golden(kind)).unwrap();
            assert_eq!(hex(&encode(distinct(addresses)).unwrap()), hex(&golden(kind)), "{kind}");
            // Those that are in it are known in it still.
            (0..addresses).map(address).for_each(|address| held.insert(address));
            assert_eq!(hex(&encode(held).unwrap()), hex(&golden(kind)), "{kind}");
        }
        assert_eq!(decode::<Distinct>(name, &golden("exact")).unwrap().len(), 3);
        assert_eq!(decode::<Ranking>(name, &golden("ranking")).unwrap().most_used(2), [(id(1), 1_000), (id(3), 7)]);
    }

    #[test]
    fn what_no_version_that_is_known_wrote_is_damage() {
        for kind in ["counts", "exact", "ranking"] {
            let mut bytes = golden(kind);
            bytes[0] = 2;
            assert!(matches!(decode::<Counts>(name, &bytes), Err(StoreError::Damaged { .. })), "{kind}");
        }
        assert!(matches!(decode::<Counts>(name, &[]), Err(StoreError::Damaged { .. })));
        assert!(matches!(decode::<Counts>(name, &golden("counts")[..9]), Err(StoreError::Damaged { .. })));
        assert!(matches!(decode_series("a test", &[0, 0, 0, 9]), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn the_ends_are_where_the_model_keeps_no_longer() {
        for now in [at(1_764_547_200_000), at(1_764_547_199_999), at(1_767_225_600_000)] {
            for number in 0..100 {
                let (day, month) = (Day(Day::of(now).0 - number), Month(Month::of(now).0 - number));
                assert_eq!(keeps_day(day, now), end_of_day(day) > now.timestamp_millis(), "{day:?}");
                assert_eq!(keeps_month(month, now), end_of_month(month) > now.timestamp_millis(), "{month:?}");
            }
        }
        assert!(end_of_day(Day(u32::MAX)) > 0 && end_of_month(Month(u32::MAX)) > 0);
    }
}
