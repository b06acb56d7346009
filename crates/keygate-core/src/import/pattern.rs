//! Which texts may be those of imported keys.

use std::fmt;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

use super::{MAX_IMPORTED_LENGTH, MAX_LOOKUP_PART, MIN_IMPORTED_LENGTH, MIN_LOOKUP_PART};
use crate::key::PresentedKey;
use crate::names::NameError;

/// The most patterns of one deployment: each is tried on a text that is no native key.
pub const MAX_PATTERNS: usize = 16;
/// The longest regular expression of a pattern, in bytes.
pub const MAX_PATTERN_LENGTH: usize = 512;
/// The longest name of a pattern or of a key for HMAC.
const MAX_NAME: usize = 32;
/// What a compiled pattern may take, in bytes.
const SIZE_LIMIT: usize = 256 * 1024;
/// The named group that is the part of a text by which a salted key is found.
const LOOKUP: &str = "lookup";

/// A form of the texts that keys had before they were imported: a name, and a regular expression that the whole of a text
/// must match. It is in the syntax of the `regex` crate, whose matching takes time in proportion to the text, and of ASCII.
///
/// A group `(?P<lookup>...)` in it is the part of the text by which keys of a salted scheme are found; without one such
/// keys cannot be imported.
#[derive(Clone)]
pub struct ImportPattern {
    name: Arc<str>,
    text: Arc<str>,
    regex: Regex,
    has_lookup: bool,
}

impl ImportPattern {
    /// A pattern of this name and expression.
    ///
    /// # Errors
    /// When the name is not 1 to 32 characters out of `a-z 0-9 . _ -`; or the expression is empty, longer than
    /// [`MAX_PATTERN_LENGTH`], no regular expression, too large once compiled, or matches texts of native keys.
    pub fn new(name: &str, expression: &str) -> Result<Self, NameError> {
        check_name("import pattern name", name)?;
        let refused = |problem: String| NameError::new("import pattern", format!("{name}: {problem}"));
        if expression.is_empty() || expression.len() > MAX_PATTERN_LENGTH {
            return Err(refused(format!("must be a regular expression of 1 to {MAX_PATTERN_LENGTH} bytes")));
        }
        // By itself first: what closes a group that it did not open would come out of the anchors.
        compile(expression).map_err(|error| refused(in_one_line(&error)))?;
        let regex = compile(&format!(r"\A(?:{expression})\z")).map_err(|error| refused(in_one_line(&error)))?;
        if natives().iter().any(|native| regex.is_match(native.as_bytes())) {
            return Err(refused("matches the texts of native keys: let it say how the imported ones differ".into()));
        }
        let has_lookup = regex.capture_names().flatten().any(|name| name == LOOKUP);
        Ok(Self { name: name.into(), text: expression.into(), regex, has_lookup })
    }

    /// A pattern written as `name=expression`, as in the setting `KEYGATE_IMPORT_PATTERNS`.
    ///
    /// # Errors
    /// When there is no `=`, and as of [`new`](Self::new).
    pub fn parse(declaration: &str) -> Result<Self, NameError> {
        let named = declaration.split_once('=');
        let (name, expression) = named.ok_or_else(|| {
            NameError::new("import pattern", "must be written as name=expression, such as legacy=sk_[a-z0-9]{32}")
        })?;
        Self::new(name, expression)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its expression.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.text
    }

    /// Whether it names the part of a text by which keys of a salted scheme are found.
    #[must_use]
    pub fn has_lookup_part(&self) -> bool {
        self.has_lookup
    }

    /// Whether the whole text is of this form.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// The part of a text by which a salted key is found, where there is one that may be.
    pub(super) fn lookup_part<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        if !self.has_lookup {
            return None;
        }
        let part = self.regex.captures(text)?.name(LOOKUP)?.as_bytes();
        (MIN_LOOKUP_PART..=MAX_LOOKUP_PART).contains(&part.len()).then_some(part)
    }
}

impl PartialEq for ImportPattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.text) == (&other.name, &other.text)
    }
}

impl fmt::Debug for ImportPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImportPattern({}={})", self.name, self.text)
    }
}

/// Whether a text may be that of an imported key at all, before any pattern is tried: of the right length, of visible ASCII
/// characters, and not of the native form, which never takes this path.
pub(super) fn is_candidate(text: &[u8]) -> bool {
    (MIN_IMPORTED_LENGTH..=MAX_IMPORTED_LENGTH).contains(&text.len())
        && text.iter().all(u8::is_ascii_graphic)
        && PresentedKey::parse(text).is_err()
}

