//! `keygate keys bulk`: the same done to many keys, a page at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::atomic::Ordering;

use chrono::{DateTime, SecondsFormat, Utc};
use indicatif::{ProgressBar, ProgressStyle};
use keygate::key::KeyId;
use keygate::manager::{BulkKeys, Cursor, KeyFilter, MAX_BULK, Rotation};
use keygate::record::Key;
use serde::Serialize;

use super::create_many::stop_on_signal;
use super::destination::Destination;
use super::existing;
use crate::args::{BulkArgs, Chosen, OperationArg, SettingArgs};
use crate::confirm::{can_ask, confirm};
use crate::desk::{BulkDone, BulkRefusal, NotDone, Operation};
use crate::failure::{Failure, note};
use crate::output::{self, words::safe};

/// Keys that are rotated in one call, and without a file for the new ones in one command. One of the high tier takes a good part of a second, and each call is answered within
/// a minute.
const ROTATED_AT_ONCE: usize = 100;

/// Does it, page by page. Whatever ends it early, what was done is told, and every new key is written.
pub(crate) async fn run(args: &BulkArgs, settings: &SettingArgs) -> Result<(), Failure> {
    let operation = args.operation(settings)?;
    let at_once = if matches!(operation, Operation::Rotate { .. }) { ROTATED_AT_ONCE } else { MAX_BULK };
    let mut pages = match args.chosen(settings)? {
        Chosen::Named(ids) => Pages::named(ids.to_vec(), at_once),
        Chosen::From(file) => Pages::named(read(file)?, at_once),
        Chosen::Matching(mut filter, cursor) => {
            // Successors are what their predecessors were: those of this command are not to be rotated too.
            if matches!(operation, Operation::Rotate { .. }) {
                filter.made_before.get_or_insert_with(Utc::now);
            }
            Pages::Matching { filter, cursor, at_once, is_begun: false }
        }
    };
    // New keys that are only told at the end would be lost with the command: no more than a page of them are.
    let is_one_page = matches!(operation, Operation::Rotate { .. }) && args.output.is_none() && !args.dry_run;
    if let Pages::Named { ids, .. } = &pages
        && is_one_page
        && ids.len() > at_once
    {
        return Err(Failure::usage(format!(
            "more than {at_once} keys at once are rotated into a file: name it with --output"
        )));
    }
    let desk = existing(settings).await?;
    ask(args, &operation, &pages)?;
    // A dry run makes no keys, and no file for them.
    let destination = Destination::open(args.output.as_deref().filter(|_| !args.dry_run), settings)?;
    let stop = stop_on_signal();
    let mut done = Done { args, destination, bar: pages.progress(), total: Total::default(), trouble: None };
    while let Some(keys) = pages.next() {
        if stop.load(Ordering::Relaxed) {
            done.trouble = Some(format!("it was interrupted{}", pages.going_on(&keys, &done)));
            break;
        }
        match desk.bulk(&args.org, &operation, &keys, args.dry_run).await {
            Ok(page) => {
                pages.went_to(page.next_cursor, page.made_before);
                if let Err(error) = done.take(page) {
                    done.trouble = Some(error + &pages.going_on(&keys, &done));
                    break;
                }
                let room = at_once.saturating_sub(done.total.rotated.len());
                if is_one_page && room > 0 {
                    pages.narrow(room);
                } else if is_one_page && pages.cursor().is_some() {
                    let more =
                        format!("there are more than {at_once} keys, whose successors belong into a file: --output");
                    done.trouble = Some(more + &pages.going_on(&keys, &done));
                    break;
                }
            }
            Err(error) => {
                done.trouble = Some(stopped(&error, args, &operation, &pages.going_on(&keys, &done)));
                break;
            }
        }
    }
    done.total.next_cursor = if done.trouble.is_some() { pages.cursor() } else { None };
    done.total.made_before = pages.made_before().filter(|_| matches!(operation, Operation::Rotate { .. }));
    done.end(settings)
}

