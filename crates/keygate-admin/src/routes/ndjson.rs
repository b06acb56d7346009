//! One JSON document on each line.

use http::StatusCode;
use serde::Serialize;

use crate::problem::Problem;

/// The media type of it.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// Adds a line.
pub(crate) fn line(text: &mut Vec<u8>, document: &impl Serialize) -> Result<(), Problem> {
    serde_json::to_writer(&mut *text, document).map_err(|error| {
        tracing::error!(%error, "a line of an answer cannot be written");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", "The answer cannot be written.")
    })?;
    text.push(b'\n');
    Ok(())
}
