//! Values of flags that are no types of the domain as they stand.

use std::ffi::OsStr;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use keygate::key::KeyId;
use keygate::limits::{Limits, MAX_LIMIT};
use keygate::manager::{Cursor, Expiry, MAX_EXPIRY_DAYS};
use keygate::names::{NameError, OrganizationId};
use keygate::record::{KeyState, Metadata, SecurityTier};

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

/// Reads an organization's id. A key has the form of one, and would be written into the store for all to see.
pub(crate) fn organization(text: &str) -> Result<OrganizationId, String> {
    if holds_key(OsStr::new(text)) {
        return Err("is a key and not an organization's id".to_owned());
    }
    text.parse().map_err(|error: NameError| error.to_string())
}

/// Reads where an earlier list ended.
pub(crate) fn cursor(text: &str) -> Result<Cursor, &'static str> {
    text.parse().map_err(|_| "must be the next_cursor of an earlier list")
}

/// Reads a time from now: `7d`, `12h`, `1h 30m`.
pub(crate) fn life(text: &str) -> Result<TimeDelta, String> {
    let problem = || format!("must be a time such as 90d or 12h, from 1s to {MAX_EXPIRY_DAYS}d");
    let allowed = Duration::from_secs(1)..=Duration::from_secs(u64::from(MAX_EXPIRY_DAYS) * 86_400);
    let life = humantime::parse_duration(text).ok().filter(|life| allowed.contains(life)).ok_or_else(problem)?;
    TimeDelta::from_std(life).map_err(|_| problem())
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

/// Reads a key's own fields.
pub(crate) fn metadata(text: &str) -> Result<Metadata, String> {
    let fields = serde_json::from_str(text).map_err(|error| format!("must be a JSON object: {error}"))?;
    Metadata::new(fields).map_err(|error| error.to_string())
}

/// A window with its limit, or the word for no limit at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitArg {
    None,
    Minute(u64),
    Hour(u64),
    Day(u64),
    Month(u64),
}

/// Reads `minute=1000` and the like.
pub(crate) fn limit(text: &str) -> Result<LimitArg, &'static str> {
    let problem = "must be minute=N, hour=N, day=N or month=N with N from 1 to 10^12, or none";
    if text == "none" {
        return Ok(LimitArg::None);
    }
    let (window, number) = text.split_once('=').ok_or(problem)?;
    let number = number.parse().ok().filter(|number| (1..=MAX_LIMIT).contains(number)).ok_or(problem)?;
    match window {
        "minute" => Ok(LimitArg::Minute(number)),
        "hour" => Ok(LimitArg::Hour(number)),
        "day" => Ok(LimitArg::Day(number)),
        "month" => Ok(LimitArg::Month(number)),
        _ => Err(problem),
    }
}

/// The limits that windows and burst make together: `None` is the tier's own.
pub(crate) fn limits(windows: &[LimitArg], burst: Option<u64>, tier: SecurityTier) -> Result<Option<Limits>, String> {
    let mut limits = match (windows, burst) {
        ([], None) => return Ok(None),
        ([], Some(_)) => tier.limits(),
        _ => Limits::UNLIMITED,
    };
    if windows.contains(&LimitArg::None) && (windows.len() > 1 || burst.is_some()) {
        return Err("--limit none stands alone: it is no limit at all".to_owned());
    }
    for window in windows {
        let (place, number) = match *window {
            LimitArg::None => continue,
            LimitArg::Minute(number) => (&mut limits.per_minute, number),
            LimitArg::Hour(number) => (&mut limits.per_hour, number),
            LimitArg::Day(number) => (&mut limits.per_day, number),
            LimitArg::Month(number) => (&mut limits.per_month, number),
        };
        if place.replace(number).is_some() {
            return Err("--limit names a window twice".to_owned());
        }
    }
    if burst.is_some() && limits.per_minute.is_none() {
        return Err("--burst needs --limit minute=N, at whose rate it refills".to_owned());
    }
    limits.burst = burst.or(limits.burst);
    limits.check().map_err(|error| error.to_string())?;
    Ok(Some(limits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str], burst: Option<u64>) -> Result<Option<Limits>, String> {
        let windows = texts.iter().map(|text| limit(text)).collect::<Result<Vec<LimitArg>, _>>()?;
        limits(&windows, burst, SecurityTier::Standard)
    }

    #[test]
    fn limits_that_are_named_take_the_place_of_the_tiers() {
        assert_eq!(of(&[], None), Ok(None));
        let hourly = Limits { per_hour: Some(5), ..Limits::UNLIMITED };
        assert_eq!(of(&["hour=5"], None), Ok(Some(hourly)));
        assert_eq!(of(&["none"], None), Ok(Some(Limits::UNLIMITED)));
        let bursting = Limits { burst: Some(7), ..Limits::STANDARD };
        assert_eq!(of(&[], Some(7)), Ok(Some(bursting)), "a burst alone leaves the rest as the tier has it");
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        for (texts, burst) in
            [(&["hour=5"][..], Some(1)), (&["minute=1", "minute=2"], None), (&["none", "day=1"], None)]
        {
            assert!(of(texts, burst).is_err(), "{texts:?}");
        }
        for bad in ["minute", "minute=", "minute=0", "minute=-1", "second=1", "minute=1.5", "=1", "None"] {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_life_is_between_a_second_and_a_century() {
        assert_eq!(life("90d"), Ok(TimeDelta::days(90)));
        assert_eq!(expiry("never"), Ok(Expiry::Never));
        for bad in ["", "0s", "999ms", "90", "36501d", "-1d", "forever", "99999999999999y"] {
            assert!(expiry(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_says_its_zone() {
        assert_eq!(time("2027-01-31T01:00:00+01:00"), time("2027-01-31T00:00:00Z"));
        for bad in ["2027-01-31", "tomorrow", "2027-01-31T00:00:00", "2027-02-30T00:00:00Z"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
