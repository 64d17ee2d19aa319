//! What is read from the store: spans whose beginning another process saw, those that it left open, and runs that were not
//! sampled and failed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use throughline_model::fold::{by_span, place_in_span};
use throughline_model::{
    BoxFuture, InstanceId, Liveness, ReadError, Status, TraceEvent, TraceId, TraceReader,
};
use tokio::time::Instant;

use crate::assemble::{Amounts, Assembler, Finished, is_a_mere_point};
use crate::deadline::Deadline;

/// How long a store may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the end of a run may take to get into the store, and how often that is looked at.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);
/// How many questions may wait, and how many runs are known to have been exported as a whole.
const REMEMBERED: usize = 1024;

/// What is to be looked up.
#[derive(Debug)]
pub(crate) enum Question {
    /// The beginning of a span that has ended here.
    Beginning(Finished),
    /// All of a run that failed with this event.
    Whole(Arc<TraceEvent>),
}

struct Waiting {
    question: Question,
    at: Instant,
    attempts: u32,
}

/// Questions to the store, and who answers them.
pub(crate) struct Lookups {
    reader: Option<Arc<dyn TraceReader>>,
    waiting: VecDeque<Waiting>,
    whole: VecDeque<TraceId>,
}

impl Lookups {
    pub(crate) fn new(reader: Option<Arc<dyn TraceReader>>) -> Self {
        Self { reader, waiting: VecDeque::new(), whole: VecDeque::new() }
    }

    /// Whether there is anybody to ask who is not asked too much already.
    pub(crate) fn can_answer(&self) -> bool {
        self.reader.is_some() && self.waiting.len() < REMEMBERED
    }

    pub(crate) fn ask(&mut self, question: Question) {
        if let Question::Whole(end) = &question {
            if !self.can_answer() || self.whole.contains(&end.trace_id) {
                return;
            }
            self.whole.push_back(end.trace_id);
            if self.whole.len() > REMEMBERED {
                self.whole.pop_front();
            }
        }
        self.waiting.push_back(Waiting { question, at: Instant::now(), attempts: 0 });
    }

    /// When the next question is to be asked.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.waiting.front().map(|waiting| waiting.at)
    }

    /// Those that nobody answered.
    pub(crate) fn give_up(&mut self) -> impl Iterator<Item = Finished> + '_ {
        self.waiting.drain(..).filter_map(|waiting| match waiting.question {
            Question::Beginning(span) => Some(span),
            Question::Whole(_) => None,
        })
    }

    /// Asks the next question, if it is time; answers spans, of a whole run with their events to be accepted.
    pub(crate) async fn answer(
        &mut self,
        assembler: &Assembler,
        deadline: &mut Deadline,
    ) -> Option<Answered> {
        let next = self.waiting.pop_front_if(|waiting| waiting.at <= Instant::now())?;
        let Waiting { question, attempts, .. } = next;
        let trace = match &question {
            Question::Beginning(span) => span.events.first()?.trace_id,
            Question::Whole(end) => end.trace_id,
        };
        let events = self.ask_store(deadline, |reader| reader.trace(trace)).await;
        let events = events.unwrap_or_default();
        Some(match question {
            Question::Beginning(span) => {
                let alive = self.alive(&events, deadline).await;
                Answered::Spans(self.completed(span, &events, &alive, assembler))
            }
            Question::Whole(end) => {
                // Events of a run are stored in their order: with its end all of them are there.
                let is_whole = events.iter().any(|event| event.id() == end.id());
                if !is_whole && attempts < ATTEMPTS {
                    let at = Instant::now() + PAUSE;
                    let question = Question::Whole(end);
                    self.waiting.push_back(Waiting { question, at, attempts: attempts + 1 });
                    return Some(Answered::NotYet);
                }
                Answered::Whole(spans_of(events))
            }
        })
    }

    async fn ask_store<'s, T>(
        &'s self,
        deadline: &mut Deadline,
        ask: impl FnOnce(&'s dyn TraceReader) -> BoxFuture<'s, Result<T, ReadError>>,
    ) -> Option<T> {
        let asking = tokio::time::timeout(PATIENCE, ask(&**self.reader.as_ref()?));
        let error = match deadline.limit(asking).await {
            Some(Ok(Ok(answer))) => return Some(answer),
            Some(Ok(Err(error))) => error.to_string(),
            Some(Err(_)) | None => "it did not answer in time".to_owned(),
        };
        tracing::warn!(target: "throughline", error, "the store did not say what a run did before; its export has gaps");
        None
    }

    /// Which processes may be at work on a run: all but those of which it is known that they are not.
    async fn alive(&self, events: &[TraceEvent], deadline: &mut Deadline) -> Vec<InstanceId> {
        let mut instances: Vec<_> = events.iter().map(|event| event.instance).collect();
        instances.sort_unstable();
        instances.dedup();
        let known = self.ask_store(deadline, |reader| reader.liveness(&instances)).await;
        let mut known = known.unwrap_or_default().into_iter();
        instances.retain(|_| known.next() != Some(Liveness::Dead));
        instances
    }

    /// The span with its beginning, and if it is the root of its run all that dead processes left open in that.
    fn completed(
        &self,
        mut span: Finished,
        events: &[TraceEvent],
        alive: &[InstanceId],
        assembler: &Assembler,
    ) -> Vec<Finished> {
        let Some(end) = span.events.last().cloned() else { return Vec::new() };
        let first = span.events.first().map_or(0, |first| first.seq);
        let mut before: Vec<_> =
            events.iter().filter(|event| event.span_id == end.span_id && event.seq < first).collect();
        before.sort_by_key(|event| place_in_span(event));
        span.events.splice(..0, before.into_iter().cloned().map(Arc::new));
        let mut spans = Vec::new();
        if end.is_root() {
            spans.extend(by_span(events).into_iter().filter_map(|of_span| {
                let last = of_span.last()?;
                let is_left_open = last.status == Status::Pending
                    && !alive.contains(&last.instance)
                    && last.span_id != end.span_id
                    && !assembler.has(last.trace_id, last.span_id);
                let points = events.iter().filter(|event| {
                    event.parent_span_id == Some(last.span_id)
                        && event.seq == 0
                        && event.status != Status::Pending
                        && is_a_mere_point(event)
                });
                is_left_open.then(|| Finished {
                    events: of_span.iter().map(|event| Arc::new(TraceEvent::clone(event))).collect(),
                    points: points.cloned().map(Arc::new).collect(),
                    interrupted_at: Some(end.timestamp),
                    owed: 0,
                })
            }));
        }
        spans.push(span);
        spans
    }
}

/// An answer.
pub(crate) enum Answered {
    /// Spans of which all events have been accepted that are owed.
    Spans(Vec<Finished>),
    /// Spans of a run that nothing is known of.
    Whole(Vec<Finished>),
    /// It is asked again.
    NotYet,
}

fn spans_of(events: Vec<TraceEvent>) -> Vec<Finished> {
    let mut assembler = Assembler::new(usize::MAX);
    let ended = |event| match assembler.take(Arc::new(event)) {
        Amounts::Ended(span) => Some(span),
        _ => None,
    };
    events.into_iter().filter_map(ended).collect()
}
