//! The secret that a store in a file makes for itself, in a file beside it.

use std::io::Write;
use std::path::{Path, PathBuf};

use keygate_core::ring::MasterSecret;
use secrecy::ExposeSecret;

use super::OpenError;

/// The secret file beside a store's file.
pub(super) fn beside(store: &Path) -> PathBuf {
    with_suffix(store, ".secret")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

/// Makes a secret and keeps it in a new file that its owner alone can read, on disk before this returns. It is written
/// beside its place and put there whole: half a secret would stop every later start. The caller holds the store's lock,
/// so that nobody else makes one meanwhile.
pub(super) fn make(path: &Path) -> Result<MasterSecret, OpenError> {
    let secret = MasterSecret::generate()?;
    let unfinished = with_suffix(path, ".new");
    // One that is there is what an earlier start did not finish: no key was made under it.
    let _ = std::fs::remove_file(&unfinished);
    let placed = write_new(&unfinished, &secret).and_then(|()| std::fs::rename(&unfinished, path));
    placed.and_then(|()| sync_directory_of(path)).map_err(|source| {
        let _ = std::fs::remove_file(&unfinished);
        OpenError::SecretUnwritten { path: path.into(), source }
    })?;
    Ok(secret)
}

fn write_new(path: &Path, secret: &MasterSecret) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{}", secret.to_base64().expose_secret())?;
    file.sync_all()
}

/// The name of a new file is on the disk only when its directory is.
fn sync_directory_of(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        std::fs::File::open(directory)?.sync_all()?;
    }
    Ok(())
}
