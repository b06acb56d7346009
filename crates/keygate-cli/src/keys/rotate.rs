//! `keygate keys rotate`.

use chrono::Utc;
use keygate::key::KeyId;
use keygate::manager::Rotation;

use super::destination::Destination;
use super::existing;
use super::final_acts::ask;
use crate::args::{RotateArgs, SettingArgs};
use crate::desk::NotDone;
use crate::failure::{Failure, note};
use crate::output::table::Stream;
use crate::output::{self, key_lines::key_lines, time::moment};

/// Makes a key's successor and shows it, this once.
pub(crate) async fn run(args: &RotateArgs, settings: &SettingArgs) -> Result<(), Failure> {
    let id = args.key.id;
    let desk = existing(settings).await?;
    if args.overlap == Some(0) {
        ask(&desk, id, args.yes, "Replace and revoke").await?;
    }
    let rotation = desk.rotate(id, args.overlap).await.map_err(|error| not_rotated(id, error))?;
    let now = Utc::now();
    if !settings.json {
        output::aside(&key_lines(&rotation.successor, &[], now, Stream::Err));
    }
    let shown = if settings.json {
        output::document(&rotation)
    } else {
        Destination::Standard.write_lines([rotation.text.expose()])
    };
    shown.map_err(|error| unwritten(&rotation, &error))?;
    let end = rotation.overlap_expires_at;
    if end > now {
        note(format!("{id} is good until {}", moment(end, now)));
    } else {
        note(format!("{id} is refused from now on"));
    }
    note("this is the only time the new key is shown to you: what is kept of it cannot bring it back");
    Ok(())
}

/// Whoever does not know whether it was done can look.
fn not_rotated(id: KeyId, error: NotDone) -> Failure {
    if error.is_in_doubt() {
        return Failure::refused(format!("{error}; keygate rotation show {id} tells whether it has a successor"));
    }
    error.into()
}

/// Unlike a key that nobody was shown, it is in the place of another, and is not taken back.
fn unwritten(rotation: &Rotation, error: &std::io::Error) -> Failure {
    let Rotation { old_key_id, new_key_id, .. } = rotation;
    Failure::refused(format!(
        "the key {old_key_id} was rotated, and its successor could not be written: {error}; rotate that in its turn, with \
         keygate keys rotate {new_key_id}"
    ))
}
