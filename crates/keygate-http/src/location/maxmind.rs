//! A database in MaxMind's format, in memory.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keygate_core::usage::location::Location;
use maxminddb::{MaxMindDbError, PathElement, Reader, WithinOptions};

use super::LocationResolver;

/// How many records are looked at to find out whether a database tells of countries. Not every record of one does.
const LOOKED_AT: usize = 1_000;

const COUNTRY: [PathElement<'static>; 2] = [PathElement::Key("country"), PathElement::Key("iso_code")];
/// The largest part of the country that is named: a state, a province.
const SUBDIVISION: [PathElement<'static>; 3] =
    [PathElement::Key("subdivisions"), PathElement::Index(0), PathElement::Key("iso_code")];

/// The countries of a database in MaxMind's format (`.mmdb`): GeoLite2 or GeoIP2, Country or City, and whatever others write
/// in the same form. Clones share it.
///
/// It is read whole when it is opened and never again: whoever replaces the file starts the service anew.
#[derive(Clone)]
pub struct MaxMind {
    reader: Arc<Reader<Vec<u8>>>,
    with_subdivisions: bool,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaxMindError {
    /// It cannot be read, or is no such database.
    #[error("the location database {path} cannot be used: {source}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is one of something else.
    #[error("the location database {path} tells of no countries: its type is {kind}")]
    WithoutCountries {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        kind: String,
    },
}

impl MaxMind {
    /// Reads the file. It takes as long as that: do it where a program starts.
    ///
    /// # Errors
    /// When it cannot be read, is no such database, or tells of no countries.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, MaxMindError> {
        let path = path.as_ref();
        let unusable = |source| MaxMindError::Unusable { path: path.to_owned(), source };
        let reader = Reader::open_readfile(path).map_err(|error| unusable(error.into()))?;
        if !tells_of_countries(&reader).map_err(|error| unusable(error.into()))? {
            let kind = reader.metadata().database_type.escape_debug().to_string();
            return Err(MaxMindError::WithoutCountries { path: path.to_owned(), kind });
        }
        Ok(Self { reader: Arc::new(reader), with_subdivisions: false })
    }

    /// Tells of the parts of countries too, where the database does: `US-CA` and not `US`. City databases do.
    #[must_use]
    pub fn with_subdivisions(mut self) -> Self {
        self.with_subdivisions = true;
        self
    }

    fn look_up(&self, address: IpAddr) -> Result<Option<Location>, MaxMindDbError> {
        let found = self.reader.lookup(address)?;
        let Some(country) = found.decode_path::<&str>(&COUNTRY)? else { return Ok(None) };
        if self.with_subdivisions
            && let Some(part) = found.decode_path::<&str>(&SUBDIVISION)?
            && let Some(location) = joined(country, part)
        {
            return Ok(Some(location));
        }
        Ok(Location::new(country).ok())
    }
}

fn tells_of_countries(reader: &Reader<Vec<u8>>) -> Result<bool, MaxMindDbError> {
    for found in reader.networks(WithinOptions::default())?.take(LOOKED_AT) {
        if found?.decode_path::<&str>(&COUNTRY)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `US-CA`, without an allocation.
fn joined(country: &str, part: &str) -> Option<Location> {
    let mut text = [0; keygate_core::usage::location::MAX_LOCATION_BYTES];
    let (head, tail) = text.split_at_mut_checked(country.len())?;
    head.copy_from_slice(country.as_bytes());
    *tail.first_mut()? = b'-';
    tail.get_mut(1..=part.len())?.copy_from_slice(part.as_bytes());
    Location::new(std::str::from_utf8(text.get(..country.len() + 1 + part.len())?).ok()?).ok()
}

impl LocationResolver for MaxMind {
    fn resolve(&self, address: IpAddr) -> Option<Location> {
        match self.look_up(address) {
            Ok(location) => location,
            Err(error) => {
                tracing::debug!(%error, "the location database cannot be read at an address");
                None
            }
        }
    }
}

impl fmt::Debug for MaxMind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaxMind").field("type", &self.reader.metadata().database_type).finish_non_exhaustive()
    }
}
