//! A manager from `KEYGATE_*` environment variables: what the `keygate` command and the example servers start from.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `KEYGATE_STORE` | `memory:`, `file:PATH`, `redis://…`, `rediss://…`, `redis+sentinel://h:p,h:p/MASTER`, `redis+cluster://h:p,h:p` | the program's own |
//! | `KEYGATE_SECRET` | the master secret: base64 of 32 bytes | see [`Secrets`] |
//! | `KEYGATE_SECRET_FILE` | a file that holds it | |
//! | `KEYGATE_PASSPHRASE` | a passphrase it is derived from (PBKDF2) | |
//! | `KEYGATE_RETIRED_SECRETS` | earlier secrets, separated by commas | none |
//! | `KEYGATE_LISTEN` | the address a server listens on | `127.0.0.1:8080` |
//! | `KEYGATE_ENVIRONMENT`, else `ENVIRONMENT` | environment of new keys, and the one requests must match | `dev` |
//! | `KEYGATE_TRUSTED_PROXIES` | networks whose forwarding headers count, separated by commas | none |
//! | `KEYGATE_LOCATION_HEADER` | the header in which they say where a client is: `CF-IPCountry` | none |
//! | `KEYGATE_LOCATION_DATABASE` | a file in MaxMind's format that tells where addresses are, in its place | none |
//! | `KEYGATE_NAMESPACE` | prefix of every name in a Redis store | `kg` |
//! | `KEYGATE_CACHE_CAPACITY` | keys kept in memory, some 4.7 kB each; 0 keeps none | 100000 |
//! | `KEYGATE_LEASE_MS` | H: for how long an instance that is cut off from Redis believes what it kept, 100 to 60000 | 1000 |
//! | `KEYGATE_STALE_IF_ERROR_MS` | for how long beyond that it goes on while the store fails | 0 |
//! | `KEYGATE_MAX_STALENESS_MS` | the deployment's maximum of both together | 5000 |
//! | `KEYGATE_ANOMALY_WITHOUT` | rules by which nothing unusual is looked for, separated by commas; `all` looks for nothing | none |
//! | `KEYGATE_ANOMALY_SUSPEND_ON` | rules whose findings suspend a key, likewise | none |
//! | `KEYGATE_ANOMALY_LEARNING_DAYS` | for how many days a key is learned before something is new, 1 to 60 | 7 |
//! | `KEYGATE_ANOMALY_VOLUME_FLOOR` | how many more requests in an hour than expected are many, 10 to 1000000000 | 1000 |
//! | `KEYGATE_ANOMALY_VOLUME_SIGMAS` | and how many standard deviations more, 3 to 100 | 6 |
//! | `KEYGATE_ANOMALY_ERROR_POINTS` | by how many percentage points errors are above twice the usual share, 1 to 90 | 5 |
//! | `KEYGATE_ANOMALY_DORMANT_DAYS` | after how many days without a request a key is dormant, 7 to 365 | 30 |
//! | `KEYGATE_ANOMALY_SPREAD_NETWORKS` | how many networks in an hour are many, 3 to 128 | 8 |
//! | `KEYGATE_NOTICE_EXPIRING_DAYS` | how many days before a key ends its end is told of, separated by commas; or `none` | 7,1 |
//! | `KEYGATE_NOTICE_UNUSED_DAYS` | after how many days without use a key is told of, 1 to 3650 | never |
//! | `KEYGATE_NOTICE_LOG` | whether notices are written in the log: `true` or `false` | false |
//! | `KEYGATE_AUDIT_RETENTION_DAYS` | for how many days the audit is kept, 1 to 36500 | 400 |
//! | `KEYGATE_AUDIT_MEGABYTES` | how many megabytes of each organization's entries are kept, the newest, 1 to 1000000 | 1000 |
//! | `KEYGATE_WEBHOOKS_ALLOW_PRIVATE` | whether webhooks may be at addresses that are not public, and at `http`: `true` or `false` | false |
//! | `KEYGATE_WEBHOOKS_PROXY` | the proxy through which webhooks are reached | none |
//! | `KEYGATE_IMPORT_PATTERNS` | forms of [imported](keygate_core::import) keys, `name=regex`, separated by white space | none |
//! | `KEYGATE_IMPORT_HMAC_KEYS` | keys that imported digests were made under, `name=base64`, separated by commas; without it their keys are not found until they were used once | none |
//! | `KEYGATE_IMPORT_LOOKUPS_PER_SECOND` | how many texts of such a form are looked up in a second, 1 to 1000000 | 2000 |
//!
//! A value that cannot be used stops the start with one sentence that names the variable and shows no secret.
//!
//! ```no_run
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! use keygate::settings::{Settings, StoreAddress};
//!
//! let settings = Settings::from_env(StoreAddress::Memory)?;
//! let opened = settings.open().await?;
//! println!("keys are kept in {}", opened.manager.describe_store());
//! # Ok(())
//! # }
//! ```

