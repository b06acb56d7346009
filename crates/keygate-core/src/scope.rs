//! What a key may do: scopes and permissions, written in one grammar, matched segment by segment.
//!
//! A scope is one or more segments joined by `:`. A segment is `[A-Za-z0-9._~/@+-]+`, or `*` for exactly one
//! segment of any text; the last segment may be `**`, for one or more segments of any text. Matching is
//! case-sensitive and knows no prefixes: `files:/john` does not cover `files:/johnathan`
//! (CVE-2026-32716), and an empty list of scopes covers nothing (CVE-2026-62231).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::names::NameError;

/// The longest scope, in bytes.
pub const MAX_SCOPE_LENGTH: usize = 256;
/// The most segments of one scope.
pub const MAX_SCOPE_SEGMENTS: usize = 16;
/// The most scopes in one list.
pub const MAX_SCOPES: usize = 64;

/// The longest text that is held in place: two such scopes fill a line of memory.
const IN_PLACE: usize = 29;

const ONE: &[u8] = b"*";
const REST: &[u8] = b"**";

/// A scope or a permission, with or without wildcards. See the [module docs](self) for the grammar.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(Text);

/// Most texts are short, and those of a list then lie side by side: a key's scopes are looked at by every request, and
/// each text elsewhere would have to be fetched from memory by itself. `concrete`: there is no wildcard in it.
#[derive(Clone)]
enum Text {
    Short { concrete: bool, length: u8, bytes: [u8; IN_PLACE] },
    Long { concrete: bool, text: Arc<str> },
}

impl Text {
    fn new(text: &str) -> Self {
        // An asterisk is in nothing but wildcards.
        let concrete = !text.contains('*');
        let mut bytes = [0; IN_PLACE];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                Self::Short { concrete, length, bytes }
            }
            _ => Self::Long { concrete, text: Arc::from(text) },
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes, .. } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long { text, .. } => text.as_bytes(),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            // Only ASCII gets in, so the default is never taken.
            Self::Short { .. } => std::str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Self::Long { text, .. } => text,
        }
    }
}

impl Scope {
    /// Takes the text as it is, or says why it is refused.
    ///
    /// # Errors
    /// When the text is not of the grammar in the [module docs](self).
    pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
        let text = text.as_ref();
        check(text).map_err(|problem| NameError::new("scope", problem))?;
        Ok(Self(Text::new(text)))
    }

    /// A scope that is written in this program, and so is known to be one.
    pub(crate) fn literal(text: &'static str) -> Self {
        debug_assert_eq!(check(text), Ok(()));
        Self(Text::new(text))
    }

    /// The scope as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it names one thing, with no wildcard in it.
    #[must_use]
    pub fn is_concrete(&self) -> bool {
        match self.0 {
            Text::Short { concrete, .. } | Text::Long { concrete, .. } => concrete,
        }
    }

    /// Whether everything that `other` allows is allowed by this one too. `other` may hold wildcards itself:
    /// this is the test for handing on a grant as well as for using it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        // Whatever it is, it covers itself; and without a wildcard, nothing else.
        self == other || (!self.is_concrete() && self.covers_by_segments(other))
    }

    /// What both allow: a scope that covers whatever this one and `other` cover, and nothing else. `None` where they have
    /// nothing in common.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Option<Self> {
        if self.covers(other) {
            return Some(other.clone());
        }
        if other.covers(self) {
            return Some(self.clone());
        }
        let (mut ours, mut theirs) = (self.as_str().split(':'), other.as_str().split(':'));
        let mut common: Vec<&str> = Vec::new();
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => {
                    let text = common.join(":");
                    // What would be longer than a scope covers none.
                    return (text.len() <= MAX_SCOPE_LENGTH).then(|| Self(Text::new(&text)));
                }
                (Some("**"), Some(rest)) => {
                    common.push(rest);
                    common.extend(theirs.by_ref());
                }
                (Some(rest), Some("**")) => {
                    common.push(rest);
                    common.extend(ours.by_ref());
                }
                (Some("*"), Some(one)) => common.push(one),
                (Some(one), Some(other)) if other == "*" || one == other => common.push(one),
                _ => return None,
            }
        }
    }

    fn covers_by_segments(&self, other: &Self) -> bool {
        let mut asked = segments(other);
        for held in segments(self) {
            match (held, asked.next()) {
                (REST, Some(_)) => return true,
                (_, None | Some(REST)) => return false,
                (ONE, Some(_)) => {}
                (held, Some(asked)) if held == asked => {}
                _ => return false,
            }
        }
        asked.next().is_none()
    }
}

