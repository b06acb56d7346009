//! `keygate keys revoke` and `delete`: what cannot be undone, and is asked about first on a terminal.

use chrono::Utc;
use keygate::key::KeyId;
use serde_json::json;

use super::existing;
use crate::args::{DeleteArgs, FinalArgs, SettingArgs};
use crate::confirm::{can_ask, confirm};
use crate::desk::{Desk, Wait};
use crate::failure::Failure;
use crate::output::{self, time::moment, words::safe};

/// Stops a key for good.
pub(crate) async fn revoke(args: &FinalArgs, settings: &SettingArgs) -> Result<(), Failure> {
    let desk = existing(settings).await?;
    ask(&desk, args.key.id, args.yes, "Revoke").await?;
    let wait = if args.no_wait { Wait::No } else { Wait::UntilHeard };
    let revoked = desk.revoke(args.key.id, args.reason.clone(), wait).await?;
    if settings.json {
        return output::json(&revoked);
    }
    let heard = match (revoked.confirmed, args.no_wait) {
        (true, _) => "; every instance refuses it",
        (false, true) => "",
        (false, false) => {
            "; some instance has not said that it heard: it refuses the key when it is reached again, or when what it \
             kept is too old"
        }
    };
    output::text(&format!("{} is revoked since {}{heard}", revoked.key_id, moment(revoked.revoked_at, Utc::now())))
}

/// Erases a revoked or expired key.
pub(crate) async fn delete(args: &DeleteArgs, settings: &SettingArgs) -> Result<(), Failure> {
    let desk = existing(settings).await?;
    ask(&desk, args.key.id, args.yes, "Delete").await?;
    desk.delete(args.key.id).await?;
    if settings.json {
        return output::json(&json!({ "key_id": args.key.id, "deleted": true }));
    }
    output::text(&format!("{} is deleted", args.key.id))
}

/// Asks the person at the terminal. A script, which stops keys in the night, has nobody to ask.
pub(super) async fn ask(desk: &Desk, id: KeyId, yes: bool, what: &str) -> Result<(), Failure> {
    if yes || !can_ask() {
        return Ok(());
    }
    let key = desk.get(id).await?;
    let name = safe(key.name.as_str());
    confirm(&format!("{what} {id} \"{name}\" of {}/{}? This is final.", key.organization, key.user))
}