mod anomalies;
mod audit;
mod examine;
mod imports;
mod keeping;
mod location;
mod notices;
mod open;
#[cfg(feature = "embedded")]
mod secret_file;
mod secrets;
mod store;

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use keygate_core::anomaly::AnomalyPolicy;
use keygate_core::audit::AuditPolicy;
use keygate_core::import::ImportPolicy;
use keygate_core::names::Environment;
use keygate_core::network::{Cidr, CidrSet};
use secrecy::SecretString;

pub use keeping::Keeping;
pub use location::LocationSetting;
pub use notices::NoticeSettings;
pub use open::{OpenError, Opened};
pub use secrets::Secrets;
pub use store::StoreAddress;

/// Why a setting cannot be used: one sentence, with the variable's name and without its value if that may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} {problem}")]
pub struct SettingError {
    name: &'static str,
    problem: String,
}

impl SettingError {
    pub(crate) fn new(name: &'static str, problem: impl Into<String>) -> Self {
        Self { name, problem: problem.into() }
    }

    /// The variable.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// All that a program needs to begin. See the [module docs](self) for the variables.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Where keys are kept.
    pub store: StoreAddress,
    /// What they are made and checked under.
    pub secrets: Secrets,
    /// Where a server listens.
    pub listen: SocketAddr,
    /// Environment of new keys, and the one requests must match.
    pub environment: Environment,
    /// Networks whose forwarding headers count.
    pub trusted_proxies: CidrSet,
    /// Where locations of clients come from.
    pub location: LocationSetting,
    /// Prefix of every name in a Redis store.
    pub namespace: String,
    /// How much is kept in memory, and how long it may be believed.
    pub keeping: Keeping,
    /// Which anomalies are looked for, and what comes of them.
    pub anomalies: AnomalyPolicy,
    /// How much of the audit is kept.
    pub audit: AuditPolicy,
    /// What is told of keys, and how it is sent.
    pub notices: NoticeSettings,
    /// Which texts may be those of imported keys.
    pub imports: ImportPolicy,
}

impl Settings {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// When a value cannot be used.
    pub fn from_env(default_store: StoreAddress) -> Result<Self, SettingError> {
        Self::from_flags_and_env(default_store, |_| None)
    }

