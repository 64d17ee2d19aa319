//! [`OtlpLogs`]: lines of logs as log records.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::bytes::Bytes;
use throughline_core::log::{LogLine, LogLineSink};
use throughline_model::{BoxFuture, EventSink, Instance, OpenError, Readers, SinkAccount, TraceEvent};

use crate::backlog::Item;
use crate::config::Otlp;
use crate::intake::Intake;
use crate::ship::{Parcel, Plan, Shipping, Source};
use crate::wire::{OfProcess, Request, encoded};
use crate::{translate, worker};

/// The name of the sink in reports.
const NAME: &str = "otlp_logs";

/// Exports the lines of logs as log records: made by [`Otlp::log_lines`], a sink for `Throughline::builder(..).sink(..)` and, as
/// a clone, what the logs hand their lines to. Cheap to clone.
///
/// Lines come redacted. The code that logs never waits; what finds no room is dropped, and the delivery report says of each line
/// what became of it. Lines that are logged while nobody has opened it, and those of exporters themselves, are not exported.
#[derive(Clone)]
#[must_use = "nothing is exported before it is given to the builder and to the logs"]
pub struct OtlpLogs(Arc<Inner>);

struct Inner {
    intake: Arc<Intake<LogLine>>,
    value_limit: usize,
    is_off: bool,
    plan: Plan,
    shipping: Shipping,
}

impl Otlp {
    /// Exports the lines of logs to the same collector, as log records with the ids of their run:
    ///
    /// ```
    /// # use throughline_otel::Otlp;
    /// let otlp = Otlp::new();
    /// let lines = otlp.log_lines();
    /// // let logs = Logs::builder("loan-service").export(lines.clone()).build()?;
    /// let builder = throughline_core::Throughline::builder("loan-service").sink(otlp).sink(lines);
    /// ```
    pub fn log_lines(&self) -> OtlpLogs {
        OtlpLogs(Arc::new(Inner {
            intake: Arc::new(Intake::new(self.lines.capacity)),
            value_limit: self.value_limit,
            is_off: !self.log_records,
            plan: Plan::new(self, &self.logs, self.lines),
            shipping: Shipping::default(),
        }))
    }
}

impl LogLineSink for OtlpLogs {
    fn on_line(&self, line: LogLine) {
        let Inner { intake, shipping, .. } = &*self.0;
        // What an exporter says would be exported, and say more.
        if !shipping.is_open() || worker::is_exporter() {
            return;
        }
        shipping.ledger.accept(1);
        if let Err(why) = intake.offer(line) {
            shipping.ledger.lose(why, 1);
        }
    }
}

impl EventSink for OtlpLogs {
    fn name(&self) -> &str {
        NAME
    }

    fn on_event(&self, _: &Arc<TraceEvent>) {}

    fn open(&self, instance: &Instance, _: Option<&Readers>) -> Result<(), OpenError> {
        if self.0.is_off {
            return Ok(());
        }
        let arrivals = Arrivals { intake: Arc::clone(&self.0.intake), value_limit: self.0.value_limit };
        self.0.shipping.open(NAME, &self.0.plan, instance, arrivals)
    }

    fn flush(&self, timeout: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.0.shipping.flush(timeout, false))
    }

    fn close(&self, timeout: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.0.shipping.flush(timeout, true))
    }

    fn account(&self) -> Option<SinkAccount> {
        Some(self.0.shipping.account())
    }
}

/// Without what an address may have in it.
impl fmt::Debug for OtlpLogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpLogs").field("logs", &self.0.plan.place()).finish_non_exhaustive()
    }
}

struct Arrivals {
    intake: Arc<Intake<LogLine>>,
    value_limit: usize,
}

impl Arrivals {
    fn translated(&self, lines: Vec<LogLine>) -> Vec<Line> {
        lines
            .into_iter()
            .map(|line| Line {
                record: encoded(&translate::line_record(&line, self.value_limit)),
                target: line.target,
            })
            .collect()
    }
}

impl Source for Arrivals {
    type Parcel = Line;

    const WHAT: &'static str = "log lines";

    async fn wait(&mut self) {
        self.intake.arrival().await;
    }

    fn take(&mut self) -> Vec<Line> {
        self.translated(self.intake.take())
    }

    fn take_now(&mut self, is_the_end: bool) -> Vec<Line> {
        self.translated(if is_the_end { self.intake.close() } else { self.intake.take() })
    }
}

/// A line on its way.
struct Line {
    record: Bytes,
    target: String,
}

impl Item for Line {
    fn bytes(&self) -> usize {
        self.record.len()
    }

    fn weight(&self) -> usize {
        1
    }
}

impl Parcel for Line {
    /// With the target as the scope.
    fn request<'p>(resource: &Resource, parcels: impl Iterator<Item = &'p Self>) -> Request {
        let mut by_target: BTreeMap<&str, Vec<Bytes>> = BTreeMap::new();
        for line in parcels {
            by_target.entry(&line.target).or_default().push(line.record.clone());
        }
        let scopes = by_target.into_iter().map(|(target, records)| {
            (InstrumentationScope { name: target.to_owned(), ..InstrumentationScope::default() }, records)
        });
        Request { processes: vec![OfProcess::of_others(resource.clone(), scopes)] }
    }
}
