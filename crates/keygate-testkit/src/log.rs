//! What is logged on a test's own thread.
//!
//! One subscriber listens to the whole process. With one for each test, whether a place that logs is enabled is asked, and
//! kept, by whichever thread comes to it first; where that is a thread of another test, on which nothing listens, it logs
//! nowhere from then on. Nothing is kept of a thread on which no [`Log`] was begun, so tests that look at the log and tests
//! that do not can be in one program. One that listens with a subscriber of its own begins with [`listen`] all the same.

use std::cell::RefCell;
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::NoSubscriber;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

thread_local! {
    static HERE: RefCell<Option<Log>> = const { RefCell::new(None) };
}

/// All that is logged on the thread it was begun on, down to the last detail, until it is dropped there.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

/// Has all be heard that is logged from now on, on any thread on which a [`Log`] was begun or a subscriber set.
///
/// # Panics
/// If another subscriber is there for the whole process.
pub fn listen() {
    // As long as there is but one subscriber, a place that logs asks that of the thread which comes to it first, which may
    // be none. It asks all there are where there are two, even if the other one hears nothing.
    static BESIDE: OnceLock<Dispatch> = OnceLock::new();
    BESIDE.get_or_init(|| {
        let beside = Dispatch::new(NoSubscriber::new());
        let here = dynamic_filter_fn(|_, _| HERE.try_with(|log| log.borrow().is_some()).unwrap_or(false));
        let kept = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Here);
        let kept = kept.with_filter(here.with_max_level_hint(LevelFilter::TRACE));
        tracing_subscriber::registry().with(kept).init();
        beside
    });
}

impl Log {
    /// From now on.
    ///
    /// # Panics
    /// As [`listen`].
    #[must_use]
    pub fn begin() -> Listening {
        listen();
        let log = Self::default();
        HERE.set(Some(log.clone()));
        Listening(log)
    }

    /// What was logged since this was last asked.
    pub fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A [`Log`] that goes on until this is dropped.
#[derive(Debug)]
pub struct Listening(Log);

impl std::ops::Deref for Listening {
    type Target = Log;
    fn deref(&self) -> &Log {
        &self.0
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        HERE.set(None);
    }
}

/// Writes into the log of this thread, if there is one.
#[derive(Debug, Clone, Copy)]
struct Here;

impl Write for Here {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        HERE.with_borrow(|log| {
            if let Some(Log(log)) = log {
                log.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Here {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        *self
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn say(word: &str) {
        tracing::trace!("{word}");
    }

    #[test]
    fn a_thread_hears_itself_whoever_comes_to_a_place_first() {
        listen();
        std::thread::spawn(|| say("unheard")).join().unwrap();
        let log = Log::begin();
        say("heard");
        std::thread::spawn(|| {
            let log = Log::begin();
            say("there");
            assert!(log.take().contains("there"));
        })
        .join()
        .unwrap();
        let text = log.take();
        assert!(text.contains("heard") && !text.contains("unheard") && !text.contains("there"), "{text}");
        assert_eq!(log.take(), "");
    }

    #[test]
    fn a_place_that_was_come_to_before_anybody_listened_is_heard() {
        let say = |word: &str| tracing::trace!("{word}");
        say("unheard");
        let log = Log::begin();
        say("heard");
        let text = log.take();
        assert!(text.contains("heard") && !text.contains("unheard"), "{text}");
    }
}
