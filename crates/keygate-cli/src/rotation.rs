//! `keygate rotation`: when keys are to be rotated, and how far that has come.

use chrono::Utc;
use keygate::key::KeyId;
use keygate::manager::ScheduleRun;
use serde_json::json;

use crate::args::{RotationCommand, ScheduleArgs, SettingArgs};
use crate::desk::{Desk, ShownRotation};
use crate::failure::{Failure, warn};
use crate::open::Absent;
use crate::output::time::moment;
use crate::output::{self, rotation_lines::rotation_lines};

/// Runs a command on rotation.
pub(crate) async fn run(command: &RotationCommand, settings: &SettingArgs) -> Result<(), Failure> {
    match command {
        RotationCommand::Set(args) => set(args, settings).await,
        RotationCommand::Show { key } => show(&existing(settings).await?.rotation(key.id).await?, settings),
        RotationCommand::Clear { key } => clear(key.id, settings).await,
        RotationCommand::Finish { key } => finish(key.id, settings).await,
        RotationCommand::Run => run_schedules(settings).await,
    }
}

/// Opens what has to be there.
async fn existing(settings: &SettingArgs) -> Result<Desk, Failure> {
    Desk::open(settings, Absent::Refused).await
}

async fn set(args: &ScheduleArgs, settings: &SettingArgs) -> Result<(), Failure> {
    let schedule = args.schedule()?;
    let desk = existing(settings).await?;
    let shown = desk.set_rotation(args.key.id, schedule, args.hand_over()).await?;
    if schedule.auto_rotate && !shown.status.hand_over && shown.status.successor.is_none() {
        warn(
            "it waits when it is due, as nobody would be handed the new key: let its holder claim that with --hand-over, or \
             rotate it by hand",
        );
    }
    show(&shown, settings)
}

fn show(shown: &ShownRotation, settings: &SettingArgs) -> Result<(), Failure> {
    if settings.json {
        return output::json(shown);
    }
    output::text(&rotation_lines(&shown.status, Utc::now()))
}

async fn clear(id: KeyId, settings: &SettingArgs) -> Result<(), Failure> {
    existing(settings).await?.clear_rotation(id).await?;
    if settings.json {
        return output::json(&json!({ "key_id": id, "rotation": null }));
    }
    output::text(&format!("{id} has no schedule"))
}

async fn finish(id: KeyId, settings: &SettingArgs) -> Result<(), Failure> {
    let key = existing(settings).await?.finish_rotation(id).await?;
    if settings.json {
        return output::json(&key);
    }
    let end = key.expires_at.map(|end| format!(" since {}", moment(end, Utc::now()))).unwrap_or_default();
    output::text(&format!("{id} has ended{end}"))
}

async fn run_schedules(settings: &SettingArgs) -> Result<(), Failure> {
    let run = existing(settings).await?.run_schedules().await?;
    let ScheduleRun { rotated, waiting, withdrawn, failed, told, unread, .. } = run;
    let told = if settings.json {
        output::json(&run)
    } else {
        output::text(&format!(
            "{rotated} rotated, {waiting} waiting, {withdrawn} offers withdrawn, {failed} failed, {told} notices made"
        ))
    };
    let verdict = match (failed, unread) {
        (0, 0) => Ok(()),
        (_, 0) => Err(Failure::refused(format!("it failed at {failed} keys: the next run tries them again"))),
        _ => Err(Failure::refused(format!(
            "{unread} lists of what is due could not be read: the next run reads them again"
        ))),
    };
    Failure::or_verdict(told, verdict)
}
