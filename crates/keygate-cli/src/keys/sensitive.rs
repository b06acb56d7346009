//! `keygate keys sensitive`.

use super::existing;
use crate::args::{SensitiveArgs, SettingArgs};
use crate::failure::{Failure, note};
use crate::output::{self, sensitive_lines::sensitive_lines};

/// Opens the fields of a key that are kept encrypted.
pub(crate) async fn run(args: &SensitiveArgs, settings: &SettingArgs) -> Result<(), Failure> {
    let desk = existing(settings).await?;
    let opened = desk.sensitive(args.key.id, args.field.as_ref()).await?;
    if settings.json {
        return output::json(&opened);
    }
    if opened.sensitive.is_empty() {
        note(match &args.field {
            Some(field) => format!("{} has no sensitive field {field}", args.key.id),
            None => format!("{} has no sensitive fields", args.key.id),
        });
        return Ok(());
    }
    output::text(&sensitive_lines(&opened.sensitive))
}
