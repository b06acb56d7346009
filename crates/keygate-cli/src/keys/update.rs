//! `keygate keys update`.

use chrono::Utc;

use super::existing;
use crate::args::{SettingArgs, UpdateArgs};
use crate::failure::Failure;
use crate::output::table::Stream;
use crate::output::{self, key_lines::key_lines};

/// Changes a key, and shows it as it then is.
pub(crate) async fn run(args: &UpdateArgs, settings: &SettingArgs) -> Result<(), Failure> {
    // What is wrong with what was said is told before anything is opened.
    let update = args.update()?;
    let desk = existing(settings).await?;
    let key = desk.update(args.key.id, &update).await?;
    if settings.json {
        return output::json(&key);
    }
    output::text(&key_lines(&key, &[], Utc::now(), Stream::Out))
}
