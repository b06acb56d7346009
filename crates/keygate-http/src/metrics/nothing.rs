//! Without the feature `metrics` nobody is told.

use keygate_core::denial::DenialReason;
use keygate_core::usage::outcome::Answered;

pub(crate) fn admitted() {}

pub(crate) fn denied(_: DenialReason) {}

pub(crate) fn answered(_: Answered) {}
