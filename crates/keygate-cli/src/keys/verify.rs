//! `keygate keys verify`.

use chrono::Utc;
use keygate::context::{Admission, RequestContext};
use keygate::denial::{Denial, DenialReason};
use keygate::key::PresentedKey;
use keygate::record::Key;
use serde_json::json;

use super::{existing, presented};
use crate::args::{SettingArgs, VerifyArgs};
use crate::failure::Failure;
use crate::open::read_settings;
use crate::output::table::Stream;
use crate::output::{self, key_lines::key_lines};

/// Checks a key as a request's key is checked.
pub(crate) async fn run(args: &VerifyArgs, settings: &SettingArgs) -> Result<(), Failure> {
    read_settings(settings)?;
    let text = presented::read(args)?;
    // What has not the form of a key needs no store to be refused.
    let decision = match std::str::from_utf8(&text) {
        Ok(text) if PresentedKey::parse(text.as_bytes()).is_ok() => {
            existing(settings).await?.manager.validate(text, &context(args)).await
        }
        _ => Err(Denial::new(DenialReason::MalformedKey)),
    };
    match decision {
        Ok(admission) => admitted(&admission, settings),
        Err(denial) => Err(denied(&denial, settings)),
    }
}

fn context(args: &VerifyArgs) -> RequestContext {
    let mut context = RequestContext::new();
    context.client_address = args.client_ip;
    context.scopes = args.scope.iter().cloned().collect();
    context.permissions = args.permission.iter().cloned().collect();
    context
}

fn admitted(admission: &Admission, settings: &SettingArgs) -> Result<(), Failure> {
    let key: &Key = admission;
    if !settings.json {
        return output::text(&format!("valid\n{}", key_lines(key, Utc::now(), Stream::Out)));
    }
    output::json(&json!({
        "valid": true,
        "reason": null,
        "key_id": key.id,
        "organization_id": key.organization,
        "user_id": key.user,
        "project_id": key.project,
        "environment": key.environment,
        "scopes": key.scopes,
        "permissions": key.permissions,
        "expires_at": key.expires_at,
    }))
}

/// A store that cannot be asked says nothing of the key: that is a failure without a verdict.
fn denied(denial: &Denial, settings: &SettingArgs) -> Failure {
    let sentence = Failure::refused(denial);
    if denial.reason() == DenialReason::StoreUnavailable {
        return sentence;
    }
    let told = if settings.json {
        output::json(&json!({
            "valid": false,
            "reason": denial.reason(),
            "detail": denial.detail(),
            "key_id": denial.key_id(),
        }))
    } else {
        output::text("not valid")
    };
    // The exit status is the verdict, and stands even if the reader of the words has gone.
    match told {
        Ok(()) | Err(Failure::Unread) => sentence,
        Err(failure) => failure,
    }
}
