//! `throughline copy`: runs from one store into another, compared on both sides.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use throughline_core::{
    EventId, InstanceId, Liveness, Redaction, RunSummary, Throughline, TraceEvent, TraceId, TraceReader,
    beside,
};

use super::{named, nothing_here};
use crate::args::CopyArgs;
use crate::error::{Answer, CliError};
use crate::output::{Screen, count, group};
use crate::select;
use crate::store::Store;

/// The name under which the store that is written to is opened.
const SERVICE: &str = "throughline-cli";
/// How many events are read before they are written.
const BATCH: usize = 4_096;
/// How many runs that differ are named.
const NAMED: usize = 10;
/// How long to wait for the store to be closed. Everything has been acknowledged by then.
const CLOSING: Duration = Duration::from_secs(10);

/// The JSON of `copy`.
#[derive(Default, Serialize)]
struct Copied {
    /// Runs that were compared.
    runs: u64,
    /// Their events.
    events: u64,
    /// Those of them that the store did not have before.
    copied: u64,
    /// Runs that had not ended.
    open: u64,
    /// Runs that are not the same on both sides.
    differing: Vec<Differing>,
}

/// A run that is not the same on both sides.
#[derive(Serialize)]
struct Differing {
    trace_id: TraceId,
    reason: String,
}

pub(super) async fn run(args: &CopyArgs, screen: &mut Screen) -> Result<Answer, CliError> {
    let from = named(args.from.as_deref(), args.from_file.as_deref(), "--from-file")?;
    let to = named(args.to.as_deref(), args.to_file.as_deref(), "--to-file")?;
    let (from, to) = (Store::named(from.as_deref())?, Store::named(to.as_deref())?);
    if from.name() == to.name() {
        return Err(CliError::Usage(format!(
            "--from and --to both name {}; name the store to copy to with --to",
            to.name()
        )));
    }
    let reader = from.readers().await?.reader;
    let runs = select::all(&from, &*reader, &args.filter).await?;
    if runs.is_empty() {
        return Err(match args.filter.is_any(&from) {
            true => nothing_here(&from),
            false => CliError::NotFound("no run matches, so nothing was copied".into()),
        });
    }
    // What is stored was redacted when it was recorded.
    let builder = Throughline::builder(SERVICE).redaction(Redaction::off().payload_limit(usize::MAX));
    let target =
        to.written_by(builder)?.build_async().await.map_err(|error| CliError::Write(error.to_string()))?;
    let copied = copy(&*reader, &target, runs.into_iter().map(|(id, _)| id)).await;
    target.shutdown(CLOSING).await;
    let copied = copied?;
    let answer = Answer::of(copied.differing.is_empty());
    if screen.wants_json() {
        screen.json(&copied)?;
    } else {
        show(&copied, &*reader, screen).await?;
    }
    Ok(answer)
}

async fn show(copied: &Copied, reader: &dyn TraceReader, screen: &mut Screen) -> Result<(), CliError> {
    let Copied { runs, events, copied, open, differing } = copied;
    let known = events - copied;
    screen.line(format_args!(
        "Copied {} of {}{}.",
        count(*copied, "event"),
        count(*runs, "run"),
        if known == 0 { String::new() } else { format!("; {} more were there already", group(known)) },
    ))?;
    if differing.is_empty() {
        screen.line("Every run is the same on both sides.")?;
    } else {
        screen.line(format_args!("{} on both sides:", not_the_same(differing.len())))?;
        for Differing { trace_id, reason } in differing.iter().take(NAMED) {
            screen.line(format_args!("  {}: {reason}", beside::shortest_id(reader, *trace_id).await?))?;
        }
        let more = differing.len().saturating_sub(NAMED);
        if more > 0 {
            screen.line(format_args!("  … and {more} more; --json names all"))?;
        }
    }
    if *open > 0 {
        screen.line(format_args!("{} not ended: copy again after that.", have(*open)))?;
    }
    Ok(())
}

