//! `keygate keys`: one file for each command.

mod bulk;
mod create;
mod create_many;
mod destination;
mod export;
mod final_acts;
mod import;
mod list;
mod presented;
mod rotate;
mod sensitive;
mod status;
mod update;
mod verify;

use keygate::names::Prefix;

pub(crate) use self::destination::Destination;

use crate::args::{KeysCommand, SettingArgs};
use crate::desk::Desk;
use crate::failure::Failure;
use crate::open::Absent;
use crate::output;

/// Runs a command on keys.
pub(crate) async fn run(command: &KeysCommand, settings: &SettingArgs) -> Result<(), Failure> {
    match command {
        KeysCommand::Create(args) if args.count.is_some() => create_many::run(args, settings).await,
        KeysCommand::Create(args) => create::run(args, settings).await,
        KeysCommand::List(args) => list::run(args, settings).await,
        KeysCommand::Show { key } => status::show(key.id, settings).await,
        KeysCommand::Update(args) => update::run(args, settings).await,
        KeysCommand::Sensitive(args) => sensitive::run(args, settings).await,
        KeysCommand::Deactivate(args) => status::deactivate(args, settings).await,
        KeysCommand::Activate { key } => status::activate(key.id, settings).await,
        KeysCommand::Revoke(args) => final_acts::revoke(args, settings).await,
        KeysCommand::Rotate(args) => rotate::run(args, settings).await,
        KeysCommand::Bulk(args) => bulk::run(args, settings).await,
        KeysCommand::Verify(args) => verify::run(args, settings).await,
        KeysCommand::Import(args) => import::run(args, settings).await,
        KeysCommand::Export(args) => export::run(args, settings).await,
        KeysCommand::Pattern => pattern(settings.json),
        KeysCommand::Delete(args) => final_acts::delete(args, settings).await,
    }
}

/// Prints what finds keys in other texts.
fn pattern(json: bool) -> Result<(), Failure> {
    let pattern = keygate::key::pattern(Prefix::default());
    if json { output::json(&serde_json::json!({ "pattern": pattern })) } else { output::text(&pattern) }
}

/// Opens what has to be there.
async fn existing(settings: &SettingArgs) -> Result<Desk, Failure> {
    Desk::open(settings, Absent::Refused).await
}
