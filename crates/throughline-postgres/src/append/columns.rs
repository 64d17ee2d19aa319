//! The parameters of a group: what events and runs have in their columns, an array each.

use std::borrow::Cow;
use std::sync::Arc;

use throughline_model::fold::{RowCause, RunRow, RunStanding};
use throughline_model::names::{attrs, data, tags};
use throughline_model::{Histogram, Timestamp, TraceEvent, TraceId};
use tokio_postgres::types::Type;

use super::Run;
use crate::connect::Param;
use crate::error::Fault;
use crate::text::{capped, sortable, status_code, to_column};

/// The largest event that is taken; a parameter of a statement can't have more than a gigabyte.
const MAX_EVENT: usize = 64 << 20;

/// The columns of new events, an array each.
#[derive(Default)]
pub(crate) struct Columns<'e> {
    /// The place of its run among those of the group, from 1.
    run: Vec<i32>,
    span: Vec<i64>,
    seq: Vec<i64>,
    ts: Vec<i64>,
    instance: Vec<i64>,
    n: Vec<i64>,
    status: Vec<i16>,
    event_type: Vec<Cow<'e, str>>,
    service: Vec<Cow<'e, str>>,
    workflow: Vec<Option<Cow<'e, str>>>,
    correlation_id: Vec<Option<Cow<'e, str>>>,
    duration: Vec<Option<i64>>,
    bucket: Vec<Option<i32>>,
    detached: Vec<bool>,
    job: Vec<Option<String>>,
    choice: Vec<Option<Cow<'e, str>>>,
    event: Vec<String>,
}

impl<'e> Columns<'e> {
    /// Of events of these runs, which are in order.
    pub(crate) fn of(events: &'e [Arc<TraceEvent>], traces: &[TraceId]) -> Result<Self, Fault> {
        let mut columns = Self::default();
        for (index, event) in events.iter().enumerate() {
            let json = serde_json::to_string(event).map_err(|error| Fault::Rejected {
                index,
                reason: format!("its JSON can't be written: {error}"),
            })?;
            if json.len() > MAX_EVENT {
                let reason = format!("its JSON has {} bytes; at most {MAX_EVENT} can be stored", json.len());
                return Err(Fault::Rejected { index, reason });
            }
            let run = traces.binary_search(&event.trace_id).map_or(0, |place| place + 1);
            columns.run.push(i32::try_from(run).unwrap_or_default());
            columns.span.push(event.span_id.to_u64() as i64);
            columns.seq.push(i64::from(event.seq));
            columns.ts.push(event.timestamp.as_micros());
            columns.instance.push(sortable(event.instance.to_u64()));
            columns.n.push(sortable(event.n));
            columns.status.push(status_code(event.status));
            columns.event_type.push(to_column(&event.event_type));
            columns.service.push(to_column(&event.service));
            columns.workflow.push(event.workflow.as_deref().map(to_column));
            columns.correlation_id.push(event.correlation_id.as_deref().map(to_column));
            columns.duration.push(event.duration_us.map(capped));
            columns.bucket.push(event.duration_us.map(|micros| i32::from(Histogram::bucket(micros))));
            columns.detached.push(event.is_detached());
            let job = event.attrs.get(attrs::JOB_ID).filter(|_| event.is_detached());
            columns.job.push(job.map(job_column));
            columns.choice.push(choice(event).map(to_column));
            columns.event.push(json);
        }
        Ok(columns)
    }

    pub(crate) fn params(&self) -> [Param<'_>; 17] {
        [
            (&self.run, Type::INT4_ARRAY),
            (&self.span, Type::INT8_ARRAY),
            (&self.seq, Type::INT8_ARRAY),
            (&self.ts, Type::INT8_ARRAY),
            (&self.instance, Type::INT8_ARRAY),
            (&self.n, Type::INT8_ARRAY),
            (&self.status, Type::INT2_ARRAY),
            (&self.event_type, Type::TEXT_ARRAY),
            (&self.service, Type::TEXT_ARRAY),
            (&self.workflow, Type::TEXT_ARRAY),
            (&self.correlation_id, Type::TEXT_ARRAY),
            (&self.duration, Type::INT8_ARRAY),
            (&self.bucket, Type::INT4_ARRAY),
            (&self.detached, Type::BOOL_ARRAY),
            (&self.job, Type::TEXT_ARRAY),
            (&self.choice, Type::TEXT_ARRAY),
            (&self.event, Type::TEXT_ARRAY),
        ]
    }
}

/// The id of a job as the column `job` has it: the beginning of it, for an index holds no text of any length.
pub(crate) fn job_column(job_id: &str) -> String {
    to_column(job_id).chars().take(200).collect()
}

fn choice(event: &TraceEvent) -> Option<&str> {
    event.data.as_ref().filter(|_| event.has_tag(tags::DECISION))?.get(data::CHOICE)?.as_str()
}

/// The new columns of runs, an array each.
#[derive(Default)]
pub(crate) struct Rows {
    latest: Vec<i64>,
    started: Vec<i64>,
    ended: Vec<Option<i64>>,
    status: Vec<i16>,
    owner: Vec<i64>,
    service: Vec<String>,
    workflow: Vec<Option<String>>,
    correlation_id: Vec<Option<String>>,
    has_failure: Vec<bool>,
    compensating: Vec<bool>,
    state: Vec<Option<String>>,
}

impl Rows {
    pub(crate) fn push(&mut self, run: &Run, cause: RowCause) {
        let fold = &run.fold;
        let (Some(latest), Some(started), Some(head), Some(RunStanding { status, owner })) =
            (run.latest, fold.started(), fold.head(), fold.standing())
        else {
            return;
        };
        let column = |text: &str| to_column(text).into_owned();
        self.latest.push(latest.as_micros());
        self.started.push(started.as_micros());
        self.ended.push(fold.ended().map(Timestamp::as_micros));
        self.status.push(status_code(status));
        self.owner.push(owner.to_u64() as i64);
        self.service.push(column(&head.service));
        self.workflow.push(fold.workflow().map(|workflow| column(workflow)));
        self.correlation_id.push(fold.correlation_id().map(|key| column(key)));
        self.has_failure.push(fold.first_failure().is_some());
        self.compensating.push(fold.is_compensating());
        // Writing to a text does not fail: it is maps with text keys, lists, texts and numbers.
        self.state.push(serde_json::to_string(&RunRow::of(fold, cause)).ok());
    }

    pub(crate) fn params(&self) -> [Param<'_>; 11] {
        [
            (&self.latest, Type::INT8_ARRAY),
            (&self.started, Type::INT8_ARRAY),
            (&self.ended, Type::INT8_ARRAY),
            (&self.status, Type::INT2_ARRAY),
            (&self.owner, Type::INT8_ARRAY),
            (&self.service, Type::TEXT_ARRAY),
            (&self.workflow, Type::TEXT_ARRAY),
            (&self.correlation_id, Type::TEXT_ARRAY),
            (&self.has_failure, Type::BOOL_ARRAY),
            (&self.compensating, Type::BOOL_ARRAY),
            (&self.state, Type::TEXT_ARRAY),
        ]
    }
}
