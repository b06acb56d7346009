//! `keygate doctor`: looks the deployment over, and says what to do.

use std::time::Duration;

use comfy_table::{Cell, Color, ColumnConstraint};
use keygate::store::{Depth, Finding, Verdict, is_healthy};
use serde::Serialize;
use tokio::time::timeout;

use crate::args::{DoctorArgs, SettingArgs};
use crate::desk::only_on_a_store;
use crate::failure::Failure;
use crate::open::read_all_settings;
use crate::output::table::{Stream, bare, render};
use crate::output::{self, words::safe};

/// Each step has its own time; this is for what nobody thought of.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    healthy: bool,
    findings: &'a [Finding],
}

/// Looks, and fails if anything is a failure.
pub(crate) async fn run(args: &DoctorArgs, settings: &SettingArgs) -> Result<(), Failure> {
    only_on_a_store(settings)?;
    let findings = look(args, settings).await?;
    let told = if settings.json {
        output::json(&Document { healthy: is_healthy(&findings), findings: &findings })
    } else {
        output::text(&lines(&findings))
    };
    let failed: Vec<&str> =
        findings.iter().filter(|one| one.verdict == Verdict::Failure).map(|one| one.check).collect();
    let verdict = match failed.as_slice() {
        [] => Ok(()),
        failed => Err(Failure::refused(format!("the deployment is not well: see {}", failed.join(", ")))),
    };
    Failure::or_verdict(told, verdict)
}

async fn look(args: &DoctorArgs, settings: &SettingArgs) -> Result<Vec<Finding>, Failure> {
    let settings = match read_all_settings(settings) {
        Ok(settings) => settings,
        Err(Failure::Refused(sentence)) => return Ok(vec![Finding::failure("settings", sentence, "correct it")]),
        Err(failure) => return Err(failure),
    };
    if args.deep {
        return Ok(settings.examine(Depth::Deep).await);
    }
    let late = || {
        let observed = format!("it was not looked over within {} s", PATIENCE.as_secs());
        vec![Finding::failure("store", observed, "see whether KEYGATE_STORE (--store) answers at all")]
    };
    Ok(timeout(PATIENCE, settings.examine(Depth::Quick)).await.unwrap_or_else(|_| late()))
}

/// A line for each finding, with what to do below it, and one for all.
fn lines(findings: &[Finding]) -> String {
    let mut table = bare(Stream::Out);
    for finding in findings {
        let mut words = safe(&finding.observed).into_owned();
        if let Some(advice) = finding.advice.as_deref().filter(|advice| !advice.is_empty()) {
            words += &format!("\n-> {}", safe(advice));
        }
        table.add_row([verdict(finding.verdict), Cell::new(finding.check), Cell::new(words)]);
    }
    for column in [0, 1] {
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    format!("{}\n\n{}", render(&table), summary(findings))
}

/// A verdict, in the colour of its meaning.
fn verdict(verdict: Verdict) -> Cell {
    let color = match verdict {
        Verdict::Ok => Color::Green,
        Verdict::Warning => Color::Yellow,
        Verdict::Failure => Color::Red,
        _ => Color::Cyan,
    };
    Cell::new(verdict).fg(color)
}

/// `healthy: 12 ok, 1 warning`.
fn summary(findings: &[Finding]) -> String {
    let count = |verdict, one: &str, many: &str| {
        let count = findings.iter().filter(|finding| finding.verdict == verdict).count();
        (count > 0).then(|| format!("{count} {}", if count == 1 { one } else { many }))
    };
    let counts = [
        count(Verdict::Failure, "failure", "failures"),
        count(Verdict::Warning, "warning", "warnings"),
        count(Verdict::Unknown, "unknown", "unknown"),
        count(Verdict::Ok, "ok", "ok"),
    ];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    format!("{}: {}", if is_healthy(findings) { "healthy" } else { "not healthy" }, counts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_stands_below_what_was_seen() {
        let findings =
            [Finding::ok("version", "Redis 8.2.2"), Finding::failure("writes", "OOM\u{1b}[31m", "raise maxmemory")];
        let lines = lines(&findings);
        assert!(lines.contains("ok") && lines.contains("Redis 8.2.2"), "{lines}");
        assert!(lines.contains("OOM\\u{1b}[31m") && lines.contains("-> raise maxmemory"), "{lines}");
        assert!(lines.ends_with("not healthy: 1 failure, 1 ok"), "{lines}");
        assert_eq!(summary(&[]), "healthy: ");
    }
}
