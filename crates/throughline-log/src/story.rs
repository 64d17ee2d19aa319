//! The sink: what happens in runs becomes lines.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use throughline_core::{Attrs, BoxFuture, EventSink, Link, Relation, Status, Text, TraceEvent, names};
use tracing::Level;

use crate::line::{Ids, Line};
use crate::shared::Shared;

/// Where these lines say that they come from, for levels and limits.
const TARGET: &str = "throughline::story";

/// Attributes that have a place of their own in a line.
const IDS: [&str; 3] = [names::attrs::REQUEST_ID, names::attrs::SESSION, names::attrs::USER];

/// Writes what happens in runs; see [`Logs::story`](crate::Logs::story).
pub(crate) struct StorySink {
    shared: Arc<Shared>,
}

impl StorySink {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl EventSink for StorySink {
    fn name(&self) -> &str {
        "log"
    }

    fn on_event(&self, event: &Arc<TraceEvent>) {
        let level = level(event);
        if !self.shared.levels.enable(TARGET, level) || !self.shared.admits(TARGET, level) {
            return;
        }
        let ids = Ids {
            trace: Some(event.trace_id),
            span: Some(event.span_id),
            workflow: event.workflow.as_deref(),
            correlation: event.correlation_id.as_deref(),
            request: event.attrs.get(names::attrs::REQUEST_ID),
            session: event.attrs.get(names::attrs::SESSION),
            user: event.attrs.get(names::attrs::USER),
        };
        let exported = self.shared.write(
            &Line {
                at: event.timestamp,
                level,
                message: &message(event),
                target: TARGET,
                ids,
                error: event.error.as_deref(),
                metadata: &metadata(event),
                spans: &[],
            },
            &event.service,
        );
        self.shared.export(exported);
    }

    fn flush(&self, timeout: Duration) -> BoxFuture<'_, ()> {
        let queue = Arc::clone(&self.shared.queue);
        if queue.is_idle() {
            return Box::pin(std::future::ready(()));
        }
        let (done, is_done) = tokio::sync::oneshot::channel();
        let until = Instant::now();
        let waiting = std::thread::Builder::new().name("throughline-log-flush".to_owned()).spawn(move || {
            queue.wait(timeout.saturating_sub(until.elapsed()));
            // Nobody may be waiting any more.
            let _ = done.send(());
        });
        Box::pin(async move {
            if waiting.is_ok() {
                let _ = is_done.await;
            }
        })
    }
}

/// How much an event is worth. `debug` is what is left out by default.
fn level(event: &TraceEvent) -> Level {
    let name = &*event.event_type;
    let is_run =
        names::is_workflow(name) || name.starts_with(names::JOB_PREFIX) || name == names::HTTP_REQUEST;
    let is_cascade = has_link(event, |rel| matches!(rel, Relation::FailedBy));
    if event.status == Status::Failed && name != names::FALLBACK {
        // What it brought down is not one more failure; of a run it is said all the same.
        return match (is_cascade, is_run) {
            (false, _) => Level::ERROR,
            (true, true) => Level::WARN,
            (true, false) => Level::DEBUG,
        };
    }
    if is_recovery(event) {
        return Level::WARN;
    }
    let is_business =
        [names::STATE_PREFIX, names::PROVISION_PREFIX, names::AUTH_PREFIX, names::DEPENDENCY_PREFIX]
            .iter()
            .any(|prefix| name.starts_with(prefix))
            || names::is_workflow(name)
            || name.starts_with(names::JOB_PREFIX)
            || name == names::WEBSOCKET_SESSION;
    // What is known at the end is worth more than that something begins.
    let is_end = event.status != Status::Pending;
    let is_start_of_session = name == names::WEBSOCKET_SESSION;
    if is_business && (is_end || is_start_of_session) { Level::INFO } else { Level::DEBUG }
}

/// Whether something is tried again, undone or done instead.
fn is_recovery(event: &TraceEvent) -> bool {
    let name = &*event.event_type;
    let is_start = event.status == Status::Pending;
    let is_named_so = matches!(
        name,
        names::FALLBACK
            | names::WORKFLOW_RESUMED
            | names::WORKFLOW_ABANDONED
            | names::SAGA_COMPENSATING
            | names::SAGA_RESUMED
            | names::SAGA_DETACHED
            | names::SAGA_LEFT_OPEN
    );
    let is_undone = name.starts_with(names::COMPENSATE_PREFIX) && !is_start;
    let is_tried_again = is_start && event.attempt.is_some_and(|attempt| attempt > 1);
    is_named_so || is_undone || is_tried_again
}

fn has_link(event: &TraceEvent, is: impl Fn(&Relation) -> bool) -> bool {
    event.links.iter().any(|Link { rel, .. }| is(rel))
}

/// `dependency:http carrier-api failed: timed out`, `stage:score begins (attempt 2)`.
fn message(event: &TraceEvent) -> String {
    let name = names::of_span(&event.event_type, || event.workflow.as_deref(), |key| event.attrs.get(key));
    let what = match (event.status, event.seq, event.duration_us) {
        _ if is_said_by_its_name(event) => "",
        (Status::Pending, ..) => " begins",
        (Status::Success, 0, None) => "",
        (Status::Success, ..) => " succeeded",
        (Status::Failed, ..) => " failed",
        (Status::Cancelled, ..) => " was cancelled",
    };
    let mut said = if is_said_by_its_name(event) { event.event_type.as_str().into() } else { name };
    if event.event_type == names::FALLBACK
        && let Some(instead) = event.data.as_ref().and_then(|data| data.get(names::data::MESSAGE)?.as_str())
    {
        said = format!("{said}: {instead}").into();
    }
    let attempt = event.attempt.filter(|attempt| *attempt > 1);
    let attempt = attempt.map(|attempt| format!(" (attempt {attempt})")).unwrap_or_default();
    let why = event.error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
    format!("{said}{what}{attempt}{why}")
}

/// Whether the event type itself says what happened.
fn is_said_by_its_name(event: &TraceEvent) -> bool {
    let name = &*event.event_type;
    let is_of_many = names::is_workflow(name) || names::is_saga(name);
    (is_of_many && event.status == Status::Pending && event.seq > 0)
        || matches!(name, names::SAGA_COMPENSATING | names::WORKFLOW_ABANDONED | names::FALLBACK)
}

fn metadata(event: &TraceEvent) -> Map<String, Value> {
    let mut metadata = Map::new();
    let mut put = |name: &str, value: Value| metadata.insert(name.to_owned(), value);
    put("event_type", event.event_type.as_str().into());
    put("status", event.status.as_str().into());
    if let Some(parent) = event.parent_span_id {
        put("parent_span_id", parent.to_string().into());
    }
    if let Some(duration) = event.duration_us {
        put("duration_us", duration.into());
    }
    if let Some(attempt) = event.attempt {
        put("attempt", attempt.into());
    }
    if let Some(link) = event.links.iter().find(|link| link.rel == Relation::FailedBy) {
        put("failed_by", link.span_id.to_string().into());
    }
    let attrs = of_line(&event.attrs);
    if !attrs.is_empty() {
        put("attrs", attrs.into());
    }
    if !event.tags.is_empty() {
        put("tags", event.tags.iter().map(|tag| Value::from(tag.as_str())).collect());
    }
    metadata
}

fn of_line(attrs: &Attrs) -> Map<String, Value> {
    let others = attrs.iter().filter(|(key, _): &&(Text, Text)| !IDS.contains(&&**key));
    others.map(|(key, value)| (key.as_str().to_owned(), value.as_str().into())).collect()
}
