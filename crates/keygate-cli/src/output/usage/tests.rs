//! What is shown, to the letter: `tests/golden/usage`. With `UPDATE_EXPECT=1` the files are written anew.

#![allow(clippy::unwrap_used)]

use expect_test::expect_file;
use serde_json::{Value, json};

use super::*;

const KEY: &str = "01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A report of these numbers, one for each step from `from` on.
fn report(granularity: Granularity, from: &str, numbers: &[u64], rest: Value) -> UsageReport {
    let (from, mut start) = (at(from), at(from));
    let steps: Vec<Value> = numbers
        .iter()
        .map(|requests| {
            let step = json!({"start": start, "requests": requests});
            start = granularity.next(start);
            step
        })
        .collect();
    let requests = numbers.iter().fold(0, |sum: u64, number| sum.saturating_add(*number));
    let mut document = json!({
        "organization_id": "acme", "from": from, "to": start, "granularity": granularity,
        "requests": requests, "series": steps, "addresses": [], "last_used": null, "last_error": null,
        "breakdown": {
            "from": Granularity::Day.floor(from), "to": Granularity::Day.next(start - TimeDelta::milliseconds(1)), "requests": requests, "errors": 0,
            "by_outcome": [], "by_status": [], "by_endpoint": [], "by_location": [],
        },
        "total": {"requests": requests, "errors": 0, "by_outcome": [], "by_status": []},
    });
    merge(&mut document, rest);
    serde_json::from_value(document).unwrap()
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(name, value)| merge(into.entry(name).or_insert(Value::Null), value));
        }
        (into, from) => *into = from,
    }
}

fn shares<const N: usize>(shares: [(&str, u64); N]) -> Value {
    shares.iter().map(|(name, requests)| json!({"name": name, "requests": requests})).collect()
}

/// As on a terminal of this width that takes blocks, or one that does not.
fn shown(report: &UsageReport, width: u16, symbols: Symbols) -> Shown<'_> {
    Shown { symbols, ..Shown::new(report, at("2026-03-15T10:30:00Z")).within(Some(width)) }
}

fn blocks(report: &UsageReport, width: u16) -> String {
    shown(report, width, Symbols::Blocks).lines() + "\n"
}

/// A month that goes up and down by the week, with all that can be said of it.
fn march() -> UsageReport {
    let numbers: Vec<u64> =
        (0_u64..31).map(|day| if day % 7 < 5 { 900 + day * 37 + day % 3 * 50 } else { 40 + day }).collect();
    let requests: u64 = numbers.iter().sum();
    let used = json!({"at": "2026-03-15T10:29:18.250Z", "address": "2001:db8::1", "location": "DE"});
    report(
        Granularity::Day,
        "2026-03-01T00:00:00Z",
        &numbers,
        json!({
            "key_id": KEY,
            "total": {"requests": 1_234_567, "errors": 8_910},
            "last_used": used,
            "last_error": {"at": "2026-03-14T22:00:00Z", "reason": "rate_limit_exceeded"},
            "breakdown": {
                "errors": 1_207,
                "by_outcome": shares([("admitted", requests - 307), ("rate_limit_exceeded", 300), ("key_expired", 7)]),
                "by_status": shares([("2xx", requests - 1_300), ("4xx", 880), ("5xx", 20), ("cancelled", 93)]),
                "by_endpoint": shares([("GET /reports/{id}", requests - 5_000), ("POST /reports", 4_900), ("other", 100)]),
                "by_location": shares([
                    ("DE", 9_000), ("FR", 5_000), ("US-CA", 2_000), ("GB", 900), ("NL", 800), ("PL", 700), ("ES", 600),
                    ("IT", 500), ("CH", 400), ("AT", 300), ("SE", 200), ("other", 100), ("NO", 1),
                ]),
            },
            "addresses": [
                {"month": "2026-01-01T00:00:00Z", "addresses": 64},
                {"month": "2026-02-01T00:00:00Z", "addresses": 1_213},
                {"month": "2026-03-01T00:00:00Z", "addresses": 1},
            ],
        }),
    )
}

fn night() -> UsageReport {
    let numbers = [3, 0, 12, 14, 9, 20, 21, 8, 7, 5, 2, 1, 0, 0, 0, 0, 1, 4, 9, 18, 30, 28, 25, 11];
    report(Granularity::Hour, "2026-03-14T11:00:00Z", &numbers, json!({"user_id": "bob"}))
}

#[test]
fn usage_of_none() {
    let none = report(Granularity::Day, "2026-02-14T00:00:00Z", &[0; 30], json!({"key_id": KEY}));
    expect_file!["../../../tests/golden/usage/none.txt"].assert_eq(&blocks(&none, 80));
    let nothing_kept = report(Granularity::Hour, "2026-02-14T00:00:00Z", &[], json!({"key_id": KEY}));
    expect_file!["../../../tests/golden/usage/nothing_kept.txt"].assert_eq(&blocks(&nothing_kept, 80));
}