    /// Reads what a command line says, by the variable's name, and the process's environment where it says nothing.
    ///
    /// # Errors
    /// When a value cannot be used.
    pub fn from_flags_and_env(
        default_store: StoreAddress,
        flag: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Self, SettingError> {
        Self::read(default_store, |name| match flag(name) {
            Some(value) => Ok(Some(value)),
            None => match std::env::var(name) {
                Ok(value) => Ok(Some(value)),
                Err(std::env::VarError::NotPresent) => Ok(None),
                Err(std::env::VarError::NotUnicode(_)) => Err(SettingError::new(name, "is not valid UTF-8")),
            },
        })
    }

    /// Reads the settings from wherever `lookup` finds them. An empty value is one that is not set.
    ///
    /// # Errors
    /// When a value cannot be used, or `lookup` fails.
    pub fn read(
        default_store: StoreAddress,
        lookup: impl Fn(&'static str) -> Result<Option<String>, SettingError>,
    ) -> Result<Self, SettingError> {
        let lookup = |name| Ok::<_, SettingError>(lookup(name)?.filter(|value| !value.is_empty()));
        let secret = |name| Ok::<_, SettingError>(lookup(name)?.map(SecretString::from));
        let store = match lookup("KEYGATE_STORE")? {
            Some(text) => StoreAddress::parse(&text)?,
            None => default_store,
        };
        let secrets = Secrets::read(
            secret("KEYGATE_SECRET")?,
            lookup("KEYGATE_SECRET_FILE")?,
            secret("KEYGATE_PASSPHRASE")?,
            secret("KEYGATE_RETIRED_SECRETS")?,
        )?;
        let listen = match lookup("KEYGATE_LISTEN")? {
            Some(text) => text.parse().map_err(|_| {
                SettingError::new("KEYGATE_LISTEN", "must be an IP address and a port, such as 127.0.0.1:8080")
            })?,
            None => SocketAddr::from(([127, 0, 0, 1], 8080)),
        };
        let trusted_proxies = read_proxies(lookup("KEYGATE_TRUSTED_PROXIES")?.as_deref())?;
        Ok(Self {
            store,
            secrets,
            listen,
            environment: read_environment(lookup("KEYGATE_ENVIRONMENT")?, lookup("ENVIRONMENT")?)?,
            location: LocationSetting::read(lookup, &trusted_proxies)?,
            trusted_proxies,
            namespace: read_namespace(lookup("KEYGATE_NAMESPACE")?)?,
            keeping: Keeping::read(lookup)?,
            anomalies: anomalies::read(lookup)?,
            audit: audit::read(lookup)?,
            notices: NoticeSettings::read(lookup)?,
            imports: imports::read(lookup)?,
        })
    }
}

/// A number within a range, which is written in digits alone.
fn whole_number<T: Display + FromStr + PartialOrd>(
    name: &'static str,
    text: Option<String>,
    range: RangeInclusive<T>,
) -> Result<Option<T>, SettingError> {
    let Some(text) = text else { return Ok(None) };
    let number = text.parse().ok().filter(|number| range.contains(number));
    let number = number.filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let (least, most) = (range.start(), range.end());
    number.map(Some).ok_or_else(|| SettingError::new(name, format!("must be a whole number from {least} to {most}")))
}

fn read_environment(own: Option<String>, shared: Option<String>) -> Result<Environment, SettingError> {
    let named = own.map(|text| ("KEYGATE_ENVIRONMENT", text)).or_else(|| shared.map(|text| ("ENVIRONMENT", text)));
    named.map_or(Ok(Environment::dev()), |(name, text)| {
        Environment::new(text).map_err(|_| SettingError::new(name, "must be 1 to 16 characters out of a-z 0-9"))
    })
}

fn read_proxies(text: Option<&str>) -> Result<CidrSet, SettingError> {
    let refused = |problem: String| SettingError::new("KEYGATE_TRUSTED_PROXIES", problem);
    let networks: Result<Vec<Cidr>, SettingError> = text
        .into_iter()
        .flat_map(|text| text.split(','))
        .map(|part| Cidr::new(part.trim()).map_err(|error| refused(format!("has {:?}: {error}", part.trim()))))
        .collect();
    CidrSet::new(networks?).map_err(|error| refused(format!("is too long: {error}")))
}

fn read_namespace(text: Option<String>) -> Result<String, SettingError> {
    let text = text.unwrap_or_else(|| "kg".into());
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if text.len() > 32 || !text.bytes().all(allowed) {
        return Err(SettingError::new("KEYGATE_NAMESPACE", "must be 1 to 32 characters out of A-Z a-z 0-9 . _ -"));
    }
    Ok(text)
}
