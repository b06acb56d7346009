//! Where locations of clients come from.

use std::path::PathBuf;

use keygate_core::network::CidrSet;
use keygate_http::location::{LocationHeader, LocationSource};

use super::{SettingError, Settings};

const HEADER: &str = "KEYGATE_LOCATION_HEADER";
const DATABASE: &str = "KEYGATE_LOCATION_DATABASE";

/// Where locations of clients come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocationSetting {
    /// They are not counted.
    #[default]
    Nowhere,
    /// This header of the trusted proxies.
    Header(LocationHeader),
    /// This file, a database in MaxMind's format.
    Database(PathBuf),
}

impl LocationSetting {
    pub(super) fn read(
        lookup: impl Fn(&'static str) -> Result<Option<String>, SettingError>,
        proxies: &CidrSet,
    ) -> Result<Self, SettingError> {
        match (lookup(HEADER)?, lookup(DATABASE)?) {
            (None, None) => Ok(Self::Nowhere),
            (None, Some(path)) => Ok(Self::Database(path.into())),
            (Some(_), Some(_)) => Err(SettingError::new(DATABASE, format!("cannot be set beside {HEADER}"))),
            (Some(_), None) if proxies.is_empty() => {
                let problem = "counts from trusted proxies alone: set KEYGATE_TRUSTED_PROXIES, too";
                Err(SettingError::new(HEADER, problem))
            }
            (Some(name), None) => {
                let header = LocationHeader::new(name);
                header.map(Self::Header).map_err(|error| SettingError::new(HEADER, format!("is refused: {error}")))
            }
        }
    }
}

impl Settings {
    /// Where locations of clients come from, as layers and middlewares take it. It reads the database.
    ///
    /// # Errors
    /// When the database cannot be used, or keygate was built without the feature `maxmind`.
    pub fn location_source(&self) -> Result<LocationSource, SettingError> {
        match &self.location {
            LocationSetting::Nowhere => Ok(LocationSource::none()),
            LocationSetting::Header(header) => Ok(header.clone().into()),
            #[cfg(feature = "maxmind")]
            LocationSetting::Database(path) => {
                let opened = keygate_http::location::MaxMind::open(path);
                opened.map(Into::into).map_err(|error| SettingError::new(DATABASE, format!("is of no use: {error}")))
            }
            #[cfg(not(feature = "maxmind"))]
            LocationSetting::Database(_) => {
                Err(SettingError::new(DATABASE, "needs keygate to be built with its feature maxmind"))
            }
        }
    }
}
