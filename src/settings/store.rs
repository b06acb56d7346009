//! `KEYGATE_STORE`.

use std::fmt;
#[cfg(feature = "embedded")]
use std::path::PathBuf;

#[cfg(feature = "redis")]
use keygate_redis::RedisSettings;

use super::SettingError;

const NAME: &str = "KEYGATE_STORE";

/// Where keys are kept. `Debug` shows no password.
#[derive(Clone)]
#[non_exhaustive]
pub enum StoreAddress {
    /// In memory, gone with the process.
    Memory,
    /// In one file.
    #[cfg(feature = "embedded")]
    File(PathBuf),
    /// On Redis.
    #[cfg(feature = "redis")]
    Redis(Box<RedisSettings>),
}

impl StoreAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is of none of the forms that [the settings](super) list, or this program was built without that store.
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        let (scheme, rest) = text.split_once(':').ok_or_else(unknown)?;
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err(SettingError::new(NAME, "is memory: with more behind it; write memory: alone")),
            "file" if rest.is_empty() => Err(SettingError::new(NAME, "is file: without a path behind it")),
            #[cfg(feature = "embedded")]
            "file" => Ok(Self::File(PathBuf::from(rest))),
            #[cfg(not(feature = "embedded"))]
            "file" => Err(SettingError::new(NAME, "is a file, and this program was built without the embedded store")),
            "redis" | "rediss" => Self::on_redis(text),
            _ if scheme.starts_with("redis+") || scheme.starts_with("rediss+") => Self::on_redis(text),
            _ => Err(unknown()),
        }
    }

    #[cfg(feature = "redis")]
    fn on_redis(text: &str) -> Result<Self, SettingError> {
        let settings: RedisSettings =
            text.parse().map_err(|error| SettingError::new(NAME, format!("cannot be used: {error}")))?;
        Ok(Self::Redis(Box::new(settings)))
    }

    #[cfg(not(feature = "redis"))]
    fn on_redis(_: &str) -> Result<Self, SettingError> {
        Err(SettingError::new(NAME, "is on Redis, and this program was built without the Redis store"))
    }
}

fn unknown() -> SettingError {
    SettingError::new(
        NAME,
        "must be memory:, file:PATH, redis://HOST:PORT, rediss://HOST:PORT, redis+sentinel://HOST:PORT,HOST:PORT/MASTER \
         or redis+cluster://HOST:PORT,HOST:PORT",
    )
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            #[cfg(feature = "embedded")]
            Self::File(path) => write!(f, "file:{}", path.display()),
            #[cfg(feature = "redis")]
            Self::Redis(settings) => settings.fmt(f),
        }
    }
}
