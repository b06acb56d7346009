//! Limits, as flags say them: `--limit minute=1000 --burst 50 --fallback open`, and the like of them.

use std::str::FromStr;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use keygate::limits::{Fallback, Limits, MAX_BURST, MAX_LIMIT};
use keygate::manager::OrganizationUpdate;

use crate::failure::Failure;

/// A window with its limit, or a word for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitArg {
    /// No limit at all.
    None,
    /// Back to what there is if nothing is said.
    Default,
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

/// Reads the same, or `default`.
fn limit_or_default(text: &str) -> Result<LimitArg, String> {
    if text == "default" {
        Ok(LimitArg::Default)
    } else {
        limit(text).map_err(|problem| format!("{problem}, or default"))
    }
}

/// Reads how many requests may come at once.
pub(crate) fn burst() -> impl TypedValueParser<Value = u64> {
    clap::value_parser!(u64).range(1..=MAX_BURST)
}

/// Reads what becomes of requests while the store is not reached, and tells the help which words there are.
pub(crate) fn fallbacks() -> impl TypedValueParser<Value = Fallback> {
    PossibleValuesParser::new(Fallback::ALL.map(Fallback::as_str)).try_map(|text| Fallback::from_str(&text))
}

/// What flags of one kind say of limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    /// What their names begin with, before `limit`, `burst` and `fallback`.
    pub(crate) flags: &'static str,
    pub(crate) windows: &'a [LimitArg],
    pub(crate) burst: Option<u64>,
    pub(crate) fallback: Option<Fallback>,
}

impl Said<'_> {
    fn is_nothing(&self) -> bool {
        self.windows.is_empty() && self.burst.is_none() && self.fallback.is_none()
    }

    /// The limits that they make together, `None` if they say nothing. A burst or a fallback that stands alone is one beside
    /// `others`, if there are any.
    pub(crate) fn limits(&self, others: Option<Limits>) -> Result<Option<Limits>, Failure> {
        if self.is_nothing() { Ok(None) } else { self.make(others).map(Some).map_err(Failure::usage) }
    }

    /// What is to become of limits that were set before: `Some(None)` takes them away.
    fn change(&self, none: Option<Limits>) -> Result<Option<Option<Limits>>, Failure> {
        let changed = self.limits(None)?;
        Ok(match self.windows {
            [LimitArg::None] => Some(none),
            [LimitArg::Default] => Some(None),
            _ => changed.map(Some),
        })
    }

    fn make(&self, others: Option<Limits>) -> Result<Limits, String> {
        let Self { flags, windows, burst, fallback } = *self;
        let is_word = |window: &&LimitArg| matches!(window, LimitArg::None | LimitArg::Default);
        if let Some(word) = windows.iter().find(is_word)
            && (windows.len() > 1 || burst.is_some() || fallback.is_some())
        {
            let (word, what) = match word {
                LimitArg::Default => ("default", "goes back to what there is without any"),
                _ => ("none", "is no limit at all"),
            };
            return Err(format!("--{flags}limit {word} stands alone: it {what}"));
        }
        let mut limits = match (windows, others) {
            ([], Some(others)) => others,
            _ => Limits::UNLIMITED,
        };
        for window in windows {
            let (place, number) = match *window {
                LimitArg::None | LimitArg::Default => continue,
                LimitArg::Minute(number) => (&mut limits.per_minute, number),
                LimitArg::Hour(number) => (&mut limits.per_hour, number),
                LimitArg::Day(number) => (&mut limits.per_day, number),
                LimitArg::Month(number) => (&mut limits.per_month, number),
            };
            if place.replace(number).is_some() {
                return Err(format!("--{flags}limit names a window twice"));
            }
        }
        if burst.is_some() && limits.per_minute.is_none() {
            return Err(format!("--{flags}burst needs --{flags}limit minute=N, at whose rate it refills"));
        }
        limits.burst = burst.or(limits.burst);
        if fallback.is_some() && limits.are_none() {
            return Err(format!("--{flags}fallback needs --{flags}limit: it is what becomes of limited requests"));
        }
        limits.fallback = fallback.unwrap_or(limits.fallback);
        limits.check().map_err(|error| error.to_string())?;
        Ok(limits)
    }
}

