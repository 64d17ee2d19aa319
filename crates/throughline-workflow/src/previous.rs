//! What the store knows of a run so far: previous attempts at the same thing, and steps to be undone.

use std::pin::pin;
use std::time::Duration;

use futures_timer::Delay;
use futures_util::future::{Either, select};
use throughline_core::fold::History;
use throughline_core::{SpanId, Throughline, TraceId, TraceReader};

/// How long the look-up may delay the work, whatever the store does.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pauses before the store is asked again after a failure.
const PAUSES: [Duration; 2] = [Duration::from_millis(25), Duration::from_millis(250)];

/// Reads it; `around`, where the caller stands, must be in it. Empty if there is no store, or it does not answer in
/// time: then links are missing, which is logged and is no reason to delay the work any longer.
pub(crate) async fn history(throughline: &Throughline, trace_id: TraceId, around: Option<SpanId>) -> History {
    let Some(reader) = throughline.reader() else { return History::default() };
    // Not tokio's timer: steps may run on another runtime.
    let failure = match select(pin!(read(&*reader, trace_id, around)), Delay::new(PATIENCE)).await {
        Either::Left((Ok(history), _)) => return history,
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
    History::default()
}

async fn read(
    reader: &dyn TraceReader,
    trace_id: TraceId,
    around: Option<SpanId>,
) -> Result<History, String> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let failure = match reader.trace(trace_id).await {
            Ok(events) => {
                let history = History::of(&events);
                if around.is_none_or(|around| history.span(around).is_some()) {
                    return Ok(history);
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
