//! The command line: a mode, and options with values.

use std::collections::BTreeMap;
use std::str::FromStr;

pub struct Arguments {
    mode: String,
    options: BTreeMap<String, String>,
}

impl Arguments {
    pub fn from_command_line() -> Self {
        // `cargo bench` adds `--bench`.
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        let mode = words.next().unwrap_or_default();
        let mut options = BTreeMap::new();
        while let Some(name) = words.next() {
            let name =
                name.strip_prefix("--").unwrap_or_else(|| panic!("an option begins with --, and this is {name}"));
            let value = words.next().unwrap_or_else(|| panic!("--{name} needs a value"));
            options.insert(name.to_owned(), value);
        }
        Self { mode, options }
    }

    pub fn mode(&self) -> &str {
        &self.mode
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// The value of an option, or this one if it was not given.
    pub fn or<T: FromStr>(&self, name: &str, default: T) -> T {
        self.option(name).unwrap_or(default)
    }

    pub fn option<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name).map(|text| text.parse().unwrap_or_else(|_| panic!("--{name} cannot be {text}")))
    }

    /// The value of an option that this program gives itself.
    pub fn given<T: FromStr>(&self, name: &str) -> T {
        self.option(name).unwrap_or_else(|| panic!("--{name} is needed"))
    }
}
