//! What an examination of a deployment finds, in words for its operator.

use std::fmt;

use serde::Serialize;

/// How well a thing that was looked at is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It could not be looked at.
    Unknown,
    /// It works, and will not in some circumstance.
    Warning,
    /// It does not work, or loses keys.
    Failure,
}

impl Verdict {
    /// The word for it: `ok`, `unknown`, `warning`, `failure`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How thoroughly is looked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Depth {
    /// What takes a few seconds at most, however many keys there are.
    #[default]
    Quick,
    /// Also what reads every record.
    Deep,
}

/// One thing that was looked at. It holds no secret: neither keys, nor master secrets, nor passwords.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What was looked at: a word in snake case, which stays what it is from version to version.
    pub check: &'static str,
    /// How well it is.
    pub verdict: Verdict,
    /// What was seen.
    pub observed: String,
    /// What to do about it, if anything is to be done.
    pub advice: Option<String>,
}

impl Finding {
    /// It is as it should be.
    pub fn ok(check: &'static str, observed: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, observed: observed.into(), advice: None }
    }

    /// It could not be looked at, for this reason.
    pub fn unknown(check: &'static str, observed: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::ok(check, observed).with(Verdict::Unknown, advice)
    }

    /// It works, and will not in some circumstance.
    pub fn warning(check: &'static str, observed: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::ok(check, observed).with(Verdict::Warning, advice)
    }

    /// It does not work, or loses keys.
    pub fn failure(check: &'static str, observed: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::ok(check, observed).with(Verdict::Failure, advice)
    }

    /// The same with this verdict, and what to do.
    #[must_use]
    pub fn with(self, verdict: Verdict, advice: impl Into<String>) -> Self {
        Self { verdict, advice: Some(advice.into()), ..self }
    }
}

/// Whether nothing that was looked at is a failure.
#[must_use]
pub fn is_healthy(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.verdict != Verdict::Failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_written_as_documented() {
        let finding = Finding::warning("clock", "2 s apart", "set it");
        assert_eq!(
            serde_json::to_string(&finding).unwrap(),
            r#"{"check":"clock","verdict":"warning","observed":"2 s apart","advice":"set it"}"#
        );
        assert_eq!(
            serde_json::to_string(&Finding::ok("clock", "in time")).unwrap(),
            r#"{"check":"clock","verdict":"ok","observed":"in time","advice":null}"#
        );
    }

    #[test]
    fn a_failure_alone_is_unhealthy_and_the_worst() {
        let of = |verdict| Finding::ok("a", "b").with(verdict, "c");
        let [ok, unknown, warning, failure] = [Verdict::Ok, Verdict::Unknown, Verdict::Warning, Verdict::Failure];
        assert!(ok < unknown && unknown < warning && warning < failure);
        assert!(is_healthy(&[of(ok), of(unknown), of(warning)]));
        assert!(!is_healthy(&[of(ok), of(failure)]));
    }
}
