//! The audit, a row for each entry; and what a verification found.

use comfy_table::{Cell, ColumnConstraint};
use keygate::audit::{ActOutcome, ActTarget, AuditEntry, AuditVerification, EntryKind};

use super::table::{Stream, bare, head, render as lines};
use super::words::safe;

/// The table as lines, as wide as the terminal at most. What was intended is left out where what became of it is there too.
pub(crate) fn render(entries: &[AuditEntry]) -> String {
    let mut table = bare(Stream::Out);
    let heads = ["NO.", "WHEN (UTC)", "ACTION", "BECAME", "WHO", "WHAT"];
    table.set_header(heads.into_iter().map(head));
    for entry in entries {
        let is_closed = |other: &AuditEntry| other.kind == EntryKind::Outcome && other.act_id == entry.act_id;
        if entry.kind == EntryKind::Intent && entries.iter().any(is_closed) {
            continue;
        }
        let row = [
            entry.sequence.to_string(),
            entry.at.format("%Y-%m-%d %H:%M:%S").to_string(),
            safe(&entry.action).into_owned(),
            became(entry),
            who(entry),
            what(entry),
        ];
        table.add_row(row.into_iter().map(Cell::new));
    }
    for column in table.column_iter_mut().take(3) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    lines(&table)
}

fn became(entry: &AuditEntry) -> String {
    let word = match (entry.kind, entry.outcome) {
        (EntryKind::Intent, _) => "begun",
        (EntryKind::Denied, _) => "denied",
        (_, outcome) => outcome.map_or("", ActOutcome::as_str),
    };
    let mut text = word.to_owned();
    if let Some(reason) = &entry.reason {
        text = format!("{text}: {}", safe(reason));
    }
    if entry.reconciled {
        text.push_str(" (looked up)");
    }
    if entry.unsaid > 0 {
        text.push_str(&format!(" (and {} more)", entry.unsaid));
    }
    text
}

fn who(entry: &AuditEntry) -> String {
    let from = entry.from.map(|from| format!(" from {from}")).unwrap_or_default();
    format!("{}{from}", safe(&entry.principal))
}

/// What it is about, and the names of the fields that changed.
fn what(entry: &AuditEntry) -> String {
    let ActTarget { key_id, user_id, project_id, role, webhook_id, organization_id, call, .. } = &entry.target;
    let named = [
        ("key", key_id.map(|id| id.to_string())),
        ("user", user_id.clone()),
        ("project", project_id.clone()),
        ("role", role.clone()),
        ("webhook", webhook_id.clone()),
        ("organization", organization_id.clone()),
    ];
    let named = named.into_iter().filter_map(|(word, id)| Some(format!("{word} {}", safe(&id?))));
    let mut parts: Vec<String> = named.collect();
    parts.extend(call.as_ref().map(|call| safe(call).into_owned()));
    if !entry.items.is_empty() {
        parts.push(format!("{} keys", entry.items.len()));
    }
    // Of something new all fields are, which says nothing.
    if let (Some(before), Some(_)) = (&entry.before, &entry.after) {
        let fields = before.as_object().into_iter().flatten().map(|(name, _)| safe(name).into_owned());
        let fields: Vec<String> = fields.collect();
        parts.push(format!("({})", fields.join(", ")));
    }
    parts.join(" ")
}

/// What a verification found, in lines.
pub(crate) fn verification(found: &AuditVerification) -> String {
    let mut lines = Vec::new();
    for fault in &found.faults {
        lines.push(format!("{} at {}: {}", fault.kind.as_str(), fault.sequence, safe(&fault.detail)));
    }
    let more = found.faults_in_all.saturating_sub(found.faults.len() as u64);
    if more > 0 {
        lines.push(format!("and {more} more faults"));
    }
    if found.intact {
        lines.push(format!("everything is as it was written: {} entries under {} seals", found.entries, found.seals));
    }
    if found.trimmed_through > 0 {
        lines.push(format!("entries up to {} are not kept any more", found.trimmed_through));
    }
    if let Some(until) = found.cut_short_until {
        lines.push(format!(
            "entries up to {} UTC went before their time, as there was too much: see whether so much was done",
            until.format("%Y-%m-%d %H:%M:%S")
        ));
    }
    if let Some(first) = found.first_unsealed {
        lines.push(format!("entries from {first} on are not sealed yet"));
    }
    if let Some(head) = found.head {
        lines.push(format!("head {head}"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What went before its time is no fault, and told all the same.
    #[test]
    fn what_was_cut_short_is_a_line() -> Result<(), serde_json::Error> {
        let mut found = serde_json::json!({
            "organization_id": "acme", "intact": true, "entries": 3, "seals": 1, "trimmed_through": 2,
            "trimmed_at": "2026-11-02T00:00:00Z", "cut_short_until": "2026-11-01T10:20:30Z", "head": null,
            "first_unsealed": null, "head_found": null, "faults": [], "faults_in_all": 0,
        });
        let told = |found: &serde_json::Value| serde_json::from_value(found.clone()).map(|found| verification(&found));
        let with = told(&found)?;
        assert!(with.contains("entries up to 2026-11-01 10:20:30 UTC went before their time"), "{with}");
        found["cut_short_until"] = serde_json::Value::Null;
        assert_eq!(told(&found)?.lines().count(), with.lines().count() - 1);
        Ok(())
    }
}
