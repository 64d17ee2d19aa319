//! The questions about runs and events, answered by reading files.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::io::{self, ErrorKind};

use throughline_model::fold::{Position, RunFold, run_matches};
use throughline_model::{
    BoxFuture, Cursor, Filter, InstanceId, Liveness, OpenRun, OpenSummary, Page, Paged, ReadError,
    RunSummary, Timestamp, TraceEvent, TraceId, TraceReader,
};
use tokio::runtime::Handle;

use super::folder::Folder;
use super::lease::by_lease;

/// Reads the folder of a store, whichever process writes into it.
///
/// For each question across runs it reads every run: a store for many runs would keep an index.
#[derive(Debug)]
pub(crate) struct JsonLinesReader {
    folder: Folder,
    runtime: Handle,
}

impl JsonLinesReader {
    /// A reader that reads on the threads which this runtime has for what blocks.
    pub(crate) fn new(folder: Folder, runtime: Handle) -> Self {
        Self { folder, runtime }
    }

    /// Answers a question on a thread that may block: those who ask may be a web service.
    fn ask<T: Send + 'static>(
        &self,
        answer: impl FnOnce(&Folder) -> Result<T, ReadError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, ReadError>> {
        let folder = self.folder.clone();
        Box::pin(async move {
            let answered = self.runtime.spawn_blocking(move || answer(&folder)).await;
            answered.unwrap_or_else(|error| {
                Err(ReadError::Unavailable {
                    reason: "it was shut down".to_owned(),
                    source: Some(error.into()),
                })
            })
        })
    }
}

impl TraceReader for JsonLinesReader {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        self.ask(move |folder| folder.events(id).map_err(failed))
    }

    fn events<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        let (filter, page) = (filter.clone(), page.clone());
        self.ask(move |folder| {
            let before = page.after.as_ref().map(Cursor::event).transpose()?;
            let mut found = Vec::new();
            for run in folder.run_ids().map_err(failed)? {
                let mut events = folder.events(run).map_err(failed)?;
                events.retain(|event| {
                    filter.matches(event) && before.is_none_or(|before| Position::of(event) < before)
                });
                found.extend(events);
            }
            found.sort_by_key(|event| Reverse(Position::of(event)));
            Ok(cut(found, page.limit, Cursor::of_event))
        })
    }

    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        let (filter, page) = (filter.clone(), page.clone());
        self.ask(move |folder| {
            let before = page.after.as_ref().map(Cursor::run).transpose()?;
            let mut found = Vec::new();
            for run in folder.run_ids().map_err(failed)? {
                let events = folder.events(run).map_err(failed)?;
                found.extend(summary(folder, &events).map_err(failed)?.filter(|run| {
                    run_matches(&filter, run, events.iter())
                        && before.is_none_or(|before| place(run) < before)
                }));
            }
            found.sort_by_key(|run| Reverse(place(run)));
            Ok(cut(found, page.limit, Cursor::of_run))
        })
    }

    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        self.ask(move |folder| summary(folder, &folder.events(id).map_err(failed)?).map_err(failed))
    }

    fn open_runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenRun>, ReadError>> {
        let page = page.clone();
        self.ask(move |folder| open_runs(folder, &page))
    }

    fn open_summaries<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenSummary>, ReadError>> {
        let page = page.clone();
        self.ask(move |folder| {
            let Paged { items, next } = open_runs(folder, &page)?;
            let without_step = |run: OpenRun| OpenSummary::new(run.summary, run.last_event);
            Ok(Paged { items: items.into_iter().map(without_step).collect(), next })
        })
    }

    fn liveness<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>> {
        let instances = instances.to_vec();
        self.ask(move |folder| liveness(folder, &instances).map_err(failed))
    }

    fn find_by_id_prefix<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>> {
        let prefix = prefix.to_owned();
        self.ask(move |folder| {
            if !prefix.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
                let reason =
                    format!("`{prefix}` is not the beginning of a trace id: use the digits 0-9 and a-f");
                return Err(ReadError::InvalidQuery { reason });
            }
            let mut found = Vec::new();
            for run in folder.run_ids().map_err(failed)? {
                if found.len() == limit {
                    break;
                }
                // A crash may have left a file without a single event.
                if run.to_string().starts_with(&prefix) && !folder.events(run).map_err(failed)?.is_empty() {
                    found.push(run);
                }
            }
            Ok(found)
        })
    }
}

/// Runs are ordered by this.
fn place(run: &RunSummary) -> (Timestamp, TraceId) {
    (run.started, run.trace_id)
}

/// A page of these, which are in order and come after its cursor.
fn cut<T>(mut items: Vec<T>, limit: usize, cursor: impl FnOnce(&T) -> Cursor) -> Paged<T> {
    let is_all = items.len() <= limit;
    items.truncate(limit);
    let next = items.last().filter(|_| !is_all).map(cursor);
    Paged { items, next }
}

fn summary(folder: &Folder, events: &[TraceEvent]) -> io::Result<Option<RunSummary>> {
    let fold = RunFold::of(events);
    let Some(standing) = fold.standing() else { return Ok(None) };
    // A run is unfinished whether its owner is imported or unknown: the lease says all that is needed.
    let liveness = by_lease(folder, standing.owner)?.unwrap_or(Liveness::Imported);
    Ok(RunSummary::of(events, |_| liveness))
}

fn open_runs(folder: &Folder, page: &Page) -> Result<Paged<OpenRun>, ReadError> {
    let after = page.after.as_ref().map(Cursor::run).transpose()?;
    let mut open = Vec::new();
    for run in folder.run_ids().map_err(failed)? {
        let events = folder.events(run).map_err(failed)?;
        if let Some(summary) = summary(folder, &events).map_err(failed)?
            && summary.state.is_open()
            && after.is_none_or(|after| place(&summary) > after)
        {
            open.push(OpenRun::of(summary, &events));
        }
    }
    open.sort_by_key(|run| place(&run.summary));
    Ok(cut(open, page.limit, |run| Cursor::of_run(&run.summary)))
}

fn liveness(folder: &Folder, instances: &[InstanceId]) -> io::Result<Vec<Liveness>> {
    let by_lease: Vec<_> = instances
        .iter()
        .map(|instance| match *instance {
            InstanceId::NOBODY => Ok(Some(Liveness::Dead)),
            instance => by_lease(folder, instance),
        })
        .collect::<io::Result<_>>()?;
    // Only of those that never had a lease it matters whether there are events of theirs.
    let mut seen = HashSet::from([InstanceId::IMPORTED]);
    if by_lease.contains(&None) {
        for run in folder.run_ids()? {
            seen.extend(folder.events(run)?.iter().map(|event| event.instance));
        }
    }
    let without_lease =
        |instance| if seen.contains(instance) { Liveness::Imported } else { Liveness::Unknown };
    let both = instances.iter().zip(by_lease);
    Ok(both.map(|(instance, lease)| lease.unwrap_or_else(|| without_lease(instance))).collect())
}

fn failed(error: io::Error) -> ReadError {
    match error.kind() {
        // What serde says of a line.
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => ReadError::Damaged {
            reason: "a line is not a JSON array of events: restore the file from a backup, or move it away"
                .to_owned(),
            source: Some(error.into()),
        },
        _ => ReadError::Unavailable {
            reason: "its folder cannot be read".to_owned(),
            source: Some(error.into()),
        },
    }
}
