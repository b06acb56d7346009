//! Proxies with the configurations that are shipped for them. On Linux, where all of 127.0.0.0/8 is this machine, so that
//! a client is not where the proxy is.

#![allow(unreachable_pub)]

pub mod checks;
pub mod proxy;
pub mod site;
pub mod wire;
