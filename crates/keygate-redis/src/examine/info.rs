//! What a server says of itself in INFO.

use std::collections::HashMap;
use std::str::FromStr;

/// The fields of an answer to INFO, or to CLUSTER INFO, which is of the same form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Info(HashMap<String, String>);

impl Info {
    /// Reads lines of `name:value`. What is of another form is left out.
    pub(super) fn parse(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        Self(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// A field, if it is there and not empty.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A field, if it is there and such a thing.
    pub(super) fn read<T: FromStr>(&self, name: &str) -> Option<T> {
        self.field(name)?.parse().ok()
    }

    /// A field that is 1 or 0.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.read::<u8>(name).map(|value| value != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_nothing_is_guessed() {
        let info =
            Info::parse("# Server\r\nredis_version:7.0.15\r\nempty:\r\nport:6379\r\naof_enabled:1\r\nodd\r\na:b:c\r\n");
        assert_eq!(info.field("redis_version"), Some("7.0.15"));
        assert_eq!(info.read::<u16>("port"), Some(6379));
        assert_eq!(info.read::<u16>("redis_version"), None);
        assert_eq!(info.flag("aof_enabled"), Some(true));
        assert_eq!(info.field("a"), Some("b:c"));
        assert_eq!((info.field("empty"), info.field("odd")), (None, None));
    }
}