#[test]
fn usage_of_one_step() {
    let one = report(Granularity::Day, "2026-03-15T00:00:00Z", &[1], json!({"project_id": "web"}));
    expect_file!["../../../tests/golden/usage/one_bar.txt"].assert_eq(&blocks(&one, 80));
}

#[test]
fn usage_of_a_month() {
    let march = march();
    for (width, golden) in [
        (40, expect_file!["../../../tests/golden/usage/month_40.txt"]),
        (80, expect_file!["../../../tests/golden/usage/month_80.txt"]),
        (160, expect_file!["../../../tests/golden/usage/month_160.txt"]),
    ] {
        let text = blocks(&march, width);
        let widest = text.lines().map(console::measure_text_width).max();
        assert!(widest <= Some(width.into()), "{text}");
        golden.assert_eq(&text);
    }
}

#[test]
fn usage_over_midnight() {
    let night = night();
    for (width, golden) in [
        (40, expect_file!["../../../tests/golden/usage/night_40.txt"]),
        (160, expect_file!["../../../tests/golden/usage/night_160.txt"]),
    ] {
        golden.assert_eq(&blocks(&night, width));
    }
    let ascii = shown(&night, 80, Symbols::Ascii).with_series(true).lines() + "\n";
    assert!(ascii.is_ascii());
    expect_file!["../../../tests/golden/usage/night_ascii_table.txt"].assert_eq(&ascii);
}

#[test]
fn usage_of_as_many_requests_as_can_be() {
    let share = |name: &str| json!([{"name": name, "requests": u64::MAX}, {"name": "other", "requests": 1}]);
    let most = report(
        Granularity::Month,
        "2025-04-01T00:00:00Z",
        &[1, 1_000, u64::MAX / 100, u64::MAX / 10, u64::MAX / 2, u64::MAX, 0, u64::MAX, 1, 2, 3, 4],
        json!({
            "breakdown": {
                "from": "2026-02-09T00:00:00Z", "to": "2026-03-16T00:00:00Z", "requests": u64::MAX, "errors": 3,
                "by_outcome": share("admitted"), "by_status": share("2xx"),
            },
            "addresses": [{"month": "2026-03-01T00:00:00Z", "addresses": u64::MAX}],
            "most_used": [{"key_id": KEY, "requests": u64::MAX}],
        }),
    );
    expect_file!["../../../tests/golden/usage/most.txt"].assert_eq(&blocks(&most, 80));
}

#[test]
fn usage_of_more_steps_than_there_are_columns() {
    let numbers: Vec<u64> = (0..400).map(|day| day * 1_000).collect();
    let year = report(Granularity::Day, "2025-02-09T00:00:00Z", &numbers, json!({}));
    expect_file!["../../../tests/golden/usage/year_60.txt"].assert_eq(&blocks(&year, 60));
    let numbers: Vec<u64> = (0..192).map(|hour| if hour % 24 < 8 { 0 } else { 50 + hour % 24 }).collect();
    let week = report(Granularity::Hour, "2026-03-07T11:00:00Z", &numbers, json!({}));
    expect_file!["../../../tests/golden/usage/week_80.txt"].assert_eq(&blocks(&week, 80));
}

#[test]
fn what_a_terminal_would_obey_is_written_out() {
    let evil = "\u{1b}[31m\u{202e}";
    let report = report(
        Granularity::Day,
        "2026-03-15T00:00:00Z",
        &[1],
        json!({
            "key_id": KEY,
            "last_used": {"at": "2026-03-15T10:29:18Z", "address": null, "location": evil},
            "last_error": {"at": "2026-03-15T10:29:18Z", "reason": evil},
            "breakdown": {
                "by_outcome": shares([(evil, 1)]), "by_status": shares([(evil, 1)]),
                "by_endpoint": shares([(evil, 1)]), "by_location": shares([(evil, 1)]),
            },
        }),
    );
    let lines = shown(&report, 80, Symbols::Blocks).named(Some(evil)).lines();
    assert!(!lines.contains(['\u{1b}', '\u{202e}']), "{lines}");
    assert_eq!(lines.matches("\\u{1b}[31m\\u{202e}").count(), 7, "{lines}");
}

#[test]
fn a_series_as_csv() {
    let night = night();
    let csv = series_as_csv(&night).unwrap();
    assert!(csv.starts_with("start,requests\n2026-03-14T11:00:00Z,3\n2026-03-14T12:00:00Z,0\n"), "{csv}");
    assert_eq!(csv.lines().count(), 25);
    let nothing = report(Granularity::Hour, "2026-02-14T00:00:00Z", &[], json!({}));
    assert_eq!(series_as_csv(&nothing).unwrap(), "start,requests\n");
}