fn not_the_same(runs: usize) -> String {
    let is = if runs == 1 { "is" } else { "are" };
    format!("{} {is} not the same", count(runs as u64, "run"))
}

fn have(runs: u64) -> String {
    format!("{} {}", count(runs, "run"), if runs == 1 { "has" } else { "have" })
}

async fn copy(
    from: &dyn TraceReader,
    target: &Throughline,
    ids: impl ExactSizeIterator<Item = TraceId>,
) -> Result<Copied, CliError> {
    let to = target.reader().ok_or_else(|| CliError::Write("the store can't be read".into()))?;
    let bar = progress(ids.len() as u64);
    let mut copied = Copied::default();
    let mut batch: Vec<(TraceId, Vec<TraceEvent>)> = Vec::new();
    let mut events = 0;
    for id in ids {
        let of_run = from.trace(id).await?;
        events += of_run.len();
        batch.push((id, of_run));
        if events >= BATCH {
            bar.inc(batch.len() as u64);
            write(std::mem::take(&mut batch), target, &*to, &mut copied).await?;
            events = 0;
        }
    }
    write(batch, target, &*to, &mut copied).await?;
    bar.finish_and_clear();
    Ok(copied)
}

/// Writes what the store lacks of these runs, and compares them with what it has then.
async fn write(
    batch: Vec<(TraceId, Vec<TraceEvent>)>,
    target: &Throughline,
    to: &dyn TraceReader,
    copied: &mut Copied,
) -> Result<(), CliError> {
    let mut missing = Vec::new();
    for (id, events) in &batch {
        let known: HashSet<EventId> = to.trace(*id).await?.iter().map(TraceEvent::id).collect();
        missing.extend(events.iter().filter(|event| !known.contains(&event.id())).cloned());
    }
    copied.copied += missing.len() as u64;
    target.ingest(missing).await.map_err(|error| CliError::Write(error.to_string()))?;
    for (id, events) in batch {
        copied.runs += 1;
        copied.events += events.len() as u64;
        let there = to.trace(id).await?;
        let liveness = liveness(to, &there).await?;
        let of = |events: &[TraceEvent]| {
            RunSummary::of(events, |instance| liveness.get(&instance).copied().unwrap_or(Liveness::Unknown))
        };
        copied.open += u64::from(of(&events).is_some_and(|run| run.state.is_open()));
        let reason = match difference(&events, &there) {
            Some(reason) => Some(reason),
            None if to.run(id).await? != of(&there) => {
                Some("its row does not say what its events say".to_owned())
            }
            None => None,
        };
        copied.differing.extend(reason.map(|reason| Differing { trace_id: id, reason }));
    }
    Ok(())
}

/// How the events of a run differ from those that were copied, if they do.
fn difference(copied: &[TraceEvent], there: &[TraceEvent]) -> Option<String> {
    let by_id: HashMap<EventId, &TraceEvent> = there.iter().map(|event| (event.id(), event)).collect();
    for event in copied {
        match by_id.get(&event.id()) {
            None => return Some(format!("the event {} is missing", event.id())),
            Some(other) if *other != event => {
                return Some(format!("the event {} is another one there", event.id()));
            }
            Some(_) => {}
        }
    }
    let more = there.len().saturating_sub(copied.len());
    (more > 0).then(|| format!("there are {} more there", count(more as u64, "event")))
}

async fn liveness(
    reader: &dyn TraceReader,
    events: &[TraceEvent],
) -> Result<HashMap<InstanceId, Liveness>, CliError> {
    let instances: HashSet<InstanceId> = events.iter().map(|event| event.instance).collect();
    let instances: Vec<_> = instances.into_iter().collect();
    Ok(instances.iter().copied().zip(reader.liveness(&instances).await?).collect())
}

/// A bar on the standard error, if that is a terminal.
fn progress(runs: u64) -> ProgressBar {
    let bar = ProgressBar::new(runs);
    match ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} runs  {eta} to go") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
