//! A port that belongs to one test at a time.

use std::{
    env,
    fs::{self, File},
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

use crate::TestkitError;

/// The ports leased out. Both these and their bus ports lie below 32768, where Linux begins to give
/// ports to outgoing connections: a stopped server's port must not be taken by a client's connection,
/// least of all by one that tries to reach that very port and so connects to itself.
const FIRST: u16 = 10_500;
const COUNT: u16 = 10_000;

/// A Redis Cluster node listens for other nodes at this distance from its port.
const BUS_OFFSET: u16 = 10_000;

const ATTEMPTS: usize = 200;

/// A free port on 127.0.0.1, leased until this value is dropped.
///
/// While the lease is held no other lease has the port, in this process or in another, even if nothing
/// listens on it: a server can be stopped and started again on the same one. The port 10,000 above,
/// used by Redis Cluster nodes among themselves, was free as well when the lease was taken.
#[derive(Debug)]
pub struct PortLease {
    port: u16,
    path: PathBuf,
    /// Holds the lock that is the lease; the kernel releases it when the process ends.
    _lock: File,
}

impl PortLease {
    /// Leases a port on which nothing listens.
    ///
    /// # Errors
    /// [`TestkitError::NoFreePort`] if 200 ports tried at random are all in use.
    pub fn take() -> Result<Self, TestkitError> {
        let random = RandomState::new();
        (0..ATTEMPTS)
            .find_map(|attempt| {
                let step = random.hash_one(attempt) % u64::from(COUNT);
                Self::of(FIRST + u16::try_from(step).ok()?)
            })
            .ok_or(TestkitError::NoFreePort { attempts: ATTEMPTS })
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    fn of(port: u16) -> Option<Self> {
        let path = env::temp_dir().join(format!("keygate-testkit-port-{port}.lock"));
        let lock = File::options().create(true).truncate(false).write(true).open(&path).ok()?;
        lock.try_lock().ok()?;
        // The file may have been removed by its last holder between our opening and locking it.
        let is_current = fs::metadata(&path).ok()?.ino() == lock.metadata().ok()?.ino();
        if !is_current {
            return None;
        }
        let lease = Self { port, path, _lock: lock };
        let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        (is_free(port) && is_free(port + BUS_OFFSET)).then_some(lease)
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        // Removed while the lock is still held, so that the name never leads to a file someone else locked.
        let _ = fs::remove_file(&self.path);
    }
}
