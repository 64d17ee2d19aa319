//! `throughline watch`: events as they happen.

use std::collections::HashSet;

use futures_util::StreamExt;
use serde::Serialize;
use throughline_core::{
    Cursor, EventStream, Filter, RunState, RunSummary, Status, StreamItem, TraceEvent, TraceReader,
    WatchRequest,
};

use super::status_style;
use crate::args::WatchArgs;
use crate::error::{Answer, CliError};
use crate::output::{Screen, clean, micros, millis, short_id};
use crate::resolve::resolve;
use crate::store::Store;

/// The JSON line of an event.
#[derive(Serialize)]
struct Seen<'a> {
    event: &'a TraceEvent,
    /// What `--after` takes; `null` of an event that happened before the watch began.
    cursor: Option<&'a Cursor>,
}

/// The JSON line that stands for events that can't be shown any more.
#[derive(Serialize)]
struct Missed {
    /// How many; `null` if nobody knows.
    missed: Option<u64>,
}

pub(super) async fn run(args: &WatchArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let reader = store.readers().await?.reader;
    let run = match &args.trace {
        Some(name) => Some(resolve(store, &*reader, name).await?),
        None => None,
    };
    let filter = args.filter.to_filter(store);
    let mut request = WatchRequest::new();
    match &run {
        // The end of the run must be seen, whatever is to be shown.
        Some(run) => request = request.trace(run.trace_id),
        None => request = request.filter(filter.clone()),
    }
    let resumes = args.after.is_some();
    if let Some(cursor) = &args.after {
        request = request.after(Cursor::new(cursor));
    }
    // Watching before looking at what is there: what happens in between is seen twice rather than never.
    let stream = store.stream().await?;
    let stream = stream.watch(request).await?;
    let mut watch = Watch { reader: &*reader, run, filter, screen };
    let watching = watch.follow(stream, resumes);
    match args.for_ {
        Some(time) => tokio::time::timeout(time, watching).await.unwrap_or(Ok(Answer::Yes)),
        None => watching.await,
    }
}

struct Watch<'a> {
    reader: &'a dyn TraceReader,
    /// The run, if it is one: the watch ends when it has ended.
    run: Option<RunSummary>,
    filter: Filter,
    screen: &'a mut Screen,
}

impl Watch<'_> {
    async fn follow(&mut self, mut stream: EventStream, resumes: bool) -> Result<Answer, CliError> {
        let mut seen = HashSet::new();
        if let Some(run) = &self.run {
            let events = self.reader.trace(run.trace_id).await?;
            let has_ended = has_ended(self.reader, run).await?;
            // Who resumes has seen these, or gets them from the stream.
            for event in events.iter().filter(|_| !resumes) {
                seen.insert(event.id());
                self.show(event, None)?;
            }
            if has_ended && !resumes {
                return Ok(Answer::Yes);
            }
            self.screen.flush()?;
        }
        while let Some(item) = stream.next().await {
            match item? {
                StreamItem::Event { event, cursor } => {
                    // Events of one run are shown once; of all runs there is no end to remember.
                    if self.run.is_none() || seen.insert(event.id()) {
                        self.show(&event, Some(&cursor))?;
                    }
                    if let Some(run) = self.run.as_ref().filter(|_| may_end_a_run(&event))
                        && has_ended(self.reader, run).await?
                    {
                        break;
                    }
                }
                StreamItem::Missed(missed) if self.screen.wants_json() => {
                    self.screen.json_line(&Missed { missed })?;
                }
                StreamItem::Missed(Some(missed)) => {
                    self.screen.line(format_args!("… {missed} events missed"))?;
                }
                StreamItem::Missed(None) => self.screen.line("… some events missed")?,
                _ => {}
            }
            self.screen.flush()?;
        }
        Ok(Answer::Yes)
    }

    /// Shows an event if it matches.
    fn show(&mut self, event: &TraceEvent, cursor: Option<&Cursor>) -> Result<(), CliError> {
        if !self.filter.matches(event) {
            return Ok(());
        }
        let screen = &mut *self.screen;
        if screen.wants_json() {
            return Ok(screen.json_line(&Seen { event, cursor })?);
        }
        let name = match &event.correlation_id {
            Some(key) => clean(key).into_owned(),
            None => short_id(event.trace_id),
        };
        let time = millis(event.timestamp);
        let status = screen.paint(&format!("{:<9}", event.status), status_style(event.status));
        let took = event.duration_us.map(|us| format!("  {}", micros(us))).unwrap_or_default();
        let error =
            event.error.as_ref().map(|error| format!("  {}", clean(&error.message))).unwrap_or_default();
        screen
            .line(format_args!("{time}  {name:<12}  {status}  {}{took}{error}", clean(&event.event_type)))?;
        Ok(())
    }
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
