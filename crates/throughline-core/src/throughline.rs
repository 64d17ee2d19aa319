//! [`Throughline`], the handle that everything starts from, and its [builder](ThroughlineBuilder).

mod builder;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join;
use throughline_model::{
    ReadError, SpoolReader, Text, TraceAnalytics, TraceEvent, TraceId, TraceReader, TraceStream,
};
use throughline_query::TraceQuery;
use throughline_redact::Redactor;

pub use builder::{BuildError, ThroughlineBuilder};

use crate::context::{self, NotRecorded, RequestStart, Resume, SagaRecovery, Workflow};
use crate::delivery::{DeliveryReport, Stop, later, on_helper_thread};
use crate::hub::Hub;
use crate::metrics::{self, Meter};
use crate::propagators::Propagators;

/// Records what workflows do: the handle that a service keeps. Cheap to clone.
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
    /// A builder that configures how a service records its runs.
    pub fn builder(service: impl Into<Text>) -> ThroughlineBuilder {
        ThroughlineBuilder::new(service.into())
    }

    /// Configures a run of a workflow.
    ///
    /// With a [`key`](Workflow::key) the run has its own trace; if it is started inside another run, it links to that one as
    /// `caused_by`. Without a key it stays in the trace of the
    /// [current](crate::TraceContext::current) context, if there is one.
    pub fn workflow(&self, name: impl Into<Text>) -> Workflow {
        Workflow::new(Arc::clone(&self.0), name.into())
    }

    /// Continues a run that another instance left unfinished, in the same trace.
    pub fn resume(&self, trace_id: TraceId) -> Resume {
        Resume::new(Arc::clone(&self.0), trace_id)
    }

    /// Undoes what a saga left behind in a run that no process works on: one that failed, was cancelled or was interrupted. May
    /// be called as often as it takes, from any process; the run is claimed, so that one at a time does it.
    ///
    /// The compensations are functions of the steps' inputs, which are given again:
    ///
    /// ```
    /// # use throughline_core::{BoxError, Throughline, TraceId};
    /// # async fn release(_: String) -> Result<(), BoxError> { Ok(()) }
    /// # async fn example(throughline: Throughline, run: TraceId) -> Result<(), BoxError> {
    /// let failed = throughline
    ///     .undo(run, "loan-approval")
    ///     .step("stage:reserve-funds", "loan-42".to_owned(), |loan, _ctx| release(loan))
    ///     .run()
    ///     .await?;
    /// assert!(failed.is_undone());
    /// # Ok(())
    /// # }
    /// ```
    pub fn undo(&self, trace_id: TraceId, saga: impl Into<Text>) -> SagaRecovery {
        SagaRecovery::new(Arc::clone(&self.0), trace_id, saga.into())
    }

    /// Closes for good a run that no process works on and that is not to be resumed: it counts as failed, for this reason.
    /// Its sagas can still be [undone](Self::undo).
    ///
    /// # Errors
    /// When there is no such run, it has ended or is at work, or the store does not respond.
    pub async fn abandon(&self, trace_id: TraceId, reason: &str) -> Result<(), NotRecorded> {
        context::abandon(&self.0, trace_id, reason).await
    }

    /// Configures the root span of a request. It is *lazy*: nothing is recorded until something happens in it, so that
    /// requests of scanners cost nothing. For middleware; handlers get its context.
    pub fn request(&self, event_type: impl Into<Text>) -> RequestStart {
        RequestStart::new(Arc::clone(&self.0), event_type.into())
    }

    /// Queries about runs and events; `None` without a store.
    pub fn reader(&self) -> Option<Arc<dyn TraceReader>> {
        self.0.readers.as_ref().map(|readers| Arc::clone(&readers.reader))
    }

    /// Queries across runs; `None` without a store.
    pub fn analytics(&self) -> Option<Arc<dyn TraceAnalytics>> {
        self.0.readers.as_ref().map(|readers| Arc::clone(&readers.analytics))
    }

    /// Events as they happen; `None` without a feed that can be watched from here.
    pub fn stream(&self) -> Option<Arc<dyn TraceStream>> {
        self.0.stream.clone()
    }

    /// What waits in the [spool](crate::ThroughlineBuilder::spool) for the store; `None` without one.
    pub fn outbox(&self) -> Option<Arc<dyn SpoolReader>> {
        self.0.store.as_ref().and_then(|store| store.outbox())
    }

    /// Reads one run from the store, to query it.
    ///
    /// # Errors
    /// When the store does not answer, or there is none.
    pub async fn query(&self, trace_id: TraceId) -> Result<TraceQuery, ReadError> {
        let reader = self.reader().ok_or_else(|| ReadError::InvalidQuery {
            reason: "there is no store to read from: add .store(..) to the builder".to_owned(),
        })?;
        TraceQuery::read(&*reader, trace_id).await
    }

    /// The path of a request as it is recorded: with marks in place of what is sensitive by its form, and of what stands where
    /// the route that it matched has a parameter with a telling name.
    ///
    /// ```
    /// # use throughline_core::{MemoryStore, Throughline};
    /// let throughline = Throughline::builder("accounts").store(MemoryStore::new()).build()?;
    /// assert_eq!(throughline.path("/password-reset/{token}", "/password-reset/tulip"), "/password-reset/[redacted]");
    /// # Ok::<(), throughline_core::BuildError>(())
    /// ```
    pub fn path(&self, route: &str, path: &str) -> String {
        self.0.redactor.path(route, path).into_owned()
    }

    /// The form in which a value is stored in `correlation_id`, attributes and tags: a pseudonym if it is sensitive, else
    /// the value itself. Search for this.
    pub fn findable(&self, value: &str) -> Text {
        self.0.redactor.findable(None, value).into()
    }

    /// The source of the [metrics](crate::metrics) series that middleware and hooks record into.
    pub fn meter(&self) -> &Meter {
        &self.0.meter
    }

    /// Measures what no process knows by itself, as often as `every` says: how many runs are running, stuck and interrupted,
    /// and how much sagas left behind that nothing removes any more
    /// ([`RUNS_OPEN`](crate::metrics::catalogue::RUNS_OPEN),
    /// [`RESOURCES_ORPHANED`](crate::metrics::catalogue::RESOURCES_ORPHANED)). It asks the store each time: a minute is often
    /// enough. What comes back is to be spawned; it ends when the service is shut down or its last handle is gone, and at
    /// once where there is no store. If the store does not answer, the figures stay as they are, and a warning is logged.
    ///
    /// ```
    /// # use throughline_core::{MemoryStore, Throughline};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let throughline = Throughline::builder("loan-service").store(MemoryStore::new()).build()?;
    /// tokio::spawn(throughline.measure_runs(std::time::Duration::from_secs(60)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn measure_runs(&self, every: Duration) -> impl Future<Output = ()> + Send + 'static {
        let hub = Arc::downgrade(&self.0);
        let reader = move || {
            let throughline = Self(hub.upgrade().filter(|hub| !hub.is_stopping())?);
            throughline.reader()
        };
        metrics::measure_runs(self.meter().clone(), reader, every)
    }

    /// In which formats a context travels in the headers of requests.
    pub fn propagators(&self) -> &Propagators {
        &self.0.propagators
    }

    /// The redactor of this service, for texts that middleware shows or logs.
    pub fn redactor(&self) -> &Redactor {
        &self.0.redactor
    }

    /// Records events that were created elsewhere: by another service, in another language, by an importer. They are
    /// redacted and handed to every destination like events of this process; their instance, their position in it and
    /// their timestamps are kept. Waits for room in the queues, and until the store has acknowledged them.
    ///
    /// # Errors
    /// When the store does not accept one of them. Others may have been recorded; it is safe to ingest all of them again,
    /// because events that are already stored are skipped.
    pub async fn ingest(&self, events: impl IntoIterator<Item = TraceEvent>) -> Result<(), NotRecorded> {
        context::ingest(&self.0, events).await
    }

    /// What became of the events so far, for each destination.
    pub fn delivery_report(&self) -> DeliveryReport {
        self.0.report()
    }

    /// Waits until nothing is pending and the sinks have flushed, at most for `timeout`, and reports what became of the
    /// events.
    pub async fn flush(&self, timeout: Duration) -> DeliveryReport {
        let deadline = later(timeout);
        // No change of threads where there is nothing to wait for: under a paused clock, waiting would cost time.
        if !self.0.queues().all(|queue| queue.is_idle()) {
            // The queues alone: a caller that stops waiting for this must not keep the emitter alive.
            let queues: Vec<_> = self.0.queues().map(Arc::clone).collect();
            let waited = on_helper_thread(move || queues.iter().for_each(|queue| queue.wait_idle(deadline)));
            // Without a thread there is no waiting, but still a report.
            let _ = waited.await;
        }
        self.0.flush_sinks(deadline).await;
        self.0.report()
    }

    /// Says that the process is about to stop, before the server and the tasks do: what is cancelled from now on, because
    /// they are dropped, is recorded as cancelled by the shutdown. Everything else continues as before; when nothing runs any
    /// more, call [`shutdown`](Self::shutdown).
    pub fn announce_shutdown(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    /// Waits for the sagas that are being undone without their callers, for three quarters of the time, then accepts no new steps, delivers what is pending, releases the lease, and reports what was delivered, what is
    /// pending in the spool, and what was dropped because it could not be delivered in time. Returns after
    /// `timeout` at the latest, whatever the store does.
    pub async fn shutdown(&self, timeout: Duration) -> DeliveryReport {
        self.announce_shutdown();
        let deadline = later(timeout);
        let (deliver_until, close_until) = (later(timeout / 20 * 16), later(timeout / 20 * 19));
        let background = &self.0.background;
        if !background.is_idle() {
            // What they record is still to be delivered.
            let (background, until) = (Arc::clone(background), later(timeout / 4 * 3));
            let _ = on_helper_thread(move || background.wait_idle(until)).await;
        }
        // The delivery threads stop trying a little earlier, so that what they gave up is in the report.
        let stop = Stop { deliver_until: deliver_until.into(), close_until: close_until.into() };
        self.0.queues().for_each(|queue| queue.close(stop));
        let queues: Vec<_> = self.0.queues().map(Arc::clone).collect();
        let waited = on_helper_thread(move || queues.iter().for_each(|queue| queue.wait_finished(deadline)));
        // Beside each other: a store that is away takes no time of a sink. Nothing is emitted any more.
        let _ = join(waited, self.0.close_sinks(deadline)).await;
        self.0.report()
    }
}

impl fmt::Debug for Throughline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throughline")
            .field("service", &self.0.service)
            .field("instance", &self.0.instance)
            .field("delivery", &self.0.report())
            .finish_non_exhaustive()
    }
}
