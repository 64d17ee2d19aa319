//! The document of a run: read back into a fold, and brought up to date.
//!
//! It is written when an event changes how the run stands, which most do not: the batch of the others only reads its etag.
//! Where that is another one than the writer knows, somebody else has changed the run, and what the writer took for an event
//! that changes nothing may be one that does: then [`settle`] puts it right, before the event is acknowledged.

use std::sync::Arc;

use throughline_model::fold::{Change, Mark, RowFold, outline};
use throughline_model::{SpanId, TraceEvent, TraceId};

use crate::container::{ATTEMPTS, Container};
use crate::document::{RUN, RunDocument};
use crate::error::Fault;
use crate::partition::of_partition;
use crate::question::Question;

/// A run as a writer knows it.
pub(crate) struct Known {
    /// Of the document that the fold is of.
    pub(crate) etag: String,
    pub(crate) fold: RowFold,
}

/// What some events change about a run.
#[derive(Default)]
pub(crate) struct Changed {
    pub(crate) change: Change,
    /// Spans of which the fold has not kept the events that came before, and needs them from now on.
    pub(crate) missing: Vec<SpanId>,
}

/// Adds events to the fold of their run.
pub(crate) fn add(fold: &mut RowFold, events: &[&Arc<TraceEvent>]) -> Changed {
    let mut changed = Changed::default();
    for event in events {
        let added = fold.add(outline(event), event);
        changed.change = changed.change.max(added.change);
        changed.missing.extend(added.missing_span);
    }
    // What came before may be among these themselves.
    let again = events.iter().filter(|event| changed.missing.contains(&event.span_id));
    fold.add_missing(again.map(|event| Mark::of(outline(event), event)));
    changed
}

/// Adds what is stored of spans to the fold of their run.
pub(crate) async fn add_missing(
    container: &Container,
    trace: TraceId,
    fold: &mut RowFold,
    spans: &[SpanId],
) -> Result<(), Fault> {
    let found = of_spans(container, trace, spans.iter().map(SpanId::to_string).collect()).await?;
    fold.add_missing(found.iter().map(|event| Mark::of(outline(event), event)));
    Ok(())
}

async fn of_spans(
    container: &Container,
    trace: TraceId,
    spans: Vec<String>,
) -> Result<Vec<TraceEvent>, Fault> {
    /// As many as a query has room for.
    const AT_ONCE: usize = 200;
    let mut events = Vec::new();
    for spans in spans.chunks(AT_ONCE) {
        let mut question = Question::default();
        question.require_one_of("c.span", spans);
        events.extend(of_partition(container, trace, question).await?);
    }
    Ok(events)
}

/// Reads how a run stands; `None` if there is no such run.
pub(crate) async fn load(container: &Container, trace: TraceId) -> Result<Option<Known>, Fault> {
    let Some(document) = container.read::<RunDocument>(&trace.to_string(), RUN).await? else {
        return Ok(None);
    };
    let row = document.row()?;
    let fold = if row.is_rootless() {
        RowFold::of(of_partition(container, trace, Question::default()).await?.iter().map(outline))
    } else {
        let detached = if row.has_detached() { detached(container, trace).await? } else { Vec::new() };
        row.restore(document.started()?, document.compensating, &detached)
    };
    Ok(Some(Known { etag: document.etag, fold }))
}

/// The events of all spans of which one is detached.
async fn detached(container: &Container, trace: TraceId) -> Result<Vec<TraceEvent>, Fault> {
    let mut question = Question::default();
    question.require("c.detached = true");
    let mut spans: Vec<String> = of_partition(container, trace, question)
        .await?
        .iter()
        .map(|event| event.span_id.to_string())
        .collect();
    spans.sort_unstable();
    spans.dedup();
    of_spans(container, trace, spans).await
}

/// Sees to it that the document of a run has in it what these stored events change, whatever others write to it.
pub(crate) async fn settle(
    container: &Container,
    trace: TraceId,
    events: &[&Arc<TraceEvent>],
    missing: &[SpanId],
    ttl: Option<u32>,
) -> Result<Known, Fault> {
    let partition = trace.to_string();
    for _ in 0..ATTEMPTS {
        let found = load(container, trace).await?;
        let mut fold = found.as_ref().map_or_else(RowFold::new, |known| known.fold.clone());
        let mut changed = add(&mut fold, events);
        changed.missing.extend_from_slice(missing);
        if !changed.missing.is_empty() {
            add_missing(container, trace, &mut fold, &changed.missing).await?;
        }
        let etag = match &found {
            Some(known) if known.fold == fold => return Ok(Known { etag: known.etag.clone(), fold }),
            Some(known) => Some(known.etag.clone()),
            None => None,
        };
        let Some(document) = RunDocument::of(trace, &fold, ttl) else { break };
        let written = match &etag {
            Some(etag) => container.replace(&partition, RUN, document, etag).await?,
            None => container.create(&partition, RUN, document).await?,
        };
        if let Some(written) = written {
            return Ok(Known { etag: written.etag, fold });
        }
    }
    Err(Fault::Passing("others write to the same run at this moment"))
}
