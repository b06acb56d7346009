//! Values of flags that are no types of the domain as they stand.

use std::ffi::OsStr;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use keygate::anomaly::FindingCursor;
use keygate::key::KeyId;
use keygate::manager::{Cursor, Expiry, MAX_EXPIRY_DAYS};
use keygate::names::{NameError, OrganizationId, ProjectId, RoleName, UserId};
use keygate::record::{KeyState, Metadata, RotationSchedule, SecurityTier};
use keygate::scope::{Scope, ScopeSet};
use keygate::usage::period::Granularity;

use crate::failure::Failure;
use crate::pasted::holds_key;

/// Reads a key id. What it refuses it does not repeat: people paste the key itself, which is secret.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyIdParser;

impl TypedValueParser for KeyIdParser {
    type Value = KeyId;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<KeyId, clap::Error> {
        value.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
            let problem = "KEY_ID must be a UUID in lower case with hyphens, such as \
                           01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f (keygate keys list shows it; it is not the key itself)";
            command.clone().error(ErrorKind::ValueValidation, problem)
        })
    }
}

/// Reads a state, and tells the help which there are.
pub(crate) fn key_states() -> impl TypedValueParser<Value = KeyState> {
    let states = [KeyState::Active, KeyState::Inactive, KeyState::Revoked, KeyState::Expired];
    PossibleValuesParser::new(states.map(KeyState::as_str)).try_map(|text| KeyState::from_str(&text))
}

/// Reads a tier, and tells the help which there are.
pub(crate) fn tiers() -> impl TypedValueParser<Value = SecurityTier> {
    PossibleValuesParser::new([SecurityTier::Standard, SecurityTier::High].map(SecurityTier::as_str))
        .try_map(|text| SecurityTier::from_str(&text))
}

/// Reads an organization's id.
pub(crate) fn organization(text: &str) -> Result<OrganizationId, String> {
    name(text, "an organization's id")
}

/// Reads a project's id.
pub(crate) fn project(text: &str) -> Result<ProjectId, String> {
    name(text, "a project's id")
}

/// Reads a user's id.
pub(crate) fn user(text: &str) -> Result<UserId, String> {
    name(text, "a user's id")
}

/// Reads a role's name.
pub(crate) fn role(text: &str) -> Result<RoleName, String> {
    name(text, "a role's name")
}

/// Reads a name. A key has the form of one, and would be written into the store for all to see.
fn name<T: FromStr<Err = NameError>>(text: &str, what: &str) -> Result<T, String> {
    if holds_key(OsStr::new(text)) {
        return Err(format!("is a key and not {what}"));
    }
    text.parse().map_err(|error: NameError| error.to_string())
}

/// Reads where an earlier list ended.
pub(crate) fn cursor(text: &str) -> Result<Cursor, &'static str> {
    text.parse().map_err(|_| "must be the next_cursor of an earlier list")
}

/// The same of a list of findings.
pub(crate) fn finding_cursor(text: &str) -> Result<FindingCursor, &'static str> {
    text.parse().map_err(|_| "must be the next_cursor of an earlier list")
}

/// Reads a time from now: `7d`, `12h`, `1h 30m`.
pub(crate) fn life(text: &str) -> Result<TimeDelta, String> {
    let problem = || format!("must be a time such as 90d or 12h, from 1s to {MAX_EXPIRY_DAYS}d");
    let allowed = Duration::from_secs(1)..=Duration::from_secs(u64::from(MAX_EXPIRY_DAYS) * 86_400);
    let life = humantime::parse_duration(text).ok().filter(|life| allowed.contains(life)).ok_or_else(problem)?;
    TimeDelta::from_std(life).map_err(|_| problem())
}

/// Reads a time of whole days: `7d`, `2weeks`, `0d`.
pub(crate) fn days(text: &str) -> Result<u32, &'static str> {
    const DAY: u64 = 86_400;
    let problem = "must be a time of whole days, such as 7d";
    let time = humantime::parse_duration(text).map_err(|_| problem)?;
    if time.subsec_nanos() != 0 || time.as_secs() % DAY != 0 {
        return Err(problem);
    }
    u32::try_from(time.as_secs() / DAY).map_err(|_| problem)
}

