//! How batches are written for the script.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use keygate_core::key::Bucket;
use keygate_core::store::StoreError;
use keygate_core::usage::batch::{Batch, Delta};
use keygate_core::usage::book::{BREAKDOWN_DAYS, DISTINCT_MONTHS};
use keygate_core::usage::counts::{Counts, OTHER};
use keygate_core::usage::period::{Day, Hour, Month};
use keygate_core::usage::series::{DAYS, HOURS, MAX_COUNT, MONTHS, encode_last_error, encode_last_use};
use keygate_core::usage::subject::Subject;

use super::packed::Packed;
use crate::layout::Layout;
use crate::link::{Call, Script};

/// Addresses in one lot: what Lua unpacks at once.
const LOT: usize = 1_000;
/// Of what is before the rows of a batch, and of each row.
const HEAD: usize = 6;
const ROW: usize = 7;

/// Where a series has things, in numbers of what is there: its table is in
/// [`series`](keygate_core::usage::series).
const OUTCOMES_AT: usize = 72 / 8;
const ANSWERS_AT: usize = 200 / 8;
const MONTHS_AT: usize = 264 / 8;
const HOURS_AT: usize = 552 / 4;
const DAYS_AT: usize = 1_320 / 4;

/// A call with these batches, in which nothing is later than `latest`, if that is known.
///
/// # Errors
/// When a subject is of another bucket: the caller erred.
pub(super) fn written(
    script: &'static Script,
    layout: &Layout,
    bucket: Bucket,
    mark: &str,
    batches: &[&Batch],
    latest: Option<DateTime<Utc>>,
) -> Result<Call, StoreError> {
    let stray =
        batches.iter().flat_map(|batch| &batch.deltas).find(|(subject, _)| Layout::usage_bucket(subject) != bucket);
    if let Some((subject, _)) = stray {
        return Err(StoreError::damaged(format!("what was counted of {subject}"), "a batch is of one bucket"));
    }
    let packed = Packed::of(batches.len());
    let mut writer = Writer { layout, names: vec![mark.to_owned()], packed, digits: String::new() };
    batches.iter().for_each(|batch| writer.batch(batch, latest));
    Ok(script.call(writer.names).arg(writer.packed.finish()))
}

struct Writer<'a> {
    layout: &'a Layout,
    names: Vec<String>,
    packed: Packed,
    /// To write numbers in.
    digits: String,
}

