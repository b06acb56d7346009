//! How the server ends: first it says so and runs no more schedules, then it takes nothing new, then it finishes what it has
//! begun, and then it gives back what it holds of limits.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum_server::Handle;
use keygate::admin::Ending;
use keygate::manager::{ApiKeyManager, Scheduler};
use tokio::time::{Instant, sleep, timeout_at};

use super::listen::Serving;
use crate::args::ServeArgs;
use crate::desk::Setting;
use crate::failure::Failure;

/// How long requests under way have to end. A client that never reads its answer must not hold the process.
const GRACE: Duration = Duration::from_secs(10);
/// How long it may take at least to give back what is held of limits, when they have taken all of that: a round trip or
/// two. What is not given back, others can use when it has run out.
const LEAVE: Duration = Duration::from_millis(500);

/// For how long the server takes requests though it is not ready any more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drain(Duration);

impl Drain {
    pub(super) fn read(args: &ServeArgs) -> Result<Self, Failure> {
        const NAME: &str = "KEYGATE_DRAIN_MS";
        let Some(setting) = Setting::of(NAME, args.flag(NAME))? else { return Ok(Self(Duration::from_millis(500))) };
        let digits = setting.value.bytes().all(|byte| byte.is_ascii_digit());
        match setting.value.parse::<u64>() {
            Ok(number @ 0..=300_000) if digits => Ok(Self(Duration::from_millis(number))),
            _ => Err(setting.wrong("must be a whole number from 0 to 300000")),
        }
    }
}

/// What the process is told from outside. From its making on, none of it ends the process by itself.
#[derive(Debug)]
pub(super) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
    /// Whether a hangup ends the server, as it does where there is no certificate to read again.
    #[cfg(unix)]
    ends_on_hangup: bool,
}

impl Signals {
    #[cfg(unix)]
    pub(super) fn listen(has_certificate: bool) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hangup: signal(SignalKind::hangup())?, ends_on_hangup: !has_certificate })
    }

    #[cfg(not(unix))]
    pub(super) fn listen(_has_certificate: bool) -> io::Result<Self> {
        Ok(Self {})
    }

    /// Told to end: SIGTERM, SIGINT (Ctrl-C), or without a certificate SIGHUP (the terminal was closed).
    #[cfg(unix)]
    pub(super) async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv(), if self.ends_on_hangup => {}
        }
    }

    /// Told to end by somebody who has said so before. A terminal that is closed may say it twice by itself.
    #[cfg(unix)]
    async fn end_at_once(&mut self) {
        self.ends_on_hangup = false;
        self.end().await;
    }

    #[cfg(not(unix))]
    async fn end_at_once(&mut self) {
        self.end().await;
    }

    #[cfg(not(unix))]
    pub(super) async fn end(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }

    /// Told to read the certificate again (SIGHUP), which is `true`, or to end.
    #[cfg(unix)]
    pub(super) async fn reload_or_end(&mut self) -> bool {
        tokio::select! {
            _ = self.hangup.recv() => !self.ends_on_hangup,
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => false,
        }
    }

    #[cfg(not(unix))]
    pub(super) async fn reload_or_end(&mut self) -> bool {
        self.end().await;
        false
    }
}

/// What goes on beside requests.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) manager: ApiKeyManager,
    pub(super) scheduler: Scheduler,
}

/// Ends the server. Told so again meanwhile, it ends at once.
pub(super) async fn end(
    ending: &Ending,
    drain: Drain,
    handle: &Handle<SocketAddr>,
    serving: &mut Serving,
    held: Held,
    signals: &mut Signals,
) {
    ending.begin();
    let Held { manager, scheduler } = held;
    // From now on, and not once the others have ended: a key that is rotated is something new.
    let stopped = tokio::spawn(scheduler.stop());
    tracing::info!("told to end: finishing what was begun");
    let gently = async {
        sleep(drain.0).await;
        let end = Instant::now() + GRACE;
        handle.graceful_shutdown(Some(GRACE));
        let _ = (&mut *serving).await;
        let end = end.max(Instant::now() + LEAVE);
        let (stopped, left) = tokio::join!(timeout_at(end, stopped), timeout_at(end, manager.leave()));
        if stopped.is_err() {
            tracing::warn!("what is due to a key was being done and may be done or not; the next run sees which");
        }
        if left.is_err() {
            tracing::warn!("what was held of limits was not given back, and runs out by itself");
        }
    };
    let cut = tokio::select! {
        () = gently => handle.connection_count(),
        () = signals.end_at_once() => {
            // Before they are cut, which others do meanwhile.
            let cut = handle.connection_count();
            handle.shutdown();
            cut
        }
    };
    match cut {
        0 => tracing::info!("ended"),
        cut => tracing::warn!(cut, "ended with connections that were cut"),
    }
}
