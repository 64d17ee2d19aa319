//! `throughline watch`: events as they happen.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use futures_util::StreamExt;
use serde::Serialize;
use throughline_core::{
    Cursor, EventStream, Filter, Liveness, RunSummary, Status, StreamItem, TraceEvent, TraceId, TraceReader,
    WatchRequest, names,
};

use super::status_style;
use crate::args::WatchArgs;
use crate::error::{Answer, CliError};
use crate::feed;
use crate::output::{Screen, clean, micros, millis, short_id};
use crate::resolve::resolve;
use crate::store::{Pseudonyms, Store};

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

pub(super) async fn run(
    args: &WatchArgs,
    store: Option<&str>,
    screen: &mut Screen,
) -> Result<Answer, CliError> {
    let feed = args.feed.as_deref().filter(|feed| !feed.is_empty());
    // With a feed, a store is good for finding a run by its name and showing what happened before, and need not be there.
    let store = match store.filter(|store| !store.is_empty()) {
        None if feed.is_some() => None,
        name => Some(Store::named(name)?).filter(|store| feed.is_none() || store.may_exist()),
    };
    let reader = match &store {
        Some(store) => Some(store.readers().await?.reader),
        None => None,
    };
    let run = match (&args.trace, &store, reader.as_deref()) {
        (Some(name), Some(store), Some(reader)) => Some(resolve(store, reader, name).await?.trace_id),
        (Some(name), ..) => Some(name.parse().map_err(|_| {
            CliError::Usage(format!(
                "`{name}` is not the full id of a run (32 hex digits); with --store it may be a key or the beginning of an id"
            ))
        })?),
        (None, ..) => None,
    };
    let filter = match &store {
        Some(store) => args.filter.to_filter(store.pseudonyms()),
        None => args.filter.to_filter(&Pseudonyms::of_environment()?),
    };
    let mut request = WatchRequest::new();
    match run {
        // The end of the run must be seen, whatever is to be shown.
        Some(run) => request = request.trace(run),
        None => request = request.filter(filter.clone()),
    }
    let resumes = args.after.is_some();
    if let Some(cursor) = &args.after {
        request = request.after(Cursor::new(cursor));
    }
    // Watching before looking at what is there: what happens in between is seen twice rather than never.
    let stream = match (&store, feed) {
        (Some(store), None) => store.stream().await?.watch(request).await?,
        (_, feed) => feed::open(feed.unwrap_or_default()).await?.watch(request).await?,
    };
    let mut watch = Watch { reader: reader.as_deref(), run, known: Vec::new(), filter, screen };
    let watching = watch.follow(stream, resumes);
    match args.for_ {
        Some(time) => tokio::time::timeout(time, watching).await.unwrap_or(Ok(Answer::Yes)),
        None => watching.await,
    }
}

struct Watch<'a> {
    reader: Option<&'a dyn TraceReader>,
    /// The run, if it is one: the watch ends when it has ended.
    run: Option<TraceId>,
    /// What is known of the run. An event may come through a feed before it is in the store.
    known: Vec<Arc<TraceEvent>>,
    filter: Filter,
    screen: &'a mut Screen,
}

impl Watch<'_> {
    async fn follow(&mut self, mut stream: EventStream, resumes: bool) -> Result<Answer, CliError> {
        let mut seen = HashSet::new();
        if let (Some(run), Some(reader)) = (self.run, self.reader) {
            for event in reader.trace(run).await? {
                // Who resumes has seen it, or gets it from the stream.
                if !resumes {
                    seen.insert(event.id());
                    self.show(&event, None)?;
                }
                self.known.push(Arc::new(event));
            }
            if !resumes && self.has_ended().await? {
                return Ok(Answer::Yes);
            }
            self.screen.flush()?;
        }
        while let Some(item) = stream.next().await {
            match item? {
                StreamItem::Event { event, cursor } => {
                    // Events of one run are shown once; of all runs there is no end to remember.
                    if self.run.is_none() {
                        self.show(&event, Some(&cursor))?;
                    } else if seen.insert(event.id()) {
                        self.show(&event, Some(&cursor))?;
                        self.known.push(Arc::clone(&event));
                    }
                    if may_end_a_run(&event) && self.has_ended().await? {
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

    /// Whether the run is over: its root may have ended and a job that it put into a queue be at work.
    async fn has_ended(&self) -> Result<bool, CliError> {
        let Some(run) = self.run else { return Ok(false) };
        let has_ended = |run: Option<RunSummary>| run.is_some_and(|run| !run.state.is_open());
        // Those of a job may be known to the store alone, the last ones to the feed alone.
        let known = self.known.iter().map(|event| &**event);
        if has_ended(RunSummary::of(known, |_| Liveness::Unknown)) {
            return Ok(true);
        }
        match self.reader {
            Some(reader) => Ok(has_ended(reader.run(run).await?)),
            None => Ok(false),
        }
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
        // The event of a workflow or a saga says more than the name of its span.
        let what = match names::is_workflow(&event.event_type) || names::is_saga(&event.event_type) {
            true => Cow::Borrowed(event.event_type.as_str()),
            false => event.span_name(),
        };
        screen.line(format_args!("{time}  {name:<12}  {status}  {}{took}{error}", clean(&what)))?;
        Ok(())
    }
}

/// Whether a run may be over with this event.
fn may_end_a_run(event: &TraceEvent) -> bool {
    event.is_root() && event.seq > 0 && event.status != Status::Pending
}
