//! `keygate keys create --count`: one key for each of many users, in chunks, written out as they are made.

use std::fmt;
use std::io::{self, IsTerminal, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{Stream, StreamExt, future, stream};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use keygate::manager::{CreatedKey, NewKey};
use keygate::names::{NameError, UserId};
use serde_json::json;
use tokio::task::JoinError;

use super::destination::Destination;
use crate::args::{CreateArgs, SettingArgs};
use crate::desk::{Desk, NotDone, Pace, Wait};
use crate::failure::{Failure, note};
use crate::open::Absent;
use crate::output;

/// What became of a chunk: an error is a thread that broke down.
type Outcomes = Result<Vec<Result<CreatedKey, NotDone>>, JoinError>;

/// Makes the keys. Whatever ends it early, what was made is in the file.
pub(crate) async fn run(args: &CreateArgs, settings: &SettingArgs) -> Result<(), Failure> {
    let count = args.count.unwrap_or(1);
    let template = args.new_key()?;
    // The longest of the ids, before anything is made.
    numbered(&template.user, count).map_err(Failure::usage)?;
    let desk = Desk::open(settings, Absent::Made).await?;
    let destination = Destination::open(args.output.as_deref(), settings)?;

    let stop = stop_on_signal();
    let bar = progress(count, &destination);
    let mut made = Made { destination, bar, desk: &desk, stop: &stop, written: 0, trouble: None };
    let chunks = chunks(&desk, template, count, Arc::clone(&stop));
    let mut chunks = std::pin::pin!(chunks);
    while let Some(outcomes) = chunks.next().await {
        made.take(outcomes).await;
    }
    made.end(count, args, settings)
}

fn numbered(user: &UserId, number: u32) -> Result<UserId, NameError> {
    UserId::new(format!("{user}-{number}"))
}

/// The chunks in order, each made on a thread of its own, until told to stop.
fn chunks(desk: &Desk, template: NewKey, count: u32, stop: Arc<AtomicBool>) -> impl Stream<Item = Outcomes> {
    let Pace { at_once, in_flight } = desk.pace(template.security_tier.unwrap_or_default());
    let (desk, template) = (desk.clone(), Arc::new(template));
    stream::iter((0..count).step_by(at_once as usize))
        .take_while(move |_| future::ready(!stop.load(Ordering::Relaxed)))
        .map(move |begin| {
            let (desk, template) = (desk.clone(), Arc::clone(&template));
            let users = begin + 1..=count.min(begin.saturating_add(at_once));
            tokio::spawn(async move {
                let for_user = |number| {
                    let mut new = (*template).clone();
                    new.user = numbered(&template.user, number)?;
                    Ok(new)
                };
                match users.map(for_user).collect::<Result<Vec<NewKey>, NameError>>() {
                    Ok(keys) => desk.create_many(keys).await,
                    Err(error) => vec![Err(NotDone::new(error))],
                }
            })
        })
        .buffered(in_flight)
}

/// What has been made so far, and what went wrong.
struct Made<'a> {
    destination: Destination,
    bar: ProgressBar,
    desk: &'a Desk,
    stop: &'a AtomicBool,
    written: usize,
    trouble: Option<String>,
}

impl Made<'_> {
    /// Writes a chunk out before the next one is looked at.
    async fn take(&mut self, outcomes: Outcomes) {
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            Err(error) => return self.fail(error.to_string()),
        };
        let mut keys = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            match outcome {
                Ok(key) => keys.push(key),
                Err(error) => {
                    let end = match error.lost_key() {
                        Some(id) => format!("; {}", self.desk.take_back(id).await),
                        None if error.is_in_doubt() => {
                            "; there may be keys of further users that nobody was given, which keys list shows"
                                .to_owned()
                        }
                        None => String::new(),
                    };
                    self.fail(format!("{error}{end}"));
                }
            }
        }
        match self.destination.write_lines(keys.iter().map(|key| key.text.expose())) {
            Ok(()) => {
                self.written += keys.len();
                self.bar.inc(keys.len() as u64);
            }
            Err(error) => self.take_back(&keys, &error).await,
        }
    }

    /// Remembers the first trouble, and lets no further chunk begin.
    fn fail(&mut self, trouble: String) {
        self.stop.store(true, Ordering::Relaxed);
        self.trouble.get_or_insert(trouble);
    }

    /// Keys whose texts are nowhere are of use to nobody.
    async fn take_back(&mut self, keys: &[CreatedKey], error: &io::Error) {
        let mut left = 0;
        for key in keys {
            left += usize::from(self.desk.revoke(key.key.id, None, Wait::No).await.is_err());
        }
        let place = self.destination.name().unwrap_or_else(|| "standard output".to_owned());
        let end = if left == 0 { String::new() } else { format!(", and {left} of them could not be revoked again") };
        self.fail(format!("{place} cannot be written: {error}; keys that were not written are revoked again{end}"));
    }

    fn end(mut self, count: u32, args: &CreateArgs, settings: &SettingArgs) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        if let Err(error) = self.destination.finish() {
            self.fail(error.to_string());
        }
        self.destination.remove_if_empty();
        let file = self.destination.name();
        let place = file.as_deref().map(|file| format!(" and are in {file}")).unwrap_or_default();
        let written = self.written;
        if written < count as usize || self.trouble.is_some() {
            let trouble = self.trouble.unwrap_or_else(|| "it was interrupted".to_owned());
            let place = if written == 0 { String::new() } else { place };
            return Err(Failure::refused(format!("{written} of {count} keys were made{place}: {trouble}")));
        }
        if settings.json {
            return output::json(&json!({ "created": written, "output": file }));
        }
        let user = &args.user;
        note(format!(
            "{written} keys for {user}-1 to {user}-{count} of {} were made{place}; they cannot be shown again",
            args.org
        ));
        Ok(())
    }
}

/// A bar on standard error, if that is a terminal, and not one that the keys are written to.
fn progress(count: u32, destination: &Destination) -> ProgressBar {
    if destination.name().is_none() && stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(count.into());
    let style = ProgressStyle::with_template("{bar:40.cyan} {human_pos}/{human_len} keys  {rate}  {eta} left");
    if let Ok(style) = style {
        let rate = |state: &ProgressState, line: &mut dyn fmt::Write| {
            let _ = write!(line, "{:.0}/s", state.per_sec());
        };
        bar.set_style(style.progress_chars("━╸─").with_key("rate", rate));
    }
    bar
}

/// Raised by Ctrl-C or a request to end: the chunks under way are finished and written, no other is begun. Who asks
/// again does not want to wait for them.
pub(super) fn stop_on_signal() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    tokio::spawn(async move {
        asked_to_end().await;
        raised.store(true, Ordering::Relaxed);
        asked_to_end().await;
        std::process::exit(130);
    });
    stop
}

async fn asked_to_end() {
    #[cfg(unix)]
    if let Ok(mut end) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = end.recv() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}
