//! The layer: events of `tracing` become lines.

use std::sync::Arc;

use serde_json::{Map, Value};
use throughline_core::{Redactor, Text, Timestamp, TraceContext, names};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use crate::fields::Fields;
use crate::line::{Ids, Line};
use crate::shared::Shared;

/// Of the spans around an event, so many are named.
const SPANS: usize = 16;

/// Our own spans, which say whose line it is.
const OURS: &str = "throughline";

/// Writes what is logged; see [`Logs::layer`](crate::Logs::layer).
pub(crate) struct LogLayer {
    shared: Arc<Shared>,
    redactor: Redactor,
    service: Text,
}

/// What is kept of a span.
struct SpanFields {
    /// Whether it is one of ours, whose fields are ids.
    is_ours: bool,
    name: &'static str,
    fields: Map<String, Value>,
}

impl LogLayer {
    pub(crate) fn new(shared: Arc<Shared>, redactor: Redactor) -> Self {
        let service = redactor.name(&shared.service).into();
        Self { shared, redactor, service }
    }

    /// The fields as they may be shown. Those of our own spans are redacted already.
    fn fields_of(&self, is_ours: bool, record: impl FnOnce(&mut Fields)) -> Map<String, Value> {
        let mut fields = Fields::default();
        fields.read(record);
        if !is_ours {
            fields.redact(&self.redactor);
        }
        let Fields { message, error, others, .. } = fields;
        let mut shown = others;
        if let Some(error) = error {
            shown.insert("error".to_owned(), error.message.as_str().into());
        }
        if !message.is_empty() {
            shown.insert("message".to_owned(), message.into());
        }
        shown
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let metadata = attributes.metadata();
        let is_ours = metadata.target() == OURS && attributes.fields().field("trace_id").is_some();
        let fields = self.fields_of(is_ours, |fields| attributes.record(fields));
        span.extensions_mut().replace(SpanFields { is_ours, name: metadata.name(), fields });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let is_ours = span.extensions().get::<SpanFields>().is_some_and(|kept| kept.is_ours);
        let fields = self.fields_of(is_ours, |fields| values.record(fields));
        if let Some(kept) = span.extensions_mut().get_mut::<SpanFields>() {
            kept.fields.extend(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let level = *metadata.level();
        // Where a record of the crate `log` comes from is known once it is read.
        let is_of_log = metadata.target() == "log";
        if !is_of_log && !self.shared.admits(metadata.target(), level) {
            return;
        }
        let mut fields = Fields::default();
        fields.read(|fields| event.record(fields));
        let log_target = fields.log_target.take();
        let target = log_target.as_deref().unwrap_or(metadata.target());
        if is_of_log && !self.shared.admits(target, level) {
            return;
        }
        fields.redact(&self.redactor);
        let target = self.redactor.name(target);

        let around: Vec<_> = context.event_span(event).into_iter().flat_map(|span| span.scope()).collect();
        let is_ours =
            |span: &SpanRef<'_, S>| span.extensions().get().is_some_and(|kept: &SpanFields| kept.is_ours);
        // Asked before the locks below are held: a context may run the code that describes its request.
        let own = if around.iter().any(is_ours) { None } else { Own::of_thread(&self.redactor) };
        let exported = {
            let extensions: Vec<_> = around.iter().map(|span| span.extensions()).collect();
            let kept: Vec<_> = extensions.iter().filter_map(|kept| kept.get::<SpanFields>()).collect();
            let ids = own.as_ref().map_or_else(|| ids_among(&kept), Own::ids);
            let mut spans: Vec<_> = kept
                .iter()
                .filter(|span| !span.is_ours)
                .take(SPANS)
                .map(|span| (span.name, &span.fields))
                .collect();
            spans.reverse();
            let line = Line {
                at: Timestamp::now(),
                level,
                message: &fields.message,
                target: &target,
                ids,
                error: fields.error.as_ref(),
                metadata: &fields.others,
                spans: &spans,
            };
            self.shared.write(&line, &self.service)
        };
        self.shared.export(exported);
    }
}

/// The ids that our spans around an event have. The innermost says which run it is; whose request that serves may be known to
/// those around it alone.
fn ids_among<'s>(kept: &[&'s SpanFields]) -> Ids<'s> {
    let ours = || kept.iter().filter(|span| span.is_ours);
    let own = |name: &str| ours().next()?.fields.get(name)?.as_str();
    let around = |name: &str| ours().find_map(|span| span.fields.get(name)?.as_str());
    Ids {
        trace: own("trace_id"),
        span: own("span_id"),
        workflow: own("workflow"),
        correlation: own("correlation_id"),
        request: around("request_id"),
        session: around("session_id"),
        user: around("user_id"),
    }
}

/// The ids of the context that runs on this thread, for where none of our spans is open: somebody else's filter left them out,
/// or what was begun in a request outlives it.
struct Own {
    context: TraceContext,
    trace: String,
    span: String,
    request: Option<Text>,
    session: Option<Text>,
    user: Option<Text>,
}

impl Own {
    fn of_thread(redactor: &Redactor) -> Option<Self> {
        let context = TraceContext::current()?;
        let name = names::attrs::REQUEST_ID;
        let request = context.request_id().map(|id| redactor.findable(Some(name), id).into());
        Some(Self {
            trace: context.trace_id().to_string(),
            span: context.span_id().to_string(),
            request: request.or_else(|| context.attr(name)),
            session: context.attr(names::attrs::SESSION),
            user: context.attr(names::attrs::USER),
            context,
        })
    }

    fn ids(&self) -> Ids<'_> {
        Ids {
            trace: Some(&self.trace),
            span: Some(&self.span),
            workflow: self.context.workflow_name(),
            correlation: self.context.correlation_id(),
            request: self.request.as_deref(),
            session: self.session.as_deref(),
            user: self.user.as_deref(),
        }
    }
}