/// Asks the person at the terminal before what is final, and before what is done to keys that nobody named.
fn ask(args: &BulkArgs, operation: &Operation, pages: &Pages) -> Result<(), Failure> {
    let is_final = matches!(operation, Operation::Revoke { .. } | Operation::Rotate { overlap_days: Some(0) });
    let is_chosen = matches!(pages, Pages::Matching { .. });
    if args.yes || args.dry_run || !(is_final || is_chosen) || !can_ask() {
        return Ok(());
    }
    let what = match operation {
        Operation::Deactivate { .. } => "Deactivate",
        Operation::Activate { .. } => "Activate",
        Operation::Revoke { .. } => "Revoke",
        Operation::Rotate { overlap_days: Some(0) } => "Replace and revoke",
        Operation::Rotate { .. } => "Rotate",
        Operation::Permissions(_) | Operation::Scopes(_) | Operation::Limits(_) => "Change",
    };
    let which = match pages {
        Pages::Named { ids, .. } => format!("{} keys of {}", ids.len(), args.org),
        Pages::Matching { filter, .. } if *filter == KeyFilter::default() => format!("every key of {}", args.org),
        Pages::Matching { .. } => format!("every key of {} that the filter admits", args.org),
    };
    confirm(&format!("{what} {which}?{}", if is_final { " This is final." } else { "" }))
}

/// Reads ids from a file, one a line. What is no id is not repeated: it may be a key.
fn read(path: &Path) -> Result<Vec<KeyId>, Failure> {
    let unread = |error: io::Error| Failure::refused(format!("--from {}: {error}", path.display()));
    let file: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(path).map_err(unread)?))
    };
    let mut ids = Vec::new();
    for (place, line) in file.lines().enumerate() {
        let line = line.map_err(unread)?;
        if line.trim().is_empty() {
            continue;
        }
        let id = line.trim().parse().map_err(|_| {
            Failure::refused(format!("--from {}: line {} is not a key's id", path.display(), place + 1))
        })?;
        ids.push(id);
    }
    if ids.is_empty() {
        return Err(Failure::refused(format!("--from {} names no key", path.display())));
    }
    Ok(ids)
}

/// The keys, so many at a time.
enum Pages {
    Named { ids: Vec<KeyId>, at_once: usize, begun: usize },
    Matching { filter: KeyFilter, cursor: Option<Cursor>, at_once: usize, is_begun: bool },
}

impl Pages {
    /// Of these, each once: one that is named again further on would be done a second time.
    fn named(mut ids: Vec<KeyId>, at_once: usize) -> Self {
        let mut seen = std::collections::HashSet::new();
        ids.retain(|id| seen.insert(*id));
        Self::Named { ids, at_once, begun: 0 }
    }

    fn next(&mut self) -> Option<BulkKeys> {
        match self {
            Self::Named { ids, at_once, begun } => {
                let page: Vec<KeyId> = ids.iter().skip(*begun).take(*at_once).copied().collect();
                *begun += page.len();
                (!page.is_empty()).then_some(BulkKeys::Named(page))
            }
            Self::Matching { cursor: None, is_begun: true, .. } => None,
            Self::Matching { filter, cursor, at_once, is_begun } => {
                *is_begun = true;
                Some(BulkKeys::Matching { filter: filter.clone(), limit: *at_once, cursor: *cursor })
            }
        }
    }

    /// A page is done, and this is where the next begins. Before when its keys were made is the clock's to say that made them.
    fn went_to(&mut self, next: Option<Cursor>, made_before: Option<DateTime<Utc>>) {
        if let Self::Matching { cursor, filter, .. } = self {
            *cursor = next;
            filter.made_before = made_before.or(filter.made_before);
        }
    }

    /// No more than so many keys with the next page.
    fn narrow(&mut self, room: usize) {
        match self {
            Self::Named { at_once, .. } | Self::Matching { at_once, .. } => *at_once = room,
        }
    }

