//! Turning pages until the last.

use crate::{
    Filter, OpenRun, OpenSummary, Page, Paged, ReadError, RunSummary, TraceEvent, TraceId, TraceReader,
};

/// More pages than any rule has events.
const TOO_MANY: usize = 100_000;

/// Turns pages of at most so many items until the last; `between` happens after each.
pub(super) async fn turn<T>(
    limit: usize,
    mut page: impl AsyncFnMut(Page) -> Result<Paged<T>, ReadError>,
    mut between: impl AsyncFnMut(usize),
) -> Vec<T> {
    let (mut all, mut after) = (Vec::new(), None);
    for turned in 0.. {
        assert!(turned < TOO_MANY, "pages come without end");
        let found = page(Page { limit, after: after.take() }).await.unwrap();
        assert!(found.items.len() <= limit, "a page holds {} of at most {limit}", found.items.len());
        assert!(found.next.is_none() || !found.items.is_empty(), "a page that names a next one is not empty");
        all.extend(found.items);
        match found.next {
            Some(next) => after = Some(next),
            None => break,
        }
        between(turned).await;
    }
    all
}

/// All events that match, in pages as large as the store makes them.
pub(super) async fn events(reader: &dyn TraceReader, filter: &Filter) -> Vec<TraceEvent> {
    events_by(reader, filter, usize::MAX).await
}

pub(super) async fn events_by(reader: &dyn TraceReader, filter: &Filter, limit: usize) -> Vec<TraceEvent> {
    turn(limit, async |page| reader.events(filter, &page).await, async |_| {}).await
}

/// All runs that match, in pages as large as the store makes them.
pub(super) async fn runs(reader: &dyn TraceReader, filter: &Filter) -> Vec<RunSummary> {
    runs_by(reader, filter, usize::MAX).await
}

pub(super) async fn runs_by(reader: &dyn TraceReader, filter: &Filter, limit: usize) -> Vec<RunSummary> {
    turn(limit, async |page| reader.runs(filter, &page).await, async |_| {}).await
}

pub(super) async fn runs_without_causes(
    reader: &dyn TraceReader,
    filter: &Filter,
    limit: usize,
) -> Vec<RunSummary> {
    turn(limit, async |page| reader.runs_without_causes(filter, &page).await, async |_| {}).await
}

pub(super) async fn trace_by(reader: &dyn TraceReader, id: TraceId, limit: usize) -> Vec<TraceEvent> {
    turn(limit, async |page| reader.trace_page(id, &page).await, async |_| {}).await
}

/// All open runs, in pages as large as the store makes them.
pub(super) async fn open_runs(reader: &dyn TraceReader) -> Vec<OpenRun> {
    open_runs_by(reader, usize::MAX).await
}

pub(super) async fn open_runs_by(reader: &dyn TraceReader, limit: usize) -> Vec<OpenRun> {
    turn(limit, async |page| reader.open_runs(&page).await, async |_| {}).await
}

pub(super) async fn open_summaries_by(reader: &dyn TraceReader, limit: usize) -> Vec<OpenSummary> {
    turn(limit, async |page| reader.open_summaries(&page).await, async |_| {}).await
}
