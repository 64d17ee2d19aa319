//! Spans that others make in this process, with the API of OpenTelemetry or with `tracing-opentelemetry`: below ours, above ours, and
//! redacted like them.

mod redacting;

use std::cell::RefCell;

use opentelemetry::trace::{SpanContext, TraceContextExt as _, TraceFlags, TraceState};
use opentelemetry::{Context, ContextGuard};
use throughline_core::{Propagation, SpanId, TraceContext, TraceId, TraceParent};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context as LayerContext;
use tracing_subscriber::registry::LookupSpan;

pub use redacting::Redacting;

/// The target of our own spans.
const OURS: &str = "throughline";

/// Makes our spans the parents of those that others make within them: a layer for the subscriber of the process, beside that of
/// `tracing-opentelemetry`, if there is one. That one is to leave [our own spans](is_own) out, for they are exported already, with the ids
/// that the store has.
///
/// ```
/// use throughline_otel::bridge;
/// use tracing_subscriber::filter::filter_fn;
/// use tracing_subscriber::prelude::*;
///
/// # let tracer = opentelemetry::trace::noop::NoopTracer::new();
/// let theirs = tracing_opentelemetry::layer().with_tracer(tracer);
/// let subscriber = tracing_subscriber::registry()
///     .with(bridge::layer())
///     .with(theirs.with_filter(filter_fn(|metadata| !bridge::is_own(metadata))));
/// # drop(subscriber);
/// ```
pub fn layer<S>() -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    Bridge
}

/// Whether a span or an event of `tracing` is one of ours.
pub fn is_own(metadata: &Metadata<'_>) -> bool {
    metadata.target() == OURS
}

/// Where the current span of OpenTelemetry stands, for a run that is to begin below it:
///
/// ```
/// # use throughline_core::{NotRecorded, Throughline};
/// # async fn example(throughline: Throughline) -> Result<(), NotRecorded> {
/// let run = throughline.workflow("loan-approval").continue_from(throughline_otel::bridge::propagation());
/// run.run(|_| async { Ok::<_, NotRecorded>(()) }).await?
/// # }
/// ```
///
/// Empty if there is none: the run has a trace of its own then.
pub fn propagation() -> Propagation {
    let current = Context::current();
    let span = current.span();
    let context = span.span_context();
    let ids = TraceId::from_bytes(context.trace_id().to_bytes())
        .zip(SpanId::from_u64(u64::from_be_bytes(context.span_id().to_bytes())));
    let Some((trace_id, span_id)) = ids else { return Propagation::default() };
    let mut parent = TraceParent::new(trace_id, span_id);
    // Only who made an id knows whether it is random.
    (parent.sampled, parent.random) = (context.is_sampled(), false);
    Propagation::from_headers(Some(&parent.to_string()), Some(&context.trace_state().header()), None)
}

struct Bridge;

/// The ids that one of our spans has.
struct Own(SpanContext);

thread_local! {
    /// The contexts of our spans that this thread is in, the innermost last.
    static ENTERED: RefCell<Vec<(Id, ContextGuard)>> = const { RefCell::new(Vec::new()) };
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Bridge {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: LayerContext<'_, S>) {
        if !is_own(attributes.metadata()) {
            return;
        }
        let mut ids = Ids::default();
        attributes.record(&mut ids);
        let (Some((trace, span)), Some(kept)) = (ids.trace.zip(ids.span), context.span(id)) else { return };
        let own = SpanContext::new(
            opentelemetry::TraceId::from_bytes(trace.to_bytes()),
            opentelemetry::SpanId::from_bytes(span.to_u64().to_be_bytes()),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        );
        kept.extensions_mut().replace(Own(own));
    }

    fn on_enter(&self, id: &Id, context: LayerContext<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let Some(own) = span.extensions().get::<Own>().map(|own| own.0.clone()) else { return };
        // A run that is not exported has no spans of others exported below it.
        let is_sampled = TraceContext::current().is_none_or(|current| current.is_sampled());
        let flags = if is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let own = SpanContext::new(
            own.trace_id(),
            own.span_id(),
            flags,
            own.is_remote(),
            own.trace_state().clone(),
        );
        let guard = Context::current().with_remote_span_context(own).attach();
        let _ = ENTERED.try_with(|entered| entered.borrow_mut().push((id.clone(), guard)));
    }

    fn on_exit(&self, id: &Id, _: LayerContext<'_, S>) {
        let left = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            let at = entered.iter().rposition(|(own, _)| own == id)?;
            Some(entered.remove(at))
        });
        // What a context holds is dropped when nothing is borrowed.
        drop(left);
    }
}

/// Reads the ids of our spans.
#[derive(Default)]
struct Ids {
    trace: Option<TraceId>,
    span: Option<SpanId>,
}

impl Visit for Ids {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "trace_id" => self.trace = format!("{value:?}").parse().ok(),
            "span_id" => self.span = format!("{value:?}").parse().ok(),
            _ => {}
        }
    }
}
