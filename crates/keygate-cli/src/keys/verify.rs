//! `keygate keys verify`.

use keygate::import::{ImportPattern, ImportPolicy};
use keygate::key::PresentedKey;

use super::presented;
use crate::args::{SettingArgs, VerifyArgs};
use crate::desk::{Place, Question, Setting, Verdict};
use crate::failure::{Failure, note};
use crate::open::Absent;
use crate::output;
use crate::output::verdict_lines::{check_lines, valid_key_lines};

/// Checks a key as a request's key is checked.
pub(crate) async fn run(args: &VerifyArgs, settings: &SettingArgs) -> Result<(), Failure> {
    let place = Place::read(settings)?;
    let text = presented::read(args)?;
    let verdict = match std::str::from_utf8(&text) {
        Ok(text) if may_be_key(text.as_bytes(), settings)? => {
            place.open(Absent::Refused).await?.verify(text, &question(args)).await?
        }
        // What has not the form of a key needs no store to be refused.
        _ => {
            if place.is_server() {
                note(
                    "nothing was sent to the server: the text has neither the form of keys made here nor one of \
                     --import-patterns; if it is that of an imported key, say its pattern as the server has it",
                );
            }
            Verdict::malformed(args.explain)?
        }
    };
    let told = if settings.json { output::json(&verdict) } else { output::text(&lines(&verdict)) };
    let verdict = verdict.decision.map(drop).map_err(|refusal| {
        let (reason, detail) = (output::words::safe(&refusal.reason), output::words::safe(&refusal.detail));
        Failure::refused(format!("{reason}: {detail}"))
    });
    Failure::or_verdict(told, verdict)
}

/// Whether a text has the form of a key: a native one, or one of those that are declared here to be imported. Whatever else
/// was pasted by mistake is sent nowhere.
fn may_be_key(text: &[u8], settings: &SettingArgs) -> Result<bool, Failure> {
    if PresentedKey::parse(text).is_ok() {
        return Ok(true);
    }
    let Some(patterns) = Setting::read("KEYGATE_IMPORT_PATTERNS", settings)? else { return Ok(false) };
    let mut policy = ImportPolicy::default();
    for declaration in patterns.value.split_ascii_whitespace() {
        let declared = ImportPattern::parse(declaration).and_then(|pattern| policy.pattern(pattern));
        policy = declared.map_err(|error| patterns.wrong(format!("cannot be used: {error}")))?;
    }
    Ok(policy.admits(text))
}

fn question(args: &VerifyArgs) -> Question {
    let VerifyArgs { scope, permission, client_ip, explain, .. } = args;
    let (scope, permission) = (scope.clone(), permission.clone());
    Question { scope, permission, client_ip: *client_ip, cost: args.cost(), explain: *explain }
}

fn lines(verdict: &Verdict) -> String {
    let mut lines = match &verdict.decision {
        Ok(key) => format!("valid\n{}", valid_key_lines(key)),
        Err(_) => "not valid".to_owned(),
    };
    if let Some(checks) = &verdict.checks {
        lines += "\n\n";
        lines += &check_lines(checks);
    }
    lines
}
