//! What every request passes on its way to a call.

pub(crate) mod access_log;
pub(crate) mod limits;
pub(crate) mod refused;
mod request_id;
