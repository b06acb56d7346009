//! When a key is to end, said in one of two ways.

use chrono::TimeDelta;
use keygate_core::manager::{Expiry, MAX_EXPIRY_DAYS};

use crate::fields::Time;
use crate::problem::Problem;

/// The end that is asked for, if one is. A null time is never.
pub(super) fn expiry(in_days: Option<u32>, at: Option<Option<Time>>) -> Result<Option<Expiry>, Problem> {
    match (in_days, at) {
        (None, None) => Ok(None),
        (None, Some(None)) => Ok(Some(Expiry::Never)),
        (None, Some(Some(Time(at)))) => Ok(Some(Expiry::At(at))),
        (Some(days), None) if (1..=MAX_EXPIRY_DAYS).contains(&days) => {
            Ok(Some(Expiry::In(TimeDelta::days(days.into()))))
        }
        (Some(_), None) => Err(Problem::invalid(format!("expires_in_days: must be 1 to {MAX_EXPIRY_DAYS}"))),
        (Some(_), Some(_)) => Err(Problem::invalid("expires_in_days: goes without expires_at; send one of them")),
    }
}
