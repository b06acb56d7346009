//! What every request passes on its way to a call.

pub(crate) mod access_log;
pub(crate) mod limits;
mod request_id;
