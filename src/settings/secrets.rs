//! `KEYGATE_SECRET`, `KEYGATE_SECRET_FILE`, `KEYGATE_PASSPHRASE` and `KEYGATE_RETIRED_SECRETS`.

use std::path::{Path, PathBuf};

use keygate_core::manager::prepare_deployment;
use keygate_core::ring::{MasterSecret, SecretError, SecretRing};
use keygate_core::store::Store;
use secrecy::{ExposeSecret, SecretString};

use super::{OpenError, SettingError};

/// The current master secret, as it was configured, and the retired ones. `Debug` shows none.
///
/// Where none is configured, a store in a file gets one of its own in a file beside it (`PATH.secret`, readable by
/// its owner alone), a store in memory gets one that is gone with it, and a Redis store is refused.
#[derive(Debug, Clone)]
pub struct Secrets {
    current: Option<Current>,
    retired: Vec<MasterSecret>,
}

#[derive(Debug, Clone)]
enum Current {
    Given(MasterSecret),
    File(PathBuf),
    Passphrase(SecretString),
}

impl Secrets {
    pub(super) fn read(
        secret: Option<SecretString>,
        file: Option<String>,
        passphrase: Option<SecretString>,
        retired: Option<SecretString>,
    ) -> Result<Self, SettingError> {
        let refused = |name, error: SecretError| SettingError::new(name, format!("cannot be used: {error}"));
        let current = match (secret, file, passphrase) {
            (None, None, None) => None,
            (Some(secret), None, None) => Some(Current::Given(
                MasterSecret::from_base64(&secret).map_err(|error| refused("KEYGATE_SECRET", error))?,
            )),
            (None, Some(file), None) => Some(Current::File(PathBuf::from(file))),
            (None, None, Some(passphrase)) => Some(Current::Passphrase(passphrase)),
            (Some(_), _, _) => {
                return Err(SettingError::new(
                    "KEYGATE_SECRET",
                    "is set together with KEYGATE_SECRET_FILE or KEYGATE_PASSPHRASE; set exactly one of them",
                ));
            }
            (None, Some(_), Some(_)) => {
                return Err(SettingError::new(
                    "KEYGATE_SECRET_FILE",
                    "is set together with KEYGATE_PASSPHRASE; set exactly one of them",
                ));
            }
        };
        let retired = match retired {
            None => Vec::new(),
            Some(texts) => texts
                .expose_secret()
                .split(',')
                .map(|text| MasterSecret::from_base64(&SecretString::from(text)))
                .collect::<Result<_, _>>()
                .map_err(|error| refused("KEYGATE_RETIRED_SECRETS", error))?,
        };
        Ok(Self { current, retired })
    }

    /// Whether a current secret is configured.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.current.is_some()
    }

    /// The file that holds the current secret, if one was named.
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.current {
            Some(Current::File(path)) => Some(path),
            _ => None,
        }
    }

    /// Whether the current secret is derived with the salt that the store keeps.
    pub(super) fn needs_salt(&self) -> bool {
        matches!(self.current, Some(Current::Passphrase(_)))
    }

    /// The ring of the current secret and the configured retired ones.
    pub(super) fn ring(&self, current: &MasterSecret) -> Result<SecretRing, OpenError> {
        SecretRing::with_retired(current, &self.retired)
            .map_err(|error| SettingError::new("KEYGATE_RETIRED_SECRETS", format!("cannot be used: {error}")).into())
    }

    /// The current secret, if one is configured.
    pub(super) async fn current(&self, store: &dyn Store) -> Result<Option<MasterSecret>, OpenError> {
        let refused = |name, error: SecretError| SettingError::new(name, format!("cannot be used: {error}"));
        match &self.current {
            None => Ok(None),
            Some(Current::Given(secret)) => Ok(Some(secret.clone())),
            Some(Current::File(path)) => {
                Ok(Some(MasterSecret::from_file(path).map_err(|error| refused("KEYGATE_SECRET_FILE", error))?))
            }
            Some(Current::Passphrase(passphrase)) => {
                let deployment = prepare_deployment(store, chrono::Utc::now()).await.map_err(OpenError::Setup)?;
                let passphrase = passphrase.clone();
                let derive = move || MasterSecret::from_passphrase(&passphrase, &deployment.salt);
                let derived = tokio::task::spawn_blocking(derive).await.map_err(|_| OpenError::Interrupted)?;
                Ok(Some(derived.map_err(|error| refused("KEYGATE_PASSPHRASE", error))?))
            }
        }
    }
}
