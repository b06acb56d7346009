//! The `keygate` command: makes, shows, stops, rotates and checks API keys, on the store they are kept in or through a server; and
//! that server.

mod anomalies;
mod args;
mod audit;
mod completions;
mod confirm;
mod desk;
mod doctor;
mod failure;
mod keys;
mod log;
mod notices;
mod open;
mod organizations;
mod output;
mod pasted;
mod projects;
mod ring;
mod roles;
mod rotation;
mod secret_line;
mod serve;
mod usage;
mod users;

use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;

use crate::args::{Cli, Command};
use crate::failure::Failure;

/// How long work on other threads may still take when the command is done: a name that does not resolve, say.
const WIND_UP: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    match parse().and_then(|cli| run(&cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Reads the command line. What is wrong with it is told without a key that was pasted into it.
fn parse() -> Result<Cli, Failure> {
    Cli::read().or_else(|error| {
        if pasted::repeats_key(&error.to_string(), std::env::args_os()) {
            return Err(Failure::usage(
                "there is a key where none belongs, and it is not repeated here: keygate keys verify checks a key it \
                 reads from standard input, and other commands on a key take its KEY_ID",
            ));
        }
        error.exit()
    })
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let is_server = matches!(cli.command, Command::Serve(_));
    log::begin(cli.settings.log.as_deref(), is_server)?;
    if let Command::Completions { shell } = &cli.command {
        return completions::write(*shell, cli.settings.json);
    }
    let mut runtime = Builder::new_multi_thread();
    if !is_server {
        runtime.worker_threads(desk::THREADS);
    }
    let runtime =
        runtime.enable_all().build().map_err(|error| Failure::refused(format!("the command cannot start: {error}")))?;
    let outcome = runtime.block_on(async {
        let outcome = match &cli.command {
            Command::Keys(command) => keys::run(command, &cli.settings).await,
            Command::Rotation(command) => rotation::run(command, &cli.settings).await,
            Command::Usage(args) => usage::run(args, &cli.settings).await,
            Command::Anomalies(args) => anomalies::run(args, &cli.settings).await,
            Command::Audit(args) => audit::run(args, &cli.settings).await,
            Command::Webhooks(command) => notices::run_webhooks(command, &cli.settings).await,
            Command::Notices(command) => notices::run_notices(command, &cli.settings).await,
            Command::Organizations(command) => organizations::run(command, &cli.settings).await,
            Command::Projects(command) => projects::run(command, &cli.settings).await,
            Command::Users(command) => users::run(command, &cli.settings).await,
            Command::Roles(command) => roles::run(command, &cli.settings).await,
            Command::Ring(command) => ring::run(command, &cli.settings).await,
            Command::Serve(args) => serve::run(args, &cli.settings).await,
            Command::Doctor(args) => doctor::run(args, &cli.settings).await,
            Command::Completions { .. } => Ok(()),
        };
        open::leave().await;
        outcome
    });
    runtime.shutdown_timeout(WIND_UP);
    outcome
}
