//! What the store knows of a run so far: previous attempts at the same thing, and steps to be undone.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::time::Duration;

use futures_timer::Delay;
use futures_util::future::{Either, select};
use throughline_core::names::{self, JOB_PREFIX, attrs, tags};
use throughline_core::{
    Attrs, Link, Rel, SpanId, Status, Text, Throughline, TraceEvent, TraceId, TraceReader,
};

/// How long the look-up may delay the work, whatever the store does.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pauses before the store is asked again after a failure.
const PAUSES: [Duration; 2] = [Duration::from_millis(25), Duration::from_millis(250)];

/// The spans of a run, in the order of their starts.
#[derive(Debug, Default)]
pub(crate) struct PreviousAttempts {
    spans: Vec<PreviousSpan>,
    by_id: HashMap<SpanId, usize>,
}

/// A span that was started before, here or in another process.
#[derive(Debug)]
pub(crate) struct PreviousSpan {
    pub(crate) id: SpanId,
    pub(crate) event_type: Text,
    pub(crate) attempt: Option<u32>,
    /// `Pending` if no end was recorded.
    pub(crate) status: Status,
    parent: Option<SpanId>,
    workflow: Option<Text>,
    attrs: Attrs,
    links: Vec<Link>,
    is_compensation: bool,
}

impl PreviousAttempts {
    /// Reads it; `around`, where the caller stands, must be in it. Empty if there is no store, or it does not answer in
    /// time: then links are missing, which is logged and is no reason to delay the work any longer.
    pub(crate) async fn of(throughline: &Throughline, trace_id: TraceId, around: Option<SpanId>) -> Self {
        let Some(reader) = throughline.reader() else { return Self::default() };
        // Not tokio's timer: whoever runs steps may have another runtime.
        let failure = match select(pin!(read(&*reader, trace_id, around)), Delay::new(PATIENCE)).await {
            Either::Left((Ok(previous), _)) => return previous,
            Either::Left((Err(failure), _)) => failure,
            Either::Right(_) => format!("no answer from the store within {PATIENCE:?}"),
        };
        tracing::warn!(
            target: "throughline",
            %trace_id,
            error = %failure,
            "cannot look up previous attempts and steps to be undone: what starts now is not linked to them, and a failed \
             attempt before it still counts"
        );
        Self::default()
    }

    fn from_events(events: &[TraceEvent]) -> Self {
        let mut previous = Self::default();
        for event in events {
            match previous.by_id.get(&event.span_id) {
                Some(at) => previous.spans[*at].status = event.status,
                None => {
                    previous.by_id.insert(event.span_id, previous.spans.len());
                    previous.spans.push(PreviousSpan {
                        id: event.span_id,
                        event_type: event.event_type.clone(),
                        attempt: event.attempt,
                        status: event.status,
                        parent: event.parent_span_id,
                        workflow: event.workflow.clone(),
                        attrs: event.attrs.clone(),
                        links: event.links.clone(),
                        is_compensation: event.has_tag(tags::COMPENSATION),
                    });
                }
            }
        }
        previous
    }

    /// The steps with this id that the workflow or job around a span has begun, in this attempt at it and in previous
    /// ones; compensations are left out. The same id in another job of the trace is another step.
    pub(crate) fn steps(&self, around: SpanId, step_id: &str) -> Vec<&PreviousSpan> {
        let works = self.attempts_at_the_work_around(around);
        let found = self.spans.iter().enumerate().filter(|(at, span)| {
            !span.is_compensation
                && span.attrs.get(attrs::STEP_ID) == Some(step_id)
                && works.contains(&self.work_around(Some(*at)))
        });
        found.map(|(_, span)| span).collect()
    }

    /// The last compensation of any of these steps.
    pub(crate) fn last_compensation_of(&self, originals: &[SpanId]) -> Option<&PreviousSpan> {
        let undoes = |link: &Link| link.rel == Rel::Compensates && originals.contains(&link.span_id);
        self.spans.iter().rev().find(|span| span.is_compensation && span.links.iter().any(undoes))
    }

