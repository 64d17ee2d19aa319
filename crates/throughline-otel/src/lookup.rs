//! What is read from the store: spans whose beginning another process saw, those that it left open, and runs that were not
//! sampled and failed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use throughline_model::fold::{by_span, place_in_span};
use throughline_model::{
    BoxFuture, InstanceId, Liveness, Process, ReadError, Status, TraceEvent, TraceId, TraceReader,
};
use tokio::time::Instant;

use crate::assemble::{Amounts, Assembler, Finished, is_a_mere_point};

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

/// The question that the store is being asked.
struct Asked {
    question: Question,
    attempts: u32,
    answer: BoxFuture<'static, Option<Known>>,
}

/// What the store knows of a run.
#[derive(Default)]
struct Known {
    events: Vec<TraceEvent>,
    /// Which processes may be at work on it: all but those of which it is known that they are not.
    alive: Vec<InstanceId>,
    /// The processes that were.
    processes: Vec<(InstanceId, Process)>,
}

/// Questions to the store, and who answers them. One is asked at a time, while everything else continues.
pub(crate) struct Lookups {
    reader: Option<Arc<dyn TraceReader>>,
    waiting: VecDeque<Waiting>,
    asked: Option<Asked>,
    whole: VecDeque<TraceId>,
}

impl Lookups {
    pub(crate) fn new(reader: Option<Arc<dyn TraceReader>>) -> Self {
        Self { reader, waiting: VecDeque::new(), asked: None, whole: VecDeque::new() }
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
        self.waiting.front().filter(|_| self.asked.is_none()).map(|waiting| waiting.at)
    }

    /// Asks the next question, if it is time and none is being asked.
    pub(crate) fn ask_next(&mut self) {
        let Some(reader) = self.reader.clone().filter(|_| self.asked.is_none()) else { return };
        let Some(next) = self.waiting.pop_front_if(|waiting| waiting.at <= Instant::now()) else { return };
        let Waiting { question, attempts, .. } = next;
        let trace = match &question {
            Question::Beginning(span) => span.events.first().map(|event| event.trace_id),
            Question::Whole(end) => Some(end.trace_id),
        };
        let Some(trace) = trace else { return };
        self.asked = Some(Asked { question, attempts, answer: Box::pin(known(reader, trace)) });
    }

    /// Whether the store has not answered yet.
    pub(crate) fn are_waiting(&self) -> bool {
        self.asked.is_some()
    }

    /// Those that nobody answered. Runs that are to be exported as a whole stay.
    pub(crate) fn give_up(&mut self) -> Vec<Finished> {
        let mut spans = Vec::new();
        let mut keep = |waiting: Waiting| match waiting.question {
            Question::Beginning(span) => {
                spans.push(span);
                None
            }
            Question::Whole(_) => Some(waiting),
        };
        let asked = self.asked.take();
        let asked =
            asked.map(|Asked { question, attempts, .. }| Waiting { question, at: Instant::now(), attempts });
        self.waiting =
            asked.into_iter().chain(std::mem::take(&mut self.waiting)).filter_map(&mut keep).collect();
        spans
    }

    /// The answer to the question that is being asked; never completes if there is none. Nothing is lost if it is dropped before.
    pub(crate) async fn answer(&mut self, assembler: &Assembler) -> Answered {
        let known = match &mut self.asked {
            Some(asked) => asked.answer.as_mut().await,
            None => std::future::pending().await,
        };
        let mut answered = Answered::default();
        let Some(Asked { question, attempts, .. }) = self.asked.take() else { return answered };
        let is_answered = known.is_some();
        let known = known.unwrap_or_default();
        match question {
            Question::Beginning(span) => {
                answered.spans = completed(span, &known.events, &known.alive, assembler);
                if !is_answered {
                    // A store that hangs would have each of the others wait as long.
                    answered.spans.extend(self.give_up());
                }
            }
            Question::Whole(end) => {
                // Events of a run are stored in their order: with its end all of them are there.
                let is_whole = known.events.iter().any(|event| event.id() == end.id());
                if is_whole || attempts >= ATTEMPTS {
                    answered.whole = spans_of(known.events);
                } else {
                    let (question, at) = (Question::Whole(end), Instant::now() + PAUSE);
                    self.waiting.push_back(Waiting { question, at, attempts: attempts + 1 });
                }
            }
        }
        answered.processes = known.processes;
        answered
    }
}

/// What the store knows of a run, unless it does not answer in time.
async fn known(reader: Arc<dyn TraceReader>, trace: TraceId) -> Option<Known> {
    let asking = async {
        let events = reader.trace(trace).await?;
        let mut instances: Vec<_> = events.iter().map(|event| event.instance).collect();
        instances.sort_unstable();
        instances.dedup();
        let liveness = reader.liveness(&instances).await?;
        let processes = reader.processes(&instances).await?;
        let known = instances.iter().zip(processes);
        let processes = known.filter_map(|(instance, process)| Some((*instance, process?))).collect();
        let mut liveness = liveness.into_iter();
        instances.retain(|_| liveness.next() != Some(Liveness::Dead));
        Ok::<_, ReadError>(Known { events, alive: instances, processes })
    };
    let (error, answer) = match tokio::time::timeout(PATIENCE, asking).await {
        Ok(Ok(known)) => return Some(known),
        Ok(Err(error)) => (error.to_string(), Some(Known::default())),
        Err(_) => ("it did not answer in time".to_owned(), None),
    };
    tracing::warn!(target: "throughline", error, "the store did not say what a run did before; its export has gaps");
    answer
}

/// The span with its beginning, and if it is the root of its run all that dead processes left open in that.
fn completed(
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

/// What an answer amounts to.
#[derive(Default)]
pub(crate) struct Answered {
    /// Spans of which all events have been accepted that are owed.
    pub(crate) spans: Vec<Finished>,
    /// Spans of a run that nothing is known of.
    pub(crate) whole: Vec<Finished>,
    /// Processes that worked on the run.
    pub(crate) processes: Vec<(InstanceId, Process)>,
}

fn spans_of(events: Vec<TraceEvent>) -> Vec<Finished> {
    let mut assembler = Assembler::new(usize::MAX);
    let ended = |event| match assembler.take(Arc::new(event)) {
        Amounts::Ended(span) => Some(span),
        _ => None,
    };
    events.into_iter().filter_map(ended).collect()
}
