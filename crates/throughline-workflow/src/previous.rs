//! What the store knows of a run so far: previous attempts at the same thing, and steps to be undone.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_timer::Delay;
use futures_util::future::{Either, select};
use throughline_core::fold::History;
use throughline_core::{JobAttempt, JobKey, ReadError, SpanId, Throughline, TraceId, TraceReader};

/// How long the look-up may delay the work, whatever the store does.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pauses before the store is asked again after a failure.
const PAUSES: [Duration; 2] = [Duration::from_millis(25), Duration::from_millis(250)];

/// The history of a run; `around`, where the caller stands, must be in it. Empty if there is no store, or it does not answer
/// in time.
pub(crate) async fn history(throughline: &Throughline, trace_id: TraceId, around: Option<SpanId>) -> History {
    let look = move |reader: Arc<dyn TraceReader>| async move {
        let history = History::of(&reader.trace(trace_id).await?);
        match around.is_none_or(|around| history.span(around).is_some()) {
            true => Ok(history),
            // It is on its way, if steps do not wait until their start is durable.
            false => Err(ReadError::Unavailable {
                reason: "it does not have the step or run around it".to_owned(),
                source: None,
            }),
        }
    };
    look_up(throughline, trace_id, look).await
}

/// The last attempt at a job in a run; `None` also if the store does not answer in time.
pub(crate) async fn last_attempt(
    throughline: &Throughline,
    trace_id: TraceId,
    job: JobKey,
) -> Option<JobAttempt> {
    let look = move |reader: Arc<dyn TraceReader>| {
        let job = job.clone();
        async move { reader.last_attempt(trace_id, &job).await }
    };
    look_up(throughline, trace_id, look).await
}

/// Asks the store, again where that may help. Nothing if there is no store, or it does not answer in time: then links are
/// missing, which is logged and is no reason to delay the work any longer.
async fn look_up<T: Default, F: Future<Output = Result<T, ReadError>>>(
    throughline: &Throughline,
    trace_id: TraceId,
    look: impl Fn(Arc<dyn TraceReader>) -> F,
) -> T {
    let Some(reader) = throughline.reader() else { return T::default() };
    let patiently = async {
        let mut pauses = PAUSES.into_iter();
        loop {
            match (look(Arc::clone(&reader)).await, pauses.next()) {
                (Err(error), Some(pause)) if error.is_retryable() => Delay::new(pause).await,
                (found, _) => return found,
            }
        }
    };
    // Not tokio's timer: steps may run on another runtime.
    let failure = match select(pin!(patiently), Delay::new(PATIENCE)).await {
        Either::Left((Ok(found), _)) => return found,
        Either::Left((Err(error), _)) => error.to_string(),
        Either::Right(_) => format!("no answer from the store within {PATIENCE:?}"),
    };
    tracing::warn!(
        target: "throughline",
        %trace_id,
        error = %failure,
        "cannot look up previous attempts and steps to be undone: what starts now is not linked to them, and a failed \
         attempt before it still counts"
    );
    T::default()
}
