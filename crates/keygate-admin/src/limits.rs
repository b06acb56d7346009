//! Limits as they are asked for.

use keygate_core::limits::{Fallback, Limits};
use keygate_core::names::NameError;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::fields::{Object, Word};
use crate::problem::Problem;
use crate::schema::FallbackShape;

/// Limits, all of them, in each window of UTC: one that is not named, or is null, is no limit.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLimits {
    /// In a minute.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_u64)]
    per_minute: Option<u64>,
    /// In an hour.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_u64)]
    per_hour: Option<u64>,
    /// In a day.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_u64)]
    per_day: Option<u64>,
    /// In a calendar month.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_u64)]
    per_month: Option<u64>,
    /// How many requests may come at once before the rate of the minute spaces them out. Needs `per_minute`.
    #[schema(minimum = 1, maximum = 1_000_000_000_u64)]
    burst: Option<u64>,
    /// What becomes of requests while the store is not reached. `deny` by default.
    #[schema(value_type = Option<FallbackShape>)]
    fallback: Option<Word<Fallback>>,
}

impl From<NewLimits> for Limits {
    fn from(asked: NewLimits) -> Self {
        let NewLimits { per_minute, per_hour, per_day, per_month, burst, fallback } = asked;
        let fallback = fallback.map(|Word(fallback)| fallback).unwrap_or_default();
        Self { per_minute, per_hour, per_day, per_month, burst, fallback }
    }
}

/// The limits that this field asks for, which are named by it where they cannot be: an organization has several.
pub(crate) fn limits_of(field: &str, Object(asked): Object<NewLimits>) -> Result<Limits, Problem> {
    let limits = Limits::from(asked);
    limits.check().map_err(|error| Problem::invalid(named_in(field, &error)))?;
    Ok(limits)
}

/// What this field asks for, which may be null.
pub(crate) fn limits_or_null(field: &str, asked: Option<Object<NewLimits>>) -> Result<Option<Limits>, Problem> {
    asked.map(|limits| limits_of(field, limits)).transpose()
}

/// The same, of a field that may be left out.
pub(crate) fn limits_named(
    field: &str,
    asked: Option<Option<Object<NewLimits>>>,
) -> Result<Option<Option<Limits>>, Problem> {
    asked.map(|asked| limits_or_null(field, asked)).transpose()
}

/// What is wrong with the limits of this field, under the name it is sent by.
pub(crate) fn named_in(field: &str, error: &NameError) -> String {
    match error.field().strip_prefix("limit ") {
        Some(part) => format!("{field}.{part}: {error}"),
        None => format!("{field}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Limits, Problem> {
        let asked = serde_json::from_str(text).map_err(|error| Problem::invalid(error.to_string()))?;
        limits_of("user_limits", asked)
    }

    #[test]
    fn what_is_not_named_is_no_limit() {
        assert_eq!(read("{}").unwrap(), Limits::UNLIMITED);
        let nothing =
            r#"{"per_minute":null,"per_hour":null,"per_day":null,"per_month":null,"burst":null,"fallback":null}"#;
        assert_eq!(read(nothing).unwrap(), Limits::UNLIMITED);
        let open = Limits { per_day: Some(5), fallback: Fallback::Open, ..Limits::UNLIMITED };
        assert_eq!(read(r#"{"per_day":5,"fallback":"open"}"#).unwrap(), open);
    }

    #[test]
    fn what_cannot_be_is_named_by_its_field() {
        for (text, name) in [
            (r#"{"per_hour":0}"#, "user_limits.per_hour"),
            (r#"{"per_month":1000000000001}"#, "user_limits.per_month"),
            (r#"{"per_minute":5,"burst":1000000001}"#, "user_limits.burst"),
            (r#"{"burst":5}"#, "user_limits.burst"),
            (r#"{"fallback":"shut"}"#, "shut"),
            (r#"{"fallback":{"open":null}}"#, "string"),
            (r#"{"fallback":7}"#, "string"),
            ("[5]", "object"),
        ] {
            let problem = serde_json::to_value(read(text).unwrap_err()).unwrap();
            assert!(problem["detail"].as_str().unwrap().contains(name), "{text}: {problem}");
        }
    }
}
