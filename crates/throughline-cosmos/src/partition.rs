//! What is read of the partition of a run, by those who write to it as by those who show it.

use std::collections::{HashMap, HashSet};

use azure_data_cosmos::FeedScope;
use throughline_model::fold::Position;
use throughline_model::{TraceEvent, TraceId};

use crate::container::Container;
use crate::document::StoredEvent;
use crate::error::Fault;
use crate::question::Question;

/// The fields of a [`StoredEvent`].
pub(crate) const EVENT: &str = "c.event, c.batch, c.batch_size";

/// The events of what a query found.
pub(crate) fn read(found: Vec<StoredEvent>) -> Result<Vec<TraceEvent>, Fault> {
    found.into_iter().map(StoredEvent::into_event).collect()
}

/// The partition of a run.
pub(crate) fn partition(trace: TraceId) -> FeedScope {
    FeedScope::partition(trace.to_string())
}

/// The events of a run that meet some conditions, in no order.
pub(crate) async fn of_partition(
    container: &Container,
    trace: TraceId,
    mut question: Question,
) -> Result<Vec<TraceEvent>, Fault> {
    question.require("c.kind = 'event'");
    let query = question.query(EVENT, "")?;
    let found = container.query::<StoredEvent>(partition(trace), query, None).await?;
    read(found.items)
}

/// Which of these documents of a run there are.
pub(crate) async fn ids_that_exist(
    container: &Container,
    trace: TraceId,
    ids: &[String],
) -> Result<HashSet<String>, Fault> {
    let mut question = Question::about("event");
    question.require_one_of("c.id", ids);
    let query = question.query("VALUE c.id", "")?;
    Ok(container.query::<String>(partition(trace), query, None).await?.items.into_iter().collect())
}

/// All events of a run, as they were at one moment.
pub(crate) async fn of_trace(container: &Container, id: TraceId) -> Result<Vec<TraceEvent>, Fault> {
    let query = Question::about("event").query(EVENT, "")?;
    let mut found = container.query::<StoredEvent>(partition(id), query, None).await?;
    if found.is_paged {
        leave_out_halves(&mut found.items);
    }
    let mut events = read(found.items)?;
    events.sort_by_cached_key(Position::of);
    Ok(events)
}

/// Leaves out the events of batches of which not all were found: they were committed between two pages, and are seen as a
/// whole the next time.
fn leave_out_halves(events: &mut Vec<StoredEvent>) {
    let mut found: HashMap<String, usize> = HashMap::new();
    for event in events.iter() {
        *found.entry(event.batch.clone()).or_default() += 1;
    }
    events.retain(|event| found.get(&event.batch).is_some_and(|count| *count >= event.batch_size));
}
