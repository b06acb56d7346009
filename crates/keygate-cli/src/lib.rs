//! The keygate command.
