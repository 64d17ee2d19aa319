//! [`Throughline`], the handle that everything starts from, and its [builder](ThroughlineBuilder).

mod builder;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use throughline_model::{ReadError, Text, TraceAnalytics, TraceEvent, TraceId, TraceReader, TraceStream};
use throughline_query::TraceQuery;
use throughline_redact::Redactor;

pub use builder::{BuildError, ThroughlineBuilder};

use crate::context::{NotRecorded, RequestStart, Resume, Workflow};
use crate::delivery::{DeliveryReport, Stop, later, on_helper_thread};
use crate::hub::Hub;
use crate::ingest;
use crate::metrics::Meter;

/// Records what workflows do: the handle that a service keeps, cheap to clone.
///
/// ```
/// use throughline_core::{MemoryStore, NotRecorded, Throughline};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let throughline = Throughline::builder("loan-service").store(store.clone()).build()?;
///
/// let offer = throughline
///     .workflow("loan-approval")
///     .key("loan-42")
///     .run(|ctx| async move {
///         let score = ctx.trace("stage:credit-check", async { Ok::<_, NotRecorded>(712) }).await??;
///         Ok::<_, NotRecorded>(score > 700)
///     })
///     .await??;
///
/// assert!(offer);
/// assert_eq!(store.events().len(), 4); // two starts, two ends
/// # throughline.shutdown(std::time::Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Throughline(pub(crate) Arc<Hub>);

impl Throughline {
    /// Begins to describe how a service records its runs.
    pub fn builder(service: impl Into<Text>) -> ThroughlineBuilder {
        ThroughlineBuilder::new(service.into())
    }

    /// Begins a run of a workflow.
    ///
    /// With a [`key`](Workflow::key) the run has a trace of its own, the same whenever the key is the same;
    /// started inside another run it links that as `caused_by`. Without a key it stays in the trace of the
    /// [current](crate::TraceContext::current) context, if there is one.
    pub fn workflow(&self, name: impl Into<Text>) -> Workflow {
        Workflow::new(Arc::clone(&self.0), name.into())
    }

    /// Continues a run that another instance left unfinished, in the same trace.
    pub fn resume(&self, trace_id: TraceId) -> Resume {
        Resume::new(Arc::clone(&self.0), trace_id)
    }

    /// Begins the root span of a request. It is *lazy*: nothing is recorded until something hangs on it, so that a
    /// scanner's requests cost nothing. Meant for middleware; handlers are given its context.
    pub fn request(&self, event_type: impl Into<Text>) -> RequestStart {
        RequestStart::new(Arc::clone(&self.0), event_type.into())
    }

    /// The questions about single runs; `None` without a store.
    pub fn reader(&self) -> Option<Arc<dyn TraceReader>> {
        self.0.readers.as_ref().map(|readers| Arc::clone(&readers.reader))
    }

    /// The questions across runs; `None` without a store.
    pub fn analytics(&self) -> Option<Arc<dyn TraceAnalytics>> {
        self.0.readers.as_ref().map(|readers| Arc::clone(&readers.analytics))
    }

    /// What happens now; `None` without a feed that can be read from here.
    pub fn stream(&self) -> Option<Arc<dyn TraceStream>> {
        self.0.stream.clone()
    }

    /// One run, ready to be questioned.
    ///
    /// # Errors
    /// When the store does not answer, or there is none.
    pub async fn query(&self, trace_id: TraceId) -> Result<TraceQuery, ReadError> {
        let reader = self.reader().ok_or_else(|| ReadError::InvalidQuery {
            reason: "nothing is kept without a store: add .store(..) to the builder".to_owned(),
        })?;
        TraceQuery::read(&*reader, trace_id).await
    }

    /// The pseudonym under which a value is kept in `correlation_id`, attributes and tags if the redactor
    /// hits it, else the value itself: what finders must look for.
    pub fn findable(&self, value: &str) -> Text {
        self.0.redactor.findable(None, value).into()
    }

    /// Where middleware and hooks get the series of the [metrics](crate::metrics) that they record.
    pub fn meter(&self) -> &Meter {
        &self.0.meter
    }

    /// What takes out of events what must not leave the process: for what layers show or log by themselves.
    pub fn redactor(&self) -> &Redactor {
        &self.0.redactor
    }

    /// Records events that were made elsewhere: by another service, in another language, by an importer. They are
    /// redacted and handed to every destination like events of this process; the instance that emitted them, their
    /// place in it and their time stay as they are. Waits for room where there is none, and until the store has them.
    ///
    /// # Errors
    /// When the store does not take one of them. Others may be recorded then; to ingest all of them again is safe, for
    /// what is there already is skipped.
    pub async fn ingest(&self, events: impl IntoIterator<Item = TraceEvent>) -> Result<(), NotRecorded> {
        ingest::record(&self.0, events).await
    }

    /// What became of the events so far, for each destination.
    pub fn ledger(&self) -> DeliveryReport {
        self.0.report()
    }

    /// Waits until nothing is pending and the sinks have sent on what they kept, at most for `timeout`, and says what
    /// became of the events.
    pub async fn flush(&self, timeout: Duration) -> DeliveryReport {
        let deadline = later(timeout);
        // No change of threads where there is nothing to wait for: under a paused clock, waiting would cost time.
        if !self.0.queues().all(|queue| queue.is_idle()) {
            // The queues alone: whoever stops waiting for this must not keep the emitter alive.
            let queues: Vec<_> = self.0.queues().map(Arc::clone).collect();
            let waited = on_helper_thread(move || queues.iter().for_each(|queue| queue.wait_idle(deadline)));
            // Without a thread there is no waiting, but still a report.
            let _ = waited.await;
        }
        self.0.flush_sinks(deadline).await;
        self.0.report()
    }

    /// Takes no new steps, delivers what there is, gives the lease back, and says what was delivered, what is
    /// pending in the spool, and what was dropped because nobody took it in time. Returns after
    /// `timeout` at the latest, whatever the store does.
    pub async fn shutdown(&self, timeout: Duration) -> DeliveryReport {
        // The delivery threads stop trying a little earlier, so that what they gave up is in the report.
        let stop =
            Stop { deliver_until: later(timeout.mul_f64(0.8)), close_until: later(timeout.mul_f64(0.95)) };
        let deadline = later(timeout);
        self.0.queues().for_each(|queue| queue.close(stop));
        let queues: Vec<_> = self.0.queues().map(Arc::clone).collect();
        let waited = on_helper_thread(move || queues.iter().for_each(|queue| queue.wait_finished(deadline)));
        let _ = waited.await;
        self.0.flush_sinks(deadline).await;
        self.0.report()
    }
}

impl fmt::Debug for Throughline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throughline")
            .field("service", &self.0.service)
            .field("instance", &self.0.instance)
            .field("ledger", &self.0.report())
            .finish_non_exhaustive()
    }
}
