//! The settings that are flags of every command. A flag beats its variable.

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, Args, Command};

/// What the settings that are of use to a server stand below.
const SERVERS: &str = "Settings of the server";

/// Settings, as far as they are no secrets. Those of use to a server alone are taken with every command, as their
/// variables are, and named in the help of [`serve`](Self::shown_to_serve).
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingArgs {
    /// Where keys are kept: file:PATH, redis://HOST:PORT, rediss://HOST:PORT,
    /// redis+sentinel://HOST:PORT,HOST:PORT/MASTER, redis+cluster://HOST:PORT,HOST:PORT or memory: [env:
    /// KEYGATE_STORE] [default: file:./keygate.redb]
    #[arg(long, global = true, value_name = "ADDRESS", value_parser = NonEmptyStringValueParser::new())]
    store: Option<String>,
    /// Go through a running server and not to the store: its URL, with the path it is mounted under if there is one.
    /// KEYGATE_ADMIN_KEY is the key it is called with [env: KEYGATE_SERVER]
    #[arg(long, global = true, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    server: Option<String>,
    /// A file of certificates, in PEM, that are trusted for the server in the place of the system's [env:
    /// KEYGATE_SERVER_CA]
    #[arg(long, global = true, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    server_ca: Option<String>,
    /// Let keys travel in clear text (http) between machines, to the server or with serve: whoever is on the way can
    /// read them [env: KEYGATE_ALLOW_CLEAR_TEXT]
    #[arg(long, global = true)]
    pub(crate) allow_clear_text: bool,
    /// The environment of new keys, and the one keys are checked for; keys list shows the keys of this one alone if
    /// the flag is given [env: KEYGATE_ENVIRONMENT, else ENVIRONMENT] [default: dev, or the server's own]
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
    /// [default: warn; info with serve]
    #[arg(long, global = true, value_name = "FILTER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) log: Option<String>,
    /// The address to listen on: an IP address and a port [env: KEYGATE_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "ADDRESS", value_parser = NonEmptyStringValueParser::new())]
    listen: Option<String>,
    /// The networks of proxies whose word for a client's address counts, such as 10.0.0.0/8,::1/128 [env:
    /// KEYGATE_TRUSTED_PROXIES]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "NETWORKS", value_parser = NonEmptyStringValueParser::new())]
    trusted_proxies: Option<String>,
    /// The header in which trusted proxies say where a client is, such as CF-IPCountry: usage is told apart by it [env:
    /// KEYGATE_LOCATION_HEADER]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    location_header: Option<String>,
    /// In its place, a file that says where addresses are, in MaxMind's format (.mmdb) [env: KEYGATE_LOCATION_DATABASE]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    location_database: Option<String>,
    /// How many keys are kept in memory, some 4.7 kB each; 0 keeps none [env: KEYGATE_CACHE_CAPACITY] [default: 100000]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "N", value_parser = NonEmptyStringValueParser::new())]
    cache_capacity: Option<String>,
    /// For how long an instance that is cut off from Redis believes what it kept, in milliseconds [env:
    /// KEYGATE_LEASE_MS] [default: 1000]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "MS", value_parser = NonEmptyStringValueParser::new())]
    lease_ms: Option<String>,
    /// For how long beyond that it goes on while the store fails, in milliseconds [env: KEYGATE_STALE_IF_ERROR_MS]
    /// [default: 0]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "MS", value_parser = NonEmptyStringValueParser::new())]
    stale_if_error_ms: Option<String>,
    /// The rules by which nothing unusual is looked for in the use of keys, separated by commas: volume, error_rate,
    /// new_location, new_network, dormant_awakened, new_scope, address_spread; or all, which looks for nothing [env:
    /// KEYGATE_ANOMALY_WITHOUT]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "RULES", value_parser = NonEmptyStringValueParser::new())]
    anomaly_without: Option<String>,
    /// The rules whose findings suspend the key, likewise; none does by itself [env: KEYGATE_ANOMALY_SUSPEND_ON]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "RULES", value_parser = NonEmptyStringValueParser::new())]
    anomaly_suspend_on: Option<String>,
    /// For how many days it is learned what a key is used with before something is new [env:
    /// KEYGATE_ANOMALY_LEARNING_DAYS] [default: 7]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "DAYS", value_parser = NonEmptyStringValueParser::new())]
    anomaly_learning_days: Option<String>,
    /// How many more requests in an hour than expected are many [env: KEYGATE_ANOMALY_VOLUME_FLOOR] [default: 1000]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "N", value_parser = NonEmptyStringValueParser::new())]
    anomaly_volume_floor: Option<String>,
    /// And how many standard deviations above what is expected they are [env: KEYGATE_ANOMALY_VOLUME_SIGMAS] [default:
    /// 6]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "N", value_parser = NonEmptyStringValueParser::new())]
    anomaly_volume_sigmas: Option<String>,
    /// By how many percentage points a share of errors is above twice the usual one [env: KEYGATE_ANOMALY_ERROR_POINTS]
    /// [default: 5]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "N", value_parser = NonEmptyStringValueParser::new())]
    anomaly_error_points: Option<String>,
    /// After how many days without a request a key is dormant [env: KEYGATE_ANOMALY_DORMANT_DAYS] [default: 30]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "DAYS", value_parser = NonEmptyStringValueParser::new())]
    anomaly_dormant_days: Option<String>,
    /// How many networks in an hour are many for a key that is used from few [env: KEYGATE_ANOMALY_SPREAD_NETWORKS]
    /// [default: 8]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "N", value_parser = NonEmptyStringValueParser::new())]
    anomaly_spread_networks: Option<String>,
    /// How many days before a key ends its end is told of, separated by commas; or none [env:
    /// KEYGATE_NOTICE_EXPIRING_DAYS] [default: 7,1]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "DAYS", value_parser = NonEmptyStringValueParser::new())]
    notice_expiring_days: Option<String>,
    /// After how many days without use a key is told of; never by default [env: KEYGATE_NOTICE_UNUSED_DAYS]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "DAYS", value_parser = NonEmptyStringValueParser::new())]
    notice_unused_days: Option<String>,
    /// For how many days the audit is kept [env: KEYGATE_AUDIT_RETENTION_DAYS] [default: 400]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "DAYS", value_parser = NonEmptyStringValueParser::new())]
    audit_retention_days: Option<String>,
    /// How many megabytes of each organization's entries in the audit are kept, the newest [env: KEYGATE_AUDIT_MEGABYTES]
    /// [default: 1000]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "MB", value_parser = NonEmptyStringValueParser::new())]
    audit_megabytes: Option<String>,
    /// Whether notices are written in the log [env: KEYGATE_NOTICE_LOG] [default: false]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "BOOL", value_parser = NonEmptyStringValueParser::new())]
    notice_log: Option<String>,
    /// Whether webhooks may be at addresses that are not public, and at http [env: KEYGATE_WEBHOOKS_ALLOW_PRIVATE]
    /// [default: false]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "BOOL", value_parser = NonEmptyStringValueParser::new())]
    webhooks_allow_private: Option<String>,
    /// The proxy through which webhooks are reached [env: KEYGATE_WEBHOOKS_PROXY]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    webhooks_proxy: Option<String>,
    /// The forms of keys that were made elsewhere and imported: name=regex, separated by white space, such as
    /// legacy=sk_live_[A-Za-z0-9]{24} [env: KEYGATE_IMPORT_PATTERNS]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "PATTERNS", value_parser = NonEmptyStringValueParser::new())]
    import_patterns: Option<String>,
    /// How many texts of such a form, of no key that is known, are looked up in a second [env:
    /// KEYGATE_IMPORT_LOOKUPS_PER_SECOND] [default: 2000]
    #[arg(long, global = true, hide = true, help_heading = SERVERS, value_name = "N", value_parser = NonEmptyStringValueParser::new())]
    import_lookups_per_second: Option<String>,
    /// Print one JSON document, of the management API's shape, and nothing else
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl SettingArgs {
    /// The flags that are named in the help of `keygate serve` and nowhere else.
    pub(super) fn shown_to_serve(command: &Command) -> Vec<Arg> {
        let arguments = command.get_arguments().filter(|argument| argument.get_help_heading() == Some(SERVERS));
        arguments.map(|argument| argument.clone().hide(false)).collect()
    }

    /// The flag that stands for a variable, and its value, if it was given.
    pub(crate) fn flag(&self, variable: &str) -> Option<(&'static str, &str)> {
        let (flag, value) = match variable {
            "KEYGATE_STORE" => ("--store", &self.store),
            "KEYGATE_SERVER" => ("--server", &self.server),
            "KEYGATE_SERVER_CA" => ("--server-ca", &self.server_ca),
            "KEYGATE_ENVIRONMENT" => ("--environment", &self.environment),
            "KEYGATE_NAMESPACE" => ("--namespace", &self.namespace),
            "KEYGATE_MAX_STALENESS_MS" => ("--max-staleness-ms", &self.max_staleness_ms),
            "KEYGATE_LISTEN" => ("--listen", &self.listen),
            "KEYGATE_TRUSTED_PROXIES" => ("--trusted-proxies", &self.trusted_proxies),
            "KEYGATE_LOCATION_HEADER" => ("--location-header", &self.location_header),
            "KEYGATE_LOCATION_DATABASE" => ("--location-database", &self.location_database),
            "KEYGATE_CACHE_CAPACITY" => ("--cache-capacity", &self.cache_capacity),
            "KEYGATE_LEASE_MS" => ("--lease-ms", &self.lease_ms),
            "KEYGATE_STALE_IF_ERROR_MS" => ("--stale-if-error-ms", &self.stale_if_error_ms),
            "KEYGATE_ANOMALY_WITHOUT" => ("--anomaly-without", &self.anomaly_without),
            "KEYGATE_ANOMALY_SUSPEND_ON" => ("--anomaly-suspend-on", &self.anomaly_suspend_on),
            "KEYGATE_ANOMALY_LEARNING_DAYS" => ("--anomaly-learning-days", &self.anomaly_learning_days),
            "KEYGATE_ANOMALY_VOLUME_FLOOR" => ("--anomaly-volume-floor", &self.anomaly_volume_floor),
            "KEYGATE_ANOMALY_VOLUME_SIGMAS" => ("--anomaly-volume-sigmas", &self.anomaly_volume_sigmas),
            "KEYGATE_ANOMALY_ERROR_POINTS" => ("--anomaly-error-points", &self.anomaly_error_points),
            "KEYGATE_ANOMALY_DORMANT_DAYS" => ("--anomaly-dormant-days", &self.anomaly_dormant_days),
            "KEYGATE_ANOMALY_SPREAD_NETWORKS" => ("--anomaly-spread-networks", &self.anomaly_spread_networks),
            "KEYGATE_NOTICE_EXPIRING_DAYS" => ("--notice-expiring-days", &self.notice_expiring_days),
            "KEYGATE_NOTICE_UNUSED_DAYS" => ("--notice-unused-days", &self.notice_unused_days),
            "KEYGATE_AUDIT_RETENTION_DAYS" => ("--audit-retention-days", &self.audit_retention_days),
            "KEYGATE_AUDIT_MEGABYTES" => ("--audit-megabytes", &self.audit_megabytes),
            "KEYGATE_NOTICE_LOG" => ("--notice-log", &self.notice_log),
            "KEYGATE_WEBHOOKS_ALLOW_PRIVATE" => ("--webhooks-allow-private", &self.webhooks_allow_private),
            "KEYGATE_WEBHOOKS_PROXY" => ("--webhooks-proxy", &self.webhooks_proxy),
            "KEYGATE_IMPORT_PATTERNS" => ("--import-patterns", &self.import_patterns),
            "KEYGATE_IMPORT_LOOKUPS_PER_SECOND" => ("--import-lookups-per-second", &self.import_lookups_per_second),
            _ => return None,
        };
        value.as_deref().map(|value| (flag, value))
    }
}
