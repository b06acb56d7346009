//! `keygate keys rotate` and `keygate rotation`: their flags.

use clap::{Args, Subcommand};
use keygate::record::RotationSchedule;

use super::keys::KeyArg;
use super::values::{days, overlap};
use crate::failure::Failure;

const ROTATE: &str = "\
Examples:
  keygate keys rotate 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f
  keygate keys rotate 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --overlap 30d
  keygate keys rotate 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --overlap 0d --yes

The new key goes to standard output and what it is to standard error, so that
KEY=$(keygate keys rotate ...) takes the key alone.";
const SET: &str = "\
Examples:
  keygate rotation set 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --every 90d
  keygate rotation set 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --every 30d --overlap 3d --auto --hand-over";
const SHOW: &str = "\
Examples:
  keygate rotation show 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f
  keygate rotation show 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --json";
const CLEAR: &str = "\
Examples:
  keygate rotation clear 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f";
const FINISH: &str = "\
Examples:
  keygate rotation finish 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f";
const RUN: &str = "\
Examples:
  keygate rotation run
  keygate --store redis://127.0.0.1:6379 rotation run --json";

/// `keygate keys rotate`.
#[derive(Debug, Args)]
#[command(after_help = ROTATE)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    pub(crate) key: KeyArg,
    /// For how long the old key is good beside the new one, in whole days; 0d is for a key that leaked, and revokes it at
    /// once [default: what its schedule says, or else 7d]
    #[arg(long, value_name = "TIME", value_parser = overlap)]
    pub(crate) overlap: Option<u32>,
    /// With --overlap 0d: do not ask on a terminal either
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Commands on rotation.
#[derive(Debug, Subcommand)]
pub(crate) enum RotationCommand {
    /// Set when a key is to be rotated
    ///
    /// In the place of the schedule it has; the interval counts from now, if the schedule is another one. A key whose end
    /// comes earlier is due so long before it that the overlap ends with it.
    Set(ScheduleArgs),
    /// Show where a key is in its rotation, and who still uses what it replaces
    #[command(after_help = SHOW)]
    Show {
        #[command(flatten)]
        key: KeyArg,
    },
    /// Take away when a key is to be rotated
    ///
    /// It can still be rotated by hand, and a rotation that has begun goes on.
    #[command(after_help = CLEAR)]
    Clear {
        #[command(flatten)]
        key: KeyArg,
    },
    /// End a rotated key before its overlap is over
    ///
    /// As when nobody uses it any more. Its successor is good as before; if nobody has claimed that, nobody can.
    #[command(after_help = FINISH)]
    Finish {
        #[command(flatten)]
        key: KeyArg,
    },
    /// Rotate by itself what is due, now
    ///
    /// A server does that each minute, so this is for stores that none serves: run it from time to time. Keys wait whose
    /// holders could not claim the new one, which is said on standard error.
    #[command(after_help = RUN)]
    Run,
}

/// `keygate rotation set`.
#[derive(Debug, Args)]
#[command(after_help = SET)]
pub(crate) struct ScheduleArgs {
    #[command(flatten)]
    pub(crate) key: KeyArg,
    /// How long between rotations, in whole days from 1d to 3650d
    #[arg(long, value_name = "TIME", value_parser = days)]
    every: u32,
    /// How long before one there is a warning, below --every [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = days)]
    warning: Option<u32>,
    /// For how long the old key is good beside the new one, below --every and at most 365d [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = overlap)]
    overlap: Option<u32>,
    /// Rotate it by itself when it is due, if its holder may claim the new one; without, it is to be done by hand
    #[arg(long)]
    auto: bool,
    /// Do not tell its owner
    #[arg(long)]
    no_notify: bool,
    /// Let whoever holds the key claim the new one with it [default: as it is]
    #[arg(long, conflicts_with = "no_hand_over")]
    hand_over: bool,
    /// Let nobody do so, and take back what may be claimed now
    #[arg(long)]
    no_hand_over: bool,
}

impl ScheduleArgs {
    /// The schedule that is asked for.
    pub(crate) fn schedule(&self) -> Result<RotationSchedule, Failure> {
        let schedule = RotationSchedule {
            interval_days: self.every,
            warning_days: self.warning.unwrap_or(RotationSchedule::DEFAULT_WARNING_DAYS),
            auto_rotate: self.auto,
            notify_users: !self.no_notify,
            overlap_days: self.overlap.unwrap_or(RotationSchedule::DEFAULT_OVERLAP_DAYS),
        };
        schedule.check().map_err(|error| {
            let flag = match error.field() {
                "rotation warning_days" => "--warning",
                "rotation overlap_days" => "--overlap",
                _ => "--every",
            };
            Failure::usage(format!("{flag}: {error}"))
        })?;
        Ok(schedule)
    }

    /// Whether its holder may claim its successor, if that is to change.
    pub(crate) fn hand_over(&self) -> Option<bool> {
        (self.hand_over || self.no_hand_over).then_some(self.hand_over)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A body that says nothing but the interval.
    #[test]
    fn what_nobody_says_is_what_a_server_takes_for_it() {
        let served: RotationSchedule = serde_json::from_str(r#"{"interval_days":30}"#).unwrap();
        let defaults = (RotationSchedule::DEFAULT_WARNING_DAYS, RotationSchedule::DEFAULT_OVERLAP_DAYS);
        assert_eq!((served.warning_days, served.overlap_days), defaults);
    }
}
