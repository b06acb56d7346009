//! `keygate keys import`: keys that were made elsewhere, sent in batches.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use keygate::import::MAX_LINE;
use keygate::manager::{ImportOutcome, ImportStatus};
use serde_json::json;
use zeroize::Zeroizing;

use crate::args::{ImportArgs, SettingArgs};
use crate::desk::Desk;
use crate::failure::{Failure, note};
use crate::open::Absent;
use crate::output::{self, words::safe};

/// The most lines of a batch, and the most bytes: well below what a server takes, so that each is soon done.
const LINES: u64 = 1_000;
const BYTES: usize = 4 * 1024 * 1024;

/// What became of the lines so far.
#[derive(Debug, Default)]
struct Counted {
    created: u64,
    exists: u64,
    /// Of those that exist, the ones in use, which cannot be compared with their lines any more.
    uncompared: u64,
    refused: Vec<ImportOutcome>,
}

/// Lines that are sent together.
#[derive(Default)]
struct Batch {
    /// How many lines came before it.
    before: u64,
    lines: u64,
    text: Zeroizing<Vec<u8>>,
}

/// Sends the file, batch by batch. What is done is done: the same command goes on from there.
pub(crate) async fn run(args: &ImportArgs, settings: &SettingArgs) -> Result<(), Failure> {
    let unread = |error: io::Error| Failure::refused(format!("{} cannot be read: {error}", args.file.display()));
    let (mut file, length) = open(&args.file).map_err(unread)?;
    let desk = Desk::open(settings, if args.dry_run { Absent::Refused } else { Absent::Made }).await?;
    let bar = progress(length);
    let mut counted = Counted::default();
    let mut before = 0;
    while let Some(batch) = Batch::read(&mut *file, before).map_err(unread)? {
        let outcomes = match desk.import(&args.org, &batch.text, args.dry_run).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                bar.finish_and_clear();
                let first = batch.before + 1;
                let done =
                    if batch.before == 0 { "" } else { "; what came before it is done, and the same command goes on" };
                return Err(Failure::refused(format!("stopped at line {first}: {error}{done}")));
            }
        };
        before = batch.before + batch.lines;
        counted.take(outcomes, batch.before, &bar);
        bar.inc(batch.text.len() as u64);
    }
    bar.finish_and_clear();
    counted.end(args, settings)
}

fn open(path: &Path) -> io::Result<(Box<dyn BufRead>, u64)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin().lock()), 0));
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok((Box::new(BufReader::new(file)), length))
}

impl Batch {
    /// The next lines of a file, if there are any.
    fn read(file: &mut dyn BufRead, before: u64) -> io::Result<Option<Self>> {
        let mut batch = Self { before, ..Self::default() };
        // At full size, so that growing leaves no copies behind.
        batch.text.reserve(BYTES + MAX_LINE + 2);
        while batch.lines < LINES && batch.text.len() < BYTES {
            if !read_line(file, &mut batch.text)? {
                break;
            }
            batch.lines += 1;
        }
        Ok((batch.lines > 0).then_some(batch))
    }
}

/// Adds a line to a text, and says whether there was one. Of one that is too long so much is read that it is refused as
/// that, and the rest is passed over.
fn read_line(file: &mut dyn BufRead, text: &mut Vec<u8>) -> io::Result<bool> {
    let begin = text.len();
    let mut any = false;
    loop {
        let part = file.fill_buf()?;
        if part.is_empty() {
            break;
        }
        any = true;
        let end = part.iter().position(|byte| *byte == b'\n');
        let room = (MAX_LINE + 1).saturating_sub(text.len() - begin);
        let of_line = &part[..end.unwrap_or(part.len())];
        text.extend_from_slice(&of_line[..of_line.len().min(room)]);
        let used = end.map_or(part.len(), |end| end + 1);
        file.consume(used);
        if end.is_some() {
            break;
        }
    }
    if any {
        text.push(b'\n');
    }
    Ok(any)
}

impl Counted {
    /// Counts what became of a batch, and tells of what was refused.
    fn take(&mut self, outcomes: Vec<ImportOutcome>, before: u64, bar: &ProgressBar) {
        for mut outcome in outcomes {
            outcome.line += before;
            match outcome.status {
                ImportStatus::Created => self.created += 1,
                ImportStatus::Exists => {
                    self.exists += 1;
                    self.uncompared += u64::from(outcome.detail.is_some());
                }
                ImportStatus::Refused => {
                    let why = outcome.detail.as_deref().unwrap_or("it was refused");
                    let line = format!("line {}: {}", outcome.line, safe(why));
                    bar.suspend(|| output::aside(&line));
                    self.refused.push(outcome);
                }
            }
        }
    }

    fn end(self, args: &ImportArgs, settings: &SettingArgs) -> Result<(), Failure> {
        let Self { created, exists, uncompared, refused } = self;
        let mut told = Ok(());
        if settings.json {
            let counts = json!({
                "dry_run": args.dry_run, "created": created, "exists": exists, "uncompared": uncompared,
                "refused": refused.len(), "failed": refused,
            });
            told = output::json(&counts);
        } else {
            let made = if args.dry_run { "would be made" } else { "made" };
            note(format!("{created} keys of {} {made}, {exists} there already, {} refused", args.org, refused.len()));
            if uncompared > 0 {
                note(format!(
                    "of those there already {uncompared} were found by their lookup part and are in use: whether they are \
                     the keys of these lines cannot be compared any more"
                ));
            }
        }
        let lines = created + exists + refused.len() as u64;
        let verdict = match refused.len() {
            0 => Ok(()),
            refused => Err(Failure::refused(format!("{refused} of {lines} lines were refused"))),
        };
        Failure::or_verdict(told, verdict)
    }
}

/// A bar on standard error, if that is a terminal.
fn progress(length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("{bar:40.cyan} {bytes}/{total_bytes}  {eta} left") {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_in_batches_that_know_their_lines() {
        let text = "{}\n".repeat(2_500) + "\n{}";
        let mut file = text.as_bytes();
        let mut before = 0;
        let mut lines = Vec::new();
        let mut whole = Vec::new();
        while let Some(batch) = Batch::read(&mut file, before).unwrap() {
            assert_eq!(batch.before, before);
            before += batch.lines;
            lines.push(batch.lines);
            whole.extend_from_slice(&batch.text);
        }
        assert_eq!(lines, [1_000, 1_000, 502]);
        assert_eq!(whole, (text + "\n").into_bytes());
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_is_whole() {
        let text = format!("{}\n{{}}\n", "x".repeat(10 * MAX_LINE));
        let batch = Batch::read(&mut text.as_bytes(), 0).unwrap().unwrap();
        let lines: Vec<_> = batch.text.split(|byte| *byte == b'\n').map(<[u8]>::len).collect();
        assert_eq!((lines, batch.lines), (vec![MAX_LINE + 1, 2, 0], 2));
    }

    #[test]
    fn a_batch_is_bounded_in_bytes() {
        let text = format!("{}\n", "x".repeat(MAX_LINE)).repeat(100);
        let batch = Batch::read(&mut text.as_bytes(), 0).unwrap().unwrap();
        assert!(batch.text.len() <= BYTES + MAX_LINE + 1, "{}", batch.text.len());
    }
}