/// What is said beside the windows of `--limit`.
#[derive(Debug, Args)]
pub(crate) struct BesideLimitArgs {
    /// How many of those may come at once before the rate of the minute spaces them out; needs --limit minute=N
    #[arg(long, value_name = "N", value_parser = burst())]
    burst: Option<u64>,
    /// What becomes of them while the store is not reached; needs --limit [default: deny]
    #[arg(long, value_name = "WORD", value_parser = fallbacks())]
    fallback: Option<Fallback>,
}

impl BesideLimitArgs {
    /// Together with these windows.
    pub(crate) fn said<'a>(&self, windows: &'a [LimitArg]) -> Said<'a> {
        Said { flags: "", windows, burst: self.burst, fallback: self.fallback }
    }
}

/// Limits of a project, all of them together: what is not said of them is without limit.
#[derive(Debug, Args)]
pub(crate) struct ProjectLimitArgs {
    /// How much may be asked of all its keys together: minute=N, hour=N, day=N or month=N; repeatable. These take the
    /// place of all that were set before: a window that is not named is without limit. none takes them away
    #[arg(long, value_name = "WINDOW=N", value_parser = limit)]
    limit: Vec<LimitArg>,
    #[command(flatten)]
    beside: BesideLimitArgs,
    /// The limits of its new keys for which none are said; as --limit, but none gives new keys no limit, and default those
    /// of the organization. Keys that are there keep theirs
    #[arg(long, value_name = "WINDOW=N", value_parser = limit_or_default)]
    key_limit: Vec<LimitArg>,
    /// As --burst, for its new keys
    #[arg(long, value_name = "N", value_parser = burst())]
    key_burst: Option<u64>,
    /// As --fallback, for its new keys
    #[arg(long, value_name = "WORD", value_parser = fallbacks())]
    key_fallback: Option<Fallback>,
}

impl ProjectLimitArgs {
    /// What is to become of the limits; `Some(None)` takes them away.
    pub(crate) fn change(&self) -> Result<Option<Option<Limits>>, Failure> {
        self.beside.said(&self.limit).change(None)
    }

    /// The same of those of new keys.
    pub(crate) fn key_change(&self) -> Result<Option<Option<Limits>>, Failure> {
        let (burst, fallback) = (self.key_burst, self.key_fallback);
        Said { flags: "key-", windows: &self.key_limit, burst, fallback }.change(Some(Limits::UNLIMITED))
    }
}

/// Limits of a user, all of them together: what is not said of them is without limit.
#[derive(Debug, Args)]
pub(crate) struct UserLimitArgs {
    /// How much may be asked of all its keys together: minute=N, hour=N, day=N or month=N; repeatable. These take the
    /// place of all that were set before: a window that is not named is without limit. none is no limit at all, and default
    /// what its organization says of each user
    #[arg(long, value_name = "WINDOW=N", value_parser = limit_or_default)]
    limit: Vec<LimitArg>,
    #[command(flatten)]
    beside: BesideLimitArgs,
}

impl UserLimitArgs {
    /// What is to become of the limits; `Some(None)` goes back to what the organization says.
    pub(crate) fn change(&self) -> Result<Option<Option<Limits>>, Failure> {
        self.beside.said(&self.limit).change(Some(Limits::UNLIMITED))
    }
}

/// Limits of an organization. Those of one kind are said all together: what is not said of them is without limit.
#[derive(Debug, Args)]
pub(crate) struct OrganizationLimitArgs {
    /// How much may be asked of all its keys together: minute=N, hour=N, day=N or month=N; repeatable. These take the
    /// place of all that were set before: a window that is not named is without limit. none takes them away
    #[arg(long, value_name = "WINDOW=N", value_parser = limit)]
    limit: Vec<LimitArg>,
    #[command(flatten)]
    beside: BesideLimitArgs,
    /// How much may be asked of all keys of each of its users together; as --limit
    #[arg(long, value_name = "WINDOW=N", value_parser = limit)]
    user_limit: Vec<LimitArg>,
    /// As --burst, for each of its users
    #[arg(long, value_name = "N", value_parser = burst())]
    user_burst: Option<u64>,
    /// As --fallback, for each of its users
    #[arg(long, value_name = "WORD", value_parser = fallbacks())]
    user_fallback: Option<Fallback>,
    /// The limits of new keys for which none are said; as --limit, but none gives new keys no limit, and default those
    /// of their tier. Keys that are there keep theirs
    #[arg(long, value_name = "WINDOW=N", value_parser = limit_or_default)]
    key_limit: Vec<LimitArg>,
    /// As --burst, for new keys
    #[arg(long, value_name = "N", value_parser = burst())]
    key_burst: Option<u64>,
    /// As --fallback, for new keys
    #[arg(long, value_name = "WORD", value_parser = fallbacks())]
    key_fallback: Option<Fallback>,
}

