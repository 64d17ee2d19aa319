//! [`JobKey`], by which the attempts at a job are found.

use crate::names::attrs;
use crate::{SpanId, Text, TraceEvent, fold};

/// What all attempts at one job have in common. Two queues may give their jobs the same ids, and one queue may have jobs of
/// several kinds with ids of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct JobKey {
    /// What its spans are called: `job:` and the kind of job.
    pub event_type: Text,
    /// The [queue](attrs::QUEUE).
    pub queue: Text,
    /// The [id](attrs::JOB_ID) that the queue gave it.
    pub job_id: Text,
}

/// An attempt at a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobAttempt {
    /// Its span.
    pub span_id: SpanId,
    /// Which attempt it was, from 1.
    pub number: u32,
}

impl JobKey {
    /// The key of a job.
    pub fn new(event_type: impl Into<Text>, queue: impl Into<Text>, job_id: impl Into<Text>) -> Self {
        Self { event_type: event_type.into(), queue: queue.into(), job_id: job_id.into() }
    }

    /// The attempt at this job that a span is which begins with this event; `None` if it is none.
    pub fn attempt_of(&self, first: &TraceEvent) -> Option<JobAttempt> {
        let is_attempt = first.event_type == self.event_type
            && first.attrs.get(attrs::JOB_ID) == Some(self.job_id.as_str())
            && first.attrs.get(attrs::QUEUE) == Some(self.queue.as_str())
            && first.is_detached();
        is_attempt.then(|| JobAttempt { span_id: first.span_id, number: first.attempt.unwrap_or(1) })
    }

    /// The last attempt at this job in a run, or in some of its spans.
    pub fn last_attempt<'e>(&self, events: impl IntoIterator<Item = &'e TraceEvent>) -> Option<JobAttempt> {
        fold::by_span(events).into_iter().rev().find_map(|span| self.attempt_of(span[0]))
    }
}
