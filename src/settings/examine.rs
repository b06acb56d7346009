//! Looking over the deployment that settings lead to, without setting anything up.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keygate_core::manager::examine_deployment;
use keygate_core::ring::SecretRing;
use keygate_core::store::{Depth, Finding, Store};

#[cfg(feature = "embedded")]
use super::secret_file;
use super::{OpenError, Settings, StoreAddress};

const SETTINGS: &str = "settings";
const STORE: &str = "store";
const SECRETS: &str = "secrets";
const SECRET_FILE: &str = "secret_file";

impl Settings {
    /// Looks over the store, whether the secrets fit it, and these settings. It sets nothing up, neither a store nor a
    /// secret, and never fails: what is wrong is a [`Finding`]. It takes a few seconds at most, but for what
    /// [`Depth::Deep`] reads.
    pub async fn examine(&self, depth: Depth) -> Vec<Finding> {
        let mut findings = vec![self.judge()];
        let is_own = self.secrets.file().is_none();
        findings.extend(self.secret_path().filter(|path| path.exists()).map(|path| secret_permissions(&path, is_own)));
        match self.store_to_examine().await {
            Err(found) => findings.extend(found),
            Ok(store) => {
                let ring = self.ring_to_examine(&*store).await;
                findings.extend(store.examine(depth).await);
                // One in memory was set up by nobody.
                if !matches!(self.store, StoreAddress::Memory) {
                    let ring = ring.as_ref().ok().and_then(Option::as_ref);
                    findings.extend(examine_deployment(&*store, ring, depth).await);
                }
                findings.extend(ring.err());
            }
        }
        findings
    }

    /// What the settings come to.
    fn judge(&self) -> Finding {
        let keeping = &self.keeping;
        let (lease, most) = (keeping.lease.as_millis(), keeping.max_staleness.as_millis());
        let observed = format!(
            "environment {}, namespace {}, {} keys kept in memory; a lease of {lease} ms, at most {most} ms",
            self.environment, self.namespace, keeping.capacity
        );
        if !keeping.stale_if_error.is_zero() {
            let stale = keeping.stale_if_error.as_millis();
            return Finding::warning(
                SETTINGS,
                format!("{observed}; while the store fails, a revoked key is accepted for {stale} ms more"),
                "set KEYGATE_STALE_IF_ERROR_MS to 0, unless that was chosen",
            );
        }
        if keeping.capacity == 0 {
            let observed = format!("{observed}; every request reads the store");
            return Finding::warning(SETTINGS, observed, "raise KEYGATE_CACHE_CAPACITY, unless that was chosen");
        }
        Finding::ok(SETTINGS, observed)
    }

    /// The file the secret is in, if it is in one.
    fn secret_path(&self) -> Option<PathBuf> {
        match (self.secrets.file(), &self.store) {
            (Some(path), _) => Some(path.to_owned()),
            #[cfg(feature = "embedded")]
            (None, StoreAddress::File(path)) if !self.secrets.is_configured() => Some(secret_file::beside(path)),
            _ => None,
        }
    }

    /// The store, if it is there; else what there is to say of it.
    async fn store_to_examine(&self) -> Result<Arc<dyn Store>, Vec<Finding>> {
        #[cfg(feature = "embedded")]
        if let StoreAddress::File(path) = &self.store
            && matches!(path.try_exists(), Ok(false))
        {
            // It would be made by being opened.
            return Err(vec![Finding::failure(
                STORE,
                format!("there is no store at {}", path.display()),
                "point KEYGATE_STORE (--store) at yours, or make a first key with keygate keys create",
            )]);
        }
        self.open_store().await.map_err(|error| self.unopened(&error))
    }

    fn unopened(&self, error: &OpenError) -> Vec<Finding> {
        #[cfg(feature = "embedded")]
        if let (OpenError::Store(source), StoreAddress::File(path)) = (error, &self.store) {
            let mut findings = vec![match source.downcast_ref::<keygate_embedded::OpenError>() {
                // As it should be, while a service runs.
                Some(keygate_embedded::OpenError::Held { holder, .. }) => Finding::unknown(
                    "holder",
                    format!("{} is {holder}", path.display()),
                    "a service that runs holds its store: what is in the file can be looked at when that is stopped",
                ),
                _ => Finding::failure(STORE, error.to_string(), "see what it says of the file"),
            }];
            findings.extend(keygate_embedded::examine_file(path));
            return findings;
        }
        vec![Finding::failure(STORE, error.to_string(), "correct KEYGATE_STORE (--store)")]
    }

    /// The secret ring, if there is one; else what there is to say of that.
    async fn ring_to_examine(&self, store: &dyn Store) -> Result<Option<SecretRing>, Finding> {
        // A passphrase is worth nothing without the salt beside the marker, and to make one is to set the store up.
        if self.secrets.needs_salt() && !matches!(store.deployment().await, Ok(Some(_))) {
            return Ok(None);
        }
        let mend = "set KEYGATE_SECRET, KEYGATE_SECRET_FILE or KEYGATE_PASSPHRASE to what the store was set up with";
        let failure = |error: OpenError| Finding::failure(SECRETS, error.to_string(), mend);
        let current = match self.secrets.current(store).await.map_err(failure)? {
            Some(current) => current,
            None => match self.secret_path() {
                Some(path) if path.exists() => {
                    let read = keygate_core::ring::MasterSecret::from_file(&path);
                    read.map_err(|error| failure(OpenError::Secret(error)))?
                }
                Some(path) => {
                    let observed = format!("there is no secret, and none in {}", path.display());
                    return Err(Finding::failure(SECRETS, observed, format!("put that file back, or {mend}")));
                }
                // One that is gone with the process.
                None if matches!(self.store, StoreAddress::Memory) => return Ok(None),
                None => return Err(Finding::failure(SECRETS, "there is no secret, and this store needs one", mend)),
            },
        };
        self.secrets.ring(&current).map(Some).map_err(failure)
    }
}

/// A secret is its owner's alone. One that somebody else put there, as an orchestrator may, can be behind other walls.
#[cfg(unix)]
fn secret_permissions(path: &Path, is_own: bool) -> Finding {
    use std::os::unix::fs::PermissionsExt;
    let mode = match std::fs::metadata(path) {
        Ok(file) => file.permissions().mode() & 0o777,
        Err(error) => {
            let observed = format!("the permissions of {} cannot be seen: {error}", path.display());
            return Finding::unknown(SECRET_FILE, observed, "run this as the user of the service");
        }
    };
    let observed = format!("{} has mode {mode:04o}", path.display());
    let mend = format!("chmod 600 {}, and replace the secret if somebody may have read it", path.display());
    match mode {
        writable if writable & 0o022 != 0 => {
            Finding::failure(SECRET_FILE, format!("{observed}: others may put their own in its place"), mend)
        }
        readable if readable & 0o044 != 0 && is_own => {
            Finding::failure(SECRET_FILE, format!("{observed}: others may read it"), mend)
        }
        readable if readable & 0o044 != 0 => {
            Finding::warning(SECRET_FILE, format!("{observed}: others on this machine may read it"), mend)
        }
        _ => Finding::ok(SECRET_FILE, observed),
    }
}

#[cfg(not(unix))]
fn secret_permissions(path: &Path, _: bool) -> Finding {
    Finding::unknown(SECRET_FILE, format!("who may read {} is not known", path.display()), "see to it yourself")
}
