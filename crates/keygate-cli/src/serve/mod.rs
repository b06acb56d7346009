//! `keygate serve`: the management API over HTTP.
//!
//! | room | answers |
//! |---|---|
//! | `listen` | where, and how do keys come there? |
//! | `tls` | under which certificate? |
//! | `operator_key` | who may call it first? |
//! | `shutdown` | how does it end? |

mod listen;
mod operator_key;
mod shutdown;
mod tls;

use axum_server::Handle;
use keygate::admin::Admin;
use serde_json::json;

use self::listen::{Listening, Place, Serving};
use self::operator_key::{Destination, Maker, Making, Trouble};
use self::shutdown::{Drain, Held, Signals};
use crate::args::{ServeArgs, SettingArgs};
use crate::failure::{Failure, warn};
use crate::open::{blame, open_to_serve, read_settings_of_server};
use crate::output;

/// Serves until it is told to end.
pub(crate) async fn run(args: &ServeArgs, flags: &SettingArgs) -> Result<(), Failure> {
    if flags.flag("KEYGATE_SERVER").is_some() {
        return Err(Failure::usage(
            "--server does not go with serve, which is the server: name the store with --store",
        ));
    }
    let settings = read_settings_of_server(flags)?;
    let place = Place::read(args, flags, settings.listen)?;
    let destination = Destination::read(args, &settings.store)?;
    let locations = settings.location_source().map_err(|error| blame(&error, flags))?;
    let drain = Drain::read(args)?;
    let mut signals = Signals::listen(place.has_certificate())
        .map_err(|error| Failure::refused(format!("signals cannot be heard: {error}")))?;
    // Before anything is made on the store: who cannot listen needs none of it.
    let taken = place.take()?;

    let opened = tokio::select! {
        opened = open_to_serve(&settings) => opened?,
        () = signals.end() => return Ok(()),
    };
    let maker = Maker::new(opened.manager.clone(), destination)?;
    // To its end, whatever comes: a key must not be made for nobody.
    let mut key = make_key(maker, opened.unavailable.is_none()).await?;

    let manager = opened.manager;
    // Where the store does not answer yet it is asked again each minute.
    let scheduler = manager.start_scheduler();
    let admin = Admin::new(manager.clone()).trusted_proxies(settings.trusted_proxies).location(locations);
    let (ending, handle) = (admin.ending(), Handle::new());
    let (mut serving, listening) = taken.serve(admin.router(), handle.clone())?;
    announce(&listening, flags.json);
    let outcome = watch(&listening, &mut serving, &mut key, &mut signals).await;
    let key = key.map(Making::stop);
    let held = Held { manager, scheduler };
    shutdown::end(&ending, drain, &handle, &mut serving, held, &mut signals).await;
    let made = match key {
        Some(key) => key.done().await,
        None => Ok(()),
    };
    outcome.and(made)
}

/// The operator's key: made now, or by the task that this gives once the store answers.
async fn make_key(maker: Maker, is_answering: bool) -> Result<Option<Making>, Failure> {
    if is_answering {
        match maker.make().await {
            Ok(()) => return Ok(None),
            Err(Trouble::Unkept(failure)) => return Err(failure),
            Err(Trouble::Contested) => {}
            Err(Trouble::Store(error)) => warn(format!("there is no operator's key yet: {error}")),
        }
    }
    Ok(Some(maker.begin()))
}

/// The one line of standard output. A server whose reader has gone serves on.
fn announce(listening: &Listening, as_json: bool) {
    let _ = if as_json {
        output::json(&json!({ "listening": listening.to_string() }))
    } else {
        output::text(&format!("listening on {listening}"))
    };
}

/// Until the server is told to end, or cannot go on.
async fn watch(
    listening: &Listening,
    serving: &mut Serving,
    key: &mut Option<Making>,
    signals: &mut Signals,
) -> Result<(), Failure> {
    loop {
        let making = async {
            match key {
                Some(making) => making.done().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            reload = signals.reload_or_end() => {
                if !reload {
                    return Ok(());
                }
                listening.reload();
            }
            made = making => {
                *key = None;
                made?;
            }
            _ = &mut *serving => return Err(Failure::refused("the server stopped listening by itself")),
        }
    }
}
