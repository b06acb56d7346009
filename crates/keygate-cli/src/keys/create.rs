//! `keygate keys create` of one key.

use chrono::Utc;
use keygate::manager::CreatedKey;

use super::destination::Destination;
use crate::args::{CreateArgs, SettingArgs};
use crate::desk::{Desk, NotDone};
use crate::failure::{Failure, note};
use crate::open::Absent;
use crate::output::table::Stream;
use crate::output::{self, key_lines::key_lines};

/// Makes a key and shows it, this once.
pub(crate) async fn run(args: &CreateArgs, settings: &SettingArgs) -> Result<(), Failure> {
    let new = args.new_key()?;
    let desk = Desk::open(settings, Absent::Made).await?;
    let mut destination = Destination::open(args.output.as_deref(), settings)?;
    let created = match desk.create(new).await {
        Ok(created) => created,
        Err(error) => {
            destination.remove_if_empty();
            return Err(not_made(&desk, error).await);
        }
    };
    if !settings.json {
        output::aside(&key_lines(&created.key, &[], Utc::now(), Stream::Err));
    }
    if let Err(error) = show(&created, &mut destination, settings) {
        destination.remove_if_empty();
        return Err(take_back(&desk, &created, &error).await);
    }
    match destination.name() {
        Some(file) => note(format!("the key is in {file}, readable by you alone; it cannot be shown again")),
        None => note("this is the only time the key is shown: what is kept of it cannot bring it back"),
    }
    Ok(())
}

fn show(created: &CreatedKey, destination: &mut Destination, settings: &SettingArgs) -> std::io::Result<()> {
    if destination.name().is_some() {
        destination.write_lines([created.text.expose()])?;
        destination.finish()?;
        // The document leaves out the key, which was asked for in the file.
        return if settings.json { output::document(&created.key) } else { Ok(()) };
    }
    if settings.json { output::document(created) } else { destination.write_lines([created.text.expose()]) }
}

/// A key that nobody was shown is of use to nobody.
async fn take_back(desk: &Desk, created: &CreatedKey, error: &std::io::Error) -> Failure {
    let (id, end) = (created.key.id, desk.take_back(created.key.id).await);
    Failure::refused(format!("the key {id} was made and could not be written: {error}; {end}"))
}

async fn not_made(desk: &Desk, error: NotDone) -> Failure {
    match error.lost_key() {
        Some(id) => Failure::refused(format!("{error}; {}", desk.take_back(id).await)),
        None => error.into(),
    }
}
