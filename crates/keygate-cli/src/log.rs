//! The log, on standard error: what the manager and the store have to say beside the command's own answer.

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

const VARIABLE: &str = "KEYGATE_LOG";
/// Warnings, but for those of why a store cannot be used: the command itself ends with that, and once is enough.
const DEFAULT: &str = "warn,keygate_core::manager::setup=off,keygate_redis::link=off";

/// What a server logs: what happened to keys, and its requests.
const SERVERS: &str = "info";

/// Begins the log with the filter of the flag, else of the variable, else warnings, or for a server more than that.
pub(crate) fn begin(flag: Option<&str>, is_server: bool) -> Result<(), Failure> {
    let filter = match flag {
        Some(text) => parse(text).map_err(|problem| Failure::usage(format!("--log {problem}")))?,
        None => match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => {
                parse(&text).map_err(|problem| Failure::refused(format!("{VARIABLE} {problem}")))?
            }
            Ok(_) | Err(std::env::VarError::NotPresent) => EnvFilter::new(if is_server { SERVERS } else { DEFAULT }),
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(Failure::refused(format!("{VARIABLE} is not valid UTF-8")));
            }
        },
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never)
        // A log that nobody reads any more is no reason to fail, let alone to panic.
        .log_internal_errors(false)
        .try_init()
        .map_err(Failure::refused)
}

fn parse(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder().parse(text).map_err(|error| {
        format!("must be off, error, warn, info, debug, trace, or a list such as warn,keygate_core=debug: {error}")
    })
}
