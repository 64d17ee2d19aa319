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
use crate::ours::OurIds;
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
enum Kept {
    /// One of ours: who those are that its lines belong to.
    Ours(Box<OurIds>),
    Others {
        name: &'static str,
        fields: Map<String, Value>,
    },
}

impl Kept {
    fn ours(&self) -> Option<&OurIds> {
        match self {
            Self::Ours(ids) => Some(ids),
            Self::Others { .. } => None,
        }
    }

    fn others(&self) -> Option<(&'static str, &Map<String, Value>)> {
        match self {
            Self::Ours(_) => None,
            Self::Others { name, fields } => Some((name, fields)),
        }
    }
}

impl LogLayer {
    pub(crate) fn new(shared: Arc<Shared>, redactor: Redactor) -> Self {
        let service = redactor.name(&shared.service).into();
        Self { shared, redactor, service }
    }

    /// The fields as they may be shown.
    fn fields_of(&self, record: impl FnOnce(&mut Fields)) -> Map<String, Value> {
        let mut fields = Fields::default();
        fields.read(record);
        fields.redact(&self.redactor);
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
        let kept = if is_ours {
            let mut ids = Box::<OurIds>::default();
            attributes.record(&mut *ids);
            Kept::Ours(ids)
        } else {
            let fields = self.fields_of(|fields| attributes.record(fields));
            Kept::Others { name: metadata.name(), fields }
        };
        span.extensions_mut().replace(kept);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        // Foreign code may format the values: no lock is held meanwhile.
        if is_ours(&span) {
            let mut recorded = OurIds::default();
            values.record(&mut recorded);
            if let Some(Kept::Ours(ids)) = span.extensions_mut().get_mut() {
                ids.learn(recorded);
            }
            return;
        }
        let recorded = self.fields_of(|fields| values.record(fields));
        if let Some(Kept::Others { fields, .. }) = span.extensions_mut().get_mut() {
            fields.extend(recorded);
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
        // Asked before the locks below are held: a context may run the code that describes its request.
        let own = if around.iter().any(is_ours) { None } else { Own::of_thread(&self.redactor) };
        let exported = {
            let extensions: Vec<_> = around.iter().map(|span| span.extensions()).collect();
            let kept: Vec<_> = extensions.iter().filter_map(|kept| kept.get::<Kept>()).collect();
            let ids = own.as_ref().map_or_else(|| ids_among(&kept), Own::ids);
            let mut spans: Vec<_> = kept.iter().filter_map(|span| span.others()).take(SPANS).collect();
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

fn is_ours<'s, S: LookupSpan<'s>>(span: &SpanRef<'s, S>) -> bool {
    span.extensions().get().is_some_and(|kept: &Kept| kept.ours().is_some())
}

/// The ids that our spans around an event have. The innermost says which run it is; whose request that serves may be known to
/// those around it alone.
fn ids_among<'s>(kept: &[&'s Kept]) -> Ids<'s> {
    let ours = || kept.iter().filter_map(|span| span.ours());
    let own = ours().next();
    Ids {
        trace: own.and_then(|own| own.trace),
        span: own.and_then(|own| own.span),
        workflow: own.and_then(|own| own.workflow.as_deref()),
        correlation: own.and_then(|own| own.correlation.as_deref()),
        request: ours().find_map(|span| span.request.as_deref()),
        session: ours().find_map(|span| span.session.as_deref()),
        user: ours().find_map(|span| span.user.as_deref()),
    }
}

/// The ids of the context that runs on this thread, for where none of our spans is open: somebody else's filter left them out,
/// or what was begun in a request outlives it.
struct Own {
    context: TraceContext,
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
            request: request.or_else(|| context.attr(name)),
            session: context.attr(names::attrs::SESSION),
            user: context.attr(names::attrs::USER),
            context,
        })
    }

    fn ids(&self) -> Ids<'_> {
        Ids {
            trace: Some(self.context.trace_id()),
            span: Some(self.context.span_id()),
            workflow: self.context.workflow_name(),
            correlation: self.context.correlation_id(),
            request: self.request.as_deref(),
            session: self.session.as_deref(),
            user: self.user.as_deref(),
        }
    }
}
