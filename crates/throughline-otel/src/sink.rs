//! The end of the exporter that sees the events.

use std::sync::Arc;
use std::time::Duration;

use throughline_model::{
    BoxFuture, EventSink, Instance, OpenError, Readers, SinkAccount, TraceEvent, TraceId,
};

use crate::config::Otlp;
use crate::export::Exporter;
use crate::intake::{Intake, Running};
use crate::ledger::Ledger;
use crate::sampler::Sampling;
use crate::worker::{Worker, open_already};

/// The name of the sink in reports.
const NAME: &str = "otlp";

impl Otlp {
    async fn send_on(&self, timeout: Duration, closes: bool) {
        if let Some(running) = self.running.get() {
            running.worker.flush(timeout, closes).await;
        }
    }
}

impl EventSink for Otlp {
    fn name(&self) -> &str {
        NAME
    }

    fn on_event(&self, event: &Arc<TraceEvent>) {
        if let Some(running) = self.running.get() {
            running.take(event);
        }
    }

    fn open(&self, instance: &Instance, readers: Option<&Readers>) -> Result<(), OpenError> {
        if self.is_off {
            return Ok(());
        }
        let (intake, ledger) = (Arc::new(Intake::new(self.batching.capacity)), Arc::<Ledger>::default());
        let sampling = Arc::new(Sampling::new(self.sampler));
        let plan = Exporter::plan(self, instance, readers, &intake, &ledger, &sampling);
        let worker = Worker::start(NAME, move |deadline, commands| async move {
            plan.open(deadline).await.map(|exporter| exporter.run(commands))
        })?;
        let running = Running { intake, ledger, worker, sampling, whole_failed_runs: self.whole_failed_runs };
        self.running.set(running).map_err(|_| open_already(NAME))
    }

    fn samples(&self, trace: TraceId) -> bool {
        self.running.get().is_none_or(|running| running.sampling.samples_run(trace))
    }

    fn threshold(&self, _: TraceId, begins_here: bool) -> Option<u64> {
        self.running.get()?.sampling.threshold(begins_here)
    }

    fn flush(&self, timeout: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.send_on(timeout, false))
    }

    fn close(&self, timeout: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.send_on(timeout, true))
    }

    fn account(&self) -> Option<SinkAccount> {
        Some(self.running.get().map(|running| running.ledger.account()).unwrap_or_default())
    }
}