    fn cursor(&self) -> Option<Cursor> {
        match self {
            Self::Named { .. } => None,
            Self::Matching { cursor, .. } => *cursor,
        }
    }

    /// Before when the keys were made that a filter admits.
    fn made_before(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Named { .. } => None,
            Self::Matching { filter, .. } => filter.made_before,
        }
    }

    /// How to go on with the page that was not done.
    fn going_on(&self, page: &BulkKeys, done: &Done<'_>) -> String {
        let file = if done.args.output.is_some() && !done.args.dry_run { " and another --output" } else { "" };
        match (page, self.cursor()) {
            (BulkKeys::Named(page), _) => match page.first() {
                Some(first) if done.total.count() > 0 => {
                    format!("; what comes before {first} is done, and the same command{file} goes on")
                }
                _ => String::new(),
            },
            (BulkKeys::Matching { .. }, Some(cursor)) => format!("; --cursor {cursor}{file} goes on from there"),
            (BulkKeys::Matching { .. }, None) => String::new(),
        }
    }

    /// A bar on standard error, if that is a terminal: how many keys a filter admits nobody knows.
    fn progress(&self) -> ProgressBar {
        let (bar, template) = match self {
            Self::Named { ids, .. } => {
                (ProgressBar::new(ids.len() as u64), "{bar:40.cyan} {human_pos}/{human_len} keys  {eta} left")
            }
            Self::Matching { .. } => (ProgressBar::new_spinner(), "{spinner:.cyan} {human_pos} keys"),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(if matches!(self, Self::Named { .. }) { style.progress_chars("━╸─") } else { style });
        }
        bar
    }
}

/// Why a page was not done. Whoever does not know whether keys were rotated can look.
fn stopped(error: &NotDone, args: &BulkArgs, operation: &Operation, going_on: &str) -> String {
    let may_be_rotated = matches!(operation, Operation::Rotate { .. }) && error.is_in_doubt() && !args.dry_run;
    let doubt = if may_be_rotated {
        "; keys of this page may have successors whose text is lost: keygate rotation show tells, and those are rotated in \
         their turn"
    } else {
        ""
    };
    format!("{error}{doubt}{going_on}")
}

/// What became of all pages. Its JSON form is that of the management API.
#[derive(Default, Serialize)]
struct Total {
    successful: Vec<KeyId>,
    failed: Vec<BulkRefusal>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rotated: Vec<ShownRotation>,
    /// Where it goes on, if it was cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<Cursor>,
    /// Of rotations by a filter: keys that were made later are left alone, as the new ones are.
    #[serde(skip_serializing_if = "Option::is_none")]
    made_before: Option<DateTime<Utc>>,
}

/// A rotation, with the new key unless that was asked for in a file.
#[derive(Serialize)]
#[serde(untagged)]
enum ShownRotation {
    Whole(Box<Rotation>),
    InFile { old_key_id: KeyId, new_key_id: KeyId, overlap_expires_at: DateTime<Utc>, successor: Box<Key> },
}

impl Total {
    fn count(&self) -> usize {
        self.successful.len() + self.failed.len()
    }

    /// Standard output did not take it: the new keys that were to be in it are lost.
    fn unwritten(&self, error: &io::Error) -> Failure {
        let lost = self.rotated.iter().filter_map(|rotation| match rotation {
            ShownRotation::Whole(rotation) => Some((rotation.old_key_id, rotation.new_key_id)),
            ShownRotation::InFile { .. } => None,
        });
        let lost: Vec<(KeyId, KeyId)> = lost.collect();
        if lost.is_empty() { Failure::unwritten(error) } else { Failure::refused(unwritten(lost, error)) }
    }
}

/// Tells of new keys whose texts are nowhere. Each is in the place of another, and is not taken back.
fn unwritten(lost: Vec<(KeyId, KeyId)>, error: &io::Error) -> String {
    for (old, new) in &lost {
        output::aside(&format!("{old}: its successor {new} was not written"));
    }
    format!(
        "{} keys were rotated whose successors could not be written: {error}; rotate these in their turn",
        lost.len()
    )
}