/// Reads for how long two keys overlap.
pub(crate) fn overlap(text: &str) -> Result<u32, String> {
    let most = RotationSchedule::MAX_OVERLAP_DAYS;
    let problem = || format!("must be a time of whole days, such as 7d, from 0d to {most}d");
    days(text).ok().filter(|days| *days <= most).ok_or_else(problem)
}

/// Reads how long a key lives: a time from now, or `never`.
pub(crate) fn expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry::Never);
    }
    life(text).map(Expiry::In).map_err(|problem| format!("{problem}, or never"))
}

/// Reads a point in time.
pub(crate) fn time(text: &str) -> Result<DateTime<Utc>, &'static str> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| "must be a time as in RFC 3339, such as 2027-01-31T00:00:00Z")
}

/// Reads a point in time, or a day of UTC, which is when it begins.
pub(crate) fn day_or_time(text: &str) -> Result<DateTime<Utc>, &'static str> {
    time(text)
        .or_else(|_| time(&format!("{text}T00:00:00Z")))
        .map_err(|_| "must be a day such as 2027-01-31, or a time as in RFC 3339, such as 2027-01-31T12:00:00Z")
}

/// The days that a time takes, a part of one being one.
pub(crate) fn whole_days(time: TimeDelta) -> i64 {
    let days = time.num_days();
    if TimeDelta::days(days) < time { days + 1 } else { days }
}

/// Reads what steps a series is in, and tells the help which there are.
pub(crate) fn granularities() -> impl TypedValueParser<Value = Granularity> {
    PossibleValuesParser::new(Granularity::ALL.map(Granularity::as_str)).try_map(|text| Granularity::from_str(&text))
}

/// Reads a key's own fields.
pub(crate) fn metadata(text: &str) -> Result<Metadata, String> {
    let fields = serde_json::from_str(text).map_err(|error| format!("must be a JSON object: {error}"))?;
    Metadata::new(fields).map_err(|error| error.to_string())
}

/// All scopes that were said with a flag, or that there are none; `None` if nothing was said.
pub(crate) fn scopes(flag: &str, said: &[Scope], is_none: bool) -> Result<Option<ScopeSet>, Failure> {
    if said.is_empty() && !is_none {
        return Ok(None);
    }
    let set = ScopeSet::new(said.iter().cloned());
    set.map(Some).map_err(|error| Failure::usage(format!("--{flag}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_between_a_second_and_a_century() {
        assert_eq!(life("90d"), Ok(TimeDelta::days(90)));
        assert_eq!(expiry("never"), Ok(Expiry::Never));
        for bad in ["", "0s", "999ms", "90", "36501d", "-1d", "forever", "99999999999999y"] {
            assert!(expiry(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_day_is_when_it_begins() {
        assert_eq!(day_or_time("2027-01-31"), time("2027-01-31T00:00:00Z"));
        assert_eq!(day_or_time("2027-01-31T01:00:00+01:00"), time("2027-01-31T00:00:00Z"));
        for bad in ["", "2027-1-31", "2027-02-30", "today", "2027-01", "2027-01-31T00:00:00"] {
            assert!(day_or_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_part_of_a_day_is_a_day() {
        assert_eq!(whole_days(TimeDelta::seconds(1)), 1);
        assert_eq!(whole_days(TimeDelta::days(30)), 30);
        assert_eq!(whole_days(TimeDelta::days(30) + TimeDelta::seconds(1)), 31);
    }

    #[test]
    fn an_overlap_is_of_whole_days_and_no_longer_than_a_year() {
        for (text, expected) in [("7d", 7), ("0d", 0), ("2weeks", 14), ("48h", 2), ("365d", 365)] {
            assert_eq!(overlap(text), Ok(expected), "{text}");
        }
        for bad in ["", "7", "12h", "1d 1s", "1d 1ms", "-1d", "1y", "366d", "99999999999999d"] {
            assert!(overlap(bad).is_err(), "{bad}");
        }
        assert_eq!(days("3650d"), Ok(3650));
    }

    #[test]
    fn a_time_says_its_zone() {
        assert_eq!(time("2027-01-31T01:00:00+01:00"), time("2027-01-31T00:00:00Z"));
        for bad in ["2027-01-31", "tomorrow", "2027-01-31T00:00:00", "2027-02-30T00:00:00Z"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
