//! `keygate keys show`, `deactivate` and `activate`.

use chrono::Utc;
use keygate::key::KeyId;
use keygate::record::Key;

use super::existing;
use crate::args::{SettingArgs, StatusArgs};
use crate::failure::Failure;
use crate::output::table::Stream;
use crate::output::{self, key_lines::key_lines};

/// Shows a key, and what is left of its limits.
pub(crate) async fn show(id: KeyId, settings: &SettingArgs) -> Result<(), Failure> {
    let desk = existing(settings).await?;
    let shown = desk.show(id).await?;
    if settings.json {
        return output::json(&shown);
    }
    output::text(&key_lines(&shown.key, &shown.limits_left, Utc::now(), Stream::Out))
}

/// Stops a key until it is activated again.
pub(crate) async fn deactivate(args: &StatusArgs, settings: &SettingArgs) -> Result<(), Failure> {
    let desk = existing(settings).await?;
    tell(&desk.deactivate(args.key.id, args.reason.clone()).await?, settings)
}

/// Lets a deactivated key be used again.
pub(crate) async fn activate(id: KeyId, settings: &SettingArgs) -> Result<(), Failure> {
    let desk = existing(settings).await?;
    tell(&desk.activate(id).await?, settings)
}

fn tell(key: &Key, settings: &SettingArgs) -> Result<(), Failure> {
    if settings.json {
        return output::json(key);
    }
    output::text(&format!("{} of {}/{} is {}", key.id, key.organization, key.user, key.state(Utc::now())))
}
