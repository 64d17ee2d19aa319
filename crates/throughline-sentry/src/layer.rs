//! [`SentryLayer`]: log lines as breadcrumbs of the run that they belong to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use sentry::Level;
use sentry::protocol::Breadcrumb;
use serde_json::Value;
use throughline_core::{ErrorInfo, TraceContext};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::{Sentry, redact};

/// A layer for `tracing`: lines of the levels `warn` and `info`, and `error`, are breadcrumbs of the run in which they are
/// written, redacted before they are kept. It changes nothing for the other layers of a subscriber.
#[derive(Debug, Clone)]
pub struct SentryLayer {
    sentry: Sentry,
    reports_errors: bool,
}

impl SentryLayer {
    /// Also reports each line of the level `error` as an event of its own, in a run or outside.
    pub fn report_errors(mut self) -> Self {
        self.reports_errors = true;
        self
    }
}

impl Sentry {
    /// The layer that keeps log lines as breadcrumbs.
    pub fn layer(&self) -> SentryLayer {
        SentryLayer { sentry: self.clone(), reports_errors: false }
    }
}

impl<S: Subscriber> Layer<S> for SentryLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        // What is said about reports would be said again with each of them.
        let is_own = metadata.target().starts_with("throughline_sentry");
        if *metadata.level() > LevelFilter::INFO || is_own || !self.sentry.is_wanted() {
            return;
        }
        let level = match *metadata.level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warning,
            _ => Level::Info,
        };
        let mut said = Said::default();
        event.record(&mut said);
        let context = TraceContext::current().filter(TraceContext::is_recorded);
        if self.reports_errors && level == Level::Error {
            let kind = format!("log {}", metadata.target());
            let cause = said.fields.remove("error").and_then(|cause| cause.as_str().map(str::to_owned));
            let chain = cause.map(Into::into).into_iter().collect();
            let error = ErrorInfo { kind: kind.into(), message: said.message.into(), chain };
            self.sentry.0.report_line(context, error);
            return;
        }
        let Some(context) = context else { return };
        let mut line = Breadcrumb {
            timestamp: SystemTime::now(),
            ty: "log".to_owned(),
            category: Some(metadata.target().to_owned()),
            level,
            message: Some(said.message),
            data: said.fields,
        };
        redact::breadcrumb(&self.sentry.0.redactor, &mut line);
        self.sentry.0.recent.add_log(context.trace_id(), line);
    }
}

/// The message and the fields of a line.
#[derive(Default)]
struct Said {
    message: String,
    fields: BTreeMap<String, Value>,
}

impl Said {
    fn add(&mut self, field: &Field, value: Value) {
        match field.name() {
            "message" => self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            name => {
                self.fields.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }
}
