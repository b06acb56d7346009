//! The single-file store of keygate, on redb.
