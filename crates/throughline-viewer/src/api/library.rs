//! The library itself.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State as Shared;
use axum::{Extension, Json};
use futures_util::FutureExt as _;
use futures_util::future::join3;
use serde::Serialize;
use throughline_core::{
    DeliveryReport, Filter, Page, ReadError, Redactor, Refused, SpanId, SpoolReader, SpoolUsage, Timestamp,
    TraceId, WatchRequest,
};

use crate::access::Access;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::seen::Seen;
use crate::state::{NOT_SHOWN, State};

/// How many events that the store refused are shown.
const REFUSED: usize = 20;

/// What the viewer can show, to this caller.
#[derive(Serialize)]
pub(crate) struct About {
    /// Whether payloads are shown.
    payloads: bool,
    /// Whether pages are told of what is new.
    live: bool,
    /// Whether log files are known, and this caller may see what is in them.
    logs: bool,
    /// Whether the viewer is part of the service, and knows what became of its events.
    delivery: bool,
    version: &'static str,
}

/// What the viewer can show.
pub(crate) async fn about(
    Shared(state): Shared<Arc<State>>,
    Extension(access): Extension<Access>,
    parameters: Parameters,
) -> Result<Json<About>, Problem> {
    parameters.only(&[])?;
    Ok(Json(About {
        payloads: access == Access::All,
        live: state.source.stream.is_some(),
        logs: access == Access::All && state.source.logs.is_some(),
        delivery: state.source.throughline.is_some(),
        version: env!("CARGO_PKG_VERSION"),
    }))
}

/// How the library does. That something does not answer is part of the answer.
#[derive(Serialize)]
pub(crate) struct Library {
    /// What became of the events, for each destination; `null` beside the service.
    delivery: Option<DeliveryReport>,
    store: Health,
    /// `null` without a feed that can be watched from here.
    feed: Option<Health>,
    /// `null` where the viewer knows of no outbox.
    outbox: Option<Outbox>,
    /// How many requests may still be answered at once, of how many.
    free_requests: usize,
    most_requests: usize,
    /// How many pages may still be told of what is new, of how many.
    free_watchers: usize,
    most_watchers: usize,
}

/// Whether something answers.
#[derive(Serialize)]
struct Health {
    /// How long it was waited for, in microseconds.
    took_us: u64,
    /// Why it does not answer as it should; `null` if it does.
    error: Option<String>,
}

/// What waits in the outbox until the store is there.
#[derive(Serialize)]
struct Outbox {
    #[serde(flatten)]
    health: Health,
    /// How much waits, and for how much there is room; `null` if it does not answer.
    usage: Option<SpoolUsage>,
    /// When the event that has waited longest happened.
    oldest: Option<Timestamp>,
    /// What the store refused, the latest first; nothing to those who may not see messages.
    refused: Vec<SetAside>,
}

/// An event that the store refused.
#[derive(Serialize)]
struct SetAside {
    trace_id: TraceId,
    span_id: SpanId,
    event_type: String,
    reason: String,
}

/// The delivery report, and whether store, feed and outbox answer.
pub(crate) async fn library(
    Shared(state): Shared<Arc<State>>,
    Extension(access): Extension<Access>,
    parameters: Parameters,
) -> Result<Json<Library>, Problem> {
    parameters.only(&[])?;
    let seen = state.source.seen_with(access);
    // What does not answer is given up before the request is.
    let asking = Asking { patience: state.timeout / 2, access };
    let first = Page::first(1);
    let filter = Filter::new();
    let store = asking.of(async { seen.reader.runs_without_causes(&filter, &first).await.map(drop) });
    let feed = async {
        let stream = state.source.stream.as_ref()?;
        Some(asking.of(async { stream.watch(WatchRequest::new()).await.map(drop) }).await.0)
    };
    let outbox = async {
        Some(outbox(&**state.source.outbox.as_ref()?, &asking, &seen, &state.source.redactor).await)
    };
    let ((store, _), feed, outbox) = join3(store, feed, outbox).await;
    Ok(Json(Library {
        delivery: state.source.delivery(access),
        store,
        feed,
        outbox,
        free_requests: state.requests.available_permits(),
        most_requests: state.most_requests,
        free_watchers: state.watchers.free(),
        most_watchers: state.watchers.most(),
    }))
}

/// How many events wait in the outbox, where there is one that answers.
pub(super) async fn waiting(state: &State, access: Access) -> Option<u64> {
    let outbox = state.source.outbox.as_ref()?;
    let asking = Asking { patience: state.timeout / 2, access };
    asking.of(outbox.usage()).await.1.map(|usage| usage.events)
}

/// For how long an answer is waited for, and who is told why there is none.
struct Asking {
    patience: Duration,
    access: Access,
}

impl Asking {
    /// Asks, and says how that went. Nothing that is asked harms what else is answered.
    async fn of<T>(&self, ask: impl Future<Output = Result<T, ReadError>>) -> (Health, Option<T>) {
        let asked = Instant::now();
        let answer = AssertUnwindSafe(ask).catch_unwind();
        let (answer, error) = match tokio::time::timeout(self.patience, answer).await {
            Ok(Ok(Ok(answer))) => (Some(answer), None),
            // What did not answer is said beside it.
            Ok(Ok(Err(ReadError::Unavailable { reason, .. }))) => (None, Some(reason)),
            Ok(Ok(Err(error))) => (None, Some(error.to_string())),
            Ok(Err(_)) => (None, Some("it panicked; the log of the service says where".to_owned())),
            Err(_) => (None, Some(format!("it did not answer within {} s", self.patience.as_secs_f64()))),
        };
        let error = error.map(|error| if self.access == Access::All { error } else { NOT_SHOWN.to_owned() });
        let took_us = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
        (Health { took_us, error }, answer)
    }
}

/// What waits in an outbox, and what the store refused of it.
async fn outbox(reader: &dyn SpoolReader, asking: &Asking, seen: &Seen, redactor: &Redactor) -> Outbox {
    let most = if asking.access == Access::All { REFUSED } else { 0 };
    let read = async {
        let oldest = reader.waiting(None, 1).await?.first().map(|spooled| spooled.event.timestamp);
        Ok((reader.usage().await?, oldest, reader.refused(most).await?))
    };
    let (health, found) = asking.of(read).await;
    let Some((usage, oldest, refused)) = found else {
        return Outbox { health, usage: None, oldest: None, refused: Vec::new() };
    };
    let set_aside = |Refused { reason, event }: Refused| {
        let mut event = Arc::unwrap_or_clone(event);
        seen.veil.event(&mut event);
        SetAside {
            trace_id: event.trace_id,
            span_id: event.span_id,
            event_type: event.event_type.to_string(),
            reason: redactor.message(&reason).into_owned(),
        }
    };
    Outbox { health, usage: Some(usage), oldest, refused: refused.into_iter().map(set_aside).collect() }
}
