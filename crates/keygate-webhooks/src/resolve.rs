//! What address a host's name stands for: only public ones, and what is connected to is what was looked at here.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The most addresses of a name that are tried.
const MOST: usize = 16;

/// That a name is not known, or stands for no address that is connected to. It does not say which of the two: names of the
/// network that this runs in are nobody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its name is not known, or is of no public address")]
pub(crate) struct NoPublicAddress;

/// Asks the operating system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemNames;

impl Resolve for SystemNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is that of the request.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.take(MOST).collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Of the addresses that somebody gives, those that `allowed` allows. The client connects to what is given here and asks
/// nobody a second time, so a name that changes what it stands for gains nothing by that.
pub(crate) struct Only {
    pub(crate) names: Arc<dyn Resolve>,
    pub(crate) allowed: fn(std::net::IpAddr) -> bool,
}

impl Resolve for Only {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, allowed) = (self.names.resolve(name), self.allowed);
        Box::pin(async move {
            let found = found.await.map_err(|_| NoPublicAddress)?;
            let kept: Vec<SocketAddr> = found.filter(|found| allowed(found.ip())).take(MOST).collect();
            if kept.is_empty() {
                return Err(NoPublicAddress.into());
            }
            Ok(Box::new(kept.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::address::is_public;

    /// Gives these for every name, with a port that is none's to choose.
    pub(crate) struct Always(pub(crate) Vec<&'static str>);

    impl Resolve for Always {
        fn resolve(&self, _: Name) -> Resolving {
            let found: Vec<SocketAddr> = self.0.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
            Box::pin(async move { Ok(Box::new(found.into_iter()) as Addrs) })
        }
    }

    /// Knows no name.
    pub(crate) struct Nothing;

    impl Resolve for Nothing {
        fn resolve(&self, _: Name) -> Resolving {
            Box::pin(async { Err("the name server at 10.0.0.53 knows nothing of it".into()) })
        }
    }

    async fn kept(names: impl Resolve + 'static) -> Result<Vec<String>, String> {
        let only = Only { names: Arc::new(names), allowed: is_public };
        let kept = only.resolve("hooks.example".parse().unwrap()).await.map_err(|error| error.to_string())?;
        Ok(kept.map(|address| address.ip().to_string()).collect())
    }

    #[tokio::test]
    async fn of_a_names_addresses_only_the_public_ones_are_kept() {
        let mixed =
            Always(vec!["127.0.0.1", "8.8.8.8", "::ffff:10.0.0.1", "169.254.169.254", "2606:4700:4700::1111", "::1"]);
        assert_eq!(kept(mixed).await.unwrap(), ["8.8.8.8", "2606:4700:4700::1111"]);
        assert_eq!(kept(Always(vec!["8.8.8.8"; 1000])).await.unwrap().len(), MOST);
    }

    #[tokio::test]
    async fn a_name_of_private_addresses_and_one_that_is_not_known_read_the_same() {
        let private = kept(Always(vec!["127.0.0.1", "::1", "10.0.0.1"])).await.unwrap_err();
        assert_eq!(private, "its name is not known, or is of no public address");
        assert_eq!(kept(Nothing).await.unwrap_err(), private);
        assert_eq!(kept(Always(vec![])).await.unwrap_err(), private);
    }
}
