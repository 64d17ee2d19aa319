//! Code that records: what it was told, and how long it waited for that.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use throughline_model::{ErrorInfo, EventId, SpanId, TraceId, names};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::process::PATIENCE;
use crate::{Durability, Throughline, TraceContext};

/// What was said to those who record.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    /// Events of which somebody was told that they are recorded.
    pub(super) acknowledged: Vec<EventId>,
    /// Steps that began. Their ends must be recorded, even if nobody was told so.
    pub(super) began: Vec<(TraceId, SpanId)>,
    /// How long the shutdown takes that is under way: what it gives up is said at its end.
    pub(super) shutdown: Duration,
    /// Waits that took too long.
    pub(super) impatient: Vec<String>,
}

impl Told {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn acknowledged(&self, trace_id: TraceId, span_id: SpanId, seq: u32) {
        self.state().acknowledged.push(EventId { trace_id, span_id, seq });
    }

    fn began(&self, context: &TraceContext) {
        self.acknowledged(context.trace_id(), context.span_id(), 0);
        self.state().began.push((context.trace_id(), context.span_id()));
    }

    pub(super) fn waited(&self, what: &str, since: Instant) {
        let (mut state, waited) = (self.state(), since.elapsed());
        if waited > PATIENCE + state.shutdown {
            state.impatient.push(format!("{what}: {waited:?}"));
        }
    }
}

pub(super) struct Work {
    pub(super) steps: u8,
    pub(super) time: Duration,
    pub(super) panics: bool,
    /// Whether it is a request, with a lazy root, and not a run.
    pub(super) is_request: bool,
    pub(super) durability: Durability,
}

impl Work {
    /// Whether a step begins before its start is recorded.
    fn is_pipelined(&self) -> bool {
        self.durability == Durability::Pipelined
    }
}

/// When what was recorded had ended by itself: what comes then is a wait for the emitter.
#[derive(Clone, Default)]
struct Ended(Arc<Mutex<Option<(TraceContext, Instant)>>>);

impl Ended {
    fn now(&self, context: Option<TraceContext>) {
        let ended = context.map(|context| (context, Instant::now()));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ended;
    }

    fn take(&self) -> Option<(TraceContext, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Starts a run or a request.
pub(super) fn start(throughline: &Throughline, work: Work, told: Told) -> JoinHandle<()> {
    let throughline = throughline.clone();
    match work.is_request {
        true => tokio::spawn(request(throughline, work, told)),
        false => tokio::spawn(run(throughline, work, told)),
    }
}

/// A request fails if one of its steps can't be recorded, as a handler's does.
async fn request(throughline: Throughline, work: Work, told: Told) {
    let request = throughline.request(names::HTTP_REQUEST).open();
    let ctx = request.context().clone();
    for _ in 0..work.steps {
        if !step(&ctx, &work, &told).await {
            return request.fail(ErrorInfo::of_panic(&"503"));
        }
    }
    request.succeed();
}

async fn run(throughline: Throughline, work: Work, told: Told) {
    let asked = Instant::now();
    let (ended, is_pipelined) = (Ended::default(), work.is_pipelined());
    let (of_run, end_of_run) = (told.clone(), ended.clone());
    let run = throughline.workflow("work").run_infallible(move |ctx| async move {
        of_run.waited("the start of a run", asked);
        if !is_pipelined {
            of_run.began(&ctx);
        }
        for _ in 0..work.steps {
            step(&ctx, &work, &of_run).await;
        }
        end_of_run.now(Some(ctx));
    });
    settle(run.await.is_ok(), asked, &ended, is_pipelined, &told);
}

/// Answers whether it was recorded.
async fn step(ctx: &TraceContext, work: &Work, told: &Told) -> bool {
    let asked = Instant::now();
    let (ended, is_pipelined) = (Ended::default(), work.is_pipelined());
    let (of_step, end_of_step, time, panics) = (told.clone(), ended.clone(), work.time, work.panics);
    let step = ctx.trace_infallible("stage:work", async move {
        of_step.waited("the start of a step", asked);
        let context = TraceContext::current();
        if !is_pipelined && let Some(context) = &context {
            of_step.began(context);
        }
        sleep(time).await;
        if panics {
            resume_unwind(Box::new("a step panics"));
        }
        end_of_step.now(context);
    });
    let is_recorded = step.await.is_ok();
    let step = settle(is_recorded, asked, &ended, is_pipelined, told);
    let asked = Instant::now();
    let event = ctx.event("business:done", serde_json::json!({})).await;
    told.waited("an event", asked);
    if let Ok(span) = event {
        told.acknowledged(ctx.trace_id(), span, 0);
        // Whatever the step itself waited for, its end was recorded before the event.
        if let Some(step) = step {
            told.acknowledged(step.trace_id(), step.span_id(), 1);
        }
    }
    is_recorded
}

/// A run or a step is over; answers which, if it is recorded.
fn settle(
    is_recorded: bool,
    asked: Instant,
    ended: &Ended,
    is_pipelined: bool,
    told: &Told,
) -> Option<TraceContext> {
    let Some((context, ended)) = ended.take() else {
        told.waited("the refusal of a run or a step", asked);
        return None;
    };
    told.waited("the end of a run or a step", ended);
    if is_recorded && is_pipelined {
        told.began(&context);
    }
    is_recorded.then_some(context)
}