impl OrganizationLimitArgs {
    /// Puts what they say into an update.
    pub(crate) fn put_into(&self, update: &mut OrganizationUpdate) -> Result<(), Failure> {
        let Self { limit, beside, user_limit, user_burst, user_fallback, key_limit, key_burst, key_fallback } = self;
        let said = |flags, windows, burst: &Option<u64>, fallback: &Option<Fallback>| Said {
            flags,
            windows,
            burst: *burst,
            fallback: *fallback,
        };
        update.limits = beside.said(limit).change(None)?;
        update.user_limits = said("user-", user_limit, user_burst, user_fallback).change(None)?;
        update.key_limits = said("key-", key_limit, key_burst, key_fallback).change(Some(Limits::UNLIMITED))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str], burst: Option<u64>, fallback: Option<Fallback>) -> Result<Option<Limits>, String> {
        let windows = texts.iter().map(|text| limit(text)).collect::<Result<Vec<LimitArg>, _>>()?;
        let said = Said { flags: "", windows: &windows, burst, fallback };
        said.limits(Some(Limits::STANDARD)).map_err(|failure| failure.to_string())
    }

    #[test]
    fn limits_that_are_named_take_the_place_of_the_others() {
        assert_eq!(of(&[], None, None), Ok(None));
        let hourly = Limits { per_hour: Some(5), ..Limits::UNLIMITED };
        assert_eq!(of(&["hour=5"], None, None), Ok(Some(hourly)));
        assert_eq!(of(&["none"], None, None), Ok(Some(Limits::UNLIMITED)));
        let bursting = Limits { burst: Some(7), ..Limits::STANDARD };
        assert_eq!(of(&[], Some(7), None), Ok(Some(bursting)), "a burst alone leaves the rest as it is");
        let open = Limits { fallback: Fallback::Open, ..Limits::STANDARD };
        assert_eq!(of(&[], None, Some(Fallback::Open)), Ok(Some(open)), "and so does a fallback");
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        let open = Some(Fallback::Open);
        for (texts, burst, fallback) in [
            (&["hour=5"][..], Some(1), None),
            (&["minute=1", "minute=2"], None, None),
            (&["none", "day=1"], None, None),
            (&["none"], Some(1), None),
            (&["none"], None, open),
        ] {
            assert!(of(texts, burst, fallback).is_err(), "{texts:?}");
        }
        for bad in ["minute", "minute=", "minute=0", "minute=-1", "second=1", "minute=1.5", "=1", "None", "default"] {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_said_of_an_organization_does_not_change() {
        let change = |windows: &[LimitArg], burst| {
            let said = Said { flags: "key-", windows, burst, fallback: None };
            said.change(Some(Limits::UNLIMITED)).map_err(|failure| failure.to_string())
        };
        assert_eq!(change(&[], None), Ok(None));
        assert_eq!(change(&[LimitArg::Default], None), Ok(Some(None)));
        assert_eq!(change(&[LimitArg::None], None), Ok(Some(Some(Limits::UNLIMITED))));
        let daily = Limits { per_day: Some(5), ..Limits::UNLIMITED };
        assert_eq!(change(&[LimitArg::Day(5)], None), Ok(Some(Some(daily))));
        let refused = Err("--key-burst needs --key-limit minute=N, at whose rate it refills".to_owned());
        assert_eq!(change(&[], Some(5)), refused);
    }
}
