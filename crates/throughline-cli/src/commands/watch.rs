//! `throughline watch`: events as they happen.

use std::collections::HashSet;

use futures_util::StreamExt;
use serde::Serialize;
use throughline_core::{
    EventStream, Filter, RunState, RunSummary, Status, StreamItem, TraceEvent, TraceReader, TraceStream,
};

use super::status_style;
use crate::args::WatchArgs;
use crate::error::{Answer, CliError};
use crate::output::{Screen, clean, micros, millis, short_id};
use crate::resolve::resolve;
use crate::store::Store;

/// The JSON line that stands for events that came too fast.
#[derive(Serialize)]
struct Missed {
    missed: u64,
}

pub(super) async fn run(args: &WatchArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let reader = store.reader()?;
    let run = match &args.trace {
        Some(name) => Some(resolve(store, &reader, name).await?),
        None => None,
    };
    // Watching before looking at what is there: what happens in between is seen twice rather than never.
    let stream = TraceStream::watch(&reader, run.as_ref().map(|run| run.trace_id)).await?;
    let filter = args.filter.to_filter(store);
    let watching = watch(&reader, run, stream, &filter, screen);
    match args.for_ {
        Some(time) => tokio::time::timeout(time, watching).await.unwrap_or(Ok(Answer::Yes)),
        None => watching.await,
    }
}

async fn watch(
    reader: &dyn TraceReader,
    run: Option<RunSummary>,
    mut stream: EventStream,
    filter: &Filter,
    screen: &mut Screen,
) -> Result<Answer, CliError> {
    let mut seen = HashSet::new();
    if let Some(run) = &run {
        for event in reader.trace(run.trace_id).await? {
            seen.insert(event.id());
            show(&event, filter, screen)?;
        }
        if has_ended(reader, run).await? {
            return Ok(Answer::Yes);
        }
        screen.flush()?;
    }
    while let Some(item) = stream.next().await {
        match item? {
            StreamItem::Event(event) => {
                // Events of one run are told once; of all runs there is no end to remember.
                if run.is_none() || seen.insert(event.id()) {
                    show(&event, filter, screen)?;
                }
                if let Some(run) = run.as_ref().filter(|_| may_end_a_run(&event))
                    && has_ended(reader, run).await?
                {
                    break;
                }
            }
            StreamItem::Missed(missed) if screen.wants_json() => screen.json_line(&Missed { missed })?,
            StreamItem::Missed(missed) => screen.line(format_args!("… {missed} events came too fast"))?,
            _ => {}
        }
        screen.flush()?;
    }
    Ok(Answer::Yes)
}

/// Whether a run may be over with this event.
fn may_end_a_run(event: &TraceEvent) -> bool {
    event.is_root() && event.seq > 0 && event.status != Status::Pending
}

/// Whether a run is over: its root may have ended and a job that it put into a queue be at work.
async fn has_ended(reader: &dyn TraceReader, run: &RunSummary) -> Result<bool, CliError> {
    let now = reader.run(run.trace_id).await?;
    let ended = [RunState::Succeeded, RunState::Failed, RunState::Cancelled];
    Ok(now.is_some_and(|run| ended.contains(&run.state)))
}

/// Shows an event if it is wanted.
fn show(event: &TraceEvent, filter: &Filter, screen: &mut Screen) -> Result<(), CliError> {
    if !filter.matches(event) {
        return Ok(());
    }
    if screen.wants_json() {
        return Ok(screen.json_line(event)?);
    }
    let name = match &event.correlation_id {
        Some(key) => clean(key).into_owned(),
        None => short_id(event.trace_id),
    };
    let time = millis(event.timestamp);
    let status = screen.paint(&format!("{:<9}", event.status), status_style(event.status));
    let took = event.duration_us.map(|us| format!("  {}", micros(us))).unwrap_or_default();
    let error = event.error.as_ref().map(|error| format!("  {}", clean(&error.message))).unwrap_or_default();
    screen.line(format_args!("{time}  {name:<12}  {status}  {}{took}{error}", clean(&event.event_type)))?;
    Ok(())
}
