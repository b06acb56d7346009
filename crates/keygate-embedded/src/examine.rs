//! Looking a store file over: who may read it, what room its disk has, and whether it agrees with itself.

use std::fs;
use std::path::Path;

use keygate_core::store::{Depth, Finding, Store, StoreError};
use redb::ReadableTableMetadata;

use crate::EmbeddedStore;
use crate::error::storage;
#[cfg(unix)]
use crate::open::directory_of;
use crate::tables::{RECORDS, reading};
use crate::verify::Verification;

const STORE: &str = "store";
const HOLDER: &str = "holder";
const INTEGRITY: &str = "integrity";
const PERMISSIONS: &str = "file_permissions";
const DISK: &str = "disk";

/// Up to so many keys a quick look reads the whole file: a second or two.
const QUICKLY_READ: u64 = 200_000;

/// Of a disk with less room than this, writes will soon fail.
#[cfg(unix)]
const LITTLE_ROOM: u64 = 256 * MIB;
/// With less room than this, they fail: a write makes new pages before it frees old ones.
#[cfg(unix)]
const NO_ROOM: u64 = 16 * MIB;

const MIB: u64 = 1024 * 1024;

/// Looks at a store file from outside, whoever has it open: its permissions, and the room on its disk.
#[must_use]
pub fn examine_file(path: &Path) -> Vec<Finding> {
    look_from_outside(path)
}

#[cfg(unix)]
fn look_from_outside(path: &Path) -> Vec<Finding> {
    vec![permissions(path), disk(path)]
}

#[cfg(not(unix))]
fn look_from_outside(_: &Path) -> Vec<Finding> {
    Vec::new()
}

impl EmbeddedStore {
    pub(crate) async fn look_over(&self, depth: Depth) -> Vec<Finding> {
        let path = self.path();
        let mut findings = vec![
            match fs::metadata(path) {
                Ok(file) => Finding::ok(STORE, format!("{} is open: {}", self.describe(), size(file.len()))),
                Err(error) => gone(path, &error),
            },
            Finding::ok(HOLDER, "this process alone has it open"),
        ];
        findings.extend(examine_file(path));
        findings.push(self.integrity(depth).await);
        findings
    }

    async fn integrity(&self, depth: Depth) -> Finding {
        let keys = match self.keys() {
            Ok(keys) => keys,
            Err(error) => return broken(&error.to_string()),
        };
        if depth == Depth::Quick && keys > QUICKLY_READ {
            let observed = format!("it holds {keys} keys, and they were not all read");
            return Finding::unknown(INTEGRITY, observed, "run it with --deep, which reads the whole file");
        }
        match self.verify().await {
            Ok(found) => judge(&found),
            Err(error) => broken(&error.to_string()),
        }
    }

    fn keys(&self) -> Result<u64, StoreError> {
        self.read_short(|read| reading(read, RECORDS)?.len().map_err(storage))
    }
}

/// The file was removed or replaced under the process that has it open.
fn gone(path: &Path, error: &std::io::Error) -> Finding {
    let observed = format!("{} is open, and not there any more: {error}", path.display());
    Finding::failure(
        STORE,
        observed,
        "make a backup through the process that has it open, if it can, then put that there",
    )
}

fn judge(found: &Verification) -> Finding {
    let keys = found.records;
    match found.problems.first() {
        None => {
            Finding::ok(INTEGRITY, format!("every list and count agrees with the records, of which there are {keys}"))
        }
        Some(first) => {
            let observed = format!("in {keys} records, {} things do not agree: {first}", found.problems.len());
            Finding::failure(INTEGRITY, observed, "restore the file from a backup, and keep this one to find out why")
        }
    }
}

fn broken(problem: &str) -> Finding {
    Finding::failure(INTEGRITY, problem, "restore the file from a backup, and look at the disk's health")
}

/// A size for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..MIB => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes / MIB),
    }
}

#[cfg(unix)]
fn permissions(path: &Path) -> Finding {
    use std::os::unix::fs::PermissionsExt;
    let mode = match fs::metadata(path) {
        Ok(file) => file.permissions().mode() & 0o777,
        Err(error) => {
            let observed = format!("the permissions of {} cannot be seen: {error}", path.display());
            return Finding::unknown(PERMISSIONS, observed, "run this as the user of the service");
        }
    };
    let observed = format!("{} has mode {mode:04o}", path.display());
    let mend = format!("chmod 600 {}", path.display());
    match mode {
        writable if writable & 0o022 != 0 => {
            Finding::failure(PERMISSIONS, format!("{observed}: others may write to it, and so let keys in"), mend)
        }
        readable if readable & 0o044 != 0 => {
            Finding::warning(PERMISSIONS, format!("{observed}: others may read who has keys, and what for"), mend)
        }
        _ => Finding::ok(PERMISSIONS, observed),
    }
}

#[cfg(unix)]
fn disk(path: &Path) -> Finding {
    let directory = directory_of(path);
    match rustix::fs::statvfs(&directory) {
        Ok(disk) => room(disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) => {
            let observed = format!("the room on the disk of {} cannot be seen: {error}", directory.display());
            Finding::unknown(DISK, observed, "run this as the user of the service")
        }
    }
}

#[cfg(unix)]
fn room(free: u64) -> Finding {
    let observed = format!("{} are free", size(free));
    let mend = "make room on the disk: when it is full, keys cannot be made or revoked";
    match free {
        ..NO_ROOM => Finding::failure(DISK, observed, mend),
        NO_ROOM..LITTLE_ROOM => Finding::warning(DISK, observed, mend),
        _ => Finding::ok(DISK, observed),
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use keygate_core::store::Verdict;

    use super::*;

    #[test]
    fn a_file_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.redb");
        assert_eq!(permissions(&path).verdict, Verdict::Unknown);
        fs::write(&path, "").unwrap();
        for (mode, expected) in [
            (0o600, Verdict::Ok),
            (0o400, Verdict::Ok),
            (0o640, Verdict::Warning),
            (0o604, Verdict::Warning),
            (0o620, Verdict::Failure),
            (0o666, Verdict::Failure),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let finding = permissions(&path);
            assert_eq!(finding.verdict, expected, "{finding:?}");
            assert!(finding.observed.contains(&format!("{mode:04o}")), "{finding:?}");
        }
    }

    #[test]
    fn a_full_disk_is_a_failure_before_it_is_full() {
        assert_eq!(room(0).verdict, Verdict::Failure);
        assert_eq!(room(NO_ROOM - 1).verdict, Verdict::Failure);
        assert_eq!(room(NO_ROOM).verdict, Verdict::Warning);
        assert_eq!(room(LITTLE_ROOM).verdict, Verdict::Ok);
        assert_eq!(disk(Path::new("/no/such/directory/keys.redb")).verdict, Verdict::Unknown);
    }

    #[test]
    fn what_does_not_agree_is_a_failure() {
        assert_eq!(judge(&Verification::default()).verdict, Verdict::Ok);
        let found = Verification { records: 3, problems: vec!["key x is not in its user's list".into()] };
        let finding = judge(&found);
        assert_eq!(finding.verdict, Verdict::Failure);
        assert!(finding.observed.contains("key x is not in its user's list"), "{finding:?}");
    }
}
