//! From settings to a manager.

use std::path::PathBuf;
use std::sync::Arc;

use keygate_core::manager::{ApiKeyManager, BuildError, SetupError};
use keygate_core::ring::{MasterSecret, SecretError};
use keygate_core::store::{MemoryStore, Store, StoreError};

#[cfg(feature = "embedded")]
use super::secret_file;
use super::{SettingError, Settings, StoreAddress};

/// Why a manager cannot be had from the settings: one sentence, naming the setting or the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The store's file cannot be opened, or its address is not one.
    #[error("KEYGATE_STORE cannot be used: {0}")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store's own secret file cannot be used.
    #[error("the store's secret cannot be used: {0}")]
    Secret(#[from] SecretError),
    /// The store's own secret file cannot be made.
    #[error("the store's secret cannot be kept in {path}: {source}")]
    SecretUnwritten {
        /// Where it was to be kept.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The store was set up under a secret, and there is none now.
    #[error(
        "the store was set up under a secret that is not there: put {0} back, or set KEYGATE_SECRET, \
         KEYGATE_SECRET_FILE or KEYGATE_PASSPHRASE to what it was set up with"
    )]
    SecretMissing(PathBuf),
    /// The store and the secrets do not belong together.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The store did not answer while its marker was read.
    #[error(transparent)]
    Unavailable(#[from] StoreError),
    /// The manager could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The program is ending.
    #[error("interrupted")]
    Interrupted,
}

/// A manager made from settings.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The manager.
    pub manager: ApiKeyManager,
    /// The file a new master secret was made in. Tell the operator: without it no key can be checked.
    pub made_secret: Option<PathBuf>,
    /// Why the store could not be asked yet. The manager tries again by itself, and answers 503 until then.
    pub unavailable: Option<SetupError>,
}

impl Settings {
    /// Opens the store, finds or makes the secret, and checks that they belong together.
    ///
    /// A Redis that does not answer is no error, unless a passphrase needs the salt it keeps: the manager recovers by
    /// itself when it comes.
    ///
    /// # Errors
    /// When the file cannot be opened, a secret is missing, cannot be used or does not fit the store.
    pub async fn open(&self) -> Result<Opened, OpenError> {
        let store = self.open_store().await?;
        let (secret, made_secret) = match self.secrets.current(&*store).await? {
            Some(secret) => (secret, None),
            None => self.own_secret(&*store).await?,
        };
        let ring = self.secrets.ring(&secret)?;
        let builder = ApiKeyManager::builder_shared(store, ring)
            .environment(self.environment)
            .cache_capacity(self.keeping.capacity)
            .stale_if_error(self.keeping.stale_if_error)
            .anomalies(self.anomalies.clone())
            .imports(self.imports.clone())
            .audit(self.audit)
            .notices(self.notices.policy.clone());
        let manager = self.notices.tell(builder)?.build()?;
        let unavailable = match manager.open().await {
            Ok(()) => None,
            Err(error @ SetupError::Store(_)) => Some(error),
            Err(error) => return Err(error.into()),
        };
        Ok(Opened { manager, made_secret, unavailable })
    }

    pub(super) async fn open_store(&self) -> Result<Arc<dyn Store>, OpenError> {
        match &self.store {
            StoreAddress::Memory => Ok(Arc::new(MemoryStore::new())),
            #[cfg(feature = "embedded")]
            StoreAddress::File(path) => {
                let path = path.clone();
                // Opening may have to recover from a crash, which reads and writes the file.
                let open = move || keygate_embedded::EmbeddedStore::open(path);
                let opened = tokio::task::spawn_blocking(open).await.map_err(|_| OpenError::Interrupted)?;
                Ok(Arc::new(opened.map_err(|error| OpenError::Store(error.into()))?))
            }
            #[cfg(feature = "redis")]
            StoreAddress::Redis(address) => {
                let namespace = keygate_redis::Namespace::new(&self.namespace)
                    .map_err(|error| SettingError::new("KEYGATE_NAMESPACE", format!("cannot be used: {error}")))?;
                let settings = (**address)
                    .clone()
                    .with_namespace(namespace)
                    .with_lease(self.keeping.lease)
                    .and_then(|settings| settings.with_max_staleness(self.keeping.max_staleness))
                    .map_err(|error| SettingError::new("KEYGATE_LEASE_MS", format!("cannot be used: {error}")))?;
                Ok(Arc::new(keygate_redis::RedisStore::connect(settings)))
            }
        }
    }

    /// The secret of a store for which none is configured.
    async fn own_secret(
        &self,
        #[cfg_attr(not(feature = "embedded"), expect(unused_variables))] store: &dyn Store,
    ) -> Result<(MasterSecret, Option<PathBuf>), OpenError> {
        match &self.store {
            StoreAddress::Memory => Ok((MasterSecret::generate()?, None)),
            #[cfg(feature = "embedded")]
            StoreAddress::File(path) => {
                let file = secret_file::beside(path);
                if file.exists() {
                    return Ok((MasterSecret::from_file(&file)?, None));
                }
                if store.deployment().await?.is_some_and(|deployment| !deployment.ring_entries.is_empty()) {
                    return Err(OpenError::SecretMissing(file));
                }
                Ok((secret_file::make(&file)?, Some(file)))
            }
            #[cfg(feature = "redis")]
            StoreAddress::Redis(_) => Err(SettingError::new(
                "KEYGATE_SECRET",
                "is required with a Redis store (or KEYGATE_SECRET_FILE, or KEYGATE_PASSPHRASE); make one with: \
                 openssl rand -base64 32",
            )
            .into()),
        }
    }
}
