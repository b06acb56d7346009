//! `keygate serve`: the flags that no other command has.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

const EXAMPLES: &str = "\
Examples:
  keygate serve
  keygate serve --store redis://127.0.0.1:6379 --listen 127.0.0.1:9000
  keygate serve --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem
  keygate serve --trusted-proxies 10.0.0.0/8 --operator-key-file operator.key

Signals: SIGTERM and SIGINT end it, once what it has begun is done or 10 s are
over; a second one ends it at once. SIGHUP reads the certificate again, and
ends a server that has none, as SIGTERM does.";

/// `keygate serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// A file of the certificate to speak TLS with, in PEM, and of those that lead to a known authority behind it [env:
    /// KEYGATE_TLS_CERT]
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    tls_cert: Option<String>,
    /// The file of its private key, in PEM [env: KEYGATE_TLS_KEY]
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    tls_key: Option<String>,
    /// The file that the operator's key is written to when it is made, also where there is a terminal to show it on. Name
    /// it in containers: a terminal there makes their logs keep the key [env: KEYGATE_OPERATOR_KEY_FILE] [default: the
    /// terminal; where there is none, keygate-operator.key beside the store file keygate.redb, NAME.operator.key beside
    /// one of another NAME, keygate-operator.key in the working directory for Redis, and keygate-operator.memory.key
    /// there, replaced at each start, for memory:]
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    operator_key_file: Option<String>,
    /// For how long the server goes on taking requests after it was told to end and is not ready any more, in
    /// milliseconds, so that load balancers see it in time [env: KEYGATE_DRAIN_MS] [default: 500]
    #[arg(long, value_name = "MS", value_parser = NonEmptyStringValueParser::new())]
    drain_ms: Option<String>,
}

impl ServeArgs {
    /// The flag that stands for a variable, and its value, if it was given.
    pub(crate) fn flag(&self, variable: &str) -> Option<(&'static str, &str)> {
        let (flag, value) = match variable {
            "KEYGATE_TLS_CERT" => ("--tls-cert", &self.tls_cert),
            "KEYGATE_TLS_KEY" => ("--tls-key", &self.tls_key),
            "KEYGATE_OPERATOR_KEY_FILE" => ("--operator-key-file", &self.operator_key_file),
            "KEYGATE_DRAIN_MS" => ("--drain-ms", &self.drain_ms),
            _ => return None,
        };
        value.as_deref().map(|value| (flag, value))
    }
}
