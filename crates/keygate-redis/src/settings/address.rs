//! Where the store is.

use std::fmt::{self, Display};
use std::path::PathBuf;

/// An address, read and checked.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) place: Place,
    pub(crate) credentials: Credentials,
    pub(crate) tls: bool,
    pub(crate) db: u16,
}

/// The form of an address.
#[derive(Clone)]
pub(crate) enum Place {
    Single(Host),
    Socket(PathBuf),
    Sentinel { sentinels: Vec<Host>, master: String, credentials: Credentials },
    Cluster(Vec<Host>),
}

/// A machine and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) port: u16,
}

/// Who asks. It has no `Debug`, so that no derived one above it shows a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

impl Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port } = self;
        if name.contains(':') { write!(f, "[{name}]:{port}") } else { write!(f, "{name}:{port}") }
    }
}

fn join(hosts: &[Host]) -> String {
    hosts.iter().map(Host::to_string).collect::<Vec<_>>().join(",")
}

impl Display for Address {
    /// The address without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        match &self.place {
            Place::Single(host) => write!(f, "{scheme}://{host}/{}", self.db),
            Place::Socket(path) => write!(f, "{scheme}+unix://{}?db={}", path.display(), self.db),
            Place::Sentinel { sentinels, master, .. } => {
                write!(f, "{scheme}+sentinel://{}/{master}/{}", join(sentinels), self.db)
            }
            Place::Cluster(nodes) => write!(f, "{scheme}+cluster://{}", join(nodes)),
        }
    }
}
