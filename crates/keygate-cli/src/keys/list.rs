//! `keygate keys list`.

use chrono::Utc;
use keygate::key::KeyId;
use keygate::manager::{Cursor, KeyFilter, KeyPage, MAX_PAGE};
use keygate::record::Key;

use super::existing;
use crate::args::{ListArgs, SettingArgs};
use crate::desk::Desk;
use crate::failure::{Failure, note};
use crate::output::{self, key_table::KeyTable};

/// Lists keys of an organization.
pub(crate) async fn run(args: &ListArgs, settings: &SettingArgs) -> Result<(), Failure> {
    let filter = args.filter.filter(settings)?;
    let desk = existing(settings).await?;
    let mut pages = Pages::new(args, &filter, &desk);
    if settings.json { write_json(&mut pages).await } else { write_table(&mut pages).await }
}

/// The list, a page of the store's at a time. The manager's pages may be short where a filter is strict; these go on
/// until as many keys are found as were asked for.
struct Pages<'a> {
    args: &'a ListArgs,
    filter: &'a KeyFilter,
    desk: &'a Desk,
    /// How many keys may still come.
    left: usize,
    /// Where the next page begins.
    cursor: Option<Cursor>,
    ended: bool,
    /// Keys of which nothing can be read.
    unreadable: Vec<KeyId>,
}

impl<'a> Pages<'a> {
    fn new(args: &'a ListArgs, filter: &'a KeyFilter, desk: &'a Desk) -> Self {
        let left = if args.all { usize::MAX } else { usize::try_from(args.limit).unwrap_or(usize::MAX) };
        Self { args, filter, desk, left, cursor: args.cursor, ended: false, unreadable: Vec::new() }
    }

    async fn next(&mut self) -> Result<Option<Vec<Key>>, Failure> {
        if self.ended || self.left == 0 {
            return Ok(None);
        }
        let Self { args, filter, desk, left, cursor, .. } = &self;
        let page = desk.list(&args.org, filter, (*left).min(MAX_PAGE), *cursor).await?;
        let KeyPage { keys, unreadable_key_ids, next_cursor, .. } = page;
        self.unreadable.extend(unreadable_key_ids);
        // A server may answer with more than it was asked for.
        self.left = self.left.saturating_sub(keys.len());
        self.cursor = next_cursor;
        self.ended = next_cursor.is_none();
        Ok(Some(keys))
    }
}

/// One document of the API's shape, written as the pages come: a million keys do not have to fit into memory.
async fn write_json(pages: &mut Pages<'_>) -> Result<(), Failure> {
    // Before the first page is there nothing is written, so that a failure leaves standard output empty.
    let mut before = "{\"keys\":[";
    let mut text = String::new();
    while let Some(keys) = pages.next().await? {
        for key in &keys {
            text.push_str(before);
            text.push_str(&output::to_json(key)?);
            before = ",\n";
        }
        if !text.is_empty() {
            output::raw(&text)?;
            text.clear();
        }
    }
    if before != ",\n" {
        text.push_str(before);
    }
    let (unreadable, cursor) = (output::to_json(&pages.unreadable)?, output::to_json(&pages.cursor)?);
    output::text(&format!("{text}],\"unreadable_key_ids\":{unreadable},\"next_cursor\":{cursor}}}"))
}

async fn write_table(pages: &mut Pages<'_>) -> Result<(), Failure> {
    let mut table = KeyTable::new(Utc::now());
    while let Some(keys) = pages.next().await? {
        keys.iter().for_each(|key| table.add(key));
    }
    if table.is_empty() {
        note("no key matches");
    } else {
        output::text(&table.render())?;
    }
    for id in &pages.unreadable {
        note(format!("{id} cannot be read: its record is damaged, or a newer version has written it"));
    }
    if let Some(cursor) = pages.cursor {
        note(format!("there may be more: --cursor {cursor} goes on from here, --all lists every key"));
    }
    Ok(())
}
