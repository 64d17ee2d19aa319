//! Finds the runs that a filter of the command line wants.

use throughline_core::{Cursor, Page, RunSummary, Text, Timestamp, TraceId, TraceReader};

use crate::args::RunFilter;
use crate::error::CliError;
use crate::store::Store;

/// How many runs to ask for at a time when all are wanted.
const PAGE: usize = 1_000;

/// A page of the runs that are wanted, and of which this is so as well, the last started first.
pub(crate) async fn page(
    store: &Store,
    reader: &dyn TraceReader,
    wanted: &RunFilter,
    limit: usize,
    after: Option<Cursor>,
    also: impl Fn(&RunSummary) -> bool,
) -> Result<(Vec<RunSummary>, Option<Cursor>), CliError> {
    let filter = wanted.to_filter(store);
    let mut runs = Vec::new();
    let mut page = Page { limit, after };
    loop {
        // Stores don't know the state that is wanted, so that runs may drop out of a page. Asking for no more
        // than are missing keeps the cursor at the last one that was looked at.
        page.limit = limit - runs.len();
        let found = reader.runs(&filter, &page).await?;
        runs.extend(found.items.into_iter().filter(|run| wanted.wants(run.state) && also(run)));
        match found.next {
            Some(next) if runs.len() < limit => page.after = Some(next),
            next => return Ok((runs, next)),
        }
    }
}

/// All runs that are wanted with their workflows, the first started first.
pub(crate) async fn all(
    store: &Store,
    reader: &dyn TraceReader,
    wanted: &RunFilter,
) -> Result<Vec<(TraceId, Option<Text>)>, CliError> {
    let mut runs: Vec<(Timestamp, TraceId, Option<Text>)> = Vec::new();
    let mut after = None;
    loop {
        let (found, next) = page(store, reader, wanted, PAGE, after, |_| true).await?;
        runs.extend(found.into_iter().map(|run| (run.started, run.trace_id, run.workflow)));
        if next.is_none() {
            // Stable, so that runs that started together stay in the reverse of the store's order.
            runs.reverse();
            runs.sort_by_key(|(started, ..)| *started);
            return Ok(runs.into_iter().map(|(_, id, workflow)| (id, workflow)).collect());
        }
        after = next;
    }
}
