//! How fields are read that are more than a value: those that may be null, those that must not, objects,
//! words, times and days.

use std::fmt;
use std::marker::PhantomData;

use chrono::{DateTime, Utc};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A field that may be null: `None` only where it is not there.
pub(crate) fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A field that may be left out, and is not null where it is there: null is no way to say that it stays as it is.
pub(crate) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A JSON object. Types with fields would be read from an array too, by the order in which they were written down.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

/// What an object says that may be null.
pub(crate) fn object<T>(asked: Option<Object<T>>) -> Option<T> {
    asked.map(|Object(asked)| asked)
}

/// One of some words. A choice would be read from `{"word": null}` too, and a number in its place taken for no JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        T::deserialize(word.into_deserializer()).map(Self)
    }
}

/// A time as in RFC 3339.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time(pub(crate) DateTime<Utc>);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        DateTime::parse_from_rfc3339(&text)
            .map(|time| Self(time.to_utc()))
            .map_err(|_| D::Error::custom("must be a time as in RFC 3339, such as 2027-01-31T00:00:00Z"))
    }
}

/// A time as in RFC 3339, or the begin of a day of UTC: `2026-11-01`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DayOrTime(pub(crate) DateTime<Utc>);

impl<'de> Deserialize<'de> for DayOrTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        DateTime::parse_from_rfc3339(&text)
            .or_else(|_| DateTime::parse_from_rfc3339(&format!("{text}T00:00:00Z")))
            .map(|time| Self(time.to_utc()))
            .map_err(|_| {
                D::Error::custom(
                    "must be a day such as 2026-11-01, or a time as in RFC 3339, such as 2026-11-01T09:30:00Z",
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_when_it_begins() {
        let read = |text: &str| serde_json::from_value::<DayOrTime>(text.into()).map(|DayOrTime(time)| time);
        for (text, time) in [
            ("2026-11-01", "2026-11-01T00:00:00Z"),
            ("2026-11-01T09:30:00Z", "2026-11-01T09:30:00Z"),
            ("2026-11-01T00:00:00+01:00", "2026-10-31T23:00:00Z"),
        ] {
            assert_eq!(read(text).unwrap(), time.parse::<DateTime<Utc>>().unwrap(), "{text}");
        }
        for bad in ["", "2026-11", "2026-1-1", "2026-02-30", "+2026-11-01", "today", "2026-11-01T09:30", "1790000000"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