impl Writer<'_> {
    fn batch(&mut self, batch: &Batch, latest: Option<DateTime<Utc>>) {
        let until = |delta| latest.map_or(Cow::Borrowed(delta), |latest| Delta::until(delta, latest));
        let deltas: Vec<(&Subject, Cow<'_, Delta>)> =
            batch.deltas.iter().map(|(subject, delta)| (subject, until(delta))).collect();
        let hours = deltas.iter().flat_map(|(_, delta)| delta.hours.keys().copied());
        let mut rows: BTreeMap<Hour, usize> = hours.map(|hour| (hour, 0)).collect();
        rows.values_mut().enumerate().for_each(|(place, row)| *row = HEAD + 1 + place * ROW);
        self.packed.begin();
        self.packed.text(&batch.after.to_be_bytes());
        self.packed.text(&batch.number.to_be_bytes());
        self.packed.length(self.names.len() + 1);
        self.packed.length(HEAD + 1 + rows.len() * ROW);
        self.packed.length(batch.deltas.len());
        let latest = deltas.iter().filter_map(|(_, delta)| delta.latest()).max();
        self.packed.number(latest.map_or(0, |latest| latest.timestamp_millis()));
        rows.keys().for_each(|hour| self.row(*hour));
        let mut seen = HashSet::with_capacity(batch.deltas.len());
        for (subject, delta) in &deltas {
            let again = !seen.insert(subject);
            self.subject(subject, delta, again, &rows);
        }
        self.packed.end();
    }

    fn row(&mut self, hour: Hour) {
        let (day, month) = (hour.day(), hour.month());
        [hour.0, day.0, month.0].into_iter().for_each(|number| self.packed.number(number));
        self.packed.number(Day(day.0.saturating_add(BREAKDOWN_DAYS)).start().timestamp_millis());
        self.place(HOURS_AT + hour.0 as usize % HOURS);
        self.place(DAYS_AT + day.0 as usize % DAYS);
        self.place(MONTHS_AT + month.0 as usize % MONTHS);
    }

    fn subject(&mut self, subject: &Subject, delta: &Delta, again: bool, rows: &BTreeMap<Hour, usize>) {
        let first = self.names.len();
        self.names.push(self.layout.usage(subject));
        self.packed.number(again);
        let record = match subject {
            Subject::Key(id) => Some(self.layout.record(*id)),
            _ => None,
        };
        self.packed.number(record.is_some());
        self.names.extend(record);
        let (names, next) = (self.packed.later(), self.packed.later());
        self.packed.length(delta.hours.len());
        let mut before = None;
        for (hour, counts) in &delta.hours {
            let day = hour.day();
            self.names.push(self.layout.usage_day(subject, day));
            self.packed.length(rows.get(hour).copied().unwrap_or_default());
            self.packed.number(again || before.replace(day) == Some(day));
            self.counts(counts);
        }
        let lots = delta.addresses.iter().flat_map(|(month, addresses)| {
            let addresses: Vec<&IpAddr> = addresses.iter().collect();
            let lots = addresses.chunks(LOT).map(<[&IpAddr]>::to_vec).enumerate();
            lots.map(|(place, lot)| (*month, place > 0, lot)).collect::<Vec<_>>()
        });
        let lots: Vec<_> = lots.collect();
        self.packed.length(lots.len());
        for (month, is_later, lot) in lots {
            self.names.push(self.layout.usage_addresses(subject, month));
            self.names.push(self.layout.usage_estimate(subject, month));
            self.month_end(month);
            self.packed.number(again || is_later);
            self.packed.length(lot.len());
            lot.into_iter().for_each(|address| self.address(*address));
        }
        self.packed.length(delta.keys.len());
        for (month, keys) in &delta.keys {
            self.names.push(self.layout.usage_ranking(subject, *month));
            self.month_end(*month);
            self.packed.length(keys.len());
            keys.keys().for_each(|key| self.packed.text(key.as_bytes()));
            keys.values().for_each(|count| self.count(*count));
        }
        self.last(delta.last_use.map(|last| last.at), &encode_last_use(delta.last_use));
        self.last(delta.last_error.map(|last| last.at), &encode_last_error(delta.last_error));
        self.packed.fill(names, self.names.len() - first);
        self.packed.fill(next, self.packed.items() + 1);
    }

    /// Totals before what may be counted as [`OTHER`], each part as [`Counts::add`] goes through it.
    fn counts(&mut self, counts: &Counts) {
        let outcomes: Vec<_> =
            counts.outcomes().filter_map(|(outcome, count)| Some((outcome.place()?, count))).collect();
        let answers: Vec<_> = counts.answers().map(|(answered, count)| (answered.place(), count)).collect();
        let endpoints: Vec<_> = counts.endpoints().filter(|(_, count)| *count > 0).collect();
        let locations: Vec<_> = counts.locations().filter(|(_, count)| *count > 0).collect();
        let totals = outcomes.len() + answers.len();
        self.count(counts.requests());
        self.packed.length(totals + endpoints.len() + locations.len());
        self.packed.length(totals);
        outcomes.iter().for_each(|(place, _)| self.field(format_args!("o{place}")));
        answers.iter().for_each(|(place, _)| self.field(format_args!("a{place}")));
        endpoints.iter().for_each(|(endpoint, _)| self.field(format_args!("e{endpoint}")));
        // A location of that name is told apart from none no more than in what is told of either.
        for (location, _) in &locations {
            self.field(format_args!("l{}", if *location == OTHER { "" } else { location }));
        }
        outcomes.iter().chain(&answers).for_each(|(_, count)| self.count(*count));
        endpoints.iter().chain(&locations).for_each(|(_, count)| self.count(*count));
        outcomes.iter().for_each(|(place, _)| self.place(OUTCOMES_AT + place));
        answers.iter().for_each(|(place, _)| self.place(ANSWERS_AT + place));
    }

    fn month_end(&mut self, month: Month) {
        self.packed.number(Month(month.0.saturating_add(DISTINCT_MONTHS)).start().timestamp_millis());
    }

    fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.field(format_args!("{}", address.to_bits())),
            IpAddr::V6(address) => self.packed.text(&address.octets()),
        }
    }

    fn last(&mut self, at: Option<DateTime<Utc>>, bytes: &[u8]) {
        match at.map_or(0, |at| at.timestamp_millis()) {
            0 => self.packed.number(0),
            at => {
                self.packed.number(at);
                self.packed.text(bytes);
            }
        }
    }

    /// A number of requests. No store counts further.
    fn count(&mut self, count: u64) {
        self.field(format_args!("{}", count.min(MAX_COUNT)));
    }

    fn place(&mut self, place: usize) {
        self.field(format_args!("#{place}"));
    }

    fn field(&mut self, text: std::fmt::Arguments<'_>) {
        self.digits.clear();
        // Writing to a text does not fail.
        let _ = self.digits.write_fmt(text);
        self.packed.text(self.digits.as_bytes());
    }
}
