//! The commands, each in the file of its name.

mod abandon;
mod by_code;
mod compensations;
mod completions;
mod copy;
mod decisions;
mod diff;
mod doctor;
mod export;
mod import;
mod list;
mod outbox;
mod prune;
mod redact;
mod running;
mod show;
mod stats;
mod watch;
mod why;

use throughline_core::Status;

use anstyle::{AnsiColor, Style};

use crate::args::{Cli, Command};
use crate::error::{Answer, CliError};
use crate::output::Screen;
use crate::store::Store;

/// Carries out what the command line says.
pub(crate) async fn run(cli: &Cli, screen: &mut Screen) -> Result<Answer, CliError> {
    // These need no store, or not always.
    match &cli.command {
        Command::Completions(args) => return completions::run(args, screen),
        Command::Redact(args) => return redact::run(args, screen),
        Command::Undo(_) => return Err(by_code::undo()),
        Command::Resume(_) => return Err(by_code::resume()),
        Command::Doctor => return doctor::run(cli.global.store.as_deref(), screen).await,
        Command::Watch(args) => return watch::run(args, cli.global.store.as_deref(), screen).await,
        Command::Copy(args) => return copy::run(args, screen).await,
        Command::Outbox(args) => return outbox::run(args, cli.global.store.as_deref(), screen).await,
        _ => {}
    }
    let store = Store::with_outbox(cli.global.store.as_deref(), cli.global.outbox.as_deref())?;
    match &cli.command {
        Command::List(args) => list::run(args, &store, screen).await,
        Command::Show(args) => show::run(args, &store, screen).await,
        Command::Why(args) => why::run(args, &store, screen).await,
        Command::Compensations(args) => compensations::run(args, &store, screen).await,
        Command::Decisions(args) => decisions::run(args, &store, screen).await,
        Command::Running(args) => running::run(args, &store, screen).await,
        Command::Stats(args) => stats::run(args, &store, screen).await,
        Command::Diff(args) => diff::run(args, &store, screen).await,
        Command::Import(args) => import::run(args, &store, screen).await,
        Command::Export(args) => export::run(args, &store, screen).await,
        Command::Abandon(args) => abandon::run(args, &store, screen).await,
        Command::Prune(args) => prune::run(args, &store, screen),
        Command::Completions(args) => completions::run(args, screen),
        Command::Doctor => doctor::run(cli.global.store.as_deref(), screen).await,
        Command::Watch(args) => watch::run(args, cli.global.store.as_deref(), screen).await,
        Command::Copy(args) => copy::run(args, screen).await,
        Command::Outbox(args) => outbox::run(args, cli.global.store.as_deref(), screen).await,
        Command::Redact(args) => redact::run(args, screen),
        Command::Undo(_) => Err(by_code::undo()),
        Command::Resume(_) => Err(by_code::resume()),
    }
}

/// The colour of a status.
fn status_style(status: Status) -> Style {
    match status {
        Status::Failed => AnsiColor::Red.on_default(),
        Status::Cancelled => AnsiColor::Yellow.on_default(),
        Status::Pending => AnsiColor::Cyan.on_default(),
        Status::Success => AnsiColor::Green.on_default(),
    }
}

/// The line that says that there is nothing in a store, and what to do about it.
fn nothing_here(store: &Store) -> CliError {
    CliError::NotFound(format!(
        "there are no runs in {} yet; run `throughline import FILE`, or let a service write to it",
        store.name()
    ))
}