pub(super) fn check_name(field: &'static str, name: &str) -> Result<(), NameError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(allowed) {
        return Err(NameError::new(field, format!("must be 1 to {MAX_NAME} characters out of a-z 0-9 . _ -")));
    }
    Ok(())
}

fn compile(expression: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(expression).unicode(false).size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT).build()
}

/// An expression's fault is drawn over several lines, of which the last says what it is.
fn in_one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    format!("no regular expression that can be used: {}", last.trim_start_matches("error: "))
}

/// Texts of the native form, of other prefixes and environments: no pattern may match one.
fn natives() -> [String; 3] {
    [("mcp_dev", '0'), ("a_1", 'a'), ("k9_production", '7')].map(|(head, digit)| {
        let id = std::iter::repeat_n('0', 21).chain([digit]);
        let rest = std::iter::repeat_n(digit, 43 + 11);
        format!("{head}_{}", id.chain(rest).collect::<String>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_texts() {
        let pattern = ImportPattern::parse("legacy=sk_live_[A-Za-z0-9]{8}|old-[0-9]{16}").unwrap();
        assert_eq!((pattern.name(), pattern.has_lookup_part()), ("legacy", false));
        for text in ["sk_live_Abcdef12", "old-0123456789012345"] {
            assert!(pattern.matches(text.as_bytes()), "{text}");
            for other in [format!("{text}x"), format!("x{text}"), format!("{text}\n"), text.to_uppercase()] {
                assert!(!pattern.matches(other.as_bytes()), "{other:?}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_and_says_why() {
        let long = format!("a={}", "x".repeat(MAX_PATTERN_LENGTH + 1));
        let large = "a=(?:[a-z]{1000}){1000}";
        for (bad, word) in [
            ("sk_[a-z]+", "name=expression"),
            ("=sk", "1 to 32"),
            ("A=sk", "1 to 32"),
            ("a=", "1 to 512"),
            (&long, "1 to 512"),
            ("a=sk_(", "unclosed group"),
            // It would come out of the anchors.
            ("a=x)|(?:y", "unopened group"),
            (large, "size limit"),
            (r"a=\p{Greek}+", "no regular expression"),
            ("a=.*", "native"),
            ("a=[A-Za-z0-9_]{20,100}", "native"),
            ("a=mcp_dev_[0-9]{76}", "native"),
        ] {
            let error = ImportPattern::parse(bad).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains('\n'), "{bad}: {error}");
        }
    }

    #[test]
    fn the_samples_of_native_texts_are_native() {
        for native in natives() {
            assert!(PresentedKey::parse(native.as_bytes()).is_ok(), "{native}");
            assert!(!is_candidate(native.as_bytes()));
        }
    }

    #[test]
    fn a_text_is_a_candidate_by_its_length_and_characters() {
        for good in ["x".repeat(MIN_IMPORTED_LENGTH), "~".repeat(MAX_IMPORTED_LENGTH)] {
            assert!(is_candidate(good.as_bytes()));
        }
        for bad in [
            "x".repeat(MIN_IMPORTED_LENGTH - 1),
            "x".repeat(MAX_IMPORTED_LENGTH + 1),
            format!("{} ", "x".repeat(30)),
            format!("{}\u{e4}", "x".repeat(30)),
            format!("{}\0", "x".repeat(30)),
        ] {
            assert!(!is_candidate(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn the_lookup_part_is_what_the_group_matched() {
        let pattern = ImportPattern::parse("pb=pk_(?P<lookup>[a-z0-9]{4,})_[a-z0-9]{20}|none-[0-9]{20}").unwrap();
        assert!(pattern.has_lookup_part());
        let text = format!("pk_abcd1234_{}", "x".repeat(20));
        assert_eq!(pattern.lookup_part(text.as_bytes()), Some(&b"abcd1234"[..]));
        assert_eq!(pattern.lookup_part(format!("none-{}", "1".repeat(20)).as_bytes()), None);
        assert_eq!(pattern.lookup_part(b"other"), None);
        let long = format!("pk_{}_{}", "a".repeat(MAX_LOOKUP_PART + 1), "x".repeat(20));
        assert!(pattern.matches(long.as_bytes()));
        assert_eq!(pattern.lookup_part(long.as_bytes()), None);
    }
}