    /// The last attempt at a job. Two queues may give their jobs the same ids, and one queue may have jobs of several
    /// kinds with ids of their own.
    pub(crate) fn last_attempt_at(
        &self,
        event_type: &str,
        queue: &str,
        job_id: &str,
    ) -> Option<&PreviousSpan> {
        self.spans.iter().rev().find(|span| {
            span.event_type == event_type
                && span.attrs.get(attrs::QUEUE) == Some(queue)
                && span.attrs.get(attrs::JOB_ID) == Some(job_id)
        })
    }

    fn above(&self, at: usize) -> Option<usize> {
        self.by_id.get(&self.spans[at].parent?).copied()
    }

    /// Whether a workflow or a job begins with a span.
    fn begins_work(&self, at: usize) -> bool {
        let span = &self.spans[at];
        let names_another = |above: usize| span.workflow != self.spans[above].workflow;
        span.event_type == names::WORKFLOW_STARTED
            || span.event_type.starts_with(JOB_PREFIX)
            || (span.workflow.is_some() && self.above(at).is_some_and(names_another))
    }

    /// The span, here or above, that the nearest workflow or job began with. What is in none belongs together too.
    fn work_around(&self, mut at: Option<usize>) -> Option<usize> {
        // Broken records may have cycles.
        for _ in 0..=self.spans.len() {
            match at {
                Some(span) if !self.begins_work(span) => at = self.above(span),
                found => return found,
            }
        }
        None
    }

    /// The workflow or job around a span, and the previous attempts at it: those it links as `retry_of`, and, where it
    /// is a part of a job that was tried before, what was the same part of that attempt.
    fn attempts_at_the_work_around(&self, around: SpanId) -> HashSet<Option<usize>> {
        let mut nested = Vec::new();
        let mut work = self.work_around(self.by_id.get(&around).copied());
        while let Some(at) = work.filter(|at| !nested.contains(at)) {
            nested.push(at);
            work = self.work_around(self.above(at));
        }
        let mut attempts = HashSet::from([None]);
        let mut outer = None;
        for work in nested.into_iter().rev() {
            let previous = attempts.into_iter().filter(|attempt| *attempt != outer);
            let mut found: Vec<usize> = previous.filter_map(|attempt| self.part_of(attempt, work)).collect();
            found.push(work);
            attempts = HashSet::new();
            while let Some(attempt) = found.pop() {
                if attempts.insert(Some(attempt)) {
                    let links = self.spans[attempt].links.iter().filter(|link| link.rel == Rel::RetryOf);
                    found.extend(links.filter_map(|link| self.by_id.get(&link.span_id)));
                }
            }
            outer = Some(work);
        }
        attempts
    }

    /// The part of an attempt that has the same name as another; if several have, nobody knows which one it was.
    fn part_of(&self, attempt: Option<usize>, other: usize) -> Option<usize> {
        let called = |at: usize| (&self.spans[at].event_type, &self.spans[at].workflow);
        let is_part = |at: &usize| {
            *at != other
                && called(*at) == called(other)
                && self.begins_work(*at)
                && self.work_around(self.above(*at)) == attempt
        };
        let mut parts = (0..self.spans.len()).filter(is_part);
        parts.next().filter(|_| parts.next().is_none())
    }
}

async fn read(
    reader: &dyn TraceReader,
    trace_id: TraceId,
    around: Option<SpanId>,
) -> Result<PreviousAttempts, String> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let failure = match reader.trace(trace_id).await {
            Ok(events) => {
                let previous = PreviousAttempts::from_events(&events);
                if around.is_none_or(|around| previous.by_id.contains_key(&around)) {
                    return Ok(previous);
                }
                // It is on its way, if steps do not wait until their start is durable.
                "the store does not have the step or run around it".to_owned()
            }
            Err(error) if error.is_retryable() => error.to_string(),
            Err(error) => return Err(error.to_string()),
        };
        match pauses.next() {
            Some(pause) => Delay::new(pause).await,
            None => return Err(failure),
        }
    }
}
