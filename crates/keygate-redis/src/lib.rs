//! The Redis store of keygate: standalone, Sentinel and Cluster.
