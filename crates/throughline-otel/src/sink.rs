//! The end of the exporter that sees the events.

use std::sync::Arc;
use std::time::Duration;

use throughline_model::{
    BoxError, BoxFuture, EventSink, Instance, OpenError, Readers, SinkAccount, TraceEvent, TraceId,
};
use tokio::sync::mpsc;

use crate::config::Otlp;
use crate::deadline::Deadline;
use crate::export::Exporter;
use crate::intake::{Deadlines, Intake, Running};
use crate::sampler::Sampling;

/// The name of the sink in reports.
const NAME: &str = "otlp";

impl Otlp {
    async fn send_on(&self, timeout: Duration, closes: bool) {
        if let Some(running) = self.running.get() {
            running.flush(timeout, closes).await;
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
        let unusable =
            |reason: String, source: Option<BoxError>| OpenError::Unusable { store: NAME, reason, source };
        let (commands, receiver) = mpsc::unbounded_channel();
        let running = Running {
            intake: Arc::new(Intake::new(self.batching.capacity)),
            ledger: Arc::default(),
            commands,
            deadlines: Deadlines::default(),
            sampling: Sampling::new(self.sampler),
            whole_failed_runs: self.whole_failed_runs,
        };
        let plan = Exporter::plan(self, instance, readers, &running.intake, &running.ledger);
        let deadline = Deadline::new(running.deadlines.subscribe());
        let (opened, is_open) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("throughline-otlp".to_owned()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = opened.send(Err(unusable(
                        "its runtime could not be started".to_owned(),
                        Some(error.into()),
                    )));
                    return;
                }
            };
            match runtime.block_on(plan.open(deadline)) {
                Ok(exporter) => {
                    if opened.send(Ok(())).is_ok() {
                        runtime.block_on(exporter.run(receiver));
                    }
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            }
        });
        thread.map_err(|error| unusable("its thread could not be started".to_owned(), Some(error.into())))?;
        let panicked = || unusable("it panicked while it was opened".to_owned(), None);
        is_open.recv().unwrap_or_else(|_| Err(panicked()))?;
        self.running
            .set(running)
            .map_err(|_| unusable("it is open already: give each emitter one of its own".to_owned(), None))
    }

    fn samples(&self, trace: TraceId) -> bool {
        self.running.get().is_none_or(|running| running.sampling.samples_run(trace))
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