/// What has been done so far, and what ended it early.
struct Done<'a> {
    args: &'a BulkArgs,
    destination: Destination,
    bar: ProgressBar,
    total: Total,
    trouble: Option<String>,
}

impl Done<'_> {
    /// Takes in a page: its new keys are written before anything else.
    fn take(&mut self, page: BulkDone) -> Result<(), String> {
        let BulkDone { successful, failed, rotated, .. } = page;
        self.bar.inc((successful.len() + failed.len()) as u64);
        for BulkRefusal { key_id, reason, detail } in &failed {
            let line = format!("{key_id}: {}: {}", safe(reason), safe(detail));
            self.bar.suspend(|| output::aside(&line));
        }
        self.total.successful.extend(successful);
        self.total.failed.extend(failed);
        if self.args.output.is_none() {
            self.total.rotated.extend(rotated.into_iter().map(|rotation| ShownRotation::Whole(Box::new(rotation))));
            return Ok(());
        }
        let written = self
            .destination
            .write_lines(rotated.iter().map(|rotation| rotation.text.expose()))
            .and_then(|()| self.destination.finish());
        let lost = written.map_err(|error| {
            let lost = rotated.iter().map(|rotation| (rotation.old_key_id, rotation.new_key_id));
            self.bar.suspend(|| unwritten(lost.collect(), &error))
        });
        self.total.rotated.extend(rotated.into_iter().map(|rotation| ShownRotation::InFile {
            old_key_id: rotation.old_key_id,
            new_key_id: rotation.new_key_id,
            overlap_expires_at: rotation.overlap_expires_at,
            successor: Box::new(rotation.successor),
        }));
        lost
    }

    fn end(self, settings: &SettingArgs) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        self.destination.remove_if_empty();
        let Self { args, destination, total, trouble, .. } = self;
        let (successful, failed) = (total.successful.len(), total.failed.len());
        // Where nothing was done but the first page failed, there is nothing to tell but that.
        let is_told = total.count() > 0 || trouble.is_none();
        let mut told = Ok(());
        if settings.json && is_told {
            told = output::document(&total).map_err(|error| total.unwritten(&error));
        } else if is_told {
            let place = destination.name().filter(|_| !total.rotated.is_empty());
            let place =
                place.map(|file| format!("; the new keys are in {file}, readable by you alone")).unwrap_or_default();
            let (done, refused) = words(args);
            note(format!("{successful} keys of {} {done}, {failed} {refused}{place}", args.org));
        }
        // Whoever says the same again without it rotates the new keys too.
        let again = total.made_before.map(|time| {
            let time = time.to_rfc3339_opts(SecondsFormat::Millis, true);
            format!("; with --made-before {time} the same command leaves the new keys alone")
        });
        let again = again.unwrap_or_default();
        let verdict = match (trouble, failed) {
            (Some(trouble), _) => Err(Failure::refused(trouble + &again)),
            (None, 0) => Ok(()),
            (None, failed) => Err(Failure::refused(format!("{failed} of {} keys failed{again}", successful + failed))),
        };
        Failure::or_verdict(told, verdict)
    }
}

fn words(args: &BulkArgs) -> (&'static str, &'static str) {
    match (args.operation, args.dry_run) {
        (OperationArg::Deactivate, false) => ("deactivated", "failed"),
        (OperationArg::Activate, false) => ("activated", "failed"),
        (OperationArg::Revoke, false) => ("revoked", "failed"),
        (OperationArg::Rotate, false) => ("rotated", "failed"),
        (_, false) => ("changed", "failed"),
        (OperationArg::Deactivate, true) => ("would be deactivated", "would fail"),
        (OperationArg::Activate, true) => ("would be activated", "would fail"),
        (OperationArg::Revoke, true) => ("would be revoked", "would fail"),
        (OperationArg::Rotate, true) => ("would be rotated", "would fail"),
        (_, true) => ("would be changed", "would fail"),
    }
}
