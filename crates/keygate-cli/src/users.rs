//! `keygate users`: who owns keys, and what caps what these may do.

use keygate::manager::{ChangedUser, KeyFilter, UserUpdate};
use keygate::record::UserStatus;

use crate::args::{SettingArgs, UserArgs, UsersCommand};
use crate::confirm::{can_ask, confirm};
use crate::desk::Desk;
use crate::failure::{Failure, note};
use crate::open::Absent;
use crate::output;
use crate::output::user::user_lines;

/// Runs a command on users.
pub(crate) async fn run(command: &UsersCommand, settings: &SettingArgs) -> Result<(), Failure> {
    let to = |status| UserUpdate { status: Some(status), ..UserUpdate::default() };
    match command {
        UsersCommand::Show { user } => {
            let desk = Desk::open(settings, Absent::Refused).await?;
            let record = desk.user(&user.org, &user.id).await?;
            if settings.json { output::json(&record) } else { output::text(&user_lines(&record)) }
        }
        UsersCommand::Update { user, asked } => {
            let changed = change(user, &asked.update()?, settings).await?;
            tell(&changed, settings, &user_lines(&changed.user))
        }
        UsersCommand::Suspend { user } => {
            let changed = change(user, &to(UserStatus::Suspended), settings).await?;
            tell(&changed, settings, &format!("{} of {} is suspended: its keys are refused", user.id, user.org))
        }
        UsersCommand::Resume { user } => {
            let changed = change(user, &to(UserStatus::Active), settings).await?;
            tell(&changed, settings, &format!("{} of {} is active", user.id, user.org))
        }
        UsersCommand::Offboard { user, yes } => {
            if !yes && can_ask() {
                confirm(&format!("Revoke all keys of {} of {}? This is final.", user.id, user.org))?;
            }
            let changed = change(user, &to(UserStatus::Offboarded), settings).await?;
            let keys = if changed.revoked == 1 { "1 key" } else { &format!("{} keys", changed.revoked) };
            let said = format!("{} of {} was offboarded: {keys} revoked", user.id, user.org);
            let told = tell(&changed, settings, &said);
            let left = "not all of its keys are revoked yet, though none can be used: run this again";
            Failure::or_verdict(told, if changed.complete { Ok(()) } else { Err(Failure::refused(left)) })
        }
    }
}

/// Changes a user. A mistyped id must not look like one that is stopped or capped now; what was changed stands, whatever comes
/// of looking.
async fn change(user: &UserArgs, update: &UserUpdate, settings: &SettingArgs) -> Result<ChangedUser, Failure> {
    let desk = Desk::open(settings, Absent::Refused).await?;
    let changed = desk.update_user(&user.org, &user.id, update).await?;
    let mut filter = KeyFilter::default();
    filter.user = Some(user.id.clone());
    let keys = desk.list(&user.org, &filter, 1, None).await;
    if keys.is_ok_and(|page| page.keys.is_empty() && page.next_cursor.is_none()) {
        note(format!("{} of {} has no keys", user.id, user.org));
    }
    Ok(changed)
}

fn tell(changed: &ChangedUser, settings: &SettingArgs, said: &str) -> Result<(), Failure> {
    if settings.json { output::json(changed) } else { output::text(said) }
}
