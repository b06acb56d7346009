//! What is told of keys, and how it is sent: `KEYGATE_NOTICE_*`, `KEYGATE_WEBHOOKS_*`.

use keygate_core::manager::ManagerBuilder;
use keygate_core::notice::{LogNotifier, MAX_DAYS, MAX_EXPIRING, NoticePolicy};

use super::{SettingError, whole_number};

const EXPIRING_DAYS: &str = "KEYGATE_NOTICE_EXPIRING_DAYS";
const UNUSED_DAYS: &str = "KEYGATE_NOTICE_UNUSED_DAYS";
const LOG: &str = "KEYGATE_NOTICE_LOG";
const ALLOW_PRIVATE: &str = "KEYGATE_WEBHOOKS_ALLOW_PRIVATE";
const PROXY: &str = "KEYGATE_WEBHOOKS_PROXY";

/// Stands for no days at all.
const NONE: &str = "none";

/// What is told of keys, and how it is sent.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct NoticeSettings {
    /// Of what notices tell that comes with time.
    pub policy: NoticePolicy,
    /// Whether notices are written in the log.
    pub log: bool,
    /// Whether webhooks may be at addresses that are not public, and at `http`.
    pub allow_private: bool,
    /// The proxy through which webhooks are reached.
    pub proxy: Option<String>,
}

impl NoticeSettings {
    pub(super) fn read(
        lookup: impl Fn(&'static str) -> Result<Option<String>, SettingError>,
    ) -> Result<Self, SettingError> {
        let mut policy = NoticePolicy::default();
        let refused = || {
            let problem =
                format!("must be {NONE}, or at most {MAX_EXPIRING} numbers of days from 1 to {MAX_DAYS}, such as 7,1");
            SettingError::new(EXPIRING_DAYS, problem)
        };
        if let Some(text) = lookup(EXPIRING_DAYS)? {
            let parts = text.split(',').map(str::trim).filter(|_| text.trim() != NONE);
            let day = |part: &str| part.parse().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()));
            let days: Vec<u16> = parts.map(day).collect::<Option<_>>().ok_or_else(refused)?;
            policy = policy.expiring(days).map_err(|_| refused())?;
        }
        let unused = whole_number(UNUSED_DAYS, lookup(UNUSED_DAYS)?, 1..=MAX_DAYS)?;
        policy = policy.unused(unused).map_err(|error| SettingError::new(UNUSED_DAYS, error.to_string()))?;
        Ok(Self {
            policy,
            log: yes_or_no(LOG, lookup(LOG)?)?,
            allow_private: yes_or_no(ALLOW_PRIVATE, lookup(ALLOW_PRIVATE)?)?,
            proxy: lookup(PROXY)?,
        })
    }
}

impl NoticeSettings {
    /// Has a manager bring notices as these settings say.
    pub(super) fn tell(&self, builder: ManagerBuilder) -> Result<ManagerBuilder, SettingError> {
        let builder = if self.log { builder.notifier(LogNotifier) } else { builder };
        #[cfg(feature = "webhooks")]
        let builder = self.send(builder)?;
        Ok(builder)
    }

    #[cfg(feature = "webhooks")]
    fn send(&self, builder: ManagerBuilder) -> Result<ManagerBuilder, SettingError> {
        use keygate_webhooks::{BuildError, WebhookClient};
        let client = WebhookClient::builder().allow_private(self.allow_private);
        let client = match &self.proxy {
            Some(proxy) => client.proxy(proxy.clone()),
            None => client,
        };
        match client.build() {
            Ok(client) => Ok(builder.webhooks(client)),
            Err(BuildError::Proxy) => Err(SettingError::new(PROXY, "must begin with http:// or https:// and a host")),
            // Keys are checked on a machine that trusts nobody too.
            Err(error) => {
                tracing::warn!(%error, "no webhooks are sent from here");
                Ok(builder)
            }
        }
    }
}

/// No, where nothing is said.
fn yes_or_no(name: &'static str, text: Option<String>) -> Result<bool, SettingError> {
    match text.as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(SettingError::new(name, "must be true or false")),
    }
}
