//! The commands, each in the file of its name.

mod abandon;
mod anomalies;
mod by_code;
mod compensations;
mod completions;
mod copy;
mod decisions;
mod diff;
mod doctor;
mod export;
mod funnel;
mod import;
mod kit;
mod list;
mod logs;
mod mcp;
mod outbox;
mod prune;
mod recovery;
mod redact;
mod report;
mod running;
mod scrape;
mod serve;
mod show;
mod slo;
mod stats;
mod top;
mod watch;
mod why;

use std::borrow::Cow;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use throughline_core::Status;

use crate::args::{Cli, Command, Global};
use crate::error::{Answer, CliError};
use crate::output::{Screen, group};
use crate::store::Store;

/// Carries out what the command line says.
pub(crate) async fn run(cli: &Cli, screen: &mut Screen) -> Result<Answer, CliError> {
    let location = location(&cli.global)?;
    let location = location.as_deref();
    // These need no store, or not always.
    match &cli.command {
        Command::Completions(args) => return completions::run(args, screen),
        Command::Logs(args) => return logs::run(args, screen).await,
        Command::Report(args) => return report::run(args, location, screen).await,
        Command::Scrape(args) => return scrape::run(args, &cli.global, screen).await,
        Command::Redact(args) => return redact::run(args, screen),
        Command::Dashboards(args) => return kit::dashboards(args, screen),
        Command::Alerts(args) => return kit::alerts(args, screen),
        Command::Routing(args) => return kit::routing(args, screen),
        Command::Probes(args) => return kit::probes(args, screen),
        Command::Undo(_) => return Err(by_code::undo()),
        Command::Resume(_) => return Err(by_code::resume()),
        Command::Doctor(args) => return doctor::run(args, location, screen).await,
        Command::Watch(args) => return watch::run(args, location, screen).await,
        Command::Copy(args) => return copy::run(args, screen).await,
        Command::Outbox(args) => return outbox::run(args, location, screen).await,
        _ => {}
    }
    let store = Store::with_outbox(location, cli.global.outbox.as_deref())?;
    match &cli.command {
        Command::List(args) => list::run(args, &store, screen).await,
        Command::Show(args) => show::run(args, &store, screen).await,
        Command::Why(args) => why::run(args, &store, screen).await,
        Command::Compensations(args) => compensations::run(args, &store, screen).await,
        Command::Decisions(args) => decisions::run(args, &store, screen).await,
        Command::Running(args) => running::run(args, &store, screen).await,
        Command::Serve(args) => serve::run(args, &store, screen).await,
        Command::Top(args) => top::run(args, &store, screen).await,
        Command::Stats(args) => stats::run(args, &store, screen).await,
        Command::Slo(args) => slo::run(args, &store, screen).await,
        Command::Anomalies(args) => anomalies::run(args, &store, screen).await,
        Command::Funnel(args) => funnel::run(args, &store, screen).await,
        Command::Recovery(args) => recovery::run(args, &store, screen).await,
        Command::Diff(args) => diff::run(args, &store, screen).await,
        Command::Import(args) => import::run(args, &store, screen).await,
        Command::Export(args) => export::run(args, &store, screen).await,
        Command::Abandon(args) => abandon::run(args, &store, screen).await,
        Command::Prune(args) => prune::run(args, &store, screen),
        Command::Mcp(args) => mcp::run(args, store, screen).await,
        Command::Completions(args) => completions::run(args, screen),
        Command::Doctor(args) => doctor::run(args, location, screen).await,
        Command::Watch(args) => watch::run(args, location, screen).await,
        Command::Copy(args) => copy::run(args, screen).await,
        Command::Outbox(args) => outbox::run(args, location, screen).await,
        Command::Logs(args) => logs::run(args, screen).await,
        Command::Report(args) => report::run(args, location, screen).await,
        Command::Scrape(args) => scrape::run(args, &cli.global, screen).await,
        Command::Redact(args) => redact::run(args, screen),
        Command::Dashboards(args) => kit::dashboards(args, screen),
        Command::Alerts(args) => kit::alerts(args, screen),
        Command::Routing(args) => kit::routing(args, screen),
        Command::Probes(args) => kit::probes(args, screen),
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

/// Says how many events wait in the outbox and are in no figure, if there are any.
fn note_on_uncounted(events: Option<u64>) -> Option<String> {
    match events.unwrap_or(0) {
        0 => None,
        1 => Some("1 event waits in the outbox and is not counted".to_owned()),
        events => Some(format!("{} events wait in the outbox and are not counted", group(events))),
    }
}

/// The store that the command line names, or the environment.
fn location(global: &Global) -> Result<Option<Cow<'_, str>>, CliError> {
    named(global.store.as_deref(), global.store_file.as_deref(), "--store-file")
}

/// A store that is named, or that a file names: others can read the arguments of a process.
fn named<'a>(
    name: Option<&'a str>,
    file: Option<&Path>,
    option: &str,
) -> Result<Option<Cow<'a, str>>, CliError> {
    let Some(file) = file else { return Ok(name.map(Cow::Borrowed)) };
    let expected = format!("{option} names a file that has a store in it");
    first_line(file, &expected, "names no store").map(Cow::Owned).map(Some)
}

/// The first line of a file, in which somebody has put what others are not to see.
fn first_line(file: &Path, expected: &str, lack: &str) -> Result<String, CliError> {
    let name = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| CliError::Input(format!("{name}: {error}; {expected}")))?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(CliError::Input(format!("{name}: its first line is empty, and {lack}"))),
    }
}
