//! Appending: the events of a run are one transactional batch, with the document of the run as its last operation.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use azure_core::http::Etag;
use azure_data_cosmos::TransactionalBatch;
use azure_data_cosmos::options::{BatchReplaceOptions, Precondition};
use throughline_model::fold::{Change, RowFold};
use throughline_model::{TraceEvent, TraceId};

use crate::container::{ATTEMPTS, Batch, Container};
use crate::document::{EventDocument, RUN, RunDocument, event_id};
use crate::error::{Fault, Refusal};
use crate::partition::ids_that_exist;
use crate::run::{Known, add, add_missing, load, settle};

/// How many events a batch has room for: of its hundred operations, one is for the document of the run.
pub(crate) const MAX_EVENTS: usize = 99;

/// How much JSON of events a batch has room for. Of its 2 MiB they take up to three times as much: each quotation mark is
/// escaped, and what is searched by stands in fields of its own, too.
pub(crate) const MAX_BYTES: usize = 512 << 10;

/// How large the document of an event may be.
const MAX_DOCUMENT: usize = 3 << 19;

/// What a writer remembers, so that most events cost no reading. It is never wrong: a fold counts for nothing if the document
/// of its run has another etag.
#[derive(Default)]
pub(crate) struct Memory(Mutex<HashMap<TraceId, Known>>);

impl Memory {
    const RUNS: usize = 8192;

    fn take(&self, trace: TraceId) -> Option<Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&trace)
    }

    fn keep(&self, trace: TraceId, known: Known) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.len() >= Self::RUNS {
            runs.clear();
        }
        // Of a run that has ended, little more is to come.
        if known.fold.is_open() {
            runs.insert(trace, known);
        }
    }
}

/// Makes events durable, those of each run at once.
pub(crate) async fn append(
    container: &Container,
    memory: &Memory,
    events: &[Arc<TraceEvent>],
    ttl: Option<u32>,
) -> Result<(), Fault> {
    let mut traces: Vec<TraceId> = Vec::new();
    let mut groups: HashMap<TraceId, Vec<(usize, &Arc<TraceEvent>)>> = HashMap::new();
    let mut ids = HashSet::new();
    for (index, event) in events.iter().enumerate().filter(|(_, event)| ids.insert(event.id())) {
        let group = groups.entry(event.trace_id).or_default();
        if group.is_empty() {
            traces.push(event.trace_id);
        }
        group.push((index, event));
    }
    for trace in traces {
        let group = groups.remove(&trace).unwrap_or_default();
        let known = append_run(container, memory.take(trace), trace, &group, ttl).await?;
        memory.keep(trace, known);
    }
    Ok(())
}

async fn append_run(
    container: &Container,
    mut known: Option<Known>,
    trace: TraceId,
    events: &[(usize, &Arc<TraceEvent>)],
    ttl: Option<u32>,
) -> Result<Known, Fault> {
    let mut new: Vec<(usize, &Arc<TraceEvent>)> = events.to_vec();
    for _ in 0..ATTEMPTS {
        let mut fold = known.as_ref().map_or_else(RowFold::new, |known| known.fold.clone());
        let changed = add(&mut fold, &all(&new));
        // A run that is new has no others than those of this batch.
        if known.is_some() && !changed.missing.is_empty() {
            add_missing(container, trace, &mut fold, &changed.missing).await?;
        }
        let is_written = known.is_none() || changed.change != Change::Nothing;
        let batch = batch_of(trace, &new, &fold, known.as_ref(), is_written, ttl)?;
        let executed = container.execute(batch).await.map_err(|fault| too_large(fault, &new))?;
        match executed {
            Batch::Done { etag } => {
                let is_of_others = !is_written && known.as_ref().is_some_and(|known| known.etag != etag);
                // Others may have added to a span between the look at it and the batch.
                let was_looked_at = known.is_some() && !changed.missing.is_empty();
                // Who sent the others may have died before the run was put right.
                let is_rest = new.len() < events.len();
                return match is_of_others || was_looked_at || is_rest {
                    true => settle(container, trace, &all(events), &changed.missing, ttl).await,
                    false => Ok(Known { etag, fold }),
                };
            }
            // An event is there: the answer to an earlier attempt was lost, or somebody else has sent it. The first counts.
            Batch::Refused { place, refusal: Refusal { status: 409, .. } } if place < new.len() => {
                let ids: Vec<String> = new.iter().map(|(_, event)| event_id(event)).collect();
                let existing = ids_that_exist(container, trace, &ids).await?;
                new.retain(|(_, event)| !existing.contains(&event_id(event)));
                if new.is_empty() {
                    return settle(container, trace, &all(events), &[], ttl).await;
                }
                known = load(container, trace).await?;
            }
            // The document of the run is another one than was thought, or there is none any more.
            Batch::Refused { place, refusal: Refusal { status: 404 | 409 | 412, .. } }
                if place == new.len() =>
            {
                known = load(container, trace).await?;
            }
            Batch::Refused { refusal, .. } => return Err(Fault::Service(refusal)),
        }
    }
    Err(Fault::Passing("others write to the same run at this moment"))
}

/// A batch that the service finds too large is so because of its largest event.
fn too_large(fault: Fault, events: &[(usize, &Arc<TraceEvent>)]) -> Fault {
    let bytes = |event: &TraceEvent| serde_json::to_vec(event).map_or(0, |json| json.len());
    let largest = events.iter().max_by_key(|(_, event)| bytes(event));
    match (fault, largest) {
        (Fault::Service(Refusal { status: 413, .. }), Some((index, _))) => {
            Fault::Rejected { index: *index, reason: "the service refuses it, as it is too large".to_owned() }
        }
        (fault, _) => fault,
    }
}

fn all<'e>(events: &[(usize, &'e Arc<TraceEvent>)]) -> Vec<&'e Arc<TraceEvent>> {
    events.iter().map(|(_, event)| *event).collect()
}

/// The batch of new events: creates a document for each, and at last creates, replaces or reads that of their run.
fn batch_of(
    trace: TraceId,
    new: &[(usize, &Arc<TraceEvent>)],
    fold: &RowFold,
    known: Option<&Known>,
    is_written: bool,
    ttl: Option<u32>,
) -> Result<TransactionalBatch, Fault> {
    let mut batch = TransactionalBatch::new(trace.to_string());
    let Some((_, first)) = new.first() else { return Ok(batch) };
    for (index, event) in new {
        let rejected = |reason: String| Fault::Rejected { index: *index, reason };
        let json = serde_json::to_string(event)
            .map_err(|error| rejected(format!("its JSON can't be written: {error}")))?;
        let document = EventDocument::of(event, json, first, new.len(), ttl);
        let bytes = serde_json::to_vec(&document).map_or(usize::MAX, |bytes| bytes.len());
        if bytes > MAX_DOCUMENT {
            return Err(rejected(format!(
                "its document has {bytes} bytes; at most {MAX_DOCUMENT} can be stored"
            )));
        }
        batch = batch.create_item(document)?;
    }
    if !is_written {
        return Ok(batch.read_item(RUN, None));
    }
    let document = RunDocument::of(trace, fold, ttl)
        .ok_or_else(|| Fault::Damaged(format!("how run {trace} stands can't be written")))?;
    Ok(match known {
        Some(known) => {
            let unchanged = Precondition::IfMatch(Etag::from(known.etag.clone()));
            batch.replace_item(
                RUN,
                document,
                Some(BatchReplaceOptions::default().with_precondition(unchanged)),
            )?
        }
        None => batch.create_item(document)?,
    })
}
