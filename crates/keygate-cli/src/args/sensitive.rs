//! Fields that are kept encrypted: how they are said, and what opens them.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, stdin};
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use keygate::names::FieldName;
use keygate::record::Sensitive;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::keys::KeyArg;
use crate::failure::Failure;

/// The longest file of fields: several times what they may be.
const MAX_FILE: usize = 64 * 1024;

const EXAMPLES: &str = "\
Examples:
  keygate keys sensitive 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f
  keygate keys sensitive 01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f --field account --json | jq -r .sensitive.account";

/// `keygate keys sensitive`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SensitiveArgs {
    #[command(flatten)]
    pub(crate) key: KeyArg,
    /// This field alone, as where another is damaged
    #[arg(long, value_name = "NAME")]
    pub(crate) field: Option<FieldName>,
}

/// Reads `NAME=VALUE`. What it refuses it does not repeat.
#[derive(Debug, Clone, Copy)]
struct SensitiveParser;

impl TypedValueParser for SensitiveParser {
    type Value = Sensitive;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Sensitive, clap::Error> {
        let refused = |problem: String| command.clone().error(ErrorKind::ValueValidation, problem);
        let Some((name, value)) = value.to_str().and_then(|text| text.split_once('=')) else {
            return Err(refused("--sensitive must be NAME=VALUE".to_owned()));
        };
        let fields = Map::from_iter([(name.to_owned(), Value::from(value))]);
        Sensitive::new(fields).map_err(|error| refused(format!("--sensitive: {error}")))
    }
}

/// Fields that a key is to have.
#[derive(Debug, Args)]
pub(crate) struct SensitiveFieldArgs {
    /// A field that is kept encrypted, with a text as its value; repeatable. Whoever lists the processes of this machine sees
    /// it, and your shell's history keeps it: --sensitive-file does without that
    #[arg(long, value_name = "NAME=VALUE", value_parser = SensitiveParser)]
    sensitive: Vec<Sensitive>,
    /// Fields that are kept encrypted, as a JSON object in this file; - is standard input
    #[arg(long, value_name = "FILE")]
    sensitive_file: Option<PathBuf>,
}

impl SensitiveFieldArgs {
    /// The fields of the file, and those that were said beside it; `None` if nothing was said.
    pub(crate) fn fields(&self) -> Result<Option<Sensitive>, Failure> {
        let Self { sensitive, sensitive_file: file } = self;
        if file.is_none() && sensitive.is_empty() {
            return Ok(None);
        }
        let read = file.as_deref().map(sensitive_file).transpose()?.unwrap_or_default();
        sensitive.iter().cloned().try_fold(read, Sensitive::and).map(Some).map_err(Failure::usage)
    }
}

/// Reads a JSON object of fields. What is wrong with it is told without what is in it.
fn sensitive_file(path: &Path) -> Result<Sensitive, Failure> {
    let unread = |error: io::Error| Failure::refused(format!("{} cannot be read: {error}", path.display()));
    // At full capacity at once, so that growing leaves no copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE + 1));
    let source: Box<dyn Read> =
        if path.as_os_str() == "-" { Box::new(stdin().lock()) } else { Box::new(File::open(path).map_err(unread)?) };
    source.take(MAX_FILE as u64 + 1).read_to_end(&mut text).map_err(unread)?;
    let refused = |problem: &str| Failure::refused(format!("{} {problem}", path.display()));
    if text.len() > MAX_FILE {
        return Err(refused("is longer than fields may be"));
    }
    let fields: Map<String, Value> = serde_json::from_slice(&text)
        .map_err(|error| refused(&format!("is no JSON object, at line {} column {}", error.line(), error.column())))?;
    Sensitive::new(fields).map_err(|error| refused(&format!("cannot be taken: {error}")))
}