/// As bytes: splitting short texts by a character takes several times as long.
fn segments(scope: &Scope) -> impl Iterator<Item = &[u8]> {
    scope.0.as_bytes().split(|byte| *byte == b':')
}

fn check(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > MAX_SCOPE_LENGTH {
        return Err(format!("must be 1 to {MAX_SCOPE_LENGTH} characters long"));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._~/@+-".contains(&b);
    let mut segments = text.split(':').peekable();
    let mut count = 0;
    while let Some(segment) = segments.next() {
        count += 1;
        match segment.as_bytes() {
            REST if segments.peek().is_some() => return Err("may use ** only as its last segment".into()),
            ONE | REST => {}
            b"" => return Err("must not have an empty segment between its colons".into()),
            segment if segment.iter().copied().all(allowed) => {}
            _ => {
                return Err("must have segments out of A-Z a-z 0-9 . _ ~ / @ + - joined by colons, \
                            or * and ** as whole segments"
                    .into());
            }
        }
    }
    if count > MAX_SCOPE_SEGMENTS {
        return Err(format!("must have at most {MAX_SCOPE_SEGMENTS} segments"));
    }
    Ok(())
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes() == other.0.as_bytes()
    }
}

impl Eq for Scope {}

impl PartialOrd for Scope {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scope {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_bytes().cmp(other.0.as_bytes())
    }
}

impl Hash for Scope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_bytes().hash(state);
    }
}

impl FromStr for Scope {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Scope {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Scope {
    type Error = NameError;
    fn try_from(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        scope.as_str().to_owned()
    }
}

/// A list of at most [`MAX_SCOPES`] scopes: what a key holds, or what it may hand on. Empty, it covers nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Scope>", into = "Vec<Scope>")]
pub struct ScopeSet(Arc<[Scope]>);

impl ScopeSet {
    /// Takes the scopes as they come; repeats are dropped.
    ///
    /// # Errors
    /// When there are more than [`MAX_SCOPES`].
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Result<Self, NameError> {
        let mut kept: Vec<Scope> = Vec::new();
        for scope in scopes {
            if kept.contains(&scope) {
                continue;
            }
            if kept.len() == MAX_SCOPES {
                return Err(NameError::new("scope list", format!("must have at most {MAX_SCOPES} entries")));
            }
            kept.push(scope);
        }
        Ok(Self(kept.into()))
    }

    /// The list with nothing in it, which covers nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// The list with this one in it.
    #[must_use]
    pub fn of(scope: Scope) -> Self {
        Self(Arc::from([scope]))
    }

    /// Reads each text as a scope.
    ///
    /// # Errors
    /// When a text is not a scope, or there are more than [`MAX_SCOPES`].
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, NameError> {
        Self::new(texts.into_iter().map(Scope::new).collect::<Result<Vec<_>, _>>()?)
    }

    /// Whether one scope of the list covers `scope`.
    #[must_use]
    pub fn covers(&self, scope: &Scope) -> bool {
        self.0.iter().any(|held| held.covers(scope))
    }

    /// The first scope of `asked` that this list does not cover.
    #[must_use]
    pub fn first_uncovered<'a>(&self, asked: &'a Self) -> Option<&'a Scope> {
        asked.0.iter().find(|scope| !self.covers(scope))
    }

    /// The scopes, in the order they were given.
    pub fn iter(&self) -> std::slice::Iter<'_, Scope> {
        self.0.iter()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many scopes are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> IntoIterator for &'a ScopeSet {
    type Item = &'a Scope;
    type IntoIter = std::slice::Iter<'a, Scope>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl TryFrom<Vec<Scope>> for ScopeSet {
    type Error = NameError;
    fn try_from(scopes: Vec<Scope>) -> Result<Self, NameError> {
        Self::new(scopes)
    }
}

impl From<ScopeSet> for Vec<Scope> {
    fn from(set: ScopeSet) -> Vec<Scope> {
        set.0.to_vec()
    }
}
