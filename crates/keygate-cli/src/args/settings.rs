//! The settings that are flags of every command. A flag beats its variable.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

/// Settings, as far as they are no secrets.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingArgs {
    /// Where keys are kept: file:PATH, redis://HOST:PORT, rediss://HOST:PORT,
    /// redis+sentinel://HOST:PORT,HOST:PORT/MASTER, redis+cluster://HOST:PORT,HOST:PORT or memory: [env:
    /// KEYGATE_STORE] [default: file:./keygate.redb]
    #[arg(long, global = true, value_name = "ADDRESS", value_parser = NonEmptyStringValueParser::new())]
    store: Option<String>,
    /// The environment of new keys, and the one keys are checked for; keys list shows the keys of this one alone if
    /// the flag is given [env: KEYGATE_ENVIRONMENT, else ENVIRONMENT] [default: dev]
    #[arg(long, global = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) environment: Option<String>,
    /// The first word of every name in a Redis store [env: KEYGATE_NAMESPACE] [default: kg]
    #[arg(long, global = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    namespace: Option<String>,
    /// The longest that any instance of the deployment may believe what it kept, in milliseconds: as long keys revoke
    /// waits at most to be confirmed [env: KEYGATE_MAX_STALENESS_MS] [default: 5000]
    #[arg(long, global = true, value_name = "MS", value_parser = NonEmptyStringValueParser::new())]
    max_staleness_ms: Option<String>,
    /// What is logged on standard error: off, error, warn, info, debug, trace or a tracing filter [env: KEYGATE_LOG]
    /// [default: warn]
    #[arg(long, global = true, value_name = "FILTER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) log: Option<String>,
    /// Print one JSON document, of the management API's shape, and nothing else
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl SettingArgs {
    /// The flag that stands for a variable, and its value, if it was given.
    pub(crate) fn flag(&self, variable: &str) -> Option<(&'static str, &str)> {
        let (flag, value) = match variable {
            "KEYGATE_STORE" => ("--store", &self.store),
            "KEYGATE_ENVIRONMENT" => ("--environment", &self.environment),
            "KEYGATE_NAMESPACE" => ("--namespace", &self.namespace),
            "KEYGATE_MAX_STALENESS_MS" => ("--max-staleness-ms", &self.max_staleness_ms),
            _ => return None,
        };
        value.as_deref().map(|value| (flag, value))
    }
}
