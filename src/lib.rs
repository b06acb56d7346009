#![cfg_attr(all(feature = "axum", feature = "actix", feature = "settings"), doc = include_str!("../README.md"))]
#![cfg_attr(
    not(all(feature = "axum", feature = "actix", feature = "settings")),
    doc = "API keys for Rust services: issue, store, check and revoke them in axum, actix and tonic."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub use keygate_core::*;

/// The Redis store: standalone, Sentinel and Cluster.
#[cfg(feature = "redis")]
pub mod redis {
    pub use keygate_redis::*;
}

/// The single-file store.
#[cfg(feature = "embedded")]
pub mod embedded {
    pub use keygate_embedded::*;
}

/// Credentials, client addresses, locations, answers and figures, with no framework type in them.
#[cfg(any(feature = "tower", feature = "actix", feature = "settings"))]
pub mod http {
    pub use keygate_http::*;
}

/// The layer for Tower services: axum, tonic and hyper.
#[cfg(feature = "tower")]
pub mod tower {
    pub use keygate_tower::*;
}

/// The management API, as an axum router.
#[cfg(feature = "admin")]
pub mod admin {
    pub use keygate_admin::*;
}

/// The middleware for actix-web.
#[cfg(feature = "actix")]
pub mod actix {
    pub use keygate_actix::*;
}

/// Sends notices to webhooks.
#[cfg(feature = "webhooks")]
pub mod webhooks {
    pub use keygate_webhooks::*;
}

#[cfg(feature = "settings")]
pub mod settings;
